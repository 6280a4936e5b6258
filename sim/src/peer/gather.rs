//! What a peer finds out about itself before anybody else: its sockets, how they look from outside, and what
//! stands in front of them.

use core::net::SocketAddr;
use std::collections::{BTreeSet, VecDeque};

use bradawl::discovery::{Config, Discovery, Event, MAX_SOCKETS};
use bradawl::machine::{
    HostInput, HostRequest, Interface, MIN_BUFFER, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use bradawl::punch::{Candidate, Nat};
use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl::wire::stun::Message;
use bradawl::wire::stun::attr::XorMappedAddress;

use crate::script::{MAX_CANDIDATES, PREFERENCE, STUN_PORT};
use crate::trace::Happened;

/// The sockets of discoveries are numbered from here, those of one after the other's.
const FIRST_OF_DISCOVERY: u32 = 0x1000_0000;
/// The agent's from here.
pub(super) const FIRST_OF_AGENT: SocketId = SocketId(0x4000_0000);

/// All sockets.
pub(super) struct Gathering {
    mediator: Vec<SocketAddr>,
    port: u16,
    rng: Rng,
    sockets: Vec<Socket>,
    next_socket: u32,
    requests: VecDeque<HostRequest>,
    /// How servers have seen any of its sockets.
    seen: BTreeSet<SocketAddr>,
}

struct Socket {
    id: SocketId,
    wanted: SocketAddr,
    local: Option<SocketAddr>,
    discovery: Option<Discovery>,
    is_known: bool,
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
            seen: BTreeSet::new(),
        }
    }

    /// A socket on every address.
    pub(super) fn open(&mut self, interfaces: &[Interface]) {
        for interface in interfaces {
            let id = SocketId(self.next_socket);
            self.next_socket += 1;
            let wanted = SocketAddr::new(interface.address, self.port);
            self.sockets.push(Socket { id, wanted, local: None, discovery: None, is_known: false });
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
        for socket in &mut self.sockets {
            let Some(mut discovery) = socket.discovery.take() else { continue };
            discovery.close();
            socket.is_known = false;
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

    /// Whether all is known that will be.
    pub(super) fn is_known(&self) -> bool {
        self.has_socket() && self.sockets.iter().all(|socket| socket.is_known || socket.local.is_none())
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

    /// From which socket to which address of the mediator: the first socket that it has answered, or any.
    pub(super) fn way_to_mediator(&self) -> Option<Path> {
        let answered = self.sockets.iter().find(|socket| socket.seen_as().is_some());
        let local = answered.or(self.sockets.first())?.local?;
        let mut servers = self.mediator.iter().filter(|server| server.is_ipv4() == local.is_ipv4());
        servers.next().map(|&server| Path::udp(local, server))
    }

    /// An answer to one of its questions; how a server sees one of its sockets, if that is news.
    pub(super) fn handle_input(
        &mut self,
        now: Instant,
        path: Path,
        meta: Meta,
        bytes: &[u8],
    ) -> (Verdict, Option<SocketAddr>) {
        for discovery in self.sockets.iter_mut().filter_map(|socket| socket.discovery.as_mut()) {
            let verdict = discovery.handle_input(now, path, meta, bytes);
            if verdict != Verdict::Unclaimed {
                let message = Message::parse(bytes).ok();
                let mapped = message.and_then(|message| message.find().ok().flatten());
                let mapped = mapped.map(|XorMappedAddress(mapped)| mapped);
                return (verdict, mapped.filter(|mapped| self.seen.insert(*mapped)));
            }
        }
        (Verdict::Unclaimed, None)
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
                    Output::Event(Event::Known) => socket.is_known = true,
                    Output::Event(Event::Learned | Event::Finished) => {}
                    Output::Idle(next) => {
                        wake = [wake, next].into_iter().flatten().min();
                        break;
                    }
                }
            }
        }
        Err(wake)
    }
}
