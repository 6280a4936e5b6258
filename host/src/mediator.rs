//! The mediator's stateless part as a whole: which sockets, how many workers, what they counted.
//!
//! Sockets are claimed first, alone, so that a port that somebody else has is an error here and not
//! a port quietly shared: with `SO_REUSEPORT` two mediators of one user would both start and each
//! get half of the peers. Only what is claimed is then opened for sharing, and never closed in
//! between: the first worker serves on it, and the others join.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, Counters, RateLimit, StunServer};

use crate::driver::{self, Driver, Limits};
use crate::seed::{self, SeedError};
use crate::udp::{BindOptions, Udp};
use crate::workers::Workers;

/// The port that STUN has at IANA.
pub const PORT: u16 = 3478;

/// What to serve.
///
/// ```
/// use bradawl_host::mediator::{Mediator, Plan};
///
/// let plan = Plan { listen: vec!["127.0.0.1:0".parse()?], ..Plan::default() };
/// let mediator = Mediator::start(&plan)?;
/// assert_ne!(mediator.addresses()[0].port(), 0);
/// assert_eq!(mediator.stop()?.sockets.received, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to listen; port 0 means any.
    pub listen: Vec<SocketAddr>,
    /// For each family at most one address with another IP and another port, for RFC 5780.
    pub alternates: Vec<SocketAddr>,
    /// Answer clients of RFC 3489, too.
    pub classic: bool,
    /// How fast one network may ask. Each worker counts for itself.
    pub rate: Option<RateLimit>,
    /// How many threads.
    pub workers: usize,
}

impl Plan {
    /// Everywhere, on the port that STUN has at IANA; without IPv6 where the host has none.
    pub fn everywhere() -> Vec<SocketAddr> {
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        // Where IPv6 is switched off the wildcard can be bound all the same, and loopback cannot.
        let own_v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        if Udp::bind(own_v6, &BindOptions::default()).is_ok() { vec![v4, v6] } else { vec![v4] }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let Config { classic, rate, .. } = Config::default();
        Self { listen: Self::everywhere(), alternates: Vec::new(), classic, rate, workers: 1 }
    }
}

/// Why a mediator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The alternate address has no primary one that it could be the alternate of.
    #[error(
        "the alternate address {0} needs a listening one of its family with another IP address and another port, not 0.0.0.0 or [::]"
    )]
    Alternate(SocketAddr),
    /// There is no randomness.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A thread could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] io::Error),
}

/// A running mediator.
#[derive(Debug)]
pub struct Mediator {
    workers: Workers<StunServer>,
    addresses: Vec<SocketAddr>,
}

/// What all workers did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// What became of each datagram.
    pub stun: Counters,
    /// What the sockets saw.
    pub sockets: driver::Counters,
}

impl Mediator {
    /// Opens the sockets and starts the workers.
    pub fn start(plan: &Plan) -> Result<Self, StartError> {
        let mut rng = seed::rng()?;
        let claimed = claim(plan)?;
        let config = Config { alternates: claimed.alternates, classic: plan.classic, rate: plan.rate };
        let addresses: Vec<_> = claimed.sockets.iter().map(Udp::bound).collect();
        if plan.workers > 1 {
            claimed.sockets.iter().try_for_each(share)?;
        }
        let mut drivers = vec![adopt(config.clone(), &mut rng, claimed.sockets)];
        for _ in 1..plan.workers {
            drivers.push(join(config.clone(), &mut rng, &addresses)?);
        }
        let workers = Workers::start(drivers).map_err(StartError::Worker)?;
        Ok(Self { workers, addresses })
    }

    /// Where it listens, with the real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Becomes readable if a worker ends by itself: see [`Workers::ended`].
    pub fn ended(&self) -> io::Result<OwnedFd> {
        self.workers.ended()
    }

    /// Lets the workers finish their turn, closes the sockets and adds up the counters.
    pub fn stop(self) -> io::Result<Tally> {
        let mut tally = Tally::default();
        for driver in self.workers.stop()? {
            tally.stun.merge(driver.machine().counters());
            tally.sockets.merge(driver.counters());
        }
        Ok(tally)
    }
}

/// The sockets of one worker, opened for it alone.
struct Claimed {
    sockets: Vec<Udp>,
    alternates: Vec<Alternate>,
}

fn claim(plan: &Plan) -> Result<Claimed, StartError> {
    let options = options(false);
    let open = |address| Udp::bind(address, &options).map_err(|source| StartError::Bind { address, source });
    let mut sockets = plan.listen.iter().map(|&address| open(address)).collect::<Result<Vec<_>, _>>()?;
    let mut alternates = Vec::new();
    for &wanted in &plan.alternates {
        let primaries = sockets.iter().map(Udp::bound);
        let Some(primary) = primaries.into_iter().find(|&primary| may_be_primary(primary, wanted)) else {
            return Err(StartError::Alternate(wanted));
        };
        let second = open(wanted)?;
        let pair = Alternate::new(primary, second.bound()).ok_or(StartError::Alternate(wanted))?;
        sockets.push(second);
        // The remaining two of the four: each IP address with the other's port.
        let open_already: BTreeSet<_> = sockets.iter().map(Udp::bound).collect();
        for address in pair.addresses().into_iter().filter(|address| !open_already.contains(address)) {
            sockets.push(open(address)?);
        }
        alternates.push(pair);
    }
    Ok(Claimed { sockets, alternates })
}

fn may_be_primary(primary: SocketAddr, wanted: SocketAddr) -> bool {
    let concrete = |ip: IpAddr| !ip.is_unspecified();
    primary.is_ipv4() == wanted.is_ipv4()
        && concrete(primary.ip())
        && concrete(wanted.ip())
        && primary.ip() != wanted.ip()
        && primary.port() != wanted.port()
}

fn adopt(config: Config, rng: &mut Rng, sockets: Vec<Udp>) -> Driver<StunServer> {
    let mut driver = Driver::new(StunServer::new(config, rng.fork()), Limits::default());
    for udp in sockets {
        driver.adopt(udp);
    }
    driver
}

fn share(udp: &Udp) -> Result<(), StartError> {
    udp.share().map_err(|source| StartError::Bind { address: udp.bound(), source })
}

fn join(config: Config, rng: &mut Rng, addresses: &[SocketAddr]) -> Result<Driver<StunServer>, StartError> {
    let mut driver = Driver::new(StunServer::new(config, rng.fork()), Limits::default());
    for &address in addresses {
        driver.bind(address, &options(true)).map_err(|source| StartError::Bind { address, source })?;
    }
    Ok(driver)
}

/// A STUN server looks at no congestion marks, and its peers send one small packet each.
fn options(reuse_port: bool) -> BindOptions {
    BindOptions { reuse_port, ecn: false, coalesce: false, ..BindOptions::default() }
}
