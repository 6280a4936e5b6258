//! The agent: what it is told, and what it says when it is polled. How an attempt begins and ends is in
//! `attempt.rs`, what is due in `fire.rs`, what comes in in `listen.rs`, which pair is used in `choose.rs`, and
//! what the plan adds in `tactics.rs`.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::budget::Budget;
use super::candidate::{self, COMPONENT, may_send};
use super::check::Reply;
use super::keep::{self, CONSENT, Keep};
use super::listen::Early;
use super::pair::End;
use super::pairs::{Pairs, Slot};
use super::replays::Replays;
use super::tactics::{Done, Tactics};
use super::{
    Candidate, Config, Counters, Credentials, Event, Hint, Kind, Loss, Nat, Party, Refused, Remote, Role,
    Selected, Strategy, TcpKind,
};
use crate::hash::Keyed;
use crate::machine::{HostInput, Machine, Meta, Output, Path, SocketId, Transport, Verdict};
use crate::rng::Rng;
use crate::scope::Scope;
use crate::time::{Duration, Instant};
use crate::timers::{Key, Timers};
use crate::wire::stun::TransactionId;

/// How many candidates of the other side are taken at most.
pub const MAX_CANDIDATES: usize = 20;
/// How many sockets of ours are paired with them at most.
pub const MAX_BASES: usize = 16;
/// The shortest sleep after which nobody knows what is left of the mappings.
const LONG_SLEEP: Duration = Duration::from_secs(10);

/// What the timers are for; pairs come after these.
pub(super) const PATIENCE: Key = 0;
pub(super) const KEEP: Key = 1;
pub(super) const TACTICS: Key = 2;
pub(super) const FIRST_PAIR: Key = 3;

