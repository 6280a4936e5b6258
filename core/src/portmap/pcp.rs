//! The Port Control Protocol on the wire (RFC 6887): MAP and ANNOUNCE, requests out and answers in.
//!
//! ```text
//!  request (§7.1)                                  response (§7.2)
//! | version 2 | 0 opcode |       reserved     |   | version 2 | 1 opcode | reserved | result  |
//! |          requested lifetime (32)          |   |               lifetime (32)             |
//! |        client's IP address (128)          |   |  epoch time (32)  |   reserved (96)     |
//!
//!  MAP, in both (§11.1)
//! |             mapping nonce (96)            |
//! | protocol  |          reserved             |
//! |    internal port    |    external port    |
//! |       external IP address (128)           |
//! ```
//!
//! IPv4 addresses are written as IPv4-mapped IPv6 ones (§5).

use core::net::{IpAddr, Ipv6Addr};

use super::Protocol;

/// Where PCP and NAT-PMP servers listen (RFC 6887 §19.1).
pub const PORT: u16 = 5351;

/// The version that this speaks.
pub const VERSION: u8 = 2;

/// No message is longer (RFC 6887 §7).
pub const MAX_LENGTH: usize = 1_100;

const HEADER: usize = 24;
const MAP: usize = 36;
const RESPONSE: u8 = 0x80;
const OPCODE_ANNOUNCE: u8 = 0;
const OPCODE_MAP: u8 = 1;

/// What ties a mapping to whoever made it: 96 random bits (RFC 6887 §11.1).
pub type Nonce = [u8; 12];

/// Asks for a mapping, for its renewal, or with a lifetime of 0 for its end.
///
/// ```
/// use bradawl::portmap::Protocol;
/// use bradawl::portmap::pcp::MapRequest;
///
/// let request = MapRequest {
///     lifetime: 7_200,
///     client: "192.168.1.7".parse()?,
///     nonce: [7; 12],
///     protocol: Protocol::Udp,
///     internal_port: 5_000,
///     external_port: 0,
///     external_address: "0.0.0.0".parse()?,
/// };
/// let mut buf = [0; MapRequest::LENGTH];
/// assert_eq!(request.write(&mut buf), Some(60));
/// assert_eq!(buf[..8], [2, 1, 0, 0, 0, 0, 0x1c, 0x20]);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// For how many seconds.
    pub lifetime: u32,
    /// Our own address.
    pub client: IpAddr,
    /// The same in every request about one mapping.
    pub nonce: Nonce,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Our own port.
    pub internal_port: u16,
    /// The port that we would like; 0 is any.
    pub external_port: u16,
    /// The address that we would like; the unspecified one is any.
    pub external_address: IpAddr,
}

impl MapRequest {
    /// How long it is.
    pub const LENGTH: usize = HEADER + MAP;

    /// Writes it; returns its length. `None` if it does not fit.
    pub fn write(&self, buf: &mut [u8]) -> Option<usize> {
        let message = buf.get_mut(..Self::LENGTH)?;
        let (header, body) = message.split_at_mut(HEADER);
        write_header(header, OPCODE_MAP, self.lifetime, self.client);
        body[..12].copy_from_slice(&self.nonce);
        body[12..16].copy_from_slice(&[self.protocol.number(), 0, 0, 0]);
        body[16..18].copy_from_slice(&self.internal_port.to_be_bytes());
        body[18..20].copy_from_slice(&self.external_port.to_be_bytes());
        body[20..].copy_from_slice(&mapped(self.external_address).octets());
        Some(Self::LENGTH)
    }
}

/// Writes an ANNOUNCE request, which is answered with the epoch and nothing else (RFC 6887 §14.1).
///
/// ```
/// let mut buf = [0; 24];
/// let len = bradawl::portmap::pcp::write_announce("192.168.1.7".parse()?, &mut buf);
/// assert_eq!((len, &buf[..2]), (Some(24), &[2, 0][..]));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn write_announce(client: IpAddr, buf: &mut [u8]) -> Option<usize> {
    write_header(buf.get_mut(..HEADER)?, OPCODE_ANNOUNCE, 0, client);
    Some(HEADER)
}

fn write_header(header: &mut [u8], opcode: u8, lifetime: u32, client: IpAddr) {
    header[..4].copy_from_slice(&[VERSION, opcode, 0, 0]);
    header[4..8].copy_from_slice(&lifetime.to_be_bytes());
    header[8..].copy_from_slice(&mapped(client).octets());
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// How a request ended (RFC 6887 §7.4).
///
/// ```
/// use bradawl::portmap::pcp::ResultCode;
///
/// assert_eq!(ResultCode(12), ResultCode::ADDRESS_MISMATCH);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode(pub u8);

impl ResultCode {
    /// It worked.
    pub const SUCCESS: Self = Self(0);
    /// The server speaks another version.
    pub const UNSUPP_VERSION: Self = Self(1);
    /// The client may not do this.
    pub const NOT_AUTHORIZED: Self = Self(2);
    /// The server has no external network.
    pub const NETWORK_FAILURE: Self = Self(7);
    /// The server has nothing left to give.
    pub const NO_RESOURCES: Self = Self(8);
    /// The server does not map this protocol.
    pub const UNSUPP_PROTOCOL: Self = Self(9);
    /// This client has had its share.
    pub const USER_EX_QUOTA: Self = Self(10);
    /// The address or port that was asked for is not to be had.
    pub const CANNOT_PROVIDE_EXTERNAL: Self = Self(11);
    /// The client is not at the address that it says: there is another NAT between.
    pub const ADDRESS_MISMATCH: Self = Self(12);
}

/// What a server answered.
///
/// ```
/// use bradawl::portmap::pcp::{Answer, Body, ResultCode};
///
/// // A server of a version to come says that it does not speak ours.
/// let answer = Answer::parse(&[3, 0x81, 0, 1, 0, 0, 0, 30, 0, 0, 0, 9]).expect("an answer");
/// assert_eq!((answer.result, answer.body), (ResultCode::UNSUPP_VERSION, Body::Other));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub result: ResultCode,
    /// In seconds: of the mapping, or of the error.
    pub lifetime: u32,
    /// Since when the server has its state, in seconds.
    pub epoch: u32,
    /// What it is about.
    pub body: Body,
}

