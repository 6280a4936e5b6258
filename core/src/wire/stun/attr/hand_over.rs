//! HAND-OVER, an attribute of our own: what one mediator tells another one that is to answer a client
//! in its place.
//!
//! ```text
//!  0                   1                   2                   3
//! +---------------+---------------+-------------------------------+
//! |     flags     |       0       |          asked port           |
//! +---------------+---------------+-------------------------------+
//! |                  in the cookie's place                        |
//! +-------------------------------+-------------------------------+
//! |         client's port         |         answerer's port       |
//! +-------------------------------+-------------------------------+
//! |               client's IP address, 16 bytes                   |
//! |               answerer's IP address, 16 bytes                 |
//! |                      zeros, 24 bytes                          |
//! +---------------------------------------------------------------+
//! ```
//!
//! IPv4 addresses are written as IPv6 has them (`::ffff:a.b.c.d`). The zeros make the whole message as
//! long as the longest answer that comes of it, so that nobody gains bytes by it.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Attribute, Kind};
use crate::wire::stun::TransactionId;

/// Answer this client for me.
///
/// ```
/// use bradawl::wire::stun::TransactionId;
/// use bradawl::wire::stun::attr::{Attribute, HandOver};
///
/// let said = HandOver {
///     client: "198.51.100.7:50000".parse()?,
///     answerer: "192.0.2.2:3479".parse()?,
///     asked_port: 3478,
///     fingerprint: true,
///     classic: None,
/// };
/// let mut value = [0; HandOver::LEN];
/// said.encode(&mut value, &TransactionId::from([0; 12]));
/// assert_eq!(HandOver::decode(&value, &TransactionId::from([0; 12])), Some(said));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandOver {
    /// Who asked, and is to be answered.
    pub client: SocketAddr,
    /// From where to answer, as the world knows that address.
    pub answerer: SocketAddr,
    /// Which port was asked.
    pub asked_port: u16,
    /// The request had a FINGERPRINT, and so will the answer.
    pub fingerprint: bool,
    /// What a client of RFC 3489 had in the magic cookie's place.
    pub classic: Option<[u8; 4]>,
}

impl HandOver {
    /// How long the value is.
    pub const LEN: usize = 68;

    const FINGERPRINT: u8 = 1;
    const CLASSIC: u8 = 2;
}

impl<'a> Attribute<'a> for HandOver {
    const KIND: Kind = Kind::HAND_OVER;

    fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
        let value: &[u8; Self::LEN] = value.try_into().ok()?;
        let &[flags, _, k0, k1, c0, c1, c2, c3, p0, p1, a0, a1, ref rest @ ..] = value;
        let (&client, rest) = rest.split_first_chunk()?;
        let (&answerer, _) = rest.split_first_chunk()?;
        Some(Self {
            client: address(client, [p0, p1]),
            answerer: address(answerer, [a0, a1]),
            asked_port: u16::from_be_bytes([k0, k1]),
            fingerprint: flags & Self::FINGERPRINT != 0,
            classic: (flags & Self::CLASSIC != 0).then_some([c0, c1, c2, c3]),
        })
    }

    fn encoded_len(&self) -> usize {
        Self::LEN
    }

    fn encode(&self, value: &mut [u8], _: &TransactionId) {
        let fingerprint = if self.fingerprint { Self::FINGERPRINT } else { 0 };
        let classic = if self.classic.is_some() { Self::CLASSIC } else { 0 };
        value.fill(0);
        value[0] = fingerprint | classic;
        value[2..4].copy_from_slice(&self.asked_port.to_be_bytes());
        value[4..8].copy_from_slice(&self.classic.unwrap_or_default());
        value[8..10].copy_from_slice(&self.client.port().to_be_bytes());
        value[10..12].copy_from_slice(&self.answerer.port().to_be_bytes());
        value[12..28].copy_from_slice(&sixteen(self.client.ip()));
        value[28..44].copy_from_slice(&sixteen(self.answerer.ip()));
    }
}

fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn address(ip: [u8; 16], port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes(port))
}
