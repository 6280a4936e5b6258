//! The peer as a [`Machine`]: whose turn it is with what comes in, and who says what is next.

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use bradawl::time::Instant;

use super::Peer;
use super::gather::FIRST_OF_AGENT;
use crate::script::{Said, Verb};
use crate::trace::Happened;

impl Machine for Peer {
    type Event = Happened;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        match Said::read(bytes, &self.setup.secret) {
            Some(Said::Introduction(said)) if said.verb == Verb::Meet && self.began.is_some() => {
                self.gathering.heard_mediator(path.local);
                self.meet(now, path.local, said);
                return Verdict::Consumed;
            }
            Some(Said::Told(told)) => return self.hear(now, &told),
            Some(Said::Introduction(_)) => return Verdict::Consumed,
            None => {}
        }
        let verdict = self.gathering.handle_input(now, path, meta, bytes);
        if verdict != Verdict::Unclaimed {
            return verdict;
        }
        // Who has not begun yet does not know its peer's checks from anybody's.
        let Some(agent) = &mut self.agent else { return Verdict::Unclaimed };
        let verdict = agent.handle_input(now, path, meta, bytes);
        if verdict != Verdict::Unclaimed {
            self.tally.heard(now, path);
        }
        verdict
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Interfaces(interfaces) if !self.gathering.is_on(interfaces) => {
                self.regenerate(now);
                self.gathering.reopen(interfaces);
            }
            HostInput::ClockJumped(_) => self.regenerate(now),
            HostInput::Bound { id, .. } if id >= FIRST_OF_AGENT => {
                if let Some(agent) = &mut self.agent {
                    agent.handle_host(now, input);
                }
            }
            HostInput::Bound { .. } => self.gathering.handle_host(now, input),
            input => {
                self.gathering.handle_host(now, input);
                if let Some(agent) = &mut self.agent {
                    agent.handle_host(now, input);
                }
            }
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Happened> {
        loop {
            if let Some(output) = self.due(now, buf) {
                return output;
            }
            let mut wakes = vec![self.deadline(), self.join_at, self.talk_at];
            match self.gathering.poll_output(now, buf) {
                Ok(output) => return output,
                Err(wake) => wakes.push(wake),
            }
            // What it has just learned may change what is due.
            if self.join_at.is_none() && self.began.is_some() && self.gathering.is_known(now) {
                continue;
            }
            match self.poll_agent(now, buf) {
                Ok(output) => return output,
                Err(wake) => wakes.push(wake),
            }
            if !self.todo.is_empty() || self.began.is_none() && self.gathering.has_socket() {
                continue;
            }
            if self.agent.is_none() && self.met.is_some() && !self.has_failed {
                wakes.push(self.setup.begin);
            }
            wakes.extend(self.hints.iter().map(|(at, _)| Some(*at)));
            if wakes.iter().flatten().any(|wake| *wake <= now) {
                continue;
            }
            return Output::Idle(wakes.into_iter().flatten().min());
        }
    }
}
