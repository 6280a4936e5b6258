//! Gathering: which addresses we have, and as what servers see them (RFC 8445 §5.1.1).
//!
//! A [`Gatherer`] asks its host for one socket per address of ours, and each STUN server of the family how it
//! sees that socket. What it finds it tells at once, so that it can trickle (RFC 8838). The sockets are the
//! agent's from then on; the gatherer goes on to take in the answers to its own questions, and asks again
//! from time to time, lest a NAT forget what it has told (RFC 8445 §5.1.1.4).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use super::Candidate;
use crate::machine::{
    BindError, HostInput, HostRequest, Interface, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use crate::rng::Rng;
use crate::scope::{Scope, may_name};
use crate::stun::client::{self, Request, RequestId, StunClient};
use crate::stun::transaction::Schedule;
use crate::time::{Duration, Instant};

/// Of so many addresses of ours there are sockets at most. What more there is, is left out.
pub const MAX_LOCALS: usize = 10;

/// So many STUN servers are asked at most. What more there is, is left out.
pub const MAX_SERVERS: usize = 4;

/// So many candidates are told of at most. What more is found, is left out.
pub const MAX_CANDIDATES: usize = 20;

/// The time between two questions: Ta (RFC 8445 §14.2), which must not be less than 5 ms.
pub const PACE: Duration = Duration::from_millis(20);

/// How long until servers are asked again (RFC 8445 §5.1.1.4 has Tr, which is 15 seconds at least).
pub const AGAIN: Duration = Duration::from_secs(15);

/// Five seconds: the other side waits for our last candidate.
const SCHEDULE: Schedule = Schedule { attempts: 4, patience: 3 };

/// Where to gather.
///
/// ```
/// use bradawl::machine::SocketId;
/// use bradawl::punch::gather::Config;
///
/// let config = Config {
///     locals: vec!["192.168.1.7:0".parse()?],
///     servers: vec!["198.51.100.1:3478".parse()?],
///     ..Config::default()
/// };
/// assert_eq!(config.first_socket, SocketId(0));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Our addresses, the best first; port 0 is any. [`locals`] chooses among those that a host has.
    pub locals: Vec<SocketAddr>,
    /// The STUN servers to ask.
    pub servers: Vec<SocketAddr>,
    /// The sockets have this number and the [`MAX_LOCALS`] − 1 after it.
    pub first_socket: SocketId,
}

impl Default for Config {
    fn default() -> Self {
        Self { locals: Vec::new(), servers: Vec::new(), first_socket: SocketId(0) }
    }
}

/// What a gatherer tells.
///
/// ```
/// use bradawl::punch::{Agent, Refused, gather};
/// use bradawl::time::Instant;
///
/// fn tell(agent: &mut Agent, now: Instant, event: &gather::Event) -> Result<(), Refused> {
///     match event {
///         gather::Event::Found { candidate, base } => agent.add_local(now, candidate, *base),
///         gather::Event::Done => Ok(()), // tell the other side that there are no more
///     }
/// }
/// # let _ = tell;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// We can be reached there, by the socket at `base`.
    Found {
        /// As the other side is to be told.
        candidate: Candidate,
        /// The address of the socket.
        base: SocketAddr,
    },
    /// There is nothing more to be expected. What still comes later is a NAT that has changed its mind.
    Done,
}

/// What went wrong, counted.
///
/// ```
/// use bradawl::punch::gather::Counters;
/// assert_eq!(Counters::default().unbound, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Addresses that the host gave no socket for.
    pub unbound: u32,
    /// Questions that no server answered.
    pub unanswered: u32,
    /// Answers that say nothing new: of the same base, the same address (RFC 8445 §5.1.3).
    pub redundant: u32,
    /// Answers with an address that cannot be ours, or is one too many.
    pub refused: u32,
}

