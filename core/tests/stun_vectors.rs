//! The published test vectors, read and written: RFC 5769 §2.1 to §2.4 and RFC 8489 B.1 as corrected
//! by verified erratum 6268. The bytes and their sources are in `interop/vectors`.
//!
//! RFC 5769's first three pad with spaces, which a reader must not care about and a writer of ours
//! never does. Rewritten, they differ in the padding and so in what is computed over it; everything
//! else has to be the same, and the seals have to hold. The other two come out byte for byte.

use bradawl::wire::stun::attr::{
    ChosenAlgorithm, IceControlled, Nonce, Priority, Realm, Software, Userhash, Username, XorMappedAddress,
};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, PasswordAlgorithm, Writer, userhash};

const USER: &str = "マトリックス";
const ICE_PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// Reads one of `interop/vectors`: hex digits, with comments.
fn vector(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.chars().filter_map(|digit| digit.to_digit(16)))
        .collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

macro_rules! vector {
    ($name:literal) => {
        vector(include_str!(concat!("../../interop/vectors/", $name, ".hex")))
    };
}

/// Checks that `written` says what `original` says, whatever the padding.
fn assert_same_but_for_padding(original: &[u8], written: &[u8], key: &Key) {
    let (original, written) = (Message::parse(original).unwrap(), Message::parse(written).unwrap());
    assert!(original.attributes().eq(written.attributes()));
    assert_eq!(format!("{original:?}"), format!("{written:?}"));
    assert!(written.integrity_holds(key) && written.fingerprint_holds());
}

#[test]
fn rfc5769_2_1_sample_request() {
    let bytes = vector!("rfc5769-2.1-request");
    let key = Key::short_term(ICE_PASSWORD);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert!(message.fingerprint_holds());
    assert!(message.integrity_holds(&key));
    assert!(!message.integrity_holds(&Key::short_term("another")));
    assert_eq!(message.find(), Ok(Some(Software("STUN test client"))));
    assert_eq!(message.find(), Ok(Some(Priority(0x6e00_01ff))));
    assert_eq!(message.find(), Ok(Some(IceControlled(0x932f_f9b1_5126_3b36))));
    assert_eq!(message.find(), Ok(Some(Username(b"evtj:h6vY"))));

    let mut buf = [0; 256];
    let len = Writer::new(&mut buf, Class::Request, Method::BINDING, message.transaction_id())
        .put(&Software("STUN test client"))
        .put(&Priority(0x6e00_01ff))
        .put(&IceControlled(0x932f_f9b1_5126_3b36))
        .put(&Username(b"evtj:h6vY"))
        .integrity(&key)
        .fingerprint()
        .finish()
        .unwrap();
    assert_same_but_for_padding(&bytes, &buf[..len], &key);
}

#[test]
fn rfc5769_2_2_sample_ipv4_response() {
    check_response(&vector!("rfc5769-2.2-response-ipv4"), "192.0.2.1:32853");
}

#[test]
fn rfc5769_2_3_sample_ipv6_response() {
    check_response(&vector!("rfc5769-2.3-response-ipv6"), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

fn check_response(bytes: &[u8], mapped: &str) {
    let key = Key::short_term(ICE_PASSWORD);
    let mapped = XorMappedAddress(mapped.parse().unwrap());
    let message = Message::parse(bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
    assert!(message.fingerprint_holds() && message.integrity_holds(&key));
    assert_eq!(message.find(), Ok(Some(Software("test vector"))));
    assert_eq!(message.find(), Ok(Some(mapped)));

    let mut buf = [0; 256];
    let len = Writer::new(&mut buf, Class::Success, Method::BINDING, message.transaction_id())
        .put(&Software("test vector"))
        .put(&mapped)
        .integrity(&key)
        .fingerprint()
        .finish()
        .unwrap();
    assert_same_but_for_padding(bytes, &buf[..len], &key);
}

#[test]
fn rfc5769_2_4_request_with_long_term_authentication() {
    let bytes = vector!("rfc5769-2.4-long-term");
    let key = Key::long_term(USER, "example.org", "TheMatrIX", PasswordAlgorithm::Md5);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.integrity_holds(&key));
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert_eq!(message.find(), Ok(Some(Username(USER.as_bytes()))));
    assert_eq!(message.find(), Ok(Some(Realm("example.org"))));
    let nonce = Nonce(b"f//499k954d6OL34oL9FSTvy64sA");
    assert_eq!(message.find(), Ok(Some(nonce)));

    let mut buf = [0; 256];
    let len = Writer::new(&mut buf, Class::Request, Method::BINDING, message.transaction_id())
        .put(&Username(USER.as_bytes()))
        .put(&nonce)
        .put(&Realm("example.org"))
        .integrity(&key)
        .finish()
        .unwrap();
    assert_eq!(buf[..len], bytes);
}

#[test]
fn rfc8489_b_1_request_with_sha256_and_userhash() {
    let bytes = vector!("rfc8489-b.1-sha256");
    let key = Key::long_term(USER, "example.org", "TheMatrIX", PasswordAlgorithm::Sha256);
    let message = Message::parse(&bytes).unwrap();
    assert!(message.integrity_holds(&key));
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    let hash = Userhash(userhash(USER, "example.org"));
    assert_eq!(message.find(), Ok(Some(hash)));
    assert_eq!(message.find(), Ok(Some(ChosenAlgorithm(PasswordAlgorithm::Sha256))));
    let nonce = Nonce(b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
    assert_eq!(message.find(), Ok(Some(nonce)));
    assert!(nonce.security_features().username_anonymity);

    let mut buf = [0; 256];
    let len = Writer::new(&mut buf, Class::Request, Method::BINDING, message.transaction_id())
        .put(&hash)
        .put(&nonce)
        .put(&Realm("example.org"))
        .put(&ChosenAlgorithm(PasswordAlgorithm::Sha256))
        .integrity_with(&key, Integrity::Sha256)
        .finish()
        .unwrap();
    assert_eq!(buf[..len], bytes);
}

#[test]
fn one_flipped_bit_anywhere_breaks_a_vector() {
    let key = Key::short_term(ICE_PASSWORD);
    let original = vector!("rfc5769-2.1-request");
    for bit in 0..original.len() * 8 {
        let mut bytes = original.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let holds = Message::parse(&bytes)
            .is_ok_and(|message| message.integrity_holds(&key) && message.fingerprint_holds());
        assert!(!holds, "bit {bit}");
    }
}
