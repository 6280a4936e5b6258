//! What is right, and what nobody can know.
//!
//! Where several sockets may share a port, as long as they talk to different peers, and the NAT keeps ports,
//! as Linux does, a single host sees an endpoint-independent mapping, which RFC 4787 §4.1 defines by what is
//! seen: that is right then. What a second host behind the same NAT would see is another axis, and nobody can
//! know it.

use core::fmt;

use bradawl::discovery::{
    Allocation as Found, Confidence, Dependence, Fallback as Otherwise, Finding, Hairpin, NatProfile,
};

use crate::catalogue::Gateway;
use crate::firewall::{Inbound, Outbound};
use crate::nat::{self, Allocation, Behaviour, Fallback};

/// An axis that the quick pass finds out about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    /// What the mapping depends on.
    Mapping,
    /// What the filter depends on.
    Filtering,
    /// Which port a new mapping gets.
    Allocation,
    /// Whether packets to one's own public address come back.
    Hairpin,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapping => "mapping",
            Self::Filtering => "filtering",
            Self::Allocation => "allocation",
            Self::Hairpin => "hairpin",
        })
    }
}

/// What became of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether anybody can know.
    pub is_decidable: bool,
    /// Whether what was found is right; `None` if nothing was found.
    pub is_right: Option<bool>,
    /// Whether the discovery was sure, 0.9 or more.
    pub is_sure: bool,
}

impl Axis {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::Mapping, Self::Filtering, Self::Allocation, Self::Hairpin];

    /// What became of it.
    pub fn judge(self, profile: &NatProfile, truth: &Truth) -> Judgement {
        let is_open = truth.udp;
        match self {
            Self::Mapping => Judgement::of(profile.mapping, is_open, |value| value == truth.mapping),
            Self::Filtering => Judgement::of(profile.filtering, is_open, |value| value == truth.filtering),
            Self::Allocation => {
                Judgement::of(profile.allocation, is_open, |value| is_right(value, &truth.ports))
            }
            Self::Hairpin => {
                let is_right = |value| Some(value) == truth.hairpin;
                Judgement::of(profile.hairpin, truth.hairpin.is_some(), is_right)
            }
        }
    }
}

/// What all the NATs and firewalls between a host and the internet do together.
///
/// ```
/// use bradawl::discovery::Dependence;
/// use bradawl_sim::catalogue::entry;
/// use bradawl_sim::discover::Truth;
///
/// let router = entry("cgn-strict").unwrap();
/// let carrier = entry(router.above.unwrap()).unwrap();
/// let truth = Truth::of(&[carrier.gateway.clone(), router.gateway.clone()]);
/// assert_eq!((truth.mapping, truth.hairpin), (Dependence::AddressAndPort, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Whether UDP passes. If not, nothing else can be known.
    pub udp: bool,
    /// What the mapping depends on, as a single host sees it.
    pub mapping: Dependence,
    /// What the filter depends on.
    pub filtering: Dependence,
    /// The NAT whose choice of ports is seen outside.
    pub ports: Behaviour,
    /// Whether packets to one's own public address come back; `None` if nobody can know.
    pub hairpin: Option<Hairpin>,
}

