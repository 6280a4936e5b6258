//! Datagrams and time against the server: it answers well-formed Binding requests and nothing else,
//! once each, to whom they came from, never with much more than was sent.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use arbitrary::Arbitrary;
use bradawl::machine::{Machine, Meta, Path};
use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, MAX_PENDING, Outcome, RateLimit, StunServer};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
use bradawl_fuzz::attribute::Owned;
use bradawl_fuzz::drain;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    classic: bool,
    alternate: bool,
    limited: bool,
    v6: bool,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Wait { millis: u16 },
    Bytes { from: IpAddr, port: u16, socket: u8, bytes: &'a [u8] },
    Request { port: u16, socket: u8, id: [u8; 12], attributes: Vec<Owned>, fingerprint: bool },
}

fuzz_target!(|input: Input<'_>| {
    let (first, second) = if input.v6 {
        ("[2001:db8::1]:3478", "[2001:db8::2]:3479")
    } else {
        ("192.0.2.1:3478", "192.0.2.2:3479")
    };
    let pair = Alternate::new(address(first), address(second)).expect("they differ");
    let config = Config {
        classic: input.classic,
        alternates: if input.alternate { vec![pair] } else { Vec::new() },
        rate: input.limited.then_some(RateLimit { per_second: 2, burst: 3, networks: 16 }),
    };
    let mut server = StunServer::new(config, Rng::from_seed([0; 32]));
    let mut now = Instant::ZERO;
    for step in &input.steps {
        let mut written = [0; 2_000];
        let (from, socket, bytes) = match step {
            Step::Wait { millis } => {
                now += Duration::from_millis(u64::from(*millis));
                continue;
            }
            Step::Bytes { from, port, socket, bytes } => (SocketAddr::new(*from, *port), *socket, *bytes),
            Step::Request { port, socket, id, attributes, fingerprint } => {
                let id = TransactionId::from(*id);
                let writer = Writer::new(&mut written, Class::Request, Method::BINDING, id);
                let writer = attributes.iter().fold(writer, |writer, attribute| attribute.put(writer));
                let writer = if *fingerprint { writer.fingerprint() } else { writer };
                let Ok(len) = writer.finish() else { continue };
                let from: IpAddr = if input.v6 { [0x20; 16].into() } else { [198, 51, 100, 7].into() };
                (SocketAddr::new(from, *port), *socket, &written[..len])
            }
        };
        check(&mut server, now, Path::udp(pair.addresses()[usize::from(socket % 4)], from), bytes);
    }
});

fn check(server: &mut StunServer, now: Instant, path: Path, bytes: &[u8]) {
    let answered = |server: &StunServer| -> u64 {
        let answers = Outcome::ALL.into_iter().filter(|outcome| outcome.is_answer());
        answers.map(|outcome| server.counters().count(outcome)).sum()
    };
    let before = answered(server);
    let _ = server.handle_input(now, path, Meta::default(), bytes);
    let drained = drain(server, now, MAX_PENDING);
    assert!(drained.wake.is_none() && drained.sent.len() <= 1);
    assert_eq!(drained.sent.len() as u64, answered(server) - before, "counted as answered and sent");
    let Some((back, answer)) = drained.sent.first() else { return };
    let request = Message::parse(bytes).or_else(|_| Message::parse_classic(bytes)).expect("well formed");
    assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
    assert_eq!(back.remote, path.remote);
    assert!(path.remote.port() != 0 && answer.len() <= bytes.len() + 112);
    let answer = Message::parse(answer).or_else(|_| Message::parse_classic(answer)).expect("well formed");
    assert!(answer.class().is_response());
    assert_eq!((answer.transaction_id(), answer.cookie()), (request.transaction_id(), request.cookie()));
    assert_eq!(answer.fingerprint_holds(), request.has_fingerprint());
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
