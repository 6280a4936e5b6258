//! Bytes and time interleaved against the client, some of them answers that nearly fit: every request
//! ends in exactly one event, nothing unsigned answers a signed request, and the machine keeps its
//! promises.

#![no_main]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use bradawl::machine::{HostInput, Machine, Meta, Path, Unreachable};
use bradawl::rng::Rng;
use bradawl::stun::client::{
    Change, Credentials, Event, MAX_IN_FLIGHT, Offer, Request, RequestId, StunClient,
};
use bradawl::stun::transaction::Schedule;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{ChangeRequest, ErrorCode, Kind, Nonce, Realm};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, PasswordAlgorithm, TransactionId, Writer};
use bradawl_fuzz::attribute::Owned;
use bradawl_fuzz::drain;
use libfuzzer_sys::fuzz_target;

/// More polls than any input can ask for.
const BOUND: usize = 4 * MAX_IN_FLIGHT;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Request {
        credentials: u8,
        fingerprint: bool,
        change: bool,
        attempts: u8,
        padding: u16,
        tcp: bool,
    },
    Wait {
        millis: u32,
    },
    /// The clock is set back.
    Back {
        millis: u32,
    },
    Bytes {
        bytes: &'a [u8],
    },
    Answer {
        to: u8,
        error: bool,
        attributes: Vec<Owned>,
        sign: u8,
        fingerprint: bool,
        from: u8,
    },
    /// A 401 or 438 that makes sense, or nearly.
    Challenge {
        to: u8,
        stale: bool,
        nonce: u8,
        offer: u8,
        realm: bool,
    },
    Unreachable,
    Cancel {
        which: u8,
    },
}

/// Made once: making keys is most of what a request with credentials costs.
static CREDENTIALS: LazyLock<[Option<Arc<Credentials>>; 4]> = LazyLock::new(|| {
    [
        None,
        Some(Arc::new(Credentials::short_term("alice", "secret", Offer::Both))),
        Some(Arc::new(Credentials::long_term("alice", "secret"))),
        // Nobody in this world knows this one.
        Some(Arc::new(Credentials::short_term("alice", "unknown", Offer::Both))),
    ]
});
static SHORT: LazyLock<Key> = LazyLock::new(|| Key::short_term("secret"));
static LONG_MD5: LazyLock<Key> = LazyLock::new(|| long_term(PasswordAlgorithm::Md5));
static LONG_SHA256: LazyLock<Key> = LazyLock::new(|| long_term(PasswordAlgorithm::Sha256));

fn long_term(algorithm: PasswordAlgorithm) -> Key {
    Key::long_term("alice", "example.org", "secret", algorithm)
}

struct World {
    client: StunClient,
    now: Instant,
    /// Requests under way, and whether an answer has to be signed with a key that we do not use.
    open: HashMap<RequestId, bool>,
    begun: Vec<RequestId>,
    sent: Vec<(Path, TransactionId)>,
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut world = World {
        client: StunClient::new(Rng::from_seed([0; 32])),
        now: Instant::ZERO,
        open: HashMap::new(),
        begun: Vec::new(),
        sent: Vec::new(),
    };
    for step in steps {
        world.step(step);
        world.drain();
    }
    // Whatever happened, everything ends.
    world.now += Duration::from_secs(100_000_000);
    for _ in 0..Schedule::MAX_ATTEMPTS + 1 {
        world.drain();
        world.now += Duration::from_secs(100_000_000);
    }
    world.drain();
    assert!(world.open.is_empty(), "requests without an end");
});

