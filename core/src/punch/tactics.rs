//! What the plan adds to plain punching, carried out.
//!
//! Strategies differ in sockets, addresses and times only. Each is a small plain value that says what is
//! due (`bracket.rs`, `birthday.rs`, `volley.rs`); this is where that becomes sockets, checks and
//! requests to the mediator.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use super::agent::{Agent, Base, Place};
use super::birthday::{Openers, Probes};
use super::bracket::{Brackets, guesses};
use super::extra::{Extra, Extras, MAX_EXTRA, Purpose};
use super::pair::{End, Pair};
use super::pairs::{MAX_PAIRS, Slot};
use super::plan::{Move, moves};
use super::prime::PRIMING;
use super::schedule::Rhythm;
use super::volley::{Step, Volley};
use super::{Event, Hint, Kind, Refused, Strategy, candidate};
use crate::discovery::Dependence;
use crate::machine::{BindError, HostRequest, Path, SocketId, Transport};
use crate::time::{Duration, Instant};
use crate::wire::stun::attr::{Mark, Username, XorMappedAddress};
use crate::wire::stun::{Class, Message, Method, TransactionId, Writer};

/// A bracket's three packets are sent once more after this.
const AGAIN: Duration = Duration::from_millis(20);
/// Requests of volleys have these rounds, lest they be taken for brackets.
const VOLLEY_ROUNDS: u16 = 0x8000;
/// How many requests to observers may still be answered.
const MAX_ASKED: usize = 16;
/// How often ports are guessed in the same network, whatever happens.
pub const BETWEEN_GUESSES: Duration = Duration::from_secs(60);

pub(super) struct Tactics {
    pub(super) extras: Extras,
    brackets: Option<Brackets>,
    openers: Option<Openers>,
    probes: Option<Probes>,
    volley: Option<Volley>,
    errands: VecDeque<(Instant, Errand)>,
    /// What observers were asked.
    asked: VecDeque<(TransactionId, Mark)>,
    has_begun: bool,
    pub(super) priming_until: Option<Instant>,
}

/// One packet that leaves at its time, in its order.
#[derive(Clone, Copy, Debug)]
enum Errand {
    Mark {
        path: Path,
        mark: Mark,
    },
    /// Outside of the pair's rhythm.
    Check {
        path: Path,
    },
    /// The next one of its rhythm.
    CheckInTurn {
        path: Path,
    },
    /// From then on the packets of a socket have so many hops.
    Limit {
        id: SocketId,
        hops: u8,
    },
}

/// What came of an errand.
pub(super) enum Done {
    Packet(Path, usize),
    /// The host was asked for something, which comes first.
    Asked,
}

impl Tactics {
    pub(super) fn new(first: SocketId) -> Self {
        Self {
            extras: Extras::new(first),
            brackets: None,
            openers: None,
            probes: None,
            volley: None,
            errands: VecDeque::new(),
            asked: VecDeque::new(),
            has_begun: false,
            priming_until: None,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let times = [
            self.brackets.as_ref().and_then(Brackets::next),
            self.openers.as_ref().and_then(Openers::next),
            self.probes.as_ref().and_then(Probes::next),
            self.volley.as_ref().and_then(Volley::next),
            self.errands.front().map(|(at, _)| *at),
        ];
        times.into_iter().flatten().min()
    }

    /// Puts a check that dies on its way before everything else.
    pub(super) fn prime_first(&mut self, now: Instant, path: Path, id: SocketId, hops: u8) {
        for errand in
            [Errand::Limit { id, hops: 0 }, Errand::CheckInTurn { path }, Errand::Limit { id, hops }]
        {
            self.errands.push_front((now, errand));
        }
    }

    /// Puts an errand behind all that are due no later.
    fn run(&mut self, at: Instant, errand: Errand) {
        let place = self.errands.partition_point(|(earlier, _)| *earlier <= at);
        self.errands.insert(place, (at, errand));
    }

    pub(super) fn is_answer(&self, path: Path, id: TransactionId) -> bool {
        self.probes
            .as_ref()
            .is_some_and(|probes| probes.base == path.local && probes.is_answer(path.remote, id))
    }

    pub(super) fn is_probed(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.probes.as_ref().is_some_and(|probes| probes.base == local && probes.ip() == remote.ip())
    }
}

impl Agent {
    /// Does what the plan says, as soon as it is known where the other side is.
    pub(super) fn begin_tactics(&mut self, now: Instant) {
        let (Some(remote), false) = (&self.remote, self.tactics.has_begun) else { return };
        let remote_nat = remote.nat;
        if !self.is_kin() || self.target().is_none() {
            return;
        }
        self.tactics.has_begun = true;
        let local_nat = self.config.nat;
        for step in moves(&local_nat, &remote_nat) {
            self.begin_move(now, step);
        }
        self.set_tactics_timer(now);
    }

