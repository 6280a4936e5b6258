//! Where a server can answer from, and what the world calls those addresses (RFC 5780 §6.1).
//!
//! Behaviour discovery wants two IP addresses and two ports. A server can have them all itself, or
//! share the IP addresses with a partner, or have only the ports: then it says so in HELP and never
//! in OTHER-ADDRESS, which promises another IP address (RFC 5780 §7.4).

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::machine::{Path, Transport};
use crate::wire::stun::attr::ChangeRequest;

/// The two IP addresses and two ports of a server that helps with behaviour discovery. The host
/// listens on all four combinations, or on the first two where the second IP address is a partner's.
///
/// ```
/// use bradawl::stun::server::Alternate;
///
/// let pair = Alternate::new("192.0.2.1:3478".parse()?, "192.0.2.2:3479".parse()?).unwrap();
/// assert_eq!(pair.addresses()[1], "192.0.2.1:3479".parse()?);
/// assert!(Alternate::new("192.0.2.1:3478".parse()?, "192.0.2.2:3478".parse()?).is_none()); // same port
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    primary: SocketAddr,
    secondary: SocketAddr,
    elsewhere: bool,
}

impl Alternate {
    /// `None` unless the two are concrete, differ in IP address and in port, and are of one family.
    pub fn new(primary: SocketAddr, secondary: SocketAddr) -> Option<Self> {
        let concrete = |address: SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
        let differ = primary.ip() != secondary.ip() && primary.port() != secondary.port();
        let alike = primary.is_ipv4() == secondary.is_ipv4();
        (concrete(primary) && concrete(secondary) && differ && alike).then_some(Self {
            primary,
            secondary,
            elsewhere: false,
        })
    }

    /// The same, but the second IP address is that of a partner: another server, set up the other way
    /// round with the same secret, [`Config::partner_key`](super::Config::partner_key). Both listen on
    /// both ports.
    #[must_use]
    pub const fn of_partner(self) -> Self {
        Self { elsewhere: true, ..self }
    }

    /// All four.
    pub fn addresses(&self) -> [SocketAddr; 4] {
        let address = |ip: SocketAddr, port: SocketAddr| SocketAddr::new(ip.ip(), port.port());
        let (a, b) = (self.primary, self.secondary);
        [address(a, a), address(a, b), address(b, a), address(b, b)]
    }

    /// Whether the second IP address is a partner's.
    pub const fn is_of_partner(&self) -> bool {
        self.elsewhere
    }

    /// Whether this is an address of the server itself.
    pub(super) fn owns(&self, local: SocketAddr) -> bool {
        let ours = !self.elsewhere || local.ip() == self.primary.ip();
        ours && self.changed(local, ChangeRequest::default()).is_some()
    }

    /// The partner's IP address.
    pub(super) fn partner(&self) -> Option<IpAddr> {
        self.elsewhere.then(|| self.secondary.ip())
    }

    /// The address that differs from `local` as asked; `None` if `local` is not one of the four.
    pub(super) fn changed(&self, local: SocketAddr, change: ChangeRequest) -> Option<SocketAddr> {
        let other = |is_primary: bool| if is_primary { self.secondary } else { self.primary };
        let by_ip = self.holder(local, SocketAddr::ip)?;
        let by_port = self.holder(local, SocketAddr::port)?;
        let ip = if change.ip { other(by_ip == self.primary) } else { by_ip };
        let port = if change.port { other(by_port == self.primary) } else { by_port };
        Some(SocketAddr::new(ip.ip(), port.port()))
    }

    /// Which of the two shares a part with `local`.
    fn holder<T: PartialEq>(&self, local: SocketAddr, part: fn(&SocketAddr) -> T) -> Option<SocketAddr> {
        [self.primary, self.secondary].into_iter().find(|address| part(address) == part(&local))
    }
}

/// Two ports of a server with one IP address, each of which can answer for the other. The host
/// listens on both.
///
/// ```
/// use bradawl::stun::server::Ports;
///
/// let everywhere = Ports::new("0.0.0.0".parse()?, 3478, 3479).unwrap();
/// assert_eq!(everywhere.other("192.0.2.1:3479".parse()?), Some(3478));
/// assert_eq!(everywhere.other("192.0.2.1:3480".parse()?), None);
/// assert!(Ports::new("0.0.0.0".parse()?, 3478, 3478).is_none());
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    ip: IpAddr,
    ports: [u16; 2],
}

impl Ports {
    /// At this IP address, or at all of its family if it is the unspecified one; `None` unless there
    /// are two ports.
    pub fn new(ip: IpAddr, first: u16, second: u16) -> Option<Self> {
        let two = first != second && first != 0 && second != 0;
        two.then_some(Self { ip, ports: [first, second] })
    }

    /// The other port than that of `local`; `None` if `local` is neither.
    pub fn other(&self, local: SocketAddr) -> Option<u16> {
        let everywhere = self.ip.is_unspecified() && self.ip.is_ipv4() == local.is_ipv4();
        if !everywhere && self.ip != local.ip() {
            return None;
        }
        match self.ports {
            [port, other] | [other, port] if port == local.port() => Some(other),
            _ => None,
        }
    }
}

/// What a server knows of its own addresses.
pub(super) struct Addresses {
    pub(super) alternates: Vec<Alternate>,
    pub(super) ports: Vec<Ports>,
    pub(super) advertised: Vec<(IpAddr, IpAddr)>,
}

impl Addresses {
    /// The pair of addresses that the one that was asked belongs to. Over a connection there is no
    /// answering from elsewhere.
    #[inline]
    pub(super) fn alternate_of(&self, path: Path) -> Option<&Alternate> {
        if self.alternates.is_empty() || path.transport != Transport::Udp {
            return None;
        }
        self.alternates.iter().find(|alternate| alternate.owns(path.local))
    }

    /// The address that differs as asked from the one that was asked, be it ours or the partner's;
    /// `None` if there is no such address.
    pub(super) fn changed(&self, path: Path, change: ChangeRequest) -> Option<SocketAddr> {
        if let Some(pair) = self.alternate_of(path) {
            return pair.changed(path.local, change);
        }
        match change {
            ChangeRequest { ip: true, .. } => None,
            ChangeRequest { port: false, .. } => Some(path.local),
            _ if path.transport != Transport::Udp => None,
            _ => {
                let port = self.ports.iter().find_map(|ports| ports.other(path.local))?;
                Some(SocketAddr::new(path.local.ip(), port))
            }
        }
    }

    /// The other port at the IP address that was asked.
    pub(super) fn other_port(&self, path: Path) -> Option<u16> {
        let changed = self.changed(path, ChangeRequest { ip: false, port: true });
        changed.map(|address| address.port())
    }

    /// Whether a partner has this IP address.
    pub(super) fn is_partner(&self, ip: IpAddr) -> bool {
        self.alternates.iter().any(|alternate| alternate.partner() == Some(ip))
    }

    /// What the world calls an address of ours.
    pub(super) fn advertised(&self, local: SocketAddr) -> SocketAddr {
        let public = self.advertised.iter().find(|(ours, _)| *ours == local.ip());
        public.map_or(local, |&(_, public)| SocketAddr::new(public, local.port()))
    }
}
