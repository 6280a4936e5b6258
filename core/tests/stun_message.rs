//! What is a STUN message and what is not: framing, duplicates, seals, padding, and the rules about
//! attributes behind the seals (RFC 8489 §5, §14).

use bradawl::wire::stun::attr::{
    AlternateDomain, Attribute, ChangeRequest, EvenPort, Icmp, Kind, Nonce, PasswordAlgorithms, Priority,
    Realm, Software, UseCandidate, Username, XorPeerAddress,
};
use bradawl::wire::stun::{
    BadAttribute, Class, Integrity, Key, Malformed, Message, Method, NoRoom, TransactionId, Writer,
};
use proptest::prelude::*;

const ID: TransactionId = TransactionId::from_bytes(*b"transaction!");

/// A message of raw attributes, as an attacker might write it: no padding is added, no length mended.
fn raw(attributes: &[(Kind, &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = attributes
        .iter()
        .flat_map(|(kind, value)| {
            let header = [kind.0.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
            let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
            [header, value.to_vec(), padding].concat()
        })
        .collect();
    let mut message = vec![0x00, 0x01];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xA4, 0x42]);
    message.extend(ID.as_bytes());
    message.extend(body);
    message
}

fn write(build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buf = vec![0xEE; 2_048];
    let len = build(Writer::new(&mut buf, Class::Request, Method::BINDING, ID)).finish().expect("room");
    buf.truncate(len);
    buf
}

/// Puts one more attribute behind a finished message and corrects the length in the header.
fn append(message: &mut Vec<u8>, kind: Kind, value: &[u8]) {
    message.extend(&raw(&[(kind, value)])[20..]);
    let length = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

#[test]
fn lengths_that_lie_are_refused() {
    let good = raw(&[(Kind::SOFTWARE, b"test")]);
    assert!(Message::parse(&good).is_ok());
    for len in 0..20 {
        assert_eq!(Message::parse(&good[..len]).unwrap_err(), Malformed::TooShort);
    }
    for len in 20..good.len() {
        assert_eq!(Message::parse(&good[..len]).unwrap_err(), Malformed::Length, "cut to {len}");
    }
    let trailing = [&good[..], &[0; 4]].concat();
    assert_eq!(Message::parse(&trailing).unwrap_err(), Malformed::Length, "trailing bytes");
    let mut unaligned = good.clone();
    unaligned.pop();
    unaligned[3] -= 1;
    assert_eq!(Message::parse(&unaligned).unwrap_err(), Malformed::Length);
    let mut overrun = good;
    overrun[23] = 5;
    assert_eq!(Message::parse(&overrun).unwrap_err(), Malformed::Overrun);
}

#[test]
fn the_longest_datagram_there_is_parses_or_not_by_its_header() {
    let mut bytes = vec![0; 65_507];
    bytes[..8].copy_from_slice(&[0, 1, 0xFF, 0xCF, 0x21, 0x12, 0xA4, 0x42]);
    assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Length, "65,487 is not a multiple of four");
    bytes.truncate(65_504);
    bytes[3] = 0xCC;
    let message = Message::parse(&bytes).expect("16,371 empty attributes");
    assert_eq!(message.attributes().count(), 16_371);
}

#[test]
fn other_protocols_are_not_stun() {
    assert_eq!(Message::parse(&[0x80; 20]).unwrap_err(), Malformed::NotStun);
    assert_eq!(Message::parse(&[0x40; 20]).unwrap_err(), Malformed::NotStun);
    assert_eq!(Message::parse(&[0; 20]).unwrap_err(), Malformed::Cookie);
    assert!(Message::parse_classic(&[0; 20]).is_ok());
}

#[test]
fn the_first_of_duplicates_wins() {
    let message = raw(&[(Kind::USERNAME, b"one"), (Kind::SOFTWARE, b""), (Kind::USERNAME, b"two")]);
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.find(), Ok(Some(Username(b"one"))));
    assert_eq!(message.find(), Ok(Some(Software(""))), "an empty value is a value");
}

#[test]
fn a_value_that_makes_no_sense_is_an_error_and_not_an_absence() {
    let message = raw(&[(Kind::PRIORITY, &[1, 2, 3]), (Kind::REALM, &[0xFF])]);
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.find::<Priority>(), Err(BadAttribute(Kind::PRIORITY)));
    assert_eq!(message.find::<Realm>(), Err(BadAttribute(Kind::REALM)), "not UTF-8");
    assert_eq!(message.find::<Software>(), Ok(None));
}

