//! The STUN server as a machine: what it answers, with how many bytes, and what it leaves alone.

use std::net::SocketAddr;

use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, MAX_PENDING, Outcome, RateLimit, StunServer};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{
    ChangeRequest, ChangedAddress, ErrorCode, Kind, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    ResponsePort, Software, SourceAddress, UnknownAttributes, Username, XorMappedAddress,
};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};

const ID: TransactionId = TransactionId::from_bytes(*b"transaction!");

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn v4() -> Path {
    Path::udp(address("192.0.2.1:3478"), address("198.51.100.7:50000"))
}

fn v6() -> Path {
    Path::udp(address("[2001:db8::1]:3478"), address("[2001:db8:7::7]:50000"))
}

fn server(config: Config) -> StunServer {
    StunServer::new(config, Rng::from_seed([1; 32]))
}

fn with_alternate() -> StunServer {
    let alternate =
        Alternate::new(address("192.0.2.1:3478"), address("192.0.2.2:3479")).expect("they differ");
    server(Config { alternates: vec![alternate], ..Config::default() })
}

fn request(build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    message(Class::Request, Method::BINDING, build)
}

fn message(class: Class, method: Method, build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buf = vec![0; 2_048];
    let len = build(Writer::new(&mut buf, class, method, ID)).finish().expect("room");
    buf.truncate(len);
    buf
}

