//! What one peer has the other told while they punch, by way of the mediator: said several times, heard once.

use bradawl::punch::Hint;
use bradawl::time::{Duration, Instant};

use super::{Peer, Todo};
use crate::check::MOST_VOLLEYS;
use crate::script::Told;
use crate::trace::Happened;

/// When the copies of a hint leave.
const COPIES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(140)];
/// How many hints may wait for their time, and how many of the other side's are remembered.
const MAX_HINTS: usize = 256;

impl Peer {
    /// The other side, or the mediator, has something to tell.
    pub(super) fn hear(&mut self, now: Instant, told: &Told) {
        let is_from_peer = told.name == self.setup.peer && told.to == self.setup.name;
        let is_current = self.met.as_ref().is_some_and(|met| met.generation == told.generation);
        if !is_from_peer || !is_current || self.hints_heard.contains(&told.number) {
            return;
        }
        let Some(agent) = &mut self.agent else { return };
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
            // Agents come and go with the generations; how much is guessed in all does not depend on that.
            let Some((_, volleys)) = self.guesses.as_mut().filter(|(_, volleys)| *volleys < MOST_VOLLEYS)
            else {
                return;
            };
            *volleys += 1;
            self.todo.push_back(Todo::Say(Happened::MayVolley(at)));
        }
        agent.hear(now, told.hint);
    }

    /// The other side is to be told something.
    pub(super) fn tell(&mut self, now: Instant, hint: Hint) {
        self.hints_said += 1;
        let told = Told {
            name: self.setup.name.clone(),
            to: self.setup.peer.clone(),
            generation: self.generation,
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
