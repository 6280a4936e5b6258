//! What comes in: checks, answers and data (RFC 8445 §7.2.5, §7.3).
//!
//! Nothing changes before a seal is found to hold.

use core::hash::BuildHasher as _;
use core::net::SocketAddr;

use super::agent::{Agent, Phase, Place};
use super::check::{Answer, Asked, Bad, Reply, names};
use super::extra::MAX_EXTRA;
use super::pair::{End, Pair};
use super::pairs::{MAX_PAIRS, Slot};
use super::schedule::{self, Rhythm};
use super::{Event, Kind, Role, Strategy};
use crate::machine::{Path, Verdict};
use crate::time::{Duration, Instant};
use crate::wire::demux::Protocol;
use crate::wire::stun::attr::{ErrorCode, Proof, Username};
use crate::wire::stun::{Class, Message, Method};

/// How many addresses are learned from checks at most: two NATs that show another port to each packet lead
/// whoever follows on an endless chase.
const MAX_LEARNED: u8 = 10;
/// How often a foreign agent is told that it is nominated, even if it has answered: some act on it only once
/// a check of their own has come back, and do not repeat that.
const FOREIGN_NOMINATIONS: u16 = 3;
/// How many checks are remembered that come before we know who the other side is (RFC 8445 §6.1.1).
const MAX_EARLY: usize = 16;

/// A check that came before we knew who the other side is. It was answered.
pub(super) struct Early {
    path: Path,
    sender: alloc::vec::Vec<u8>,
    asked: Asked,
}

impl Agent {
    pub(super) fn listen(&mut self, now: Instant, path: Path, bytes: &[u8]) -> Verdict {
        if Protocol::of(bytes) != Some(Protocol::Stun) {
            return self.deliver(now, path, bytes);
        }
        let Ok(message) = Message::parse(bytes) else { return self.deliver(now, path, bytes) };
        if matches!(self.phase, Phase::Failed | Phase::Closed) || message.method() != Method::BINDING {
            return Verdict::Unclaimed;
        }
        match message.class() {
            Class::Request => self.asked(now, path, &message),
            Class::Success | Class::Error => self.answered(now, path, &message),
            // A keepalive of a foreign agent: it has done what it is for.
            Class::Indication if self.pairs.at(path).is_some() => Verdict::Consumed,
            Class::Indication => Verdict::Unclaimed,
        }
    }

    /// Data, if it came by a path that has proved to lead to the other side.
    fn deliver(&mut self, now: Instant, path: Path, bytes: &[u8]) -> Verdict {
        let is_selected = self.selected.is_some_and(|selected| selected.path == path);
        if is_selected && let Some(keep) = &mut self.keep {
            keep.hears(now);
        }
        let is_proven =
            || self.pairs.at(path).and_then(|slot| self.pairs.pair(slot)).is_some_and(|pair| pair.works);
        match is_selected || is_proven() {
            true => Verdict::Deliver { from: path.remote, body: 0..bytes.len() },
            false => Verdict::Unclaimed,
        }
    }

    // --- checks of the other side -----------------------------------------------------------------

    fn asked(&mut self, now: Instant, path: Path, message: &Message<'_>) -> Verdict {
        let Ok(Some(Username(username))) = message.find::<Username<'_>>() else { return Verdict::Unclaimed };
        let Some(sender) = names(username, self.ours.ufrag()) else {
            return self.asked_before(path, message);
        };
        let theirs = self.remote.as_ref().map(|remote| remote.credentials.ufrag());
        let asked = match Asked::read(message, &self.ours, theirs) {
            Ok(asked) => asked,
            Err(bad) => {
                self.turn_down(path, message, bad);
                return Verdict::Consumed;
            }
        };
        let is_repeated = self.seen.knows(asked.id);
        if self.seen.is_replay(asked.id, path) {
            self.counters.unproven += 1;
            return Verdict::Consumed;
        }
        self.counters.asked += 1;
        // What it says of roles was settled when it first came; the other side may have given in since.
        let is_settled = is_repeated && asked.role.is_some_and(|(theirs, _)| theirs == self.role);
        if is_settled || !self.settle_roles(&asked) {
            self.answer(path, asked.id, Reply::RoleConflict, false);
            if !is_repeated {
                self.insist(now, path, &asked);
            }
            return Verdict::Consumed;
        }
        if self.remote.is_some() {
            self.heard(now, path, &asked);
        }
        // After what it leads to: if that is a choice, the answer tells it.
        let nomination = self.tell_choice(now, path);
        let proof = asked.proof.map(|_| Proof { nomination, token: self.token(path) });
        self.answer(path, asked.id, Reply::Success { mapped: path.remote, proof }, false);
        if self.remote.is_none() && self.early.len() < MAX_EARLY {
            self.early.push(Early { path, sender: sender.into(), asked });
        }
        Verdict::Consumed
    }

