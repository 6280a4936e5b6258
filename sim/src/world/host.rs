//! A host: interfaces, sockets, and a program that is driven as any host drives a machine: what arrives
//! goes in, then it is polled until it is idle, and again when it wants to be.

use core::any::Any;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bradawl::machine::{
    BindError, Ecn, HostInput, HostRequest, Interface, Meta, Output, Path, SocketId, Transport, Unreachable,
    Verdict,
};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use super::forward::Way;
use super::network::{NetworkId, Owner};
use super::streams::Streams;
use super::{Event, InvalidWorld, World};
use crate::link::{Link, Quality};
use crate::nat::Protocol;
use crate::packet::{Body, Grief, HostId, Packet};
use crate::program::{Policy, Program, Start};
use crate::trace::{Drop, Happened, Place, PlaceKind, What};

/// How many steps a program may take before it is idle (invariant 5).
pub(super) const MAX_STEPS: usize = 20_000;

/// A host to be added to a world.
#[derive(Clone, Debug)]
pub struct HostSetup<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The networks that it is in, an interface each.
    pub networks: &'a [NetworkId],
    /// Its addresses, where they matter.
    pub addresses: &'a [IpAddr],
    /// How many addresses of each family it has on each network.
    pub count: u8,
    /// UDP ports that are open on all its addresses before it is started; a program can also ask for
    /// sockets itself.
    pub listen: &'a [u16],
    /// Whom it may send to.
    pub policy: Policy,
    /// When it is started.
    pub start: Instant,
    /// The way from each of its interfaces to the network.
    pub link: Quality,
}

impl<'a> HostSetup<'a> {
    /// A host with one interface, started at once.
    pub fn new(name: &'a str, network: &'a [NetworkId]) -> Self {
        Self {
            name,
            networks: network,
            addresses: &[],
            count: 1,
            listen: &[],
            policy: Policy::Warranted,
            start: Instant::ZERO,
            link: Quality::default(),
        }
    }
}

pub(super) struct Host {
    pub(super) place: Place,
    pub(super) ports: Vec<Port>,
    /// The host that it asks how it looks, if that is known.
    pub(super) server: Option<HostId>,
    /// Its addresses are no longer those that others were told at the beginning.
    pub(super) has_moved: bool,
    make: Box<dyn FnMut(Start) -> Box<dyn Program>>,
    /// `None`: it is off.
    program: Option<Box<dyn Program>>,
    pub(super) is_asleep: bool,
    sockets: Sockets,
    pub(super) streams: Streams,
    listen: Vec<u16>,
    /// When it is to be polled again.
    wake: Option<Instant>,
    pub(super) rng: Rng,
    /// What it has got lately, to know a repetition.
    seen: Seen,
    seen_as: Option<SocketAddr>,
}

/// An interface.
pub(super) struct Port {
    pub(super) network: NetworkId,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) up: Link,
    pub(super) down: Link,
}

/// What is open.
#[derive(Debug, Default)]
struct Sockets {
    open: BTreeSet<(bool, SocketAddr)>,
    by_id: BTreeMap<SocketId, (Transport, SocketAddr)>,
}

impl Sockets {
    fn is_open(&self, transport: Transport, address: SocketAddr) -> bool {
        self.open.contains(&(transport == Transport::Tcp, address))
    }

    fn open(&mut self, id: Option<SocketId>, transport: Transport, address: SocketAddr) {
        self.open.insert((transport == Transport::Tcp, address));
        if let Some(id) = id {
            self.by_id.insert(id, (transport, address));
        }
    }

    fn close(&mut self, id: SocketId) -> bool {
        let Some((transport, address)) = self.by_id.remove(&id) else { return false };
        self.open.remove(&(transport == Transport::Tcp, address))
    }
}

/// The last so many packets that a host got.
#[derive(Debug, Default)]
struct Seen {
    ids: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    const MAX: usize = 256;

    fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// A packet that its program claimed. One that meant nothing to it may mean something later.
    fn remember(&mut self, id: u64) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > Self::MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// What a host says to its program, kept until it is time.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Unreachable(Path, Unreachable),
    TooBig(Path, u16),
    Interfaces(Vec<Interface>),
    ClockJumped(Duration),
}

