//! A host with a discovery, the NAT in front of it and servers that do as they are told. Each exchange
//! takes one round trip.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bradawl::discovery::{Config, Discovery, Event, NatProfile};
use bradawl::machine::{
    BindError, HostInput, HostRequest, MIN_BUFFER, Machine, Meta, Output, Path, SocketId, Verdict,
};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{ChangeRequest, Help, OtherAddress, XorMappedAddress};
use bradawl::wire::stun::{Class, Message, Method, Writer};

pub(crate) const LOCAL: &str = "192.168.1.7:40000";
pub(crate) const PUBLIC: &str = "203.0.113.9";
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(20);
pub(crate) const START: Instant = Instant::from_micros(1_000_000_000);

/// More outputs than any moment needs.
const BOUND: usize = 1_000;
/// The last ids there are, and the first ones after them.
const FIRST: SocketId = SocketId(u32::MAX - 3);

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Server number `n` of those that are on the internet, at two addresses.
pub(crate) fn server(n: u8) -> Server {
    let at = |net: &str, port: u16| address(&format!("{net}.{n}:{port}"));
    Server {
        address: at("198.51.100", 3478),
        other: Some(at("192.0.2", 3479)),
        says: None,
        names: None,
        is_dead: false,
        delay: 0,
        round_trip: ROUND_TRIP,
    }
}

pub(crate) fn servers(count: u8) -> Vec<Server> {
    (1..=count).map(server).collect()
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The other one that it has.
    pub(crate) other: Option<SocketAddr>,
    /// What it says of us, if not the truth.
    pub(crate) says: Option<SocketAddr>,
    /// What it says of its other address, if not the truth.
    pub(crate) names: Option<SocketAddr>,
    pub(crate) is_dead: bool,
    /// The longest delay of a late answer.
    pub(crate) delay: u16,
    pub(crate) round_trip: Duration,
}

impl Server {
    fn has(&self, address: SocketAddr) -> bool {
        let is_other = |other: SocketAddr| {
            let ips = [self.address.ip(), other.ip()];
            ips.contains(&address.ip()) && [self.address.port(), other.port()].contains(&address.port())
        };
        address == self.address || self.other.is_some_and(is_other)
    }
}

/// The NAT, which lets in only answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    None,
    /// Ports are kept.
    Preserving,
    /// Ports are others, but the same for everybody.
    Cone,
}

#[derive(Clone, Debug)]
struct Arrival {
    path: Path,
    bytes: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) discovery: Discovery,
    pub(crate) now: Instant,
    pub(crate) nat: Nat,
    pub(crate) servers: Vec<Server>,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) sent: Vec<(Path, Vec<u8>)>,
    /// What has come in.
    pub(crate) heard: Vec<(Path, Vec<u8>)>,
    pub(crate) open: BTreeMap<SocketId, SocketAddr>,
    pub(crate) binds: usize,
    /// Whether the host refuses this one of the sockets that it is asked for.
    pub(crate) refuses: fn(usize) -> bool,
    pub(crate) room: usize,
    /// What servers say of us, one answer after the other, if not the truth.
    pub(crate) says: Vec<SocketAddr>,
    passed: BTreeSet<(SocketAddr, SocketAddr)>,
    arrivals: BTreeMap<(Instant, usize), Arrival>,
    wake: Option<Instant>,
}

impl World {
    pub(crate) fn new(nat: Nat, servers: Vec<Server>) -> Self {
        Self::at(LOCAL, nat, servers, false)
    }

    pub(crate) fn at(local: &str, nat: Nat, servers: Vec<Server>, lifetime: bool) -> Self {
        let addresses = servers.iter().map(|server| server.address).collect();
        let config = Config { local: address(local), servers: addresses, first_socket: FIRST, lifetime };
        Self::with(config, nat, servers)
    }

    pub(crate) fn with(config: Config, nat: Nat, servers: Vec<Server>) -> Self {
        Self {
            discovery: Discovery::new(config, Rng::from_seed([5; 32])),
            now: START,
            nat,
            servers,
            events: Vec::new(),
            sent: Vec::new(),
            heard: Vec::new(),
            open: BTreeMap::new(),
            binds: 0,
            refuses: |_| false,
            room: MIN_BUFFER,
            says: Vec::new(),
            passed: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            wake: None,
        }
    }

    /// Lets time pass until the quick pass is over, at most six seconds; what is known then.
    pub(crate) fn run(&mut self) -> &NatProfile {
        self.pass(Duration::from_secs(6));
        assert!(self.when(Event::Known).is_some(), "not known");
        self.discovery.profile()
    }

