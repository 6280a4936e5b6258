//! A mapper and a home network on which nothing takes any time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{
    HostInput, HostRequest, MIN_BUFFER, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use bradawl::portmap::{Config, Event, Mapped, PortMapper, Protocol};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::router::Router;

pub(crate) const START: Instant = Instant::from_micros(1_000_000_000);
pub(crate) const OWN: &str = "192.168.1.7:40000";

/// More outputs than any moment needs.
const BOUND: usize = 2_000;

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) struct Connection {
    pub(crate) id: SocketId,
    pub(crate) path: Path,
    pub(crate) request: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) mapper: PortMapper,
    pub(crate) now: Instant,
    pub(crate) routers: Vec<Router>,
    pub(crate) events: Vec<Event>,
    /// What went to nobody who is there.
    pub(crate) strays: Vec<(Path, Vec<u8>)>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) connected_to: Vec<SocketAddr>,
    pub(crate) open: Vec<SocketId>,
    pub(crate) datagrams: usize,
    /// The network loses everything.
    pub(crate) is_down: bool,
    /// The size of the pieces that HTTP answers come in.
    pub(crate) piece: usize,
    pub(crate) wake: Option<Instant>,
}

impl World {
    pub(crate) fn new(routers: Vec<Router>) -> Self {
        Self::with(routers, |_| ())
    }

    pub(crate) fn with(routers: Vec<Router>, adjust: impl FnOnce(&mut Config)) -> Self {
        let gateways = routers.iter().map(|router| router.address).collect();
        let mut config = Config::new(address("192.168.1.7:0"), gateways);
        adjust(&mut config);
        Self {
            mapper: PortMapper::new(config, Rng::from_seed([5; 32])),
            now: START,
            routers,
            events: Vec::new(),
            strays: Vec::new(),
            connections: Vec::new(),
            connected_to: Vec::new(),
            open: Vec::new(),
            datagrams: 0,
            is_down: false,
            piece: 100,
            wake: None,
        }
    }

    /// A mapper that has mapped UDP port 5000.
    pub(crate) fn mapped(router: Router) -> (Self, Mapped) {
        let mut world = Self::new(vec![router]);
        world.map(5_000);
        world.pass(Duration::from_secs(4));
        let mapped = world.take_mapped();
        assert_eq!(mapped.len(), 1, "{mapped:?}");
        world.events.clear();
        (world, mapped[0])
    }

    pub(crate) fn map(&mut self, port: u16) -> bradawl::portmap::MappingId {
        self.mapper.map(self.now, port, Protocol::Udp, 0).expect("begun")
    }

