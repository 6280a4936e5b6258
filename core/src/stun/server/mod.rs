//! A STUN server: tells whoever asks where they came from (RFC 8489, RFC 5780).
//!
//! What happens to a datagram, in this order:
//!
//! 1. It is a well-formed Binding *request*, or it is left alone: no response, no indication and
//!    nothing malformed is ever answered. It came from a real port, and its FINGERPRINT, if it has
//!    one, is right.
//! 2. Its sender's network has not used up its rate ([`RateLimit`]).
//! 3. It is answered: 420 if it has attributes that must be understood and are not, 400 if it claims
//!    to be signed and does not say by whom, else success with XOR-MAPPED-ADDRESS.
//!
//! An answer carries nothing that was not asked for: 32 bytes for IPv4, 44 for IPv6, 8 more with a
//! FINGERPRINT if the request had one. Where an alternate address is configured, MAPPED-ADDRESS,
//! RESPONSE-ORIGIN and OTHER-ADDRESS come on top and CHANGE-REQUEST and PADDING are honoured (RFC
//! 5780 §6); RESPONSE-PORT never is, because it sends traffic where somebody else says.
//!
//! Whoever sends HELP gets HELP back, 16 bytes more in both: at which other port we are, and what it
//! takes to be answered once more, later ([`MAX_LATE`]). A server with one IP address still honours
//! CHANGE-REQUEST for the port ([`Ports`]); two servers can be each other's second IP address
//! ([`Alternate::of_partner`]).
//!
//! The server keeps no state per client but the rate table, which has a fixed size, and the late
//! answers that were asked for. But for these nothing is allocated after construction.

mod addresses;
mod answer;
mod counters;
mod late;
mod partner;
mod rate;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::net::IpAddr;

use addresses::Addresses;
pub use addresses::{Alternate, Ports};
use answer::{Answer, Body, Helping, MAX_PADDING, Pen};
pub use counters::{Counters, Outcome};
use late::Late;
pub use late::{LATE_ANSWERS, LATE_GAP, MAX_LATE, MAX_LATE_PER_NETWORK};
pub use partner::MAX_HAND_OVERS;
use partner::Partner;
pub use rate::RateLimit;
use rate::RateTable;

use crate::machine::{HostInput, MIN_BUFFER, Machine, Meta, Output, Path, Transport, Verdict};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::demux::Protocol;
use crate::wire::stun::attr::{ChangeRequest, Help, Kind};
use crate::wire::stun::{Class, Key, Malformed, Message, Method, NoRoom};

/// How many answers may wait to be polled. A host that feeds more datagrams than this before it
/// drains loses the rest, as a full socket buffer would.
pub const MAX_PENDING: usize = 256;

/// What a server is to do.
///
/// ```
/// use bradawl::stun::server::{Alternate, Config};
///
/// let config = Config {
///     alternates: vec![Alternate::new("192.0.2.1:3478".parse()?, "192.0.2.2:3479".parse()?).unwrap()],
///     ..Config::default()
/// };
/// assert!(!config.classic && config.rate.is_some());
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's second addresses, for NAT behaviour discovery: one per primary address that has
    /// one.
    pub alternates: Vec<Alternate>,
    /// The second ports where there is no second IP address.
    pub ports: Vec<Ports>,
    /// The secret that is shared with the partner. Without it alternates of a partner are of no use,
    /// and ignored.
    pub partner_key: Option<Key>,
    /// What the world calls our IP addresses where it does not call them what we do, such as behind a
    /// cloud's NAT: ours and the public one.
    pub advertised: Vec<(IpAddr, IpAddr)>,
    /// The longest delay after which a client may ask to be answered once more, in seconds; 0 for no
    /// such answers.
    pub longest_delay: u16,
    /// Answer clients of RFC 3489 too, whose messages have no magic cookie and so look like almost
    /// anything.
    pub classic: bool,
    /// How fast one network may ask; `None` for no limit.
    pub rate: Option<RateLimit>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alternates: Vec::new(),
            ports: Vec::new(),
            partner_key: None,
            advertised: Vec::new(),
            longest_delay: 600,
            classic: false,
            rate: Some(RateLimit::default()),
        }
    }
}

/// The server as a [`Machine`]. It has no events.
///
/// ```
/// use bradawl::machine::{Machine, Meta, Output, Path, Verdict, MIN_BUFFER};
/// use bradawl::rng::Rng;
/// use bradawl::stun::server::{Config, Outcome, StunServer};
/// use bradawl::time::Instant;
/// use bradawl::wire::stun::attr::XorMappedAddress;
/// use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
///
/// let mut server = StunServer::new(Config::default(), Rng::from_seed([0; 32]));
/// let path = Path::udp("192.0.2.1:3478".parse()?, "198.51.100.7:50000".parse()?);
///
/// let mut request = [0; 20];
/// Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId::from([7; 12])).finish()?;
/// assert_eq!(server.handle_input(Instant::ZERO, path, Meta::default(), &request), Verdict::Consumed);
///
/// let mut buf = [0; MIN_BUFFER];
/// let Output::Transmit { len: 32, .. } = server.poll_output(Instant::ZERO, &mut buf) else { panic!() };
/// let answer = Message::parse(&buf[..32])?;
/// assert_eq!(answer.find()?, Some(XorMappedAddress(path.remote)));
/// assert_eq!(server.poll_output(Instant::ZERO, &mut buf), Output::Idle(None));
/// assert_eq!(server.counters().count(Outcome::Success), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StunServer {
    addresses: Addresses,
    classic: bool,
    rate: Option<RateTable>,
    pending: VecDeque<Answer>,
    late: Late,
    partner: Option<Partner>,
    counters: Counters,
}

