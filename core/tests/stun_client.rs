//! The STUN client as a machine, against a server that the test plays: what counts as an answer, what
//! is ignored, when it repeats and when it gives up.

use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{HostInput, MIN_BUFFER, Machine, Meta, Output, Path, Unreachable, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::client::{
    Credentials, Event, Failure, MAX_IN_FLIGHT, MAX_STALE, Offer, Request, RequestError, StunClient,
};
use bradawl::stun::transaction::Schedule;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{
    AlternateServer, ChangeRequest, ChosenAlgorithm, ErrorCode, Kind, MappedAddress, Nonce, OtherAddress,
    PasswordAlgorithms, Realm, Userhash, Username, XorMappedAddress,
};
use bradawl::wire::stun::{
    Class, Integrity, Key, Message, Method, PasswordAlgorithm, TransactionId, Writer, userhash,
};

const START: Instant = Instant::from_micros(1_000_000);
const OLD_NONCE: Nonce<'static> = Nonce(b"f//499k954d6OL34oL9FSTvy64sA");
const NEW_NONCE: Nonce<'static> = Nonce(b"obMatJos2gAAA499k954d6OL34oL9FSTvy64sA");
const ANONYMOUS_NONCE: Nonce<'static> = Nonce(b"obMatJos2wAAA499k954d6OL34oL9FSTvy64sA");

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn path() -> Path {
    Path::udp(address("10.0.0.7:5000"), address("198.51.100.1:3478"))
}

fn mapped() -> XorMappedAddress {
    XorMappedAddress(address("192.0.2.9:61000"))
}

/// A client and the far end of its network.
struct World {
    client: StunClient,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { client: StunClient::new(Rng::from_seed([9; 32])), now: START }
    }

    fn asking(request: Request) -> Self {
        let mut world = Self::new();
        world.client.request(world.now, path(), request).expect("begun");
        world
    }

    fn poll(&mut self) -> Output<Event> {
        self.client.poll_output(self.now, &mut [0; MIN_BUFFER])
    }

    /// The request that the client sends now.
    fn sent(&mut self) -> Vec<u8> {
        let mut buf = [0; MIN_BUFFER];
        match self.client.poll_output(self.now, &mut buf) {
            Output::Transmit { path: on, len, segment: None, ecn: None } => {
                assert_eq!(on, path());
                buf[..len].to_vec()
            }
            other => panic!("{other:?}"),
        }
    }

    fn arrives(&mut self, on: Path, bytes: &[u8]) -> Verdict {
        self.client.handle_input(self.now, on, Meta::default(), bytes)
    }

    /// An answer to `request` arrives from the server that was asked.
    fn answered(&mut self, request: &[u8], class: Class, build: impl FnOnce(Writer<'_>) -> Writer<'_>) {
        let id = Message::parse(request).expect("a request").transaction_id();
        assert_eq!(self.arrives(path(), &answer(id, class, build)), Verdict::Consumed);
    }

    fn event(&mut self) -> Option<Event> {
        match self.poll() {
            Output::Event(event) => Some(event),
            Output::Idle(_) => None,
            other => panic!("{other:?}"),
        }
    }

    fn failure(&mut self) -> Option<Failure> {
        self.event().map(|event| match event {
            Event::Failed { reason, .. } => reason,
            Event::Answered(answer) => panic!("{answer:?}"),
        })
    }

    /// Lets time pass and nothing arrive.
    fn fails_in_the_end(&mut self) -> Failure {
        loop {
            match self.poll() {
                Output::Event(Event::Failed { reason, .. }) => return reason,
                Output::Idle(Some(wake)) => self.now = wake,
                Output::Transmit { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn assert_success(&mut self) {
        let event = self.event();
        assert!(matches!(event, Some(Event::Answered(answer)) if answer.mapped == mapped().0), "{event:?}");
        assert_eq!(self.poll(), Output::Idle(None), "one event and nothing more");
    }
}

fn answer(id: TransactionId, class: Class, build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buf = vec![0; MIN_BUFFER];
    let len = build(Writer::new(&mut buf, class, Method::BINDING, id)).finish().expect("room");
    buf.truncate(len);
    buf
}

fn error(code: u16) -> ErrorCode<'static> {
    ErrorCode { code, reason: "" }
}

fn short_term(offer: Offer) -> Request {
    Request {
        credentials: Some(Arc::new(Credentials::short_term("alice", "secret", offer))),
        ..Request::default()
    }
}

fn long_term() -> Request {
    Request { credentials: Some(Arc::new(Credentials::long_term("alice", "secret"))), ..Request::default() }
}

/// A 401 or 438 as servers of RFC 8489 write it.
fn challenge<'b>(writer: Writer<'b>, code: u16, nonce: Nonce<'_>) -> Writer<'b> {
    writer.put(&error(code)).put(&Realm("example.org")).put(&nonce).put(&PasswordAlgorithms::SHA256_AND_MD5)
}

#[test]
fn a_plain_request_is_20_bytes_and_its_answer_an_event() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    assert_eq!(request.len(), 20);
    world.now += Duration::from_millis(30);
    world.answered(&request, Class::Success, |w| w.put(&mapped()).put(&OtherAddress(address("9.9.9.9:9"))));
    let Some(Event::Answered(answer)) = world.event() else { panic!("no answer") };
    assert_eq!((answer.mapped, answer.from), (mapped().0, path().remote));
    assert_eq!((answer.round_trip, answer.attempts), (Some(Duration::from_millis(30)), 1));
    assert_eq!((answer.other, answer.origin), (Some(address("9.9.9.9:9")), None));
    assert_eq!(world.poll(), Output::Idle(None));
}

#[test]
fn a_server_of_rfc3489_is_understood() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    world.answered(&request, Class::Success, |w| w.put(&MappedAddress(mapped().0)));
    world.assert_success();
}

/// RFC 8489 §6.2.1: at 0, 500, 1,500, … ms and not for ever.
#[test]
fn an_unanswered_request_is_repeated_and_then_given_up() {
    let mut world = World::asking(Request::default());
    let first = world.sent();
    let mut sent_at = vec![0];
    let reason = loop {
        match world.poll() {
            Output::Idle(Some(wake)) => {
                assert!(wake > world.now);
                world.now = wake;
            }
            Output::Transmit { .. } => sent_at.push(world.now.since(START).as_millis()),
            Output::Event(Event::Failed { reason, .. }) => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sent_at, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(world.now.since(START), Duration::from_millis(39_500));
    assert_eq!(reason, Failure::TimedOut(None));
    assert_eq!(world.poll(), Output::Idle(None));
    let id = Message::parse(&first).unwrap().transaction_id();
    let late = answer(id, Class::Success, |writer| writer.put(&mapped()));
    assert_eq!(world.arrives(path(), &late), Verdict::Unclaimed, "too late");
    assert_eq!(world.event(), None);
}

#[test]
fn a_repetition_is_the_same_request_and_its_answer_measures_nothing() {
    let mut world = World::asking(Request::default());
    let first = world.sent();
    world.now += Duration::from_millis(500);
    let second = world.sent();
    assert_eq!(first, second);
    world.answered(&second, Class::Success, |writer| writer.put(&mapped()));
    let Some(Event::Answered(answer)) = world.event() else { panic!("no answer") };
    assert_eq!((answer.round_trip, answer.attempts), (None, 2));
}

#[test]
fn the_round_trip_is_learned_per_server() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    world.now += Duration::from_millis(80);
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()));
    world.assert_success();

    let elsewhere = Path { remote: address("198.51.100.2:3478"), ..path() };
    for (path, rto) in [(path(), 240), (elsewhere, 500)] {
        let id = world.client.request(world.now, path, Request::default()).unwrap();
        assert!(matches!(world.poll(), Output::Transmit { .. }));
        assert_eq!(world.poll(), Output::Idle(Some(world.now + Duration::from_millis(rto))));
        assert!(world.client.cancel(id));
    }
}

#[test]
fn only_the_server_that_was_asked_can_answer() {
    let mut world = World::asking(Request::default());
    let id = Message::parse(&world.sent()).unwrap().transaction_id();
    let success = answer(id, Class::Success, |writer| writer.put(&mapped()));
    let failure = answer(id, Class::Error, |writer| writer.put(&error(400)));
    for wrong in [
        Path { remote: address("198.51.100.1:3479"), ..path() },
        Path { remote: address("198.51.100.2:3478"), ..path() },
        Path { local: address("10.0.0.7:5001"), ..path() },
        Path::tcp(path().local, path().remote),
    ] {
        assert_eq!(world.arrives(wrong, &success), Verdict::Consumed);
        assert_eq!(world.arrives(wrong, &failure), Verdict::Consumed);
        assert_eq!(world.event(), None);
    }
    assert_eq!(world.client.ignored().wrong_source, 8);
    let stranger = TransactionId::from([0; 12]);
    for class in [Class::Success, Class::Error] {
        let bytes = answer(stranger, class, |writer| writer.put(&error(400)));
        assert_eq!(world.arrives(path(), &bytes), Verdict::Unclaimed);
    }
    assert_eq!(world.event(), None);
    assert_eq!(world.arrives(path(), &success), Verdict::Consumed);
    world.assert_success();
}

#[test]
fn requests_and_indications_are_left_to_others_even_with_our_transaction_id() {
    let mut world = World::asking(Request::default());
    let id = Message::parse(&world.sent()).unwrap().transaction_id();
    for class in [Class::Request, Class::Indication] {
        assert_eq!(world.arrives(path(), &answer(id, class, |writer| writer)), Verdict::Unclaimed);
    }
    assert_eq!(world.arrives(path(), b"not stun at all, whatever it is"), Verdict::Unclaimed);
    assert_eq!(world.event(), None);
}

#[test]
fn an_answer_may_be_asked_for_from_another_address() {
    let other = address("198.51.100.2:3479");
    let change = Some(ChangeRequest { ip: true, port: true });
    let mut world = World::asking(Request { change, answer_from: Some(other), ..Request::default() });
    let request = world.sent();
    let message = Message::parse(&request).unwrap();
    assert_eq!(message.find(), Ok(change));
    let success = answer(message.transaction_id(), Class::Success, |writer| writer.put(&mapped()));
    let _ = world.arrives(path(), &success);
    assert_eq!(world.event(), None, "it did not change its address");
    let _ = world.arrives(Path { remote: other, ..path() }, &success);
    world.assert_success();
}

#[test]
fn a_wrong_fingerprint_is_ignored() {
    let mut world = World::asking(Request { fingerprint: true, ..Request::default() });
    let request = world.sent();
    let message = Message::parse(&request).unwrap();
    assert!(message.fingerprint_holds());
    let mut success =
        answer(message.transaction_id(), Class::Success, |writer| writer.put(&mapped()).fingerprint());
    *success.last_mut().unwrap() ^= 1;
    let _ = world.arrives(path(), &success);
    assert_eq!((world.event(), world.client.ignored().wrong_fingerprint), (None, 1));
}

#[test]
fn an_answer_without_sense_fails_the_request() {
    for build in [
        (|writer| writer) as fn(Writer<'_>) -> Writer<'_>,
        |writer| writer.put(&mapped()).put_raw(Kind(0x7001), b"must be understood"),
        |writer| writer.put_raw(Kind::XOR_MAPPED_ADDRESS, b"?"),
    ] {
        let mut world = World::asking(Request::default());
        let request = world.sent();
        world.answered(&request, Class::Success, build);
        assert_eq!(world.failure(), Some(Failure::BadAnswer));
    }
}

#[test]
fn errors_without_credentials_end_the_request_and_say_why() {
    let elsewhere = address("198.51.100.77:3478");
    for (code, reason) in [
        (400, Failure::Refused { code: 400 }),
        (420, Failure::Refused { code: 420 }),
        (500, Failure::Refused { code: 500 }),
        (401, Failure::Unauthenticated),
        (300, Failure::TryAlternate(elsewhere)),
    ] {
        let mut world = World::asking(Request::default());
        let request = world.sent();
        world.answered(&request, Class::Error, |w| w.put(&error(code)).put(&AlternateServer(elsewhere)));
        assert_eq!(world.failure(), Some(reason));
    }
}

/// An agent that believes a forged 487 changes its role (RFC 8445 §7.2.5.1).
#[test]
fn a_487_needs_a_signature() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)));
    assert_eq!(world.event(), None);

    let mut world = World::asking(short_term(Offer::Sha1));
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)));
    assert_eq!(world.event(), None);
    let key = Key::short_term("secret");
    world.answered(&request, Class::Error, |writer| writer.put(&error(487)).integrity(&key));
    assert_eq!(world.failure(), Some(Failure::Refused { code: 487 }));
}

