//! One UDP socket that speaks for many addresses.
//!
//! It is bound to no address, and each packet says with `IP_PKTINFO` which of the machine's own it
//! comes from; on what arrives the same option says which one it was sent to. Packets go and come
//! in batches (`sendmmsg`, `recvmmsg`), or the load would be the bottleneck.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Packets per system call.
pub(crate) const BATCH: usize = 64;

/// The longest answer that is looked at; a Binding success is 32 to about 100 bytes.
const PACKET: usize = 256;

/// Room for one control message with an `in_pktinfo`, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 32]);

// SAFETY: pure arithmetic on a size.
const CONTROL: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) } as usize;
const _: () = assert!(CONTROL <= size_of::<Control>());

/// The socket and the memory of its batches.
pub(crate) struct Net {
    socket: UdpSocket,
    packets: Box<[[u8; PACKET]; BATCH]>,
    controls: Box<[Control; BATCH]>,
}

/// A packet that arrived.
pub(crate) struct Arrived<'a> {
    /// Which of our addresses it was sent to.
    pub(crate) to: Ipv4Addr,
    pub(crate) bytes: &'a [u8],
}

impl Net {
    pub(crate) fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        // Room for whatever is in the air. Only root may exceed the system's bound; less will do.
        if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 8 << 20).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 8 << 20)?;
        }
        Ok(Self {
            socket,
            packets: Box::new([[0; PACKET]; BATCH]),
            controls: Box::new([Control([0; 32]); BATCH]),
        })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends up to [`BATCH`] packets of one size, each from an address of its own; returns how many
    /// the kernel took.
    pub(crate) fn send(
        &mut self,
        server: SocketAddrV4,
        packets: &[([u8; 20], Ipv4Addr)],
    ) -> io::Result<usize> {
        let mut to = address(server);
        let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: all zeros is a valid `mmsghdr`.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let many = packets.len().min(BATCH);
        for (at, (bytes, from)) in packets[..many].iter().enumerate() {
            // The kernel only reads what it sends.
            parts[at] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut to).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut parts[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[at]).cast();
            header.msg_controllen = CONTROL;
            put_source(header, *from);
        }
        // SAFETY: the first `many` headers point to memory that outlives the call.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), many as u32, libc::MSG_DONTWAIT)
        };
        match usize::try_from(sent) {
            Ok(sent) => Ok(sent),
            Err(_) => none_if_blocked(io::Error::last_os_error()),
        }
    }

    /// Takes up to [`BATCH`] packets that are already there and hands each to `take`; returns how
    /// many there were.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrived<'_>)) -> io::Result<usize> {
        let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
        // SAFETY: all zeros is a valid `mmsghdr`.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for at in 0..BATCH {
            parts[at] = libc::iovec { iov_base: self.packets[at].as_mut_ptr().cast(), iov_len: PACKET };
            let header = &mut headers[at].msg_hdr;
            header.msg_iov = &raw mut parts[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[at]).cast();
            header.msg_controllen = size_of::<Control>();
        }
        // SAFETY: every header points to memory that outlives the call.
        let got = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(got) = usize::try_from(got) else { return none_if_blocked(io::Error::last_os_error()) };
        for (header, bytes) in headers[..got].iter().zip(self.packets.iter()) {
            let to = destination(&header.msg_hdr);
            take(Arrived { to, bytes: &bytes[..PACKET.min(header.msg_len as usize)] });
        }
        Ok(got)
    }

    /// Waits until something has arrived, but not for long.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<()> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd`, and the call is told of one.
        let ready = unsafe { libc::poll(&raw mut poll, 1, at_most.as_millis() as i32) };
        if ready < 0 { none_if_blocked(io::Error::last_os_error()).map(drop) } else { Ok(()) }
    }
}

/// A full or empty socket is no error here, nor is a signal, nor what an ICMP says of a server that
/// is not there: the requests will be counted as lost.
fn none_if_blocked(error: io::Error) -> io::Result<usize> {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    match error.kind() {
        WouldBlock | Interrupted | ConnectionRefused => Ok(0),
        _ if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
        _ => Err(error),
    }
}

fn put_source(header: &mut libc::msghdr, from: Ipv4Addr) {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: from.to_bits().to_be() },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    // SAFETY: `msg_control` points to an aligned `Control`, which has room for one control message
    // with an `in_pktinfo` (asserted above), and `msg_controllen` says so.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::IPPROTO_IP;
        (*message).cmsg_type = libc::IP_PKTINFO;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize;
        libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().write_unaligned(info);
    }
}

fn destination(header: &libc::msghdr) -> Ipv4Addr {
    // SAFETY: the kernel has filled the control messages of this header, and the walk stays inside
    // what `msg_controllen` says.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
                let info = libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().read_unaligned();
                return Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    Ipv4Addr::UNSPECIFIED
}

fn address(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: to.ip().to_bits().to_be() },
        sin_zero: [0; 8],
    }
}

fn set(socket: &UdpSocket, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option takes an `int`, and this is one.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
