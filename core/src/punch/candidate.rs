//! Candidates: the addresses at which a peer may be reached, and in which order they are liked
//! (RFC 8445 §5.1).
//!
//! How they are written for others to read is in `text.rs`.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::machine::Transport;
use crate::scope::Scope;

/// What an address is to the peer that offers it.
///
/// ```
/// use bradawl::punch::Kind;
///
/// assert!(Kind::Host.preference() > Kind::ServerReflexive.preference());
/// assert_eq!(Kind::ServerReflexive.to_string(), "srflx");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Of a relay, which sends on to the peer.
    Relayed,
    /// What a server, or a router that was asked for a port, sees of it.
    ServerReflexive,
    /// What the other peer sees of it.
    PeerReflexive,
    /// One of its own.
    Host,
}

impl Kind {
    /// The type preference (RFC 8445 §5.1.2.2).
    pub const fn preference(self) -> u8 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::PeerReflexive => "prflx",
            Self::ServerReflexive => "srflx",
            Self::Relayed => "relay",
        })
    }
}

/// How a TCP candidate comes to a connection (RFC 6544 §4.5).
///
/// ```
/// use bradawl::punch::TcpKind;
/// assert_eq!(TcpKind::SimultaneousOpen.to_string(), "so");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpKind {
    /// It connects.
    Active,
    /// It is connected to.
    Passive,
    /// Both at the same time.
    SimultaneousOpen,
}

impl fmt::Display for TcpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::SimultaneousOpen => "so",
        })
    }
}

/// One address at which a peer may be reached.
///
/// ```
/// use bradawl::punch::{Candidate, Kind};
///
/// let host = Candidate::host("192.0.2.7:5000".parse()?, 65_535);
/// let seen = Candidate::server_reflexive("203.0.113.1:6000".parse()?, "192.0.2.7:5000".parse()?, 65_535);
/// assert_eq!((host.kind, seen.kind), (Kind::Host, Kind::ServerReflexive));
/// assert!(host.priority > seen.priority);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Candidates with the same one are likely to work or to fail together (RFC 8445 §5.1.1.3).
    pub foundation: String,
    /// Which part of the stream: 1 is the data.
    pub component: u16,
    /// Datagrams or a stream.
    pub transport: Transport,
    /// The greater, the better liked.
    pub priority: u32,
    /// Where.
    pub address: SocketAddr,
    /// What it is.
    pub kind: Kind,
    /// What it was derived from, for diagnosis.
    pub related: Option<SocketAddr>,
    /// Of a TCP candidate, how it comes to a connection.
    pub tcp: Option<TcpKind>,
}

impl Candidate {
    /// One of our own addresses.
    pub fn host(address: SocketAddr, preference: u16) -> Self {
        Self::udp(Kind::Host, address, address, None, preference)
    }

    /// How a server sees our socket at `base`.
    pub fn server_reflexive(address: SocketAddr, base: SocketAddr, preference: u16) -> Self {
        Self::udp(Kind::ServerReflexive, address, base, None, preference)
    }

    /// The address of a relay; `mapped` is how the relay sees us.
    pub fn relayed(address: SocketAddr, mapped: SocketAddr, preference: u16) -> Self {
        let relayed = Self::udp(Kind::Relayed, address, address, None, preference);
        Self { related: Some(mapped), ..relayed }
    }

    fn udp(
        kind: Kind,
        address: SocketAddr,
        base: SocketAddr,
        server: Option<IpAddr>,
        preference: u16,
    ) -> Self {
        Self {
            foundation: foundation(kind, base.ip(), server, Transport::Udp),
            component: COMPONENT,
            transport: Transport::Udp,
            priority: priority(kind, preference),
            address,
            kind,
            related: (kind != Kind::Host).then_some(base),
            tcp: None,
        }
    }
}

/// There is one component: what comes together goes together.
pub(super) const COMPONENT: u16 = 1;

/// `(2^24)·type + (2^8)·local + (256 − component)` (RFC 8445 §5.1.2.1).
pub(super) const fn priority(kind: Kind, preference: u16) -> u32 {
    (kind.preference() as u32) << 24 | (preference as u32) << 8 | (256 - COMPONENT as u32)
}

/// The priority that a candidate would have if the other peer saw it somewhere else than at its base:
/// what a check carries (RFC 8445 §7.1.1).
pub(super) const fn reflexive_priority(of_base: u32) -> u32 {
    of_base & 0x00FF_FFFF | (Kind::PeerReflexive.preference() as u32) << 24
}

/// `2^32·min(G, D) + 2·max(G, D) + (G > D)` (RFC 8445 §6.1.2.3).
pub(super) fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    let (least, most) = (controlling.min(controlled), controlling.max(controlled));
    (u64::from(least) << 32) + 2 * u64::from(most) + u64::from(controlling > controlled)
}

