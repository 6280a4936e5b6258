//! Packets on their way out: their bytes side by side in one buffer, sent in runs.
//!
//! The machine writes straight into this buffer. What a socket refuses for now stays here until it
//! is writable again, and holds up nothing but the packets of that same socket: what stays has half
//! of the room at most, so that after a flush there is always room for everybody else.

use std::io;
use std::num::NonZeroU16;

use bradawl::machine::{Ecn, Path};

use super::limits::Limits;
use crate::udp::Packet;

/// What carries an outbox's packets away.
pub(super) trait Carrier {
    /// Sends some of `packets`, all of one socket, and says how many. An error is about the first.
    fn send(&mut self, packets: &[Packet], arena: &[u8]) -> io::Result<usize>;

    /// Whether this packet's segments can be left to the kernel to cut.
    fn can_segment(&self, packet: &Packet) -> bool;

    /// Hears that `packet` failed, for a reason other than a full socket, and decides.
    fn failed(&mut self, packet: &Packet, error: &io::Error) -> Decision;

    /// Hears that `packet` is dropped, for its socket holds back too many.
    fn overflowed(&mut self, packet: &Packet);
}

/// What to do with a packet that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The error was about something else, or the way of sending will be another.
    Again,
    /// The kernel cannot cut this one into segments: we do.
    Cut,
    /// The packet is lost.
    Drop,
}

/// How often one packet is tried when errors about others get in its way. Anyone can send us ICMP.
const TRIES: usize = 8;

/// The packets that wait, and their bytes.
pub(super) struct Outbox {
    packets: Vec<Packet>,
    max_packets: usize,
    arena: Box<[u8]>,
    used: usize,
    /// How many bytes each socket holds back, while that is being worked out.
    tallies: Vec<(u32, usize)>,
}

impl Outbox {
    pub(super) fn new(limits: &Limits) -> Self {
        // One that stays and one that is written is the least that works.
        let max_packets = limits.packets.max(2);
        Self {
            packets: Vec::with_capacity(max_packets),
            max_packets,
            arena: vec![0; limits.outbox.max(2 * Limits::PACKET)].into(),
            used: 0,
            tallies: Vec::with_capacity(max_packets),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether one more packet of any size fits. After a flush it does.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.packets.len() < self.max_packets && self.arena.len() - self.used >= Limits::PACKET
    }

    /// Where the next packet is to be written.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.arena[self.used..]
    }

    /// Keeps the first `len` bytes of [`Outbox::room`] as a packet.
    #[inline]
    pub(super) fn push(
        &mut self,
        socket: u32,
        path: Path,
        len: usize,
        segment: Option<NonZeroU16>,
        ecn: Option<Ecn>,
    ) {
        debug_assert!(self.has_room() && len <= Limits::PACKET);
        let len = len.min(Limits::PACKET);
        // A machine may call a single datagram a segment; the kernel need not be troubled with it.
        let segment = segment.filter(|size| usize::from(size.get()) < len);
        let (start, len32) = (self.used as u32, len as u32);
        self.packets.push(Packet { socket, start, len: len32, segment, cut: false, ecn, path });
        self.used += len;
    }

    /// Copies `head`, `body` and `pad` zeros in as a packet; says whether they fit.
    ///
    /// The one copy of relayed data: the body lies where the next datagrams will arrive, and a
    /// socket may refuse the packet for longer than that.
    pub(super) fn push_parts(&mut self, socket: u32, path: Path, head: &[u8], body: &[u8], pad: u8) -> bool {
        let len = head.len() + body.len() + usize::from(pad);
        if !self.has_room() || len > Limits::PACKET {
            return false;
        }
        let (start, rest) = self.room().split_at_mut(head.len());
        start.copy_from_slice(head);
        let (middle, rest) = rest.split_at_mut(body.len());
        middle.copy_from_slice(body);
        rest[..usize::from(pad)].fill(0);
        self.push(socket, path, len, None, None);
        true
    }

