//! A client, the far end of its network, and a server that the test plays.

use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::client::{Credentials, Event, Failure, Offer, Request, StunClient};
use bradawl::time::Instant;
use bradawl::wire::stun::attr::{ErrorCode, Nonce, PasswordAlgorithms, Realm, XorMappedAddress};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};

pub(crate) const START: Instant = Instant::from_micros(1_000_000);
pub(crate) const OLD_NONCE: Nonce<'static> = Nonce(b"f//499k954d6OL34oL9FSTvy64sA");
pub(crate) const NEW_NONCE: Nonce<'static> = Nonce(b"obMatJos2gAAA499k954d6OL34oL9FSTvy64sA");
pub(crate) const ANONYMOUS_NONCE: Nonce<'static> = Nonce(b"obMatJos2wAAA499k954d6OL34oL9FSTvy64sA");

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn path() -> Path {
    Path::udp(address("10.0.0.7:5000"), address("198.51.100.1:3478"))
}

pub(crate) fn mapped() -> XorMappedAddress {
    XorMappedAddress(address("192.0.2.9:61000"))
}

/// A client and the far end of its network.
pub(crate) struct World {
    pub(crate) client: StunClient,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { client: StunClient::new(Rng::from_seed([9; 32])), now: START }
    }

    pub(crate) fn asking(request: Request) -> Self {
        let mut world = Self::new();
        world.client.request(world.now, path(), request).expect("begun");
        world
    }

    pub(crate) fn poll(&mut self) -> Output<Event> {
        self.client.poll_output(self.now, &mut [0; MIN_BUFFER])
    }

    /// The request that the client sends now.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let mut buf = [0; MIN_BUFFER];
        match self.client.poll_output(self.now, &mut buf) {
            Output::Transmit { path: on, len, segment: None, ecn: None } => {
                assert_eq!(on, path());
                buf[..len].to_vec()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn arrives(&mut self, on: Path, bytes: &[u8]) -> Verdict {
        self.client.handle_input(self.now, on, Meta::default(), bytes)
    }

    /// An answer to `request` arrives from the server that was asked.
    pub(crate) fn answered(
        &mut self,
        request: &[u8],
        class: Class,
        build: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) {
        let id = Message::parse(request).expect("a request").transaction_id();
        assert_eq!(self.arrives(path(), &answer(id, class, build)), Verdict::Consumed);
    }

    pub(crate) fn event(&mut self) -> Option<Event> {
        match self.poll() {
            Output::Event(event) => Some(event),
            Output::Idle(_) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn failure(&mut self) -> Option<Failure> {
        self.event().map(|event| match event {
            Event::Failed { reason, .. } => reason,
            Event::Answered(answer) => panic!("{answer:?}"),
        })
    }

    /// Lets time pass and nothing arrive.
    pub(crate) fn fails_in_the_end(&mut self) -> Failure {
        loop {
            match self.poll() {
                Output::Event(Event::Failed { reason, .. }) => return reason,
                Output::Idle(Some(wake)) => self.now = wake,
                Output::Transmit { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn assert_success(&mut self) {
        let event = self.event();
        assert!(matches!(event, Some(Event::Answered(answer)) if answer.mapped == mapped().0), "{event:?}");
        assert_eq!(self.poll(), Output::Idle(None), "one event and nothing more");
    }
}

pub(crate) fn answer(
    id: TransactionId,
    class: Class,
    build: impl FnOnce(Writer<'_>) -> Writer<'_>,
) -> Vec<u8> {
    let mut buf = vec![0; MIN_BUFFER];
    let len = build(Writer::new(&mut buf, class, Method::BINDING, id)).finish().expect("room");
    buf.truncate(len);
    buf
}

pub(crate) fn error(code: u16) -> ErrorCode<'static> {
    ErrorCode { code, reason: "" }
}

pub(crate) fn short_term(offer: Offer) -> Request {
    Request {
        credentials: Some(Arc::new(Credentials::short_term("alice", "secret", offer))),
        ..Request::default()
    }
}

pub(crate) fn long_term() -> Request {
    Request { credentials: Some(Arc::new(Credentials::long_term("alice", "secret"))), ..Request::default() }
}

/// A 401 or 438 as servers of RFC 8489 write it.
pub(crate) fn challenge<'b>(writer: Writer<'b>, code: u16, nonce: Nonce<'_>) -> Writer<'b> {
    writer.put(&error(code)).put(&Realm("example.org")).put(&nonce).put(&PasswordAlgorithms::SHA256_AND_MD5)
}
