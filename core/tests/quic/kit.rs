//! Two sessions and what lies between them: paths with a delay, an order, a size and a chance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{Ecn, Output, Path};
use bradawl::quic::{
    Config, CryptoProvider, Event, Expect, Local, OwnKey, Protocol, PublicKey, Read, Session, StreamId,
};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::channel::ChannelData;
use sha2::{Digest as _, Sha256};

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

/// What a path does to packets, each way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// Up to this much more, by chance: so packets overtake one another.
    pub(crate) jitter: Duration,
    /// How many packets of a thousand are lost.
    pub(crate) loss: u64,
    /// The largest UDP payload that passes.
    pub(crate) mtu: usize,
}

impl Link {
    pub(crate) const GOOD: Self =
        Self { delay: Duration::from_millis(40), jitter: Duration::ZERO, loss: 0, mtu: 1_472 };
}

/// The path over link `index`, as that side sees it.
pub(crate) fn path(index: usize, side: usize) -> Path {
    let address = |side: usize| SocketAddr::from(([203, 0, 113, 1 + side as u8], 5_000 + index as u16));
    Path::udp(address(side), address(1 - side))
}

/// The key of side `side`.
pub(crate) fn local(side: usize, protocol: Protocol, seed: u8) -> Local {
    let provider = provider([seed, side as u8]);
    let key = OwnKey::from_seed(&[1 + side as u8; 32], &provider).expect("ring has Ed25519");
    Local { key, provider, protocol }
}

pub(crate) fn public(side: usize) -> PublicKey {
    *local(side, Protocol::Peer, 0).key.public()
}

#[cfg(feature = "quic-seeded")]
fn provider([seed, side]: [u8; 2]) -> Arc<CryptoProvider> {
    let rng = Rng::from_seed([seed.wrapping_mul(2).wrapping_add(side); 32]);
    bradawl::quic::seeded::provider(rustls::crypto::ring::default_provider(), rng)
}

#[cfg(not(feature = "quic-seeded"))]
fn provider(_: [u8; 2]) -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) buf: Vec<u8>,
    pub(crate) sent: u64,
    pub(crate) largest: usize,
    /// Transmits that held several packets.
    pub(crate) batches: u64,
    wake: Option<Instant>,
}

impl Side {
    fn new(session: Session) -> Self {
        Self {
            session,
            events: Vec::new(),
            buf: vec![0; 16_000],
            sent: 0,
            largest: 0,
            batches: 0,
            wake: None,
        }
    }

    pub(crate) fn when(&self, wanted: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }

    pub(crate) fn has(&self, wanted: &Event) -> bool {
        self.when(|event| event == wanted).is_some()
    }

    pub(crate) fn connected(&self) -> Option<Instant> {
        self.when(|event| matches!(event, Event::Connected { .. }))
    }

    pub(crate) fn opened(&self) -> Vec<StreamId> {
        let id = |event: &Event| match event {
            Event::StreamOpened { id } => Some(*id),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| id(event)).collect()
    }
}

/// To whom, how marked, and what.
type Packet = (usize, Option<Ecn>, Vec<u8>);

pub(crate) struct World {
    pub(crate) sides: [Side; 2],
    pub(crate) links: Vec<Link>,
    pub(crate) now: Instant,
    /// By arrival, then by order.
    air: BTreeMap<(Instant, u64), Packet>,
    order: u64,
    rng: Rng,
    /// Somebody on the path sends each packet again, spoiled.
    pub(crate) is_spoiled: bool,
    /// Of everything that was sent: when, by whom, how long; and beside it what.
    shape: Sha256,
    bytes: Sha256,
}

impl World {
    pub(crate) fn new(sessions: [Session; 2], links: &[Link], seed: u8) -> Self {
        Self {
            sides: sessions.map(Side::new),
            links: links.to_vec(),
            now: at(1_000),
            air: BTreeMap::new(),
            order: 0,
            rng: Rng::from_seed([seed; 32]),
            is_spoiled: false,
            shape: Sha256::new(),
            bytes: Sha256::new(),
        }
    }

    /// Two peers who expect each other, on the first link.
    pub(crate) fn pair(links: &[Link], configs: [Config; 2], seed: u8) -> Self {
        let expect = [public(CLIENT), public(SERVER)];
        let mut world = Self::new(sessions(expect, [Protocol::Peer; 2], configs, seed), links, seed);
        world.set_path(Some(0));
        world
    }

    /// The same, and connected.
    pub(crate) fn connected(links: &[Link], seed: u8) -> Self {
        let mut world = Self::pair(links, Default::default(), seed);
        world.run_for(ms(5_000));
        assert!(world.sides.iter().all(|side| side.session.is_connected()));
        world
    }

    pub(crate) fn set_path(&mut self, link: Option<usize>) {
        for side in [CLIENT, SERVER] {
            self.sides[side].session.set_path(self.now, link.map(|link| path(link, side)));
        }
    }

    pub(crate) fn client(&mut self) -> &mut Session {
        &mut self.sides[CLIENT].session
    }

    pub(crate) fn server(&mut self) -> &mut Session {
        &mut self.sides[SERVER].session
    }

    /// What was sent so far: its times and sizes, and its bytes.
    pub(crate) fn digests(&self) -> [Vec<u8>; 2] {
        [&self.shape, &self.bytes].map(|hash| hash.clone().finalize().to_vec())
    }

