//! Attributes of NAT behaviour discovery (RFC 5780 §7).

use super::{Attribute, Kind, byte_attributes};
use crate::wire::stun::TransactionId;

/// Answer from another address of yours (RFC 5780 §7.2).
///
/// ```
/// use bradawl::wire::stun::attr::{Attribute, ChangeRequest};
/// use bradawl::wire::stun::TransactionId;
///
/// let mut value = [0; 4];
/// ChangeRequest { ip: true, port: false }.encode(&mut value, &TransactionId::from([0; 12]));
/// assert_eq!(value, [0, 0, 0, 4]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChangeRequest {
    /// From another IP address.
    pub ip: bool,
    /// From another port.
    pub port: bool,
}

impl ChangeRequest {
    const IP: u8 = 4;
    const PORT: u8 = 2;
}

impl<'a> Attribute<'a> for ChangeRequest {
    const KIND: Kind = Kind::CHANGE_REQUEST;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let &[_, _, _, flags] = value else { return None };
        Some(Self { ip: flags & Self::IP != 0, port: flags & Self::PORT != 0 })
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let ip = if self.ip { Self::IP } else { 0 };
        let port = if self.port { Self::PORT } else { 0 };
        value.copy_from_slice(&[0, 0, 0, ip | port]);
    }
}

/// Answer to another port of mine (RFC 5780 §7.5). We ask it of foreign servers and refuse it as a
/// server: it sends traffic to whom somebody else names.
///
/// ```
/// use bradawl::wire::stun::attr::{Attribute, Kind, ResponsePort};
/// assert_eq!((ResponsePort::KIND, ResponsePort(5000).encoded_len()), (Kind::RESPONSE_PORT, 4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResponsePort(pub u16);

impl<'a> Attribute<'a> for ResponsePort {
    const KIND: Kind = Kind::RESPONSE_PORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        // RFC 5780 §7.5: a 16-bit port with two bytes of padding; its length is given as 4 and,
        // by some, as 2.
        let (&port, [] | [_, _]) = value.split_first_chunk()? else { return None };
        Some(Self(u16::from_be_bytes(port)))
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let [p0, p1] = self.0.to_be_bytes();
        value.copy_from_slice(&[p0, p1, 0, 0]);
    }
}

byte_attributes! {
    /// Bytes that make a message as long as the way may not carry (RFC 5780 §7.6).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Padding};
    /// assert_eq!(Padding(&[0; 1_400]).encoded_len(), 1_400);
    /// ```
    Padding = PADDING;
}
