//! The quick pass: what is asked when, until every axis that can be known is.
//!
//! ```text
//! 0      the punching socket asks every server; up to four sockets ask one server each, and for an
//!        answer from its other port and from its other address; one more lets such an answer come early
//! 1 RTT  as each server answers: the punching socket asks its other addresses; the filter sockets
//!        ask again, and again each sixth of a round trip, until silence means something; sockets
//!        send to each other's public address; if ports are not kept, sixteen more sockets ask once
//! 2 RTT  mapping and allocation are known
//! 2.75   filtering and hairpinning are known, too, where the answer is silence
//! ```
//!
//! A question that is not answered is asked again after 1.5 round trips. Servers that say nothing cost
//! nothing but packets: the others are enough.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;

use super::carrier;
use super::filter_test::FilterTest;
use super::hairpin::HairpinTest;
use super::judge::{self, Insiders, Sample};
use super::probe::{Ask, Probe, Probes, Said};
use super::server::{Loss, Server};
use super::sockets::{PUNCHING, Role, Sockets};
use super::{Axis, NatProfile, Observation};
use crate::scope::may_name;
use crate::time::{Duration, Instant};
use crate::timers::{Key, Timers};

/// When a pass ends at the latest, whatever is dead.
pub(super) const DEADLINE: Duration = Duration::from_millis(4_900);

/// After this a server that has not answered is not waited for any more, if another one has.
const GIVE_UP: Duration = Duration::from_secs(2);

/// How long to wait for the first answer of a server before it is asked again; then twice as long.
const FIRST_PATIENCE: Duration = Duration::from_millis(250);

/// How often a question is asked.
const MAX_TRIES: u8 = 6;

/// How many servers get a filter socket before anybody has answered.
const BLIND_TESTS: usize = 4;

/// How many servers that do answer from elsewhere are enough.
const WANTED_TESTS: usize = 3;

/// Of how many servers the other addresses are asked.
const ELSEWHERE: usize = 4;

/// How many mappings are looked at where ports are not kept.
const EXTRA_SOCKETS: usize = 16;

/// How many packets look for each router on the way: routers answer some of them only.
const HOP_PACKETS: usize = 2;

/// How many questions there are at most: nine servers, their other addresses, the spare sockets.
const MAX_QUESTIONS: usize = 64;

const TEST_TIMER: Key = MAX_QUESTIONS as Key;
const HAIRPIN_TIMER: Key = TEST_TIMER + super::MAX_SERVERS as Key;
const END_TIMER: Key = HAIRPIN_TIMER + 1;

/// A plain question, asked until it is answered.
#[derive(Clone, Copy, Debug)]
struct Question {
    socket: u8,
    server: u8,
    to: SocketAddr,
    tries: u8,
    last: Instant,
    is_answered: bool,
}

/// A packet that is to leave now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) ask: Ask,
    pub(super) socket: u8,
    pub(super) server: u8,
    pub(super) to: SocketAddr,
}

/// The pass on its way.
pub(super) struct Pass {
    pub(super) servers: Vec<Server>,
    questions: Vec<Question>,
    tests: Vec<FilterTest>,
    hairpin: HairpinTest,
    timers: Timers,
    pub(super) wants: VecDeque<Want>,
    began: Instant,
    is_at_end: bool,
    has_looked_for_hops: bool,
    has_looked_at_more: bool,
    loss: Loss,
    insiders: Insiders,
}

impl Pass {
    /// Everything that can be asked before anybody has answered.
    pub(super) fn begin(now: Instant, addresses: &[SocketAddr], sockets: &mut Sockets) -> Self {
        let servers: Vec<Server> = addresses.iter().copied().map(Server::new).collect();
        let mut pass = Self {
            questions: Vec::new(),
            tests: Vec::new(),
            hairpin: HairpinTest::default(),
            timers: Timers::default(),
            wants: VecDeque::new(),
            began: now,
            is_at_end: false,
            has_looked_for_hops: false,
            has_looked_at_more: false,
            loss: Loss::default(),
            insiders: Insiders::default(),
            servers,
        };
        pass.timers.set(END_TIMER, now + GIVE_UP);
        for (server, &address) in addresses.iter().enumerate() {
            pass.ask(now, PUNCHING, server as u8, address);
        }
        for server in 0..pass.servers.len().min(BLIND_TESTS) {
            sockets.open(Role::Filter { server: server as u8 });
        }
        if !pass.servers.is_empty() {
            sockets.open(Role::Early { server: 0 });
        }
        pass
    }