    fn begin_move(&mut self, now: Instant, step: Move) {
        let Some((base, target)) = self.target() else { return };
        let has_observers = self.observers(target.is_ipv4()).is_some();
        if matches!(step, Move::Open { .. } | Move::Probe { .. } | Move::Volley { .. }) {
            if self.last_guesses.is_some_and(|last| now.since(last) < BETWEEN_GUESSES) {
                return;
            }
            self.last_guesses = Some(now);
        }
        match step {
            Move::Guess => self.guess(now),
            Move::Prime => self.tactics.priming_until = Some(now + PRIMING),
            Move::Bracket if has_observers => self.tactics.brackets = Some(Brackets::new(now)),
            Move::Volley { step } if has_observers => {
                self.tactics.volley = Some(Volley::new(now, step, self.config.nat.traffic));
            }
            Move::Bracket | Move::Volley { .. } => {}
            Move::Open { sockets } => self.tactics.openers = Some(Openers::new(now, sockets)),
            Move::Probe { first, last, probes } => {
                let ports = (first, last);
                let probes = Probes::new(now, base, target.ip(), ports, probes, &mut self.rng);
                self.tactics.probes = Some(probes);
            }
        }
    }

    /// There is a path, or none is looked for: nothing else is begun.
    pub(super) fn rest_tactics(&mut self, now: Instant) {
        let tactics = &mut self.tactics;
        (tactics.brackets, tactics.openers, tactics.volley) = (None, None, None);
        (tactics.probes, tactics.priming_until) = (None, None);
        let mut limits = tactics.errands.drain(..).filter_map(|(_, errand)| match errand {
            Errand::Limit { id, hops } => Some((id, hops)),
            _ => None,
        });
        // A socket whose packets die on the way is not left like that; what has not begun needs no end.
        if let Some((id, 0)) = limits.next() {
            tactics.extras.requests.push_back(HostRequest::Limit { id, hops: 0 });
        }
        drop(limits);
        tactics.asked.clear();
        self.set_tactics_timer(now);
    }

    /// Both sides know which path it is: what was opened is closed, but the socket that is used.
    pub(super) fn settle_tactics(&mut self, now: Instant, used: Option<SocketAddr>) {
        self.rest_tactics(now);
        if !self.tactics.extras.is_empty() {
            let closed = self.tactics.extras.close(|extra| used.is_none() || extra.local != used);
            self.forget_sockets(&closed);
        }
    }

    /// The attempt is over; the socket of the path that is still used, if there is one, stays open.
    pub(super) fn stop_tactics(&mut self, now: Instant, used: Option<SocketAddr>) {
        self.settle_tactics(now, used);
        self.tactics.has_begun = false;
    }

    fn forget_sockets(&mut self, closed: &[SocketAddr]) {
        if closed.is_empty() {
            return;
        }
        let gone = self.pairs.iter().filter(|(_, pair)| closed.contains(&pair.path.local));
        let gone: alloc::vec::Vec<Slot> = gone.map(|(slot, _)| slot).collect();
        for slot in gone {
            self.forget_pair(slot);
        }
    }

    /// Where the other side's NAT is, as far as the mediator has seen it there, and which socket of ours it
    /// knows. Whoever wants somebody else pelted would have to come from there.
    fn target(&self) -> Option<(SocketAddr, SocketAddr)> {
        let seen_at = self.seen_at?;
        let is_there = |place: &&Place| {
            place.transport == Transport::Udp
                && place.address.ip() == seen_at.ip()
                && is_public(place.end.kind)
        };
        let there = self.remotes.iter().filter(is_there);
        let target = there.min_by_key(|place| place.end.kind != Kind::ServerReflexive)?.address;
        let same_family = |local: SocketAddr| local.is_ipv4() == target.is_ipv4();
        let is_fit = |base: &&Base| base.transport == Transport::Udp && same_family(base.local);
        let bases = self.bases.iter().filter(is_fit);
        let base = bases.clone().find(|base| !base.seen.is_empty()).or(bases.clone().next())?;
        Some((base.local, target))
    }

