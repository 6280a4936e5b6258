//! Which addresses a scenario gives, and which it leaves to the world.
//!
//! A network's gateway either translates or lets addresses through. Hosts behind one that translates have
//! addresses of the network's own; hosts behind one that does not have addresses of the network outside.
//! The networks that share their addresses in this way are a *realm*, named after the topmost.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{INTERNET, Scenario};

/// IPv4 addresses that hosts on the internet get by themselves (RFC 5737).
pub const INTERNET_HOSTS: Subnet = Subnet { first: Ipv4Addr::new(198, 51, 100, 0), bits: 24 };
/// Public addresses that gateways on the internet get by themselves (RFC 5737).
pub const INTERNET_GATEWAYS: Subnet = Subnet { first: Ipv4Addr::new(203, 0, 113, 0), bits: 24 };
/// Addresses between a carrier's NAT and the gateways behind it (RFC 6598).
pub const CARRIER: Subnet = Subnet { first: Ipv4Addr::new(100, 64, 0, 0), bits: 10 };
/// The addresses of every other network behind a NAT, as homes have them: the same in all of them.
pub const HOME: Subnet = Subnet { first: Ipv4Addr::new(192, 168, 1, 0), bits: 24 };
/// The /64 of IPv6 addresses that hosts on the internet get by themselves (RFC 3849).
pub const INTERNET_HOSTS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
/// The /36 of IPv6 addresses that networks get a /64 of, each, by themselves (RFC 3849).
pub const NETWORKS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x1000, 0, 0, 0, 0, 0);

/// Where the packets of `evil` faults come from.
pub(crate) const STRANGERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x66)),
];

/// An IPv4 prefix between /8 and /29, written as `192.168.7.0/24`.
///
/// ```
/// use bradawl_sim::scenario::Subnet;
///
/// let subnet: Subnet = "192.168.7.0/24".parse()?;
/// assert!(subnet.contains("192.168.7.9".parse()?));
/// assert_eq!(subnet.host(0), Some("192.168.7.1".parse()?));
/// assert_eq!(subnet.host(254), None);
/// assert!("192.168.7.1/24".parse::<Subnet>().unwrap_err().to_string().contains("192.168.7.0/24"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    first: Ipv4Addr,
    bits: u8,
}

impl Subnet {
    /// The one of `bits` bits that `ip` is in; `None` unless hosts can live in it.
    pub fn of(ip: Ipv4Addr, bits: u8) -> Option<Self> {
        let first = Ipv4Addr::from_bits(ip.to_bits() & mask(bits));
        let sane = (8..=29).contains(&bits) && unicast(first);
        sane.then_some(Self { first, bits })
    }

    /// Whether an address belongs to it.
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & mask(self.bits) == self.first.to_bits()
    }

    /// How many leading bits name it.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// How many hosts can live in it, its gateway being one of them.
    pub const fn size(self) -> u32 {
        (1 << (32 - self.bits)) - 2
    }

    /// The host with this number; 0 is the gateway's.
    pub fn host(self, number: u32) -> Option<Ipv4Addr> {
        (number < self.size()).then(|| Ipv4Addr::from_bits(self.first.to_bits() + 1 + number))
    }

    /// Whether a host other than the gateway can have the address.
    pub(super) fn has_host(self, ip: Ipv4Addr) -> bool {
        let number = ip.to_bits().wrapping_sub(self.first.to_bits());
        (2..=self.size()).contains(&number)
    }
}

/// The upper `bits` of 32, which are 1 to 32.
const fn mask(bits: u8) -> u32 {
    u32::MAX.unbounded_shl(32 - bits as u32)
}