    /// A spare socket is open.
    pub(super) fn bound(&mut self, now: Instant, socket: u8, sockets: &mut Sockets) {
        match sockets.role(socket) {
            Role::Filter { server } => {
                let mut test = FilterTest::new(socket, server);
                let asked = &self.servers[usize::from(server)];
                let address = asked.address;
                let next = test.round(now, asked, false, &mut self.wants);
                self.tests.push(test);
                if let Some(next) = next {
                    self.set_test_timer(self.tests.len() - 1, next);
                }
                self.ask(now, socket, server, address);
            }
            Role::Early { server } => {
                let to = self.servers[usize::from(server)].address;
                self.ask(now, socket, server, to);
                self.wants.push_back(Want { ask: Ask::OtherAddress, socket, server, to });
            }
            Role::Extra { server } => {
                self.ask(now, socket, server, self.servers[usize::from(server)].address);
            }
            Role::Hop { hops } => {
                sockets.limit(socket, hops);
                // One that is inside is not behind the routers that are looked for.
                let is_far = |server: &usize| {
                    self.servers[*server].is_heard() && !self.insiders.contains(*server as u8)
                };
                if let Some(server) = (0..self.servers.len()).find(is_far) {
                    let (to, server) = (self.servers[server].address, server as u8);
                    let want = Want { ask: Ask::Hop { hops }, socket, server, to };
                    self.wants.extend([want; HOP_PACKETS]);
                }
            }
            Role::Punching | Role::Silent => {}
        }
    }

    /// A packet was answered.
    pub(super) fn heard(&mut self, now: Instant, probe: &Probe, said: &Said, sockets: &mut Sockets) {
        if probe.ask != Ask::Plain || said.mapped.is_none() {
            return;
        }
        let asked = |question: &&mut Question| question.socket == probe.socket && question.to == probe.to;
        if let Some(question) = self.questions.iter_mut().find(asked) {
            question.is_answered = true;
        }
        let server = &mut self.servers[usize::from(probe.server)];
        if probe.to == server.address {
            let is_first = !server.is_heard();
            server.learn(said, now.since(probe.sent), probe.local);
            if is_first {
                self.follow_up(now, probe.server, sockets);
            }
            self.follow_early(now, probe, sockets);
        } else if Some(probe.to) == server.other {
            server.hear_other(now.since(probe.sent));
        }
    }

    /// A server has answered for the first time.
    fn follow_up(&mut self, now: Instant, number: u8, sockets: &mut Sockets) {
        let server = self.servers[usize::from(number)];
        let patience = server.patience().unwrap_or(FIRST_PATIENCE);
        for index in 0..self.questions.len() {
            let question = self.questions[index];
            if question.server == number && !question.is_answered {
                self.timers.set(index as Key, question.last + patience);
            }
        }
        let is_another = |other: &&Server| other.is_heard() && other.can_answer_from_elsewhere();
        if !server.can_answer_from_elsewhere() {
            return;
        }
        let helpful = self.servers.iter().filter(is_another).count();
        if helpful <= ELSEWHERE {
            for to in [server.other_port, server.other].into_iter().flatten() {
                self.ask(now, PUNCHING, number, to);
            }
        }
        match self.tests.iter().position(|test| test.server == number) {
            Some(test) => self.set_test_timer(test, now),
            None if helpful <= WANTED_TESTS && sockets.find(Role::Filter { server: number }).is_none() => {
                sockets.open(Role::Filter { server: number });
            }
            None => {}
        }
        let is_early = |role: Role| matches!(role, Role::Early { .. });
        let blind = self.servers.first().is_some_and(Server::is_heard);
        if server.other.is_some() && !blind && sockets.count(is_early) < 2 {
            sockets.open(Role::Early { server: number });
        }
    }

    /// The other address of the server has had its chance to send first: now it is asked.
    fn follow_early(&mut self, now: Instant, probe: &Probe, sockets: &Sockets) {
        let server = self.servers[usize::from(probe.server)];
        if let (Role::Early { .. }, Some(other)) = (sockets.role(probe.socket), server.other) {
            self.ask(now, probe.socket, probe.server, other);
        }
    }

    /// What follows from what is known of the punching socket: whether more mappings are looked at, and
    /// whether packets to ourselves come back.
    pub(super) fn follow_mapping(&mut self, now: Instant, probes: &Probes, sockets: &mut Sockets) {
        self.insiders = Insiders::of(probes);
        let insiders = self.insiders;
        let is_telling = |probe: &&Probe| !insiders.contains(probe.server);
        let seen = |socket: u8| {
            let of_socket = |probe: &&Probe| probe.socket == socket;
            probes.iter().filter(of_socket).filter(is_telling).find_map(Probe::mapped)
        };
        let (Some(local), Some(mapped)) = (sockets.local(PUNCHING), seen(PUNCHING)) else { return };
        if mapped == local {
            return;
        }
        // Once: the host may refuse.
        if !mem::replace(&mut self.has_looked_for_hops, true) {
            for hops in 1..=carrier::MAX_HOPS {
                sockets.open(Role::Hop { hops });
            }
        }
        let is_heard = |&server: &usize| self.servers[server].is_heard() && !insiders.contains(server as u8);
        let heard = (0..self.servers.len()).filter(is_heard);
        if mapped.port() != local.port()
            && heard.clone().next().is_some()
            && !mem::replace(&mut self.has_looked_at_more, true)
        {
            for server in heard.cycle().take(EXTRA_SOCKETS) {
                sockets.open(Role::Extra { server: server as u8 });
            }
        }
        if !self.hairpin.has_begun() {
            self.begin_hairpin(now, probes);
        }
    }

