//! How sure a profile is of what it says: evidence counted in bits.
//!
//! An observation is worth the binary logarithm of how much less probable it would have been had
//! something else been true: 20 bits are one in a million. Independent observations add up. What a
//! person sees is `1 − 2^(−bits / 6)`: 0.9 stands for [`Confidence::SURE`], the one in a million.

use core::fmt;
use core::ops::Add;

/// Evidence for one value against all others, in bits.
///
/// ```
/// use bradawl::discovery::Confidence;
///
/// let one = Confidence::from_bits(16);
/// assert!(!one.is_sure() && (one + one).is_sure());
/// assert_eq!(Confidence::SURE.to_string(), "90 %");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u8);

impl Confidence {
    /// No evidence at all.
    pub const NONE: Self = Self(0);
    /// Wrong once in a hundred times. Less than that is a guess, and nobody should build on it.
    pub const ENOUGH: Self = Self(7);
    /// Wrong once in a million times: 0.9.
    pub const SURE: Self = Self(20);
    /// Nothing is surer than this.
    pub const MAX: Self = Self(60);

    /// So much evidence, at most [`Confidence::MAX`].
    pub const fn from_bits(bits: u32) -> Self {
        if bits < Self::MAX.0 as u32 { Self(bits as u8) } else { Self::MAX }
    }

    /// The evidence, in bits.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Whether it is 0.9 or more.
    pub fn is_sure(self) -> bool {
        self >= Self::SURE
    }

    /// From 0 to 1: `1 − 2^(−bits / 6)`.
    pub fn value(self) -> f32 {
        /// 2^(−n / 6); `no_std` has no powers of that kind.
        const SIXTHS: [f32; 6] =
            [1.0, 0.890_899, 0.793_701, core::f32::consts::FRAC_1_SQRT_2, 0.629_961, 0.561_231];
        let whole = (1_u32 << (self.0 / 6)) as f32;
        1.0 - SIXTHS[usize::from(self.0 % 6)] / whole
    }
}

impl Add for Confidence {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_bits(self.bits() + other.bits())
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", (self.value() * 100.0) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Confidence;

    #[test]
    fn more_evidence_is_more_confidence_and_never_certainty() {
        let values: [f32; 61] = core::array::from_fn(|bits| Confidence::from_bits(bits as u32).value());
        assert!(values.is_sorted_by(|less, more| less < more));
        assert!((values[0], values[20] >= 0.9, values[19] < 0.9) == (0.0, true, true));
        assert!(values[60] < 1.0);
        assert_eq!(Confidence::from_bits(1_000), Confidence::MAX);
    }
}
