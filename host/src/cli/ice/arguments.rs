//! The command line of `ice`.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, ValueEnum};

use crate::cli::peer::{self, Server};
use crate::cli::{Exit, Problem};

const EXAMPLES: &str = "Example:
  bradawl-peer ice --role controlling --stun stun.example.org
It prints what the other end is to be told, and is to be told what the other
end prints, with `local` called `remote`. All the lines: docs/ice.md";

/// The arguments of `ice`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Who decides on the path: controlling, if it is this end, or controlled
    #[arg(long, value_enum, value_name = "ROLE", hide_possible_values = true)]
    pub role: Role,

    /// STUN servers, which tell how this host is seen. Without a port it is 3478
    #[arg(long, value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub stun: Vec<Server>,

    /// A TURN server, for a relayed path (in a later release)
    #[arg(long, value_name = "HOST[:PORT]")]
    pub turn: Option<Server>,

    /// The user name there
    #[arg(long, value_name = "U", requires = "turn")]
    pub turn_user: Option<String>,

    /// The password there
    #[arg(long, value_name = "P", requires = "turn")]
    pub turn_pass: Option<String>,

    /// How to talk to it: udp or tcp
    #[arg(long, value_enum, value_name = "T", requires = "turn", hide_possible_values = true)]
    pub turn_transport: Option<TurnTransport>,

    /// Use no other path than a relayed one (in a later release)
    #[arg(long)]
    pub relay_only: bool,

    /// The addresses of this host to use [default: all but loopback]
    #[arg(
        long,
        value_name = "IP",
        value_parser = local,
        value_delimiter = ',',
        env = "BRADAWL_BIND",
        hide_env_values = true
    )]
    pub bind: Vec<SocketAddr>,

    /// Send back what arrives
    #[arg(long)]
    pub echo: bool,
}

/// What our end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It decides on the path.
    Controlling,
    /// It follows.
    Controlled,
}

/// How a TURN server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TurnTransport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
}

impl From<Role> for bradawl::punch::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Controlling => Self::Controlling,
            Role::Controlled => Self::Controlled,
        }
    }
}

impl Arguments {
    /// Whether what they ask for can be had.
    pub fn validate(&self) -> Result<(), Problem> {
        let flag = match (&self.turn, self.relay_only) {
            (Some(_), _) => "--turn",
            (None, true) => "--relay-only",
            (None, false) => return Ok(()),
        };
        Err(Problem::new(Exit::Usage, format!("{flag}: relays come with a later release"))
            .hint("without it, direct paths are found"))
    }
}

/// An address of this host, with its interface if it is a link-local one.
fn local(text: &str) -> Result<SocketAddr, String> {
    match peer::ip(text) {
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {}
        Ok(ip) => return Ok((ip, 0).into()),
        Err(error) if !text.contains('%') => return Err(error),
        Err(_) => {}
    }
    peer::address(text, 0)
        .map_err(|_| "a link-local address needs its interface, such as fe80::1%eth0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_addresses_are_addresses() {
        let fine = |text: &str| local(text).expect(text).to_string();
        assert_eq!([fine("127.0.0.1"), fine("2001:db8::1")], ["127.0.0.1:0", "[2001:db8::1]:0"]);
        assert_eq!(fine("fe80::1%7"), "[fe80::1%7]:0");
        for text in ["", "0.0.0.0", "::", "fe80::1", "fe80::1%no-such-one", "a%7", "192.0.2.1:5"] {
            assert!(local(text).is_err(), "{text}");
        }
    }
}
