//! What a hostile network sends, and what comes of it: nothing.

use std::net::SocketAddr;

use bradawl::machine::Transport;
use bradawl::machine::{Machine as _, Meta, Path, Verdict};
use bradawl::punch::{
    Candidate, Config, Event, Kind, MAX_CANDIDATES, MAX_EXTRA, MAX_PAIRS, Nat, Party, Refused, Remote, Role,
    TcpKind,
};
use bradawl::time::Duration;
use bradawl::wire::stun::attr::{self, Proof, UnknownAttributes};
use bradawl::wire::stun::{Class, Key, Message, TransactionId};

use crate::kit::{address, ms};
use crate::solo::{Check, ELSEWHERE, OURS, Solo, THEIRS, code, is_request};

// --- checks -------------------------------------------------------------------------------------------

#[test]
fn a_check_with_a_wrong_password_gets_no_answer() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    let (before, unproven) = (solo.sent.len(), solo.agent.counters().unproven);
    let wrong = Check { password: Some("a guess of somebody's who has no idea"), ..Check::default() };
    let wrong = wrong.write(&solo.ours, &solo.theirs, 1, |writer| writer);
    for from in [THEIRS, ELSEWHERE] {
        assert_eq!(solo.input(address(from), &wrong), Verdict::Consumed);
    }
    assert_eq!((solo.sent.len(), solo.agent.counters().unproven), (before, unproven + 2));
    assert_eq!(solo.agent.counters().asked, 0);
    assert!(solo.events.is_empty(), "{:?}", solo.events);
}

#[test]
fn a_check_of_a_stranger_teaches_no_address() {
    let mut solo = Solo::begun(Role::Controlled, Party::Kin);
    let (other, _) = bradawl::punch::Credentials::derive(&[8; 32], b"another session");
    let strange = Check::default();
    let checks = [
        // Another's user name; ours, but not the other side's; both right, and sealed with theirs.
        strange.write(&other, &solo.theirs, 1, |writer| writer),
        strange.write(&solo.ours, &other, 2, |writer| writer),
        strange.write(&solo.theirs, &solo.ours, 3, |writer| writer),
    ];
    for check in checks {
        let _ = solo.input(address(ELSEWHERE), &check);
    }
    assert!(solo.sent_to(address(ELSEWHERE)).is_empty() && solo.events.is_empty());
    // With the right ones it would be learned: the test can tell.
    let right = solo.check(4, |writer| writer);
    let _ = solo.input(address(ELSEWHERE), &right);
    assert!(solo.events.contains(&Event::Learned(address(ELSEWHERE))));
}

#[test]
fn a_check_that_comes_again_from_elsewhere_is_not_answered() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    let check = solo.check(1, |writer| writer);
    let _ = solo.input(address(THEIRS), &check);
    let answers = |solo: &Solo, to: &str| {
        solo.sent_to(address(to)).iter().filter(|(_, _, bytes)| !is_request(bytes)).count()
    };
    assert_eq!(answers(&solo, THEIRS), 1);
    for port in 1..100 {
        let _ = solo.input(SocketAddr::new(address(ELSEWHERE).ip(), port), &check);
    }
    solo.run_for(ms(3_000));
    assert!(solo.sent.iter().all(|(_, path, _)| path.remote == address(THEIRS)));
    assert!(!solo.events.iter().any(|event| matches!(event, Event::Learned(_))));
    // The same one from where it was is one that the network has repeated: its answer may have been lost.
    let _ = solo.input(address(THEIRS), &check);
    assert_eq!(answers(&solo, THEIRS), 2);
}

#[test]
fn what_is_not_understood_is_named_and_what_is_missing_is_told() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    let unknown = solo.check(1, |writer| writer.put_raw(attr::Kind(0x7FFE), &[1, 2, 3, 4]));
    let _ = solo.input(address(THEIRS), &unknown);
    let (_, _, answer) = solo.sent.last().expect("an answer");
    let message = Message::parse(answer).expect("a message");
    assert_eq!((message.class(), code(answer)), (Class::Error, Some(420)));
    let named: UnknownAttributes = message.find().expect("well formed").expect("it is there");
    assert_eq!(named.iter().copied().collect::<Vec<_>>(), [attr::Kind(0x7FFE)]);
    assert!(message.integrity_holds(&Key::short_term(solo.ours.pwd())));

    let incomplete = Check { priority: None, ..Check::default() };
    let incomplete = incomplete.write(&solo.ours, &solo.theirs, 2, |writer| writer);
    let _ = solo.input(address(THEIRS), &incomplete);
    assert_eq!(code(&solo.sent.last().expect("an answer").2), Some(400));
    assert_eq!(solo.agent.counters().asked, 0);
}

