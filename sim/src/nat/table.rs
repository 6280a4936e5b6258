//! The mappings of a NAT: found from inside by key, from outside by public endpoint, and dead when
//! their time has come.
//!
//! Where ports are overloaded, or the box itself takes tuples, a public endpoint says not yet whose
//! packets it stands for: then every tuple (protocol, public endpoint, peer) has its user.

use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use bradawl::time::Instant;
use bradawl::timers::Timers;

use super::session::{Mapping, Owner};
use super::{Behaviour, Dependence, Dropped, Flow, Protocol, Stage};

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

/// A session as it looks outside: protocol, public endpoint, peer.
pub(super) type Tuple = (Protocol, SocketAddr, SocketAddr);

/// The place of a mapping.
pub(super) type Slot = u32;

/// All mappings, in maps whose order is the keys' own.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Mapping>>,
    vacant: Vec<Slot>,
    by_key: BTreeMap<Key, Slot>,
    by_public: BTreeSet<(Protocol, SocketAddr, Slot)>,
    /// Whether the following two are kept.
    exact: bool,
    tuples: BTreeMap<Tuple, Slot>,
    /// The mappings of each inside endpoint, the newest first.
    newest: BTreeSet<(Protocol, SocketAddr, Reverse<u64>, Slot)>,
    per_host: BTreeMap<IpAddr, u32>,
    deaths: Timers,
    made: u64,
}

impl Table {
    pub(super) fn new(behaviour: &Behaviour) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            by_key: BTreeMap::new(),
            by_public: BTreeSet::new(),
            exact: behaviour.overload || behaviour.early,
            tuples: BTreeMap::new(),
            newest: BTreeSet::new(),
            per_host: BTreeMap::new(),
            deaths: Timers::default(),
            made: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether it knows the user of each tuple.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    /// How many mappings a host has.
    pub(super) fn of_host(&self, host: IpAddr) -> u32 {
        self.per_host.get(&host).copied().unwrap_or(0)
    }

    pub(super) fn slot(&self, key: &Key) -> Option<Slot> {
        self.by_key.get(key).copied()
    }

    pub(super) fn at(&self, slot: Slot) -> Option<&Mapping> {
        self.slots[slot as usize].as_ref()
    }

    /// Who uses a tuple, where that is known.
    pub(super) fn user(&self, tuple: Tuple) -> Option<Slot> {
        self.tuples.get(&tuple).copied()
    }

    /// The public endpoint that an inside one was given last.
    pub(super) fn newest(&self, protocol: Protocol, inside: SocketAddr) -> Option<SocketAddr> {
        let from = (protocol, inside, Reverse(u64::MAX), 0);
        let &(p, endpoint, _, slot) = self.newest.range(from..).next()?;
        if (p, endpoint) != (protocol, inside) {
            return None;
        }
        self.at(slot).map(|mapping| mapping.public)
    }

    /// The public endpoint of the first mapping that an inside one has.
    pub(super) fn any_of(&self, protocol: Protocol, inside: SocketAddr) -> Option<SocketAddr> {
        let (key, &slot) = self.by_key.range(Key { protocol, inside, peer: None }..).next()?;
        if (key.protocol, key.inside) != (protocol, inside) {
            return None;
        }
        self.at(slot).map(|mapping| mapping.public)
    }

    /// The mapping that a packet from outside belongs to.
    pub(super) fn find(&self, now: Instant, filtering: Dependence, flow: Flow) -> Result<Slot, Dropped> {
        let Flow { protocol, source, destination, .. } = flow;
        let mut sharers = self
            .by_public
            .range((protocol, destination, 0)..=(protocol, destination, Slot::MAX))
            .map(|&(_, _, slot)| slot)
            .peekable();
        let stopped = if sharers.peek().is_some() { Dropped::Filtered } else { Dropped::NoMapping };
        let lets_in =
            |&slot: &Slot| self.at(slot).is_some_and(|mapping| mapping.lets_in(now, filtering, source));
        if self.exact {
            match self.user((protocol, destination, source)) {
                Some(slot) if self.at(slot).is_some_and(|mapping| mapping.owner == Owner::Box) => {
                    return Err(stopped);
                }
                Some(slot) if lets_in(&slot) => return Ok(slot),
                None if filtering == Dependence::AddressAndPort => return Err(stopped),
                _ => {}
            }
        }
        sharers.find(lets_in).ok_or(stopped)
    }

