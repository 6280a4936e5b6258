//! What an ICE agent is asked to do.

use std::net::SocketAddr;
use std::time::Duration;

use bradawl::rng::Seed;
use bradawl_benches::network::Candidate;

/// Who nominates (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Controlling,
    Controlled,
}

/// What an agent is made from.
pub(crate) struct Setup {
    pub(crate) role: Role,
    /// Its one socket, and its one host candidate.
    pub(crate) local: SocketAddr,
    /// Whatever it draws should come from here, if it lets us.
    pub(crate) seed: Seed,
}

/// RFC 8445 §5.3.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

/// Takes the datagrams that an agent sends from its one socket.
pub(crate) type Send<'a> = dyn FnMut(SocketAddr, &[u8]) + 'a;

/// An ICE agent, as somebody who knows it well would drive it: with the defaults of its library.
///
/// Time is what passed since both sides learned of each other.
pub(crate) trait Contender {
    /// What the other side will be told.
    fn credentials(&self) -> Credentials;

    /// Begins: from now on the other side and its one candidate are known.
    fn connect(&mut self, now: Duration, remote: &Credentials, candidate: Candidate);

    /// Takes a datagram that arrived at its socket.
    fn handle_input(&mut self, now: Duration, from: SocketAddr, bytes: &[u8]);

    /// Does everything that is due, sends everything there is to send, and tells when to come back.
    fn poll(&mut self, now: Duration, send: &mut Send<'_>) -> Option<Duration>;

    /// Whether it has a pair that data may be sent on: valid, and if it is controlled, nominated.
    fn is_selected(&self) -> bool;
}

/// A library, as the tables know it.
pub(crate) struct Entry {
    /// Its name on crates.io.
    pub(crate) name: &'static str,
    /// Makes an agent.
    pub(crate) start: fn(&Setup) -> Box<dyn Contender>,
    /// What the reader of the table has to know.
    pub(crate) note: &'static str,
}
