//! The network between two agents of the `ice` bench: a box before each, a delay, a loss. Nothing
//! else, and nothing that a seed does not decide.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bradawl::rng::Rng;

/// Which of the two agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one who controls.
    A,
    /// The one who is controlled.
    B,
}

impl Side {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Its peer.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its place in a pair.
    pub const fn index(self) -> usize {
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
pub enum Kind {
    /// No translation, no filter.
    Open,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    PortRestricted,
    /// Address- and port-dependent mapping and filtering.
    Symmetric,
}

/// What an agent is told of the other side: one address, which is wrong behind a symmetric NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is said to be.
    pub address: SocketAddr,
    /// Whether the other side's STUN server told it, rather than its own socket.
    pub is_reflexive: bool,
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
pub struct Arrival {
    /// For whom it is.
    pub side: Side,
    /// Its source as its receiver sees it.
    pub from: SocketAddr,
    /// What it carries.
    pub bytes: Vec<u8>,
}

/// Both boxes and what is between them.
pub struct Network {
    boxes: [Middlebox; 2],
    delay: Duration,
    loss_percent: u64,
    rng: Rng,
    /// In order of arrival: every datagram takes as long.
    flights: VecDeque<Flight>,
    sent: u32,
}

impl Network {
    /// Boxes of these kinds before A and B, each with the mapping that its STUN server saw.
    pub fn new(kinds: [Kind; 2], delay: Duration, loss_percent: u64, mut rng: Rng) -> Self {
        let boxes = Side::BOTH.map(|side| Middlebox::new(side, kinds[side.index()], &mut rng));
        Self { boxes, delay, loss_percent, rng, flights: VecDeque::new(), sent: 0 }
    }

    /// The socket of an agent.
    pub fn local(&self, side: Side) -> SocketAddr {
        self.boxes[side.index()].private
    }

    /// What the other side is told of an agent.
    pub fn candidate(&self, side: Side) -> Candidate {
        self.boxes[side.index()].candidate()
    }

    /// The datagrams that both agents sent so far, whatever became of them.
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// Takes a datagram that the agent of `side` sends from its socket.
    pub fn send(&mut self, now: Duration, side: Side, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        let from = self.boxes[side.index()].outward(to, &mut self.rng);
        if self.rng.below(100) < self.loss_percent {
            return;
        }
        let at = now + self.delay;
        self.flights.push_back(Flight { at, side: side.other(), from, to, bytes: bytes.to_vec() });
    }

    /// When the next datagram arrives at a box.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.flights.front().map(|flight| flight.at)
    }

    /// Takes the datagram that [`Network::next_arrival`] announced; `None` if the box does not let it in.
    pub fn arrive(&mut self) -> Option<Arrival> {
        let Flight { side, from, to, bytes, .. } = self.flights.pop_front()?;
        self.boxes[side.index()].admits(to, from).then_some(Arrival { side, from, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(50);

    fn network(a: Kind, b: Kind, loss_percent: u64) -> Network {
        Network::new([a, b], DELAY, loss_percent, Rng::from_seed([7; 32]))
    }

    /// Sends one datagram and tells the source under which it arrives, if it does.
    fn pass(network: &mut Network, side: Side, to: SocketAddr) -> Option<SocketAddr> {
        network.send(Duration::ZERO, side, to, b"check");
        assert_eq!(network.next_arrival(), Some(DELAY));
        let arrival = network.arrive()?;
        assert_eq!((arrival.side, arrival.bytes.as_slice()), (side.other(), b"check".as_slice()));
        Some(arrival.from)
    }

    #[test]
    fn an_open_box_lets_everything_through_unchanged() {
        let mut network = network(Kind::Open, Kind::Open, 0);
        let (a, b) = (network.candidate(Side::A), network.candidate(Side::B));
        assert_eq!(a, Candidate { address: network.local(Side::A), is_reflexive: false });
        assert_eq!(pass(&mut network, Side::A, b.address), Some(a.address));
        let elsewhere = SocketAddr::new(b.address.ip(), b.address.port() + 1);
        assert_eq!(pass(&mut network, Side::A, elsewhere), None);
    }

    #[test]
    fn a_filter_opens_toward_whom_something_was_sent() {
        for kind in [Kind::AddressRestricted, Kind::PortRestricted] {
            let mut network = network(Kind::Open, kind, 0);
            let (a, b) = (network.candidate(Side::A).address, network.candidate(Side::B));
            assert!(b.is_reflexive && b.address != network.local(Side::B));
            assert_eq!(pass(&mut network, Side::A, b.address), None);
            assert_eq!(pass(&mut network, Side::B, a), Some(b.address));
            assert_eq!(pass(&mut network, Side::A, b.address), Some(a));
        }
    }

    #[test]
    fn only_a_filter_of_addresses_takes_another_port_of_the_same_address() {
        for (kind, is_let_in) in [(Kind::AddressRestricted, true), (Kind::PortRestricted, false)] {
            let mut network = network(Kind::Symmetric, kind, 0);
            let (told, b) = (network.candidate(Side::A).address, network.candidate(Side::B).address);
            // To the port that A's STUN server saw, which A's box keeps for that server.
            assert_eq!(pass(&mut network, Side::B, told), None);
            let seen = pass(&mut network, Side::A, b);
            assert_eq!(seen.is_some(), is_let_in, "{kind:?}");
            if let Some(seen) = seen {
                assert!(seen.ip() == told.ip() && seen.port() != told.port());
                assert_eq!(pass(&mut network, Side::B, seen), Some(b));
            }
        }
    }

    #[test]
    fn a_symmetric_box_keeps_one_port_for_one_destination() {
        let mut network = network(Kind::Symmetric, Kind::Open, 0);
        let b = network.candidate(Side::B).address;
        let first = pass(&mut network, Side::A, b);
        assert!(first.is_some());
        assert_eq!(pass(&mut network, Side::A, b), first);
    }

    #[test]
    fn as_much_is_lost_as_was_asked_for_and_all_is_counted() {
        let mut network = network(Kind::Open, Kind::Open, 10);
        let b = network.candidate(Side::B).address;
        for _ in 0..10_000 {
            network.send(Duration::ZERO, Side::A, b, b"check");
        }
        let mut arrived = 0;
        while network.arrive().is_some() {
            arrived += 1;
        }
        assert_eq!(network.sent(), 10_000);
        assert!((8_900..9_100).contains(&arrived), "{arrived}");
    }
}
