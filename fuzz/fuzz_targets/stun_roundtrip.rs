//! decode(encode(x)) = x: any message that can be written reads back as what was written, signed and
//! fingerprinted, and one changed byte breaks both seals.

#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};
use bradawl_fuzz::attribute::Owned;
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::short_term("VOkJxbRl1RmTxUk/WvJxBt"));

#[derive(Arbitrary, Debug)]
struct Input {
    class: u8,
    method: u16,
    id: [u8; 12],
    attributes: Vec<Owned>,
    sha1: bool,
    sha256: bool,
    fingerprint: bool,
    room: u16,
    change: Option<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let class =
        [Class::Request, Class::Indication, Class::Success, Class::Error][usize::from(input.class % 4)];
    let method = Method::new(input.method & 0xFFF).expect("twelve bits");
    let id = TransactionId::from(input.id);
    let mut buf = vec![0xEE; usize::from(input.room)];
    let mut writer = Writer::new(&mut buf, class, method, id);
    for attribute in &input.attributes {
        writer = attribute.put(writer);
    }
    if input.sha1 {
        writer = writer.integrity(&KEY);
    }
    if input.sha256 {
        writer = writer.integrity_with(&KEY, Integrity::Sha256);
    }
    if input.fingerprint {
        writer = writer.fingerprint();
    }
    let Ok(len) = writer.finish() else { return };

    let message = Message::parse(&buf[..len]).expect("what is written is well formed");
    assert_eq!((message.class(), message.method(), message.transaction_id()), (class, method, id));
    // The first of duplicates wins.
    let mut seen = HashSet::new();
    let written = input.attributes.iter().filter_map(|attribute| Some((attribute.kind()?, attribute)));
    for (_, attribute) in written.clone().filter(|&(kind, _)| seen.insert(kind)) {
        attribute.assert_read_from(&message);
    }
    assert!(message.attributes().map(|attribute| attribute.kind).eq(written.map(|(kind, _)| kind)));
    assert_eq!(message.integrity_holds_with(&KEY, Integrity::Sha1), input.sha1);
    assert_eq!(message.integrity_holds_with(&KEY, Integrity::Sha256), input.sha256);
    assert_eq!(message.fingerprint_holds(), input.fingerprint);

    if let Some((at, by)) = input.change
        && by != 0
    {
        let mut changed = buf[..len].to_vec();
        changed[usize::from(at) % len] ^= by;
        let at = usize::from(at) % len;
        let seals = if input.fingerprint { 8 } else { 0 };
        if let Ok(message) = Message::parse(&changed) {
            // A changed fingerprint changes nothing that the integrity covers, and the other way
            // round everything.
            assert!(!message.fingerprint_holds());
            let sealed = message.integrity_holds(&KEY);
            assert!(!sealed || at >= len - seals || input.sha1 && input.sha256, "changed at {at}");
        }
    }
});
