//! What a client remembers of the servers it has asked: how far they are, how they want requests
//! signed. A fixed number of them; the one that was asked least recently is forgotten first.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::net::SocketAddr;

use hashbrown::HashMap;

use super::request::Credentials;
use super::session::Session;
use crate::hash::Keyed;
use crate::machine::Unreachable;
use crate::rng::Rng;
use crate::stun::transaction::RoundTrips;
use crate::time::{Duration, Instant};
use crate::wire::stun::Integrity;

/// How many servers are remembered.
pub(super) const MAX_SERVERS: usize = 64;

/// For how long a round trip counts after it was measured (RFC 8489 §6.2.1).
const MEMORY: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Servers {
    /// By address and port, which is finer than the address that RFC 8489 asks for: two servers
    /// behind one address need not be equally far.
    known: HashMap<SocketAddr, Known, Keyed>,
    /// Those known, the one asked least recently first.
    by_use: VecDeque<SocketAddr>,
    initial: RoundTrips,
}

#[derive(Debug)]
pub(super) struct Known {
    initial: RoundTrips,
    trips: RoundTrips,
    measured: Instant,
    /// What the network last said of packets to it.
    unreachable: Option<(Instant, Unreachable)>,
    trust: Option<Trust>,
}

/// What an answer has proven of how a server signs.
#[derive(Debug)]
struct Trust {
    /// With whose credentials: it says nothing of others.
    credentials: Arc<Credentials>,
    proof: Proof,
    /// The server has refused what it had accepted. It is still what it must not fall below.
    refused: bool,
}

/// How a server has signed.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// With short-term credentials, by this attribute.
    Short(Integrity),
    /// With long-term credentials, in this session.
    Long(Arc<Session>),
}

impl Servers {
    pub(super) fn new(initial: RoundTrips, rng: &mut Rng) -> Self {
        let known = HashMap::with_hasher(Keyed::new(rng));
        Self { known, by_use: VecDeque::new(), initial }
    }

    /// What is known of a server that is asked now; a new one takes the place of the one that was
    /// asked least recently.
    pub(super) fn entry(&mut self, server: SocketAddr) -> &mut Known {
        if let Some(place) = self.by_use.iter().position(|&known| known == server) {
            self.by_use.remove(place);
        } else if self.by_use.len() == MAX_SERVERS
            && let Some(oldest) = self.by_use.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.by_use.push_back(server);
        self.known.entry(server).or_insert_with(|| Known {
            initial: self.initial,
            trips: self.initial,
            measured: Instant::ZERO,
            unreachable: None,
            trust: None,
        })
    }

    /// What is known of a server that was asked before.
    pub(super) fn known(&mut self, server: SocketAddr) -> Option<&mut Known> {
        self.known.get_mut(&server)
    }
}

impl Known {
    /// How long to wait for an answer before repeating a request.
    pub(super) fn rto(&mut self, now: Instant) -> Duration {
        if now.since(self.measured) > MEMORY {
            self.trips = self.initial;
        }
        self.trips.rto()
    }

    /// Takes in one measurement.
    pub(super) fn observe(&mut self, now: Instant, round_trip: Duration) {
        self.trips.observe(round_trip);
        self.measured = now;
    }

    /// Hears that packets to it do not arrive.
    pub(super) fn set_unreachable(&mut self, now: Instant, kind: Unreachable) {
        self.unreachable = Some((now, kind));
    }

    /// What the network has said of packets to it since `start`.
    pub(super) fn unreachable_since(&self, start: Instant) -> Option<Unreachable> {
        self.unreachable.filter(|&(at, _)| at >= start).map(|(_, kind)| kind)
    }

    /// How an answer to a request with these very credentials was signed, if it was.
    pub(super) fn proof(&self, credentials: &Arc<Credentials>) -> Option<&Proof> {
        self.trust.as_ref().filter(|trust| trust.is_with(credentials)).map(|trust| &trust.proof)
    }

    /// The same, unless it was refused since.
    pub(super) fn standing_proof(&self, credentials: &Arc<Credentials>) -> Option<&Proof> {
        let trust = self.trust.as_ref().filter(|trust| trust.is_with(credentials) && !trust.refused);
        trust.map(|trust| &trust.proof)
    }

    /// An answer was signed like this.
    pub(super) fn prove(&mut self, credentials: Arc<Credentials>, proof: Proof) {
        self.trust = Some(Trust { credentials, proof, refused: false });
    }

    /// What was accepted is no longer.
    pub(super) fn refuse(&mut self, credentials: &Arc<Credentials>) {
        if let Some(trust) = self.trust.as_mut().filter(|trust| trust.is_with(credentials)) {
            trust.refused = true;
        }
    }
}

impl Trust {
    fn is_with(&self, credentials: &Arc<Credentials>) -> bool {
        Arc::ptr_eq(&self.credentials, credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_SERVERS, MEMORY, Servers};
    use crate::rng::Rng;
    use crate::stun::transaction::RoundTrips;
    use crate::time::{Duration, Instant};
    use core::net::SocketAddr;

    fn server(n: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n as u16 + 1))
    }

    #[test]
    fn the_server_asked_least_recently_is_forgotten_and_the_table_does_not_grow() {
        let mut servers = Servers::new(RoundTrips::default(), &mut Rng::from_seed([0; 32]));
        let now = Instant::ZERO;
        for n in 0..10 * MAX_SERVERS {
            servers.entry(server(n)).observe(now, Duration::from_millis(300));
            servers.entry(server(0)); // the mediator, asked again and again
        }
        assert_eq!((servers.known.len(), servers.by_use.len()), (MAX_SERVERS, MAX_SERVERS));
        assert_ne!(servers.entry(server(0)).rto(now), RoundTrips::INITIAL_RTO);
        assert_eq!(servers.entry(server(1)).rto(now), RoundTrips::INITIAL_RTO, "forgotten");
    }

    #[test]
    fn a_round_trip_counts_for_ten_minutes() {
        let mut servers = Servers::new(RoundTrips::default(), &mut Rng::from_seed([0; 32]));
        let known = servers.entry(server(0));
        known.observe(Instant::ZERO, Duration::from_millis(80));
        assert_eq!(known.rto(Instant::ZERO + MEMORY), Duration::from_millis(240));
        assert_eq!(known.rto(Instant::ZERO + 2 * MEMORY), RoundTrips::INITIAL_RTO);
    }
}
