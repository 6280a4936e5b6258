//! `bradawl-peer`: the verbs it has so far.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use super::{Exit, Problem, ice, id};
use crate::mediator::PORT;

/// Finds a direct way to another peer, wherever the two are.
#[derive(Debug, Parser)]
#[command(
    name = "bradawl-peer",
    version,
    after_help = "Example:\n  bradawl-peer check --mediator stun.example.org:3478"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What it can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Find out what NAT this host is behind, and with whom it can connect
    Check(Check),
    /// Start a mediator on this host and check against it
    Demo(Demo),
    /// Find a direct path to any ICE agent; JSON lines on stdin and stdout
    Ice(ice::Arguments),
    /// Print who this peer is; makes its key if there is none
    Id(id::Arguments),
}

const CHECK_EXAMPLES: &str = "Examples:
  bradawl-peer check --mediator stun.example.org,stun.example.net
  bradawl-peer check --mediator 198.51.100.1:3478,[2001:db8::1]:3478 --json
Two servers tell more than one, and one that has two addresses tells the most.";

/// The arguments of `check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    /// Whom to ask; any STUN server will do. Without a port it is 3478
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        required = true,
        value_delimiter = ',',
        env = "BRADAWL_MEDIATOR",
        hide_env_values = true
    )]
    pub mediator: Vec<Server>,

    /// The address of this host to ask from [default: what the system chooses]
    #[arg(long, value_name = "IP", value_parser = ip, env = "BRADAWL_BIND", hide_env_values = true)]
    pub bind: Option<IpAddr>,

    /// Wait until it is known how long a mapping lives, which takes minutes
    #[arg(long)]
    pub lifetime: bool,

    /// End after this many seconds with what is known by then [default: 5, with --lifetime 1800]
    #[arg(long, value_name = "S", value_parser = seconds, env = "BRADAWL_TIMEOUT", hide_env_values = true)]
    pub timeout: Option<Duration>,

    /// Print results as JSON, one object per line
    #[arg(long, env = "BRADAWL_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,
}

impl Check {
    /// How long all of it may take.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(if self.lifetime { PATIENT } else { QUICK })
    }

    /// How long a server may take to answer.
    pub fn patience(&self) -> Duration {
        if self.lifetime { self.timeout().min(QUICK) } else { self.timeout() }
    }

    /// Whether any of the servers can be asked from `--bind` at all, as far as their names tell.
    pub fn validate(&self) -> Result<(), Problem> {
        let Some(ip) = self.bind else { return Ok(()) };
        let hopeless = |server: &Server| match server {
            Server::Address(address) => address.is_ipv4() != ip.is_ipv4(),
            Server::Name(..) => false,
        };
        if !self.mediator.iter().all(hopeless) {
            return Ok(());
        }
        let (ours, theirs) = if ip.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        Err(Problem::new(Exit::Usage, format!("--bind {ip} is {ours} and --mediator names {theirs} only"))
            .hint("name two of the same family; see --help"))
    }
}

/// The arguments of `demo`.
#[derive(Args, Clone, Copy, Debug)]
#[command(after_help = "Example:\n  bradawl-peer demo")]
pub struct Demo {
    /// Print results as JSON, one object per line
    #[arg(long, env = "BRADAWL_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,
}

/// A server as a person names it: a host name or an address, and a port.
///
/// ```
/// use bradawl_host::cli::peer::Server;
///
/// let server: Server = "stun.example.org".parse()?;
/// assert_eq!(server, Server::Name("stun.example.org".to_owned(), 3478));
/// let server: Server = "[2001:db8::1]:19302".parse()?;
/// assert_eq!(server, Server::Address("[2001:db8::1]:19302".parse()?));
/// assert!("stun.example.org:http".parse::<Server>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// An address, with its interface if it is a link-local one.
    Address(SocketAddr),
    /// A name to be resolved, and a port.
    Name(String, u16),
}

