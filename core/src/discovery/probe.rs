//! Packets on their way, and what became of each.
//!
//! Nothing is ever repeated under the same transaction id: each packet is an observation of its own, so
//! that a round trip is never ambiguous (Karn's problem) and losses can be counted. An answer is one
//! whose transaction id is that of a packet which left from the socket it came to; who does not see our
//! packets cannot guess 96 bits.

use alloc::vec::Vec;
use core::net::SocketAddr;

use hashbrown::HashMap;

use crate::hash::Keyed;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::stun::attr::{
    ChangeRequest, Help, MappedAddress, OtherAddress, ResponsePort, XorMappedAddress,
};
use crate::wire::stun::{Class, Message, Method, NoRoom, TransactionId, Writer};

/// How many packets one pass sends at most.
pub(super) const MAX_PROBES: usize = 512;

/// What a packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// How do you see me?
    Plain,
    /// Answer from your other address and port (RFC 5780 §4.4, test II).
    OtherAddress,
    /// Answer from your other port (RFC 5780 §4.4, test III).
    OtherPort,
    /// Nothing: it goes to our own public address.
    Hairpin,
    /// Nothing: it is not to arrive.
    Hop { hops: u8 },
    /// How do you see me, and answer once more after so many seconds.
    Later { delay: u16, token: u64 },
    /// Answer to another port of mine (RFC 5780 §4.6).
    ToPort(u16),
}

/// A packet, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) ask: Ask,
    /// The socket it left from, and the address of it.
    pub(super) socket: u8,
    pub(super) local: SocketAddr,
    /// Which server it is for; of a packet to ourselves, nobody's.
    pub(super) server: u8,
    pub(super) to: SocketAddr,
    pub(super) sent: Instant,
    pub(super) reply: Option<Reply>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) at: Instant,
    pub(super) from: SocketAddr,
    /// How we look from there; `None` if the server said no, or it is our own packet that came back.
    pub(super) mapped: Option<SocketAddr>,
}

impl Probe {
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.reply.map(|reply| reply.at.since(self.sent))
    }

    /// How we look from there.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.reply?.mapped
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) mapped: Option<SocketAddr>,
    /// The server's other address and port.
    pub(super) other: Option<SocketAddr>,
    pub(super) help: Option<Help>,
}

impl Said {
    /// Reads an answer; an error is a no, and something unreadable too.
    pub(super) fn read(message: &Message<'_>, local: SocketAddr) -> Self {
        if message.class() != Class::Success {
            return Self { mapped: None, other: None, help: None };
        }
        let xor = message.find().ok().flatten().map(|XorMappedAddress(address)| address);
        let plain = || message.find().ok().flatten().map(|MappedAddress(address)| address);
        Self {
            mapped: xor.or_else(plain).map(|mapped| on_the_same_link(mapped, local)),
            other: message.find().ok().flatten().map(|OtherAddress(address)| address),
            help: message.find().ok().flatten(),
        }
    }
}

/// A link-local address as seen from the same link: its interface is known to nobody but us.
fn on_the_same_link(seen: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (seen, local) {
        (SocketAddr::V6(mut seen), SocketAddr::V6(local)) if seen.ip().is_unicast_link_local() => {
            seen.set_scope_id(local.scope_id());
            seen.into()
        }
        _ => seen,
    }
}

/// All packets of a pass, in the order in which they were sent.
pub(super) struct Probes {
    sent: Vec<Probe>,
    by_transaction: HashMap<TransactionId, u16, Keyed>,
}

impl Probes {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { sent: Vec::new(), by_transaction: HashMap::with_hasher(Keyed::new(rng)) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.sent.len() == MAX_PROBES
    }

    /// Writes a packet and notes it down. Does nothing if there have been too many.
    pub(super) fn send(&mut self, rng: &mut Rng, probe: Probe, buf: &mut [u8]) -> Result<usize, NoRoom> {
        if self.is_full() {
            return Err(NoRoom);
        }
        let id = TransactionId::random(rng);
        let len = write(probe.ask, id, buf)?;
        self.by_transaction.insert(id, self.sent.len() as u16);
        self.sent.push(probe);
        Ok(len)
    }

    /// The packet with this transaction id, if it was ours.
    pub(super) fn find(&mut self, id: &TransactionId) -> Option<&mut Probe> {
        let index = *self.by_transaction.get(id)?;
        self.sent.get_mut(usize::from(index))
    }

    /// Whether the socket of `probe` had itself sent to where this answer from elsewhere came from, so
    /// that any filter had to let it in: an answer may be late, more so if another server is to give it.
    pub(super) fn has_opened(&self, probe: &Probe, reply: Reply) -> bool {
        self.sent.iter().any(|other| {
            other.socket == probe.socket
                && other.sent <= reply.at
                && (other.to == reply.from
                    || reply.from.ip() != probe.to.ip() && other.to.ip() == reply.from.ip())
        })
    }

    /// All of them, the first one first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Probe> + Clone {
        self.sent.iter()
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.by_transaction.clear();
    }
}

fn write(ask: Ask, id: TransactionId, buf: &mut [u8]) -> Result<usize, NoRoom> {
    let writer = Writer::new(buf, Class::Request, Method::BINDING, id);
    match ask {
        Ask::Plain => writer.put(&Help::default()),
        Ask::OtherAddress => writer.put(&ChangeRequest { ip: true, port: true }),
        Ask::OtherPort => writer.put(&ChangeRequest { ip: false, port: true }),
        Ask::Hairpin | Ask::Hop { .. } => writer,
        Ask::Later { delay, token } => writer.put(&Help { delay, token, other_port: 0 }),
        Ask::ToPort(port) => writer.put(&ResponsePort(port)),
    }
    .finish()
}
