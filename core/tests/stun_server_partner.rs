//! Two STUN servers that are each other's second IP address, and servers behind a cloud's NAT.

use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, MAX_HAND_OVERS, Outcome, RateLimit, StunServer};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{
    ChangeRequest, ChangedAddress, HandOver, Help, Kind, MappedAddress, OtherAddress, Padding,
    ResponseOrigin, SourceAddress, XorMappedAddress,
};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};

const ID: TransactionId = TransactionId::from_bytes(*b"transaction!");
const BY_IP: ChangeRequest = ChangeRequest { ip: true, port: false };

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn client() -> SocketAddr {
    address("198.51.100.7:50000")
}

fn path() -> Path {
    Path::udp(address("192.0.2.1:3478"), client())
}

fn key() -> Key {
    Key::from_bytes(b"a secret that the two share")
}

fn config(primary: &str, secondary: &str) -> Config {
    let pair = Alternate::new(address(primary), address(secondary)).expect("they differ").of_partner();
    Config { alternates: vec![pair], partner_key: Some(key()), rate: None, ..Config::default() }
}

fn server(config: Config) -> StunServer {
    StunServer::new(config, Rng::from_seed([1; 32]))
}

/// 192.0.2.1 and 192.0.2.2, set up the one like the other.
fn pair() -> [StunServer; 2] {
    [server(config("192.0.2.1:3478", "192.0.2.2:3479")), server(config("192.0.2.2:3478", "192.0.2.1:3479"))]
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

fn feed(server: &mut StunServer, now: Instant, path: Path, bytes: &[u8]) -> Option<(Path, Vec<u8>)> {
    let _ = server.handle_input(now, path, Meta::default(), bytes);
    let mut buf = [0; MIN_BUFFER];
    let Output::Transmit { path, len, .. } = server.poll_output(now, &mut buf) else { return None };
    assert_eq!(server.poll_output(now, &mut [0; MIN_BUFFER]), Output::Idle(None), "one packet at most");
    Some((path, buf[..len].to_vec()))
}

/// The same packet as the other end sees it.
fn arrived(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, ..path }
}

/// Asks the first, carries what it says to the second, and returns what that says.
fn through([first, second]: &mut [StunServer; 2], path: Path, bytes: &[u8]) -> (Path, Vec<u8>) {
    let (way, hand_over) = feed(first, Instant::ZERO, path, bytes).expect("a hand-over");
    assert_eq!((way.local, hand_over.len()), (path.local, 128));
    let answer = feed(second, Instant::ZERO, arrived(way), &hand_over).expect("an answer");
    assert!(answer.1.len() <= hand_over.len());
    answer
}

#[test]
fn the_partner_answers_from_the_address_that_was_asked_for() {
    let mut pair = pair();
    for (asked, port) in [(3478, false), (3478, true), (3479, false), (3479, true)] {
        let path = Path { local: SocketAddr::new(path().local.ip(), asked), ..path() };
        let (back, answer) = through(&mut pair, path, &request(|w| w.put(&ChangeRequest { ip: true, port })));
        let from = SocketAddr::from(([192, 0, 2, 2], if port { 3478 + 3479 - asked } else { asked }));
        assert_eq!(back, Path::udp(from, client()));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!((answer.class(), answer.transaction_id()), (Class::Success, ID));
        assert_eq!(answer.find(), Ok(Some(XorMappedAddress(client()))));
        assert_eq!(answer.find(), Ok(Some(MappedAddress(client()))));
        assert_eq!(answer.find(), Ok(Some(ResponseOrigin(from))));
        // RFC 5780 §7.4: the other of the one that was asked.
        let other = SocketAddr::from(([192, 0, 2, 2], 3478 + 3479 - asked));
        assert_eq!(answer.find(), Ok(Some(OtherAddress(other))));
        assert!(!answer.has_fingerprint());
    }
    let [first, second] = pair;
    assert_eq!(first.counters().count(Outcome::HandedOver), 4);
    assert_eq!(second.counters().count(Outcome::TakenOver), 4);
}

