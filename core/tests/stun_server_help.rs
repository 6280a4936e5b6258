//! What a STUN server does for who wants to know his NAT: a second port, and answers that come late.

use std::net::SocketAddr;

use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path};
use bradawl::rng::Rng;
use bradawl::stun::server::{
    Alternate, Config, LATE_ANSWERS, LATE_GAP, MAX_LATE, MAX_LATE_PER_NETWORK, Outcome, Ports, StunServer,
};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{
    ChangeRequest, Help, Kind, OtherAddress, Padding, ResponseOrigin, UnknownAttributes, XorMappedAddress,
};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn path() -> Path {
    Path::udp(address("192.0.2.1:3478"), address("198.51.100.7:50000"))
}

fn ports(ip: &str) -> Config {
    let ports = Ports::new(ip.parse().expect("an IP address"), 3478, 3479).expect("two ports");
    Config { ports: vec![ports], ..Config::default() }
}

fn server(config: Config) -> StunServer {
    StunServer::new(Config { rate: None, ..config }, Rng::from_seed([1; 32]))
}

fn request(id: u64, build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut bytes = [7; 12];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    let mut buf = vec![0; 2_048];
    let id = TransactionId::from(bytes);
    let len = build(Writer::new(&mut buf, Class::Request, Method::BINDING, id)).finish().expect("room");
    buf.truncate(len);
    buf
}

fn asking(id: u64, delay: u16, token: u64) -> Vec<u8> {
    request(id, |writer| writer.put(&Help { other_port: 0, delay, token }))
}

