//! What a NAT does, one field per axis of RFC 4787, RFC 5382 and RFC 7857.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::range::PortRange;
use crate::units::Span;

/// The axes. The default of each is what RFC 4787 asks for, which most home routers nearly do:
/// endpoint-independent mapping, address- and port-dependent filtering, ports preserved.
///
/// ```
/// use bradawl_sim::nat::{Allocation, Behaviour, Dependence};
///
/// let symmetric: Behaviour = toml::from_str(
///     "mapping = 'address-and-port'
///      allocation = { sequential = { step = 1 } }
///      ports = '1024-65535'
///      lifetime = '30 s'",
/// )?;
/// assert_eq!(symmetric.allocation, Allocation::Sequential { step: 1 });
/// assert_eq!(symmetric.filtering, Dependence::AddressAndPort); // as by default
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Behaviour {
    /// When a host gets the same public endpoint again (RFC 4787 §4.1).
    pub mapping: Dependence,
    /// Who may send to that endpoint (RFC 4787 §5).
    pub filtering: Dependence,
    /// Which port a new mapping gets (RFC 4787 §4.2.1).
    pub allocation: Allocation,
    /// Whether several inside endpoints may have the same public one, as long as they talk to
    /// different peers: what is unique is the whole tuple. RFC 4787 REQ-3 forbids it, many do it.
    pub overload: bool,
    /// Even ports stay even, odd ones odd (RFC 4787 §4.2.2).
    pub parity: bool,
    /// An odd port is mapped right above its even neighbour, if that has a mapping and the place is
    /// free (RFC 4787 §4.2.3).
    pub contiguity: bool,
    /// Inside ports below 1,024 get public ones below 1,024 (RFC 4787 REQ-3b), from 1–511 or 600–1023
    /// as in netfilter. Such ports are preserved then even where `ports` begins above.
    pub well_known: bool,
    /// The ports that it hands out.
    pub ports: PortRange,
    /// Whether one mapping's packets can come back in at another's (RFC 4787 §6).
    pub hairpin: Hairpin,
    /// Which public address a host gets (RFC 4787 §4.1, REQ-2).
    pub pooling: Pooling,
    /// How long a UDP mapping lives that is not refreshed (RFC 4787 §4.3).
    pub lifetime: Span,
    /// How long it lives instead as long as nothing has come in but the packet that does now
    /// (netfilter: 30 s).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreplied: Option<Span>,
    /// For how long after its first packet `unreplied` holds even if it is answered (netfilter: 2 s).
    pub probation: Span,
    /// How long a peer may send to a UDP mapping which lives on, counted from the last packet of that
    /// session that refreshes (RFC 4787 §5). By default as long as the mapping lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_lifetime: Option<Span>,
    /// Whether what goes out refreshes a UDP mapping (RFC 4787 REQ-6 demands it). If not, and what
    /// comes in does not either, its lifetime runs from its first packet.
    pub refresh_outbound: bool,
    /// Whether what comes in refreshes it, too (RFC 4787 REQ-6).
    pub refresh_inbound: bool,
    /// Whether a packet from outside that nobody asked for takes its tuple, because the box itself
    /// accepts it, as netfilter's connection tracking does without a firewall. Whoever sends to that
    /// peer afterwards has to use another port.
    pub early: bool,
    /// How long a TCP connection lives that is established and idle (RFC 5382 REQ-5).
    pub tcp_established: Span,
    /// How long one lives that is half open or closing (RFC 5382 REQ-5, RFC 7857 §2.1).
    pub tcp_transitory: Span,
    /// Whether it refuses a TCP SYN from outside which nobody asked for, which RFC 5382 REQ-4 forbids
    /// for the first six seconds, rather than dropping it silently.
    pub refuse: bool,
    /// Whether ICMP errors pass (RFC 4787 REQ-10, RFC 5508 §4).
    pub pass_errors: bool,
    /// How many mappings it has room for.
    pub capacity: u32,
    /// How many of these one host may have.
    pub per_host: u32,
    /// How many mappings strangers behind it make per second, each to somebody new.
    pub crowd: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::WELL_BEHAVED
    }
}

impl Behaviour {
    /// What RFC 4787 asks for: the default.
    pub const WELL_BEHAVED: Self = Self {
        mapping: Dependence::Endpoint,
        filtering: Dependence::AddressAndPort,
        allocation: Allocation::Preserve(Fallback::Random),
        overload: false,
        parity: false,
        contiguity: false,
        well_known: false,
        ports: PortRange { first: 1_024, last: u16::MAX },
        hairpin: Hairpin::ExternalSource,
        pooling: Pooling::Paired,
        lifetime: Span::from_secs(120),
        unreplied: None,
        probation: Span::ZERO,
        filter_lifetime: None,
        refresh_outbound: true,
        refresh_inbound: true,
        early: false,
        tcp_established: Span::from_secs(7_440),
        tcp_transitory: Span::from_secs(240),
        refuse: false,
        pass_errors: true,
        capacity: 65_536,
        per_host: 65_536,
        crowd: 0,
    };

    /// The most strangers per second that are simulated.
    pub const MAX_CROWD: u32 = 10_000;

