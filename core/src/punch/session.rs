//! What an agent is told of a session, and what it tells: plain values.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::{Credentials, Kind, Nat, Role};
use crate::machine::{Path, SocketId};
use crate::time::Duration;
use crate::wire::stun::Key;

/// How an agent goes about it. The defaults are those of the design.
///
/// ```
/// use bradawl::punch::Config;
/// use bradawl::time::Duration;
///
/// let config = Config { patience: Duration::from_secs(5), ..Config::default() };
/// assert!(config.nat.mapping.is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// What is known of the NAT in front of us.
    pub nat: Nat,
    /// The addresses of our own servers: candidates that name them are refused.
    pub servers: Vec<SocketAddr>,
    /// Who looks at our ports for us while we punch; without one there are no brackets and no volleys.
    pub observers: Option<Observers>,
    /// How long to try before [`Event::Failed`], counted from when both sides are known, or from the last
    /// candidate.
    pub patience: Duration,
    /// How often a packet keeps an idle path open while the lifetime of the mappings is not known.
    pub keepalive: Duration,
    /// The sockets that the agent asks its host for have this number and the
    /// [`SOCKET_IDS`](super::SOCKET_IDS) − 1 after it.
    pub first_socket: SocketId,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nat: Nat::default(),
            servers: Vec::new(),
            observers: None,
            patience: Duration::from_secs(10),
            // RFC 8445 §11: Tr is 15 seconds at least.
            keepalive: Duration::from_secs(15),
            first_socket: SocketId(0x4000_0000),
        }
    }
}

/// A mediator that sees from which ports we come, and tells the other side.
///
/// ```
/// use bradawl::punch::Observers;
/// use bradawl::wire::stun::Key;
///
/// let mediator = Observers {
///     endpoints: vec!["198.51.100.1:3478".parse()?, "198.51.100.1:3479".parse()?],
///     username: "session 17, alice".into(),
///     key: Key::short_term("only alice and the mediator know this"),
/// };
/// # let _ = mediator;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Observers {
    /// Two addresses of the mediator of each family: another port does for a mapping that depends on address
    /// and port, another IP address for every other.
    pub endpoints: Vec<SocketAddr>,
    /// What tells the mediator whose session this is about.
    pub username: String,
    /// What our requests to it are sealed with.
    pub key: Key,
}

/// Who is at the other end.
///
/// ```
/// use bradawl::punch::{Credentials, Nat, Party, Remote};
///
/// let credentials = Credentials::new("F7gI", "x9cml/YzichV2+XlhiMu8g").expect("as the RFC has them");
/// let remote = Remote { credentials, party: Party::Foreign, nat: Nat::default() };
/// assert_eq!(remote.party, Party::Foreign);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What its checks are sealed with, and ours to it.
    pub credentials: Credentials,
    /// What kind of agent it is.
    pub party: Party,
    /// What it says of the NAT in front of it: a hint.
    pub nat: Nat,
}

/// What kind of agent the other one is.
///
/// ```
/// use bradawl::punch::Party;
/// assert_ne!(Party::Kin, Party::Foreign);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// One of ours: each check may nominate, three packets prove a path, and strategies work together.
    Kin,
    /// Any agent of RFC 8445.
    Foreign,
    /// A foreign one that only answers (RFC 8445 §2.5).
    Lite,
}

/// What one side has the other told, by way of their mediator.
///
/// ```
/// use bradawl::punch::Hint;
/// let aim = Hint::Aim { at: "203.0.113.1:6000".parse()? };
/// # let _ = aim;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// From the mediator alone: a check to you has left the other side's NAT from a port between these two.
    Bracket {
        /// Where the requests before and after the check came from.
        ip: IpAddr,
        /// The port of the one before.
        first: u16,
        /// The port of the one after.
        second: u16,
    },
    /// From the other side: send from many ports to this one; one of mine will have it.
    Aim {
        /// The port that it will have, at an address that the mediator has seen it at.
        at: SocketAddr,
    },
}

