//! What a port mapper is told at its start, and what it tells.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::machine::SocketId;
use crate::scope::Scope;
use crate::time::Duration;

/// What is mapped: UDP or TCP ports.
///
/// ```
/// # use bradawl::portmap::Protocol;
/// assert_eq!(Protocol::Udp.number(), 17);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl Protocol {
    /// Its number at IANA.
    pub const fn number(self) -> u8 {
        match self {
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }
}

/// The protocol that a router is asked by. The first is the best.
///
/// ```
/// # use bradawl::portmap::Via;
/// assert!(Via::Pcp < Via::NatPmp && Via::NatPmp < Via::Igd);
/// assert_eq!(Via::NatPmp.to_string(), "NAT-PMP");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// Port Control Protocol (RFC 6887).
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// UPnP Internet Gateway Device, versions 1 and 2.
    Igd,
}

impl Via {
    pub(super) const ALL: [Self; 3] = [Self::Pcp, Self::NatPmp, Self::Igd];
}

impl core::fmt::Display for Via {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Igd => "UPnP-IGD",
        })
    }
}

/// Which protocols may be used.
///
/// ```
/// use bradawl::portmap::{Protocols, Via};
///
/// assert_eq!(Protocols::only(Via::Igd), Protocols { pcp: false, nat_pmp: false, igd: true });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Port Control Protocol.
    pub pcp: bool,
    /// NAT Port Mapping Protocol: IPv4 only.
    pub nat_pmp: bool,
    /// UPnP Internet Gateway Device: IPv4 only.
    pub igd: bool,
}

impl Protocols {
    /// All of them.
    pub const ALL: Self = Self { pcp: true, nat_pmp: true, igd: true };

    /// One of them.
    pub const fn only(via: Via) -> Self {
        Self {
            pcp: matches!(via, Via::Pcp),
            nat_pmp: matches!(via, Via::NatPmp),
            igd: matches!(via, Via::Igd),
        }
    }

    pub(super) const fn has(self, via: Via) -> bool {
        match via {
            Via::Pcp => self.pcp,
            Via::NatPmp => self.nat_pmp,
            Via::Igd => self.igd,
        }
    }
}

/// How a [`PortMapper`](super::PortMapper) works.
///
/// ```
/// use bradawl::portmap::{Config, Protocols};
///
/// let config = Config::new("192.168.1.7:0".parse()?, vec!["192.168.1.1".parse()?]);
/// assert_eq!(config.protocols, Protocols::ALL);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address that is mapped to, concrete, and the port that questions are asked from, where 0 is
    /// any. Its scope is that of routers with a link-local address.
    pub local: SocketAddr,
    /// The default gateways. Those of another family than `local` are not asked: a host with both has a
    /// mapper for each. The first [`MAX_ROUTERS`](super::MAX_ROUTERS) count.
    pub routers: Vec<IpAddr>,
    /// Which protocols may be used.
    pub protocols: Protocols,
    /// How long a mapping by PCP or NAT-PMP should last.
    pub lifetime: Duration,
    /// How long a mapping by IGD should last. A gateway that makes them for ever only is allowed to.
    pub igd_lease: Duration,
    /// Whether gateways are searched by multicast; else only the routers themselves are asked.
    pub search: bool,
    /// How often a router that maps for us by PCP or NAT-PMP is asked for its epoch, so that a restart is
    /// noticed long before the next renewal.
    pub watch: Option<Duration>,
    /// The first of [`SOCKET_IDS`](super::SOCKET_IDS) names for sockets that nobody else uses.
    pub sockets: SocketId,
    /// What people see in their gateway's pages. At most 64 bytes of it are sent.
    pub description: String,
}

impl Config {
    /// Everything as it is by default: two hours, one hour by IGD, all protocols.
    pub fn new(local: SocketAddr, routers: Vec<IpAddr>) -> Self {
        Self {
            local,
            routers,
            protocols: Protocols::ALL,
            lifetime: Duration::from_secs(7_200),
            igd_lease: Duration::from_secs(3_600),
            search: true,
            watch: Some(Duration::from_secs(120)),
            sockets: SocketId(0),
            description: String::from("bradawl"),
        }
    }
}

/// Names a mapping that was asked for.
///
/// ```
/// # use bradawl::portmap::MappingId;
/// # let _: Option<MappingId> = None;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MappingId(pub(super) u32);