/// Finds candidates, as a [`Machine`].
///
/// ```
/// use bradawl::machine::{HostInput, HostRequest, MIN_BUFFER, Machine, Output};
/// use bradawl::punch::gather::{Config, Event, Gatherer};
/// use bradawl::rng::Rng;
/// use bradawl::time::Instant;
///
/// let config = Config { locals: vec!["192.168.1.7:0".parse()?], ..Config::default() };
/// let mut gatherer = Gatherer::new(config, Rng::from_seed([1; 32]));
/// let (now, mut buf) = (Instant::ZERO, [0; MIN_BUFFER]);
///
/// let Output::Host(HostRequest::Bind { id, .. }) = gatherer.poll_output(now, &mut buf) else { panic!() };
/// let bound = "192.168.1.7:50000".parse()?;
/// gatherer.handle_host(now, HostInput::Bound { id, result: Ok(bound) });
/// let Output::Event(Event::Found { candidate, base }) = gatherer.poll_output(now, &mut buf) else { panic!() };
/// assert_eq!((candidate.address, base), (bound, bound));
/// assert_eq!(gatherer.poll_output(now, &mut buf), Output::Event(Event::Done));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub struct Gatherer {
    first_socket: SocketId,
    servers: Vec<SocketAddr>,
    client: StunClient,
    sockets: Vec<Socket>,
    /// Who is still to be asked.
    questions: Vec<Question>,
    /// Who has been asked.
    asked: Vec<(RequestId, Question)>,
    /// When the next question may be asked.
    next_question: Instant,
    /// When all are asked again; nothing while they are being asked, or if nobody wants to know any more.
    again: Option<Instant>,
    found: Vec<(Candidate, SocketAddr)>,
    requests: VecDeque<HostRequest>,
    events: VecDeque<Event>,
    is_done: bool,
    is_settled: bool,
    counters: Counters,
}

/// One of our sockets; its place in the list says how well it is liked.
struct Socket {
    state: State,
    /// How many addresses servers have named for it.
    reflexive: u16,
}

enum State {
    Wanted,
    Open(SocketAddr),
    Gone,
}

/// Each server is asked through all sockets before the next one is: the first one to answer says most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    server: u8,
    socket: u8,
}

impl Gatherer {
    /// It begins with the first poll.
    pub fn new(config: Config, rng: Rng) -> Self {
        let Config { mut locals, mut servers, first_socket } = config;
        locals.truncate(MAX_LOCALS);
        servers.truncate(MAX_SERVERS);
        let bind = |(index, &local): (usize, &SocketAddr)| HostRequest::Bind {
            id: SocketId(first_socket.0.wrapping_add(index as u32)),
            transport: Transport::Udp,
            local,
        };
        Self {
            first_socket,
            requests: locals.iter().enumerate().map(bind).collect(),
            sockets: locals.iter().map(|_| Socket { state: State::Wanted, reflexive: 0 }).collect(),
            servers,
            client: StunClient::new(rng),
            questions: Vec::new(),
            asked: Vec::new(),
            next_question: Instant::ZERO,
            again: None,
            found: Vec::new(),
            events: VecDeque::new(),
            is_done: false,
            is_settled: false,
            counters: Counters::default(),
        }
    }

    /// All that was found so far, and the base of each: for a new generation, which is told the same.
    pub fn found(&self) -> &[(Candidate, SocketAddr)] {
        &self.found
    }

    /// Whether the host has answered for every socket, so that all our own addresses are known.
    pub fn is_open(&self) -> bool {
        !self.sockets.iter().any(|socket| matches!(socket.state, State::Wanted))
    }

    /// Whether [`Event::Done`] has been told.
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// A path is in use, which keeps itself open: nobody is asked again. Or, with `false`, it is not any more.
    pub fn settle(&mut self, now: Instant, is_settled: bool) {
        self.is_settled = is_settled;
        if is_settled {
            self.again = None;
        } else if self.is_done && self.again.is_none() && !self.is_asking() {
            self.again = Some(now);
        }
    }

    /// What went wrong.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Under which number the host knows the socket at `base`.
    pub fn socket(&self, base: SocketAddr) -> Option<SocketId> {
        let is_it = |socket: &Socket| matches!(socket.state, State::Open(local) if local == base);
        let index = self.sockets.iter().position(is_it)?;
        Some(SocketId(self.first_socket.0.wrapping_add(index as u32)))
    }