    /// Does all that there is to do now.
    pub(crate) fn drain(&mut self) {
        let mut buf = [0; MIN_BUFFER];
        for _ in 0..BOUND {
            match self.mapper.poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => self.carry(path, &buf[..len]),
                Output::Host(request) => self.serve(request),
                Output::Event(event) => self.events.push(event),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "woken at once again");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("not idle after {BOUND} polls");
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(wake) = self.wake.filter(|&wake| wake <= end) {
            self.now = wake;
            for router in &mut self.routers {
                router.expire(wake);
            }
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn serve(&mut self, request: HostRequest) {
        match request {
            HostRequest::Bind { id, local, .. } => {
                assert_eq!(local, address("192.168.1.7:0"));
                self.open.push(id);
                self.mapper.handle_host(self.now, HostInput::Bound { id, result: Ok(address(OWN)) });
            }
            HostRequest::Connect { id, remote, .. } => {
                self.connected_to.push(remote);
                let is_there = self
                    .routers
                    .iter()
                    .any(|router| (Some(remote.port()), remote.ip()) == (router.igd, router.address));
                if self.is_down {
                    return;
                }
                if !is_there {
                    return self.mapper.handle_host(self.now, HostInput::Closed { id });
                }
                let local = SocketAddr::new(address(OWN).ip(), 50_000 + id.0 as u16);
                let path = Path::tcp(local, remote);
                self.open.push(id);
                self.connections.push(Connection { id, path, request: Vec::new() });
                self.mapper.handle_host(self.now, HostInput::Connected { id, path });
            }
            HostRequest::Limit { .. } => panic!("nothing of this is to run out of hops"),
            HostRequest::Close { id } => {
                assert!(self.open.contains(&id) || self.is_down, "{id:?} is not open");
                self.open.retain(|open| *open != id);
                self.connections.retain(|connection| connection.id != id);
            }
        }
    }

    pub(crate) fn carry(&mut self, path: Path, bytes: &[u8]) {
        if let Some(index) = self.connections.iter().position(|connection| connection.path == path) {
            return self.carry_stream(index, bytes);
        }
        self.datagrams += 1;
        assert_eq!(path.local, address(OWN));
        if self.is_down {
            return;
        }
        let mut answers = VecDeque::new();
        let group: IpAddr = "239.255.255.250".parse().expect("an address");
        let mut heard = false;
        for router in &mut self.routers {
            if router.address == path.remote.ip() || group == path.remote.ip() {
                heard = true;
                let from = SocketAddr::new(router.address, path.remote.port());
                answers.extend(
                    router
                        .datagram(self.now, path.remote.port(), bytes)
                        .into_iter()
                        .map(|answer| (from, answer)),
                );
            }
        }
        if !heard {
            self.strays.push((path, bytes.to_vec()));
        }
        for (from, answer) in answers {
            self.arrives(from, &answer);
        }
    }

    fn carry_stream(&mut self, index: usize, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        connection.request.extend_from_slice(bytes);
        let text = String::from_utf8(connection.request.clone()).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if length.is_some_and(|length| body.len() < length.parse().expect("a length")) {
            return;
        }
        let path = connection.path;
        let at = path.remote.ip();
        let router = self.routers.iter_mut().find(|router| router.address == at).expect("there");
        let answer = router.http(self.now, &text);
        for piece in answer.chunks(self.piece) {
            assert_eq!(self.mapper.handle_input(self.now, path, Meta::default(), piece), Verdict::Consumed);
        }
    }

    /// The first datagram that the mapper sends, which reaches nobody.
    pub(crate) fn first_datagram(&mut self) -> Vec<u8> {
        let mut buf = [0; MIN_BUFFER];
        loop {
            match self.mapper.poll_output(self.now, &mut buf) {
                Output::Transmit { len, .. } => return buf[..len].to_vec(),
                Output::Host(request) => self.serve(request),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Until the first HTTP request is sent, which reaches nobody; on which path.
    pub(crate) fn until_asked(&mut self) -> Path {
        let mut buf = [0; MIN_BUFFER];
        loop {
            match self.mapper.poll_output(self.now, &mut buf) {
                Output::Transmit { path, .. } if path.transport == Transport::Tcp => return path,
                Output::Transmit { path, len, .. } => self.carry(path, &buf[..len]),
                Output::Host(request) => self.serve(request),
                Output::Event(event) => self.events.push(event),
                Output::Idle(wake) => self.now = wake.expect("something to do"),
            }
        }
    }

    /// A datagram arrives at the mapper's socket.
    pub(crate) fn arrives(&mut self, from: SocketAddr, bytes: &[u8]) {
        let path = Path::udp(address(OWN), from);
        assert_eq!(self.mapper.handle_input(self.now, path, Meta::default(), bytes), Verdict::Consumed);
    }

    pub(crate) fn take_mapped(&mut self) -> Vec<Mapped> {
        let mapped = self.events.iter().filter_map(|event| match event {
            Event::Mapped(mapped) => Some(*mapped),
            _ => None,
        });
        mapped.collect()
    }

    /// The ports that a router has mapped to our port 5000.
    pub(crate) fn table(&self, router: usize) -> Vec<(u16, &'static str)> {
        let table = self.routers[router].table.iter();
        table.filter(|(_, entry)| entry.internal == 5_000).map(|(key, entry)| (key.1, entry.by)).collect()
    }

    /// Closes; how long that takes.
    pub(crate) fn close(&mut self) -> Duration {
        let began = self.now;
        self.mapper.close(self.now);
        while !self.events.contains(&Event::Closed) {
            self.drain();
            if let Some(wake) = self.wake.filter(|_| !self.events.contains(&Event::Closed)) {
                self.now = wake;
            }
        }
        self.drain();
        assert_eq!(self.wake, None, "nothing is left to do");
        assert_eq!(self.open, [], "no socket is left");
        self.now.since(began)
    }
}
