//! What must become of two hosts, from nothing but what stands between them.
//!
//! It knows the axes of every NAT and firewall on the way, and follows the checks of two ideal peers
//! through them by name instead of by number: a public endpoint is "what A gets for sending to that
//! endpoint of B". Each peer sends to every endpoint of the other that it knows; a check that passes the
//! filter teaches the receiver the endpoint it came from; and so on until nothing new is learned. If in
//! the end some endpoint of each is where the other's packets really come from, they have a path.
//!
//! Ports that can only be guessed are luck, and luck is no promise: the answer is then at best
//! [`Expectation::Probable`].

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use crate::nat::Dependence;
use crate::trace::Strategy;
use crate::units::Chance;

/// What must become of two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// They reach each other directly, won like this.
    Certain(Strategy),
    /// They do so at least as often as this.
    Probable(Chance),
    /// They cannot, and why.
    Impossible(&'static str),
}

impl Expectation {
    /// The better of two ways.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    const fn rank(&self) -> u32 {
        match self {
            Self::Certain(Strategy::Host) => u32::MAX,
            Self::Certain(_) => u32::MAX - 1,
            Self::Probable(chance) => 1 + chance.ppm(),
            Self::Impossible(_) => 0,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certain(strategy) => write!(f, "certain ({strategy})"),
            Self::Probable(Chance::NEVER) => f.write_str("luck"),
            Self::Probable(chance) => write!(f, "probable ({chance})"),
            Self::Impossible(why) => write!(f, "impossible ({why})"),
        }
    }
}

/// One side of a possible path: everything between a host and the network where it meets the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The most that any NAT on the way looks at of the peer when it maps.
    pub mapping: Dependence,
    /// The most that any NAT or firewall on the way looks at when it filters.
    pub filtering: Dependence,
    /// Whether the other side is told an address of this one that means something where they meet.
    pub is_known: bool,
    /// Whether a mapping for somebody else gets the same port again though the mapping is not the same
    /// one; then only as likely as this.
    pub preserves: Option<Chance>,
    /// Whether all its mappings have one IP address.
    pub is_paired: bool,
}

impl Side {
    /// A host that everybody can reach.
    pub const OPEN: Self = Self {
        mapping: Dependence::Endpoint,
        filtering: Dependence::Endpoint,
        is_known: true,
        preserves: None,
        is_paired: true,
    };

    /// What it is if its ports turn out to be preserved.
    const fn with_luck(self) -> Self {
        match self.preserves {
            Some(_) => Self { mapping: Dependence::Endpoint, ..self },
            None => self,
        }
    }
}

/// What plain checks achieve between two sides: to every address that is known, both ways, and back to
/// wherever one came from.
pub fn plain(a: Side, b: Side) -> Expectation {
    if !a.is_known && !b.is_known {
        return Expectation::Impossible("neither knows where to send");
    }
    match Exchange::new(a, b).run() {
        Some(strategy) => Expectation::Certain(strategy),
        None => lucky(a, b),
    }
}

/// If only ports were preserved that usually are.
fn lucky(a: Side, b: Side) -> Expectation {
    let chances = [a.preserves, b.preserves].into_iter().flatten();
    let chance = chances.fold(1_000_000, |all, chance| all * u64::from(chance.ppm()) / 1_000_000);
    match Exchange::new(a.with_luck(), b.with_luck()).run() {
        Some(_) => Expectation::Probable(Chance::from_ppm(chance as u32)),
        None => Expectation::Probable(Chance::NEVER),
    }
}

/// A public endpoint by name: whose it is, and for sending to whom it was made, as far as the NAT looked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Endpoint {
    side: usize,
    made_for: MadeFor,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MadeFor {
    /// Anybody.
    All,
    /// The server that told how it looks.
    Server,
    /// Whoever has this address.
    Address(Box<Address>),
    /// This endpoint alone.
    Endpoint(Box<Endpoint>),
}

/// The IP address of an endpoint by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    /// The one that all of a side's endpoints have.
    Of(usize),
    /// One that only this endpoint has, as far as anybody can tell.
    Only(Endpoint),
}

/// Two ideal peers at work.
struct Exchange {
    sides: [Side; 2],
    /// Where each knows to send.
    known: [BTreeSet<Endpoint>; 2],
    /// Whom each has sent to from each of its endpoints: what its filters let in.
    sent: BTreeMap<Endpoint, BTreeSet<Endpoint>>,
    /// Which packets arrived: from whom, to whom.
    arrived: BTreeSet<(Endpoint, Endpoint)>,
}

impl Exchange {
    /// A chase in which each answer comes from somewhere else never ends; nobody catches up later.
    const ROUNDS: usize = 6;

    fn new(a: Side, b: Side) -> Self {
        let sides = [a, b];
        let mut exchange = Self {
            sides,
            known: [BTreeSet::new(), BTreeSet::new()],
            sent: BTreeMap::new(),
            arrived: BTreeSet::new(),
        };
        for side in [0, 1] {
            let made_for = match sides[side].mapping {
                Dependence::Endpoint => MadeFor::All,
                Dependence::Address | Dependence::AddressAndPort => MadeFor::Server,
            };
            let endpoint = Endpoint { side, made_for };
            exchange.sent.insert(endpoint.clone(), BTreeSet::new());
            if sides[side].is_known {
                exchange.known[1 - side].insert(endpoint);
            }
        }
        exchange
    }

