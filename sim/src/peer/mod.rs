//! A peer as a program for hosts of the simulator: the real discovery and the real agent of the core, put
//! together as far as two need it to meet.
//!
//! 1. *Gather* (`gather.rs`): a socket per address of the host, and for each a [`Discovery`] that finds out
//!    what the NAT does and how the socket looks.
//! 2. *Join*: says its candidates and its NAT to the mediator until it is told its peer's, and every other
//!    second from then on, which keeps the way back open.
//! 3. *Punch*: an [`Agent`] with credentials that both derive and nobody sends. What it has to tell the other
//!    side goes by way of the mediator, in four copies, as a packet may be lost.
//! 4. *Keep*: the agent does; and something is sent on the path from time to time, if that is wanted. If the path is lost, another generation begins at 1.
//!
//! [`Discovery`]: bradawl::discovery::Discovery

mod gather;
mod hints;
mod machine;
mod tally;

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use bradawl::machine::{HostRequest, Interface, MIN_BUFFER, Machine, Output, Path};
use bradawl::punch::{
    Agent, Candidate, Config, Credentials, Event, Nat, Observers, Party, Remote, Role, Selected,
};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::script::{Introduction, Said, Secret, Told, Verb};
use crate::trace::{Happened, Strategy, Warrant};
use gather::{FIRST_OF_AGENT, Gathering};
use hints::Guesses;
pub use tally::{Sent, Tally};

/// How often it joins until it is told of its peer …
const JOIN: Duration = Duration::from_millis(250);
/// … and how often from then on.
const REJOIN: Duration = Duration::from_secs(2);
/// For how long what it has learned of itself is not asked for again, and how often as long as it took to
/// learn it: on a long way two would make each other ask for ever.
const FRESH: Duration = Duration::from_secs(5);
const FRESH_TIMES: u32 = 3;
/// How long it waits for its peer to be there before it says so.
const MEET_PATIENCE: Duration = Duration::from_secs(20);
/// How long it tries in all before it says that it has failed, whatever else happens.
const PATIENCE: Duration = Duration::from_secs(28);
/// What it says on its path: no STUN, no QUIC, nobody's.
const TALK: [u8; 8] = [0xFF; 8];

/// Who a peer is.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    /// Its own name. The smaller one of two is the caller's.
    pub name: String,
    /// The peer that it wants to reach.
    pub peer: String,
    /// Where the mediator listens, of each family: its first address with both ports, then its second one.
    pub mediator: Vec<SocketAddr>,
    /// What its peer and the mediator know, too.
    pub secret: Secret,
    /// The port of its sockets; 0: any.
    pub port: u16,
    /// When it begins to punch, if not as soon as it knows its peer.
    pub begin: Option<Instant>,
    /// Whether it may open hundreds of ports for one connection.
    pub birthday: bool,
    /// How long it punches before it asks again how it looks, or gives up.
    pub patience: Duration,
    /// How often it punches in vain before it gives up.
    pub tries: u8,
    /// How often it sends something on its path, if it does.
    pub talks: Option<Duration>,
    /// A bug on purpose: it sends to an address that nobody gave it.
    pub is_stray: bool,
}

/// The peer as a [`Machine`].
pub struct Peer {
    setup: PeerSetup,
    rng: Rng,
    gathering: Gathering,
    /// What is to be done before anything else.
    todo: VecDeque<Todo>,
    generation: u64,
    began: Option<Instant>,
    /// When all was known of this side that there is to know.
    gathered: Option<Instant>,
    /// When to join next.
    join_at: Option<Instant>,
    /// How often it has joined.
    joined: u32,
    met: Option<Met>,
    agent: Option<Agent>,
    /// What the other side is to be told, and when.
    hints: Vec<(Instant, Told)>,
    hints_said: u32,
    /// Which of the other side's hints have come.
    hints_heard: VecDeque<u32>,
    /// What it has guessed.
    guesses: Guesses,
    tries: u8,
    /// Since when it wants a path.
    wants_since: Option<Instant>,
    /// When it says something on its path next.
    talk_at: Option<Instant>,
    has_failed: bool,
    has_strayed: bool,
    /// Whether it has asked again how it looks, since it had a path, because nobody had answered.
    has_looked_again: bool,
    tally: Tally,
}

