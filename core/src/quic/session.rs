//! One connection, driven: what it is told, and what it says when it is polled. What goes over it is in
//! `streams.rs`, how it fares in `status.rs`.
//!
//! quinn-proto has an endpoint, which sorts datagrams, and a connection, which they are for. Here is one of
//! each. A client has its connection from the beginning, a server from the first Initial on; there is never a
//! second one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZeroU16;

use bytes::Bytes;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, ConnectionId, DatagramEvent, EcnCodepoint, Endpoint,
    EndpointConfig, Incoming, NoneTokenLog, NoneTokenStore, ServerConfig, StreamEvent, ValidationTokenConfig,
};

use super::cid::{self, Generator};
use super::crypto::{NoTokens, ResetKey, Tls, VERSION, initial_suite};
use super::event::{Events, Full};
use super::pool::Pool;
use super::time::{Anchor, NoCalendar};
use super::{
    Config, Counters, CryptoProvider, Event, Expect, MAX_PACKET, MAX_SEGMENTS, OwnKey, Protocol, PublicKey,
    Reason, SetupError, StreamId, streams, tls,
};
use crate::hash::Keyed;
use crate::machine::{Ecn, Output, Path};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Where the other side is, as far as quinn-proto is concerned: an address of nobody (RFC 5737).
const VIRTUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);
/// How often quinn-proto may bother to answer what belongs to no connection. The answers are not sent: we ask
/// for none.
const HARDLY_EVER: Duration = Duration::from_secs(24 * 3_600);
/// How often timers may be due again at once before they are believed to be due a moment later.
const MOST_ROUNDS: usize = 32;

/// Our side of connections.
#[derive(Clone, Debug)]
pub struct Local {
    /// Who we are.
    pub key: OwnKey,
    /// Who does the cryptography.
    pub provider: Arc<CryptoProvider>,
    /// What we speak.
    pub protocol: Protocol,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A server that nobody has connected to, or a handshake that goes on.
    Opening,
    Connected,
    /// Nothing is told any more. What is left to say is that it is closed.
    Closed,
}

/// One connection between two peers. See the [module documentation](super) for how it is driven.
pub struct Session {
    config: Config,
    anchor: Anchor,
    endpoint: Endpoint,
    handle: Option<ConnectionHandle>,
    pub(super) connection: Option<Connection>,
    /// How many streams of the other side's were told of: bidirectional ones, unidirectional ones.
    pub(super) told: [u64; 2],
    pub(super) phase: Phase,
    pub(super) peer: Option<PublicKey>,
    pub(super) path: Option<Path>,
    had_path: bool,
    /// Since when there is a path again, until a round trip has been measured on it.
    again: Option<Instant>,
    /// When a handshake has taken too long.
    deadline: Option<Instant>,
    events: Events,
    pool: Pool,
    /// Where packets are made, before they are copied into the caller's buffer.
    packets: Vec<u8>,
    /// A packet that refuses a connection which never came to be.
    pub(super) refusal: Vec<u8>,
    pub(super) counters: Counters,
}

impl Session {
    /// A client: it connects to whoever holds the key `expected`, as soon as there is a path.
    pub fn connect(
        now: Instant,
        local: &Local,
        expected: PublicKey,
        config: Config,
        mut rng: Rng,
    ) -> Result<Self, SetupError> {
        let tls = Tls {
            config: Arc::new(tls::client(&local.key, expected, local.protocol, &local.provider)?),
            initial: initial_suite(&local.provider)?,
        };
        Self::begin(now, Arc::new(tls), config, &mut rng)
    }

