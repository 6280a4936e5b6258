//! At the end of a run: what became of each two that wanted to reach each other, and whether that is what
//! had to become of them.

use bradawl::time::{Duration, Instant};

use super::{Checker, Facts, Invariant, SILENCE, Selected};
use crate::oracle::Expectation;
use crate::packet::HostId;
use crate::trace::Strategy;

/// What became of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOutcome {
    /// The two.
    pub hosts: (HostId, HostId),
    /// What the oracle said.
    pub expectation: Expectation,
    /// What became of them.
    pub outcome: Outcome,
    /// How many datagrams the two sent until both had a path, or in all if they never had.
    pub packets: u64,
}

/// What can become of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They have a direct path.
    Direct {
        /// How it was won.
        strategy: Strategy,
        /// How long it took from the later one's start, or from the end of the last fault, until both had it.
        after: Duration,
    },
    /// They have a path through a relay.
    Relayed {
        /// How long it took.
        after: Duration,
    },
    /// They have none, and at least one of them says why.
    Failed(&'static str),
    /// They have none and say nothing.
    Nothing,
}

impl Outcome {
    /// Whether they have a direct path.
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }
}

impl Checker {
    /// Whether every pair has a path or has given up.
    pub(crate) fn is_settled(&self, pairs: &[(HostId, HostId)]) -> bool {
        pairs.iter().all(|&(a, b)| {
            let [a, b] = [a, b].map(|host| &self.hosts[host.0 as usize]);
            let both = a.selected.is_some() && b.selected.is_some();
            both || a.failed.is_some() && b.failed.is_some()
        })
    }

    /// Whether both have a path, and what each sends on its own arrives at the other on its own.
    pub(crate) fn is_joined(&self, (a, b): (HostId, HostId)) -> bool {
        let [of_a, of_b] = [a, b].map(|host| self.hosts[host.0 as usize].selected);
        matches!((of_a, of_b), (Some(ours), Some(theirs)) if self.agree((a, ours), (b, theirs)))
    }

    /// Whether anybody has a path.
    pub(crate) fn is_any_selected(&self, hosts: &[HostId]) -> bool {
        hosts.iter().any(|host| self.hosts[host.0 as usize].selected.is_some())
    }

    /// Judges one pair. `patience` is how long the certain may take.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        (a, b): (HostId, HostId),
        expectation: Expectation,
        patience: Duration,
        servers: [Option<HostId>; 2],
    ) -> PairOutcome {
        let [facts_a, facts_b] = [a, b].map(|host| &self.hosts[host.0 as usize]);
        let served = servers.into_iter().flatten().map(|server| self.hosts[server.0 as usize].started).max();
        let ready = facts_a.started.max(facts_b.started).max(served.unwrap_or_default());
        let outcome = match (facts_a.selected, facts_b.selected) {
            (Some(ours), Some(theirs)) => self.both((a, ours), (b, theirs), ready),
            _ => facts_a.failed.or(facts_b.failed).map_or(Outcome::Nothing, |(why, _)| Outcome::Failed(why)),
        };
        let one_alone = facts_a.selected.xor(facts_b.selected);
        let packets = facts_a.until_selected + facts_b.until_selected;
        let began = self.last_fault.max(ready);
        // Who gives up has had all the time it wanted.
        let has_given_up = |facts: &Facts| facts.failed.is_some_and(|(_, at)| at > began);
        let had_time = now > began + patience || has_given_up(facts_a) && has_given_up(facts_b);
        let lost = facts_a.lost.max(facts_b.lost).unwrap_or(began);
        let is_silent = outcome == Outcome::Nothing && one_alone.is_none() && now > began.max(lost) + SILENCE;
        let is_over = facts_a.is_closed || facts_b.is_closed;

        if let (Some(ours), Some(theirs)) = (facts_a.selected, facts_b.selected)
            && now > ours.at.max(theirs.at) + patience
            && self.is_keepable(a, b)
            && !self.agree((a, ours), (b, theirs))
        {
            let detail = format!(
                "{} uses {} → {}, {} uses {} → {}",
                self.name(a),
                ours.local,
                ours.remote,
                self.name(b),
                theirs.local,
                theirs.remote
            );
            self.violate(now, Invariant::Agreement, detail);
        }
        if let Some(alone) = one_alone
            && had_time
            && now > alone.at.max(lost) + patience
        {
            let detail =
                format!("{}: only one uses {} → {}", self.names_of((a, b)), alone.local, alone.remote);
            self.violate(now, Invariant::Agreement, detail);
        }
        match (&expectation, outcome) {
            (Expectation::Certain(_), Outcome::Direct { after, .. }) if after <= patience => {}
            (Expectation::Certain(_), _) if had_time => {
                let detail = format!("{}: {outcome:?} within {patience:?}", self.names_of((a, b)));
                self.violate(now, Invariant::Certain, detail);
            }
            (_, Outcome::Nothing) if is_silent && !is_over => {
                let detail = format!("{}: nothing after {SILENCE:?}", self.names_of((a, b)));
                self.violate(now, Invariant::Silence, detail);
            }
            (Expectation::Impossible(why), Outcome::Direct { .. }) => {
                let detail = format!("{}: {outcome:?} though {why}", self.names_of((a, b)));
                self.violate(now, Invariant::Impossible, detail);
            }
            _ => {}
        }
        PairOutcome { hosts: (a, b), expectation, outcome, packets }
    }

    /// Both have a path. When they had their first one is what counts: what is lost and won again is a
    /// matter of keeping, not of finding.
    fn both(
        &self,
        (a, ours): (HostId, Selected),
        (b, theirs): (HostId, Selected),
        started: Instant,
    ) -> Outcome {
        let first = |host: HostId, now: Selected| self.hosts[host.0 as usize].first.unwrap_or(now).at;
        let after = first(a, ours).max(first(b, theirs)).since(self.last_fault.max(started));
        match ours.strategy.max(theirs.strategy) {
            Strategy::Relay => Outcome::Relayed { after },
            strategy => Outcome::Direct { strategy, after },
        }
    }

    fn names_of(&self, (a, b): (HostId, HostId)) -> String {
        format!("{} and {}", self.name(a), self.name(b))
    }

    /// Whether what one sends on its path arrives at the other on its own, seen from there; invariant 2
    /// by what really happened to the packets.
    fn agree(&self, (a, ours): (HostId, Selected), (b, theirs): (HostId, Selected)) -> bool {
        let arrives = |from: HostId, path: Selected, to: HostId, seen: Selected| {
            self.delivered.get(&(from, path.local, path.remote)) == Some(&(to, seen.local, seen.remote))
        };
        arrives(a, ours, b, theirs) && arrives(b, theirs, a, ours)
    }
}