    /// Two endpoints of the mediator. A mapping that depends on the address alone wants two addresses.
    fn observers(&self, is_ipv4: bool) -> Option<[SocketAddr; 2]> {
        let observers = self.config.observers.as_ref()?;
        let mut endpoints = observers.endpoints.iter().filter(|endpoint| endpoint.is_ipv4() == is_ipv4);
        let first = *endpoints.next()?;
        let wants_address = self.config.nat.mapping != Some(Dependence::AddressAndPort);
        let second = endpoints.find(|second| !wants_address || second.ip() != first.ip())?;
        Some([first, *second])
    }

    // --- what is due ------------------------------------------------------------------------------

    pub(super) fn fire_tactics(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        if let Some(round) = self.tactics.brackets.as_mut().and_then(|brackets| brackets.due(now)) {
            self.open(Purpose::Bracket { round });
        }
        if self.tactics.openers.as_mut().is_some_and(|openers| openers.due(now)) {
            self.open(Purpose::Opener);
        }
        if let Some(step) = self.tactics.volley.as_mut().and_then(|volley| volley.due(now)) {
            self.step_volley(now, step);
        }
        if let Some(probes) = &mut self.tactics.probes
            && let Some((to, id)) = probes.due(now)
        {
            let base = probes.base;
            let len = self.write_probe(id, base, buf)?;
            return Some((Path::udp(base, to), len));
        }
        None
    }

    fn open(&mut self, purpose: Purpose) {
        if let Some((base, _)) = self.target()
            && self.tactics.extras.open(purpose, base.ip())
        {
            self.counters.sockets += 1;
        }
    }

    /// A socket that was asked for is open, or is not to be had.
    pub(super) fn bound(&mut self, now: Instant, id: SocketId, result: Result<SocketAddr, BindError>) {
        let Some(Extra { purpose, local: Some(local), .. }) = self.tactics.extras.bound(id, result) else {
            return;
        };
        let Some((_, target)) = self.target().filter(|_| self.selected_slot.is_none()) else { return };
        match purpose {
            Purpose::Bracket { round } => self.bracket(now, local, target, round),
            Purpose::Opener => {
                self.add_extra_pair(now, local, target, Strategy::Birthday, Rhythm::Once);
                self.tactics.run(now, Errand::Check { path: Path::udp(local, target) });
            }
            Purpose::Scout | Purpose::Volley => {}
        }
        self.set_tactics_timer(now);
    }

    /// The next packet that has its place in an order.
    pub(super) fn next_errand(&mut self, now: Instant, buf: &mut [u8]) -> Option<Done> {
        loop {
            let &(at, errand) = self.tactics.errands.front()?;
            if at > now {
                return None;
            }
            self.tactics.errands.pop_front();
            let sent = match errand {
                // The pair may be gone by now.
                Errand::Check { path } => self.pairs.at(path).and_then(|slot| self.check(now, slot, buf)),
                Errand::CheckInTurn { path } => {
                    self.pairs.at(path).and_then(|slot| self.check_in_turn(now, slot, buf))
                }
                Errand::Mark { path, mark } => self.mark(path, mark, buf),
                Errand::Limit { id, hops } => {
                    self.tactics.extras.requests.push_back(HostRequest::Limit { id, hops });
                    return Some(Done::Asked);
                }
            };
            if let Some((path, len)) = sent {
                return Some(Done::Packet(path, len));
            }
        }
    }

    fn mark(&mut self, path: Path, mark: Mark, buf: &mut [u8]) -> Option<(Path, usize)> {
        let observers = self.config.observers.as_ref()?;
        let id = TransactionId::random(&mut self.rng);
        let len = Writer::new(buf, Class::Request, Method::BINDING, id)
            .put(&Username(observers.username.as_bytes()))
            .put(&mark)
            .integrity(&observers.key)
            .fingerprint()
            .finish();
        if self.tactics.asked.len() == MAX_ASKED {
            self.tactics.asked.pop_front();
        }
        self.tactics.asked.push_back((id, mark));
        self.counters.marks += 1;
        Some((path, len.ok()?))
    }

