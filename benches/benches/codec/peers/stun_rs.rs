//! `stun-rs`, encoder and decoder with a context.
//!
//! It decodes into owned attributes; its context validates integrity and fingerprint with a key
//! that is prepared, though the HMAC is keyed per message. It has no ChannelData and no
//! demultiplexer.

use ::stun_rs::attributes::ice::{IceControlling, Priority};
use ::stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, Software, UserName, XorMappedAddress};
use ::stun_rs::attributes::turn::{Data, XorPeerAddress};
use ::stun_rs::methods::{BINDING, SEND};
use ::stun_rs::{
    DecoderContextBuilder, HMACKey, MessageClass, MessageDecoder, MessageDecoderBuilder, MessageEncoder,
    MessageEncoderBuilder, StunMessage, StunMessageBuilder, TransactionId,
};

use crate::fixture::{IceRequest, PASSWORD, Send, Success};
use crate::library::{Library, Row, Sink};

pub(crate) struct StunRs {
    key: HMACKey,
    plain: MessageDecoder,
    validating: MessageDecoder,
    encoder: MessageEncoder,
}

impl StunRs {
    fn write<'a>(&self, message: &StunMessage, buf: &'a mut [u8]) -> &'a [u8] {
        let len = self.encoder.encode(buf, message).expect("there is room");
        &buf[..len]
    }
}

impl Library for StunRs {
    const NAME: &'static str = "stun-rs";
    type Protocol = ();
    const ROWS: &'static [Row] = &Row::STUN;
    const NOTE: &'static str = "HMAC keyed per message";

    fn new() -> Self {
        let key = HMACKey::new_short_term(PASSWORD).expect("a good password");
        let context = DecoderContextBuilder::default().with_key(key.clone()).with_validation();
        Self {
            key,
            plain: MessageDecoderBuilder::default().build(),
            validating: MessageDecoderBuilder::default().with_context(context.build()).build(),
            encoder: MessageEncoderBuilder::default().build(),
        }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let (message, _) = self.validating.decode(bytes).expect("a good message");
        assert!(message.get::<MessageIntegrity>().is_some());
        assert!(message.get::<Fingerprint>().is_some());
        sink.ice_request(
            message.get::<UserName>().expect("present").expect_user_name().as_str().as_bytes(),
            *message.get::<Priority>().expect("present").expect_priority().as_ref(),
            *message.get::<IceControlling>().expect("present").expect_ice_controlling().as_ref(),
        );
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        let message = StunMessageBuilder::new(BINDING, MessageClass::Request)
            .with_transaction_id(TransactionId::from(request.transaction))
            .with_attribute(Software::new(request.software).expect("short"))
            .with_attribute(Priority::from(request.priority))
            .with_attribute(IceControlling::from(request.controlling))
            .with_attribute(UserName::new(request.username).expect("short"))
            .with_attribute(MessageIntegrity::new(self.key.clone()))
            .with_attribute(Fingerprint::default())
            .build();
        self.write(&message, buf)
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let (message, _) = self.plain.decode(bytes).expect("a good message");
        let mapped = message.get::<XorMappedAddress>().expect("present").expect_xor_mapped_address();
        sink.success(*mapped.socket_address());
    }

    fn success_encode<'a>(&'a mut self, success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        let message = StunMessageBuilder::new(BINDING, MessageClass::SuccessResponse)
            .with_transaction_id(TransactionId::from(success.transaction))
            .with_attribute(XorMappedAddress::from(success.address))
            .build();
        self.write(&message, buf)
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let (message, _) = self.plain.decode(bytes).expect("a good message");
        let peer = message.get::<XorPeerAddress>().expect("present").expect_xor_peer_address();
        let data = message.get::<Data>().expect("present").expect_data();
        sink.send(*peer.socket_address(), data.as_bytes());
    }

    fn send_encode<'a>(&'a mut self, send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        let message = StunMessageBuilder::new(SEND, MessageClass::Indication)
            .with_transaction_id(TransactionId::from(send.transaction))
            .with_attribute(XorPeerAddress::from(send.peer))
            .with_attribute(Data::new(send.data))
            .build();
        self.write(&message, buf)
    }
}
