//! A NAT as a pure state machine: addresses in, addresses out, time given.
//!
//! It looks at nothing but a packet's protocol and its two addresses, as a NAT does. What it does with
//! them is a [`Config`] of independent axes, in the words of RFC 4787, RFC 5382 and RFC 7857; the old
//! four names ("full cone", …) are combinations of these.
//!
//! *Outbound* (from the private side to the public one):
//!
//! 1. The mapping of the inside endpoint is looked up. How much of the destination is part of the key
//!    is the mapping behaviour (RFC 4787 REQ-1): nothing of it, its IP address, or its port, too.
//! 2. If there is none, one is made: a public address (pooling, REQ-2), a port on it (allocation, REQ-3
//!    to REQ-5), within the capacity of the NAT and of one host. If that cannot be, the packet is
//!    dropped.
//! 3. The mapping is refreshed (REQ-6) and the destination remembered for the filter.
//!
//! *Inbound*: the mapping that owns the public endpoint is looked up, and the filter decides whether
//! this source may pass (REQ-8): any, any whose IP address was sent to, or only exact endpoints.
//! Whether that refreshes the mapping is an axis of its own (REQ-6).
//!
//! *Hairpin*: a packet from inside to a public endpoint of the NAT itself goes through both (REQ-9).
//!
//! Mappings die when they have not been refreshed for their lifetime (REQ-5), or all at once when the
//! NAT reboots. Strangers behind the same NAT ([`Config::crowd`]) make mappings of their own, which take
//! ports like everybody's.

mod config;
mod crowd;
mod ports;
mod table;

use core::hash::BuildHasher as _;
use core::net::{IpAddr, SocketAddr};

use bradawl::hash::Keyed;
use bradawl::rng::Rng;
use bradawl::time::Instant;

pub use config::{Allocation, Config, ConfigError, Dependence, Fallback, Hairpin, Pooling};
use crowd::Crowd;
use ports::Ports;
use table::{Key, Mapping, Table};

/// What a packet is to a NAT.
///
/// ```
/// use bradawl_sim::nat::{Flow, Protocol};
///
/// let flow = Flow::udp("10.0.0.7:5000".parse()?, "198.51.100.1:3478".parse()?);
/// assert_eq!(flow.protocol, Protocol::Udp);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Its protocol: the two have ports of their own.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
}

impl Flow {
    /// A datagram's.
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, source, destination }
    }

    /// A segment's.
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, source, destination }
    }
}

/// What a NAT tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Datagrams (RFC 4787).
    Udp,
    /// Streams (RFC 5382).
    Tcp,
}

/// What becomes of a packet that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It goes on to the other side, with these addresses.
    Across(Flow),
    /// It turns round inside the NAT and goes back to the private side, with these addresses.
    Hairpin(Flow),
}

/// Why a packet does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Dropped {
    /// Inbound, to a port that no mapping owns.
    #[error("no mapping")]
    NoMapping,
    /// Inbound, from somebody who was not sent to.
    #[error("filtered")]
    Filtered,
    /// Outbound, and the NAT or the host has no room for one more mapping.
    #[error("no capacity")]
    Capacity,
    /// Outbound, and no port is free.
    #[error("no port")]
    Ports,
    /// From inside to the NAT's own public address, which does not turn packets round.
    #[error("no hairpin")]
    NoHairpin,
    /// The packet is of another address family than the NAT's public side.
    #[error("no such family")]
    Family,
}

/// One NAT.
///
/// ```
/// use bradawl::rng::Rng;
/// use bradawl::time::Instant;
/// use bradawl_sim::nat::{Config, Dropped, Flow, Nat, Passed};
///
/// let config = Config::new(["203.0.113.9".parse()?]); // a well-behaved home router
/// let mut nat = Nat::new(config, Rng::from_seed([0; 32]))?;
/// let (inside, server) = ("10.0.0.7:5000".parse()?, "198.51.100.1:3478".parse()?);
///
/// let Passed::Across(out) = nat.outbound(Instant::ZERO, Flow::udp(inside, server))? else { panic!() };
/// assert_eq!(out.source, "203.0.113.9:5000".parse()?);
///
/// let back = nat.inbound(Instant::ZERO, Flow::udp(server, out.source))?;
/// assert_eq!(back.destination, inside);
/// let stranger = Flow::udp("192.0.2.66:666".parse()?, out.source);
/// assert_eq!(nat.inbound(Instant::ZERO, stranger), Err(Dropped::Filtered));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Nat {
    config: Config,
    table: Table,
    ports: Ports,
    crowd: Crowd,
    keyed: Keyed,
    rng: Rng,
}

