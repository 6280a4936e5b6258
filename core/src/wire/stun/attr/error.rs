//! Attributes that say what went wrong.

use super::{AddressFamily, Attribute, Kind};
use crate::wire::stun::TransactionId;

/// What went wrong, in a number for programs and a phrase for people (RFC 8489 §14.8).
///
/// ```
/// use bradawl::wire::stun::attr::ErrorCode;
///
/// let stale = ErrorCode { code: ErrorCode::STALE_NONCE, reason: "Stale Nonce" };
/// assert_eq!(stale.code, 438);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode<'a> {
    /// From 300 to 699.
    pub code: u16,
    /// At most 763 bytes are read.
    pub reason: &'a str,
}

impl ErrorCode<'_> {
    /// Ask another server.
    pub const TRY_ALTERNATE: u16 = 300;
    /// The request was malformed.
    pub const BAD_REQUEST: u16 = 400;
    /// Show credentials.
    pub const UNAUTHENTICATED: u16 = 401;
    /// An attribute had to be understood and was not.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
    /// The nonce is no longer good; here is a new one.
    pub const STALE_NONCE: u16 = 438;
    /// Both sides think that they are in control (RFC 8445 §7.3.1.1).
    pub const ROLE_CONFLICT: u16 = 487;
    /// Try again later.
    pub const SERVER_ERROR: u16 = 500;

    const MAX_REASON: usize = 763;
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const KIND: Kind = Kind::ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (&[_, _, class, number], reason) = value.split_first_chunk()?;
        Some(Self { code: error_code(class, number)?, reason: readable(reason) })
    }

    fn encoded_len(&self) -> usize {
        4 + self.reason.len()
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let (head, reason) = value.split_at_mut(4);
        head.copy_from_slice(&[0, 0, (self.code / 100) as u8, (self.code % 100) as u8]);
        reason.copy_from_slice(self.reason.as_bytes());
    }
}

/// As much of a phrase as is text: the code is what matters, and no phrase may hide it.
fn readable(reason: &[u8]) -> &str {
    let reason = reason.get(..ErrorCode::MAX_REASON).unwrap_or(reason);
    reason.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The hundreds stand in three bits, the rest in a byte up to 99 (RFC 8489 §14.8).
fn error_code(class: u8, number: u8) -> Option<u16> {
    let class = class & 0b111;
    (matches!(class, 3..=6) && number < 100).then(|| u16::from(class) * 100 + u16::from(number))
}

/// The attributes that a 420 is about (RFC 8489 §14.13).
///
/// ```
/// use bradawl::wire::stun::attr::{Kind, UnknownAttributes};
///
/// let unknown: UnknownAttributes = [Kind::RESPONSE_PORT, Kind(0x7777)].into_iter().collect();
/// assert_eq!(&*unknown, &[Kind::RESPONSE_PORT, Kind(0x7777)]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttributes {
    count: u8,
    kinds: [Kind; Self::MAX],
}

impl UnknownAttributes {
    /// How many it holds; more are left out. A client that sends more than this has other worries,
    /// and a server must not answer with more than it was sent.
    pub const MAX: usize = 8;
}

impl FromIterator<Kind> for UnknownAttributes {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut list = Self { count: 0, kinds: [Kind(0); Self::MAX] };
        for (slot, kind) in list.kinds.iter_mut().zip(kinds) {
            *slot = kind;
            list.count += 1;
        }
        list
    }
}

impl core::ops::Deref for UnknownAttributes {
    type Target = [Kind];

    fn deref(&self) -> &[Kind] {
        &self.kinds[..usize::from(self.count)]
    }
}

impl<'a> Attribute<'a> for UnknownAttributes {
    const KIND: Kind = Kind::UNKNOWN_ATTRIBUTES;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (kinds, []) = value.as_chunks::<2>() else { return None };
        Some(kinds.iter().map(|&kind| Kind(u16::from_be_bytes(kind))).collect())
    }

    fn encoded_len(&self) -> usize {
        2 * self.len()
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        for (room, kind) in value.chunks_exact_mut(2).zip(self.iter()) {
            room.copy_from_slice(&kind.0.to_be_bytes());
        }
    }
}

/// Why a relay opened only one of two address families (RFC 8656 §18.12).
///
/// ```
/// use bradawl::wire::stun::attr::{AddressErrorCode, AddressFamily};
///
/// let no_v6 = AddressErrorCode { family: AddressFamily::V6, code: 440, reason: "Unsupported" };
/// assert_eq!(no_v6.family, AddressFamily::V6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressErrorCode<'a> {
    /// The family that it is about.
    pub family: AddressFamily,
    /// As in [`ErrorCode`].
    pub code: u16,
    /// As in [`ErrorCode`].
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const KIND: Kind = Kind::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (&[family, _, class, number], reason) = value.split_first_chunk()?;
        let (family, code) = (AddressFamily::new(family)?, error_code(class, number)?);
        Some(Self { family, code, reason: readable(reason) })
    }

    fn encoded_len(&self) -> usize {
        4 + self.reason.len()
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let (head, reason) = value.split_at_mut(4);
        head.copy_from_slice(&[self.family as u8, 0, (self.code / 100) as u8, (self.code % 100) as u8]);
        reason.copy_from_slice(self.reason.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{Attribute, ErrorCode, Kind, UnknownAttributes};
    use crate::wire::stun::TransactionId;

    const ID: TransactionId = TransactionId::from_bytes([0; 12]);

    #[test]
    fn codes_outside_300_to_699_are_refused() {
        for (value, code) in [
            ([0, 0, 4, 20], Some(420)),
            ([0, 0, 0b1111_1100, 1], Some(401)), // the bits above the class are reserved
            ([0, 0, 3, 0], Some(300)),
            ([0, 0, 6, 99], Some(699)),
            ([0, 0, 2, 99], None),
            ([0, 0, 7, 0], None),
            ([0, 0, 4, 100], None),
        ] {
            assert_eq!(ErrorCode::decode(&value, &ID).map(|error| error.code), code, "{value:?}");
        }
        assert_eq!(ErrorCode::decode(&[0, 0, 4], &ID), None);
    }

    #[test]
    fn a_phrase_that_is_not_text_does_not_hide_the_code() {
        let value = [&[0, 0, 5, 0][..], b"Server\xFFError"].concat();
        let error = ErrorCode::decode(&value, &ID);
        assert_eq!(error, Some(ErrorCode { code: 500, reason: "Server" }));
        let long = [&[0, 0, 5, 0][..], &[b'x'; 1_000]].concat();
        assert_eq!(ErrorCode::decode(&long, &ID).map(|error| error.reason.len()), Some(763));
    }

    #[test]
    fn unknown_attributes_beyond_the_limit_are_left_out() {
        let list: UnknownAttributes = (0..100).map(Kind).collect();
        assert_eq!(list.len(), UnknownAttributes::MAX);
        assert_eq!(UnknownAttributes::decode(&[0, 1, 0], &ID), None, "half a number");
    }
}
