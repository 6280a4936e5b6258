//! Keeping a path: one packet before its mappings are forgotten, consent while data flows (RFC 7675), and
//! an early end to a path that is dead.
//!
//! *Idle.* Any packet that leaves refreshes our own NAT, and the answer to it the other side's. So a check
//! is due one interval after the last packet that left, whatever it was; who answers need not ask.
//!
//! *Sending.* A check every five seconds, give or take. If nothing has come in for a second, quick ones: a
//! dead path is known two and a half seconds after it died. A foreign agent has the thirty seconds of
//! RFC 7675 §5.1.

use crate::time::{Duration, Instant};

/// For how long after the last data a path counts as in use.
const IN_USE: Duration = Duration::from_secs(5);
/// How long it may be silent while it is in use.
const SUSPICIOUS: Duration = Duration::from_secs(1);
/// How often a check is repeated that was not answered: in use, and idle.
const QUICK: Duration = Duration::from_millis(250);
const SLOW: Duration = Duration::from_millis(500);
/// How many in a row are not answered before one of our own counts as gone: in use, and idle.
const QUICK_TRIES: u8 = 6;
const SLOW_TRIES: u8 = 8;
/// How long a foreign agent may be silent (RFC 7675 §5.1).
pub(super) const CONSENT: Duration = Duration::from_secs(30);
/// Consent is asked for again after so long, ± 20 % (RFC 7675 §5.1).
const CONSENT_INTERVAL: Duration = Duration::from_secs(5);

/// The part of a learned lifetime after which a packet is due: the rest is for repeating it.
const SHARE_OF_LIFETIME: (u32, u32) = (9, 10);
/// The shortest interval, whatever was learned.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// And the longest (RFC 4787 REQ-5 has NATs forget after five minutes or more).
const MAX_INTERVAL: Duration = Duration::from_secs(290);

#[derive(Clone, Debug)]
pub(super) struct Keep {
    interval: Duration,
    is_kin: bool,
    last_out: Instant,
    last_in: Instant,
    last_data: Option<Instant>,
    /// When something last proved that the other side is there.
    proven: Instant,
    /// When consent is to be asked for while data flows.
    consent_at: Instant,
    /// Checks that were not answered since, and when the first of them left.
    tries: u8,
    first_try: Instant,
    last_try: Instant,
    /// How long the last answer took.
    trip: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Check,
    Lost,
    At(Instant),
}

