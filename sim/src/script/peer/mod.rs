//! A small peer: learns how it looks, is introduced, punches, and keeps the path open.
//!
//! 1. *Gather*: a socket per address of the host; each asks the mediator's STUN server of its family.
//! 2. *Join*: says its addresses to the mediator until it is told its peer's, and every other second from
//!    then on.
//! 3. *Punch*: checks from every socket to every address of the peer, dense first and then sparse; an
//!    authenticated check from elsewhere teaches one more address, and is answered by a check at once
//!    (`pairs.rs`). The peer with the smaller name picks the first pair that works and says so.
//! 4. *Keep*: a check every second on that pair. Five seconds without an answer and it is lost: another
//!    generation begins at 1.
//!
//! It is a stand-in for the real agent, with its manners: nobody is sent to without a warrant.

mod pairs;

use core::net::SocketAddr;
use std::collections::VecDeque;

use bradawl::machine::{
    HostInput, HostRequest, Interface, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use bradawl::rng::Rng;
use bradawl::stun::client::{Event, Request, RequestId, StunClient};
use bradawl::stun::transaction::RoundTrips;
use bradawl::time::{Duration, Instant};

use bradawl::punch::{Candidate, Nat};

use super::introduction::{Introduction, MAX_CANDIDATES, PREFERENCE, Said, Secret, Verb};
use crate::trace::{Happened, Warrant};
use pairs::{Pairs, Sent};

/// How long the servers may take to say how each socket looks before those that are known are told.
const GATHER_PATIENCE: Duration = Duration::from_millis(300);
/// How often it joins until it is told of its peer …
const JOIN: Duration = Duration::from_millis(250);
/// … and how often from then on, which keeps the way back from the mediator open.
const REJOIN: Duration = Duration::from_secs(2);
/// For how long what it has learned of itself is not asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// How long it tries in all before it says that it has failed, whatever else happens.
const PATIENCE: Duration = Duration::from_secs(28);
/// How long it punches before it asks again how it looks, and how often it does before it gives up.
const PUNCH_PATIENCE: Duration = Duration::from_secs(4);
const MAX_TRIES: u8 = 4;
/// How long it waits for its peer to be there before it says so.
const MEET_PATIENCE: Duration = Duration::from_secs(20);

/// Who a peer is.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    /// Its own name.
    pub name: String,
    /// The peer that it wants to reach.
    pub peer: String,
    /// The mediator's addresses, one for each family at most.
    pub mediator: Vec<SocketAddr>,
    /// What its peer and the mediator know, too.
    pub secret: Secret,
    /// A bug on purpose: it sends to an address that nobody gave it.
    pub is_stray: bool,
}

/// The peer as a [`Machine`].
#[derive(Debug)]
pub struct Peer {
    setup: PeerSetup,
    stun: StunClient,
    sockets: Vec<Socket>,
    next_socket: u32,
    /// What is to be done before anything else.
    todo: VecDeque<Todo>,
    generation: u64,
    /// When this generation began; none: at the next poll.
    began: Option<Instant>,
    /// When to join next.
    join_at: Option<Instant>,
    /// The generation of the peer's addresses, and since when they are known.
    met: Option<(u64, Instant)>,
    has_failed: bool,
    /// How often it has punched in vain, and since when it wants a path.
    tries: u8,
    wants_since: Option<Instant>,
    pairs: Pairs,
}

#[derive(Debug)]
struct Socket {
    id: SocketId,
    wanted: SocketAddr,
    local: Option<SocketAddr>,
    asked: Option<RequestId>,
    seen_as: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
enum Todo {
    Ask(HostRequest),
    Say(Happened),
}

impl Peer {
    /// A peer on a host with these interfaces.
    pub fn new(setup: PeerSetup, interfaces: &[Interface], mut rng: Rng) -> Self {
        let impatient = RoundTrips::starting_at(Duration::from_millis(200));
        let mut peer = Self {
            stun: StunClient::with_round_trips(impatient, rng.fork()),
            pairs: Pairs::new(&setup, rng.fork()),
            setup,
            sockets: Vec::new(),
            next_socket: 0,
            todo: VecDeque::new(),
            generation: 0,
            began: None,
            join_at: None,
            met: None,
            has_failed: false,
            tries: 0,
            wants_since: None,
        };
        peer.open(interfaces);
        for &server in &peer.setup.mediator {
            peer.todo.push_back(Todo::Say(Happened::MaySend { to: server, why: Warrant::Server }));
        }
        peer
    }

    /// A socket on every address.
    fn open(&mut self, interfaces: &[Interface]) {
        for interface in interfaces {
            let id = SocketId(self.next_socket);
            self.next_socket += 1;
            let wanted = SocketAddr::new(interface.address, 0);
            self.sockets.push(Socket { id, wanted, local: None, asked: None, seen_as: None });
            self.todo.push_back(Todo::Ask(HostRequest::Bind {
                id,
                transport: Transport::Udp,
                local: wanted,
            }));
        }
    }

