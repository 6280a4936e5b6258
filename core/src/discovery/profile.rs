//! What is known of the way out of a network: one value per axis, or unknown, and how sure.
//!
//! The axes are those of RFC 4787 and RFC 5780, never the four old words alone: these are derived, for
//! people. A profile is a hint for whoever plans and never a gate, for it can be wrong.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::Confidence;
use crate::time::{Duration, Instant};

/// What one axis was found to be, and how sure that is.
///
/// ```
/// use bradawl::discovery::{Confidence, Finding};
///
/// let hairpin = Finding { value: false, confidence: Confidence::from_bits(9) };
/// assert!(!hairpin.confidence.is_sure());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<T> {
    /// The value.
    pub value: T,
    /// How sure.
    pub confidence: Confidence,
}

/// An axis; `None` is unknown.
pub type Axis<T> = Option<Finding<T>>;

/// What a mapping or a filter depends on, beside our own address and port (RFC 4787 §4.1, §5).
///
/// ```
/// use bradawl::discovery::Dependence;
/// assert_eq!(Dependence::AddressAndPort.to_string(), "address- and port-dependent");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// On nothing.
    Endpoint,
    /// On the other side's address.
    Address,
    /// On the other side's address and port.
    AddressAndPort,
}

impl fmt::Display for Dependence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "endpoint-independent",
            Self::Address => "address-dependent",
            Self::AddressAndPort => "address- and port-dependent",
        })
    }
}

/// Which port a new mapping gets (RFC 4787 §4.2).
///
/// ```
/// use bradawl::discovery::Allocation;
/// assert_eq!(Allocation::Sequential { step: 2 }.to_string(), "sequential, by 2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// The inside port. If somebody has it: what was seen then, if it was seen.
    Preserving {
        /// Which one if it is taken.
        otherwise: Option<Fallback>,
    },
    /// So far from the last one.
    Sequential {
        /// How far, in which direction.
        step: i16,
    },
    /// Any.
    Random,
    /// Any of these.
    Block {
        /// The lowest.
        first: u16,
        /// The highest.
        last: u16,
    },
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preserving { otherwise: None } => f.write_str("preserving"),
            Self::Preserving { otherwise: Some(fallback) } => write!(f, "preserving, else {fallback}"),
            Self::Sequential { step } => write!(f, "sequential, by {step}"),
            Self::Random => f.write_str("random"),
            Self::Block { first, last } => write!(f, "random in {first}–{last}"),
        }
    }
}

/// Which port a mapping gets if the one that it wants is taken.
///
/// ```
/// use bradawl::discovery::Fallback;
/// assert_eq!(Fallback::Next { step: 1 }.to_string(), "the next free one");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// The next that is free, so far on.
    Next {
        /// How far.
        step: i16,
    },
    /// Any.
    Random,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next { step: 1 } => f.write_str("the next free one"),
            Self::Next { step } => write!(f, "{step} further on"),
            Self::Random => f.write_str("random"),
        }
    }
}

/// Whether two hosts behind the same NAT reach each other by their public addresses (RFC 4787 §6).
///
/// ```
/// use bradawl::discovery::Hairpin;
/// assert_eq!(Hairpin::ExternalSource.to_string(), "yes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hairpin {
    /// They do not.
    None,
    /// They do, and see each other's public address.
    ExternalSource,
    /// They do, and see the private one.
    InternalSource,
}

impl fmt::Display for Hairpin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no",
            Self::ExternalSource => "yes",
            Self::InternalSource => "yes, from the private address",
        })
    }
}

/// For how long a mapping is remembered in silence: between these two.
///
/// ```
/// use bradawl::discovery::Lifetime;
/// use bradawl::time::Duration;
///
/// let lifetime = Lifetime { survives: Duration::from_secs(119), forgotten: Some(Duration::from_secs(121)) };
/// assert_eq!(lifetime.estimate(), Duration::from_secs(120));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// The longest silence that a mapping has survived.
    pub survives: Duration,
    /// The shortest after which one was gone; `None` if none was.
    pub forgotten: Option<Duration>,
}

