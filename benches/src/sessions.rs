//! The timers of many sessions, as a busy program uses them.

use bradawl::time::{Duration, Instant};
use bradawl::timers::Timers;

/// Within what time a session's timer is due: keepalives lie in this order of magnitude.
const SPAN_US: u64 = 30_000_000;

/// Many sessions with one timer each.
pub struct Sessions {
    timers: Timers,
    now: Instant,
    many: u64,
    random: u64,
}

impl Sessions {
    /// So many sessions, their deadlines spread evenly and in no order.
    #[must_use]
    pub fn new(many: u32) -> Self {
        let mut sessions =
            Self { timers: Timers::default(), now: Instant::ZERO, many: u64::from(many), random: 1 };
        for key in 0..many {
            let deadline = sessions.soon();
            sessions.timers.set(key, deadline);
        }
        sessions
    }

    /// Lets time pass until the next timer is due, pops it and sets it again.
    pub fn set_and_pop(&mut self) {
        let Some(next) = self.timers.next_deadline() else { return };
        self.now = next;
        if let Some(key) = self.timers.pop(self.now) {
            let deadline = self.soon();
            self.timers.set(key, deadline);
        }
    }

    /// A packet for some session: its timer moves to the far end, and the next deadline of all is
    /// asked for.
    pub fn postpone(&mut self) -> Option<Instant> {
        // As many packets as there are sessions take a tenth of the span.
        self.now += Duration::from_micros(SPAN_US / 10 / self.many);
        let key = (self.random() % self.many) as u32;
        self.timers.set(key, self.now + Duration::from_micros(SPAN_US));
        while let Some(late) = self.timers.pop(self.now) {
            self.timers.set(late, self.now + Duration::from_micros(SPAN_US));
        }
        self.timers.next_deadline()
    }

    fn soon(&mut self) -> Instant {
        let in_us = 1 + self.random() % SPAN_US;
        self.now + Duration::from_micros(in_us)
    }

    /// Knuth's MMIX generator: two instructions, and good enough to be in no order.
    const fn random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 24
    }
}
