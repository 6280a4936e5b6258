//! Attributes of the credential mechanisms (RFC 8489 §9).

use super::{Attribute, Kind, byte_attributes};
use crate::wire::stun::{PasswordAlgorithm, TransactionId};

byte_attributes! {
    /// Whose credentials sign the message (RFC 8489 §14.3). UTF-8 by the RFC, bytes to us: a user
    /// name is compared and never shown, so nobody needs to check it in the innermost loop.
    ///
    /// ```
    /// use bradawl::wire::stun::{TransactionId, attr::{Attribute, Username}};
    ///
    /// let id = TransactionId::from([0; 12]);
    /// assert_eq!(Username::decode(b"evtj:h6vY", &id), Some(Username(b"evtj:h6vY")));
    /// assert_eq!(Username::decode(&[b'a'; 509], &id), None); // fewer than 509 bytes
    /// ```
    Username = USERNAME, at most 508;
    /// What the server wants to see again, so that it knows that we have heard it (RFC 8489 §14.10).
    /// Opaque to us but for its beginning, see [`Nonce::security_features`].
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Nonce, SecurityFeatures};
    ///
    /// let old = Nonce(b"f//499k954d6OL34oL9FSTvy64sA");
    /// assert_eq!(old.security_features(), SecurityFeatures::default());
    /// let new = Nonce(b"obMatJos2gAAA499k954d6OL34oL9FSTvy64sA");
    /// assert!(new.security_features().password_algorithms);
    /// ```
    Nonce = NONCE, at most 763;
}

/// A hash in place of a user name, for those who do not want it read (RFC 8489 §14.4). Made by
/// [`userhash`](crate::wire::stun::userhash).
///
/// ```
/// use bradawl::wire::stun::{attr::Userhash, userhash};
///
/// let attribute = Userhash(userhash("user", "example.org"));
/// assert_eq!(attribute.0.len(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Userhash(pub [u8; 32]);

impl<'a> Attribute<'a> for Userhash {
    const KIND: Kind = Kind::USERHASH;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        value.try_into().ok().map(Self)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value.copy_from_slice(&self.0);
    }
}

impl Nonce<'_> {
    /// What a nonce that says something begins with (RFC 8489 §9.2).
    const COOKIE: &'static [u8] = b"obMatJos2";

    /// What the server says it can do, in a place where nobody on the path can strike it out
    /// without breaking the nonce. A nonce that is not of this form says nothing.
    pub fn security_features(&self) -> SecurityFeatures {
        let bits = self.0.strip_prefix(Self::COOKIE).and_then(|rest| {
            let sextets = rest.first_chunk::<4>()?;
            sextets.iter().try_fold(0u32, |bits, &digit| Some(bits << 6 | base64_digit(digit)?))
        });
        let bits = bits.unwrap_or(0);
        // Bit 0 is the leftmost of the 24 (RFC 8489 §18.1). The RFC's own example in B.1 counts
        // from the right, and so do some servers: no other bit is assigned, so both can be heard.
        SecurityFeatures {
            password_algorithms: bits & (1 << 23 | 1 << 0) != 0,
            username_anonymity: bits & (1 << 22 | 1 << 1) != 0,
        }
    }
}