impl Lifetime {
    /// The middle; if no mapping was ever forgotten, the longest silence there was.
    pub fn estimate(&self) -> Duration {
        self.forgotten.map_or(self.survives, |forgotten| (self.survives + forgotten) / 2)
    }
}

/// What one server said.
///
/// ```
/// # use bradawl::discovery::Observation;
/// fn is_translated(seen: &Observation) -> bool {
///     seen.mapped != seen.local
/// }
/// # let _ = is_translated;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When its answer came.
    pub at: Instant,
    /// From which socket it was asked.
    pub local: SocketAddr,
    /// Which address of the server was asked.
    pub asked: SocketAddr,
    /// Which one answered.
    pub from: SocketAddr,
    /// How it saw the socket.
    pub mapped: SocketAddr,
    /// How long it took.
    pub round_trip: Duration,
    /// How many mappings this host had asked for before this one, as far as it matters for ports.
    pub order: u16,
}

/// The old name of a NAT (RFC 3489 §5), for display.
///
/// ```
/// use bradawl::discovery::{Label, NatProfile};
/// assert_eq!(NatProfile::default().label(), Label::Unknown);
/// assert_eq!(Label::PortRestricted.to_string(), "port-restricted");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// No NAT, no firewall.
    Open,
    /// Anybody may send to an open port.
    FullCone,
    /// Whoever was sent to may answer from any port.
    Restricted,
    /// Only who was sent to may answer.
    PortRestricted,
    /// Another port for each peer.
    Symmetric,
    /// No UDP at all.
    Blocked,
    /// Not known.
    Unknown,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::FullCone => "full cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        })
    }
}

/// What is known of the way out of a network, for one address family.
///
/// ```
/// use bradawl::discovery::{Confidence, Dependence, Finding, Label, NatProfile};
///
/// let confidence = Confidence::SURE;
/// let profile = NatProfile {
///     mapping: Some(Finding { value: Dependence::Endpoint, confidence }),
///     filtering: Some(Finding { value: Dependence::AddressAndPort, confidence }),
///     ..NatProfile::default()
/// };
/// assert_eq!(profile.label(), Label::PortRestricted);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NatProfile {
    /// When it was taken.
    pub taken: Instant,
    /// The socket it is about.
    pub local: Option<SocketAddr>,
    /// How servers see that socket; the first one that answered comes first. More than one where the
    /// mapping depends on whom one talks to.
    pub mapped: Vec<SocketAddr>,
    /// The public addresses that any of our sockets was seen at.
    pub public: Vec<IpAddr>,
    /// How many servers were asked, and how many of them answered.
    pub servers: (u8, u8),
    /// The shortest round trip to a server.
    pub round_trip: Option<Duration>,
    /// How many of a hundred exchanges were lost, as far as there were enough to tell.
    pub loss: Option<u8>,
    /// Whether UDP passes at all.
    pub udp: Axis<bool>,
    /// Whether somebody on the way changes addresses.
    pub translated: Axis<bool>,
    /// What the mapping of a socket depends on. Of a NAT that keeps the port and lets several sockets
    /// share it, as Linux does, this is what is seen of it, as RFC 4787 §4.1 defines it: see
    /// [`overloaded`](Self::overloaded).
    pub mapping: Axis<Dependence>,
    /// Whether the port is not ours alone: somebody else who talks to the same peer may have it, and a
    /// packet of that peer that comes too early may cost it (RFC 4787 §4.2.1). One host alone rarely
    /// finds out.
    pub overloaded: Axis<bool>,
    /// What the filter in front of a mapping depends on.
    pub filtering: Axis<Dependence>,
    /// Which port a new mapping gets.
    pub allocation: Axis<Allocation>,
    /// How many ports a second others take; seen only where ports follow one another.
    pub traffic: Axis<u16>,
    /// Whether even ports stay even and odd ones odd (RFC 4787 §4.2.2).
    pub parity: Axis<bool>,
    /// Whether packets to our own public address come back.
    pub hairpin: Axis<Hairpin>,
    /// How long a mapping is remembered. Comes later than the rest.
    pub lifetime: Axis<Lifetime>,
    /// Whether what comes in keeps a mapping alive, too (RFC 4787 REQ-6). Comes later than the rest.
    pub refreshed_inbound: Axis<bool>,
    /// Whether different mappings have different public addresses (RFC 4787 §4.1).
    pub several_addresses: Axis<bool>,
    /// The routers on the way out that said where they are: how many hops away, and their address.
    pub hops: Vec<(u8, IpAddr)>,
    /// The outside address of our own router, as it says.
    pub router: Option<IpAddr>,
    /// Whether there is a carrier's NAT above our own (RFC 6888).
    pub carrier: Axis<bool>,
    /// What all that was concluded from.
    pub observations: Vec<Observation>,
}

