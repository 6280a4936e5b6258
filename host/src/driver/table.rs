//! The open UDP sockets: found by the address a packet leaves from, served in turn when they are readable.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{SocketId, Transport};

use crate::udp::Udp;

/// Names one socket of a driver. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketKey {
    pub(super) transport: Transport,
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SocketKey {
    const fn datagram(index: u32, generation: u32) -> Self {
        Self { transport: Transport::Udp, index, generation }
    }

    pub(super) const fn stream(index: u32, generation: u32) -> Self {
        Self { transport: Transport::Tcp, index, generation }
    }
}

/// A socket and what is known about its state.
pub(super) struct Entry {
    pub(super) udp: Arc<Udp>,
    generation: u32,
    /// The name that the machine gave it, if it was the machine who asked.
    id: Option<SocketId>,
    /// It may hold datagrams or errors; it is in the queue.
    readable: bool,
    /// Nothing has been read since it became readable.
    pub(super) untouched: bool,
    /// It took no more packets and nobody has said since that it would.
    pub(super) blocked: bool,
    /// The kernel cuts segments for it.
    pub(super) segments: bool,
}

/// All UDP sockets of a driver.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    by_local: HashMap<SocketAddr, u32>,
    queue: VecDeque<u32>,
    /// Where the last packet left from: most likely the next one does, too.
    last: u32,
    opened: u32,
    /// Grows with every socket that comes or goes.
    version: u64,
}

impl Table {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn len(&self) -> usize {
        self.by_local.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketKey, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let entry = entry.as_ref()?;
            Some((SocketKey::datagram(index as u32, entry.generation), entry))
        })
    }

    /// Adds a socket; it counts as readable, for nobody has looked yet.
    pub(super) fn insert(&mut self, udp: Udp, id: Option<SocketId>) -> SocketKey {
        self.version += 1;
        self.opened = self.opened.wrapping_add(1);
        let generation = self.opened;
        let entry = Entry {
            udp: Arc::new(udp),
            generation,
            id,
            readable: false,
            untouched: false,
            blocked: false,
            segments: true,
        };
        let free = self.entries.iter().position(Option::is_none).unwrap_or(self.entries.len());
        let index = free as u32;
        self.by_local.insert(entry.udp.bound(), index);
        if free == self.entries.len() {
            self.entries.push(Some(entry));
        } else {
            self.entries[free] = Some(entry);
        }
        self.readable(index);
        SocketKey::datagram(index, generation)
    }

    /// The socket that the machine calls `id`.
    pub(super) fn by_id(&self, id: SocketId) -> Option<&Udp> {
        self.entries.iter().flatten().find(|entry| entry.id == Some(id)).map(|entry| &*entry.udp)
    }

    /// Closes the socket that the machine calls `id`, and says which one it was.
    pub(super) fn close(&mut self, id: SocketId) -> Option<u32> {
        let found =
            self.entries.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.id == Some(id)));
        let index = found?;
        let entry = self.entries[index].take()?;
        self.by_local.remove(&entry.udp.bound());
        self.queue.retain(|&other| other as usize != index);
        self.version += 1;
        Some(index as u32)
    }

    #[inline]
    pub(super) fn entry(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    #[inline]
    pub(super) fn udp(&self, index: u32) -> Option<&Udp> {
        self.entries.get(index as usize)?.as_ref().map(|entry| &*entry.udp)
    }

    #[inline]
    pub(super) fn peek(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)?.as_ref()
    }

    pub(super) fn index(&self, key: SocketKey) -> Option<u32> {
        let entry = self.entries.get(key.index as usize)?.as_ref()?;
        let is_it = key.transport == Transport::Udp && entry.generation == key.generation;
        is_it.then_some(key.index)
    }

    /// The socket that a packet from `local` leaves through.
    #[inline]
    pub(super) fn find(&mut self, local: &SocketAddr) -> Option<u32> {
        if self.udp(self.last).is_some_and(|udp| udp.serves(local)) {
            return Some(self.last);
        }
        let wildcard = match local {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, local.port()).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, local.port()).into(),
        };
        self.last = *self.by_local.get(local).or_else(|| self.by_local.get(&wildcard))?;
        Some(self.last)
    }

    /// Puts a socket at the end of the queue of those to be read.
    pub(super) fn readable(&mut self, index: u32) {
        let Some(entry) = self.entry(index) else { return };
        entry.untouched = true;
        if !std::mem::replace(&mut entry.readable, true) {
            self.queue.push_back(index);
        }
    }

    /// The next socket to read from. It goes to the end of the queue until it is found empty.
    #[inline]
    pub(super) fn next_readable(&mut self) -> Option<u32> {
        while let Some(index) = self.queue.pop_front() {
            if self.peek(index).is_some_and(|entry| entry.readable) {
                self.queue.push_back(index);
                return Some(index);
            }
        }
        None
    }

    /// Nothing is left to read, until somebody says otherwise.
    #[inline]
    pub(super) fn emptied(&mut self, index: u32) {
        if let Some(entry) = self.entry(index) {
            entry.readable = false;
        }
        // It is where `next_readable` put it, at the end, unless another one came since.
        if self.queue.back() == Some(&index) {
            self.queue.pop_back();
        } else {
            self.queue.retain(|&other| other != index);
        }
    }

    pub(super) fn any_readable(&self) -> bool {
        !self.queue.is_empty()
    }
}
