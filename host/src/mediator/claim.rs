//! Which sockets a mediator opens, and what it can therefore do for who wants to know his NAT.
//!
//! Each address that it listens on gets a second port, so that a client can tell whether his NAT
//! minds from which port it is answered. Where there is a second IP address, of this host or of a
//! partner's, there are two ports at each of them (RFC 5780 §6.1).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bradawl::stun::server::{Alternate, Ports};

use super::{Plan, SecondPort, StartError, options};
use crate::udp::Udp;

/// What whoever starts a mediator should know about it.
///
/// ```
/// use bradawl_host::mediator::Remark;
///
/// let remark = Remark::SecondPort("192.0.2.1:3479".parse()?);
/// assert_eq!(remark.to_string(), "second port: 192.0.2.1:3479, for who wants to know his NAT");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum Remark {
    /// It also listens here.
    SecondPort(SocketAddr),
    /// It was to listen here too, and does without.
    NoSecondPort {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no second IP address, of either family or of this one.
    OneAddress {
        /// `IP`, `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The second IP address is a partner's.
    Partner(SocketAddr),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondPort(address) => {
                write!(f, "second port: {address}, for who wants to know his NAT")
            }
            Self::NoSecondPort { address, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "no second port: {address} is in use; without one, filtering by port cannot be tested; \
                     choose another with --alternate-port"
                )
            }
            Self::NoSecondPort { address, source } => {
                write!(
                    f,
                    "no second port: cannot listen on {address}: {source}; choose another with --alternate-port"
                )
            }
            Self::OneAddress { family } => write!(
                f,
                "one {family} address: mapping by address and filtering by address cannot be told apart with \
                 this mediator alone; name a second with --alternate"
            ),
            Self::Partner(address) => {
                write!(
                    f,
                    "partner: {address} is to be a mediator that has us as its --alternate and the same secret"
                )
            }
        }
    }
}

/// The sockets of one worker, opened for it alone.
#[derive(Default)]
pub(super) struct Claimed {
    /// First those that peers are told of.
    pub(super) sockets: Vec<Udp>,
    /// The others.
    pub(super) second: Vec<Udp>,
    pub(super) alternates: Vec<Alternate>,
    pub(super) ports: Vec<Ports>,
    pub(super) remarks: Vec<Remark>,
}

impl Claimed {
    /// Opens everything that the plan wants.
    pub(super) fn of(plan: &Plan) -> Result<Self, StartError> {
        let mut claimed = Self::default();
        for &address in &plan.listen {
            claimed.sockets.push(open(address)?);
        }
        let primaries: Vec<_> = claimed.sockets.iter().map(Udp::bound).collect();
        for &wanted in &plan.alternates {
            let primary = primaries.iter().copied().find(|&primary| may_be_primary(primary, wanted));
            let primary = primary.ok_or(StartError::Alternate(wanted))?;
            let pair = if plan.partner_key.is_some() {
                claimed.partner(primary, wanted)?
            } else {
                claimed.alternate(primary, wanted)?
            };
            claimed.alternates.push(pair);
        }
        for (&asked, primary) in plan.listen.iter().zip(primaries) {
            // Where any port will do as the first, any will do as the second.
            let wanted = match plan.second_port {
                SecondPort::Next if asked.port() == 0 => SecondPort::At(0),
                wanted => wanted,
            };
            claimed.second_port(primary, wanted)?;
        }
        claimed.remark_on_families();
        Ok(claimed)
    }

    /// All addresses that are listened on.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().chain(&self.second).map(Udp::bound)
    }

    fn is_open(&self, address: SocketAddr) -> bool {
        self.addresses().any(|open| open == address)
    }

    /// A second IP address of this host, with all that belongs to it.
    fn alternate(&mut self, primary: SocketAddr, wanted: SocketAddr) -> Result<Alternate, StartError> {
        let second = open(wanted).map_err(|error| match error {
            StartError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                StartError::Foreign(wanted)
            }
            error => error,
        })?;
        let pair = Alternate::new(primary, second.bound()).ok_or(StartError::Alternate(wanted))?;
        self.sockets.push(second);
        // The remaining two of the four: each IP address with the other's port.
        for address in pair.addresses() {
            if !self.is_open(address) {
                self.sockets.push(open(address)?);
            }
        }
        Ok(pair)
    }

    /// A second IP address that is a partner's: ours has both ports.
    fn partner(&mut self, primary: SocketAddr, wanted: SocketAddr) -> Result<Alternate, StartError> {
        let pair = Alternate::new(primary, wanted).ok_or(StartError::Alternate(wanted))?;
        let second = SocketAddr::new(primary.ip(), wanted.port());
        if !self.is_open(second) {
            self.second.push(open(second)?);
            self.remarks.push(Remark::SecondPort(second));
        }
        self.remarks.push(Remark::Partner(wanted));
        Ok(pair.of_partner())
    }

    /// A second port for an address that has none yet.
    fn second_port(&mut self, primary: SocketAddr, wanted: SecondPort) -> Result<(), StartError> {
        let of_alternate = self.alternates.iter().any(|pair| pair.addresses().contains(&primary));
        if of_alternate || self.ports.iter().any(|ports| ports.other(primary).is_some()) {
            return Ok(());
        }
        let port = match wanted {
            SecondPort::None => return Ok(()),
            SecondPort::At(port) if port == primary.port() => return Err(StartError::SecondPort(primary)),
            SecondPort::At(port) => port,
            // Beyond the last there is none: the system chooses.
            SecondPort::Next => primary.port().checked_add(1).unwrap_or(0),
        };
        let address = SocketAddr::new(primary.ip(), port);
        if !self.is_open(address) {
            match open(address) {
                Ok(udp) => {
                    self.ports.extend(Ports::new(primary.ip(), primary.port(), udp.bound().port()));
                    self.remarks.push(Remark::SecondPort(udp.bound()));
                    self.second.push(udp);
                }
                Err(StartError::Bind { address, source }) if wanted == SecondPort::Next => {
                    self.remarks.push(Remark::NoSecondPort { address, source });
                }
                Err(error) => return Err(error),
            }
        } else {
            self.ports.extend(Ports::new(primary.ip(), primary.port(), port));
        }
        Ok(())
    }

    /// Says for which families there is one IP address only.
    fn remark_on_families(&mut self) {
        let has_one = |is_ipv4: bool| {
            let of_family = |address: &SocketAddr| address.is_ipv4() == is_ipv4;
            let second = self.alternates.iter().any(|pair| pair.addresses().iter().any(of_family));
            !second && self.addresses().any(|address| of_family(&address))
        };
        let family = match (has_one(true), has_one(false), self.alternates.is_empty()) {
            (false, false, _) => return,
            (_, _, true) => "IP",
            (true, _, _) => "IPv4",
            (false, true, _) => "IPv6",
        };
        self.remarks.push(Remark::OneAddress { family });
    }
}

fn open(address: SocketAddr) -> Result<Udp, StartError> {
    Udp::bind(address, &options(false)).map_err(|source| StartError::Bind { address, source })
}

fn may_be_primary(primary: SocketAddr, wanted: SocketAddr) -> bool {
    let concrete = |ip: IpAddr| !ip.is_unspecified();
    primary.is_ipv4() == wanted.is_ipv4()
        && concrete(primary.ip())
        && concrete(wanted.ip())
        && primary.ip() != wanted.ip()
        && primary.port() != wanted.port()
}
