//! Datagrams and time against the server: it answers well-formed Binding requests and nothing else, to
//! whom they came from, never with much more than was sent; once each, and three times more to who has
//! its token and asked for it. With a partner, what that does not get is nothing more than it sent.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use arbitrary::Arbitrary;
use bradawl::machine::{Machine, Meta, Path};
use bradawl::rng::Rng;
use bradawl::stun::server::{
    Alternate, Config, LATE_ANSWERS, MAX_LATE, MAX_PENDING, Outcome, Ports, RateLimit, StunServer,
};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{HandOver, Help};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};
use bradawl_fuzz::attribute::Owned;
use bradawl_fuzz::drain;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    classic: bool,
    alternate: bool,
    limited: bool,
    v6: bool,
    partner: bool,
    advertised: bool,
    longest_delay: u16,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Wait {
        millis: u32,
    },
    Bytes {
        from: IpAddr,
        port: u16,
        socket: u8,
        bytes: &'a [u8],
    },
    Request {
        port: u16,
        socket: u8,
        id: [u8; 12],
        attributes: Vec<Owned>,
        fingerprint: bool,
    },
    /// From the partner.
    HandOver {
        client: SocketAddr,
        port: u16,
        asked: u16,
        socket: u8,
        classic: Option<[u8; 4]>,
        fingerprint: bool,
    },
    /// With the token that the last answer brought, to where that came from.
    Late {
        id: [u8; 12],
        delay: u16,
    },
}

fuzz_target!(|input: Input<'_>| {
    let (first, second) = if input.v6 {
        ("[2001:db8::1]:3478", "[2001:db8::2]:3479")
    } else {
        ("192.0.2.1:3478", "192.0.2.2:3479")
    };
    let (first, second) = (address(first), address(second));
    let pair = Alternate::new(first, second).expect("they differ");
    let wanted = if input.partner { pair.of_partner() } else { pair };
    let public = if input.v6 { "2001:db8::9" } else { "192.0.2.9" }.parse().expect("an address");
    let config = Config {
        classic: input.classic,
        alternates: if input.alternate { vec![wanted] } else { Vec::new() },
        ports: Ports::new(first.ip(), first.port(), second.port()).into_iter().collect(),
        partner_key: Some(key()),
        advertised: if input.advertised { vec![(first.ip(), public)] } else { Vec::new() },
        longest_delay: input.longest_delay,
        rate: input.limited.then_some(RateLimit { per_second: 2, burst: 3, networks: 16 }),
    };
    let mut bench = Bench {
        server: StunServer::new(config, Rng::from_seed([0; 32])),
        partner: (input.partner && input.alternate).then_some(second.ip()),
        now: Instant::ZERO,
        token: None,
        late: 0,
    };
    for step in &input.steps {
        let mut written = [0; 2_000];
        let from: IpAddr = if input.v6 { [0x20; 16].into() } else { [198, 51, 100, 7].into() };
        let (from, socket, bytes) = match step {
            Step::Wait { millis } => {
                bench.wait(Duration::from_millis(u64::from(*millis)));
                continue;
            }
            Step::Bytes { from, port, socket, bytes } => (SocketAddr::new(*from, *port), *socket, *bytes),
            Step::Request { port, socket, id, attributes, fingerprint } => {
                let id = TransactionId::from(*id);
                let writer = Writer::new(&mut written, Class::Request, Method::BINDING, id);
                let writer = attributes.iter().fold(writer, |writer, attribute| attribute.put(writer));
                let writer = if *fingerprint { writer.fingerprint() } else { writer };
                let Ok(len) = writer.finish() else { continue };
                (SocketAddr::new(from, *port), *socket, &written[..len])
            }
            Step::HandOver { client, port, asked, socket, classic, fingerprint } => {
                let answerer = pair.addresses()[usize::from(socket % 2)];
                let ip = if input.advertised { public } else { answerer.ip() };
                let hand_over = HandOver {
                    client: *client,
                    answerer: SocketAddr::new(ip, answerer.port()),
                    asked_port: if asked % 4 == 0 { *asked } else { 3_478 + asked % 2 },
                    fingerprint: *fingerprint,
                    classic: *classic,
                };
                let id = TransactionId::from([9; 12]);
                let writer = Writer::new(&mut written, Class::Indication, Method::HAND_OVER, id);
                let sealed = writer.put(&hand_over).integrity_with(&key(), Integrity::Sha256);
                let Ok(len) = sealed.finish() else { continue };
                (SocketAddr::new(second.ip(), *port), socket % 2, &written[..len])
            }
            Step::Late { id, delay } => {
                let Some((path, token)) = bench.token else { continue };
                let id = TransactionId::from(*id);
                let help = Help { other_port: 0, delay: *delay, token };
                let writer = Writer::new(&mut written, Class::Request, Method::BINDING, id).put(&help);
                let Ok(len) = writer.finish() else { continue };
                bench.check(path, &written[..len]);
                continue;
            }
        };
        bench.check(Path::udp(pair.addresses()[usize::from(socket % 4)], from), bytes);
    }
    // Everything that was noted comes, and no more than that.
    for _ in 0..LATE_ANSWERS {
        bench.wait(Duration::from_secs(u64::from(u16::MAX)));
    }
    assert_eq!(bench.late, 0);
});

