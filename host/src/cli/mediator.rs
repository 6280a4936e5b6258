//! `bradawl-mediator`: the one verb it has so far.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;

use bradawl::stun::server::{Config, RateLimit};
use bradawl::wire::stun::Key;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use super::{Exit, Problem};
use crate::mediator::{Plan, SecondPort, StartError};

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
  bradawl-mediator serve --listen 198.51.100.1:3478 --alternate 198.51.100.2:3479
  bradawl-mediator serve --listen 10.0.0.5:3478 --advertise 10.0.0.5=198.51.100.1 \\
    --alternate 203.0.113.1:3479 --alternate-secret /etc/bradawl/pair";

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

    /// Another IP and port, for NAT behaviour discovery (RFC 5780); one per family
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_parser = address,
        value_delimiter = ',',
        env = "BRADAWL_ALTERNATE",
        hide_env_values = true
    )]
    pub alternate: Vec<SocketAddr>,

    /// The alternate is another mediator's: the secret shared with it, in a file or as env:NAME
    #[arg(
        long,
        value_name = "FILE",
        requires = "alternate",
        env = "BRADAWL_ALTERNATE_SECRET",
        hide_env_values = true
    )]
    pub alternate_secret: Option<String>,

    /// Second port without an alternate; none for none [default: the next one, if it is free]
    #[arg(long, value_name = "PORT", value_parser = second_port, env = "BRADAWL_ALTERNATE_PORT", hide_env_values = true)]
    pub alternate_port: Option<SecondPort>,

    /// Behind a cloud's NAT: what the world calls an IP address of ours
    #[arg(long, value_name = "LOCAL=PUBLIC", value_parser = advertised, value_delimiter = ',', env = "BRADAWL_ADVERTISE", hide_env_values = true)]
    pub advertise: Vec<(IpAddr, IpAddr)>,

    /// Answer late on request, at most after so many seconds; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = Config::default().longest_delay, env = "BRADAWL_LONGEST_DELAY", hide_env_values = true)]
    pub longest_delay: u16,

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
    /// What these arguments ask for; the secret is read now.
    pub fn plan(&self) -> Result<Plan, Problem> {
        let listen = if self.listen.is_empty() { Plan::everywhere() } else { without_repeats(&self.listen) };
        let rate = (self.rate_limit > 0).then(|| RateLimit {
            per_second: self.rate_limit,
            // Two seconds' worth at once, as the default has it.
            burst: self.rate_limit.saturating_mul(2),
            ..RateLimit::default()
        });
        Ok(Plan {
            listen,
            alternates: self.alternate.clone(),
            partner_key: self.alternate_secret.as_deref().map(secret).transpose()?,
            second_port: self.alternate_port.unwrap_or_default(),
            advertised: self.advertise.clone(),
            longest_delay: self.longest_delay,
            classic: self.classic,
            rate,
            workers: self.workers,
        })
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

/// The shortest secret that is taken: what is shorter can be guessed.
const MIN_SECRET: usize = 16;

/// The longest secret, for who names the wrong file.
const MAX_SECRET: usize = 4_096;

/// Reads a secret from a file, or from the environment: `env:NAME`. White space around it is not part
/// of it. What it is appears in no message.
fn secret(from: &str) -> Result<Key, Problem> {
    let text = match from.strip_prefix("env:") {
        Some(name) => {
            of_variable(std::env::var_os(name)).ok_or_else(|| unreadable(from, &"it is not set"))?
        }
        None => of_file(from).map_err(|error| unreadable(from, &error))?,
    };
    let secret = text.trim_ascii();
    if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) {
        let what = format!("the secret in {from} must have {MIN_SECRET} to {MAX_SECRET} bytes");
        return Err(Problem::new(Exit::Usage, what).hint("`openssl rand -base64 32` makes a good one"));
    }
    Ok(Key::from_bytes(secret))
}

/// Bytes as they are: what is said of a variable that is not Unicode quotes it.
fn of_variable(value: Option<OsString>) -> Option<Vec<u8>> {
    value.map(OsString::into_vec)
}

