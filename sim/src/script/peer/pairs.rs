//! The checks of the small peer: pairs of a socket and an address of the peer, and which of them works.
//!
//! A check is a STUN binding request sealed with the password that both share (RFC 8445 §7.1, §7.2). A pair
//! works when a check on it was answered from where it went to. The peer with the smaller name picks the
//! first that works and says so by USE-CANDIDATE in its checks on it; the other follows.

use core::net::SocketAddr;
use std::collections::VecDeque;

use bradawl::machine::{Path, Verdict};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{UseCandidate, Username, XorMappedAddress};
use bradawl::wire::stun::{Class, Key, Message, Method, NoRoom, TransactionId, Writer};

use super::PeerSetup;
use crate::trace::{Happened, Strategy, Warrant};

/// When a pair is checked, counted from when it is known; then every [`SPARSE`].
const SCHEDULE: [u64; 9] = [0, 20, 50, 100, 180, 300, 500, 800, 1_200];
const SPARSE: Duration = Duration::from_millis(500);
/// A check that left so lately is not repeated for one that came in.
const LATELY: Duration = Duration::from_millis(40);
/// How often the peer is told which pair is picked until it has answered.
const UNSURE: Duration = Duration::from_millis(100);
/// How often a path in use is checked, and how long it may be silent.
const KEEPALIVE: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(5);
/// How many pairs there are at most (RFC 8445 §6.1.2.5 allows twice as many).
const MAX_PAIRS: usize = 50;
/// How many checks of the peer are remembered, so that a repetition from elsewhere is known as one.
const MAX_REMEMBERED: usize = 512;
/// How many addresses are learned from the peer's checks: two NATs that give each answer a new port lead a
/// peer who follows on an endless chase.
const MAX_REFLEXIVE: usize = 10;
/// How many of a pair's own checks may still be answered.
const MAX_UNDER_WAY: usize = 64;

#[derive(Debug)]
pub(super) struct Pairs {
    key: Key,
    /// Our name and the peer's.
    names: [String; 2],
    /// What the peer's checks and ours carry as user name.
    from_peer: String,
    to_peer: String,
    is_picking: bool,
    is_stray: bool,
    rng: Rng,
    pairs: Vec<Pair>,
    selected: Option<usize>,
    selected_at: Option<Instant>,
    is_stopped: bool,
    answers: VecDeque<Answer>,
    says: VecDeque<Happened>,
    remembered: VecDeque<(TransactionId, Path)>,
}

#[derive(Debug)]
struct Pair {
    path: Path,
    strategy: Strategy,
    known_since: Instant,
    /// How many checks of the schedule have left.
    checks: usize,
    next: Option<Instant>,
    last: Option<Instant>,
    under_way: VecDeque<TransactionId>,
    /// When it was last answered.
    works: Option<Instant>,
    /// The peer has picked it.
    is_picked: bool,
}

#[derive(Debug)]
struct Answer {
    path: Path,
    id: TransactionId,
}

/// What is to be done next.
pub(super) enum Sent {
    Packet { path: Path, len: usize },
    Says(Happened),
}

impl Pairs {
    pub(super) fn new(setup: &PeerSetup, rng: Rng) -> Self {
        Self {
            key: Key::short_term(&setup.secret.password),
            names: [setup.name.clone(), setup.peer.clone()],
            from_peer: String::new(),
            to_peer: String::new(),
            is_picking: setup.name < setup.peer,
            is_stray: setup.is_stray,
            rng,
            pairs: Vec::new(),
            selected: None,
            selected_at: None,
            is_stopped: false,
            answers: VecDeque::new(),
            says: VecDeque::new(),
            remembered: VecDeque::new(),
        }
    }

    /// Begins with a peer of this generation. Checks name both generations, so that those of an earlier
    /// one mean nothing.
    pub(super) fn meet(&mut self, own: u64, theirs: u64) {
        self.clear();
        let [name, peer] = &self.names;
        self.from_peer = format!("{name}.{own}:{peer}.{theirs}");
        self.to_peer = format!("{peer}.{theirs}:{name}.{own}");
    }

