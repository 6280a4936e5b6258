//! `bradawl-peer`: the verbs it has so far.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

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
    /// Ask mediators how the world sees this host
    Check(Check),
    /// Start a mediator on this host and check against it
    Demo(Demo),
}

const CHECK_EXAMPLES: &str = "Examples:
  bradawl-peer check --mediator stun.example.org
  bradawl-peer check --mediator 198.51.100.1:3478,[2001:db8::1]:3478 --json";

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

    /// Give up after this many seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds, env = "BRADAWL_TIMEOUT", hide_env_values = true)]
    pub timeout: Duration,

    /// Print results as JSON, one object per line
    #[arg(long, env = "BRADAWL_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub json: bool,
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
/// assert_eq!((server.host(), server.port()), ("stun.example.org", 3478));
/// let server: Server = "[2001:db8::1]:19302".parse()?;
/// assert_eq!((server.host(), server.port()), ("2001:db8::1", 19302));
/// assert!("stun.example.org:http".parse::<Server>().is_err());
/// # Ok::<(), bradawl_host::cli::peer::ServerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

/// The text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, such as 198.51.100.1:3478, [2001:db8::1]:3478 or stun.example.org:3478")]
pub struct ServerError;

impl Server {
    /// The name or the bare address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(ServerError) } else { Ok(address.into()) };
        }
        if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(SocketAddr::from((ip, PORT)).into());
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| ServerError)?),
            None => (text, PORT),
        };
        let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if port == 0 || host.is_empty() || !host.bytes().all(plausible) {
            return Err(ServerError);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::from((ip, self.port)).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Longer than this nobody waits for an answer to one small packet.
const MAX_TIMEOUT: f64 = 3_600.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MAX_TIMEOUT);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, such as 5 or 0.5".to_owned())
}

fn ip(text: &str) -> Result<IpAddr, String> {
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
        ] {
            assert_eq!(text.parse::<Server>().map(|server| server.to_string()), Ok(shown.to_owned()));
        }
        for text in
            ["", ":", ":3478", "host:", "host:0", "host:65536", "1.2.3.4:0", "a b:1", "h:1:2", "[::1]:x"]
        {
            assert_eq!(text.parse::<Server>(), Err(ServerError), "{text}");
        }
    }

    #[test]
    fn timeouts_are_sane() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "NaN", "inf", "1e9", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