/// How a path was won.
///
/// ```
/// use bradawl::punch::Strategy;
/// assert_eq!(Strategy::Bracket.to_string(), "bracket");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// A candidate of the other side as it was given.
    Plain,
    /// The other side turned out to be somewhere else.
    PeerReflexive,
    /// A NAT that keeps ports: the public address with the inside port.
    Guess,
    /// A mediator saw the ports before and after.
    Bracket,
    /// Many ports against many guesses.
    Birthday,
    /// Two volleys at each other.
    Volley,
    /// Through a relay.
    Relay,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::PeerReflexive,
        Self::Guess,
        Self::Bracket,
        Self::Birthday,
        Self::Volley,
        Self::Relay,
    ];

    /// Its name; it stays.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::PeerReflexive => "peer-reflexive",
            Self::Guess => "guess",
            Self::Bracket => "bracket",
            Self::Birthday => "birthday",
            Self::Volley => "volley",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The pair that is used.
///
/// ```
/// # use bradawl::punch::Selected;
/// fn line(selected: &Selected) -> String {
///     format!("direct · {} · {} ms", selected.strategy, selected.elapsed.as_millis())
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// From which of our sockets to where.
    pub path: Path,
    /// What our end is.
    pub local: Kind,
    /// What the other end is.
    pub remote: Kind,
    /// How it was won.
    pub strategy: Strategy,
    /// The time from a check to its answer, if one of ours was answered before the other side's proof came.
    pub round_trip: Option<Duration>,
    /// How long it took since both sides were known.
    pub elapsed: Duration,
    /// How many packets we have sent for it until now.
    pub packets: u32,
}

/// What an agent tells the program around it.
///
/// ```
/// # use bradawl::punch::Event;
/// fn is_end(event: &Event) -> bool {
///     matches!(event, Event::Failed(_))
/// }
/// # let _ = is_end;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This pair is used from now on. Comes again when a better one takes over.
    Selected(Selected),
    /// The other side is to be told this, by way of the mediator.
    Tell(Hint),
    /// The other side has proved to be at an address that nobody had named.
    Learned(SocketAddr),
    /// The path that was used does not lead to the other side any more. The agent looks for another one; a
    /// new generation ([`Agent::restart`](super::Agent::restart)) with new candidates finds more.
    Lost {
        /// Which one.
        path: Path,
        /// What has happened.
        why: Loss,
    },
    /// Both thought that they were the same; this is what we are from now on (RFC 8445 §7.3.1.1).
    RoleChanged(Role),
    /// There is no path. Nothing is sent any more.
    Failed(Failure),
}

/// Why a path is used no more.
///
/// ```
/// use bradawl::punch::Loss;
/// assert_eq!(Loss::Consent.to_string(), "the other side does not answer any more");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The other side does not answer any more (RFC 7675).
    Consent,
    /// Our end of it is gone.
    Interface,
    /// This host slept; nobody knows what is left of its mappings.
    Slept,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consent => "the other side does not answer any more",
            Self::Interface => "the network has changed",
            Self::Slept => "this host was asleep",
        })
    }
}

/// Why there is no path, as far as it can be told.
///
/// ```
/// # use bradawl::punch::Failure;
/// fn advice(failure: &Failure) -> &'static str {
///     if failure.heard { "one direction works: is there a firewall?" } else { "nothing came through" }
/// }
/// # let _ = advice;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What stands in front of us.
    pub local: Nat,
    /// What stands in front of the other side.
    pub remote: Nat,
    /// How many checks were sent, by [`Strategy`].
    pub tried: [u32; Strategy::ALL.len()],
    /// Whether a check of the other side ever came in.
    pub heard: bool,
}

/// What was counted.
///
/// ```
/// use bradawl::punch::Counters;
/// assert_eq!(Counters::default().checks, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Checks sent.
    pub checks: u32,
    /// Answers sent.
    pub answers: u32,
    /// Requests to observers.
    pub marks: u32,
    /// Sockets that were opened for strategies.
    pub sockets: u32,
    /// Checks of the other side that were believed.
    pub asked: u32,
    /// Checks that named us and were not sealed by the other side.
    pub unproven: u32,
    /// Answers that were not sealed, or not for any check of ours on that path.
    pub stray: u32,
    /// Checks that were not sent, because an address had had its share.
    pub withheld: u32,
    /// Candidates and hints that were refused.
    pub refused: u32,
}
