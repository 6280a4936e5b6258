//! Bytes and time interleaved against the client, some of them answers that nearly fit: every request
//! ends in exactly one event, nothing unsigned answers a signed request, and the machine keeps its
//! promises.

#![no_main]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arbitrary::Arbitrary;
use bradawl::machine::{HostInput, Machine, Meta, Path, Unreachable};
use bradawl::rng::Rng;
use bradawl::stun::client::{Credentials, Event, MAX_IN_FLIGHT, Offer, Request, RequestId, StunClient};
use bradawl::stun::transaction::Schedule;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, PasswordAlgorithm, TransactionId, Writer};
use bradawl_fuzz::attribute::Owned;
use bradawl_fuzz::drain;
use libfuzzer_sys::fuzz_target;

/// More polls than any input can ask for.
const BOUND: usize = 4 * MAX_IN_FLIGHT;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Request { credentials: u8, fingerprint: bool, change: bool, attempts: u8, padding: u16 },
    Wait { millis: u32 },
    Bytes { bytes: &'a [u8] },
    Answer { to: u8, error: bool, attributes: Vec<Owned>, sign: u8, fingerprint: bool, elsewhere: bool },
    Unreachable,
    Cancel { which: u8 },
}

struct World {
    client: StunClient,
    now: Instant,
    credentials: [Option<Arc<Credentials>>; 4],
    /// Requests under way, and whether an answer has to be signed with a key that we do not use.
    open: HashMap<RequestId, bool>,
    begun: Vec<RequestId>,
    sent: Vec<TransactionId>,
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut world = World {
        client: StunClient::new(Rng::from_seed([0; 32])),
        now: Instant::ZERO,
        credentials: [
            None,
            Some(Arc::new(Credentials::short_term("alice", "secret", Offer::Both))),
            Some(Arc::new(Credentials::long_term("alice", "secret"))),
            // Nobody in this world knows this one.
            Some(Arc::new(Credentials::short_term("alice", "unknown", Offer::Both))),
        ],
        open: HashMap::new(),
        begun: Vec::new(),
        sent: Vec::new(),
    };
    for step in steps {
        world.step(step);
        world.drain();
    }
    // Whatever happened, everything ends.
    world.now += Duration::from_secs(1_000_000);
    for _ in 0..Schedule::MAX_ATTEMPTS + 1 {
        world.drain();
        world.now += Duration::from_secs(1_000_000);
    }
    world.drain();
    assert!(world.open.is_empty(), "requests without an end");
});

impl World {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Request { credentials, fingerprint, change, attempts, padding } => {
                let which = usize::from(credentials) % self.credentials.len();
                let request = Request {
                    credentials: self.credentials[which].clone(),
                    fingerprint,
                    change: change.then(Default::default),
                    schedule: Schedule { attempts, patience: 16 },
                    padding,
                    ..Request::default()
                };
                if let Ok(id) = self.client.request(self.now, path(), request) {
                    self.open.insert(id, which == 3);
                    self.begun.push(id);
                }
            }
            Step::Wait { millis } => self.now += Duration::from_millis(u64::from(millis)),
            Step::Bytes { bytes } => self.arrives(path(), bytes),
            Step::Answer { to, error, attributes, sign, fingerprint, elsewhere } => {
                let Some(&id) = self.sent.iter().rev().nth(usize::from(to)) else { return };
                let mut buf = [0; 2_000];
                let class = if error { Class::Error } else { Class::Success };
                let writer = Writer::new(&mut buf, class, Method::BINDING, id);
                let writer = attributes.iter().fold(writer, |writer, attribute| attribute.put(writer));
                let writer = signed(writer, sign);
                let writer = if fingerprint { writer.fingerprint() } else { writer };
                let Ok(len) = writer.finish() else { return };
                let from = if elsewhere { address("198.51.100.1:3479") } else { path().remote };
                self.arrives(Path { remote: from, ..path() }, &buf[..len]);
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

    fn arrives(&mut self, on: Path, bytes: &[u8]) {
        let _ = self.client.handle_input(self.now, on, Meta::default(), bytes);
    }

    fn drain(&mut self) {
        let drained = drain(&mut self.client, self.now, BOUND);
        for (on, bytes) in drained.sent {
            let request = Message::parse(&bytes).expect("well formed");
            assert_eq!((on, request.class()), (path(), Class::Request));
            self.sent.push(request.transaction_id());
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
    let short = || Key::short_term("secret");
    let long = |algorithm| Key::long_term("alice", "example.org", "secret", algorithm);
    match sign % 5 {
        0 => writer,
        1 => writer.integrity(&short()),
        2 => writer.integrity_with(&short(), Integrity::Sha256),
        3 => writer.integrity(&long(PasswordAlgorithm::Md5)),
        _ => writer.integrity_with(&long(PasswordAlgorithm::Sha256), Integrity::Sha256),
    }
}

fn path() -> Path {
    Path::udp(address("10.0.0.7:5000"), address("198.51.100.1:3478"))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
