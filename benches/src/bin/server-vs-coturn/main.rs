//! `server-vs-coturn`: our STUN server beside coturn, under the same load, in the same minutes.
//!
//! Each server in turn gets one processor core and `bradawl-load` the other; they alternate, so
//! that whatever else the machine does falls on both. coturn runs as light as its options allow:
//! STUN only, one relay thread, no TCP, no TLS, no log, no RFC 5780, nothing extra in its answers.
//! Ours runs with its rate limit on.
//!
//! Two things are compared. Processor time per answered request, from `/proc`, kernel included.
//! And instructions in user space per request, from callgrind: each server answers N and then, in
//! a new run, 2 N requests, and the difference over N is one request.

mod instructions;
mod rounds;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use server::Server;

/// Our STUN server beside coturn under the same load.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Example: server-vs-coturn --mediator target/release/bradawl-mediator --check"
)]
struct Options {
    /// Our server's binary.
    #[arg(long, env = "BRADAWL_MEDIATOR_BIN", value_name = "PATH")]
    mediator: Option<PathBuf>,
    /// coturn's binary.
    #[arg(long, default_value = "turnserver", value_name = "PATH")]
    coturn: PathBuf,
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 3, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// From how many addresses the load comes.
    #[arg(long, default_value_t = 8_192, value_name = "N")]
    sources: u32,
    /// How many requests are in the air.
    #[arg(long, default_value_t = 128, value_name = "N")]
    in_flight: u32,
    /// Requests of the shorter callgrind run; 0 leaves both out.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    instructions: u64,
    /// The core for the server; the load gets the one below.
    #[arg(long, default_value_t = 1, value_name = "CORE", value_parser = clap::value_parser!(u32).range(1..=1023))]
    core: u32,
    /// coturn alone.
    #[arg(long, conflicts_with = "check")]
    only_coturn: bool,
    /// Ends with 1 when a target is missed.
    #[arg(long)]
    check: bool,
}

/// The targets: our processor time as a share of coturn's, and our instructions per request.
const SHARE: f64 = 0.45;
const INSTRUCTIONS: f64 = 1_000.0;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(met) => ExitCode::from(u8::from(!met)),
        Err(why) => {
            eprintln!("server-vs-coturn: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let coturn = Server::coturn(&options.coturn);
    let ours = match (&options.mediator, options.only_coturn) {
        (_, true) => None,
        (Some(path), false) => Some(Server::ours(path)),
        (None, false) => {
            return Err("where is our server? --mediator PATH or BRADAWL_MEDIATOR_BIN".to_owned());
        }
    };
    let measured = rounds::run(options, &coturn, ours.as_ref())?;
    let mut met = true;
    let mut verdict = |what: String, ok: bool| {
        met &= ok;
        println!("{} {what}", if ok { "ok  " } else { "MISS" });
    };
    if let Some(share) = measured.median_share {
        verdict(format!("processor time {share:.3} × coturn's, target ≤ {SHARE}"), share <= SHARE);
        verdict(format!("{} of our requests lost, target 0", measured.lost), measured.lost == 0);
    }
    if options.instructions > 0 {
        for server in [Some(&coturn), ours.as_ref()].into_iter().flatten() {
            let each = instructions::per_request(options, server)?;
            println!("{:<8} {each:.0} instructions in user space per request (callgrind)", server.name);
            if server.name != coturn.name {
                verdict(format!("{each:.0} instructions, target ≤ {INSTRUCTIONS:.0}"), each <= INSTRUCTIONS);
            }
        }
    }
    Ok(met || !options.check)
}
