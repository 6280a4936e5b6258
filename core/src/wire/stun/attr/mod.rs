//! The attributes of STUN and its usages, one small plain value each.
//!
//! An attribute is a number and a value. The numbers are [`Kind`]s; the values are the types here,
//! which all read and write themselves through [`Attribute`].

mod address;
mod auth;
mod behaviour;
mod error;
mod hand_over;
mod help;
mod ice;
mod punch;
mod text;
mod turn;

use core::fmt;

pub use address::{
    AlternateServer, ChangedAddress, MappedAddress, OtherAddress, ResponseOrigin, SourceAddress,
    XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
pub use auth::{ChosenAlgorithm, Nonce, PasswordAlgorithms, SecurityFeatures, Userhash, Username};
pub use behaviour::{ChangeRequest, Padding, ResponsePort};
pub use error::{AddressErrorCode, ErrorCode, UnknownAttributes};
pub use hand_over::HandOver;
pub use help::Help;
pub use ice::{IceControlled, IceControlling, Priority, UseCandidate};
pub use punch::{Mark, Proof};
pub use text::{AlternateDomain, Realm, Software};
pub use turn::{
    AccessToken, AdditionalAddressFamily, AddressFamily, Channel, ConnectionId, Data, DontFragment, EvenPort,
    Icmp, Lifetime, MobilityTicket, RequestedAddressFamily, RequestedTransport, ReservationToken,
    ThirdPartyAuthorization,
};

use super::TransactionId;

/// An attribute that can be read from a message and written into one. Writing is for values of our
/// own making: it does not check again what reading would refuse, such as text that is too long.
///
/// ```
/// use bradawl::wire::stun::attr::{Attribute, Kind, Priority};
/// use bradawl::wire::stun::TransactionId;
///
/// let id = TransactionId::from([0; 12]);
/// let priority = Priority::decode(&[0x6e, 0, 1, 0xff], &id).expect("four bytes");
/// assert_eq!(priority, Priority(0x6e00_01ff));
/// assert_eq!((Priority::KIND, priority.encoded_len()), (Kind::PRIORITY, 4));
/// ```
pub trait Attribute<'a>: Sized {
    /// Its number.
    const KIND: Kind;

    /// Reads the value (without padding); `None` if it makes no sense. The transaction id is what
    /// addresses are masked with.
    fn decode(value: &'a [u8], id: &TransactionId) -> Option<Self>;

    /// How long the value will be, without padding.
    fn encoded_len(&self) -> usize;

    /// Writes the value; `value` is exactly [`Attribute::encoded_len`] bytes long.
    fn encode(&self, value: &mut [u8], id: &TransactionId);
}

/// An attribute's number.
///
/// ```
/// use bradawl::wire::stun::attr::Kind;
///
/// assert!(Kind::USERNAME.comprehension_required());
/// assert!(!Kind::SOFTWARE.comprehension_required());
/// assert_eq!(format!("{:?} {:?}", Kind::USERNAME, Kind(0x7777)), "USERNAME 0x7777");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u16);

impl Kind {
    /// Whether a message with this attribute can only be processed by those who understand it: the
    /// lower half of the numbers (RFC 8489 §14).
    #[inline]
    pub const fn comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// Whether whoever speaks RFC 8489 knows it, be it only to ignore it where it is not expected
    /// (§6.3). Of those that must be understood; the seals are not among the attributes.
    pub(crate) const fn is_basic(self) -> bool {
        matches!(
            self,
            Self::MAPPED_ADDRESS
                | Self::USERNAME
                | Self::ERROR_CODE
                | Self::UNKNOWN_ATTRIBUTES
                | Self::REALM
                | Self::NONCE
                | Self::PASSWORD_ALGORITHM
                | Self::USERHASH
                | Self::XOR_MAPPED_ADDRESS
        )
    }

    /// Whether it is one of the three that may close a message.
    #[inline]
    pub(super) const fn is_seal(self) -> bool {
        // One test rules out nearly every other kind, in the innermost loop of everything.
        const LOW_BITS: u64 = 1 << 0x08 | 1 << 0x1C | 1 << 0x28;
        LOW_BITS >> (self.0 & 0x3F) & 1 == 1
            && matches!(self, Self::MESSAGE_INTEGRITY | Self::MESSAGE_INTEGRITY_SHA256 | Self::FINGERPRINT)
    }
}

macro_rules! kinds {
    ($($name:ident = $number:literal, $source:literal;)*) => {
        impl Kind {
            $(#[doc = concat!("`", stringify!($name), "`, ", $source, ".")]
            pub const $name: Self = Self($number);)*
        }

        impl fmt::Debug for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $(Self::$name => f.write_str(stringify!($name)),)*
                    Self(number) => write!(f, "{number:#06x}"),
                }
            }
        }
    };
}