    /// Takes in a mapping.
    pub(super) fn insert(&mut self, mut mapping: Mapping, death: Instant) -> Slot {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        self.made += 1;
        mapping.serial = self.made;
        let Key { protocol, inside, .. } = mapping.key;
        self.by_key.insert(mapping.key, slot);
        if mapping.owner != Owner::Box {
            self.by_public.insert((protocol, mapping.public, slot));
        }
        if self.exact {
            self.newest.insert((protocol, inside, Reverse(mapping.serial), slot));
        }
        *self.per_host.entry(inside.ip()).or_default() += 1;
        self.slots[slot as usize] = Some(mapping);
        self.deaths.set(slot, death);
        slot
    }

    /// From now on this mapping is the user of its tuple with `remote`, as long as it lives.
    pub(super) fn claim(&mut self, slot: Slot, remote: SocketAddr) {
        if let Some(mapping) = self.slots[slot as usize].as_mut()
            && self.exact
        {
            mapping.remember(remote);
            self.tuples.insert((mapping.key.protocol, mapping.public, remote), slot);
        }
    }

    /// A packet went out by this mapping, which is as it was before the NAT.
    pub(super) fn sent(&mut self, now: Instant, rules: &Behaviour, slot: Slot, flow: Flow) {
        let Some(mapping) = self.slots[slot as usize].as_mut() else { return };
        let is_new = mapping.sent(now, rules, self.exact, flow);
        if is_new && self.exact {
            self.tuples.insert((flow.protocol, mapping.public, flow.destination), slot);
        }
        let before = self.deaths.deadline(slot).unwrap_or(now);
        let mut death = mapping.death(now, rules, before, flow.destination, rules.refresh_outbound);
        if flow.protocol == Protocol::Tcp && flow.stage != Stage::Plain {
            death = mapping.last_death().unwrap_or(death);
        }
        self.deaths.set(slot, death);
    }

    /// A packet came in by it.
    pub(super) fn received(&mut self, now: Instant, rules: &Behaviour, slot: Slot, flow: Flow) {
        let Some(mapping) = self.slots[slot as usize].as_mut() else { return };
        mapping.received(now, rules, flow);
        let before = self.deaths.deadline(slot).unwrap_or(now);
        let mut death = mapping.death(now, rules, before, flow.source, rules.refresh_inbound);
        if flow.protocol == Protocol::Tcp && flow.stage != Stage::Plain {
            death = mapping.last_death().unwrap_or(death);
        }
        mapping.replied = true;
        self.deaths.set(slot, death);
    }

    /// It lives on until then.
    pub(super) fn postpone(&mut self, slot: Slot, death: Instant) {
        self.deaths.set(slot, death);
    }

    /// Takes out one mapping that is dead at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Mapping> {
        let slot = self.deaths.pop(now)?;
        let mapping = self.slots[slot as usize].take()?;
        let Key { protocol, inside, .. } = mapping.key;
        self.vacant.push(slot);
        self.by_key.remove(&mapping.key);
        self.by_public.remove(&(protocol, mapping.public, slot));
        if self.exact {
            self.newest.remove(&(protocol, inside, Reverse(mapping.serial), slot));
            for remote in mapping.remotes() {
                self.tuples.remove(&(protocol, mapping.public, remote));
            }
        }
        if let Some(count) = self.per_host.get_mut(&inside.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_host.remove(&inside.ip());
            }
        }
        Some(mapping)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.by_key.values().filter_map(|&slot| self.at(slot))
    }
}