/// Feeds one datagram and drains: the answer and where it goes, if there is one.
fn ask_at(server: &mut StunServer, now: Instant, path: Path, bytes: &[u8]) -> Option<(Path, Vec<u8>)> {
    let _ = server.handle_input(now, path, Meta::default(), bytes);
    let mut buf = [0xEE; MIN_BUFFER];
    let answer = match server.poll_output(now, &mut buf) {
        Output::Transmit { path, len, segment: None, ecn: None } => Some((path, buf[..len].to_vec())),
        Output::Idle(None) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(server.poll_output(now, &mut buf), Output::Idle(None));
    answer
}

fn ask(server: &mut StunServer, path: Path, bytes: &[u8]) -> Option<(Path, Vec<u8>)> {
    ask_at(server, Instant::ZERO, path, bytes)
}

/// Asserts that `bytes` get no answer and are counted as `outcome`.
fn assert_silence(server: &mut StunServer, path: Path, bytes: &[u8], outcome: Outcome) {
    let before = server.counters().count(outcome);
    assert_eq!(ask(server, path, bytes), None, "{outcome}");
    assert_eq!(server.counters().count(outcome), before + 1, "{outcome}");
}

#[test]
fn a_plain_success_is_32_bytes_and_44_for_ipv6() {
    let mut server = server(Config::default());
    for (path, len) in [(v4(), 32), (v6(), 44)] {
        let (back, answer) = ask(&mut server, path, &request(|writer| writer)).expect("an answer");
        assert_eq!((back, answer.len()), (path, len));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!((answer.class(), answer.transaction_id()), (Class::Success, ID));
        assert_eq!(answer.find(), Ok(Some(XorMappedAddress(path.remote))));
    }
    assert_eq!(server.counters().count(Outcome::Success), 2);
}

#[test]
fn a_fingerprint_is_answered_with_a_fingerprint() {
    let bytes = request(|writer| writer.put(&Software("test")).fingerprint());
    let (_, answer) = ask(&mut server(Config::default()), v4(), &bytes).expect("an answer");
    assert_eq!(answer.len(), 40);
    assert!(Message::parse(&answer).unwrap().fingerprint_holds());
}

#[test]
fn a_wrong_fingerprint_is_silence() {
    let mut bytes = request(|writer| writer.put(&Software("test")).fingerprint());
    *bytes.last_mut().unwrap() ^= 1;
    assert_silence(&mut server(Config::default()), v4(), &bytes, Outcome::WrongFingerprint);
}

#[test]
fn only_requests_for_bindings_are_answered() {
    let mut server = server(Config::default());
    for class in [Class::Indication, Class::Success, Class::Error] {
        let bytes = message(class, Method::BINDING, |writer| writer);
        assert_silence(&mut server, v4(), &bytes, Outcome::NotARequest);
    }
    let bytes = message(Class::Request, Method::ALLOCATE, |writer| writer);
    assert_silence(&mut server, v4(), &bytes, Outcome::OtherMethod);
}

#[test]
fn what_another_machine_may_want_is_unclaimed_and_garbage_is_not() {
    let mut server = server(Config::default());
    let mut verdict = |bytes: &[u8]| server.handle_input(Instant::ZERO, v4(), Meta::default(), bytes);
    assert_eq!(verdict(&message(Class::Success, Method::BINDING, |writer| writer)), Verdict::Unclaimed);
    assert_eq!(verdict(&message(Class::Request, Method::ALLOCATE, |writer| writer)), Verdict::Unclaimed);
    assert_eq!(verdict(&[0x40, 0, 0, 1, 7]), Verdict::Unclaimed, "ChannelData");
    assert_eq!(verdict(&[0xC0; 1_200]), Verdict::Unclaimed, "QUIC");
    assert_eq!(verdict(&[22; 100]), Verdict::Unclaimed, "DTLS");
    assert_eq!(verdict(&[17; 100]), Verdict::Unclaimed, "ZRTP");
    assert_eq!(verdict(&[]), Verdict::Unclaimed);
    assert_eq!(verdict(&[0; 20]), Verdict::Consumed, "no cookie");
}

#[test]
fn malformed_datagrams_are_counted_by_reason_and_never_answered() {
    let mut server = server(Config::default());
    let good = request(|writer| writer.put(&Software("test")));
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_silence(&mut server, v4(), &[], Outcome::TooShort);
    assert_silence(&mut server, v4(), &good[..19], Outcome::TooShort);
    assert_silence(&mut server, v4(), &vec![0; 65_507], Outcome::Length);
    assert_silence(&mut server, v4(), &[0xFF; 65_507], Outcome::NotStun);
    assert_silence(&mut server, v4(), &good[..good.len() - 1], Outcome::Length);
    assert_silence(&mut server, v4(), &changed(3, 7), Outcome::Length);
    assert_silence(&mut server, v4(), &changed(4, 0), Outcome::Cookie);
    assert_silence(&mut server, v4(), &changed(22, 0xFF), Outcome::Overrun);
    let fingerprint_first =
        request(|writer| writer.put_raw(Kind::FINGERPRINT, &[0; 4]).put(&Software("late")));
    assert_silence(&mut server, v4(), &fingerprint_first, Outcome::AfterFingerprint);
    let short_seal = request(|writer| writer.put_raw(Kind::MESSAGE_INTEGRITY, &[0; 8]));
    assert_silence(&mut server, v4(), &short_seal, Outcome::Seal);
}

/// Odd, and fine by the RFC: the first of duplicates counts, empty values are values, and what follows
/// the integrity is ignored, be it something that would have to be understood.
#[test]
fn duplicates_empty_values_and_data_behind_the_integrity_do_no_harm() {
    let mut server = with_alternate();
    let bytes = request(|writer| {
        writer
            .put(&ChangeRequest::default())
            .put(&ChangeRequest { ip: true, port: true })
            .put(&Software(""))
            .put(&Username(b""))
            .integrity(&Key::short_term("secret"))
            .put_raw(Kind(0x7001), b"ignored")
            .put(&ChangeRequest { ip: true, port: true })
    });
    let (back, answer) = ask(&mut server, v4(), &bytes).expect("an answer");
    assert_eq!(back, v4());
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
}

#[test]
fn a_change_request_that_makes_no_sense_gets_a_400() {
    let bytes = request(|writer| writer.put_raw(Kind::CHANGE_REQUEST, b""));
    let (_, answer) = ask(&mut with_alternate(), v4(), &bytes).expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.find::<ErrorCode>().unwrap().map(|error| error.code), Some(400));
}

/// RFC 8489 §6.3: known but unexpected attributes are ignored.
#[test]
fn known_attributes_that_have_no_business_in_a_request_are_ignored() {
    let bytes = request(|w| w.put(&MappedAddress(v4().local)).put(&XorMappedAddress(v4().local)));
    let (_, answer) = ask(&mut server(Config::default()), v4(), &bytes).expect("an answer");
    assert_eq!(answer.len(), 32);
}

#[test]
fn the_debug_output_is_short_and_has_nobodys_address() {
    let mut server = server(Config::default());
    let _ = server.handle_input(Instant::ZERO, v4(), Meta::default(), &request(|writer| writer));
    let text = format!("{server:?}");
    assert!(text.len() < 1_000 && !text.contains("198.51.100.7"), "{text}");
}

#[test]
fn port_zero_is_never_answered() {
    let path = Path { remote: address("198.51.100.7:0"), ..v4() };
    assert_silence(&mut server(Config::default()), path, &request(|writer| writer), Outcome::PortZero);
}

