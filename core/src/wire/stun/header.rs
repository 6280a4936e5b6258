//! The 20 bytes that every STUN message begins with (RFC 8489 §5).
//!
//! ```text
//! |0 0|     STUN Message Type     |         Message Length        |
//! |                         Magic Cookie                          |
//! |                     Transaction ID (96 bits)                  |
//! ```

use core::fmt;

use crate::rng::Rng;

/// What tells a STUN message from everything else, and from RFC 3489's STUN, which had none.
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// How long the header is.
pub(super) const HEADER: usize = 20;

/// Whether a message asks, answers or merely tells.
///
/// ```
/// use bradawl::wire::stun::Class;
///
/// assert!(Class::Error.is_response() && !Class::Indication.is_response());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Class {
    /// Wants an answer.
    Request = 0x000,
    /// Wants none.
    Indication = 0x010,
    /// The answer yes.
    Success = 0x100,
    /// The answer no.
    Error = 0x110,
}

impl Class {
    /// Whether it answers a request.
    pub const fn is_response(self) -> bool {
        matches!(self, Self::Success | Self::Error)
    }
}

/// What a message is about: twelve bits.
///
/// ```
/// use bradawl::wire::stun::Method;
///
/// assert_eq!(Method::new(0x001), Some(Method::BINDING));
/// assert_eq!(Method::new(0x1000), None); // thirteen bits
/// assert_eq!(format!("{:?}", Method::ALLOCATE), "Method(0x003)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489): what is my address, are you there, may I come in.
    pub const BINDING: Self = Self(0x001);
    /// Allocate (RFC 8656): a relayed address, please.
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh (RFC 8656): keep, or give up, the relayed address.
    pub const REFRESH: Self = Self(0x004);
    /// Send (RFC 8656): data to a peer, through the relay.
    pub const SEND: Self = Self(0x006);
    /// Data (RFC 8656): data from a peer, through the relay.
    pub const DATA: Self = Self(0x007);
    /// CreatePermission (RFC 8656): let this peer in.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind (RFC 8656): a short name for a peer.
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect (RFC 6062): a TCP connection to a peer.
    pub const CONNECT: Self = Self(0x00A);
    /// ConnectionBind (RFC 6062): this TCP connection is for that peer.
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// ConnectionAttempt (RFC 6062): a peer has connected.
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);
    /// Hand-over, a method of our own: one mediator asks another to answer a client.
    pub const HAND_OVER: Self = Self(0x0CB);

    /// A method by its number; `None` for more than twelve bits.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= 0xFFF { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({:#05x})", self.0)
    }
}

/// The message type: the class's two bits lie inside the method's twelve (RFC 8489 §5, figure 3).
#[inline]
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let m = method.0;
    class as u16 | (m & 0x000F) | (m & 0x0070) << 1 | (m & 0x0F80) << 2
}

/// The inverse of [`message_type`].
#[inline]
pub(super) const fn class_of(message_type: u16) -> Class {
    match message_type & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    }
}

/// The inverse of [`message_type`].
#[inline]
pub(super) const fn method_of(message_type: u16) -> Method {
    let t = message_type;
    Method((t & 0x000F) | (t & 0x00E0) >> 1 | (t & 0x3E00) >> 2)
}

/// What ties an answer to its request: 96 bits that nobody else can guess (RFC 8489 §5).
///
/// ```
/// use bradawl::rng::Rng;
/// use bradawl::wire::stun::TransactionId;
///
/// let mut rng = Rng::from_seed([1; 32]);
/// assert_ne!(TransactionId::random(&mut rng), TransactionId::random(&mut rng));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId([u8; 12]);

impl TransactionId {
    /// A fresh one.
    pub fn random(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    /// One that is already bytes.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as they stand on the wire.
    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl From<[u8; 12]> for TransactionId {
    fn from(bytes: [u8; 12]) -> Self {
        Self::from_bytes(bytes)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Method, class_of, message_type, method_of};

    #[test]
    fn the_type_of_a_message_carries_every_class_and_method() {
        for number in 0..=0xFFF {
            let method = Method::new(number).expect("twelve bits");
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                let message_type = message_type(class, method);
                assert_eq!(message_type >> 14, 0, "the two leading bits are zero");
                assert_eq!((class_of(message_type), method_of(message_type)), (class, method));
            }
        }
    }

    #[test]
    fn known_types_are_as_the_rfcs_print_them() {
        for (class, method, expected) in [
            (Class::Request, Method::BINDING, 0x0001),
            (Class::Success, Method::BINDING, 0x0101),
            (Class::Error, Method::BINDING, 0x0111),
            (Class::Indication, Method::SEND, 0x0016),
            (Class::Error, Method::CHANNEL_BIND, 0x0119),
        ] {
            assert_eq!(message_type(class, method), expected);
        }
    }
}