impl Told {
    pub(super) fn as_input(&self) -> HostInput<'_> {
        match self {
            Self::Unreachable(path, kind) => HostInput::Unreachable { path: *path, kind: *kind },
            Self::TooBig(path, mtu) => HostInput::TooBig { path: *path, mtu: Some(*mtu) },
            Self::Interfaces(interfaces) => HostInput::Interfaces(interfaces),
            Self::ClockJumped(by) => HostInput::ClockJumped(*by),
        }
    }
}

impl Host {
    /// The program, if the host is on and awake.
    pub(super) fn running(&mut self) -> Option<&mut Box<dyn Program>> {
        self.program.as_mut().filter(|_| !self.is_asleep)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ports.iter().flat_map(|port| port.addresses.iter().copied())
    }

    /// Which interface has an address.
    pub(super) fn port_of(&self, ip: IpAddr) -> Option<usize> {
        self.ports.iter().position(|port| port.addresses.contains(&ip))
    }

    /// Its addresses are gone, and so are the sockets on them.
    pub(super) fn forget_sockets(&mut self) {
        self.sockets = Sockets::default();
        self.streams = Streams::default();
    }

    /// It is switched off: nothing of it remains.
    pub(super) fn stop(&mut self) {
        self.program = None;
        self.forget_sockets();
        self.wake = None;
    }
}

impl World {
    /// Adds a host that runs what `make` makes, each time it is started.
    pub fn add_host<P: Program>(
        &mut self,
        setup: HostSetup<'_>,
        mut make: impl FnMut(Start) -> P + 'static,
    ) -> Result<HostId, InvalidWorld> {
        self.add_boxed(setup, Box::new(move |start| Box::new(make(start))))
    }

    pub(super) fn add_boxed(
        &mut self,
        setup: HostSetup<'_>,
        make: Box<dyn FnMut(Start) -> Box<dyn Program>>,
    ) -> Result<HostId, InvalidWorld> {
        let HostSetup { name, networks, addresses, count, listen, policy, start, link } = setup;
        let id = HostId(u32::try_from(self.hosts.len()).map_err(|_| InvalidWorld::TooMany)?);
        let place = self.log.add_place(name, PlaceKind::Host);
        let mut ports: Vec<Port> = Vec::with_capacity(networks.len());
        for &network in networks {
            let (up, down) = (self.rng.fork(), self.rng.fork());
            ports.push(Port {
                network,
                addresses: Vec::new(),
                up: Link::new(link.clone(), up),
                down: Link::new(link.clone(), down),
            });
        }
        for &address in addresses {
            let fits = |port: &&mut Port| self.can_have(port.network, address);
            let port = ports.iter_mut().find(fits).ok_or(InvalidWorld::Elsewhere(address))?;
            port.addresses.push(address);
            let realm = self.realm(port.network);
            if !self.networks[realm.0 as usize].range.reserve(address) {
                return Err(InvalidWorld::Taken(address));
            }
        }
        for index in 0..ports.len() {
            let mut own: BTreeSet<IpAddr> =
                ports.iter().flat_map(|port| port.addresses.iter().copied()).collect();
            self.complete(&mut ports[index], count, &mut own)?;
            for &address in &ports[index].addresses {
                self.route(ports[index].network, address, Owner::Host(id, index));
            }
        }
        self.hosts.push(Host {
            place,
            server: None,
            has_moved: false,
            ports,
            make,
            program: None,
            is_asleep: false,
            sockets: Sockets::default(),
            streams: Streams::default(),
            listen: listen.to_vec(),
            wake: None,
            rng: self.rng.fork(),
            seen: Seen::default(),
            seen_as: None,
        });
        self.check.add_host(name, policy);
        self.schedule(start, Event::Start(id));
        Ok(id)
    }

    /// One of a host's addresses, with a port: IPv4 if it has one.
    ///
    /// # Panics
    ///
    /// If it has none: every network has IPv4.
    pub fn address(&self, host: HostId, port: u16) -> SocketAddr {
        let address = self.hosts[host.0 as usize].addresses().next().expect("a host without an address");
        SocketAddr::new(address, port)
    }

