//! The mapper as a machine: the program's wishes, the host's sockets, and who is told what.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::config::{Config, Event, MapError, MappingId, Protocol, Refusal};
use super::igd::search::Search;
use super::igd::ssdp;
use super::lease::{Lease, Wish};
use super::router::{Context, Router};
use super::sockets::{Sockets, Udp};
use super::{MAX_MAPPINGS, MAX_ROUTERS, pcp, retry};
use crate::machine::{
    HostInput, HostRequest, Interface, Machine, Meta, Output, Path, Transport, Unreachable, Verdict,
};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// How long deleting may take at the end.
const CLOSING: Duration = Duration::from_secs(3);

/// Asks routers to map ports, as a [`Machine`].
///
/// ```
/// use bradawl::machine::{HostInput, HostRequest, Machine, Meta, Output, Path, MIN_BUFFER};
/// use bradawl::portmap::{Config, Event, PortMapper, Protocol};
/// use bradawl::rng::Rng;
/// use bradawl::time::Instant;
///
/// let now = Instant::ZERO;
/// let config = Config::new("192.168.1.7:0".parse()?, vec!["192.168.1.1".parse()?]);
/// let mut mapper = PortMapper::new(config, Rng::from_seed([1; 32]));
/// mapper.map(now, 5_000, Protocol::Udp, 0)?;
///
/// let mut buf = [0; MIN_BUFFER];
/// let Output::Host(HostRequest::Bind { id, .. }) = mapper.poll_output(now, &mut buf) else { panic!() };
/// mapper.handle_host(now, HostInput::Bound { id, result: Ok("192.168.1.7:40000".parse()?) });
/// let Output::Transmit { path, len: 60, .. } = mapper.poll_output(now, &mut buf) else { panic!() };
/// assert_eq!(path.remote, "192.168.1.1:5351".parse()?);
///
/// // The router answers: success, an hour, port 61000.
/// let mut answer = buf[..60].to_vec();
/// answer[1] |= 0x80;
/// answer[4..24].fill(0);
/// answer[6..8].copy_from_slice(&3_600_u16.to_be_bytes());
/// answer[42..44].copy_from_slice(&61_000_u16.to_be_bytes());
/// answer[56..].copy_from_slice(&[203, 0, 113, 9]);
/// let _ = mapper.handle_input(now, path, Meta::default(), &answer);
/// let Output::Event(Event::ExternalAddress { .. }) = mapper.poll_output(now, &mut buf) else { panic!() };
/// let Output::Event(Event::Mapped(mapped)) = mapper.poll_output(now, &mut buf) else { panic!() };
/// assert_eq!(mapped.external, "203.0.113.9:61000".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PortMapper {
    config: Config,
    rng: Rng,
    routers: Vec<Router>,
    wishes: Vec<Wished>,
    search: Search,
    sockets: Sockets,
    events: VecDeque<Event>,
    serial: u32,
    on_link: Option<Interface>,
    /// Nothing is due before then.
    due: Instant,
    phase: Phase,
}

/// What the program was told of a wish.
#[derive(Clone, Copy, Debug)]
struct Wished {
    wish: Wish,
    /// When silence counts as failure.
    patience: Instant,
    has_failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing { until: Instant },
    Closed,
}

