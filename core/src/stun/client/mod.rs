//! A STUN client: asks servers where we come from (RFC 8489, RFC 5780).
//!
//! Any number of requests to any number of servers may be under way. Each is repeated until it is
//! answered, refused or given up ([`transaction`](super::transaction)), and ends in exactly one
//! [`Event`]. Between requests the client remembers how far each server is and how it wants requests
//! signed.
//!
//! What counts as an answer, and what is ignored, is the subject of `pending.rs`.
//!
//! How many requests go to one server at a time is the caller's business; RFC 8489 §6.2 suggests ten.

mod pending;
mod request;
mod servers;
mod session;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashMap;

use pending::{Ignore, Pending, Ruling};
pub use request::{Answer, Change, Credentials, Event, Failure, Offer, Request, RequestError, RequestId};
use servers::{Proof, Servers};
use session::Session;

use crate::hash::Keyed;
use crate::machine::{HostInput, MIN_BUFFER, Machine, Meta, Output, Path, Transport, Verdict};
use crate::rng::Rng;
use crate::stun::transaction::{RoundTrips, Schedule, Step, Transaction};
use crate::time::{Duration, Instant};
use crate::timers::Timers;
use crate::wire::stun::{Message, Method, NoRoom, TransactionId};

/// How many requests may be under way at once.
pub const MAX_IN_FLIGHT: usize = 1_024;

/// How many times a request is repeated because its nonce was stale.
pub const MAX_STALE: u8 = 3;

/// The longest PADDING that is sent: it makes a packet that no Ethernet carries whole.
const MAX_PADDING: u16 = 1_440;

/// The client as a [`Machine`].
///
/// ```
/// use bradawl::machine::{Machine, Meta, Output, Path, MIN_BUFFER};
/// use bradawl::rng::Rng;
/// use bradawl::stun::client::{Event, Request, StunClient};
/// use bradawl::stun::server::{Config, StunServer};
/// use bradawl::time::{Duration, Instant};
///
/// let mut client = StunClient::new(Rng::from_seed([1; 32]));
/// let mut server = StunServer::new(Config::default(), Rng::from_seed([2; 32]));
/// let there = Path::udp("10.0.0.7:5000".parse()?, "198.51.100.1:3478".parse()?);
/// let (sent, arrived) = (Instant::ZERO, Instant::ZERO + Duration::from_millis(40));
///
/// client.request(sent, there, Request::default())?;
/// let mut buf = [0; MIN_BUFFER];
/// let Output::Transmit { len, .. } = client.poll_output(sent, &mut buf) else { panic!() };
///
/// // A NAT on the way: the server sees another address than ours.
/// let seen = Path::udp(there.remote, "192.0.2.9:61000".parse()?);
/// let _ = server.handle_input(sent, seen, Meta::default(), &buf[..len]);
/// let Output::Transmit { len, .. } = server.poll_output(sent, &mut buf) else { panic!() };
///
/// let _ = client.handle_input(arrived, there, Meta::default(), &buf[..len]);
/// let Output::Event(Event::Answered(answer)) = client.poll_output(arrived, &mut buf) else { panic!() };
/// assert_eq!(answer.mapped, "192.0.2.9:61000".parse()?);
/// assert_eq!(answer.round_trip, Some(Duration::from_millis(40)));
/// assert_eq!(client.poll_output(arrived, &mut buf), Output::Idle(None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StunClient {
    rng: Rng,
    servers: Servers,
    requests: Vec<Option<Pending>>,
    vacant: Vec<u32>,
    by_transaction: HashMap<TransactionId, u32, Keyed>,
    /// When each slot of `requests` has something to send, or is to be given up.
    timers: Timers,
    events: VecDeque<Event>,
    serial: u32,
    ignored: Ignored,
}

/// How many datagrams were ignored, by reason.
///
/// ```
/// # use bradawl::stun::client::Ignored;
/// assert_eq!(Ignored::default().wrong_source, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Not well-formed STUN. Left to others.
    pub malformed: u64,
    /// Not an answer to any request under way. Left to others.
    pub stray: u64,
    /// An answer from, or to, another address.
    pub wrong_source: u64,
    /// An answer with a wrong fingerprint.
    pub wrong_fingerprint: u64,
    /// An answer that is not signed as it has to be.
    pub unproven: u64,
    /// A challenge that would weaken the credentials.
    pub forged: u64,
}

