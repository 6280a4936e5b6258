//! The NATs and firewalls that people meet, by name, and how often each is met.

use core::fmt;

use crate::firewall::{Firewall, Inbound, Outbound};
use crate::nat::{Allocation, Behaviour, Dependence, Fallback, Hairpin, PortRange};
use crate::units::Span;

/// What stands between a network and the one outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Its NAT. Without one, hosts behind it have public IPv4 addresses. IPv6 never passes a NAT.
    pub nat: Option<Behaviour>,
    /// How many public addresses the NAT has.
    pub addresses: u8,
    /// What may pass: IPv4 inside the NAT, and IPv6.
    pub firewall: Firewall,
}

impl Gateway {
    /// Nothing: everything passes as it is.
    pub const OPEN: Self = Self { nat: None, addresses: 0, firewall: Firewall::OPEN };

    const fn nat(behaviour: Behaviour) -> Self {
        Self { nat: Some(behaviour), addresses: 1, firewall: Firewall::OPEN }
    }

    /// Its old name (RFC 3489) for display. A firewall that lets only answers in is a port-restricted
    /// cone that changes no address.
    pub fn legacy(&self) -> &'static str {
        match &self.nat {
            _ if self.firewall.outbound != Outbound::All => "blocked",
            Some(behaviour) => legacy(behaviour),
            None if self.firewall.inbound == Inbound::Stateful => "port-restricted",
            None => "open",
        }
    }

    /// In the words of the RFCs, for people.
    pub fn terms(&self) -> String {
        let mut words = match &self.nat {
            Some(behaviour) => behaviour.terms(),
            None => "no NAT".to_owned(),
        };
        if self.nat.is_some() && self.addresses > 1 {
            words += &format!(", {} public addresses", self.addresses);
        }
        words += match self.firewall.inbound {
            Inbound::Open => "",
            Inbound::Stateful => ", stateful firewall",
        };
        words += match self.firewall.outbound {
            Outbound::All => "",
            Outbound::NoUdp => ", no UDP",
            Outbound::Only443 => ", only TCP to port 443",
        };
        words
    }
}

/// The old name of a NAT (RFC 3489 §5): what its mapping and its filtering are by definition, not what
/// a test of the old kind would take it for.
///
/// ```
/// use bradawl_sim::{catalogue::legacy, nat::{Behaviour, Dependence}};
///
/// assert_eq!(legacy(&Behaviour::default()), "port-restricted");
/// let cone = Behaviour { filtering: Dependence::Endpoint, ..Behaviour::default() };
/// assert_eq!(legacy(&cone), "full cone");
/// ```
pub const fn legacy(behaviour: &Behaviour) -> &'static str {
    match (behaviour.mapping, behaviour.filtering) {
        (Dependence::Address | Dependence::AddressAndPort, _) => "symmetric",
        (Dependence::Endpoint, Dependence::Endpoint) => "full cone",
        (Dependence::Endpoint, Dependence::Address) => "restricted",
        (Dependence::Endpoint, Dependence::AddressAndPort) => "port-restricted",
    }
}

/// A kind of network access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, in scenarios and on the command line.
    pub name: &'static str,
    /// Its old name: open, full cone, restricted, port-restricted, symmetric or blocked.
    pub legacy: &'static str,
    /// Where it is met, for people.
    pub about: &'static str,
    /// What stands between the network and the one outside.
    pub gateway: Gateway,
    /// What stands above that, by name: the carrier's NAT.
    pub above: Option<&'static str>,
    /// Whether networks behind it have IPv6.
    pub ipv6: bool,
}

impl Entry {
    const fn new(name: &'static str, legacy: &'static str, about: &'static str, gateway: Gateway) -> Self {
        Self { name, legacy, about, gateway, above: None, ipv6: false }
    }

    const fn nat(name: &'static str, about: &'static str, behaviour: Behaviour) -> Self {
        Self::new(name, legacy(&behaviour), about, Gateway::nat(behaviour))
    }