fn of_file(name: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(name)?.take(MAX_SECRET as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// What does not look like a place may be the secret itself, given where its place is asked for.
fn unreadable(from: &str, why: &dyn Display) -> Problem {
    if from.starts_with(['/', '.']) || from.starts_with("env:") {
        return Problem::new(Exit::Failed, format!("cannot read the secret from {from}: {why}"));
    }
    Problem::new(Exit::Failed, format!("cannot read the secret from the file that is named: {why}"))
        .hint("name a file, or env:NAME; never the secret itself")
}

fn second_port(text: &str) -> Result<SecondPort, String> {
    if text == "none" {
        return Ok(SecondPort::None);
    }
    text.parse().map(SecondPort::At).map_err(|_| "expected a port, or none".to_owned())
}

fn advertised(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let pair =
        text.split_once('=').and_then(|(ours, public)| Some((ours.parse().ok()?, public.parse().ok()?)));
    let pair = pair.filter(|(ours, public): &(IpAddr, IpAddr)| {
        ours.is_ipv4() == public.is_ipv4() && !ours.is_unspecified() && !public.is_unspecified()
    });
    pair.ok_or_else(|| "expected LOCAL=PUBLIC, such as 10.0.0.5=198.51.100.1".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDR:PORT, such as 0.0.0.0:3478 or [::]:3478".to_owned())
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let what = error.to_string();
        match &error {
            StartError::Bind { address, source } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    let port = address.port();
                    Self::new(Exit::Failed, format!("cannot listen on {address}: UDP port {port} is in use"))
                        .hint(format!("`ss -ulnp 'sport = :{port}'` shows by whom, --listen chooses another"))
                }
                io::ErrorKind::AddrNotAvailable => Self::new(
                    Exit::Failed,
                    format!("cannot listen on {address}: this host has no such address"),
                )
                .hint("`ip address` shows which it has"),
                io::ErrorKind::PermissionDenied => {
                    Self::new(Exit::Failed, what).hint("ports below 1024 need CAP_NET_BIND_SERVICE")
                }
                _ => Self::new(Exit::Failed, what),
            },
            StartError::Alternate(_) => Self::new(Exit::Usage, what)
                .hint("for example --listen 198.51.100.1:3478 --alternate 198.51.100.2:3479"),
            StartError::Foreign(_) => Self::new(Exit::Failed, what)
                .hint("`ip address` shows which it has; for another mediator's give --alternate-secret, too"),
            StartError::SecondPort(_) => {
                Self::new(Exit::Usage, what).hint("for example --alternate-port 3479, or none")
            }
            StartError::Advertised(_) => {
                Self::new(Exit::Usage, what).hint("--advertise LOCAL=PUBLIC wants an address of --listen")
            }
            StartError::Seed(_) | StartError::Worker(_) => Self::new(Exit::Failed, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_place_of_its_place_is_not_printed() {
        let mistaken = "c2l4dGVlbiBieXRlcyBvciBtb3Jl";
        let Err(problem) = secret(mistaken) else { panic!("there is no such file") };
        assert!(!format!("{problem:?}").contains(mistaken), "{problem:?}");
        let Err(problem) = secret("/nowhere/at/all") else { panic!("there is no such file") };
        assert!(format!("{problem:?}").contains("/nowhere/at/all"), "{problem:?}");
    }

    #[test]
    fn a_secret_need_not_be_text() {
        let odd = OsString::from_vec(vec![0xff; MIN_SECRET]);
        assert_eq!(of_variable(Some(odd)), Some(vec![0xff; MIN_SECRET]));
        assert_eq!(of_variable(None), None);
    }

    #[test]
    fn an_address_that_is_named_twice_is_one() {
        let arguments = ["x", "serve", "--listen", "127.0.0.1:1,[::1]:1,127.0.0.1:1,127.0.0.1:0,127.0.0.1:0"];
        let Cli { verb: Verb::Serve(serve) } = Cli::try_parse_from(arguments).expect("understood");
        let listen: Vec<_> = serve.plan().expect("a plan").listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:1", "127.0.0.1:0", "127.0.0.1:0"]);
    }
}