/// RFC 8489 §14.5: whoever cannot sign must not be able to add anything. Other libraries read these.
#[test]
fn attributes_behind_message_integrity_are_ignored() {
    let key = Key::short_term("secret");
    let mut message = write(|writer| writer.put(&Username(b"alice")).integrity(&key));
    append(&mut message, Kind::USE_CANDIDATE, b"");
    append(&mut message, Kind::USERNAME, b"mallory");
    append(&mut message, Kind(0x7777), b"must be understood");
    let message = Message::parse(&message).expect("well formed");
    assert!(message.integrity_holds(&key));
    assert_eq!(message.find::<UseCandidate>(), Ok(None));
    assert_eq!(message.find(), Ok(Some(Username(b"alice"))));
    assert_eq!(message.attributes().count(), 1);
    assert_eq!(message.not_understood(|kind| kind == Kind::USERNAME).count(), 0);
}

#[test]
fn the_stronger_seal_and_the_fingerprint_may_follow_the_weaker() {
    let key = Key::short_term("secret");
    let message = write(|writer| {
        writer.put(&Username(b"alice")).integrity(&key).integrity_with(&key, Integrity::Sha256).fingerprint()
    });
    let message = Message::parse(&message).unwrap();
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert!(message.integrity_holds_with(&key, Integrity::Sha1));
    assert!(message.integrity_holds_with(&key, Integrity::Sha256));
    assert!(message.fingerprint_holds());
}

/// RFC 8489 §14.6: behind MESSAGE-INTEGRITY-SHA256 comes FINGERPRINT and nothing else.
#[test]
fn the_weaker_seal_behind_the_stronger_is_ignored() {
    let key = Key::short_term("secret");
    let message = write(|writer| writer.integrity_with(&key, Integrity::Sha256).integrity(&key));
    let message = Message::parse(&message).unwrap();
    assert!(message.integrity_holds_with(&key, Integrity::Sha256));
    assert!(!message.integrity_holds_with(&key, Integrity::Sha1));
}

#[test]
fn a_second_seal_of_a_kind_is_ignored() {
    let (key, mallory) = (Key::short_term("secret"), Key::short_term("mallory"));
    let message = write(|writer| writer.integrity(&key).integrity(&mallory));
    let message = Message::parse(&message).unwrap();
    assert!(message.integrity_holds(&key) && !message.integrity_holds(&mallory));
}

#[test]
fn nothing_may_follow_the_fingerprint() {
    let mut message = write(|writer| writer.put(&Username(b"alice")).fingerprint());
    assert!(Message::parse(&message).unwrap().fingerprint_holds());
    append(&mut message, Kind::SOFTWARE, b"late");
    assert_eq!(Message::parse(&message).unwrap_err(), Malformed::AfterFingerprint);
}

#[test]
fn seals_of_impossible_length_are_malformed() {
    for (kind, lengths) in [
        (Kind::MESSAGE_INTEGRITY, &[0, 19, 21, 32][..]),
        (Kind::MESSAGE_INTEGRITY_SHA256, &[0, 12, 15, 17, 33, 36]),
        (Kind::FINGERPRINT, &[0, 3, 5, 8]),
    ] {
        for &len in lengths {
            let message = raw(&[(kind, &vec![0; len])]);
            assert_eq!(Message::parse(&message).unwrap_err(), Malformed::Seal, "{kind:?} of {len}");
        }
    }
}

/// RFC 8489 §14.6: MESSAGE-INTEGRITY-SHA256 may be cut, to no less than 16 bytes.
#[test]
fn a_truncated_sha256_seal_holds_for_those_who_allow_it() {
    let key = Key::short_term("secret");
    for len in [16, 20, 24, 28, 32] {
        let prefix = write(|writer| writer.put(&Username(b"alice")));
        // What is signed says in its header that the message ends with the seal as it is.
        let mut signed = prefix.clone();
        signed[2..4].copy_from_slice(&((prefix.len() - 20 + 4 + len) as u16).to_be_bytes());
        let tag = hmac_sha256(b"secret", &signed);
        let mut message = prefix;
        append(&mut message, Kind::MESSAGE_INTEGRITY_SHA256, &tag[..len]);
        let parsed = Message::parse(&message).unwrap();
        assert!(parsed.integrity_holds_truncated(&key), "cut to {len}");
        assert_eq!(parsed.integrity_holds(&key), len == 32, "only where a usage allows it");
        *message.last_mut().unwrap() ^= 1;
        assert!(!Message::parse(&message).unwrap().integrity_holds_truncated(&key));
    }
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use hmac::{KeyInit as _, Mac as _};
    hmac::Hmac::<sha2::Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(message)
        .finalize()
        .into_bytes()
        .to_vec()
}

