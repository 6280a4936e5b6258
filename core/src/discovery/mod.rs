//! What kind of NAT is this? Behaviour discovery (RFC 5780, and more than that).
//!
//! A [`Discovery`] asks up to nine STUN servers about one socket, the one that will punch, with the help
//! of spare sockets that it opens and closes, and writes down a [`NatProfile`]: for each axis of RFC 4787
//! what was found and how sure that is, or nothing. First comes the quick pass (`pass.rs`), two or three
//! round trips and at most five seconds, whatever is dead. Then, if that is wanted, how long a mapping
//! lives in silence is learned in the background (`lifetime/`), which takes minutes.
//!
//! What is concluded from what was seen is the subject of `judge/`, how sure that is of
//! [`Confidence`]. Nothing that servers say is believed beyond what they can testify: how a packet
//! looked when it arrived, and that an answer came from where it came from.

mod cache;
mod carrier;
mod confidence;
mod filter_test;
mod forecast;
mod hairpin;
mod hint;
mod judge;
mod lifetime;
mod pass;
mod probe;
mod profile;
mod server;
mod sockets;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

pub use cache::{CACHE_TIME, Cache, Fingerprint, MAX_CACHED};
pub use confidence::Confidence;
pub use forecast::{Circumstances, Forecast, Kind, Outlook};
pub use hint::Hint;
pub use profile::{
    Allocation, Axis, Dependence, Fallback, Finding, Hairpin, Ipv6, Label, Lifetime, NatProfile, Observation,
};
pub use sockets::MAX_SOCKETS;

use crate::machine::{HostInput, Machine, Meta, Output, Path, SocketId, Verdict};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::stun::{Class, Message, Method};
use lifetime::Search;
use pass::{Pass, Want};
use probe::{Ask, Probe, Probes, Reply, Said};
use sockets::{Role, Sockets};

/// How many servers are asked; more are left alone.
pub const MAX_SERVERS: usize = 9;

/// What to find out, and whom to ask.
///
/// ```
/// use bradawl::discovery::Config;
/// use bradawl::machine::SocketId;
///
/// let config = Config {
///     local: "192.168.1.5:50000".parse()?,
///     servers: vec!["198.51.100.1:3478".parse()?, "203.0.113.1:3478".parse()?],
///     first_socket: SocketId(100),
///     lifetime: false,
/// };
/// # let _ = config;
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket that will punch: its owner has opened it, and hands what arrives there to the
    /// discovery. Its IP address is concrete.
    pub local: SocketAddr,
    /// STUN servers, of the same address family; others are left out.
    pub servers: Vec<SocketAddr>,
    /// The ids from here on, [`MAX_SOCKETS`] of them, are those of the spare sockets.
    pub first_socket: SocketId,
    /// Whether to go on and learn how long mappings live, which takes minutes.
    pub lifetime: bool,
}

/// What a discovery tells its program. What it knows is in [`Discovery::profile`].
///
/// ```
/// use bradawl::discovery::{Discovery, Event};
///
/// fn on_event(discovery: &Discovery, event: Event) {
///     if event == Event::Known {
///         println!("{}", discovery.profile().label());
///     }
/// }
/// # let _ = on_event;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The quick pass is over.
    Known,
    /// Something was added to the profile since.
    Learned,
    /// Nothing more will come, and the spare sockets are closed.
    Finished,
}

/// The discovery as a [`Machine`]. It begins when it is polled for the first time. When the address that
/// it is about is gone, it ends.
///
/// ```
/// use bradawl::discovery::{Config, Discovery, Event};
/// use bradawl::machine::{Machine, Output, SocketId, MIN_BUFFER};
/// use bradawl::rng::Rng;
/// use bradawl::time::{Duration, Instant};
///
/// // Nobody answers, and the spare sockets are never opened.
/// let config = Config {
///     local: "192.168.1.5:50000".parse()?,
///     servers: vec!["198.51.100.1:3478".parse()?],
///     first_socket: SocketId(0),
///     lifetime: false,
/// };
/// let mut discovery = Discovery::new(config, Rng::from_seed([1; 32]));
/// let (mut now, mut buf) = (Instant::ZERO, [0; MIN_BUFFER]);
/// loop {
///     match discovery.poll_output(now, &mut buf) {
///         Output::Event(Event::Known) => break,
///         Output::Idle(Some(wake)) => now = wake,
///         _ => {}
///     }
/// }
/// assert!(now < Instant::ZERO + Duration::from_secs(5));
/// assert_eq!(discovery.profile().servers, (1, 0));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub struct Discovery {
    local: SocketAddr,
    servers: Vec<SocketAddr>,
    wants_lifetime: bool,
    rng: Rng,
    phase: Phase,
    sockets: Sockets,
    probes: Probes,
    profile: NatProfile,
    events: VecDeque<Event>,
    /// When there may be something new to conclude, if nothing comes before.
    next_judgement: Instant,
}

