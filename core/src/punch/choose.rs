//! Which pair is used (RFC 8445 §8).
//!
//! Between our own: the side in control uses the first pair that is proven, gives that choice a number and
//! says it with the next check, which also carries the proof; the other side follows the highest number it
//! has heard. Until it has heard one it uses whatever works, so both can send as soon as they know. When a
//! better pair is proven later, it gets the next number; but only if both ends were named, for who has heard
//! of a choice closes the sockets that its strategies have opened.
//!
//! Toward a foreign agent: the first pair that works is nominated (RFC 8445 §8.1.1; no other one is after
//! it), and used at once (§12.1 allows it for any pair that works).

use super::agent::{Agent, Phase};
use super::keep::{self, Keep};
use super::pair::Pair;
use super::pairs::Slot;
use super::schedule::{self, Rhythm};
use super::{Event, Kind, Loss, Party, Role, Selected, Strategy};
use crate::time::{Duration, Instant};

/// How often a choice is repeated to one of our own that does not answer: two seconds long.
const CONFIRMATIONS: u16 = 7;
/// How many checks a better pair than the one in use still gets.
const CHECKS_FOR_BETTER: u16 = 7;

impl Agent {
    /// A pair leads both ways.
    pub(super) fn prove(&mut self, now: Instant, slot: Slot, round_trip: Option<Duration>) {
        let (is_kin, has_path) = (self.is_kin(), self.selected_slot.is_some());
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        pair.round_trip = round_trip.or(pair.round_trip);
        pair.is_frozen = false;
        if pair.works {
            return;
        }
        pair.works = true;
        // It has not been able to send here before it got our check, so it is half a round trip behind: what
        // our check proves need not wait for the answer to its own.
        if is_kin && !pair.is_heard && !has_path {
            // Its answer is a round trip away.
            let gap = pair.round_trip.map_or(Duration::ZERO, schedule::gap);
            self.confirm(now, slot, gap);
        }
    }

    /// Checks a pair that works from `at` until that was answered, once in `gap` at most.
    pub(super) fn confirm(&mut self, at: Instant, slot: Slot, gap: Duration) {
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        pair.is_confirming = true;
        pair.begin(at, Rhythm::Open);
        pair.gap = gap;
        self.check_at(slot, at);
    }

    /// Whether one of our own has not answered for so long that what it proved is no longer so.
    pub(super) fn is_forsaken(&self, slot: Slot) -> bool {
        let is_over = |pair: &Pair| pair.works && pair.is_confirming && pair.step() >= CONFIRMATIONS;
        self.is_kin() && self.pairs.pair(slot).is_some_and(is_over)
    }

    /// Uses the next best pair that works instead, if there is one.
    pub(super) fn forsake(&mut self, now: Instant, slot: Slot) {
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        (pair.works, pair.is_confirming, pair.nomination) = (false, false, 0);
        if self.selected_slot != Some(slot) {
            return;
        }
        if self.best(|pair| pair.works).is_none() {
            return self.lose(now, Loss::Consent);
        }
        self.selected_slot = None;
        self.choose(now);
        if self.selected_slot.is_none() {
            self.lose(now, Loss::Consent);
        }
    }

    /// Whether there is any use in another check of this pair.
    pub(super) fn is_wanted(&self, slot: Slot) -> bool {
        let (Phase::Active, Some(pair)) = (self.phase, self.pairs.pair(slot)) else { return false };
        if pair.works {
            return pair.is_confirming;
        }
        let Some(used) = self.selected_slot.and_then(|used| self.pairs.pair(used)) else { return true };
        match (self.is_kin(), self.role) {
            (true, Role::Controlled) => false,
            (true, Role::Controlling) => {
                pair.priority(self.role) > used.priority(self.role)
                    && pair.step() < CHECKS_FOR_BETTER
                    && self.may_take_over(pair)
            }
            // A foreign agent may yet nominate another one (RFC 8445 §8.1.1).
            (false, _) => pair.is_heard && pair.step() < CHECKS_FOR_BETTER,
        }
    }

    pub(super) fn choose(&mut self, now: Instant) {
        match self.role {
            Role::Controlling => self.decide(now),
            Role::Controlled => self.follow(now),
        }
    }

    /// Whether this pair may be used instead of the one that is: its ends are there to stay.
    fn may_take_over(&self, pair: &Pair) -> bool {
        let Some(used) = self.selected_slot.and_then(|used| self.pairs.pair(used)) else { return true };
        let is_named = || {
            self.place(pair.path.remote).is_some()
                && self.bases.iter().any(|base| base.local == pair.path.local)
        };
        !self.is_kin() || used.path == pair.path || used.strategy == Strategy::Relay || is_named()
    }

