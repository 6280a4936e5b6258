//! The world of a case, and one run of it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use bradawl::punch::{Config, Nat};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::catalogue::{Gateway, Population, entry};
use crate::check::Violation;
use crate::firewall::Firewall;
use crate::link::Quality;
use crate::nat::Behaviour;
use crate::packet::HostId;
use crate::peer::{Peer, PeerSetup, Tally};
use crate::program::Policy;
use crate::script::{ALTERNATE_PORT, Mediator, STUN_PORT, Secret};
use crate::trace::{Happened, Strategy, Trace};
use crate::units::{Chance, Span};
use crate::world::{HostSetup, InvalidWorld, Keep, NetworkId, NetworkSetup, World};

/// When the caller begins: discoveries are over by then, and the two have been introduced.
const BEGIN: Duration = Duration::from_secs(7);
/// How much later the callee does.
const SKEW: Duration = Duration::from_millis(50);
/// How long a run goes on after both have a path, to see whether they keep it.
const SETTLE: Duration = Duration::from_millis(400);
/// How long it goes on at most.
const PATIENCE: Duration = Duration::from_secs(14);
/// When a neighbour takes a tuple.
const NEIGHBOURS: Duration = Duration::from_secs(6);
/// How long a packet takes on the access link of either, and at most within a home: half of that in the mean,
/// so that both together are 20 ms. What leaves a host at one moment does not reach its NAT at one moment,
/// and strangers get in between.
const ACCESS: Span = Span::from_micros(19_500);
const HOME_JITTER: Span = Span::from_millis(1);

/// What the two hosts are called in their networks, where they have such addresses.
const LOCALS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 1, 10), Ipv4Addr::new(192, 168, 1, 20)];
/// Where somebody else is who has the same port.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 77);

/// The world of a case.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What the two are behind.
    pub behind: [Behaviour; 2],
    /// Where the two are.
    pub place: Place,
    /// What a direct path loses in each direction.
    pub loss: Chance,
    /// Whether both may open hundreds of ports.
    pub birthday: bool,
    /// How often somebody else has taken the tuple that a NAT would give to one side's packets to the other.
    pub occupied: Chance,
    /// Whether there is somebody else in each home at the address of the other peer.
    pub has_bystanders: bool,
}