/// The other side, as the mediator has introduced it.
#[derive(Clone, Debug)]
struct Met {
    generation: u64,
    candidates: Vec<Candidate>,
    nat: Nat,
    /// Where the mediator has seen it.
    seen: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
enum Todo {
    Ask(HostRequest),
    Say(Happened),
}

impl Peer {
    /// A peer on a host with these interfaces.
    pub fn new(setup: PeerSetup, interfaces: &[Interface], mut rng: Rng) -> Self {
        let mut peer = Self {
            gathering: Gathering::new(setup.mediator.clone(), setup.port, rng.fork()),
            setup,
            rng,
            todo: VecDeque::new(),
            generation: 0,
            began: None,
            gathered: None,
            join_at: None,
            joined: 0,
            met: None,
            agent: None,
            hints: Vec::new(),
            hints_said: 0,
            hints_heard: VecDeque::new(),
            guesses: Guesses::default(),
            tries: 0,
            wants_since: None,
            talk_at: None,
            has_failed: false,
            has_strayed: false,
            has_looked_again: false,
            tally: Tally::default(),
        };
        peer.gathering.open(interfaces);
        for &server in &peer.setup.mediator {
            peer.todo.push_back(Todo::Say(Happened::MaySend { to: server, why: Warrant::Server }));
        }
        peer
    }

    /// What it has sent and when it had its path.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What it knows of its NAT.
    pub fn nat(&self) -> Nat {
        Nat { birthday: self.setup.birthday, ..self.gathering.nat() }
    }

    fn is_caller(&self) -> bool {
        self.setup.name < self.setup.peer
    }

    /// Begins again at 1, at the next poll.
    fn regenerate(&mut self, now: Instant) {
        self.end_agent(now);
        (self.began, self.gathered, self.join_at, self.met, self.talk_at) = (None, None, None, None, None);
        self.hints.clear();
        self.hints_heard.clear();
        self.gathering.again();
    }

    /// Ends the agent; what it has opened is closed.
    fn end_agent(&mut self, now: Instant) {
        let Some(mut agent) = self.agent.take() else { return };
        if agent.selected().is_some() {
            self.todo.push_back(Todo::Say(Happened::Lost));
        }
        agent.close(now);
        let mut buf = [0; MIN_BUFFER];
        loop {
            match agent.poll_output(now, &mut buf) {
                Output::Host(request) => self.todo.push_back(Todo::Ask(request)),
                Output::Idle(_) => break,
                Output::Event(_) | Output::Transmit { .. } => {}
            }
        }
    }

    /// A higher generation than any before, even before this program was started.
    fn begin(&mut self, now: Instant) {
        self.generation = (now.as_micros() / 1_000 + 1).max(self.generation + 1);
        self.began = Some(now);
        self.has_failed = false;
        self.wants_since.get_or_insert(now);
    }

    /// Says to the mediator who it is.
    fn join(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        self.join_at = Some(now + if self.met.is_some() { REJOIN } else { JOIN });
        self.joined += 1;
        let joined = Introduction {
            verb: Verb::Join,
            name: self.setup.name.clone(),
            to: self.setup.peer.clone(),
            generation: self.generation,
            answers: 0,
            candidates: self.gathering.candidates(),
            nat: self.nat(),
            seen: None,
        };
        self.say(&Said::Introduction(joined), buf)
    }

    fn say(&self, said: &Said, buf: &mut [u8]) -> Option<(Path, usize)> {
        let path = self.gathering.way_to_mediator(self.joined)?;
        let bytes = said.write(&self.setup.secret);
        buf.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some((path, bytes.len()))
    }

    /// The mediator told where the peer is.
    fn meet(&mut self, now: Instant, on: SocketAddr, said: Introduction) {
        let known = self.met.as_ref().map_or(0, |met| met.generation);
        let is_for_us = said.name == self.setup.peer && said.to == self.setup.name;
        if !is_for_us || said.answers != self.generation || said.generation < known {
            return;
        }
        // The network is there, and was not when it was asked.
        if self.gathering.is_blind(on) && !core::mem::replace(&mut self.has_looked_again, true) {
            return self.regenerate(now);
        }
        if said.generation == known {
            return self.learn(now, said.candidates);
        }
        // Something has happened to the peer. Perhaps it was on this side: what was learned long ago may not
        // be so any more.
        if let (Some(began), Some(gathered)) = (self.began, self.gathered)
            && now > gathered + FRESH.max(gathered.since(began) * FRESH_TIMES)
        {
            return self.regenerate(now);
        }
        self.has_failed = false;
        self.wants_since.get_or_insert(now);
        self.end_agent(now);
        self.hints.clear();
        self.hints_heard.clear();
        let Introduction { generation, candidates, nat, seen, .. } = said;
        self.met = Some(Met { generation, candidates, nat, seen });
        self.join_at = self.join_at.map(|at| at.max(now + REJOIN));
    }

