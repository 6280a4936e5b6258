//! Where a mediator is, and who it is: `ID@host:port`, or `host:port` as long as nobody knows its id.
//!
//! Every address has one text. A name is in lower case; what could be meant as an IP address is one, or is
//! refused.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use core::str::FromStr;

use super::{IdError, PeerId};

/// The longest name of a host (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 253;

/// The longest part of a name between two dots (RFC 1035 §2.3.4).
pub const MAX_LABEL: usize = 63;

/// The port of a mediator that was named without one.
pub const DEFAULT_PORT: u16 = 3478;

/// A mediator as people and tickets name it.
///
/// ```
/// use bradawl::identity::MediatorAddress;
///
/// let mediator: MediatorAddress = "Mediator.example".parse()?;
/// assert_eq!(mediator.to_string(), "mediator.example:3478");
/// let mediator: MediatorAddress =
///     "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa@[2001:db8::1]:443".parse()?;
/// assert!(mediator.id().is_some_and(|id| id.short().to_string() == "rkeohxlu"));
/// assert_eq!(mediator.port().get(), 443);
/// # Ok::<(), bradawl::identity::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediatorAddress {
    host: Host,
    port: NonZeroU16,
    id: Option<PeerId>,
}

/// A host, by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By a name that somebody has to resolve.
    Name(Name),
}

/// The name of a host: letters, digits, `-` and `_` between dots, in lower case.
///
/// ```
/// use bradawl::identity::{AddressError, Name};
///
/// assert_eq!(Name::new("Mediator.Example")?.as_str(), "mediator.example");
/// assert_eq!(Name::new("192.0.2.256"), Err(AddressError::Host));
/// # Ok::<(), AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

/// Why there can be no mediator there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddressError {
    /// What is in front of the `@`.
    #[error("in front of the @: {0}")]
    Id(#[from] IdError),
    /// It is neither an address nor a name.
    #[error(
        "expected HOST:PORT or ID@HOST:PORT, with a host such as mediator.example, 198.51.100.1 or \
         [2001:db8::1]; a name with other letters is written as xn--…"
    )]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// An address at which nobody can be, or that means another host everywhere.
    #[error("{0} is no address that others could reach")]
    Nowhere(IpAddr),
}

impl MediatorAddress {
    /// The mediator at this host and port, which has this id as far as that is known.
    pub fn new(host: Host, port: NonZeroU16, id: Option<PeerId>) -> Result<Self, AddressError> {
        match host {
            Host::Ip(ip) if is_nowhere(ip) => Err(AddressError::Nowhere(ip)),
            host => Ok(Self { host, port, id }),
        }
    }

    /// On which host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// At which port, of UDP.
    pub const fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// Who it has to be. If nobody said, the first that answers there is believed.
    pub const fn id(&self) -> Option<&PeerId> {
        self.id.as_ref()
    }

    /// The same place, and that it has this id.
    #[must_use]
    pub fn with_id(self, id: PeerId) -> Self {
        Self { id: Some(id), ..self }
    }
}

/// A link-local address of IPv6 is one only together with an interface, which every host names in its own way.
fn is_nowhere(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || ip.is_multicast()
        || match ip {
            IpAddr::V4(ip) => ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
}

impl Name {
    /// The host with this name, which may be written in upper case.
    pub fn new(name: &str) -> Result<Self, AddressError> {
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        // What ends in a number is meant as an address, and is none: resolvers read 1.2 and 0x7f.1 as such.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.starts_with(|first: char| first.is_ascii_digit());
        let is_name = name.len() <= MAX_NAME && !is_number && name.split('.').all(is_label);
        if is_name { Ok(Self(name.to_ascii_lowercase())) } else { Err(AddressError::Host) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = AddressError;

    /// IPv6 may be in brackets.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(text) = bracketed {
            return text.parse().map(|ip: Ipv6Addr| Self::Ip(ip.into())).map_err(|_| AddressError::Host);
        }
        text.parse().map(Self::Ip).or_else(|_| Name::new(text).map(Self::Name))
    }
}

impl FromStr for MediatorAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (id, place) = match text.split_once('@') {
            Some((id, place)) => (Some(id.parse()?), place),
            None => (None, text),
        };
        let (host, port) = split(place);
        let port = match port {
            Some(port) => port_from(port)?,
            None => NonZeroU16::new(DEFAULT_PORT).ok_or(AddressError::Port)?,
        };
        Self::new(host.parse()?, port, id)
    }
}

/// The host, and the port if there is one. Colons in an IPv6 address without brackets are its own.
fn split(place: &str) -> (&str, Option<&str>) {
    let bracket = place.rfind(']').unwrap_or(0);
    match place.rfind(':') {
        Some(colon) if colon > bracket && (bracket > 0 || place.find(':') == Some(colon)) => {
            (&place[..colon], Some(&place[colon + 1..]))
        }
        _ => (place, None),
    }
}

/// Digits and nothing else: no sign.
fn port_from(text: &str) -> Result<NonZeroU16, AddressError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(AddressError::Port)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    /// IPv6 is in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for MediatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = &self.id {
            write!(f, "{id}@")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(ip.into())
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(ip.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SecretKey;
    use std::string::ToString as _;
    use std::{format, vec};

    fn read(text: &str) -> Result<MediatorAddress, AddressError> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("198.51.100.1", "198.51.100.1:3478"),
            ("198.51.100.1:1", "198.51.100.1:1"),
            ("2001:DB8::1", "[2001:db8::1]:3478"),
            ("[2001:db8::1]", "[2001:db8::1]:3478"),
            ("[::ffff:192.0.2.1]:65535", "[::ffff:192.0.2.1]:65535"),
            ("::1", "[::1]:3478"),
            ("localhost:080", "localhost:80"),
            ("XN--bcher-kva.example:443", "xn--bcher-kva.example:443"),
            ("_m._udp.a-b.example", "_m._udp.a-b.example:3478"),
        ] {
            let address = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), shown);
            assert_eq!(read(shown), Ok(address.clone()));
            let id = SecretKey::from_seed(&[5; 32]).id();
            let named = address.with_id(id);
            assert_eq!(named.to_string(), format!("{id}@{shown}"));
            assert_eq!(read(&named.to_string()), Ok(named));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = vec!["a".repeat(MAX_LABEL); 4].join(".");
        for text in [
            "",
            ":",
            ":3478",
            "a b",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "ä.example",
            "1.2.3",
            "1.2.3.4.5",
            "0x7f",
            "a.1",
            "[::1",
            "::1]",
            "[::1]9",
            "[a]:9",
            "[1.2.3.4]:5",
            "[]:1",
            "h:1:2",
            "fe80::1%eth0",
            "a/b:1",
            "[[::1]]:1",
            &long,
        ] {
            assert_eq!(read(text), Err(AddressError::Host), "{text}");
        }
        assert!(read(&long[2..]).is_ok_and(|address| address.to_string().len() == MAX_NAME + 5));
        assert_eq!(read(&"a".repeat(MAX_LABEL + 1)), Err(AddressError::Host));
        for text in ["a:", "a:1 ", "a:0", "a:65536", "a:+1", "1.2.3.4:x", "[::1]:", "[::1]:-1"] {
            assert_eq!(read(text), Err(AddressError::Port), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "224.0.0.1", "255.255.255.255", "ff02::1", "fe80::1"] {
            assert!(matches!(read(text), Err(AddressError::Nowhere(_))), "{text}");
        }
        assert!(matches!(read("me@a:1"), Err(AddressError::Id(_))));
        assert!(matches!(read("@a:1"), Err(AddressError::Id(_))));
    }
}