/// What there is to send at `now`, and when to come again.
fn drain(server: &mut StunServer, now: Instant) -> (Vec<(Path, Vec<u8>)>, Option<Instant>) {
    let mut sent = Vec::new();
    let mut buf = [0; MIN_BUFFER];
    loop {
        match server.poll_output(now, &mut buf) {
            Output::Transmit { path, len, .. } => sent.push((path, buf[..len].to_vec())),
            Output::Idle(next) => {
                assert!(next.is_none_or(|next| next > now), "{next:?} at {now:?}");
                return (sent, next);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ask(server: &mut StunServer, now: Instant, path: Path, bytes: &[u8]) -> (Path, Vec<u8>) {
    let _ = server.handle_input(now, path, Meta::default(), bytes);
    let (mut sent, _) = drain(server, now);
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn help_of(answer: &[u8]) -> Help {
    Message::parse(answer).expect("STUN").find().expect("well formed").expect("HELP")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Asks for a token and then for an answer after `delay`: what is said to that.
fn ask_late(server: &mut StunServer, now: Instant, path: Path, id: u64, delay: u16) -> Help {
    let (_, answer) = ask(server, now, path, &asking(id, 0, 0));
    let token = help_of(&answer).token;
    let (_, answer) = ask(server, now, path, &asking(id, delay, token));
    help_of(&answer)
}

#[test]
fn a_server_with_two_ports_answers_from_the_other_one() {
    for ip in ["0.0.0.0", "192.0.2.1"] {
        let mut server = server(ports(ip));
        for (asked, other) in [(3478, 3479), (3479, 3478)] {
            let local = SocketAddr::new(path().local.ip(), asked);
            let bytes = request(1, |w| w.put(&ChangeRequest { ip: false, port: true }));
            let (back, answer) = ask(&mut server, Instant::ZERO, Path { local, ..path() }, &bytes);
            assert_eq!((back.local.ip(), back.local.port()), (local.ip(), other));
            assert_eq!(answer.len(), 32, "and nothing else: OTHER-ADDRESS promises another IP address");
            let answer = Message::parse(&answer).unwrap();
            assert_eq!(answer.find(), Ok(Some(XorMappedAddress(path().remote))));
        }
    }
}

/// RFC 5780 §6.1: what it cannot do it does not understand. Clients of RFC 3489 hear nothing.
#[test]
fn a_server_with_two_ports_has_no_other_ip_address() {
    let mut server = server(Config { classic: true, ..ports("0.0.0.0") });
    for port in [false, true] {
        let mut bytes = request(1, |w| w.put(&ChangeRequest { ip: true, port }));
        let (back, answer) = ask(&mut server, Instant::ZERO, path(), &bytes);
        assert_eq!(back, path());
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(&*answer.find::<UnknownAttributes>().unwrap().expect("a 420"), &[Kind::CHANGE_REQUEST]);

        bytes[4..8].copy_from_slice(b"old!");
        let _ = server.handle_input(Instant::ZERO, path(), Meta::default(), &bytes);
        assert!(drain(&mut server, Instant::ZERO).0.is_empty());
    }
    assert_eq!(server.counters().count(Outcome::NoAlternate), 2);
    let padding = request(1, |w| w.put(&Padding(&[0; 8])));
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &padding);
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Error);
}

#[test]
fn the_ports_of_one_address_are_not_those_of_another() {
    let mut server = server(ports("192.0.2.1"));
    let elsewhere = Path { local: address("192.0.2.9:3478"), ..path() };
    let third = Path { local: address("192.0.2.1:3480"), ..path() };
    let other_family = Path::udp(address("[2001:db8::1]:3478"), address("[2001:db8::7]:50000"));
    for path in [elsewhere, third, other_family, Path::tcp(path().local, path().remote)] {
        let bytes = request(1, |w| w.put(&Help::default()).put(&ChangeRequest { ip: false, port: true }));
        let (back, answer) = ask(&mut server, Instant::ZERO, path, &bytes);
        assert_eq!(back, path);
        assert_eq!(Message::parse(&answer).unwrap().class(), Class::Error);
        let (_, answer) = ask(&mut server, Instant::ZERO, path, &asking(1, 0, 0));
        assert_eq!(help_of(&answer).other_port, 0, "{path}");
    }
}

#[test]
fn help_is_for_those_who_know_it() {
    let mut server = server(ports("0.0.0.0"));
    let (_, plain) = ask(&mut server, Instant::ZERO, path(), &request(1, |writer| writer));
    assert_eq!(plain.len(), 32);
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &asking(1, 0, 0));
    assert_eq!(answer.len(), 48);
    let help = help_of(&answer);
    assert_eq!((help.other_port, help.delay), (3479, 600));
    assert_ne!(help.token, 0);

    // What makes no sense is ignored: it is nothing that must be understood.
    let odd = request(1, |writer| writer.put_raw(Kind::HELP, &[0; 11]));
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &odd);
    assert_eq!(answer.len(), 32);
}

#[test]
fn help_names_the_other_port_where_there_is_a_second_address_too() {
    let pair = Alternate::new(path().local, address("192.0.2.2:4000")).expect("they differ");
    let mut server = server(Config { alternates: vec![pair], ..Config::default() });
    for (asked, other) in [
        ("192.0.2.1:3478", 4000),
        ("192.0.2.1:4000", 3478),
        ("192.0.2.2:4000", 3478),
        ("192.0.2.2:3478", 4000),
    ] {
        let path = Path { local: address(asked), ..path() };
        // Wherever the answer comes from, it is the other port of where was asked.
        for change in [false, true] {
            let change = ChangeRequest { ip: change, port: change };
            let bytes = request(1, |w| w.put(&change).put(&Help::default()));
            let (_, answer) = ask(&mut server, Instant::ZERO, path, &bytes);
            assert_eq!(help_of(&answer).other_port, other, "{asked}");
        }
    }
}

#[test]
fn a_late_answer_comes_three_times_and_says_what_it_is() {
    let mut server = server(ports("0.0.0.0"));
    let start = Instant::ZERO + secs(1_000);
    let (_, first) = ask(&mut server, start, path(), &asking(5, 0, 0));
    let token = help_of(&first).token;
    let request = request(5, |w| w.put(&Help { other_port: 0, delay: 40, token }).fingerprint());
    let (_, at_once) = ask(&mut server, start, path(), &request);
    assert_eq!(help_of(&at_once).delay, 600, "noted");

    let mut next = drain(&mut server, start).1;
    for nth in 0..u32::from(LATE_ANSWERS) {
        let due = start + secs(40) + LATE_GAP * nth;
        assert_eq!(next, Some(due));
        let early = Instant::from_micros(due.as_micros() - 1);
        assert!(drain(&mut server, early).0.is_empty());
        let (sent, then) = drain(&mut server, due);
        let [(back, answer)] = &sent[..] else { panic!("one answer") };
        assert_eq!(*back, path(), "from where it was asked, to who asked");
        let help = help_of(answer);
        assert_eq!((help.other_port, help.delay), (3479, 40));
        let answer = Message::parse(answer).unwrap();
        assert_eq!(answer.transaction_id(), Message::parse(&at_once).unwrap().transaction_id());
        assert_eq!(answer.find(), Ok(Some(XorMappedAddress(path().remote))));
        assert!(answer.fingerprint_holds());
        next = then;
    }
    assert_eq!(next, None, "and then it is over");
}

/// With a second IP address it says everything that the first answer said.
#[test]
fn a_late_answer_is_as_complete_as_the_first_but_for_padding() {
    let pair = Alternate::new(path().local, address("192.0.2.2:3479")).expect("they differ");
    let mut server = server(Config { alternates: vec![pair], ..Config::default() });
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &asking(1, 0, 0));
    let token = help_of(&answer).token;
    let bytes = request(1, |w| w.put(&Help { other_port: 0, delay: 1, token }).put(&Padding(&[0; 100])));
    let _ = ask(&mut server, Instant::ZERO, path(), &bytes);
    let (sent, _) = drain(&mut server, Instant::ZERO + secs(1));
    let late = Message::parse(&sent[0].1).unwrap();
    assert_eq!(late.find(), Ok(Some(ResponseOrigin(path().local))));
    assert_eq!(late.find(), Ok(Some(OtherAddress(address("192.0.2.2:3479")))));
    assert!(!late.has(Kind::PADDING));
}

#[test]
fn without_the_right_token_nothing_comes_late() {
    let mut server = server(ports("0.0.0.0"));
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &asking(1, 0, 0));
    let token = help_of(&answer).token;
    let neighbour = Path { remote: address("198.51.100.7:50001"), ..path() };
    let stranger = Path { remote: address("198.51.100.8:50000"), ..path() };
    for (path, token) in [(path(), 0), (path(), token ^ 1), (neighbour, token), (stranger, token)] {
        let (_, answer) = ask(&mut server, Instant::ZERO, path, &asking(1, 40, token));
        assert_eq!(help_of(&answer).delay, 0, "it says so at once");
    }
    assert_eq!(drain(&mut server, Instant::ZERO).1, None);
}

