//! What two peers tell each other of the NATs in front of them: as much of a profile as the planner reads.

use core::net::IpAddr;

use crate::discovery::{Allocation, Dependence, NatProfile};
use crate::time::Duration;

/// What is known of a peer's way out. Nothing known is the default: plain punching is always tried.
///
/// ```
/// use bradawl::discovery::{Dependence, NatProfile};
/// use bradawl::punch::Nat;
///
/// assert_eq!(Nat::from(&NatProfile::default()), Nat::default());
/// let home = Nat { mapping: Some(Dependence::Endpoint), ..Nat::default() };
/// assert_ne!(home, Nat::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// No UDP passes.
    pub is_blocked: bool,
    /// Whether anybody on the way changes addresses.
    pub is_translated: Option<bool>,
    /// What the mapping depends on.
    pub mapping: Option<Dependence>,
    /// What the filter depends on.
    pub filtering: Option<Dependence>,
    /// Which port a new mapping gets.
    pub allocation: Option<Allocation>,
    /// How many ports a second others take.
    pub traffic: Option<u16>,
    /// A packet that comes in too early may cost us our port.
    pub punishes_early: bool,
    /// There is a carrier's NAT above our own.
    pub is_behind_carrier: bool,
    /// How long a mapping is remembered.
    pub lifetime: Option<Duration>,
    /// The public address, where there is one only.
    pub public: Option<IpAddr>,
    /// This side may open hundreds of ports for one connection.
    pub birthday: bool,
}

/// What stands in front of a peer, as far as the way to punch is concerned: the rows and the columns of
/// the planner's table.
///
/// ```
/// use bradawl::punch::{Nat, Shape};
/// assert_eq!(Nat::default().shape(), Shape::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Anybody who knows the address gets through.
    Reachable,
    /// The port is known; whoever was sent to may answer from any port.
    Restricted,
    /// The port is known; only who was sent to may answer.
    PortRestricted,
    /// Another port for each peer, so far from the last one.
    Sequential {
        /// How far.
        step: i16,
    },
    /// Another port for each peer, any of these.
    Block {
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
    },
    /// Another port for each peer, any.
    Random,
    /// No UDP.
    Blocked,
    /// Not known.
    Unknown,
}

impl Nat {
    /// The row, or the column, that it stands in.
    pub fn shape(&self) -> Shape {
        if self.is_blocked {
            return Shape::Blocked;
        }
        match (self.mapping, self.allocation) {
            (None, _) => Shape::Unknown,
            // Who keeps the port shows the same one to nearly everybody.
            (Some(Dependence::Endpoint), _) | (_, Some(Allocation::Preserving { .. })) => {
                match self.filtering {
                    Some(Dependence::Endpoint) => Shape::Reachable,
                    Some(Dependence::Address) => Shape::Restricted,
                    Some(Dependence::AddressAndPort) | None => Shape::PortRestricted,
                }
            }
            (Some(_), Some(Allocation::Sequential { step })) => Shape::Sequential { step },
            (Some(_), Some(Allocation::Block { first, last })) => Shape::Block { first, last },
            (Some(_), Some(Allocation::Random) | None) => Shape::Random,
        }
    }
}

impl Nat {
    /// Whether it depends on the other side which port is seen, and that is nearly always the inside one.
    pub(super) fn keeps_ports(&self) -> bool {
        self.mapping.is_some_and(|mapping| mapping != Dependence::Endpoint)
            && matches!(self.allocation, Some(Allocation::Preserving { .. }))
    }
}

impl Nat {
    /// How far the next port is, where there is such a thing.
    pub(super) fn step(&self) -> Option<i32> {
        match self.allocation {
            Some(Allocation::Sequential { step }) if step != 0 => Some(step.into()),
            _ => None,
        }
    }
}

impl From<&NatProfile> for Nat {
    fn from(profile: &NatProfile) -> Self {
        let value = |axis: Option<_>| axis.map(|finding: crate::discovery::Finding<bool>| finding.value);
        let lifetime = profile.lifetime.map(|lifetime| lifetime.value.survives);
        Self {
            is_blocked: value(profile.udp) == Some(false),
            is_translated: value(profile.translated),
            mapping: profile.mapping.map(|mapping| mapping.value),
            filtering: profile.filtering.map(|filtering| filtering.value),
            allocation: profile.allocation.map(|allocation| allocation.value),
            traffic: profile.traffic.map(|traffic| traffic.value),
            punishes_early: value(profile.overloaded) == Some(true),
            is_behind_carrier: value(profile.carrier) == Some(true),
            lifetime,
            public: match profile.public[..] {
                [public] => Some(public),
                _ => None,
            },
            birthday: false,
        }
    }
}
