//! One socket asks one server for answers from elsewhere, in rounds: each has one question for the other
//! port, one for the other address, and a plain one, which shows whether packets get through at all. That
//! comes last: a server that answers so many questions a second and no more would else answer the plain
//! one and leave the others, which looks like a filter.

use alloc::collections::VecDeque;

use super::Confidence;
use super::judge::Insiders;
use super::pass::Want;
use super::probe::{Ask, Probes};
use super::server::{Loss, Server};
use crate::time::{Duration, Instant};

/// How many rounds there are at most.
const MAX_ROUNDS: u8 = 10;

/// Rounds are not closer together than this.
const LEAST_GAP: Duration = Duration::from_millis(3);

/// A little more silence than needed, lest one late answer makes another round necessary.
const MARGIN: u32 = 4;

/// One test.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterTest {
    pub(super) socket: u8,
    pub(super) server: u8,
    rounds: u8,
    is_over: bool,
}

impl FilterTest {
    pub(super) const fn new(socket: u8, server: u8) -> Self {
        Self { socket, server, rounds: 0, is_over: false }
    }

    /// Asks once more unless it is enough; when to come again. After the first, blind round that is when
    /// the server has answered.
    pub(super) fn round(
        &mut self,
        now: Instant,
        server: &Server,
        is_enough: bool,
        wants: &mut VecDeque<Want>,
    ) -> Option<Instant> {
        self.is_over |= is_enough || self.rounds == MAX_ROUNDS;
        if self.is_over || (self.rounds > 0 && !server.can_answer_from_elsewhere()) {
            return None;
        }
        let Self { socket, server: number, .. } = *self;
        let mut want = |ask| wants.push_back(Want { ask, socket, server: number, to: server.address });
        want(Ask::OtherPort);
        if self.rounds == 0 || server.other.is_some() {
            want(Ask::OtherAddress);
        }
        if self.rounds > 0 {
            want(Ask::Plain);
        }
        self.rounds += 1;
        let (shortest, _) = server.round_trips?;
        Some(now + (shortest / 6).max(LEAST_GAP))
    }

    /// Whether more rounds are to come.
    pub(super) fn is_under_way(&self, servers: &[Server]) -> bool {
        let server = &servers[usize::from(self.server)];
        !self.is_over && server.is_heard() && server.can_answer_from_elsewhere()
    }

    /// Whether what all tests have asked so far is enough, should nothing more be answered.
    pub(super) fn is_enough(probes: &Probes, servers: &[Server], loss: Loss) -> bool {
        let mut silent = (0, 0);
        let mut is_port_heard = false;
        let insiders = Insiders::of(probes);
        for probe in probes.iter().filter(|probe| !insiders.contains(probe.server)) {
            let Some(server) = servers.get(usize::from(probe.server)) else { continue };
            match (probe.ask, probe.reply) {
                (Ask::OtherAddress | Ask::OtherPort, Some(reply)) if probes.has_opened(probe, reply) => {}
                (Ask::OtherAddress | Ask::OtherPort, Some(reply)) if reply.from.ip() != probe.to.ip() => {
                    return true;
                }
                (Ask::OtherPort, Some(_)) => is_port_heard = true,
                (Ask::OtherAddress, None) if server.other.is_some() => silent.0 += 1,
                (Ask::OtherPort, None) if server.other_port.is_some() => silent.1 += 1,
                _ => {}
            }
        }
        let is_enough = |count| loss.silence(count) >= Confidence::SURE.bits() + MARGIN;
        let has_two_addresses =
            (0..).zip(servers).any(|(number, server)| server.other.is_some() && !insiders.contains(number));
        match is_port_heard {
            true => is_enough(silent.0) || !has_two_addresses,
            false => is_enough(silent.1),
        }
    }
}