enum Phase {
    Waiting,
    Passing(Pass),
    Searching(Search),
    Over,
}

impl Machine for Discovery {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let Ok(message) = Message::parse(bytes) else { return Verdict::Unclaimed };
        let Some(probe) = self.probes.find(&message.transaction_id()) else { return Verdict::Unclaimed };
        if probe.reply.is_some() && !Search::is_for_later(probe.ask) {
            return Verdict::Consumed;
        }
        if message.method() != Method::BINDING {
            return Verdict::Consumed;
        }
        let is_ours = self.sockets.number(path.local).is_some();
        let Some(said) = read(probe, path, &message).filter(|_| is_ours) else { return Verdict::Consumed };
        probe.reply.get_or_insert(Reply { at: now, from: path.remote, mapped: said.mapped });
        self.next_judgement = Instant::ZERO;
        let probe = *probe;
        match &mut self.phase {
            Phase::Passing(pass) => {
                pass.heard(now, &probe, &said, &mut self.sockets);
                pass.follow_mapping(now, &self.probes, &mut self.sockets);
            }
            Phase::Searching(search) => {
                if let Some(local) = self.sockets.number(path.local) {
                    search.heard(now, &probe, local, &said);
                }
            }
            Phase::Waiting | Phase::Over => {}
        }
        Verdict::Consumed
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, result } => {
                let Some(socket) = self.sockets.bound(id, result) else { return };
                self.next_judgement = Instant::ZERO;
                match &mut self.phase {
                    Phase::Passing(pass) => pass.bound(now, socket, &mut self.sockets),
                    Phase::Searching(search) => search.bound(now, socket),
                    Phase::Waiting | Phase::Over => {}
                }
            }
            HostInput::Expired { path, by } => self.note_hop(path, by),
            HostInput::ClockJumped(_) => {
                // What should have come meanwhile has come to nobody, which shows nothing.
                if let Phase::Searching(search) = &mut self.phase {
                    search.begin_round_again(&mut self.sockets);
                }
            }
            HostInput::Interfaces(all) => {
                let ours = self.local.ip();
                // The list leaves out loopback, where no network changes.
                if !ours.is_loopback() && !all.iter().any(|interface| interface.address == ours) {
                    self.close();
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        if matches!(self.phase, Phase::Waiting) {
            self.profile.taken = now;
            self.phase = Phase::Passing(Pass::begin(now, &self.servers, &mut self.sockets));
        }
        loop {
            if let Some(request) = self.sockets.next_request() {
                return Output::Host(request);
            }
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            let wants = match &mut self.phase {
                Phase::Passing(pass) => {
                    pass.fire(now, &self.probes);
                    &mut pass.wants
                }
                Phase::Searching(search) => {
                    search.fire(now, &mut self.sockets);
                    if search.is_new_round() {
                        self.probes.clear();
                    }
                    &mut search.wants
                }
                Phase::Waiting | Phase::Over => return Output::Idle(None),
            };
            while let Some(want) = wants.pop_front() {
                self.next_judgement = Instant::ZERO;
                if let Some(sent) = send(now, want, &self.sockets, &mut self.probes, &mut self.rng, buf) {
                    return sent;
                }
            }
            if let Some(wake) = self.go_on(now) {
                return Output::Idle(Some(wake));
            }
        }
    }
}

