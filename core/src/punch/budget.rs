//! How much may be sent: the one place that says no.
//!
//! Whoever names an address makes us send there, so nobody who has not answered gets more than a handful:
//! seven checks in any two seconds, then one a second, forty in all. All pairs together are paced, so that
//! a hundred candidates are no flood. Guesses (birthday probes and volleys) have a budget of their own, and
//! go to an address that a mediator has seen for this session only.

use core::net::SocketAddr;

use hashbrown::HashMap;

use crate::hash::Keyed;
use crate::time::{Duration, Instant};

/// How many checks an address that has not answered gets within [`WINDOW`] …
pub const CHECKS_IN_WINDOW: usize = 7;
/// … which is this long. After these, one a second.
pub const WINDOW: Duration = Duration::from_secs(2);
const SPARSE: Duration = Duration::from_secs(1);
/// How many it gets in all.
pub const CHECKS_UNANSWERED: u16 = 40;
/// How many addresses are kept account of. To more than that nothing is sent.
pub const MAX_ADDRESSES: usize = 256;

/// All pairs together: so many checks at once …
const BURST: u32 = 24;
/// … and then one in this time (RFC 8445 §14.2: no less between two new ones).
pub(super) const PACE: Duration = Duration::from_millis(5);

/// What may be done about a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// It may be sent.
    Now,
    /// Not before this.
    At(Instant),
    /// Never in this attempt.
    Never,
}

pub(super) struct Budget {
    addresses: HashMap<SocketAddr, Account, Keyed>,
    /// The token bucket of all pairs, as the time at which it will be full again.
    full_at: Instant,
}

struct Account {
    has_answered: bool,
    total: u16,
    /// When the last few were sent, as a ring.
    recent: [Instant; CHECKS_IN_WINDOW],
}

impl Budget {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { addresses: HashMap::with_hasher(keyed), full_at: Instant::ZERO }
    }

    /// A new attempt. Who has answered is as new as anybody; who has not stays where it was, or somebody who
    /// lets paths die could have us begin again and again.
    pub(super) fn renew(&mut self) {
        #[allow(clippy::disallowed_methods, reason = "what is kept does not depend on the order")]
        self.addresses.retain(|_, account| !account.has_answered);
    }

    /// Another network: everybody is new.
    pub(super) fn clear(&mut self) {
        self.addresses.clear();
    }

    /// Whether a check may go to `address` now; if so it is counted.
    pub(super) fn ask(&mut self, now: Instant, address: SocketAddr) -> Allowance {
        if !self.addresses.contains_key(&address) {
            if self.addresses.len() == MAX_ADDRESSES {
                return Allowance::Never;
            }
            let account =
                Account { has_answered: false, total: 0, recent: [Instant::ZERO; CHECKS_IN_WINDOW] };
            self.addresses.insert(address, account);
        }
        let Some(account) = self.addresses.get_mut(&address) else { return Allowance::Never };
        match account.ask(now) {
            Allowance::Now => {}
            refused => return refused,
        }
        let depth = PACE * BURST;
        let begins = self.full_at.max(now);
        if begins + PACE > now + depth {
            let wait = (begins + PACE).since(now + depth);
            return Allowance::At(now + wait.max(Duration::from_micros(1)));
        }
        self.full_at = begins + PACE;
        account.note(now);
        Allowance::Now
    }

    /// Somebody who proved to be the other side is at `address`: it may be sent to.
    pub(super) fn answered(&mut self, address: SocketAddr) {
        if let Some(account) = self.addresses.get_mut(&address) {
            account.has_answered = true;
        } else if self.addresses.len() < MAX_ADDRESSES {
            let recent = [Instant::ZERO; CHECKS_IN_WINDOW];
            self.addresses.insert(address, Account { has_answered: true, total: 0, recent });
        }
    }
}

impl Account {
    fn ask(&self, now: Instant) -> Allowance {
        if self.has_answered {
            return Allowance::Now;
        }
        if self.total >= CHECKS_UNANSWERED {
            return Allowance::Never;
        }
        let sent = usize::from(self.total);
        if sent < CHECKS_IN_WINDOW {
            return Allowance::Now;
        }
        let newest = self.recent[(sent - 1) % CHECKS_IN_WINDOW];
        let oldest = self.recent[sent % CHECKS_IN_WINDOW];
        let next = (newest + SPARSE).max(oldest + WINDOW);
        if next > now { Allowance::At(next) } else { Allowance::Now }
    }

    fn note(&mut self, now: Instant) {
        self.recent[usize::from(self.total) % CHECKS_IN_WINDOW] = now;
        self.total = self.total.saturating_add(1);
    }
}

/// Guesses, and the sockets that wait for them: a hundred a second, ten at a time.
pub(super) struct Paced {
    next: Instant,
    left: u8,
}

/// How many guesses leave at a time …
pub const GUESSES: u8 = 10;
/// … and the time between two such batches.
pub const GUESS_INTERVAL: Duration = Duration::from_millis(100);

impl Paced {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, left: GUESSES }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether one may be sent; if so it is counted. Time that was missed is not made up for.
    pub(super) fn ask(&mut self, now: Instant) -> Allowance {
        if self.next > now {
            return Allowance::At(self.next);
        }
        self.left -= 1;
        if self.left == 0 {
            let is_late = now.since(self.next) >= GUESS_INTERVAL;
            self.next = if is_late { now + GUESS_INTERVAL } else { self.next + GUESS_INTERVAL };
            self.left = GUESSES;
        }
        Allowance::Now
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::rng::Rng;

    fn budget() -> Budget {
        Budget::new(Keyed::new(&mut Rng::from_seed([1; 32])))
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1_000)
    }

    #[test]
    fn who_does_not_answer_gets_seven_in_two_seconds_and_forty_in_all() {
        let (mut budget, victim) = (budget(), "203.0.113.1:9".parse().expect("an address"));
        let times: Vec<u64> =
            (0..200_000).filter(|&ms| budget.ask(at(ms), victim) == Allowance::Now).collect();
        assert_eq!(times.len(), 40);
        let within = |from: u64| times.iter().filter(|&&time| time >= from && time < from + 2_000).count();
        assert!(times.iter().all(|&from| within(from) <= 7), "{times:?}");
        assert!(times[8..].windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
        assert_eq!(budget.ask(at(10_000_000), victim), Allowance::Never);
    }

    #[test]
    fn who_answers_is_not_counted() {
        let (mut budget, peer) = (budget(), "203.0.113.1:9".parse().expect("an address"));
        budget.answered(peer);
        assert!((0..1_000).all(|step| budget.ask(at(step * 5), peer) == Allowance::Now));
    }

    #[test]
    fn all_together_are_paced() {
        let mut budget = budget();
        let address = |port: u16| SocketAddr::new([203, 0, 113, 1].into(), port);
        let at_once = (1..100).filter(|&port| budget.ask(at(0), address(port)) == Allowance::Now).count();
        assert_eq!(at_once as u32, BURST);
        let Allowance::At(next) = budget.ask(at(0), address(200)) else { panic!("there is no room") };
        assert_eq!((next, budget.ask(next, address(200))), (at(5), Allowance::Now));
    }

    #[test]
    fn a_thousand_addresses_are_not_sent_to() {
        let mut budget = budget();
        let address = |port: u16| SocketAddr::new([203, 0, 113, 1].into(), port);
        let sent = (1..1_000)
            .filter(|&port| budget.ask(at(u64::from(port) * 1_000), address(port)) == Allowance::Now)
            .count();
        assert_eq!(sent, MAX_ADDRESSES);
    }
}
