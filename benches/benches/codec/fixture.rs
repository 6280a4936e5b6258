//! The messages that every library reads and writes, and a judge that belongs to none of them.
//!
//! The bytes are put together here by hand, attribute by attribute, and what a library has written
//! is taken apart by hand too: no library under test is its own judge.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The short-term password of RFC 5769 §2.1.
pub(crate) const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// How much application data the Send indication and the ChannelData carry: an Opus frame in RTP.
pub(crate) const PAYLOAD: usize = 160;

/// Bytes before the integrity attribute of [`ice_request`].
pub(crate) const ICE_COVERED: usize = 76;

const TRANSACTION: [u8; 12] = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What an ICE check says (RFC 8445 §7.1.1).
#[derive(Clone, Copy)]
pub(crate) struct IceRequest {
    pub(crate) transaction: [u8; 12],
    pub(crate) username: &'static str,
    pub(crate) priority: u32,
    pub(crate) controlling: u64,
    pub(crate) software: &'static str,
}

/// What a binding success says.
#[derive(Clone, Copy)]
pub(crate) struct Success {
    pub(crate) transaction: [u8; 12],
    pub(crate) address: SocketAddr,
}

/// What a TURN Send indication says (RFC 8656 §11.1).
#[derive(Clone, Copy)]
pub(crate) struct Send {
    pub(crate) transaction: [u8; 12],
    pub(crate) peer: SocketAddr,
    pub(crate) data: &'static [u8; PAYLOAD],
}

/// What a ChannelData message says (RFC 8656 §12.4).
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) data: &'static [u8; PAYLOAD],
}

pub(crate) const ICE_REQUEST: IceRequest = IceRequest {
    transaction: TRANSACTION,
    username: "evtj:h6vY",
    priority: 0x6e00_01ff,
    controlling: 0x932f_f9b1_5126_3b36,
    software: "STUN test client",
};

pub(crate) const SUCCESS: Success = Success { transaction: TRANSACTION, address: MAPPED };

pub(crate) const SEND: Send = Send { transaction: TRANSACTION, peer: MAPPED, data: &DATA };

pub(crate) const CHANNEL: Channel = Channel { number: 0x4001, data: &DATA };

const MAPPED: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 32853));

const DATA: [u8; PAYLOAD] = [0xa5; PAYLOAD];

/// USERNAME, PRIORITY, ICE-CONTROLLING, SOFTWARE, integrity, fingerprint: 108 bytes, laid out as
/// the sample request of RFC 5769 §2.1 except for the role.
pub(crate) fn ice_request() -> Vec<u8> {
    let mut message = header(0x0001);
    attribute(&mut message, 0x8022, ICE_REQUEST.software.as_bytes());
    attribute(&mut message, 0x0024, &ICE_REQUEST.priority.to_be_bytes());
    attribute(&mut message, 0x802a, &ICE_REQUEST.controlling.to_be_bytes());
    attribute(&mut message, 0x0006, ICE_REQUEST.username.as_bytes());
    assert_eq!(message.len(), ICE_COVERED, "the constant says where the integrity attribute begins");
    set_length(&mut message, 24);
    let tag = hmac(&message);
    attribute(&mut message, 0x0008, &tag);
    set_length(&mut message, 8);
    let crc = crc32fast::hash(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &crc.to_be_bytes());
    message
}

/// XOR-MAPPED-ADDRESS and nothing else: 32 bytes.
pub(crate) fn success() -> Vec<u8> {
    let mut message = header(0x0101);
    attribute(&mut message, 0x0020, &xor_mapped());
    message
}

/// XOR-PEER-ADDRESS and DATA.
pub(crate) fn send() -> Vec<u8> {
    let mut message = header(0x0016);
    attribute(&mut message, 0x0012, &xor_mapped());
    attribute(&mut message, 0x0013, &DATA);
    message
}

/// Four bytes of header and the data.
pub(crate) fn channel() -> Vec<u8> {
    let mut message = CHANNEL.number.to_be_bytes().to_vec();
    message.extend((PAYLOAD as u16).to_be_bytes());
    message.extend(DATA);
    message
}

/// One datagram of each kind that shares a port with STUN (RFC 7983, RFC 9443).
pub(crate) fn demux() -> [Vec<u8>; 5] {
    let first = |byte: u8| [byte; 40].to_vec();
    [success(), channel(), first(0x16), first(0x80), first(0xc3)]
}

/// Whether `written` is the message `wanted`: the same header, the same attributes in whatever
/// order the library likes, padding of zeros, and checks that hold. Attributes in `missing` may be
/// absent.
pub(crate) fn same(written: &[u8], wanted: &[u8], missing: &[u16]) -> bool {
    let (mut ours, mut theirs) = (attributes(wanted), attributes(written));
    let signed = ours.iter().any(|(kind, _)| *kind == 0x0008);
    ours.retain(|(kind, _)| ![0x0008, 0x8028].contains(kind) && !missing.contains(kind));
    theirs.retain(|(kind, _)| ![0x0008, 0x8028].contains(kind));
    ours.sort();
    theirs.sort();
    let checks = !signed || (integrity_holds(written) && fingerprint_holds(written));
    checks && ours == theirs && written[..2] == wanted[..2] && written[4..20] == wanted[4..20]
}

/// The HMAC-SHA1 of `covered` under [`PASSWORD`], keyed afresh.
fn hmac(covered: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(PASSWORD.as_bytes()).expect("any length will do");
    mac.update(covered);
    mac.finalize().into_bytes().into()
}

fn integrity_holds(message: &[u8]) -> bool {
    // Integrity and fingerprint are the last 24 and 8 bytes of a request that carries both.
    let at = message.len() - 32;
    let mut covered = message[..at].to_vec();
    set_length(&mut covered, 24);
    message[at..at + 4] == [0, 8, 0, 20] && message[at + 4..at + 24] == hmac(&covered)
}

fn fingerprint_holds(message: &[u8]) -> bool {
    let (covered, attribute) = message.split_at(message.len() - 8);
    let crc = crc32fast::hash(covered) ^ 0x5354_554e;
    attribute[..4] == [0x80, 0x28, 0, 4] && attribute[4..] == crc.to_be_bytes()
}

fn attributes(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut rest = &message[20..];
    let mut all = Vec::new();
    while let [a, b, c, d, value @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*c, *d]));
        let padded = len.next_multiple_of(4);
        assert!(value[len..padded].iter().all(|byte| *byte == 0), "padding is zeros");
        all.push((u16::from_be_bytes([*a, *b]), value[..len].to_vec()));
        rest = &value[padded..];
    }
    assert_eq!(usize::from(u16::from_be_bytes([message[2], message[3]])), message.len() - 20);
    all
}

fn header(kind: u16) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &[0, 0], &COOKIE, &TRANSACTION].concat()
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    set_length(message, 0);
}

fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn xor_mapped() -> [u8; 8] {
    let SocketAddr::V4(address) = MAPPED else { unreachable!("the address above is IPv4") };
    let port = address.port() ^ 0x2112;
    let ip = address.ip().to_bits() ^ 0x2112_a442;
    let (port, ip) = (port.to_be_bytes(), ip.to_be_bytes());
    [0, 1, port[0], port[1], ip[0], ip[1], ip[2], ip[3]]
}
