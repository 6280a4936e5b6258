//! The one idiom of this crate: a [`Machine`] takes packets and timestamps in and gives actions out.
//!
//! Every protocol here is a `Machine`, so one driver, one simulator host and one fuzz harness serve
//! them all, and whoever embeds one embeds any of them with the same ten lines:
//!
//! 1. Hand each datagram to [`Machine::handle_input`]; the [`Verdict`] says what became of it.
//! 2. Then call [`Machine::poll_output`] until it answers [`Output::Idle`], doing what it says.
//! 3. Sleep until the time in `Idle`, or until the next datagram. Go to 1, or straight to 2.
//!
//! There is no timeout to forget (polling fires what is due), no packet that is lost because a
//! socket was busy (its bytes are in the caller's own buffer), and no error to handle for what
//! arrives from the network: it becomes an event, a counter, or nothing.

use core::fmt;
use core::net::SocketAddr;
use core::num::NonZeroU16;
use core::ops::Range;

use crate::time::{Duration, Instant};

/// A protocol as a pure state machine. See the [module documentation](self) for how to drive one.
///
/// What every implementation promises:
///
/// * after `Output::Idle(Some(t))`, `t` is later than the `now` that was passed in;
/// * `Idle` is reached within a bounded number of polls;
/// * the same seed and the same inputs give the same outputs, byte for byte;
/// * several inputs before a drain are legal;
/// * a `buf` shorter than [`MIN_BUFFER`] is legal, and packets that do not fit into it are not sent.
///
/// A whole one, which sends back whatever comes:
///
/// ```
/// use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict, MIN_BUFFER};
/// use bradawl::time::Instant;
///
/// #[derive(Default)]
/// struct Echo(Option<(Path, Vec<u8>)>);
///
/// impl Machine for Echo {
///     type Event = core::convert::Infallible;
///
///     fn handle_input(&mut self, _: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
///         self.0 = Some((path, bytes.to_vec()));
///         Verdict::Consumed
///     }
///
///     fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}
///
///     fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<Self::Event> {
///         let Some((path, bytes)) = self.0.take().filter(|(_, bytes)| bytes.len() <= buf.len()) else {
///             return Output::Idle(None);
///         };
///         buf[..bytes.len()].copy_from_slice(&bytes);
///         Output::Transmit { path, len: bytes.len(), segment: None, ecn: None }
///     }
/// }
///
/// let mut echo = Echo::default();
/// let path = Path::udp("192.0.2.1:7".parse()?, "198.51.100.7:50000".parse()?);
/// let _ = echo.handle_input(Instant::ZERO, path, Meta::default(), b"hello");
/// let mut buf = [0; MIN_BUFFER];
/// assert!(matches!(echo.poll_output(Instant::ZERO, &mut buf), Output::Transmit { len: 5, .. }));
/// assert_eq!(echo.poll_output(Instant::ZERO, &mut buf), Output::Idle(None));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub trait Machine {
    /// What it tells the program around it.
    type Event;

    /// Takes one datagram (or one framed message of a stream, or whatever came of a stream that is not
    /// framed) that arrived at `path.local` from `path.remote`. It cannot fail: whatever the network
    /// sends is somebody's normal day.
    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict;

    /// Takes what the host has to say: answers to requests, socket errors, interface changes.
    fn handle_host(&mut self, now: Instant, input: HostInput<'_>);

    /// Fires what is due at `now` and returns the next thing to do. For a `Transmit` the bytes are
    /// at the start of `buf`.
    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Self::Event>;
}

/// The least room for one packet that a caller should offer to [`Machine::poll_output`].
pub const MIN_BUFFER: usize = 1_500;

/// What a datagram travels on: a protocol, our own address and the other side's.
///
/// `local` is always concrete, never a wildcard: it selects the socket.
///
/// ```
/// use bradawl::machine::{Path, Transport};
///
/// let path = Path::udp("192.0.2.1:3478".parse()?, "198.51.100.7:50000".parse()?);
/// assert_eq!(path.transport, Transport::Udp);
/// assert_eq!(path.to_string(), "udp 192.0.2.1:3478 → 198.51.100.7:50000");
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The transport protocol.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl Path {
    /// A UDP path.
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, remote }
    }

    /// A TCP path.
    pub const fn tcp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Tcp, local, remote }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} → {}", self.transport, self.local, self.remote)
    }
}

/// The transport protocols that a [`Path`] can use.
///
/// ```
/// # use bradawl::machine::Transport;
/// assert_eq!(Transport::Tcp.to_string(), "tcp");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream; the host gives and takes its bytes in pieces as they come, and a small parent machine
    /// makes of them one framed message per call.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// What the host knows about a datagram beside its bytes.
///
/// ```
/// use bradawl::machine::{Ecn, Meta};
///
/// assert_eq!(Meta::default().ecn, None);
/// assert_eq!(Meta { ecn: Ecn::from_bits(0b11) }.ecn, Some(Ecn::Ce));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The congestion mark it carried, if any.
    pub ecn: Option<Ecn>,
}

