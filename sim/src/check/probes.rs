//! How much may be sent to ports that nobody named, at an address where a mediator has seen the peer.

use bradawl::time::{Duration, Instant};

/// How many such packets there may be to one address, volleys included.
pub const MOST_PROBES: u32 = 1_024;
/// How many of them at once …
pub const PROBES_AT_ONCE: u32 = 50;
/// … and how many a second: the ports of a bracket are checked at the pace of all checks, one in 5 ms.
pub const PROBES_A_SECOND: u32 = 200;
/// How many packets a volley has: all to one port, each from another.
pub const VOLLEY: u32 = 160;
/// How many volleys there may be.
pub const MOST_VOLLEYS: usize = 3;

/// How long a session has what it has, before the next one gets as much.
pub const SESSION: Duration = Duration::from_secs(4);

/// One more may be sent when this much of the time that all took has passed.
const EACH: Duration = Duration::from_micros(1_000_000 / PROBES_A_SECOND as u64);

/// What was sent to such ports of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    /// When the budget began, if it has.
    began: Option<Instant>,
    sent: u32,
    /// When all that was sent would have been sent at the steady rate.
    paid: Instant,
    /// The ports that volleys go to, and how many packets each may still have.
    volleys: Vec<(u16, u32)>,
}

impl Probes {
    /// A session begins. Its budget is a new one, if the last one is old enough.
    pub(super) fn allow(&mut self, now: Instant) {
        if self.began.is_none_or(|began| now >= began + SESSION) {
            *self = Self { began: Some(now), ..Self::default() };
        }
    }

    /// One more volley may be sent, if there have not been enough.
    pub(super) fn allow_volley(&mut self, port: u16) {
        if self.volleys.len() < MOST_VOLLEYS {
            self.volleys.push((port, VOLLEY));
        }
    }

    /// One more; whether that is within the budget.
    pub(super) fn take(&mut self, now: Instant, port: u16) -> bool {
        self.sent += 1;
        let is_left = self.sent <= MOST_PROBES;
        let volley = self.volleys.iter_mut().find(|(at, left)| *at == port && *left > 0);
        if let Some((_, left)) = volley {
            *left -= 1;
            return is_left;
        }
        self.paid = self.paid.max(now) + EACH;
        is_left && self.paid.since(now) <= EACH * PROBES_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use bradawl::time::{Duration, Instant};

    use super::{MOST_PROBES, MOST_VOLLEYS, PROBES_AT_ONCE, Probes, VOLLEY};

    #[test]
    fn a_few_at_once_and_then_two_hundred_a_second() {
        let mut probes = Probes::default();
        let start = Instant::ZERO + Duration::from_secs(5);
        assert!((0..PROBES_AT_ONCE).all(|_| probes.take(start, 5_000)));
        assert!(probes.take(start + Duration::from_millis(5), 5_000));
        assert!(!probes.take(start + Duration::from_millis(6), 5_000));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut probes = Probes::default();
        let at = |number: u32| Instant::ZERO + Duration::from_millis(u64::from(number) * 20);
        assert!((0..MOST_PROBES).all(|number| probes.take(at(number), 5_000)));
        assert!(!probes.take(at(MOST_PROBES), 5_000));
    }

    #[test]
    fn a_new_session_has_a_new_budget_and_not_too_soon() {
        let mut probes = Probes::default();
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let spend = |probes: &mut Probes, now| (0..).take_while(|_| probes.take(now, 5_000)).count() as u32;
        probes.allow(at(0));
        assert_eq!(spend(&mut probes, at(0)), PROBES_AT_ONCE);
        probes.allow(at(0));
        assert_eq!(spend(&mut probes, at(0)), 0, "saying it again changes nothing");
        probes.allow(at(20));
        assert_eq!(spend(&mut probes, at(20)), PROBES_AT_ONCE);
    }

    #[test]
    fn volleys_are_few_and_each_goes_to_one_port() {
        let mut probes = Probes::default();
        for port in 1..=MOST_VOLLEYS as u16 + 1 {
            probes.allow_volley(port);
        }
        let start = Instant::ZERO + Duration::from_secs(5);
        assert!((0..VOLLEY * MOST_VOLLEYS as u32).all(|n| probes.take(start, 1 + (n / VOLLEY) as u16)));
        assert!((0..PROBES_AT_ONCE).all(|_| probes.take(start, MOST_VOLLEYS as u16 + 1)));
        assert!(!probes.take(start, MOST_VOLLEYS as u16 + 1), "one volley too many");
    }
}