impl Truth {
    /// Behind these, the outermost first: each packet passes all of them, so the strictest decides.
    pub fn of(behind: &[Gateway]) -> Self {
        let nats = || behind.iter().filter_map(|gateway| gateway.nat.as_ref());
        let mapping = nats().map(mapping).max().unwrap_or(Dependence::Endpoint);
        let walls = behind.iter().map(|gateway| match gateway.firewall.inbound {
            Inbound::Open => Dependence::Endpoint,
            Inbound::Stateful => Dependence::AddressAndPort,
        });
        let filtering = nats().map(|nat| dependence(nat.filtering)).chain(walls).max();
        let filtering = filtering.unwrap_or(Dependence::Endpoint);
        let keeps = |nat: &&Behaviour| matches!(nat.allocation, Allocation::Preserve(_));
        // A NAT that keeps ports shows those of the one below it.
        let ports = nats().find(|nat| !keeps(nat)).or_else(|| nats().next());
        let udp = behind.iter().all(|gateway| gateway.firewall.outbound == Outbound::All);
        let can_tell = udp && (mapping == Dependence::Endpoint || filtering == Dependence::Endpoint);
        let returns = |nat: &Behaviour| match nat.hairpin {
            nat::Hairpin::None => Hairpin::None,
            // Seen from below another NAT, the private address is that NAT's.
            nat::Hairpin::InternalSource if nats().count() == 1 => Hairpin::InternalSource,
            nat::Hairpin::InternalSource | nat::Hairpin::ExternalSource => Hairpin::ExternalSource,
        };
        Self {
            udp,
            mapping,
            filtering,
            ports: ports.cloned().unwrap_or_default(),
            hairpin: nats().next().filter(|_| can_tell).map(returns),
        }
    }
}

impl Judgement {
    fn of<T: Copy>(found: Option<Finding<T>>, is_decidable: bool, is_right: impl FnOnce(T) -> bool) -> Self {
        let is_sure = found.map_or(Confidence::NONE, |finding| finding.confidence).is_sure();
        Self { is_decidable, is_right: found.map(|finding| is_right(finding.value)), is_sure }
    }
}

const fn dependence(of: nat::Dependence) -> Dependence {
    match of {
        nat::Dependence::Endpoint => Dependence::Endpoint,
        nat::Dependence::Address => Dependence::Address,
        nat::Dependence::AddressAndPort => Dependence::AddressAndPort,
    }
}

/// As one host alone sees it.
fn mapping(nat: &Behaviour) -> Dependence {
    let keeps = matches!(nat.allocation, Allocation::Preserve(_));
    if nat.overload && keeps { Dependence::Endpoint } else { dependence(nat.mapping) }
}

/// Ports of a quarter of the range at most are a block, whoever calls them that. Where even ports stay even,
/// it takes two steps to get to the next that may be.
fn is_right(found: Found, nat: &Behaviour) -> bool {
    const LARGEST: u32 = 16_384;
    let is_step = |step: i32, found: i16| {
        let found = i32::from(found);
        found == step || nat.parity && found == 2 * step
    };
    match (nat.allocation, found) {
        (Allocation::Preserve(fallback), Found::Preserving { otherwise }) => match (fallback, otherwise) {
            (_, None) => true,
            (Fallback::Next, Some(Otherwise::Next { step })) => is_step(1, step),
            (Fallback::Next, Some(Otherwise::Random)) => false,
            (Fallback::Random, Some(otherwise)) => otherwise == Otherwise::Random,
        },
        (Allocation::Sequential { step }, Found::Sequential { step: found }) => is_step(step.into(), found),
        (Allocation::Random, Found::Random) => nat.ports.len() > LARGEST,
        (Allocation::Random, Found::Block { first, last }) => {
            nat.ports.len() <= LARGEST && is_near((nat.ports.first, nat.ports.last), (first, last))
        }
        // Which of its blocks it was is known to the NAT alone.
        (Allocation::Block { size }, Found::Block { first, last }) => {
            let found = u32::from(last - first) + 1;
            (size / 3..=size.saturating_mul(2)).contains(&u16::try_from(found).unwrap_or(u16::MAX))
        }
        _ => false,
    }
}

/// Whether of all the ports in either range at least a third are in both: so much can be said of bounds after
/// sixteen ports, all but once in a million times.
fn is_near(a: (u16, u16), b: (u16, u16)) -> bool {
    let (low, high) = (a.0.max(b.0), a.1.min(b.1));
    let (lowest, highest) = (a.0.min(b.0), a.1.max(b.1));
    high > low && u32::from(high - low) * 3 >= u32::from(highest - lowest)
}
