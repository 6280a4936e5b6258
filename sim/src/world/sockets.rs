//! What is open on a host, and what it has got lately.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bradawl::machine::{SocketId, Transport};

use super::host::Host;

/// What is open.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: BTreeSet<(bool, SocketAddr)>,
    by_id: BTreeMap<SocketId, (Transport, SocketAddr)>,
    /// The hop limits of those UDP sockets that have one of their own.
    limits: BTreeMap<SocketAddr, u8>,
}

impl Sockets {
    /// Whether the program has none that it asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn is_open(&self, transport: Transport, address: SocketAddr) -> bool {
        self.open.contains(&(transport == Transport::Tcp, address))
    }

    pub(super) fn open(&mut self, id: Option<SocketId>, transport: Transport, address: SocketAddr) {
        self.open.insert((transport == Transport::Tcp, address));
        if let Some(id) = id {
            self.by_id.insert(id, (transport, address));
        }
    }

    /// How many gateways the packets of a socket may come to; 0 is what it was at first.
    pub(super) fn limit_hops(&mut self, id: SocketId, hops: u8) {
        match self.by_id.get(&id) {
            Some(&(Transport::Udp, address)) if hops > 0 => drop(self.limits.insert(address, hops)),
            Some((Transport::Udp, address)) => drop(self.limits.remove(address)),
            _ => {}
        }
    }

    /// The hop limit of packets from this address, if it is not the usual one.
    pub(super) fn hops(&self, address: SocketAddr) -> Option<u8> {
        self.limits.get(&address).copied()
    }

    pub(super) fn close(&mut self, id: SocketId) -> bool {
        let Some((transport, address)) = self.by_id.remove(&id) else { return false };
        if transport == Transport::Udp {
            self.limits.remove(&address);
        }
        self.open.remove(&(transport == Transport::Tcp, address))
    }
}

/// The last so many packets that a host got.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    const MAX: usize = 256;

    pub(super) fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// A packet that its program claimed. One that meant nothing to it may mean something later.
    pub(super) fn remember(&mut self, id: u64) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > Self::MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

impl Host {
    /// The ports that hosts choose for themselves, as Linux does.
    const EPHEMERAL: core::ops::Range<u16> = 32_768..61_000;

    /// A port that is free: a throw of the dice, then upwards.
    pub(super) fn free_port(&mut self, transport: Transport, ip: IpAddr) -> Option<SocketAddr> {
        let count = u64::from(Self::EPHEMERAL.end - Self::EPHEMERAL.start);
        let first = self.rng.below(count);
        (0..count)
            .map(|offset| SocketAddr::new(ip, Self::EPHEMERAL.start + ((first + offset) % count) as u16))
            .find(|&address| !self.sockets.is_open(transport, address))
    }

    pub(super) fn listens(&self, address: SocketAddr) -> Option<SocketId> {
        let is_listener = |&(_, &(transport, local)): &(&SocketId, &(Transport, SocketAddr))| {
            transport == Transport::Tcp && local == address
        };
        self.sockets.by_id.iter().find(is_listener).map(|(&id, _)| id)
    }
}
