//! `stun-format`, a zero-copy reader and writer of attributes.
//!
//! It computes neither integrity nor fingerprint: the caller does, with the means of the floor,
//! and hands the results over as attributes. It checks no length against the header's. It has no
//! ChannelData and no demultiplexer.

use std::net;

use ::stun_format::{Attr, Msg, MsgBuilder, MsgType, SocketAddr};
use hmac::Hmac;
use sha1::Sha1;

use super::{keyed, sign};
use crate::fixture::{IceRequest, Send, Success};
use crate::library::{Library, Row, Sink};

pub(crate) struct StunFormat {
    keyed: Hmac<Sha1>,
}

fn id(transaction: &[u8; 12]) -> u128 {
    let mut bytes = [0; 16];
    bytes[4..].copy_from_slice(transaction);
    u128::from_be_bytes(bytes)
}

fn std_address(address: SocketAddr) -> net::SocketAddr {
    match address {
        SocketAddr::V4(ip, port) => (ip, port).into(),
        SocketAddr::V6(ip, port) => (ip, port).into(),
    }
}

fn address(address: net::SocketAddr) -> SocketAddr {
    match address {
        net::SocketAddr::V4(v4) => SocketAddr::V4(v4.ip().octets(), v4.port()),
        net::SocketAddr::V6(v6) => SocketAddr::V6(v6.ip().octets(), v6.port()),
    }
}

/// The bytes so far with the length that the attribute to come will make.
fn length_with(written: &[u8], more: usize) -> [u8; 2] {
    ((written.len() - 20 + more) as u16).to_be_bytes()
}

impl Library for StunFormat {
    const NAME: &'static str = "stun-format";
    type Protocol = ();
    const ROWS: &'static [Row] = &Row::STUN;
    const NOTE: &'static str = "integrity and fingerprint computed by the caller, key cached";

    fn new() -> Self {
        Self { keyed: keyed() }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Msg::from(bytes);
        assert!(matches!(message.typ(), Some(MsgType::BindingRequest)));
        let (mut username, mut priority, mut controlling) = (None, None, None);
        let (mut tag, mut crc) = (None, None);
        for attribute in message.attrs_iter() {
            match attribute {
                Attr::Username(value) => username = Some(value),
                Attr::Priority(value) => priority = Some(value),
                Attr::IceControlling(value) => controlling = Some(value),
                Attr::MessageIntegrity(value) => tag = Some(value),
                Attr::Fingerprint(value) => crc = Some(value),
                _ => {}
            }
        }
        let at = bytes.len() - 32;
        let length = length_with(&bytes[..at], 24);
        assert!(tag == Some(&sign(&self.keyed, &[&bytes[..2], &length, &bytes[4..at]])));
        assert!(crc == Some(crc32fast::hash(&bytes[..at + 24])));
        sink.ice_request(
            username.expect("present").as_bytes(),
            priority.expect("present"),
            controlling.expect("present"),
        );
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        // It counts on a length of zero to begin with, and leaves padding as it finds it.
        buf[..112].fill(0);
        let mut message = MsgBuilder::from(&mut *buf);
        message.typ(MsgType::BindingRequest).expect("there is room");
        message.tid(id(&request.transaction)).expect("there is room");
        message.add_attr(Attr::Software(request.software)).expect("there is room");
        message.add_attr(Attr::Priority(request.priority)).expect("there is room");
        message.add_attr(Attr::IceControlling(request.controlling)).expect("there is room");
        message.add_attr(Attr::Username(request.username)).expect("there is room");
        let written = message.as_bytes();
        let length = length_with(written, 24);
        let tag = sign(&self.keyed, &[&written[..2], &length, &written[4..]]);
        message.add_attr(Attr::MessageIntegrity(&tag)).expect("there is room");
        let written = message.as_bytes();
        let (now, then) = (length_with(written, 0), length_with(written, 8));
        written[2..4].copy_from_slice(&then);
        let crc = crc32fast::hash(written); // it does the XOR itself
        written[2..4].copy_from_slice(&now);
        message.add_attr(Attr::Fingerprint(crc)).expect("there is room");
        let len = message.as_bytes().len();
        &buf[..len]
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Msg::from(bytes);
        assert!(matches!(message.typ(), Some(MsgType::BindingResponse)));
        for attribute in message.attrs_iter() {
            if let Attr::XorMappedAddress(mapped) = attribute {
                return sink.success(std_address(mapped));
            }
        }
    }

    fn success_encode<'a>(&'a mut self, success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        buf[2..4].fill(0);
        let mut message = MsgBuilder::from(&mut *buf);
        message.typ(MsgType::BindingResponse).expect("there is room");
        message.tid(id(&success.transaction)).expect("there is room");
        message.add_attr(Attr::XorMappedAddress(address(success.address))).expect("there is room");
        let len = message.as_bytes().len();
        &buf[..len]
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Msg::from(bytes);
        assert!(matches!(message.typ(), Some(MsgType::SendIndication)));
        let (mut peer, mut data) = (None, None);
        for attribute in message.attrs_iter() {
            match attribute {
                Attr::XorPeerAddress(value) => peer = Some(value),
                Attr::Data(value) => data = Some(value),
                _ => {}
            }
        }
        sink.send(std_address(peer.expect("present")), data.expect("present"));
    }

    fn send_encode<'a>(&'a mut self, send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        buf[2..4].fill(0);
        let mut message = MsgBuilder::from(&mut *buf);
        message.typ(MsgType::SendIndication).expect("there is room");
        message.tid(id(&send.transaction)).expect("there is room");
        message.add_attr(Attr::XorPeerAddress(address(send.peer))).expect("there is room");
        message.add_attr(Attr::Data(send.data)).expect("there is room");
        let len = message.as_bytes().len();
        &buf[..len]
    }
}
