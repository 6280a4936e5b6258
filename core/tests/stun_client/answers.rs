//! What counts as an answer, when a request is repeated and when it is given up.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use bradawl::machine::{HostInput, MIN_BUFFER, Machine, Output, Path, Unreachable, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::client::{Change, Event, Failure, MAX_IN_FLIGHT, Request, RequestError, StunClient};
use bradawl::stun::transaction::Schedule;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{AlternateServer, ChangeRequest, Kind, MappedAddress, OtherAddress};
use bradawl::wire::stun::{Class, Message, TransactionId, Writer};

use crate::world::*;

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

fn from_elsewhere() -> (Request, Path) {
    let answer_from = address("198.51.100.2:3479");
    let change = Change { ask: ChangeRequest { ip: true, port: true }, answer_from };
    let request = Request { change: Some(change), ..Request::default() };
    (request, Path { remote: answer_from, ..path() })
}

#[test]
fn an_answer_may_be_asked_for_from_another_address() {
    let (request, elsewhere) = from_elsewhere();
    let mut world = World::asking(request);
    let request = world.sent();
    let message = Message::parse(&request).unwrap();
    assert_eq!(message.find(), Ok(Some(ChangeRequest { ip: true, port: true })));
    let success = answer(message.transaction_id(), Class::Success, |writer| writer.put(&mapped()));
    let _ = world.arrives(path(), &success);
    assert_eq!(world.event(), None, "it did not change its address");
    let _ = world.arrives(elsewhere, &success);
    world.assert_success();
}

/// RFC 5780 §5: a server that has no other address says so from the one it has.
#[test]
fn a_server_that_cannot_answer_from_elsewhere_is_heard() {
    let mut world = World::asking(from_elsewhere().0);
    let request = world.sent();
    world.answered(&request, Class::Error, |writer| writer.put(&error(420)));
    assert_eq!(world.failure(), Some(Failure::Refused { code: 420 }));
}

/// RFC 8489 §6.2.2: a connection repeats what it loses; we wait.
#[test]
fn over_a_connection_nothing_is_repeated() {
    let mut world = World::new();
    let path = Path::tcp(path().local, path().remote);
    world.client.request(world.now, path, Request::default()).unwrap();
    assert!(matches!(world.poll(), Output::Transmit { .. }));
    assert_eq!(world.poll(), Output::Idle(Some(world.now + Duration::from_millis(39_500))));
    world.now += Duration::from_millis(39_500);
    assert_eq!(world.failure(), Some(Failure::TimedOut(None)));
}

#[test]
fn addresses_count_and_not_what_ipv6_sockets_say_beside_them() {
    let scoped = |last, scope| {
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last), 3478, 0, scope))
    };
    let mut world = World::new();
    let asked = Path::udp(scoped(1, 2), scoped(2, 0));
    world.client.request(world.now, asked, Request::default()).unwrap();
    let mut buf = [0; MIN_BUFFER];
    let Output::Transmit { len, .. } = world.client.poll_output(world.now, &mut buf) else { panic!() };
    let id = Message::parse(&buf[..len]).unwrap().transaction_id();
    let success = answer(id, Class::Success, |writer| writer.put(&mapped()));
    assert_eq!(world.arrives(Path::udp(scoped(1, 2), scoped(2, 2)), &success), Verdict::Consumed);
    world.assert_success();
}

#[test]
fn a_fingerprint_that_was_asked_for_has_to_be_there() {
    let mut world = World::asking(Request { fingerprint: true, ..Request::default() });
    let request = world.sent();
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()));
    assert_eq!((world.event(), world.client.ignored().wrong_fingerprint), (None, 1));
    world.answered(&request, Class::Success, |writer| writer.put(&mapped()).fingerprint());
    world.assert_success();
}