    pub(super) fn begin(
        now: Instant,
        tls: Arc<dyn quinn_proto::crypto::ClientConfig>,
        config: Config,
        rng: &mut Rng,
    ) -> Result<Self, SetupError> {
        // RFC 9000 §7.2: unpredictable, and of at least eight bytes.
        let first = ConnectionId::new(&rng.bytes::<{ cid::LEN }>());
        let mut client = ClientConfig::new(tls);
        client
            .transport_config(config.transport())
            .token_store(Arc::new(NoneTokenStore))
            .initial_dst_cid_provider(Arc::new(move || first))
            .version(VERSION);
        let mut session = Self::new(now, config, None, rng);
        let begun = session.endpoint.connect(session.anchor.std(now), client, VIRTUAL, tls::SERVER_NAME);
        let (handle, connection) = begun.map_err(|_| SetupError::NoHandshake)?;
        (session.handle, session.connection) = (Some(handle), Some(connection));
        Ok(session)
    }

    /// A server: it waits to be connected to by whom `expect` admits. Whatever else comes first on the path
    /// ends it, so it is for paths that were checked.
    pub fn accept(
        now: Instant,
        local: &Local,
        expect: Expect,
        config: Config,
        mut rng: Rng,
    ) -> Result<Self, SetupError> {
        let tls = Tls {
            config: Arc::new(tls::server(&local.key, expect, local.protocol, &local.provider)?),
            initial: initial_suite(&local.provider)?,
        };
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0).log(Arc::new(NoneTokenLog));
        let mut server = ServerConfig::new(Arc::new(tls), Arc::new(NoTokens));
        server
            .transport_config(config.transport())
            .migration(false)
            .validation_token_config(tokens)
            .max_incoming(1)
            .incoming_buffer_size(0)
            .incoming_buffer_size_total(0)
            .time_source(NoCalendar::new());
        Ok(Self::new(now, config, Some(Arc::new(server)), &mut rng))
    }

    fn new(now: Instant, config: Config, server: Option<Arc<ServerConfig>>, rng: &mut Rng) -> Self {
        let mut endpoint = EndpointConfig::new(Arc::new(ResetKey::new(rng)));
        let ids: [u8; 32] = rng.bytes();
        endpoint
            .rng_seed(Some(rng.bytes()))
            .cid_generator(move || Box::new(Generator(Rng::from_seed(ids))))
            .grease_quic_bit(false)
            .supported_versions(vec![VERSION])
            .min_reset_interval(HARDLY_EVER);
        Self {
            anchor: Anchor::at(now),
            endpoint: Endpoint::new(Arc::new(endpoint), server, config.discover_mtu, None),
            config,
            handle: None,
            connection: None,
            told: [0; 2],
            phase: Phase::Opening,
            peer: None,
            path: None,
            had_path: false,
            again: None,
            deadline: None,
            events: Events::new(Keyed::new(rng)),
            pool: Pool::default(),
            packets: Vec::new(),
            refusal: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The path that is used from now on. Without one nothing is sent, and what was sent counts as lost in
    /// time; on another one than before, or on one that was away, what was learned about round trips, packet
    /// sizes and congestion is forgotten.
    pub fn set_path(&mut self, now: Instant, path: Option<Path>) {
        let before = core::mem::replace(&mut self.path, path);
        if path.is_none() || path == before {
            return;
        }
        if self.phase == Phase::Opening && self.deadline.is_none() {
            self.deadline = Some(now + self.config.handshake_timeout);
        }
        if core::mem::replace(&mut self.had_path, true) {
            self.again = before.is_none().then_some(now);
            self.forget_path(now);
        }
    }

    fn forget_path(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.path_changed(self.anchor.std(now));
        }
    }

    /// What was sent before a gap and is confirmed after it seems to have taken as long as the gap, and with
    /// such a round trip everything would be slow for seconds. So a round trip that began before there was a
    /// path again is not believed.
    fn doubt_round_trip(&mut self, now: Instant) {
        let (Some(again), Some(connection)) = (self.again, &self.connection) else { return };
        let rtt = connection.rtt();
        if rtt == self.config.initial_rtt {
            return; // none was measured
        }
        if rtt > now.since(again) {
            self.forget_path(now);
        } else {
            self.again = None;
        }
    }

    /// Takes a datagram that the other side has sent, by whatever path. It cannot fail.
    pub fn handle_input(&mut self, now: Instant, ecn: Option<Ecn>, bytes: &[u8]) {
        if bytes.is_empty() || self.is_over() {
            self.counters.dropped += 1;
            return;
        }
        let datagram = self.pool.copy(bytes);
        let ecn = ecn.and_then(|mark| EcnCodepoint::from_bits(mark as u8));
        self.packets.clear();
        let time = self.anchor.std(now);
        match self.endpoint.handle(time, VIRTUAL, None, ecn, datagram, &mut self.packets) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some(connection) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.meet(now, incoming),
            // It is about something that is not ours, and would go to somebody who is not the other side.
            Some(DatagramEvent::Response(_)) | None => self.counters.dropped += 1,
        }
        self.doubt_round_trip(now);
        self.settle(now);
    }

    /// The first packet of a connection.
    fn meet(&mut self, now: Instant, incoming: Incoming) {
        if self.connection.is_some() || self.is_closed() {
            self.endpoint.ignore(incoming);
            self.counters.strangers += 1;
            return;
        }
        self.packets.clear();
        match self.endpoint.accept(incoming, self.anchor.std(now), &mut self.packets, None) {
            Ok((handle, connection)) => {
                (self.handle, self.connection) = (Some(handle), Some(connection));
            }
            // It was not what it seemed to be: the real one may yet come.
            Err(error) if error.response.is_none() => self.counters.strangers += 1,
            Err(error) => {
                self.refusal.clear();
                let len = error.response.map_or(0, |response| response.size);
                self.refusal.extend_from_slice(&self.packets[..len]);
                self.end(Reason::of(error.cause));
            }
        }
    }

    /// Passes on what the endpoint and the connection have to say to each other, and takes note of what is
    /// for the program.
    fn settle(&mut self, now: Instant) {
        let (Some(connection), Some(handle)) = (&mut self.connection, self.handle) else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(answer) = self.endpoint.handle_event(handle, event) {
                connection.handle_event(answer);
            }
        }
        while let Some(event) = self.connection.as_mut().and_then(Connection::poll) {
            if self.phase != Phase::Closed && self.hear(now, event).is_err() {
                self.abandon(now, Reason::TooManyEvents);
            }
        }
    }

    fn hear(&mut self, now: Instant, event: quinn_proto::Event) -> Result<(), Full> {
        match event {
            quinn_proto::Event::HandshakeDataReady => Ok(()),
            quinn_proto::Event::Connected => self.connected(now),
            quinn_proto::Event::ConnectionLost { reason } => {
                self.end(Reason::of(reason));
                Ok(())
            }
            quinn_proto::Event::DatagramReceived => self.events.push(Event::DatagramReceived),
            quinn_proto::Event::DatagramsUnblocked => self.events.push(Event::DatagramRoom),
            quinn_proto::Event::Stream(StreamEvent::Opened { dir }) => self.opened(dir),
            quinn_proto::Event::Stream(StreamEvent::Readable { id }) => {
                self.events.push(Event::Readable { id: id.into() })
            }
            quinn_proto::Event::Stream(StreamEvent::Writable { id }) => {
                self.events.push(Event::Writable { id: id.into() })
            }
            quinn_proto::Event::Stream(StreamEvent::Finished { id }) => {
                self.events.push(Event::Finished { id: id.into() })
            }
            quinn_proto::Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.events.push(Event::Stopped { id: id.into(), code: error_code.into_inner() })
            }
            quinn_proto::Event::Stream(StreamEvent::Available { dir }) => {
                self.events.push(Event::StreamsAllowed { is_bidirectional: dir == quinn_proto::Dir::Bi })
            }
        }
    }

    fn connected(&mut self, now: Instant) -> Result<(), Full> {
        let identity = self.connection.as_ref().and_then(|one| one.crypto_session().peer_identity());
        let Some(peer) = identity.and_then(|key| key.downcast::<PublicKey>().ok()) else {
            // The verifiers have seen one.
            self.abandon(now, Reason::WrongKey);
            return Ok(());
        };
        (self.phase, self.deadline, self.peer) = (Phase::Connected, None, Some(*peer));
        self.events.push(Event::Connected { peer: *peer })
    }

    fn opened(&mut self, dir: quinn_proto::Dir) -> Result<(), Full> {
        while let Some(id) = self.connection.as_mut().and_then(|one| one.streams().accept(dir)) {
            self.told[dir as usize] = id.index() + 1;
            self.events.push(Event::StreamOpened { id: StreamId::from(id) })?;
        }
        Ok(())
    }

    /// It has ended; `None`: as we wanted it.
    fn end(&mut self, reason: Option<Reason>) {
        (self.phase, self.deadline) = (Phase::Closed, None);
        if let Some(reason) = reason {
            self.events.last(Event::Closed(reason));
        }
    }

    /// Ends it from our side, without having been asked to.
    fn abandon(&mut self, now: Instant, reason: Reason) {
        self.end(Some(reason));
        if let Some(connection) = &mut self.connection {
            connection.close(self.anchor.std(now), streams::code(0), Bytes::new());
        }
    }

    /// Closes the connection: what has not arrived may never do so. Nothing is told any more; one packet is
    /// sent that says so, and again for a few round trips to whoever has not heard of it.
    pub fn close(&mut self, now: Instant, code: u64, reason: &[u8]) {
        if self.phase == Phase::Closed {
            return;
        }
        self.events.clear();
        self.end(None);
        if let Some(connection) = &mut self.connection {
            let reason = Bytes::copy_from_slice(reason);
            connection.close(self.anchor.std(now), streams::code(code), reason);
        }
        self.settle(now);
    }

    /// Fires what is due at `now` and returns the next thing to do; for a `Transmit` the packets are at the
    /// start of `buf`. If there is room for several packets there may be several, all to be sent on the one
    /// path. Nothing is sent into less than [`MAX_PACKET`] bytes.
    pub fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        for _ in 0..MOST_ROUNDS {
            self.fire(now);
            if let Some(event) = self.events.pop() {
                return Output::Event(event);
            }
            if let Some(transmit) = self.transmit(now, buf) {
                return transmit;
            }
            // Making packets can use up what keys are good for.
            self.settle(now);
            let wake = self.wake();
            let has_more = !self.events.is_empty() || wake.is_some_and(|wake| wake <= now);
            if !has_more {
                return Output::Idle(wake);
            }
        }
        Output::Idle(Some(now + Duration::from_micros(1)))
    }

    fn fire(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.abandon(now, Reason::HandshakeTimedOut);
        }
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(self.anchor.std(now));
        }
        self.settle(now);
    }

    fn wake(&mut self) -> Option<Instant> {
        let timer = self.connection.as_mut().and_then(Connection::poll_timeout);
        [self.deadline, timer.map(|time| self.anchor.ours(time))].into_iter().flatten().min()
    }

    fn transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output<Event>> {
        let path = self.path?;
        if buf.len() < MAX_PACKET {
            return None;
        }
        if !self.refusal.is_empty() {
            let len = self.refusal.len();
            buf[..len].copy_from_slice(&self.refusal);
            self.refusal.clear();
            return Some(Output::Transmit { path, len, segment: None, ecn: None });
        }
        let room = (buf.len() / MAX_PACKET).min(MAX_SEGMENTS);
        self.packets.clear();
        let made = self.connection.as_mut()?.poll_transmit(self.anchor.std(now), room, &mut self.packets)?;
        buf[..made.size].copy_from_slice(&self.packets[..made.size]);
        // A segment is never longer than a packet.
        let segment = made.segment_size.and_then(|size| NonZeroU16::new(u16::try_from(size).ok()?));
        let ecn = made.ecn.and_then(|mark| Ecn::from_bits(mark as u8));
        Some(Output::Transmit { path, len: made.size, segment, ecn })
    }
}