    /// More candidates of a peer that is known already.
    fn learn(&mut self, now: Instant, candidates: Vec<Candidate>) {
        let Some(met) = &mut self.met else { return };
        let news: Vec<Candidate> =
            candidates.into_iter().filter(|candidate| !met.candidates.contains(candidate)).collect();
        met.candidates.extend_from_slice(&news);
        if self.agent.is_none() || news.is_empty() {
            return;
        }
        self.say_warrants();
        if let Some(agent) = &mut self.agent {
            for candidate in &news {
                let _ = agent.add_remote(now, candidate);
            }
        }
    }

    /// Whom the agent may send to from now on: the candidates, the public addresses among them with the
    /// ports of the others, and at what the mediator has seen a bounded number of ports.
    fn say_warrants(&mut self) {
        let Some(met) = &self.met else { return };
        let addresses: Vec<SocketAddr> = met.candidates.iter().map(|candidate| candidate.address).collect();
        let say = |to| Todo::Say(Happened::MaySend { to, why: Warrant::Candidate });
        for address in &addresses {
            self.todo.push_back(say(*address));
            for other in addresses.iter().filter(|other| other.port() != address.port()) {
                let is_public = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if !ip.is_private());
                if is_public(address.ip()) {
                    self.todo.push_back(say(SocketAddr::new(address.ip(), other.port())));
                }
            }
        }
        let seen = met.seen.filter(|_| self.guesses.is_allowed());
        self.todo.extend(seen.map(|seen| Todo::Say(Happened::MayProbe(seen.ip()))));
    }

    /// Begins to punch, if it is time to.
    fn punch(&mut self, now: Instant) {
        let is_time = self.setup.begin.is_none_or(|begin| begin <= now);
        let Some(met) = self.met.clone().filter(|_| is_time && self.agent.is_none() && !self.has_failed)
        else {
            return;
        };
        self.guesses.begin(now, self.setup.tries);
        self.say_warrants();
        let is_caller = self.is_caller();
        let of = |caller: u64, callee: u64| format!("{caller} {callee}");
        let PeerSetup { name, peer, .. } = &self.setup;
        let session = match is_caller {
            true => of(self.generation, met.generation),
            false => of(met.generation, self.generation),
        };
        let (caller, callee) = Credentials::derive(&self.setup.secret.of_peers, session.as_bytes());
        let (ours, theirs) = if is_caller { (caller, callee) } else { (callee, caller) };
        let username = format!("{name}/{peer}/{}/{}", self.generation, met.generation);
        let config = Config {
            nat: self.nat(),
            servers: self.setup.mediator.clone(),
            observers: Some(Observers {
                endpoints: self.setup.mediator.clone(),
                key: self.setup.secret.observer_key(&username),
                username,
            }),
            first_socket: FIRST_OF_AGENT,
            patience: self.setup.patience,
            ..Config::default()
        };
        let role = if is_caller { Role::Controlling } else { Role::Controlled };
        let mut agent = Agent::new(config, ours, role, self.rng.fork());
        for (candidate, base) in self.gathering.locals() {
            let _ = agent.add_local(now, &candidate, base);
        }
        self.gathering.ids().for_each(|(base, id)| agent.name_local(base, id));
        agent.begin(now, Remote { credentials: theirs, party: Party::Kin, nat: met.nat });
        if let Some(seen) = met.seen.filter(|_| self.guesses.is_allowed()) {
            agent.seen_at(now, seen);
        }
        for candidate in &met.candidates {
            let _ = agent.add_remote(now, candidate);
        }
        agent.end_of_candidates(now);
        self.tally.begin(now, &met.candidates, &self.setup.mediator);
        self.agent = Some(agent);
    }

    fn happened(&mut self, now: Instant, event: &Event) {
        match *event {
            Event::Selected(selected) => {
                (self.tries, self.wants_since, self.has_looked_again) = (0, None, false);
                self.talk_at = self.setup.talks.map(|after| now + after);
                self.tally.select(now, selected);
                self.todo.push_back(Todo::Say(said(&selected)));
            }
            Event::Tell(hint) => self.tell(now, hint),
            Event::Learned(to) => {
                self.todo.push_back(Todo::Say(Happened::MaySend { to, why: Warrant::PeerReflexive }));
            }
            Event::Lost { .. } => {
                self.talk_at = None;
                self.todo.push_back(Todo::Say(Happened::Lost));
                self.regenerate(now);
            }
            Event::RoleChanged(_) => {}
            Event::Failed(failure) => {
                self.tally.fail(failure);
                self.tries += 1;
                if self.tries >= self.setup.tries {
                    self.give_up(now, "no path: every check was lost");
                } else {
                    self.regenerate(now);
                }
            }
        }
    }

