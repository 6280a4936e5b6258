//! What a peer finds out about itself before anybody else: its sockets, how they look from outside, and what
//! stands in front of them.

use core::net::SocketAddr;
use std::collections::VecDeque;

use bradawl::discovery::{Config, Discovery, Event, MAX_SOCKETS};
use bradawl::machine::{
    HostInput, HostRequest, Interface, MIN_BUFFER, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use bradawl::punch::{Candidate, Nat};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::script::{MAX_CANDIDATES, PREFERENCE, STUN_PORT};
use crate::trace::Happened;

/// The sockets of discoveries are numbered from here, those of one after the other's.
const FIRST_OF_DISCOVERY: u32 = 0x1000_0000;
/// The agent's from here.
pub(super) const FIRST_OF_AGENT: SocketId = SocketId(0x4000_0000);

/// How long a socket without an answer is waited for once another one has all that it wants.
const GIVE_UP: Duration = Duration::from_secs(2);

/// All sockets.
pub(super) struct Gathering {
    mediator: Vec<SocketAddr>,
    port: u16,
    rng: Rng,
    sockets: Vec<Socket>,
    next_socket: u32,
    requests: VecDeque<HostRequest>,
    /// Where it has heard of its peer.
    way: Option<SocketAddr>,
}

struct Socket {
    id: SocketId,
    wanted: SocketAddr,
    local: Option<SocketAddr>,
    discovery: Option<Discovery>,
    /// When all was known of it that will be.
    known: Option<Instant>,
}

impl Socket {
    /// How it looks.
    fn seen_as(&self) -> Option<SocketAddr> {
        self.discovery.as_ref()?.profile().mapped.first().copied()
    }
}

impl Gathering {
    pub(super) fn new(mediator: Vec<SocketAddr>, port: u16, rng: Rng) -> Self {
        Self {
            mediator,
            port,
            rng,
            sockets: Vec::new(),
            next_socket: 0,
            requests: VecDeque::new(),
            way: None,
        }
    }

    /// A socket on every address.
    pub(super) fn open(&mut self, interfaces: &[Interface]) {
        for interface in interfaces {
            let id = SocketId(self.next_socket);
            self.next_socket += 1;
            let wanted = SocketAddr::new(interface.address, self.port);
            self.sockets.push(Socket { id, wanted, local: None, discovery: None, known: None });
            self.requests.push_back(HostRequest::Bind { id, transport: Transport::Udp, local: wanted });
        }
    }

    /// The network has changed: other addresses, so other sockets.
    pub(super) fn reopen(&mut self, interfaces: &[Interface]) {
        self.again();
        for socket in self.sockets.drain(..) {
            self.requests.push_back(HostRequest::Close { id: socket.id });
        }
        self.open(interfaces);
    }

    /// Whether these are the addresses that it has sockets on.
    pub(super) fn is_on(&self, interfaces: &[Interface]) -> bool {
        let wanted = |interface: &Interface| interface.address;
        interfaces.iter().map(wanted).eq(self.sockets.iter().map(|socket| socket.wanted.ip()))
    }

    /// What was found out is to be found out again.
    pub(super) fn again(&mut self) {
        self.way = None;
        for socket in &mut self.sockets {
            let Some(mut discovery) = socket.discovery.take() else { continue };
            discovery.close();
            socket.known = None;
            let mut buf = [0; MIN_BUFFER];
            loop {
                match discovery.poll_output(Instant::ZERO, &mut buf) {
                    Output::Host(request) => self.requests.push_back(request),
                    Output::Idle(_) => break,
                    Output::Event(_) | Output::Transmit { .. } => {}
                }
            }
        }
    }

    pub(super) fn next_request(&mut self) -> Option<HostRequest> {
        self.requests.pop_front()
    }

    pub(super) fn has_socket(&self) -> bool {
        self.sockets.iter().any(|socket| socket.local.is_some())
    }

    /// Whether all is known that will be, or that is waited for.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        let is_all = self.sockets.iter().all(|socket| socket.known.is_some() || socket.local.is_none());
        self.has_socket() && (is_all || self.settled().is_some_and(|settled| settled <= now))
    }

    /// When a socket that is answered by nobody is not waited for any more, because another one is.
    fn settled(&self) -> Option<Instant> {
        let is_quiet = |socket: &Socket| socket.known.is_some() || socket.seen_as().is_none();
        let answered = self.sockets.iter().filter(|socket| socket.seen_as().is_some());
        let first = answered.filter_map(|socket| socket.known).min()?;
        self.sockets.iter().all(is_quiet).then_some(first + GIVE_UP)
    }

    /// Whether nobody answered when this socket asked how it looks.
    pub(super) fn is_blind(&self, local: SocketAddr) -> bool {
        let is_it = |socket: &&Socket| socket.local == Some(local) && socket.known.is_some();
        self.sockets.iter().find(is_it).is_some_and(|socket| socket.seen_as().is_none())
    }

    /// What the other side is to know: where this one is, with the socket for each.
    pub(super) fn locals(&self) -> Vec<(Candidate, SocketAddr)> {
        let mut all: Vec<(Candidate, SocketAddr)> = Vec::new();
        for socket in &self.sockets {
            let Some(local) = socket.local else { continue };
            all.push((Candidate::host(local, PREFERENCE), local));
            if let Some(seen) = socket.seen_as().filter(|seen| *seen != local) {
                all.push((Candidate::server_reflexive(seen, local, PREFERENCE), local));
            }
        }
        all.truncate(MAX_CANDIDATES);
        all
    }

    /// Its sockets, by the number under which the host knows each.
    pub(super) fn ids(&self) -> impl Iterator<Item = (SocketAddr, SocketId)> {
        self.sockets.iter().filter_map(|socket| Some((socket.local?, socket.id)))
    }

    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.locals().into_iter().map(|(candidate, _)| candidate).collect()
    }

    /// How it looks from outside: the first socket that is seen.
    pub(super) fn seen_as(&self) -> Option<SocketAddr> {
        self.sockets.iter().find_map(Socket::seen_as)
    }

    /// What stands in front of it: of IPv4 if there is any.
    pub(super) fn nat(&self) -> Nat {
        let mut known = self.sockets.iter().filter_map(|socket| Some((socket, socket.discovery.as_ref()?)));
        let of_v4 = known.clone().find(|(socket, _)| socket.wanted.is_ipv4());
        let discovery = of_v4.or_else(|| known.next()).map(|(_, discovery)| discovery);
        discovery.map_or_else(Nat::default, |discovery| Nat::from(discovery.profile()))
    }

    /// The mediator has been heard on this socket.
    pub(super) const fn heard_mediator(&mut self, local: SocketAddr) {
        self.way = Some(local);
    }

    /// From which socket to which address of the mediator: the first socket that it has answered. If it
    /// could answer none when it was asked, they take turns until it answers one.
    pub(super) fn way_to_mediator(&self, turn: u32) -> Option<Path> {
        let answered = self.sockets.iter().find(|socket| socket.seen_as().is_some());
        let open = || self.sockets.iter().filter_map(|socket| socket.local);
        let in_turn = || open().nth(turn as usize % open().count().max(1));
        let local = answered.and_then(|socket| socket.local).or(self.way).or_else(in_turn)?;
        let mut servers = self.mediator.iter().filter(|server| server.is_ipv4() == local.is_ipv4());
        servers.next().map(|&server| Path::udp(local, server))
    }

    /// An answer to one of its questions.
    pub(super) fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        let discoveries = self.sockets.iter_mut().filter_map(|socket| socket.discovery.as_mut());
        let verdict = |discovery: &mut Discovery| discovery.handle_input(now, path, meta, bytes);
        let mut verdicts = discoveries.map(verdict);
        verdicts.find(|verdict| *verdict != Verdict::Unclaimed).unwrap_or(Verdict::Unclaimed)
    }

    pub(super) fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        if let HostInput::Bound { id, result } = input
            && let Some(index) = self.sockets.iter().position(|socket| socket.id == id)
        {
            match result {
                Ok(local) => self.sockets[index].local = Some(local),
                Err(_) => drop(self.sockets.remove(index)),
            }
            return;
        }
        for discovery in self.sockets.iter_mut().filter_map(|socket| socket.discovery.as_mut()) {
            discovery.handle_host(now, input);
        }
    }

    /// What is to be done for it now, or when it is to be asked again.
    pub(super) fn poll_output(
        &mut self,
        now: Instant,
        buf: &mut [u8],
    ) -> Result<Output<Happened>, Option<Instant>> {
        let mut wake: Option<Instant> = None;
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let Some(local) = socket.local else { continue };
            let discovery = socket.discovery.get_or_insert_with(|| {
                let config = Config {
                    local,
                    servers: self.mediator.iter().copied().filter(|to| to.port() == STUN_PORT).collect(),
                    first_socket: SocketId(FIRST_OF_DISCOVERY + (index * (MAX_SOCKETS + 1)) as u32),
                    lifetime: false,
                };
                Discovery::new(config, self.rng.fork())
            });
            loop {
                match discovery.poll_output(now, buf) {
                    Output::Transmit { path, len, segment, ecn } => {
                        return Ok(Output::Transmit { path, len, segment, ecn });
                    }
                    Output::Host(request) => return Ok(Output::Host(request)),
                    Output::Event(Event::Known) => socket.known = Some(now),
                    Output::Event(Event::Learned | Event::Finished) => {}
                    Output::Idle(next) => {
                        wake = [wake, next].into_iter().flatten().min();
                        break;
                    }
                }
            }
        }
        let settled = self.settled().filter(|settled| *settled > now);
        Err([wake, settled].into_iter().flatten().min())
    }
}
