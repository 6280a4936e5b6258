//! Hashing that a stranger cannot aim: SipHash-1-3 with a key from the seed.
//!
//! What the network sends ends up as keys of maps and tables. With a hash that everybody can
//! compute, an attacker picks keys that all collide. With a key that only this machine knows they
//! cannot, and a run with the same seed still hashes the same.

use core::fmt;
use core::hash::BuildHasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::rng::Rng;

/// Makes hashers with one secret key.
///
/// ```
/// use bradawl::hash::Keyed;
/// use bradawl::rng::Rng;
/// use core::hash::BuildHasher;
///
/// let keyed = Keyed::new(&mut Rng::from_seed([1; 32]));
/// let other = Keyed::new(&mut Rng::from_seed([2; 32]));
/// assert_eq!(keyed.hash_one(7u64), keyed.hash_one(7u64));
/// assert_ne!(keyed.hash_one(7u64), other.hash_one(7u64));
/// ```
#[derive(Clone)]
pub struct Keyed(SipHasher13);

impl Keyed {
    /// Draws a key.
    pub fn new(rng: &mut Rng) -> Self {
        Self(SipHasher13::new_with_keys(rng.u64(), rng.u64()))
    }

    /// Hashes the network that an address belongs to, as far as limits are concerned: one IPv4
    /// address or one IPv6 /56, which is what an access provider gives to one customer.
    #[inline]
    pub(crate) fn hash_network(&self, address: IpAddr) -> u64 {
        // The top byte is free in both cases and tells the families apart.
        let network = match address.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => 1 << 63 | (ip.to_bits() >> 72) as u64,
        };
        self.0.hash(&network.to_le_bytes())
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        self.0
    }
}

impl fmt::Debug for Keyed {
    // Never the key: who knows it can aim again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed")
    }
}
