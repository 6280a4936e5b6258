//! Any bytes as a datagram: parsing ends, everything that parses can be read, and what is read lies
//! inside what came.

#![no_main]

use std::sync::LazyLock;

use bradawl::wire::channel::ChannelData;
use bradawl::wire::demux::Protocol;
use bradawl::wire::stun::{Integrity, Key, Message};
use bradawl_fuzz::attribute::read_everything;
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::short_term("VOkJxbRl1RmTxUk/WvJxBt"));

fuzz_target!(|bytes: &[u8]| {
    let protocol = Protocol::of(bytes);
    if let Ok(message) = Message::parse(bytes) {
        // 4 to 63 are others' by RFC 7983, and STUN's by their two leading bits.
        assert!(bytes[0] < 64 && !matches!(protocol, Some(Protocol::Quic | Protocol::ChannelOrQuic)));
        inspect(&message, bytes.len());
    }
    if let Ok(message) = Message::parse_classic(bytes) {
        inspect(&message, bytes.len());
    }
    if let Some(channel) = ChannelData::parse(bytes) {
        assert_eq!(protocol, Some(Protocol::ChannelOrQuic));
        assert_eq!(&bytes[channel.body()], channel.data);
    }
});

fn inspect(message: &Message<'_>, len: usize) {
    let total: usize = message.attributes().map(|attribute| 4 + attribute.value.len()).sum();
    assert!(20 + total <= len);
    read_everything(message);
    let sha1 = message.integrity_holds_with(&KEY, Integrity::Sha1);
    let sha256 = message.integrity_holds_with(&KEY, Integrity::Sha256);
    assert!(!(sha1 || sha256) || message.integrity().is_some());
    assert!(!message.fingerprint_holds() || message.has_fingerprint());
    let _ = format!("{message:?}");
}