#[test]
fn what_a_server_can_answer_itself_it_does() {
    let [mut first, _] = pair();
    for (change, port) in [(None, 3478), (Some(false), 3478), (Some(true), 3479)] {
        let bytes = request(|w| {
            w.put(&Help::default()).put_some(change.map(|port| ChangeRequest { ip: false, port }).as_ref())
        });
        let (back, answer) = feed(&mut first, Instant::ZERO, path(), &bytes).expect("an answer");
        assert_eq!(back, Path::udp(SocketAddr::from(([192, 0, 2, 1], port)), client()));
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.find(), Ok(Some(OtherAddress(address("192.0.2.2:3479")))));
        let help: Help = answer.find().unwrap().expect("HELP");
        assert_eq!(help.other_port, 3479);
    }
}

#[test]
fn a_fingerprint_survives_and_padding_does_not() {
    let bytes = request(|w| w.put(&BY_IP).put(&Padding(&[0; 900])).put(&Help::default()).fingerprint());
    let (_, answer) = through(&mut pair(), path(), &bytes);
    let answer = Message::parse(&answer).unwrap();
    assert!(answer.fingerprint_holds() && !answer.has(Kind::PADDING) && !answer.has(Kind::HELP));
}

/// The longest answer there is to a hand-over.
#[test]
fn over_ipv6_the_answer_is_no_longer_than_the_hand_over_either() {
    let mut pair = [
        server(config("[2001:db8::1]:3478", "[2001:db8::2]:3479")),
        server(config("[2001:db8::2]:3478", "[2001:db8::1]:3479")),
    ];
    let path = Path::udp(address("[2001:db8::1]:3478"), address("[2001:db8:7::7]:50000"));
    let (back, answer) = through(&mut pair, path, &request(|w| w.put(&BY_IP).fingerprint()));
    assert_eq!((back.local, back.remote), (address("[2001:db8::2]:3478"), path.remote));
    assert_eq!(answer.len(), 124);
}

#[test]
fn a_client_of_rfc3489_is_handed_over_as_such() {
    let classic = |config| server(Config { classic: true, ..config });
    let mut pair = [
        classic(config("192.0.2.1:3478", "192.0.2.2:3479")),
        classic(config("192.0.2.2:3478", "192.0.2.1:3479")),
    ];
    let mut bytes = request(|w| w.put(&BY_IP));
    bytes[4..8].copy_from_slice(b"old!");
    let (_, answer) = through(&mut pair, path(), &bytes);
    assert_eq!(answer[4..20], bytes[4..20]);
    let answer = Message::parse_classic(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(SourceAddress(address("192.0.2.2:3478")))));
    assert_eq!(answer.find(), Ok(Some(ChangedAddress(address("192.0.2.2:3479")))));
}

fn good() -> HandOver {
    HandOver {
        client: client(),
        answerer: address("192.0.2.2:3479"),
        asked_port: 3478,
        fingerprint: false,
        classic: None,
    }
}

fn sealed(hand_over: &HandOver) -> Vec<u8> {
    message(Class::Indication, Method::HAND_OVER, |w| {
        w.put(hand_over).integrity_with(&key(), Integrity::Sha256)
    })
}

/// From the first to the second, port 3479.
fn between() -> Path {
    Path::udp(address("192.0.2.2:3479"), address("192.0.2.1:3478"))
}