#[test]
fn a_token_is_good_for_five_to_ten_minutes() {
    let (minted, epoch) = (Instant::ZERO + secs(10 * 300), secs(300));
    for (age, good) in [(secs(0), true), (epoch, true), (epoch * 2 - LATE_GAP, true), (epoch * 2, false)] {
        let mut server = server(Config::default());
        let (_, answer) = ask(&mut server, minted, path(), &asking(1, 0, 0));
        let token = help_of(&answer).token;
        let (_, answer) = ask(&mut server, minted + age, path(), &asking(2, 9, token));
        assert_eq!(help_of(&answer).delay != 0, good, "{age:?}");
    }
}

#[test]
fn a_delay_is_bounded() {
    let mut server = server(Config { longest_delay: 50, ..Config::default() });
    for (delay, said) in [(1, 50), (50, 50), (51, 0), (u16::MAX, 0)] {
        assert_eq!(ask_late(&mut server, Instant::ZERO, path(), delay.into(), delay).delay, said, "{delay}");
    }
    let mut never = self::server(Config { longest_delay: 0, ..Config::default() });
    assert_eq!(ask_late(&mut never, Instant::ZERO, path(), 1, 1).delay, 0);
    assert_eq!(drain(&mut never, Instant::ZERO).1, None);
}

/// From elsewhere, over a connection and to clients of RFC 3489 nothing comes late.
#[test]
fn a_late_answer_is_for_plain_requests_over_udp() {
    let mut server = server(Config { classic: true, ..ports("0.0.0.0") });
    let tcp = Path::tcp(path().local, path().remote);
    assert_eq!(ask_late(&mut server, Instant::ZERO, tcp, 1, 9).delay, 0);

    let token = help_of(&ask(&mut server, Instant::ZERO, path(), &asking(1, 0, 0)).1).token;
    let help = Help { other_port: 0, delay: 9, token };
    let mut changed = request(1, |w| w.put(&help).put(&ChangeRequest { ip: false, port: true }));
    assert_eq!(help_of(&ask(&mut server, Instant::ZERO, path(), &changed).1).delay, 0);

    changed[4..8].copy_from_slice(b"old!");
    let (_, answer) = ask(&mut server, Instant::ZERO, path(), &changed);
    assert!(!Message::parse_classic(&answer).unwrap().has(Kind::HELP));
    assert_eq!(drain(&mut server, Instant::ZERO).1, None);
}

