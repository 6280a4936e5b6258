//! A world: networks, hosts and virtual time, on one thread, from one seed.
//!
//! Build one by hand ([`World::add_network`], [`World::add_host`]) around machines of your own, or from a
//! [`Scenario`](crate::scenario::Scenario); run it ([`World::run_for`], [`World::run_until_settled`]); ask what became of
//! it ([`World::finish`]). Everything that happens is an entry of one queue, and time jumps from one to
//! the next.

mod address;
mod drive;
mod expectation;
mod faults;
mod forward;
mod host;
mod network;
mod queue;
mod setup;
mod sockets;
mod streams;

use std::collections::VecDeque;

use bradawl::machine::HostInput;
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use host::Host;
pub use host::HostSetup;
use network::Network;
pub use network::{NetworkId, NetworkSetup};
use queue::Queue;

use crate::check::{Checker, PairOutcome, Violation};
use crate::log::Log;
use crate::nat;
pub use crate::packet::HostId;
use crate::packet::{Grief, Packet};
use crate::trace::{Digest, PlaceKind, Trace};

/// How much may be going on at once before a run is stopped: no bug takes gigabytes.
pub const MAX_IN_FLIGHT: usize = 1_000_000;

/// The room for packets that a program is offered when it is polled.
const BUFFER: usize = 16 * 1_024;

/// A world. See the [module documentation](self).
///
/// A STUN client behind a home router asks a server on the internet how it looks from there:
///
/// ```
/// use bradawl::machine::Path;
/// use bradawl::stun::client::{Request, StunClient};
/// use bradawl::stun::server::{Config, StunServer};
/// use bradawl::time::Duration;
/// use bradawl_sim::catalogue;
/// use bradawl_sim::program::Policy;
/// use bradawl_sim::world::{HostSetup, NetworkSetup, World};
///
/// let mut world = World::new(7);
/// let home = world.add_network(NetworkSetup {
///     name: "home",
///     outside: World::INTERNET,
///     gateway: catalogue::entry("home").expect("it is in there").gateway.clone(),
///     ipv6: false,
///     subnet: None,
///     is_carrier: false,
///     link: Default::default(),
/// })?;
/// let server = HostSetup { listen: &[3478], policy: Policy::Answers, ..HostSetup::new("server", &[World::INTERNET]) };
/// let server = world.add_host(server, |start| StunServer::new(Config::default(), start.rng))?;
/// let networks = [home];
/// let client = HostSetup { listen: &[5000], policy: Policy::Anybody, ..HostSetup::new("client", &networks) };
/// let client = world.add_host(client, |start| StunClient::new(start.rng))?;
///
/// world.run_for(Duration::ZERO); // both are started
/// let path = Path::udp(world.address(client, 5000), world.address(server, 3478));
/// world.with(client, |client: &mut StunClient, now| client.request(now, path, Request::default()))
///     .expect("it runs")?;
/// world.run_for(Duration::from_secs(1));
/// let seen = world.seen_as(client).expect("an answer");
/// assert_eq!(seen, "203.0.113.1:5000".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct World {
    now: Instant,
    queue: Queue,
    networks: Vec<Network>,
    hosts: Vec<Host>,
    /// What the hosts are to each other, as far as it is known.
    pairs: Vec<(HostId, HostId)>,
    /// What an evil stranger has seen on the internet lately, if there is one.
    overheard: Option<VecDeque<Packet>>,
    /// When the last thing that is planned to go wrong does.
    last_trouble: Instant,
    packets: u64,
    rng: Rng,
    log: Log,
    check: Checker,
    buf: Vec<u8>,
}

/// Why there is no such world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorld {
    /// A NAT cannot exist.
    #[error(transparent)]
    Nat(#[from] nat::ConfigError),
    /// A network has no more addresses.
    #[error("a network has no more addresses")]
    NoAddress,
    /// Somebody has this address already.
    #[error("the address {0} is taken")]
    Taken(core::net::IpAddr),
    /// A host has no network of this address.
    #[error("the address {0} is in none of the host's networks")]
    Elsewhere(core::net::IpAddr),
    /// More than can be counted.
    #[error("too many networks or hosts")]
    TooMany,
}

/// Whether a run keeps what happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Only the digest.
    #[default]
    Digest,
    /// Every record.
    Everything,
}

/// What became of a run.
#[derive(Debug)]
pub struct Report {
    /// When it ended.
    pub end: Instant,
    /// The same for the same run.
    pub digest: Digest,
    /// What must not have happened, and did.
    pub violations: Vec<Violation>,
    /// What became of each two that wanted to reach each other.
    pub pairs: Vec<PairOutcome>,
    /// How many packets there were, of every kind.
    pub packets: u64,
    /// What happened, if it was kept.
    pub trace: Trace,
}