    /// The network has changed: other addresses, so other sockets.
    fn reopen(&mut self, interfaces: &[Interface]) {
        for socket in self.sockets.drain(..) {
            self.todo.push_back(Todo::Ask(HostRequest::Close { id: socket.id }));
        }
        self.open(interfaces);
        self.regenerate();
    }

    /// Begins again at 1, at the next poll.
    fn regenerate(&mut self) {
        if self.pairs.deselect() {
            self.todo.push_back(Todo::Say(Happened::Lost));
        }
        self.pairs.clear();
        (self.began, self.join_at, self.met) = (None, None, None);
    }

    /// A higher generation than any before, even before this program was started.
    fn begin(&mut self, now: Instant) {
        self.generation = (now.as_micros() / 1_000 + 1).max(self.generation + 1);
        self.began = Some(now);
        self.has_failed = false;
        self.wants_since.get_or_insert(now);
        for socket in &mut self.sockets {
            (socket.asked, socket.seen_as) = (None, None);
        }
        self.ask(now);
    }

    /// Each socket that has not, asks how it looks.
    fn ask(&mut self, now: Instant) {
        for socket in &mut self.sockets {
            let (Some(local), None) = (socket.local, socket.asked) else { continue };
            let mut servers = self.setup.mediator.iter().filter(|server| server.is_ipv4() == local.is_ipv4());
            let Some(&server) = servers.next() else { continue };
            socket.asked = self.stun.request(now, Path::udp(local, server), Request::default()).ok();
            if self.join_at.is_none() {
                self.join_at = Some(now + GATHER_PATIENCE);
            }
        }
    }

    fn answered(&mut self, now: Instant, event: &Event) {
        let (id, mapped) = match event {
            Event::Answered(answer) => (answer.id, Some(answer.mapped)),
            Event::Failed { id, .. } => (*id, None),
        };
        let Some(socket) = self.sockets.iter_mut().find(|socket| socket.asked == Some(id)) else { return };
        socket.seen_as = mapped;
        if let Some(mapped) = mapped {
            self.todo.push_back(Todo::Say(Happened::SeenAs(mapped)));
        }
        let is_pending = |socket: &Socket| socket.asked.is_some() && socket.seen_as.is_none();
        // With all of them there is nothing to wait for; a late one is told at once.
        if mapped.is_some() && (!self.sockets.iter().any(is_pending) || self.began < Some(now)) {
            self.join_at = self.join_at.map(|at| at.min(now));
        }
    }

    /// What the peer is to know: where this one is.
    fn candidates(&self) -> Vec<SocketAddr> {
        let mut candidates: Vec<SocketAddr> = Vec::new();
        for socket in &self.sockets {
            for candidate in [socket.local, socket.seen_as].into_iter().flatten() {
                if !candidates.contains(&candidate) && candidates.len() < MAX_CANDIDATES {
                    candidates.push(candidate);
                }
            }
        }
        candidates
    }

    /// From the first socket that the mediator has answered, or from any if it has answered none.
    fn join(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        self.join_at = Some(now + if self.met.is_some() { REJOIN } else { JOIN });
        let socket = self.sockets.iter().find(|socket| socket.seen_as.is_some());
        let local = socket.or(self.sockets.first())?.local?;
        let mut servers = self.setup.mediator.iter().filter(|server| server.is_ipv4() == local.is_ipv4());
        let server = *servers.next()?;
        let joined = Introduction {
            verb: Verb::Join,
            name: self.setup.name.clone(),
            to: self.setup.peer.clone(),
            generation: self.generation,
            answers: 0,
            candidates: self
                .candidates()
                .into_iter()
                .map(|address| Candidate::host(address, PREFERENCE))
                .collect(),
            nat: Nat::default(),
            seen: None,
        };
        let bytes = Said::Introduction(joined).write(&self.setup.secret);
        buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some((Path::udp(local, server), bytes.len()))
    }

    /// The mediator told where the peer is.
    fn meet(&mut self, now: Instant, said: &Introduction) {
        let known = self.met.map_or(0, |(generation, _)| generation);
        let is_for_us = said.name == self.setup.peer && said.to == self.setup.name;
        if !is_for_us || said.answers != self.generation || said.generation < known {
            return;
        }
        if said.generation > known {
            // Something has happened to the peer. Perhaps it was on this side: what was learned long ago may
            // not be so any more.
            let is_stale = self.began.is_some_and(|began| now > began + FRESH);
            if is_stale {
                return self.regenerate();
            }
            if self.met.is_some() && self.pairs.deselect() {
                self.todo.push_back(Todo::Say(Happened::Lost));
            }
            self.met = Some((said.generation, now));
            self.has_failed = false;
            self.wants_since.get_or_insert(now);
            self.pairs.meet(self.generation, said.generation);
            self.join_at = self.join_at.map(|at| at.max(now + REJOIN));
        }
        let locals: Vec<SocketAddr> = self.sockets.iter().filter_map(|socket| socket.local).collect();
        for candidate in said.candidates.iter().map(|candidate| candidate.address) {
            if self.pairs.add_candidate(now, &locals, candidate) {
                self.todo.push_back(Todo::Say(Happened::MaySend { to: candidate, why: Warrant::Candidate }));
            }
        }
    }

