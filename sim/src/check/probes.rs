//! How much may be sent to ports that nobody named, at an address where a mediator has seen the peer.

use bradawl::time::{Duration, Instant};

/// How many such packets there may be to one address.
pub const MOST_PROBES: u32 = 1_024;
/// How many of them at once: a volley …
pub const PROBES_AT_ONCE: u64 = 160;
/// … and how many a second beside it.
pub const PROBES_A_SECOND: u64 = 100;

/// One more may be sent when this much of the time that all took has passed.
const EACH: Duration = Duration::from_micros(1_000_000 / PROBES_A_SECOND);

/// What was sent to such ports of one address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probes {
    sent: u32,
    /// When all that was sent would have been sent at the steady rate.
    paid: Instant,
}

impl Probes {
    /// One more; whether that is within the budget.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.sent += 1;
        self.paid = self.paid.max(now) + EACH;
        let ahead = self.paid.since(now);
        self.sent <= MOST_PROBES && ahead <= EACH * (PROBES_AT_ONCE as u32)
    }
}

#[cfg(test)]
mod tests {
    use bradawl::time::{Duration, Instant};

    use super::{MOST_PROBES, PROBES_AT_ONCE, Probes};

    #[test]
    fn a_volley_is_allowed_and_then_a_hundred_a_second() {
        let mut probes = Probes::default();
        let start = Instant::ZERO + Duration::from_secs(5);
        assert!((0..PROBES_AT_ONCE).all(|_| probes.take(start)));
        assert!(probes.take(start + Duration::from_millis(10)));
        assert!(!probes.take(start + Duration::from_millis(11)));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut probes = Probes::default();
        let at = |number: u32| Instant::ZERO + Duration::from_millis(u64::from(number) * 20);
        assert!((0..MOST_PROBES).all(|number| probes.take(at(number))));
        assert!(!probes.take(at(MOST_PROBES)));
    }
}