impl Machine for PortMapper {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let is_ours = match path.transport {
            Transport::Udp => self.handle_datagram(now, path, bytes),
            Transport::Tcp => self.with_gateway(now, |router, cx| {
                let Router { gateway, leases, address, .. } = router;
                gateway.handle_bytes(path, bytes, leases, *address, cx)
            }),
        };
        if is_ours { Verdict::Consumed } else { Verdict::Unclaimed }
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, result } if id == self.sockets.datagrams() => match result {
                Ok(local) if self.sockets.udp == Udp::Asked => self.sockets.udp = Udp::Open(local),
                Ok(_) => {}
                Err(_) => {
                    self.sockets.is_refused(now);
                    self.fail_all(Refusal::NoSocket);
                }
            },
            HostInput::Closed { id } if id == self.sockets.datagrams() => self.sockets.is_refused(now),
            HostInput::Closed { id } => {
                self.with_gateway(now, |router, cx| {
                    let Router { gateway, leases, address, .. } = router;
                    gateway.handle_closed(id, leases, *address, cx)
                });
            }
            HostInput::Connected { id, path } => {
                self.routers.iter_mut().any(|router| router.gateway.handle_connected(id, path));
            }
            HostInput::Unreachable { path, kind: Unreachable::Port } if path.remote.port() == pcp::PORT => {
                let ip = path.remote.ip();
                if let Some(router) = self.routers.iter_mut().find(|router| router.address == ip) {
                    router.is_perhaps_deaf(now);
                }
            }
            HostInput::Interfaces(all) => {
                let own = self.config.local.ip();
                self.on_link = all.iter().copied().find(|interface| interface.address == own);
                self.doubt(now);
            }
            HostInput::ClockJumped(_) => self.doubt(now),
            _ => return,
        }
        self.due = Instant::ZERO;
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        // Each round moves something on that was due; a handful settles everything.
        for _ in 0..MAX_ROUNDS {
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            if let Some(id) = self.sockets.closing.pop_front() {
                return Output::Host(HostRequest::Close { id });
            }
            if now < self.due {
                return self.idle();
            }
            if let Some(output) = self.work(now, buf) {
                return output;
            }
            self.judge(now);
            if self.events.is_empty() && self.sockets.closing.is_empty() {
                self.due = self.deadline();
            }
        }
        debug_assert!(false, "it never rests");
        self.due = now + retry::FIRST;
        self.idle()
    }
}

/// More than it ever takes to settle all leases of all routers.
const MAX_ROUNDS: usize = 4 * MAX_MAPPINGS * MAX_ROUTERS;

impl PortMapper {
    /// A mapper that asks nobody until something is to be mapped.
    pub fn new(config: Config, rng: Rng) -> Self {
        let mut routers: Vec<Router> = Vec::new();
        for &address in config.routers.iter().take(MAX_ROUTERS) {
            let is_known = routers.iter().any(|router| router.address == address);
            if address.is_ipv4() == config.local.is_ipv4() && !is_known {
                routers.push(Router::new(address, false));
            }
        }
        Self {
            sockets: Sockets::new(config.sockets),
            config,
            rng,
            routers,
            wishes: Vec::new(),
            search: Search::default(),
            events: VecDeque::new(),
            serial: 0,
            on_link: None,
            due: Instant::FAR_FUTURE,
            phase: Phase::Open,
        }
    }

    /// Asks for `internal_port` of our own address to be mapped, and `external_port` if the router lets us
    /// choose; 0 is any. It is kept until [`PortMapper::unmap`] or [`PortMapper::close`].
    pub fn map(
        &mut self,
        now: Instant,
        internal_port: u16,
        protocol: Protocol,
        external_port: u16,
    ) -> Result<MappingId, MapError> {
        if self.phase != Phase::Open {
            return Err(MapError::Closed);
        }
        if internal_port == 0 {
            return Err(MapError::PortZero);
        }
        let is_same = |wish: &Wish| (wish.internal_port, wish.protocol) == (internal_port, protocol);
        let is_leaving =
            |router: &Router| router.leases.iter().any(|lease| lease.leaving && is_same(&lease.wish));
        if self.wishes.iter().any(|wished| is_same(&wished.wish)) || self.routers.iter().any(is_leaving) {
            return Err(MapError::Duplicate);
        }
        let leaving = |router: &Router| router.leases.iter().filter(|lease| lease.leaving).count();
        if self.wishes.len() + self.routers.iter().map(leaving).max().unwrap_or(0) >= MAX_MAPPINGS {
            return Err(MapError::TooMany);
        }
        self.serial = self.serial.wrapping_add(1);
        let id = MappingId(self.serial);
        let wish = Wish { id, protocol, internal_port, external_port };
        self.wishes.push(Wished { wish, patience: now + retry::PATIENCE, has_failed: false });
        for router in &mut self.routers {
            router.add(now, &self.config, wish, &mut self.rng);
        }
        self.due = Instant::ZERO;
        Ok(id)
    }

    /// Has a mapping deleted wherever it is; no event tells of it. Whether there was one.
    pub fn unmap(&mut self, now: Instant, id: MappingId) -> bool {
        let before = self.wishes.len();
        self.wishes.retain(|wished| wished.wish.id != id);
        for router in &mut self.routers {
            router.remove(now, id);
        }
        self.due = Instant::ZERO;
        before != self.wishes.len()
    }