impl Nat {
    /// A NAT that has just been switched on.
    pub fn new(config: Config, mut rng: Rng) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            table: Table::new(),
            ports: Ports::new(&config, &mut rng),
            crowd: Crowd::new(config.crowd, rng.fork()),
            keyed: Keyed::new(&mut rng),
            rng,
            config,
        })
    }

    /// What it was made from.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether `ip` is one of its public addresses.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.config.addresses.contains(&ip)
    }

    /// A packet from the private side.
    pub fn outbound(&mut self, now: Instant, flow: Flow) -> Result<Passed, Dropped> {
        self.pass_time(now);
        if self.owns(flow.destination.ip()) {
            return self.hairpin(now, flow).map(Passed::Hairpin);
        }
        self.translate(now, flow).map(Passed::Across)
    }

    /// A packet from the public side, to one of the NAT's addresses.
    pub fn inbound(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        self.pass_time(now);
        let Config { filtering, lifetime, refresh_inbound, .. } = self.config;
        let mapping = self.table.owner(flow).ok_or(Dropped::NoMapping)?;
        if !mapping.lets_in(filtering, flow.source) {
            return Err(Dropped::Filtered);
        }
        let (key, inside) = (mapping.key, mapping.key.inside);
        if refresh_inbound {
            self.table.refresh(key, now + lifetime);
        }
        Ok(Flow { destination: inside, ..flow })
    }

    /// It forgets everything, as when the power fails.
    pub fn reboot(&mut self) {
        self.table = Table::new();
        self.ports = Ports::new(&self.config, &mut self.rng);
    }

    /// The mappings that live at `now`: the inside endpoint and the public one.
    pub fn mappings(&mut self, now: Instant) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.pass_time(now);
        self.table
            .iter()
            .filter(|mapping| !mapping.is_crowd)
            .map(|mapping| (mapping.key.inside, mapping.public))
    }

    /// How many mappings live at `now`, strangers' included.
    pub fn load(&mut self, now: Instant) -> usize {
        self.pass_time(now);
        self.table.len()
    }

    /// Lets mappings die and strangers come and go, in order, up to `now`.
    fn pass_time(&mut self, now: Instant) {
        while let Some((at, inside, peer)) = self.crowd.next_before(now) {
            self.expire(at);
            let key = Key::new(self.config.mapping, Protocol::Udp, inside, peer);
            // A stranger for whom there is no room goes away.
            if self.table.get_mut(key).is_none()
                && let Ok(public) = self.allocate(Protocol::Udp, inside, peer)
            {
                self.table.insert(Mapping::new(key, public, true), at + self.config.lifetime);
            }
        }
        self.expire(now);
    }

    fn expire(&mut self, now: Instant) {
        while let Some(mapping) = self.table.expire(now) {
            self.ports.free(mapping.key.protocol, mapping.key.inside.ip(), mapping.public);
        }
    }

    /// Source address translation: finds or makes the mapping, refreshes it, remembers the peer.
    fn translate(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        let key = Key::new(self.config.mapping, flow.protocol, flow.source, flow.destination);
        let death = now + self.config.lifetime;
        if self.table.get_mut(key).is_some() {
            self.table.refresh(key, death);
        } else {
            let public = self.allocate(flow.protocol, flow.source, flow.destination)?;
            self.table.insert(Mapping::new(key, public, false), death);
        }
        let mapping = self.table.get_mut(key).ok_or(Dropped::NoMapping)?;
        mapping.remember(self.config.filtering, flow.destination);
        Ok(Flow { source: mapping.public, ..flow })
    }

    /// RFC 4787 REQ-9: out, and in again at the other mapping, whose filter applies.
    fn hairpin(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        if self.config.hairpin == Hairpin::None {
            return Err(Dropped::NoHairpin);
        }
        let out = self.translate(now, flow)?;
        let back = self.inbound(now, out)?;
        let source = match self.config.hairpin {
            Hairpin::InternalSource => flow.source,
            Hairpin::ExternalSource | Hairpin::None => out.source,
        };
        Ok(Flow { source, ..back })
    }

    /// A public endpoint for a new mapping.
    fn allocate(
        &mut self,
        protocol: Protocol,
        inside: SocketAddr,
        destination: SocketAddr,
    ) -> Result<SocketAddr, Dropped> {
        if self.table.len() >= self.config.capacity || self.table.of_host(inside.ip()) >= self.config.per_host
        {
            return Err(Dropped::Capacity);
        }
        let ip = self.public_address(inside.ip(), destination.ip())?;
        self.ports.allocate(&self.config, &mut self.rng, protocol, ip, inside).ok_or(Dropped::Ports)
    }

    /// RFC 4787 REQ-2: one inside address, one public address; or a new throw of the dice each time.
    fn public_address(&mut self, inside: IpAddr, destination: IpAddr) -> Result<IpAddr, Dropped> {
        let family = |ip: &&IpAddr| ip.is_ipv4() == destination.is_ipv4();
        let count = self.config.addresses.iter().filter(family).count() as u64;
        if count == 0 {
            return Err(Dropped::Family);
        }
        let which = match self.config.pooling {
            Pooling::Paired => self.keyed.hash_one(inside.to_string()) % count,
            Pooling::Arbitrary => self.rng.below(count),
        };
        self.config.addresses.iter().filter(family).nth(which as usize).copied().ok_or(Dropped::Family)
    }
}
