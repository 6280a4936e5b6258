//! The network between the two agents: a box before each, a delay, a loss. Nothing else.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bradawl::rng::Rng;

use crate::contender::Candidate;

/// Which of the two agents: `A` is controlling, `B` is controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    A,
    B,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The socket of the agent; behind an open box that is also its public address.
    fn private(self, kind: Kind) -> SocketAddr {
        let port = 40_001 + self as u16;
        match kind {
            Kind::Open => SocketAddr::new(self.public(), port),
            _ => SocketAddr::from(([10, 1 + self as u8, 0, 2], port)),
        }
    }

    fn public(self) -> IpAddr {
        match self {
            Self::A => IpAddr::from([198, 51, 100, 1]),
            Self::B => IpAddr::from([203, 0, 113, 1]),
        }
    }
}

/// What a box does, in the words of RFC 4787 §4.1 and §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No translation, no filter.
    Open,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    PortRestricted,
    /// Address- and port-dependent mapping and filtering.
    Symmetric,
}

/// Where both sides learned their public addresses before the race began.
const STUN_SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 3478);

/// One public port, whom it was opened toward, and who was sent something through it since.
struct Mapping {
    port: u16,
    /// `None`: it serves every destination.
    toward: Option<SocketAddr>,
    contacted: Vec<SocketAddr>,
}

/// The box before one agent. Nothing in it times out: the race is over in ten seconds.
struct Middlebox {
    kind: Kind,
    private: SocketAddr,
    public: IpAddr,
    mappings: Vec<Mapping>,
}

impl Middlebox {
    fn new(side: Side, kind: Kind, rng: &mut Rng) -> Self {
        let (private, public) = (side.private(kind), side.public());
        let mut this = Self { kind, private, public, mappings: Vec::new() };
        this.outward(SocketAddr::from(STUN_SERVER), rng);
        this
    }

    /// The address that the STUN server saw.
    fn candidate(&self) -> Candidate {
        match self.mappings.first() {
            None => Candidate { address: self.private, is_reflexive: false },
            Some(first) => {
                Candidate { address: SocketAddr::new(self.public, first.port), is_reflexive: true }
            }
        }
    }

    /// The source that a datagram to `to` has outside.
    fn outward(&mut self, to: SocketAddr, rng: &mut Rng) -> SocketAddr {
        if self.kind == Kind::Open {
            return self.private;
        }
        let toward = (self.kind == Kind::Symmetric).then_some(to);
        let found = self.mappings.iter_mut().find(|mapping| mapping.toward == toward);
        if let Some(mapping) = found {
            if !mapping.contacted.contains(&to) {
                mapping.contacted.push(to);
            }
            return SocketAddr::new(self.public, mapping.port);
        }
        let mut draw = || 10_000 + rng.below(50_000) as u16;
        let mut port = draw();
        while self.mappings.iter().any(|mapping| mapping.port == port) {
            port = draw();
        }
        self.mappings.push(Mapping { port, toward, contacted: vec![to] });
        SocketAddr::new(self.public, port)
    }

    /// Whether a datagram that came to `to` from `from` reaches the agent.
    fn admits(&self, to: SocketAddr, from: SocketAddr) -> bool {
        if self.kind == Kind::Open {
            return to == self.private;
        }
        let mapping = self.mappings.iter().find(|mapping| mapping.port == to.port());
        let Some(mapping) = mapping.filter(|_| to.ip() == self.public) else { return false };
        match self.kind {
            Kind::AddressRestricted => mapping.contacted.iter().any(|peer| peer.ip() == from.ip()),
            _ => mapping.contacted.contains(&from),
        }
    }
}

/// A datagram on its way.
struct Flight {
    at: Duration,
    side: Side,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A datagram that came through.
pub(crate) struct Arrival {
    pub(crate) side: Side,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Both boxes and what is between them.
pub(crate) struct Network {
    boxes: [Middlebox; 2],
    delay: Duration,
    loss_percent: u64,
    rng: Rng,
    /// In order of arrival: every datagram takes as long.
    flights: VecDeque<Flight>,
    sent: u32,
}

impl Network {
    pub(crate) fn new(kinds: [Kind; 2], delay: Duration, loss_percent: u64, mut rng: Rng) -> Self {
        let boxes = Side::BOTH.map(|side| Middlebox::new(side, kinds[side.index()], &mut rng));
        Self { boxes, delay, loss_percent, rng, flights: VecDeque::new(), sent: 0 }
    }

    /// The socket of an agent.
    pub(crate) fn local(&self, side: Side) -> SocketAddr {
        self.boxes[side.index()].private
    }

    /// What the other side is told of an agent.
    pub(crate) fn candidate(&self, side: Side) -> Candidate {
        self.boxes[side.index()].candidate()
    }

    /// The datagrams that both agents sent so far, whatever became of them.
    pub(crate) const fn sent(&self) -> u32 {
        self.sent
    }

    pub(crate) fn send(&mut self, now: Duration, side: Side, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        let from = self.boxes[side.index()].outward(to, &mut self.rng);
        if self.rng.below(100) < self.loss_percent {
            return;
        }
        let at = now + self.delay;
        self.flights.push_back(Flight { at, side: side.other(), from, to, bytes: bytes.to_vec() });
    }

    /// When the next datagram arrives at a box.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.flights.front().map(|flight| flight.at)
    }

    /// Takes the datagram that [`Network::next`] announced; `None` if the box does not let it in.
    pub(crate) fn arrive(&mut self) -> Option<Arrival> {
        let Flight { side, from, to, bytes, .. } = self.flights.pop_front()?;
        self.boxes[side.index()].admits(to, from).then_some(Arrival { side, from, bytes })
    }
}
