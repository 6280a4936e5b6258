//! The layouts that Linux uses beside a datagram, read and written as plain bytes: socket addresses
//! and control messages. Everything here is safe code on slices; [`super::backend`] only hands the
//! kernel pointers to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for a `sockaddr_in6`, the larger of the two.
pub(super) const NAME: usize = size_of::<libc::sockaddr_in6>();

/// Room for the control messages of one datagram: packet info, traffic class, segment size, or an
/// extended error with its offender and packet info.
pub(super) const CONTROL: usize = 192;

const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = align_of::<libc::cmsghdr>();

/// A name and the control messages of one datagram, aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Slot {
    pub(super) control: [u8; CONTROL],
    pub(super) name: [u8; NAME],
}

impl Slot {
    pub(super) const EMPTY: Self = Self { control: [0; CONTROL], name: [0; NAME] };
}

/// Reads a `sockaddr_in` or `sockaddr_in6`.
#[inline]
pub(super) fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*name.first_chunk()?));
    let port = u16::from_be_bytes(field(name, 2)?);
    match family {
        libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(field::<4>(name, 4)?), port).into()),
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(field::<16>(name, 8)?);
            // The flow label is the sender's business: two labels are not two peers.
            Some(SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(field(name, 24)?)).into())
        }
        _ => None,
    }
}

/// Writes `address` and returns how many bytes that took.
#[inline]
pub(super) fn write_name(name: &mut [u8; NAME], address: &SocketAddr) -> usize {
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            name[4..8].copy_from_slice(&v4.ip().octets());
            name[8..16].fill(0);
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            name[4..8].fill(0);
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            size_of::<libc::sockaddr_in6>()
        }
    }
}

/// What the kernel said beside a datagram, as far as we asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Which of our addresses an answer should come from, and the interface it arrived on.
    pub(super) local: Option<IpAddr>,
    /// Where the packet itself says it was going: a group's address, perhaps.
    pub(super) destination: Option<IpAddr>,
    pub(super) interface: u32,
    pub(super) traffic_class: u8,
    /// If several datagrams were joined: the size of each but the last.
    pub(super) stride: Option<usize>,
    pub(super) error: Option<Fault>,
}

/// A `sock_extended_err`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) errno: i32,
    pub(super) origin: u8,
    /// Type and code of the ICMP message, if it is one.
    pub(super) icmp: (u8, u8),
    pub(super) info: u32,
    /// Who sent the message.
    pub(super) offender: Option<IpAddr>,
}

impl Fault {
    /// Who found that the packet had been passed on often enough: ICMP type 11, code 0 (RFC 792), and
    /// type 3, code 0 of ICMPv6 (RFC 4443 §3.3). The other code is about fragments.
    pub(super) fn expired_by(&self) -> Option<IpAddr> {
        let is_expired = match self.origin {
            libc::SO_EE_ORIGIN_ICMP => self.icmp == (11, 0),
            libc::SO_EE_ORIGIN_ICMP6 => self.icmp == (3, 0),
            _ => false,
        };
        self.offender.filter(|_| is_expired)
    }
}

/// Reads the control messages that came with a datagram. Those we do not know are skipped.
#[inline]
pub(super) fn read_control(mut control: &[u8]) -> Told {
    let mut told = Told::default();
    while let Some(header) = control.first_chunk::<HEADER>() {
        let (len, level, kind) = split_header(header);
        let Some(body) = control.get(HEADER..len) else { break };
        read_message(&mut told, level, kind, body);
        control = control.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    told
}

#[inline]
fn read_message(told: &mut Told, level: i32, kind: i32, body: &[u8]) {
    match (level, kind) {
        // ipi_ifindex, ipi_spec_dst, ipi_addr.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            told.local = field::<4>(body, 4).map(|ip| Ipv4Addr::from(ip).into());
            told.destination = field::<4>(body, 8).map(|ip| Ipv4Addr::from(ip).into());
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            told.local = field::<16>(body, 0).map(|ip| Ipv6Addr::from(ip).into());
            told.destination = told.local;
            told.interface = field(body, 16).map_or(0, u32::from_ne_bytes);
        }
        (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
            // One byte from IPv4, an integer from IPv6.
            told.traffic_class = match body.len() {
                4.. => field(body, 0).map_or(0, |class| i32::from_ne_bytes(class) as u8),
                _ => body.first().copied().unwrap_or(0),
            };
        }
        (libc::SOL_UDP, libc::UDP_GRO) => {
            told.stride = field(body, 0).and_then(|size| usize::try_from(i32::from_ne_bytes(size)).ok());
        }
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            told.error = read_fault(body);
        }
        _ => {}
    }
}

/// `ee_errno, ee_origin, ee_type, ee_code, ee_pad, ee_info, ee_data`, then the offender's address.
fn read_fault(body: &[u8]) -> Option<Fault> {
    Some(Fault {
        errno: i32::from_ne_bytes(field(body, 0)?),
        origin: *body.get(4)?,
        icmp: (*body.get(5)?, *body.get(6)?),
        info: u32::from_ne_bytes(field(body, 8)?),
        offender: body.get(16..).and_then(read_name).map(|address| address.ip()),
    })
}

