//! The mediator on loopback, helping a client to know its NAT: two ports, two mediators, late answers.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use bradawl::stun::server::{LATE_ANSWERS, Outcome};
use bradawl::wire::stun::attr::{ChangeRequest, Help, OtherAddress, ResponseOrigin, UnknownAttributes};
use bradawl::wire::stun::{Class, Key, Message, Method, TransactionId, Writer};
use bradawl_host::mediator::{Mediator, Plan, Remark, SecondPort, StartError};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn plan(listen: &[&str]) -> Plan {
    let listen = listen.iter().map(|text| address(text)).collect();
    Plan { listen, rate: None, ..Plan::default() }
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    client
}

fn hear(client: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 2_048];
    let (len, from) = client.recv_from(&mut buf).expect("an answer");
    (buf[..len].to_vec(), from)
}

/// Asks with these attributes; the answer and where it came from.
fn ask(
    client: &UdpSocket,
    server: SocketAddr,
    build: impl FnOnce(Writer<'_>) -> Writer<'_>,
) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 256];
    let id = TransactionId::from([7; 12]);
    let len = build(Writer::new(&mut buf, Class::Request, Method::BINDING, id)).finish().expect("room");
    client.send_to(&buf[..len], server).expect("sent");
    hear(client)
}

fn help_of(answer: &[u8]) -> Help {
    Message::parse(answer).expect("STUN").find().expect("well formed").expect("HELP")
}

const BY_PORT: ChangeRequest = ChangeRequest { ip: false, port: true };
const BY_IP: ChangeRequest = ChangeRequest { ip: true, port: false };

/// The second ports, as it remarks on them.
fn second_ports(mediator: &Mediator) -> Vec<SocketAddr> {
    let second = |remark: &Remark| match remark {
        Remark::SecondPort(address) => Some(*address),
        _ => None,
    };
    mediator.remarks().iter().filter_map(second).collect()
}

#[test]
fn one_address_has_two_ports_that_answer_for_each_other() {
    for (listen, workers) in [("127.0.0.1:0", 1), ("0.0.0.0:0", 1), ("127.0.0.1:0", 3)] {
        let mediator = Mediator::start(&Plan { workers, ..plan(&[listen]) }).expect("started");
        let [first] = mediator.addresses() else { panic!("one address to tell peers of") };
        let [second] = second_ports(&mediator)[..] else { panic!("one second port") };
        let [first, second] =
            [*first, second].map(|at| SocketAddr::new(address("127.0.0.1:0").ip(), at.port()));
        let client = client();
        for (asked, other) in [(first, second), (second, first)] {
            let (_, from) = ask(&client, asked, |w| w.put(&BY_PORT));
            assert_eq!(from, other);
            let (answer, from) = ask(&client, asked, |w| w.put(&Help::default()));
            assert_eq!((from, help_of(&answer).other_port), (asked, other.port()));
            let (answer, from) = ask(&client, asked, |w| w.put(&BY_IP));
            assert_eq!(from, asked);
            let answer = Message::parse(&answer).expect("STUN");
            assert!(answer.find::<UnknownAttributes>().expect("well formed").is_some(), "a 420");
        }
        let said: Vec<_> = mediator.remarks().iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains("one IP address") && said.contains("--alternate")));
        assert_eq!(mediator.stop().expect("stopped").stun.count(Outcome::UnknownAttributes), 2);
    }
}

/// Two ports of which the second is free: the first is held, and the second not any more.
fn neighbours() -> (SocketAddr, UdpSocket) {
    loop {
        let first = UdpSocket::bind("127.0.0.77:0").expect("a socket").local_addr().expect("an address");
        let Some(next) = first.port().checked_add(1) else { continue };
        if let Ok(second) = UdpSocket::bind((first.ip(), next)) {
            return (first, second);
        }
    }
}

