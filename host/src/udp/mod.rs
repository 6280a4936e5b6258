//! A UDP socket that never blocks and always knows which of our addresses a datagram came to.
//!
//! What differs between systems is in one of two backends with the same four items: `Inbox` takes
//! datagrams in, `Sender` sends a run of packets, `next_complaint` reads what ICMP said about
//! earlier ones, `State` is what a socket keeps. On Linux that is `mmsg`, one system call
//! per batch each way; elsewhere it is `quinn-udp`.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use bradawl::machine::{Ecn, Path};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod ancillary;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "mmsg.rs"]
mod backend;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "portable.rs"]
mod backend;

pub(crate) use backend::{Inbox, Sender, next_complaint};

/// The largest UDP payload there is over IPv4: 65,535 less the two headers.
pub const MAX_PAYLOAD: usize = 65_507;

/// How to open a socket.
///
/// ```
/// use bradawl_host::udp::BindOptions;
///
/// let shared = BindOptions { reuse_port: true, ..BindOptions::default() };
/// assert_eq!(shared.receive_buffer, 4 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Let several sockets of this user share the port; the kernel spreads the peers over them.
    pub reuse_port: bool,
    /// How many bytes the kernel is asked to queue for us; it may give less.
    pub receive_buffer: usize,
    /// Learn the congestion mark of what arrives. Costs a little per datagram.
    pub ecn: bool,
    /// Take several datagrams of one peer as one (GRO). Helps bulk data, nothing else.
    pub coalesce: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self { reuse_port: false, receive_buffer: 4 << 20, ecn: true, coalesce: true }
    }
}

/// One open socket.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    bound: SocketAddr,
    wildcard: bool,
    state: backend::State,
}

impl Udp {
    /// Opens a socket at `local`; port 0 means any, an unspecified address means all of ours. An
    /// IPv6 socket never takes IPv4: each family has its own.
    ///
    /// ```
    /// use bradawl_host::udp::{BindOptions, Udp};
    ///
    /// let udp = Udp::bind("127.0.0.1:0".parse()?, &BindOptions::default())?;
    /// assert_ne!(udp.bound().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind(local: SocketAddr, options: &BindOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        // The kernel's bound on buffers is the operator's business; less than we asked for is fine.
        let _ = socket.set_recv_buffer_size(options.receive_buffer);
        socket.bind(&local.into())?;

        let socket = UdpSocket::from(socket);
        let bound = socket.local_addr()?;
        let wildcard = bound.ip().is_unspecified();
        let state = backend::State::new(&socket, bound, options)?;
        Ok(Self { socket, bound, wildcard, state })
    }

    /// The address it is bound to, which may be a wildcard; the port is the real one.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Lets later sockets of this user share the port, which was ours alone while this was opened.
    pub fn share(&self) -> io::Result<()> {
        SockRef::from(&self.socket).set_reuse_port(true)
    }

    /// How many routers a packet may pass, the last of which drops it; 0 is the system's default.
    pub(crate) fn limit_hops(&self, hops: u8) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        // -1 asks for the default; over IPv4 some systems take it for 255, which is as good.
        let hops = if hops == 0 { u32::MAX } else { hops.into() };
        match self.bound {
            SocketAddr::V4(_) => socket.set_ttl_v4(hops),
            SocketAddr::V6(_) => socket.set_unicast_hops_v6(hops),
        }
    }

    /// Whether a packet from `local` leaves through this socket.
    pub(crate) fn serves(&self, local: &SocketAddr) -> bool {
        if self.wildcard {
            self.bound.port() == local.port() && self.bound.is_ipv4() == local.is_ipv4()
        } else {
            self.bound == *local
        }
    }

    /// How many datagrams the system sends as one and cuts itself; 1 if it cannot.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_segments()
    }

    /// The address that a datagram came to, made from what the kernel told beside it.
    fn local_for(&self, told: Option<IpAddr>, interface: u32) -> Option<SocketAddr> {
        if !self.wildcard {
            return Some(self.bound);
        }
        Some(match told? {
            IpAddr::V4(ip) => (ip, self.bound.port()).into(),
            IpAddr::V6(ip) => {
                // Only a link-local address needs its interface to be an address at all.
                let scope = if ip.is_unicast_link_local() { interface } else { 0 };
                SocketAddrV6::new(ip, self.bound.port(), 0, scope).into()
            }
        })
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The address of ours that the system would use to reach `remote`, with port 0, so that it can be
/// bound. Sends nothing.
///
/// ```
/// let ours = bradawl_host::udp::source_for("127.0.0.1:3478".parse()?)?;
/// assert_eq!(ours, "127.0.0.1:0".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn source_for(remote: SocketAddr) -> io::Result<SocketAddr> {
    let any: SocketAddr = if remote.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    let mut ours = socket.local_addr()?;
    ours.set_port(0);
    Ok(ours)
}

/// What a call to receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// How many slots it filled, at least one.
    pub(crate) slots: usize,
    /// The kernel had no more: there is no need to ask again before it says that it has.
    pub(crate) all: bool,
}

/// What one slot of an `Inbox` holds: one datagram, or several of the same size from one sender.
pub(crate) struct Arrival<'a> {
    pub(crate) path: Path,
    pub(crate) ecn: Option<Ecn>,
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Arrival<'a> {
    /// The datagrams, one by one. An empty datagram is one, too.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut rest, stride) = (Some(self.bytes), self.stride);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let (first, more) = bytes.split_at(stride.min(bytes.len()));
            rest = (!more.is_empty()).then_some(more);
            Some(first)
        })
    }
}

/// Why a slot of an `Inbox` holds nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The datagram was larger than any we take.
    Truncated,
    /// The kernel did not say who sent it or which of our addresses it came to.
    Anonymous,
}

/// A packet waiting to be sent: where its bytes lie in the outbox, and what to do with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Which socket of the table.
    pub(crate) socket: u32,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) segment: Option<NonZeroU16>,
    /// The segments are cut here, whatever the kernel can do.
    pub(crate) cut: bool,
    pub(crate) ecn: Option<Ecn>,
    pub(crate) path: Path,
}

impl Packet {
    pub(crate) fn bytes<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.start as usize..][..self.len as usize]
    }

    /// How large it is on the wire, or the largest of its segments.
    pub(crate) fn ip_len(&self) -> usize {
        let headers = if self.path.remote.is_ipv4() { 20 + 8 } else { 40 + 8 };
        headers + self.segment.map_or(self.len as usize, |size| size.get().into())
    }
}

/// What somebody had against a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    any(not(target_os = "linux"), feature = "portable"),
    expect(dead_code, reason = "other systems do not say")
)]
pub(crate) enum Complaint {
    /// ICMP, about a packet that left earlier. Anyone can forge it.
    Network {
        /// Unknown where only a wildcard socket's kernel could tell and did not.
        local: Option<SocketAddr>,
        remote: SocketAddr,
        errno: i32,
        mtu: Option<u16>,
        /// The router whose patience the packet's hop limit was too short for.
        expired_by: Option<IpAddr>,
    },
    /// Our own kernel, about the packet of the call that has just failed. It does not say which
    /// path that was to take; whoever made the call knows.
    Own { mtu: Option<u16> },
}