/// Writes control messages one after the other.
pub(super) struct Writer<'a> {
    control: &'a mut [u8; CONTROL],
    used: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(control: &'a mut [u8; CONTROL]) -> Self {
        Self { control, used: 0 }
    }

    /// How many bytes the messages take.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Lets the packet leave from `local`.
    #[inline]
    pub(super) fn source(&mut self, local: &SocketAddr) {
        match local {
            SocketAddr::V4(v4) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&v4.ip().octets());
                self.message(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            SocketAddr::V6(v6) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&v6.ip().octets());
                info[16..].copy_from_slice(&v6.scope_id().to_ne_bytes());
                self.message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// Cuts the bytes into datagrams of this size.
    pub(super) fn segment(&mut self, size: u16) {
        self.message(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }

    /// Marks the packet.
    pub(super) fn traffic_class(&mut self, v4: bool, class: u8) {
        let (level, kind) =
            if v4 { (libc::IPPROTO_IP, libc::IP_TOS) } else { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) };
        self.message(level, kind, &i32::from(class).to_ne_bytes());
    }

    #[inline]
    fn message<const N: usize>(&mut self, level: i32, kind: i32, body: &[u8; N]) {
        let space = (HEADER + N).next_multiple_of(ALIGN);
        // Three messages at most are written, and `CONTROL` has room for four of the largest.
        let Some(at) = self.control.get_mut(self.used..self.used + space) else { return };
        at[..size_of::<usize>()].copy_from_slice(&(HEADER + N).to_ne_bytes());
        at[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
        at[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        at[HEADER..HEADER + N].copy_from_slice(body);
        self.used += space;
    }
}

/// `cmsg_len, cmsg_level, cmsg_type`; the two integers are the last eight bytes on every Linux.
#[inline]
fn split_header(header: &[u8; HEADER]) -> (usize, i32, i32) {
    let mut len = [0; size_of::<usize>()];
    len.copy_from_slice(&header[..size_of::<usize>()]);
    let [.., l0, l1, l2, l3, k0, k1, k2, k3] = *header;
    // A length shorter than its own header would never end the walk.
    let len = usize::from_ne_bytes(len).max(HEADER);
    (len, i32::from_ne_bytes([l0, l1, l2, l3]), i32::from_ne_bytes([k0, k1, k2, k3]))
}

#[inline]
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for text in ["192.0.2.7:3478", "[2001:db8::7]:3478", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().expect("an address");
            let mut name = [0xAA; NAME];
            let used = write_name(&mut name, &address);
            assert_eq!(read_name(&name[..used]), Some(address));
        }
        assert_eq!(read_name(&[0; NAME]), None, "no family, no address");
        assert_eq!(read_name(&[2, 0]), None, "too short");
    }

    #[test]
    fn what_is_written_is_what_the_kernel_would_read() {
        let mut control = [0xAA; CONTROL];
        let mut writer = Writer::new(&mut control);
        writer.source(&"[2001:db8::7]:1".parse().expect("an address"));
        writer.traffic_class(false, 0b10);
        let used = writer.used();
        let told = read_control(&control[..used]);
        assert_eq!(told.local, Some("2001:db8::7".parse().expect("an address")));
        assert_eq!(told.traffic_class, 0b10);
    }

    #[test]
    fn only_a_packet_that_was_passed_on_too_often_has_expired() {
        let mut body = [0; 44];
        let mut name = [0; NAME];
        write_name(&mut name, &"192.0.2.1:0".parse().expect("an address"));
        body[16..].copy_from_slice(&name);
        let by = Some("192.0.2.1".parse().expect("an address"));
        for (origin, kind, code, expected) in [
            (libc::SO_EE_ORIGIN_ICMP, 11, 0, by),
            (libc::SO_EE_ORIGIN_ICMP, 11, 1, None),
            (libc::SO_EE_ORIGIN_ICMP, 3, 0, None),
            (libc::SO_EE_ORIGIN_ICMP6, 3, 0, by),
            (libc::SO_EE_ORIGIN_ICMP6, 3, 1, None),
            (libc::SO_EE_ORIGIN_ICMP6, 11, 0, None),
            (libc::SO_EE_ORIGIN_LOCAL, 11, 0, None),
        ] {
            (body[4], body[5], body[6]) = (origin, kind, code);
            assert_eq!(read_fault(&body).expect("whole").expired_by(), expected, "{origin} {kind} {code}");
        }
        (body[4], body[5], body[6]) = (libc::SO_EE_ORIGIN_ICMP, 11, 0);
        assert_eq!(read_fault(&body[..16]).expect("whole").expired_by(), None, "by nobody");
        assert_eq!(read_fault(&body[..6]), None);
    }

    #[test]
    fn lying_lengths_end_the_walk() {
        let mut control = [0; 64];
        control[..8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(read_control(&control), Told::default());
        // A length of zero must advance all the same.
        assert_eq!(read_control(&[0; 64]), Told::default());
        assert_eq!(read_control(&[]), Told::default());
    }
}
