//! The agent: what it is told, and what it does when it is polled. What came in is in `listen.rs`, which pair
//! is used in `choose.rs`, and what the plan adds in `tactics.rs`.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::budget::{Allowance, Budget};
use super::candidate::{self, COMPONENT, can_pair, may_send};
use super::check::{Check, Reply};
use super::keep::{self, Due, Keep};
use super::listen::Early;
use super::pair::{End, Pair, Sent};
use super::pairs::{MAX_PAIRS, Pairs, Slot};
use super::schedule::Rhythm;
use super::tactics::Tactics;
use super::{
    Candidate, Config, Counters, Credentials, Event, Failure, Hint, Kind, Loss, Nat, Party, Refused, Remote,
    Role, Selected, Strategy,
};
use crate::hash::Keyed;
use crate::machine::{HostInput, Machine, Meta, Output, Path, Transport, Verdict};
use crate::rng::Rng;
use crate::scope::Scope;
use crate::time::{Duration, Instant};
use crate::timers::{Key, Timers};
use crate::wire::stun::TransactionId;
use crate::wire::stun::attr::Proof;

/// How many candidates of the other side are taken at most.
pub const MAX_CANDIDATES: usize = 20;
/// How many sockets of ours are paired with them at most.
pub const MAX_BASES: usize = 16;
/// How many answers wait to be sent at most; a check that comes in on top of these counts as lost.
const MAX_ANSWERS: usize = 64;
/// The shortest sleep after which nobody knows what is left of the mappings.
const LONG_SLEEP: Duration = Duration::from_secs(10);
/// Two new pairs of a foreign agent's follow each other no faster than this (RFC 8445 §14.2).
const PACE: Duration = Duration::from_millis(5);
/// How long a pair waits for another one of its foundation (RFC 8445 §6.1.2.6).
const FROZEN: Duration = Duration::from_millis(50);

/// What the timers are for; pairs come after these.
pub(super) const PATIENCE: Key = 0;
pub(super) const KEEP: Key = 1;
pub(super) const TACTICS: Key = 2;
const FIRST_PAIR: Key = 3;

/// One side of a session. See the [module documentation](super) for what it does.
pub struct Agent {
    pub(super) config: Config,
    pub(super) ours: Credentials,
    /// What our checks were sealed with before the last restart: the other side may not know of it yet.
    pub(super) previous: Option<Credentials>,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) remote: Option<Remote>,
    username: String,
    pub(super) rng: Rng,
    /// Makes the tokens that prove that an answer has arrived.
    pub(super) tokens: Keyed,
    pub(super) bases: Vec<Base>,
    pub(super) remotes: Vec<Place>,
    /// How many addresses of the other side were learned.
    pub(super) learned: u8,
    pub(super) early: Vec<Early>,
    pub(super) pairs: Pairs,
    timers: Timers,
    pub(super) budget: Budget,
    answers: VecDeque<ToAnswer>,
    pub(super) events: VecDeque<Event>,
    pub(super) tactics: Tactics,
    pub(super) phase: Phase,
    pub(super) began: Instant,
    /// A check of one of our own has come in: until this, the others wait for what it leads to.
    pub(super) quiet_until: Instant,
    patience_until: Instant,
    pub(super) selected: Option<Selected>,
    pub(super) selected_slot: Option<Slot>,
    pub(super) keep: Option<Keep>,
    /// The number of the choice that counts: ours if we are in control, else the highest heard.
    pub(super) nomination: u32,
    pub(super) tried: [u32; Strategy::ALL.len()],
    pub(super) counters: Counters,
    /// The counters when this attempt began.
    packets_before: u32,
    pub(super) seen: Replays,
}

/// What it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not know the other side.
    Waiting,
    /// It looks for a path, or has one.
    Active,
    /// There is none.
    Failed,
    Closed,
}

/// A socket of ours.
pub(super) struct Base {
    pub(super) local: SocketAddr,
    transport: Transport,
    priority: u32,
    /// How it is seen elsewhere.
    pub(super) seen: Vec<(SocketAddr, Kind)>,
}

/// Where the other side may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) end: End,
    pub(super) foundation: u32,
    pub(super) strategy: Strategy,
}

/// A check that is to be answered.
struct ToAnswer {
    path: Path,
    id: TransactionId,
    reply: Reply,
    /// With the credentials from before the restart.
    is_previous: bool,
}

