//! Being written.

use super::{Candidate, Config, Counters, Credentials, Event, Hint, Refused, Remote, Role, Selected};
use crate::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use crate::rng::Rng;
use crate::time::Instant;
use core::net::SocketAddr;

/// The agent as a [`Machine`].
pub struct Agent {}

impl Agent {
    /// An agent with these credentials of its own.
    pub fn new(_config: Config, _ours: Credentials, _role: Role, _rng: Rng) -> Self { Self {} }
    /// What the other side has to know of us.
    pub fn credentials(&self) -> &Credentials { unimplemented!() }
    /// What we are.
    pub fn role(&self) -> Role { unimplemented!() }
    /// One of our own addresses: a socket at `base`, and how it is seen (the candidate; its address is `base` for a host candidate).
    pub fn add_local(&mut self, _now: Instant, _candidate: &Candidate, _base: SocketAddr) -> Result<(), Refused> { Ok(()) }
    /// Who the other side is. From now on it is checked.
    pub fn begin(&mut self, _now: Instant, _remote: Remote) {}
    /// Where the other side may be.
    pub fn add_remote(&mut self, _now: Instant, _candidate: &Candidate) -> Result<(), Refused> { Ok(()) }
    /// The other side has no more candidates (RFC 8838 §13).
    pub fn end_of_candidates(&mut self, _now: Instant) {}
    /// What the mediator tells of the other side.
    pub fn hear(&mut self, _now: Instant, _hint: Hint) {}
    /// A new generation (RFC 8445 §9): new credentials of ours; local candidates are kept, `begin` and `add_remote` follow.
    pub fn restart(&mut self, _now: Instant, _ours: Credentials) {}
    /// The pair that is used.
    pub fn selected(&self) -> Option<&Selected> { None }
    /// Where application data goes; it is about to be sent.
    pub fn transmit(&mut self, _now: Instant) -> Option<Path> { None }
    /// What was counted.
    pub fn counters(&self) -> &Counters { unimplemented!() }
    /// Ends it: nothing is sent any more, and its sockets are closed (drain `poll_output`).
    pub fn close(&mut self) {}
}

impl Machine for Agent {
    type Event = Event;
    fn handle_input(&mut self, _now: Instant, _path: Path, _meta: Meta, _bytes: &[u8]) -> Verdict { Verdict::Unclaimed }
    fn handle_host(&mut self, _now: Instant, _input: HostInput<'_>) {}
    fn poll_output(&mut self, _now: Instant, _buf: &mut [u8]) -> Output<Event> { Output::Idle(None) }
}