#[test]
fn unknown_attributes_that_must_be_understood_are_named_in_a_420() {
    let mut server = server(Config::default());
    let bytes = request(|writer| {
        writer.put_raw(Kind(0x7001), b"").put(&ResponsePort(9)).put_raw(Kind(0xC001), b"optional")
    });
    let (_, answer) = ask(&mut server, v4(), &bytes).expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.class(), Class::Error);
    assert_eq!(answer.find::<ErrorCode>().unwrap().map(|error| error.code), Some(420));
    let unknown: UnknownAttributes = answer.find().unwrap().expect("it names them");
    assert_eq!(&*unknown, &[Kind(0x7001), Kind::RESPONSE_PORT]);
}

#[test]
fn an_answer_is_never_much_larger_than_its_request() {
    let mut server = server(Config::default());
    let many: Vec<u8> = request(|writer| (0..50).fold(writer, |w, kind| w.put_raw(Kind(0x7000 + kind), b"")));
    let (_, answer) = ask(&mut server, v4(), &many).expect("an answer");
    assert_eq!(answer.len(), 68, "header, code and phrase, eight attributes");
}

#[test]
fn behaviour_discovery_is_refused_where_there_is_no_second_address() {
    let mut server = server(Config::default());
    let change = request(|writer| writer.put(&ChangeRequest { ip: true, port: true }));
    let padding = request(|writer| writer.put(&Padding(&[0; 100])));
    for (bytes, kind) in [(change, Kind::CHANGE_REQUEST), (padding, Kind::PADDING)] {
        let (back, answer) = ask(&mut server, v4(), &bytes).expect("an answer");
        assert_eq!(back, v4());
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(&*answer.find::<UnknownAttributes>().unwrap().expect("a 420"), &[kind]);
    }
}

#[test]
fn integrity_that_does_not_say_whose_it_is_gets_a_400() {
    let key = Key::short_term("secret");
    let mut server = server(Config::default());
    for which in [Integrity::Sha1, Integrity::Sha256] {
        let (_, answer) =
            ask(&mut server, v4(), &request(|writer| writer.integrity_with(&key, which))).unwrap();
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.find::<ErrorCode>().unwrap().map(|error| error.code), Some(400));
    }
    assert_eq!(server.counters().count(Outcome::BadRequest), 2);
    // A server without credentials ignores integrity that does.
    let signed = request(|writer| writer.put(&Username(b"alice")).integrity(&key));
    let (_, answer) = ask(&mut server, v4(), &signed).unwrap();
    assert_eq!(answer.len(), 32);
}

/// RFC 5780 §6.1, all four sockets and all four requests.
#[test]
fn change_request_is_answered_from_the_address_that_was_asked_for() {
    let mut server = with_alternate();
    let (ips, ports) = (["192.0.2.1", "192.0.2.2"], [3478, 3479]);
    for (ip, port, change_ip, change_port) in
        (0..16).map(|n| (n & 1, n >> 1 & 1, n >> 2 & 1 == 1, n >> 3 & 1 == 1))
    {
        let local = address(&format!("{}:{}", ips[ip], ports[port]));
        let path = Path { local, ..v4() };
        let bytes = request(|writer| writer.put(&ChangeRequest { ip: change_ip, port: change_port }));
        let (back, answer) = ask(&mut server, path, &bytes).expect("an answer");
        let expected = address(&format!(
            "{}:{}",
            ips[ip ^ usize::from(change_ip)],
            ports[port ^ usize::from(change_port)]
        ));
        assert_eq!(back, Path { local: expected, ..path });
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.find(), Ok(Some(XorMappedAddress(path.remote))));
        assert_eq!(answer.find(), Ok(Some(ResponseOrigin(expected))));
        let other = address(&format!("{}:{}", ips[ip ^ 1], ports[port ^ 1]));
        assert_eq!(answer.find(), Ok(Some(OtherAddress(other))));
    }
}

#[test]
fn a_socket_that_is_none_of_the_four_offers_no_behaviour_discovery() {
    let mut server = with_alternate();
    for path in [v6(), Path { local: address("192.0.2.3:3478"), ..v4() }] {
        let (_, answer) = ask(&mut server, path, &request(|writer| writer)).expect("an answer");
        assert!(!Message::parse(&answer).unwrap().has(Kind::OTHER_ADDRESS));
    }
}