    fn send(&mut self, from: usize, path: Path, ecn: Option<Ecn>, packet: &[u8]) {
        // A long header, or a short one that is not ChannelData to anybody.
        assert!(packet[0] >= 0xC0 || (packet[0] & 0xC0 == 0x40 && packet[2..4] == [0xFF; 2]));
        assert_eq!(ChannelData::parse(packet), None);
        self.order += 1;
        self.shape.update(self.now.as_micros().to_le_bytes());
        self.shape.update([from as u8]);
        self.shape.update((packet.len() as u64).to_le_bytes());
        self.bytes.update(packet);
        self.sides[from].sent += 1;
        self.sides[from].largest = self.sides[from].largest.max(packet.len());
        let link = self.links[usize::from(path.local.port() - 5_000)];
        if self.is_spoiled {
            let mut copy = packet.to_vec();
            let at = self.rng.below(copy.len() as u64) as usize;
            match self.rng.below(3) {
                0 => copy[at] ^= 1 << self.rng.below(8),
                1 => copy.truncate(at),
                _ => copy[at..].fill(0),
            }
            // Before the packet itself.
            self.air.insert((self.now, self.order), (1 - from, ecn, copy));
        }
        if self.rng.below(1_000) < link.loss || packet.len() > link.mtu {
            return;
        }
        let late = self.rng.below(link.jitter.as_micros() as u64 + 1);
        let arrival = self.now + link.delay + Duration::from_micros(late);
        self.air.insert((arrival, self.order), (1 - from, ecn, packet.to_vec()));
    }

    pub(crate) fn drain(&mut self, index: usize) {
        for step in 0.. {
            assert!(step < 100_000, "it does not come to an end");
            let mut buf = std::mem::take(&mut self.sides[index].buf);
            let output = self.sides[index].session.poll_output(self.now, &mut buf);
            if let Output::Transmit { path, len, segment, ecn } = output {
                let size = segment.map_or(len, |size| usize::from(size.get()));
                assert!(len <= buf.len() && size <= len);
                self.sides[index].batches += u64::from(segment.is_some());
                for packet in buf[..len].chunks(size) {
                    self.send(index, path, ecn, packet);
                }
            }
            let side = &mut self.sides[index];
            side.buf = buf;
            match output {
                Output::Transmit { .. } => {}
                Output::Event(event) => side.events.push((self.now, event)),
                Output::Host(request) => panic!("{request:?}"),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "{wake:?} at {:?}", self.now);
                    side.wake = wake;
                    return;
                }
            }
        }
    }

    /// Drains both, and goes on to whatever happens next; `false` if that is after `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.drain(CLIENT);
        self.drain(SERVER);
        let arrival = self.air.keys().next().map(|(at, _)| *at);
        let next = [arrival, self.sides[CLIENT].wake, self.sides[SERVER].wake].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, ecn, packet) = entry.remove();
            self.sides[to].session.handle_input(self.now, ecn, &packet);
        }
        true
    }

    pub(crate) fn run_until(&mut self, end: Instant) {
        while self.step(end) {}
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Everything that the session of `side` has to read on `id`, as long as it comes.
    pub(crate) fn read(&mut self, side: usize, id: StreamId, into: &mut Vec<u8>) -> bool {
        let mut buf = [0; 8_192];
        loop {
            match self.sides[side].session.read(id, &mut buf).expect("it is there") {
                Read::Bytes(len) => into.extend_from_slice(&buf[..len]),
                Read::Blocked => return false,
                Read::End(len) => {
                    into.extend_from_slice(&buf[..len]);
                    return true;
                }
            }
        }
    }

    /// Sends `body` on a stream of its own, until the other side has read it to its end; `every` looks on.
    pub(crate) fn transfer(
        &mut self,
        from: usize,
        body: &[u8],
        end: Instant,
        mut every: impl FnMut(&mut Self, usize),
    ) -> Vec<u8> {
        let id = self.sides[from].session.open_uni().expect("streams are allowed");
        let (mut written, mut got, mut is_finished) = (0, Vec::new(), false);
        loop {
            let session = &mut self.sides[from].session;
            while written < body.len() {
                match session.write(id, &body[written..]) {
                    Ok(len) => written += len,
                    Err(error) => {
                        assert_eq!(error, bradawl::quic::WriteError::Blocked);
                        break;
                    }
                }
            }
            if written == body.len() && !is_finished {
                session.finish(id).expect("it was not finished");
                is_finished = true;
            }
            assert!(self.step(end), "{} of {} bytes by {:?}", got.len(), body.len(), self.now);
            let to = 1 - from;
            if self.sides[to].opened().contains(&id) && self.read(to, id, &mut got) {
                return got;
            }
            every(self, got.len());
        }
    }
}

/// A client and a server; `expect` is whom the server expects, and whom the client.
pub(crate) fn sessions(
    expect: [PublicKey; 2],
    protocols: [Protocol; 2],
    configs: [Config; 2],
    seed: u8,
) -> [Session; 2] {
    let mut rng = Rng::from_seed([seed; 32]);
    let [client, server] = configs;
    let ours = local(CLIENT, protocols[CLIENT], seed);
    let theirs = local(SERVER, protocols[SERVER], seed);
    let client = Session::connect(at(1_000), &ours, expect[1], client, rng.fork()).expect("a client");
    let server = Session::accept(at(1_000), &theirs, Expect::Only(expect[0]), server, rng.fork());
    [client, server.expect("a server")]
}

/// Bytes that do not repeat.
pub(crate) fn body(len: usize) -> Vec<u8> {
    let mut rng = Rng::from_seed([9; 32]);
    let mut bytes = Vec::with_capacity(len + 32);
    while bytes.len() < len {
        bytes.extend(rng.bytes::<32>());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}