    /// Drops what waits for a socket that is gone, and says how many packets that was.
    pub(super) fn forget(&mut self, socket: u32) -> usize {
        let before = self.packets.len();
        self.packets.retain(|packet| packet.socket != socket);
        self.compact();
        before - self.packets.len()
    }

    /// Sends what the sockets take. What they do not take for now stays, as far as it may.
    pub(super) fn flush(&mut self, carrier: &mut impl Carrier) {
        let (mut next, mut kept, mut tries) = (0, 0, 0);
        while next < self.packets.len() {
            let run = self.run_at(next, carrier);
            let result = match run {
                0 => self.send_cut(next, carrier),
                _ => carrier.send(&self.packets[next..next + run], &self.arena),
            };
            match result {
                Ok(sent) => {
                    next += sent;
                    tries = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // All of the run goes through that same socket.
                    let run = run.max(1);
                    self.packets.copy_within(next..next + run, kept);
                    next += run;
                    kept += run;
                }
                Err(error) => {
                    tries += 1;
                    let decision = carrier.failed(&self.packets[next], &error);
                    self.packets[next].cut |= decision == Decision::Cut;
                    if decision == Decision::Drop || tries == TRIES {
                        next += 1;
                        tries = 0;
                    }
                }
            }
        }
        self.packets.truncate(kept);
        self.trim(carrier);
        self.compact();
    }

    /// Drops from what stays until it takes half of the room or less: the oldest packets of the
    /// socket that holds back the most, then of the next.
    fn trim(&mut self, carrier: &mut impl Carrier) {
        let (max_packets, max_bytes) = (self.max_packets / 2, self.arena.len() / 2);
        let mut packets = self.packets.len();
        let mut bytes: usize = self.packets.iter().map(|packet| packet.len as usize).sum();
        while packets > max_packets || bytes > max_bytes {
            let Some(socket) = self.greediest() else { return };
            self.packets.retain(|packet| {
                if packet.socket != socket || packets <= max_packets && bytes <= max_bytes {
                    return true;
                }
                packets -= 1;
                bytes -= packet.len as usize;
                carrier.overflowed(packet);
                false
            });
        }
    }

    /// The socket with the most bytes waiting.
    fn greediest(&mut self) -> Option<u32> {
        self.tallies.clear();
        for packet in &self.packets {
            let len = packet.len as usize;
            match self.tallies.iter_mut().find(|(socket, _)| *socket == packet.socket) {
                Some((_, bytes)) => *bytes += len,
                None => self.tallies.push((packet.socket, len)),
            }
        }
        self.tallies.iter().max_by_key(|(_, bytes)| *bytes).map(|(socket, _)| *socket)
    }

    /// How many packets from `next` on can go out together; 0 if the first must be cut by us.
    #[inline]
    fn run_at(&self, next: usize, carrier: &impl Carrier) -> usize {
        let socket = self.packets[next].socket;
        let fits = |packet: &&Packet| {
            packet.socket == socket
                && (packet.segment.is_none() || !packet.cut && carrier.can_segment(packet))
        };
        self.packets[next..].iter().take_while(fits).count()
    }

    /// Sends one segment of a packet; 1 if that was the last, else 0.
    fn send_cut(&mut self, next: usize, carrier: &mut impl Carrier) -> io::Result<usize> {
        let packet = &mut self.packets[next];
        let size = packet.segment.map_or(packet.len, |size| u32::from(size.get())).min(packet.len);
        carrier.send(&[Packet { len: size, segment: None, ..*packet }], &self.arena)?;
        packet.start += size;
        packet.len -= size;
        Ok(usize::from(packet.len == 0))
    }

