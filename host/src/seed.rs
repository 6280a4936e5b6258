//! Where randomness enters: one seed from the operating system, from which the core's generators grow.

use bradawl::rng::{Rng, Seed};

/// The operating system gave no randomness. Nothing secure can be done without.
#[derive(Debug, thiserror::Error)]
#[error("the operating system has no randomness to give: {0}")]
pub struct SeedError(#[from] getrandom::Error);

/// A generator whose seed nobody knows.
///
/// ```
/// let mut rng = bradawl_host::seed::rng()?;
/// let mut another = bradawl_host::seed::rng()?;
/// assert_ne!(rng.bytes::<16>(), another.bytes::<16>());
/// # Ok::<(), bradawl_host::seed::SeedError>(())
/// ```
pub fn rng() -> Result<Rng, SeedError> {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed)?;
    Ok(Rng::from_seed(seed))
}
