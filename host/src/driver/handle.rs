//! A socket as an event loop sees it: something to watch.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use super::tcp::Tcp;
use crate::udp::Udp;

/// Holds a socket of a driver open, so that it can be watched. Whoever has one should drop it once
/// [`Driver::sockets`](super::Driver::sockets) has it no more: until then the socket is not closed.
#[derive(Clone, Debug)]
pub struct Handle(Socket);

#[derive(Clone, Debug)]
enum Socket {
    Udp(Arc<Udp>),
    Tcp(Arc<Tcp>),
}

impl Handle {
    pub(super) fn udp(udp: &Arc<Udp>) -> Self {
        Self(Socket::Udp(Arc::clone(udp)))
    }

    pub(super) fn tcp(tcp: &Arc<Tcp>) -> Self {
        Self(Socket::Tcp(Arc::clone(tcp)))
    }

    /// Our address, which may be a wildcard; `None` where a connection has none yet.
    pub fn local(&self) -> Option<SocketAddr> {
        match &self.0 {
            Socket::Udp(udp) => Some(udp.bound()),
            Socket::Tcp(tcp) => tcp.local().ok(),
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Socket::Udp(udp) => udp.as_fd(),
            Socket::Tcp(tcp) => tcp.as_fd(),
        }
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