    fn add_extra_pair(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        strategy: Strategy,
        rhythm: Rhythm,
    ) -> Slot {
        let path = Path::udp(local, remote);
        if let Some(slot) = self.pairs.at(path) {
            return slot;
        }
        let learned =
            End { kind: Kind::PeerReflexive, priority: candidate::priority(Kind::PeerReflexive, 0) };
        let end = self.place(remote).map_or(learned, |place| place.end);
        let mut pair = Pair::new(path, strategy, self.base_end(local), end, rhythm);
        pair.begin(now, rhythm);
        self.pairs.add(pair)
    }

    // --- guesses ----------------------------------------------------------------------------------

    /// Their NAT keeps ports: the public address with every inside port that is known.
    fn guess(&mut self, now: Instant) {
        let Some((base, target)) = self.target() else { return };
        let is_host = |place: &&Place| {
            place.end.kind == Kind::Host
                && place.transport == Transport::Udp
                && place.address.is_ipv4() == target.is_ipv4()
        };
        let hosts = self.remotes.iter().filter(is_host);
        let guesses: alloc::vec::Vec<SocketAddr> =
            hosts.map(|place| SocketAddr::new(target.ip(), place.address.port())).collect();
        for guess in guesses {
            let path = Path::udp(base, guess);
            if self.pairs.at(path).is_none() {
                let slot = self.add_extra_pair(now, base, guess, Strategy::Guess, Rhythm::Dense);
                self.check_at(slot, now);
            }
        }
    }

    // --- brackets ---------------------------------------------------------------------------------

    /// A request, the check, a request; and all once more, in case one gets lost.
    fn bracket(&mut self, now: Instant, local: SocketAddr, target: SocketAddr, round: u16) {
        let Some([first, second]) = self.observers(target.is_ipv4()) else { return };
        let slot = self.add_extra_pair(now, local, target, Strategy::Bracket, Rhythm::Dense);
        for at in [now, now + AGAIN] {
            let mark =
                |to, is_second| Errand::Mark { path: Path::udp(local, to), mark: Mark { round, is_second } };
            self.tactics.run(at, mark(first, false));
            let primed = self.primed(at, slot).map(|id| (id, self.hops()));
            if let Some((id, hops)) = primed {
                self.tactics.run(at, Errand::Limit { id, hops });
            }
            self.tactics.run(at, Errand::Check { path: Path::udp(local, target) });
            if let Some((id, _)) = primed {
                self.tactics.run(at, Errand::Limit { id, hops: 0 });
            }
            self.tactics.run(at, mark(second, true));
        }
        // The two checks above are the first two of its rhythm; the rest follow.
        if let Some(after) = Rhythm::Dense.offset(2) {
            self.check_at(slot, now + after);
        }
    }

    /// What the mediator, or the other side through it, says; believed as far as it names an address that
    /// the other side was seen at.
    pub(super) fn hear_hint(&mut self, now: Instant, hint: Hint) -> Result<(), Refused> {
        let ip = match hint {
            Hint::Bracket { ip, .. } => ip,
            Hint::Aim { at } => at.ip(),
        };
        let is_seen = |ip| self.seen_at.is_some_and(|seen| seen.ip() == ip);
        if matches!(hint, Hint::Aim { at } if !is_seen(at.ip())) {
            return Err(Refused::Nowhere);
        }
        if !self.is_kin()
            || !self.remotes.iter().any(|place| place.address.ip() == ip && is_public(place.end.kind))
        {
            return Err(Refused::Nowhere);
        }
        match hint {
            Hint::Bracket { ip, first, second } => self.follow_bracket(now, ip, first, second),
            Hint::Aim { at } => {
                candidate::may_send(at, false)?;
                let volley = self.tactics.volley.as_mut().ok_or(Refused::TooMany)?;
                volley.hear(at);
                if let Some(step) = self.tactics.volley.as_mut().and_then(|volley| volley.due(now)) {
                    self.step_volley(now, step);
                }
                self.set_tactics_timer(now);
                Ok(())
            }
        }
    }