    /// What routers have said against a mapping so far: before [`Event::Failed`] comes, for who does not
    /// want to wait for those that say nothing.
    pub fn refusal(&self, id: MappingId) -> Option<Refusal> {
        let leases = self.routers.iter().flat_map(|router| &router.leases);
        leases.filter(|lease| lease.wish.id == id).filter_map(Lease::refusal).max()
    }

    /// Has everything deleted. [`Event::Closed`] comes when that is done, after three seconds at the latest.
    pub fn close(&mut self, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        while let Some(wished) = self.wishes.last() {
            self.unmap(now, wished.wish.id);
        }
        self.search.stop();
        self.phase = Phase::Closing { until: now + CLOSING };
        self.due = Instant::ZERO;
    }

    fn context<'a>(&'a mut self, now: Instant, local: SocketAddr) -> (&'a mut Vec<Router>, Context<'a>) {
        let Self { config, rng, routers, search, sockets, events, .. } = self;
        (routers, Context { now, config, local, rng, events, sockets, search })
    }

    /// The next thing that is due, if any.
    fn work(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output<Event>> {
        let local = match (self.sockets.udp, self.phase) {
            (_, Phase::Closed) => return None,
            (Udp::Open(local), _) => local,
            (Udp::Missing(at), Phase::Open) if at <= now && !self.wishes.is_empty() => {
                self.sockets.udp = Udp::Asked;
                let (id, local) = (self.sockets.datagrams(), self.config.local);
                return Some(Output::Host(HostRequest::Bind { id, transport: Transport::Udp, local }));
            }
            (Udp::Missing(_) | Udp::Asked, _) => return None,
        };
        let (routers, mut cx) = self.context(now, local);
        for router in routers.iter_mut() {
            if let Some(output) = router.poll(&mut cx, buf) {
                return Some(output);
            }
        }
        if !self.routers.iter().any(|router| router.gateway.is_searched()) {
            self.search.stop(); // all are found, or given up
        }
        while self.search.deadline() <= now {
            let routers = self.routers.iter().filter(|router| !router.is_extra).map(|router| router.address);
            if let Some(output) = self.search.poll(now, local, &self.config, routers, buf) {
                return Some(output);
            }
        }
        None
    }

    /// What has to be told because of what has not happened.
    fn judge(&mut self, now: Instant) {
        for router in &mut self.routers {
            router.forget_gone();
        }
        match self.phase {
            Phase::Open => {}
            Phase::Closing { until } => {
                let is_done = self.routers.iter().all(|router| router.leases.is_empty());
                if is_done || until <= now || !matches!(self.sockets.udp, Udp::Open(_)) {
                    self.finish();
                }
                return;
            }
            Phase::Closed => return,
        }
        for wished in &mut self.wishes {
            let mut leases = self
                .routers
                .iter()
                .filter_map(|router| router.leases.iter().find(|lease| lease.wish.id == wished.wish.id));
            if leases.clone().any(Lease::is_mapped) {
                wished.has_failed = false;
                wished.patience = Instant::FAR_FUTURE;
                continue;
            }
            if wished.patience == Instant::FAR_FUTURE && !wished.has_failed {
                wished.patience = now + retry::PATIENCE; // it was mapped and is lost
            }
            let is_over = wished.patience <= now || leases.clone().all(Lease::is_exhausted);
            if is_over && !wished.has_failed {
                let none = if self.routers.is_empty() { Refusal::NoRouter } else { Refusal::NoAnswer };
                let reason = leases.by_ref().filter_map(Lease::refusal).max().unwrap_or(none);
                wished.has_failed = true;
                wished.patience = Instant::FAR_FUTURE;
                self.events.push_back(Event::Failed { id: wished.wish.id, reason });
            }
        }
    }

    fn fail_all(&mut self, reason: Refusal) {
        for wished in self.wishes.iter_mut().filter(|wished| !wished.has_failed) {
            wished.has_failed = true;
            wished.patience = Instant::FAR_FUTURE;
            self.events.push_back(Event::Failed { id: wished.wish.id, reason });
        }
    }

    /// Everything is deleted, or nobody says so.
    fn finish(&mut self) {
        self.phase = Phase::Closed;
        let connections = self.routers.iter_mut().filter_map(|router| router.gateway.abandon());
        self.sockets.closing.extend(connections);
        if self.sockets.udp != Udp::Missing(Instant::ZERO) {
            self.sockets.closing.push_back(self.sockets.datagrams());
        }
        self.routers.clear();
        self.events.push_back(Event::Closed);
    }

    fn deadline(&self) -> Instant {
        let until = match self.phase {
            Phase::Closed => return Instant::FAR_FUTURE,
            Phase::Closing { until } => until,
            Phase::Open => Instant::FAR_FUTURE,
        };
        let patience = self.wishes.iter().map(|wished| wished.patience).fold(until, Instant::min);
        match self.sockets.udp {
            Udp::Asked => patience,
            Udp::Missing(_) if self.wishes.is_empty() => patience,
            Udp::Missing(at) => patience.min(at),
            Udp::Open(_) => {
                let routers = self.routers.iter().map(Router::deadline);
                routers.fold(patience.min(self.search.deadline()), Instant::min)
            }
        }
    }

    fn idle(&self) -> Output<Event> {
        Output::Idle((self.due != Instant::FAR_FUTURE).then_some(self.due))
    }

    fn doubt(&mut self, now: Instant) {
        for router in &mut self.routers {
            router.doubt(now);
        }
    }

    /// All that comes to our own socket is ours, whatever it is.
    fn handle_datagram(&mut self, now: Instant, path: Path, bytes: &[u8]) -> bool {
        let Udp::Open(local) = self.sockets.udp else { return false };
        if (path.local.ip(), path.local.port()) != (local.ip(), local.port()) {
            return false;
        }
        let from = path.remote.ip();
        if path.remote.port() == pcp::PORT {
            let (routers, mut cx) = self.context(now, local);
            if let Some(router) = routers.iter_mut().find(|router| router.address == from && !router.is_extra)
            {
                router.handle_answer(&mut cx, bytes);
                self.due = Instant::ZERO;
            }
        } else if let Some(location) = ssdp::location(bytes, from) {
            self.add_gateway(now, from);
            if let Some(router) = self.routers.iter_mut().find(|router| router.address == from) {
                router.gateway.locate(location);
                self.due = Instant::ZERO;
            }
        }
        true
    }

    /// A gateway on our own private network that is no default gateway is asked too, while there is room:
    /// some routers answer from another of their addresses.
    fn add_gateway(&mut self, now: Instant, from: IpAddr) {
        let is_known = self.routers.iter().any(|router| router.address == from);
        let is_near = matches!(from, IpAddr::V4(ip) if ip.is_private())
            && self.on_link.is_some_and(|interface| is_in(from, &interface));
        let is_searching = self.routers.iter().any(|router| router.gateway.is_searched());
        if is_known || !is_near || !is_searching || self.routers.len() >= MAX_ROUTERS {
            return;
        }
        let mut router = Router::new(from, true);
        for wished in &self.wishes {
            router.add(now, &self.config, wished.wish, &mut self.rng);
        }
        router.gateway.expect(now);
        self.routers.push(router);
    }

    /// Offers something to the gateways until one takes it; whether one did.
    fn with_gateway(
        &mut self,
        now: Instant,
        mut offer: impl FnMut(&mut Router, &mut Context<'_>) -> bool,
    ) -> bool {
        let local = self.config.local;
        let (routers, mut cx) = self.context(now, local);
        for router in routers.iter_mut() {
            if offer(router, &mut cx) {
                if let Some(address) = router.gateway.external() {
                    router.tell_address(&mut cx, address);
                }
                self.due = Instant::ZERO;
                return true;
            }
        }
        false
    }
}

/// Whether an address lies in the network that an interface is on.
fn is_in(address: IpAddr, interface: &Interface) -> bool {
    let (IpAddr::V4(address), IpAddr::V4(own)) = (address, interface.address) else { return false };
    let mask = u32::MAX.checked_shl(32 - u32::from(interface.prefix_len.min(32))).unwrap_or(0);
    address != own && (address.to_bits() ^ own.to_bits()) & mask == 0
}

impl fmt::Debug for PortMapper {
    // Never the nonces: who knows them can end mappings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortMapper").field("wishes", &self.wishes.len()).finish_non_exhaustive()
    }
}
