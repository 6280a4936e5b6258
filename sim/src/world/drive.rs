//! A host at work: what arrives goes to its program, which is then polled until it is idle, and again when
//! it wants to be.

use core::net::SocketAddr;

use bradawl::machine::{
    BindError, Ecn, HostInput, HostRequest, Meta, Output, Path, SocketId, Transport, Unreachable, Verdict,
};
use bradawl::time::Instant;

use super::forward::Way;
use super::host::Told;
use super::{Event, World};
use crate::nat::Protocol;
use crate::packet::{Body, Grief, HostId, Packet};
use crate::program::Start;
use crate::trace::{Drop, Happened, What};

/// How many steps a program may take before it is idle (invariant 5).
const MAX_STEPS: usize = 20_000;

impl World {
    pub(super) fn start(&mut self, id: HostId) {
        let (now, interfaces) = (self.now, self.interfaces(id));
        let host = self.host_mut(id);
        // It runs already, or something else keeps it off for longer.
        if host.program.is_some() || now < host.away_until {
            return;
        }
        let rng = host.rng.fork();
        for &port in &host.listen {
            for interface in &interfaces {
                host.sockets.open(None, Transport::Udp, SocketAddr::new(interface.address, port));
            }
        }
        host.program = Some((host.make)(Start { rng, interfaces }));
        self.check.started(now, id);
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
                self.check.delivered(now, id, path, (packet.origin, bytes));
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
                Grief::Expired { by } => Told::Expired(path, by),
            };
            self.tell(id, told.as_input());
        }
    }

    pub(super) fn wake(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        if host.alarm != Some(now) {
            return;
        }
        host.alarm = None;
        let is_asleep = host.asleep_since.is_some();
        match host.wake {
            Some(wake) if wake <= now && !is_asleep => {
                self.poll_streams(id);
                self.drive(id);
            }
            Some(wake) if wake > now => {
                host.alarm = Some(wake);
                self.schedule(wake, Event::Wake(id));
            }
            _ => {}
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
        if self.check.has_closed(id) {
            self.check_closed(id, idle);
        }
        self.set_wake(id, idle);
    }

    /// Invariant 5: who is done wants nothing more and has nothing more.
    fn check_closed(&mut self, id: HostId, idle: Option<Instant>) {
        let (now, host) = (self.now, &self.hosts[id.0 as usize]);
        let has_socket = !host.sockets.is_empty();
        if idle.is_some() {
            self.check.clings(now, id, "a timer");
        }
        if has_socket {
            self.check.clings(now, id, "a socket");
        }
    }

    /// The host is polled when its program wants it, or a stream of its own does.
    fn set_wake(&mut self, id: HostId, program: Option<Instant>) {
        let host = self.host_mut(id);
        host.wake = [program, host.streams.next_deadline()].into_iter().flatten().min();
        // One event a host: a wish that is put off again and again must not fill the queue.
        if let Some(wake) = host.wake
            && host.alarm.is_none_or(|alarm| wake < alarm)
        {
            host.alarm = Some(wake);
            self.schedule(wake, Event::Wake(id));
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
            HostRequest::Limit { id: socket, hops } => self.host_mut(id).sockets.limit_hops(socket, hops),
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
        self.check.sends(self.now, id, path, &bytes);
        let flow = crate::nat::Flow::udp(path.local, path.remote);
        let mut packet = Packet::new(self.next_packet_id(), flow, Body::Datagram(bytes));
        packet.ecn = ecn;
        packet.hops = self.hosts[id.0 as usize].sockets.hops(path.local).unwrap_or(Packet::HOPS);
        packet.origin = Some((id, path));
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