/// RFC 5780 §7.6, with a bound: we never send more than we were sent.
#[test]
fn padding_is_returned_and_never_more_of_it_than_came() {
    let mut server = with_alternate();
    for (sent, returned) in [(0, 0), (4, 4), (1_000, 1_000), (1_900, 1_300)] {
        let bytes = request(|writer| writer.put(&Padding(&vec![7; sent])));
        let (_, answer) = ask(&mut server, v4(), &bytes).expect("an answer");
        assert!(answer.len() <= MIN_BUFFER);
        let answer = Message::parse(&answer).unwrap();
        let padding: Padding<'_> = answer.find().unwrap().expect("padding");
        assert_eq!(padding.0, vec![0; returned]);
    }
}

/// RFC 5780 §6.1: masked and plain, to find NATs that rewrite addresses which they recognise.
#[test]
fn with_an_alternate_the_address_is_told_both_ways() {
    let (_, answer) = ask(&mut with_alternate(), v4(), &request(|writer| writer)).expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(MappedAddress(v4().remote))));
    assert_eq!(answer.find(), Ok(Some(XorMappedAddress(v4().remote))));
}

/// The longest answer there is, behind a parent's 48 bytes: one packet must not silence a server.
#[test]
fn the_longest_answer_fits_and_stands_in_nobodys_way() {
    let alternate = Alternate::new(v6().local, address("[2001:db8::2]:3479")).expect("they differ");
    let mut server = server(Config { alternates: vec![alternate], ..Config::default() });
    let longest = request(|writer| writer.put(&Padding(&[0; 1_900])).fingerprint());
    let _ = server.handle_input(Instant::ZERO, v6(), Meta::default(), &longest);
    let mut buf = [0; MIN_BUFFER - 48];
    assert!(matches!(server.poll_output(Instant::ZERO, &mut buf), Output::Transmit { .. }));
    assert!(ask(&mut server, v6(), &request(|writer| writer)).is_some());
}

/// There is no answering from elsewhere on a connection.
#[test]
fn over_a_connection_change_request_is_not_understood() {
    let path = Path::tcp(v4().local, v4().remote);
    let bytes = request(|writer| writer.put(&ChangeRequest { ip: true, port: true }));
    let (back, answer) = ask(&mut with_alternate(), path, &bytes).expect("an answer");
    assert_eq!(back, path);
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(&*answer.find::<UnknownAttributes>().unwrap().expect("a 420"), &[Kind::CHANGE_REQUEST]);
}

#[test]
fn a_pair_of_addresses_is_of_use_only_if_both_are_concrete_and_differ() {
    let good = "192.0.2.1:3478";
    for bad in ["192.0.2.1:3479", "192.0.2.2:3478", "0.0.0.0:3479", "192.0.2.2:0", "[2001:db8::2]:3479"] {
        assert!(Alternate::new(address(good), address(bad)).is_none(), "{bad}");
        assert!(Alternate::new(address(bad), address(good)).is_none(), "{bad}");
    }
}

#[test]
fn response_port_is_refused_even_where_behaviour_discovery_is_offered() {
    let bytes = request(|writer| writer.put(&ResponsePort(9)));
    let (_, answer) = ask(&mut with_alternate(), v4(), &bytes).expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(&*answer.find::<UnknownAttributes>().unwrap().expect("a 420"), &[Kind::RESPONSE_PORT]);
}

/// A request as Debian's `stun` client sends it: no cookie, and a CHANGE-REQUEST that asks nothing.
fn classic_request(change: ChangeRequest) -> Vec<u8> {
    let mut bytes = request(|writer| writer.put(&change));
    bytes[4..8].copy_from_slice(b"old!");
    bytes
}

#[test]
fn a_classic_client_is_answered_only_where_that_is_allowed() {
    let bytes = classic_request(ChangeRequest::default());
    assert_silence(&mut server(Config::default()), v4(), &bytes, Outcome::Cookie);

    let mut classic = server(Config { classic: true, ..Config::default() });
    let (_, answer) = ask(&mut classic, v4(), &bytes).expect("an answer");
    assert_eq!(answer[4..20], bytes[4..20], "all sixteen bytes are the transaction id");
    let answer = Message::parse_classic(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(MappedAddress(v4().remote))));
    assert_eq!(answer.find(), Ok(Some(SourceAddress(v4().local))));
    assert!(!answer.has(Kind::XOR_MAPPED_ADDRESS) && !answer.has(Kind::CHANGED_ADDRESS));
}