#[test]
fn short_term_requests_are_signed_as_offered_and_so_must_be_their_answers() {
    let key = Key::short_term("secret");
    for (offer, accepts_sha1, accepts_sha256) in
        [(Offer::Sha1, true, false), (Offer::Sha256, false, true), (Offer::Both, true, true)]
    {
        for (which, accepted) in [(Integrity::Sha1, accepts_sha1), (Integrity::Sha256, accepts_sha256)] {
            let mut world = World::asking(short_term(offer));
            let request = world.sent();
            let message = Message::parse(&request).unwrap();
            assert_eq!(message.find(), Ok(Some(Username(b"alice"))));
            assert_eq!(message.integrity_holds_with(&key, Integrity::Sha1), accepts_sha1);
            assert_eq!(message.integrity_holds_with(&key, Integrity::Sha256), accepts_sha256);
            world.answered(&request, Class::Success, |w| w.put(&mapped()).integrity_with(&key, which));
            if accepted {
                world.assert_success();
            } else {
                assert_eq!(
                    (world.event(), world.client.ignored().unproven),
                    (None, 1),
                    "{offer:?} {which:?}"
                );
            }
        }
    }
}

/// RFC 8489 §9.1.4: an answer that is not signed is as if it had never come, and if nothing else
/// comes, that is what is said.
#[test]
fn unsigned_answers_to_a_signed_request_change_nothing() {
    let mut world = World::asking(short_term(Offer::Both));
    let request = world.sent();
    let mallory = Key::short_term("mallory");
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()));
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()).integrity(&mallory));
    world.answered(&request, Class::Error, |writer| writer.put(&error(401)));
    world.answered(&request, Class::Error, |writer| writer.put(&error(400)));
    assert_eq!((world.event(), world.client.ignored().unproven), (None, 4));
    assert_eq!(world.fails_in_the_end(), Failure::Unproven(Some(400)));
}

