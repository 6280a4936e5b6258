//! Who may have written a message: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and the keys behind
//! them (RFC 8489 §9, §14.5, §14.6).
//!
//! Half of an HMAC's cost is mixing the key in. A [`Key`] does that once, when it is made, and
//! starts every message from the state it kept.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac};
use md5::digest::Output;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// A shared secret, ready to sign and verify with either algorithm.
///
/// User names, realms and passwords are used as they are. RFC 8489 wants them prepared by the
/// OpaqueString profile (RFC 8265) first; that is for the program that asks a person for them.
///
/// ```
/// use bradawl::wire::stun::{Key, PasswordAlgorithm};
///
/// let ice = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
/// let turn = Key::long_term("user", "example.org", "password", PasswordAlgorithm::Sha256);
/// assert_eq!(format!("{ice:?} {turn:?}"), "Key Key"); // a secret is never printed
/// ```
#[derive(Clone)]
pub struct Key {
    sha1: Hmac<Sha1>,
    sha256: Hmac<Sha256>,
}

impl Key {
    /// The key of the short-term mechanism, which is ICE's: the password itself (RFC 8489 §9.1.1).
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of the long-term mechanism, which is TURN's (RFC 8489 §9.2.2, §18.5.1).
    pub fn long_term(username: &str, realm: &str, password: &str, algorithm: PasswordAlgorithm) -> Self {
        let parts = [username, ":", realm, ":", password];
        match algorithm {
            PasswordAlgorithm::Md5 => Self::from_bytes(&digest::<Md5>(&parts)),
            PasswordAlgorithm::Sha256 => Self::from_bytes(&digest::<Sha256>(&parts)),
        }
    }

    /// A key that is already bytes.
    pub fn from_bytes(key: &[u8]) -> Self {
        // An HMAC takes keys of any length, so these two cannot fail; the empty key stands in for
        // a panic that nobody could ever see.
        let sha1 = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        let sha256 = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { sha1, sha256 }
    }

    #[inline]
    pub(super) fn sign_sha1(&self, message: &[u8]) -> [u8; 20] {
        let mut mac = self.sha1.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    #[inline]
    pub(super) fn sign_sha256(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.sha256.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` signs `header` followed by `body`. Takes as long whatever differs.
    #[inline]
    pub(super) fn verify_sha1(&self, header: &[u8], body: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.sha1.clone();
        mac.update(header);
        mac.update(body);
        mac.verify_slice(tag).is_ok()
    }

    #[inline]
    pub(super) fn verify_sha256(&self, header: &[u8], body: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.sha256.clone();
        mac.update(header);
        mac.update(body);
        mac.verify_slice(tag).is_ok()
    }

    /// The same for a tag that may have been cut. How short it may be was checked by the parser.
    pub(super) fn verify_sha256_truncated(&self, header: &[u8], body: &[u8], tag: &[u8]) -> bool {
        let mut mac = self.sha256.clone();
        mac.update(header);
        mac.update(body);
        mac.verify_truncated_left(tag).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// How a long-term password becomes a key (RFC 8489 §18.5).
///
/// ```
/// use bradawl::wire::stun::PasswordAlgorithm;
///
/// assert_eq!(PasswordAlgorithm::new(2), Some(PasswordAlgorithm::Sha256));
/// assert!(PasswordAlgorithm::Sha256 > PasswordAlgorithm::Md5); // stronger
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum PasswordAlgorithm {
    /// What RFC 5389 had.
    Md5 = 1,
    /// What RFC 8489 added.
    Sha256 = 2,
}

impl PasswordAlgorithm {
    /// By its registered number.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Md5),
            2 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// Which of the two integrity attributes to write.
///
/// ```
/// use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};
///
/// let key = Key::short_term("secret");
/// let mut buf = [0; 64];
/// let len = Writer::new(&mut buf, Class::Indication, Method::BINDING, TransactionId::from([0; 12]))
///     .integrity_with(&key, Integrity::Sha256)
///     .finish()?;
/// assert_eq!(Message::parse(&buf[..len])?.integrity(), Some(Integrity::Sha256));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: HMAC-SHA1, what every STUN agent understands.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256.
    Sha256,
}

/// FINGERPRINT's value: a CRC-32 over what precedes it, masked with "STUN" (RFC 8489 §14.7).
#[inline]
pub(super) fn fingerprint(covered: &[u8]) -> [u8; 4] {
    (crc32fast::hash(covered) ^ 0x5354_554E).to_be_bytes()
}

/// What stands in USERHASH in place of a user name (RFC 8489 §14.4).
///
/// ```
/// let hash = bradawl::wire::stun::userhash("user", "example.org");
/// assert_ne!(hash, bradawl::wire::stun::userhash("user", "example.com"));
/// ```
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    digest::<Sha256>(&[username, ":", realm]).into()
}

fn digest<D: Digest>(parts: &[&str]) -> Output<D> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