/// Why a mapping was not asked for.
///
/// ```
/// # use bradawl::portmap::MapError;
/// assert_eq!(MapError::PortZero.to_string(), "there is no port 0 to map to");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// [`MAX_MAPPINGS`](super::MAX_MAPPINGS) are there, counting those that are being deleted.
    #[error("too many mappings")]
    TooMany,
    /// The internal port is 0.
    #[error("there is no port 0 to map to")]
    PortZero,
    /// This port is mapped already, or still being deleted.
    #[error("this port is mapped already")]
    Duplicate,
    /// The mapper is closing or closed.
    #[error("the port mapper is closed")]
    Closed,
}

/// A port that is mapped.
///
/// ```
/// # use bradawl::portmap::Mapped;
/// # let _: Option<Mapped> = None;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Which.
    pub id: MappingId,
    /// Where the world finds it, as the router sees it. See [`is_behind_another`].
    pub external: SocketAddr,
    /// How the router was asked.
    pub via: Via,
    /// Which router.
    pub router: IpAddr,
    /// For how long, if nobody renews it; `None` is for ever. Renewing is the mapper's business.
    pub lifetime: Option<Duration>,
}

/// What a [`PortMapper`](super::PortMapper) tells.
///
/// ```
/// # use bradawl::portmap::Event;
/// assert_eq!(Event::Closed, Event::Closed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A port is mapped. With several routers this comes once for each.
    Mapped(Mapped),
    /// The same for some more time.
    Renewed(Mapped),
    /// The same port is now mapped from elsewhere, or by a better protocol.
    Changed(Mapped),
    /// A port is no longer mapped by this router. It is asked again.
    Lost {
        /// Which.
        id: MappingId,
        /// Where the world used to find it.
        external: SocketAddr,
        /// How the router was asked.
        via: Via,
        /// Which router.
        router: IpAddr,
    },
    /// No router maps this port, as far as is known. They are asked again from time to time, and this is
    /// told once until one does.
    Failed {
        /// Which.
        id: MappingId,
        /// Why.
        reason: Refusal,
    },
    /// A router's own address outside is known, or another than before. See [`is_behind_another`].
    ExternalAddress {
        /// Which router.
        router: IpAddr,
        /// Its address.
        address: IpAddr,
    },
    /// Everything that could be deleted is deleted. This is the last event.
    Closed,
}

/// Why a router does not map a port. The last one is the most telling.
///
/// ```
/// # use bradawl::portmap::Refusal;
/// assert_eq!(Refusal::NoAnswer.to_string(), "no router answers");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// There is no router of this family.
    #[error("there is no router")]
    NoRouter,
    /// The host gave us no socket.
    #[error("the host gave no socket")]
    NoSocket,
    /// Nobody answers.
    #[error("no router answers")]
    NoAnswer,
    /// It speaks a version that we do not.
    #[error("the router speaks another version")]
    UnsupportedVersion,
    /// It answers with what makes no sense.
    #[error("the router answers nonsense")]
    Nonsense,
    /// It says no, with this code of its protocol.
    #[error("the router refuses with code {0}")]
    Code(u16),
    /// It does not map this protocol.
    #[error("the router does not map this protocol")]
    UnsupportedProtocol,
    /// It has no network outside.
    #[error("the router has no network outside")]
    NetworkFailure,
    /// It has nothing left to give.
    #[error("the router has nothing left to give")]
    NoResources,
    /// We have had our share.
    #[error("our share at the router is used up")]
    QuotaExceeded,
    /// The port that was asked for is taken, and so are others.
    #[error("the port is not to be had")]
    PortTaken,
    /// There is another NAT between us and it.
    #[error("there is another NAT between us and the router")]
    AddressMismatch,
    /// It may, and will not: mapping is switched off.
    #[error("port mapping is switched off")]
    NotAuthorized,
}

/// Whether a router that has this address outside is itself behind a NAT: the address is private, shared
/// (RFC 6598, what carriers use) or of the host alone. A port mapped there is not open to the world.
///
/// ```
/// use bradawl::portmap::is_behind_another;
///
/// assert!(is_behind_another("100.64.3.2".parse()?));
/// assert!(is_behind_another("192.168.0.2".parse()?));
/// assert!(!is_behind_another("203.0.113.9".parse()?));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn is_behind_another(external: IpAddr) -> bool {
    Scope::of(external) < Scope::World
}

/// Whether this can be anybody's address outside at all.
pub(super) fn is_usable(external: IpAddr) -> bool {
    let broadcast = matches!(external, IpAddr::V4(ip) if ip.is_broadcast());
    !(external.is_unspecified() || external.is_multicast() || external.is_loopback() || broadcast)
}
