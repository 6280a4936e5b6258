//! A host: interfaces, sockets, and a program. How they work together is the subject of `drive.rs`.

use core::any::Any;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;

use bradawl::machine::{HostInput, Interface, Path, Unreachable};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use super::network::{NetworkId, Owner};
use super::sockets::{Seen, Sockets};
use super::streams::Streams;
use super::{Event, InvalidWorld, World};
use crate::link::{Link, Quality};
use crate::packet::HostId;
use crate::program::{Policy, Program, Start};
use crate::trace::{Place, PlaceKind};

/// A host to be added to a world.
#[derive(Clone, Debug)]
pub struct HostSetup<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The networks that it is in, an interface each.
    pub networks: &'a [NetworkId],
    /// Its addresses, where they matter.
    pub addresses: &'a [IpAddr],
    /// How many addresses of each family it has on each network.
    pub count: u8,
    /// UDP ports that are open on all its addresses before it is started; a program can also ask for
    /// sockets itself.
    pub listen: &'a [u16],
    /// Whom it may send to.
    pub policy: Policy,
    /// When it is started.
    pub start: Instant,
    /// The way from each of its interfaces to the network.
    pub link: Quality,
}

impl<'a> HostSetup<'a> {
    /// A host with one interface, started at once.
    pub fn new(name: &'a str, network: &'a [NetworkId]) -> Self {
        Self {
            name,
            networks: network,
            addresses: &[],
            count: 1,
            listen: &[],
            policy: Policy::Warranted,
            start: Instant::ZERO,
            link: Quality::default(),
        }
    }
}

pub(super) struct Host {
    pub(super) place: Place,
    pub(super) ports: Vec<Port>,
    /// The host that it asks how it looks, if that is known.
    pub(super) server: Option<HostId>,
    /// Its addresses are no longer those that others were told at the beginning.
    pub(super) has_moved: bool,
    pub(super) make: Box<dyn FnMut(Start) -> Box<dyn Program>>,
    /// `None`: it is off.
    pub(super) program: Option<Box<dyn Program>>,
    pub(super) asleep_since: Option<Instant>,
    pub(super) sockets: Sockets,
    pub(super) streams: Streams,
    pub(super) listen: Vec<u16>,
    /// When it is to be polled again.
    pub(super) wake: Option<Instant>,
    /// When that is planned.
    pub(super) alarm: Option<Instant>,
    /// Until when it is off or asleep, whatever else happens to it.
    pub(super) away_until: Instant,
    pub(super) rng: Rng,
    /// What it has got lately, to know a repetition.
    pub(super) seen: Seen,
    pub(super) seen_as: Option<SocketAddr>,
}

/// An interface.
pub(super) struct Port {
    pub(super) network: NetworkId,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) up: Link,
    pub(super) down: Link,
}

/// What a host says to its program, kept until it is time.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Unreachable(Path, Unreachable),
    TooBig(Path, u16),
    Expired(Path, IpAddr),
    Interfaces(Vec<Interface>),
    ClockJumped(Duration),
}

impl Told {
    pub(super) fn as_input(&self) -> HostInput<'_> {
        match self {
            Self::Unreachable(path, kind) => HostInput::Unreachable { path: *path, kind: *kind },
            Self::TooBig(path, mtu) => HostInput::TooBig { path: *path, mtu: Some(*mtu) },
            Self::Expired(path, by) => HostInput::Expired { path: *path, by: *by },
            Self::Interfaces(interfaces) => HostInput::Interfaces(interfaces),
            Self::ClockJumped(by) => HostInput::ClockJumped(*by),
        }
    }
}

impl Host {
    /// The program, if the host is on and awake.
    pub(super) fn running(&mut self) -> Option<&mut Box<dyn Program>> {
        self.program.as_mut().filter(|_| self.asleep_since.is_none())
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ports.iter().flat_map(|port| port.addresses.iter().copied())
    }

    /// Which interface has an address.
    pub(super) fn port_of(&self, ip: IpAddr) -> Option<usize> {
        self.ports.iter().position(|port| port.addresses.contains(&ip))
    }

    /// Its addresses are gone, and so are the sockets on them.
    pub(super) fn forget_sockets(&mut self) {
        self.sockets = Sockets::default();
        self.streams = Streams::default();
    }

    /// It is switched off: nothing of it remains.
    pub(super) fn stop(&mut self) {
        self.program = None;
        self.forget_sockets();
        (self.wake, self.asleep_since) = (None, None);
        self.seen = Seen::default();
    }
}

impl World {
    /// Adds a host that runs what `make` makes, each time it is started.
    pub fn add_host<P: Program>(
        &mut self,
        setup: HostSetup<'_>,
        mut make: impl FnMut(Start) -> P + 'static,
    ) -> Result<HostId, InvalidWorld> {
        self.add_boxed(setup, Box::new(move |start| Box::new(make(start))))
    }

