//! The mediator's stateless part as a whole: which sockets, how many workers, what they counted.
//!
//! Sockets are claimed first, alone, so that a port that somebody else has is an error here and not
//! a port quietly shared: with `SO_REUSEPORT` two mediators of one user would both start and each
//! get half of the peers. Only what is claimed is then opened for sharing, and never closed in
//! between: the first worker serves on it, and the others join.

mod claim;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use bradawl::rng::Rng;
use bradawl::stun::server::{Config, Counters, RateLimit, StunServer};
use bradawl::wire::stun::Key;

use claim::Claimed;
pub use claim::Remark;

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
    /// What is shared with another mediator. The alternates are addresses of that one then, and not of
    /// this host.
    pub partner_key: Option<Key>,
    /// Where else to listen where there is no alternate.
    pub second_port: SecondPort,
    /// What the world calls our IP addresses, where it does not call them what we do: ours, and the
    /// public one.
    pub advertised: Vec<(IpAddr, IpAddr)>,
    /// The longest delay after which a client may ask to be answered once more, in seconds.
    pub longest_delay: u16,
    /// Answer clients of RFC 3489, too.
    pub classic: bool,
    /// How fast one network may ask. Each worker counts for itself.
    pub rate: Option<RateLimit>,
    /// How many threads.
    pub workers: usize,
}

/// The second port of each address, for who wants to know his NAT.
///
/// ```
/// use bradawl_host::mediator::SecondPort;
/// assert_eq!(SecondPort::default(), SecondPort::Next);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondPort {
    /// The next one, or any where the first was any; without one if somebody else has it.
    #[default]
    Next,
    /// This one and no other; port 0 means any.
    At(u16),
    /// None.
    None,
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
        let Config { classic, rate, longest_delay, .. } = Config::default();
        Self {
            listen: Self::everywhere(),
            alternates: Vec::new(),
            partner_key: None,
            second_port: SecondPort::default(),
            advertised: Vec::new(),
            longest_delay,
            classic,
            rate,
            workers: 1,
        }
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
    /// The alternate address is another host's, and there is no secret to share with that.
    #[error("the alternate address {0} is not one of this host's")]
    Foreign(SocketAddr),
    /// The second port is the first.
    #[error("{0} has this port already and needs another one as its second")]
    SecondPort(SocketAddr),
    /// An address that is to be advertised as another is not listened on.
    #[error("nothing listens on {0}, so there is nothing to advertise as another address")]
    Advertised(IpAddr),
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
    remarks: Vec<Remark>,
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
        let claimed = Claimed::of(plan)?;
        let all: Vec<_> = claimed.addresses().collect();
        check_advertised(plan, &all)?;
        let Claimed { sockets, second, alternates, ports, remarks } = claimed;
        let config = Config {
            alternates,
            ports,
            partner_key: plan.partner_key.clone(),
            advertised: plan.advertised.clone(),
            longest_delay: plan.longest_delay,
            classic: plan.classic,
            rate: plan.rate,
        };
        let addresses = sockets.iter().map(Udp::bound).collect();
        let sockets: Vec<_> = sockets.into_iter().chain(second).collect();
        if plan.workers > 1 {
            sockets.iter().try_for_each(share)?;
        }
        let mut drivers = vec![adopt(config.clone(), &mut rng, sockets)];
        for _ in 1..plan.workers {
            drivers.push(join(config.clone(), &mut rng, &all)?);
        }
        let workers = Workers::start(drivers).map_err(StartError::Worker)?;
        Ok(Self { workers, addresses, remarks })
    }

    /// Where it listens, with the real ports; but for the second ports, which are in its remarks.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What whoever started it should know.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
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

/// That what is to be advertised is listened on: a slip here would go unnoticed for long.
fn check_advertised(plan: &Plan, listening: &[SocketAddr]) -> Result<(), StartError> {
    let covers = |socket: &SocketAddr, ip: IpAddr| {
        socket.ip() == ip || socket.ip().is_unspecified() && socket.is_ipv4() == ip.is_ipv4()
    };
    let unknown = plan.advertised.iter().find(|(ours, _)| !listening.iter().any(|at| covers(at, *ours)));
    unknown.map_or(Ok(()), |(ours, _)| Err(StartError::Advertised(*ours)))
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