    /// The number of our choice, for an answer on this path: who has lost the path alone has to hear again
    /// which one it is. A check that was to tell it waits for as long as what this answer leads to takes.
    fn tell_choice(&mut self, now: Instant, path: Path) -> u32 {
        if self.role == Role::Controlled {
            return 0;
        }
        let (gap, is_kin) = (schedule::gap(now.since(self.began)), self.is_kin());
        let Some(slot) = self.pairs.at(path) else { return 0 };
        let Some(pair) = self.pairs.pair(slot) else { return 0 };
        let nomination = pair.nomination;
        if is_kin && nomination > 0 && pair.is_confirming && pair.step() == 0 {
            self.confirm(now + gap, slot, gap);
        }
        nomination
    }

    /// The other side may not know yet that we have restarted: its checks keep the old path alive.
    fn asked_before(&mut self, path: Path, message: &Message<'_>) -> Verdict {
        let Some(previous) = &self.previous else { return Verdict::Unclaimed };
        let Ok(asked) = Asked::read(message, previous, None) else { return Verdict::Unclaimed };
        self.answer(path, asked.id, Reply::Success { mapped: path.remote, proof: None }, true);
        Verdict::Consumed
    }

    fn turn_down(&mut self, path: Path, message: &Message<'_>, bad: Bad) {
        let reply = match bad {
            // Who cannot seal gets no answer: it would be a service for whoever spoofs addresses.
            Bad::Unproven | Bad::Stranger => {
                self.counters.unproven += 1;
                return;
            }
            Bad::Unknown(kind) => Reply::Unknown(kind),
            Bad::Incomplete => Reply::BadRequest,
        };
        self.answer(path, message.transaction_id(), reply, false);
    }

    /// Two that think the same: the greater number stays in control (RFC 8445 §7.3.1.1). False if the other
    /// one has to give in.
    fn settle_roles(&mut self, asked: &Asked) -> bool {
        let Some((theirs, number)) = asked.role.filter(|(theirs, _)| *theirs == self.role) else {
            return true;
        };
        self.are_roles_settled = self.tie_breaker != number;
        let we_stay_in_control = self.tie_breaker >= number;
        if we_stay_in_control == (theirs == Role::Controlling) {
            return false;
        }
        self.switch_role();
        true
    }

    /// A foreign agent has to give in. rtc-ice reads no 487: it does so only when it gets a check with our number,
    /// also at an address that nobody has named, and when a pair that works would get none any more.
    fn insist(&mut self, now: Instant, path: Path, asked: &Asked) {
        if self.remote.is_none() || self.is_kin() {
            return;
        }
        self.heard(now, path, asked);
        let Some(slot) = self.pairs.at(path) else { return };
        if self.pairs.pair(slot).is_some_and(|pair| pair.works && !pair.is_confirming) {
            self.confirm(now, slot, schedule::gap(now.since(self.began)));
        }
    }

    fn switch_role(&mut self) {
        self.role = self.role.other();
        self.nomination = 0;
        for (_, pair) in self.pairs.iter_mut() {
            (pair.nomination, pair.is_nominated) = (0, false);
        }
        self.events.push_back(Event::RoleChanged(self.role));
    }

    pub(super) fn take_early(&mut self, now: Instant, early: &Early) {
        let theirs = self.remote.as_ref().map(|remote| remote.credentials.ufrag());
        if theirs.is_some_and(|theirs| theirs.as_bytes() == early.sender) {
            self.heard(now, early.path, &early.asked);
        }
    }