#[test]
fn a_challenge_is_followed_with_the_strongest_algorithm() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    assert_eq!(first.len(), 20, "nothing is signed before the server has named its realm");
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert_ne!(message.transaction_id(), Message::parse(&first).unwrap().transaction_id());
    assert_eq!(message.find(), Ok(Some(Username(b"alice"))));
    assert_eq!(message.find(), Ok(Some(Realm("example.org"))));
    assert_eq!(message.find(), Ok(Some(NEW_NONCE)));
    assert_eq!(message.find(), Ok(Some(PasswordAlgorithms::SHA256_AND_MD5)));
    assert_eq!(message.find(), Ok(Some(ChosenAlgorithm(PasswordAlgorithm::Sha256))));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    assert!(message.integrity_holds_with(&key, Integrity::Sha256));
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha1));
    assert_eq!(world.event(), None, "the weaker attribute proves nothing");
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();
}

#[test]
fn a_server_from_before_rfc8489_gets_what_it_knows() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    // A list that the nonce does not vouch for is no list.
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, OLD_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert!(!message.has(Kind::PASSWORD_ALGORITHM) && !message.has(Kind::PASSWORD_ALGORITHMS));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Md5);
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert!(message.integrity_holds(&key));
    world.answered(&second, Class::Success, |writer| writer.put(&mapped()).integrity(&key));
    world.assert_success();
}