    /// All addresses of a host.
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        self.hosts[host.0 as usize].addresses().collect()
    }

    /// How a host looks from outside, as its program last learned.
    pub fn seen_as(&self, host: HostId) -> Option<SocketAddr> {
        self.hosts[host.0 as usize].seen_as
    }

    /// Does something with the program of a host, which is then polled. `None` if it is off, or another
    /// type of program.
    pub fn with<P: Program, R>(
        &mut self,
        host: HostId,
        command: impl FnOnce(&mut P, Instant) -> R,
    ) -> Option<R> {
        let now = self.now;
        let program: &mut dyn Any = &mut **self.host_mut(host).running()?;
        let result = command(program.downcast_mut::<P>()?, now);
        self.drive(host);
        Some(result)
    }

    /// Whether a host in `network` can have an address that somebody chose.
    fn can_have(&self, network: NetworkId, address: IpAddr) -> bool {
        let realm = if address.is_ipv4() { self.realm(network) } else { network };
        realm == Self::INTERNET || self.network(realm).range.covers(address)
    }

    /// Adds what an interface still lacks to have `count` addresses of each family.
    fn complete(
        &mut self,
        port: &mut Port,
        count: u8,
        own: &mut BTreeSet<IpAddr>,
    ) -> Result<(), InvalidWorld> {
        let have = |port: &Port, is_ipv4| port.addresses.iter().filter(|ip| ip.is_ipv4() == is_ipv4).count();
        for _ in have(port, true)..usize::from(count) {
            port.addresses.push(self.new_address(port.network, true, own).ok_or(InvalidWorld::NoAddress)?);
        }
        for _ in have(port, false)..usize::from(count) {
            // Where there is no IPv6 there are no addresses to lack.
            port.addresses.extend(self.new_address(port.network, false, own));
        }
        Ok(())
    }

    /// An address in a network for a host that has `own` already: where two homes have the same range,
    /// they must not give it the same address twice.
    pub(super) fn new_address(
        &mut self,
        network: NetworkId,
        is_ipv4: bool,
        own: &mut BTreeSet<IpAddr>,
    ) -> Option<IpAddr> {
        let realm = self.realm(network);
        loop {
            let address = match is_ipv4 {
                true => self.networks[realm.0 as usize].range.host_v4(),
                false => self.networks[network.0 as usize].range.host_v6(),
            }?;
            if own.insert(address) {
                return Some(address);
            }
        }
    }

    pub(super) fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    /// What a host's program is told of its interfaces.
    pub(super) fn interfaces(&self, host: HostId) -> Vec<Interface> {
        let ports = self.hosts[host.0 as usize].ports.iter().enumerate();
        ports
            .flat_map(|(index, port)| {
                let range = &self.network(port.network).range;
                port.addresses.iter().map(move |&address| Interface {
                    index: index as u32 + 1,
                    address,
                    prefix_len: range.prefix_len(address),
                })
            })
            .collect()
    }

    pub(super) fn start(&mut self, id: HostId) {
        let interfaces = self.interfaces(id);
        let host = self.host_mut(id);
        let rng = host.rng.fork();
        for &port in &host.listen {
            for interface in &interfaces {
                host.sockets.open(None, Transport::Udp, SocketAddr::new(interface.address, port));
            }
        }
        host.program = Some((host.make)(Start { rng, interfaces }));
        self.drive(id);
    }

    pub(super) fn at_host(&mut self, id: HostId, packet: &Packet) {
        let now = self.now;
        let host = self.host_mut(id);
        let (place, local, remote) = (host.place, packet.flow.destination, packet.flow.source);
        if host.running().is_none() {
            return self.drop_packet(place, packet, Drop::HostDown);
        }
        match &packet.body {
            Body::Error { offending, what } => {
                self.record(place, packet, What::Received);
                self.grieve(id, *offending, *what);
            }
            Body::Segment(_) => self.at_stream(id, packet),
            Body::Datagram(_) if !host.sockets.is_open(Transport::Udp, local) => {
                self.drop_packet(place, packet, Drop::NoSocket);
                self.port_unreachable(id, packet);
            }
            Body::Datagram(bytes) => {
                let path = Path::udp(local, remote);
                let is_repeated = host.seen.has(packet.id) && host.wake.is_none_or(|wake| wake > now);
                self.record(place, packet, What::Received);
                self.check.delivered(now, id, path, packet.origin);
                let meta = Meta { ecn: packet.ecn };
                let Some(program) = self.host_mut(id).running() else { return };
                let verdict = program.handle_input(now, path, meta, bytes);
                if verdict != Verdict::Unclaimed {
                    self.host_mut(id).seen.remember(packet.id);
                }
                match verdict {
                    Verdict::Forward { path, body, head, pad } => {
                        let mut forwarded = head.to_vec();
                        forwarded.extend_from_slice(&bytes[body]);
                        forwarded.resize(forwarded.len() + usize::from(pad), 0);
                        self.transmit(id, path, &forwarded, None);
                    }
                    Verdict::Unclaimed | Verdict::Consumed | Verdict::Deliver { .. } => {}
                }
                self.check.begin_repetition(id, is_repeated);
                self.drive(id);
                self.check.begin_repetition(id, false);
            }
        }
    }

    /// ICMP to the sender: nobody listens (RFC 1122 §4.1.3.1). It leaves as anything of this host's does.
    fn port_unreachable(&mut self, id: HostId, packet: &Packet) {
        let Some(port) = self.hosts[id.0 as usize].port_of(packet.flow.destination.ip()) else { return };
        let network = self.hosts[id.0 as usize].ports[port].network;
        let what = Grief::Unreachable(Unreachable::Port);
        if let Some(error) = self.complaint(packet, packet.flow, what) {
            let flow = error.flow;
            self.carry(Way::FromHost(id, port), error, flow, network);
        }
    }

    /// A packet that this host has sent came to grief: ICMP from somewhere, or the host knew it itself.
    pub(super) fn grieve(&mut self, id: HostId, offending: crate::nat::Flow, what: Grief) {
        let transport = match offending.protocol {
            Protocol::Udp => Transport::Udp,
            Protocol::Tcp => Transport::Tcp,
        };
        let path = Path { transport, local: offending.source, remote: offending.destination };
        if transport == Transport::Tcp {
            return self.stream_unreachable(id, path);
        }
        if self.host_mut(id).sockets.is_open(transport, path.local) {
            let told = match what {
                Grief::Unreachable(kind) => Told::Unreachable(path, kind),
                Grief::TooBig { mtu } => Told::TooBig(path, mtu),
            };
            self.tell(id, told.as_input());
        }
    }

    pub(super) fn wake(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        if !host.is_asleep && host.wake == Some(now) {
            self.poll_streams(id);
            self.drive(id);
        }
    }

    /// Polls the program of a host until it is idle.
    pub(super) fn drive(&mut self, id: HostId) {
        let now = self.now;
        let mut buf = core::mem::take(&mut self.buf);
        let mut steps = 0;
        let idle = loop {
            let Some(program) = self.host_mut(id).running() else { break None };
            steps += 1;
            match program.poll_output(now, &mut buf) {
                _ if steps > MAX_STEPS => {
                    self.check.restless(now, id);
                    self.host_mut(id).stop();
                    break None;
                }
                Output::Transmit { path, len, segment, ecn } => {
                    let size = segment.map_or(len.max(1), |size| usize::from(size.get()));
                    for datagram in buf[..len].chunks(size) {
                        self.transmit(id, path, datagram, ecn);
                    }
                }
                Output::Host(request) => self.serve(id, request),
                Output::Event(Some(happened)) => self.says(id, happened),
                Output::Event(None) => {}
                Output::Idle(wake) => break wake,
            }
        };
        self.buf = buf;
        if idle.is_some_and(|wake| wake <= now) {
            self.check.impatient(now, id);
            return self.host_mut(id).stop();
        }
        self.set_wake(id, idle);
    }

    /// The host is polled when its program wants it, or a stream of its own does.
    fn set_wake(&mut self, id: HostId, program: Option<Instant>) {
        let host = self.host_mut(id);
        let wake = [program, host.streams.next_deadline()].into_iter().flatten().min();
        if wake != host.wake {
            host.wake = wake;
            if let Some(wake) = wake {
                self.schedule(wake, Event::Wake(id));
            }
        }
    }

    fn says(&mut self, id: HostId, happened: Happened) {
        if let Happened::SeenAs(address) = happened {
            self.host_mut(id).seen_as = Some(address);
        }
        let place = self.hosts[id.0 as usize].place;
        self.check.says(self.now, id, &happened);
        self.log.note(self.now, place, What::Says(happened));
    }

    /// Does what a program asks its host for.
    fn serve(&mut self, id: HostId, request: HostRequest) {
        match request {
            HostRequest::Bind { id: socket, transport, local } => {
                let result = self.bind(id, socket, transport, local);
                let now = self.now;
                if let Some(program) = self.host_mut(id).running() {
                    program.handle_host(now, HostInput::Bound { id: socket, result });
                }
            }
            HostRequest::Connect { id: socket, local, remote } => self.connect(id, socket, local, remote),
            HostRequest::Close { id: socket } => {
                if !self.host_mut(id).sockets.close(socket) {
                    self.close_stream(id, socket);
                }
            }
        }
    }

    fn bind(
        &mut self,
        id: HostId,
        socket: SocketId,
        transport: Transport,
        local: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        let host = self.host_mut(id);
        host.port_of(local.ip()).ok_or(BindError::NotOurs)?;
        let address = match local.port() {
            0 => host.free_port(transport, local.ip()).ok_or(BindError::Exhausted)?,
            _ if host.sockets.is_open(transport, local) => return Err(BindError::InUse),
            _ => local,
        };
        host.sockets.open(Some(socket), transport, address);
        Ok(address)
    }

    fn transmit(&mut self, id: HostId, path: Path, datagram: &[u8], ecn: Option<Ecn>) {
        match path.transport {
            Transport::Tcp => self.write_stream(id, path, datagram),
            Transport::Udp if self.host_mut(id).sockets.is_open(Transport::Udp, path.local) => {
                self.send_datagram(id, path, datagram.to_vec(), ecn);
            }
            Transport::Udp => self.check.no_socket(self.now, id, path),
        }
    }

    fn send_datagram(&mut self, id: HostId, path: Path, bytes: Vec<u8>, ecn: Option<Ecn>) {
        let flow = crate::nat::Flow::udp(path.local, path.remote);
        let mut packet = Packet::new(self.next_packet_id(), flow, Body::Datagram(bytes));
        packet.ecn = ecn;
        packet.origin = Some((id, path));
        self.check.sends(self.now, id, path);
        self.send_packet(id, packet);
    }

    /// A packet leaves a host by the interface that has its source address.
    pub(super) fn send_packet(&mut self, id: HostId, packet: Packet) {
        let host = &self.hosts[id.0 as usize];
        let (place, flow) = (host.place, packet.flow);
        let port =
            host.port_of(flow.source.ip()).filter(|_| flow.source.is_ipv4() == flow.destination.is_ipv4());
        self.record(place, &packet, What::Sent);
        let Some(port) = port else {
            self.drop_packet(place, &packet, Drop::NoRoute);
            let grief = Grief::Unreachable(Unreachable::Network);
            return self.schedule(self.now, Event::Grieve(id, flow, grief));
        };
        let network = self.hosts[id.0 as usize].ports[port].network;
        self.carry(Way::FromHost(id, port), Box::new(packet), flow, network);
    }
}

impl Host {
    /// The ports that hosts choose for themselves, as Linux does.
    const EPHEMERAL: core::ops::Range<u16> = 32_768..61_000;

    /// A port that is free: a throw of the dice, then upwards.
    pub(super) fn free_port(&mut self, transport: Transport, ip: IpAddr) -> Option<SocketAddr> {
        let count = u64::from(Self::EPHEMERAL.end - Self::EPHEMERAL.start);
        let first = self.rng.below(count);
        (0..count)
            .map(|offset| SocketAddr::new(ip, Self::EPHEMERAL.start + ((first + offset) % count) as u16))
            .find(|&address| !self.sockets.is_open(transport, address))
    }

    pub(super) fn listens(&self, address: SocketAddr) -> Option<SocketId> {
        let is_listener = |&(_, &(transport, local)): &(&SocketId, &(Transport, SocketAddr))| {
            transport == Transport::Tcp && local == address
        };
        self.sockets.by_id.iter().find(is_listener).map(|(&id, _)| id)
    }
}
