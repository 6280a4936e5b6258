//! The way out, and everything that can go wrong on it.
//!
//! An error of a send may be about the packet or about one that left long ago: a pending ICMP
//! message fails whatever call comes next. Linux keeps the messages themselves in the socket's
//! error queue, so each is passed on to the machine with the address it is really about, and the
//! packet that stumbled over it is sent again. Our own kernel's complaints lie in the same queue;
//! they are about the packet that has just failed, and do not say where that was going.

use std::io;
use std::num::NonZeroU16;

use bradawl::machine::{Ecn, HostInput, Machine, Path, SocketId, Transport, Unreachable, Verdict};
use bradawl::time::Instant;
use rustix::io::Errno;

use super::outbox::{Carrier, Decision, Outbox};
use super::streams::{Streams, Written};
use super::table::Table;
use super::{Counters, Limits, Sink};
use crate::udp::{self, Complaint, Packet, Sender};

/// ICMP messages that are read at once. Whoever sends more than that can wait.
const COMPLAINTS: usize = 64;

/// The sockets and what leaves through them.
pub(super) struct Net {
    pub(super) table: Table,
    pub(super) streams: Streams,
    pub(super) outbox: Outbox,
    pub(super) counters: Counters,
    sender: Sender,
}

impl Net {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            table: Table::default(),
            streams: Streams::new(limits),
            outbox: Outbox::new(limits),
            counters: Counters::default(),
            sender: Sender::new(limits.batch),
        }
    }

    /// Sends what the sockets take, telling the machine about what cannot be sent at all. Whether
    /// it was told anything.
    pub(super) fn flush<M: Machine>(&mut self, machine: &mut M, now: Instant) -> bool {
        if self.outbox.is_empty() {
            return false;
        }
        let Self { table, outbox, counters, sender, .. } = self;
        let mut carriage = Carriage { table, sender, counters, machine, now, told: false };
        outbox.flush(&mut carriage);
        carriage.told
    }

    /// Takes a packet that the machine has just written into the outbox.
    #[inline]
    pub(super) fn transmit<M: Machine>(
        &mut self,
        machine: &mut M,
        now: Instant,
        path: Path,
        len: usize,
        segment: Option<NonZeroU16>,
        ecn: Option<Ecn>,
    ) {
        if path.transport == Transport::Tcp {
            let Self { outbox, streams, counters, .. } = self;
            let written = streams.write(&path, [&outbox.room()[..len], &[], &[]]);
            return report(written, path, counters, machine, now);
        }
        let Some(socket) = self.table.find(&path.local) else {
            self.counters.homeless += 1;
            machine.handle_host(now, HostInput::Unreachable { path, kind: Unreachable::Network });
            return;
        };
        self.outbox.push(socket, path, len, segment, ecn);
    }

    /// Does with bytes that came on `path` what the machine wants done with them.
    #[inline]
    pub(super) fn obey<M: Machine>(
        &mut self,
        verdict: Verdict,
        machine: &mut M,
        now: Instant,
        path: Path,
        bytes: &[u8],
        sink: &mut impl Sink<M::Event>,
    ) {
        match verdict {
            Verdict::Consumed => {}
            Verdict::Unclaimed => self.counters.unclaimed += 1,
            Verdict::Deliver { from, body } => {
                sink.deliver(path, from, bytes.get(body).unwrap_or_default());
            }
            Verdict::Forward { path, body, head, pad } => {
                self.forward(machine, now, path, &head, bytes.get(body).unwrap_or_default(), pad);
            }
        }
    }

    /// Takes a packet that is to be sent on. With nowhere to put it, it is lost like any datagram.
    pub(super) fn forward<M: Machine>(
        &mut self,
        machine: &mut M,
        now: Instant,
        path: Path,
        head: &[u8],
        body: &[u8],
        pad: u8,
    ) {
        if path.transport == Transport::Tcp {
            let written = self.streams.write(&path, [head, body, &[0; u8::MAX as usize][..pad.into()]]);
            return report(written, path, &mut self.counters, machine, now);
        }
        let Some(socket) = self.table.find(&path.local) else {
            self.counters.homeless += 1;
            return;
        };
        if !self.outbox.has_room() {
            self.flush(machine, now);
        }
        if !self.outbox.push_parts(socket, path, head, body, pad) {
            self.counters.overflowed += 1;
        }
    }

    /// Passes on what the network said about earlier packets of this socket; whether it said anything.
    pub(super) fn hear_complaints<M: Machine>(&mut self, socket: u32, machine: &mut M, now: Instant) -> bool {
        hear_complaints(&self.table, socket, None, &mut self.counters, machine, now).network
    }

    /// Lets packets of the socket that the machine calls `id` pass so many routers. Packets written
    /// before go out first, as far as the socket takes them.
    pub(super) fn limit_hops<M: Machine>(&mut self, machine: &mut M, now: Instant, id: SocketId, hops: u8) {
        self.flush(machine, now);
        if let Some(udp) = self.table.by_id(id) {
            // A socket that cannot have it is one whose packets do not expire: nothing is promised.
            let _ = udp.limit_hops(hops);
        }
    }

    /// Closes the socket that the machine calls `id`; whether there was one. Packets written before
    /// go out first, as far as the socket takes them.
    pub(super) fn close<M: Machine>(&mut self, machine: &mut M, now: Instant, id: SocketId) -> bool {
        self.flush(machine, now);
        let Some(index) = self.table.close(id) else { return false };
        // The next socket may get the same index, and must not get these.
        self.counters.homeless += self.outbox.forget(index) as u64;
        true
    }
}

