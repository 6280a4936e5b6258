//! What a NAT does, one field per axis of RFC 4787.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use bradawl::time::Duration;
use serde::{Deserialize, Serialize};

/// The axes. The default of each is what RFC 4787 asks for, which most home routers nearly do.
///
/// ```
/// use bradawl_sim::nat::{Allocation, Config, Dependence};
///
/// let symmetric = Config {
///     mapping: Dependence::AddressAndPort,
///     allocation: Allocation::Random,
///     ..Config::new(["203.0.113.9".parse()?])
/// };
/// assert_eq!(symmetric.filtering, Dependence::AddressAndPort);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Its public addresses.
    pub addresses: Vec<IpAddr>,
    /// When a host gets the same public endpoint again (RFC 4787 §4.1).
    pub mapping: Dependence,
    /// Who may send to that endpoint (RFC 4787 §5).
    pub filtering: Dependence,
    /// Which port a new mapping gets (RFC 4787 §4.2.1).
    pub allocation: Allocation,
    /// Even ports stay even, odd ones odd (RFC 4787 §4.2.2).
    pub parity: bool,
    /// The ports that it hands out.
    pub ports: RangeInclusive<u16>,
    /// Whether one mapping's packets can come back in at another's (RFC 4787 §6).
    pub hairpin: Hairpin,
    /// Which public address a host gets (RFC 4787 §4.1, REQ-2).
    pub pooling: Pooling,
    /// How long a mapping lives that is not refreshed (RFC 4787 §4.3).
    pub lifetime: Duration,
    /// Whether what comes in refreshes a mapping, too (RFC 4787 REQ-6).
    pub refresh_inbound: bool,
    /// How many mappings it has room for.
    pub capacity: usize,
    /// How many of these one host may have.
    pub per_host: usize,
    /// How many mappings strangers behind it make per second, each to somebody new.
    pub crowd: u32,
}

impl Config {
    /// A well-behaved NAT with these public addresses: endpoint-independent mapping, address- and
    /// port-dependent filtering, ports preserved.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            mapping: Dependence::Endpoint,
            filtering: Dependence::AddressAndPort,
            allocation: Allocation::Preserve(Fallback::Random),
            parity: false,
            ports: 1_024..=u16::MAX,
            hairpin: Hairpin::ExternalSource,
            pooling: Pooling::Paired,
            lifetime: Duration::from_secs(120),
            refresh_inbound: true,
            capacity: 65_536,
            per_host: 65_536,
            crowd: 0,
        }
    }

    /// The most strangers per second that are simulated.
    pub const MAX_CROWD: u32 = 10_000;

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        if self.addresses.iter().any(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(ConfigError::Address);
        }
        if self.ports.is_empty() || *self.ports.start() == 0 {
            return Err(ConfigError::Ports);
        }
        if self.parity && self.ports.end() - self.ports.start() == 0 {
            return Err(ConfigError::Parity);
        }
        if matches!(self.allocation, Allocation::Sequential { step: 0 } | Allocation::Block { size: 0 }) {
            return Err(ConfigError::Step);
        }
        if self.lifetime.is_zero() {
            return Err(ConfigError::Lifetime);
        }
        if self.crowd > Self::MAX_CROWD {
            return Err(ConfigError::Crowd);
        }
        Ok(())
    }
}

/// Why there is no such NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It has no public address.
    #[error("a NAT needs a public address")]
    NoAddress,
    /// An address is not one that a host can have.
    #[error("0.0.0.0, [::] and multicast are no addresses for a NAT")]
    Address,
    /// It has no ports, or port 0.
    #[error("the port range is empty or begins with 0")]
    Ports,
    /// Parity needs an even and an odd port at least.
    #[error("parity needs more than one port")]
    Parity,
    /// A step or a block of nothing.
    #[error("a sequential step or a block size of 0 leads nowhere")]
    Step,
    /// Mappings that die at once.
    #[error("a lifetime of 0 is no mapping at all")]
    Lifetime,
    /// More strangers than are simulated.
    #[error("a crowd of more than {} mappings per second is not simulated", Config::MAX_CROWD)]
    Crowd,
}

/// How much of the other side's address a NAT looks at (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// None of it: endpoint-independent.
    Endpoint,
    /// Its IP address: address-dependent.
    Address,
    /// All of it: address- and port-dependent.
    AddressAndPort,
}

/// Which port a new mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The inside port, if it is free; else as the fallback says.
    Preserve(Fallback),
    /// The one after the last, or further on.
    Sequential {
        /// By how much.
        step: u16,
    },
    /// Any free one.
    Random,
    /// Any free one of a contiguous block that the host was given (RFC 7422).
    Block {
        /// How many ports a block has.
        size: u16,
    },
}

/// Which port a new mapping gets if its own is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The next free one upwards.
    Next,
    /// Any free one.
    Random,
}

/// Whether one mapping's packets can come back in at another's, and how they look (RFC 4787 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hairpin {
    /// They cannot.
    None,
    /// From the sender's public endpoint, as REQ-9a wants.
    ExternalSource,
    /// From the sender's private endpoint, which confuses whoever receives it.
    InternalSource,
}

/// Which of several public addresses a host gets (RFC 4787 REQ-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The same for all its mappings.
    Paired,
    /// Any for each.
    Arbitrary,
}
