//! A STUN client: asks servers where we come from (RFC 8489, RFC 5780).
//!
//! Any number of requests to any number of servers may be under way. Each is repeated until it is
//! answered, refused or given up ([`transaction`](super::transaction)), and ends in exactly one
//! [`Event`]. Between requests the client remembers how far each server is and how it wants requests
//! signed.
//!
//! What counts as an answer is decided in this order, and whatever fails changes nothing:
//!
//! 1. A Binding response whose transaction id is one of ours.
//! 2. It came to the address that asked, from the address that was asked (or from the one that was
//!    asked to answer).
//! 3. Its FINGERPRINT is right, if it has one.
//! 4. If the request was signed, so is the answer, with the same attribute. The exceptions are 401
//!    and 438 under long-term credentials, by which a server says what to sign with (RFC 8489
//!    §9.2.5): one 401 and [`MAX_STALE`] times 438 are followed per request. A 487 needs a signature
//!    always: it would make an ICE agent change its role.

mod request;
mod servers;
mod session;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use hashbrown::HashMap;

use request::Secret;
pub use request::{Answer, Credentials, Event, Failure, Offer, Request, RequestError, RequestId};
use servers::Servers;
use session::{ChallengeError, Session, Signer};

use crate::hash::Keyed;
use crate::machine::{HostInput, Machine, Meta, Output, Path, Unreachable, Verdict};
use crate::rng::Rng;
use crate::stun::transaction::{RoundTrips, Step, Transaction};
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::stun::attr::{
    AlternateServer, ErrorCode, Kind, MappedAddress, OtherAddress, Padding, ResponseOrigin, XorMappedAddress,
};
use crate::wire::stun::{BadAttribute, Class, Message, Method, NoRoom, TransactionId, Writer};

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
#[derive(Debug)]
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

/// A request under way.
#[derive(Debug)]
struct Pending {
    id: RequestId,
    path: Path,
    request: Request,
    transaction_id: TransactionId,
    transaction: Transaction,
    /// What the transmissions of this transaction are signed with. Fixed while it lasts: one
    /// transaction id, one content.
    session: Option<Arc<Session>>,
    challenged: bool,
    stale: u8,
    /// An answer came that did not prove who sent it, and what it said.
    unproven: Option<Option<u16>>,
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

/// What an answer leads to.
enum Ruling {
    Finish(Event),
    /// Send the request again, signed like this.
    Follow(Session),
}

/// Why an answer leads to nothing.
enum Ignore {
    WrongSource,
    WrongFingerprint,
    Unproven(Option<u16>),
    Forged,
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
        match pending.rule(now, path, &message) {
            Ok(Ruling::Finish(event)) => self.finish(now, slot, event),
            Ok(Ruling::Follow(session)) => self.follow(now, slot, Arc::new(session)),
            Err(Ignore::WrongSource) => self.ignored.wrong_source += 1,
            Err(Ignore::WrongFingerprint) => self.ignored.wrong_fingerprint += 1,
            Err(Ignore::Forged) => self.ignored.forged += 1,
            Err(Ignore::Unproven(code)) => {
                pending.unproven = Some(code);
                self.ignored.unproven += 1;
            }
        }
        Verdict::Consumed
    }