    /// In the words of the RFCs, for people, with what stands above it.
    ///
    /// ```
    /// let open = bradawl_sim::catalogue::entry("open").unwrap();
    /// assert_eq!(open.terms(), "no NAT");
    /// ```
    pub fn terms(&self) -> String {
        let own = self.gateway.terms();
        let ipv6 = if self.ipv6 { ", IPv6" } else { "" };
        match self.above.and_then(entry) {
            Some(above) => format!("{own}{ipv6}; above it: {}", above.terms()),
            None => own + ipv6,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const CONE: Behaviour = Behaviour::WELL_BEHAVED;
const SYMMETRIC: Behaviour =
    Behaviour { mapping: Dependence::AddressAndPort, allocation: Allocation::Random, ..CONE };
/// Linux's netfilter as it is without a firewall: `masquerade` and nothing else. Its values are the
/// kernel's, and `tests/kernel.rs` compares the two.
const NETFILTER: Behaviour = Behaviour {
    mapping: Dependence::AddressAndPort,
    overload: true,
    well_known: true,
    early: true,
    hairpin: Hairpin::None,
    unreplied: Some(Span::from_secs(30)),
    probation: Span::from_secs(2),
    tcp_established: Span::from_secs(432_000),
    tcp_transitory: Span::from_secs(120),
    ..CONE
};
/// RFC 6888: endpoint-independent in both ways, hairpinning, and so many ports for a subscriber.
const CARRIER: Behaviour = Behaviour {
    filtering: Dependence::Endpoint,
    allocation: Allocation::Block { size: 1_024 },
    per_host: 1_024,
    ..CONE
};
const CARRIER_STRICT: Behaviour = Behaviour {
    filtering: Dependence::AddressAndPort,
    mapping: Dependence::AddressAndPort,
    allocation: Allocation::Block { size: 512 },
    per_host: 512,
    hairpin: Hairpin::None,
    lifetime: Span::from_secs(60),
    ..CONE
};
const STATEFUL: Firewall = Firewall { inbound: Inbound::Stateful, ..Firewall::OPEN };

static ENTRIES: [Entry; 26] = [
    Entry::new("open", "open", "a server, or a home without any NAT: public addresses", Gateway::OPEN),
    Entry::new(
        "open-firewall",
        "port-restricted",
        "public addresses behind a firewall which lets only answers in",
        Gateway { firewall: STATEFUL, ..Gateway::OPEN },
    ),
    Entry::nat(
        "home",
        "what most home routers do",
        Behaviour {
            allocation: Allocation::Preserve(Fallback::Next),
            unreplied: Some(Span::from_secs(30)),
            ..CONE
        },
    ),
    Entry::nat(
        "full-cone",
        "anybody may send to an open port",
        Behaviour { filtering: Dependence::Endpoint, ..CONE },
    ),
    Entry::nat(
        "restricted",
        "whoever was sent to may answer from any port",
        Behaviour { filtering: Dependence::Address, ..CONE },
    ),
    Entry::nat("port-restricted", "the most frequent kind: only who was sent to may answer", CONE),
    Entry::nat(
        "short-lived",
        "the same, and it forgets after 20 s of silence",
        Behaviour { lifetime: Span::from_secs(20), ..CONE },
    ),
    Entry::nat(
        "hairpin-less",
        "the same, and two hosts behind it cannot reach each other by their public addresses",
        Behaviour { hairpin: Hairpin::None, ..CONE },
    ),
    Entry::nat(
        "address-symmetric",
        "another port for each address that is sent to",
        Behaviour { mapping: Dependence::Address, ..SYMMETRIC },
    ),
    Entry::nat(
        "symmetric-sequential",
        "another port for each peer, one after the other",
        Behaviour { allocation: Allocation::Sequential { step: 1 }, ..SYMMETRIC },
    ),
    Entry::nat("symmetric-random", "another port for each peer, any", SYMMETRIC),
    Entry::nat(
        "symmetric-high",
        "the same, of the upper quarter of all ports",
        Behaviour { ports: PortRange { first: 50_001, last: u16::MAX }, ..SYMMETRIC },
    ),
    Entry::nat(
        "symmetric-block",
        "another port for each peer, of the 1,024 that a host was given",
        Behaviour { allocation: Allocation::Block { size: 1_024 }, ..SYMMETRIC },
    ),
    Entry::nat(
        "symmetric-preserving",
        "the inside port unless that tuple is taken: looks like a cone until it is",
        Behaviour { allocation: Allocation::Preserve(Fallback::Random), overload: true, ..SYMMETRIC },
    ),
    Entry::nat(
        "linux",
        "Linux `masquerade`, no firewall: early packets of the peer cost the port",
        NETFILTER,
    ),
    Entry::nat(
        "linux-firewall",
        "Linux `masquerade` and a firewall, as on most routers that run it",
        Behaviour { early: false, ..NETFILTER },
    ),
    Entry::nat(
        "linux-random",
        "Linux `masquerade random`, no firewall",
        Behaviour { allocation: Allocation::Random, ..NETFILTER },
    ),
    Entry::new(
        "carrier",
        "full cone",
        "a phone network: the carrier's NAT as RFC 6888 wants it",
        Gateway { addresses: 4, ..Gateway::nat(CARRIER) },
    ),
    Entry::new(
        "carrier-strict",
        "symmetric",
        "a phone network as it should not be",
        Gateway { addresses: 4, ..Gateway::nat(CARRIER_STRICT) },
    ),
    Entry { above: Some("carrier"), ..Entry::nat("cgn", "a home router behind the carrier's NAT", CONE) },
    Entry {
        above: Some("carrier-strict"),
        legacy: "symmetric",
        ..Entry::nat("cgn-strict", "a home router behind a carrier's NAT of the bad kind", CONE)
    },
    Entry::new(
        "corporate",
        "symmetric",
        "an office: every session a port of its own, soon forgotten, and a firewall",
        Gateway {
            firewall: Firewall { lifetime: Span::from_secs(30), ..STATEFUL },
            addresses: 2,
            ..Gateway::nat(Behaviour {
                lifetime: Span::from_secs(30),
                hairpin: Hairpin::None,
                refresh_inbound: false,
                ..SYMMETRIC
            })
        },
    ),
    Entry::new(
        "udp-blocked",
        "blocked",
        "an office or hotel that lets no UDP out",
        Gateway { firewall: Firewall { outbound: Outbound::NoUdp, ..STATEFUL }, ..Gateway::nat(CONE) },
    ),
    Entry::new(
        "only-443",
        "blocked",
        "one where only the web works",
        Gateway {
            firewall: Firewall { outbound: Outbound::Only443, reject: true, ..STATEFUL },
            ..Gateway::nat(CONE)
        },
    ),
    Entry {
        ipv6: true,
        ..Entry::new(
            "v6-firewall",
            "symmetric",
            "IPv6 with a stateful firewall; its IPv4 is behind a symmetric NAT",
            Gateway { firewall: STATEFUL, ..Gateway::nat(SYMMETRIC) },
        )
    },
    Entry {
        ipv6: true,
        ..Entry::new(
            "v6-open",
            "symmetric",
            "IPv6 without a firewall; its IPv4 is behind a symmetric NAT",
            Gateway::nat(SYMMETRIC),
        )
    },
];

/// All that there are.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The one of that name.
pub fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// How often each kind of access is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from.
    pub about: &'static str,
    /// Entries by name, each with its share in percent.
    pub weights: &'static [(&'static str, u32)],
}

