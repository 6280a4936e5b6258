//! A STUN server that also introduces peers to each other: as soon as both are there, each is told the
//! other's addresses, and again whenever one of them says `join`.
//!
//! While they punch, it tells each what it sees of the other's ports (`marks.rs`), and hands on what one has
//! to say to the other. Such a message is worth little if it comes late, so it is sent three times.

use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use bradawl::machine::{HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport, Verdict};
use bradawl::punch::Hint;
use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, Ports, StunServer};
use bradawl::time::{Duration, Instant};

use super::introduction::{Introduction, Said, Secret, Told, Verb};
use super::marks::Marks;
use super::{ALTERNATE_PORT, STUN_PORT};

/// How many peers it remembers.
const MAX_PEERS: usize = 1_024;

/// When a hint that the mediator has itself is told.
const COPIES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(60)];

/// How many messages may wait for their time.
const MAX_LATER: usize = 1_024;

/// The mediator as a [`Machine`].
#[derive(Debug)]
pub struct Mediator {
    stun: StunServer,
    secret: Secret,
    /// What each peer said last, and where it said it from.
    peers: BTreeMap<String, (Introduction, Path)>,
    binds: VecDeque<SocketAddr>,
    sockets: u32,
    marks: Marks,
    /// What to say, and to whom.
    tell: VecDeque<(Path, Said)>,
    /// What to say later, in order of time.
    later: BTreeMap<(Instant, u64), (Path, Said)>,
    serial: u64,
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
            marks: Marks::default(),
            tell: VecDeque::new(),
            later: BTreeMap::new(),
            serial: 0,
        }
    }

    fn join(&mut self, path: Path, joined: Introduction) {
        let name = joined.name.clone();
        let known = self.peers.get(&name);
        let is_old = known.is_some_and(|(known, _)| joined.generation < known.generation);
        if is_old || known.is_none() && self.peers.len() == MAX_PEERS {
            return;
        }
        let joined = Introduction { seen: Some(path.remote), ..joined };
        let is_news = known.is_none_or(|(known, _)| *known != joined);
        let (to, generation) = (joined.to.clone(), joined.generation);
        let known = self.peers.get(&to).filter(|(other, _)| other.to == name);
        if let Some((other, other_path)) = known {
            let theirs = Introduction { verb: Verb::Meet, answers: generation, ..other.clone() };
            let ours = Introduction { verb: Verb::Meet, answers: other.generation, ..joined.clone() };
            self.tell.push_back((path, Said::Introduction(theirs)));
            if is_news {
                self.tell.push_back((*other_path, Said::Introduction(ours)));
            }
        }
        self.peers.insert(name, (joined, path));
    }

    /// A peer has something to say to the other one.
    fn hand_on(&mut self, told: Told) {
        let is_of_peer = matches!(told.hint, Hint::Aim { .. });
        if let Some(path) = self.way_to(&told).filter(|_| is_of_peer) {
            self.tell.push_back((path, Said::Told(told)));
        }
    }

    /// A bracket was seen.
    fn tell_often(&mut self, now: Instant, told: &Told) {
        let Some(path) = self.way_to(told) else { return };
        for after in COPIES {
            if self.later.len() < MAX_LATER {
                self.serial += 1;
                self.later.insert((now + after, self.serial), (path, Said::Told(told.clone())));
            }
        }
    }

    /// Where the receiver of a hint is, if the two know each other and that is what they do now.
    fn way_to(&self, told: &Told) -> Option<Path> {
        let (sender, _) = self.peers.get(&told.name)?;
        let (receiver, path) = self.peers.get(&told.to)?;
        let are_peers = sender.to == told.to && receiver.to == told.name;
        (are_peers && sender.generation == told.generation).then_some(*path)
    }
}

impl Machine for Mediator {
    type Event = Infallible;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        if self.stun.handle_input(now, path, meta, bytes) != Verdict::Unclaimed {
            if let Some(told) = self.marks.observe(path, bytes, &self.secret) {
                self.tell_often(now, &told);
            }
            return Verdict::Consumed;
        }
        match Said::read(bytes, &self.secret) {
            Some(Said::Introduction(said)) if said.verb == Verb::Join => self.join(path, said),
            Some(Said::Told(told)) => self.hand_on(told),
            _ => {}
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
        while let Some(due) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            self.tell.push_back(due.remove());
        }
        if let Some((path, said)) = self.tell.pop_front() {
            let bytes = said.write(&self.secret);
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Output::Transmit { path, len: bytes.len(), segment: None, ecn: None };
        }
        match self.stun.poll_output(now, buf) {
            Output::Idle(wake) => {
                let next = self.later.first_key_value().map(|((at, _), _)| *at);
                Output::Idle([wake, next].into_iter().flatten().min())
            }
            output => output,
        }
    }
}