    /// A check that is what it says came in on `path`.
    fn heard(&mut self, now: Instant, path: Path, asked: &Asked) {
        let Some(slot) = self.pairs.at(path).or_else(|| self.learn(path, asked)) else { return };
        let (role, token, is_kin) = (self.role, self.token(path), self.is_kin());
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        pair.is_heard = true;
        let mut shows_our_token = false;
        if let Some(proof) = asked.proof {
            shows_our_token = proof.token == token;
            if role == Role::Controlled {
                pair.nomination = pair.nomination.max(proof.nomination);
                self.nomination = self.nomination.max(proof.nomination);
            }
        }
        if role == Role::Controlled && asked.use_candidate {
            pair.is_nominated = true;
        }
        if shows_our_token {
            // It has got an answer of ours: it knows already.
            pair.is_confirming &= role == Role::Controlling;
            // An answer of ours has arrived there: it is no address of somebody else's.
            self.budget.answered(path.remote);
            self.prove(now, slot, None);
        }
        if self.selected_slot == Some(slot)
            && let Some(keep) = &mut self.keep
        {
            // No consent: whoever has overheard a check can send it again (RFC 7675 §5.1).
            keep.hears(now);
        }
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        if !pair.works {
            let gap = schedule::gap(now.since(self.began));
            // A foreign agent may act only on a check that comes after the answer to its own, as rtc-ice does
            // before its next tick; and RFC 8445 §7.3.1.4 has one leave whatever is under way.
            let rest = if is_kin { schedule::LATELY } else { Duration::ZERO };
            let due = pair.trigger(now, gap, rest);
            self.quiet_until = now + gap * 2 + schedule::LATELY;
            if self.is_wanted(slot) {
                self.check_at(slot, due);
            }
        } else if !is_kin && pair.is_confirming && pair.step() == 0 {
            // The nomination has waited for this.
            self.check_at(slot, now);
        }
        self.choose(now);
    }

    /// The other side is somewhere nobody has named (RFC 8445 §7.3.1.3).
    fn learn(&mut self, path: Path, asked: &Asked) -> Option<Slot> {
        let is_strategic = self.tactics.extras.has(path.local);
        // A socket that was given up while this was on its way is no way to anybody.
        if !is_strategic && !self.bases.iter().any(|base| base.local == path.local) {
            return None;
        }
        // What the other side has chosen is followed, however much there was before.
        let may_choose = self.role == Role::Controlled && self.is_kin();
        let is_chosen = may_choose && asked.proof.is_some_and(|proof| proof.nomination > self.nomination);
        let is_enough = self.learned >= MAX_LEARNED && !is_strategic && !is_chosen
            || self.pairs.len() >= MAX_PAIRS + MAX_EXTRA;
        if is_enough {
            return None;
        }
        self.learned = self.learned.saturating_add(1);
        let remote = End { kind: Kind::PeerReflexive, priority: asked.priority };
        let strategy = match () {
            () if is_strategic => self.strategy_of(path.local).unwrap_or(Strategy::PeerReflexive),
            () if self.tactics.is_probed(path.local, path.remote) => Strategy::Birthday,
            () => Strategy::PeerReflexive,
        };
        let pair = Pair::new(path, strategy, self.base_end(path.local), remote, Rhythm::Open);
        self.events.push_back(Event::Learned(path.remote));
        Some(self.pairs.add(pair))
    }

    /// How the pairs of a socket are meant to be won.
    fn strategy_of(&self, local: SocketAddr) -> Option<Strategy> {
        self.pairs.iter().find(|(_, pair)| pair.path.local == local).map(|(_, pair)| pair.strategy)
    }

    /// What whoever gets our answers on this path has to show.
    fn token(&self, path: Path) -> u64 {
        self.tokens.hash_one((path.local, path.remote, self.losses)).max(1)
    }

    // --- answers to checks of ours ----------------------------------------------------------------

