//! Small programs for hosts, until the real ones of the core are there: enough to put every NAT through
//! what a traversal does to it.
//!
//! * [`Mediator`]: a STUN server that also introduces peers to each other.
//! * [`Repeater`]: asks a STUN server how it looks, again and again, with longer and longer pauses.
//! * [`Silent`]: says nothing.

mod introduction;
mod marks;
mod mediator;
mod nat_text;
mod repeater;

use core::convert::Infallible;

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use bradawl::time::Instant;

pub use introduction::Secret;
pub(crate) use introduction::{Introduction, MAX_CANDIDATES, PREFERENCE, Said, Told, Verb};
pub use mediator::Mediator;
pub use repeater::Repeater;

/// The port of mediators and STUN servers.
pub const STUN_PORT: u16 = 3_478;
/// The alternate one (RFC 5780 §6).
pub const ALTERNATE_PORT: u16 = 3_479;

/// Takes what comes and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Machine for Silent {
    type Event = Infallible;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict {
        Verdict::Consumed
    }

    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Infallible> {
        Output::Idle(None)
    }
}