/// Explicit congestion notification, the two low bits of the traffic class (RFC 3168 §5).
///
/// ```
/// # use bradawl::machine::Ecn;
/// assert_eq!(Ecn::from_bits(Ecn::Ect0 as u8), Some(Ecn::Ect0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    /// ECN-capable, codepoint ECT(1).
    Ect1 = 0b01,
    /// ECN-capable, codepoint ECT(0).
    Ect0 = 0b10,
    /// Congestion experienced.
    Ce = 0b11,
}

impl Ecn {
    /// Reads the two bits; `None` is Not-ECT.
    ///
    /// ```
    /// # use bradawl::machine::Ecn;
    /// assert_eq!(Ecn::from_bits(0b10), Some(Ecn::Ect0));
    /// assert_eq!(Ecn::from_bits(0b00), None);
    /// ```
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 0b11 {
            0b01 => Some(Self::Ect1),
            0b10 => Some(Self::Ect0),
            0b11 => Some(Self::Ce),
            _ => None,
        }
    }
}

/// What became of the bytes given to [`Machine::handle_input`].
///
/// ```
/// use bradawl::machine::Verdict;
///
/// // A parent offers the bytes to one child after the other until one of them claims them.
/// let verdicts = [Verdict::Unclaimed, Verdict::Consumed];
/// assert!(verdicts.iter().any(|verdict| !matches!(verdict, Verdict::Unclaimed)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Not for this machine: offer it to the next one.
    Unclaimed,
    /// Dealt with, or deliberately dropped.
    Consumed,
    /// Application data: `body` is where it lies in the input.
    Deliver {
        /// Who sent it, which differs from `path.remote` when it came through a relay.
        from: SocketAddr,
        /// Where the data lies in the input.
        body: Range<usize>,
    },
    /// To be sent on by the host: `head`, then `body` of the input, then `pad` zero bytes. The
    /// packet is never copied into the machine.
    Forward {
        /// Where to send it.
        path: Path,
        /// Which part of the input to send.
        body: Range<usize>,
        /// What goes before it.
        head: Head,
        /// How many zero bytes go after it.
        pad: u8,
    },
}

/// The bytes that a relay puts before a forwarded body, held inline: at most 48.
///
/// ```
/// use bradawl::machine::Head;
///
/// let head = Head::new(&[0x40, 0x00, 0x00, 0x05]).expect("four bytes fit");
/// assert_eq!(&*head, &[0x40, 0x00, 0x00, 0x05]);
/// assert!(Head::new(&[0; 49]).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Head {
    /// The most it can hold: a Send or Data indication before its data (RFC 8656 §11) fits.
    pub const MAX: usize = 48;

    /// Copies `bytes`; `None` if they are more than [`Head::MAX`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut head = Self { len: u8::try_from(bytes.len()).ok()?, bytes: [0; Self::MAX] };
        head.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(head)
    }
}

impl core::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:02x?})", &**self)
    }
}

/// What a [`Machine`] wants done.
///
/// ```
/// use bradawl::machine::{Machine, Output, MIN_BUFFER};
/// use bradawl::time::Instant;
///
/// fn drain<M: Machine>(machine: &mut M, now: Instant, mut send: impl FnMut(&[u8])) -> Option<Instant> {
///     let mut buf = [0; MIN_BUFFER];
///     loop {
///         match machine.poll_output(now, &mut buf) {
///             Output::Transmit { len, .. } => send(&buf[..len]),
///             Output::Host(_request) => {} // open or close a socket, then `handle_host` with the result
///             Output::Event(_event) => {}  // tell the program
///             Output::Idle(wake) => return wake,
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Output<E> {
    /// Send the first `len` bytes of the buffer.
    Transmit {
        /// From which socket, to whom.
        path: Path,
        /// How many bytes of the buffer.
        len: usize,
        /// If set, the bytes are several datagrams of this size each, the last one perhaps shorter.
        segment: Option<NonZeroU16>,
        /// The congestion mark to send them with.
        ecn: Option<Ecn>,
    },
    /// Ask the host for something; the answer comes by [`Machine::handle_host`].
    Host(HostRequest),
    /// Tell the program.
    Event(E),
    /// Drained. Poll again at this time, or after the next input; `None` means only then.
    Idle(Option<Instant>),
}

