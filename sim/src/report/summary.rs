//! Many numbers in three: how many there are, the one in the middle, and the one that only a hundredth
//! exceeds. By nearest rank, so each is a number that was really measured, and an integer stays one.

use serde::{Deserialize, Serialize};

/// The smallest of the `sorted` values that at least `percent` % of them do not exceed.
///
/// ```
/// use bradawl_sim::report::summary::percentile;
///
/// assert_eq!(percentile(&[10, 20, 30, 40], 50), Some(20));
/// assert_eq!(percentile(&[10, 20, 30, 40], 99), Some(40));
/// assert_eq!(percentile(&[], 50), None);
/// ```
pub fn percentile(sorted: &[u32], percent: u8) -> Option<u32> {
    let rank = (sorted.len() as u128 * u128::from(percent.min(100))).div_ceil(100);
    let index = usize::try_from(rank).ok()?.saturating_sub(1);
    sorted.get(index).copied()
}

/// Many values in three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many there are.
    pub n: u32,
    /// Half of them are at most this.
    pub p50: u32,
    /// 99 of a hundred are at most this.
    pub p99: u32,
}

impl Quantiles {
    /// Of values in any order; `None` if there are none.
    ///
    /// ```
    /// use bradawl_sim::report::summary::Quantiles;
    ///
    /// assert_eq!(Quantiles::of([3, 1, 2]), Some(Quantiles { n: 3, p50: 2, p99: 3 }));
    /// ```
    pub fn of(values: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut values: Vec<u32> = values.into_iter().collect();
        values.sort_unstable();
        Self::of_sorted(&values)
    }

    /// Of values in ascending order; `None` if there are none.
    pub fn of_sorted(sorted: &[u32]) -> Option<Self> {
        let n = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        Some(Self { n, p50: percentile(sorted, 50)?, p99: percentile(sorted, 99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{Quantiles, percentile};

    #[test]
    fn ranks_are_the_nearest() {
        let hundred: Vec<u32> = (1..=100).collect();
        for percent in 1..=100 {
            assert_eq!(percentile(&hundred, percent), Some(u32::from(percent)));
        }
        assert_eq!(percentile(&hundred, 0), Some(1));
        assert_eq!(percentile(&hundred, 255), Some(100));
        assert_eq!(percentile(&[7], 1), Some(7));
        assert_eq!(percentile(&[7, 9], 50), Some(7));
        assert_eq!(percentile(&[7, 9], 51), Some(9));
    }

    #[test]
    fn order_does_not_matter_and_nothing_is_nothing() {
        assert_eq!(Quantiles::of([u32::MAX, 0, 5]), Some(Quantiles { n: 3, p50: 5, p99: u32::MAX }));
        assert_eq!(Quantiles::of([]), None);
    }
}
