//! What is due, and the checks that leave (RFC 8445 §6.1.4, §7.2).

use core::net::SocketAddr;

use super::agent::{Agent, FIRST_PAIR, KEEP, PATIENCE, Phase, TACTICS, ToAnswer};
use super::budget::{Allowance, PACE};
use super::candidate;
use super::check::{Check, Reply};
use super::keep::Due;
use super::pair::{End, Sent};
use super::pairs::Slot;
use super::{Kind, Loss, Party, Role, Strategy};
use crate::machine::Path;
use crate::time::{Duration, Instant};
use crate::timers::Key;
use crate::wire::stun::TransactionId;
use crate::wire::stun::attr::Proof;

/// How many answers wait to be sent at most; a check that comes in on top of these counts as lost.
const MAX_ANSWERS: usize = 64;
/// How much longer a pair waits for its share of the budget for each check that it has had.
const TURN: Duration = Duration::from_millis(1);

impl Agent {
    pub(super) fn be_patient(&mut self, now: Instant) {
        self.timers.set(PATIENCE, now + self.config.patience);
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
    pub(super) fn fire(&mut self, now: Instant, key: Key, buf: &mut [u8]) -> Option<(Path, usize)> {
        match key {
            PATIENCE => {
                if self.phase == Phase::Waiting {
                    self.lose(now, Loss::Consent);
                } else if self.selected_slot.is_none() {
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
        let (remote, step) = (pair.remote(), pair.step());
        match self.budget.ask(now, remote) {
            Allowance::Now => {}
            Allowance::At(at) => {
                // Who has had fewer goes first, or a socket of ours that leads nowhere takes it all.
                self.check_at(slot, at + TURN * step.into());
                return None;
            }
            Allowance::Never => {
                self.counters.withheld += 1;
                return None;
            }
        }
        if let Some(id) = self.primed(now, slot) {
            let hops = self.hops();
            let path = self.pairs.pair(slot)?.path;
            self.tactics.prime_first(now, path, id, hops);
            return None;
        }
        self.check_in_turn(now, slot, buf)
    }

    /// Writes a check of a pair's rhythm, and sees to the next one.
    pub(super) fn check_in_turn(
        &mut self,
        now: Instant,
        slot: Slot,
        buf: &mut [u8],
    ) -> Option<(Path, usize)> {
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
}