impl Discovery {
    /// A discovery that has not begun.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let Config { local, servers: mut wanted, first_socket, lifetime } = config;
        wanted.retain(|server| {
            server.is_ipv4() == local.is_ipv4() && server.port() != 0 && !server.ip().is_unspecified()
        });
        let mut servers = Vec::new();
        for server in wanted {
            if !servers.contains(&server) && servers.len() < MAX_SERVERS {
                servers.push(server);
            }
        }
        Self {
            local,
            servers,
            wants_lifetime: lifetime,
            sockets: Sockets::new(local, first_socket),
            probes: Probes::new(&mut rng),
            phase: Phase::Waiting,
            events: VecDeque::new(),
            next_judgement: Instant::ZERO,
            profile: NatProfile { local: Some(local), ..NatProfile::default() },
            rng,
        }
    }

    /// What is known so far.
    pub const fn profile(&self) -> &NatProfile {
        &self.profile
    }

    /// Our own router says that this is its outside address (PCP, NAT-PMP, UPnP). If it is not a public
    /// one, there is another NAT above. No event tells of it where none of them tells of anything: before
    /// [`Event::Known`] and after [`Event::Finished`].
    pub fn heard_router(&mut self, outside: IpAddr) {
        self.profile.router = Some(outside);
        let carrier = carrier::carrier(&self.profile);
        if carrier != self.profile.carrier && matches!(self.phase, Phase::Searching(_)) {
            self.events.push_back(Event::Learned);
        }
        self.profile.carrier = carrier;
    }

    /// Ends it: nothing is sent any more, and the spare sockets are closed.
    pub fn close(&mut self) {
        if !matches!(self.phase, Phase::Over) {
            self.phase = Phase::Over;
            self.sockets.close_all();
            self.events.push_back(Event::Finished);
        }
    }

    /// A router on the way says that one of our packets came no further.
    fn note_hop(&mut self, path: Path, by: IpAddr) {
        let Some(Role::Hop { hops }) =
            self.sockets.number(path.local).map(|socket| self.sockets.role(socket))
        else {
            return;
        };
        let is_new = !self.profile.hops.iter().any(|(known, _)| *known == hops);
        if is_new && self.servers.contains(&path.remote) {
            self.profile.hops.push((hops, by));
            self.next_judgement = Instant::ZERO;
        }
    }

    /// Nothing is to be sent now: concludes what there is to conclude; when to come again, unless there
    /// is more to do at once.
    fn go_on(&mut self, now: Instant) -> Option<Instant> {
        match &mut self.phase {
            Phase::Passing(_) if now < self.next_judgement => Some(self.next_judgement),
            Phase::Passing(pass) => {
                pass.judge(now, &self.probes, &self.sockets, &mut self.profile);
                if !pass.is_over(now, &self.probes, &self.profile) {
                    let silence = pass.next_silence(now, &self.probes);
                    let wake = silence.into_iter().chain(pass.next_deadline()).min()?;
                    self.next_judgement = wake;
                    return Some(wake);
                }
                self.events.push_back(Event::Known);
                self.begin_search();
                None
            }
            Phase::Searching(search) => {
                if search.has_learned() {
                    self.profile.lifetime = search.lifetime();
                    self.events.push_back(Event::Learned);
                    return None;
                }
                if search.is_over() {
                    self.profile.refreshed_inbound = search.refreshed_inbound();
                    self.close();
                    return None;
                }
                search.next_deadline()
            }
            Phase::Waiting | Phase::Over => None,
        }
    }

    /// Goes on to the lifetime of mappings, if that is wanted and somebody helps.
    fn begin_search(&mut self) {
        let Phase::Passing(pass) = &self.phase else { return };
        let wants = self.wants_lifetime;
        let (servers, insiders, loss) = (pass.servers.clone(), pass.insiders(), pass.loss());
        self.sockets.close_all();
        let begin = || Search::begin(&servers, insiders, loss, &self.profile, &mut self.sockets);
        let search = wants.then(begin).flatten();
        match search {
            Some(search) => self.phase = Phase::Searching(search),
            None => self.close(),
        }
    }
}

/// What an answer to `probe` says; `None` if it is none, or comes to or from where it should not.
fn read(probe: &Probe, path: Path, message: &Message<'_>) -> Option<Said> {
    if !message.class().is_response() {
        // It was sent by one of our sockets to another one, and not to whom it came from.
        let comes_back = message.class() == Class::Request
            && probe.ask == Ask::Hairpin
            && path.local != probe.local
            && path.remote != probe.to;
        return comes_back.then_some(Said { mapped: None, other: None, help: None });
    }
    let (is_to_us, is_from_there) = (path.local == probe.local, path.remote == probe.to);
    let is_right = match probe.ask {
        Ask::Plain | Ask::Later { .. } => is_to_us && is_from_there,
        Ask::OtherAddress | Ask::OtherPort => is_to_us,
        Ask::ToPort(_) => is_from_there,
        Ask::Hairpin | Ask::Hop { .. } => false,
    };
    is_right.then(|| Said::read(message, path.local))
}

/// Writes the packet that is wanted; nothing if its socket is gone, or there have been too many.
fn send(
    now: Instant,
    want: Want,
    sockets: &Sockets,
    probes: &mut Probes,
    rng: &mut Rng,
    buf: &mut [u8],
) -> Option<Output<Event>> {
    let Want { ask, socket, server, to } = want;
    let local = sockets.local(socket)?;
    let probe = Probe { ask, socket, local, server, to, sent: now, reply: None };
    let len = probes.send(rng, probe, buf).ok()?;
    Some(Output::Transmit { path: Path::udp(local, to), len, segment: None, ecn: None })
}

impl fmt::Debug for Discovery {
    // Never the transaction ids: who knows them can answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("local", &self.local).finish_non_exhaustive()
    }
}
