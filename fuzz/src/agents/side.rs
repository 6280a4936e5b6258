//! One side of the little world: an agent, its host and its box.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{Path, SocketId, Transport};
use bradawl::punch::{
    Agent, CHECKS_IN_WINDOW, CHECKS_UNANSWERED, Candidate, Config, Credentials, Nat, Observers, Party, Role,
    WINDOW,
};
use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl::wire::stun::attr::Username;
use bradawl::wire::stun::{Class, Key, Message};

use super::{Captured, SOCKETS_OF_ATTEMPT, address};

/// What the strategies may send to one address beyond its budget, where the hints call for any.
const GUESSES: usize = SOCKETS_OF_ATTEMPT + 16;
const FIRST_SOCKET: SocketId = SocketId(u32::MAX - 99);
pub(super) const OBSERVERS: [&str; 4] =
    ["192.0.2.53:3478", "192.0.2.53:3479", "192.0.2.54:3478", "[2001:db8:53::1]:3478"];

/// What stands in front of a side's IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Open,
    /// One port for all; whoever was sent to may answer from any port.
    Address,
    /// One port for all; whoever was sent to may answer.
    Port,
    /// Another port for each peer, so far from the last one.
    Symmetric(u16),
}

/// How a side begins.
pub struct Begin {
    /// What stands in front of it.
    pub front: Front,
    /// Its sockets.
    pub bases: Vec<(Transport, SocketAddr)>,
    /// What it thinks it is.
    pub role: Role,
    /// What it takes the other one for.
    pub party: Party,
    /// What it knows of its NAT, and tells.
    pub nat: Nat,
    /// How many observers it has.
    pub observers: usize,
    /// What its numbers are drawn from.
    pub seed: u8,
}

/// One agent, its host, and what is known of it.
pub struct Side {
    /// It.
    pub agent: Agent,
    /// Its box, which may change.
    pub front: Front,
    /// Whether its host opens sockets: asked one after the other, each bit says so.
    pub binds: u8,
    /// Its sockets.
    pub bases: Vec<(Transport, SocketAddr)>,
    pub(super) nat: Nat,
    /// Its NAT calls for strategies, or did.
    may_guess: bool,
    pub(super) party: Party,
    pub(super) has_observers: bool,
    pub(super) public: IpAddr,
    pub(super) mapped: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    pub(super) next_port: u16,
    pub(super) next_bound: u16,
    pub(super) sent_to: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Open sockets of strategies.
    pub(super) extras: BTreeMap<SocketId, SocketAddr>,
    /// Those whose packets die on their way.
    pub(super) limited: BTreeSet<SocketAddr>,
    pub(super) asked: usize,
    pub(super) ever_local: BTreeSet<SocketAddr>,
    pub(super) wake: Option<Instant>,
    pub(super) is_closed: bool,
    pub(super) has_failed: bool,
    /// Where it may send checks, because somebody said so.
    pub(super) candidates: BTreeSet<SocketAddr>,
    /// Who has sealed anything with the right key.
    pub(super) vouched: BTreeSet<SocketAddr>,
    pub(super) ever_vouched: BTreeSet<SocketAddr>,
    /// Requests from there that want an answer.
    pub(super) owed: BTreeMap<SocketAddr, usize>,
    /// What has gone to whom has not answered: how many, and when the last ones.
    pub(super) silent: BTreeMap<SocketAddr, (usize, VecDeque<Instant>)>,
    pub(super) keys: Vec<Key>,
    pub(super) theirs: Option<Key>,
}

impl Side {
    pub(super) fn new(index: usize, begin: Begin, ours: Credentials) -> Self {
        let observers = (begin.observers > 0).then(|| Observers {
            endpoints: OBSERVERS.iter().take(begin.observers).map(|text| address(text)).collect(),
            username: "a session".into(),
            key: Key::short_term("of the mediator"),
        });
        let config = Config {
            nat: begin.nat,
            servers: vec![address("192.0.2.99:3478")],
            observers: observers.clone(),
            first_socket: FIRST_SOCKET,
            ..Config::default()
        };
        Self {
            agent: Agent::new(config, ours.clone(), begin.role, Rng::from_seed([begin.seed; 32])),
            front: begin.front,
            binds: u8::MAX,
            nat: begin.nat,
            may_guess: begin.nat.mapping.is_some(),
            party: begin.party,
            has_observers: observers.is_some(),
            public: [203, 0, 113, 1 + index as u8].into(),
            ever_local: begin.bases.iter().map(|(_, base)| *base).collect(),
            bases: begin.bases,
            mapped: BTreeMap::new(),
            next_port: 40_000,
            next_bound: 20_000,
            sent_to: BTreeSet::new(),
            extras: BTreeMap::new(),
            limited: BTreeSet::new(),
            asked: 0,
            wake: None,
            is_closed: false,
            has_failed: false,
            candidates: BTreeSet::new(),
            vouched: BTreeSet::new(),
            ever_vouched: BTreeSet::new(),
            owed: BTreeMap::new(),
            silent: BTreeMap::new(),
            keys: vec![Key::short_term(ours.pwd())],
            theirs: None,
        }
    }

    /// Whether the box has anything to do with a socket.
    pub(super) fn is_inside(&self, local: SocketAddr) -> bool {
        self.front != Front::Open && local.is_ipv4() && !local.ip().is_loopback()
    }