// --- answers ------------------------------------------------------------------------------------------

#[test]
fn an_answer_without_a_seal_or_from_elsewhere_proves_nothing() {
    for party in [Party::Kin, Party::Foreign] {
        let mut solo = Solo::begun(Role::Controlling, party);
        let (id, key) = (solo.last_check(), solo.key_of_theirs());
        let forgeries = [
            (THEIRS, solo.answer(id, None)),
            (THEIRS, solo.answer(id, Some(&Key::short_term("a guess of somebody's")))),
            (THEIRS, solo.answer(id, Some(&Key::short_term(solo.ours.pwd())))),
            (ELSEWHERE, solo.answer(id, Some(&key))),
            ("203.0.113.1:6001", solo.answer(id, Some(&key))),
        ];
        for (from, forgery) in forgeries {
            let _ = solo.input(address(from), &forgery);
            assert!(solo.selected().is_none() && solo.events.is_empty(), "{party:?} {from}");
        }
        // None of these has used up the real one.
        let real = solo.answer(id, Some(&key));
        let _ = solo.input(address(THEIRS), &real);
        assert_eq!(solo.selected().expect("a path").path.remote, address(THEIRS));
    }
}

#[test]
fn a_forged_role_conflict_is_ignored_and_so_is_a_stale_one() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    let first = solo.last_check();
    solo.run_for(ms(30));
    let second = solo.last_check();
    assert_ne!(first, second);
    let key = solo.key_of_theirs();
    let forgeries = [
        (THEIRS, solo.error(second, 487, None)),
        (THEIRS, solo.error(second, 487, Some(&Key::short_term("a guess of somebody's")))),
        (ELSEWHERE, solo.error(second, 487, Some(&key))),
    ];
    for (from, forgery) in forgeries {
        let _ = solo.input(address(from), &forgery);
        assert_eq!(solo.agent.role(), Role::Controlling, "{from}");
    }
    let real = solo.error(second, 487, Some(&key));
    let _ = solo.input(address(THEIRS), &real);
    assert_eq!(solo.agent.role(), Role::Controlled);
    // The first check was sent in the role that is given up already.
    let stale = solo.error(first, 487, Some(&key));
    let _ = solo.input(address(THEIRS), &stale);
    let _ = solo.input(address(THEIRS), &real);
    assert_eq!(solo.agent.role(), Role::Controlled);
    let changes = solo.events.iter().filter(|event| matches!(event, Event::RoleChanged(_))).count();
    assert_eq!(changes, 1);
}

#[test]
fn a_check_that_comes_again_settles_no_roles() {
    let mut solo = Solo::new(Config::default(), Role::Controlled);
    let strong = Check { role: Some(Role::Controlling), tie_breaker: u64::MAX, ..Check::default() };
    let first = strong.write(&solo.ours, &solo.theirs, 1, |writer| writer);
    let _ = solo.input(address(THEIRS), &first);
    // With who only answers we are in control, whatever was said before.
    solo.begin(Party::Lite);
    let _ = solo.input(address(THEIRS), &first);
    assert_eq!(solo.agent.role(), Role::Controlling);
    // A new one is another matter.
    let second = strong.write(&solo.ours, &solo.theirs, 2, |writer| writer);
    let _ = solo.input(address(THEIRS), &second);
    assert_eq!(solo.agent.role(), Role::Controlled);
}

// --- candidates ---------------------------------------------------------------------------------------

#[test]
fn of_ten_thousand_candidates_twenty_are_taken() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    let taken = (0..10_000_u16)
        .filter(|number| {
            let [high, low] = number.to_be_bytes();
            let place = SocketAddr::new([198, 18, high, low].into(), 1_000 + number);
            solo.agent.add_remote(solo.now, &Candidate::host(place, 1)).is_ok()
        })
        .count();
    assert_eq!(taken, MAX_CANDIDATES - 1);
    assert_eq!(solo.agent.counters().refused as usize, 10_000 - taken);
    solo.run_for(Duration::from_secs(60));
    assert!(solo.sent.len() <= 40 * MAX_CANDIDATES, "{} packets", solo.sent.len());
    assert!(matches!(solo.events.last(), Some(Event::Failed(_))));
}