struct Bench {
    server: StunServer,
    partner: Option<IpAddr>,
    now: Instant,
    token: Option<(Path, u64)>,
    /// How many late answers are still to come at most.
    late: usize,
}

impl Bench {
    fn wait(&mut self, wait: Duration) {
        self.now += wait;
        let drained = drain(&mut self.server, self.now, MAX_LATE);
        assert!(drained.sent.len() <= self.late, "nobody asked for that");
        self.late -= drained.sent.len();
        assert!(drained.wake.is_none() || self.late > 0);
        if drained.wake.is_none() {
            // What was asked for twice came once.
            self.late = 0;
        }
        for (path, answer) in &drained.sent {
            let answer = Message::parse(answer).expect("well formed");
            assert!(answer.class() == Class::Success && path.remote.port() != 0);
            assert!(answer.find::<Help>().expect("well formed").is_some_and(|help| help.delay > 0));
        }
    }

    fn check(&mut self, path: Path, bytes: &[u8]) {
        let answered = |server: &StunServer| -> u64 {
            let answers = Outcome::ALL.into_iter().filter(|outcome| outcome.is_answer());
            answers.map(|outcome| server.counters().count(outcome)).sum()
        };
        // What is due by now was sent when the time passed.
        let (before, noted) = (answered(&self.server), self.late > 0);
        let _ = self.server.handle_input(self.now, path, Meta::default(), bytes);
        let drained = drain(&mut self.server, self.now, MAX_PENDING);
        assert!(drained.sent.len() <= 1);
        assert_eq!(drained.sent.len() as u64, answered(&self.server) - before, "counted and sent");
        assert!(drained.wake.is_some() || !noted);
        let Some((back, answer)) = drained.sent.first() else { return };
        let request = Message::parse(bytes).or_else(|_| Message::parse_classic(bytes)).expect("well formed");
        if request.method() == Method::HAND_OVER {
            assert_eq!(Some(path.remote.ip()), self.partner);
            assert!(answer.len() <= bytes.len() && back.local == path.local);
            return;
        }
        assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
        let said = Message::parse(answer).ok().filter(|said| said.method() == Method::HAND_OVER);
        if let Some(said) = said {
            assert_eq!((back.local, answer.len()), (path.local, 128));
            assert_eq!(Some(back.remote.ip()), self.partner);
            assert!(said.integrity_holds_with(&key(), Integrity::Sha256));
            let said: HandOver = said.find().expect("well formed").expect("what it is about");
            assert_eq!(said.client, path.remote);
            return;
        }
        assert_eq!(back.remote, path.remote);
        assert!(path.remote.port() != 0 && answer.len() <= bytes.len() + 112);
        let answer = Message::parse(answer).or_else(|_| Message::parse_classic(answer)).expect("well formed");
        assert!(answer.class().is_response());
        assert_eq!((answer.transaction_id(), answer.cookie()), (request.transaction_id(), request.cookie()));
        assert_eq!(answer.fingerprint_holds(), request.has_fingerprint());
        self.note(path, &request, &answer);
    }

    /// Learns the token, and whether a late answer is to come.
    fn note(&mut self, path: Path, request: &Message<'_>, answer: &Message<'_>) {
        let Ok(Some(said)) = answer.find::<Help>() else { return };
        let wanted = request.find::<Help>().ok().flatten().expect("only who sends HELP gets it");
        if wanted.delay > 0 && said.delay > 0 {
            assert!(wanted.delay <= said.delay);
            self.late += usize::from(LATE_ANSWERS);
        }
        self.token = Some((path, said.token));
    }
}

fn key() -> Key {
    Key::from_bytes(b"what the two share")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
