//! Randomness that repeats: ChaCha12 from a seed, forked per child.
//!
//! The core never asks the operating system for randomness. A machine is given an [`Rng`] (or a
//! seed) when it is made and everything it ever draws comes from there, so the same seed and the
//! same inputs give the same outputs on every platform. In production the seed comes from the
//! operating system; ChaCha12 then makes transaction ids as unpredictable as RFC 8489 §5 wants.

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use core::fmt;

/// What a generator grows from: 32 bytes that nobody else knows, or a number that a test chose.
///
/// ```
/// use bradawl::rng::{Rng, Seed};
///
/// let seed: Seed = [42; 32];
/// assert_eq!(Rng::from_seed(seed).u64(), Rng::from_seed(seed).u64());
/// ```
pub type Seed = [u8; 32];

/// A deterministic, cryptographically strong generator.
///
/// ```
/// use bradawl::rng::Rng;
///
/// let mut parent = Rng::from_seed([7; 32]);
/// let mut child = parent.fork();
/// assert_ne!(parent.u64(), child.u64());
///
/// // The same seed, the same history: the same numbers.
/// let mut again = Rng::from_seed([7; 32]);
/// assert_eq!(again.fork().u64(), Rng::from_seed([7; 32]).fork().u64());
/// assert!(again.below(6) < 6);
/// ```
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator that starts from `seed`.
    pub fn from_seed(seed: Seed) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A generator for a child: independent of everything this one will draw from now on, so that
    /// a child that draws more or less never changes what its siblings see.
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.bytes())
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// The next 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `bound - 1`, without bias; 0 if `bound` is 0.
    ///
    /// The high half of a 64 × 64 bit product, redrawn in the rare sliver that would be biased
    /// (Lemire, "Fast random integer generation in an interval").
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let sliver = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.u64()) * u128::from(bound);
            if product as u64 >= sliver {
                return (product >> 64) as u64;
            }
        }
    }
}

impl fmt::Debug for Rng {
    // Never the state: who knows it knows every transaction id to come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng")
    }
}