#[test]
fn the_second_port_is_the_next_one_if_it_is_free() {
    let (first, taken) = neighbours();
    let wanted = Plan { listen: vec![first], ..plan(&[]) };
    let next = taken.local_addr().expect("an address");

    let without = Mediator::start(&wanted).expect("it does without");
    assert!(second_ports(&without).is_empty());
    let says_so =
        |remark: &Remark| matches!(remark, Remark::NoSecondPort { address, .. } if *address == next);
    assert!(without.remarks().iter().any(says_so), "{:?}", without.remarks());
    let (answer, _) = ask(&client(), first, |w| w.put(&Help::default()));
    assert_eq!(help_of(&answer).other_port, 0);
    without.stop().expect("stopped");

    // Who names it wants it.
    let named = Plan { second_port: SecondPort::At(next.port()), ..wanted.clone() };
    let error = Mediator::start(&named).expect_err("it is taken");
    assert!(matches!(error, StartError::Bind { address, .. } if address == next), "{error}");

    drop(taken);
    for plan in [wanted, named] {
        let with = Mediator::start(&plan).expect("started");
        assert_eq!(second_ports(&with), [next]);
        with.stop().expect("stopped");
    }
}

#[test]
fn the_second_port_can_be_any_or_none_and_not_the_first() {
    let none = Mediator::start(&Plan { second_port: SecondPort::None, ..plan(&["127.0.0.1:0"]) });
    assert!(second_ports(&none.expect("started")).is_empty());
    let any = Mediator::start(&Plan { second_port: SecondPort::At(0), ..plan(&["127.0.0.1:0"]) });
    assert_eq!(second_ports(&any.expect("started")).len(), 1);

    let (first, _) = neighbours();
    let same = Plan { listen: vec![first], second_port: SecondPort::At(first.port()), ..plan(&[]) };
    assert!(matches!(Mediator::start(&same), Err(StartError::SecondPort(at)) if at == first));
}

/// Who listens on two neighbouring ports has them both already.
#[test]
fn where_the_first_port_is_any_the_second_is_any_too() {
    // The next one is somebody else's now and then: with so many mediators, for one of them at least.
    let start = |_| Mediator::start(&plan(&["127.0.0.1:0"])).expect("started");
    let mediators: Vec<_> = (0..64).map(start).collect();
    assert!(mediators.iter().all(|mediator| second_ports(mediator).len() == 1));
    let is_next = |mediator: &Mediator| {
        second_ports(mediator)[0].port() == mediator.addresses()[0].port().wrapping_add(1)
    };
    assert!(!mediators.iter().all(is_next));
}

#[test]
fn two_ports_that_are_listened_on_are_each_others_second() {
    let (first, second) = neighbours();
    let listen = vec![first, second.local_addr().expect("an address")];
    drop(second);
    let mediator = Mediator::start(&Plan { listen: listen.clone(), ..plan(&[]) }).expect("started");
    assert!(second_ports(&mediator).is_empty(), "nothing else is opened");
    let (_, from) = ask(&client(), listen[1], |w| w.put(&BY_PORT));
    assert_eq!(from, listen[0]);
}

/// The same two ports on two addresses, free at the time.
fn two_ports_on(ips: [&str; 2]) -> [u16; 2] {
    let bind = |ip: &str, port| UdpSocket::bind((ip.parse::<IpAddr>().expect("an IP address"), port));
    let on_both = || {
        let one = bind(ips[0], 0).expect("a socket");
        let port = one.local_addr().expect("an address").port();
        let other = bind(ips[1], port).ok()?;
        Some((one, other, port))
    };
    loop {
        if let (Some(first), Some(second)) = (on_both(), on_both()) {
            return [first.2, second.2];
        }
    }
}

/// 127.0.0.1 and 127.0.0.2 as two mediators, the ports that both have, and their secrets.
fn partners(secrets: [&[u8]; 2]) -> ([Mediator; 2], [u16; 2]) {
    let ips = ["127.0.0.1", "127.0.0.2"];
    let ports = two_ports_on(ips);
    let start = |ours: usize| {
        let plan = Plan {
            alternates: vec![address(&format!("{}:{}", ips[1 - ours], ports[1]))],
            partner_key: Some(Key::from_bytes(secrets[ours])),
            ..plan(&[&format!("{}:{}", ips[ours], ports[0])])
        };
        Mediator::start(&plan).expect("started")
    };
    ([start(0), start(1)], ports)
}

