//! One connection: two agents who learn of each other at the same moment, until both have a pair.

use std::time::Duration;

use bradawl::rng::Rng;

use crate::contender::{Contender, Entry, Role, Setup};
use bradawl_benches::network::{Kind, Network, Side};

/// The boxes before the two agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) kinds: [Kind; 2],
}

impl Cell {
    const fn new(name: &'static str, a: Kind, b: Kind) -> Self {
        Self { name, kinds: [a, b] }
    }

    pub(crate) const ALL: [Self; 7] = [
        Self::new("open×open", Kind::Open, Kind::Open),
        Self::new("address×address", Kind::AddressRestricted, Kind::AddressRestricted),
        Self::PORT_RESTRICTED,
        Self::new("open×port", Kind::Open, Kind::PortRestricted),
        Self::new("address×symmetric", Kind::AddressRestricted, Kind::Symmetric),
        Self::new("open×symmetric", Kind::Open, Kind::Symmetric),
        Self::new("symmetric×address", Kind::Symmetric, Kind::AddressRestricted),
    ];

    /// The common case of two homes; the one whose CPU is measured.
    pub(crate) const PORT_RESTRICTED: Self =
        Self::new("port×port", Kind::PortRestricted, Kind::PortRestricted);

    /// The side behind the symmetric NAT, if there is one.
    pub(crate) fn symmetric(self) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.kinds[side.index()] == Kind::Symmetric)
    }
}

/// What a connection is made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) cell: Cell,
    /// One way.
    pub(crate) delay: Duration,
    /// Of every datagram, whichever way it goes.
    pub(crate) loss_percent: u64,
    /// Whether each is told that the other's public address is that of its socket.
    pub(crate) as_host: bool,
}

impl Conditions {
    /// There and back.
    pub(crate) fn round_trip(&self) -> Duration {
        2 * self.delay
    }
}

/// Who is not there by then has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How long datagrams are counted, so that what an agent sends after it has a pair shows, too.
pub(crate) const COUNTED: Duration = Duration::from_secs(2);

/// When an agent who asks for a time that has passed is asked again.
const TICK: Duration = Duration::from_millis(1);

/// What came of a connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// When each side had its pair.
    pub(crate) selected: [Option<Duration>; 2],
    /// What both sides had sent when both had.
    pub(crate) sent_until_both: Option<u32>,
    /// What both sides sent within [`COUNTED`].
    pub(crate) sent_counted: u32,
}

impl Outcome {
    /// When both sides had a pair.
    pub(crate) fn both(&self) -> Option<Duration> {
        let [a, b] = self.selected;
        Some(a?.max(b?))
    }
}

/// When a connection has been watched long enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Both have a pair: for who measures what a connection costs.
    Both,
    /// Both have a pair and [`COUNTED`] is over.
    Counted,
}

/// `pair[0]` is A, who controls.
pub(crate) fn run(pair: [&Entry; 2], conditions: &Conditions, seed: u64, until: Until) -> Outcome {
    let mut race = Race::new(pair, conditions, seed);
    race.start(conditions.as_host);
    loop {
        let wakes = race.wakes.into_iter().flatten();
        let next = wakes.chain(race.network.next_arrival()).min().unwrap_or(LIMIT);
        if race.now <= COUNTED && next > COUNTED {
            race.outcome.sent_counted = race.network.sent();
        }
        let is_done = race.outcome.both().is_some() && (until == Until::Both || next > COUNTED);
        if is_done || next >= LIMIT {
            return race.outcome;
        }
        race.now = next;
        race.step();
    }
}

struct Race {
    agents: [Box<dyn Contender>; 2],
    /// When each wants to be asked again.
    wakes: [Option<Duration>; 2],
    network: Network,
    now: Duration,
    outcome: Outcome,
}

impl Race {
    fn new(pair: [&Entry; 2], conditions: &Conditions, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let Conditions { cell, delay, loss_percent, .. } = *conditions;
        let network = Network::new(cell.kinds, delay, loss_percent, rng.fork());
        let agents = [(Side::A, Role::Controlling), (Side::B, Role::Controlled)].map(|(side, role)| {
            let setup = Setup { role, local: network.local(side), seed: rng.bytes() };
            (pair[side.index()].start)(&setup)
        });
        Self { agents, wakes: [None; 2], network, now: Duration::ZERO, outcome: Outcome::default() }
    }

    fn start(&mut self, as_host: bool) {
        for side in Side::BOTH {
            let remote = self.agents[side.other().index()].credentials();
            let mut candidate = self.network.candidate(side.other());
            candidate.is_reflexive &= !as_host;
            self.agents[side.index()].connect(self.now, &remote, candidate);
        }
        for side in Side::BOTH {
            self.poll(side);
        }
    }

    /// Does one thing that is due: a datagram before a timer, A before B.
    fn step(&mut self) {
        if self.network.next_arrival() == Some(self.now) {
            let Some(arrival) = self.network.arrive() else { return };
            self.agents[arrival.side.index()].handle_input(self.now, arrival.from, &arrival.bytes);
            self.poll(arrival.side);
            return;
        }
        let due = Side::BOTH.into_iter().find(|side| self.wakes[side.index()] == Some(self.now));
        if let Some(side) = due {
            self.poll(side);
        }
    }

    fn poll(&mut self, side: Side) {
        let (now, network) = (self.now, &mut self.network);
        let agent = &mut self.agents[side.index()];
        let wake = agent.poll(now, &mut |to, bytes| network.send(now, side, to, bytes));
        self.wakes[side.index()] = wake.map(|at| if at > now { at } else { now + TICK });
        let selected = &mut self.outcome.selected[side.index()];
        if selected.is_none() && agent.is_selected() {
            *selected = Some(now);
            if self.outcome.both().is_some() {
                self.outcome.sent_until_both = Some(self.network.sent());
            }
        }
    }
}
