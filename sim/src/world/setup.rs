//! From a scenario to its world, and from the world to what must become of it.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bradawl::time::{Duration, Instant};

use super::faults::Trouble;
use super::host::Host;
use super::network::{NetworkId, NetworkSetup};
use super::{Event, HostId, HostSetup, InvalidWorld, Keep, World};
use crate::catalogue;
use crate::check::PairOutcome;
use crate::peer::{Peer, PeerSetup};
use crate::program::{Policy, Program, Start};
use crate::scenario::{HostSpec, INTERNET, Mishap, Plant, Program as Runs, Scenario};
use crate::script::{ALTERNATE_PORT, Mediator, Repeater, STUN_PORT, Secret, Silent};
use crate::trace::Place;

/// How often a peer says something on its path.
const PEER_TALKS: Duration = Duration::from_secs(1);

/// How often a peer gathers and punches before it gives up: so often that it says so in time.
const PEER_TRIES: u8 = 5;

/// How long it punches each time: what it has learned of itself may not be so any more.
const PEER_PATIENCE: Duration = Duration::from_secs(4);

/// The names of a scenario and what became of them.
struct Names {
    networks: BTreeMap<String, NetworkId>,
    hosts: BTreeMap<String, HostId>,
}

impl World {
    /// The world of a scenario. The scenario is one that [`Scenario::check`] has nothing against.
    pub fn of(scenario: &Scenario, keep: Keep) -> Result<Self, InvalidWorld> {
        let mut world = Self::keeping(u64::from(scenario.seed), keep);
        let mut names = Names { networks: BTreeMap::new(), hosts: BTreeMap::new() };
        names.networks.insert(INTERNET.to_owned(), Self::INTERNET);
        let order = outermost_first(scenario);
        for name in &order {
            world.build_network(scenario, name, &mut names)?;
        }
        // Servers first: the others are told their addresses.
        let is_server = |spec: &HostSpec| spec.run == Runs::Mediator;
        let secret = Secret::new(world.rng.bytes());
        for wanted in [true, false] {
            for (name, spec) in scenario.hosts.iter().filter(|(_, spec)| is_server(spec) == wanted) {
                world.build_host(scenario, name, spec, &secret, &mut names)?;
            }
        }
        for (name, spec) in &scenario.hosts {
            if let Some(peer) = spec.peer.as_ref().filter(|&peer| name < peer) {
                world.pairs.push((names.hosts[name], names.hosts[peer]));
            }
        }
        for fault in &scenario.faults {
            let trouble = Trouble::of(&fault.what, &names.networks, &names.hosts);
            if matches!(fault.what, Mishap::Evil { .. }) {
                world.overheard = Some(VecDeque::new());
            }
            let at = Instant::ZERO + fault.at.duration();
            world.schedule(at, Event::Fault(Box::new(trouble)));
            world.last_trouble = world.last_trouble.max(at);
        }
        Ok(world)
    }

    fn build_network(
        &mut self,
        scenario: &Scenario,
        name: &str,
        names: &mut Names,
    ) -> Result<(), InvalidWorld> {
        let spec = &scenario.networks[name];
        let mut gateway = scenario.gateway(&spec.behind).unwrap_or_default();
        let ipv6 = scenario.has_ipv6(name);
        let mut outside = names.networks[&spec.outside];
        if let Some(carrier) = scenario.above(&spec.behind).and_then(catalogue::entry) {
            // The carrier's NAT, and its network between the two.
            outside = self.add_network(NetworkSetup {
                name: &format!("{name}-carrier"),
                outside,
                gateway: carrier.gateway.clone(),
                ipv6,
                subnet: None,
                is_carrier: true,
                link: spec.link.clone(),
            })?;
        }
        let promised = gateway.nat.clone();
        if scenario.plant == Some(Plant::ForgetfulNat)
            && let Some(nat) = &mut gateway.nat
        {
            nat.lifetime = crate::units::Span::from_micros(nat.lifetime.as_micros() / 2);
        }
        let setup = NetworkSetup {
            name,
            outside,
            gateway,
            ipv6,
            subnet: Some(scenario.subnet(name)),
            is_carrier: false,
            link: spec.link.clone(),
        };
        let id = self.add_network_promising(setup, promised.as_ref())?;
        names.networks.insert(name.to_owned(), id);
        Ok(())
    }

