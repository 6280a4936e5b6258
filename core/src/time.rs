//! Time as the core sees it: a count of microseconds since an epoch that the caller chose.
//!
//! The core never reads a clock. Whoever drives a machine passes the current [`Instant`] into every
//! call, and may start counting wherever it likes: at boot, at the start of a simulation, at zero.
//! Arithmetic saturates, so that a hostile or broken clock can stop a timer but never panic.

use core::fmt;
use core::ops::{Add, AddAssign};
pub use core::time::Duration;

/// A point in time: microseconds since the caller's epoch.
///
/// ```
/// use bradawl::time::{Duration, Instant};
///
/// let start = Instant::ZERO + Duration::from_millis(20);
/// assert_eq!(start.as_micros(), 20_000);
/// assert_eq!(start.since(Instant::ZERO), Duration::from_millis(20));
/// // Time that runs backwards is no time at all, and the far future stays the far future.
/// assert_eq!(Instant::ZERO.since(start), Duration::ZERO);
/// assert_eq!(Instant::FAR_FUTURE + Duration::from_secs(1), Instant::FAR_FUTURE);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The caller's epoch.
    pub const ZERO: Self = Self(0);
    /// Later than everything that will ever happen.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant this many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