    /// What is known of such servers by such a NAT.
    pub(crate) fn profile(nat: Nat, servers: Vec<Server>) -> NatProfile {
        Self::new(nat, servers).run().clone()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        loop {
            let next = self.arrivals.keys().map(|&(at, _)| at).chain(self.wake).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = next.max(self.now);
            while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let Arrival { path, bytes } = entry.remove();
                let _ = self.arrives(path, &bytes);
            }
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn arrives(&mut self, path: Path, bytes: &[u8]) -> Verdict {
        self.heard.push((path, bytes.to_vec()));
        self.discovery.handle_input(self.now, path, Meta::default(), bytes)
    }

    pub(crate) fn drain(&mut self) {
        let mut buf = [0; MIN_BUFFER];
        for _ in 0..BOUND {
            match self.discovery.poll_output(self.now, &mut buf[..self.room]) {
                Output::Transmit { path, len, .. } => self.carry(path, &buf[..len]),
                Output::Host(request) => self.serve(request),
                Output::Event(event) => self.events.push((self.now, event)),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "woken at once again");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("not idle after {BOUND} polls");
    }

    /// After which time this was told.
    pub(crate) fn when(&self, wanted: Event) -> Option<Duration> {
        let mut all = self.events.iter().filter(|(_, event)| *event == wanted);
        let found = all.next().map(|(at, _)| at.since(START));
        assert!(wanted == Event::Learned || all.next().is_none(), "{wanted:?} twice");
        found
    }

    pub(crate) fn sent_to(&self, ip: &str) -> usize {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        self.sent.iter().filter(|(path, _)| path.remote.ip() == ip).count()
    }

    fn serve(&mut self, request: HostRequest) {
        match request {
            HostRequest::Bind { id, local, .. } => {
                self.binds += 1;
                let local = SocketAddr::new(local.ip(), 50_000 + self.binds as u16);
                let refused = (self.refuses)(self.binds);
                let result = if refused { Err(BindError::Exhausted) } else { Ok(local) };
                if !refused {
                    assert!(self.open.insert(id, local).is_none(), "open already");
                }
                self.discovery.handle_host(self.now, HostInput::Bound { id, result });
            }
            HostRequest::Close { id } => {
                self.open.remove(&id);
            }
            HostRequest::Limit { .. } => {}
            HostRequest::Connect { .. } => panic!("there is no TCP here"),
        }
    }

    pub(crate) fn seen(&self, local: SocketAddr) -> SocketAddr {
        let public = PUBLIC.parse().expect("an address");
        match self.nat {
            Nat::None => local,
            Nat::Preserving => SocketAddr::new(public, local.port()),
            Nat::Cone => SocketAddr::new(public, (local.port() - 40_000) / 3 + 1_234),
        }
    }

    fn carry(&mut self, path: Path, bytes: &[u8]) {
        assert_eq!(path.local.is_ipv4(), path.remote.is_ipv4(), "{path}");
        self.sent.push((path, bytes.to_vec()));
        self.passed.insert((path.local, path.remote));
        let Some(server) = self.servers.iter().find(|server| !server.is_dead && server.has(path.remote))
        else {
            return;
        };
        let request = Message::parse(bytes).expect("well formed");
        let change: Option<ChangeRequest> = request.find().expect("makes sense");
        let (ip, port) = change.map_or((false, false), |change| (change.ip, change.port));
        let mut from = path.remote;
        if let Some(other) = server.other.filter(|_| ip) {
            from.set_ip(other.ip());
        }
        if let Some(other) = server.other.filter(|_| port) {
            from.set_port(other.port());
        }
        if (ip || port) && server.other.is_none() || !self.passed.contains(&(path.local, from)) {
            return;
        }
        let bytes = self.answer(server, path, &request);
        let at = self.now + server.round_trip;
        let arrival = Arrival { path: Path { remote: from, ..path }, bytes };
        self.arrivals.insert((at, self.sent.len()), arrival);
    }

    fn answer(&self, server: &Server, path: Path, request: &Message<'_>) -> Vec<u8> {
        let mut buf = [0; 200];
        let next = self.says.get(self.sent.len() % self.says.len().max(1)).copied();
        let mapped = next.or(server.says).unwrap_or_else(|| self.seen(path.local));
        let help = Help { delay: server.delay, ..Help::default() };
        let len = Writer::new(&mut buf, Class::Success, Method::BINDING, request.transaction_id())
            .put(&XorMappedAddress(mapped))
            .put_some(server.names.or(server.other).map(OtherAddress).as_ref())
            .put(&help)
            .finish()
            .expect("room enough");
        buf[..len].to_vec()
    }

    /// What the server that was asked would have answered.
    pub(crate) fn answer_to(&self, path: Path, request: &[u8]) -> Vec<u8> {
        let server = self.servers.iter().find(|server| server.has(path.remote)).expect("one of them");
        self.answer(server, path, &Message::parse(request).expect("well formed"))
    }
}
