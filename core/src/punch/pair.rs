//! One pair: a socket of ours and an address of the other side.

use core::net::SocketAddr;

use super::schedule::{Rhythm, TURN};
use super::{Kind, Role, Strategy};
use crate::machine::Path;
use crate::time::{Duration, Instant};
use crate::wire::stun::TransactionId;

/// A rhythm that is this late is moved.
const TOO_LATE: Duration = Duration::from_secs(2);
/// How many checks of a pair may still be answered. Older ones count as lost.
const MAX_UNDER_WAY: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) path: Path,
    pub(super) strategy: Strategy,
    pub(super) local: End,
    pub(super) remote: End,
    /// Pairs with the same one likely work or fail together (RFC 8445 §6.1.2.6).
    pub(super) foundation: u32,
    pub(super) rhythm: Rhythm,
    /// When the rhythm began, and how many checks have left since.
    began: Instant,
    step: u16,
    /// The least time between two of them.
    pub(super) gap: Duration,
    last_sent: Option<Instant>,
    under_way: [Option<Sent>; MAX_UNDER_WAY],
    newest: usize,
    /// It waits for another pair of its foundation (RFC 8445 §6.1.2.6).
    pub(super) is_frozen: bool,
    /// A check of the other side has come in on it.
    pub(super) is_heard: bool,
    /// It has proved to lead both ways.
    pub(super) works: bool,
    pub(super) round_trip: Option<Duration>,
    /// What the other side's last answer told us to show; 0: nothing.
    pub(super) token: u64,
    /// The other side has yet to know that it works: it is checked until that was answered.
    pub(super) is_confirming: bool,
    /// The other side, in control, has nominated it (RFC 8445 §8.1.1).
    pub(super) is_nominated: bool,
    /// Which choice of the controlling side it is; 0: none.
    pub(super) nomination: u32,
}

/// One end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) kind: Kind,
    pub(super) priority: u32,
}

/// A check that left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: TransactionId,
    pub(super) at: Instant,
    pub(super) role: Role,
    /// The pair had proved to work already.
    pub(super) is_confirming: bool,
}

impl Pair {
    pub(super) fn new(path: Path, strategy: Strategy, local: End, remote: End, rhythm: Rhythm) -> Self {
        Self {
            path,
            strategy,
            local,
            remote,
            foundation: 0,
            rhythm,
            began: Instant::ZERO,
            step: 0,
            gap: Duration::ZERO,
            last_sent: None,
            under_way: [None; MAX_UNDER_WAY],
            newest: 0,
            is_frozen: false,
            is_heard: false,
            works: false,
            round_trip: None,
            token: 0,
            is_confirming: false,
            is_nominated: false,
            nomination: 0,
        }
    }

    pub(super) fn priority(&self, role: Role) -> u64 {
        let (ours, theirs) = (self.local.priority, self.remote.priority);
        match role {
            Role::Controlling => super::candidate::pair_priority(ours, theirs),
            Role::Controlled => super::candidate::pair_priority(theirs, ours),
        }
    }

    /// Begins a rhythm at `now`.
    pub(super) fn begin(&mut self, now: Instant, rhythm: Rhythm) {
        (self.rhythm, self.began, self.step, self.gap) = (rhythm, now, 0, Duration::ZERO);
    }

    /// When to check it next.
    pub(super) fn next(&self) -> Option<Instant> {
        let planned = self.began + self.rhythm.offset(self.step)?;
        // Of a check that was heard it is known what comes next, if nothing gets lost.
        let last = self.last_sent.filter(|_| self.step > 0);
        Some(last.map_or(planned, |last| planned.max(last + self.gap)))
    }

    /// A check of the other side came in: ours will get through now (RFC 8445 §7.3.1.4). When to send it.
    /// `gap`: about a round trip, if the other side proves the path in its turn. `rest`: how long to wait
    /// after one that has left lately.
    pub(super) fn trigger(&mut self, now: Instant, gap: Duration, rest: Duration) -> Instant {
        self.is_frozen = false;
        let lately = self.last_sent.map_or(now, |last| (last + rest).max(now));
        let planned = self.next().map_or(lately, |next| next.max(now));
        if self.rhythm != Rhythm::Open || self.step == 0 {
            self.begin(lately.min(planned), Rhythm::Open);
            self.gap = gap;
            return lately.min(planned);
        }
        planned
    }

    /// When a check of a foreign agent's is here at the latest, if it has got ours, waits for its turn with
    /// each answer, and nothing gets lost.
    pub(super) fn heard_by(&self) -> Instant {
        let answered =
            self.last_sent.map_or(Instant::ZERO, |last| last + self.round_trip.unwrap_or_default());
        answered + TURN * 2
    }

    /// Notes a check that leaves.
    pub(super) fn sent(&mut self, sent: Sent) {
        // What is this late is not made up for: a host that slept would fire it all at once.
        if let Some(planned) = self.rhythm.offset(self.step).map(|offset| self.began + offset)
            && sent.at > planned + TOO_LATE
        {
            self.began += sent.at.since(planned);
        }
        self.step = self.step.saturating_add(1);
        self.last_sent = Some(sent.at);
        self.newest = (self.newest + 1) % MAX_UNDER_WAY;
        self.under_way[self.newest] = Some(sent);
    }

    /// The check that this is the answer to.
    pub(super) fn answered(&mut self, id: TransactionId) -> Option<Sent> {
        let slot = self.under_way.iter_mut().find(|slot| slot.is_some_and(|sent| sent.id == id))?;
        slot.take()
    }

    /// The check with this id, if it may still be answered.
    pub(super) fn under_way(&self, id: TransactionId) -> Option<&Sent> {
        self.under_way.iter().flatten().find(|sent| sent.id == id)
    }

    /// How many checks have left in this rhythm.
    pub(super) const fn step(&self) -> u16 {
        self.step
    }

    pub(super) const fn remote(&self) -> SocketAddr {
        self.path.remote
    }
}