#[test]
fn what_nobody_can_be_at_is_refused() {
    let server = address("192.0.2.99:3478");
    let config = Config { servers: vec![server], ..Config::default() };
    let mut solo = Solo::new(config, Role::Controlling);
    solo.begin(Party::Kin);
    let cases = [
        ("0.0.0.0:5000", Refused::Nowhere),
        ("224.0.0.251:5353", Refused::Nowhere),
        ("255.255.255.255:9", Refused::Nowhere),
        ("[ff02::1]:5000", Refused::Nowhere),
        ("[::]:5000", Refused::Nowhere),
        ("203.0.113.1:0", Refused::Nowhere),
        ("127.0.0.1:5000", Refused::Loopback),
        ("[::1]:5000", Refused::Loopback),
        ("[::ffff:127.0.0.1]:22", Refused::Nowhere),
        ("192.0.2.99:3478", Refused::Server),
    ];
    for (text, why) in cases {
        for kind in [Kind::Host, Kind::ServerReflexive, Kind::Relayed] {
            let named = Candidate { kind, ..Candidate::host(address(text), 1) };
            assert_eq!(solo.agent.add_remote(solo.now, &named), Err(why), "{text}");
        }
    }
    let second = Candidate { component: 2, ..Candidate::host(address(THEIRS), 1) };
    assert_eq!(solo.agent.add_remote(solo.now, &second), Err(Refused::Component));
    solo.run_for(Duration::from_secs(20));
    assert_eq!(solo.sent, []);
}

#[test]
fn a_third_party_gets_seven_checks_in_two_seconds_and_forty_in_all() {
    for party in [Party::Kin, Party::Foreign] {
        let config = Config { patience: Duration::from_secs(600), ..Config::default() };
        let mut solo = Solo::new(config, Role::Controlling);
        for port in 5_001..5_010 {
            let base = SocketAddr::new(address(OURS).ip(), port);
            solo.agent.add_local(solo.now, &Candidate::host(base, 1), base).expect("a socket");
        }
        solo.begin(party);
        let victim = address("198.51.100.7:53");
        solo.add_remote(&Candidate::server_reflexive(victim, address("10.0.0.1:5000"), 65_535));
        solo.run_for(Duration::from_secs(500));
        let times: Vec<_> = solo.sent_to(victim).iter().map(|(at, ..)| *at).collect();
        assert_eq!(times.len(), 40, "{party:?}");
        for from in &times {
            let within = times.iter().filter(|at| *at >= from && at.since(*from) < ms(2_000)).count();
            assert!(within <= 7, "{party:?}: {within} within two seconds");
        }
    }
}

// --- data ---------------------------------------------------------------------------------------------

/// Two of our sockets share what there is for one address, whether they lead there or not: the swarm's
/// 87082nd scenario.
#[test]
fn a_socket_that_leads_nowhere_does_not_use_up_the_checks_of_another() {
    let mut solo = Solo::new(Config::default(), Role::Controlling);
    let other = address("192.168.2.2:5000");
    solo.agent.add_local(solo.now, &Candidate::host(other, 65_534), other).expect("another socket");
    solo.begin(Party::Kin);
    solo.add_remote(&Candidate::server_reflexive(address(THEIRS), address("10.0.0.1:5000"), 65_535));
    solo.run_for(ms(2_000));
    let before = solo.sent.len();
    solo.run_for(ms(6_000));
    let of = |local| solo.sent[before..].iter().filter(|(_, path, _)| path.local == local).count();
    let counts = [of(address(OURS)), of(other)];
    assert!(counts[0].abs_diff(counts[1]) <= 1 && counts[0] >= 2, "{counts:?}");
}

#[test]
fn data_comes_by_proven_paths_only() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    assert_eq!(solo.input(address(THEIRS), b"too early"), Verdict::Unclaimed);
    solo.connect();
    let deliver = Verdict::Deliver { from: address(THEIRS), body: 0..5 };
    assert_eq!(solo.input(address(THEIRS), b"hello"), deliver);
    for elsewhere in [ELSEWHERE, "203.0.113.1:6001"] {
        assert_eq!(solo.input(address(elsewhere), b"hello"), Verdict::Unclaimed);
    }
    let other_socket = Path::udp(address("192.168.1.2:5001"), address(THEIRS));
    assert_eq!(
        solo.agent.handle_input(solo.now, other_socket, Meta::default(), b"hello"),
        Verdict::Unclaimed
    );
    solo.agent.close(solo.now);
    assert_eq!(solo.input(address(THEIRS), b"too late"), Verdict::Unclaimed);
}

// --- early, lite, TCP ---------------------------------------------------------------------------------

