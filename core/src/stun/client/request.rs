//! What a program asks a STUN client for, and what it hears back.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use crate::machine::Unreachable;
use crate::stun::transaction::Schedule;
use crate::time::Duration;
use crate::wire::stun::attr::ChangeRequest;
use crate::wire::stun::{Integrity, Key};

/// A Binding request. The default is the plainest there is: 20 bytes.
///
/// ```
/// use bradawl::stun::client::Request;
///
/// let multiplexed = Request { fingerprint: true, ..Request::default() };
/// assert!(multiplexed.credentials.is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Ask for the answer to come from another address of the server (RFC 5780 §7.2).
    pub change: Option<Change>,
    /// Make the request longer by a PADDING of this many bytes (RFC 5780 §7.6).
    pub padding: u16,
    /// Sign it. What is learned of how a server wants it signed counts for requests with the same
    /// `Arc`, so keep one per user and server.
    pub credentials: Option<Arc<Credentials>>,
    /// Close it with a FINGERPRINT, for a port that speaks several protocols; the answer then needs
    /// one, too.
    pub fingerprint: bool,
    /// How persistent to be.
    pub schedule: Schedule,
}

/// From which other address of the server the answer has to come. An error may come from the address
/// that was asked, too: a server that has no other says so from there (RFC 5780 §5).
///
/// ```
/// use bradawl::stun::client::{Change, Request};
/// use bradawl::wire::stun::attr::ChangeRequest;
///
/// // RFC 5780 §4.4, test II: answer from your other address, which your last answer named.
/// let change =
///     Change { ask: ChangeRequest { ip: true, port: true }, answer_from: "192.0.2.2:3479".parse()? };
/// let filtering = Request { change: Some(change), ..Request::default() };
/// # let _ = filtering;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the request says.
    pub ask: ChangeRequest,
    /// The address that this means.
    pub answer_from: SocketAddr,
}

/// What a request is signed with. Never printed.
///
/// ```
/// use bradawl::stun::client::Credentials;
///
/// let turn = Credentials::long_term("user", "correct horse battery staple");
/// assert_eq!(format!("{turn:?}"), "Credentials(user)");
/// ```
pub struct Credentials {
    pub(super) username: String,
    pub(super) secret: Secret,
}

pub(super) enum Secret {
    /// RFC 8489 §9.1: a key, and how to sign with it.
    Short { key: Box<Key>, offer: Offer },
    /// RFC 8489 §9.2: a password, from which a key is made once the server has named its realm.
    Long { password: String },
}

/// Which integrity attributes a request with short-term credentials carries.
///
/// ```
/// # use bradawl::stun::client::Offer;
/// assert_eq!(Offer::default(), Offer::Both);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// The old one, for a server that is known to be old. ICE agents are.
    Sha1,
    /// The new one, for a server that is known to be new.
    Sha256,
    /// Both, for a server that is not known (RFC 8489 §9.1.2).
    #[default]
    Both,
}

impl Offer {
    /// The attributes to write, in the order in which they stand.
    pub(super) const fn attributes(self) -> &'static [Integrity] {
        match self {
            Self::Sha1 => &[Integrity::Sha1],
            Self::Sha256 => &[Integrity::Sha256],
            Self::Both => &[Integrity::Sha1, Integrity::Sha256],
        }
    }

    /// What is left to offer to a server that has signed with `which` (RFC 8489 §9.1.5).
    pub(super) const fn narrowed(self, which: Integrity) -> Self {
        match (self, which) {
            (Self::Both, Integrity::Sha1) => Self::Sha1,
            (Self::Both, Integrity::Sha256) => Self::Sha256,
            (settled, _) => settled,
        }
    }
}

impl Credentials {
    /// A user name and a password that were agreed on for a short while, as in ICE.
    pub fn short_term(username: &str, password: &str, offer: Offer) -> Self {
        let secret = Secret::Short { key: Box::new(Key::short_term(password)), offer };
        Self { username: username.into(), secret }
    }

    /// A user name and a password as people have them.
    pub fn long_term(username: &str, password: &str) -> Self {
        Self { username: username.into(), secret: Secret::Long { password: password.into() } }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

/// Names a request. Never reused while its request is under way.
///
/// ```
/// use bradawl::machine::Path;
/// use bradawl::rng::Rng;
/// use bradawl::stun::client::{Request, StunClient};
/// use bradawl::time::Instant;
///
/// let mut client = StunClient::new(Rng::from_seed([0; 32]));
/// let path = Path::udp("192.0.2.1:5000".parse()?, "198.51.100.1:3478".parse()?);
/// let first = client.request(Instant::ZERO, path, Request::default())?;
/// let second = client.request(Instant::ZERO, path, Request::default())?;
/// assert_ne!(first, second);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    pub(super) serial: u32,
    pub(super) slot: u32,
}

/// Why a request was not begun.
///
/// ```
/// # use bradawl::stun::client::RequestError;
/// assert_eq!(RequestError::TooMany.to_string(), "too many requests are under way");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// [`MAX_IN_FLIGHT`](super::MAX_IN_FLIGHT) are under way.
    #[error("too many requests are under way")]
    TooMany,
    /// Nothing can be sent to port 0, and the two ends must be of one address family.
    #[error("nothing can be sent on this path")]
    BadPath,
}

