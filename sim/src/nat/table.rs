//! The mappings of a NAT: found from inside by key, from outside by public endpoint, and dead when
//! their time has come.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use bradawl::time::Instant;
use bradawl::timers::Timers;

use super::{Dependence, Flow, Protocol};

/// What a mapping belongs to: the inside endpoint and as much of the peer as the NAT looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) protocol: Protocol,
    pub(super) inside: SocketAddr,
    peer: Option<(IpAddr, Option<u16>)>,
}

impl Key {
    pub(super) fn new(
        dependence: Dependence,
        protocol: Protocol,
        inside: SocketAddr,
        peer: SocketAddr,
    ) -> Self {
        let peer = match dependence {
            Dependence::Endpoint => None,
            Dependence::Address => Some((peer.ip(), None)),
            Dependence::AddressAndPort => Some((peer.ip(), Some(peer.port()))),
        };
        Self { protocol, inside, peer }
    }
}

/// One mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) key: Key,
    pub(super) public: SocketAddr,
    /// A stranger's.
    pub(super) is_crowd: bool,
    /// Those who may send to it, as far as the filter looks.
    peers: BTreeSet<(IpAddr, u16)>,
}

impl Mapping {
    pub(super) fn new(key: Key, public: SocketAddr, is_crowd: bool) -> Self {
        Self { key, public, is_crowd, peers: BTreeSet::new() }
    }

    /// Remembers whom it was used to send to.
    pub(super) fn remember(&mut self, filtering: Dependence, peer: SocketAddr) {
        match filtering {
            Dependence::Endpoint => {}
            Dependence::Address => drop(self.peers.insert((peer.ip(), 0))),
            Dependence::AddressAndPort => drop(self.peers.insert((peer.ip(), peer.port()))),
        }
    }

    /// Whether the filter lets `source` in.
    pub(super) fn lets_in(&self, filtering: Dependence, source: SocketAddr) -> bool {
        match filtering {
            Dependence::Endpoint => true,
            Dependence::Address => self.peers.contains(&(source.ip(), 0)),
            Dependence::AddressAndPort => self.peers.contains(&(source.ip(), source.port())),
        }
    }
}

/// All mappings, in maps whose order is the keys' own.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Mapping>>,
    vacant: Vec<u32>,
    by_key: BTreeMap<Key, u32>,
    by_public: BTreeMap<(Protocol, SocketAddr), u32>,
    per_host: BTreeMap<IpAddr, usize>,
    deaths: Timers,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            by_key: BTreeMap::new(),
            by_public: BTreeMap::new(),
            per_host: BTreeMap::new(),
            deaths: Timers::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many mappings a host has.
    pub(super) fn of_host(&self, host: IpAddr) -> usize {
        self.per_host.get(&host).copied().unwrap_or(0)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Mapping> {
        let slot = *self.by_key.get(&key)?;
        self.slots[slot as usize].as_mut()
    }

    /// The mapping that owns the public endpoint which an inbound packet is for.
    pub(super) fn owner(&self, flow: Flow) -> Option<&Mapping> {
        let slot = *self.by_public.get(&(flow.protocol, flow.destination))?;
        self.slots[slot as usize].as_ref()
    }

    pub(super) fn insert(&mut self, mapping: Mapping, death: Instant) {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.by_key.insert(mapping.key, slot);
        self.by_public.insert((mapping.key.protocol, mapping.public), slot);
        *self.per_host.entry(mapping.key.inside.ip()).or_default() += 1;
        self.slots[slot as usize] = Some(mapping);
        self.deaths.set(slot, death);
    }

    pub(super) fn refresh(&mut self, key: Key, death: Instant) {
        if let Some(&slot) = self.by_key.get(&key) {
            self.deaths.set(slot, death);
        }
    }

    /// Takes out one mapping that is dead at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Mapping> {
        let slot = self.deaths.pop(now)?;
        let mapping = self.slots[slot as usize].take()?;
        self.vacant.push(slot);
        self.by_key.remove(&mapping.key);
        self.by_public.remove(&(mapping.key.protocol, mapping.public));
        let host = mapping.key.inside.ip();
        if let Some(count) = self.per_host.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(&host);
            }
        }
        Some(mapping)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.by_key.values().filter_map(|&slot| self.slots[slot as usize].as_ref())
    }
}
