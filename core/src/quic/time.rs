//! Time as QUIC and TLS want it: the one place of this crate that names the standard library's clocks.
//!
//! quinn-proto speaks [`std::time::Instant`], of which no program can make one but by asking the system. So
//! it is asked once, when a session is made, and what it says is forgotten at once: it is the anchor from
//! which the caller's time is counted, and nothing but differences to it is ever looked at.

use alloc::sync::Arc;
use std::time::{Instant as Std, SystemTime};

use quinn_proto::TimeSource;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::time::{Duration, Instant};

/// How far from its anchor a session can count. Systems count in different ranges, and quinn-proto adds to
/// what it is given: a caller's clock that leaps to the end of time must not be the end of the program.
const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Turns the caller's time into quinn-proto's, and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    ours: Instant,
    theirs: Std,
}

impl Anchor {
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no other way to have one; only differences count"
    )]
    pub(super) fn at(now: Instant) -> Self {
        Self { ours: now, theirs: Std::now() }
    }

    /// What lies before the anchor is the anchor.
    pub(super) fn std(&self, time: Instant) -> Std {
        self.theirs + time.since(self.ours).min(MOST)
    }

    /// Rounded up to a microsecond: what is due at a time must be due when that time has come.
    pub(super) fn ours(&self, time: Std) -> Instant {
        let nanos = time.saturating_duration_since(self.theirs).as_nanos();
        self.ours + Duration::from_micros(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

/// A calendar that stands still. Raw keys do not expire and there are no tickets, so nobody may ask what day
/// it is; who asks all the same is told something that repeats.
#[derive(Debug)]
pub(super) struct NoCalendar;

impl NoCalendar {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self)
    }
}

impl TimeProvider for NoCalendar {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

impl TimeSource for NoCalendar {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

#[cfg(test)]
mod tests {
    use super::{Anchor, Duration, Instant};

    #[test]
    fn there_and_back() {
        let anchor = Anchor::at(Instant::from_micros(5_000));
        for micros in [5_000, 5_001, 10_000_000, 1 << 50] {
            let time = Instant::from_micros(micros);
            assert_eq!(anchor.ours(anchor.std(time)), time);
        }
    }

    #[test]
    fn what_is_due_between_two_microseconds_is_due_at_the_later() {
        let anchor = Anchor::at(Instant::ZERO);
        let time = anchor.std(Instant::from_micros(7)) + Duration::from_nanos(1);
        assert_eq!(anchor.ours(time), Instant::from_micros(8));
        assert!(anchor.std(anchor.ours(time)) >= time);
    }

    #[test]
    fn a_broken_clock_stops_time_and_nothing_else() {
        let anchor = Anchor::at(Instant::from_micros(5_000));
        assert_eq!(anchor.std(Instant::ZERO), anchor.std(Instant::from_micros(5_000)));
        let end = anchor.std(Instant::FAR_FUTURE);
        // There is room for the timers that count from there.
        assert!(end.checked_add(Duration::from_secs(1 << 20)).is_some());
    }
}
