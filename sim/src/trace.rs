//! What happened in a run: a compact log, and one number that two equal runs share.
//!
//! Every record is fed to the [`Digest`] as bytes in a fixed order, so the digest is the same on every
//! platform. The records themselves are kept only if somebody wants to see them.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use bradawl::time::Instant;

use crate::nat::{self, Flow};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// Where: a host or a gateway of [`Trace::places`].
    pub place: Place,
    /// The packet it happened to, if it happened to one.
    pub packet: Option<PacketNote>,
    /// What.
    pub what: What,
}

/// An index into [`Trace::places`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub u32);

/// A host, a gateway or a network by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceName {
    /// As the scenario calls it; a gateway is called as the network behind it.
    pub name: String,
    /// What it is.
    pub kind: PlaceKind,
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// A host.
    Host,
    /// A NAT or firewall, or both.
    Gateway,
    /// A network, where packets without a receiver end.
    Network,
}

/// A packet as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketNote {
    /// It keeps this from its sender to its end; a duplicate has its original's.
    pub id: u64,
    /// Its addresses at this moment.
    pub flow: Flow,
    /// Its size with headers.
    pub size: u16,
    /// What it is, in a few words: `binding request`, `tcp syn`, `icmp port unreachable`.
    pub label: &'static str,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A host sent the packet.
    Sent,
    /// A host's program got it.
    Received,
    /// It crossed a gateway and looks like this behind it.
    Crossed(Flow),
    /// It turned round in a NAT and looks like this now (hairpinning).
    TurnedRound(Flow),
    /// A NAT made a mapping for it.
    Mapped {
        /// The private endpoint.
        inside: SocketAddr,
        /// The public one.
        public: SocketAddr,
    },
    /// It ended here.
    Dropped(Drop),
    /// A host's program says something.
    Says(Happened),
    /// Something went wrong on purpose: the words of the scenario.
    Fault(String),
}

/// Why a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Drop {
    /// A NAT did not let it pass.
    #[error("{0}")]
    Nat(nat::Dropped),
    /// A firewall did not.
    #[error("firewall")]
    Firewall,
    /// The link lost it.
    #[error("lost")]
    Lost,
    /// The link's queue was full.
    #[error("queue full")]
    QueueFull,
    /// It was bigger than the link carries.
    #[error("too big")]
    TooBig,
    /// The link was down.
    #[error("link down")]
    LinkDown,
    /// Nobody has that address.
    #[error("no route")]
    NoRoute,
    /// The host has no socket there.
    #[error("no socket")]
    NoSocket,
    /// The host is off or asleep.
    #[error("host down")]
    HostDown,
    /// It had passed as many gateways as it may.
    #[error("too many hops")]
    Hops,
}

/// What a program in the simulator tells the world, which the checker judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It may send to this address from now on, and why.
    MaySend {
        /// To whom.
        to: SocketAddr,
        /// Who said so.
        why: Warrant,
    },
    /// It may try a few ports of this IP address that nobody named: its mediator has seen its peer there.
    MayProbe(IpAddr),
    /// It may send one volley to this address: its peer is going to have the port, and its mediator has seen
    /// it at the IP address.
    MayVolley(SocketAddr),
    /// It uses this path to its peer from now on.
    Selected {
        /// Its own end.
        local: SocketAddr,
        /// The other end, as it sees it.
        remote: SocketAddr,
        /// How it was won.
        strategy: Strategy,
    },
    /// The path that it had is lost; it has none now.
    Lost,
    /// It gave up.
    Failed(&'static str),
    /// It is done: it wants nothing more and sends nothing more.
    Closed,
    /// It learned how it looks from outside.
    SeenAs(SocketAddr),
}

/// Why a program may send to an address (invariant 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warrant {
    /// It is a server that its user named.
    Server,
    /// It is a candidate that its peer gave, authenticated.
    Candidate,
    /// An authenticated check came from there.
    PeerReflexive,
    /// It is answering a request from there.
    Answer,
}

/// How a path was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// The peers are in one network.
    Host,
    /// Both knew where to send.
    Punch,
    /// One learned the other's address from a check that came through.
    PeerReflexive,
    /// A public address with a port that a NAT is believed to have kept.
    Guess,
    /// The mediator saw the ports before and after.
    Bracket,
    /// Many ports against many guesses.
    Birthday,
    /// Two volleys at each other.
    Volley,
    /// Through a relay.
    Relay,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Punch => "punch",
            Self::PeerReflexive => "peer-reflexive",
            Self::Guess => "guess",
            Self::Bracket => "bracket",
            Self::Birthday => "birthday",
            Self::Volley => "volley",
            Self::Relay => "relay",
        })
    }
}

/// The log of a run.
#[derive(Debug)]
pub struct Trace {
    /// Who there is.
    pub places: Vec<PlaceName>,
    /// What happened, in order; empty unless it is kept.
    pub records: Vec<Record>,
}

/// One number for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
