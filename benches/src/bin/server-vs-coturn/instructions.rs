//! Instructions in user space per request, from callgrind.
//!
//! A server starts, sets up and ends the same way whatever it answers in between, so the difference
//! between a run with N requests and one with 2 N is N requests. What a server does on a timer is
//! in the difference too, and is part of what a request costs.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, process};

use crate::Options;
use crate::rounds::{load_tool, number};
use crate::server::Server;

/// Valgrind is slow to start and slow to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// From few addresses: coturn keeps a session per address and looks after it on a timer, and in the
/// slow time of valgrind the timers would outweigh the requests. So many, because each may ask 200
/// times at once before our rate limit has anything to say.
const SOURCES: &str = "64";

pub(crate) fn per_request(options: &Options, server: &Server) -> Result<f64, String> {
    let n = options.instructions;
    let (one, two) = (total(server, n)?, total(server, 2 * n)?);
    Ok((two.0 - one.0) / (two.1 - one.1))
}

/// Instructions of a whole run, and how many requests it answered.
fn total(server: &Server, requests: u64) -> Result<(f64, f64), String> {
    let out = env::temp_dir().join(format!("server-vs-coturn.{}.callgrind", process::id()));
    let wrapper = ["valgrind", "--quiet", "--tool=callgrind"].map(OsString::from).into_iter();
    let wrapper = wrapper.chain([format!("--callgrind-out-file={}", out.display()).into()]);
    let running = server
        .start(&wrapper.collect::<Vec<_>>(), PATIENCE)
        .map_err(|why| format!("under callgrind: {why}"))?;
    // What runs for the first time is translated first, and that takes longer than the load waits.
    let mut answered = load(&running.address.to_string(), 64)?;
    answered += load(&running.address.to_string(), requests)?;
    running.stop()?;
    let profile = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _ = fs::remove_file(&out);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    Ok((total.ok_or("callgrind wrote no summary")?, answered))
}

/// Sends so many requests and says how many were answered.
fn load(server: &str, requests: u64) -> Result<f64, String> {
    let output = Command::new(load_tool()?)
        .args(["stun", "--json", "--seconds", "600", "--in-flight", "64", "--server", server])
        .args(["--sources", SOURCES, "--count", &requests.to_string()])
        .output()
        .map_err(|error| format!("bradawl-load: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let answered = number(&said, "answered").filter(|_| output.status.success());
    answered.ok_or_else(|| format!("bradawl-load: {}", String::from_utf8_lossy(&output.stderr)))
}