    /// Lets two sockets send to each other as soon as it is known where, if that can be our own address.
    fn begin_hairpin(&mut self, now: Instant, probes: &Probes) {
        let seen = |socket: u8| {
            probes.iter().filter(|probe| !self.insiders.contains(probe.server)).find_map(|probe| {
                let mapped = probe.mapped().filter(|_| probe.socket == socket)?;
                let is_server = self.servers.iter().any(|server| server.address.ip() == mapped.ip());
                (!is_server && may_name(probe.to, mapped)).then_some(mapped)
            })
        };
        let ready = |test: &FilterTest| {
            let patience = self.servers[usize::from(test.server)].patience()?;
            Some((test.socket, test.server, seen(test.socket)?, patience))
        };
        if let Some(ours) = seen(PUNCHING)
            && let Some((socket, server, theirs, patience)) = self.tests.iter().find_map(ready)
        {
            self.hairpin = HairpinTest::between(ours, socket, theirs, patience, server);
            self.timers.set(HAIRPIN_TIMER, now);
        }
    }

    /// Fires what is due.
    pub(super) fn fire(&mut self, now: Instant, probes: &Probes) {
        while let Some(key) = self.timers.pop(now) {
            match key {
                HAIRPIN_TIMER => {
                    if let Some(next) = self.hairpin.round(now, &mut self.wants) {
                        self.timers.set(HAIRPIN_TIMER, next);
                    }
                }
                END_TIMER if now < self.began + DEADLINE => {
                    self.timers.set(END_TIMER, self.began + DEADLINE);
                }
                // And be it that the clock is set back.
                END_TIMER => self.is_at_end = true,
                key if key < TEST_TIMER => self.ask_again(now, key),
                key => self.test_round(now, (key - TEST_TIMER) as usize, probes),
            }
        }
    }

    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn ask(&mut self, now: Instant, socket: u8, server: u8, to: SocketAddr) {
        let is_asked = self.questions.iter().any(|question| question.socket == socket && question.to == to);
        if is_asked || self.questions.len() == MAX_QUESTIONS {
            return;
        }
        self.questions.push(Question { socket, server, to, tries: 0, last: now, is_answered: false });
        self.ask_again(now, self.questions.len() as Key - 1);
    }

    fn ask_again(&mut self, now: Instant, index: Key) {
        let question = &mut self.questions[index as usize];
        if question.is_answered || question.tries == MAX_TRIES {
            return;
        }
        let Question { socket, server, to, tries, .. } = *question;
        self.wants.push_back(Want { ask: Ask::Plain, socket, server, to });
        (question.tries, question.last) = (tries + 1, now);
        let patience = self.servers[usize::from(server)].patience();
        self.timers.set(index, now + patience.unwrap_or(FIRST_PATIENCE * (1 << tries)));
    }

    fn set_test_timer(&mut self, test: usize, at: Instant) {
        self.timers.set(TEST_TIMER + test as Key, at);
    }

    fn test_round(&mut self, now: Instant, index: usize, probes: &Probes) {
        let is_enough = FilterTest::is_enough(probes, &self.servers, Loss::of(probes, &self.servers, now));
        let Some(test) = self.tests.get_mut(index) else { return };
        let server = &self.servers[usize::from(test.server)];
        if let Some(next) = test.round(now, server, is_enough, &mut self.wants) {
            self.set_test_timer(index, next);
        }
    }

    /// When the next silence begins to mean something.
    pub(super) fn next_silence(&self, now: Instant, probes: &Probes) -> Option<Instant> {
        let waits = |probe: &&Probe| probe.reply.is_none() && !matches!(probe.ask, Ask::Hop { .. });
        let over = |probe: &Probe| self.servers.get(usize::from(probe.server))?.silent_from(probe);
        probes.iter().filter(waits).filter_map(over).filter(|&over| over > now).min()
    }