fn base64_digit(digit: u8) -> Option<u32> {
    Some(match digit {
        b'A'..=b'Z' => u32::from(digit - b'A'),
        b'a'..=b'z' => u32::from(digit - b'a') + 26,
        b'0'..=b'9' => u32::from(digit - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// What a server can do, said in its nonce (RFC 8489 §18.1).
///
/// ```
/// use bradawl::wire::stun::attr::SecurityFeatures;
/// assert!(!SecurityFeatures::default().username_anonymity);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecurityFeatures {
    /// It negotiates the password algorithm; a 401 without PASSWORD-ALGORITHMS is then forged.
    pub password_algorithms: bool,
    /// It takes USERHASH in place of USERNAME.
    pub username_anonymity: bool,
}

/// The password algorithm that a client chose (RFC 8489 §14.12).
///
/// ```
/// use bradawl::wire::stun::{PasswordAlgorithm, attr::ChosenAlgorithm};
/// assert_eq!(ChosenAlgorithm(PasswordAlgorithm::Sha256).0, PasswordAlgorithm::Sha256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChosenAlgorithm(pub PasswordAlgorithm);

impl<'a> Attribute<'a> for ChosenAlgorithm {
    const KIND: Kind = Kind::PASSWORD_ALGORITHM;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        // Neither registered algorithm has parameters.
        let &[a0, a1, 0, 0] = value else { return None };
        PasswordAlgorithm::new(u16::from_be_bytes([a0, a1])).map(Self)
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let [a0, a1] = (self.0 as u16).to_be_bytes();
        value.copy_from_slice(&[a0, a1, 0, 0]);
    }
}

/// The password algorithms that a server offers (RFC 8489 §14.11), as bytes: a client must send
/// back exactly what it was sent.
///
/// ```
/// use bradawl::wire::stun::{PasswordAlgorithm, attr::PasswordAlgorithms};
///
/// let offer = PasswordAlgorithms::SHA256_AND_MD5;
/// assert!(offer.iter().eq([PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5]));
/// assert_eq!(offer.strongest(), Some(PasswordAlgorithm::Sha256));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl<'a> PasswordAlgorithms<'a> {
    /// What a server that supports everything there is offers.
    pub const SHA256_AND_MD5: PasswordAlgorithms<'static> = PasswordAlgorithms(&[0, 2, 0, 0, 0, 1, 0, 0]);

    /// The longest that is read, in bytes: two are registered, this leaves room for some more.
    pub const MAX: usize = 64;

    /// The bytes as they came.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Those that we know, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm> + 'a {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (algorithm, tail) = Self::split(rest)?;
            rest = tail;
            Some(algorithm)
        })
        .filter_map(PasswordAlgorithm::new)
    }

    /// The strongest that we know.
    pub fn strongest(&self) -> Option<PasswordAlgorithm> {
        self.iter().max()
    }

    /// Takes one algorithm and its padded parameters off the front.
    fn split(bytes: &[u8]) -> Option<(u16, &[u8])> {
        let (&[a0, a1, l0, l1], rest) = bytes.split_first_chunk()?;
        let parameters = (usize::from(u16::from_be_bytes([l0, l1])) + 3) & !3;
        Some((u16::from_be_bytes([a0, a1]), rest.get(parameters..)?))
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const KIND: Kind = Kind::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        if value.len() > Self::MAX {
            return None;
        }
        let mut rest = value;
        while !rest.is_empty() {
            (_, rest) = Self::split(rest)?;
        }
        Some(Self(value))
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value.copy_from_slice(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Attribute, Nonce, PasswordAlgorithms};
    use crate::wire::stun::{PasswordAlgorithm, TransactionId};

    const ID: TransactionId = TransactionId::from_bytes([0; 12]);

    #[test]
    fn features_are_read_from_either_end() {
        // RFC 8489 §18.1 counts from the left, its example B.1 from the right.
        for (nonce, algorithms, anonymity) in [
            (&b"obMatJos2gAAAx"[..], true, false),
            (b"obMatJos2QAAAx", false, true),
            (b"obMatJos2AAABx", true, false),
            (b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA", false, true),
            (b"obMatJos2AAAAx", false, false),
            (b"obMatJos2wAA", false, false),   // too short
            (b"obMatJos2w~AAx", false, false), // not base64
            (b"obmatjos2wAAAx", false, false),
        ] {
            let features = Nonce(nonce).security_features();
            assert_eq!((features.password_algorithms, features.username_anonymity), (algorithms, anonymity));
        }
    }

    #[test]
    fn algorithms_with_parameters_and_unknown_ones_are_passed_over() {
        let value = [0, 9, 0, 3, 1, 2, 3, 0, 0, 1, 0, 0];
        let offer = PasswordAlgorithms::decode(&value, &ID).expect("well formed");
        assert!(offer.iter().eq([PasswordAlgorithm::Md5]));
        assert_eq!(PasswordAlgorithms::decode(&value[..7], &ID), None);
        assert_eq!(PasswordAlgorithms::decode(&[0, 1, 0xFF, 0xFF], &ID), None);
    }
}