/// RFC 8489 §14.5: it is ignored, so it does not matter what it looks like.
#[test]
fn a_second_seal_of_impossible_length_is_ignored_too() {
    let key = Key::short_term("secret");
    for kind in [Kind::MESSAGE_INTEGRITY, Kind::MESSAGE_INTEGRITY_SHA256] {
        let mut message = write(|w| w.integrity(&key).integrity_with(&key, Integrity::Sha256));
        append(&mut message, kind, b"odd!");
        assert!(Message::parse(&message).unwrap().integrity_holds(&key));
    }
}

#[test]
fn attributes_that_may_stand_there_several_times_are_all_found() {
    let peers = ["192.0.2.1:1", "192.0.2.2:2"].map(|peer| XorPeerAddress(peer.parse().unwrap()));
    let message =
        write(|w| w.put(&peers[0]).put(&Priority(1)).put(&peers[1]).put_raw(XorPeerAddress::KIND, b"?"));
    let message = Message::parse(&message).unwrap();
    let found: Vec<_> = message.find_all::<XorPeerAddress>().collect();
    assert_eq!(found, [Ok(peers[0]), Ok(peers[1]), Err(BadAttribute(Kind::XOR_PEER_ADDRESS))]);
}

/// Every longest that is documented in docs/limits.md.
#[test]
fn attributes_longer_than_their_limit_make_no_sense() {
    fn limit<'a, A: Attribute<'a>>(max: usize, long: &'a [u8]) {
        assert!(A::decode(&long[..max], &ID).is_some(), "{:?} of {max}", A::KIND);
        assert!(A::decode(&long[..max + 1], &ID).is_none(), "{:?} of {max} + 1", A::KIND);
    }
    let long = vec![b'x'; 1_000];
    limit::<Username>(508, &long);
    limit::<Realm>(763, &long);
    limit::<Nonce>(763, &long);
    limit::<Software>(763, &long);
    limit::<AlternateDomain>(255, &long);
    let algorithms = [0, 1, 0, 0].repeat(17);
    assert!(PasswordAlgorithms::decode(&algorithms[..64], &ID).is_some());
    assert!(PasswordAlgorithms::decode(&algorithms[..68], &ID).is_none());
}

/// The registry at IANA, "STUN Attributes", so that a slip in one number is a slip in two places.
#[test]
fn attributes_have_their_registered_numbers() {
    for (kind, number) in [
        (Kind::MAPPED_ADDRESS, 0x0001),
        (Kind::CHANGE_REQUEST, 0x0003),
        (Kind::USERNAME, 0x0006),
        (Kind::MESSAGE_INTEGRITY, 0x0008),
        (Kind::ERROR_CODE, 0x0009),
        (Kind::UNKNOWN_ATTRIBUTES, 0x000A),
        (Kind::CHANNEL_NUMBER, 0x000C),
        (Kind::LIFETIME, 0x000D),
        (Kind::XOR_PEER_ADDRESS, 0x0012),
        (Kind::DATA, 0x0013),
        (Kind::REALM, 0x0014),
        (Kind::NONCE, 0x0015),
        (Kind::XOR_RELAYED_ADDRESS, 0x0016),
        (Kind::REQUESTED_ADDRESS_FAMILY, 0x0017),
        (Kind::EVEN_PORT, 0x0018),
        (Kind::REQUESTED_TRANSPORT, 0x0019),
        (Kind::DONT_FRAGMENT, 0x001A),
        (Kind::ACCESS_TOKEN, 0x001B),
        (Kind::MESSAGE_INTEGRITY_SHA256, 0x001C),
        (Kind::PASSWORD_ALGORITHM, 0x001D),
        (Kind::USERHASH, 0x001E),
        (Kind::XOR_MAPPED_ADDRESS, 0x0020),
        (Kind::RESERVATION_TOKEN, 0x0022),
        (Kind::PRIORITY, 0x0024),
        (Kind::USE_CANDIDATE, 0x0025),
        (Kind::PADDING, 0x0026),
        (Kind::RESPONSE_PORT, 0x0027),
        (Kind::CONNECTION_ID, 0x002A),
        (Kind::ADDITIONAL_ADDRESS_FAMILY, 0x8000),
        (Kind::ADDRESS_ERROR_CODE, 0x8001),
        (Kind::PASSWORD_ALGORITHMS, 0x8002),
        (Kind::ALTERNATE_DOMAIN, 0x8003),
        (Kind::ICMP, 0x8004),
        (Kind::SOFTWARE, 0x8022),
        (Kind::ALTERNATE_SERVER, 0x8023),
        (Kind::FINGERPRINT, 0x8028),
        (Kind::ICE_CONTROLLED, 0x8029),
        (Kind::ICE_CONTROLLING, 0x802A),
        (Kind::RESPONSE_ORIGIN, 0x802B),
        (Kind::OTHER_ADDRESS, 0x802C),
        (Kind::THIRD_PARTY_AUTHORIZATION, 0x802E),
        (Kind::MOBILITY_TICKET, 0x8030),
        (Kind::HELP, 0xCB00),
    ] {
        assert_eq!(kind.0, number, "{kind:?}");
    }
}

