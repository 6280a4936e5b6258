//! A STUN server that also introduces peers to each other: as soon as both are there, each is told the
//! other's addresses, and again whenever one of them says `join`.

use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use bradawl::machine::{HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, Ports, StunServer};
use bradawl::time::Instant;

use super::introduction::{Introduction, Secret, Verb};
use super::{ALTERNATE_PORT, STUN_PORT};

/// How many peers it remembers.
const MAX_PEERS: usize = 1_024;

/// The mediator as a [`Machine`].
#[derive(Debug)]
pub struct Mediator {
    stun: StunServer,
    secret: Secret,
    /// What each peer said last, and where it said it from.
    peers: BTreeMap<String, (Introduction, Path)>,
    binds: VecDeque<SocketAddr>,
    sockets: u32,
    /// Whom to tell about whom.
    tell: VecDeque<(Path, Introduction)>,
}

impl Mediator {
    /// A mediator on a host with these addresses, two ports at each. The first two of a family make it a
    /// server for NAT behaviour discovery (RFC 5780).
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>, secret: Secret, rng: Rng) -> Self {
        let addresses: Vec<_> = addresses.into_iter().collect();
        let alternates = [true, false].into_iter().filter_map(|is_ipv4| {
            let mut family = addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4);
            let (first, second) = (*family.next()?, *family.next()?);
            Alternate::new(SocketAddr::new(first, STUN_PORT), SocketAddr::new(second, ALTERNATE_PORT))
        });
        // The simulator's worlds are small, and their strangers are to be answered like anybody.
        let two_ports = |&ip: &IpAddr| Ports::new(ip, STUN_PORT, ALTERNATE_PORT);
        let config = Config {
            alternates: alternates.collect(),
            ports: addresses.iter().filter_map(two_ports).collect(),
            rate: None,
            ..Config::default()
        };
        let ports = [STUN_PORT, ALTERNATE_PORT];
        let binds = addresses.iter().flat_map(|&ip| ports.map(|port| SocketAddr::new(ip, port)));
        Self {
            stun: StunServer::new(config, rng),
            secret,
            peers: BTreeMap::new(),
            binds: binds.collect(),
            sockets: 0,
            tell: VecDeque::new(),
        }
    }

    fn join(&mut self, path: Path, joined: Introduction) {
        let name = joined.name.clone();
        let known = self.peers.get(&name);
        let is_old = known.is_some_and(|(known, _)| joined.generation < known.generation);
        if is_old || known.is_none() && self.peers.len() == MAX_PEERS {
            return;
        }
        let is_news = known.is_none_or(|(known, _)| *known != joined);
        let (to, generation) = (joined.to.clone(), joined.generation);
        let known = self.peers.get(&to).filter(|(other, _)| other.to == name);
        if let Some((other, other_path)) = known {
            let theirs = Introduction { verb: Verb::Meet, answers: generation, ..other.clone() };
            let ours = Introduction { verb: Verb::Meet, answers: other.generation, ..joined.clone() };
            self.tell.push_back((path, theirs));
            if is_news {
                self.tell.push_back((*other_path, ours));
            }
        }
        self.peers.insert(name, (joined, path));
    }
}

impl Machine for Mediator {
    type Event = Infallible;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        if self.stun.handle_input(now, path, meta, bytes) != Verdict::Unclaimed {
            return Verdict::Consumed;
        }
        if let Some(joined) = Introduction::read(bytes, &self.secret).filter(|said| said.verb == Verb::Join) {
            self.join(path, joined);
        }
        Verdict::Consumed
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        self.stun.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Infallible> {
        if let Some(local) = self.binds.pop_front() {
            self.sockets += 1;
            let id = SocketId(self.sockets);
            return Output::Host(HostRequest::Bind { id, transport: Transport::Udp, local });
        }
        if let Some((path, said)) = self.tell.pop_front() {
            let bytes = said.write(&self.secret);
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Output::Transmit { path, len: bytes.len(), segment: None, ecn: None };
        }
        self.stun.poll_output(now, buf)
    }
}
