//! `is`, the ICE agent of str0m.
//!
//! Its HMAC is a closure of the caller's, so the keyed state is cached. It reads FINGERPRINT but
//! has no check for it: done here. It cannot write SOFTWARE, refuses a binding success without
//! integrity, and puts a FINGERPRINT on whatever it writes, so `success` and
//! `send_indication/encode` would be other messages. It has no ChannelData and no demultiplexer.
//! A transaction id can only be random or copied from a parsed message: it is copied.

use ::is::stun::{StunMessage, StunMessageBuilder, TransId};
use hmac::Hmac;
use sha1::Sha1;

use super::{fingerprint, keyed, sign};
use crate::fixture::{self, IceRequest, PASSWORD};
use crate::library::{Library, Row, Sink};

pub(crate) struct Is {
    keyed: Hmac<Sha1>,
    transaction: TransId,
}

impl Library for Is {
    const NAME: &'static str = "is";
    type Protocol = ();
    const ROWS: &'static [Row] = &[Row::IceDecode, Row::IceEncode, Row::SendDecode];
    const CANNOT_WRITE: &'static [u16] = &[0x8022];
    const NOTE: &'static str = "fingerprint checked by the caller; its request lacks SOFTWARE";

    fn new() -> Self {
        let request = fixture::ice_request();
        let transaction = StunMessage::parse(&request).expect("a good message").trans_id();
        Self { keyed: keyed(), transaction }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = StunMessage::parse(bytes).expect("a good message");
        assert!(message.verify(PASSWORD.as_bytes(), |_, parts| sign(&self.keyed, parts)));
        let (covered, attribute) = bytes.split_at(bytes.len() - 8);
        assert!(attribute[..4] == [0x80, 0x28, 0, 4]);
        assert!(attribute[4..] == fingerprint(covered).to_be_bytes());
        let username = message.username().expect("present");
        let priority = message.prio().expect("present");
        sink.ice_request(username.as_bytes(), priority, message.ice_controlling().expect("present"));
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        let message = StunMessageBuilder::new()
            .binding()
            .request()
            .username(request.username)
            .prio(request.priority)
            .ice_controlling(request.controlling)
            .build(self.transaction);
        let keyed = &self.keyed;
        let len = message
            .to_bytes(Some(PASSWORD.as_bytes()), buf, |_, parts| sign(keyed, parts))
            .expect("there is room");
        &buf[..len]
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = StunMessage::parse(bytes).expect("a good message");
        sink.send(message.xor_peer_address().expect("present"), message.data().expect("present"));
    }
}
