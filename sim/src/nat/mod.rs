//! A NAT as a pure state machine: addresses in, addresses out, time given.
//!
//! It looks at nothing but a packet's protocol, its two addresses and whether it opens or closes a
//! connection, as a NAT does. What it does with them is a [`Behaviour`] of independent axes, in the words
//! of RFC 4787, RFC 5382 and RFC 7857; the old four names ("full cone", …) are combinations of these.
//!
//! *Outbound* (from the private side to the public one):
//!
//! 1. The mapping of the inside endpoint is looked up. How much of the destination is part of the key
//!    is the mapping behaviour (RFC 4787 REQ-1): nothing of it, its IP address, or its port, too.
//! 2. If there is none, one is made: a public address (pooling, REQ-2), a port on it (allocation, REQ-3
//!    to REQ-5), within the capacity of the NAT and of one host. If that cannot be, the packet is
//!    dropped. Where ports are overloaded, a mapping whose public endpoint another one uses with the
//!    same peer cannot be used with it, and that session gets a mapping of its own.
//! 3. The mapping is refreshed (REQ-6) and the destination remembered for the filter.
//!
//! *Inbound*: the mapping that owns the public endpoint is looked up, and the filter decides whether
//! this source may pass (REQ-8): any, any whose IP address was sent to, or only exact endpoints.
//! Whether that refreshes the mapping is an axis of its own (REQ-6).
//!
//! *Hairpin*: a packet from inside to a public endpoint of the NAT itself goes through both (REQ-9).
//!
//! *Errors*: an ICMP message is about a packet, and goes where that came from, if its session is known
//! (REQ-10, RFC 5508 §4.2). It neither refreshes nor ends anything.
//!
//! UDP mappings die when they have not been refreshed for their lifetime (REQ-5), TCP ones with the last
//! of their connections (RFC 5382 REQ-5), and all at once when the NAT reboots. Strangers behind the same
//! NAT ([`Behaviour::crowd`]) make mappings of their own, which take ports like everybody's.

mod behaviour;
mod crowd;
mod flow;
mod ports;
mod range;
mod session;
mod table;

use core::hash::{BuildHasher as _, Hasher as _};
use core::net::{IpAddr, SocketAddr};

use bradawl::hash::Keyed;
use bradawl::rng::Rng;
use bradawl::time::Instant;

pub use behaviour::{Allocation, Behaviour, ConfigError, Dependence, Fallback, Hairpin, Pooling};
use crowd::{Arrival, Crowd, Stranger};
pub use flow::{Dropped, Flow, Passed, Protocol, Stage};
use ports::{Need, Ports};
pub use range::{PortRange, PortRangeError};
use session::{Mapping, Owner};
use table::{Key, Slot, Table};

/// One NAT.
///
/// ```
/// use bradawl::rng::Rng;
/// use bradawl::time::Instant;
/// use bradawl_sim::nat::{Behaviour, Dropped, Flow, Nat, Passed};
///
/// let home = Behaviour::default(); // a well-behaved home router
/// let mut nat = Nat::new(home, vec!["203.0.113.9".parse()?], Rng::from_seed([0; 32]))?;
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
    behaviour: Behaviour,
    addresses: Vec<IpAddr>,
    table: Table,
    ports: Ports,
    crowd: Crowd,
    keyed: Keyed,
    rng: Rng,
    opened: Option<(SocketAddr, SocketAddr)>,
}

impl Nat {
    /// A NAT that has just been switched on.
    pub fn new(behaviour: Behaviour, addresses: Vec<IpAddr>, mut rng: Rng) -> Result<Self, ConfigError> {
        behaviour.check()?;
        if addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        if addresses.iter().any(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(ConfigError::Address);
        }
        Ok(Self {
            table: Table::new(&behaviour),
            ports: Ports::new(&behaviour, &mut rng),
            crowd: Crowd::new(behaviour.crowd, behaviour.lifetime.duration(), rng.fork()),
            keyed: Keyed::new(&mut rng),
            rng,
            addresses,
            behaviour,
            opened: None,
        })
    }