    /// Where a packet to `remote` comes from.
    pub(super) fn out(&mut self, transport: Transport, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if transport == Transport::Tcp || !self.is_inside(local) {
            return local;
        }
        let (step, peer) = match self.front {
            Front::Symmetric(step) => (step.max(1), Some(remote)),
            _ => (1, None),
        };
        let next = self.next_port.checked_add(step).unwrap_or(10_000);
        let port = *self.mapped.entry((local, peer)).or_insert(next);
        if port == next {
            self.next_port = next;
        }
        let outside = SocketAddr::new(self.public, port);
        self.sent_to.insert((outside, remote));
        outside
    }

    pub(super) fn is_open(&self, transport: Transport, local: SocketAddr) -> bool {
        self.bases.contains(&(transport, local))
            || transport == Transport::Udp && self.extras.values().any(|extra| *extra == local)
    }

    /// Which socket a packet from `from` to `to` gets to.
    pub(super) fn inside(
        &self,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        if self.is_open(transport, to) && (transport == Transport::Tcp || !self.is_inside(to)) {
            return Some(to);
        }
        let is_welcome = self.sent_to.iter().any(|&(outside, remote)| {
            outside == to
                && match self.front {
                    Front::Address => remote.ip() == from.ip(),
                    _ => remote == from,
                }
        });
        let mut mapped = self.mapped.iter().filter(|((_, remote), port)| {
            to == SocketAddr::new(self.public, **port) && remote.is_none_or(|remote| remote == from)
        });
        let local = mapped.next().filter(|_| is_welcome).map(|((local, _), _)| *local);
        local.filter(|local| self.is_open(transport, *local))
    }

    /// The box forgets everything.
    pub fn reboot(&mut self) {
        self.mapped.clear();
        self.sent_to.clear();
    }

    /// What the other side is told of it.
    pub fn offers(&mut self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (place, &(transport, base)) in self.bases.clone().iter().enumerate() {
            let preference = u16::MAX - place as u16;
            all.push(Candidate { transport, ..Candidate::host(base, preference) });
            if transport == Transport::Udp && self.is_inside(base) {
                let seen = self.out(transport, base, address(OBSERVERS[0]));
                all.push(Candidate::server_reflexive(seen, base, preference));
            }
        }
        all
    }

    /// Whether the socket that a packet arrived at is still there.
    pub fn has_base(&self, packet: &Captured) -> bool {
        packet.arrived.is_some_and(|(_, path)| self.bases.contains(&(path.transport, path.local)))
    }

    /// It finds out about its NAT.
    pub fn know(&mut self, now: Instant, nat: Nat) {
        self.nat = nat;
        self.may_guess |= nat.mapping.is_some();
        self.agent.set_nat(now, nat);
    }

    pub(super) fn forget_attempt(&mut self) {
        self.silent.clear();
        self.asked = 0;
    }
}

impl Side {
    /// Who has shown that it knows the password is no stranger any more.
    pub(super) fn note_seals(&mut self, path: Path, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        if message.class() != Class::Request && self.vouched.contains(&path.remote) {
            return;
        }
        let is_sealed = |key: &Key| message.integrity_holds(key);
        let is_theirs = match message.class() {
            Class::Request => self.keys.iter().any(is_sealed),
            Class::Success | Class::Error => self.theirs.as_ref().is_some_and(is_sealed),
            Class::Indication => false,
        };
        if !is_theirs {
            return;
        }
        self.vouched.insert(path.remote);
        self.ever_vouched.insert(path.remote);
        if message.class() == Class::Request {
            *self.owed.entry(path.remote).or_default() += 1;
        }
    }

    pub(super) fn may_send(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        assert!(!self.is_closed && !self.has_failed, "sent after the end: {path}");
        assert!(self.ever_local.contains(&path.local), "not a socket of ours: {path}");
        if message.class() != Class::Request {
            let owed = self.owed.get_mut(&path.remote).expect("who is answered has asked");
            *owed = owed.checked_sub(1).expect("one answer to each request");
            return;
        }
        let is_open = self.is_open(path.transport, path.local);
        assert!(is_open, "a socket that is not open: {path}");
        if message.find() == Ok(Some(Username(b"a session"))) {
            assert!(self.has_observers && OBSERVERS.iter().any(|text| address(text) == path.remote));
            return;
        }
        let is_kin = self.party == Party::Kin;
        let is_named = self.candidates.contains(&path.remote)
            || self.ever_vouched.contains(&path.remote)
            || is_kin && self.candidates.iter().any(|named| named.ip() == path.remote.ip());
        assert!(is_named, "nobody has named {path}");
        if self.vouched.contains(&path.remote) {
            return;
        }
        let slack = if is_kin && self.may_guess { GUESSES } else { usize::from(is_kin) * 2 };
        let (total, times) = self.silent.entry(path.remote).or_default();
        *total += 1;
        let most = usize::from(CHECKS_UNANSWERED) + slack;
        assert!(*total <= most, "{total} to {path}, who is silent");
        times.push_back(now);
        while times.front().is_some_and(|first| now.since(*first) >= WINDOW) {
            times.pop_front();
        }
        assert!(times.len() <= CHECKS_IN_WINDOW + slack, "{} at once to {path}, who is silent", times.len());
    }
}
