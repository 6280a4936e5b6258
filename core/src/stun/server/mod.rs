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
//! The server keeps no state per client but the rate table, which has a fixed size. Nothing is
//! allocated after construction.

mod counters;
mod rate;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::net::SocketAddr;

pub use counters::{Counters, Outcome};
pub use rate::RateLimit;
use rate::RateTable;

use crate::machine::{HostInput, MIN_BUFFER, Machine, Meta, Output, Path, Transport, Verdict};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::demux::Protocol;
use crate::wire::stun::attr::{
    ChangeRequest, ChangedAddress, ErrorCode, Kind, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    SourceAddress, UnknownAttributes, XorMappedAddress,
};
use crate::wire::stun::{Class, Malformed, Message, Method, NoRoom, TransactionId, Writer};

/// How many answers may wait to be polled. A host that feeds more datagrams than this before it
/// drains loses the rest, as a full socket buffer would.
pub const MAX_PENDING: usize = 256;

/// The longest PADDING that is sent back, never longer than the request's own: with everything else
/// that an answer may carry it still fits into the smallest buffer, behind a parent's 48 bytes.
const MAX_PADDING: usize = 1_300;

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
    /// Answer clients of RFC 3489 too, whose messages have no magic cookie and so look like almost
    /// anything.
    pub classic: bool,
    /// How fast one network may ask; `None` for no limit.
    pub rate: Option<RateLimit>,
}

impl Default for Config {
    fn default() -> Self {
        Self { alternates: Vec::new(), classic: false, rate: Some(RateLimit::default()) }
    }
}

/// The two IP addresses and two ports of a server that helps with behaviour discovery. The host
/// listens on all four combinations.
///
/// ```
/// use bradawl::stun::server::Alternate;
///
/// let pair = Alternate::new("192.0.2.1:3478".parse()?, "192.0.2.2:3479".parse()?).unwrap();
/// assert_eq!(pair.addresses()[1], "192.0.2.1:3479".parse()?);
/// assert!(Alternate::new("192.0.2.1:3478".parse()?, "192.0.2.2:3478".parse()?).is_none()); // same port
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    primary: SocketAddr,
    secondary: SocketAddr,
}

impl Alternate {
    /// `None` unless the two are concrete, differ in IP address and in port, and are of one family.
    pub fn new(primary: SocketAddr, secondary: SocketAddr) -> Option<Self> {
        let concrete = |address: SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
        let differ = primary.ip() != secondary.ip() && primary.port() != secondary.port();
        let alike = primary.is_ipv4() == secondary.is_ipv4();
        (concrete(primary) && concrete(secondary) && differ && alike).then_some(Self { primary, secondary })
    }

    /// All four.
    pub fn addresses(&self) -> [SocketAddr; 4] {
        let address = |ip: SocketAddr, port: SocketAddr| SocketAddr::new(ip.ip(), port.port());
        let (a, b) = (self.primary, self.secondary);
        [address(a, a), address(a, b), address(b, a), address(b, b)]
    }

    /// The address that differs from `local` as asked; `None` if `local` is not one of the four.
    fn changed(&self, local: SocketAddr, change: ChangeRequest) -> Option<SocketAddr> {
        let other = |is_primary: bool| if is_primary { self.secondary } else { self.primary };
        let by_ip = self.holder(local, SocketAddr::ip)?;
        let by_port = self.holder(local, SocketAddr::port)?;
        let ip = if change.ip { other(by_ip == self.primary) } else { by_ip };
        let port = if change.port { other(by_port == self.primary) } else { by_port };
        Some(SocketAddr::new(ip.ip(), port.port()))
    }

    /// Which of the two shares a part with `local`.
    fn holder<T: PartialEq>(&self, local: SocketAddr, part: fn(&SocketAddr) -> T) -> Option<SocketAddr> {
        [self.primary, self.secondary].into_iter().find(|address| part(address) == part(&local))
    }
}

/// The server as a [`Machine`]. It has no events and no timers.
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
    alternates: Vec<Alternate>,
    classic: bool,
    rate: Option<RateTable>,
    pending: VecDeque<Answer>,
    counters: Counters,
}

/// An answer that waits to be polled.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// From the address it is to leave from, to whom.
    path: Path,
    /// The other IP address and port, where there are any.
    other: Option<SocketAddr>,
    id: TransactionId,
    /// The four bytes in front of the id if the request had no magic cookie.
    classic: Option<[u8; 4]>,
    fingerprint: bool,
    padding: Option<u16>,
    body: Body,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Success,
    BadRequest,
    Unknown(UnknownAttributes),
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

    fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<Infallible> {
        while let Some(answer) = self.pending.front() {
            let path = answer.path;
            match answer.write(buf) {
                Ok(len) => {
                    self.pending.pop_front();
                    return Output::Transmit { path, len, segment: None, ecn: None };
                }
                // Too short a buffer yields nothing; the answer waits for a longer one.
                Err(NoRoom) if buf.len() < MIN_BUFFER => break,
                // No answer is that long. Were one, it must not stand in the way of the others.
                Err(NoRoom) => {
                    self.pending.pop_front();
                    self.counters.add(Outcome::Overflow);
                }
            }
        }
        Output::Idle(None)
    }
}

