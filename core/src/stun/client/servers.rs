//! What a client remembers of the servers it has asked: how far they are, how they want requests
//! signed. A fixed number of them; the one that was met first is forgotten first.

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

/// How many servers are remembered.
pub(super) const MAX_SERVERS: usize = 64;

#[derive(Debug)]
pub(super) struct Servers {
    known: HashMap<SocketAddr, Known, Keyed>,
    in_order: VecDeque<SocketAddr>,
    initial: RoundTrips,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) trips: RoundTrips,
    /// What the network said of packets to it since the last request began.
    pub(super) unreachable: Option<Unreachable>,
    /// With which credentials the session was made: it is of no use to others.
    session: Option<(Arc<Credentials>, Arc<Session>)>,
}

impl Servers {
    pub(super) fn new(initial: RoundTrips, rng: &mut Rng) -> Self {
        let known = HashMap::with_hasher(Keyed::new(rng));
        Self { known, in_order: VecDeque::new(), initial }
    }

    /// What is known of a server; a new one takes the place of the oldest.
    pub(super) fn entry(&mut self, server: SocketAddr) -> &mut Known {
        if !self.known.contains_key(&server) {
            if self.in_order.len() == MAX_SERVERS
                && let Some(oldest) = self.in_order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.in_order.push_back(server);
        }
        self.known.entry(server).or_insert(Known { trips: self.initial, unreachable: None, session: None })
    }

    /// What is known of a server that was asked before.
    pub(super) fn known(&mut self, server: SocketAddr) -> Option<&mut Known> {
        self.known.get_mut(&server)
    }
}

impl Known {
    /// The session that was made with these very credentials.
    pub(super) fn session(&self, credentials: &Arc<Credentials>) -> Option<Arc<Session>> {
        let (made_with, session) = self.session.as_ref()?;
        Arc::ptr_eq(made_with, credentials).then(|| Arc::clone(session))
    }

    pub(super) fn set_session(&mut self, credentials: Arc<Credentials>, session: Arc<Session>) {
        self.session = Some((credentials, session));
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_SERVERS, Servers};
    use crate::rng::Rng;
    use crate::stun::transaction::RoundTrips;
    use crate::time::Duration;
    use core::net::SocketAddr;

    #[test]
    fn the_oldest_server_is_forgotten_and_the_table_does_not_grow() {
        let mut servers = Servers::new(RoundTrips::default(), &mut Rng::from_seed([0; 32]));
        let server = |n: usize| SocketAddr::from(([192, 0, 2, 1], n as u16 + 1));
        for n in 0..10 * MAX_SERVERS {
            servers.entry(server(n)).trips.observe(Duration::from_millis(300));
        }
        assert_eq!((servers.known.len(), servers.in_order.len()), (MAX_SERVERS, MAX_SERVERS));
        assert_ne!(servers.entry(server(10 * MAX_SERVERS - 1)).trips, RoundTrips::default());
        assert_eq!(servers.entry(server(0)).trips, RoundTrips::default(), "forgotten");
    }
}