impl Machine for StunClient {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let Ok(message) = Message::parse(bytes) else {
            self.ignored.malformed += 1;
            return Verdict::Unclaimed;
        };
        let is_answer = message.class().is_response() && message.method() == Method::BINDING;
        let slot = self.by_transaction.get(&message.transaction_id()).copied().filter(|_| is_answer);
        let Some((slot, pending)) =
            slot.and_then(|slot| Some((slot, self.requests[slot as usize].as_mut()?)))
        else {
            self.ignored.stray += 1;
            return Verdict::Unclaimed;
        };
        let proven = pending.proven_session(&mut self.servers);
        match pending.rule(now, path, &message, proven.as_deref()) {
            Ok(Ruling::Finish(event)) => self.finish(now, slot, event),
            Ok(Ruling::Follow(session)) => self.follow(now, slot, session),
            Err(Ignore::WrongSource) => self.ignored.wrong_source += 1,
            Err(Ignore::WrongFingerprint) => self.ignored.wrong_fingerprint += 1,
            Err(Ignore::Unproven(code)) => {
                self.ignored.unproven += 1;
                self.disbelieve(now, slot, code);
            }
            Err(Ignore::Forged(code)) => {
                self.ignored.forged += 1;
                self.disbelieve(now, slot, code);
            }
        }
        Verdict::Consumed
    }

    /// An unreachable server is a hint and ends nothing: anybody can forge ICMP. It is told if the
    /// request fails.
    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        if let HostInput::Unreachable { path, kind } = input
            && let Some(server) = self.servers.known(path.remote)
        {
            server.set_unreachable(now, kind);
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            let Some(slot) = self.timers.pop(now) else { return Output::Idle(self.timers.next_deadline()) };
            let Some(pending) = self.requests[slot as usize].as_mut() else { continue };
            let Step::Send { next } = pending.transaction.step(now) else {
                let server = self.servers.known(pending.path.remote);
                let event =
                    pending.give_up(server.and_then(|server| server.unreachable_since(pending.begun)));
                self.finish(now, slot, event);
                continue;
            };
            self.timers.set(slot, next);
            match pending.write(buf) {
                Ok(len) => return Output::Transmit { path: pending.path, len, segment: None, ecn: None },
                Err(NoRoom) if buf.len() >= MIN_BUFFER => {
                    let event = pending.fail(Failure::TooLong);
                    self.finish(now, slot, event);
                }
                // A buffer that is too short loses the packet, as a network might.
                Err(NoRoom) => {}
            }
        }
    }
}

impl StunClient {
    /// A client that starts from the RTO of RFC 8489.
    pub fn new(rng: Rng) -> Self {
        Self::with_round_trips(RoundTrips::default(), rng)
    }

    /// A client that starts from another RTO.
    pub fn with_round_trips(initial: RoundTrips, mut rng: Rng) -> Self {
        Self {
            servers: Servers::new(initial, &mut rng),
            requests: Vec::new(),
            vacant: Vec::new(),
            by_transaction: HashMap::with_hasher(Keyed::new(&mut rng)),
            timers: Timers::default(),
            events: VecDeque::new(),
            serial: 0,
            ignored: Ignored::default(),
            rng,
        }
    }