/// The transaction ids of the last checks that came in, and where each came in: one that comes again from
/// elsewhere is a repetition that somebody overheard.
pub(super) struct Replays {
    ring: VecDeque<(TransactionId, Path)>,
}

impl Replays {
    /// How many are remembered.
    const MAX: usize = 64;

    /// Notes one; whether it is a repetition from elsewhere.
    pub(super) fn is_replay(&mut self, id: TransactionId, path: Path) -> bool {
        if let Some((_, first)) = self.ring.iter().rev().find(|(known, _)| *known == id) {
            return *first != path;
        }
        if self.ring.len() == Self::MAX {
            self.ring.pop_front();
        }
        self.ring.push_back((id, path));
        false
    }
}

impl Agent {
    /// An agent with these credentials of its own. Between two of our own they are
    /// [derived](Credentials::derive); toward a foreign one they are [random](Credentials::random).
    pub fn new(config: Config, ours: Credentials, role: Role, mut rng: Rng) -> Self {
        let tactics = Tactics::new(config.first_socket);
        Self {
            config,
            ours,
            previous: None,
            role,
            tie_breaker: rng.u64(),
            remote: None,
            username: String::new(),
            tokens: Keyed::new(&mut rng),
            bases: Vec::new(),
            remotes: Vec::new(),
            learned: 0,
            early: Vec::new(),
            pairs: Pairs::new(Keyed::new(&mut rng)),
            timers: Timers::default(),
            budget: Budget::new(Keyed::new(&mut rng)),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            tactics,
            phase: Phase::Waiting,
            began: Instant::ZERO,
            quiet_until: Instant::ZERO,
            patience_until: Instant::ZERO,
            selected: None,
            selected_slot: None,
            keep: None,
            nomination: 0,
            tried: [0; Strategy::ALL.len()],
            counters: Counters::default(),
            packets_before: 0,
            seen: Replays { ring: VecDeque::with_capacity(Replays::MAX) },
            rng,
        }
    }

    /// What the other side has to know to check us.
    pub const fn credentials(&self) -> &Credentials {
        &self.ours
    }