    fn answered(&mut self, now: Instant, path: Path, message: &Message<'_>) -> Verdict {
        let is_kin = self.is_kin();
        let Some(remote) = &self.remote else { return Verdict::Unclaimed };
        let Some(slot) = self.pairs.at(path) else { return self.answered_elsewhere(now, path, message) };
        let Some(pair) = self.pairs.pair_mut(slot) else { return Verdict::Unclaimed };
        let id = message.transaction_id();
        let is_probe = self.tactics.is_answer(path, id);
        // Looked at before it is taken: a forged answer must not use up the real one.
        if !is_probe && pair.under_way(id).is_none() {
            return Verdict::Unclaimed;
        }
        let Some(answer) = Answer::read(message, &remote.credentials) else {
            self.counters.unproven += 1;
            return Verdict::Consumed;
        };
        // rtc-ice says that to whatever conflicts, even if it is the one that gives in, and goes on to answer as
        // if nothing had been: who believes it has the conflict again. `is` compares the other way round if both
        // are controlled: who says it a second time has not given in.
        if answer == Answer::Error(ErrorCode::ROLE_CONFLICT) && !is_kin {
            let is_current = pair.under_way(id).is_some_and(|sent| sent.role == self.role);
            if self.are_roles_settled || !is_current {
                self.are_roles_settled &= !is_current;
                self.counters.stray += 1;
                return Verdict::Consumed;
            }
        }
        let Some(sent) = pair.answered(id) else {
            if let (true, Answer::Success { proof, .. }) = (is_probe, answer) {
                pair.token = proof.map_or(pair.token, |proof| proof.token);
                self.budget.answered(path.remote);
                self.prove(now, slot, None);
                self.choose(now);
            }
            return Verdict::Consumed;
        };
        self.budget.answered(path.remote);
        match answer {
            // One that is about an older role of ours is settled already.
            Answer::Error(ErrorCode::ROLE_CONFLICT) if sent.role == self.role => {
                self.switch_role();
                (self.tie_breaker, self.are_roles_settled) = (self.rng.u64(), false);
                self.check_at(slot, now);
                // What was found before may be ours to nominate now.
                self.choose(now);
            }
            Answer::Error(_) => self.counters.stray += 1,
            Answer::Success { mapped, proof } => {
                pair.token = proof.map_or(pair.token, |proof| proof.token);
                if let Some(proof) = proof.filter(|_| self.role == Role::Controlled) {
                    pair.nomination = pair.nomination.max(proof.nomination);
                    self.nomination = self.nomination.max(proof.nomination);
                }
                let is_confirmed = sent.is_confirming && (is_kin || pair.step() >= FOREIGN_NOMINATIONS);
                pair.is_confirming &= !is_confirmed;
                self.note_mapped(path.local, mapped);
                self.prove(now, slot, Some(now.since(sent.at)));
                if is_confirmed {
                    self.confirmed(now, slot);
                }
                self.keep_proven(now, slot, now.since(sent.at));
                self.thaw(now, slot);
                self.choose(now);
            }
        }
        Verdict::Consumed
    }

    /// An answer to a check that nothing was kept of, or of an observer.
    fn answered_elsewhere(&mut self, now: Instant, path: Path, message: &Message<'_>) -> Verdict {
        let id = message.transaction_id();
        if self.tactics.is_answer(path, id) {
            let Some(remote) = &self.remote else { return Verdict::Unclaimed };
            let Some(Answer::Success { proof, .. }) = Answer::read(message, &remote.credentials) else {
                self.counters.unproven += 1;
                return Verdict::Consumed;
            };
            self.budget.answered(path.remote);
            let end = End {
                kind: Kind::PeerReflexive,
                priority: super::candidate::priority(Kind::PeerReflexive, u16::MAX),
            };
            let mut pair = Pair::new(path, Strategy::Birthday, self.base_end(path.local), end, Rhythm::Open);
            pair.token = proof.map_or(0, |proof| proof.token);
            let slot = self.pairs.add(pair);
            self.events.push_back(Event::Learned(path.remote));
            self.prove(now, slot, None);
            self.choose(now);
            return Verdict::Consumed;
        }
        if self.observed(now, path, message) { Verdict::Consumed } else { Verdict::Unclaimed }
    }

    /// The other side sees us where nobody has seen us before (RFC 8445 §7.2.5.3.1).
    fn note_mapped(&mut self, local: SocketAddr, mapped: SocketAddr) {
        const MAX_SEEN: usize = 8;
        let Some(base) = self.bases.iter_mut().find(|base| base.local == local) else { return };
        let is_known = mapped == local || base.seen.iter().any(|(seen, _)| *seen == mapped);
        if !is_known && base.seen.len() < MAX_SEEN {
            base.seen.push((mapped, Kind::PeerReflexive));
        }
    }

    /// What its like waited for has happened (RFC 8445 §7.2.5.3.3).
    fn thaw(&mut self, now: Instant, slot: Slot) {
        let Some(foundation) = self.pairs.pair(slot).map(|pair| pair.foundation) else { return };
        let mut thawed = alloc::vec::Vec::new();
        for (slot, pair) in
            self.pairs.iter_mut().filter(|(_, pair)| pair.is_frozen && pair.foundation == foundation)
        {
            pair.is_frozen = false;
            pair.begin(now, pair.rhythm);
            thawed.push(slot);
        }
        for slot in thawed {
            self.check_at(slot, now);
        }
    }

    pub(super) fn keep_proven(&mut self, now: Instant, slot: Slot, trip: Duration) {
        if self.selected_slot == Some(slot)
            && let Some(keep) = &mut self.keep
        {
            let jitter = self.rng.u64() as u8;
            keep.is_proven(now, trip, jitter);
            self.set_keep_timer(now);
        }
    }

    /// What we were told of this address of the other side.
    pub(super) fn place(&self, address: SocketAddr) -> Option<&Place> {
        self.remotes.iter().find(|place| place.address == address)
    }
}