#[test]
fn padding_makes_a_request_longer_and_has_its_bound() {
    for (padding, len) in [(0, 20), (1, 28), (1_000, 1_024), (u16::MAX, 20 + 4 + 1_440)] {
        let mut world = World::asking(Request { padding, ..Request::default() });
        assert_eq!(world.sent().len(), len, "padding {padding}");
    }
}

#[test]
fn what_is_left_to_others_is_counted() {
    let mut world = World::asking(Request::default());
    let _ = world.sent();
    assert_eq!(world.arrives(path(), b"?"), Verdict::Unclaimed);
    let stray = answer(TransactionId::from([0; 12]), Class::Success, |writer| writer);
    assert_eq!(world.arrives(path(), &stray), Verdict::Unclaimed);
    assert_eq!((world.client.ignored().malformed, world.client.ignored().stray), (1, 1));
}

#[test]
fn a_finished_transaction_is_forgotten_though_its_place_is_used_again() {
    let mut world = World::asking(Request::default());
    let first = world.sent();
    world.answered(&first, Class::Success, |writer| writer.put(&mapped()));
    world.assert_success();
    world.client.request(world.now, path(), Request::default()).unwrap();
    let _ = world.sent();
    let id = Message::parse(&first).unwrap().transaction_id();
    let again = answer(id, Class::Success, |writer| writer.put(&mapped()));
    assert_eq!(world.arrives(path(), &again), Verdict::Unclaimed, "a repeated answer to the first");
    assert_eq!(world.event(), None);
}

#[test]
fn a_clock_that_jumps_either_way_ends_requests_and_nothing_else() {
    for jump in [Duration::from_secs(86_400), Duration::MAX] {
        let mut world = World::asking(Request::default());
        let _ = world.sent();
        world.now += jump;
        assert_eq!(world.fails_in_the_end(), Failure::TimedOut(None));
    }
    let mut world = World::asking(Request::default());
    let _ = world.sent();
    world.now = Instant::ZERO; // before it began
    let Output::Idle(Some(wake)) = world.poll() else { panic!("nothing is due") };
    assert!(wake > world.now);
    assert_eq!(world.fails_in_the_end(), Failure::TimedOut(None));
}

#[test]
fn nothing_secret_is_in_the_debug_output() {
    let mut world = World::asking(Request::default());
    let id = Message::parse(&world.sent()).unwrap().transaction_id();
    assert!(!format!("{:?}", world.client).contains(&format!("{id:?}")));
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
fn an_error_without_sense_fails_the_request() {
    for build in [
        (|writer| writer) as fn(Writer<'_>) -> Writer<'_>, // no code
        |writer| writer.put(&error(400)).put_raw(Kind(0x7001), b"must be understood"),
        |writer| writer.put(&error(300)), // and whom to ask?
    ] {
        let mut world = World::asking(Request::default());
        let request = world.sent();
        world.answered(&request, Class::Error, build);
        assert_eq!(world.failure(), Some(Failure::BadAnswer));
    }
}

#[test]
fn a_phrase_that_is_not_text_does_not_hide_the_code() {
    let mut world = World::asking(Request::default());
    let request = world.sent();
    world.answered(&request, Class::Error, |w| w.put_raw(Kind::ERROR_CODE, b"\0\0\x05\0Internal\xff"));
    assert_eq!(world.failure(), Some(Failure::Refused { code: 500 }));
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

#[test]
fn an_unreachable_server_is_a_hint_and_no_answer() {
    let schedule = Schedule { attempts: 1, patience: 2 };
    let mut world = World::asking(Request { schedule, ..Request::default() });
    let _ = world.sent();
    world.client.handle_host(world.now, HostInput::Unreachable { path: path(), kind: Unreachable::Port });
    assert_eq!(world.event(), None);
    world.now += Duration::from_secs(1);
    assert_eq!(world.failure(), Some(Failure::TimedOut(Some(Unreachable::Port))));

    // What was said before a request began says nothing of it.
    world.now += Duration::from_secs(1);
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