impl StunServer {
    /// A server; `rng` is where its hash key comes from.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        Self {
            alternates: config.alternates,
            classic: config.classic,
            rate: config.rate.map(|limit| RateTable::new(limit, &mut rng)),
            pending: VecDeque::with_capacity(MAX_PENDING),
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
            return Err(Outcome::NotARequest);
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
        if self.pending.len() == MAX_PENDING {
            return Err(Outcome::Overflow);
        }
        if let Some(rate) = &mut self.rate
            && !rate.admit(now, path.remote.ip())
        {
            return Err(Outcome::RateLimited);
        }
        let alternate = self.alternate_of(path);
        // What most requests look like: nothing but a header.
        let bare = message.attributes().next().is_none() && message.integrity().is_none();
        let reply = if bare {
            Reply::with(Body::Success)
        } else {
            Reply::to(&message, alternate.is_some(), classic.is_some())?
        };
        let from = |change| alternate.and_then(|alternate| alternate.changed(path.local, change));
        self.pending.push_back(Answer {
            path: Path { local: reply.change.and_then(from).unwrap_or(path.local), ..path },
            other: from(ChangeRequest { ip: true, port: true }),
            id: message.transaction_id(),
            classic,
            fingerprint: message.has_fingerprint(),
            padding: reply.padding,
            body: reply.body,
        });
        Ok(reply.body.outcome())
    }

    /// The pair of addresses that the one that was asked belongs to. Over a connection there is no
    /// answering from elsewhere.
    #[inline]
    fn alternate_of(&self, path: Path) -> Option<&Alternate> {
        if self.alternates.is_empty() {
            return None;
        }
        let owns = |alternate: &&Alternate| alternate.changed(path.local, ChangeRequest::default()).is_some();
        self.alternates.iter().find(owns).filter(|_| path.transport == Transport::Udp)
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
    change: Option<ChangeRequest>,
    padding: Option<u16>,
}

impl Reply {
    const fn with(body: Body) -> Self {
        Self { body, change: None, padding: None }
    }

    /// Decides; an error is why nothing is said at all.
    fn to(request: &Message<'_>, has_alternate: bool, is_classic: bool) -> Result<Self, Outcome> {
        let understood = match (has_alternate, is_classic) {
            (true, _) => understood_with_alternate,
            (false, true) => understood_by_classic,
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
        let Ok(change) = request.find::<ChangeRequest>() else { return Ok(Self::with(Body::BadRequest)) };
        // An RFC 3489 client takes any answer to this for a yes, so here a no is silence.
        if !has_alternate && change.is_some_and(|change| change != ChangeRequest::default()) {
            return Err(Outcome::NoAlternate);
        }
        let padding = request.value(Kind::PADDING).filter(|_| has_alternate);
        let padding = padding.map(|padding| padding.len().min(MAX_PADDING) as u16);
        Ok(Self { change, padding, ..Self::with(Body::Success) })
    }
}

const fn error(code: u16, reason: &str) -> ErrorCode<'_> {
    ErrorCode { code, reason }
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

/// RFC 3489 clients send CHANGE-REQUEST always, with nothing set when they want nothing.
fn understood_by_classic(kind: Kind) -> bool {
    kind == Kind::CHANGE_REQUEST || kind.is_basic()
}

impl Body {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Success => Outcome::Success,
            Self::BadRequest => Outcome::BadRequest,
            Self::Unknown(_) => Outcome::UnknownAttributes,
        }
    }
}

impl Answer {
    fn write(&self, buf: &mut [u8]) -> Result<usize, NoRoom> {
        let class = if let Body::Success = self.body { Class::Success } else { Class::Error };
        let writer = match self.classic {
            None => Writer::new(buf, class, Method::BINDING, self.id),
            Some(cookie) => Writer::with_cookie(buf, class, Method::BINDING, cookie, self.id),
        };
        let writer = match (self.body, self.classic) {
            (Body::Success, _) => self.write_success(writer),
            (Body::BadRequest, None) => writer.put(&error(ErrorCode::BAD_REQUEST, "Bad Request")),
            (Body::Unknown(unknown), None) => {
                writer.put(&error(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute")).put(&unknown)
            }
            // RFC 3489 knows no padding: values are multiples of four bytes, phrases filled up with
            // spaces and lists with a repetition (§11.2.9, §11.2.10).
            (Body::BadRequest, Some(_)) => writer.put(&error(ErrorCode::BAD_REQUEST, "Bad Request ")),
            (Body::Unknown(unknown), Some(_)) => {
                let filled = unknown.len().next_multiple_of(2);
                let even: UnknownAttributes = unknown.iter().cycle().take(filled).copied().collect();
                writer.put(&error(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute   ")).put(&even)
            }
        };
        let writer = if self.fingerprint { writer.fingerprint() } else { writer };
        writer.finish()
    }

    fn write_success<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
        if self.classic.is_some() {
            return writer
                .put(&MappedAddress(self.path.remote))
                .put(&SourceAddress(self.path.local))
                .put_some(self.other.map(ChangedAddress).as_ref());
        }
        let writer = writer.put(&XorMappedAddress(self.path.remote));
        let Some(other) = self.other else { return writer };
        // RFC 5780 §6.1 wants the address both ways, to find NATs that rewrite what they recognise.
        let writer = writer.put(&MappedAddress(self.path.remote));
        let writer = writer.put(&ResponseOrigin(self.path.local)).put(&OtherAddress(other));
        match self.padding {
            Some(len) => writer.put(&Padding(&[0; MAX_PADDING][..usize::from(len)])),
            None => writer,
        }
    }
}
