//! What is only probable, judged in aggregate (invariant 3): one run that fails proves nothing, but hundreds
//! of them that fail too often do.

use core::fmt;

use crate::units::Chance;

/// How often something came true, beside how often it had to.
///
/// ```
/// use bradawl_sim::odds::Odds;
/// use bradawl_sim::units::Chance;
///
/// let mut odds = Odds::default();
/// (0..200).for_each(|run| odds.add(Chance::percent(98), run >= 6)); // 194 of 200
/// assert!(!odds.is_below());
/// (0..200).for_each(|run| odds.add(Chance::percent(98), run >= 30));
/// assert!(odds.is_below());
/// assert_eq!(odds.to_string(), "364 of 400, where 392.0 were to be expected, 3 σ = 8.4");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odds {
    runs: u64,
    came_true: u64,
    /// The sum of all chances, in millionths.
    expected: u64,
    /// The sum of all p (1 − p), in millionths of millionths.
    variance: u128,
}

impl Odds {
    const ONE: u64 = 1_000_000;

    /// Something that had this chance, and whether it came true. What has none tells nothing.
    pub fn add(&mut self, chance: Chance, came_true: bool) {
        if chance == Chance::NEVER {
            return;
        }
        let ppm = u64::from(chance.ppm());
        self.runs += 1;
        self.came_true += u64::from(came_true);
        self.expected += ppm;
        self.variance += u128::from(ppm * (Self::ONE - ppm));
    }

    /// These and those.
    pub fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.came_true += other.came_true;
        self.expected += other.expected;
        self.variance += other.variance;
    }

    /// How many there are.
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// Whether fewer came true than had to, by more than 3 σ and one: the one is for small numbers, where a
    /// single failure would be more than that.
    pub fn is_below(&self) -> bool {
        let missing = i128::from(self.expected) - i128::from(self.came_true * Self::ONE);
        let beyond = (missing - i128::from(Self::ONE)).max(0).unsigned_abs();
        beyond * beyond > 9 * self.variance
    }
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |millionths: u128| {
            let tenths = millionths / (u128::from(Self::ONE) / 10);
            format!("{}.{}", tenths / 10, tenths % 10)
        };
        let sigma = (9 * self.variance).isqrt();
        let (expected, sigma) = (tenths(self.expected.into()), tenths(sigma));
        write!(f, "{} of {}, where {expected} were to be expected, 3 σ = {sigma}", self.came_true, self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::Odds;
    use crate::units::Chance;

    fn odds(percent: u32, runs: u32, failures: u32) -> Odds {
        let mut odds = Odds::default();
        (0..runs).for_each(|run| odds.add(Chance::percent(percent), run >= failures));
        odds
    }

    #[test]
    fn a_single_failure_is_chance_and_many_are_none() {
        assert!(!odds(98, 1, 1).is_below());
        assert!(!odds(98, 200, 10).is_below(), "4 are to be expected, 3 σ are 5.9");
        assert!(odds(98, 200, 11).is_below());
        assert!(odds(100, 1_000, 2).is_below(), "what is sure must not fail");
        assert!(!odds(50, 1_000, 548).is_below());
        assert!(odds(50, 1_000, 549).is_below());
    }

    #[test]
    fn luck_is_no_promise() {
        assert!(!odds(0, 1_000, 1_000).is_below());
        assert_eq!(odds(0, 1_000, 1_000).runs(), 0);
    }

    #[test]
    fn sums_are_as_if_counted_together() {
        let mut sum = odds(98, 200, 3);
        sum.merge(&odds(96, 300, 20));
        let mut together = odds(98, 200, 3);
        (0..300).for_each(|run| together.add(Chance::percent(96), run >= 20));
        assert_eq!(sum, together);
    }
}