/// The text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It is neither a name nor an address.
    #[error("expected HOST:PORT, such as 198.51.100.1:3478, [2001:db8::1]:3478 or stun.example.org:3478")]
    Malformed,
    /// A link-local address is one only together with an interface.
    #[error("a link-local address needs its interface, such as [fe80::1%eth0]:3478")]
    NoInterface,
    /// The interface behind the `%` is not one of this host's.
    #[error("this host has no such interface; `ip link` shows which it has")]
    UnknownInterface,
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if let Some((host, port)) = bare_or_bracketed(text) {
            return address(host, port?).map(Self::Address);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, number)) => (host, port(number)?),
            None => (text, PORT),
        };
        let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if host.is_empty() || !host.bytes().all(plausible) {
            return Err(ServerError::Malformed);
        }
        Ok(match host.parse::<Ipv4Addr>() {
            Ok(ip) => Self::Address((ip, port).into()),
            Err(_) => Self::Name(host.to_owned(), port),
        })
    }
}

/// Takes an IPv6 address apart: `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:3478`.
fn bare_or_bracketed(text: &str) -> Option<(&str, Result<u16, ServerError>)> {
    let Some(rest) = text.strip_prefix('[') else {
        return (text.matches(':').count() > 1).then_some((text, Ok(PORT)));
    };
    let Some((host, rest)) = rest.split_once(']') else { return Some((rest, Err(ServerError::Malformed))) };
    let port = match rest.strip_prefix(':') {
        Some(number) => port(number),
        None if rest.is_empty() => Ok(PORT),
        None => Err(ServerError::Malformed),
    };
    Some((host, port))
}

/// An IPv6 address, perhaps with a `%` and an interface by name or number behind it.
pub(super) fn address(host: &str, port: u16) -> Result<SocketAddr, ServerError> {
    let (ip, interface) = match host.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (host, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| ServerError::Malformed)?;
    let scope = match interface {
        None if ip.is_unicast_link_local() => return Err(ServerError::NoInterface),
        None => 0,
        Some(interface) => scope(interface).ok_or(ServerError::UnknownInterface)?,
    };
    Ok(SocketAddrV6::new(ip, port, 0, scope).into())
}

fn scope(interface: &str) -> Option<u32> {
    if let Ok(index) = interface.parse() {
        return Some(index);
    }
    #[cfg(target_os = "linux")]
    {
        let any = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
        rustix::net::netdevice::name_to_index(&any, interface).ok()
    }
    // Elsewhere by number only.
    #[cfg(not(target_os = "linux"))]
    None
}

fn port(number: &str) -> Result<u16, ServerError> {
    number.parse().ok().filter(|port| *port > 0).ok_or(ServerError::Malformed)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// How long a check takes at most, if nobody says otherwise.
const QUICK: Duration = Duration::from_secs(5);

/// The same, if it waits for the lifetime of mappings.
const PATIENT: Duration = Duration::from_secs(1_800);

/// Longer than this nobody waits for an answer to one small packet.
const MAX_TIMEOUT: f64 = 3_600.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MAX_TIMEOUT);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, such as 5 or 0.5".to_owned())
}

pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    let concrete = text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    concrete.ok_or_else(|| "expected an IP address of this host, such as 192.0.2.1 or 2001:db8::1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_people_write_them() {
        for (text, shown) in [
            ("198.51.100.1", "198.51.100.1:3478"),
            ("198.51.100.1:1", "198.51.100.1:1"),
            ("::1", "[::1]:3478"),
            ("[::1]", "[::1]:3478"),
            ("[::1]:65535", "[::1]:65535"),
            ("localhost:80", "localhost:80"),
            ("fe80::1%7", "[fe80::1%7]:3478"),
            ("[fe80::1%7]:9", "[fe80::1%7]:9"),
        ] {
            assert_eq!(text.parse::<Server>().map(|server| server.to_string()), Ok(shown.to_owned()));
        }
        for text in
            ["", ":", ":3478", "host:", "host:0", "host:65536", "1.2.3.4:0", "a b:1", "h:1:2", "[::1]:x"]
        {
            assert_eq!(text.parse::<Server>(), Err(ServerError::Malformed), "{text}");
        }
        for text in ["[::1", "::1]", "[::1]9", "[1.2.3.4]:5", "[]:1", "[::1]:0"] {
            assert_eq!(text.parse::<Server>(), Err(ServerError::Malformed), "{text}");
        }
        for text in ["fe80::1", "[fe80::1]", "[fe80::1]:9"] {
            assert_eq!(text.parse::<Server>(), Err(ServerError::NoInterface), "{text}");
        }
        assert_eq!("fe80::1%no-such-one".parse::<Server>(), Err(ServerError::UnknownInterface));
    }

    #[test]
    fn timeouts_are_sane() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e9", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