/// RFC 3489 §11.2.9, §11.2.10: no padding, so values are multiples of four.
#[test]
fn errors_for_a_classic_client_are_as_rfc3489_writes_them() {
    let mut server = server(Config { classic: true, ..Config::default() });
    let key = Key::short_term("secret");
    let response_address = request(|writer| writer.put_raw(Kind::RESPONSE_ADDRESS, &[0; 8]));
    let unsigned = request(|writer| writer.integrity(&key));
    for (mut bytes, code) in [(response_address, 420), (unsigned, 400)] {
        bytes[4..8].copy_from_slice(b"old!");
        let (_, answer) = ask(&mut server, v4(), &bytes).expect("an answer");
        let answer = Message::parse_classic(&answer).unwrap();
        assert_eq!(answer.find::<ErrorCode>().unwrap().map(|error| error.code), Some(code));
        assert!(answer.attributes().all(|attribute| attribute.value.len() % 4 == 0), "{answer:?}");
    }
}

/// RFC 3489 §10.1: its client takes any answer from the other address for "open".
#[test]
fn a_classic_client_that_wants_another_address_gets_it_or_silence() {
    let change = classic_request(ChangeRequest { ip: true, port: true });
    let mut alone = server(Config { classic: true, ..Config::default() });
    assert_silence(&mut alone, v4(), &change, Outcome::NoAlternate);

    let alternate = Alternate::new(v4().local, address("192.0.2.2:3479")).unwrap();
    let mut pair = server(Config { classic: true, alternates: vec![alternate], ..Config::default() });
    let (back, answer) = ask(&mut pair, v4(), &change).expect("an answer");
    assert_eq!(back.local, address("192.0.2.2:3479"));
    let answer = Message::parse_classic(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(ChangedAddress(address("192.0.2.2:3479")))));
}

#[test]
fn a_network_that_asks_too_often_is_not_answered_for_a_while() {
    let rate = RateLimit { per_second: 10, burst: 3, networks: 64 };
    let mut server = server(Config { rate: Some(rate), ..Config::default() });
    let bytes = request(|writer| writer);
    let answers = |server: &mut StunServer, now: Instant| {
        (0..20).filter(|_| ask_at(server, now, v4(), &bytes).is_some()).count()
    };
    assert_eq!(answers(&mut server, Instant::ZERO), 3);
    assert_eq!(answers(&mut server, Instant::ZERO + Duration::from_millis(200)), 2);
    assert_eq!(server.counters().count(Outcome::RateLimited), 35);
    let neighbour = Path { remote: address("198.51.100.8:50000"), ..v4() };
    assert!(ask(&mut server, neighbour, &bytes).is_some());
}

#[test]
fn a_malformed_flood_does_not_use_up_the_rate_of_whom_it_pretends_to_be() {
    let rate = RateLimit { per_second: 1, burst: 1, networks: 64 };
    let mut server = server(Config { rate: Some(rate), ..Config::default() });
    for _ in 0..100 {
        assert_eq!(ask(&mut server, v4(), &[0; 40]), None);
    }
    assert!(ask(&mut server, v4(), &request(|writer| writer)).is_some());
}

#[test]
fn inputs_beyond_the_bound_before_a_drain_are_dropped_and_counted() {
    let mut server = server(Config { rate: None, ..Config::default() });
    let bytes = request(|writer| writer);
    for _ in 0..MAX_PENDING + 10 {
        let _ = server.handle_input(Instant::ZERO, v4(), Meta::default(), &bytes);
    }
    assert_eq!(server.counters().count(Outcome::Overflow), 10);
    let mut buf = [0; MIN_BUFFER];
    let drained = std::iter::from_fn(|| match server.poll_output(Instant::ZERO, &mut buf) {
        Output::Transmit { len, .. } => Some(len),
        _ => None,
    });
    assert_eq!(drained.count(), MAX_PENDING);
}

#[test]
fn a_buffer_that_is_too_short_yields_nothing_and_loses_nothing() {
    let mut server = server(Config::default());
    let _ = server.handle_input(Instant::ZERO, v4(), Meta::default(), &request(|writer| writer));
    assert_eq!(server.poll_output(Instant::ZERO, &mut [0; 31]), Output::Idle(None));
    assert!(matches!(server.poll_output(Instant::ZERO, &mut [0; 32]), Output::Transmit { len: 32, .. }));
}

#[test]
fn counters_of_several_workers_add_up() {
    let mut total = *server(Config::default()).counters();
    for _ in 0..3 {
        let mut worker = server(Config::default());
        let _ = ask(&mut worker, v4(), &request(|writer| writer));
        total.merge(worker.counters());
    }
    assert_eq!(total.count(Outcome::Success), 3);
}