    fn give_up(&mut self, now: Instant, why: &'static str) {
        self.end_agent(now);
        (self.has_failed, self.tries, self.wants_since, self.talk_at) = (true, 0, None, None);
        self.todo.push_back(Todo::Say(Happened::Failed(why)));
    }

    /// When it is time to give up waiting for the peer.
    fn deadline(&self) -> Option<Instant> {
        if self.has_failed || self.setup.begin.is_some() {
            return None;
        }
        let met = self.began.filter(|_| self.met.is_none()).map(|began| began + MEET_PATIENCE);
        let last = self.wants_since.map(|since| since + PATIENCE);
        [met, last].into_iter().flatten().min()
    }

    /// Something on the path in use.
    fn talk(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        self.talk_at = self.setup.talks.map(|after| now + after);
        let path = self.agent.as_mut()?.transmit(now)?;
        buf.get_mut(..TALK.len())?.copy_from_slice(&TALK);
        Some((path, TALK.len()))
    }

    /// What is due at `now` beside what the machines inside want.
    fn due(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output<Happened>> {
        let transmit = |(path, len)| Output::Transmit { path, len, segment: None, ecn: None };
        match self.todo.pop_front() {
            Some(Todo::Ask(request)) => return Some(Output::Host(request)),
            Some(Todo::Say(happened)) => return Some(Output::Event(happened)),
            None => {}
        }
        if let Some(request) = self.gathering.next_request() {
            return Some(Output::Host(request));
        }
        if self.began.is_none() && self.gathering.has_socket() {
            self.begin(now);
        }
        if self.join_at.is_none() && self.began.is_some() && self.gathering.is_known(now) {
            (self.join_at, self.gathered) = (Some(now), Some(now));
            let seen = self.gathering.seen_as();
            self.todo.extend(seen.into_iter().map(|seen| Todo::Say(Happened::SeenAs(seen))));
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(
                now,
                match self.met {
                    Some(_) => "no path: every check was lost",
                    None => "the peer or the mediator does not answer",
                },
            );
        }
        self.punch(now);
        if let Some(todo) = self.todo.pop_front() {
            self.todo.push_front(todo);
            return self.due(now, buf);
        }
        if self.join_at.is_some_and(|at| at <= now)
            && let Some(joined) = self.join(now, buf)
        {
            return Some(transmit(joined));
        }
        if self.talk_at.is_some_and(|at| at <= now)
            && let Some(said) = self.talk(now, buf)
        {
            return Some(transmit(said));
        }
        if let Some(index) = self.hints.iter().position(|(at, _)| *at <= now) {
            let (_, told) = self.hints.remove(index);
            return self.say(&Said::Told(told), buf).map(transmit);
        }
        None
    }

    /// What the agent wants, if it wants anything now; else when it wants to be asked again.
    fn poll_agent(&mut self, now: Instant, buf: &mut [u8]) -> Result<Output<Happened>, Option<Instant>> {
        loop {
            let Some(agent) = &mut self.agent else { return Err(None) };
            match agent.poll_output(now, buf) {
                Output::Transmit { mut path, len, segment, ecn } => {
                    self.tally.sent(now, path);
                    if self.setup.is_stray && !self.has_strayed && self.tally.all().len() > 2 {
                        self.has_strayed = true;
                        path.remote.set_port(path.remote.port() ^ 1);
                    }
                    return Ok(Output::Transmit { path, len, segment, ecn });
                }
                Output::Host(request) => return Ok(Output::Host(request)),
                Output::Event(event) => {
                    self.happened(now, &event);
                    if let Some(todo) = self.todo.pop_front() {
                        return Ok(match todo {
                            Todo::Ask(request) => Output::Host(request),
                            Todo::Say(happened) => Output::Event(happened),
                        });
                    }
                }
                Output::Idle(wake) => return Err(wake),
            }
        }
    }
}

/// What the world is told of a path.
fn said(selected: &Selected) -> Happened {
    let strategy = match selected.strategy {
        bradawl::punch::Strategy::Plain if selected.remote == bradawl::punch::Kind::Host => Strategy::Host,
        bradawl::punch::Strategy::Plain => Strategy::Punch,
        bradawl::punch::Strategy::PeerReflexive => Strategy::PeerReflexive,
        bradawl::punch::Strategy::Guess => Strategy::Guess,
        bradawl::punch::Strategy::Bracket => Strategy::Bracket,
        bradawl::punch::Strategy::Birthday => Strategy::Birthday,
        bradawl::punch::Strategy::Volley => Strategy::Volley,
        bradawl::punch::Strategy::Relay => Strategy::Relay,
    };
    Happened::Selected { local: selected.path.local, remote: selected.path.remote, strategy }
}
