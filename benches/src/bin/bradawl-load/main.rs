//! `bradawl-load`: a bounded, closed-loop load on a real server of one's own.
//!
//! It keeps a fixed number of requests in the air and sends a new one for each that is answered or
//! given up, so it asks for exactly as much as the server can do. It is meant for this machine:
//! anything but loopback is refused, unless the address is private and the caller says that the
//! server is theirs.

mod load;
mod net;
mod report;
mod usage;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Puts a bounded load on a server of your own and says what it could do.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// STUN Binding requests from many addresses.
    #[command(
        after_help = "Example: bradawl-load stun --server 127.0.0.1:3478 --seconds 5 --pid $(pidof turnserver)"
    )]
    Stun(Stun),
}

/// What the load looks like.
#[derive(Args)]
struct Stun {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR:PORT")]
    server: SocketAddrV4,
    /// From how many addresses to ask. A server's rate limit counts per address: this many times
    /// its limit is all that it will answer.
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    sources: u32,
    /// The network of those addresses. On loopback all of 127.0.0.0/8 is local.
    #[arg(long, value_name = "NET/BITS", default_value = "127.1.0.0/16")]
    source_net: Net,
    /// How many requests to keep in the air.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: u32,
    /// How many to send; without it only the time counts.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// For how long at most.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The server's process, to report what it spends of the processor.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
    /// Allows a private address that is not loopback.
    #[arg(long)]
    i_own_this_server: bool,
}

/// An IPv4 network.
#[derive(Clone, Copy)]
struct Net {
    base: u32,
    size: u64,
}

impl std::str::FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').ok_or("a network is written ADDRESS/BITS")?;
        let address: Ipv4Addr = address.parse().map_err(|error| format!("{address}: {error}"))?;
        let bits: u32 = bits.parse().map_err(|error| format!("{bits}: {error}"))?;
        let size = 1_u64.checked_shl(32_u32.checked_sub(bits).ok_or("at most 32 bits")?).unwrap_or(0);
        let base = u64::from(address.to_bits()) & !(size - 1);
        Ok(Self { base: u32::try_from(base).map_err(|error| error.to_string())?, size })
    }
}

fn main() -> ExitCode {
    let Load::Stun(options) = Cli::parse().load;
    match run(&options) {
        Ok(answered) => ExitCode::from(u8::from(!answered)),
        Err((code, why)) => {
            eprintln!("bradawl-load: {why}");
            ExitCode::from(code)
        }
    }
}

/// Runs the load; says whether anything was answered, or with which exit code and why not.
fn run(options: &Stun) -> Result<bool, (u8, String)> {
    may_load(options).map_err(|why| (2, why))?;
    let sources = sources(options).map_err(|why| (2, why))?;
    let usage = |pid| usage::of(pid).map_err(|why| (2, why));
    let before = options.pid.map(usage).transpose()?;
    let outcome = load::run(options, &sources).map_err(|error| (1, error.to_string()))?;
    let after = options.pid.map(usage).transpose()?;
    let spent = before.zip(after).map(|(before, after)| after.since(before));
    let report = report::Report::new(&outcome, spent);
    print!("{}", if options.json { report.json() } else { report.text(sources.len()) });
    Ok(outcome.answered > 0)
}

/// Nobody points this at somebody else.
fn may_load(options: &Stun) -> Result<(), String> {
    let ip = *options.server.ip();
    match (ip.is_loopback(), ip.is_private(), options.i_own_this_server) {
        (true, _, _) | (_, true, true) => Ok(()),
        (_, true, false) => Err(format!("{ip} is not loopback: say --i-own-this-server if it is yours")),
        _ => Err(format!("{ip} is neither loopback nor private: this tool does not load it")),
    }
}

fn sources(options: &Stun) -> Result<Vec<Ipv4Addr>, String> {
    let Net { base, size } = options.source_net;
    // Neither the network's own address nor its last one, which may be a broadcast.
    if size < u64::from(options.sources) + 2 {
        return Err(format!("--source-net has no room for {} addresses", options.sources));
    }
    Ok((1..=options.sources).map(|host| Ipv4Addr::from_bits(base + host)).collect())
}
