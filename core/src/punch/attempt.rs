//! An attempt: from two lists of addresses to pairs, and its end (RFC 8445 §6.1.2).

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::agent::{Agent, FIRST_PAIR, Phase};
use super::budget::PACE;
use super::candidate::{self, can_pair};
use super::pair::{End, Pair};
use super::pairs::{MAX_PAIRS, Slot};
use super::schedule::Rhythm;
use super::{Event, Failure, Kind, Loss, Nat, Party, Role, Strategy};
use crate::machine::{Path, Transport};
use crate::scope::Scope;
use crate::time::{Duration, Instant};
use crate::timers::Timers;

/// How long a pair waits for another one of its foundation (RFC 8445 §6.1.2.6).
const FROZEN: Duration = Duration::from_millis(50);

impl Agent {
    /// All that is known of both sides is checked from the beginning.
    pub(super) fn attempt(&mut self, now: Instant) {
        self.phase = Phase::Active;
        self.began = now;
        self.packets_before = self.packets();
        self.budget.renew();
        self.quiet_until = now;
        self.tried = [0; Strategy::ALL.len()];
        self.stop_tactics(now, self.selected.map(|selected| selected.path.local));
        self.forget_pairs();
        if self.role == Role::Controlled {
            // Whoever is in control goes on counting: the other side may not have lost anything.
            self.nomination = 0;
        }
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
            self.take_early(now, &early);
        }
        self.be_patient(now);
        self.begin_tactics(now);
    }

    pub(super) fn pair_up(&mut self, now: Instant, base: usize, remote: usize) -> Option<Slot> {
        let (base, place) = (&self.bases[base], self.remotes[remote]);
        if base.transport != place.transport
            || base.local == place.address
            || !can_pair(base.local, place.address)
        {
            return None;
        }
        let path = Path { transport: place.transport, local: base.local, remote: place.address };
        let of_candidates =
            self.pairs.iter().filter(|(_, pair)| matches!(pair.strategy, Strategy::Plain | Strategy::Relay));
        if self.pairs.at(path).is_some() || of_candidates.count() >= MAX_PAIRS {
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
        pair.foundation = self.hash(&place.foundation.to_be_bytes()) ^ self.hash(&ip_bytes(ip));
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

    pub(super) fn forget_pairs(&mut self) {
        self.pairs.clear();
        self.timers = Timers::default();
        self.selected_slot = None;
        self.keep = None;
        self.learned = 0;
    }

    /// Checks a pair at this time, whatever its rhythm says.
    pub(super) fn check_at(&mut self, slot: Slot, at: Instant) {
        self.timers.set(FIRST_PAIR + slot, at);
    }

    pub(super) fn is_kin(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.party == Party::Kin)
    }

    /// Tells foundations and addresses apart; nobody outside can aim at it.
    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        use core::hash::{BuildHasher as _, Hasher as _};
        let mut hasher = self.tokens.build_hasher();
        hasher.write(bytes);
        hasher.finish() as u32
    }

    pub(super) fn fail(&mut self, now: Instant) {
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

    pub(super) fn end(&mut self, now: Instant, phase: Phase) {
        self.phase = phase;
        self.forget_pairs();
        self.answers.clear();
        self.early.clear();
        self.stop_tactics(now, None);
    }

    /// The path is of no use any more: from the beginning, with what is known.
    pub(super) fn lose(&mut self, now: Instant, why: Loss) {
        let Some(selected) = self.selected.take() else { return };
        self.losses = self.losses.wrapping_add(1);
        self.events.push_back(Event::Lost { path: selected.path, why });
        self.stop_tactics(now, None);
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
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => ours.octets()[..3] != theirs.octets()[..3],
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => ours.octets()[..8] != theirs.octets()[..8],
        _ => true,
    }
}

fn ip_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