/// What a client tells its program: one event per request, unless it is cancelled.
///
/// ```
/// use bradawl::machine::{MIN_BUFFER, Machine, Output, Path};
/// use bradawl::rng::Rng;
/// use bradawl::stun::client::{Event, Failure, Request, StunClient};
/// use bradawl::time::{Duration, Instant};
///
/// // A server that never answers.
/// let mut client = StunClient::new(Rng::from_seed([0; 32]));
/// let path = Path::udp("192.0.2.1:5000".parse()?, "198.51.100.1:3478".parse()?);
/// client.request(Instant::ZERO, path, Request::default())?;
/// let (mut now, mut buf) = (Instant::ZERO, [0; MIN_BUFFER]);
/// let event = loop {
///     match client.poll_output(now, &mut buf) {
///         Output::Event(event) => break event,
///         Output::Idle(Some(wake)) => now = wake,
///         _ => {}
///     }
/// };
/// assert!(matches!(event, Event::Failed { reason: Failure::TimedOut(None), .. }));
/// assert_eq!(now, Instant::ZERO + Duration::from_millis(39_500));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server said where we come from.
    Answered(Answer),
    /// It did not.
    Failed {
        /// Which request.
        id: RequestId,
        /// Why.
        reason: Failure,
    },
}

/// A server's yes.
///
/// ```
/// use bradawl::machine::Path;
/// # use bradawl::stun::client::Answer;
///
/// fn is_behind_nat(asked: Path, answer: &Answer) -> bool {
///     answer.mapped != asked.local
/// }
/// # let _ = is_behind_nat;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To which request.
    pub id: RequestId,
    /// Our address as the server sees it.
    pub mapped: SocketAddr,
    /// Where the answer came from.
    pub from: SocketAddr,
    /// How long it took; unknown if the request had to be repeated.
    pub round_trip: Option<Duration>,
    /// How often the request was sent.
    pub attempts: u8,
    /// The server's other IP address and port, if it has one (RFC 5780).
    pub other: Option<SocketAddr>,
    /// Where the server says that the answer came from (RFC 5780).
    pub origin: Option<SocketAddr>,
}

/// Why there is no answer.
///
/// ```
/// # use bradawl::stun::client::Failure;
/// assert_eq!(Failure::Refused { code: 420 }.to_string(), "the server refused with error 420");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing came back. If the network said why, that is a hint.
    #[error("no answer{}", hint(.0))]
    TimedOut(Option<Unreachable>),
    /// Answers came, and none of them proved that it was from the server (RFC 8489 §9.1.4). If
    /// they were errors, the last one's code is a hint.
    #[error("no answer that proves who sent it{}", .0.map_or(String::new(), |code| alloc::format!(" (one said {code})")))]
    Unproven(Option<u16>),
    /// The server said no.
    #[error("the server refused with error {code}")]
    Refused {
        /// The error code.
        code: u16,
    },
    /// The server does not accept the credentials, or wants some and there are none.
    #[error("the server does not accept the credentials")]
    Unauthenticated,
    /// The server gave out one stale nonce after the other.
    #[error("the server's nonces are always stale")]
    AlwaysStale,
    /// The request does not fit into a packet: its padding, its user name or the server's realm and
    /// nonce are too long.
    #[error("the request does not fit into a packet")]
    TooLong,
    /// The server wants us to ask another one. Whoever does so remembers for five minutes whom it
    /// has asked, lest two servers send it back and forth (RFC 8489 §10).
    #[error("the server sends us to {0}")]
    TryAlternate(SocketAddr),
    /// The answer has no address in it, or something that we would have to understand.
    #[error("the server's answer makes no sense")]
    BadAnswer,
}

fn hint(unreachable: &Option<Unreachable>) -> &'static str {
    match unreachable {
        None => "",
        Some(Unreachable::Port) => ": nobody listens on that port",
        Some(Unreachable::Host) => ": the host is unreachable",
        Some(Unreachable::Network) => ": the network is unreachable",
        Some(Unreachable::Prohibited) => ": a firewall forbids it",
        Some(Unreachable::Congested) => ": this host has no room to send",
    }
}
