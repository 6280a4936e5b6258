//! When requests are repeated and mappings renewed.
//!
//! People wait for the first answer, and it comes from the next room. So requests are repeated after
//! 250 ms, 500 ms and so on, doubling, as RFC 6886 §3.1 says for NAT-PMP. PCP would begin with 3 s
//! (RFC 6887 §8.1.1); here it begins as fast as NAT-PMP and from the fourth second on is slower than its
//! RFC asks for, with the same 10 % of randomness and the same longest interval of 1,024 s.
//!
//! Renewals follow RFC 6887 §11.2.1: a first one between 1/2 and 5/8 of the lifetime, a second between
//! 3/4 and 3/4 + 1/16 and so on, never within 4 s.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// After which a first repetition follows.
pub(super) const FIRST: Duration = Duration::from_millis(250);

/// After so many requests without answer PCP counts as silent: 7.75 s.
pub(super) const FAST_TRIES: u8 = 5;

/// How often NAT-PMP asks (RFC 6886 §3.1).
pub(super) const NAT_PMP_TRIES: u8 = 9;

/// How often a deletion is sent.
pub(super) const DELETE_TRIES: u8 = 4;

/// A better protocol gets so much of a start before the next one is tried too.
pub(super) const HEAD_START: Duration = Duration::from_millis(500);

/// When a mapping counts as failed if nobody has answered anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(12);

/// When a router that said no, or nothing, is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(300);

/// A router that loses its state all the time is asked for everything again only so often.
pub(super) const RECOVERY: Duration = Duration::from_secs(10);

/// No renewal follows another faster.
const SHORTEST: Duration = Duration::from_secs(4);

/// The longest interval of PCP (its MRT).
const LONGEST: Duration = Duration::from_secs(1_024);

/// How long to wait after so many requests, with 10 % of randomness.
pub(super) fn interval(rng: &mut Rng, tries: u8) -> Duration {
    let plain = (FIRST * (1 << u32::from(tries.saturating_sub(1)).min(12))).min(LONGEST);
    plain * 9 / 10 + jitter(rng, plain / 5)
}

/// A random part of `span`.
pub(super) fn jitter(rng: &mut Rng, span: Duration) -> Duration {
    Duration::from_micros(rng.below(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
}

/// When a mapping granted at `granted` is to be renewed for the `nth` time, counted from 0; `None` if it
/// runs out before.
pub(super) fn renewal(
    rng: &mut Rng,
    now: Instant,
    granted: Instant,
    lifetime: Duration,
    nth: u8,
) -> Option<Instant> {
    let left = lifetime / (1 << (u32::from(nth).min(20) + 1));
    let at = granted + (lifetime - left) + jitter(rng, left / 4);
    let at = at.max(now + SHORTEST);
    (at < granted + lifetime).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::{FAST_TRIES, interval, renewal};
    use crate::rng::Rng;
    use crate::time::{Duration, Instant};

    #[test]
    fn requests_are_repeated_fast_and_then_ever_slower() {
        let mut rng = Rng::from_seed([3; 32]);
        let total: Duration = (1..=FAST_TRIES).map(|tries| interval(&mut rng, tries)).sum();
        assert!(total > Duration::from_millis(6_900) && total < Duration::from_millis(8_600), "{total:?}");
        for tries in 13..=255 {
            let interval = interval(&mut rng, tries).as_secs();
            assert!((921..1_127).contains(&interval), "{interval}");
        }
    }

    #[test]
    fn renewals_come_in_their_windows_and_then_none() {
        let mut rng = Rng::from_seed([3; 32]);
        let lifetime = Duration::from_secs(6_400);
        for (nth, window) in [(0, 3_200..4_000), (1, 4_800..5_200), (2, 5_600..5_800)] {
            for _ in 0..50 {
                let at = renewal(&mut rng, Instant::ZERO, Instant::ZERO, lifetime, nth).expect("in time");
                assert!(window.contains(&at.since(Instant::ZERO).as_secs()), "{nth}: {at:?}");
            }
        }
        let (mut now, mut count) = (Instant::ZERO, 0);
        while let Some(at) = renewal(&mut rng, now, Instant::ZERO, lifetime, count) {
            assert!(at.since(now) >= Duration::from_secs(4));
            now = at;
            count += 1;
        }
        assert!((9..14).contains(&count), "{count}");
    }
}