    /// What it does.
    pub const fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Its public addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether `ip` is one of its public addresses.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }

    /// A packet from the private side.
    pub fn outbound(&mut self, now: Instant, flow: Flow) -> Result<Passed, Dropped> {
        self.opened = None;
        self.pass_time(now);
        if self.owns(flow.destination.ip()) {
            return self.hairpin(now, flow).map(Passed::Hairpin);
        }
        self.translate(now, flow).map(Passed::Across)
    }

    /// The inside and the public endpoint of the mapping that the last packet from inside made, if it
    /// made one.
    pub fn take_opened(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        self.opened.take()
    }

    /// A packet from the public side, to one of the NAT's addresses.
    pub fn inbound(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        self.pass_time(now);
        let dropped = match self.let_in(now, flow) {
            Ok(passed) => return Ok(passed),
            Err(dropped) => dropped,
        };
        // What the box answers with a RST leaves nothing behind.
        if self.behaviour.early && flow.protocol == Protocol::Udp {
            self.take_early(now, flow);
        }
        let is_syn = flow.protocol == Protocol::Tcp && flow.stage == Stage::Open;
        Err(if is_syn && self.behaviour.refuse { Dropped::Refused } else { dropped })
    }

    /// An ICMP error arrived from the public side, about a packet that went out: how that looked
    /// inside, so that the error can be passed on to its sender (RFC 4787 REQ-10, RFC 5508 §4.2).
    pub fn error_inbound(&mut self, now: Instant, offending: Flow) -> Option<Flow> {
        self.pass_time(now);
        let Flow { source, destination, .. } = offending;
        let answer = Flow { source: destination, destination: source, ..offending };
        let slot = self.table.find(now, self.behaviour.filtering, answer).ok()?;
        let mapping = self.table.at(slot).filter(|_| self.behaviour.pass_errors)?;
        Some(Flow { source: mapping.key.inside, ..offending })
    }

    /// An ICMP error arrived from the private side, about a packet that came in: how that looked
    /// outside.
    pub fn error_outbound(&mut self, now: Instant, offending: Flow) -> Option<Flow> {
        self.pass_time(now);
        let Flow { protocol, source, destination, .. } = offending;
        let filtering = self.behaviour.filtering;
        let lets_in = |mapping: &&Mapping| mapping.lets_in(now, filtering, source);
        let own =
            self.slot(protocol, destination, source).and_then(|slot| self.table.at(slot)).filter(lets_in);
        // Where the filter looks at less than the mapping does, it may have come in at any other of the
        // host's.
        let is_of_host = |mapping: &&Mapping| {
            mapping.owner == Owner::Host
                && (mapping.key.protocol, mapping.key.inside) == (protocol, destination)
        };
        let mapping = own.or_else(|| self.table.iter().filter(is_of_host).find(lets_in));
        let mapping = mapping.filter(|_| self.behaviour.pass_errors)?;
        Some(Flow { destination: mapping.public, ..offending })
    }

    /// It forgets everything, as when the power fails.
    pub fn reboot(&mut self) {
        self.table = Table::new(&self.behaviour);
        self.ports = Ports::new(&self.behaviour, &mut self.rng);
        self.crowd.forget();
        self.opened = None;
    }

    /// The mappings that live at `now`: the inside endpoint and the public one.
    pub fn mappings(&mut self, now: Instant) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.pass_time(now);
        self.table
            .iter()
            .filter(|mapping| mapping.owner == Owner::Host)
            .map(|mapping| (mapping.key.inside, mapping.public))
    }

    /// How many mappings live at `now`, strangers' and the NAT's own included.
    pub fn load(&mut self, now: Instant) -> usize {
        self.pass_time(now);
        self.table.len() + self.crowd.len()
    }

    /// Lets mappings die and strangers come and go, in order, up to `now`.
    fn pass_time(&mut self, now: Instant) {
        let skipped = self.crowd.skip(now);
        self.ports.pass(&self.behaviour, skipped);
        while let Some(arrival) = self.crowd.next_before(now) {
            self.expire(arrival.at);
            self.welcome(arrival);
        }
        self.expire(now);
    }

    /// A stranger for whom there is no room goes away.
    fn welcome(&mut self, Arrival { at, inside, peer }: Arrival) {
        if !self.has_room(self.crowd.of_host(inside)) {
            return;
        }
        let Ok(ip) = self.public_address(inside.ip(), peer.ip()) else { return };
        // Nobody else talks to that peer, so no tuple can be in the way.
        let need = Need { protocol: Protocol::Udp, ip, inside, remote: peer, wish: None };
        if let Some(public) = self.ports.allocate(&self.behaviour, None, &mut self.rng, need) {
            self.crowd.settle(Stranger { came: at, inside, public });
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(Stranger { inside, public, .. }) = self.crowd.leave(now) {
            self.ports.free(Protocol::Udp, inside.ip(), public);
        }
        while let Some(mapping) = self.table.expire(now) {
            if mapping.owner != Owner::Box {
                self.ports.free(mapping.key.protocol, mapping.key.inside.ip(), mapping.public);
            }
        }
    }

    /// Source address translation: finds or makes the mapping, refreshes it, remembers the peer.
    fn translate(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        let slot = match self.slot(flow.protocol, flow.source, flow.destination) {
            Some(slot) => slot,
            None => self.open(now, flow)?,
        };
        self.table.sent(now, &self.behaviour, slot, flow);
        let mapping = self.table.at(slot).ok_or(Dropped::NoMapping)?;
        Ok(Flow { source: mapping.public, ..flow })
    }

    /// The mapping by which `inside` sends to `remote`, if there is one.
    fn slot(&self, protocol: Protocol, inside: SocketAddr, remote: SocketAddr) -> Option<Slot> {
        let dependence = self.behaviour.mapping;
        if !self.table.is_exact() || dependence == Dependence::AddressAndPort {
            return self.table.slot(&Key::new(dependence, protocol, inside, remote));
        }
        // One of the session's own, or the one for all, if that tuple is nobody else's.
        let own = self.table.slot(&Key::new(Dependence::AddressAndPort, protocol, inside, remote));
        own.or_else(|| {
            let slot = self.table.slot(&Key::new(dependence, protocol, inside, remote))?;
            let user = self.table.user((protocol, self.table.at(slot)?.public, remote));
            user.is_none_or(|user| user == slot).then_some(slot)
        })
    }

    fn open(&mut self, now: Instant, flow: Flow) -> Result<Slot, Dropped> {
        let Flow { protocol, source, destination, .. } = flow;
        let public = self.allocate(protocol, source, destination)?;
        let mut key = Key::new(self.behaviour.mapping, protocol, source, destination);
        if self.table.slot(&key).is_some() {
            key = Key::new(Dependence::AddressAndPort, protocol, source, destination);
        }
        let mapping = Mapping::new(now, key, public, Owner::Host);
        let death = match protocol {
            Protocol::Udp => now + mapping.udp_lifetime(now, &self.behaviour).duration(),
            Protocol::Tcp => now, // its first packet says more
        };
        self.opened = Some((source, public));
        Ok(self.table.insert(mapping, death))
    }

    fn let_in(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        let found = self.table.find(now, self.behaviour.filtering, flow);
        if let Some(inside) = self.stranger(flow, found)? {
            return Ok(Flow { destination: inside, ..flow });
        }
        let slot = found?;
        self.table.received(now, &self.behaviour, slot, flow);
        let mapping = self.table.at(slot).ok_or(Dropped::NoMapping)?;
        Ok(Flow { destination: mapping.key.inside, ..flow })
    }

    /// Whether a packet that was found to be for a host, or for nobody, is for a stranger, or stopped by
    /// the filter before one. Where both share the port, and it is neither's session, who came first gets it.
    fn stranger(&self, flow: Flow, found: Result<Slot, Dropped>) -> Result<Option<SocketAddr>, Dropped> {
        let Flow { protocol, source, destination, .. } = flow;
        let stranger = self.crowd.at(destination).filter(|_| protocol == Protocol::Udp);
        let Some(stranger) = stranger else { return Ok(None) };
        let is_open = self.behaviour.filtering == Dependence::Endpoint;
        let user = self.table.user((protocol, destination, source));
        match found {
            Err(Dropped::NoMapping) if is_open && user.is_none() => Ok(Some(stranger.inside)),
            Err(Dropped::NoMapping) => Err(Dropped::Filtered),
            Ok(slot) if is_open && user != Some(slot) => {
                let is_older = self.table.at(slot).is_some_and(|mapping| stranger.came < mapping.made);
                Ok(is_older.then_some(stranger.inside))
            }
            _ => Ok(None),
        }
    }

    /// The box takes the tuple of a packet from outside for itself, if it is free and there is room.
    fn take_early(&mut self, now: Instant, flow: Flow) {
        let Flow { protocol, source, destination, .. } = flow;
        let death = now + self.behaviour.unreplied.unwrap_or(self.behaviour.lifetime).duration();
        if let Some(user) = self.table.user((protocol, destination, source)) {
            if self.table.at(user).is_some_and(|mapping| mapping.owner == Owner::Box) {
                self.table.postpone(user, death);
            }
        } else if self.has_room(self.table.of_host(destination.ip())) {
            let key = Key::new(Dependence::AddressAndPort, protocol, destination, source);
            let slot = self.table.insert(Mapping::new(now, key, destination, Owner::Box), death);
            self.table.claim(slot, source);
        }
    }

    /// RFC 4787 REQ-9: out, and in again at the other mapping, whose filter applies.
    fn hairpin(&mut self, now: Instant, flow: Flow) -> Result<Flow, Dropped> {
        if self.behaviour.hairpin == Hairpin::None {
            return Err(Dropped::NoHairpin);
        }
        let out = self.translate(now, flow)?;
        let back = self.let_in(now, out)?;
        let source = match self.behaviour.hairpin {
            Hairpin::InternalSource => flow.source,
            Hairpin::ExternalSource | Hairpin::None => out.source,
        };
        Ok(Flow { source, ..back })
    }

    /// Whether a host that has so many mappings can have one more.
    fn has_room(&self, of_host: u32) -> bool {
        let Behaviour { capacity, per_host, .. } = self.behaviour;
        self.table.len() + self.crowd.len() < capacity as usize && of_host < per_host
    }

    /// A public endpoint for a new mapping.
    fn allocate(
        &mut self,
        protocol: Protocol,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> Result<SocketAddr, Dropped> {
        if !self.has_room(self.table.of_host(inside.ip())) {
            return Err(Dropped::Capacity);
        }
        let wish = self.wish(protocol, inside).filter(|wish| wish.is_ipv4() == remote.is_ipv4());
        let ip = match wish {
            Some(wish) => wish.ip(),
            None => self.public_address(inside.ip(), remote.ip())?,
        };
        let need = Need { protocol, ip, inside, remote, wish: wish.map(|wish| wish.port()) };
        let Self { behaviour, table, ports, rng, .. } = self;
        let table = table.is_exact().then_some(&*table);
        ports.allocate(behaviour, table, rng, need).ok_or(Dropped::Ports)
    }

    /// The public endpoint that would be best for a new mapping, if there is such a thing.
    fn wish(&self, protocol: Protocol, inside: SocketAddr) -> Option<SocketAddr> {
        if self.behaviour.overload && matches!(self.behaviour.allocation, Allocation::Preserve(_)) {
            return self.table.newest(protocol, inside);
        }
        if !self.behaviour.contiguity || inside.port().is_multiple_of(2) {
            return None;
        }
        // RFC 4787 §4.2.3: RTP is even, and its RTCP right above.
        let even = self.table.any_of(protocol, SocketAddr::new(inside.ip(), inside.port() - 1))?;
        even.port().is_multiple_of(2).then(|| SocketAddr::new(even.ip(), even.port() + 1))
    }

    /// RFC 4787 REQ-2: one inside address, one public address; or a new throw of the dice each time.
    fn public_address(&mut self, inside: IpAddr, remote: IpAddr) -> Result<IpAddr, Dropped> {
        let is_v4 = remote.is_ipv4();
        let count = self.addresses.iter().filter(|ip| ip.is_ipv4() == is_v4).count() as u64;
        let which = match self.behaviour.pooling {
            _ if count <= 1 => 0,
            Pooling::Paired => self.hash(inside) % count,
            Pooling::Arbitrary => self.rng.below(count),
        };
        let mut of_family = self.addresses.iter().filter(|ip| ip.is_ipv4() == is_v4);
        of_family.nth(which as usize).copied().ok_or(Dropped::Family)
    }

    /// The same on every platform, which [`Hash`] does not promise.
    fn hash(&self, ip: IpAddr) -> u64 {
        let mut hasher = self.keyed.build_hasher();
        match ip {
            IpAddr::V4(ip) => hasher.write(&ip.octets()),
            IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.finish()
    }
}
