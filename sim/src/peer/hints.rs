//! What one peer has the other told while they punch, by way of the mediator: said several times, heard once.

use bradawl::machine::Verdict;
use bradawl::punch::{BETWEEN_GUESSES, Hint};
use bradawl::time::{Duration, Instant};

use super::{Peer, Todo};
use crate::check::{MOST_VOLLEYS, SESSION};
use crate::script::Told;
use crate::trace::Happened;

/// When the copies of a hint leave.
const COPIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(140)];
/// How many hints may wait for their time, and how many of the other side's are remembered.
const MAX_HINTS: usize = 256;

/// How much was guessed. Agents come and go with the generations, and each begins anew; how much is guessed
/// in all must not depend on that.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    is_allowed: bool,
    /// Since when the budget of this session runs, and how many volleys were allowed in it.
    session: Option<(Instant, usize)>,
    /// Since when sessions with guesses are counted, and how many there were.
    sessions: Option<(Instant, u8)>,
    /// When the last session with volleys began.
    volleys: Option<Instant>,
}

impl Guesses {
    /// Another attempt. Two soon after one another share what there is for one, and more than `most` in
    /// [`BETWEEN_GUESSES`] do without: two who make each other begin again and again would flood a network.
    pub(super) fn begin(&mut self, now: Instant, most: u8) {
        if self.session.is_some_and(|(since, _)| now < since + SESSION) {
            return;
        }
        let (since, count) =
            self.sessions.filter(|(since, _)| now < *since + BETWEEN_GUESSES).unwrap_or((now, 0));
        self.is_allowed = count < most;
        if self.is_allowed {
            (self.session, self.sessions) = (Some((now, 0)), Some((since, count + 1)));
        }
    }

    /// Whether anything may be guessed in this attempt.
    pub(super) const fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// One volley more, if there may be one: a few in one session, and in no other one for as long as an
    /// agent itself would wait.
    fn take_volley(&mut self) -> bool {
        let Some((since, volleys)) = &mut self.session else { return false };
        let is_soon = |last: Instant| last != *since && *since < last + BETWEEN_GUESSES;
        if *volleys == MOST_VOLLEYS || self.volleys.is_some_and(is_soon) {
            return false;
        }
        *volleys += 1;
        self.volleys = Some(*since);
        true
    }
}

impl Peer {
    /// The other side, or the mediator, has something to tell. Who has no agent for it yet waits for the
    /// next copy, as if this one had been lost.
    pub(super) fn hear(&mut self, now: Instant, told: &Told) -> Verdict {
        let is_from_peer = told.name == self.setup.peer && told.to == self.setup.name;
        let is_current = told.answers == self.generation
            && self.met.as_ref().is_some_and(|met| met.generation == told.generation);
        if !is_from_peer || !is_current {
            return Verdict::Unclaimed;
        }
        let Some(agent) = &mut self.agent else { return Verdict::Unclaimed };
        // All that hints are good for are guesses.
        if !self.guesses.is_allowed() || self.hints_heard.contains(&told.number) {
            return Verdict::Consumed;
        }
        if self.hints_heard.len() == MAX_HINTS {
            self.hints_heard.pop_front();
        }
        self.hints_heard.push_back(told.number);
        let ip = match told.hint {
            Hint::Bracket { ip, .. } => ip,
            Hint::Aim { at } => at.ip(),
        };
        let seen = self.met.as_ref().and_then(|met| met.seen).map(|seen| seen.ip());
        // An aim is the peer's word alone: it counts where the mediator has seen it.
        if matches!(told.hint, Hint::Bracket { .. }) && seen != Some(ip) {
            self.todo.push_back(Todo::Say(Happened::MayProbe(ip)));
        }
        if let Hint::Aim { at } = told.hint {
            if !self.guesses.take_volley() {
                return Verdict::Consumed;
            }
            self.todo.push_back(Todo::Say(Happened::MayVolley(at)));
        }
        agent.hear(now, told.hint);
        Verdict::Consumed
    }

    /// The other side is to be told something.
    pub(super) fn tell(&mut self, now: Instant, hint: Hint) {
        let Some(met) = &self.met else { return };
        self.hints_said += 1;
        let told = Told {
            name: self.setup.name.clone(),
            to: self.setup.peer.clone(),
            generation: self.generation,
            answers: met.generation,
            number: self.hints_said,
            hint,
        };
        for after in COPIES {
            if self.hints.len() < MAX_HINTS {
                self.hints.push((now + after, told.clone()));
            }
        }
    }
}