    /// What we are. It may change: two agents that think the same settle it (RFC 8445 §7.3.1.1).
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The pair that is used.
    pub const fn selected(&self) -> Option<&Selected> {
        self.selected.as_ref()
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// One of our own addresses: the socket at `base` is open, and this is how it is seen; of a host
    /// candidate, just there. A TCP candidate's base is the address our end of connections has.
    pub fn add_local(
        &mut self,
        now: Instant,
        candidate: &Candidate,
        base: SocketAddr,
    ) -> Result<(), Refused> {
        if candidate.component != COMPONENT {
            return Err(self.refuse(Refused::Component));
        }
        let known =
            self.bases.iter_mut().find(|known| known.local == base && known.transport == candidate.transport);
        if let Some(known) = known {
            let seen = (candidate.address, candidate.kind);
            if seen.0 == base || known.seen.contains(&seen) || known.seen.len() == MAX_CANDIDATES {
                return Err(Refused::Known);
            }
            known.seen.push(seen);
            return Ok(());
        }
        if self.bases.len() == MAX_BASES {
            return Err(self.refuse(Refused::TooMany));
        }
        let preference = (candidate.priority >> 8) as u16;
        let seen = (candidate.address != base).then_some((candidate.address, candidate.kind));
        self.bases.push(Base {
            local: base,
            transport: candidate.transport,
            priority: candidate::priority(Kind::Host, preference),
            seen: seen.into_iter().collect(),
        });
        if self.phase == Phase::Active {
            for index in 0..self.remotes.len() {
                self.pair_up(now, self.bases.len() - 1, index);
            }
        }
        Ok(())
    }

    /// Who the other side is. From now on it is checked, wherever it may be.
    pub fn begin(&mut self, now: Instant, remote: Remote) {
        if matches!(self.phase, Phase::Closed) || self.remote.as_ref() == Some(&remote) {
            return;
        }
        self.username = alloc::format!("{}:{}", remote.credentials.ufrag(), self.ours.ufrag());
        if remote.party == Party::Lite {
            // Who only answers cannot choose (RFC 8445 §6.1.1).
            self.role = Role::Controlling;
        }
        self.remote = Some(remote);
        self.attempt(now);
    }

    /// Where the other side may be. What nobody can be at is refused.
    pub fn add_remote(&mut self, now: Instant, candidate: &Candidate) -> Result<(), Refused> {
        let checked = self.check_remote(candidate);
        checked.map_err(|why| self.refuse(why))?;
        let end = End { kind: candidate.kind, priority: candidate.priority };
        self.remotes.push(Place {
            address: candidate.address,
            transport: candidate.transport,
            end,
            foundation: self.tokens_of(candidate.foundation.as_bytes()),
            strategy: if candidate.kind == Kind::Relayed { Strategy::Relay } else { Strategy::Plain },
        });
        if self.phase == Phase::Active {
            self.be_patient(now);
            for base in 0..self.bases.len() {
                self.pair_up(now, base, self.remotes.len() - 1);
            }
            self.begin_tactics(now);
        }
        Ok(())
    }

    fn check_remote(&self, candidate: &Candidate) -> Result<(), Refused> {
        if candidate.component != COMPONENT {
            return Err(Refused::Component);
        }
        let has_loopback = self.bases.iter().any(|base| Scope::of(base.local.ip()) == Scope::Host);
        may_send(candidate.address, has_loopback)?;
        if self.config.servers.contains(&candidate.address) {
            return Err(Refused::Server);
        }
        let is_same =
            |place: &Place| (place.address, place.transport) == (candidate.address, candidate.transport);
        if self.remotes.iter().any(is_same) {
            return Err(Refused::Known);
        }
        if self.remotes.len() == MAX_CANDIDATES {
            return Err(Refused::TooMany);
        }
        Ok(())
    }

    /// The other side has no more candidates to give (RFC 8838 §13): if none works, there is nothing to wait
    /// for but the answers.
    pub fn end_of_candidates(&mut self, now: Instant) {
        if self.phase == Phase::Active {
            self.be_patient(now);
        }
    }

    /// What the mediator tells of the other side. `None` of it is believed further than its budget.
    pub fn hear(&mut self, now: Instant, hint: Hint) {
        if self.phase == Phase::Active && self.hear_hint(now, hint).is_err() {
            self.counters.refused += 1;
        }
    }

    /// What is known of the NAT in front of us has changed, such as the lifetime of its mappings.
    pub fn set_nat(&mut self, nat: Nat) {
        let interval = keep::interval(nat.lifetime, self.config.keepalive);
        self.config.nat = nat;
        if let Some(keep) = &mut self.keep {
            keep.set_interval(interval);
        }
    }

    /// A new generation (RFC 8445 §9): new credentials of ours. Our own addresses are kept;
    /// [`begin`](Self::begin) and [`add_remote`](Self::add_remote) follow. Data goes on by the old path until
    /// there is a new one.
    pub fn restart(&mut self, now: Instant, ours: Credentials) {
        if self.phase == Phase::Closed {
            return;
        }
        self.previous = Some(core::mem::replace(&mut self.ours, ours));
        self.remote = None;
        self.remotes.clear();
        self.early.clear();
        self.forget_pairs();
        self.stop_tactics(now);
        self.tie_breaker = self.rng.u64();
        self.phase = Phase::Waiting;
    }

    /// Takes away one of our own addresses and whatever was begun from there.
    pub fn remove_local(&mut self, now: Instant, base: SocketAddr) {
        self.bases.retain(|known| known.local != base);
        let gone: Vec<Slot> =
            self.pairs.iter().filter(|(_, pair)| pair.path.local == base).map(|(slot, _)| slot).collect();
        for slot in gone {
            self.forget_pair(slot);
        }
        if self.selected.is_some_and(|selected| selected.path.local == base) {
            self.lose(now, Loss::Interface);
        }
    }

    /// Where application data goes: it is about to be sent there.
    pub fn transmit(&mut self, now: Instant) -> Option<Path> {
        let path = self.selected?.path;
        if let Some(keep) = &mut self.keep {
            keep.sends_data(now);
            self.set_keep_timer(now);
        }
        Some(path)
    }

    /// Ends it: nothing is sent any more. What [`Machine::poll_output`] still says closes its sockets.
    pub fn close(&mut self, now: Instant) {
        self.end(now, Phase::Closed);
        self.selected = None;
        self.events.clear();
    }

    // --- pairs ------------------------------------------------------------------------------------

    /// All that is known of both sides is checked from the beginning.
    pub(super) fn attempt(&mut self, now: Instant) {
        self.phase = Phase::Active;
        self.began = now;
        self.packets_before = self.packets();
        self.budget.clear();
        self.quiet_until = now;
        self.tried = [0; Strategy::ALL.len()];
        self.forget_pairs();
        let mut all: Vec<(usize, usize)> = Vec::new();
        for base in 0..self.bases.len() {
            all.extend((0..self.remotes.len()).map(|remote| (base, remote)));
        }
        // The best come first: to a foreign agent they go out one after the other, and of too many the
        // least are left out (RFC 8445 §6.1.2.5).
        all.sort_by_key(|&(base, remote)| {
            let (ours, theirs) = (self.bases[base].priority, self.remotes[remote].end.priority);
            core::cmp::Reverse(candidate::pair_priority(ours, theirs))
        });
        for (base, remote) in all {
            self.pair_up(now, base, remote);
        }
        for early in core::mem::take(&mut self.early) {
            self.take_early(now, early);
        }
        self.be_patient(now);
        self.begin_tactics(now);
    }

    fn pair_up(&mut self, now: Instant, base: usize, remote: usize) -> Option<Slot> {
        let (base, place) = (&self.bases[base], self.remotes[remote]);
        if base.transport != place.transport
            || base.local == place.address
            || !can_pair(base.local, place.address)
        {
            return None;
        }
        let path = Path { transport: place.transport, local: base.local, remote: place.address };
        if self.pairs.at(path).is_some() || self.pairs.len() >= MAX_PAIRS {
            return None;
        }
        let rhythm = match place.transport {
            Transport::Tcp => Rhythm::Once,
            Transport::Udp if place.end.kind == Kind::Host && is_elsewhere(base.local, place.address) => {
                Rhythm::Faint
            }
            Transport::Udp => Rhythm::Dense,
        };
        let end = End { kind: Kind::Host, priority: base.priority };
        let mut pair = Pair::new(path, place.strategy, end, place.end, rhythm);
        let ip = base.local.ip();
        pair.foundation = self.tokens_of(&place.foundation.to_be_bytes()) ^ self.tokens_of(&ip_bytes(ip));
        let mut at = now;
        if !self.is_kin() {
            // RFC 8445 §6.1.2.6 and §6.1.4.2: one of each foundation first, and one after the other.
            let is_same = |other: &&Pair| other.foundation == pair.foundation && !other.works;
            let same = self.pairs.iter().map(|(_, other)| other).filter(is_same).count() as u32;
            pair.is_frozen = same > 0;
            at += PACE * self.pairs.len() as u32 + FROZEN * same;
        }
        pair.begin(at, rhythm);
        Some(self.add_pair(pair))
    }

    pub(super) fn add_pair(&mut self, pair: Pair) -> Slot {
        let next = pair.next();
        let slot = self.pairs.add(pair);
        if let Some(next) = next {
            self.timers.set(FIRST_PAIR + slot, next);
        }
        slot
    }

    pub(super) fn forget_pair(&mut self, slot: Slot) {
        self.timers.cancel(FIRST_PAIR + slot);
        self.pairs.remove(slot);
        if self.selected_slot == Some(slot) {
            self.selected_slot = None;
        }
    }

    fn forget_pairs(&mut self) {
        self.pairs.clear();
        self.timers = Timers::default();
        self.selected_slot = None;
        self.keep = None;
        self.nomination = 0;
        self.learned = 0;
    }

    /// Checks a pair at this time, whatever its rhythm says.
    pub(super) fn check_at(&mut self, slot: Slot, at: Instant) {
        self.timers.set(FIRST_PAIR + slot, at);
    }

    pub(super) fn is_kin(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.party == Party::Kin)
    }