#[test]
fn only_what_the_partner_sealed_is_taken() {
    let [_, mut second] = pair();
    let hand_over = good();
    let seal = |build: &dyn Fn(Writer<'_>) -> Writer<'_>| {
        message(Class::Indication, Method::HAND_OVER, |w| build(w.put(&hand_over)))
    };
    let mut tampered = sealed(&hand_over);
    tampered[40] ^= 1;
    let mut other_id = sealed(&hand_over);
    other_id[8] ^= 1;
    let bad = [
        ("not sealed", seal(&|w| w)),
        ("sealed by somebody else", seal(&|w| w.integrity_with(&Key::from_bytes(b"no"), Integrity::Sha256))),
        ("sealed with SHA-1", seal(&|w| w.integrity(&key()))),
        ("altered", tampered),
        ("for another request", other_id),
        (
            "empty",
            message(Class::Indication, Method::HAND_OVER, |w| w.integrity_with(&key(), Integrity::Sha256)),
        ),
        ("from another port", sealed(&HandOver { answerer: address("192.0.2.2:3478"), ..hand_over })),
        ("from another server", sealed(&HandOver { answerer: address("192.0.2.1:3479"), ..hand_over })),
        ("of a third port", sealed(&HandOver { asked_port: 3480, ..hand_over })),
        ("to port zero", sealed(&HandOver { client: address("198.51.100.7:0"), ..hand_over })),
        ("to another family", sealed(&HandOver { client: address("[2001:db8::7]:9"), ..hand_over })),
    ];
    for (nth, (what, bytes)) in (1..).zip(&bad) {
        assert_eq!(feed(&mut second, Instant::ZERO, between(), bytes), None, "{what}");
        assert_eq!(second.counters().count(Outcome::BadHandOver), nth, "{what}");
    }
    let stranger = Path { remote: address("192.0.2.9:3478"), ..between() };
    let over_tcp = Path::tcp(between().local, between().remote);
    for path in [stranger, over_tcp] {
        assert_eq!(feed(&mut second, Instant::ZERO, path, &sealed(&hand_over)), None, "{path}");
    }
    assert!(feed(&mut second, Instant::ZERO, between(), &sealed(&hand_over)).is_some(), "it was good");
}

#[test]
fn a_server_without_a_partner_leaves_hand_overs_to_others() {
    let without_key = Config { partner_key: None, ..config("192.0.2.2:3478", "192.0.2.1:3479") };
    for config in [Config::default(), without_key] {
        let mut server = server(config);
        let verdict = server.handle_input(Instant::ZERO, between(), Meta::default(), &sealed(&good()));
        assert_eq!(verdict, Verdict::Unclaimed);
        // Nor does it promise what it cannot do.
        let asked = Path { local: address("192.0.2.2:3478"), ..path() };
        let (_, answer) =
            feed(&mut server, Instant::ZERO, asked, &request(|writer| writer)).expect("an answer");
        assert_eq!(answer.len(), 32);
    }
    // A request of that method is nobody's.
    let [_, mut second] = pair();
    let odd = message(Class::Request, Method::HAND_OVER, |writer| writer.put(&good()));
    assert_eq!(second.handle_input(Instant::ZERO, between(), Meta::default(), &odd), Verdict::Unclaimed);
}

/// Whoever repeats a hand-over that he has seen makes the partner say the same to the same client, as
/// often as that client's own rate allows.
#[test]
fn a_repeated_hand_over_is_within_the_rate_of_its_client() {
    let rate = RateLimit { per_second: 1, burst: 3, networks: 64 };
    let limited = |config| server(Config { rate: Some(rate), ..config });
    let mut second = limited(config("192.0.2.2:3478", "192.0.2.1:3479"));
    let bytes = sealed(&good());
    let answers: Vec<_> =
        (0..9).filter_map(|_| feed(&mut second, Instant::ZERO, between(), &bytes)).collect();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(second.counters().count(Outcome::RateLimited), 6);
    let another = sealed(&HandOver { client: address("203.0.113.1:9"), ..good() });
    assert!(feed(&mut second, Instant::ZERO, between(), &another).is_some());

    // The one that was asked counts, too.
    let mut first = limited(config("192.0.2.1:3478", "192.0.2.2:3479"));
    let bytes = request(|w| w.put(&BY_IP));
    assert_eq!((0..9).filter_map(|_| feed(&mut first, Instant::ZERO, path(), &bytes)).count(), 3);
}

/// However many clients there are, or pretend to be.
#[test]
fn there_is_a_bound_on_what_is_handed_over_and_taken() {
    let [mut first, mut second] = pair();
    let most = usize::try_from(MAX_HAND_OVERS).expect("a small number");
    let remote = |n: usize| SocketAddr::from(([203, 0, (n / 256) as u8, (n % 256) as u8], 9));
    let ask = request(|w| w.put(&BY_IP));
    let given = (0..most + 50)
        .filter(|&n| feed(&mut first, Instant::ZERO, Path { remote: remote(n), ..path() }, &ask).is_some());
    assert_eq!(given.count(), most);
    let taken = (0..most + 50).filter(|&n| {
        let bytes = sealed(&HandOver { client: remote(n), ..good() });
        feed(&mut second, Instant::ZERO, between(), &bytes).is_some()
    });
    assert_eq!(taken.count(), most);
    // What needs no partner is served all the same, and a second later there is room again.
    assert!(feed(&mut first, Instant::ZERO, path(), &request(|writer| writer)).is_some());
    let later = Instant::ZERO + Duration::from_secs(1);
    assert!(feed(&mut first, later, path(), &ask).is_some());
    assert!(feed(&mut second, later, between(), &sealed(&good())).is_some());
}

/// A forged flood in the partner's name uses up nothing: it is charged when the seal is proven.
#[test]
fn forgeries_do_not_use_up_the_partners_bound() {
    let [_, mut second] = pair();
    let mut forged = sealed(&good());
    forged[40] ^= 1;
    for _ in 0..2 * MAX_HAND_OVERS {
        assert_eq!(feed(&mut second, Instant::ZERO, between(), &forged), None);
    }
    assert!(feed(&mut second, Instant::ZERO, between(), &sealed(&good())).is_some());
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an IP address")
}

#[test]
fn public_addresses_are_told_where_a_cloud_hides_them() {
    let pair = Alternate::new(address("10.0.0.5:3478"), address("10.0.0.6:3479")).expect("they differ");
    let advertised = vec![(ip("10.0.0.5"), ip("192.0.2.1")), (ip("10.0.0.6"), ip("192.0.2.2"))];
    let mut server = server(Config { alternates: vec![pair], advertised, ..Config::default() });
    let asked = Path { local: address("10.0.0.5:3478"), ..path() };
    let bytes = request(|w| w.put(&BY_IP));
    let (back, answer) = feed(&mut server, Instant::ZERO, asked, &bytes).expect("an answer");
    assert_eq!(back.local, address("10.0.0.6:3478"), "our own address is what selects the socket");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(ResponseOrigin(address("192.0.2.2:3478")))));
    assert_eq!(answer.find(), Ok(Some(OtherAddress(address("192.0.2.2:3479")))));
}