/// The populations of `DESIGN.md` §7.
pub fn populations() -> &'static [Population] {
    &POPULATIONS
}

static POPULATIONS: [Population; 2] = [
    Population {
        name: "measured",
        about: "calibrated to the 70 ± 7 % of the largest published campaign, 4.4 million attempts",
        weights: &[
            ("open", 8),
            ("full-cone", 10),
            ("restricted", 6),
            ("port-restricted", 58),
            ("symmetric-preserving", 3),
            ("symmetric-sequential", 4),
            ("symmetric-block", 4),
            ("symmetric-random", 5),
            ("udp-blocked", 2),
        ],
    },
    Population {
        name: "gentle",
        about: "for comparison with a published claim of 95 %",
        weights: &[
            ("full-cone", 30),
            ("restricted", 45),
            ("port-restricted", 15),
            ("symmetric-random", 8),
            ("udp-blocked", 2),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Entry, entries, entry, populations};
    use crate::nat::{Behaviour, Dependence};

    /// What the whole way does: the worse of each two NATs.
    fn label(entry: &Entry) -> &'static str {
        let Some(above) = entry.above.and_then(super::entry) else { return entry.gateway.legacy() };
        let (Some(own), Some(theirs)) = (&entry.gateway.nat, &above.gateway.nat) else {
            return above.gateway.legacy();
        };
        let worse = |of: fn(&Behaviour) -> Dependence| of(own).max(of(theirs));
        super::legacy(&Behaviour {
            mapping: worse(|nat| nat.mapping),
            filtering: worse(|nat| nat.filtering),
            ..Behaviour::default()
        })
    }

    #[test]
    fn every_entry_can_be_and_is_labelled_as_what_it_is() {
        let labels = ["open", "full cone", "restricted", "port-restricted", "symmetric", "blocked"];
        for entry in entries() {
            assert_eq!(entry.legacy, label(entry), "{entry}");
            assert!(labels.contains(&entry.legacy), "{entry}");
            if let Some(nat) = &entry.gateway.nat {
                nat.check().unwrap_or_else(|error| panic!("{entry}: {error}"));
            }
            assert_eq!(entry.gateway.nat.is_some(), entry.gateway.addresses > 0, "{entry}");
            assert!(!entry.terms().is_empty() && !entry.about.is_empty());
        }
    }

    #[test]
    fn names_are_unique_and_those_above_exist_and_end() {
        let names: BTreeSet<&str> = entries().iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), entries().len());
        for above in entries().iter().filter_map(|entry| entry.above) {
            assert!(entry(above).is_some_and(|entry| entry.above.is_none()), "{above}");
        }
    }

    #[test]
    fn populations_are_of_known_entries_and_add_up() {
        for population in populations() {
            assert!(population.weights.iter().all(|(name, _)| entry(name).is_some()), "{}", population.name);
            assert_eq!(population.weights.iter().map(|(_, weight)| weight).sum::<u32>(), 100);
        }
    }
}