/// Something that is going to happen.
#[derive(Debug)]
enum Event {
    /// A packet is in a network.
    AtNetwork(NetworkId, Box<Packet>),
    /// A packet from outside is at the gateway of a network.
    IntoNetwork(NetworkId, Box<Packet>),
    /// A packet is at one of a host's interfaces.
    AtHost(HostId, Box<Packet>),
    /// A host has something to do.
    Wake(HostId),
    /// A host finds that it could not send a packet.
    Grieve(HostId, nat::Flow, Grief),
    /// A host is switched on, for the first time or again.
    Start(HostId),
    /// Something goes wrong.
    Fault(Box<faults::Trouble>),
    /// A host wakes up.
    WakeUp(HostId),
    /// The stranger sends one packet, and has so many left.
    Evil(HostId, u16),
}

impl World {
    /// An empty world: the internet, and nobody there.
    pub fn new(seed: u64) -> Self {
        Self::keeping(seed, Keep::Digest)
    }

    /// An empty world that keeps what happens.
    pub fn keeping(seed: u64, keep: Keep) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut log = Log::new(keep == Keep::Everything);
        let internet = log.add_place("internet", PlaceKind::Network);
        Self {
            now: Instant::ZERO,
            queue: Queue::default(),
            networks: vec![Network::internet(internet)],
            hosts: Vec::new(),
            pairs: Vec::new(),
            overheard: None,
            last_trouble: Instant::ZERO,
            packets: 0,
            rng: Rng::from_seed(bytes),
            log,
            check: Checker::default(),
            buf: vec![0; BUFFER],
        }
    }

    /// Two hosts want to reach each other, and ask `server` how they look: what has to become of them is
    /// judged in the end.
    pub fn add_pair(&mut self, a: HostId, b: HostId, server: HostId) {
        for host in [a, b] {
            self.host_mut(host).server = Some(server);
        }
        self.pairs.push((a, b));
    }

    /// Whether two hosts have a path and agree on it: what each sends on its own has arrived at the other on
    /// its own.
    pub fn has_path(&self, a: HostId, b: HostId) -> bool {
        self.check.is_joined((a, b))
    }

    /// Whether one of two hosts believes to have a path.
    pub fn has_any_path(&self, a: HostId, b: HostId) -> bool {
        self.check.is_any_selected(&[a, b])
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Lets time pass until nothing more happens, or so much of it has passed.
    pub fn run_until(&mut self, end: Instant) {
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    /// Lets time pass until every pair has found a path or given up and no fault is to come, and then
    /// for so long more; at most until `end`.
    pub fn run_until_settled(&mut self, linger: Duration, end: Instant) {
        while !self.check.is_settled(&self.pairs)
            || self.now <= self.check.last_fault().max(self.last_trouble)
        {
            if !self.step(end) {
                self.now = self.now.max(end);
                return;
            }
        }
        self.run_until(end.min(self.now + linger));
    }

    /// The end: what became of everything.
    pub fn finish(mut self) -> Report {
        let pairs = self.outcomes();
        let order = self.place_order();
        Report {
            end: self.now,
            digest: self.log.digest(),
            violations: self.check.into_violations(),
            pairs,
            packets: self.packets,
            trace: self.log.into_trace(&order),
        }
    }

    /// The next thing that happens no later than `end`; whether there was one.
    fn step(&mut self, end: Instant) -> bool {
        if self.queue.next().is_none_or(|at| at > end) {
            return false;
        }
        let Some((at, event)) = self.queue.pop() else { return false };
        if self.queue.len() > MAX_IN_FLIGHT {
            self.check.flood(at);
            return false;
        }
        self.now = at;
        match event {
            Event::AtNetwork(at, packet) => {
                self.overhear(at, &packet);
                self.at_network(at, packet);
            }
            Event::IntoNetwork(inside, packet) => self.enter_network(inside, packet),
            Event::AtHost(host, packet) => self.at_host(host, &packet),
            Event::Wake(host) => self.wake(host),
            Event::Grieve(host, offending, what) => self.grieve(host, offending, what),
            Event::Start(host) => self.start(host),
            Event::Fault(trouble) => self.strike(*trouble),
            Event::WakeUp(host) => self.wake_up(host),
            Event::Evil(host, left) => self.be_evil(host, left),
        }
        true
    }

    /// The host says something to its program, which then does what it wants to do.
    fn tell(&mut self, host: HostId, input: HostInput<'_>) {
        let now = self.now;
        if let Some(program) = self.host_mut(host).running() {
            program.handle_host(now, input);
            self.drive(host);
        }
    }
}