    /// How they meet, if they do.
    fn run(mut self) -> Option<Strategy> {
        let told = self.known.clone();
        for _ in 0..Self::ROUNDS {
            for side in [0, 1] {
                for target in self.known[side].clone() {
                    self.send(side, target);
                }
            }
            // A path: what A sends to an endpoint comes from where B sends to, and the other way round.
            let meets = self
                .arrived
                .iter()
                .filter(|(from, to)| from.side == 0 && self.arrived.contains(&(to.clone(), from.clone())));
            let both_told =
                |(from, to): &&(Endpoint, Endpoint)| told[1].contains(from) && told[0].contains(to);
            let mut meets = meets.peekable();
            if meets.peek().is_some() {
                let is_punch = meets.any(|path| both_told(&path));
                return Some(if is_punch { Strategy::Punch } else { Strategy::PeerReflexive });
            }
        }
        None
    }

    fn send(&mut self, side: usize, target: Endpoint) {
        let source = self.source(side, &target);
        self.sent.entry(source.clone()).or_default().insert(target.clone());
        if self.lets_in(&target, &source) {
            self.known[1 - side].insert(source.clone());
            self.arrived.insert((source, target));
        }
    }

    /// The endpoint that a side's packet to `target` comes from.
    fn source(&self, side: usize, target: &Endpoint) -> Endpoint {
        let made_for = match self.sides[side].mapping {
            Dependence::Endpoint => MadeFor::All,
            Dependence::Address => MadeFor::Address(Box::new(self.address(target))),
            Dependence::AddressAndPort => MadeFor::Endpoint(Box::new(target.clone())),
        };
        Endpoint { side, made_for }
    }

    fn address(&self, endpoint: &Endpoint) -> Address {
        let is_one = self.sides[endpoint.side].is_paired || endpoint.made_for == MadeFor::All;
        if is_one { Address::Of(endpoint.side) } else { Address::Only(endpoint.clone()) }
    }

    /// Whether the filter at `target` lets in what comes from `source`.
    fn lets_in(&self, target: &Endpoint, source: &Endpoint) -> bool {
        let Some(sent) = self.sent.get(target) else { return false };
        match self.sides[target.side].filtering {
            Dependence::Endpoint => true,
            Dependence::Address => sent.iter().any(|peer| self.address(peer) == self.address(source)),
            Dependence::AddressAndPort => sent.contains(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectation, Side, plain};
    use crate::nat::Dependence::{Address, AddressAndPort, Endpoint};
    use crate::trace::Strategy::{PeerReflexive, Punch};
    use crate::units::Chance;

    const LUCK: Expectation = Expectation::Probable(Chance::NEVER);

    fn side(mapping: crate::nat::Dependence, filtering: crate::nat::Dependence) -> Side {
        Side { mapping, filtering, ..Side::OPEN }
    }

    /// RFC 5128 §3.3 and what the field has known since: cones meet cones, whatever they filter.
    #[test]
    fn cones_meet_cones() {
        for ours in [Endpoint, Address, AddressAndPort] {
            for theirs in [Endpoint, Address, AddressAndPort] {
                assert_eq!(plain(side(Endpoint, ours), side(Endpoint, theirs)), Expectation::Certain(Punch));
            }
        }
    }

    #[test]
    fn a_symmetric_nat_meets_whoever_does_not_look_at_ports() {
        let symmetric = side(AddressAndPort, AddressAndPort);
        for filtering in [Endpoint, Address] {
            assert_eq!(plain(symmetric, side(Endpoint, filtering)), Expectation::Certain(PeerReflexive));
        }
        assert_eq!(plain(symmetric, side(Endpoint, AddressAndPort)), LUCK);
        assert_eq!(plain(symmetric, symmetric), LUCK);
    }

    #[test]
    fn an_address_restricted_filter_is_no_help_against_many_addresses() {
        let scattered = Side { is_paired: false, ..side(AddressAndPort, AddressAndPort) };
        assert_eq!(plain(scattered, side(Endpoint, Address)), LUCK);
        assert_eq!(plain(scattered, side(Endpoint, Endpoint)), Expectation::Certain(PeerReflexive));
    }

    #[test]
    fn two_endpoint_dependent_mappings_meet_only_where_somebody_lets_anybody_in() {
        assert_eq!(
            plain(side(Address, Endpoint), side(Address, Endpoint)),
            Expectation::Certain(PeerReflexive)
        );
        assert_eq!(plain(side(Address, Address), side(Address, Address)), LUCK);
        assert_eq!(plain(side(AddressAndPort, Endpoint), side(AddressAndPort, Endpoint)), LUCK, "a chase");
        assert_eq!(
            plain(side(AddressAndPort, Endpoint), side(Address, Endpoint)),
            Expectation::Certain(PeerReflexive)
        );
    }

    #[test]
    fn one_address_is_enough_if_its_owner_is_open() {
        let hidden = Side { is_known: false, ..side(Endpoint, AddressAndPort) };
        assert_eq!(plain(hidden, Side::OPEN), Expectation::Certain(PeerReflexive));
        assert_eq!(plain(hidden, side(Endpoint, AddressAndPort)), LUCK);
        assert!(matches!(plain(hidden, hidden), Expectation::Impossible(_)));
    }

    #[test]
    fn preserved_ports_are_as_good_as_their_odds() {
        let odds = Chance::percent(90);
        let preserving = Side { preserves: Some(odds), ..side(AddressAndPort, AddressAndPort) };
        assert_eq!(plain(preserving, side(Endpoint, AddressAndPort)), Expectation::Probable(odds));
        assert_eq!(plain(preserving, preserving), Expectation::Probable(Chance::percent(81)));
    }
}
