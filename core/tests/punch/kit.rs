//! Two agents, each behind a box, with a delay between them; and whoever wants to spoil it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use bradawl::machine::{HostInput, HostRequest, MIN_BUFFER, Machine, Meta, Output, Path, Verdict};
use bradawl::punch::{Agent, Candidate, Config, Credentials, Event, Nat, Party, Remote, Role, Selected};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// What stands in front of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Open,
    /// Endpoint-independent mapping; whoever was sent to may answer, from any port or from that one.
    Address,
    Port,
    /// Another port for each address and port that is sent to.
    Symmetric,
}

pub(crate) struct Side {
    pub(crate) agent: Agent,
    pub(crate) front: Front,
    public: std::net::IpAddr,
    /// By inside address (and peer, if symmetric): the outside port.
    mapped: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    next_port: u16,
    sent_to: BTreeSet<(SocketAddr, SocketAddr)>,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) delivered: Vec<Vec<u8>>,
    wake: Option<Instant>,
    pub(crate) sent: Vec<(Instant, Path, Vec<u8>)>,
    next_bound: u16,
}

impl Side {
    pub(crate) fn new(name: u8, front: Front, agent: Agent) -> Self {
        Self {
            agent,
            front,
            public: [203, 0, 113, name].into(),
            mapped: BTreeMap::new(),
            next_port: 40_000,
            sent_to: BTreeSet::new(),
            events: Vec::new(),
            delivered: Vec::new(),
            wake: None,
            sent: Vec::new(),
            next_bound: 20_000,
        }
    }

    /// The address that a packet from `local` to `remote` comes from.
    fn out(&mut self, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if self.front == Front::Open {
            return local;
        }
        let key = (local, (self.front == Front::Symmetric).then_some(remote));
        let port = *self.mapped.entry(key).or_insert_with(|| {
            self.next_port += 1;
            self.next_port
        });
        let outside = SocketAddr::new(self.public, port);
        self.sent_to.insert((outside, remote));
        outside
    }

    /// Whom a packet from `from` to `to` gets to.
    fn inside(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        if self.front == Front::Open {
            return Some(to);
        }
        let is_welcome = self.sent_to.iter().any(|&(outside, remote)| {
            outside == to
                && match self.front {
                    Front::Address => remote.ip() == from.ip(),
                    _ => remote == from,
                }
        });
        let mapped = self.mapped.iter().find(|((_, remote), port)| {
            to == SocketAddr::new(self.public, **port) && remote.is_none_or(|remote| remote == from)
        });
        mapped.filter(|_| is_welcome).map(|((local, _), _)| *local)
    }

    pub(crate) fn selected(&self) -> Option<(Instant, Selected)> {
        self.events.iter().rev().find_map(|(at, event)| match event {
            Event::Selected(selected) => Some((*at, *selected)),
            _ => None,
        })
    }

    pub(crate) fn first_selected(&self) -> Option<Instant> {
        self.events.iter().find_map(|(at, event)| matches!(event, Event::Selected(_)).then_some(*at))
    }
}

pub(crate) struct World {
    pub(crate) sides: [Side; 2],
    pub(crate) now: Instant,
    pub(crate) delay: Duration,
    air: VecDeque<(Instant, u64, usize, SocketAddr, SocketAddr, Vec<u8>)>,
    serial: u64,
    pub(crate) lost: Box<dyn FnMut(u64) -> bool>,
}

impl World {
    pub(crate) fn new(sides: [Side; 2], delay: Duration) -> Self {
        Self { sides, now: at(1_000), delay, air: VecDeque::new(), serial: 0, lost: Box::new(|_| false) }
    }

    pub(crate) fn put(&mut self, to_side: usize, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.serial += 1;
        self.air.push_back((self.now + self.delay, self.serial, to_side, from, to, bytes));
    }

    fn drain(&mut self, index: usize) {
        let mut buf = [0; MIN_BUFFER];
        for step in 0.. {
            assert!(step < 10_000, "it does not come to an end");
            let side = &mut self.sides[index];
            match side.agent.poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => {
                    let from = side.out(path.local, path.remote);
                    side.sent.push((self.now, path, buf[..len].to_vec()));
                    self.serial += 1;
                    if !(self.lost)(self.serial) {
                        self.put(1 - index, from, path.remote, buf[..len].to_vec());
                    }
                }
                Output::Event(event) => side.events.push((self.now, event)),
                Output::Host(HostRequest::Bind { id, local, .. }) => {
                    side.next_bound += 1;
                    let result = Ok(SocketAddr::new(local.ip(), side.next_bound));
                    side.agent.handle_host(self.now, HostInput::Bound { id, result });
                }
                Output::Host(_) => {}
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now));
                    side.wake = wake;
                    return;
                }
            }
        }
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Instant) {
        loop {
            self.drain(0);
            self.drain(1);
            let arrival = self.air.iter().map(|(at, ..)| *at).min();
            let next = [arrival, self.sides[0].wake, self.sides[1].wake].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(index) = self.air.iter().position(|(at, ..)| *at <= self.now) {
                let (_, _, index, from, to, bytes) = self.air.remove(index).expect("it is there");
                let side = &mut self.sides[index];
                let Some(inside) = side.inside(from, to) else { continue };
                let verdict =
                    side.agent.handle_input(self.now, Path::udp(inside, from), Meta::default(), &bytes);
                if let Verdict::Deliver { body, .. } = verdict {
                    side.delivered.push(bytes[body].to_vec());
                }
            }
        }
        self.now = end;
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }
}

pub(crate) const LOCALS: [&str; 2] = ["192.168.1.2:5000", "10.7.0.3:6000"];

/// Where side `index` is, as the other one is told.
pub(crate) fn candidate(index: usize, front: Front) -> Candidate {
    let local = address(LOCALS[index]);
    match front {
        Front::Open => Candidate::host(open(index), 65_535),
        Front::Symmetric => Candidate::server_reflexive(
            SocketAddr::new([203, 0, 113, index as u8].into(), 39_999),
            local,
            65_535,
        ),
        _ => Candidate::server_reflexive(
            SocketAddr::new([203, 0, 113, index as u8].into(), 40_001),
            local,
            65_535,
        ),
    }
}

fn open(index: usize) -> SocketAddr {
    SocketAddr::new([203, 0, 113, index as u8].into(), 5_000)
}

pub(crate) fn base(index: usize, front: Front) -> SocketAddr {
    if front == Front::Open { open(index) } else { address(LOCALS[index]) }
}

/// Two agents that know of each other; `party` says what each takes the other for.
pub(crate) fn pair(fronts: [Front; 2], party: Party, seed: u8) -> World {
    let (caller, callee) = Credentials::derive(&[seed; 32], b"a test");
    let mut rng = Rng::from_seed([seed; 32]);
    let roles = [Role::Controlling, Role::Controlled];
    let ours = [caller, callee];
    let sides = [0, 1].map(|index| {
        let mut agent = Agent::new(Config::default(), ours[index].clone(), roles[index], rng.fork());
        let base = base(index, fronts[index]);
        agent.add_local(at(0), &Candidate::host(base, 65_535), base).expect("a socket");
        Side::new(index as u8, fronts[index], agent)
    });
    let mut world = World::new(sides, ms(50));
    for index in [0, 1] {
        let remote = Remote { credentials: ours[1 - index].clone(), party, nat: Nat::default() };
        let now = world.now;
        world.sides[index].agent.begin(now, remote);
        let theirs = candidate(1 - index, fronts[1 - index]);
        world.sides[index].agent.add_remote(now, &theirs).expect("it is fine");
    }
    world
}