    /// Moves the bytes of what stayed to the front, so that the room behind them is whole again.
    fn compact(&mut self) {
        self.used = 0;
        for packet in &mut self.packets {
            let (start, len) = (packet.start as usize, packet.len as usize);
            if start != self.used {
                self.arena.copy_within(start..start + len, self.used);
                packet.start = self.used as u32;
            }
            self.used += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const FULL: io::ErrorKind = io::ErrorKind::WouldBlock;

    /// Answers each call from a script, and takes everything once that has ended.
    #[derive(Default)]
    struct Scripted {
        script: VecDeque<Result<usize, io::ErrorKind>>,
        decision: Option<Decision>,
        segments: bool,
        sent: Vec<(u32, Vec<u8>)>,
        failed: usize,
        overflowed: Vec<(u32, usize)>,
    }

    impl Carrier for Scripted {
        fn send(&mut self, packets: &[Packet], arena: &[u8]) -> io::Result<usize> {
            let taken = self.script.pop_front().unwrap_or(Ok(packets.len()))?;
            self.sent
                .extend(packets[..taken].iter().map(|packet| (packet.socket, packet.bytes(arena).to_vec())));
            Ok(taken)
        }

        fn can_segment(&self, _packet: &Packet) -> bool {
            self.segments
        }

        fn failed(&mut self, _packet: &Packet, _error: &io::Error) -> Decision {
            self.failed += 1;
            self.decision.unwrap_or(Decision::Drop)
        }

        fn overflowed(&mut self, packet: &Packet) {
            self.overflowed.push((packet.socket, packet.len as usize));
        }
    }

    fn path() -> Path {
        Path::udp("192.0.2.1:1".parse().expect("an address"), "192.0.2.2:2".parse().expect("an address"))
    }

    fn outbox(packets: &[(u32, &str)]) -> Outbox {
        let mut outbox = Outbox::new(&Limits::default());
        for (socket, text) in packets {
            assert!(outbox.push_parts(*socket, path(), text.as_bytes(), &[], 0));
        }
        outbox
    }

    fn texts(carrier: &Scripted) -> Vec<&str> {
        carrier.sent.iter().map(|(_, bytes)| std::str::from_utf8(bytes).expect("text")).collect()
    }

    #[test]
    fn a_full_socket_holds_up_only_its_own() {
        let mut outbox = outbox(&[(0, "a"), (0, "b"), (1, "c"), (0, "d")]);
        // Socket 0 takes one, then no more; socket 1 takes all; socket 0 is asked again and refuses.
        let mut carrier =
            Scripted { script: [Ok(1), Err(FULL), Ok(1), Err(FULL)].into(), ..Scripted::default() };
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["a", "c"]);
        assert!(!outbox.is_empty());

        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["a", "c", "b", "d"], "nothing is lost, and the order stays");
        assert!(outbox.is_empty());
        assert_eq!(outbox.used, 0);
    }

