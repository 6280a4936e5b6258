//! What the fuzz targets share: drained machines that keep their promises, and attributes out of
//! arbitrary bytes; and a little world of two agents.

use bradawl::machine::{HostRequest, MIN_BUFFER, Machine, Output, Path, SocketId};
use bradawl::time::Instant;
use std::net::SocketAddr;

pub mod agents;
pub mod attribute;

/// What a machine did until it was idle.
pub struct Drained<E> {
    /// What it sent, where.
    pub sent: Vec<(Path, Vec<u8>)>,
    /// What it told.
    pub events: Vec<E>,
    /// What it asked its host for, in order.
    pub told: Vec<Told>,
    /// When it wants to be woken.
    pub wake: Option<Instant>,
}

/// What a machine asked its host for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A socket.
    Bind(SocketId),
    /// A connection.
    Connect(SocketId, SocketAddr),
    /// To close one.
    Close(SocketId),
}

/// Drains a machine that needs no sockets; see [`drain_with`].
pub fn drain<M: Machine>(machine: &mut M, now: Instant, bound: usize) -> Drained<M::Event> {
    let drained = drain_with(machine, now, bound);
    assert!(drained.told.is_empty(), "it needs no sockets: {:?}", drained.told);
    drained
}

/// Drains a machine and checks what every machine promises: it gets idle within `bound` polls, never
/// wants to be woken at once, and writes only into its buffer.
pub fn drain_with<M: Machine>(machine: &mut M, now: Instant, bound: usize) -> Drained<M::Event> {
    let mut drained = Drained { sent: Vec::new(), events: Vec::new(), told: Vec::new(), wake: None };
    let mut buf = [0; MIN_BUFFER];
    for _ in 0..=bound {
        match machine.poll_output(now, &mut buf) {
            Output::Transmit { path, len, .. } => drained.sent.push((path, buf[..len].to_vec())),
            Output::Event(event) => drained.events.push(event),
            Output::Host(HostRequest::Bind { id, .. }) => drained.told.push(Told::Bind(id)),
            Output::Host(HostRequest::Connect { id, remote, .. }) => {
                drained.told.push(Told::Connect(id, remote));
            }
            Output::Host(HostRequest::Close { id }) => drained.told.push(Told::Close(id)),
            Output::Host(HostRequest::Limit { .. }) => {}
            Output::Idle(wake) => {
                assert!(wake.is_none_or(|wake| wake > now), "woken at once again");
                drained.wake = wake;
                return drained;
            }
        }
    }
    panic!("not idle after {bound} polls");
}
