//! Sockets that a strategy opens for itself, and closes again.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::machine::{BindError, HostRequest, SocketId, Transport};

/// How many numbers for sockets an agent uses: more than it ever has open, so that one that was closed is
/// not mistaken for its successor.
pub const SOCKET_IDS: u32 = 1_024;
/// How many it has open at the same time.
pub const MAX_EXTRA: usize = 576;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Bracket { round: u16 },
    Opener,
    Scout,
    Volley,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Extra {
    number: u32,
    pub(super) purpose: Purpose,
    pub(super) local: Option<SocketAddr>,
}

pub(super) struct Extras {
    first: SocketId,
    all: Vec<Extra>,
    next: u32,
    pub(super) requests: VecDeque<HostRequest>,
}

impl Extras {
    pub(super) fn new(first: SocketId) -> Self {
        Self { first, all: Vec::new(), next: 0, requests: VecDeque::new() }
    }

    /// Asks for one more socket at `ip`; false if there are enough.
    pub(super) fn open(&mut self, purpose: Purpose, ip: IpAddr) -> bool {
        if self.all.len() == MAX_EXTRA {
            return false;
        }
        while self.all.iter().any(|extra| extra.number == self.next) {
            self.next = (self.next + 1) % SOCKET_IDS;
        }
        let number = self.next;
        self.next = (self.next + 1) % SOCKET_IDS;
        self.all.push(Extra { number, purpose, local: None });
        let (id, local) = (self.id(number), SocketAddr::new(ip, 0));
        self.requests.push_back(HostRequest::Bind { id, transport: Transport::Udp, local });
        true
    }

    /// The host has opened it, or not: which one it was.
    pub(super) fn bound(&mut self, id: SocketId, result: Result<SocketAddr, BindError>) -> Option<Extra> {
        let number = id.0.wrapping_sub(self.first.0);
        let index = self.all.iter().position(|extra| extra.number == number)?;
        match result {
            Ok(local) => {
                self.all[index].local = Some(local);
                Some(self.all[index])
            }
            Err(_) => {
                self.all.swap_remove(index);
                None
            }
        }
    }

    /// The sockets that are open for this.
    pub(super) fn open_for(&self, purpose: Purpose) -> impl Iterator<Item = SocketAddr> {
        self.all.iter().filter(move |extra| extra.purpose == purpose).filter_map(|extra| extra.local)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a socket is one of these.
    pub(super) fn has(&self, local: SocketAddr) -> bool {
        self.all.iter().any(|extra| extra.local == Some(local))
    }

    /// Under which number the host knows it.
    pub(super) fn id_of(&self, local: SocketAddr) -> Option<SocketId> {
        let extra = self.all.iter().find(|extra| extra.local == Some(local))?;
        Some(self.id(extra.number))
    }

    /// Closes all that `is_over` says; gives their addresses.
    pub(super) fn close(&mut self, mut is_over: impl FnMut(&Extra) -> bool) -> Vec<SocketAddr> {
        let mut closed = Vec::new();
        let mut index = 0;
        while let Some(extra) = self.all.get(index).copied() {
            if !is_over(&extra) {
                index += 1;
                continue;
            }
            self.all.swap_remove(index);
            let id = self.id(extra.number);
            // One that was asked for and not opened yet is closed as well: hosts do things in order.
            self.requests.push_back(HostRequest::Close { id });
            closed.extend(extra.local);
        }
        closed
    }

    fn id(&self, number: u32) -> SocketId {
        SocketId(self.first.0.wrapping_add(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_bound_and_numbers_come_back_late() {
        let mut extras = Extras::new(SocketId(7));
        let ip = IpAddr::from([192, 0, 2, 1]);
        assert_eq!((0..1_000).filter(|_| extras.open(Purpose::Opener, ip)).count(), MAX_EXTRA);
        let _ = extras.close(|_| true);
        extras.requests.clear();
        assert!(extras.open(Purpose::Scout, ip));
        let asked = HostRequest::Bind {
            id: SocketId(7 + MAX_EXTRA as u32),
            transport: Transport::Udp,
            local: SocketAddr::new(ip, 0),
        };
        assert_eq!(extras.requests.pop_front(), Some(asked));
        assert!(extras.bound(SocketId(7), Ok(SocketAddr::new(ip, 5))).is_none(), "it was closed");
    }
}
