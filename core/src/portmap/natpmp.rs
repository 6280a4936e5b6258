//! The NAT Port Mapping Protocol on the wire (RFC 6886): the elder sister of PCP, on the same port.
//!
//! ```text
//!  request: external address (§3.2)    request: a mapping (§3.3)
//! | version 0 | opcode 0 |             | version 0 | 1 UDP, 2 TCP |   reserved    |
//!                                      |   internal port   | wanted external port |
//!                                      |             lifetime (32)                |
//!  response: address                   response: a mapping
//! | version 0 | 128 | result |         | version 0 | 129, 130     |   result      |
//! |       epoch (32)         |         |              epoch (32)                  |
//! |  external IPv4 address   |         |   internal port   |   external port      |
//!                                      |             lifetime (32)                |
//! ```

use core::net::Ipv4Addr;

use super::Protocol;

const VERSION: u8 = 0;
const RESPONSE: u8 = 0x80;
const OPCODE_ADDRESS: u8 = 0;
const OPCODE_UDP: u8 = 1;
const OPCODE_TCP: u8 = 2;

/// Writes a request for the external address; returns its length. `None` if it does not fit.
///
/// ```
/// let mut buf = [9; 2];
/// assert_eq!(bradawl::portmap::natpmp::write_address_request(&mut buf), Some(2));
/// assert_eq!(buf, [0, 0]);
/// ```
pub fn write_address_request(buf: &mut [u8]) -> Option<usize> {
    buf.get_mut(..2)?.copy_from_slice(&[VERSION, OPCODE_ADDRESS]);
    Some(2)
}

/// Asks for a mapping, for its renewal, or with a lifetime of 0 for its end.
///
/// ```
/// use bradawl::portmap::Protocol;
/// use bradawl::portmap::natpmp::MapRequest;
///
/// let mut buf = [0; MapRequest::LENGTH];
/// let request = MapRequest { protocol: Protocol::Tcp, internal_port: 80, external_port: 8_080, lifetime: 7_200 };
/// assert_eq!(request.write(&mut buf), Some(12));
/// assert_eq!(buf, [0, 2, 0, 0, 0, 80, 0x1f, 0x90, 0, 0, 0x1c, 0x20]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// Of which protocol.
    pub protocol: Protocol,
    /// Our own port.
    pub internal_port: u16,
    /// The port that we would like; 0 is any, and what goes with a lifetime of 0 (§3.4).
    pub external_port: u16,
    /// For how many seconds.
    pub lifetime: u32,
}

impl MapRequest {
    /// How long it is.
    pub const LENGTH: usize = 12;

    /// Writes it; returns its length. `None` if it does not fit.
    pub fn write(&self, buf: &mut [u8]) -> Option<usize> {
        let message = buf.get_mut(..Self::LENGTH)?;
        message[..4].copy_from_slice(&[VERSION, opcode(self.protocol), 0, 0]);
        message[4..6].copy_from_slice(&self.internal_port.to_be_bytes());
        message[6..8].copy_from_slice(&self.external_port.to_be_bytes());
        message[8..].copy_from_slice(&self.lifetime.to_be_bytes());
        Some(Self::LENGTH)
    }
}

const fn opcode(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => OPCODE_UDP,
        Protocol::Tcp => OPCODE_TCP,
    }
}

/// How a request ended (RFC 6886 §3.5).
///
/// ```
/// # use bradawl::portmap::natpmp::ResultCode;
/// assert_eq!(ResultCode(2), ResultCode::NOT_AUTHORIZED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode(pub u16);

impl ResultCode {
    /// It worked.
    pub const SUCCESS: Self = Self(0);
    /// The server speaks another version: what a NAT-PMP server answers to PCP.
    pub const UNSUPPORTED_VERSION: Self = Self(1);
    /// Refused, or switched off.
    pub const NOT_AUTHORIZED: Self = Self(2);
    /// The server has no external network.
    pub const NETWORK_FAILURE: Self = Self(3);
    /// The server has nothing left to give.
    pub const OUT_OF_RESOURCES: Self = Self(4);
}