impl World {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Request { credentials, fingerprint, change, attempts, padding, tcp } => {
                let which = usize::from(credentials) % CREDENTIALS.len();
                let elsewhere =
                    Change { ask: ChangeRequest { ip: true, port: true }, answer_from: source(1) };
                let request = Request {
                    credentials: CREDENTIALS[which].clone(),
                    fingerprint,
                    change: change.then_some(elsewhere),
                    schedule: Schedule { attempts, patience: 16 },
                    padding,
                };
                let path = if tcp { Path::tcp(path().local, path().remote) } else { path() };
                if let Ok(id) = self.client.request(self.now, path, request) {
                    self.open.insert(id, which == 3);
                    self.begun.push(id);
                }
            }
            Step::Wait { millis } => self.now += Duration::from_millis(u64::from(millis)),
            Step::Back { millis } => {
                let micros = self.now.as_micros().saturating_sub(u64::from(millis) * 1_000);
                self.now = Instant::from_micros(micros);
            }
            Step::Bytes { bytes } => self.arrives(path(), bytes),
            Step::Answer { to, error, attributes, sign, fingerprint, from } => {
                let class = if error { Class::Error } else { Class::Success };
                self.answer(to, class, source(from), |writer| {
                    let writer = attributes.iter().fold(writer, |writer, attribute| attribute.put(writer));
                    let writer = signed(writer, sign);
                    if fingerprint { writer.fingerprint() } else { writer }
                });
            }
            Step::Challenge { to, stale, nonce, offer, realm } => {
                let code = if stale { ErrorCode::STALE_NONCE } else { ErrorCode::UNAUTHENTICATED };
                let nonces: [&[u8]; 3] = [b"opaque", b"obMatJos2gAAAopaque", b"obMatJos2wAAAopaque"];
                let offers: [&[u8]; 3] = [&[0, 2, 0, 0, 0, 1, 0, 0], &[0, 1, 0, 0], &[0, 2, 0, 0]];
                self.answer(to, Class::Error, path().remote, |writer| {
                    let writer = writer.put(&ErrorCode { code, reason: "" });
                    let writer = writer.put_some(realm.then_some(&Realm("example.org")));
                    let writer = writer.put(&Nonce(nonces[usize::from(nonce) % nonces.len()]));
                    match offers.get(usize::from(offer)) {
                        Some(offer) => writer.put_raw(Kind::PASSWORD_ALGORITHMS, offer),
                        None => writer,
                    }
                });
            }
            Step::Unreachable => {
                let input = HostInput::Unreachable { path: path(), kind: Unreachable::Port };
                self.client.handle_host(self.now, input);
            }
            Step::Cancel { which } => {
                if let Some(&id) = self.begun.get(usize::from(which)) {
                    assert_eq!(self.client.cancel(id), self.open.remove(&id).is_some());
                }
            }
        }
    }

    /// An answer to one of the last requests arrives, over UDP and over TCP.
    fn answer(
        &mut self,
        to: u8,
        class: Class,
        from: SocketAddr,
        build: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) {
        let Some(&(on, id)) = self.sent.iter().rev().nth(usize::from(to)) else { return };
        let mut buf = [0; 2_000];
        let Ok(len) = build(Writer::new(&mut buf, class, Method::BINDING, id)).finish() else { return };
        self.arrives(Path { remote: from, ..on }, &buf[..len]);
    }

    fn arrives(&mut self, on: Path, bytes: &[u8]) {
        let _ = self.client.handle_input(self.now, on, Meta::default(), bytes);
    }

    fn drain(&mut self) {
        let drained = drain(&mut self.client, self.now, BOUND);
        for (on, bytes) in drained.sent {
            let request = Message::parse(&bytes).expect("well formed");
            assert_eq!((on.local, on.remote, request.class()), (path().local, path().remote, Class::Request));
            self.sent.push((on, request.transaction_id()));
        }
        for event in drained.events {
            let (id, answered) = match event {
                Event::Answered(answer) => (answer.id, true),
                Event::Failed { id, .. } => (id, false),
            };
            let secret = self.open.remove(&id).expect("one event per request");
            assert!(!(secret && answered), "answered without the key");
        }
        assert!(drained.wake.is_some() || self.open.is_empty(), "requests that nothing will end");
    }
}

fn signed(writer: Writer<'_>, sign: u8) -> Writer<'_> {
    match sign % 6 {
        0 => writer,
        1 => writer.integrity(&SHORT),
        2 => writer.integrity_with(&SHORT, Integrity::Sha256),
        3 => writer.integrity(&LONG_MD5),
        4 => writer.integrity_with(&LONG_MD5, Integrity::Sha256),
        _ => writer.integrity_with(&LONG_SHA256, Integrity::Sha256),
    }
}

/// Where an answer may come from: mostly from whom was asked.
fn source(which: u8) -> SocketAddr {
    match which {
        1 => address("198.51.100.2:3479"),
        2 => address("198.51.100.1:3479"),
        _ => path().remote,
    }
}

fn path() -> Path {
    Path::udp(address("10.0.0.7:5000"), address("198.51.100.1:3478"))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
