//! A scenario: networks, what stands between them, hosts, and what goes wrong, as plain data.
//!
//! It is read from TOML ([`Scenario::from_toml`]), made up from bytes (`arbitrary`) or a seed
//! ([`Scenario::random`]), made smaller ([`shrink`]), written back as TOML ([`Scenario::to_toml`]), and run
//! (`World::new`). Names refer to one another; that they do, and that the whole can exist, is checked once,
//! by [`Scenario::check`].

mod address;
mod arbitrary;
mod check;
mod fault;
mod gateway;
mod problem;
mod shrink;
mod text;

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use address::STRANGERS;
pub use address::{
    CARRIER, HOME, INTERNET_GATEWAYS, INTERNET_HOSTS, INTERNET_HOSTS_V6, NETWORKS_V6, Subnet, SubnetError,
};
pub use fault::{Fault, Mishap};
pub use gateway::GatewaySpec;
pub use problem::Problem;
pub(crate) use problem::instead;
pub use shrink::shrink;

use crate::link::Quality;
use crate::units::Span;

/// The network at the top, which everybody can name and nobody defines.
pub const INTERNET: &str = "internet";

/// How many bytes a scenario file has at most.
pub const MAX_BYTES: usize = 256 * 1_024;
/// How many hosts there are at most.
pub const MAX_HOSTS: usize = 64;
/// How many networks there are at most, and how many NATs of its own a scenario has.
pub const MAX_NETWORKS: usize = 64;
/// How many networks lie between a host and the internet at most.
pub const MAX_DEPTH: usize = 8;
/// How many interfaces a host has at most.
pub const MAX_INTERFACES: usize = 16;
/// How many addresses of a family a host can be given in one network.
pub const MAX_ADDRESSES: usize = 2;
/// How many public addresses a gateway has at most.
pub const MAX_POOL: u8 = 16;
/// How many things go wrong at most.
pub const MAX_FAULTS: usize = 256;
/// How many packets somebody evil sends per fault at most.
pub const MAX_EVIL: u16 = 1_000;
/// How many strangers make mappings in a run at most, behind all NATs together.
pub const MAX_STRANGERS: u64 = 2_000_000;
/// How long a name is at most.
pub const MAX_NAME: usize = 40;
/// How short a run is at least.
pub const MIN_TIME: Span = Span::from_millis(1);
/// How long a run is at most, and everything that lasts.
pub const MAX_TIME: Span = Span::from_secs(24 * 3_600);

/// A world to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is about, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Everything random grows from it.
    #[serde(default)]
    pub seed: u32,
    /// How long it runs at most, in virtual time.
    #[serde(default = "Scenario::default_time")]
    pub time: Span,
    /// A bug that is there on purpose, to see the checker see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plant: Option<Plant>,
    /// NATs of its own, beside those of the catalogue.
    #[serde(default, rename = "nat", skip_serializing_if = "BTreeMap::is_empty")]
    pub nats: BTreeMap<String, GatewaySpec>,
    /// Networks other than the internet.
    #[serde(default, rename = "network", skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, NetworkSpec>,
    /// Hosts.
    #[serde(default, rename = "host", skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, HostSpec>,
    /// What goes wrong, and when.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// A network, and what stands between it and the one it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkSpec {
    /// The network on the other side of its gateway.
    #[serde(default = "NetworkSpec::default_outside", rename = "in")]
    pub outside: String,
    /// Its gateway: a name in `nats` or in the catalogue.
    pub behind: String,
    /// Whether it has IPv6, globally routed, even if what it is behind does not say so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ipv6: bool,
    /// Its IPv4 addresses, if they matter: `192.168.7.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
    /// The way from its gateway to the network outside.
    #[serde(default, skip_serializing_if = "text::is_perfect", serialize_with = "text::write_link")]
    pub link: Quality,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSpec {
    /// What it runs.
    pub run: Program,
    /// The networks it is in, an interface each. One may be written without brackets.
    #[serde(rename = "in", deserialize_with = "text::read_names", serialize_with = "text::write_names")]
    pub networks: Vec<String>,
    /// Its addresses, where they matter; each belongs to the first of its networks that can have it, and
    /// has room for it ([`MAX_ADDRESSES`] per network and family). It gets the others by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The host that it asks, where its program asks somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The host that it wants to reach, where its program does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start: Span,
    /// The way from each of its interfaces to the network.
    #[serde(default, skip_serializing_if = "text::is_perfect", serialize_with = "text::write_link")]
    pub link: Quality,
}

/// What a host can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// A STUN server (with an alternate address and port where it has two addresses of a family) that also
    /// introduces peers to each other.
    Mediator,
    /// Learns its own addresses, is introduced to its peer, and punches. Needs `server` and `peer`.
    Peer,
    /// Asks `server` for its address again and again.
    Stun,
    /// Sends nothing, and drops what it gets.
    Silent,
}

/// Bugs that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// Every NAT forgets its mappings after half their lifetime.
    ForgetfulNat,
    /// Peers send to an address that nobody gave them.
    StraySender,
}

impl Default for Scenario {
    /// Nothing in it yet.
    fn default() -> Self {
        Self {
            about: String::new(),
            seed: 0,
            time: Self::default_time(),
            plant: None,
            nats: BTreeMap::new(),
            networks: BTreeMap::new(),
            hosts: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

impl Scenario {
    const fn default_time() -> Span {
        Span::from_secs(30)
    }
}

fn is_zero(span: &Span) -> bool {
    *span == Span::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_false(it: &bool) -> bool {
    !it
}

impl NetworkSpec {
    fn default_outside() -> String {
        INTERNET.to_owned()
    }
}