#[test]
fn an_early_check_is_answered_at_once_and_used_later() {
    let mut solo = Solo::new(Config::default(), Role::Controlled);
    let early = Check { role: Some(Role::Controlling), tie_breaker: 1, ..Check::default() };
    for id in 1..50 {
        let check = early.write(&solo.ours, &solo.theirs, id, |writer| writer);
        assert_eq!(solo.input(address(THEIRS), &check), Verdict::Consumed);
    }
    assert_eq!(solo.sent_to(address(THEIRS)).len(), 49, "each is answered");
    assert!(solo.sent.iter().all(|(_, _, bytes)| !is_request(bytes)) && solo.events.is_empty());
    // Nobody has named a candidate: what came in is all there is to go by.
    solo.begin(Party::Foreign);
    assert_eq!(solo.events, [Event::Learned(address(THEIRS))]);
    assert!(is_request(&solo.sent.last().expect("a check").2), "it is checked at once");
}

#[test]
fn an_early_check_of_somebody_else_is_forgotten() {
    let mut solo = Solo::new(Config::default(), Role::Controlled);
    let (other, _) = bradawl::punch::Credentials::derive(&[8; 32], b"another session");
    let check = Check::default().write(&solo.ours, &other, 1, |writer| writer);
    let _ = solo.input(address(ELSEWHERE), &check);
    let answered = solo.sent.len();
    solo.begin(Party::Foreign);
    solo.run_for(ms(1_000));
    assert_eq!(solo.sent.len(), answered);
}

#[test]
fn with_who_only_answers_we_are_in_control_and_nominate() {
    let mut solo = Solo::begun(Role::Controlled, Party::Lite);
    assert_eq!(solo.agent.role(), Role::Controlling);
    solo.connect();
    solo.run_for(ms(100));
    let nominates = |bytes: &[u8]| Message::parse(bytes).expect("a message").has(attr::Kind::USE_CANDIDATE);
    let (_, _, last) = solo.sent.last().expect("a check");
    assert!(nominates(last), "the pair that works is nominated");
    let answer = solo.answer(solo.last_check(), Some(&solo.key_of_theirs()));
    let _ = solo.input(address(THEIRS), &answer);
    assert_eq!(solo.selected().expect("a path").path, Path::udp(address(OURS), address(THEIRS)));
}

#[test]
fn a_stream_that_stands_is_a_pair_like_any_other() {
    let mut solo = Solo::new(Config::default(), Role::Controlling);
    let ours = address("192.168.1.2:40000");
    let tcp =
        |address, tcp| Candidate { transport: Transport::Tcp, tcp: Some(tcp), ..Candidate::host(address, 1) };
    solo.agent.add_local(solo.now, &tcp(ours, TcpKind::Active), ours).expect("a stream");
    solo.begin(Party::Foreign);
    solo.add_remote(&tcp(address(THEIRS), TcpKind::Passive));
    solo.run_for(ms(3_000));
    let path = Path::tcp(ours, address(THEIRS));
    let paths: Vec<_> = solo.sent.iter().map(|(_, path, _)| *path).collect();
    assert_eq!(paths, [path], "once: a stream repeats by itself");
    let answer = solo.answer(solo.last_check(), Some(&solo.key_of_theirs()));
    // The same bytes by UDP prove nothing.
    let udp = Path { transport: Transport::Udp, ..path };
    let _ = solo.agent.handle_input(solo.now, udp, Meta::default(), &answer);
    assert!(solo.selected().is_none());
    let _ = solo.agent.handle_input(solo.now, path, Meta::default(), &answer);
    assert_eq!(solo.selected().expect("a path").path, path);
    assert_eq!(solo.agent.transmit(solo.now), Some(path));
}

#[test]
fn strategies_send_datagrams_from_datagram_sockets() {
    use bradawl::discovery::{Allocation, Dependence};
    let mut solo = Solo::new(Config::default(), Role::Controlling);
    let ours = address("192.168.1.2:40000");
    solo.agent.remove_local(solo.now, address(OURS));
    let stream = Candidate { transport: Transport::Tcp, ..Candidate::host(ours, 1) };
    solo.agent.add_local(solo.now, &stream, ours).expect("a stream");
    // Its NAT keeps ports: its public address with its inside port is worth a guess, but not from a stream.
    let allocation = Some(Allocation::Preserving { otherwise: None });
    let nat = Nat { mapping: Some(Dependence::AddressAndPort), allocation, ..Nat::default() };
    let remote = Remote { credentials: solo.theirs.clone(), party: Party::Kin, nat };
    solo.agent.begin(solo.now, remote);
    solo.agent.seen_at(solo.now, address(THEIRS));
    solo.add_remote(&Candidate::host(address("10.0.0.1:5000"), 1));
    solo.add_remote(&Candidate::server_reflexive(address(THEIRS), address("10.0.0.1:5000"), 1));
    solo.run_for(ms(3_000));
    assert_eq!(solo.sent, []);
}