    fn follow_bracket(&mut self, now: Instant, ip: IpAddr, first: u16, second: u16) -> Result<(), Refused> {
        if self.selected_slot.is_some() {
            return Ok(());
        }
        let (base, target) = self.target().ok_or(Refused::Nowhere)?;
        if target.ip() != ip {
            return Err(Refused::Nowhere);
        }
        let step = self.remote.as_ref().and_then(|remote| remote.nat.step());
        let step = step.unwrap_or(if second < first { -1 } else { 1 });
        if guesses(first, second, step).next().is_none() {
            return Err(Refused::TooMany);
        }
        for port in guesses(first, second, step) {
            let to = SocketAddr::new(ip, port);
            candidate::may_send(to, false)?;
            if self.pairs.at(Path::udp(base, to)).is_none() && self.pairs.len() < MAX_PAIRS + MAX_EXTRA {
                let slot = self.add_extra_pair(now, base, to, Strategy::Bracket, Rhythm::Dense);
                self.check_at(slot, now);
            }
        }
        Ok(())
    }

    // --- volleys ----------------------------------------------------------------------------------

    fn step_volley(&mut self, now: Instant, step: Step) {
        let Some((_, target)) = self.target() else { return };
        match step {
            Step::Open { sockets } => {
                let is_old = |extra: &Extra| matches!(extra.purpose, Purpose::Volley | Purpose::Scout);
                let closed = self.tactics.extras.close(is_old);
                self.forget_sockets(&closed);
                self.open(Purpose::Scout);
                (0..sockets).for_each(|_| self.open(Purpose::Volley));
            }
            Step::More { sockets } => (0..sockets).for_each(|_| self.open(Purpose::Volley)),
            Step::Ask { round } => {
                let Some([first, second]) = self.observers(target.is_ipv4()) else { return };
                // Asked again it asks the other endpoint: a new port, closer to those that will follow.
                let to = if self.tactics.asked.len().is_multiple_of(2) { first } else { second };
                let mark = Mark { round: VOLLEY_ROUNDS | round, is_second: false };
                let scout = self.tactics.extras.open_for(Purpose::Scout).next();
                if let Some(local) = scout {
                    let errand = Errand::Mark { path: Path::udp(local, to), mark };
                    self.tactics.run(now, errand);
                }
            }
            Step::Fire { at } => {
                let sockets: alloc::vec::Vec<SocketAddr> =
                    self.tactics.extras.open_for(Purpose::Volley).collect();
                for local in sockets {
                    self.add_extra_pair(now, local, at, Strategy::Volley, Rhythm::Once);
                    self.tactics.run(now, Errand::Check { path: Path::udp(local, at) });
                }
            }
        }
    }

    /// An answer of a mediator to a request of ours; whether it was one.
    pub(super) fn observed(&mut self, now: Instant, path: Path, message: &Message<'_>) -> bool {
        let Some(observers) = &self.config.observers else { return false };
        if !observers.endpoints.contains(&path.remote) || !self.tactics.extras.has(path.local) {
            return false;
        }
        let id = message.transaction_id();
        let Some(index) = self.tactics.asked.iter().position(|(asked, _)| *asked == id) else { return true };
        let Some((_, mark)) = self.tactics.asked.remove(index) else { return true };
        let Ok(Some(XorMappedAddress(mapped))) = message.find() else { return true };
        let step = self.config.nat.step().unwrap_or(1);
        if let Some(brackets) = &mut self.tactics.brackets {
            brackets.saw(now, mark, mapped.port(), step);
        }
        let scouted = mark.round.checked_sub(VOLLEY_ROUNDS);
        if let (Some(round), Some(volley)) = (scouted, &mut self.tactics.volley)
            && let Some(at) = volley.scouted(now, round, mapped)
        {
            self.events.push_back(Event::Tell(Hint::Aim { at }));
        }
        self.set_tactics_timer(now);
        true
    }
}

/// An address as others see it.
const fn is_public(kind: Kind) -> bool {
    matches!(kind, Kind::ServerReflexive | Kind::PeerReflexive | Kind::Host)
}