impl Machine for StunServer {
    type Event = Infallible;

    fn handle_input(&mut self, now: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let outcome = self.examine(now, path, bytes).unwrap_or_else(|outcome| outcome);
        self.counters.add(outcome);
        if outcome.is_for_others() { Verdict::Unclaimed } else { Verdict::Consumed }
    }

    /// Nothing that a host can say is of interest to a server without state.
    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Infallible> {
        loop {
            if let Some(answer) = self.pending.front() {
                let key = self.partner.as_ref().map(Partner::key);
                let pen = Pen { now, addresses: &self.addresses, late: &self.late, key };
                let path = answer.way();
                match answer.write(buf, &pen) {
                    Ok(len) => {
                        self.pending.pop_front();
                        return Output::Transmit { path, len, segment: None, ecn: None };
                    }
                    // Too short a buffer yields nothing; the answer waits for a longer one, and so does
                    // what is due by now.
                    Err(NoRoom) if buf.len() < MIN_BUFFER => {
                        return Output::Idle(self.late.next().filter(|next| *next > now));
                    }
                    // No answer is that long. Were one, it must not stand in the way of the others.
                    Err(NoRoom) => {
                        self.pending.pop_front();
                        self.counters.add(Outcome::Overflow);
                    }
                }
            } else if let Some(answer) = self.late.due(now) {
                self.pending.push_back(answer);
            } else {
                return Output::Idle(self.late.next());
            }
        }
    }
}

impl StunServer {
    /// A server; `rng` is where its hash keys come from.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let Config { mut alternates, ports, partner_key, advertised, longest_delay, classic, rate } = config;
        alternates.retain(|alternate| !alternate.is_of_partner() || partner_key.is_some());
        let has_partner = alternates.iter().any(Alternate::is_of_partner);
        Self {
            addresses: Addresses { alternates, ports, advertised },
            classic,
            rate: rate.map(|limit| RateTable::new(limit, &mut rng)),
            pending: VecDeque::with_capacity(MAX_PENDING),
            late: Late::new(longest_delay, &mut rng),
            partner: partner_key.filter(|_| has_partner).map(|key| Partner::new(key, &mut rng)),
            counters: Counters::default(),
        }
    }

    /// What became of everything it was given.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Decides what to answer and notes it; an error is why not.
    fn examine(&mut self, now: Instant, path: Path, bytes: &[u8]) -> Result<Outcome, Outcome> {
        let (message, classic) = self.parse(bytes)?;
        if message.class() != Class::Request {
            return self.examine_other(now, path, &message);
        }
        if message.method() != Method::BINDING {
            return Err(Outcome::OtherMethod);
        }
        if path.remote.port() == 0 {
            return Err(Outcome::PortZero);
        }
        if message.has_fingerprint() && !message.fingerprint_holds() {
            return Err(Outcome::WrongFingerprint);
        }
        self.admit(now, path.remote.ip())?;
        let alternate = self.addresses.alternate_of(path);
        let other = |pair: &Alternate| pair.changed(path.local, ChangeRequest { ip: true, port: true });
        let other = alternate.and_then(other);
        // What most requests look like: nothing but a header.
        let bare = message.attributes().next().is_none() && message.integrity().is_none();
        let reply = if bare {
            Reply::with(Body::Success)
        } else {
            let can_change = |change| self.addresses.changed(path, change).is_some();
            Reply::to(&message, can_change, classic.is_some())?
        };
        let mut answer = Answer {
            path,
            other,
            id: message.transaction_id(),
            classic,
            fingerprint: message.has_fingerprint(),
            padding: reply.padding,
            help: None,
            body: reply.body,
        };
        if let Some(help) = reply.help {
            answer.help = Some(self.help(now, answer, help, reply.change.is_some()));
        }
        if let Some(change) = reply.change {
            self.change(now, &mut answer, change)?;
        }
        self.pending.push_back(answer);
        Ok(answer.body.outcome())
    }

    /// Whether there is room for one more answer, and its network's rate allows it.
    #[inline]
    fn admit(&mut self, now: Instant, client: IpAddr) -> Result<(), Outcome> {
        if self.pending.len() == MAX_PENDING {
            return Err(Outcome::Overflow);
        }
        if let Some(rate) = &mut self.rate
            && !rate.admit(now, client)
        {
            return Err(Outcome::RateLimited);
        }
        Ok(())
    }

    /// Has the answer leave from elsewhere, be it from the partner's.
    fn change(&mut self, now: Instant, answer: &mut Answer, change: ChangeRequest) -> Result<(), Outcome> {
        let Some(from) = self.addresses.changed(answer.path, change) else { return Ok(()) };
        let Some(partner) = self.partner.as_mut().filter(|_| self.addresses.is_partner(from.ip())) else {
            answer.path.local = from;
            return Ok(());
        };
        if !partner.may_give(now, from.ip()) {
            return Err(Outcome::RateLimited);
        }
        answer.other = Some(from);
        answer.body = Body::HandOver;
        Ok(())
    }

    /// What HELP is to say. Notes the late answer that is wanted, if one is: it comes from where it was
    /// asked for, so not from elsewhere, nor over a connection.
    fn help(&mut self, now: Instant, answer: Answer, wanted: Help, from_elsewhere: bool) -> Helping {
        let other_port = self.addresses.other_port(answer.path).unwrap_or(0);
        let late = Helping { other_port, delay: wanted.delay };
        let late = Answer { help: Some(late), padding: None, ..answer };
        let may_wait = answer.path.transport == Transport::Udp && !from_elsewhere;
        let is_done = wanted.delay == 0 || may_wait && self.late.note(now, late, wanted.token);
        Helping { other_port, delay: if is_done { self.late.longest() } else { 0 } }
    }

    /// Reads a message, of RFC 3489 too where that is allowed.
    #[inline]
    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<(Message<'a>, Option<[u8; 4]>), Outcome> {
        match Message::parse(bytes) {
            Ok(message) => Ok((message, None)),
            // From 4 on it is DTLS, ZRTP or something else that has two zero bits in front, too.
            Err(Malformed::Cookie | Malformed::Length) if Protocol::of(bytes) != Some(Protocol::Stun) => {
                Err(Outcome::NotStun)
            }
            Err(Malformed::Cookie) if self.classic => {
                let message = Message::parse_classic(bytes).map_err(Outcome::from)?;
                Ok((message, Some(message.cookie())))
            }
            Err(malformed) => Err(malformed.into()),
        }
    }
}

