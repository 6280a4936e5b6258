//! Attributes of relaying (RFC 8656 §18, RFC 6062 §6.2, RFC 7635 §6, RFC 8016 §3.5).

use super::{Attribute, Kind, byte_attributes, flag_attributes, number_attributes};
use crate::wire::channel::ChannelNumber;
use crate::wire::stun::TransactionId;

number_attributes! {
    /// For how many seconds.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Lifetime};
    /// assert_eq!(Lifetime(600).encoded_len(), 4);
    /// ```
    Lifetime(u32) = LIFETIME;
    /// Which relayed TCP connection (RFC 6062 §6.2.1).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, ConnectionId};
    /// assert_eq!(ConnectionId(7).encoded_len(), 4);
    /// ```
    ConnectionId(u32) = CONNECTION_ID;
}

flag_attributes! {
    /// Relay it with the DF bit set.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, DontFragment};
    /// assert_eq!(DontFragment.encoded_len(), 0);
    /// ```
    DontFragment = DONT_FRAGMENT;
}

byte_attributes! {
    /// What the peer sent, or is to be sent.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Data};
    /// assert_eq!(Data(b"hello").encoded_len(), 5);
    /// ```
    Data = DATA;
    /// An OAuth token (RFC 7635 §6.2).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{AccessToken, Attribute, Kind};
    /// assert_eq!(AccessToken::KIND, Kind::ACCESS_TOKEN);
    /// ```
    AccessToken = ACCESS_TOKEN;
    /// The name of the server that gives OAuth tokens out (RFC 7635 §6.1).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, ThirdPartyAuthorization};
    /// assert_eq!(ThirdPartyAuthorization::KIND, Kind::THIRD_PARTY_AUTHORIZATION);
    /// ```
    ThirdPartyAuthorization = THIRD_PARTY_AUTHORIZATION;
    /// What moves an allocation to a new address of ours (RFC 8016 §3.5).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, MobilityTicket};
    /// assert_eq!(MobilityTicket::KIND, Kind::MOBILITY_TICKET);
    /// ```
    MobilityTicket = MOBILITY_TICKET;
}

/// The channel that is to be bound (RFC 8656 §18.1).
///
/// ```
/// use bradawl::wire::channel::ChannelNumber;
/// use bradawl::wire::stun::{TransactionId, attr::{Attribute, Channel}};
///
/// let id = TransactionId::from([0; 12]);
/// assert_eq!(Channel::decode(&[0x40, 1, 0, 0], &id), ChannelNumber::new(0x4001).map(Channel));
/// assert_eq!(Channel::decode(&[0x50, 0, 0, 0], &id), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channel(pub ChannelNumber);

impl<'a> Attribute<'a> for Channel {
    const KIND: Kind = Kind::CHANNEL_NUMBER;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let &[n0, n1, _, _] = value else { return None };
        ChannelNumber::new(u16::from_be_bytes([n0, n1])).map(Self)
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let [n0, n1] = u16::from(self.0).to_be_bytes();
        value.copy_from_slice(&[n0, n1, 0, 0]);
    }
}

/// IPv4 or IPv6, as STUN numbers them.
///
/// ```
/// use bradawl::wire::stun::attr::AddressFamily;
/// assert_eq!(AddressFamily::new(2), Some(AddressFamily::V6));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AddressFamily {
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

impl AddressFamily {
    /// By its number.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

macro_rules! family_attributes {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub AddressFamily);

        impl<'a> Attribute<'a> for $name {
            const KIND: Kind = Kind::$kind;

            fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
                let &[family, _, _, _] = value else { return None };
                AddressFamily::new(family).map(Self)
            }

            fn encoded_len(&self) -> usize {
                4
            }

            fn encode(&self, value: &mut [u8], _: &TransactionId) {
                value.copy_from_slice(&[self.0 as u8, 0, 0, 0]);
            }
        }
    )*};
}