    /// When it is time to give up.
    fn deadline(&self) -> Option<Instant> {
        if self.has_failed || self.pairs.selected().is_some() {
            return None;
        }
        let next = match self.met {
            Some((_, since)) => Some(since + PUNCH_PATIENCE),
            None => self.began.map(|began| began + MEET_PATIENCE),
        };
        let last = self.wants_since.map(|since| since + PATIENCE);
        [next, last].into_iter().flatten().min()
    }

    fn give_up(&mut self) -> Happened {
        self.has_failed = true;
        (self.tries, self.wants_since) = (0, None);
        self.pairs.stop();
        Happened::Failed(match self.met {
            Some(_) => "no path: every check was lost",
            None => "the peer or the mediator does not answer",
        })
    }

    /// What is due at `now`.
    fn due(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output<Happened>> {
        let transmit = |path, len| Some(Output::Transmit { path, len, segment: None, ecn: None });
        match self.todo.pop_front() {
            Some(Todo::Ask(request)) => return Some(Output::Host(request)),
            Some(Todo::Say(happened)) => return Some(Output::Event(happened)),
            None => {}
        }
        if self.began.is_none() && self.sockets.iter().any(|socket| socket.local.is_some()) {
            self.begin(now);
        }
        if self.pairs.selected().is_some() {
            (self.tries, self.wants_since) = (0, None);
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.tries += 1;
            let is_last = self.wants_since.is_some_and(|since| now >= since + PATIENCE);
            if self.met.is_none() || self.tries == MAX_TRIES || is_last {
                return Some(Output::Event(self.give_up()));
            }
            self.regenerate();
            return self.due(now, buf);
        }
        if self.pairs.is_lost(now) {
            self.regenerate();
            return self.due(now, buf);
        }
        if self.join_at.is_some_and(|at| at <= now)
            && let Some((path, len)) = self.join(now, buf)
        {
            return transmit(path, len);
        }
        match self.pairs.next(now, buf) {
            Some(Sent::Says(happened)) => return Some(Output::Event(happened)),
            Some(Sent::Packet { path, len }) => return transmit(path, len),
            None => {}
        }
        None
    }
}

impl Machine for Peer {
    type Event = Happened;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        if let Some(said) = Said::read(bytes, &self.setup.secret) {
            if let Said::Introduction(said) = said
                && said.verb == Verb::Meet
                && self.began.is_some()
            {
                self.meet(now, &said);
            }
            return Verdict::Consumed;
        }
        if self.stun.handle_input(now, path, meta, bytes) != Verdict::Unclaimed {
            return Verdict::Consumed;
        }
        // Who has not been introduced yet does not know its peer's checks from anybody's.
        if self.met.is_none() {
            return Verdict::Unclaimed;
        }
        self.pairs.handle_check(now, path, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, result: Ok(local) } => {
                if let Some(socket) = self.sockets.iter_mut().find(|socket| socket.id == id) {
                    socket.local = Some(local);
                }
                if self.began.is_some() {
                    self.ask(now);
                }
            }
            HostInput::Bound { id, result: Err(_) } => self.sockets.retain(|socket| socket.id != id),
            HostInput::Interfaces(interfaces) => {
                let wanted = |interface: &Interface| SocketAddr::new(interface.address, 0);
                if !interfaces.iter().map(wanted).eq(self.sockets.iter().map(|socket| socket.wanted)) {
                    self.reopen(interfaces);
                }
            }
            HostInput::ClockJumped(_) => self.regenerate(),
            other => self.stun.handle_host(now, other),
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Happened> {
        loop {
            if let Some(output) = self.due(now, buf) {
                return output;
            }
            match self.stun.poll_output(now, buf) {
                // A socket that is no more has nothing to ask.
                Output::Transmit { path, .. }
                    if !self.sockets.iter().any(|socket| socket.local == Some(path.local)) => {}
                Output::Transmit { path, len, segment, ecn } => {
                    return Output::Transmit { path, len, segment, ecn };
                }
                Output::Host(request) => return Output::Host(request),
                Output::Event(event) => self.answered(now, &event),
                Output::Idle(wake) if self.todo.is_empty() && self.join_at.is_none_or(|at| at > now) => {
                    let times = [wake, self.join_at, self.deadline(), self.pairs.next_deadline()];
                    return Output::Idle(times.into_iter().flatten().min());
                }
                Output::Idle(_) => {}
            }
        }
    }
}