    pub(super) fn tokens_of(&self, bytes: &[u8]) -> u32 {
        use core::hash::{BuildHasher as _, Hasher as _};
        let mut hasher = self.tokens.build_hasher();
        hasher.write(bytes);
        hasher.finish() as u32
    }

    fn refuse(&mut self, why: Refused) -> Refused {
        self.counters.refused += 1;
        why
    }

    // --- time -------------------------------------------------------------------------------------

    pub(super) fn be_patient(&mut self, now: Instant) {
        self.patience_until = now + self.config.patience;
        self.timers.set(PATIENCE, self.patience_until);
    }

    pub(super) fn set_tactics_timer(&mut self, now: Instant) {
        match self.tactics.next() {
            Some(next) => self.timers.set(TACTICS, next.max(now)),
            None => self.timers.cancel(TACTICS),
        }
    }

    pub(super) fn set_keep_timer(&mut self, now: Instant) {
        let Some(keep) = &self.keep else { return self.timers.cancel(KEEP) };
        let at = match keep.due(now) {
            Due::At(at) => at,
            Due::Check | Due::Lost => now,
        };
        self.timers.set(KEEP, at);
    }

    /// What is due of `key`; bytes if there are any to send.
    fn fire(&mut self, now: Instant, key: Key, buf: &mut [u8]) -> Option<(Path, usize)> {
        match key {
            PATIENCE => {
                if self.selected_slot.is_none() {
                    self.fail(now);
                }
                None
            }
            KEEP => self.fire_keep(now, buf),
            TACTICS => {
                let sent = self.fire_tactics(now, buf);
                self.set_tactics_timer(now);
                sent
            }
            pair => self.fire_pair(now, pair - FIRST_PAIR, buf),
        }
    }