    /// Whether there is nothing to wait for any more.
    pub(super) fn is_over(&self, now: Instant, probes: &Probes, profile: &NatProfile) -> bool {
        if self.is_at_end || now >= self.began + DEADLINE || self.servers.is_empty() {
            return true;
        }
        if !self.servers.iter().any(Server::is_heard) || !self.wants.is_empty() {
            return false;
        }
        let has_given_up = now >= self.began + GIVE_UP;
        let waits = |question: &Question, for_all: bool| {
            let server = &self.servers[usize::from(question.server)];
            let may_come = match server.patience() {
                Some(patience) => question.tries < MAX_TRIES || now < question.last + patience,
                None => for_all && !has_given_up,
            };
            !question.is_answered && may_come
        };
        let asks = |is_one: &dyn Fn(&Question) -> bool, for_all: bool| {
            self.questions.iter().any(|question| is_one(question) && waits(question, for_all))
        };
        let of_punching = |question: &Question| question.socket == PUNCHING;
        let mapping = is_sure(&profile.mapping) || !asks(&of_punching, true);
        let elsewhere =
            |question: &Question| question.to != self.servers[usize::from(question.server)].address;
        let silence = self.next_silence(now, probes).is_some();
        let tests = self.tests.iter().any(|test| test.is_under_way(&self.servers));
        let filtering = is_sure(&profile.filtering)
            || !(tests || silence || asks(&of_punching, true) || asks(&elsewhere, false));
        let allocation = is_sure(&profile.allocation) || !asks(&|_| true, false);
        let hairpin = is_sure(&profile.hairpin) || !self.hairpin.is_under_way() && !silence;
        let of_tests = |question: &Question| self.tests.iter().any(|test| test.socket == question.socket);
        let may_begin = !self.hairpin.has_begun() && asks(&of_tests, false);
        let is_translated = profile.translated.is_some_and(|finding| finding.value);
        let hairpin = hairpin || !self.hairpin.can_tell(profile);
        mapping && filtering && allocation && hairpin && !(may_begin && is_translated)
    }

    /// Writes down what can be concluded.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        probes: &Probes,
        sockets: &Sockets,
        profile: &mut NatProfile,
    ) {
        let samples = judge::samples(probes);
        self.loss = Loss::of(probes, &self.servers, now);
        let loss = self.loss;
        note_observations(probes, profile);
        note_addresses(&samples, profile);
        let heard = self.servers.iter().filter(|server| server.is_heard()).count();
        self.insiders = Insiders::of(probes);
        profile.servers = (self.servers.len() as u8, heard as u8);
        profile.round_trip = self.servers.iter().filter_map(|server| Some(server.round_trips?.0)).min();
        profile.loss = loss.percent();
        profile.udp = judge::udp(&self.servers, now >= self.began + DEADLINE);
        profile.translated = judge::translated(probes, PUNCHING);
        profile.mapping = judge::mapping(probes, PUNCHING);
        profile.filtering = judge::filtering(probes, &self.servers, loss, now);
        profile.allocation = judge::allocation(&samples);
        profile.traffic = judge::traffic(&samples, probes, profile);
        profile.parity = judge::parity(&samples);
        profile.several_addresses = judge::several_addresses(probes, &profile.public, samples.len() as u32);
        profile.carrier = carrier::carrier(profile);
        let early = sockets.find_early();
        profile.overloaded =
            early.filter(|_| profile.is_cone()).and_then(|early| judge::overloaded(probes, early));
        profile.hairpin = self.hairpin.judge(now, probes, &self.servers, loss, profile);
    }

    /// Which servers are nearer than others.
    pub(super) const fn insiders(&self) -> Insiders {
        self.insiders
    }

    /// How often packets go lost.
    pub(super) const fn loss(&self) -> Loss {
        self.loss
    }
}

fn is_sure<T>(axis: &Axis<T>) -> bool {
    axis.as_ref().is_some_and(|finding| finding.confidence.is_sure())
}

fn note_observations(probes: &Probes, profile: &mut NatProfile) {
    profile.observations.clear();
    for (order, probe) in probes.iter().enumerate() {
        if let (Some(reply), Some(mapped), Some(round_trip)) =
            (probe.reply, probe.mapped(), probe.round_trip())
        {
            profile.observations.push(Observation {
                at: reply.at,
                local: probe.local,
                asked: probe.to,
                from: reply.from,
                mapped,
                round_trip,
                order: order as u16,
            });
        }
    }
}

fn note_addresses(samples: &[Sample], profile: &mut NatProfile) {
    profile.mapped.clear();
    profile.public.clear();
    for sample in samples {
        if sample.socket == PUNCHING && !profile.mapped.contains(&sample.mapped) {
            profile.mapped.push(sample.mapped);
        }
        if !profile.public.contains(&sample.mapped.ip()) {
            profile.public.push(sample.mapped.ip());
        }
    }
}
