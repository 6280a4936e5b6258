//! Has the router lost its state? Its clock tells (RFC 6887 §8.5, RFC 6886 §3.6).
//!
//! Every answer carries the number of seconds since the router last had to begin anew. A clock that
//! does not fit what it said before means that all mappings are gone and must be made again.

use crate::time::Instant;

/// What a router's clock said last.
///
/// ```
/// use bradawl::portmap::epoch::Epoch;
/// use bradawl::time::{Duration, Instant};
///
/// let mut epoch = Epoch::pcp();
/// assert!(!epoch.is_lost_at(Instant::ZERO, 5_000));
/// let later = Instant::ZERO + Duration::from_secs(60);
/// assert!(epoch.is_lost_at(later, 3), "it has restarted three seconds ago");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    rule: Rule,
    seen: Option<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Pcp,
    NatPmp,
}

impl Epoch {
    /// Judged as RFC 6887 says: the two clocks may differ by a sixteenth, and by two seconds.
    pub const fn pcp() -> Self {
        Self { rule: Rule::Pcp, seen: None }
    }

    /// Judged as RFC 6886 says: the router's clock may be slow by an eighth, and by two seconds.
    pub const fn nat_pmp() -> Self {
        Self { rule: Rule::NatPmp, seen: None }
    }

    /// Notes what the router's clock says in an answer, and whether it has lost its state since the
    /// answer before.
    pub fn is_lost_at(&mut self, now: Instant, seconds: u32) -> bool {
        let Some((then, before)) = self.seen.replace((now, seconds)) else { return false };
        let (ours, theirs) = (now.since(then).as_secs(), u64::from(seconds));
        let before = u64::from(before);
        match self.rule {
            Rule::Pcp if theirs + 1 < before => true,
            Rule::Pcp => {
                let theirs = theirs.saturating_sub(before);
                ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16
            }
            Rule::NatPmp => theirs + 2 < before + ours * 7 / 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Epoch;
    use crate::time::{Duration, Instant};

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn lost(mut epoch: Epoch, first: u32, after: u64, second: u32) -> bool {
        assert!(!epoch.is_lost_at(at(100), first));
        epoch.is_lost_at(at(100) + Duration::from_secs(after), second)
    }

    #[test]
    fn a_clock_that_walks_with_ours_is_right() {
        for after in [0, 1, 60, 86_400] {
            assert!(!lost(Epoch::pcp(), 10, after, 10 + after as u32));
            assert!(!lost(Epoch::nat_pmp(), 10, after, 10 + after as u32));
        }
    }

    #[test]
    fn a_pcp_clock_may_step_back_by_one_second_only() {
        assert!(!lost(Epoch::pcp(), 10, 0, 9));
        assert!(lost(Epoch::pcp(), 10, 0, 8));
    }

    #[test]
    fn a_pcp_clock_may_be_fast_or_slow_by_a_sixteenth_and_two_seconds() {
        assert!(!lost(Epoch::pcp(), 0, 1_600, 1_498));
        assert!(lost(Epoch::pcp(), 0, 1_600, 1_497));
        assert!(!lost(Epoch::pcp(), 0, 1_500, 1_602));
        assert!(lost(Epoch::pcp(), 0, 1_500, 1_604));
    }

    #[test]
    fn a_nat_pmp_clock_may_be_slow_by_an_eighth_and_two_seconds() {
        assert!(!lost(Epoch::nat_pmp(), 100, 800, 798));
        assert!(lost(Epoch::nat_pmp(), 100, 800, 797));
        assert!(!lost(Epoch::nat_pmp(), 100, 800, u32::MAX));
    }
}
