//! Processor time per answered request, in alternating rounds.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;
use std::{env, path::PathBuf};

use crate::Options;
use crate::server::{Running, Server};

/// What the rounds came to.
pub(crate) struct Measured {
    /// The median of our processor time over coturn's, round by round.
    pub(crate) median_share: Option<f64>,
    /// How many requests to our server were not answered, in all rounds.
    pub(crate) lost: u64,
}

/// What `bradawl-load` said of one server.
#[derive(Clone, Copy)]
struct Load {
    per_second: f64,
    cpu: f64,
    user: f64,
    system: f64,
    lost: u64,
    p99: f64,
}

pub(crate) fn run(options: &Options, coturn: &Server, ours: Option<&Server>) -> Result<Measured, String> {
    println!(
        "{:<8} {:<8} {:>9} {:>8} {:>8} {:>10} {:>8} {:>8}",
        "round", "server", "cpu µs", "user", "system", "answers/s", "p99 µs", "lost"
    );
    let (mut shares, mut lost) = (Vec::new(), 0);
    for round in 1..=options.rounds {
        let theirs = one(options, round, coturn)?;
        if let Some(ours) = ours {
            let ours = one(options, round, ours)?;
            shares.push(ours.cpu / theirs.cpu);
            lost += ours.lost;
        }
    }
    shares.sort_by(f64::total_cmp);
    let median_share = shares.get(shares.len() / 2).copied();
    if let (Some(least), Some(median), Some(most)) = (shares.first(), median_share, shares.last()) {
        println!("share of coturn's processor time: min {least:.3}, median {median:.3}, max {most:.3}");
    }
    Ok(Measured { median_share, lost })
}

fn one(options: &Options, round: u32, server: &Server) -> Result<Load, String> {
    let running = server.start(&pinned(options.core), Duration::from_secs(10))?;
    // Caches, tables and the servers' own memory get warm first.
    load(options, &running, &["--count", "50000"])?;
    let load = load(options, &running, &[])?;
    running.stop()?;
    println!(
        "{round:<8} {:<8} {:>9.2} {:>8.2} {:>8.2} {:>10.0} {:>8} {:>8}",
        server.name, load.cpu, load.user, load.system, load.per_second, load.p99, load.lost
    );
    Ok(load)
}

/// `taskset` onto a core.
fn pinned(core: u32) -> Vec<OsString> {
    ["taskset", "-c", &core.to_string()].map(OsString::from).to_vec()
}

/// Runs `bradawl-load`, which lies beside this program, on the other core.
fn load(options: &Options, server: &Running, more: &[&str]) -> Result<Load, String> {
    let failed = |why: &dyn std::fmt::Display| format!("bradawl-load: {why}");
    let words = pinned(options.core - 1);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .arg(load_tool()?)
        .args(["stun", "--json", "--server", &server.address.to_string()])
        .args(["--sources", &options.sources.to_string()])
        .args(["--in-flight", &options.in_flight.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .args(["--pid", &server.pid().to_string()])
        .args(more)
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let field = |name: &str| number(&said, name).ok_or_else(|| failed(&format!("no {name} in {said}")));
    Ok(Load {
        per_second: field("per_second")?,
        cpu: field("cpu_us")?,
        user: field("cpu_user_us")?,
        system: field("cpu_system_us")?,
        lost: (field("lost")? + field("wrong")?) as u64,
        p99: field("p99_us")?,
    })
}

/// Where `bradawl-load` is.
pub(crate) fn load_tool() -> Result<PathBuf, String> {
    let beside = env::current_exe().map_err(|error| error.to_string())?.with_file_name("bradawl-load");
    if beside.exists() { Ok(beside) } else { Err(format!("{} is not built", beside.display())) }
}

/// One number out of a flat JSON object.
pub(crate) fn number(json: &str, name: &str) -> Option<f64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next()?.parse().ok()
}
