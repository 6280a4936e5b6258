//! What a ticket lets its holder do, and the secret that proves it.
//!
//! The secret is in the ticket's own text and nowhere else. Two things are derived from it (HKDF, RFC 5869):
//! one that the mediator is shown, which keeps but a hash of it, and one that the two peers mix into what they
//! agree on. Neither leads back to the secret, or to the other.

use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::base32;
use crate::hkdf;
use crate::rng::Rng;

/// What the holder of a ticket may do. The callee keeps to it: it counts the uses and knows the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Shows that somebody has the ticket.
    pub secret: TicketSecret,
    /// How often.
    pub uses: Uses,
    /// From when on no longer, in seconds since 1970; at no time if this is `None`.
    pub expires: Option<u64>,
}

/// How often a ticket lets its holder in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Uses {
    /// Once.
    Once,
    /// As often as they like.
    Any,
}

/// 16 random bytes that only the holders of a ticket know. Their memory is wiped when they go, and they are
/// compared in constant time.
///
/// ```
/// use bradawl::identity::TicketSecret;
/// use bradawl::rng::Rng;
///
/// let secret = TicketSecret::random(&mut Rng::from_seed([1; 32]));
/// let stored = secret.for_hub().hash();
/// assert!(stored.admits(&secret.for_hub()));
/// assert_eq!(format!("{secret:?}"), "TicketSecret");
/// ```
#[derive(Clone)]
pub struct TicketSecret([u8; 16]);

impl TicketSecret {
    /// A new one.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    /// One that was kept.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret itself, for who keeps it.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// What a mediator is shown.
    pub fn for_hub(&self) -> ForHub {
        ForHub(self.derive(b"hub"))
    }

    /// What the two peers mix into their agreement.
    pub fn for_peer(&self) -> ForPeer {
        ForPeer(self.derive(b"peer"))
    }

    fn derive(&self, usage: &[u8]) -> [u8; 32] {
        hkdf::expand(&hkdf::extract(b"bradawl ticket 1", &self.0), &[usage])
    }
}

/// What the holder of a ticket shows to a mediator.
#[derive(Clone)]
pub struct ForHub([u8; 32]);

impl ForHub {
    /// One that somebody showed.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is shown.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the callee tells the mediator beforehand.
    pub fn hash(&self) -> HubHash {
        let hash = Sha256::new_with_prefix(b"bradawl hub 1").chain_update(self.0);
        HubHash(hash.finalize().into())
    }
}

/// What a mediator keeps of a ticket: it knows a holder by it, and cannot be one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HubHash([u8; 32]);

impl HubHash {
    /// One that a callee sent.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is sent.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is what it is the hash of.
    pub fn admits(&self, shown: &ForHub) -> bool {
        self.0.ct_eq(&shown.hash().0).into()
    }
}

/// What the two peers of a call by ticket both know.
#[derive(Clone)]
pub struct ForPeer([u8; 32]);

impl ForPeer {
    /// The bytes.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Wiped, compared in constant time, and never shown.
macro_rules! secret {
    ($($name:ident),*) => {$(
        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

secret!(TicketSecret, ForHub, ForPeer);

impl fmt::Debug for HubHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubHash(")?;
        base32::write(f, &self.0)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn each_sees_something_else() {
        let secret = TicketSecret::from_bytes([9; 16]);
        let (hub, peer) = (secret.for_hub(), secret.for_peer());
        assert_ne!(hub.expose(), peer.expose());
        assert_ne!(hub.hash().as_bytes(), hub.expose());
        let other = TicketSecret::from_bytes([8; 16]);
        assert!(hub.hash().admits(&secret.for_hub()) && !hub.hash().admits(&other.for_hub()));
        assert!(!hub.hash().admits(&ForHub::from_bytes(*peer.expose())));
        assert!(secret != other && secret == secret.clone());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let grant =
            Grant { secret: TicketSecret::from_bytes([9; 16]), uses: Uses::Once, expires: Some(1_000) };
        assert_eq!(format!("{grant:?}"), "Grant { secret: TicketSecret, uses: Once, expires: Some(1000) }");
        assert_eq!(format!("{:?} {:?}", grant.secret.for_hub(), grant.secret.for_peer()), "ForHub ForPeer");
    }
}
