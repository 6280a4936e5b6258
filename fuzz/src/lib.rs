//! What the fuzz targets share: drained machines that keep their promises, and attributes out of
//! arbitrary bytes.

use bradawl::machine::{MIN_BUFFER, Machine, Output, Path};
use bradawl::time::Instant;

pub mod attribute;

/// What a machine did until it was idle.
pub struct Drained<E> {
    /// What it sent, where.
    pub sent: Vec<(Path, Vec<u8>)>,
    /// What it told.
    pub events: Vec<E>,
    /// When it wants to be woken.
    pub wake: Option<Instant>,
}

/// Drains a machine and checks what every machine promises: it gets idle within `bound` polls, never
/// wants to be woken at once, and writes only into its buffer.
pub fn drain<M: Machine>(machine: &mut M, now: Instant, bound: usize) -> Drained<M::Event> {
    let mut drained = Drained { sent: Vec::new(), events: Vec::new(), wake: None };
    let mut buf = [0; MIN_BUFFER];
    for _ in 0..=bound {
        match machine.poll_output(now, &mut buf) {
            Output::Transmit { path, len, .. } => drained.sent.push((path, buf[..len].to_vec())),
            Output::Event(event) => drained.events.push(event),
            Output::Host(request) => panic!("it needs no sockets: {request:?}"),
            Output::Idle(wake) => {
                assert!(wake.is_none_or(|wake| wake > now), "woken at once again");
                drained.wake = wake;
                return drained;
            }
        }
    }
    panic!("not idle after {bound} polls");
}