/// Whether a host can have addresses like this at all.
fn unicast(ip: Ipv4Addr) -> bool {
    !matches!(ip.octets(), [0 | 127 | 224..=255, ..] | [169, 254, ..])
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Why a text is no [`Subnet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Something else altogether.
    #[error("not a subnet such as `192.168.7.0/24`")]
    Form,
    /// Too large or too small.
    #[error("not a subnet of a sane size, which is /8 to /29")]
    Size,
    /// Hosts cannot have such addresses.
    #[error("not a subnet that hosts can live in")]
    Unusable,
    /// It begins elsewhere.
    #[error("not where the subnet begins: that is `{0}`")]
    Begins(Subnet),
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (ip, bits) = text.split_once('/').ok_or(SubnetError::Form)?;
        let ip: Ipv4Addr = ip.parse().map_err(|_| SubnetError::Form)?;
        let bits: u8 = bits.parse().map_err(|_| SubnetError::Form)?;
        if !(8..=29).contains(&bits) {
            return Err(SubnetError::Size);
        }
        let subnet = Self::of(ip, bits).ok_or(SubnetError::Unusable)?;
        if subnet.first == ip { Ok(subnet) } else { Err(SubnetError::Begins(subnet)) }
    }
}

impl Serialize for Subnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("`{text}` is {error}")))
    }
}

impl Scenario {
    /// The network whose addresses the hosts of `network` have: itself, or the nearest one outwards that is
    /// behind a gateway which translates, or the internet. Only for scenarios that are in order.
    pub fn realm<'a>(&'a self, network: &'a str) -> &'a str {
        let mut name = network;
        for _ in 0..=self.networks.len() {
            match self.networks.get(name) {
                Some(spec) if !self.translates(&spec.behind) => name = &spec.outside,
                Some(_) => return name,
                None => break,
            }
        }
        INTERNET
    }

    /// The IPv4 addresses that hosts in `network` get by themselves. Only for scenarios that are in order.
    pub fn subnet(&self, network: &str) -> Subnet {
        let realm = self.realm(network);
        let Some(spec) = self.networks.get(realm) else {
            return INTERNET_HOSTS;
        };
        let above_others = || {
            self.networks.values().any(|it| self.translates(&it.behind) && self.realm(&it.outside) == realm)
        };
        spec.subnet.unwrap_or_else(|| if above_others() { CARRIER } else { HOME })
    }

    /// Whether a host in `network` can be given `ip`; if not, why.
    pub(super) fn admits(&self, network: &str, ip: IpAddr) -> Result<(), String> {
        let realm = self.realm(network);
        if realm == INTERNET && (network == INTERNET || ip.is_ipv4()) {
            return on_the_internet(ip);
        }
        match ip {
            IpAddr::V6(_) => Err("IPv6 addresses can be given on the internet only, elsewhere each host \
                                  gets one by itself"
                .to_owned()),
            IpAddr::V4(ip) if self.subnet(realm).has_host(ip) => Ok(()),
            IpAddr::V4(ip) if self.subnet(realm).host(0) == Some(ip) => {
                Err(format!("{ip} is the address of the gateway of `{realm}`"))
            }
            IpAddr::V4(ip) if self.subnet(realm).contains(ip) => {
                Err(format!("{ip} is an address of the whole of `{realm}`, not of a host"))
            }
            IpAddr::V4(ip) => Err(format!("{ip} is not in {}, the subnet of `{realm}`", self.subnet(realm))),
        }
    }
}

/// Whether a host on the internet can be given this address.
fn on_the_internet(ip: IpAddr) -> Result<(), String> {
    let automatic = match ip {
        IpAddr::V4(ip) => INTERNET_HOSTS.contains(ip) || INTERNET_GATEWAYS.contains(ip),
        IpAddr::V6(ip) => {
            let starts_like =
                |prefix: Ipv6Addr, bits: u32| (ip.to_bits() ^ prefix.to_bits()).leading_zeros() >= bits;
            starts_like(INTERNET_HOSTS_V6, 64) || starts_like(NETWORKS_V6, 36)
        }
    };
    if !global(ip) {
        return Err(format!("{ip} is no address that a host on the internet can have"));
    }
    if STRANGERS.contains(&ip) {
        return Err(format!("{ip} is the stranger's, who sends what `evil` faults send"));
    }
    if automatic {
        return Err(format!("{ip} is in a range that is given out automatically; take one outside of it"));
    }
    Ok(())
}

/// Whether an address looks like one of the internet's. Those for documentation do: what else should a
/// scenario use?
fn global(ip: IpAddr) -> bool {
    match ip {
        // 198.18.0.0/15 is where the crowd behind a NAT sends to.
        IpAddr::V4(ip) => {
            let benchmarks = matches!(ip.octets(), [198, 18 | 19, ..]);
            unicast(ip) && !ip.is_private() && !CARRIER.contains(ip) && !benchmarks
        }
        IpAddr::V6(ip) => ip.to_bits() >> 125 == 0b001,
    }
}
