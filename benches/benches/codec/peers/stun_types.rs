//! `stun-types`, with `turn-types` of the same author (librice).
//!
//! A checked view over the bytes and a writer into a slice; the keyed HMAC is cached in its key.
//! The fingerprint is checked by the parser. PRIORITY and ICE-CONTROLLING are raw attributes, as
//! its own ICE stack has them in another crate. It has no demultiplexer.

use ::stun_types::attribute::{
    AttributeStaticType, AttributeType, Fingerprint, RawAttribute, Software, Username, XorMappedAddress,
};
use ::stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWriteMutSlice,
    Method, ShortTermCredentials, TransactionId,
};
use ::stun_types::prelude::*;
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::SEND;

use crate::fixture::{Channel, IceRequest, PASSWORD, Send, Success};
use crate::library::{Library, Row, Sink};

const PRIORITY: AttributeType = AttributeType::new(0x0024);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802a);

pub(crate) struct StunTypes {
    key: IntegrityKey,
}

fn id(transaction: &[u8; 12]) -> TransactionId {
    let mut bytes = [0; 16];
    bytes[4..].copy_from_slice(transaction);
    u128::from_be_bytes(bytes).into()
}

fn begin<'a>(
    class: MessageClass,
    method: Method,
    transaction: &[u8; 12],
    buf: &'a mut [u8],
) -> MessageWriteMutSlice<'a> {
    let kind = MessageType::from_class_method(class, method);
    Message::builder(kind, id(transaction), MessageWriteMutSlice::new(buf))
}

impl Library for StunTypes {
    const NAME: &'static str = "stun-types";
    type Protocol = ();
    const ROWS: &'static [Row] = &[
        Row::IceDecode,
        Row::IceEncode,
        Row::SuccessDecode,
        Row::SuccessEncode,
        Row::SendDecode,
        Row::SendEncode,
        Row::ChannelDecode,
        Row::ChannelEncode,
    ];
    const NOTE: &'static str = "with turn-types; key cached";

    fn new() -> Self {
        Self { key: ShortTermCredentials::new(PASSWORD.to_owned()).make_key() }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::from_bytes(bytes).expect("a good message");
        assert!(message.has_attribute(Fingerprint::TYPE));
        message.validate_integrity_with_key(&self.key).expect("signed");
        let username = message.attribute::<Username>().expect("present");
        let priority = message.raw_attribute(PRIORITY).expect("present");
        let controlling = message.raw_attribute(ICE_CONTROLLING).expect("present");
        sink.ice_request(
            username.username().as_bytes(),
            u32::from_be_bytes(priority.value[..].try_into().expect("four bytes")),
            u64::from_be_bytes(controlling.value[..].try_into().expect("eight bytes")),
        );
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = begin(MessageClass::Request, BINDING, &request.transaction, buf);
        let software = Software::new(request.software).expect("short");
        message.add_attribute(&software).expect("there is room");
        let priority = request.priority.to_be_bytes();
        message.add_attribute(&RawAttribute::new(PRIORITY, &priority)).expect("there is room");
        let controlling = request.controlling.to_be_bytes();
        let controlling = RawAttribute::new(ICE_CONTROLLING, &controlling);
        message.add_attribute(&controlling).expect("there is room");
        let username = Username::new(request.username).expect("short");
        message.add_attribute(&username).expect("there is room");
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).expect("there is room");
        message.add_fingerprint().expect("there is room");
        let len = message.finish();
        &buf[..len]
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::from_bytes(bytes).expect("a good message");
        let mapped = message.attribute::<XorMappedAddress>().expect("present");
        sink.success(mapped.addr(message.transaction_id()));
    }

    fn success_encode<'a>(&'a mut self, success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = begin(MessageClass::Success, BINDING, &success.transaction, buf);
        let mapped = XorMappedAddress::new(success.address, id(&success.transaction));
        message.add_attribute(&mapped).expect("there is room");
        let len = message.finish();
        &buf[..len]
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::from_bytes(bytes).expect("a good message");
        let peer = message.attribute::<XorPeerAddress>().expect("present");
        let data = message.attribute::<Data>().expect("present");
        sink.send(peer.addr(message.transaction_id()), data.data());
    }

    fn send_encode<'a>(&'a mut self, send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = begin(MessageClass::Indication, SEND, &send.transaction, buf);
        let peer = XorPeerAddress::new(send.peer, id(&send.transaction));
        message.add_attribute(&peer).expect("there is room");
        message.add_attribute(&Data::new(send.data)).expect("there is room");
        let len = message.finish();
        &buf[..len]
    }

    fn channel_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let channel = ChannelData::parse(bytes).expect("a good message");
        sink.channel(channel.id(), channel.data());
    }

    fn channel_encode<'a>(&'a mut self, channel: &Channel, buf: &'a mut [u8]) -> &'a [u8] {
        let message = ChannelData::new(channel.number, channel.data);
        let dest = &mut buf[..4 + channel.data.len()];
        let len = message.write_into_unchecked(dest);
        &buf[..len]
    }
}