#[test]
fn a_server_that_offers_it_gets_a_hash_for_a_user_name() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, ANONYMOUS_NONCE));
    let second = world.sent();
    let message = Message::parse(&second).unwrap();
    assert_eq!(message.find(), Ok(Some(Userhash(userhash("alice", "example.org")))));
    assert!(!message.has(Kind::USERNAME));
}

#[test]
fn a_401_is_followed_once() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    world.answered(&second, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(world.failure(), Some(Failure::Unauthenticated));
    assert_eq!(world.poll(), Output::Idle(None));
}

#[test]
fn a_438_is_followed_a_bounded_number_of_times() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    for _ in 0..MAX_STALE {
        let request = world.sent();
        world.answered(&request, Class::Error, |writer| challenge(writer, 438, NEW_NONCE));
    }
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| challenge(writer, 438, NEW_NONCE));
    assert_eq!(world.failure(), Some(Failure::AlwaysStale));
}

#[test]
fn a_438_without_a_realm_keeps_the_one_there_was() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, OLD_NONCE));
    let second = world.sent();
    world.answered(&second, Class::Error, |w| w.put(&error(438)).put(&Nonce(b"fresh")));
    let third = world.sent();
    let message = Message::parse(&third).unwrap();
    assert_eq!(message.find(), Ok(Some(Realm("example.org"))));
    assert_eq!(message.find(), Ok(Some(Nonce(b"fresh"))));
}