    fn fire_keep(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        let (keep, slot) = (self.keep.as_mut()?, self.selected_slot?);
        let sent = match keep.due(now) {
            Due::Lost => {
                self.lose(now, Loss::Consent);
                return None;
            }
            Due::Check => {
                keep.asks(now);
                self.check(now, slot, buf)
            }
            Due::At(_) => None,
        };
        self.set_keep_timer(now);
        sent
    }

    fn fire_pair(&mut self, now: Instant, slot: Slot, buf: &mut [u8]) -> Option<(Path, usize)> {
        if !self.is_wanted(slot) {
            return None;
        }
        if self.is_forsaken(slot) {
            self.forsake(now, slot);
            return None;
        }
        let is_kin = self.is_kin();
        let pair = self.pairs.pair(slot)?;
        if is_kin && !pair.is_heard && pair.step() > 0 && self.quiet_until > now {
            self.check_at(slot, self.quiet_until);
            return None;
        }
        let remote = pair.remote();
        match self.budget.ask(now, remote) {
            Allowance::Now => {}
            Allowance::At(at) => {
                self.check_at(slot, at);
                return None;
            }
            Allowance::Never => {
                self.counters.withheld += 1;
                return None;
            }
        }
        let sent = self.check(now, slot, buf);
        let pair = self.pairs.pair_mut(slot)?;
        pair.is_frozen = false;
        if let Some(next) = pair.next() {
            self.timers.set(FIRST_PAIR + slot, next.max(now + PACE));
        }
        sent
    }

    /// Writes a check on a pair.
    pub(super) fn check(&mut self, now: Instant, slot: Slot, buf: &mut [u8]) -> Option<(Path, usize)> {
        let (pair, remote) = (self.pairs.pair_mut(slot)?, self.remote.as_ref()?);
        let is_kin = remote.party == Party::Kin;
        let is_controlling = self.role == Role::Controlling;
        let use_candidate = is_controlling && (is_kin || pair.is_nominated);
        let nomination = if is_controlling { pair.nomination } else { 0 };
        let check = Check {
            id: TransactionId::random(&mut self.rng),
            priority: candidate::reflexive_priority(pair.local.priority),
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate,
            proof: is_kin.then_some(Proof { nomination, token: pair.token }),
        };
        pair.sent(Sent { id: check.id, at: now, role: self.role, is_confirming: pair.works });
        self.counters.checks += 1;
        self.tried[pair.strategy as usize] += 1;
        let len = check.write(&self.username, &remote.credentials, buf).ok()?;
        Some((pair.path, len))
    }

    /// Writes a check that nothing is kept of.
    pub(super) fn write_probe(
        &mut self,
        id: TransactionId,
        base: SocketAddr,
        buf: &mut [u8],
    ) -> Option<usize> {
        let remote = self.remote.as_ref()?;
        let base = self.bases.iter().find(|known| known.local == base)?;
        let is_controlling = self.role == Role::Controlling;
        let check = Check {
            id,
            priority: candidate::reflexive_priority(base.priority),
            role: self.role,
            tie_breaker: self.tie_breaker,
            use_candidate: is_controlling,
            proof: Some(Proof::default()),
        };
        self.counters.checks += 1;
        self.tried[Strategy::Birthday as usize] += 1;
        check.write(&self.username, &remote.credentials, buf).ok()
    }

    pub(super) fn base_end(&self, local: SocketAddr) -> End {
        let of_base = self.bases.iter().find(|base| base.local == local).or(self.bases.first());
        // A socket of a strategy is as good as the one beside it.
        End { kind: Kind::Host, priority: of_base.map_or(0, |base| base.priority) }
    }

