//! What a NAT has promised, kept beside it: a second, smaller opinion on RFC 4787.
//!
//! It sees only what happens at the NAT, as a tap on both its sides would:
//!
//! * While a mapping lives (REQ-5), the same inside endpoint and as much of the peer as the mapping
//!   behaviour looks at (REQ-1) gets the same public endpoint, and no new one is made.
//! * Nothing comes in but from whom the filter lets in (REQ-8), and nothing that may come in is turned
//!   away.
//!
//! It never says that a mapping must be dead, for a NAT may be generous; and of what depends on its
//! neighbours (no capacity, no ports) it knows nothing.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use bradawl::time::{Duration, Instant};

use crate::nat::{Behaviour, Dependence, Dropped, Flow, Protocol};
use crate::packet::{Body, Packet};
use crate::trace::{Drop, What};

type Peer = Option<(IpAddr, u16)>;

#[derive(Debug)]
pub(super) struct Shadow {
    mapping: Dependence,
    filtering: Dependence,
    /// How long a mapping lives at least after a packet out.
    lifetime: Duration,
    /// How long somebody who was sent to may answer at least.
    filter_lifetime: Duration,
    /// Whether a packet out makes a mapping live longer.
    is_refreshed: bool,
    /// Whether somebody from outside can take a tuple, which is the box's own from then on.
    is_early: bool,
    /// Whether anything makes a mapping live longer.
    is_refreshable: bool,
    mappings: BTreeMap<(SocketAddr, Peer), Mapping>,
    by_public: BTreeMap<SocketAddr, BTreeSet<(SocketAddr, Peer)>>,
}

#[derive(Debug)]
struct Mapping {
    public: SocketAddr,
    /// Until then it lives for sure.
    until: Instant,
    /// Who was sent to, and until when they may answer for sure.
    peers: BTreeMap<(IpAddr, u16), Instant>,
}

impl Shadow {
    pub(super) fn new(behaviour: &Behaviour) -> Self {
        let lifetime = [Some(behaviour.lifetime), behaviour.unreplied].into_iter().flatten().min();
        let lifetime = lifetime.unwrap_or(behaviour.lifetime);
        let filter_lifetime = behaviour.filter_lifetime.unwrap_or(lifetime).min(lifetime);
        // Where somebody else can have a tuple, from outside or by overloading, no two destinations are
        // promised the same.
        let is_shared = behaviour.early || behaviour.overload;
        let mapping = if is_shared { Dependence::AddressAndPort } else { behaviour.mapping };
        Self {
            mapping,
            filtering: behaviour.filtering,
            lifetime: lifetime.duration(),
            filter_lifetime: filter_lifetime.duration(),
            is_refreshed: behaviour.refresh_outbound,
            is_early: behaviour.early,
            is_refreshable: behaviour.refresh_outbound || behaviour.refresh_inbound,
            mappings: BTreeMap::new(),
            by_public: BTreeMap::new(),
        }
    }

    /// Whether a mapping here can be kept open by sending once a second, both ways.
    pub(super) fn is_keepable(&self) -> bool {
        self.is_refreshable
            && !self.is_early
            && self.lifetime.min(self.filter_lifetime) >= super::OFTEN.duration()
    }

    pub(super) fn clear(&mut self) {
        self.mappings.clear();
        self.by_public.clear();
    }

    /// Something happened to a packet at the NAT; `Err` says what it did wrong.
    pub(super) fn observe(&mut self, now: Instant, packet: &Packet, what: &What) -> Result<(), String> {
        let flow = packet.flow;
        if flow.protocol != Protocol::Udp
            || !flow.source.is_ipv4()
            || matches!(packet.body, Body::Error { .. })
        {
            return Ok(());
        }
        match *what {
            What::Mapped { inside, public } => self.mapped(now, inside, public, flow.destination),
            What::Crossed(to) if to.source != flow.source => self.went_out(now, flow, to.source),
            What::Crossed(to) => self.came_in(flow, to.destination),
            What::Dropped(Drop::Nat(why @ (Dropped::NoMapping | Dropped::Filtered))) => {
                self.turned_away(now, flow, why)
            }
            _ => Ok(()),
        }
    }

