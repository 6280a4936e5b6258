//! `stun_codec`, the codec of the `rustun`/`rusturn` family, on `bytecodec`.
//!
//! It encodes into the caller's buffer and decodes into owned attributes; integrity and
//! fingerprint are computed by encoding the message again, and the key is set up per message. The
//! fingerprint is checked by the decoder. It has no ChannelData (that is in `rusturn`) and no
//! demultiplexer.

use ::stun_codec::rfc5245::attributes::{IceControlling, Priority};
use ::stun_codec::rfc5389::attributes::{
    Fingerprint, MessageIntegrity, Software, Username, XorMappedAddress,
};
use ::stun_codec::rfc5389::methods::BINDING;
use ::stun_codec::rfc5766::attributes::{Data, XorPeerAddress};
use ::stun_codec::rfc5766::methods::SEND;
use ::stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, Method, TransactionId, define_attribute_enums,
};
use bytecodec::{DecodeExt, Encode, Eos};

use crate::fixture::{IceRequest, PASSWORD, Send, Success};
use crate::library::{Library, Row, Sink};

define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        Username,
        MessageIntegrity,
        Fingerprint,
        Software,
        XorMappedAddress,
        Priority,
        IceControlling,
        XorPeerAddress,
        Data
    ]
);

#[derive(Default)]
pub(crate) struct StunCodec {
    decoder: MessageDecoder<Attribute>,
    encoder: MessageEncoder<Attribute>,
}

fn message(class: MessageClass, method: Method, transaction: [u8; 12]) -> Message<Attribute> {
    Message::new(class, method, TransactionId::new(transaction))
}

impl StunCodec {
    fn parse(&mut self, bytes: &[u8]) -> Message<Attribute> {
        let decoded = self.decoder.decode_from_bytes(bytes).expect("a good header");
        decoded.expect("good attributes")
    }

    fn write<'a>(&mut self, message: Message<Attribute>, buf: &'a mut [u8]) -> &'a [u8] {
        self.encoder.start_encoding(message).expect("the encoder is idle");
        let len = self.encoder.encode(buf, Eos::new(true)).expect("there is room");
        &buf[..len]
    }
}

impl Library for StunCodec {
    const NAME: &'static str = "stun_codec";
    type Protocol = ();
    const ROWS: &'static [Row] = &Row::STUN;
    const NOTE: &'static str = "keyed per message, which is encoded three times";

    fn new() -> Self {
        Self::default()
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = self.parse(bytes);
        let integrity = message.get_attribute::<MessageIntegrity>().expect("present");
        assert!(integrity.check_short_term_credential(PASSWORD).is_ok());
        assert!(message.get_attribute::<Fingerprint>().is_some());
        sink.ice_request(
            message.get_attribute::<Username>().expect("present").name().as_bytes(),
            message.get_attribute::<Priority>().expect("present").prio(),
            message.get_attribute::<IceControlling>().expect("present").prio(),
        );
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = message(MessageClass::Request, BINDING, request.transaction);
        message.add_attribute(Software::new(request.software.to_owned()).expect("short"));
        message.add_attribute(Priority::new(request.priority));
        message.add_attribute(IceControlling::new(request.controlling));
        message.add_attribute(Username::new(request.username.to_owned()).expect("short"));
        let integrity = MessageIntegrity::new_short_term_credential(&message, PASSWORD);
        message.add_attribute(integrity.expect("it encodes"));
        let fingerprint = Fingerprint::new(&message).expect("it encodes");
        message.add_attribute(fingerprint);
        self.write(message, buf)
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = self.parse(bytes);
        sink.success(message.get_attribute::<XorMappedAddress>().expect("present").address());
    }

    fn success_encode<'a>(&'a mut self, success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = message(MessageClass::SuccessResponse, BINDING, success.transaction);
        message.add_attribute(XorMappedAddress::new(success.address));
        self.write(message, buf)
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = self.parse(bytes);
        sink.send(
            message.get_attribute::<XorPeerAddress>().expect("present").address(),
            message.get_attribute::<Data>().expect("present").data(),
        );
    }

    fn send_encode<'a>(&'a mut self, send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        let mut message = message(MessageClass::Indication, SEND, send.transaction);
        message.add_attribute(XorPeerAddress::new(send.peer));
        message.add_attribute(Data::new(send.data.to_vec()).expect("short"));
        self.write(message, buf)
    }
}