    /// An unreachable server is a hint and ends nothing: anybody can forge ICMP. It is told if the
    /// request fails.
    fn handle_host(&mut self, _: Instant, input: HostInput<'_>) {
        if let HostInput::Unreachable { path, kind } = input
            && let Some(server) = self.servers.known(path.remote)
        {
            server.unreachable = Some(kind);
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
                let event = pending.give_up(server.and_then(|server| server.unreachable));
                self.finish(now, slot, event);
                continue;
            };
            self.timers.set(slot, next);
            // A buffer that is too short loses the packet, as a network might.
            if let Ok(len) = pending.write(buf) {
                return Output::Transmit { path: pending.path, len, segment: None, ecn: None };
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
        server.unreachable = None;
        let session = request.credentials.as_ref().and_then(|credentials| server.session(credentials));
        let transaction_id = TransactionId::random(&mut self.rng);
        self.requests[slot as usize] = Some(Pending {
            id,
            path,
            transaction_id,
            transaction: Transaction::new(request.schedule, server.trips.rto()),
            request,
            session,
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

    /// Ends a request with its one event.
    fn finish(&mut self, now: Instant, slot: u32, event: Event) {
        if let Some(pending) = self.release(slot)
            && let Event::Answered(_) = event
            && let Some(round_trip) = pending.transaction.round_trip(now)
        {
            self.servers.entry(pending.path.remote).trips.observe(round_trip);
        }
        self.events.push_back(event);
    }

    fn release(&mut self, slot: u32) -> Option<Pending> {
        let pending = self.requests[slot as usize].take()?;
        self.by_transaction.remove(&pending.transaction_id);
        self.timers.cancel(slot);
        self.vacant.push(slot);
        Some(pending)
    }

    /// Begins a new transaction for the same request, signed as the server wants it.
    fn follow(&mut self, now: Instant, slot: u32, session: Arc<Session>) {
        let Some(pending) = self.requests[slot as usize].as_mut() else { return };
        let server = self.servers.entry(pending.path.remote);
        if let Some(round_trip) = pending.transaction.round_trip(now) {
            server.trips.observe(round_trip);
        }
        if let Some(credentials) = &pending.request.credentials {
            server.set_session(Arc::clone(credentials), Arc::clone(&session));
        }
        self.by_transaction.remove(&pending.transaction_id);
        pending.transaction_id = TransactionId::random(&mut self.rng);
        pending.transaction = Transaction::new(pending.request.schedule, server.trips.rto());
        pending.session = Some(session);
        self.by_transaction.insert(pending.transaction_id, slot);
        self.timers.set(slot, now);
    }
}

impl Pending {
    fn signer(&self) -> Option<Signer<'_>> {
        Signer::new(self.request.credentials.as_deref(), self.session.as_deref())
    }

    fn write(&self, buf: &mut [u8]) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(buf, Class::Request, Method::BINDING, self.transaction_id)
            .put_some(self.request.change.as_ref());
        if self.request.padding > 0 {
            let len = self.request.padding.min(MAX_PADDING);
            writer = writer.put(&Padding(&[0; MAX_PADDING as usize][..usize::from(len)]));
        }
        if let Some(signer) = self.signer() {
            writer = signer.sign(writer);
        }
        if self.request.fingerprint {
            writer = writer.fingerprint();
        }
        writer.finish()
    }

    /// What the answer `message` leads to. See the module documentation for the order.
    fn rule(&mut self, now: Instant, path: Path, message: &Message<'_>) -> Result<Ruling, Ignore> {
        let expected = Path { remote: self.request.answer_from.unwrap_or(self.path.remote), ..self.path };
        if path != expected {
            return Err(Ignore::WrongSource);
        }
        if message.has_fingerprint() && !message.fingerprint_holds() {
            return Err(Ignore::WrongFingerprint);
        }
        let proven = self.signer().map(|signer| signer.proves(message));
        let ruling = if message.class() == Class::Success {
            if proven == Some(false) {
                return Err(Ignore::Unproven(None));
            }
            Ruling::Finish(self.accept(now, path.remote, message))
        } else {
            self.rule_on_error(message, proven)?
        };
        // RFC 8489 §6.3.3, §6.3.4: who does not understand an answer must not act on it.
        if message.not_understood(understood).next().is_some() {
            return Ok(Ruling::Finish(self.fail(Failure::BadAnswer)));
        }
        Ok(ruling)
    }

    fn accept(&self, now: Instant, from: SocketAddr, message: &Message<'_>) -> Event {
        let Ok(Some(mapped)) = mapped_address(message) else { return self.fail(Failure::BadAnswer) };
        let other = message.find().ok().flatten();
        let origin = message.find().ok().flatten();
        Event::Answered(Answer {
            id: self.id,
            mapped,
            from,
            round_trip: self.transaction.round_trip(now),
            attempts: self.transaction.sent(),
            other: other.map(|OtherAddress(other)| other),
            origin: origin.map(|ResponseOrigin(origin)| origin),
        })
    }

    /// What an error response leads to; `proven` is `None` for a request that was not signed.
    fn rule_on_error(&mut self, message: &Message<'_>, proven: Option<bool>) -> Result<Ruling, Ignore> {
        let Ok(Some(ErrorCode { code, .. })) = message.find() else {
            if proven == Some(false) {
                return Err(Ignore::Unproven(None));
            }
            return Ok(Ruling::Finish(self.fail(Failure::BadAnswer)));
        };
        let is_challenge = matches!(code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE);
        if is_challenge
            && let Some(credentials) = self.request.credentials.clone()
            && let Secret::Long { password } = &credentials.secret
        {
            return self.rule_on_challenge(message, code, &credentials.username, password);
        }
        if proven == Some(false) || proven.is_none() && code == ErrorCode::ROLE_CONFLICT {
            return Err(Ignore::Unproven(Some(code)));
        }
        let reason = match code {
            ErrorCode::UNAUTHENTICATED => Failure::Unauthenticated,
            ErrorCode::TRY_ALTERNATE => match message.find() {
                Ok(Some(AlternateServer(server))) => Failure::TryAlternate(server),
                _ => Failure::BadAnswer,
            },
            code => Failure::Refused { code },
        };
        Ok(Ruling::Finish(self.fail(reason)))
    }

    /// A 401 or 438 under long-term credentials.
    fn rule_on_challenge(
        &mut self,
        message: &Message<'_>,
        code: u16,
        username: &str,
        password: &str,
    ) -> Result<Ruling, Ignore> {
        let session = match Session::from_challenge(message, self.session.as_deref(), username, password) {
            Ok(session) => session,
            Err(ChallengeError::Forged) => return Err(Ignore::Forged),
            Err(ChallengeError::Unusable) => return Ok(Ruling::Finish(self.fail(Failure::BadAnswer))),
        };
        let exhausted = if code == ErrorCode::UNAUTHENTICATED {
            core::mem::replace(&mut self.challenged, true).then_some(Failure::Unauthenticated)
        } else {
            self.stale += 1;
            (self.stale > MAX_STALE).then_some(Failure::AlwaysStale)
        };
        Ok(exhausted.map_or_else(|| Ruling::Follow(session), |reason| Ruling::Finish(self.fail(reason))))
    }

    fn give_up(&self, unreachable: Option<Unreachable>) -> Event {
        self.fail(self.unproven.map_or(Failure::TimedOut(unreachable), Failure::Unproven))
    }

    const fn fail(&self, reason: Failure) -> Event {
        Event::Failed { id: self.id, reason }
    }
}

/// XOR-MAPPED-ADDRESS, or what servers had before it.
fn mapped_address(message: &Message<'_>) -> Result<Option<SocketAddr>, BadAttribute> {
    if let Some(XorMappedAddress(mapped)) = message.find()? {
        return Ok(Some(mapped));
    }
    Ok(message.find()?.map(|MappedAddress(mapped)| mapped))
}

/// The attributes of a Binding response that this client knows, be it only to ignore them. The
/// addresses of RFC 3489 are among them: its servers are asked too.
fn understood(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::MAPPED_ADDRESS
            | Kind::XOR_MAPPED_ADDRESS
            | Kind::SOURCE_ADDRESS
            | Kind::CHANGED_ADDRESS
            | Kind::USERNAME
            | Kind::USERHASH
            | Kind::ERROR_CODE
            | Kind::UNKNOWN_ATTRIBUTES
            | Kind::REALM
            | Kind::NONCE
            | Kind::PASSWORD_ALGORITHM
            | Kind::PADDING
    )
}
