//! The search for gateways: to the group, where that is wanted, and to each router itself.
//!
//! All routers share one search. It asks three times and is over after five seconds.

use core::net::{IpAddr, SocketAddr};

use super::ssdp::{GROUP, TARGETS, write_search};
use crate::machine::{Output, Path};
use crate::portmap::config::{Config, Event};
use crate::time::{Duration, Instant};

/// How long after the start of a search each round follows.
const ROUNDS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// How long a search takes.
pub(super) const LENGTH: Duration = Duration::from_secs(5);

/// A router itself is asked for these; it will not answer to both.
const UNICAST_TARGETS: usize = 2;

#[derive(Debug)]
pub(in crate::portmap) struct Search {
    began: Instant,
    round: usize,
    /// How many packets of this round are sent.
    sent: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self { began: Instant::ZERO, round: ROUNDS.len(), sent: 0 }
    }
}

impl Search {
    /// Begins anew; until when answers are waited for.
    pub(in crate::portmap) fn begin(&mut self, now: Instant) -> Instant {
        *self = Self { began: now, round: 0, sent: 0 };
        now + LENGTH
    }

    pub(in crate::portmap) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(in crate::portmap) fn deadline(&self) -> Instant {
        ROUNDS.get(self.round).map_or(Instant::FAR_FUTURE, |&after| self.began + after)
    }

    /// The next packet that is due, if any.
    pub(in crate::portmap) fn poll(
        &mut self,
        now: Instant,
        local: SocketAddr,
        config: &Config,
        routers: impl Iterator<Item = IpAddr>,
        buf: &mut [u8],
    ) -> Option<Output<Event>> {
        if self.deadline() > now {
            return None;
        }
        let group = TARGETS.iter().map(|&target| (GROUP, target)).filter(|_| config.search);
        let each = routers.filter(IpAddr::is_ipv4).flat_map(|router| {
            let to = SocketAddr::new(router, GROUP.port());
            TARGETS.iter().take(UNICAST_TARGETS).map(move |&target| (to, target))
        });
        let Some((to, target)) = group.chain(each).nth(self.sent) else {
            (self.round, self.sent) = (self.round + 1, 0);
            return None;
        };
        self.sent += 1;
        // What does not fit into the buffer is lost, as on the way.
        let len = write_search(to, target, buf).unwrap_or_default();
        (len > 0).then_some(Output::Transmit { path: Path::udp(local, to), len, segment: None, ecn: None })
    }
}
