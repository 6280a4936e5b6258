//! Ranges of ports, written as `1024-65535`.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Ports from one to another, both included.
///
/// ```
/// use bradawl_sim::nat::PortRange;
///
/// let ports: PortRange = "50001-65535".parse()?;
/// assert_eq!(ports, PortRange::from(50_001..=65_535));
/// assert_eq!(ports.len(), 15_535);
/// assert!(ports.contains(50_001) && !ports.contains(50_000));
/// assert!("1024".parse::<PortRange>().is_err());
/// # Ok::<(), bradawl_sim::nat::PortRangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// How many there are.
    pub const fn len(self) -> u32 {
        if self.is_empty() { 0 } else { (self.last - self.first) as u32 + 1 }
    }

    /// Whether there is none, because the last is before the first.
    pub const fn is_empty(self) -> bool {
        self.last < self.first
    }

    /// The one that is `offset` above the first, round and round.
    pub(super) const fn nth(self, offset: u32) -> u16 {
        self.first + (offset % self.len()) as u16
    }

    /// The one that is `step` above `port`, which is one of them, round and round.
    pub(super) const fn after(self, port: u16, step: u16) -> u16 {
        self.nth((port - self.first) as u32 + step as u32)
    }
}

impl From<RangeInclusive<u16>> for PortRange {
    fn from(range: RangeInclusive<u16>) -> Self {
        Self { first: *range.start(), last: *range.end() }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// No range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range of ports such as `1024-65535`")]
pub struct PortRangeError;

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').ok_or(PortRangeError)?;
        let port = |text: &str| text.trim().parse().map_err(|_| PortRangeError);
        Ok(Self { first: port(first)?, last: port(last)? })
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format!("`{text}` is {error}")))
    }
}