    /// Gives the sockets back to the host.
    pub fn close(&mut self) {
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            if let State::Open(_) = core::mem::replace(&mut socket.state, State::Gone) {
                let id = SocketId(self.first_socket.0.wrapping_add(index as u32));
                self.requests.push_back(HostRequest::Close { id });
            }
        }
        self.questions.clear();
        for (id, _) in self.asked.drain(..) {
            self.client.cancel(id);
        }
        self.events.clear();
        (self.is_done, self.is_settled, self.again) = (true, true, None);
    }

    fn is_asking(&self) -> bool {
        !self.questions.is_empty() || !self.asked.is_empty()
    }

    fn has_servers(&self) -> bool {
        let mut open = (0..self.sockets.len()).filter_map(|socket| self.local(socket as u8));
        open.any(|local| self.servers.iter().any(|&server| can_ask(local, server)))
    }

    fn local(&self, socket: u8) -> Option<SocketAddr> {
        match self.sockets.get(usize::from(socket))?.state {
            State::Open(local) => Some(local),
            State::Wanted | State::Gone => None,
        }
    }

    fn bound(&mut self, id: SocketId, result: Result<SocketAddr, BindError>) {
        let index = id.0.wrapping_sub(self.first_socket.0);
        let Some(socket) = self.sockets.get_mut(index as usize) else { return };
        let local = match (&socket.state, result) {
            (State::Wanted, Ok(local)) => local,
            (State::Wanted, Err(_)) => {
                socket.state = State::Gone;
                self.counters.unbound += 1;
                return;
            }
            // It comes too late: nobody is here any more.
            (State::Gone, Ok(_)) => return self.requests.push_back(HostRequest::Close { id }),
            _ => return,
        };
        socket.state = State::Open(local);
        self.tell(Candidate::host(local, u16::MAX - index as u16), local);
        self.ask_all(index as u8);
    }

    /// Every server that this socket can get to is to be asked.
    fn ask_all(&mut self, socket: u8) {
        let Some(local) = self.local(socket) else { return };
        let servers = self.servers.iter().enumerate().filter(|(_, server)| can_ask(local, **server));
        self.questions.extend(servers.map(|(server, _)| Question { server: server as u8, socket }));
        self.questions.sort_unstable_by_key(|&question| Reverse(question));
    }

    /// Asks what is to be asked now.
    fn ask(&mut self, now: Instant) {
        if self.again.is_some_and(|again| again <= now) {
            self.again = None;
            (0..self.sockets.len()).for_each(|socket| self.ask_all(socket as u8));
        }
        while self.next_question <= now
            && let Some(question) = self.questions.pop()
        {
            let Some(local) = self.local(question.socket) else { continue };
            let path = Path::udp(local, self.servers[usize::from(question.server)]);
            let request = Request { schedule: SCHEDULE, ..Request::default() };
            match self.client.request(now, path, request) {
                Ok(id) => {
                    self.asked.push((id, question));
                    self.next_question = now + PACE;
                }
                Err(_) => self.counters.unanswered += 1,
            }
        }
    }

    fn heard(&mut self, event: client::Event) {
        let (client::Event::Answered(client::Answer { id, .. }) | client::Event::Failed { id, .. }) = event;
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == id) else { return };
        let (_, Question { server, socket }) = self.asked.swap_remove(at);
        let (client::Event::Answered(answer), Some(base)) = (event, self.local(socket)) else {
            self.counters.unanswered += 1;
            return;
        };
        let mapped = answer.mapped;
        // A server that is asked across a NAT knows nothing of hosts on our side of it.
        if !may_name(self.servers[usize::from(server)], mapped) {
            self.counters.refused += 1;
            return;
        }
        // RFC 8445 §5.1.3: the same address by the same base is the same way in.
        let is_known = |(found, of): &(Candidate, SocketAddr)| found.address == mapped && *of == base;
        if self.found.iter().any(is_known) {
            self.counters.redundant += 1;
            return;
        }
        if self.found.len() == MAX_CANDIDATES {
            self.counters.refused += 1;
            return;
        }
        let Some(of) = self.sockets.get_mut(usize::from(socket)) else { return };
        // RFC 8445 §5.1.2.1: no two of one type have the same priority.
        let below = u16::from(socket) + of.reflexive * MAX_LOCALS as u16;
        of.reflexive += 1;
        self.tell(Candidate::server_reflexive(mapped, base, u16::MAX - below), base);
    }

    fn tell(&mut self, candidate: Candidate, base: SocketAddr) {
        if self.found.len() == MAX_CANDIDATES {
            self.counters.refused += 1;
            return;
        }
        self.found.push((candidate.clone(), base));
        self.events.push_back(Event::Found { candidate, base });
    }

    /// Once everybody has said what there is to say, that is it for now.
    fn conclude(&mut self, now: Instant) {
        if !self.is_open() || self.is_asking() {
            return;
        }
        if !self.is_done {
            self.is_done = true;
            self.events.push_back(Event::Done);
        }
        if self.again.is_none() && !self.is_settled && self.has_servers() {
            self.again = Some(now + AGAIN);
        }
    }
}

