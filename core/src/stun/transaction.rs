//! Requests over a network that loses packets: when to repeat, when to give up (RFC 8489 §6.2.1).
//!
//! A request is sent at once and repeated after RTO, then 2 × RTO, 4 × RTO and so on, `attempts`
//! times in all. The last one is waited for as long as `patience` × RTO. With the RFC's numbers (RTO
//! 500 ms, 7 attempts, patience 16) that is at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s, and failure
//! after 39.5 s.

use crate::time::{Duration, Instant};

/// How persistent a request is.
///
/// ```
/// use bradawl::stun::transaction::Schedule;
/// use bradawl::time::Duration;
///
/// assert_eq!(Schedule::default().time_to_give_up(Duration::from_millis(500)), Duration::from_millis(39_500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How often it is sent in all; at least once (the RFC's Rc).
    pub attempts: u8,
    /// How many RTOs to wait after the last time (the RFC's Rm).
    pub patience: u8,
}

impl Schedule {
    /// Over a reliable transport a request is sent once and waited for as long as the other way
    /// (RFC 8489 §6.2.2: Ti, 39.5 s).
    pub const RELIABLE: Self = Self { attempts: 1, patience: 79 };

    /// More attempts than this would wait for longer than anybody lives.
    pub const MAX_ATTEMPTS: u8 = 16;

    /// How long it takes from the first transmission to giving up.
    pub fn time_to_give_up(&self, rto: Duration) -> Duration {
        let doublings = u32::from(self.attempts.clamp(1, Self::MAX_ATTEMPTS) - 1);
        rto.saturating_mul((1 << doublings) - 1 + u32::from(self.patience))
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self { attempts: 7, patience: 16 }
    }
}

/// One request on its way.
///
/// ```
/// use bradawl::stun::transaction::{Schedule, Step, Transaction};
/// use bradawl::time::{Duration, Instant};
///
/// let (start, rto) = (Instant::ZERO, Duration::from_millis(500));
/// let mut transaction = Transaction::new(Schedule { attempts: 2, patience: 16 }, rto);
/// assert_eq!(transaction.step(start), Step::Send { next: start + rto });
/// assert_eq!(transaction.step(start + rto), Step::Send { next: start + rto + 16 * rto });
/// assert_eq!(transaction.step(start + 17 * rto), Step::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    schedule: Schedule,
    rto: Duration,
    sent: u8,
    first_sent: Instant,
}

/// What a [`Transaction`] wants when its time has come.
///
/// ```
/// # use bradawl::stun::transaction::Step;
/// assert_ne!(Step::GiveUp, Step::Send { next: bradawl::time::Instant::ZERO });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request now, and step again at `next`.
    Send {
        /// When to step again.
        next: Instant,
    },
    /// Nobody answers.
    GiveUp,
}

impl Transaction {
    /// A request that has not been sent yet.
    pub fn new(schedule: Schedule, rto: Duration) -> Self {
        let attempts = schedule.attempts.clamp(1, Schedule::MAX_ATTEMPTS);
        Self { schedule: Schedule { attempts, ..schedule }, rto, sent: 0, first_sent: Instant::ZERO }
    }

    /// Its time has come: the first time at once, later at the `next` of the step before. Intervals
    /// count from `now`, so a program that slept through several sends one request and not a burst.
    pub fn step(&mut self, now: Instant) -> Step {
        if self.sent == self.schedule.attempts {
            return Step::GiveUp;
        }
        if self.sent == 0 {
            self.first_sent = now;
        }
        self.sent += 1;
        let factor = if self.sent == self.schedule.attempts {
            u32::from(self.schedule.patience)
        } else {
            1 << (self.sent - 1)
        };
        Step::Send { next: now + self.rto.saturating_mul(factor) }
    }

    /// How often it was sent.
    pub const fn sent(&self) -> u8 {
        self.sent
    }

    /// How long the answer that arrives `now` took. Unknown once the request was repeated: nobody
    /// can tell which copy was answered (Karn's algorithm, RFC 6298 §3).
    pub fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1).then(|| now.since(self.first_sent))
    }
}

/// What is known of the time that one server takes to answer (RFC 6298 §2, as amended by RFC 8489
/// §6.2.1: not rounded up to whole seconds).
///
/// ```
/// use bradawl::stun::transaction::RoundTrips;
/// use bradawl::time::Duration;
///
/// let mut trips = RoundTrips::default();
/// assert_eq!(trips.rto(), Duration::from_millis(500));
/// trips.observe(Duration::from_millis(80));
/// assert_eq!(trips.rto(), Duration::from_millis(240)); // 80 + 4 × 40
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    initial: Duration,
    smoothed: Option<(Duration, Duration)>,
}

impl RoundTrips {
    /// RTO before anything is known (RFC 8489 §6.2.1: at least 500 ms).
    pub const INITIAL_RTO: Duration = Duration::from_millis(500);
    /// The shortest RTO that is learned, however near the server.
    pub const MIN_RTO: Duration = Duration::from_millis(100);
    /// The longest RTO there is, however far.
    pub const MAX_RTO: Duration = Duration::from_secs(3);

