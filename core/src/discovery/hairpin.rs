//! Do packets to our own public address come back (RFC 5780 §4.5, RFC 4787 §6)?
//!
//! Two sockets send to each other's public address, again and again: the first packet opens the filter
//! for the second. With a mapping that depends on the other side, what is sent there leaves by another
//! mapping than the one that was asked for, so that only a filter that lets everybody in lets it in:
//! else silence says nothing.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::pass::Want;
use super::probe::{Ask, Probes};
use super::server::{Loss, Server};
use super::sockets::PUNCHING;
use super::{Axis, Confidence, Dependence, Finding, Hairpin, NatProfile};
use crate::time::{Duration, Instant};

/// How often each of the two sends.
const ROUNDS: u8 = 8;

/// Rounds are not closer together than this.
const LEAST_GAP: Duration = Duration::from_millis(2);

/// Fewer packets that did not come back than this say nothing.
const LEAST_SILENCE: u32 = 3;

/// What one that did come back is worth.
const HEARD: u32 = 24;

/// The test; by default one that has not begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HairpinTest {
    between: Option<Between>,
    rounds: u8,
}

#[derive(Clone, Copy, Debug)]
struct Between {
    /// The public address of the punching socket.
    ours: SocketAddr,
    /// The other socket and its public address.
    socket: u8,
    theirs: SocketAddr,
    gap: Duration,
    /// Whose round trips tell how long to wait.
    server: u8,
}

impl HairpinTest {
    pub(super) fn between(
        ours: SocketAddr,
        socket: u8,
        theirs: SocketAddr,
        patience: Duration,
        server: u8,
    ) -> Self {
        let gap = (patience / 18).max(LEAST_GAP);
        Self { between: Some(Between { ours, socket, theirs, gap, server }), rounds: 0 }
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.between.is_some()
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.between.is_some() && self.rounds < ROUNDS
    }

    /// Both send once; when to come again.
    pub(super) fn round(&mut self, now: Instant, wants: &mut VecDeque<Want>) -> Option<Instant> {
        let Between { ours, socket, theirs, gap, server } = self.between?;
        if self.rounds == ROUNDS {
            return None;
        }
        self.rounds += 1;
        wants.push_back(Want { ask: Ask::Hairpin, socket: PUNCHING, server, to: theirs });
        wants.push_back(Want { ask: Ask::Hairpin, socket, server, to: ours });
        Some(now + gap)
    }

    /// Whether silence would mean anything.
    pub(super) fn can_tell(&self, profile: &NatProfile) -> bool {
        let value = |axis: Axis<Dependence>| axis.map(|finding| finding.value);
        self.between.is_some()
            && (value(profile.mapping) == Some(Dependence::Endpoint)
                || value(profile.filtering) == Some(Dependence::Endpoint))
    }

    pub(super) fn judge(
        &self,
        now: Instant,
        probes: &Probes,
        servers: &[Server],
        loss: Loss,
        profile: &NatProfile,
    ) -> Axis<Hairpin> {
        let mut silent = 0;
        for probe in probes.iter().filter(|probe| probe.ask == Ask::Hairpin) {
            match probe.reply {
                Some(reply) => {
                    let value = if reply.from == probe.local {
                        Hairpin::InternalSource
                    } else {
                        Hairpin::ExternalSource
                    };
                    return Some(Finding { value, confidence: Confidence::from_bits(HEARD) });
                }
                None => {
                    let server = servers.get(usize::from(probe.server))?;
                    silent += u32::from(server.silent_from(probe).is_some_and(|over| over <= now));
                }
            }
        }
        // As sure as what makes it mean something.
        let premise = [profile.mapping, profile.filtering].into_iter().flatten();
        let premise = premise.filter(|finding| finding.value == Dependence::Endpoint);
        let premise = premise.map(|finding| finding.confidence).max().unwrap_or(Confidence::NONE);
        let confidence = Confidence::from_bits(loss.silence(silent)).min(premise);
        let can_tell = silent >= LEAST_SILENCE && self.can_tell(profile);
        can_tell.then_some(Finding { value: Hairpin::None, confidence })
    }
}
