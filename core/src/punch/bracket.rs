//! A sequential NAT: which port a check leaves from cannot be known before, but it lies between two that a
//! mediator sees.
//!
//! From a socket fresh for it the hard side sends a request to one endpoint of the mediator, the check to
//! the peer, a request to another endpoint, back to back. The mediator tells the peer the two ports at no
//! extra round trip, and the peer checks what lies between.

use super::volley::wrap;
use crate::time::{Duration, Instant};
use crate::wire::stun::attr::Mark;

/// How many ports of a bracket are checked at most.
pub const MAX_BRACKET: usize = 24;
/// How many brackets an attempt has, and when each begins.
const BRACKETS: [u64; 4] = [0, 250, 600, 1_300];
/// How many ports are checked of a bracket whose ends have changed places.
const REVERSED: usize = 3;

/// From which fresh sockets the port of a check can be told.
pub(super) struct Brackets {
    began: Instant,
    round: u16,
    /// How the mediator saw the two ends of this round, as far as it has answered.
    seen: [Option<u16>; 2],
    /// The next one is due at once: nobody can follow this one.
    hurry: Option<Instant>,
}

impl Brackets {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, round: 0, seen: [None; 2], hurry: None }
    }

    /// The number of the next round, if it is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<u16> {
        self.next().filter(|next| *next <= now)?;
        self.round += 1;
        (self.seen, self.hurry) = ([None; 2], None);
        Some(self.round)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let &offset = BRACKETS.get(usize::from(self.round))?;
        let planned = self.began + Duration::from_millis(offset);
        Some(self.hurry.map_or(planned, |hurry| hurry.min(planned)))
    }

    /// A socket whose port was in use lately may still have its old mapping to the mediator: what lies
    /// between the ends is half the NAT.
    pub(super) fn saw(&mut self, now: Instant, mark: Mark, port: u16, step: i32) {
        if mark.round != self.round {
            return;
        }
        self.seen[usize::from(mark.is_second)].get_or_insert(port);
        if let [Some(first), Some(second)] = self.seen
            && guesses(first, second, step).next().is_none()
        {
            self.hurry = Some(now);
        }
    }
}

/// Which ports the check between the two ends of a bracket may have; none if the two have nothing to do
/// with each other.
///
/// What was lost on the way out was sent again later: the one before, and then it has the higher port of the
/// two; or the check, and then it comes next.
pub(super) fn guesses(first: u16, second: u16, step: i32) -> impl Iterator<Item = u16> {
    let is_bracket = between(first, second, step).count() <= MAX_BRACKET;
    let is_reversed = !is_bracket && between(second, first, step).count() <= MAX_BRACKET;
    let behind = core::iter::once(wrap(i32::from(second) + step));
    let below = (1..=REVERSED as i32).map(move |steps| wrap(i32::from(second) - steps * step));
    let fit = between(first, second, step).chain(behind).filter(move |_| is_bracket);
    fit.chain(below.filter(move |_| is_reversed))
}

/// The ports after `first` and before `second`, in steps: one more than are worth a check, at the most.
fn between(first: u16, second: u16, step: i32) -> impl Iterator<Item = u16> {
    let mut port = i32::from(first);
    core::iter::from_fn(move || {
        port += step;
        let next = wrap(port);
        (next != second && next != first).then_some(next)
    })
    .take(MAX_BRACKET + 1)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{between, guesses};

    #[test]
    fn what_was_sent_again_is_found_too() {
        let ports = |first, second, step| guesses(first, second, step).collect::<Vec<_>>();
        assert_eq!(ports(5_000, 5_002, 1), [5_001, 5_003]);
        assert_eq!(ports(5_003, 5_002, 1), [5_001, 5_000, 4_999], "the first one was lost");
        assert_eq!(ports(5_000, 5_001, 1), [5_002], "the check was lost");
        assert_eq!(ports(5_000, 5_400, 1), [], "an old mapping: bracket of a port that was in use before");
        assert_eq!(ports(5_400, 5_000, 1), []);
    }

    #[test]
    fn what_lies_between_is_checked() {
        let ports = |first, second, step| between(first, second, step).collect::<Vec<_>>();
        assert_eq!(ports(5_000, 5_002, 1), [5_001]);
        assert_eq!(ports(5_000, 5_001, 1), []);
        assert_eq!(ports(5_000, 4_994, -2), [4_998, 4_996]);
        assert_eq!(ports(65_535, 1_026, 1), [1_024, 1_025], "it wraps");
        assert!(ports(5_000, 9_000, 1).len() > super::MAX_BRACKET, "and that is told from a real one");
        assert!(ports(5_000, 4_999, 2).len() > super::MAX_BRACKET);
    }
}