#[test]
fn a_request_that_is_repeated_is_noted_once() {
    let mut server = server(Config::default());
    for _ in 0..2 * MAX_LATE_PER_NETWORK {
        assert_eq!(ask_late(&mut server, Instant::ZERO, path(), 1, 9).delay, 600);
    }
    let (sent, _) = drain(&mut server, Instant::ZERO + secs(9));
    assert_eq!(sent.len(), 1);
}

#[test]
fn one_network_waits_for_so_many_and_no_more() {
    let mut server = server(Config::default());
    let site = |host: u64| {
        let remote = format!("[2001:db8:0:1{:02x}::{host:x}]:50000", host % 256);
        Path::udp(address("[2001:db8::1]:3478"), address(&remote))
    };
    for host in 0..MAX_LATE_PER_NETWORK as u64 {
        assert_eq!(ask_late(&mut server, Instant::ZERO, site(host), host, 9).delay, 600);
    }
    assert_eq!(ask_late(&mut server, Instant::ZERO, site(99), 99, 9).delay, 0, "one /56 is one network");
    assert_eq!(ask_late(&mut server, Instant::ZERO, path(), 99, 9).delay, 600, "others are not concerned");

    // All answers sent, the places are free again.
    for nth in 0..u32::from(LATE_ANSWERS) {
        let (sent, _) = drain(&mut server, Instant::ZERO + secs(9) + LATE_GAP * nth);
        assert_eq!(sent.len(), MAX_LATE_PER_NETWORK + 1);
    }
    let later = Instant::ZERO + secs(20);
    for host in 0..MAX_LATE_PER_NETWORK as u64 {
        assert_eq!(ask_late(&mut server, later, site(host), host, 9).delay, 600);
    }
    assert_eq!(ask_late(&mut server, later, site(99), 99, 9).delay, 0);
}

#[test]
fn all_together_wait_for_so_many_and_no_more() {
    let mut server = server(Config::default());
    let client = |n: usize| {
        let remote = SocketAddr::from(([198, 51, (n / 256) as u8, (n % 256) as u8], 50_000));
        Path { remote, ..path() }
    };
    for n in 0..MAX_LATE {
        assert_eq!(ask_late(&mut server, Instant::ZERO, client(n), n as u64, 9).delay, 600);
    }
    assert_eq!(ask_late(&mut server, Instant::ZERO, client(MAX_LATE), 0, 9).delay, 0);
    let (sent, _) = drain(&mut server, Instant::ZERO + secs(9));
    assert_eq!(sent.len(), MAX_LATE);
}

/// After the host slept, the answers come at once, and apart from each other all the same.
#[test]
fn answers_that_are_long_overdue_do_not_come_in_a_heap() {
    let mut server = server(Config::default());
    let _ = ask_late(&mut server, Instant::ZERO, path(), 1, 9);
    let mut now = Instant::ZERO + secs(5_000);
    for left in (0..LATE_ANSWERS).rev() {
        let (sent, next) = drain(&mut server, now);
        assert_eq!((sent.len(), next), (1, (left > 0).then_some(now + LATE_GAP)));
        now += LATE_GAP;
    }
}

#[test]
fn a_buffer_that_is_too_short_holds_nothing_up_and_loses_nothing() {
    let mut server = server(Config::default());
    let _ = ask_late(&mut server, Instant::ZERO, path(), 1, 9);
    let due = Instant::ZERO + secs(9);
    assert_eq!(server.poll_output(due, &mut [0; 47]), Output::Idle(Some(due + LATE_GAP)));
    assert_eq!(server.poll_output(due + LATE_GAP, &mut [0; 47]), Output::Idle(None));
    assert_eq!(drain(&mut server, due + LATE_GAP).0.len(), 2);
}