    /// Begins a request on `path`. The next poll sends it.
    pub fn request(&mut self, now: Instant, path: Path, request: Request) -> Result<RequestId, RequestError> {
        if path.remote.port() == 0 || path.local.is_ipv4() != path.remote.is_ipv4() {
            return Err(RequestError::BadPath);
        }
        if self.requests.len() - self.vacant.len() == MAX_IN_FLIGHT {
            return Err(RequestError::TooMany);
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.requests.push(None);
            (self.requests.len() - 1) as u32
        });
        self.serial = self.serial.wrapping_add(1);
        let id = RequestId { serial: self.serial, slot };
        let server = self.servers.entry(path.remote);
        let proof = request.credentials.as_ref().and_then(|credentials| server.standing_proof(credentials));
        let (session, settled) = match proof {
            Some(Proof::Long(session)) => (Some(Arc::clone(session)), None),
            Some(Proof::Short(which)) => (None, Some(*which)),
            None => (None, None),
        };
        let transaction_id = TransactionId::random(&mut self.rng);
        self.requests[slot as usize] = Some(Pending {
            id,
            path,
            transaction_id,
            transaction: transaction(path, request.schedule, server.rto(now)),
            request,
            session,
            settled,
            proof: None,
            begun: now,
            challenged: false,
            stale: 0,
            unproven: None,
        });
        self.by_transaction.insert(transaction_id, slot);
        self.timers.set(slot, now);
        Ok(id)
    }

    /// Forgets a request; no event will tell of it. Whether it was still under way.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let slot = self.requests.get(id.slot as usize).and_then(Option::as_ref);
        let under_way = slot.is_some_and(|pending| pending.id == id);
        if under_way {
            self.release(id.slot);
        }
        under_way
    }

    /// How many datagrams were ignored, by reason.
    pub const fn ignored(&self) -> &Ignored {
        &self.ignored
    }

    /// Ends a request with its one event, and remembers what it has shown of the server.
    fn finish(&mut self, now: Instant, slot: u32, event: Event) {
        self.events.push_back(event);
        let Some(pending) = self.release(slot) else { return };
        let Some(server) = self.servers.known(pending.path.remote) else { return };
        if let Event::Answered(_) = event
            && let Some(round_trip) = pending.transaction.round_trip(now)
        {
            server.observe(now, round_trip);
        }
        let Some(credentials) = pending.request.credentials else { return };
        if let Event::Failed { reason: Failure::Unauthenticated, .. } = event {
            server.refuse(&credentials);
        } else if let Some(which) = pending.proof {
            server.prove(credentials, pending.session.map_or(Proof::Short(which), Proof::Long));
        }
    }

    /// Notes an answer that nobody may act on. Over a reliable transport the right one will not come
    /// any more (RFC 8489 §9.1.4, §9.2.5).
    fn disbelieve(&mut self, now: Instant, slot: u32, code: Option<u16>) {
        let Some(pending) = self.requests[slot as usize].as_mut() else { return };
        pending.unproven = Some(code);
        if pending.path.transport == Transport::Tcp {
            let event = pending.fail(Failure::Unproven(code));
            self.finish(now, slot, event);
        }
    }

    fn release(&mut self, slot: u32) -> Option<Pending> {
        let pending = self.requests[slot as usize].take()?;
        self.by_transaction.remove(&pending.transaction_id);
        self.timers.cancel(slot);
        self.vacant.push(slot);
        Some(pending)
    }

    /// Begins a new transaction for the same request, signed as the server wants it. Nobody knows yet
    /// whether it was the server who said so, so nothing else is signed like that.
    fn follow(&mut self, now: Instant, slot: u32, session: Session) {
        let Some(pending) = self.requests[slot as usize].as_mut() else { return };
        let server = self.servers.entry(pending.path.remote);
        if let Some(round_trip) = pending.transaction.round_trip(now) {
            server.observe(now, round_trip);
        }
        self.by_transaction.remove(&pending.transaction_id);
        pending.transaction_id = TransactionId::random(&mut self.rng);
        pending.transaction = transaction(pending.path, pending.request.schedule, server.rto(now));
        pending.session = Some(Arc::new(session));
        self.by_transaction.insert(pending.transaction_id, slot);
        self.timers.set(slot, now);
    }
}

/// Over a reliable transport nothing is repeated (RFC 8489 §6.2.2).
fn transaction(path: Path, schedule: Schedule, rto: Duration) -> Transaction {
    match path.transport {
        Transport::Udp => Transaction::new(schedule, rto),
        Transport::Tcp => Transaction::new(Schedule::RELIABLE, RoundTrips::INITIAL_RTO),
    }
}

impl fmt::Debug for StunClient {
    // Never the transaction ids: who knows them can answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = self.requests.len() - self.vacant.len();
        f.debug_struct("StunClient").field("under_way", &under_way).finish_non_exhaustive()
    }
}