/// What a server answered.
///
/// ```
/// use bradawl::portmap::natpmp::{Answer, Body, ResultCode};
///
/// let answer = Answer::parse(&[0, 128, 0, 0, 0, 0, 0, 60, 203, 0, 113, 9]).expect("an answer");
/// assert_eq!((answer.result, answer.epoch), (ResultCode::SUCCESS, 60));
/// assert_eq!(answer.body, Body::Address("203.0.113.9".parse()?));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub result: ResultCode,
    /// Since when the server has its state, in seconds.
    pub epoch: u32,
    /// What it is about.
    pub body: Body,
}

/// What an [`Answer`] is about.
///
/// ```
/// # use bradawl::portmap::natpmp::Body;
/// assert_ne!(Body::AddressError, Body::VersionError);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The external address.
    Address(Ipv4Addr),
    /// There is no external address to tell.
    AddressError,
    /// A mapping, or why there is none.
    Map {
        /// Of which protocol.
        protocol: Protocol,
        /// The client's port.
        internal_port: u16,
        /// The port that packets should be sent to.
        external_port: u16,
        /// In seconds.
        lifetime: u32,
    },
    /// The request was of another version, such as PCP's (RFC 6887 appendix A).
    VersionError,
}

impl Answer {
    /// Reads a datagram. `None` if it is not a NAT-PMP answer that makes sense.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let (&[version, opcode, r0, r1], rest) = datagram.split_first_chunk::<4>()?;
        let result = ResultCode(u16::from_be_bytes([r0, r1]));
        let opcode = opcode.checked_sub(RESPONSE).filter(|_| version == VERSION)?;
        if result == ResultCode::UNSUPPORTED_VERSION {
            let epoch = rest.first_chunk::<4>().map_or(0, |epoch| u32::from_be_bytes(*epoch));
            return Some(Self { result, epoch, body: Body::VersionError });
        }
        let (&epoch, rest) = rest.split_first_chunk::<4>()?;
        let body = match opcode {
            OPCODE_ADDRESS if result != ResultCode::SUCCESS => Body::AddressError,
            OPCODE_ADDRESS => Body::Address(Ipv4Addr::from(<[u8; 4]>::try_from(rest).ok()?)),
            OPCODE_UDP => map(Protocol::Udp, rest)?,
            OPCODE_TCP => map(Protocol::Tcp, rest)?,
            _ => return None,
        };
        Some(Self { result, epoch: u32::from_be_bytes(epoch), body })
    }
}

fn map(protocol: Protocol, rest: &[u8]) -> Option<Body> {
    let &[i0, i1, e0, e1, l0, l1, l2, l3] = <&[u8; 8]>::try_from(rest).ok()?;
    Some(Body::Map {
        protocol,
        internal_port: u16::from_be_bytes([i0, i1]),
        external_port: u16::from_be_bytes([e0, e1]),
        lifetime: u32::from_be_bytes([l0, l1, l2, l3]),
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Body, ResultCode};
    use crate::portmap::Protocol;

    #[test]
    fn a_mapping_is_read() {
        let bytes = [0, 129, 0, 0, 0, 0, 1, 0, 0x13, 0x88, 0xc3, 0x50, 0, 0, 0x1c, 0x20];
        let answer = Answer::parse(&bytes).expect("an answer");
        assert_eq!((answer.result, answer.epoch), (ResultCode::SUCCESS, 256));
        let body = Body::Map {
            protocol: Protocol::Udp,
            internal_port: 5_000,
            external_port: 50_000,
            lifetime: 7_200,
        };
        assert_eq!(answer.body, body);
        for len in 0..bytes.len() {
            assert_eq!(Answer::parse(&bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_pcp_request_is_refused_in_eight_bytes() {
        let answer = Answer::parse(&[0, 129, 0, 1, 0, 0, 0, 9]).expect("an answer");
        assert_eq!((answer.body, answer.epoch), (Body::VersionError, 9));
    }

    #[test]
    fn requests_and_other_versions_are_no_answers() {
        assert_eq!(Answer::parse(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4]), None);
        assert_eq!(Answer::parse(&[2, 128, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4]), None);
        assert_eq!(Answer::parse(&[0, 131, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4]), None);
    }
}