/// One side of a session. See the [module documentation](super) for what it does.
pub struct Agent {
    pub(super) config: Config,
    pub(super) ours: Credentials,
    /// What our checks were sealed with before the last restart: the other side may not know of it yet.
    pub(super) previous: Option<Credentials>,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    /// Two tie-breakers that differ were compared here, ours is still the same, and nobody has said otherwise.
    pub(super) are_roles_settled: bool,
    pub(super) remote: Option<Remote>,
    /// Where the mediator has seen the other side.
    pub(super) seen_at: Option<SocketAddr>,
    /// When ports were last guessed.
    pub(super) last_guesses: Option<Instant>,
    pub(super) username: String,
    pub(super) rng: Rng,
    /// Makes the tokens that prove that an answer has arrived.
    pub(super) tokens: Keyed,
    /// How many paths were lost: a token from before the last loss proves nothing any more.
    pub(super) losses: u32,
    pub(super) bases: Vec<Base>,
    pub(super) remotes: Vec<Place>,
    /// How many addresses of the other side were learned.
    pub(super) learned: u8,
    pub(super) early: Vec<Early>,
    pub(super) pairs: Pairs,
    pub(super) timers: Timers,
    pub(super) budget: Budget,
    pub(super) answers: VecDeque<ToAnswer>,
    pub(super) events: VecDeque<Event>,
    pub(super) tactics: Tactics,
    pub(super) phase: Phase,
    pub(super) began: Instant,
    /// A check of one of our own has come in: until this, the others wait for what it leads to.
    pub(super) quiet_until: Instant,
    pub(super) selected: Option<Selected>,
    pub(super) selected_slot: Option<Slot>,
    pub(super) keep: Option<Keep>,
    /// The number of the choice that counts: ours if we are in control, else the highest heard.
    pub(super) nomination: u32,
    pub(super) tried: [u32; Strategy::ALL.len()],
    pub(super) counters: Counters,
    /// The counters when this attempt began.
    pub(super) packets_before: u32,
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
    pub(super) transport: Transport,
    pub(super) priority: u32,
    /// How the host calls it, if we were told.
    pub(super) id: Option<SocketId>,
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
pub(super) struct ToAnswer {
    pub(super) path: Path,
    pub(super) id: TransactionId,
    pub(super) reply: Reply,
    /// With the credentials from before the restart.
    pub(super) is_previous: bool,
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
            are_roles_settled: false,
            remote: None,
            seen_at: None,
            last_guesses: None,
            username: String::new(),
            tokens: Keyed::new(&mut rng),
            losses: 0,
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
            selected: None,
            selected_slot: None,
            keep: None,
            nomination: 0,
            tried: [0; Strategy::ALL.len()],
            counters: Counters::default(),
            packets_before: 0,
            seen: Replays::default(),
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
            id: None,
            seen: seen.into_iter().collect(),
        });
        if self.phase == Phase::Active {
            for index in 0..self.remotes.len() {
                self.pair_up(now, self.bases.len() - 1, index);
            }
            self.begin_tactics(now);
        }
        Ok(())
    }

    /// Who the other side is. From now on it is checked, wherever it may be.
    pub fn begin(&mut self, now: Instant, remote: Remote) {
        let is_known = self.phase == Phase::Active && self.remote.as_ref() == Some(&remote);
        if self.phase == Phase::Closed || is_known {
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
        if candidate.tcp == Some(TcpKind::Active) {
            // It connects to us (RFC 6544 §6.2); there is nothing to connect to.
            return Ok(());
        }
        let end = End { kind: candidate.kind, priority: candidate.priority };
        self.remotes.push(Place {
            address: candidate.address,
            transport: candidate.transport,
            end,
            foundation: self.hash(candidate.foundation.as_bytes()),
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

    fn refuse(&mut self, why: Refused) -> Refused {
        self.counters.refused += 1;
        why
    }

    /// The mediator has seen the other side at this address, in this session: guesses go there, and nowhere
    /// else. Without it there are none.
    pub fn seen_at(&mut self, now: Instant, address: SocketAddr) {
        self.seen_at = Some(address);
        if self.phase == Phase::Active {
            self.begin_tactics(now);
        }
    }

    /// The other side has no more candidates to give (RFC 8838 §13): if none works, there is nothing to wait
    /// for but the answers.
    pub fn end_of_candidates(&mut self, now: Instant) {
        if self.phase == Phase::Active {
            self.be_patient(now);
        }
    }

    /// What the mediator tells of the other side.
    pub fn hear(&mut self, now: Instant, hint: Hint) {
        if self.phase == Phase::Active && self.hear_hint(now, hint).is_err() {
            self.counters.refused += 1;
        }
    }

    /// What is known of the NAT in front of us has changed, such as the lifetime of its mappings.
    pub fn set_nat(&mut self, now: Instant, nat: Nat) {
        let interval = keep::interval(nat.lifetime, self.config.keepalive);
        self.config.nat = nat;
        if let Some(keep) = &mut self.keep {
            keep.set_interval(interval);
            self.set_keep_timer(now);
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
        (self.remote, self.seen_at) = (None, None);
        self.remotes.clear();
        self.early.clear();
        // They were to be sealed with what counts no more.
        self.answers.clear();
        self.budget.clear();
        self.forget_pairs();
        self.nomination = 0;
        self.last_guesses = None;
        self.stop_tactics(now, self.selected.map(|selected| selected.path.local));
        (self.tie_breaker, self.are_roles_settled) = (self.rng.u64(), false);
        self.phase = Phase::Waiting;
        if self.selected.is_some() {
            // Nobody asks for consent on the old path, so it is not used for longer than consent lasts.
            self.timers.set(PATIENCE, now + CONSENT);
        }
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
                // The socket may be one of a strategy's.
                let is_left = |path: Path| interfaces.iter().any(|one| one.address == path.local.ip());
                if self.selected.is_some_and(|selected| !is_left(selected.path)) {
                    self.lose(now, Loss::Interface);
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
            // Before the answers: what was asked of the host just now is meant for this packet.
            match self.next_errand(now, buf) {
                Some(Done::Packet(path, len)) => return transmit(path, len),
                Some(Done::Asked) => continue,
                None => {}
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
