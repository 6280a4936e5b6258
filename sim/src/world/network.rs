//! Networks and the gateways between them.
//!
//! Networks form a tree with the internet at the top. Each of the others has one gateway, which has one
//! foot in it and one in the network outside: a firewall, and behind it (seen from inside) a NAT for
//! IPv4, if there is one. Where addresses are not translated, hosts have addresses of the network outside,
//! and each network on the way knows which gateway leads to them.

use core::net::IpAddr;
use std::collections::BTreeMap;

use bradawl::time::Instant;

use super::address::Range;
use super::{InvalidWorld, World};
use crate::catalogue::Gateway;
use crate::firewall::{Blocked, Wall};
use crate::link::{Link, Quality};
use crate::nat::{Behaviour, Dropped, Flow, Nat, Passed};
use crate::packet::HostId;
use crate::scenario::{CARRIER, HOME, Subnet};
use crate::trace::{Drop, Place, PlaceKind};

/// Which network of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(pub(super) u32);

/// A network to be added to a world.
#[derive(Clone, Debug)]
pub struct NetworkSetup<'a> {
    /// What it is called; its gateway is called the same.
    pub name: &'a str,
    /// The network on the other side of its gateway.
    pub outside: NetworkId,
    /// What stands between.
    pub gateway: Gateway,
    /// Whether it has IPv6, where the network outside has it.
    pub ipv6: bool,
    /// Its IPv4 prefix; `None`: one is chosen.
    pub subnet: Option<Subnet>,
    /// Whether it stands between a carrier and its customers, which decides what is chosen.
    pub is_carrier: bool,
    /// The way from its gateway to the network outside.
    pub link: Quality,
}

pub(super) struct Network {
    pub(super) place: Place,
    pub(super) range: Range,
    /// Who has an address in it.
    pub(super) owners: BTreeMap<IpAddr, Owner>,
    pub(super) gateway: Option<Box<Uplink>>,
}

/// Who an address of a network belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A host, and which of its interfaces.
    Host(HostId, usize),
    /// The gateway of a network that is in this one.
    Gateway(NetworkId),
}

/// The gateway of a network, and its way out.
pub(super) struct Uplink {
    pub(super) place: Place,
    pub(super) outside: NetworkId,
    pub(super) nat: Option<Nat>,
    pub(super) wall: Wall,
    pub(super) up: Link,
    pub(super) down: Link,
}

/// Where a packet in a network goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    To(Owner),
    Up,
    Nowhere,
}

impl Network {
    pub(super) fn internet(place: Place) -> Self {
        Self { place, range: Range::internet(), owners: BTreeMap::new(), gateway: None }
    }
}

impl Uplink {
    /// The NAT, if it has a say in packets to or from `ip`.
    pub(super) fn nat_for(&mut self, ip: IpAddr) -> Option<&mut Nat> {
        self.nat.as_mut().filter(|_| ip.is_ipv4())
    }

    /// Its address in the network outside, which a packet to `ip` came to. Where nothing is translated
    /// it has none there.
    pub(super) fn outside_address(&mut self, ip: IpAddr) -> Option<IpAddr> {
        self.nat_for(ip).filter(|nat| nat.owns(ip)).map(|_| ip)
    }

    /// A packet from inside.
    pub(super) fn outbound(&mut self, now: Instant, flow: Flow) -> Result<Passed, (Drop, bool)> {
        self.wall.outbound(now, flow).map_err(blocked)?;
        match self.nat_for(flow.destination.ip()) {
            Some(nat) => nat.outbound(now, flow).map_err(|why| (Drop::Nat(why), false)),
            None => Ok(Passed::Across(flow)),
        }
    }

    /// A packet from outside. What a NAT lets in is a matter of its filter, not of the firewall's.
    pub(super) fn inbound(&mut self, now: Instant, flow: Flow) -> Result<Flow, (Drop, bool)> {
        if let Some(nat) = self.nat_for(flow.destination.ip())
            && nat.owns(flow.destination.ip())
        {
            return nat.inbound(now, flow).map_err(|why| (Drop::Nat(why), why == Dropped::Refused));
        }
        self.wall.inbound(now, flow).map_err(blocked)?;
        Ok(flow)
    }

    /// An ICMP error from outside about a packet that went out here: how that packet looked inside.
    pub(super) fn error_inbound(&mut self, now: Instant, offending: Flow) -> Option<Flow> {
        if let Some(nat) = self.nat_for(offending.source.ip())
            && nat.owns(offending.source.ip())
        {
            return nat.error_inbound(now, offending);
        }
        self.wall.error_inbound(now, offending).then_some(offending)
    }

    /// An ICMP error from inside about a packet that came in here: how that packet looked outside.
    pub(super) fn error_outbound(&mut self, now: Instant, offending: Flow) -> Option<Flow> {
        match self.nat_for(offending.source.ip()) {
            Some(nat) => nat.error_outbound(now, offending),
            None => Some(offending),
        }
    }

    pub(super) fn reboot(&mut self) {
        if let Some(nat) = &mut self.nat {
            nat.reboot();
        }
        self.wall.reboot();
    }
}

fn blocked(why: Blocked) -> (Drop, bool) {
    (Drop::Firewall, why.is_rejected())
}

