//! Attributes that are a transport address, plain or masked (RFC 8489 §14.1, §14.2).
//!
//! ```text
//! |0 0 0 0 0 0 0 0|    Family     |           Port                |
//! |                 Address (32 bits or 128 bits)                 |
//! ```
//!
//! The masked ones are XORed with the magic cookie and the transaction id, so that a NAT which
//! rewrites every copy of an address it finds in a packet does not find these.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Attribute, Kind};
use crate::wire::stun::{MAGIC_COOKIE, TransactionId};

const FAMILY_V4: u8 = 1;
const FAMILY_V6: u8 = 2;

macro_rules! address_attributes {
    ($mask:expr; $($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl<'a> Attribute<'a> for $name {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn decode(value: &'a [u8], id: &TransactionId) -> Option<Self> {
                decode(value, $mask(id)).map(Self)
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                if self.0.is_ipv4() { 8 } else { 20 }
            }

            #[inline]
            fn encode(&self, value: &mut [u8], id: &TransactionId) {
                encode(self.0, value, $mask(id));
            }
        }
    )*};
}

address_attributes! { masked;
    /// The address that a request came from, as the server saw it.
    ///
    /// ```
    /// use bradawl::wire::stun::{TransactionId, attr::{Attribute, XorMappedAddress}};
    ///
    /// let (mut value, id) = ([0; 8], TransactionId::from([0; 12]));
    /// XorMappedAddress("192.0.2.1:32853".parse()?).encode(&mut value, &id);
    /// assert_eq!(value, [0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    XorMappedAddress = XOR_MAPPED_ADDRESS;
    /// A peer, as the relay sees it.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, XorPeerAddress};
    /// assert_eq!(XorPeerAddress("[2001:db8::1]:9".parse()?).encoded_len(), 20);
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    XorPeerAddress = XOR_PEER_ADDRESS;
    /// The address that a relay has opened for us.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, XorRelayedAddress};
    /// assert_eq!(XorRelayedAddress("192.0.2.1:49152".parse()?).encoded_len(), 8);
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    XorRelayedAddress = XOR_RELAYED_ADDRESS;
}

address_attributes! { plain;
    /// The address that a request came from, unmasked, for clients of RFC 3489.
    ///
    /// ```
    /// use bradawl::wire::stun::{TransactionId, attr::{Attribute, MappedAddress}};
    ///
    /// let id = TransactionId::from([0; 12]);
    /// let mapped = MappedAddress::decode(&[0, 1, 0x0D, 0x96, 192, 0, 2, 1], &id);
    /// assert_eq!(mapped, Some(MappedAddress("192.0.2.1:3478".parse()?)));
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    MappedAddress = MAPPED_ADDRESS;
    /// Where to try again after a 300 (RFC 8489 §10).
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{AlternateServer, Attribute, Kind};
    /// assert_eq!(AlternateServer::KIND, Kind::ALTERNATE_SERVER);
    /// ```
    AlternateServer = ALTERNATE_SERVER;
    /// The address that an answer came from, as the server says.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, ResponseOrigin};
    /// assert_eq!(ResponseOrigin::KIND, Kind::RESPONSE_ORIGIN);
    /// ```
    ResponseOrigin = RESPONSE_ORIGIN;
    /// The server's other IP address and other port.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, OtherAddress};
    /// assert_eq!(OtherAddress::KIND, Kind::OTHER_ADDRESS);
    /// ```
    OtherAddress = OTHER_ADDRESS;
    /// What RFC 3489 called RESPONSE-ORIGIN.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, SourceAddress};
    /// assert_eq!(SourceAddress::KIND, Kind::SOURCE_ADDRESS);
    /// ```
    SourceAddress = SOURCE_ADDRESS;
    /// What RFC 3489 called OTHER-ADDRESS.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, ChangedAddress, Kind};
    /// assert_eq!(ChangedAddress::KIND, Kind::CHANGED_ADDRESS);
    /// ```
    ChangedAddress = CHANGED_ADDRESS;
}

/// The mask of the XOR attributes: the cookie, then the transaction id.
#[inline]
fn masked(id: &TransactionId) -> u128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *id.as_bytes();
    let [m, n, o, p] = MAGIC_COOKIE;
    u128::from_be_bytes([m, n, o, p, a, b, c, d, e, f, g, h, i, j, k, l])
}

#[inline]
fn plain(_: &TransactionId) -> u128 {
    0
}

#[inline]
fn decode(value: &[u8], mask: u128) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk()?;
    let ip = match family {
        FAMILY_V4 => {
            let bits = u32::from_be_bytes(ip.try_into().ok()?);
            IpAddr::V4(Ipv4Addr::from_bits(bits ^ (mask >> 96) as u32))
        }
        FAMILY_V6 => {
            let bits = u128::from_be_bytes(ip.try_into().ok()?);
            IpAddr::V6(Ipv6Addr::from_bits(bits ^ mask))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1]) ^ (mask >> 112) as u16))
}

#[inline]
fn encode(address: SocketAddr, value: &mut [u8], mask: u128) {
    let [p0, p1] = (address.port() ^ (mask >> 112) as u16).to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = (ip.to_bits() ^ (mask >> 96) as u32).to_be_bytes();
            value.copy_from_slice(&[0, FAMILY_V4, p0, p1, a, b, c, d]);
        }
        IpAddr::V6(ip) => {
            let (head, bits) = value.split_at_mut(4);
            head.copy_from_slice(&[0, FAMILY_V6, p0, p1]);
            bits.copy_from_slice(&(ip.to_bits() ^ mask).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attribute, MappedAddress, XorMappedAddress};
    use crate::wire::stun::TransactionId;

    const ID: TransactionId = {
        // RFC 5769 §2.3
        const BYTES: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        TransactionId::from_bytes(BYTES)
    };

    #[test]
    fn an_ipv6_address_is_masked_with_cookie_and_transaction_id() {
        let mut value = [0; 20];
        XorMappedAddress("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap())
            .encode(&mut value, &ID);
        let expected =
            [0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5];
        assert_eq!(value[..16], expected);
        assert_eq!(value[16..], [0xbe, 0xd2, 0xb9, 0xd9]);
    }

    #[test]
    fn a_length_that_does_not_fit_the_family_is_refused() {
        for value in [&[0, 1, 0, 1, 1, 2, 3][..], &[0, 1, 0, 1, 1, 2, 3, 4, 5], &[0, 2, 0, 1, 1, 2, 3, 4]] {
            assert_eq!(MappedAddress::decode(value, &ID), None);
        }
        assert_eq!(MappedAddress::decode(&[0, 3, 0, 1, 1, 2, 3, 4], &ID), None, "no such family");
        assert_eq!(MappedAddress::decode(&[], &ID), None);
    }
}
