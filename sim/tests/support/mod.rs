//! What the tests of whole worlds share: a program that does what a test tells it and writes down what
//! happens to it, and short ways to put networks and hosts into a world.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use bradawl::machine::{
    Ecn, HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport, Unreachable, Verdict,
};
use bradawl::time::{Duration, Instant};
use bradawl_sim::catalogue::{self, Gateway};
use bradawl_sim::firewall::Firewall;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::Behaviour;
use bradawl_sim::program::Policy;
use bradawl_sim::script::{Mediator, Secret};
use bradawl_sim::trace::Happened;
use bradawl_sim::units::Span;
use bradawl_sim::world::{HostId, HostSetup, NetworkId, NetworkSetup, World};

/// Something that an [`Actor`] does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It asks its host for something.
    Ask(HostRequest),
    /// It sends something.
    Send { path: Path, bytes: Vec<u8>, segment: Option<NonZeroU16>, ecn: Option<Ecn> },
    /// It says something to the world.
    Say(Happened),
}

impl Act {
    pub(crate) fn send(path: Path, bytes: &[u8]) -> Self {
        Self::Send { path, bytes: bytes.to_vec(), segment: None, ecn: None }
    }
}

/// Something that an [`Actor`] was told by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Bound(SocketId, Option<SocketAddr>),
    Connected(SocketId, Path),
    Closed(SocketId),
    Unreachable(Path, Unreachable),
    TooBig(Path, Option<u16>),
    Expired(Path, IpAddr),
    Interfaces(usize),
    ClockJumped(Duration),
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) path: Path,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) bytes: Vec<u8>,
}

/// What an [`Actor`] does about what comes in.
pub(crate) type Reaction = fn(Instant, Path, &[u8]) -> Option<Act>;

/// Does what it is told, and writes down what happens to it.
pub(crate) struct Actor {
    /// What it is to do, and when, in order of time.
    script: VecDeque<(Instant, Act)>,
    /// What it does before that, because of something that came in.
    reactions: VecDeque<Act>,
    reaction: Reaction,
    pub(crate) heard: Vec<Heard>,
    pub(crate) told: Vec<(Instant, Told)>,
}

impl Actor {
    /// One that does nothing yet.
    pub(crate) fn new() -> Self {
        Self::following([])
    }

    /// One with a script.
    pub(crate) fn following(script: impl IntoIterator<Item = (Instant, Act)>) -> Self {
        Self {
            script: script.into_iter().collect(),
            reactions: VecDeque::new(),
            reaction: |_, _, _| None,
            heard: Vec::new(),
            told: Vec::new(),
        }
    }

    /// One that answers.
    pub(crate) fn reacting(reaction: Reaction) -> Self {
        Self { reaction, ..Self::new() }
    }

    /// One that sends back whatever comes.
    pub(crate) fn echo() -> Self {
        Self::reacting(|_, path, bytes| Some(Act::send(path, bytes)))
    }

    pub(crate) fn then(&mut self, at: Instant, act: Act) {
        self.script.push_back((at, act));
    }
}

impl Machine for Actor {
    type Event = Happened;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        self.reactions.extend((self.reaction)(now, path, bytes));
        self.heard.push(Heard { at: now, path, ecn: meta.ecn, bytes: bytes.to_vec() });
        Verdict::Consumed
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        let told = match input {
            HostInput::Bound { id, result } => Told::Bound(id, result.ok()),
            HostInput::Connected { id, path } => Told::Connected(id, path),
            HostInput::Closed { id } => Told::Closed(id),
            HostInput::Unreachable { path, kind } => Told::Unreachable(path, kind),
            HostInput::TooBig { path, mtu } => Told::TooBig(path, mtu),
            HostInput::Expired { path, by } => Told::Expired(path, by),
            HostInput::Interfaces(interfaces) => Told::Interfaces(interfaces.len()),
            HostInput::ClockJumped(by) => Told::ClockJumped(by),
            other => panic!("a host says something new: {other:?}"),
        };
        self.told.push((now, told));
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Happened> {
        let is_due = self.script.front().is_some_and(|(at, _)| *at <= now);
        let next = self.reactions.pop_front();
        let next = next.or_else(|| self.script.pop_front_if(|_| is_due).map(|(_, act)| act));
        let Some(act) = next else { return Output::Idle(self.script.front().map(|(at, _)| *at)) };
        match act {
            Act::Ask(request) => Output::Host(request),
            Act::Say(happened) => Output::Event(happened),
            Act::Send { path, mut bytes, segment, ecn } => {
                if bytes.len() > buf.len() {
                    // More of a stream than fits at once.
                    let rest = bytes.split_off(buf.len());
                    self.reactions.push_front(Act::send(path, &rest));
                }
                buf[..bytes.len()].copy_from_slice(&bytes);
                Output::Transmit { path, len: bytes.len(), segment, ecn }
            }
        }
    }
}