#[test]
fn two_mediators_answer_for_each_other() {
    let (mediators, ports) = partners([b"the same secret"; 2]);
    let at = |ip: u8, port: usize| SocketAddr::from(([127, 0, 0, ip], ports[port]));
    let client = client();
    for ip in [1, 2] {
        for port in [0, 1] {
            for change in [ChangeRequest::default(), BY_PORT, BY_IP, ChangeRequest { ip: true, port: true }] {
                let (answer, from) = ask(&client, at(ip, port), |w| w.put(&change));
                let expected =
                    at(if change.ip { 3 - ip } else { ip }, if change.port { 1 - port } else { port });
                assert_eq!(from, expected, "{change:?} of {}", at(ip, port));
                let answer = Message::parse(&answer).expect("STUN");
                assert_eq!(answer.find(), Ok(Some(ResponseOrigin(from))));
                assert_eq!(answer.find(), Ok(Some(OtherAddress(at(3 - ip, 1 - port)))));
            }
        }
    }
    for mediator in mediators {
        assert_eq!(second_ports(&mediator).len(), 1);
        assert!(!mediator.remarks().iter().any(|remark| matches!(remark, Remark::OneAddress { .. })));
        let stun = mediator.stop().expect("stopped").stun;
        assert_eq!((stun.count(Outcome::HandedOver), stun.count(Outcome::TakenOver)), (4, 4));
        assert_eq!(stun.count(Outcome::Success), 4);
    }
}

#[test]
fn mediators_with_different_secrets_do_not() {
    let ([first, second], ports) = partners([b"one secret", b"another one"]);
    let client = client();
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut buf = [0; 64];
    let id = TransactionId::from([7; 12]);
    let writer = Writer::new(&mut buf, Class::Request, Method::BINDING, id).put(&BY_IP);
    let len = writer.finish().expect("room");
    client.send_to(&buf[..len], ("127.0.0.1", ports[0])).expect("sent");
    assert!(client.recv(&mut [0; 256]).is_err(), "silence");
    assert_eq!(first.stop().expect("stopped").stun.count(Outcome::HandedOver), 1);
    let stun = second.stop().expect("stopped").stun;
    assert_eq!((stun.count(Outcome::BadHandOver), stun.count(Outcome::TakenOver)), (1, 0));
}

/// One second is the shortest there is. The real clock has to say it, for it drives the mediator.
#[test]
fn an_answer_that_comes_late() {
    for workers in [1, 2] {
        let mediator = Mediator::start(&Plan { workers, ..plan(&["127.0.0.1:0"]) }).expect("started");
        let (server, client) = (mediator.addresses()[0], client());
        let (answer, _) = ask(&client, server, |w| w.put(&Help::default()));
        let Help { token, delay, .. } = help_of(&answer);
        assert_eq!(delay, 600);
        let wanted = Help { other_port: 0, delay: 1, token };
        let (answer, _) = ask(&client, server, |w| w.put(&wanted));
        assert_eq!(help_of(&answer).delay, 600, "noted");
        for _ in 0..LATE_ANSWERS {
            let (late, from) = hear(&client);
            assert_eq!((from, help_of(&late).delay), (server, 1));
        }
        mediator.stop().expect("stopped");
    }
}

#[test]
fn what_nobody_listens_on_is_not_advertised() {
    let advertised = |ours: &str| vec![(address(ours).ip(), address("192.0.2.1:0").ip())];
    for (listen, ours, is_good) in [
        ("127.0.0.1:0", "127.0.0.1:0", true),
        ("0.0.0.0:0", "127.0.0.1:0", true),
        ("127.0.0.1:0", "127.0.0.2:0", false),
        ("[::1]:0", "127.0.0.1:0", false),
    ] {
        let started = Mediator::start(&Plan { advertised: advertised(ours), ..plan(&[listen]) });
        match started {
            Ok(_) => assert!(is_good, "{listen} {ours}"),
            Err(StartError::Advertised(_)) => assert!(!is_good, "{listen} {ours}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn another_hosts_address_needs_a_secret() {
    // TEST-NET-1, which nobody has.
    let wanted = Plan { alternates: vec![address("192.0.2.177:3479")], ..plan(&["127.0.0.1:0"]) };
    assert!(matches!(Mediator::start(&wanted), Err(StartError::Foreign(_))));
    let with_secret = Plan { partner_key: Some(Key::from_bytes(b"a secret")), ..wanted };
    let mediator = Mediator::start(&with_secret).expect("it need not be there");
    assert!(matches!(mediator.remarks(), [Remark::SecondPort(_), Remark::Partner(_)]));
}
