//! Datagrams in batches on Linux: `recvmmsg` in, `sendmmsg` out, the error queue for ICMP.
//!
//! Apart from `interfaces`, which lists addresses, this is the only file of the crate with `unsafe`
//! in it, and it is here because of two gaps: rustix's `sendmmsg` cannot choose a packet's source
//! address (no `IP_PKTINFO`), without which a reply from a wildcard socket may leave from the wrong
//! one, and `quinn-udp` makes a system call for every destination. A server answers many peers with
//! one small packet each, so the system call is most of what a reply costs.
//!
//! All memory that the kernel is shown is allocated once, when the driver is made.

use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use bradawl::machine::{Ecn, Path};
use libc::{c_int, c_uint, iovec, mmsghdr, msghdr};

use super::ancillary::{self, NAME, Slot, Writer};
use super::{Arrival, BindOptions, Complaint, Flaw, Packet, Received, Udp};

/// What a socket keeps beside its descriptor: the family, which names its options.
#[derive(Debug)]
pub(crate) struct State {
    v4: bool,
}

/// `SO_SELECT_ERR_QUEUE` (asm-generic and all that follow it; sparc and parisc number it otherwise).
const SO_SELECT_ERR_QUEUE: c_int = 45;

impl State {
    /// Asks the kernel for all that we want to know about each datagram.
    pub(super) fn new(socket: &UdpSocket, bound: SocketAddr, options: &BindOptions) -> io::Result<Self> {
        let set = |level, name, value| set_option(socket, level, name, value);
        if bound.is_ipv4() {
            set(libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
            // Never fragment, and do not let a path MTU that anyone can forge hold packets back.
            set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
            set(libc::IPPROTO_IP, libc::IP_RECVTOS, c_int::from(options.ecn))?;
        } else {
            set(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
            set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
            set(libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, c_int::from(options.ecn))?;
        }
        match bound.ip() {
            ip if !ip.is_unspecified() => {}
            ip if ip.is_ipv4() => set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
            _ => set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?,
        }
        // Makes a waiting error look like urgent data, so that "readable" wakes us for it, too.
        set(libc::SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1)?;
        if options.coalesce {
            // Since Linux 5.0; without it every datagram simply comes alone.
            let _ = set(libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        Ok(Self { v4: bound.is_ipv4() })
    }

    /// How long the addresses of its family are.
    fn name_len(&self) -> usize {
        if self.v4 { size_of::<libc::sockaddr_in>() } else { NAME }
    }

    /// `UDP_MAX_SEGMENTS` of older kernels; newer ones take twice as many.
    pub(super) fn max_segments(&self) -> usize {
        64
    }
}

/// Where datagrams arrive: as many buffers as a batch has, each large enough for any datagram.
///
/// The headers point into `slots`, `vectors` and `bytes`. All three are reached by raw pointer only,
/// so that no reference of ours is alive while the kernel writes.
pub(crate) struct Inbox {
    headers: Box<[mmsghdr]>,
    slots: NonNull<[Slot]>,
    vectors: NonNull<[iovec]>,
    bytes: NonNull<[u8]>,
    filled: usize,
}

// SAFETY: the pointers are to memory that only this value owns and frees.
unsafe impl Send for Inbox {}

impl Inbox {
    /// Each buffer takes the largest datagram.
    const ROOM: usize = 1 << 16;
    /// The buffers start three cache lines further apart than that: were it a power of two, the
    /// first bytes of all of them would compete for the same few lines of the cache.
    const STRIDE: usize = Self::ROOM + 3 * 64;

    pub(crate) fn new(batch: usize) -> Self {
        // Zeroed by the system on first touch: what is never used never costs memory.
        let bytes = leak(vec![0u8; batch * Self::STRIDE]);
        let slots = leak(vec![Slot::EMPTY; batch]);
        let base = bytes.cast::<u8>().as_ptr();
        let vectors = (0..batch)
            // SAFETY: `index < batch`, so the offset stays within the allocation of `bytes`.
            .map(|index| unsafe { base.add(index * Self::STRIDE) })
            .map(|start| iovec { iov_base: start.cast(), iov_len: Self::ROOM })
            .collect::<Vec<_>>();
        let vectors = leak(vectors);
        let headers = (0..batch)
            .map(|index| {
                // SAFETY: `index < batch`, the length of both allocations.
                let (slot, vector) = unsafe {
                    (slots.cast::<Slot>().as_ptr().add(index), vectors.cast::<iovec>().as_ptr().add(index))
                };
                let mut header = empty_header();
                // SAFETY: `slot` points to a live `Slot`; only addresses are taken.
                unsafe {
                    header.msg_hdr.msg_name = (&raw mut (*slot).name).cast();
                    header.msg_hdr.msg_control = (&raw mut (*slot).control).cast();
                }
                header.msg_hdr.msg_namelen = NAME as _;
                header.msg_hdr.msg_controllen = ancillary::CONTROL as _;
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { headers, slots, vectors, bytes, filled: 0 }
    }

    /// Takes in what has arrived, at most `limit` slots.
    ///
    /// A batch that is not full means that the kernel found its queue empty, or an error behind the
    /// last datagram. Either way it wakes us for what comes next, for the error at once.
    pub(crate) fn receive(&mut self, udp: &Udp, limit: usize) -> io::Result<Received> {
        // The kernel shortened these last time.
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = NAME as _;
            header.msg_hdr.msg_controllen = ancillary::CONTROL as _;
        }
        self.filled = 0;
        let limit = limit.min(self.headers.len());
        // SAFETY: `headers` has `limit` entries or more, whose pointers are to allocations of this
        // value of at least the lengths given with them; nothing else refers to those now.
        let filled = unsafe {
            libc::recvmmsg(
                udp.as_raw_fd(),
                self.headers.as_mut_ptr(),
                limit as c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
        Ok(Received { slots: self.filled, all: self.filled < limit })
    }

    /// What slot `index` of the last batch holds.
    #[inline]
    pub(crate) fn arrival(&self, index: usize, udp: &Udp) -> Result<Arrival<'_>, Flaw> {
        let header = &self.headers[..self.filled][index];
        let flags = header.msg_hdr.msg_flags;
        if flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            // Without its packet info nobody knows where it came to, or whether it is several.
            return Err(if flags & libc::MSG_TRUNC != 0 { Flaw::Truncated } else { Flaw::Anonymous });
        }
        // What lies there is then an earlier datagram's.
        if name_len(&header.msg_hdr) != udp.state.name_len() {
            return Err(Flaw::Anonymous);
        }
        // SAFETY: `index < filled <= batch`. The kernel is not writing now, only `receive(&mut self)`
        // lets it, so shared references live as long as `&self` does.
        let (slot, bytes) = unsafe {
            let slot = &*self.slots.cast::<Slot>().as_ptr().add(index);
            let start = self.bytes.cast::<u8>().as_ptr().add(index * Self::STRIDE);
            (slot, std::slice::from_raw_parts(start, (header.msg_len as usize).min(Self::ROOM)))
        };
        let told = ancillary::read_control(&slot.control[..control_len(&header.msg_hdr)]);
        let local = udp.local_for(told.local, told.interface).ok_or(Flaw::Anonymous)?;
        let remote = ancillary::read_name(&slot.name).ok_or(Flaw::Anonymous)?;
        Ok(Arrival {
            path: Path::udp(local, remote),
            ecn: Ecn::from_bits(told.traffic_class),
            bytes,
            stride: told.stride.filter(|&stride| stride > 0).unwrap_or(usize::MAX),
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // SAFETY: each came from `leak`, and this is the only place that takes it back.
        unsafe {
            drop(Box::from_raw(self.slots.as_ptr()));
            drop(Box::from_raw(self.vectors.as_ptr()));
            drop(Box::from_raw(self.bytes.as_ptr()));
        }
    }
}

/// Sends runs of packets. The pointers in its headers mean something during a call only.
pub(crate) struct Sender {
    headers: Box<[mmsghdr]>,
    vectors: Box<[iovec]>,
    slots: Box<[Slot]>,
}

// SAFETY: the raw pointers inside are written before each system call and never read after it.
unsafe impl Send for Sender {}

impl Sender {
    pub(crate) fn new(batch: usize) -> Self {
        Self {
            headers: (0..batch).map(|_| empty_header()).collect(),
            vectors: vec![iovec { iov_base: ptr::null_mut(), iov_len: 0 }; batch].into(),
            slots: vec![Slot::EMPTY; batch].into(),
        }
    }

    /// Sends `packets`, or as many as fit into one call, and says how many the kernel took. An
    /// error is about the first of them.
    pub(crate) fn send(&mut self, udp: &Udp, packets: &[Packet], arena: &[u8]) -> io::Result<usize> {
        let rows = self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.slots);
        let mut count = 0;
        for (((header, vector), slot), packet) in rows.zip(packets) {
            let bytes = packet.bytes(arena);
            // The kernel only reads through it, whatever the type says.
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            let message = &mut header.msg_hdr;
            message.msg_namelen = ancillary::write_name(&mut slot.name, &packet.path.remote) as _;
            message.msg_name = (&raw mut slot.name).cast();
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            let used = write_control(&mut slot.control, udp, packet);
            message.msg_control = if used == 0 { ptr::null_mut() } else { (&raw mut slot.control).cast() };
            message.msg_controllen = used as _;
            count += 1;
        }
        // SAFETY: the first `count` headers were filled just now with pointers into `vectors`,
        // `slots` and `arena`, all of which outlive the call and are not touched during it.
        let sent = unsafe {
            libc::sendmmsg(
                udp.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

#[inline]
fn write_control(control: &mut [u8; ancillary::CONTROL], udp: &Udp, packet: &Packet) -> usize {
    let mut writer = Writer::new(control);
    if udp.wildcard {
        writer.source(&packet.path.local);
    }
    if let Some(size) = packet.segment {
        writer.segment(size.get());
    }
    if let Some(ecn) = packet.ecn {
        writer.traffic_class(udp.state.v4, ecn as u8);
    }
    writer.used()
}

/// The next thing that the network, or the kernel itself, had to say about a packet. Something that
/// cannot be understood is an `InvalidData`, and gone.
pub(crate) fn next_complaint(udp: &Udp) -> io::Result<Option<Complaint>> {
    let mut slot = Slot::EMPTY;
    let mut header = empty_header().msg_hdr;
    header.msg_name = (&raw mut slot.name).cast();
    header.msg_namelen = NAME as _;
    header.msg_control = (&raw mut slot.control).cast();
    header.msg_controllen = ancillary::CONTROL as _;
    // The packet that went wrong is offered, too; we have no use for it and give it no room.
    // SAFETY: the pointers are to `slot`, with its lengths, and it outlives the call.
    let read =
        unsafe { libc::recvmsg(udp.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if read < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    let told = ancillary::read_control(&slot.control[..control_len(&header)]);
    let fault = told.error.ok_or(io::ErrorKind::InvalidData)?;
    let mtu = (fault.errno == libc::EMSGSIZE).then(|| u16::try_from(fault.info).unwrap_or(u16::MAX));
    match fault.origin {
        libc::SO_EE_ORIGIN_LOCAL => Ok(Some(Complaint::Own { mtu })),
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
            let name = &slot.name[..name_len(&header)];
            let remote = ancillary::read_name(name).ok_or(io::ErrorKind::InvalidData)?;
            // About an ICMP message the kernel does not work out an address to answer from.
            let local = udp.local_for(told.destination, told.interface);
            Ok(Some(Complaint::Network {
                local,
                remote,
                errno: fault.errno,
                mtu,
                expired_by: fault.expired_by(),
            }))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn set_option(socket: &UdpSocket, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer is to an integer, the length is its size, and it outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How much the kernel has written beside a datagram. The type differs between C libraries.
#[inline]
#[allow(clippy::unnecessary_cast, reason = "it is `usize` in some and `u32` in others")]
fn control_len(header: &msghdr) -> usize {
    (header.msg_controllen as usize).min(ancillary::CONTROL)
}

/// How much of the name the kernel has written; it says how long it would have been.
#[inline]
fn name_len(header: &msghdr) -> usize {
    (header.msg_namelen as usize).min(NAME)
}

fn empty_header() -> mmsghdr {
    // SAFETY: a `msghdr` of null pointers and zero lengths is a valid, empty one. It has private
    // padding on some systems, so that it cannot be written as a literal.
    let msg_hdr: msghdr = unsafe { mem::zeroed() };
    mmsghdr { msg_hdr, msg_len: 0 }
}

fn leak<T>(items: Vec<T>) -> NonNull<[T]> {
    NonNull::from(Box::leak(items.into_boxed_slice()))
}