    pub(super) fn answer(&mut self, path: Path, id: TransactionId, reply: Reply, is_previous: bool) {
        if self.answers.len() < MAX_ANSWERS {
            self.answers.push_back(ToAnswer { path, id, reply, is_previous });
        }
    }

    pub(super) fn packets(&self) -> u32 {
        self.counters.checks + self.counters.answers + self.counters.marks
    }

    pub(super) fn packets_of_attempt(&self) -> u32 {
        self.packets() - self.packets_before
    }

    // --- ends -------------------------------------------------------------------------------------

    fn fail(&mut self, now: Instant) {
        let failure = Failure {
            local: self.config.nat,
            remote: self.remote.as_ref().map_or_else(Nat::default, |remote| remote.nat),
            tried: self.tried,
            heard: self.pairs.iter().any(|(_, pair)| pair.is_heard),
        };
        self.end(now, Phase::Failed);
        self.selected = None;
        self.events.push_back(Event::Failed(failure));
    }

    fn end(&mut self, now: Instant, phase: Phase) {
        self.phase = phase;
        self.forget_pairs();
        self.answers.clear();
        self.early.clear();
        self.stop_tactics(now);
        self.timers = Timers::default();
    }

    /// The path is of no use any more: from the beginning, with what is known.
    pub(super) fn lose(&mut self, now: Instant, why: Loss) {
        let Some(selected) = self.selected.take() else { return };
        self.events.push_back(Event::Lost { path: selected.path, why });
        self.stop_tactics(now);
        if self.remote.is_some() {
            self.attempt(now);
        }
    }
}

/// Whether a private address of the other side's is likely to be in another network than our socket: they
/// do not begin alike.
fn is_elsewhere(local: SocketAddr, remote: SocketAddr) -> bool {
    if Scope::of(remote.ip()) >= Scope::World || Scope::of(remote.ip()) <= Scope::Host {
        return false;
    }
    match (local.ip(), remote.ip()) {
        (core::net::IpAddr::V4(ours), core::net::IpAddr::V4(theirs)) => {
            ours.octets()[..3] != theirs.octets()[..3]
        }
        (core::net::IpAddr::V6(ours), core::net::IpAddr::V6(theirs)) => {
            ours.octets()[..8] != theirs.octets()[..8]
        }
        _ => true,
    }
}

fn ip_bytes(ip: core::net::IpAddr) -> [u8; 16] {
    match ip {
        core::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        core::net::IpAddr::V6(ip) => ip.octets(),
    }
}

impl Machine for Agent {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        self.listen(now, path, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, result } => self.bound(now, id, result),
            HostInput::ClockJumped(slept) if slept >= LONG_SLEEP => self.lose(now, Loss::Slept),
            HostInput::Interfaces(interfaces) => {
                let is_gone = |base: &Base| interfaces.iter().all(|one| one.address != base.local.ip());
                let gone: Vec<_> =
                    self.bases.iter().filter(|base| is_gone(base)).map(|base| base.local).collect();
                for base in gone {
                    self.remove_local(now, base);
                }
            }
            // What ICMP says is a hint that anybody can forge; a check is proof.
            _ => {}
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        let transmit = |path, len| Output::Transmit { path, len, segment: None, ecn: None };
        loop {
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if let Some(request) = self.tactics.extras.requests.pop_front() {
                return Output::Host(request);
            }
            if let Some(ToAnswer { path, id, reply, is_previous }) = self.answers.pop_front() {
                let ours = self.previous.as_ref().filter(|_| is_previous).unwrap_or(&self.ours);
                let Ok(len) = reply.write(id, ours, buf) else { continue };
                self.counters.answers += 1;
                if let Some(keep) =
                    self.keep.as_mut().filter(|_| self.selected.is_some_and(|used| used.path == path))
                {
                    keep.sends(now);
                    self.set_keep_timer(now);
                }
                return transmit(path, len);
            }
            if let Some((path, len)) = self.next_errand(now, buf) {
                return transmit(path, len);
            }
            let Some(key) = self.timers.pop(now) else { return Output::Idle(self.timers.next_deadline()) };
            if let Some((path, len)) = self.fire(now, key, buf) {
                return transmit(path, len);
            }
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("pairs", &self.pairs.len())
            .field("selected", &self.selected)
            .finish_non_exhaustive()
    }
}