/// What to say to a well-formed request.
struct Reply {
    body: Body,
    /// Answer from another address than the one that was asked.
    change: Option<ChangeRequest>,
    padding: Option<u16>,
    help: Option<Help>,
}

impl Reply {
    const fn with(body: Body) -> Self {
        Self { body, change: None, padding: None, help: None }
    }

    /// Decides; an error is why nothing is said at all.
    fn to(
        request: &Message<'_>,
        can_change: impl Fn(ChangeRequest) -> bool,
        is_classic: bool,
    ) -> Result<Self, Outcome> {
        let has_alternate = can_change(ChangeRequest { ip: true, port: true });
        let has_ports = can_change(ChangeRequest { ip: false, port: true });
        let change = request.find::<ChangeRequest>();
        let wants_ip = matches!(change, Ok(Some(ChangeRequest { ip: true, .. })));
        let changes = has_alternate || has_ports && !wants_ip;
        let understood = match (has_alternate, changes || is_classic) {
            (true, _) => understood_with_alternate,
            (false, true) => understood_with_change,
            (false, false) => Kind::is_basic,
        };
        let mut unknown = request.not_understood(understood).peekable();
        if unknown.peek().is_some() {
            return Ok(Self::with(Body::Unknown(unknown.collect())));
        }
        // RFC 8489 §9.1.3: integrity that does not say whose it is.
        if request.integrity().is_some() && !request.has(Kind::USERNAME) && !request.has(Kind::USERHASH) {
            return Ok(Self::with(Body::BadRequest));
        }
        let Ok(change) = change else { return Ok(Self::with(Body::BadRequest)) };
        let change = change.filter(|change| *change != ChangeRequest::default());
        // An RFC 3489 client takes any answer to this for a yes, so here a no is silence.
        if change.is_some() && !changes {
            return Err(Outcome::NoAlternate);
        }
        let padding = request.value(Kind::PADDING).filter(|_| has_alternate);
        let padding = padding.map(|padding| padding.len().min(MAX_PADDING) as u16);
        // Whoever knows it speaks RFC 8489, and what makes no sense is not there: it is no must.
        let help = request.find::<Help>().ok().flatten().filter(|_| !is_classic);
        Ok(Self { change, padding, help, body: Body::Success })
    }
}

impl fmt::Debug for StunServer {
    // Never the table's key, nor everybody's address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StunServer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// What a Binding request may carry where an alternate address is offered (RFC 5780).
fn understood_with_alternate(kind: Kind) -> bool {
    matches!(kind, Kind::CHANGE_REQUEST | Kind::PADDING) || kind.is_basic()
}

/// RFC 3489 clients send CHANGE-REQUEST always, with nothing set when they want nothing; and with two
/// ports there is something to change.
fn understood_with_change(kind: Kind) -> bool {
    kind == Kind::CHANGE_REQUEST || kind.is_basic()
}