    fn decide(&mut self, now: Instant) {
        let Some(best) = self.best(|pair| pair.works && self.may_take_over(pair)) else { return };
        let is_better = |used: Slot| {
            let priority = |slot| self.pairs.pair(slot).map(|pair| pair.priority(Role::Controlling));
            priority(best) > priority(used)
        };
        if self.is_kin() {
            if self.selected_slot.is_some_and(|used| !is_better(used)) {
                return;
            }
            self.nomination += 1;
            let Some(pair) = self.pairs.pair_mut(best) else { return };
            pair.nomination = self.nomination;
            let gap = pair.round_trip.map_or(Duration::ZERO, schedule::gap);
            self.confirm(now, best, gap);
            self.select(now, best);
            return;
        }
        if self.selected_slot.is_none() {
            self.select(now, best);
        }
        // One that was selected before a change of roles has yet to be nominated in this one.
        let is_open = |slot: &Slot| self.pairs.pair(*slot).is_some_and(|pair| !pair.is_nominated);
        if let Some(used) = self.selected_slot.filter(is_open) {
            self.nominate(now, used);
        }
    }

    /// Tells a foreign agent that this pair is the one.
    fn nominate(&mut self, now: Instant, slot: Slot) {
        let is_full = self.remote.as_ref().is_some_and(|remote| remote.party == Party::Foreign);
        let Some(pair) = self.pairs.pair_mut(slot) else { return };
        pair.is_nominated = true;
        // rice-proto behind a NAT never selects if a nomination comes in while its own check of that pair is
        // under way. A check that has not come yet is waited for, unless the nomination is there before it.
        let trip = pair.round_trip.unwrap_or_default();
        let may_cross = !pair.is_heard && pair.remote.kind != Kind::Host && trip > schedule::TURN;
        let at = if is_full && may_cross { pair.heard_by().max(now) } else { now };
        // Its answer to a repetition would put off the check that it has in turn for the first.
        self.confirm(at, slot, trip + schedule::TURN);
    }

    fn follow(&mut self, now: Instant) {
        let highest = self.nomination;
        let chosen = match highest {
            0 => self.best(|pair| pair.works && pair.is_nominated),
            // If it is not proven here yet, what is in use stays until it is.
            _ => self.best(|pair| pair.works && pair.nomination == highest),
        };
        let Some(chosen) = chosen else { return };
        let is_provisional = highest == 0 && self.is_kin();
        let has_other = self.selected_slot.is_some_and(|used| used != chosen);
        if self.selected_slot != Some(chosen) && !(is_provisional && has_other) {
            self.select(now, chosen);
        }
        if !is_provisional {
            // Until the other side has chosen, it may choose any socket that we have opened.
            self.settle(now);
        }
    }

    /// One of our own has answered to what we have chosen: until then it may use any socket that we have
    /// opened.
    pub(super) fn confirmed(&mut self, now: Instant, slot: Slot) {
        if self.is_kin() && self.role == Role::Controlling && self.selected_slot == Some(slot) {
            self.settle(now);
        }
    }

    /// Both sides know which path it is.
    fn settle(&mut self, now: Instant) {
        self.settle_tactics(now, self.selected.map(|selected| selected.path.local));
    }

    fn best(&self, is_fit: impl Fn(&Pair) -> bool) -> Option<Slot> {
        let fit = self.pairs.iter().filter(|(_, pair)| is_fit(pair));
        // Of equals the first one, whatever the order of a map would be.
        fit.max_by_key(|(slot, pair)| (pair.priority(self.role), core::cmp::Reverse(*slot)))
            .map(|(slot, _)| slot)
    }

    fn select(&mut self, now: Instant, slot: Slot) {
        let Some(pair) = self.pairs.pair(slot) else { return };
        // A socket that a strategy has opened is not among them: nobody was told how it looks.
        let base = self.bases.iter().find(|base| base.local == pair.path.local);
        let local =
            base.map_or(Kind::PeerReflexive, |base| base.seen.first().map_or(Kind::Host, |(_, kind)| *kind));
        let selected = Selected {
            path: pair.path,
            local,
            remote: pair.remote.kind,
            strategy: pair.strategy,
            round_trip: pair.round_trip,
            elapsed: now.since(self.began),
            packets: self.packets_of_attempt(),
        };
        let is_kin = self.is_kin();
        let interval = keep::interval(self.config.nat.lifetime, self.config.keepalive);
        self.selected = Some(selected);
        self.selected_slot = Some(slot);
        self.previous = None;
        self.keep = Some(Keep::new(now, interval, is_kin));
        self.set_keep_timer(now);
        self.rest_tactics(now);
        self.events.push_back(Event::Selected(selected));
    }
}
