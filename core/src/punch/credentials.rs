//! What the checks of a session are sealed with: a user fragment and a password for each side
//! (RFC 8445 §5.3).
//!
//! Toward a foreign agent they are drawn at random and exchanged. Between two of our own nobody sends
//! them: both derive the same four from what only they know, so that whoever introduces them cannot forge
//! a check.

use alloc::string::String;
use core::fmt;

use crate::hkdf;
use crate::rng::Rng;
use crate::wire::stun::Key;

/// The user fragment and the password of one side.
///
/// ```
/// use bradawl::punch::Credentials;
/// use bradawl::rng::Rng;
///
/// let ours = Credentials::random(&mut Rng::from_seed([1; 32]));
/// assert_eq!((ours.ufrag().len(), ours.pwd().len()), (8, 24));
/// assert!(Credentials::new("F7gI", "x9cml/YzichV2+XlhiMu8g").is_some());
/// assert!(Credentials::new("F7gI", "short").is_none(), "a password has 22 characters at least");
/// ```
#[derive(Clone)]
pub struct Credentials {
    ufrag: String,
    pwd: String,
    key: Key,
}

impl Credentials {
    /// The longest that either may be (RFC 8839 §5.4).
    pub const MAX: usize = 256;

    /// Those that somebody gave us; `None` if they are not made of `ice-char`s, are too short or too long
    /// (RFC 8839 §5.4).
    pub fn new(ufrag: &str, pwd: &str) -> Option<Self> {
        let is_fine = |text: &str, least: usize| {
            (least..=Self::MAX).contains(&text.len()) && text.bytes().all(|byte| ALPHABET.contains(&byte))
        };
        (is_fine(ufrag, 4) && is_fine(pwd, 22)).then(|| Self::from_parts(ufrag.into(), pwd.into()))
    }

    /// New ones: 48 bits and 144.
    pub fn random(rng: &mut Rng) -> Self {
        Self::from_parts(text(&rng.bytes::<8>()), text(&rng.bytes::<24>()))
    }

    /// Those of a session between two of our own agents: the caller's and the callee's. `secret` is what
    /// the two agreed on (never what a third knows), `session` what tells this session from all others.
    ///
    /// HKDF-SHA256 (RFC 5869) with one output block for each of the four.
    ///
    /// ```
    /// use bradawl::punch::Credentials;
    ///
    /// let (caller, callee) = Credentials::derive(&[7; 32], b"session 1");
    /// let (again, _) = Credentials::derive(&[7; 32], b"session 1");
    /// let (other, _) = Credentials::derive(&[7; 32], b"session 2");
    /// assert_eq!(caller.pwd(), again.pwd());
    /// assert!(caller.pwd() != callee.pwd() && caller.pwd() != other.pwd());
    /// ```
    pub fn derive(secret: &[u8; 32], session: &[u8]) -> (Self, Self) {
        let pseudorandom = hkdf::extract(b"bradawl checks 1", secret);
        let part = |label: &[u8]| hkdf::expand(&pseudorandom, &[session, label]);
        let side =
            |ufrag: &[u8], pwd: &[u8]| Self::from_parts(text(&part(ufrag)[..8]), text(&part(pwd)[..24]));
        (side(b"caller ufrag", b"caller pwd"), side(b"callee ufrag", b"callee pwd"))
    }

    fn from_parts(ufrag: String, pwd: String) -> Self {
        let key = Key::short_term(&pwd);
        Self { ufrag, pwd, key }
    }

    /// The user fragment. It names the side; it is no secret.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password. It is one.
    pub fn pwd(&self) -> &str {
        &self.pwd
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }
}

/// RFC 8839 §5.4: `ice-char`. 64 of them, so that six bits of a byte choose one.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

impl fmt::Debug for Credentials {
    // Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.ufrag == other.ufrag && self.pwd == other.pwd
    }
}

impl Eq for Credentials {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ice_char_is_refused() {
        let pwd = "a".repeat(22);
        assert!(Credentials::new("abcd", &pwd).is_some());
        for (ufrag, pwd) in [("abc", pwd.as_str()), ("ab:d", &pwd), ("abcd", &pwd[1..]), ("äbcd", &pwd)] {
            assert!(Credentials::new(ufrag, pwd).is_none(), "{ufrag} {pwd}");
        }
        assert!(Credentials::new(&"a".repeat(257), &pwd).is_none());
    }

    #[test]
    fn what_is_random_reads_as_text_of_others() {
        let credentials = Credentials::random(&mut Rng::from_seed([3; 32]));
        assert_eq!(Credentials::new(credentials.ufrag(), credentials.pwd()), Some(credentials));
    }

    #[test]
    fn passwords_are_not_shown() {
        let credentials = Credentials::new("abcd", "0123456789012345678901").expect("fine");
        assert_eq!(alloc::format!("{credentials:?}"), "Credentials { ufrag: \"abcd\", .. }");
    }
}