    fn build_host(
        &mut self,
        scenario: &Scenario,
        name: &str,
        spec: &HostSpec,
        secret: &Secret,
        names: &mut Names,
    ) -> Result<(), InvalidWorld> {
        let networks: Vec<NetworkId> = spec.networks.iter().map(|name| names.networks[name]).collect();
        let server = spec.server.as_ref().map(|name| names.hosts[name]);
        let setup = HostSetup {
            name,
            networks: &networks,
            addresses: &spec.addresses,
            // The second address is the alternate one (RFC 5780 §6).
            count: if spec.run == Runs::Mediator { 2 } else { 1 },
            listen: &[],
            policy: if spec.run == Runs::Mediator { Policy::Answers } else { Policy::Warranted },
            start: Instant::ZERO + spec.start.duration(),
            link: spec.link.clone(),
        };
        let servers = server.map_or_else(Vec::new, |server| self.servers(server));
        let secret = secret.clone();
        let make: Box<dyn FnMut(Start) -> Box<dyn Program>> = match spec.run {
            Runs::Silent => Box::new(|_| Box::new(Silent)),
            Runs::Mediator => Box::new(move |start| {
                let addresses: Vec<IpAddr> =
                    start.interfaces.iter().map(|interface| interface.address).collect();
                Box::new(Mediator::new(addresses, secret.clone(), start.rng))
            }),
            Runs::Stun => {
                Box::new(move |start| Box::new(Repeater::new(&start.interfaces, servers[0], start.rng)))
            }
            Runs::Peer => {
                let setup = PeerSetup {
                    name: name.to_owned(),
                    peer: spec.peer.clone().unwrap_or_default(),
                    mediator: server.map_or_else(Vec::new, |server| self.endpoints(server)),
                    secret,
                    port: 0,
                    begin: None,
                    birthday: false,
                    patience: PEER_PATIENCE,
                    tries: PEER_TRIES,
                    talks: Some(PEER_TALKS),
                    is_stray: scenario.plant == Some(Plant::StraySender),
                };
                Box::new(move |start| Box::new(Peer::new(setup.clone(), &start.interfaces, start.rng)))
            }
        };
        let id = self.add_boxed(setup, make)?;
        self.hosts[id.0 as usize].server = server;
        names.hosts.insert(name.to_owned(), id);
        Ok(())
    }

    /// Where a mediator listens: with both ports, at all its addresses.
    fn endpoints(&self, server: HostId) -> Vec<SocketAddr> {
        let ports = [STUN_PORT, ALTERNATE_PORT];
        let addresses = self.addresses(server).into_iter();
        addresses.flat_map(|ip| ports.map(|port| SocketAddr::new(ip, port))).collect()
    }

    /// Where a server listens: its first address of each family.
    fn servers(&self, server: HostId) -> Vec<SocketAddr> {
        let addresses = self.addresses(server);
        let first = |is_ipv4| addresses.iter().find(move |ip| ip.is_ipv4() == is_ipv4);
        [true, false].into_iter().filter_map(first).map(|&ip| SocketAddr::new(ip, STUN_PORT)).collect()
    }

    /// What became of the pairs, judged.
    pub(super) fn outcomes(&mut self) -> Vec<PairOutcome> {
        let pairs = core::mem::take(&mut self.pairs);
        let judged = pairs.into_iter().map(|pair| {
            let (expectation, patience) = self.expectation(pair);
            let servers = [pair.0, pair.1].map(|host| self.hosts[host.0 as usize].server);
            self.check.judge(self.now, pair, expectation, patience, servers)
        });
        judged.collect()
    }

    /// The order in which places read best: one host, what stands between it and the internet, everybody
    /// there, what stands before the next host, and so on.
    pub(super) fn place_order(&self) -> Vec<Place> {
        let mut order = Vec::with_capacity(self.networks.len() * 2 + self.hosts.len());
        let mut add = |place: Place| {
            if !order.contains(&place) {
                order.push(place);
            }
        };
        let (public, private): (Vec<_>, Vec<_>) =
            self.hosts.iter().partition(|host| host.ports.iter().all(|port| port.network == Self::INTERNET));
        let left = private.len().div_ceil(2);
        for host in &private[..left] {
            add(host.place);
        }
        for host in &private[..left] {
            self.gateways_above(host).for_each(&mut add);
        }
        for host in public {
            add(host.place);
        }
        for host in &private[left..] {
            let mut gateways: Vec<_> = self.gateways_above(host).collect();
            gateways.reverse();
            gateways.into_iter().for_each(&mut add);
        }
        for host in &private[left..] {
            add(host.place);
        }
        for network in &self.networks {
            network.gateway.iter().for_each(|uplink| add(uplink.place));
            add(network.place);
        }
        order
    }

    /// The gateways between a host's first network and the internet.
    fn gateways_above(&self, host: &Host) -> impl Iterator<Item = Place> + '_ {
        let first = host.ports.first().map(|port| port.network);
        first.into_iter().flat_map(|network| self.uplinks(network)).map(|uplink| uplink.place)
    }
}

/// The networks of a scenario, each behind the one that it is in.
fn outermost_first(scenario: &Scenario) -> Vec<String> {
    let mut placed: BTreeSet<&str> = BTreeSet::from([INTERNET]);
    let mut order = Vec::with_capacity(scenario.networks.len());
    // A scenario that was checked has no loops, so each round places one at least.
    for _ in 0..scenario.networks.len() {
        for (name, spec) in &scenario.networks {
            if placed.contains(spec.outside.as_str()) && placed.insert(name) {
                order.push(name.clone());
            }
        }
    }
    order
}

/// How long the certain may take, by what the links on the way do (invariant 3: 5 s + 10 round trips).
pub(super) fn patience(round_trip: Duration, is_lossy: bool) -> Duration {
    // With loss, the same thing has to be tried again and again.
    let lossy = if is_lossy { Duration::from_secs(20) } else { Duration::ZERO };
    Duration::from_secs(5) + round_trip * 10 + lossy
}