pub(crate) fn secs(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

pub(crate) fn millis(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// A perfect link that takes so long.
pub(crate) fn delay(millis: u64) -> Quality {
    Quality { delay: Span::from_millis(millis), ..Quality::default() }
}

/// A gateway of the catalogue.
pub(crate) fn known(name: &str) -> Gateway {
    catalogue::entry(name).expect("it is in the catalogue").gateway.clone()
}

/// A gateway with a NAT and no firewall.
pub(crate) fn nat(behaviour: Behaviour) -> Gateway {
    Gateway { nat: Some(behaviour), addresses: 1, firewall: Firewall::OPEN }
}

/// A network behind something, with a perfect link.
pub(crate) fn network(world: &mut World, name: &str, outside: NetworkId, gateway: Gateway) -> NetworkId {
    linked(world, name, outside, gateway, Quality::default())
}

/// A network behind something.
pub(crate) fn linked(
    world: &mut World,
    name: &str,
    outside: NetworkId,
    gateway: Gateway,
    link: Quality,
) -> NetworkId {
    let setup = NetworkSetup { name, outside, gateway, ipv6: false, subnet: None, is_carrier: false, link };
    world.add_network(setup).expect("a network that can be")
}

/// A carrier's network, which others are behind.
pub(crate) fn carrier(world: &mut World, gateway: Gateway) -> NetworkId {
    let setup = NetworkSetup {
        name: "carrier",
        outside: World::INTERNET,
        gateway,
        ipv6: false,
        subnet: None,
        is_carrier: true,
        link: Quality::default(),
    };
    world.add_network(setup).expect("a network that can be")
}

/// A host with an actor who may send to anybody, from ports 5000 to 5003.
pub(crate) fn actor(world: &mut World, name: &str, network: NetworkId) -> HostId {
    acting(world, name, network, Actor::new)
}

/// The same with an actor of the test's own.
pub(crate) fn acting(
    world: &mut World,
    name: &str,
    network: NetworkId,
    mut make: impl FnMut() -> Actor + 'static,
) -> HostId {
    let networks = [network];
    let setup = HostSetup {
        listen: &[5_000, 5_001, 5_002, 5_003],
        policy: Policy::Anybody,
        ..HostSetup::new(name, &networks)
    };
    world.add_host(setup, move |_| make()).expect("a host that can be")
}

/// A mediator on the internet: a STUN server with two addresses and two ports.
pub(crate) fn mediator(world: &mut World, link: Quality) -> HostId {
    let setup = HostSetup {
        count: 2,
        policy: Policy::Answers,
        link,
        ..HostSetup::new("mediator", &[World::INTERNET])
    };
    let make = |start: bradawl_sim::program::Start| {
        let addresses: Vec<_> = start.interfaces.iter().map(|interface| interface.address).collect();
        Mediator::new(addresses, Secret::new([5; 32]), start.rng)
    };
    world.add_host(setup, make).expect("a host that can be")
}

/// An actor does something now.
pub(crate) fn act(world: &mut World, host: HostId, act: Act) {
    act_at(world, host, world.now(), act);
}

/// An actor does something after all that it already has to do, and not before `at`.
pub(crate) fn act_at(world: &mut World, host: HostId, at: Instant, act: Act) {
    world.with(host, |actor: &mut Actor, _| actor.then(at, act)).expect("the actor is there");
}

/// An actor sends something now.
pub(crate) fn send(world: &mut World, host: HostId, path: Path, bytes: &[u8]) {
    act(world, host, Act::send(path, bytes));
}

/// What an actor has heard since the last time it was asked.
pub(crate) fn heard(world: &mut World, host: HostId) -> Vec<Heard> {
    world.with(host, |actor: &mut Actor, _| std::mem::take(&mut actor.heard)).expect("the actor is there")
}

/// What an actor has been told since the last time it was asked.
pub(crate) fn told(world: &mut World, host: HostId) -> Vec<(Instant, Told)> {
    world.with(host, |actor: &mut Actor, _| std::mem::take(&mut actor.told)).expect("the actor is there")
}

/// Opens a listening TCP socket.
pub(crate) fn listen(id: u32, local: SocketAddr) -> Act {
    Act::Ask(HostRequest::Bind { id: SocketId(id), transport: Transport::Tcp, local })
}

/// Opens a TCP connection.
pub(crate) fn connect(id: u32, local: SocketAddr, remote: SocketAddr) -> Act {
    Act::Ask(HostRequest::Connect { id: SocketId(id), local, remote })
}