// --- what a peer that has the password can do -----------------------------------------------------------

#[test]
fn a_peer_that_is_everywhere_does_not_fill_our_memory() {
    let (mut solo, socket) = Solo::with_a_bracket();
    let from = |port| SocketAddr::new(address(ELSEWHERE).ip(), port);
    let asks = |solo: &mut Solo, local, port: u16| {
        let check = Check { proof: Some(Proof::default()), ..Check::default() };
        let id = [port.to_be_bytes().as_slice(), &[0; 10]].concat().try_into().expect("twelve bytes");
        let check = check.write_as(&solo.ours, &solo.theirs, TransactionId::from_bytes(id), |writer| writer);
        let path = Path::udp(local, from(port));
        let _ = solo.agent.handle_input(solo.now, path, Meta::default(), &check);
        solo.drain();
    };
    let learned = |solo: &Solo| solo.events.iter().filter(|event| matches!(event, Event::Learned(_))).count();
    for port in 1_000..3_000 {
        asks(&mut solo, socket, port);
    }
    assert!(learned(&solo) <= MAX_PAIRS + MAX_EXTRA, "{}", learned(&solo));
    // What was learned at that socket does not open the gate of the others.
    let before = learned(&solo);
    for port in 1_000..1_200 {
        asks(&mut solo, address(OURS), port);
    }
    assert!(learned(&solo) - before <= 10, "{}", learned(&solo) - before);
}

#[test]
fn a_restart_keeps_the_socket_of_the_path_in_use() {
    let (mut solo, socket) = Solo::with_a_bracket();
    let sent =
        solo.sent.iter().rev().find(|(_, path, bytes)| {
            path.local == socket && path.remote == address(THEIRS) && is_request(bytes)
        });
    let id = Message::parse(&sent.expect("a check").2).expect("a message").transaction_id();
    let answer = solo.answer(id, Some(&solo.key_of_theirs()));
    let path = Path::udp(socket, address(THEIRS));
    let _ = solo.agent.handle_input(solo.now, path, Meta::default(), &answer);
    solo.drain();
    assert_eq!(solo.selected().expect("a path").path, path);
    solo.agent.restart(solo.now, bradawl::punch::Credentials::derive(&[7; 32], b"again").0);
    solo.drain();
    assert_eq!(solo.agent.transmit(solo.now), Some(path));
    assert!(solo.open.iter().any(|(_, open)| *open == socket), "data still goes there");
    solo.agent.close(solo.now);
    solo.drain();
    assert_eq!(solo.open, []);
}

#[test]
fn a_check_to_a_socket_that_was_given_up_teaches_nothing() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    solo.agent.remove_local(solo.now, address(OURS));
    let before = solo.sent.len();
    let check = solo.check(1, |writer| writer);
    let _ = solo.input(address(ELSEWHERE), &check);
    solo.run_for(ms(1_000));
    assert!(solo.sent[before..].iter().all(|(_, _, bytes)| !is_request(bytes)));
    assert!(!solo.events.iter().any(|event| matches!(event, Event::Learned(_))));
}

#[test]
fn a_peer_that_is_everywhere_teaches_ten_addresses() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    for port in 1_000..1_200 {
        let check = Check { proof: Some(Proof::default()), ..Check::default() };
        let check = check.write(&solo.ours, &solo.theirs, port as u8, |writer| writer);
        let _ = solo.input(SocketAddr::new(address(ELSEWHERE).ip(), port), &check);
    }
    let learned = solo.events.iter().filter(|event| matches!(event, Event::Learned(_))).count();
    assert_eq!(learned, 10);
}

#[test]
fn a_choice_is_followed_to_the_eleventh_address() {
    let mut solo = Solo::begun(Role::Controlled, Party::Kin);
    let from = |port| SocketAddr::new(address(ELSEWHERE).ip(), port);
    let ask = |solo: &mut Solo, port: u16, nomination, token| {
        let proof = Some(Proof { nomination, token });
        let check = Check { role: Some(Role::Controlling), proof, ..Check::default() };
        let id = 2 * port as u8 + u8::from(token > 0);
        let check = check.write(&solo.ours, &solo.theirs, id, |writer| writer);
        let _ = solo.input(from(port), &check);
    };
    for port in 1..=11 {
        ask(&mut solo, port, 0, 0);
    }
    ask(&mut solo, 12, 1, 0);
    let (_, _, answer) = solo.sent_to(from(12))[0];
    let told: Proof = Message::parse(answer).expect("a message").find().expect("fine").expect("a token");
    ask(&mut solo, 12, 1, told.token);
    assert_eq!(solo.selected().expect("a path").path.remote, from(12));
}