/// Same type, same base address, same server, same protocol: the same foundation (RFC 8445 §5.1.1.3). A
/// hash does, and tells nobody how many there are.
fn foundation(kind: Kind, base: IpAddr, server: Option<IpAddr>, transport: Transport) -> String {
    // FNV-1a: any hash will do that everybody computes alike; nobody gains by a collision.
    let mut hash = 0x811c_9dc5_u32;
    let mut take = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    };
    take(&[kind.preference(), u8::from(transport == Transport::Tcp)]);
    for ip in [Some(base), server].into_iter().flatten() {
        match ip {
            IpAddr::V4(ip) => take(&ip.octets()),
            IpAddr::V6(ip) => take(&ip.octets()),
        }
    }
    alloc::format!("{hash}")
}

/// Why a candidate is of no use.
///
/// ```
/// use bradawl::punch::Refused;
/// assert_eq!(Refused::TooMany.to_string(), "there are enough of them already");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No host can have this address, or it has no port.
    #[error("no host has such an address")]
    Nowhere,
    /// An address of the host that offers it, which leads nowhere from here.
    #[error("an address of the other host's own")]
    Loopback,
    /// A server of ours: whoever names it wants it to be pelted.
    #[error("the address of one of our servers")]
    Server,
    /// Another component than the one there is.
    #[error("there is one component")]
    Component,
    /// The limit is reached.
    #[error("there are enough of them already")]
    TooMany,
    /// It is known already.
    #[error("known already")]
    Known,
}

/// Whether anything may be sent to an address that somebody offers; `has_loopback`: we listen on our own
/// loopback addresses, too.
pub(super) fn may_send(address: SocketAddr, has_loopback: bool) -> Result<(), Refused> {
    // An IPv4 address in disguise would be another one in every account that is kept.
    if address.ip() != address.ip().to_canonical() {
        return Err(Refused::Nowhere);
    }
    match Scope::of(address.ip()) {
        Scope::Nowhere => Err(Refused::Nowhere),
        _ if address.port() == 0 => Err(Refused::Nowhere),
        Scope::Host if !has_loopback => Err(Refused::Loopback),
        _ => Ok(()),
    }
}

/// Whether packets from `local` can get to `remote` at all.
pub(super) fn can_pair(local: SocketAddr, remote: SocketAddr) -> bool {
    let is_host = |address: SocketAddr| Scope::of(address.ip()) == Scope::Host;
    let is_link = |address: SocketAddr| address.is_ipv6() && Scope::of(address.ip()) == Scope::Link;
    local.is_ipv4() == remote.is_ipv4()
        && is_host(local) == is_host(remote)
        // RFC 8421 §4: a link-local address talks to its like.
        && is_link(local) == is_link(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_rfc() {
        assert_eq!(priority(Kind::Host, 65_535), 2_130_706_431);
        assert_eq!(priority(Kind::ServerReflexive, 65_535), 1_694_498_815);
        assert_eq!(reflexive_priority(2_130_706_431), 1_862_270_975);
        assert_eq!(pair_priority(2, 1), (1 << 32) + 4 + 1);
        assert_eq!(pair_priority(1, 2), (1 << 32) + 4);
    }

    #[test]
    fn foundations_tell_bases_and_kinds_apart() {
        let at = |text: &str| Candidate::host(text.parse().expect("an address"), 1).foundation;
        assert_eq!(at("192.0.2.1:5"), at("192.0.2.1:6"));
        assert_ne!(at("192.0.2.1:5"), at("192.0.2.2:5"));
        assert!(at("[2001:db8::1]:5").len() <= 32, "RFC 8839 allows 32");
    }

    #[test]
    fn nobody_is_sent_to_where_nobody_can_be() {
        let may = |text: &str, has_loopback| may_send(text.parse().expect("an address"), has_loopback);
        for nowhere in
            ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "192.0.2.1:0", "[ff02::1]:1", "[::]:1"]
        {
            assert_eq!(may(nowhere, true), Err(Refused::Nowhere), "{nowhere}");
        }
        assert_eq!(may("[::ffff:192.0.2.1]:1", true), Err(Refused::Nowhere), "an address in disguise");
        for own in ["127.0.0.1:1", "[::1]:1"] {
            assert_eq!((may(own, false), may(own, true)), (Err(Refused::Loopback), Ok(())), "{own}");
        }
        assert_eq!(may("192.168.1.2:5000", false), Ok(()));
    }

    #[test]
    fn families_and_loopbacks_stay_among_themselves() {
        let can = |a: &str, b: &str| can_pair(a.parse().expect("ours"), b.parse().expect("theirs"));
        assert!(can("192.168.1.2:1", "203.0.113.1:1") && can("127.0.0.1:1", "127.0.0.1:2"));
        assert!(!can("192.168.1.2:1", "127.0.0.1:1") && !can("127.0.0.1:1", "192.168.1.2:1"));
        assert!(!can("192.168.1.2:1", "[2001:db8::1]:1"));
        assert!(can("[fe80::1]:1", "[fe80::2]:1") && !can("[2001:db8::2]:1", "[fe80::1]:1"));
    }
}