    /// Starts from another RTO than the RFC's, for a network one knows: 1 ms to [`Self::MAX_RTO`].
    pub fn starting_at(initial: Duration) -> Self {
        Self { initial: initial.clamp(Duration::from_millis(1), Self::MAX_RTO), smoothed: None }
    }

    /// Takes in one measurement.
    pub fn observe(&mut self, round_trip: Duration) {
        // Longer than any request waits: a clock that jumped.
        let round_trip = round_trip.min(Duration::from_secs(60));
        self.smoothed = Some(match self.smoothed {
            None => (round_trip, round_trip / 2),
            Some((mean, variation)) => {
                (mean * 7 / 8 + round_trip / 8, variation * 3 / 4 + mean.abs_diff(round_trip) / 4)
            }
        });
    }

    /// How long to wait before the first repetition.
    pub fn rto(&self) -> Duration {
        match self.smoothed {
            None => self.initial,
            Some((mean, variation)) => (mean + 4 * variation).clamp(Self::MIN_RTO, Self::MAX_RTO),
        }
    }
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self::starting_at(Self::INITIAL_RTO)
    }
}

#[cfg(test)]
mod tests {
    use super::{RoundTrips, Schedule, Step, Transaction};
    use crate::time::{Duration, Instant};

    #[test]
    fn the_default_schedule_is_that_of_rfc8489_section_6_2_1() {
        let mut transaction = Transaction::new(Schedule::default(), RoundTrips::INITIAL_RTO);
        let (mut at, mut sent_at) = (Instant::ZERO, [0; 7]);
        for slot in &mut sent_at {
            *slot = at.as_micros() / 1_000;
            let Step::Send { next } = transaction.step(at) else { panic!("gave up early") };
            at = next;
        }
        assert_eq!(sent_at, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!((at.as_micros() / 1_000, transaction.step(at)), (39_500, Step::GiveUp));
    }

    #[test]
    fn a_late_step_sends_once_and_not_a_burst() {
        let mut transaction = Transaction::new(Schedule::default(), Duration::from_millis(500));
        let _ = transaction.step(Instant::ZERO);
        let late = Instant::ZERO + Duration::from_secs(60);
        assert_eq!(transaction.step(late), Step::Send { next: late + Duration::from_secs(1) });
    }

    #[test]
    fn a_repeated_request_measures_nothing() {
        let mut transaction = Transaction::new(Schedule::default(), Duration::from_millis(500));
        let _ = transaction.step(Instant::ZERO);
        let answer = Instant::ZERO + Duration::from_millis(30);
        assert_eq!(transaction.round_trip(answer), Some(Duration::from_millis(30)));
        let _ = transaction.step(Instant::ZERO + Duration::from_millis(500));
        assert_eq!(transaction.round_trip(answer), None);
    }

    #[test]
    fn an_absurd_schedule_is_brought_to_reason() {
        let mut once = Transaction::new(Schedule { attempts: 0, patience: 0 }, Duration::from_millis(500));
        assert_eq!(once.step(Instant::ZERO), Step::Send { next: Instant::ZERO });
        assert_eq!(once.step(Instant::ZERO), Step::GiveUp);
        let schedule = Schedule { attempts: 255, patience: 255 };
        assert!(schedule.time_to_give_up(RoundTrips::MAX_RTO) < Duration::from_secs(100_000));
    }

    /// RFC 6298 §2.3: an eighth of the new mean, a quarter of the new variation.
    #[test]
    fn the_estimate_moves_as_rfc6298_says() {
        let mut trips = RoundTrips::default();
        trips.observe(Duration::from_millis(80)); // mean 80, variation 40
        trips.observe(Duration::from_millis(160)); // mean 90, variation 30 + 20
        assert_eq!(trips.rto(), Duration::from_millis(90 + 4 * 50));
    }

    #[test]
    fn absurd_durations_saturate() {
        assert_eq!(RoundTrips::starting_at(Duration::MAX).rto(), RoundTrips::MAX_RTO);
        assert!(RoundTrips::starting_at(Duration::ZERO).rto() > Duration::ZERO);
        let mut trips = RoundTrips::default();
        trips.observe(Duration::MAX);
        trips.observe(Duration::ZERO);
        assert_eq!(trips.rto(), RoundTrips::MAX_RTO);
        assert_eq!(Schedule::default().time_to_give_up(Duration::MAX), Duration::MAX);
        let mut transaction = Transaction::new(Schedule::default(), Duration::MAX);
        assert_eq!(transaction.step(Instant::ZERO), Step::Send { next: Instant::FAR_FUTURE });
    }

    #[test]
    fn the_rto_stays_within_its_bounds() {
        let mut near = RoundTrips::default();
        let mut far = RoundTrips::default();
        for _ in 0..50 {
            near.observe(Duration::from_micros(200));
            far.observe(Duration::from_secs(20));
        }
        assert_eq!((near.rto(), far.rto()), (RoundTrips::MIN_RTO, RoundTrips::MAX_RTO));
    }
}