/// Counts what became of bytes for a TCP connection, and tells the machine what it has to know.
fn report<M: Machine>(written: Written, path: Path, counters: &mut Counters, machine: &mut M, now: Instant) {
    match written {
        Written::Taken => {}
        Written::Homeless => {
            counters.homeless += 1;
            machine.handle_host(now, HostInput::Unreachable { path, kind: Unreachable::Network });
        }
        Written::Refused => counters.refused += 1,
        Written::Overflowed(id) => {
            counters.overflowed += 1;
            if let Some(id) = id {
                machine.handle_host(now, HostInput::Closed { id });
            }
        }
    }
}

/// Carries the outbox's packets to the sockets of the table.
struct Carriage<'a, M> {
    table: &'a mut Table,
    sender: &'a mut Sender,
    counters: &'a mut Counters,
    machine: &'a mut M,
    now: Instant,
    told: bool,
}

impl<M: Machine> Carrier for Carriage<'_, M> {
    #[inline]
    fn send(&mut self, packets: &[Packet], arena: &[u8]) -> io::Result<usize> {
        let Some(entry) = packets.first().and_then(|packet| self.table.entry(packet.socket)) else {
            // Cannot be: a socket that is closed takes its packets along.
            self.counters.homeless += packets.len() as u64;
            return Ok(packets.len());
        };
        if entry.blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.sender.send(&entry.udp, packets, arena) {
            Ok(sent) => {
                self.counters.sends += 1;
                self.counters.sent += sent as u64;
                Ok(sent)
            }
            Err(error) => {
                entry.blocked = error.kind() == io::ErrorKind::WouldBlock;
                Err(error)
            }
        }
    }

    fn can_segment(&self, packet: &Packet) -> bool {
        let Some((size, entry)) = packet.segment.zip(self.table.peek(packet.socket)) else { return true };
        let segments = (packet.len as usize).div_ceil(size.get().into());
        entry.segments && segments <= entry.udp.max_segments()
    }

    fn failed(&mut self, packet: &Packet, error: &io::Error) -> Decision {
        let errno = Errno::from_io_error(error);
        if packet.segment.is_some() && !packet.cut {
            match errno {
                // The interface cannot compute checksums for segments: none of them, ever.
                Some(Errno::IO) => {
                    if let Some(entry) = self.table.entry(packet.socket) {
                        entry.segments = false;
                    }
                    return Decision::Cut;
                }
                // Perhaps the segments are larger than the way allows. Each alone is told so.
                Some(Errno::INVAL) => return Decision::Cut,
                _ => {}
            }
        }
        let Self { table, counters, machine, now, .. } = self;
        let heard = hear_complaints(table, packet.socket, Some(packet), counters, *machine, *now);
        self.told = true;
        if let Some(mtu) = heard.own
            && errno == Some(Errno::MSGSIZE)
        {
            self.machine.handle_host(self.now, verdict(packet.path, errno, mtu));
        } else if heard.too_big && errno == Some(Errno::MSGSIZE) {
            // The machine has just been told so.
        } else if heard.network {
            return Decision::Again;
        } else {
            self.machine.handle_host(self.now, verdict(packet.path, errno, None));
        }
        self.counters.refused += 1;
        Decision::Drop
    }

    fn overflowed(&mut self, packet: &Packet) {
        self.counters.overflowed += 1;
        let input = HostInput::Unreachable { path: packet.path, kind: Unreachable::Congested };
        self.machine.handle_host(self.now, input);
        self.told = true;
    }
}

/// What was in a socket's error queue.
#[derive(Clone, Copy, Debug, Default)]
struct Complaints {
    /// ICMP, about earlier packets.
    network: bool,
    /// ICMP, by which the packet that has just failed would not pass either. On some ways it is our
    /// own kernel who sends it.
    too_big: bool,
    /// Our own kernel's, about the packet that has just failed, and the largest that would not have.
    own: Option<Option<u16>>,
}

/// Empties the error queue and passes on to the machine what the network said; `failed` is the packet
/// that led here.
fn hear_complaints<M: Machine>(
    table: &Table,
    socket: u32,
    failed: Option<&Packet>,
    counters: &mut Counters,
    machine: &mut M,
    now: Instant,
) -> Complaints {
    let mut heard = Complaints::default();
    let Some(entry) = table.peek(socket) else { return heard };
    for _ in 0..COMPLAINTS {
        match udp::next_complaint(&entry.udp) {
            Ok(Some(Complaint::Own { mtu })) => heard.own = Some(mtu),
            Ok(Some(Complaint::Network { local, remote, errno, mtu, expired_by })) => {
                counters.complaints += 1;
                heard.network = true;
                let Some(local) = local else { continue };
                let (path, errno) = (Path::udp(local, remote), Errno::from_raw_os_error(errno));
                heard.too_big |= failed
                    .zip(mtu)
                    .is_some_and(|(packet, mtu)| packet.path == path && packet.ip_len() > mtu.into());
                let input = match expired_by {
                    Some(by) => HostInput::Expired { path, by },
                    None => verdict(path, Some(errno), mtu),
                };
                machine.handle_host(now, input);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Ok(None) | Err(_) => break,
        }
    }
    heard
}

/// What an error number means for the packets of a path.
fn verdict(path: Path, errno: Option<Errno>, mtu: Option<u16>) -> HostInput<'static> {
    let kind = match errno {
        Some(Errno::MSGSIZE) => return HostInput::TooBig { path, mtu },
        Some(Errno::CONNREFUSED) => Unreachable::Port,
        Some(Errno::HOSTUNREACH | Errno::HOSTDOWN) => Unreachable::Host,
        Some(Errno::PERM | Errno::ACCESS) => Unreachable::Prohibited,
        Some(Errno::NOBUFS | Errno::NOMEM) => Unreachable::Congested,
        // No route, no such source address, an address that cannot be sent to at all.
        _ => Unreachable::Network,
    };
    HostInput::Unreachable { path, kind }
}
