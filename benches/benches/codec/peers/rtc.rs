//! `rtc-stun`, with `rtc-turn` and `rtc-shared` of the same family (sans-IO webrtc-rs).
//!
//! Its messages own their bytes and are reused as it means them to be. It keys an HMAC per message
//! with its default provider (ring). It has PRIORITY and ICE-CONTROLLING as types of `rtc-ice`
//! only; four lines of raw attribute do the same.

use std::net::SocketAddr;
use std::sync::Arc;

use rtc_crypto::{RTCCryptoProvider, default_provider};
use rtc_shared::util::{match_dtls, match_srtp_or_srtcp};
use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_SOFTWARE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, CLASS_INDICATION, Getter, METHOD_SEND, Message, MessageType, Setter,
    TransactionId, is_stun_message,
};
use rtc_stun::textattrs::TextAttribute;
use rtc_stun::xoraddr::XorMappedAddress;
use rtc_turn::proto::chandata::ChannelData;
use rtc_turn::proto::channum::ChannelNumber;
use rtc_turn::proto::data::Data;
use rtc_turn::proto::peeraddr::PeerAddress;

use crate::fixture::{Channel, IceRequest, PASSWORD, Send, Success};
use crate::library::{Library, Row, Sink};

pub(crate) struct Rtc {
    message: Message,
    channel: ChannelData,
    provider: Arc<dyn RTCCryptoProvider>,
}

impl Rtc {
    /// Starts a message in the reused buffer.
    fn begin(&mut self, kind: MessageType, transaction: [u8; 12]) -> &mut Message {
        self.message.reset();
        self.message.typ = kind;
        self.message.transaction_id = TransactionId(transaction);
        self.message.write_header();
        &mut self.message
    }

    fn parse(&mut self, bytes: &[u8]) -> &mut Message {
        self.message.unmarshal_binary(bytes).expect("a good message");
        &mut self.message
    }
}

impl Library for Rtc {
    const NAME: &'static str = "rtc-stun";
    type Protocol = u8;
    const ROWS: &'static [Row] = &Row::ALL;
    const NOTE: &'static str =
        "with rtc-turn and rtc-shared; HMAC by ring, keyed per message; demux knows no QUIC";

    fn new() -> Self {
        let provider = default_provider().expect("ring is compiled in");
        Self { message: Message::new(), channel: ChannelData::default(), provider }
    }

    fn ice_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let provider = Arc::clone(&self.provider);
        let message = self.parse(bytes);
        MessageIntegrity::check(message, PASSWORD.as_bytes(), provider.crypto()).expect("signed");
        FINGERPRINT.check(message).expect("it matches");
        let username = TextAttribute::get_from_as(message, ATTR_USERNAME).expect("present");
        let priority = message.get(ATTR_PRIORITY).expect("present");
        let controlling = message.get(ATTR_ICE_CONTROLLING).expect("present");
        sink.ice_request(
            username.text.as_bytes(),
            u32::from_be_bytes(priority[..].try_into().expect("four bytes")),
            u64::from_be_bytes(controlling[..].try_into().expect("eight bytes")),
        );
    }

    fn ice_encode<'a>(&'a mut self, request: &IceRequest, _buf: &'a mut [u8]) -> &'a [u8] {
        let provider = Arc::clone(&self.provider);
        let message = self.begin(BINDING_REQUEST, request.transaction);
        message.add(ATTR_SOFTWARE, request.software.as_bytes());
        message.add(ATTR_PRIORITY, &request.priority.to_be_bytes());
        message.add(ATTR_ICE_CONTROLLING, &request.controlling.to_be_bytes());
        message.add(ATTR_USERNAME, request.username.as_bytes());
        let password = PASSWORD.to_owned();
        MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto())
            .add_to(message)
            .expect("it is signed");
        FINGERPRINT.add_to(message).expect("there is room");
        &self.message.raw
    }

    fn success_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(self.parse(bytes)).expect("present");
        sink.success(SocketAddr::new(mapped.ip, mapped.port));
    }

    fn success_encode<'a>(&'a mut self, success: &Success, _buf: &'a mut [u8]) -> &'a [u8] {
        let mapped = XorMappedAddress { ip: success.address.ip(), port: success.address.port() };
        mapped.add_to(self.begin(BINDING_SUCCESS, success.transaction)).expect("there is room");
        &self.message.raw
    }

    fn send_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        let message = self.parse(bytes);
        let (mut peer, mut data) = (PeerAddress::default(), Data::default());
        peer.get_from(message).expect("present");
        data.get_from(message).expect("present");
        sink.send(SocketAddr::new(peer.ip, peer.port), &data.0);
    }

    fn send_encode<'a>(&'a mut self, send: &Send, _buf: &'a mut [u8]) -> &'a [u8] {
        let message = self.begin(MessageType::new(METHOD_SEND, CLASS_INDICATION), send.transaction);
        let peer = PeerAddress { ip: send.peer.ip(), port: send.peer.port() };
        peer.add_to(message).expect("there is room");
        Data(send.data.to_vec()).add_to(message).expect("there is room");
        &self.message.raw
    }

    fn channel_decode(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        self.channel.raw.clear();
        self.channel.raw.extend_from_slice(bytes);
        self.channel.decode().expect("a good message");
        sink.channel(self.channel.number.0, &self.channel.data);
    }

    fn channel_encode<'a>(&'a mut self, channel: &Channel, _buf: &'a mut [u8]) -> &'a [u8] {
        self.channel.reset();
        self.channel.number = ChannelNumber(channel.number);
        self.channel.data.extend_from_slice(channel.data);
        self.channel.encode();
        &self.channel.raw
    }

    fn demux(&mut self, bytes: &[u8]) -> u8 {
        if is_stun_message(bytes) {
            0
        } else if ChannelData::is_channel_data(bytes) {
            1
        } else if match_dtls(bytes) {
            2
        } else if match_srtp_or_srtcp(bytes) {
            3
        } else {
            4
        }
    }
}
