//! One session between two peers, told from every other one.
//!
//! Each side puts a number into it that it has drawn, so that neither can bring about a session that was
//! there before.

use core::fmt;

use sha2::{Digest as _, Sha256};

use super::{PeerId, base32};
use crate::rng::Rng;

/// A number that is used once: by a caller for one call, by a callee for one registration.
///
/// ```
/// use bradawl::identity::Nonce;
/// use bradawl::rng::Rng;
///
/// let nonce = Nonce::random(&mut Rng::from_seed([1; 32]));
/// assert_eq!(Nonce::from_bytes(*nonce.as_bytes()), nonce);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A new one.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    /// One that somebody sent.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it is sent.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(")?;
        base32::write(f, &self.0)?;
        f.write_str(")")
    }
}

/// Which session: a hash of who calls whom, and of a number from each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// The session of this caller and this callee.
    ///
    /// ```
    /// use bradawl::identity::{Nonce, SecretKey, SessionId};
    ///
    /// let alice = (SecretKey::from_seed(&[1; 32]).id(), Nonce::from_bytes([1; 16]));
    /// let bob = (SecretKey::from_seed(&[2; 32]).id(), Nonce::from_bytes([2; 16]));
    /// assert_ne!(SessionId::new(alice, bob), SessionId::new(bob, alice));
    /// ```
    pub fn new(caller: (PeerId, Nonce), callee: (PeerId, Nonce)) -> Self {
        // Each part has a fixed length, so that no two sessions hash the same bytes.
        let hash = Sha256::new_with_prefix(b"bradawl session 1")
            .chain_update(caller.0.as_bytes())
            .chain_update(callee.0.as_bytes())
            .chain_update(caller.1.as_bytes())
            .chain_update(callee.1.as_bytes());
        Self(hash.finalize().into())
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(")?;
        base32::write(f, &self.0)?;
        f.write_str(")")
    }
}
