//! HELP, an attribute of our own: what a mediator can do for who wants to know his NAT, beyond RFC 5780.
//!
//! ```text
//!  0                   1                   2                   3
//! +-------------------------------+-------------------------------+
//! |          other port           |        delay, seconds         |
//! +-------------------------------+-------------------------------+
//! |                            token                              |
//! |                                                               |
//! +---------------------------------------------------------------+
//! ```
//!
//! A request carries it to say that its sender knows it; an answer carries it only then. Servers that
//! know nothing of it ignore it (RFC 8489 §14: its number is in the upper half).

use super::{Attribute, Kind};
use crate::wire::stun::TransactionId;

/// What is wanted, in a request, and what there is, in an answer.
///
/// ```
/// use bradawl::wire::stun::TransactionId;
/// use bradawl::wire::stun::attr::{Attribute, Help};
///
/// let wanted = Help { delay: 40, token: 7, ..Help::default() };
/// let mut value = [0; Help::LEN];
/// wanted.encode(&mut value, &TransactionId::from([0; 12]));
/// assert_eq!(Help::decode(&value, &TransactionId::from([0; 12])), Some(wanted));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Help {
    /// In an answer: another port of the server at the IP address that was asked, from which it answers
    /// who asks for another port; 0 if it has none. In a request: 0.
    pub other_port: u16,
    /// In a request: after how many seconds to answer once more, to the very address that the request
    /// came from; 0 for no such thing. In the answer that comes at once: the longest delay that may be
    /// asked for, 0 if this one was not noted down. In the answer that comes later: after how many
    /// seconds it comes.
    pub delay: u16,
    /// In an answer: what to put into the request for a late one. It proves that whoever asks has heard
    /// an answer at this very address. In a request: 0 if there is none yet.
    pub token: u64,
}

impl Help {
    /// How long the value is.
    pub const LEN: usize = 12;
}

impl<'a> Attribute<'a> for Help {
    const KIND: Kind = Kind::HELP;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let value: &[u8; Self::LEN] = value.try_into().ok()?;
        let [p0, p1, d0, d1, token @ ..] = *value;
        Some(Self {
            other_port: u16::from_be_bytes([p0, p1]),
            delay: u16::from_be_bytes([d0, d1]),
            token: u64::from_be_bytes(token),
        })
    }

    fn encoded_len(&self) -> usize {
        Self::LEN
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value[..2].copy_from_slice(&self.other_port.to_be_bytes());
        value[2..4].copy_from_slice(&self.delay.to_be_bytes());
        value[4..].copy_from_slice(&self.token.to_be_bytes());
    }
}
