//! bradawl: a checked view over the bytes, one writer into the caller's buffer, the keyed HMAC in
//! the key.

use std::hint::black_box;

use bradawl::wire::channel::{ChannelData, ChannelNumber};
use bradawl::wire::demux::Protocol;
use bradawl::wire::stun::attr::{
    Data, IceControlling, Priority, Software, Username, XorMappedAddress, XorPeerAddress,
};
use bradawl::wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

use crate::fixture::{self, Channel, IceRequest, PASSWORD, Send, Success};
use crate::library::{Library, Row, Sink};

pub(crate) struct Ours {
    key: Key,
    /// A channel's number is checked when it is bound, which is what its type stands for.
    channel: ChannelNumber,
}

impl Library for Ours {
    const NAME: &'static str = "bradawl";
    type Protocol = Option<Protocol>;
    const ROWS: &'static [Row] = &Row::ALL;

    fn new() -> Self {
        let channel = ChannelNumber::new(fixture::CHANNEL.number).expect("in range");
        Self { key: Key::short_term(PASSWORD), channel: black_box(channel) }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::parse(bytes).expect("a good message");
        assert!(message.fingerprint_holds());
        assert!(message.integrity_holds(&self.key));
        let Username(username) = message.find().expect("well formed").expect("present");
        let Priority(priority) = message.find().expect("well formed").expect("present");
        let IceControlling(controlling) = message.find().expect("well formed").expect("present");
        sink.ice_request(username, priority, controlling);
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        let id = TransactionId::from(request.transaction);
        let len = Writer::new(buf, Class::Request, Method::BINDING, id)
            .put(&Software(request.software))
            .put(&Priority(request.priority))
            .put(&IceControlling(request.controlling))
            .put(&Username(request.username.as_bytes()))
            .integrity(&self.key)
            .fingerprint()
            .finish()
            .expect("there is room");
        &buf[..len]
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::parse(bytes).expect("a good message");
        let XorMappedAddress(mapped) = message.find().expect("well formed").expect("present");
        sink.success(mapped);
    }

    fn success_encode<'a>(&'a mut self, success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        let id = TransactionId::from(success.transaction);
        let len = Writer::new(buf, Class::Success, Method::BINDING, id)
            .put(&XorMappedAddress(success.address))
            .finish()
            .expect("there is room");
        &buf[..len]
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = Message::parse(bytes).expect("a good message");
        let XorPeerAddress(peer) = message.find().expect("well formed").expect("present");
        let Data(data) = message.find().expect("well formed").expect("present");
        sink.send(peer, data);
    }

    fn send_encode<'a>(&'a mut self, send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        let id = TransactionId::from(send.transaction);
        let len = Writer::new(buf, Class::Indication, Method::SEND, id)
            .put(&XorPeerAddress(send.peer))
            .put(&Data(send.data))
            .finish()
            .expect("there is room");
        &buf[..len]
    }

    fn channel_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = ChannelData::parse(bytes).expect("a good message");
        sink.channel(message.channel.into(), message.data);
    }

    fn channel_encode<'a>(&'a mut self, channel: &Channel, buf: &'a mut [u8]) -> &'a [u8] {
        let message = ChannelData { channel: self.channel, data: channel.data };
        let len = message.write(buf).expect("there is room");
        &buf[..len]
    }

    fn demux(&mut self, bytes: &[u8]) -> Option<Protocol> {
        Protocol::of(bytes)
    }
}
