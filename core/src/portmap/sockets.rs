//! The sockets that a mapper asks its host for: one for datagrams, and one for each question to a gateway.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::machine::SocketId;
use crate::time::{Duration, Instant};

/// How many names for sockets a mapper uses, from [`Config::sockets`](super::Config::sockets) on.
pub const SOCKET_IDS: u32 = 64;

/// A socket that is gone or refused is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Sockets {
    base: SocketId,
    pub(super) udp: Udp,
    /// Counts connections, so that a name is not used again while its last use may still be heard of.
    serial: u32,
    /// To be closed.
    pub(super) closing: VecDeque<SocketId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Udp {
    /// Not there, and to be asked for from then on.
    Missing(Instant),
    Asked,
    Open(SocketAddr),
}

impl Sockets {
    pub(super) const fn new(base: SocketId) -> Self {
        Self { base, udp: Udp::Missing(Instant::ZERO), serial: 0, closing: VecDeque::new() }
    }

    pub(super) const fn datagrams(&self) -> SocketId {
        self.base
    }

    /// A name for the next connection.
    pub(super) fn connection(&mut self) -> SocketId {
        self.serial = (self.serial + 1) % (SOCKET_IDS - 1);
        SocketId(self.base.0.wrapping_add(1 + self.serial))
    }

    pub(super) fn is_refused(&mut self, now: Instant) {
        self.udp = Udp::Missing(now + ASK_AGAIN);
    }
}
