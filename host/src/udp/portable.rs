//! Datagrams on systems without `recvmmsg` and `sendmmsg`: whatever `quinn-udp` finds there.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use bradawl::machine::{Ecn, Path};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};

use super::{Arrival, BindOptions, Complaint, Flaw, Packet, Received, Udp};

/// What `quinn-udp` keeps for a socket: which offloads the system turned out to have.
#[derive(Debug)]
pub(crate) struct State(UdpSocketState);

impl State {
    pub(super) fn new(socket: &UdpSocket, _bound: SocketAddr, _options: &BindOptions) -> io::Result<Self> {
        UdpSocketState::new(socket.into()).map(Self)
    }

    pub(super) fn max_segments(&self) -> usize {
        self.0.max_gso_segments()
    }
}

/// Where datagrams arrive: as many buffers as `quinn-udp` fills at once.
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Inbox {
    const ROOM: usize = 1 << 16;

    pub(crate) fn new(_batch: usize) -> Self {
        Self { bytes: vec![0; BATCH_SIZE * Self::ROOM].into(), metas: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// Takes in what has arrived, at most `limit` slots.
    pub(crate) fn receive(&mut self, udp: &Udp, limit: usize) -> io::Result<Received> {
        let mut chunks = self.bytes.chunks_exact_mut(Self::ROOM);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let limit = limit.min(BATCH_SIZE);
        let slots =
            udp.state.0.recv((&udp.socket).into(), &mut buffers[..limit], &mut self.metas[..limit])?;
        // Some systems hand over one datagram per call, however many there are.
        Ok(Received { slots, all: false })
    }

    /// What slot `index` of the last batch holds.
    pub(crate) fn arrival(&self, index: usize, udp: &Udp) -> Result<Arrival<'_>, Flaw> {
        let meta = &self.metas[index];
        let local = udp.local_for(meta.dst_ip, meta.interface_index.unwrap_or(0)).ok_or(Flaw::Anonymous)?;
        let bytes = self.bytes[index * Self::ROOM..].get(..meta.len).ok_or(Flaw::Truncated)?;
        Ok(Arrival {
            path: Path::udp(local, meta.addr),
            ecn: meta.ecn.and_then(|ecn| Ecn::from_bits(ecn as u8)),
            bytes,
            stride: if meta.stride == 0 { usize::MAX } else { meta.stride },
        })
    }
}

/// Sends runs of packets, one system call each.
pub(crate) struct Sender;

impl Sender {
    pub(crate) fn new(_batch: usize) -> Self {
        Self
    }

    /// Sends `packets` and says how many the kernel took. An error is about the first of them.
    pub(crate) fn send(&mut self, udp: &Udp, packets: &[Packet], arena: &[u8]) -> io::Result<usize> {
        for (sent, packet) in packets.iter().enumerate() {
            let transmit = Transmit {
                destination: packet.path.remote,
                ecn: packet.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                contents: packet.bytes(arena),
                segment_size: packet.segment.map(|size| usize::from(size.get())),
                src_ip: udp.wildcard.then(|| packet.path.local.ip()),
            };
            match udp.state.0.try_send((&udp.socket).into(), &transmit) {
                Ok(()) => {}
                Err(error) if sent == 0 => return Err(error),
                // The next call meets it again, with this packet first.
                Err(_) => return Ok(sent),
            }
        }
        Ok(packets.len())
    }
}

/// Nothing: these systems report ICMP, if at all, as the error of a later call.
pub(crate) fn next_complaint(_udp: &Udp) -> io::Result<Option<Complaint>> {
    Ok(None)
}