/// Where the two are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a home each. The seed decides which of the two is the caller's.
    Homes,
    /// The same, with both homes behind this one.
    Carrier(Behaviour),
    /// Each behind what the population has.
    Population(&'static Population),
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct RunOutcome {
    /// Which.
    pub seed: u32,
    /// The path, if both have one and agree.
    pub direct: Option<Direct>,
    /// How many packets both agents had sent by then, or in all.
    pub packets: u32,
    /// How many entries they had made in the tables of NATs by then, or in all.
    pub entries: u32,
    /// How many guesses were repeated.
    pub repeated: u32,
    /// Somebody has a path that does not lead to its peer, or has one alone.
    pub is_false: bool,
    /// Both say that there is none.
    pub has_failed: bool,
    /// The most packets that a bystander got.
    pub strays: u32,
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// What the two are behind, in the words of the catalogue, if the seed decides.
    pub behind: Option<[&'static str; 2]>,
    /// What each has found out of that.
    pub nats: [Nat; 2],
    /// How many checks each has sent, by strategy, if it failed.
    pub tried: [Option<[u32; 7]>; 2],
}

/// A path that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// How long it took.
    pub after: Duration,
    /// How it was won.
    pub strategy: Strategy,
}

impl Setting {
    /// Two homes behind these, with the loss of the design.
    pub(super) const fn between(a: Behaviour, b: Behaviour) -> Self {
        Self {
            behind: [a, b],
            place: Place::Homes,
            loss: Chance::percent(2),
            birthday: false,
            occupied: Chance::NEVER,
            has_bystanders: false,
        }
    }

    /// The access link of either: half of the loss, so that both together lose what they are to.
    fn access(&self) -> Quality {
        // 1 − √(1 − p), in integers.
        let kept = u64::from(1_000_000 - self.loss.ppm()) * 1_000_000;
        let loss = Chance::from_ppm(1_000_000 - kept.isqrt() as u32);
        Quality { delay: ACCESS, loss, ..Quality::default() }
    }
}

/// Runs a case with a seed.
pub fn run_one(setting: &Setting, seed: u32) -> Result<RunOutcome, InvalidWorld> {
    run_keeping(setting, seed, Keep::Digest).map(|(outcome, _)| outcome)
}

/// Runs a case with a seed, and keeps what happened if that is wanted.
fn run_keeping(
    setting: &Setting,
    seed: u32,
    keep: Keep,
) -> Result<(RunOutcome, crate::world::Report), InvalidWorld> {
    let mut built = Built::new(setting, seed, keep)?;
    let start = Instant::ZERO + BEGIN;
    built.world.run_until(start);
    built.world.run_until_settled(SETTLE, start + PATIENCE);
    Ok(built.finish(seed, start))
}

/// What happened in a run to every packet, from the moment at which the caller begins.
pub fn trace(setting: &Setting, seed: u32) -> Result<Trace, InvalidWorld> {
    let (_, mut report) = run_keeping(setting, seed, Keep::Everything)?;
    report.trace.records.retain(|record| record.at >= Instant::ZERO + BEGIN);
    Ok(report.trace)
}

/// A world and who is who in it.
struct Built {
    world: World,
    peers: [HostId; 2],
    bystanders: Vec<HostId>,
    behind: Option<[&'static str; 2]>,
}

impl Built {
    fn new(setting: &Setting, seed: u32, keep: Keep) -> Result<Self, InvalidWorld> {
        let mut world = World::keeping(u64::from(seed), keep);
        let mut bytes = [0xAC; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let secret = Secret::new(rng.bytes());
        let mediator = add_mediator(&mut world, &secret)?;
        let endpoints = endpoints(&world, mediator);
        let (gateways, behind) = gateways(setting, seed, &mut rng);
        let outside = match &setting.place {
            Place::Carrier(behaviour) => {
                let gateway =
                    Gateway { nat: Some(behaviour.clone()), addresses: 4, firewall: Firewall::OPEN };
                add_network(&mut world, "carrier", World::INTERNET, gateway, Quality::default(), true)?
            }
            Place::Homes | Place::Population(_) => World::INTERNET,
        };
        let ports = [10_000 + rng.below(20_000) as u16, 30_000 + rng.below(20_000) as u16];
        let mut built = Self { world, peers: [mediator; 2], bystanders: Vec::new(), behind };
        let mut homes = [World::INTERNET; 2];
        for (side, gateway) in gateways.into_iter().enumerate() {
            let has_nat = gateway.nat.is_some();
            let name = ["home-a", "home-b"][side];
            let home = add_network(&mut built.world, name, outside, gateway, setting.access(), false)?;
            homes[side] = home;
            let names = ["alice", "bob"];
            let peer = PeerSetup {
                name: names[side].to_owned(),
                peer: names[1 - side].to_owned(),
                mediator: endpoints.clone(),
                secret: secret.clone(),
                port: ports[side],
                begin: Some(Instant::ZERO + BEGIN + if side == 0 { Duration::ZERO } else { SKEW }),
                birthday: setting.birthday,
                patience: Config::default().patience,
                tries: 1,
                talks: None,
                is_stray: false,
            };
            built.peers[side] = add_peer(&mut built.world, home, has_nat.then_some(LOCALS[side]), peer)?;
            if setting.has_bystanders {
                built.add_bystander(home, LOCALS[1 - side], ports[1 - side])?;
            }
        }
        for side in [0, 1] {
            if setting.occupied.happens(&mut rng) {
                built.add_neighbour(homes[side], ports, side)?;
            }
        }
        let [alice, bob] = built.peers;
        built.world.add_pair(alice, bob, mediator);
        Ok(built)
    }

    /// Somebody in a home who has the address that the other peer has in its own.
    fn add_bystander(&mut self, home: NetworkId, address: Ipv4Addr, port: u16) -> Result<(), InvalidWorld> {
        let (networks, addresses) = ([home], [IpAddr::V4(address)]);
        let setup =
            HostSetup { addresses: &addresses, listen: &[port], ..HostSetup::new("bystander", &networks) };
        let host = self.world.add_host(setup, |_| Bystander(0))?;
        self.bystanders.push(host);
        Ok(())
    }

    /// Somebody in a home who uses the same port as its peer, and talks to where the other peer is seen: the
    /// tuple is taken then.
    fn add_neighbour(&mut self, home: NetworkId, ports: [u16; 2], side: usize) -> Result<(), InvalidWorld> {
        let Some(public) = self.world.public_address(self.peers[1 - side]) else { return Ok(()) };
        let (networks, addresses) = ([home], [IpAddr::V4(NEIGHBOUR)]);
        let listen = [ports[side]];
        let setup = HostSetup {
            addresses: &addresses,
            listen: &listen,
            policy: Policy::Anybody,
            start: Instant::ZERO + NEIGHBOURS,
            ..HostSetup::new("neighbour", &networks)
        };
        let local = SocketAddr::new(IpAddr::V4(NEIGHBOUR), ports[side]);
        let path = Path::udp(local, SocketAddr::new(public, ports[1 - side]));
        self.world.add_host(setup, move |_| Neighbour(Some(path)))?;
        Ok(())
    }

    fn finish(mut self, seed: u32, start: Instant) -> (RunOutcome, crate::world::Report) {
        let [alice, bob] = self.peers;
        let mut tally = |host: HostId| {
            let tally = self.world.with(host, |peer: &mut Peer, _| peer.tally().clone());
            tally.unwrap_or_default()
        };
        let tallies: [Tally; 2] = [tally(alice), tally(bob)];
        let mut nat =
            |host: HostId| self.world.with(host, |peer: &mut Peer, _| peer.nat()).unwrap_or_default();
        let nats = [nat(alice), nat(bob)];
        let has_path = self.world.has_path(alice, bob);
        let both = match (tallies[0].selected(), tallies[1].selected()) {
            (Some(ours), Some(theirs)) if has_path => Some((ours.0.max(theirs.0), (ours.1, theirs.1))),
            _ => None,
        };
        let until = both.map_or(Instant::FAR_FUTURE, |(at, _)| at);
        let sum = |of: &dyn Fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>() as u32;
        let strays = self.bystanders.iter().map(|&host| {
            self.world.with(host, |bystander: &mut Bystander, _| bystander.0).unwrap_or_default()
        });
        let strays = strays.max().unwrap_or(0);
        let is_anybody_connected = self.world.has_any_path(alice, bob);
        let behind = self.behind;
        let report = self.world.finish();
        let outcome = report.pairs.first().map(|pair| pair.outcome);
        let strategy = match outcome {
            Some(crate::check::Outcome::Direct { strategy, .. }) => strategy,
            _ => Strategy::Punch,
        };
        let outcome = RunOutcome {
            seed,
            direct: both.map(|(at, _)| Direct { after: at.since(start), strategy }),
            packets: sum(&|tally| tally.packets(until)),
            entries: sum(&|tally| tally.entries(until)),
            repeated: sum(&Tally::repeated),
            is_false: is_anybody_connected && !has_path,
            has_failed: tallies.iter().all(|tally| tally.failure().is_some()),
            strays,
            violation: report.violations.first().cloned(),
            behind,
            nats,
            tried: [0, 1].map(|side: usize| tallies[side].failure().map(|failure| failure.tried)),
        };
        (outcome, report)
    }
}

/// What the two are behind.
fn gateways(setting: &Setting, seed: u32, rng: &mut Rng) -> ([Gateway; 2], Option<[&'static str; 2]>) {
    if let Place::Population(population) = &setting.place {
        let names = [drawn(population, rng), drawn(population, rng)];
        let gateway = |name| entry(name).map_or(Gateway::OPEN, |entry| entry.gateway.clone());
        return (names.map(gateway), Some(names));
    }
    let mut gateways = setting.behind.clone().map(|behaviour| Gateway {
        nat: Some(behaviour),
        addresses: 1,
        firewall: Firewall::OPEN,
    });
    if seed % 2 == 1 {
        gateways.reverse();
    }
    (gateways, None)
}

/// A member of a population.
fn drawn(population: &Population, rng: &mut Rng) -> &'static str {
    let all: u32 = population.weights.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.below(u64::from(all)) as u32;
    for &(name, weight) in population.weights {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return name,
        }
    }
    "open"
}

fn add_mediator(world: &mut World, secret: &Secret) -> Result<HostId, InvalidWorld> {
    let networks = [World::INTERNET];
    let setup = HostSetup { count: 2, policy: Policy::Answers, ..HostSetup::new("mediator", &networks) };
    let secret = secret.clone();
    world.add_host(setup, move |start| {
        let addresses: Vec<IpAddr> = start.interfaces.iter().map(|interface| interface.address).collect();
        Mediator::new(addresses, secret.clone(), start.rng)
    })
}

/// Where the mediator listens with IPv4: both ports of its first address, then of the second.
fn endpoints(world: &World, mediator: HostId) -> Vec<SocketAddr> {
    let addresses = world.addresses(mediator).into_iter().filter(IpAddr::is_ipv4);
    addresses.flat_map(|ip| [STUN_PORT, ALTERNATE_PORT].map(|port| SocketAddr::new(ip, port))).collect()
}

fn add_network(
    world: &mut World,
    name: &str,
    outside: NetworkId,
    gateway: Gateway,
    link: Quality,
    is_carrier: bool,
) -> Result<NetworkId, InvalidWorld> {
    world.add_network(NetworkSetup { name, outside, gateway, ipv6: false, subnet: None, is_carrier, link })
}

fn add_peer(
    world: &mut World,
    home: NetworkId,
    address: Option<Ipv4Addr>,
    peer: PeerSetup,
) -> Result<HostId, InvalidWorld> {
    let (networks, addresses): (_, Vec<IpAddr>) = ([home], address.into_iter().map(IpAddr::V4).collect());
    let name = peer.name.clone();
    let link = Quality { jitter: HOME_JITTER, ..Quality::default() };
    let setup = HostSetup { addresses: &addresses, link, ..HostSetup::new(&name, &networks) };
    world.add_host(setup, move |start| Peer::new(peer.clone(), &start.interfaces, start.rng))
}

/// Counts what comes.
struct Bystander(u32);

impl Machine for Bystander {
    type Event = Happened;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict {
        self.0 += 1;
        Verdict::Unclaimed
    }

    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Happened> {
        Output::Idle(None)
    }
}

/// Sends one packet.
struct Neighbour(Option<Path>);

impl Machine for Neighbour {
    type Event = Happened;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict {
        Verdict::Unclaimed
    }

    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<Happened> {
        let Some(path) = self.0.take() else { return Output::Idle(None) };
        buf[0] = 0;
        Output::Transmit { path, len: 1, segment: None, ecn: None }
    }
}