family_attributes! {
    /// A relayed address of this family, please.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{AddressFamily, RequestedAddressFamily};
    /// assert_eq!(RequestedAddressFamily(AddressFamily::V6).0 as u8, 2);
    /// ```
    RequestedAddressFamily = REQUESTED_ADDRESS_FAMILY;
    /// And one of this family too.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{AdditionalAddressFamily, AddressFamily};
    /// assert_eq!(AdditionalAddressFamily(AddressFamily::V6).0 as u8, 2);
    /// ```
    AdditionalAddressFamily = ADDITIONAL_ADDRESS_FAMILY;
}

/// What the relay is to speak with peers: an IP protocol number (RFC 8656 §18.8).
///
/// ```
/// use bradawl::wire::stun::attr::RequestedTransport;
/// assert_eq!(RequestedTransport::UDP.0, 17);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// Datagrams.
    pub const UDP: Self = Self(17);
    /// Streams (RFC 6062).
    pub const TCP: Self = Self(6);
}

impl<'a> Attribute<'a> for RequestedTransport {
    const KIND: Kind = Kind::REQUESTED_TRANSPORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let &[protocol, _, _, _] = value else { return None };
        Some(Self(protocol))
    }

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value.copy_from_slice(&[self.0, 0, 0, 0]);
    }
}

/// An even relayed port, and perhaps the next one kept for later (RFC 8656 §18.7).
///
/// ```
/// use bradawl::wire::stun::attr::EvenPort;
/// assert!(EvenPort { reserve_next: true }.reserve_next);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort {
    /// Keep the next port for a RESERVATION-TOKEN.
    pub reserve_next: bool,
}

impl<'a> Attribute<'a> for EvenPort {
    const KIND: Kind = Kind::EVEN_PORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let &[flags] = value else { return None };
        Some(Self { reserve_next: flags & 0x80 != 0 })
    }

    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value.copy_from_slice(&[if self.reserve_next { 0x80 } else { 0 }]);
    }
}

/// The port that was kept by an earlier EVEN-PORT (RFC 8656 §18.10).
///
/// ```
/// use bradawl::wire::stun::attr::{Attribute, ReservationToken};
/// assert_eq!(ReservationToken([0; 8]).encoded_len(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl<'a> Attribute<'a> for ReservationToken {
    const KIND: Kind = Kind::RESERVATION_TOKEN;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        value.try_into().ok().map(Self)
    }

    fn encoded_len(&self) -> usize {
        8
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        value.copy_from_slice(&self.0);
    }
}

/// The ICMP message that a relayed packet met (RFC 8656 §18.13).
///
/// ```
/// use bradawl::wire::stun::{TransactionId, attr::{Attribute, Icmp}};
///
/// let too_big = Icmp { icmp_type: 3, code: 4, data: [0, 0, 5, 0] };
/// let (mut value, id) = ([0; 8], TransactionId::from([0; 12]));
/// too_big.encode(&mut value, &id);
/// assert_eq!(Icmp::decode(&value, &id), Some(too_big));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// Its type: seven bits, which all error messages of both families fit.
    pub icmp_type: u8,
    /// Its code: nine bits, one more than ICMP has.
    pub code: u16,
    /// The next-hop MTU for "packet too big", else zeros.
    pub data: [u8; 4],
}

impl<'a> Attribute<'a> for Icmp {
    const KIND: Kind = Kind::ICMP;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let (&[_, _, b0, b1], data) = value.split_first_chunk()?;
        let code = u16::from_be_bytes([b0 & 1, b1]);
        Some(Self { icmp_type: b0 >> 1, code, data: data.try_into().ok()? })
    }

    fn encoded_len(&self) -> usize {
        8
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let [b0, b1] = (u16::from(self.icmp_type) << 9 | self.code & 0x1FF).to_be_bytes();
        let [a, b, c, d] = self.data;
        value.copy_from_slice(&[0, 0, b0, b1, a, b, c, d]);
    }
}