    /// Forgets all pairs.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
        self.answers.clear();
        self.selected = None;
        self.is_stopped = false;
    }

    /// Sends no more checks.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(super) fn selected(&self) -> Option<Path> {
        self.selected.map(|index| self.pairs[index].path)
    }

    /// Uses no pair any more; whether it did.
    pub(super) fn deselect(&mut self) -> bool {
        self.selected.take().is_some()
    }

    /// Whether the path in use has been silent for too long.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.silent_at().is_some_and(|at| at <= now)
    }

    fn silent_at(&self) -> Option<Instant> {
        let pair = &self.pairs[self.selected?];
        pair.works.map(|works| works + SILENCE)
    }

    /// An address that the peer says it has, checked from each of `locals` in its family. Whether there
    /// are any, and it is news.
    pub(super) fn add_candidate(
        &mut self,
        now: Instant,
        locals: &[SocketAddr],
        candidate: SocketAddr,
    ) -> bool {
        let is_known = self.pairs.iter().any(|pair| pair.path.remote == candidate);
        // The peer's own address, or one that others see.
        let is_private =
            |address: &SocketAddr| matches!(address.ip(), core::net::IpAddr::V4(ip) if ip.is_private());
        let strategy = if is_private(&candidate) { Strategy::Host } else { Strategy::Punch };
        for &local in locals {
            if local.is_ipv4() == candidate.is_ipv4() {
                self.add(now, Path::udp(local, candidate), strategy);
            }
        }
        !is_known && self.pairs.iter().any(|pair| pair.path.remote == candidate)
    }

    fn add(&mut self, now: Instant, path: Path, strategy: Strategy) -> Option<usize> {
        if let Some(index) = self.pairs.iter().position(|pair| pair.path == path) {
            return Some(index);
        }
        let reflexive = self.pairs.iter().filter(|pair| pair.strategy == Strategy::PeerReflexive).count();
        let is_chase = strategy == Strategy::PeerReflexive && reflexive == MAX_REFLEXIVE;
        if self.pairs.len() == MAX_PAIRS || is_chase {
            return None;
        }
        self.pairs.push(Pair {
            path,
            strategy,
            known_since: now,
            checks: 0,
            next: Some(now),
            last: None,
            under_way: VecDeque::new(),
            works: None,
            is_picked: false,
        });
        Some(self.pairs.len() - 1)
    }

    /// A datagram that may be a check, or the answer to one.
    pub(super) fn handle_check(&mut self, now: Instant, path: Path, bytes: &[u8]) -> Verdict {
        let Ok(message) = Message::parse(bytes) else { return Verdict::Unclaimed };
        if message.method() != Method::BINDING
            || !message.fingerprint_holds()
            || !message.integrity_holds(&self.key)
        {
            return Verdict::Unclaimed;
        }
        match message.class() {
            // Of another generation, or another's.
            Class::Request if !self.is_from_peer(&message) => return Verdict::Unclaimed,
            Class::Request => self.checked(now, path, &message),
            Class::Success => self.answered(now, path, message.transaction_id()),
            Class::Error | Class::Indication => {}
        }
        Verdict::Consumed
    }

    fn is_from_peer(&self, message: &Message<'_>) -> bool {
        matches!(message.find(), Ok(Some(Username(name))) if name == self.from_peer.as_bytes())
    }

    /// The peer checks a pair of its own.
    fn checked(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        if self.is_stopped {
            return;
        }
        let id = message.transaction_id();
        match self.came_first_by(id) {
            None => self.remember(id, path),
            // A repetition is answered again and changes nothing; one that somebody overheard and repeats
            // from elsewhere proves nothing about elsewhere.
            Some(first) if first == path => return self.answers.push_back(Answer { path, id }),
            Some(_) => return,
        }
        let is_known = self.pairs.iter().any(|pair| pair.path.remote == path.remote);
        let Some(index) = self.add(now, path, Strategy::PeerReflexive) else { return };
        if !is_known {
            self.says.push_back(Happened::MaySend { to: path.remote, why: Warrant::PeerReflexive });
        }
        self.answers.push_back(Answer { path, id });
        let pair = &mut self.pairs[index];
        pair.is_picked |= message.has(<UseCandidate as bradawl::wire::stun::attr::Attribute>::KIND);
        let was_lately = pair.last.is_some_and(|last| now < last + LATELY);
        if pair.works.is_none() && !was_lately {
            pair.next = Some(now); // RFC 8445 §7.3.1.4: a check of our own at once
        }
        self.select(now, index);
    }

    /// On which path a check came that has come before.
    fn came_first_by(&self, id: TransactionId) -> Option<Path> {
        self.remembered.iter().find(|(known, _)| *known == id).map(|&(_, path)| path)
    }

    fn remember(&mut self, id: TransactionId, path: Path) {
        if self.remembered.len() == MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((id, path));
    }

    /// A check of ours was answered; from where it went to, or it counts for nothing (RFC 8445 §7.2.5.2.1).
    fn answered(&mut self, now: Instant, path: Path, id: TransactionId) {
        let Some(index) =
            self.pairs.iter().position(|pair| pair.path == path && pair.under_way.contains(&id))
        else {
            return;
        };
        let pair = &mut self.pairs[index];
        pair.under_way.retain(|under_way| *under_way != id);
        pair.works = Some(now);
        pair.next = (self.selected == Some(index)).then_some(now + KEEPALIVE);
        self.select(now, index);
    }

    /// Uses a pair if it works and has been picked, by us or by the peer.
    fn select(&mut self, now: Instant, index: usize) {
        let pair = &mut self.pairs[index];
        let is_picked = if self.is_picking { self.selected.is_none() } else { pair.is_picked };
        if pair.works.is_none() || !is_picked || self.selected == Some(index) {
            return;
        }
        pair.next = Some(now); // say so, and keep it open
        let Path { local, remote, .. } = pair.path;
        (self.selected, self.selected_at) = (Some(index), Some(now + Duration::from_micros(1)));
        self.says.push_back(Happened::Selected { local, remote, strategy: self.pairs[index].strategy });
    }

    /// What is due at `now`.
    pub(super) fn next(&mut self, now: Instant, buf: &mut [u8]) -> Option<Sent> {
        if let Some(happened) = self.says.pop_front() {
            return Some(Sent::Says(happened));
        }
        if let Some(answer) = self.answers.pop_front() {
            let len = self.write_answer(&answer, buf).ok()?;
            return Some(Sent::Packet { path: answer.path, len });
        }
        if self.is_stopped {
            return None;
        }
        let index = self.pairs.iter().position(|pair| pair.next.is_some_and(|next| next <= now))?;
        let is_selected = self.selected == Some(index);
        let id = TransactionId::random(&mut self.rng);
        let pair = &mut self.pairs[index];
        pair.checks += 1;
        pair.last = Some(now);
        pair.next = match (is_selected, self.selected) {
            // Until the first answer the peer may not know that it was picked.
            (true, _) if pair.works < self.selected_at => Some(now + UNSURE),
            (true, _) => Some(now + KEEPALIVE),
            // The one that is used is enough.
            (false, Some(_)) => None,
            (false, None) => Some(match SCHEDULE.get(pair.checks) {
                Some(&offset) => (pair.known_since + Duration::from_millis(offset)).max(now + LATELY / 2),
                None => now + SPARSE,
            }),
        };
        if pair.under_way.len() == MAX_UNDER_WAY {
            pair.under_way.pop_front();
        }
        pair.under_way.push_back(id);
        let mut path = pair.path;
        if self.is_stray && pair.checks == 3 {
            path.remote.set_port(path.remote.port() ^ 1);
        }
        let len = self.write_check(id, is_selected && self.is_picking, buf).ok()?;
        Some(Sent::Packet { path, len })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let checks = self.pairs.iter().filter_map(|pair| pair.next).filter(|_| !self.is_stopped);
        checks.chain(self.silent_at()).min()
    }

    fn write_check(&self, id: TransactionId, is_picked: bool, buf: &mut [u8]) -> Result<usize, NoRoom> {
        Writer::new(buf, Class::Request, Method::BINDING, id)
            .put(&Username(self.to_peer.as_bytes()))
            .put_some(is_picked.then_some(&UseCandidate))
            .integrity(&self.key)
            .fingerprint()
            .finish()
    }

    fn write_answer(&self, answer: &Answer, buf: &mut [u8]) -> Result<usize, NoRoom> {
        Writer::new(buf, Class::Success, Method::BINDING, answer.id)
            .put(&XorMappedAddress(answer.path.remote))
            .integrity(&self.key)
            .fingerprint()
            .finish()
    }
}
