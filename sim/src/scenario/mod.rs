//! A scenario: networks, what stands between them, hosts, and what goes wrong, as plain data.
//!
//! It is read from TOML ([`Scenario::from_toml`]), made up from bytes (`arbitrary`), made smaller
//! (`shrink`), written back as TOML, and run (`World::new`). Names refer to one another; that they do,
//! and that the whole can exist, is checked once, by `Scenario::check`.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::link::Quality;

use crate::units::Span;

/// The network at the top, which everybody can name and nobody defines.
pub const INTERNET: &str = "internet";

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

/// A NAT or firewall: one of the catalogue, or of RFC 4787's defaults, with changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GatewaySpec {
    /// Which one of the catalogue it is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    // … every axis of `nat::Behaviour` and of `Firewall` as an `Option`, `None` meaning "as that one".
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
    /// Whether it has IPv6, globally routed.
    #[serde(default)]
    pub ipv6: bool,
    /// Its IPv4 addresses, if they matter: `192.168.7.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The way from its gateway to the network outside.
    #[serde(default)]
    pub link: Quality,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostSpec {
    /// What it runs.
    pub run: Program,
    /// The networks it is in, an interface each.
    #[serde(rename = "in")]
    pub networks: Vec<String>,
    /// Its addresses, where they matter; one per network and family at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The host that it asks, where its program asks somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The host that it wants to reach, where its program does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it begins.
    #[serde(default)]
    pub start: Span,
    /// The way from each of its interfaces to the network.
    #[serde(default)]
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

/// Something that goes wrong at some moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// When.
    pub at: Span,
    /// What.
    #[serde(flatten)]
    pub what: Mishap,
}

/// What can go wrong. Written as one key beside `at`: `reboot = "home"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mishap {
    /// The links of a host or network carry nothing for a while: `{ of = "alice", for = "2 s" }`.
    Down {
        /// Whose.
        of: String,
        /// How long.
        #[serde(rename = "for")]
        time: Span,
    },
    /// A network's gateway forgets everything.
    Reboot(String),
    /// A host gets other addresses.
    Readdress(String),
    /// A host sleeps, and wakes with its clock moved: `{ of = "alice", for = "20 s" }`.
    Sleep {
        /// Whose.
        of: String,
        /// How long.
        #[serde(rename = "for")]
        time: Span,
    },
    /// A host's program is killed, and started again after a while.
    Restart {
        /// Whose.
        of: String,
        /// How long it is gone.
        #[serde(rename = "for")]
        time: Span,
    },
    /// Somebody on the internet sends a host so many packets: forged, replayed and garbled ones.
    Evil {
        /// To whom.
        to: String,
        /// How many.
        packets: u16,
    },
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

impl Scenario {
    const fn default_time() -> Span {
        Span::from_secs(30)
    }
}

impl NetworkSpec {
    fn default_outside() -> String {
        INTERNET.to_owned()
    }
}