/// After how long an idle path wants a packet.
pub(super) fn interval(lifetime: Option<Duration>, unknown: Duration) -> Duration {
    let (share, whole) = SHARE_OF_LIFETIME;
    let learned = lifetime.map(|lifetime| lifetime * share / whole);
    learned.unwrap_or(unknown).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

impl Keep {
    pub(super) fn new(now: Instant, interval: Duration, is_kin: bool) -> Self {
        Self {
            interval,
            is_kin,
            last_out: now,
            last_in: now,
            last_data: None,
            proven: now,
            consent_at: now + CONSENT_INTERVAL,
            tries: 0,
            first_try: now,
            last_try: now,
            trip: Duration::ZERO,
        }
    }

    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Data is about to leave.
    pub(super) fn sends_data(&mut self, now: Instant) {
        (self.last_out, self.last_data) = (now, Some(now));
    }

    /// Another packet leaves, such as an answer.
    pub(super) fn sends(&mut self, now: Instant) {
        self.last_out = now;
    }

    /// A check of ours leaves because it was [`Due`].
    pub(super) fn asks(&mut self, now: Instant) {
        (self.last_out, self.last_try) = (now, now);
        if self.tries == 0 {
            self.first_try = now;
        }
        self.tries = self.tries.saturating_add(1);
    }

    /// Something came in that anybody could have sent.
    pub(super) fn hears(&mut self, now: Instant) {
        self.last_in = now;
    }

    /// An answer came in that only the other side can have sent, after `trip`. `jitter` is from 0 to 255.
    pub(super) fn is_proven(&mut self, now: Instant, trip: Duration, jitter: u8) {
        (self.last_in, self.proven, self.tries, self.trip) = (now, now, 0, trip);
        self.consent_at = now + CONSENT_INTERVAL * (205 + u32::from(jitter) * 102 / 255) / 256;
    }

    fn is_in_use(&self, now: Instant) -> bool {
        self.last_data.is_some_and(|last| now.since(last) < IN_USE)
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        let in_use = self.is_in_use(now);
        if self.tries > 0 {
            let (pause, most) = if in_use { (QUICK, QUICK_TRIES) } else { (SLOW, SLOW_TRIES) };
            let is_over = match self.is_kin {
                true => self.tries >= most,
                // Idle, nobody was asked for longer than that.
                false => now >= self.proven.max(self.first_try) + CONSENT,
            };
            // The last one may be answered as well, however long the way is.
            let last = if self.is_kin && is_over { pause.max(self.trip + self.trip / 4) } else { pause };
            return match self.last_try + last {
                next if next > now => Due::At(next),
                _ if is_over => Due::Lost,
                _ => Due::Check,
            };
        }
        let mut next = self.last_out + self.interval;
        if in_use {
            next = next.min(self.consent_at);
            // What was sent before anything could have come back is no reason for suspicion.
            if self.last_data > Some(self.last_in) {
                next = next.min(self.last_in + SUSPICIOUS);
            }
        }
        if next <= now { Due::Check } else { Due::At(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Runs it until it is lost or `end`; the other side answers as long as `answers` says so.
    fn run(
        mut keep: Keep,
        data_every: Option<u64>,
        end: u64,
        answers: impl Fn(u64) -> bool,
    ) -> (u32, Option<u64>) {
        let mut checks = 0;
        for ms in 0..end {
            if data_every.is_some_and(|every| ms % every == 0) {
                keep.sends_data(at(ms));
            }
            match keep.due(at(ms)) {
                Due::Lost => return (checks, Some(ms)),
                Due::Check => {
                    checks += 1;
                    keep.asks(at(ms));
                    if answers(ms) {
                        keep.is_proven(at(ms), Duration::from_millis(80), 128);
                    }
                }
                Due::At(next) => assert!(next > at(ms)),
            }
        }
        (checks, None)
    }

    #[test]
    fn an_idle_path_costs_one_check_per_interval() {
        let keep = Keep::new(at(0), interval(Some(Duration::from_secs(100)), Duration::from_secs(15)), true);
        assert_eq!(run(keep, None, 900_001, |_| true), (10, None));
    }

    #[test]
    fn a_dead_path_is_known_in_two_and_a_half_seconds_while_sending() {
        let keep = Keep::new(at(0), Duration::from_secs(15), true);
        let (_, lost) = run(keep, Some(20), 60_000, |ms| ms < 7_000);
        assert!(lost.is_some_and(|lost| lost <= 7_000 + 6_000), "{lost:?}");
        let silent = Keep::new(at(0), Duration::from_secs(15), true);
        let (_, lost) = run(silent, Some(20), 60_000, |_| false);
        assert!(lost.is_some_and(|lost| lost <= 2_500), "{lost:?}");
    }

    /// The swarm's 95057th scenario: of six checks in a second and a half three could be answered.
    #[test]
    fn the_last_check_may_be_answered_on_a_long_way() {
        let mut keep = Keep::new(at(0), Duration::from_secs(15), true);
        keep.is_proven(at(0), Duration::from_millis(1_200), 128);
        let (_, lost) = run(keep, Some(20), 60_000, |_| false);
        assert_eq!(lost, Some(1_000 + 5 * 250 + 1_500));
    }

    #[test]
    fn a_foreign_agent_has_thirty_seconds() {
        let keep = Keep::new(at(0), Duration::from_secs(15), false);
        let (_, lost) = run(keep, Some(20), 60_000, |_| false);
        assert!(lost.is_some_and(|lost| (30_000..=31_000).contains(&lost)), "{lost:?}");
    }

    #[test]
    fn intervals_stay_within_reason() {
        let secs = Duration::from_secs;
        assert_eq!(interval(None, secs(15)), secs(15));
        assert_eq!(interval(Some(secs(20)), secs(15)), secs(18));
        assert_eq!(interval(Some(secs(1)), secs(15)), MIN_INTERVAL);
        assert_eq!(interval(Some(secs(7_200)), secs(15)), MAX_INTERVAL);
    }
}