/// Names a socket that a machine asked for. The machine chooses it; the host echoes it.
///
/// ```
/// use bradawl::machine::{HostInput, HostRequest, SocketId};
///
/// let close = HostRequest::Close { id: SocketId(7) };
/// let gone = HostInput::Closed { id: SocketId(7) };
/// # let _ = (close, gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// What a machine may ask of its host.
///
/// ```
/// use bradawl::machine::{HostRequest, SocketId, Transport};
///
/// let request = HostRequest::Bind {
///     id: SocketId(1),
///     transport: Transport::Udp,
///     local: "192.0.2.1:0".parse()?, // port 0: any
/// };
/// assert!(matches!(request, HostRequest::Bind { id: SocketId(1), .. }));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRequest {
    /// Open a socket at this local address; port 0 means any. Answered by [`HostInput::Bound`].
    Bind {
        /// The name the answer will carry.
        id: SocketId,
        /// Datagram or listening stream socket.
        transport: Transport,
        /// Where; the IP address is concrete.
        local: SocketAddr,
    },
    /// Open a TCP connection. Answered by [`HostInput::Connected`] or [`HostInput::Closed`].
    Connect {
        /// The name the answer will carry.
        id: SocketId,
        /// From where.
        local: SocketAddr,
        /// To whom.
        remote: SocketAddr,
    },
    /// Close a socket. Not answered.
    Close {
        /// Which one.
        id: SocketId,
    },
    /// Let the packets that are sent from now on through a bound UDP socket pass fewer routers than
    /// usual: the one at which the count is used up drops a packet, and may tell with
    /// [`HostInput::Expired`]. Not answered.
    Limit {
        /// Which one.
        id: SocketId,
        /// The hop limit (IPv4: time to live) of each packet; 0 is the host's default again.
        hops: u8,
    },
}

/// What a host may say to its machine.
///
/// ```
/// use bradawl::machine::{HostInput, Path, Unreachable};
///
/// let path = Path::udp("192.0.2.1:3478".parse()?, "198.51.100.7:9".parse()?);
/// let icmp = HostInput::Unreachable { path, kind: Unreachable::Port };
/// assert!(matches!(icmp, HostInput::Unreachable { kind: Unreachable::Port, .. }));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostInput<'a> {
    /// A socket is open at this address, or why not.
    Bound {
        /// As asked.
        id: SocketId,
        /// Its concrete address.
        result: Result<SocketAddr, BindError>,
    },
    /// A TCP connection stands.
    Connected {
        /// As asked.
        id: SocketId,
        /// Its two ends.
        path: Path,
    },
    /// A socket is gone without having been asked to go, or never came to be.
    Closed {
        /// As asked.
        id: SocketId,
    },
    /// A packet could not be delivered: what the network or our own host said (ICMP, a firewall).
    /// A hint that anyone on the path can forge; never proof.
    Unreachable {
        /// Where the packet was going.
        path: Path,
        /// What was in the way.
        kind: Unreachable,
    },
    /// A packet was too big for the way it took.
    TooBig {
        /// Where the packet was going.
        path: Path,
        /// The largest IP packet that would have passed, where the host knows it.
        mtu: Option<u16>,
    },
    /// A packet had passed as many routers as it may ([`HostRequest::Limit`]) when it came to one more:
    /// ICMP Time Exceeded. A hint that anyone on the path can forge; never proof. Not every host hears
    /// of such things.
    Expired {
        /// Where the packet was going.
        path: Path,
        /// The router that dropped it, by the address that it told us.
        by: core::net::IpAddr,
    },
    /// The host's interfaces, all of them, whenever they change.
    Interfaces(&'a [Interface]),
    /// The clock moved by this much while nothing ran: the host slept.
    ClockJumped(Duration),
}

/// Why a socket could not be opened.
///
/// ```
/// use bradawl::machine::{BindError, HostInput, SocketId};
///
/// let refused = HostInput::Bound { id: SocketId(1), result: Err(BindError::InUse) };
/// # let _ = refused;
/// assert_eq!(BindError::InUse.to_string(), "the address is in use");
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Somebody has this port already.
    #[error("the address is in use")]
    InUse,
    /// This host has no such address.
    #[error("the address is not one of this host's")]
    NotOurs,
    /// The host does not let us.
    #[error("not permitted")]
    Denied,
    /// The host has no more sockets, or the driver's own bound is reached.
    #[error("no more sockets")]
    Exhausted,
    /// Anything else.
    #[error("the host refused")]
    Other,
}

/// What stood in a packet's way.
///
/// ```
/// use bradawl::machine::Unreachable;
///
/// // Our own host was busy: worth another try, unlike the rest.
/// let worth_a_retry = |kind| matches!(kind, Unreachable::Congested);
/// assert!(worth_a_retry(Unreachable::Congested) && !worth_a_retry(Unreachable::Port));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// Nobody listens on that port (`ECONNREFUSED`).
    Port,
    /// The host does not answer (`EHOSTUNREACH`).
    Host,
    /// There is no route (`ENETUNREACH`).
    Network,
    /// A firewall, here or on the way, said no (`EPERM`, `EACCES`).
    Prohibited,
    /// Our own host had no room for it (`ENOBUFS`, `ENOMEM`).
    Congested,
}

/// One address of one interface.
///
/// ```
/// use bradawl::machine::{HostInput, Interface};
///
/// let ethernet = Interface { index: 2, address: "192.0.2.1".parse()?, prefix_len: 24 };
/// let all = [ethernet];
/// let input = HostInput::Interfaces(&all);
/// # let _ = input;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The interface's index on this host.
    pub index: u32,
    /// One of its addresses.
    pub address: core::net::IpAddr,
    /// How many leading bits of the address name the network it is on.
    pub prefix_len: u8,
}