impl World {
    /// The network that everybody can reach.
    pub const INTERNET: NetworkId = NetworkId(0);

    /// Adds a network and its gateway.
    pub fn add_network(&mut self, setup: NetworkSetup<'_>) -> Result<NetworkId, InvalidWorld> {
        let promised = setup.gateway.nat.clone();
        self.add_network_promising(setup, promised.as_ref())
    }

    /// Adds a network whose gateway may not do what it promises.
    pub(super) fn add_network_promising(
        &mut self,
        setup: NetworkSetup<'_>,
        promised: Option<&Behaviour>,
    ) -> Result<NetworkId, InvalidWorld> {
        let id = NetworkId(self.networks.len() as u32);
        let Gateway { nat, addresses, firewall } = setup.gateway;
        let number =
            u16::try_from(id.0).ok().filter(|&number| number < 4_096).ok_or(InvalidWorld::TooMany)?;
        let has_ipv6 = setup.ipv6 && self.network(setup.outside).range.has_ipv6();
        let subnet = setup.subnet.unwrap_or(if setup.is_carrier { CARRIER } else { HOME });
        let nat = match nat {
            None => None,
            Some(behaviour) => {
                let rng = self.rng.fork();
                Some(Nat::new(behaviour, self.public_addresses(setup.outside, id, addresses)?, rng)?)
            }
        };
        let place = self.log.add_place(setup.name, PlaceKind::Gateway);
        self.check.add_gateway(place, promised, &setup.gateway.firewall);
        let uplink = Uplink {
            place,
            outside: setup.outside,
            nat,
            wall: Wall::new(firewall),
            up: Link::new(setup.link.clone(), self.rng.fork()),
            down: Link::new(setup.link, self.rng.fork()),
        };
        let place = self.log.add_place(setup.name, PlaceKind::Network);
        self.networks.push(Network {
            place,
            range: Range::private(subnet, number, has_ipv6),
            owners: BTreeMap::new(),
            gateway: Some(Box::new(uplink)),
        });
        Ok(id)
    }

    /// Public addresses for the NAT of `id`, in the network outside of it.
    fn public_addresses(
        &mut self,
        outside: NetworkId,
        id: NetworkId,
        count: u8,
    ) -> Result<Vec<IpAddr>, InvalidWorld> {
        let realm = self.realm(outside);
        let mut addresses = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let ip = self.networks[realm.0 as usize].range.gateway_v4().ok_or(InvalidWorld::NoAddress)?;
            self.route(outside, ip, Owner::Gateway(id));
            addresses.push(ip);
        }
        Ok(addresses)
    }

    /// The gateways from a network outwards.
    pub(super) fn uplinks(&self, network: NetworkId) -> impl Iterator<Item = &Uplink> {
        let uplink = |id: NetworkId| self.network(id).gateway.as_deref();
        core::iter::successors(uplink(network), move |below| uplink(below.outside))
    }

    /// The network whose IPv4 addresses the hosts of `id` have: the first one outwards behind a NAT.
    pub(super) fn realm(&self, mut id: NetworkId) -> NetworkId {
        while let Some(uplink) = &self.network(id).gateway
            && uplink.nat.is_none()
        {
            id = uplink.outside;
        }
        id
    }

    /// Makes an address known in the network `at`, and outwards as far as it means anything.
    pub(super) fn route(&mut self, mut at: NetworkId, ip: IpAddr, owner: Owner) {
        let mut owner = owner;
        loop {
            let network = &mut self.networks[at.0 as usize];
            network.owners.insert(ip, owner);
            match &network.gateway {
                Some(uplink) if uplink.nat.is_none() || ip.is_ipv6() => {
                    owner = Owner::Gateway(at);
                    at = uplink.outside;
                }
                _ => return,
            }
        }
    }

    /// Makes an address unknown again.
    pub(super) fn unroute(&mut self, mut at: NetworkId, ip: IpAddr) {
        while let Some(network) = self.networks.get_mut(at.0 as usize)
            && network.owners.remove(&ip).is_some()
            && let Some(uplink) = &network.gateway
        {
            at = uplink.outside;
        }
    }

    pub(super) fn network(&self, id: NetworkId) -> &Network {
        &self.networks[id.0 as usize]
    }

    pub(super) fn uplink(&mut self, id: NetworkId) -> Option<&mut Uplink> {
        self.networks[id.0 as usize].gateway.as_deref_mut()
    }

    /// Where a packet to `ip` goes from the network `at`.
    pub(super) fn next(&self, at: NetworkId, ip: IpAddr) -> Next {
        let network = self.network(at);
        match network.owners.get(&ip) {
            Some(&owner) => Next::To(owner),
            None if network.gateway.is_some() && !self.is_local(at, ip) => Next::Up,
            None => Next::Nowhere,
        }
    }

    /// Whether `ip` would have to be in the network `at` itself, if it existed.
    pub(super) fn is_local(&self, at: NetworkId, ip: IpAddr) -> bool {
        let network = self.network(at);
        let is_own = ip.is_ipv6() || network.gateway.as_ref().is_some_and(|uplink| uplink.nat.is_some());
        network.gateway.is_some() && is_own && network.range.covers(ip)
    }
}