    /// The most mappings that are simulated.
    pub const MAX_CAPACITY: u32 = 1 << 20;

    /// Whether there can be such a NAT.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.ports.is_empty() || self.ports.first == 0 {
            return Err(ConfigError::Ports);
        }
        if self.parity && self.ports.len() == 1 {
            return Err(ConfigError::Parity);
        }
        if matches!(self.allocation, Allocation::Sequential { step: 0 } | Allocation::Block { size: 0 }) {
            return Err(ConfigError::Step);
        }
        let always = [self.lifetime, self.tcp_established, self.tcp_transitory];
        let perhaps = [self.unreplied, self.filter_lifetime];
        if always.into_iter().chain(perhaps.into_iter().flatten()).any(|span| span == Span::ZERO) {
            return Err(ConfigError::Lifetime);
        }
        if self.crowd > Self::MAX_CROWD {
            return Err(ConfigError::Crowd);
        }
        if self.capacity > Self::MAX_CAPACITY {
            return Err(ConfigError::Capacity);
        }
        Ok(())
    }

    /// In the words of the RFCs, for people: the axes that matter most, and what is unusual about the others.
    ///
    /// ```
    /// assert_eq!(
    ///     bradawl_sim::nat::Behaviour::default().terms(),
    ///     "endpoint-independent mapping, address- and port-dependent filtering, ports preserved, \
    ///      hairpinning, 120 s",
    /// );
    /// ```
    pub fn terms(&self) -> String {
        let mut words = vec![
            format!("{} mapping", self.mapping),
            format!("{} filtering", self.filtering),
            self.port_words(),
        ];
        let mut say = |said: bool, what: &str| {
            if said {
                words.push(what.to_owned());
            }
        };
        say(self.overload, "port overloading");
        say(self.parity, "parity kept");
        say(self.contiguity, "contiguity kept");
        say(self.pooling == Pooling::Arbitrary, "arbitrary pooling");
        say(self.hairpin == Hairpin::ExternalSource, "hairpinning");
        say(self.hairpin == Hairpin::InternalSource, "hairpinning with internal source");
        say(self.hairpin == Hairpin::None, "no hairpinning");
        say(self.early, "early packets take their tuple");
        say(!self.refresh_outbound, "no outbound refresh");
        say(!self.refresh_inbound, "no inbound refresh");
        say(self.refuse, "unsolicited SYN refused");
        say(!self.pass_errors, "no ICMP errors");
        let seconds = format_seconds(self.lifetime);
        words.push(match self.unreplied {
            Some(span) => format!("{} unreplied, then {seconds}", format_seconds(span)),
            None => seconds,
        });
        if let Some(span) = self.filter_lifetime {
            words.push(format!("filter {}", format_seconds(span)));
        }
        if self.per_host < Self::WELL_BEHAVED.per_host {
            words.push(format!("{} mappings per host", self.per_host));
        }
        words.join(", ")
    }

    fn port_words(&self) -> String {
        let range = if self.ports == Self::WELL_BEHAVED.ports {
            String::new()
        } else {
            format!(" of {}", self.ports)
        };
        match self.allocation {
            Allocation::Preserve(_) => format!("ports preserved{range}"),
            Allocation::Sequential { step: 1 } => format!("ports sequential{range}"),
            Allocation::Sequential { step } => format!("ports sequential by {step}{range}"),
            Allocation::Random => format!("ports random{range}"),
            Allocation::Block { size } => format!("ports random in a block of {size}{range}"),
        }
    }
}

/// In seconds, as the RFCs speak of lifetimes, where it is a whole number of them.
fn format_seconds(span: Span) -> String {
    match span.as_micros() {
        micros if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
        _ => span.to_string(),
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
    #[error("a crowd of more than {} mappings per second is not simulated", Behaviour::MAX_CROWD)]
    Crowd,
    /// More mappings than are simulated.
    #[error("a capacity of more than {} mappings is not simulated", Behaviour::MAX_CAPACITY)]
    Capacity,
}

/// How much of the other side's address a NAT looks at (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// None of it: endpoint-independent.
    #[default]
    Endpoint,
    /// Its IP address: address-dependent.
    Address,
    /// All of it: address- and port-dependent.
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

/// Which port a new mapping gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// The inside port, if it is free; else as the fallback says. Where ports are overloaded, the
    /// public endpoint that the inside endpoint was given last is tried before, as netfilter does.
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

impl Default for Allocation {
    fn default() -> Self {
        Self::Preserve(Fallback::Random)
    }
}

/// Which port a new mapping gets if its own is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// The next free one upwards.
    Next,
    /// Any free one.
    #[default]
    Random,
}

/// Whether one mapping's packets can come back in at another's, and how they look (RFC 4787 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hairpin {
    /// They cannot.
    None,
    /// From the sender's public endpoint, as REQ-9a wants.
    #[default]
    ExternalSource,
    /// From the sender's private endpoint, which confuses whoever receives it.
    InternalSource,
}

/// Which of several public addresses a host gets (RFC 4787 REQ-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The same for all its mappings.
    #[default]
    Paired,
    /// Any for each.
    Arbitrary,
}