/// What an [`Answer`] is about.
///
/// ```
/// # use bradawl::portmap::pcp::Body;
/// assert_ne!(Body::Announce, Body::Other);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A mapping.
    Map(Mapping),
    /// The epoch alone.
    Announce,
    /// A version that is not ours, which can say nothing but so.
    Other,
}

/// The body of a MAP answer.
///
/// ```
/// # use bradawl::portmap::pcp::Mapping;
/// assert_eq!(core::mem::size_of::<bradawl::portmap::pcp::Nonce>(), 12);
/// # let _: Option<Mapping> = None;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whose it is.
    pub nonce: Nonce,
    /// Of which protocol, by its IANA number.
    pub protocol: u8,
    /// The client's port.
    pub internal_port: u16,
    /// The port that packets should be sent to.
    pub external_port: u16,
    /// The address that packets should be sent to.
    pub external_address: IpAddr,
}

impl Answer {
    /// Reads a datagram. `None` if it is not a PCP answer that makes sense.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if datagram.len() > MAX_LENGTH {
            return None;
        }
        let (&[version, opcode, _, result], rest) = datagram.split_first_chunk::<4>()?;
        let opcode = opcode.checked_sub(RESPONSE)?;
        let (&lifetime, rest) = rest.split_first_chunk::<4>()?;
        let (&epoch, rest) = rest.split_first_chunk::<4>()?;
        let (lifetime, epoch) = (u32::from_be_bytes(lifetime), u32::from_be_bytes(epoch));
        let result = ResultCode(result);
        if version != VERSION {
            // Version 0 is NAT-PMP's, which has another layout.
            let says_so = version != 0 && result == ResultCode::UNSUPP_VERSION;
            return says_so.then_some(Self { result, lifetime, epoch, body: Body::Other });
        }
        let (_reserved, payload) = rest.split_first_chunk::<12>()?;
        let body = match opcode {
            OPCODE_MAP => Body::Map(Mapping::parse(payload)?),
            OPCODE_ANNOUNCE => Body::Announce,
            _ => return None,
        };
        datagram.len().is_multiple_of(4).then_some(Self { result, lifetime, epoch, body })
    }
}

impl Mapping {
    /// Options may follow; none of those that there are changes what this says.
    fn parse(payload: &[u8]) -> Option<Self> {
        let (&nonce, rest) = payload.split_first_chunk::<12>()?;
        let (&[protocol, _, _, _], rest) = rest.split_first_chunk::<4>()?;
        let (&[i0, i1, e0, e1], rest) = rest.split_first_chunk::<4>()?;
        let (&address, _options) = rest.split_first_chunk::<16>()?;
        Some(Self {
            nonce,
            protocol,
            internal_port: u16::from_be_bytes([i0, i1]),
            external_port: u16::from_be_bytes([e0, e1]),
            external_address: IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::{Answer, Body, MapRequest, ResultCode};
    use crate::portmap::Protocol;

    fn request() -> [u8; MapRequest::LENGTH] {
        let mut buf = [0; MapRequest::LENGTH];
        let request = MapRequest {
            lifetime: 3_600,
            client: "192.168.1.7".parse().unwrap(),
            nonce: *b"twelve bytes",
            protocol: Protocol::Tcp,
            internal_port: 8_080,
            external_port: 80,
            external_address: "203.0.113.9".parse().unwrap(),
        };
        assert_eq!(request.write(&mut buf), Some(60));
        buf
    }

    fn answer() -> [u8; 60] {
        let mut answer = request();
        answer[1] |= 0x80;
        answer[8..24].fill(0);
        answer[8..12].copy_from_slice(&77_u32.to_be_bytes());
        answer
    }

    #[test]
    fn a_request_is_laid_out_as_in_figure_8() {
        let bytes = request();
        assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 0x0e, 0x10]);
        assert_eq!(bytes[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 7]);
        assert_eq!(&bytes[24..36], b"twelve bytes");
        assert_eq!(bytes[36..44], [6, 0, 0, 0, 0x1f, 0x90, 0, 80]);
        assert_eq!(bytes[54..60], [0xff, 0xff, 203, 0, 113, 9]);
    }

    #[test]
    fn an_answer_says_what_is_mapped() {
        let answer = Answer::parse(&answer()).expect("an answer");
        assert_eq!((answer.result, answer.lifetime, answer.epoch), (ResultCode::SUCCESS, 3_600, 77));
        let Body::Map(mapping) = answer.body else { panic!("{answer:?}") };
        assert_eq!((&mapping.nonce, mapping.protocol), (b"twelve bytes", 6));
        assert_eq!((mapping.internal_port, mapping.external_port), (8_080, 80));
        assert_eq!(mapping.external_address.to_string(), "203.0.113.9");
    }

    #[test]
    fn what_is_cut_or_too_long_or_a_request_is_no_answer() {
        let whole = answer();
        for len in 0..whole.len() {
            assert_eq!(Answer::parse(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(Answer::parse(&request()), None);
        assert_eq!(Answer::parse(&[0x82; 1_104]), None);
        let mut odd = std::vec::Vec::from(whole);
        odd.push(0);
        assert_eq!(Answer::parse(&odd), None);
    }
}
