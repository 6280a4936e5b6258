//! What a host runs: any [`Machine`] of the core, or one of your own.

use core::any::Any;
use core::convert::Infallible;

use bradawl::machine::{HostInput, Interface, Machine, Meta, Output, Path, Verdict};
use bradawl::rng::Rng;
use bradawl::stun::client;
use bradawl::time::Instant;

use crate::trace::Happened;

/// What a machine's event means to the world that watches it; `None`: nothing that it judges.
///
/// ```
/// use bradawl_sim::program::Report;
/// use bradawl_sim::trace::Happened;
///
/// enum Mine { Ready, GaveUp }
///
/// impl Report for Mine {
///     fn report(&self) -> Option<Happened> {
///         match self {
///             Self::Ready => None,
///             Self::GaveUp => Some(Happened::Failed("nobody answers")),
///         }
///     }
/// }
/// assert!(Mine::Ready.report().is_none() && Mine::GaveUp.report().is_some());
/// ```
pub trait Report {
    /// What it means.
    fn report(&self) -> Option<Happened>;
}

impl Report for Infallible {
    fn report(&self) -> Option<Happened> {
        match *self {}
    }
}

impl Report for Happened {
    fn report(&self) -> Option<Happened> {
        Some(self.clone())
    }
}

impl Report for client::Event {
    fn report(&self) -> Option<Happened> {
        match self {
            Self::Answered(answer) => Some(Happened::SeenAs(answer.mapped)),
            Self::Failed { .. } => Some(Happened::Failed("a STUN request was not answered")),
        }
    }
}

/// A [`Machine`] whose type is forgotten, so that different ones live in one world. Every machine whose
/// events [`Report`] is one.
pub trait Program: Any {
    /// As [`Machine::handle_input`].
    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict;

    /// As [`Machine::handle_host`].
    fn handle_host(&mut self, now: Instant, input: HostInput<'_>);

    /// As [`Machine::poll_output`], with what the event means to the world.
    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Option<Happened>>;
}

impl<M: Machine + 'static> Program for M
where
    M::Event: Report,
{
    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        Machine::handle_input(self, now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        Machine::handle_host(self, now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Option<Happened>> {
        match Machine::poll_output(self, now, buf) {
            Output::Transmit { path, len, segment, ecn } => Output::Transmit { path, len, segment, ecn },
            Output::Host(request) => Output::Host(request),
            Output::Event(event) => Output::Event(event.report()),
            Output::Idle(wake) => Output::Idle(wake),
        }
    }
}

/// What a program finds when it is started, or started again after it was killed.
#[derive(Debug)]
pub struct Start {
    /// Where its randomness comes from: another each time it is started.
    pub rng: Rng,
    /// The host's addresses.
    pub interfaces: Vec<Interface>,
}

/// Whom a program may send to (invariant 1 of the checker).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Only those it has a [`Warrant`](crate::trace::Warrant) for: it says `MaySend` first.
    #[default]
    Warranted,
    /// A server: also whoever sent to it.
    Answers,
    /// Anybody. For attackers.
    Anybody,
}