/// Both behind a NAT of their cloud's: each knows the other by its public address only.
#[test]
fn partners_behind_clouds_find_each_other() {
    let hidden = |local: &str, public: &str, partner: &str| {
        let advertised = vec![(ip(local), ip(public))];
        server(Config { advertised, ..config(&format!("{local}:3478"), &format!("{partner}:3479")) })
    };
    let mut first = hidden("10.0.0.5", "192.0.2.1", "192.0.2.2");
    let mut second = hidden("10.9.9.9", "192.0.2.2", "192.0.2.1");
    let asked = Path { local: address("10.0.0.5:3478"), ..path() };
    let bytes = request(|w| w.put(&BY_IP));
    let (way, hand_over) = feed(&mut first, Instant::ZERO, asked, &bytes).expect("a hand-over");
    assert_eq!(way, Path::udp(asked.local, address("192.0.2.2:3478")));
    let translated = Path::udp(address("10.9.9.9:3478"), address("192.0.2.1:3478"));
    let (back, answer) = feed(&mut second, Instant::ZERO, translated, &hand_over).expect("an answer");
    assert_eq!(back, Path::udp(translated.local, client()));
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.find(), Ok(Some(ResponseOrigin(address("192.0.2.2:3478")))));
    assert_eq!(answer.find(), Ok(Some(OtherAddress(address("192.0.2.2:3479")))));
}