    /// The NAT makes a mapping: from here on it has promised something.
    fn mapped(
        &mut self,
        now: Instant,
        inside: SocketAddr,
        public: SocketAddr,
        peer: SocketAddr,
    ) -> Result<(), String> {
        let key = (inside, seen(self.mapping, peer));
        let old = self.forget(key);
        self.mappings.insert(key, Mapping { public, until: now + self.lifetime, peers: BTreeMap::new() });
        self.by_public.entry(public).or_default().insert(key);
        match old {
            Some(old) if now < old.until => Err(format!(
                "REQ-1, REQ-5: {inside} gets {public} for {peer} while {} lives until {:?} at least",
                old.public, old.until
            )),
            _ => Ok(()),
        }
    }

    fn went_out(&mut self, now: Instant, flow: Flow, public: SocketAddr) -> Result<(), String> {
        let key = (flow.source, seen(self.mapping, flow.destination));
        let known = self.mappings.get(&key).map(|mapping| (mapping.public, mapping.until));
        if let Some((old, _)) = known.filter(|&(old, until)| old != public && now < until) {
            return Err(format!("REQ-1: {} was {old} and is {public} for {}", key.0, flow.destination));
        }
        if known.is_none_or(|(old, _)| old != public) {
            // One that nobody saw being made promises nothing.
            self.forget(key);
            self.mappings.insert(key, Mapping { public, until: now, peers: BTreeMap::new() });
            self.by_public.entry(public).or_default().insert(key);
        }
        let Some(mapping) = self.mappings.get_mut(&key) else { return Ok(()) };
        if self.is_refreshed {
            mapping.until = now + self.lifetime;
        }
        if let Some(peer) = seen(self.filtering, flow.destination) {
            let until = mapping.until.min(now + self.filter_lifetime);
            let known = mapping.peers.entry(peer).or_insert(until);
            if self.is_refreshed {
                *known = until;
            }
        }
        Ok(())
    }

    fn came_in(&self, flow: Flow, inside: SocketAddr) -> Result<(), String> {
        let Some(peer) = seen(self.filtering, flow.source) else { return Ok(()) };
        let was_sent_to = self
            .owners(flow.destination)
            .any(|(key, mapping)| key.0 == inside && mapping.peers.contains_key(&peer));
        if was_sent_to {
            return Ok(());
        }
        Err(format!("REQ-8: {} reaches {inside} at {}, who never sent there", flow.source, flow.destination))
    }

    fn turned_away(&self, now: Instant, flow: Flow, why: Dropped) -> Result<(), String> {
        if self.is_early {
            return Ok(());
        }
        let peer = seen(self.filtering, flow.source);
        let may = self.owners(flow.destination).any(|(_, mapping)| {
            let is_let_in = match peer {
                None => true,
                Some(peer) => mapping.peers.get(&peer).is_some_and(|&until| now < until),
            };
            now < mapping.until && is_let_in
        });
        if !may {
            return Ok(());
        }
        Err(format!("REQ-5, REQ-8: {} is turned away from {}: {why}", flow.source, flow.destination))
    }

    fn owners(&self, public: SocketAddr) -> impl Iterator<Item = (&(SocketAddr, Peer), &Mapping)> {
        let keys = self.by_public.get(&public).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.mappings.get(key)?)))
            .filter(move |(_, mapping)| mapping.public == public)
    }

    fn forget(&mut self, key: (SocketAddr, Peer)) -> Option<Mapping> {
        let mapping = self.mappings.remove(&key)?;
        if let Some(keys) = self.by_public.get_mut(&mapping.public) {
            keys.remove(&key);
        }
        Some(mapping)
    }
}

/// What a NAT sees of a peer.
fn seen(dependence: Dependence, peer: SocketAddr) -> Peer {
    match dependence {
        Dependence::Endpoint => None,
        Dependence::Address => Some((peer.ip(), 0)),
        Dependence::AddressAndPort => Some((peer.ip(), peer.port())),
    }
}