/// Values whose bits are counted from an end that is easy to mistake.
#[test]
fn bits_stand_where_the_rfcs_put_them() {
    assert_eq!(EvenPort::decode(&[0x80], &ID), Some(EvenPort { reserve_next: true }));
    assert_eq!(EvenPort::decode(&[0x7F], &ID), Some(EvenPort { reserve_next: false }));
    // RFC 8656 §18.13: seven bits of type, nine of code.
    let icmp = Icmp { icmp_type: 3, code: 0x104, data: [0; 4] };
    assert_eq!(Icmp::decode(&[0, 0, 0b0000_0111, 0x04, 0, 0, 0, 0], &ID), Some(icmp));
    assert_eq!(ChangeRequest::decode(&[0, 0, 0, 2], &ID), Some(ChangeRequest { ip: false, port: true }));
}

#[test]
fn a_message_without_a_seal_is_neither_signed_nor_fingerprinted() {
    let message = write(|writer| writer.put(&Username(b"alice")));
    let message = Message::parse(&message).unwrap();
    assert!(!message.integrity_holds(&Key::short_term("")) && !message.fingerprint_holds());
}

#[test]
fn padding_is_written_as_zeros() {
    let message = write(|writer| writer.put(&Username(b"a")).put(&Realm("abcde")));
    assert_eq!(message[25..28], [0; 3]);
    assert_eq!(message[37..40], [0; 3]);
}

#[test]
fn a_message_that_does_not_fit_says_so_at_the_end() {
    let key = Key::short_term("secret");
    let whole = write(|writer| writer.put(&Username(b"alice")).integrity(&key).fingerprint()).len();
    for room in 0..=whole {
        let mut buf = vec![0; room];
        let result = Writer::new(&mut buf, Class::Request, Method::BINDING, ID)
            .put(&Username(b"alice"))
            .integrity(&key)
            .fingerprint()
            .finish();
        assert_eq!(result, if room == whole { Ok(whole) } else { Err(NoRoom) }, "room for {room}");
    }
}

#[test]
fn a_message_longer_than_its_length_field_can_say_is_refused() {
    let mut buf = vec![0; 140_000];
    let long = vec![7; 65_600];
    let write = |buf: &mut [u8], value: &[u8]| {
        Writer::new(buf, Class::Request, Method::BINDING, ID)
            .put_raw(Kind::DATA, value)
            .fingerprint()
            .finish()
    };
    assert_eq!(write(&mut buf, &long), Err(NoRoom));
    assert_eq!(write(&mut buf, &long[..65_520]), Ok(65_552));
    assert_eq!(write(&mut buf, &long[..65_524]), Err(NoRoom));
}

proptest! {
    /// Whatever bytes come, parsing ends, and everything that can be asked of a message can be asked.
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), framed in any::<bool>()) {
        let mut bytes = bytes;
        if framed && bytes.len() >= 20 {
            let length = (bytes.len() - 20) as u16;
            bytes[0] &= 0x3F;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        if let Ok(message) = Message::parse(&bytes) {
            let key = Key::short_term("secret");
            prop_assert!(!message.integrity_holds(&key));
            let _ = (message.fingerprint_holds(), format!("{message:?}"));
            let total: usize = message.attributes().map(|attribute| 4 + attribute.value.len()).sum();
            prop_assert!(total <= bytes.len() - 20);
        }
    }

    /// A signed message that is changed in one byte is not signed any more, or says the same.
    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..72, change in 1u8..=255) {
        let key = Key::short_term("secret");
        let original = write(|writer| writer.put(&Username(b"alice")).put(&Priority(7)).integrity(&key));
        let mut changed = original.clone();
        let at = at % original.len();
        changed[at] ^= change;
        let holds = Message::parse(&changed).is_ok_and(|message| message.integrity_holds(&key));
        prop_assert!(!holds);
    }
}
