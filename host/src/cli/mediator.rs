//! `bradawl-mediator`: the one verb it has so far.

use std::net::SocketAddr;

use bradawl::stun::server::RateLimit;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use super::{Exit, Problem};
use crate::mediator::{Plan, StartError};

/// Helps peers behind NATs to find each other.
#[derive(Debug, Parser)]
#[command(
    name = "bradawl-mediator",
    version,
    after_help = "Example:\n  bradawl-mediator serve --listen 0.0.0.0:3478"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What it can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Answer STUN requests until SIGTERM or SIGINT; both end it well, with exit code 0
    Serve(Serve),
}

const EXAMPLES: &str = "Examples:
  bradawl-mediator serve
  bradawl-mediator serve --listen 198.51.100.1:3478 --alternate 198.51.100.2:3479";

/// The arguments of `serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Serve {
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where to listen; may be given again; port 0 is any [default: 0.0.0.0:3478 and [::]:3478]",
        value_parser = address,
        value_delimiter = ',',
        env = "BRADAWL_LISTEN",
        hide_env_values = true
    )]
    pub listen: Vec<SocketAddr>,

    /// Another IP and port of this host, for NAT behaviour discovery (RFC 5780); one per family
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_parser = address,
        value_delimiter = ',',
        env = "BRADAWL_ALTERNATE",
        hide_env_values = true
    )]
    pub alternate: Vec<SocketAddr>,

    /// Answer clients of RFC 3489 too, whose messages have no magic cookie
    #[arg(long, env = "BRADAWL_CLASSIC", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub classic: bool,

    /// Threads; the kernel spreads the peers over them, and each has its own rate limit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers, env = "BRADAWL_WORKERS", hide_env_values = true)]
    pub workers: usize,

    /// Requests per second from one IPv4 address or one IPv6 /56; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = RateLimit::default().per_second, env = "BRADAWL_RATE_LIMIT", hide_env_values = true)]
    pub rate_limit: u32,

    /// Print results as JSON, one object per line
    #[arg(long, env = "BRADAWL_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,
}

impl Serve {
    /// What these arguments ask for.
    pub fn plan(&self) -> Plan {
        let listen = if self.listen.is_empty() { Plan::everywhere() } else { without_repeats(&self.listen) };
        let rate = (self.rate_limit > 0).then(|| RateLimit {
            per_second: self.rate_limit,
            // Two seconds' worth at once, as the default has it.
            burst: self.rate_limit.saturating_mul(2),
            ..RateLimit::default()
        });
        Plan {
            listen,
            alternates: self.alternate.clone(),
            classic: self.classic,
            rate,
            workers: self.workers,
        }
    }
}

/// Each address once; but port 0 is another port each time.
fn without_repeats(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut once = Vec::new();
    for address in addresses {
        if address.port() == 0 || !once.contains(address) {
            once.push(*address);
        }
    }
    once
}

/// The most threads anyone can ask for.
const MAX_WORKERS: usize = 256;

fn workers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|workers| (1..=MAX_WORKERS).contains(workers));
    number.ok_or_else(|| format!("expected a number from 1 to {MAX_WORKERS}"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDR:PORT, such as 0.0.0.0:3478 or [::]:3478".to_owned())
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let what = error.to_string();
        match &error {
            StartError::Bind { address, source } => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    let port = address.port();
                    Self::new(Exit::Failed, format!("cannot listen on {address}: UDP port {port} is in use"))
                        .hint(format!("`ss -ulnp 'sport = :{port}'` shows by whom, --listen chooses another"))
                }
                std::io::ErrorKind::AddrNotAvailable => Self::new(
                    Exit::Failed,
                    format!("cannot listen on {address}: this host has no such address"),
                )
                .hint("`ip address` shows which it has"),
                std::io::ErrorKind::PermissionDenied => {
                    Self::new(Exit::Failed, what).hint("ports below 1024 need CAP_NET_BIND_SERVICE")
                }
                _ => Self::new(Exit::Failed, what),
            },
            StartError::Alternate(_) => Self::new(Exit::Usage, what)
                .hint("for example --listen 198.51.100.1:3478 --alternate 198.51.100.2:3479"),
            StartError::Seed(_) | StartError::Worker(_) => Self::new(Exit::Failed, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_named_twice_is_one() {
        let arguments = ["x", "serve", "--listen", "127.0.0.1:1,[::1]:1,127.0.0.1:1,127.0.0.1:0,127.0.0.1:0"];
        let Cli { verb: Verb::Serve(serve) } = Cli::try_parse_from(arguments).expect("understood");
        let listen: Vec<_> = serve.plan().listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:1", "127.0.0.1:0", "127.0.0.1:0"]);
    }
}
