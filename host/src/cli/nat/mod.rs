//! What is known of the NAT, as a result: a block of lines for people, one object for programs.

mod json;
mod text;

use std::net::SocketAddr;

use bradawl::discovery::{Circumstances, Ipv6, NatProfile};
use bradawl::portmap::{Refusal, Via};

use super::output::Event;

/// Over which protocol a profile was taken.
///
/// ```
/// use bradawl_host::cli::nat::Family;
/// assert_eq!(Family::of("[2001:db8::1]:3478".parse()?), Family::Ipv6);
/// assert_eq!(Family::Ipv6.name(), "ipv6");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// That of an address.
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }

    /// Its name for programs; it stays.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// Whether the router opens a port for us.
///
/// ```
/// use bradawl_host::cli::nat::PortMapping;
/// use bradawl::portmap::Via;
/// let open = PortMapping::Open { via: Via::Pcp, external: "203.0.113.9:4000".parse()? };
/// assert_ne!(open, PortMapping::NotAsked);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortMapping {
    /// Nobody has asked it.
    #[default]
    NotAsked,
    /// It was asked and does not, or there is none.
    Refused(Refusal),
    /// It does.
    Open {
        /// By which protocol.
        via: Via,
        /// Which address of its own.
        external: SocketAddr,
    },
}

/// What is known of the way out, over one address family.
///
/// ```
/// use bradawl::discovery::{Ipv6, NatProfile};
/// use bradawl_host::cli::nat::{Family, Nat, PortMapping};
///
/// let nat = Nat {
///     family: Family::Ipv4,
///     profile: &NatProfile::default(),
///     ipv6: Ipv6::Unknown,
///     port_mapping: PortMapping::NotAsked,
///     patient: false,
/// };
/// assert!(nat.to_string().starts_with("IPv4 · no server answered"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Nat<'a> {
    /// Which family.
    pub family: Family,
    /// What is known.
    pub profile: &'a NatProfile,
    /// What is known of IPv6 here.
    pub ipv6: Ipv6,
    /// Whether the router opens a port for us.
    pub port_mapping: PortMapping,
    /// Whether the lifetime of mappings was waited for.
    pub patient: bool,
}

impl Event for Nat<'_> {
    const NAME: &'static str = "nat";
}

impl Nat<'_> {
    fn circumstances(&self) -> Circumstances {
        let port_mapping = match self.port_mapping {
            // One at an address that nobody has seen us at leads to another NAT.
            PortMapping::Open { external, .. } => self.profile.public.contains(&external.ip()),
            PortMapping::NotAsked | PortMapping::Refused(_) => false,
        };
        let works = matches!(self.ipv6, Ipv6::Filtered | Ipv6::Open | Ipv6::Works);
        Circumstances { port_mapping, ipv6: works && self.family == Family::Ipv4 }
    }

    /// Whether nobody on the way changes addresses.
    fn is_untranslated(&self) -> bool {
        self.profile.translated.is_some_and(|finding| !finding.value)
    }

    fn is_blocked(&self) -> bool {
        self.profile.udp.is_some_and(|finding| !finding.value)
    }

    fn nobody_answered(&self) -> bool {
        self.profile.servers.1 == 0
    }
}