/// RFC 8489 §9.2.1: the bid-down attack that the nonce cookie is there for.
#[test]
fn a_challenge_with_its_algorithms_struck_out_is_ignored() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |w| w.put(&error(401)).put(&Realm("example.org")).put(&NEW_NONCE));
    assert_eq!((world.event(), world.client.ignored().forged), (None, 1));
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    assert_eq!(Message::parse(&world.sent()).unwrap().integrity(), Some(Integrity::Sha256));
}

#[test]
fn no_challenge_leads_to_a_weaker_algorithm() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    for code in [401, 438] {
        world.answered(&second, Class::Error, |w| {
            w.put(&error(code)).put(&Realm("example.org")).put(&OLD_NONCE)
        });
        world.answered(&second, Class::Error, |w| {
            let md5_only = [0, 1, 0, 0];
            w.put(&error(code))
                .put(&Realm("example.org"))
                .put(&NEW_NONCE)
                .put_raw(Kind::PASSWORD_ALGORITHMS, &md5_only)
        });
    }
    assert_eq!((world.event(), world.client.ignored().forged), (None, 4));
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();
}

#[test]
fn the_next_request_to_the_same_server_is_signed_at_once() {
    let request = long_term();
    let mut world = World::asking(request.clone());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| challenge(writer, 401, NEW_NONCE));
    let second = world.sent();
    let key = Key::long_term("alice", "example.org", "secret", PasswordAlgorithm::Sha256);
    world.answered(&second, Class::Success, |w| w.put(&mapped()).integrity_with(&key, Integrity::Sha256));
    world.assert_success();

    world.client.request(world.now, path(), request).unwrap();
    let third = world.sent();
    assert!(Message::parse(&third).unwrap().integrity_holds(&key));
    // Other credentials know nothing of that session.
    world.client.request(world.now, path(), long_term()).unwrap();
    assert_eq!(world.sent().len(), 20);
}