impl NatProfile {
    /// The old name of what it is, for people.
    pub fn label(&self) -> Label {
        let value = |axis: &Axis<bool>| axis.map(|finding| finding.value);
        if value(&self.udp) == Some(false) {
            return Label::Blocked;
        }
        match (self.mapping.map(|finding| finding.value), self.filtering.map(|finding| finding.value)) {
            (Some(Dependence::Address | Dependence::AddressAndPort), _) => Label::Symmetric,
            (Some(Dependence::Endpoint), Some(Dependence::Endpoint)) => match value(&self.translated) {
                Some(false) => Label::Open,
                _ => Label::FullCone,
            },
            (Some(Dependence::Endpoint), Some(Dependence::Address)) => Label::Restricted,
            (Some(Dependence::Endpoint), Some(Dependence::AddressAndPort)) => Label::PortRestricted,
            _ => Label::Unknown,
        }
    }

    /// Whether there is nothing in the way that could forget anything.
    pub fn is_open(&self) -> bool {
        self.translated.is_some_and(|finding| !finding.value)
            && self.filtering.is_some_and(|finding| finding.value == Dependence::Endpoint)
    }

    /// Whether a socket looks the same to everybody.
    pub fn is_cone(&self) -> bool {
        self.mapping.is_some_and(|finding| finding.value == Dependence::Endpoint)
    }

    /// How sure [`NatProfile::label`] is: as sure as the least sure of what it is derived from.
    pub fn confidence(&self) -> Confidence {
        let of = |axis: &Axis<Dependence>| axis.map_or(Confidence::NONE, |finding| finding.confidence);
        match self.label() {
            Label::Unknown => Confidence::NONE,
            Label::Blocked => self.udp.map_or(Confidence::NONE, |finding| finding.confidence),
            Label::Symmetric => of(&self.mapping),
            _ => of(&self.mapping).min(of(&self.filtering)),
        }
    }
}

/// What is known of IPv6 here.
///
/// ```
/// use bradawl::discovery::Ipv6;
/// assert_eq!(Ipv6::Filtered.to_string(), "works, behind a firewall");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ipv6 {
    /// No address of this host leads out.
    Absent,
    /// There is an address, and no server answers.
    Unanswered,
    /// It works, and a firewall lets only answers in.
    Filtered,
    /// It works, and whoever knows the address can send to it.
    Open,
    /// It works; whether there is a firewall is not known.
    Works,
    /// There was no server to ask.
    Unknown,
}

impl fmt::Display for Ipv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "none",
            Self::Unanswered => "there is an address, and no server answers",
            Self::Filtered => "works, behind a firewall",
            Self::Open => "works, open",
            Self::Works => "works",
            Self::Unknown => "unknown",
        })
    }
}

impl Ipv6 {
    /// What a profile that was taken over IPv6 says of it.
    pub fn of(profile: &NatProfile) -> Self {
        match (profile.servers, profile.filtering.map(|finding| finding.value)) {
            ((0, _), _) => Self::Unknown,
            ((_, 0), _) => Self::Unanswered,
            (_, None) => Self::Works,
            (_, Some(Dependence::Endpoint)) => Self::Open,
            (_, Some(_)) => Self::Filtered,
        }
    }
}