kinds! {
    MAPPED_ADDRESS = 0x0001, "RFC 8489 §14.1";
    RESPONSE_ADDRESS = 0x0002, "RFC 3489 §11.2.2, a reflector and long gone";
    CHANGE_REQUEST = 0x0003, "RFC 5780 §7.2";
    SOURCE_ADDRESS = 0x0004, "RFC 3489 §11.2.5";
    CHANGED_ADDRESS = 0x0005, "RFC 3489 §11.2.3";
    USERNAME = 0x0006, "RFC 8489 §14.3";
    MESSAGE_INTEGRITY = 0x0008, "RFC 8489 §14.5";
    ERROR_CODE = 0x0009, "RFC 8489 §14.8";
    UNKNOWN_ATTRIBUTES = 0x000A, "RFC 8489 §14.13";
    CHANNEL_NUMBER = 0x000C, "RFC 8656 §18.1";
    LIFETIME = 0x000D, "RFC 8656 §18.2";
    XOR_PEER_ADDRESS = 0x0012, "RFC 8656 §18.3";
    DATA = 0x0013, "RFC 8656 §18.4";
    REALM = 0x0014, "RFC 8489 §14.9";
    NONCE = 0x0015, "RFC 8489 §14.10";
    XOR_RELAYED_ADDRESS = 0x0016, "RFC 8656 §18.5";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "RFC 8656 §18.6";
    EVEN_PORT = 0x0018, "RFC 8656 §18.7";
    REQUESTED_TRANSPORT = 0x0019, "RFC 8656 §18.8";
    DONT_FRAGMENT = 0x001A, "RFC 8656 §18.9";
    ACCESS_TOKEN = 0x001B, "RFC 7635 §6.2";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "RFC 8489 §14.6";
    PASSWORD_ALGORITHM = 0x001D, "RFC 8489 §14.12";
    USERHASH = 0x001E, "RFC 8489 §14.4";
    XOR_MAPPED_ADDRESS = 0x0020, "RFC 8489 §14.2";
    RESERVATION_TOKEN = 0x0022, "RFC 8656 §18.10";
    PRIORITY = 0x0024, "RFC 8445 §7.1.1";
    USE_CANDIDATE = 0x0025, "RFC 8445 §7.1.2";
    PADDING = 0x0026, "RFC 5780 §7.6";
    RESPONSE_PORT = 0x0027, "RFC 5780 §7.5";
    CONNECTION_ID = 0x002A, "RFC 6062 §6.2.1";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "RFC 8656 §18.11";
    ADDRESS_ERROR_CODE = 0x8001, "RFC 8656 §18.12";
    PASSWORD_ALGORITHMS = 0x8002, "RFC 8489 §14.11";
    ALTERNATE_DOMAIN = 0x8003, "RFC 8489 §14.16";
    ICMP = 0x8004, "RFC 8656 §18.13";
    SOFTWARE = 0x8022, "RFC 8489 §14.14";
    ALTERNATE_SERVER = 0x8023, "RFC 8489 §14.15";
    FINGERPRINT = 0x8028, "RFC 8489 §14.7";
    ICE_CONTROLLED = 0x8029, "RFC 8445 §7.1.3";
    ICE_CONTROLLING = 0x802A, "RFC 8445 §7.1.3";
    RESPONSE_ORIGIN = 0x802B, "RFC 5780 §7.3";
    OTHER_ADDRESS = 0x802C, "RFC 5780 §7.4";
    THIRD_PARTY_AUTHORIZATION = 0x802E, "RFC 7635 §6.1";
    MOBILITY_TICKET = 0x8030, "RFC 8016 §3.5";
    HELP = 0xCB00, "an attribute of our own";
    HAND_OVER = 0xCB01, "an attribute of our own, between two mediators";
    PROOF = 0xCB02, "an attribute of our own, between two agents";
    MARK = 0xCB03, "an attribute of our own, from an agent to its mediator";
}

/// Attributes that are one big-endian number.
macro_rules! number_attributes {
    ($($(#[$doc:meta])* $name:ident($number:ty) = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub $number);

        impl<'a> Attribute<'a> for $name {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
                Some(Self(<$number>::from_be_bytes(value.try_into().ok()?)))
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                size_of::<$number>()
            }

            #[inline]
            fn encode(&self, value: &mut [u8], _: &TransactionId) {
                value.copy_from_slice(&self.0.to_be_bytes());
            }
        }
    )*};
}

/// Attributes that say all they have to say by being there.
macro_rules! flag_attributes {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name;

        impl<'a> Attribute<'a> for $name {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
                value.is_empty().then_some(Self)
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                0
            }

            #[inline]
            fn encode(&self, _: &mut [u8], _: &TransactionId) {}
        }
    )*};
}

/// Attributes that are bytes of somebody else's making, some with a longest that is read.
macro_rules! byte_attributes {
    ($($(#[$doc:meta])* $name:ident = $kind:ident $(, at most $max:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a [u8]);

        $(impl $name<'_> {
            /// The longest that is read, in bytes.
            pub const MAX: usize = $max;
        })?

        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
                $(if value.len() > $max {
                    return None;
                })?
                Some(Self(value))
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            #[inline]
            fn encode(&self, value: &mut [u8], _: &TransactionId) {
                value.copy_from_slice(self.0);
            }
        }
    )*};
}

use {byte_attributes, flag_attributes, number_attributes};
