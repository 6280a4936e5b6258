//! A clock for machines that also counts the time a laptop slept.
//!
//! NAT mappings, tickets and consent all run out while a host is suspended, so the core's time must
//! go on. On Linux that is `CLOCK_BOOTTIME`; beside it `CLOCK_MONOTONIC`, which stands still in
//! suspend, tells by how much the two drift apart that the host was away.
//!
//! What runtimes wait with (`poll`, timers) also stands still in suspend, so that a long wait would
//! end as much too late as the host slept. [`Wait::timeout`](crate::driver::Wait::timeout) is
//! therefore never longer than [`JUMP`]: a host that comes back knows within ten seconds.

use bradawl::time::{Duration, Instant};

/// A suspension shorter than this is nothing that any timer of ours would care about.
pub const JUMP: Duration = Duration::from_secs(10);

/// Reads the system's clocks as the core wants them.
///
/// ```
/// let clock = bradawl_host::clock::Clock::new();
/// let then = clock.now();
/// assert!(clock.now() >= then);
/// ```
#[derive(Debug)]
pub struct Clock {
    source: source::Source,
    /// How much suspended time there was when [`Clock::jumped`] last looked.
    asleep: Duration,
}

impl Clock {
    /// A clock, from now on.
    pub fn new() -> Self {
        let source = source::Source::new();
        let asleep = source.asleep();
        Self { source, asleep }
    }

    /// The time. On Linux it takes no system call.
    #[inline]
    pub fn now(&self) -> Instant {
        self.source.now()
    }

    /// How long the host slept since this was last asked, if that was longer than [`JUMP`].
    pub fn jumped(&mut self) -> Option<Duration> {
        let asleep = self.source.asleep();
        jump(&mut self.asleep, asleep)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Short naps add up until they count.
fn jump(known: &mut Duration, asleep: Duration) -> Option<Duration> {
    let slept = asleep.saturating_sub(*known);
    if slept <= JUMP {
        return None;
    }
    *known = asleep;
    Some(slept)
}

#[cfg(target_os = "linux")]
mod source {
    use super::{Duration, Instant};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    /// Counts from boot.
    #[derive(Debug)]
    pub(super) struct Source;

    impl Source {
        pub(super) fn new() -> Self {
            Self
        }

        #[inline]
        pub(super) fn now(&self) -> Instant {
            Instant::from_micros(micros(clock_gettime(ClockId::Boottime)))
        }

        /// Boot time goes on in suspend and the monotonic clock does not.
        pub(super) fn asleep(&self) -> Duration {
            // In this order, so that what passes between the two calls is never taken for sleep.
            let boot = micros(clock_gettime(ClockId::Boottime));
            Duration::from_micros(boot.saturating_sub(micros(clock_gettime(ClockId::Monotonic))))
        }
    }

    #[inline]
    fn micros(time: Timespec) -> u64 {
        // Neither clock is ever before boot.
        time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
    }
}

#[cfg(not(target_os = "linux"))]
mod source {
    use super::{Duration, Instant};

    /// Counts from its own beginning, and not in suspend where the system's clock does not.
    #[derive(Debug)]
    pub(super) struct Source(std::time::Instant);

    impl Source {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock here")]
        pub(super) fn new() -> Self {
            Self(std::time::Instant::now())
        }

        pub(super) fn now(&self) -> Instant {
            Instant::ZERO + self.0.elapsed()
        }

        /// Unknown here: a jump is never reported, and timers that ran out simply fire.
        pub(super) fn asleep(&self) -> Duration {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sleep_is_reported_once() {
        let mut known = Duration::from_secs(100);
        assert_eq!(jump(&mut known, Duration::from_secs(100)), None);
        assert_eq!(jump(&mut known, Duration::from_secs(110)), None, "ten seconds are not more than ten");
        assert_eq!(jump(&mut known, Duration::from_secs(111)), Some(Duration::from_secs(11)), "naps add up");
        assert_eq!(jump(&mut known, Duration::from_secs(111)), None);
    }

    #[test]
    fn the_host_is_awake_during_tests() {
        let mut clock = Clock::new();
        let start = clock.now();
        while clock.now() == start {}
        assert_eq!(clock.jumped(), None);
    }
}