    #[test]
    fn a_failed_packet_is_dropped_and_the_rest_goes() {
        let mut outbox = outbox(&[(0, "a"), (0, "b"), (0, "c")]);
        let mut carrier =
            Scripted { script: [Ok(1), Err(io::ErrorKind::HostUnreachable)].into(), ..Scripted::default() };
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["a", "c"]);
    }

    #[test]
    fn errors_about_others_do_not_cost_a_packet_nor_go_on_for_ever() {
        let again = Some(Decision::Again);
        let refused = || Err(io::ErrorKind::ConnectionRefused);
        let script = std::iter::repeat_with(refused).take(TRIES - 1).collect();
        let mut carrier = Scripted { script, decision: again, ..Scripted::default() };
        outbox(&[(0, "a")]).flush(&mut carrier);
        assert_eq!((texts(&carrier), carrier.failed), (vec!["a"], TRIES - 1));

        let script = std::iter::repeat_with(refused).take(TRIES).collect();
        let mut carrier = Scripted { script, decision: again, ..Scripted::default() };
        outbox(&[(0, "a"), (0, "b")]).flush(&mut carrier);
        assert_eq!(texts(&carrier), ["b"]);
    }

    #[test]
    fn segments_the_kernel_cannot_cut_are_cut_here() {
        let mut outbox = outbox(&[(0, "a")]);
        outbox.room()[..5].copy_from_slice(b"12345");
        outbox.push(0, path(), 5, NonZeroU16::new(2), None);
        let mut carrier = Scripted { script: [Ok(1), Ok(1), Err(FULL)].into(), ..Scripted::default() };
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["a", "12"]);
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["a", "12", "34", "5"], "it goes on where it was refused");
        assert!(outbox.is_empty());

        outbox.room()[..5].copy_from_slice(b"12345");
        outbox.push(0, path(), 5, NonZeroU16::new(2), None);
        let mut carrier = Scripted { segments: true, ..Scripted::default() };
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["12345"], "the kernel cuts");
    }

    #[test]
    fn the_bound_is_kept() {
        let mut outbox = Outbox::new(&Limits { packets: 2, ..Limits::default() });
        assert!(outbox.push_parts(0, path(), b"head", b"body", 3));
        assert!(outbox.push_parts(0, path(), b"", &vec![7; 65_000], 0));
        assert!(!outbox.has_room() && !outbox.push_parts(0, path(), b"x", b"", 0));
        let mut carrier = Scripted::default();
        outbox.flush(&mut carrier);
        assert_eq!(carrier.sent[0].1, b"headbody\0\0\0");
        assert_eq!(carrier.sent[1].1.len(), 65_000);

        let mut outbox = Outbox::new(&Limits { outbox: 1 << 17, ..Limits::default() });
        assert!(outbox.push_parts(0, path(), b"x", &vec![7; 65_000], 0));
        assert!(outbox.push_parts(0, path(), b"y", &vec![7; 60_000], 0));
        assert!(!outbox.has_room(), "fewer bytes are left than one packet may need");
    }

    #[test]
    fn a_packet_the_kernel_will_not_cut_is_cut_here_and_the_next_is_not() {
        let mut outbox = outbox(&[]);
        for _ in 0..2 {
            outbox.room()[..5].copy_from_slice(b"12345");
            outbox.push(0, path(), 5, NonZeroU16::new(2), None);
        }
        let script = [Err(io::ErrorKind::InvalidInput)].into();
        let mut carrier =
            Scripted { script, decision: Some(Decision::Cut), segments: true, ..Scripted::default() };
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["12", "34", "5", "12345"]);
    }

    #[test]
    fn what_stays_leaves_half_of_the_room() {
        let limits = Limits { packets: 8, ..Limits::default() };
        let mut outbox = Outbox::new(&limits);
        let mut carrier = Scripted::default();
        for round in 0..20 {
            assert!(outbox.has_room(), "always, after a flush");
            // Socket 1 says little and loses nothing; socket 0 says much.
            let quiet: &[u32] = if round == 0 { &[1] } else { &[] };
            for &socket in [0, 0, 0].iter().chain(quiet) {
                assert!(outbox.push_parts(socket, path(), &[round], b"....", 0));
            }
            carrier.script = [Err(FULL), Err(FULL), Err(FULL)].into();
            outbox.flush(&mut carrier);
            assert!(outbox.packets.len() <= 4);
        }
        assert_eq!(carrier.overflowed.len(), 61 - 4);
        assert!(carrier.overflowed.iter().all(|(socket, _)| *socket == 0));
        carrier.script.clear();
        outbox.flush(&mut carrier);
        let newest: Vec<_> = carrier.sent.iter().map(|(socket, bytes)| (*socket, bytes[0])).collect();
        assert_eq!(newest, [(1, 0), (0, 19), (0, 19), (0, 19)], "the oldest went, the order stays");

        for size in [1_000, 65_000] {
            let mut outbox = Outbox::new(&Limits { outbox: 0, ..Limits::default() });
            for _ in 0..400 {
                assert!(outbox.has_room(), "{size}");
                assert!(outbox.push_parts(0, path(), b"", &vec![7; size], 0));
                carrier.script = [Err(FULL)].into();
                outbox.flush(&mut carrier);
                assert!(outbox.used <= Limits::PACKET);
            }
        }
    }

    #[test]
    fn a_closed_socket_takes_its_packets_along() {
        let mut outbox = outbox(&[(0, "a"), (1, "b"), (0, "c"), (1, "d")]);
        assert_eq!(outbox.forget(0), 2);
        let mut carrier = Scripted::default();
        outbox.flush(&mut carrier);
        assert_eq!(texts(&carrier), ["b", "d"]);
    }
}