impl Machine for Gatherer {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        if self.asked.is_empty() {
            return Verdict::Unclaimed;
        }
        self.client.handle_input(now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, result } => self.bound(id, result),
            _ => self.client.handle_host(now, input),
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        loop {
            if let Some(request) = self.requests.pop_front() {
                return Output::Host(request);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            self.ask(now);
            match self.client.poll_output(now, buf) {
                Output::Transmit { path, len, segment, ecn } => {
                    return Output::Transmit { path, len, segment, ecn };
                }
                Output::Host(request) => return Output::Host(request),
                Output::Event(event) => self.heard(event),
                Output::Idle(wake) => {
                    self.conclude(now);
                    if self.events.is_empty() {
                        let question = (!self.questions.is_empty()).then_some(self.next_question);
                        return Output::Idle([wake, question, self.again].into_iter().flatten().min());
                    }
                }
            }
        }
    }
}

/// Whether a socket can get to a server: of the same family, and on this host or not, both.
fn can_ask(local: SocketAddr, server: SocketAddr) -> bool {
    let is_host = |address: SocketAddr| Scope::of(address.ip()) == Scope::Host;
    let is_link = |address: SocketAddr| Scope::of(address.ip()) == Scope::Link;
    local.is_ipv4() == server.is_ipv4()
        && is_host(local) == is_host(server)
        && (!is_link(local) || is_link(server))
}

/// Which of a host's addresses to gather at, the best first.
///
/// Loopback is for those who ask for it, by name. An address that means something on one link only
/// (169.254/16, fe80::/10) is taken where there is nothing better: it cannot be told to others with its
/// interface, and says more of the host than it helps (RFC 8445 §5.1.1.1).
///
/// ```
/// use bradawl::machine::Interface;
/// use bradawl::punch::gather::locals;
///
/// let interface = |index, address: &str| -> Result<_, core::net::AddrParseError> {
///     Ok(Interface { index, address: address.parse()?, prefix_len: 64 })
/// };
/// let all = [interface(1, "127.0.0.1")?, interface(2, "192.168.1.7")?, interface(2, "2001:db8::7")?];
/// assert_eq!(locals(&all), ["[2001:db8::7]:0".parse()?, "192.168.1.7:0".parse()?]);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn locals(interfaces: &[Interface]) -> Vec<SocketAddr> {
    let of = |is_wanted: fn(Scope) -> bool| -> Vec<SocketAddr> {
        let wanted = interfaces.iter().filter(|one| is_wanted(Scope::of(one.address)));
        preferred(wanted.map(local))
    };
    let far = of(|scope| scope > Scope::Link);
    if far.is_empty() { of(|scope| scope == Scope::Link) } else { far }
}

/// The same addresses, the best first: the families take turns, as often as each has addresses, and IPv6
/// begins (RFC 8421 §4). So neither waits for all of the other, should one of them lead nowhere.
///
/// ```
/// use bradawl::punch::gather::preferred;
/// use core::net::SocketAddr;
///
/// let all = ["10.0.0.1:0", "10.0.0.2:0", "[2001:db8::1]:0", "[2001:db8::2]:0"].map(|text| text.parse());
/// let all: Vec<SocketAddr> = all.into_iter().collect::<Result<_, _>>()?;
/// assert_eq!(preferred(all.iter().copied()), [all[2], all[0], all[3], all[1]]);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn preferred(locals: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (four, six): (Vec<_>, Vec<_>) = locals.partition(SocketAddr::is_ipv4);
    // Of so many places in a row one is for IPv4.
    let turn = (four.len() + six.len()).div_ceil(four.len().max(1)).max(2);
    let (mut four, mut six) = (four.into_iter(), six.into_iter());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(six.by_ref().take(turn - 1));
        all.extend(four.next());
        if all.len() == before {
            return all;
        }
    }
}

/// A link-local address is one only together with its interface.
fn local(interface: &Interface) -> SocketAddr {
    match interface.address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, 0, 0, interface.index).into(),
        ip => SocketAddr::new(ip, 0),
    }
}