#[test]
fn an_unusable_challenge_fails_the_request() {
    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |writer| writer.put(&error(401)).put(&Realm("example.org")));
    assert_eq!(world.failure(), Some(Failure::BadAnswer), "no nonce");

    let mut world = World::asking(long_term());
    let first = world.sent();
    world.answered(&first, Class::Error, |w| {
        let unheard_of = [0x7F, 0, 0, 0];
        w.put(&error(401))
            .put(&Realm("example.org"))
            .put(&NEW_NONCE)
            .put_raw(Kind::PASSWORD_ALGORITHMS, &unheard_of)
    });
    assert_eq!(world.failure(), Some(Failure::BadAnswer), "no algorithm that we know");
}

#[test]
fn an_unreachable_server_is_a_hint_and_no_answer() {
    let schedule = Schedule { attempts: 1, patience: 2 };
    let mut world = World::asking(Request { schedule, ..Request::default() });
    let _ = world.sent();
    world.client.handle_host(world.now, HostInput::Unreachable { path: path(), kind: Unreachable::Port });
    assert_eq!(world.event(), None);
    world.now += Duration::from_secs(1);
    assert_eq!(world.failure(), Some(Failure::TimedOut(Some(Unreachable::Port))));

    // It is forgotten when the next request begins.
    world.client.request(world.now, path(), Request { schedule, ..Request::default() }).unwrap();
    let _ = world.sent();
    world.now += Duration::from_secs(1);
    assert_eq!(world.failure(), Some(Failure::TimedOut(None)));
}

#[test]
fn a_cancelled_request_is_forgotten() {
    let mut world = World::new();
    let id = world.client.request(world.now, path(), Request::default()).unwrap();
    let request = world.sent();
    assert!(world.client.cancel(id));
    assert!(!world.client.cancel(id));
    let message = Message::parse(&request).unwrap();
    let late = answer(message.transaction_id(), Class::Success, |writer| writer.put(&mapped()));
    assert_eq!(world.arrives(path(), &late), Verdict::Unclaimed);
    assert_eq!(world.poll(), Output::Idle(None));
    let next = world.client.request(world.now, path(), Request::default()).unwrap();
    assert_ne!(id, next);
    assert!(!world.client.cancel(id), "the old name does not cancel the new request");
}

#[test]
fn there_is_a_bound_on_requests_under_way() {
    let mut world = World::new();
    for _ in 0..MAX_IN_FLIGHT {
        world.client.request(world.now, path(), Request::default()).expect("room");
    }
    let one_more = world.client.request(world.now, path(), Request::default());
    assert_eq!(one_more, Err(RequestError::TooMany));
}

#[test]
fn a_path_on_which_nothing_can_be_sent_is_refused() {
    let mut world = World::new();
    for remote in ["198.51.100.1:0", "[2001:db8::1]:3478"] {
        let path = Path { remote: address(remote), ..path() };
        assert_eq!(world.client.request(START, path, Request::default()), Err(RequestError::BadPath));
    }
}

#[test]
fn a_buffer_that_is_too_short_loses_the_packet_and_not_the_request() {
    let mut world = World::asking(Request::default());
    let idle = world.client.poll_output(world.now, &mut [0; 19]);
    assert_eq!(idle, Output::Idle(Some(world.now + Duration::from_millis(500))));
    world.now += Duration::from_millis(500);
    let request = world.sent();
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()));
    world.assert_success();
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let requests = |seed| {
        let mut client = StunClient::new(Rng::from_seed([seed; 32]));
        (0..50).map(|_| client.request(START, path(), Request::default()).unwrap()).for_each(drop);
        let mut buf = [0; MIN_BUFFER];
        std::iter::from_fn(move || match client.poll_output(START, &mut buf) {
            Output::Transmit { len, .. } => Some(buf[..len].to_vec()),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(requests(1), requests(1));
    assert_ne!(requests(1), requests(2));
    assert_eq!(requests(1).len(), 50);
}