    pub(super) fn add_boxed(
        &mut self,
        setup: HostSetup<'_>,
        make: Box<dyn FnMut(Start) -> Box<dyn Program>>,
    ) -> Result<HostId, InvalidWorld> {
        let HostSetup { name, networks, addresses, count, listen, policy, start, link } = setup;
        let id = HostId(u32::try_from(self.hosts.len()).map_err(|_| InvalidWorld::TooMany)?);
        let place = self.log.add_place(name, PlaceKind::Host);
        let mut ports: Vec<Port> = Vec::with_capacity(networks.len());
        for &network in networks {
            let (up, down) = (self.rng.fork(), self.rng.fork());
            ports.push(Port {
                network,
                addresses: Vec::new(),
                up: Link::new(link.clone(), up),
                down: Link::new(link.clone(), down),
            });
        }
        for &address in addresses {
            let fits = |port: &&mut Port| self.can_have(port.network, address);
            let port = ports.iter_mut().find(fits).ok_or(InvalidWorld::Elsewhere(address))?;
            port.addresses.push(address);
            let realm = self.realm(port.network);
            if !self.networks[realm.0 as usize].range.reserve(address) {
                return Err(InvalidWorld::Taken(address));
            }
        }
        for index in 0..ports.len() {
            let mut own: BTreeSet<IpAddr> =
                ports.iter().flat_map(|port| port.addresses.iter().copied()).collect();
            self.complete(&mut ports[index], count, &mut own)?;
            for &address in &ports[index].addresses {
                self.route(ports[index].network, address, Owner::Host(id, index));
            }
        }
        self.hosts.push(Host {
            place,
            server: None,
            has_moved: false,
            ports,
            make,
            program: None,
            asleep_since: None,
            sockets: Sockets::default(),
            streams: Streams::default(),
            listen: listen.to_vec(),
            wake: None,
            alarm: None,
            away_until: start,
            rng: self.rng.fork(),
            seen: Seen::default(),
            seen_as: None,
        });
        let networks = self.hosts[id.0 as usize].ports.iter().map(|port| port.network);
        let gateways =
            networks.flat_map(|network| self.uplinks(network)).map(|uplink| uplink.place).collect();
        let addresses = self.hosts[id.0 as usize].addresses().count();
        self.check.add_host(name, policy, addresses, gateways);
        self.schedule(start, Event::Start(id));
        Ok(id)
    }

    /// One of a host's addresses, with a port: IPv4 if it has one.
    ///
    /// # Panics
    ///
    /// If it has none: every network has IPv4.
    pub fn address(&self, host: HostId, port: u16) -> SocketAddr {
        let address = self.hosts[host.0 as usize].addresses().next().expect("a host without an address");
        SocketAddr::new(address, port)
    }

    /// The first public IPv4 address that a host's packets to the internet come from: its own, or that of the
    /// outermost NAT on its way.
    pub fn public_address(&self, host: HostId) -> Option<IpAddr> {
        let host = &self.hosts[host.0 as usize];
        let network = host.ports.first()?.network;
        let outermost = self.uplinks(network).filter_map(|uplink| uplink.nat.as_ref()).last();
        match outermost {
            Some(nat) => nat.addresses().first().copied(),
            None => host.addresses().find(IpAddr::is_ipv4),
        }
    }

    /// All addresses of a host.
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        self.hosts[host.0 as usize].addresses().collect()
    }

    /// How a host looks from outside, as its program last learned.
    pub fn seen_as(&self, host: HostId) -> Option<SocketAddr> {
        self.hosts[host.0 as usize].seen_as
    }

    /// Does something with the program of a host, which is then polled. `None` if it is off, or another
    /// type of program.
    pub fn with<P: Program, R>(
        &mut self,
        host: HostId,
        command: impl FnOnce(&mut P, Instant) -> R,
    ) -> Option<R> {
        let now = self.now;
        let program: &mut dyn Any = &mut **self.host_mut(host).running()?;
        let result = command(program.downcast_mut::<P>()?, now);
        self.drive(host);
        Some(result)
    }

    /// Whether a host in `network` can have an address that somebody chose.
    fn can_have(&self, network: NetworkId, address: IpAddr) -> bool {
        let realm = if address.is_ipv4() { self.realm(network) } else { network };
        realm == Self::INTERNET || self.network(realm).range.covers(address)
    }

    /// Adds what an interface still lacks to have `count` addresses of each family.
    fn complete(
        &mut self,
        port: &mut Port,
        count: u8,
        own: &mut BTreeSet<IpAddr>,
    ) -> Result<(), InvalidWorld> {
        let have = |port: &Port, is_ipv4| port.addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4).count();
        for _ in have(port, true)..usize::from(count) {
            port.addresses.push(self.new_address(port.network, true, own).ok_or(InvalidWorld::NoAddress)?);
        }
        for _ in have(port, false)..usize::from(count) {
            // Where there is no IPv6 there are no addresses to lack.
            port.addresses.extend(self.new_address(port.network, false, own));
        }
        Ok(())
    }

    /// An address in a network for a host that has `own` already: where two homes have the same range,
    /// they must not give it the same address twice.
    pub(super) fn new_address(
        &mut self,
        network: NetworkId,
        is_ipv4: bool,
        own: &mut BTreeSet<IpAddr>,
    ) -> Option<IpAddr> {
        let realm = self.realm(network);
        loop {
            let address = match is_ipv4 {
                true => self.networks[realm.0 as usize].range.host_v4(),
                false => self.networks[network.0 as usize].range.host_v6(),
            }?;
            if own.insert(address) {
                return Some(address);
            }
        }
    }

    pub(super) fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    /// What a host's program is told of its interfaces.
    pub(super) fn interfaces(&self, host: HostId) -> Vec<Interface> {
        let ports = self.hosts[host.0 as usize].ports.iter().enumerate();
        ports
            .flat_map(|(index, port)| {
                let range = &self.network(port.network).range;
                port.addresses.iter().map(move |&address| Interface {
                    index: index as u32 + 1,
                    address,
                    prefix_len: range.prefix_len(address),
                })
            })
            .collect()
    }
}
