//! Attributes of our own for punching. Who knows nothing of them ignores them (RFC 8489 §14: their numbers
//! are in the upper half); they are sent to our own agents and mediators only.

use super::{Attribute, Kind};
use crate::wire::stun::TransactionId;

/// PROOF: three packets show both sides that a path works.
///
/// An answer carries a token that only its sender can make, for this very path. Whoever got it puts it into
/// the next request there: so its sender sees that its answer has arrived, and needs no answer of its own
/// to know that the path leads both ways.
///
/// ```
/// use bradawl::wire::stun::TransactionId;
/// use bradawl::wire::stun::attr::{Attribute, Proof};
///
/// let proof = Proof { nomination: 1, token: 7 };
/// let mut value = [0; Proof::LEN];
/// proof.encode(&mut value, &TransactionId::from([0; 12]));
/// assert_eq!(Proof::decode(&value, &TransactionId::from([0; 12])), Some(proof));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proof {
    /// In a request of the controlling side: which of its choices this pair is, counted from 1; 0 if it has
    /// not chosen it. The highest counts.
    pub nomination: u32,
    /// In an answer: what to show. In a request: what was told, 0 if nothing was.
    pub token: u64,
}

impl Proof {
    /// How long the value is.
    pub const LEN: usize = 12;
}

impl<'a> Attribute<'a> for Proof {
    const KIND: Kind = Kind::PROOF;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let value: &[u8; Self::LEN] = value.try_into().ok()?;
        let [n0, n1, n2, n3, token @ ..] = *value;
        Some(Self { nomination: u32::from_be_bytes([n0, n1, n2, n3]), token: u64::from_be_bytes(token) })
    }

    fn encoded_len(&self) -> usize {
        Self::LEN
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value[..4].copy_from_slice(&self.nomination.to_be_bytes());
        value[4..].copy_from_slice(&self.token.to_be_bytes());
    }
}

/// MARK: one end of a bracket. Between the two requests that carry the same round goes a check to the
/// peer, so the port of that check lies between the two that the mediator sees.
///
/// ```
/// use bradawl::wire::stun::TransactionId;
/// use bradawl::wire::stun::attr::{Attribute, Mark};
///
/// let mark = Mark { round: 1, is_second: true };
/// let mut value = [0; Mark::LEN];
/// mark.encode(&mut value, &TransactionId::from([0; 12]));
/// assert_eq!(Mark::decode(&value, &TransactionId::from([0; 12])), Some(mark));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which bracket of the session this is.
    pub round: u16,
    /// Whether this is the request after the check, not the one before.
    pub is_second: bool,
}

impl Mark {
    /// How long the value is.
    pub const LEN: usize = 4;
}

impl<'a> Attribute<'a> for Mark {
    const KIND: Kind = Kind::MARK;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let &[r0, r1, second, 0] = value else { return None };
        (second <= 1).then_some(Self { round: u16::from_be_bytes([r0, r1]), is_second: second == 1 })
    }

    fn encoded_len(&self) -> usize {
        Self::LEN
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value[..2].copy_from_slice(&self.round.to_be_bytes());
        value[2..].copy_from_slice(&[u8::from(self.is_second), 0]);
    }
}
