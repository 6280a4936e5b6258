//! The id of a peer: its Ed25519 public key (RFC 8032 §5.1.5), as people and messages write it.
//!
//! An id is checked when it is made, so that every [`PeerId`] is a key: a point of the curve, written the one
//! way it is written, and none of the few points with which everybody "agrees" on the same secret. A point with
//! a part of small order beside its own is let pass: its holder has a few more ids, and ids cost nothing.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::VerifyingKey;

use super::base32;
use super::key::{Context, Forged, Signature, labelled};

/// Who somebody is.
///
/// As text it has 52 characters. Ids are ordered as their bytes are, not as their texts.
///
/// ```
/// use bradawl::identity::{IdError, PeerId, SecretKey};
///
/// let id = SecretKey::from_seed(&[1; 32]).id();
/// let text = id.to_string();
/// assert_eq!(text, "rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa");
/// assert_eq!(text.parse(), Ok(id));
/// assert_eq!(id.short().to_string(), "rkeohxlu");
///
/// let error = text[..51].parse::<PeerId>().unwrap_err();
/// assert_eq!(error.to_string(), "this is no peer's id: it has 51 characters instead of 52");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// How many characters an id has.
    pub const TEXT_LEN: usize = base32::length(32);

    /// The peer with this public key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NotAKey> {
        // RFC 8032 §5.1.3 wants it refused; the library takes y modulo the prime.
        if !is_reduced(&bytes) {
            return Err(NotAKey::NoPoint);
        }
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NotAKey::NoPoint)?;
        if key.is_weak() { Err(NotAKey::SmallOrder) } else { Ok(Self(bytes)) }
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The beginning of it: enough to tell a handful of peers apart, never enough to trust one.
    pub fn short(&self) -> Short {
        let [a, b, c, d, e, ..] = self.0;
        Short([a, b, c, d, e])
    }

    /// Whether this peer signed these bytes for this use.
    ///
    /// Strict where RFC 8032 §5.1.7 leaves a choice: the equation without the cofactor, no point of small order,
    /// and s reduced. So nobody can turn one signature into another.
    pub fn verify(&self, context: Context, bytes: &[u8], signature: &Signature) -> Result<(), Forged> {
        let key = self.key().ok_or(Forged)?;
        key.verify_strict(&labelled(context, bytes), &signature.to_dalek()).map_err(|_| Forged)
    }

    pub(super) fn of(key: &VerifyingKey) -> Self {
        Self(key.to_bytes())
    }

    /// The point. There is one, for that was seen when the id was made.
    pub(super) fn key(&self) -> Option<VerifyingKey> {
        VerifyingKey::from_bytes(&self.0).ok()
    }

    #[cfg(test)]
    pub(super) const fn unchecked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Whether the y coordinate is less than 2^255 - 19. The top bit is the sign of x.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    !(*first >= 0xed && middle.iter().all(|&byte| byte == 0xff) && last & 0x7f == 0x7f)
}

/// Why a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IdError {
    /// It does not stand for 32 bytes.
    #[error("this is no peer's id: {0}")]
    Text(#[from] base32::Malformed),
    /// These bytes are no key.
    #[error("this is no peer's id: {0}")]
    Key(#[from] NotAKey),
}

/// Why 32 bytes are nobody's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAKey {
    /// They are no point of the curve, or one that is written in another way than it should be.
    #[error("no key has it, so some character of it is wrong")]
    NoPoint,
    /// They are one of the eight points of which anybody can pretend to know the secret.
    #[error("it stands for a key that is known to everybody")]
    SmallOrder,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base32::write(f, &self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Ok(Self::from_bytes(base32::decode(text)?)?)
    }
}

/// The first eight characters of an id, for people and logs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short([u8; 5]);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base32::write(f, &self.0)
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}…")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::identity::SecretKey;
    use crate::identity::base32::Malformed;
    use std::string::ToString as _;

    /// The y coordinates of the points of order 1, 2, 4 and 8: one, minus one, zero, and two odd ones.
    pub(in crate::identity) const SMALL: [&str; 5] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];

    pub(in crate::identity) fn bytes(hex: &str) -> [u8; 32] {
        core::array::from_fn(|index| u8::from_str_radix(&hex[2 * index..][..2], 16).expect("hex"))
    }

    #[test]
    fn what_everybody_knows_the_secret_of_is_nobodys_id() {
        for small in SMALL.map(bytes) {
            assert_eq!(PeerId::from_bytes(small), Err(NotAKey::SmallOrder), "{small:x?}");
            let mut other = small;
            other[31] |= 0x80;
            assert!(PeerId::from_bytes(other).is_err(), "{other:x?}");
        }
    }

    #[test]
    fn a_point_is_written_in_one_way() {
        // y = 2 is no point; y = 3 and y = 4 are, and have a second way to be written: y + 2^255 - 19.
        let y = |y: u8| core::array::from_fn(|index| if index == 0 { y } else { 0 });
        assert_eq!(PeerId::from_bytes(y(2)), Err(NotAKey::NoPoint));
        for small in [3, 4] {
            assert!(PeerId::from_bytes(y(small)).is_ok(), "{small}");
            let mut second = [0xff; 32];
            (second[0], second[31]) = (0xed + small, 0x7f);
            assert_eq!(PeerId::from_bytes(second), Err(NotAKey::NoPoint));
            assert!(VerifyingKey::from_bytes(&second).is_ok(), "the library would take it");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = SecretKey::from_seed(&[2; 32]).id().to_string();
        let refused = |text: &str| text.parse::<PeerId>().expect_err("no id");
        assert_eq!(refused(""), Malformed::Length { expected: 52, found: 0 }.into());
        assert_eq!(refused(&text[1..]), Malformed::Length { expected: 52, found: 51 }.into());
        let upper = text.to_uppercase();
        let at = upper.find(char::is_alphabetic).expect("a letter");
        let found = upper.chars().nth(at).expect("that letter");
        assert_eq!(refused(&upper), Malformed::Character { found, at: at + 1 }.into());
        let last = if text.ends_with('a') { "b" } else { "r" };
        assert_eq!(refused(&(text[..51].to_string() + last)), Malformed::End.into());
        // Every second y is no point of the curve.
        let near = (0..32).map(|value| base32::encode(&[value << 3]) + &text[2..]);
        assert!(near.filter(|text| text.parse::<PeerId>() == Err(NotAKey::NoPoint.into())).count() > 4);
    }

    #[test]
    fn a_short_one_is_the_beginning_of_the_long_one() {
        let id = SecretKey::from_seed(&[3; 32]).id();
        let short = id.short().to_string();
        assert_eq!(short.len(), 8);
        assert!(id.to_string().starts_with(&short));
    }
}
