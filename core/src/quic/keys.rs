//! The keys that a connection is bound to: Ed25519, as TLS sees them.
//!
//! This is the seam between identities and TLS, and the only place that knows how the one is written as the
//! other: a public key is the fixed prefix of a `SubjectPublicKeyInfo` and 32 bytes (RFC 8410 §4), a secret
//! one the fixed prefix of a PKCS#8 `PrivateKeyInfo` and 32 bytes (RFC 8410 §7).

use alloc::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;

use super::SetupError;

/// An Ed25519 public key: who somebody is.
pub type PublicKey = [u8; 32];

const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const SECRET_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Our own key: it says who we are, and proves it.
#[derive(Clone, Debug)]
pub struct OwnKey {
    pub(super) public: PublicKey,
    pub(super) signing: Arc<dyn SigningKey>,
}

impl OwnKey {
    /// The key that grows from an Ed25519 seed (RFC 8032 §5.1.5), held by the provider's implementation.
    pub fn from_seed(seed: &[u8; 32], provider: &CryptoProvider) -> Result<Self, SetupError> {
        let pkcs8 = [SECRET_PREFIX.as_slice(), seed].concat();
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let signing = provider.key_provider.load_private_key(secret).map_err(|_| SetupError::NoEd25519)?;
        let info = signing.public_key().ok_or(SetupError::NoEd25519)?;
        let public = read(info.as_ref()).ok_or(SetupError::NoEd25519)?;
        if signing.choose_scheme(&[SignatureScheme::ED25519]).is_none() {
            return Err(SetupError::NoEd25519);
        }
        Ok(Self { public, signing })
    }

    /// What others know us by.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// The key as a `SubjectPublicKeyInfo`.
pub(super) fn write(key: &PublicKey) -> [u8; 44] {
    let mut info = [0; 44];
    info[..12].copy_from_slice(&PUBLIC_PREFIX);
    info[12..].copy_from_slice(key);
    info
}

/// The key in a `SubjectPublicKeyInfo`, if it is of this kind and nothing else.
pub(super) fn read(info: &[u8]) -> Option<PublicKey> {
    info.strip_prefix(&PUBLIC_PREFIX)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn only_an_ed25519_key_is_read() {
        let key = [7; 32];
        let info = write(&key);
        assert_eq!(read(&info), Some(key));
        assert_eq!(read(&info[..43]), None);
        assert_eq!(read(&[info.as_slice(), &[0]].concat()), None, "something follows");
        for at in 0..12 {
            let mut other = info;
            other[at] ^= 1;
            assert_eq!(read(&other), None, "byte {at}");
        }
    }
}
