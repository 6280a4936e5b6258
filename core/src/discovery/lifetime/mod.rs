//! How long does a mapping live in silence (RFC 4787 §4.3, RFC 5780 §4.6)?
//!
//! Six sockets at a time are silent for six different times (`trial.rs`). The longest silence that was
//! survived and the shortest that was not are the bracket; the next six divide it, until it is two
//! seconds wide. As soon as one is forgotten, those that would be silent for longer are given up, so each
//! round takes about as long as a mapping lives: some minutes in all, and about a hundred packets.
//! Then the upper end is tried three more times, lest a lost packet be taken for a lost mapping; and at
//! last it is seen whether packets from outside keep a mapping alive, too.

mod trial;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::judge::Insiders;
use super::pass::Want;
use super::probe::{Ask, Probe, Said};
use super::server::{Loss, Server};
use super::sockets::{Role, Sockets};
use super::{Axis, Confidence, Finding, Lifetime, NatProfile};
use crate::time::{Duration, Instant};
use crate::timers::{Key, Timers};
use trial::{Bell, Context, Outcome, Trial};

/// The first silences, in seconds: closer together where lifetimes are short, and up to five minutes.
const FIRST: [u16; TRIALS] = [22, 45, 75, 125, 190, 305];

/// How many sockets are silent at a time.
const TRIALS: usize = 6;

/// How wide the bracket may be in the end, in seconds.
const WIDTH: u16 = 2;

/// How often the upper end is tried again.
const CONFIRMATIONS: usize = 3;

/// How many rounds there may be before it is given up: a network in which nothing is ever the same.
const MAX_ROUNDS: u8 = 16;

/// How many answers go out late for each silence, so that one that is lost is not taken for a mapping.
const COPIES: u32 = 3;

/// What an answer that came after a silence is worth.
const HEARD: u32 = 24;

/// How long the host may take to open the sockets of a round.
const OPENING: Duration = Duration::from_secs(10);

/// How long to wait after a round that has shown nothing, because the server was away or had no room.
const REST: Duration = Duration::from_secs(30);

/// How far apart silences of the same length begin: what disturbs one is over then.
const APART: Duration = Duration::from_secs(2);

const OPENING_TIMER: Key = TRIALS as Key;

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Whether the server answers to another port at all.
    Trying,
    Searching,
    Confirming,
    /// Whether what comes in keeps a mapping alive.
    Nudging,
}

/// The search on its way.
pub(super) struct Search {
    number: u8,
    server: Server,
    bell: Bell,
    aim: Aim,
    rounds: u8,
    trials: Vec<Trial>,
    timers: Timers,
    pub(super) wants: VecDeque<Want>,
    survives: u16,
    forgotten: Option<u16>,
    confirmed: u32,
    loss: Loss,
    /// Something was found out since it was last asked.
    has_learned: bool,
    /// What was sent in the rounds before may be forgotten.
    is_new_round: bool,
    /// How long to wait before the next round begins.
    rest: Duration,
    is_over: bool,
}

impl Search {
    /// A search with the nearest server that helps, of those that are beyond all NATs; `None` if none does,
    /// or there is nothing to be found.
    pub(super) fn begin(
        servers: &[Server],
        insiders: Insiders,
        loss: Loss,
        profile: &NatProfile,
        sockets: &mut Sockets,
    ) -> Option<Self> {
        if profile.is_open() {
            return None;
        }
        let nearest = |helps: fn(&Server) -> bool| {
            let is_able = |(number, server): &(usize, &Server)| {
                server.is_heard() && helps(server) && !insiders.contains(*number as u8)
            };
            let able = servers.iter().enumerate().filter(is_able);
            able.min_by_key(|(_, server)| server.round_trips).map(|(number, server)| (number as u8, *server))
        };
        let late = nearest(|server| server.longest_delay >= FIRST[TRIALS - 1]);
        // Whose answer is to come to another socket has to find it at its own public address.
        let has_several = profile.several_addresses.is_some_and(|finding| finding.value);
        let to_port = || nearest(|server| server.other.is_some()).filter(|_| !has_several);
        let (bell, (number, server)) = match late {
            Some(server) => (Bell::Late, server),
            None => {
                let server = to_port()?;
                (Bell::ToPort { socket: sockets.open(Role::Silent)? }, server)
            }
        };
        let mut search = Self {
            number,
            server,
            bell,
            aim: if bell == Bell::Late { Aim::Searching } else { Aim::Trying },
            rounds: 0,
            trials: Vec::new(),
            timers: Timers::default(),
            wants: VecDeque::new(),
            survives: 0,
            forgotten: None,
            confirmed: 0,
            loss,
            has_learned: false,
            is_new_round: false,
            rest: Duration::ZERO,
            is_over: false,
        };
        search.begin_round(sockets);
        Some(search)
    }

    /// A spare socket is open.
    pub(super) fn bound(&mut self, now: Instant, socket: u8) {
        if let Some(index) = self.trials.iter().position(|trial| trial.socket == socket) {
            let twins = matches!(self.aim, Aim::Confirming | Aim::Nudging);
            let apart = if twins { APART * index as u32 } else { Duration::ZERO };
            self.timers.set(index as Key, now + self.rest + apart);
        }
    }

    /// Something has come to `local`, in answer to `probe`.
    pub(super) fn heard(&mut self, now: Instant, probe: &Probe, local: u8, said: &Said) {
        if said.mapped.is_none() {
            return;
        }
        if let Some(index) = self.trials.iter().position(|trial| trial.socket == local)
            && let Some(next) = self.trials[index].heard(now, probe.ask, said, self.bell)
        {
            self.timers.set(index as Key, next);
        }
    }

    /// Fires what is due.
    pub(super) fn fire(&mut self, now: Instant, sockets: &mut Sockets) {
        if self.timers.is_empty() && !self.is_over {
            self.timers.set(OPENING_TIMER, now + OPENING);
        }
        while let Some(key) = self.timers.pop(now) {
            if key == OPENING_TIMER {
                self.give_up_unopened(sockets);
                continue;
            }
            let Self { bell, number, server, wants, .. } = self;
            let context = Context { bell: *bell, server: *number, to: server.address, wants };
            if let Some(next) = self.trials[key as usize].step(now, context) {
                self.timers.set(key, next);
            }
            self.settle(key as usize, sockets);
        }
    }

    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether something was found out since this was last asked.
    pub(super) const fn has_learned(&mut self) -> bool {
        core::mem::replace(&mut self.has_learned, false)
    }

    /// Whether a round has begun since this was last asked: nothing of those before will come any more.
    pub(super) const fn is_new_round(&mut self) -> bool {
        core::mem::replace(&mut self.is_new_round, false)
    }

    /// What is known by now.
    pub(super) fn lifetime(&self) -> Axis<Lifetime> {
        if self.survives == 0 && self.forgotten.is_none() {
            return None;
        }
        let seconds = |seconds: u16| Duration::from_secs(u64::from(seconds));
        let value = Lifetime { survives: seconds(self.survives), forgotten: self.forgotten.map(seconds) };
        let bits = self.loss.silence(COPIES * (1 + self.confirmed));
        let bits = if self.forgotten.is_some() { bits.min(HEARD) } else { HEARD };
        Some(Finding { value, confidence: Confidence::from_bits(bits) })
    }

    /// The host has not opened the sockets of these, and will not.
    fn give_up_unopened(&mut self, sockets: &mut Sockets) {
        for trial in &mut self.trials {
            if sockets.local(trial.socket).is_none() && trial.outcome().is_none() {
                trial.abandon();
                sockets.close(trial.socket);
            }
        }
        if self.trials.iter().all(|trial| trial.outcome().is_some()) {
            self.end_round(sockets);
        }
    }

    /// A trial may have ended, and with it the round.
    fn settle(&mut self, index: usize, sockets: &mut Sockets) {
        let Some(outcome) = self.trials[index].outcome() else { return };
        sockets.close(self.trials[index].socket);
        let silence = self.trials[index].silence;
        if self.aim == Aim::Searching && outcome == Outcome::Forgotten {
            // Who would be silent for longer would be forgotten, too.
            for other in 0..self.trials.len() {
                if self.trials[other].silence > silence && self.trials[other].outcome().is_none() {
                    self.trials[other].abandon();
                    sockets.close(self.trials[other].socket);
                    self.timers.cancel(other as Key);
                }
            }
        }
        if self.trials.iter().all(|trial| trial.outcome().is_some()) {
            self.end_round(sockets);
        }
    }

    fn count(&self, wanted: Outcome) -> u32 {
        self.trials.iter().filter(|trial| trial.outcome() == Some(wanted)).count() as u32
    }

    fn end_round(&mut self, sockets: &mut Sockets) {
        self.rounds += 1;
        let has_shown = self.count(Outcome::Survived) + self.count(Outcome::Forgotten) > 0;
        self.rest = if has_shown { Duration::ZERO } else { REST };
        match self.aim {
            Aim::Trying if self.count(Outcome::Survived) == 0 => return self.end(sockets),
            Aim::Trying => self.aim = Aim::Searching,
            Aim::Searching => self.narrow(),
            Aim::Confirming if self.count(Outcome::Survived) > 0 => {
                // It was a packet that was lost, and not the mapping.
                let top = self.forgotten.unwrap_or(0);
                (self.survives, self.forgotten) = (top, None);
                (self.confirmed, self.aim) = (0, Aim::Searching);
            }
            Aim::Confirming => {
                self.confirmed += self.count(Outcome::Forgotten);
                self.has_learned = true;
                if self.bell != Bell::Late {
                    // Only a server that answers late can wake one up and be asked by nobody meanwhile.
                    return self.end(sockets);
                }
                self.aim = Aim::Nudging;
            }
            Aim::Nudging => return self.end(sockets),
        }
        if self.rounds >= MAX_ROUNDS {
            return self.end(sockets);
        }
        self.begin_round(sockets);
    }

    /// What this round has shown so far is not to be trusted: it begins again.
    pub(super) fn begin_round_again(&mut self, sockets: &mut Sockets) {
        for trial in &self.trials {
            if trial.outcome().is_none() {
                sockets.close(trial.socket);
            }
        }
        self.wants.clear();
        self.rounds += 1;
        if self.rounds >= MAX_ROUNDS {
            return self.end(sockets);
        }
        self.begin_round(sockets);
    }

    /// Takes in what a round has shown of the bracket.
    fn narrow(&mut self) {
        let of = |wanted: Outcome| {
            self.trials.iter().filter(move |trial| trial.outcome() == Some(wanted)).map(|trial| trial.silence)
        };
        let survived = of(Outcome::Survived).max().unwrap_or(0).max(self.survives);
        // A shorter silence that was not survived, where a longer one was, was a packet that got lost.
        let forgotten =
            of(Outcome::Forgotten).chain(self.forgotten).filter(|&silence| silence > survived).min();
        self.has_learned |= (survived, forgotten) != (self.survives, self.forgotten);
        (self.survives, self.forgotten) = (survived, forgotten);
        match forgotten {
            None if survived >= FIRST[TRIALS - 1] => self.is_over = true,
            Some(forgotten) if forgotten - survived <= WIDTH => self.aim = Aim::Confirming,
            _ => {}
        }
    }

    fn begin_round(&mut self, sockets: &mut Sockets) {
        if self.is_over {
            return self.end(sockets);
        }
        self.timers = Timers::default();
        self.trials.clear();
        self.is_new_round = true;
        let (silences, nudge) = self.silences();
        for silence in silences {
            if let Some(socket) = sockets.open(Role::Silent) {
                self.trials.push(Trial::new(socket, silence, nudge));
            }
        }
        if self.trials.is_empty() {
            self.end(sockets);
        }
    }

    /// For how long to be silent in the next round, and when to be woken up.
    fn silences(&self) -> (Vec<u16>, Option<u16>) {
        let limit = FIRST[TRIALS - 1];
        match (self.aim, self.forgotten) {
            (Aim::Trying, _) => (Vec::from([1]), None),
            (Aim::Searching, None) => {
                (FIRST.iter().copied().filter(|&silence| silence > self.survives).collect(), None)
            }
            (Aim::Searching, Some(forgotten)) => {
                let width = forgotten - self.survives;
                let parts = (TRIALS as u16 + 1).min(width);
                let part = |part: u16| {
                    self.survives + (u32::from(width) * u32::from(part) / u32::from(parts)) as u16
                };
                ((1..parts).map(part).collect(), None)
            }
            (Aim::Confirming, forgotten) => (Vec::from([forgotten.unwrap_or(limit); CONFIRMATIONS]), None),
            (Aim::Nudging, forgotten) => {
                let lifetime = forgotten.unwrap_or(limit);
                let nudge = lifetime * 3 / 5;
                // Without the nudge it would be forgotten, with it it would not.
                (Vec::from([lifetime + nudge / 2; CONFIRMATIONS]), Some(nudge))
            }
        }
    }

    fn end(&mut self, sockets: &mut Sockets) {
        self.is_over = true;
        self.timers = Timers::default();
        sockets.close_all();
    }

    /// Whether what comes in keeps a mapping alive.
    pub(super) fn refreshed_inbound(&self) -> Axis<bool> {
        if self.aim != Aim::Nudging || !self.is_over {
            return None;
        }
        let (survived, forgotten) = (self.count(Outcome::Survived), self.count(Outcome::Forgotten));
        let bits = if survived > 0 { HEARD } else { self.loss.silence(COPIES * forgotten) };
        (survived + forgotten > 0)
            .then(|| Finding { value: survived > 0, confidence: Confidence::from_bits(bits) })
    }

    /// Whether a packet is one that is answered again later, or to another socket.
    pub(super) const fn is_for_later(ask: Ask) -> bool {
        matches!(ask, Ask::Later { .. } | Ask::ToPort(_))
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;
    use crate::discovery::judge::Insiders;
    use crate::discovery::probe::{Ask, Probe, Probes, Reply};
    use crate::machine::{HostRequest, SocketId};
    use crate::rng::Rng;
    use crate::wire::stun::attr::Help;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn server(at: &str, millis: u64, other: Option<&str>, delay: u16) -> Server {
        let mut server = Server::new(address(at));
        let help = Some(Help { delay, token: 0, other_port: 0 });
        let mapped = Some(address("203.0.113.9:5000"));
        let said = Said { mapped, other: other.map(address), help };
        server.learn(&said, Duration::from_millis(millis), address("10.0.0.1:5000"));
        server
    }

    fn begin(servers: &[Server], insiders: Insiders, profile: &NatProfile) -> Option<(Search, Sockets)> {
        let mut sockets = Sockets::new(address("10.0.0.1:5000"), SocketId(0));
        let search = Search::begin(servers, insiders, Loss::default(), profile, &mut sockets)?;
        Some((search, sockets))
    }

    /// Server 0 sees our own address, server 1 another one.
    fn first_is_inside() -> Insiders {
        let mut rng = Rng::from_seed([1; 32]);
        let mut probes = Probes::new(&mut rng);
        for (server, mapped) in [(0, "10.0.0.1:5000"), (1, "203.0.113.9:5000")] {
            let (local, to) = (address("10.0.0.1:5000"), address("192.0.2.1:3478"));
            let reply = Some(Reply { at: Instant::ZERO, from: to, mapped: Some(address(mapped)) });
            let probe = Probe { ask: Ask::Plain, socket: 0, local, server, to, sent: Instant::ZERO, reply };
            probes.send(&mut rng, probe, &mut [0; 100]).expect("room");
        }
        Insiders::of(&probes)
    }

    #[test]
    fn a_server_inside_is_not_asked_for_how_long_the_nat_remembers() {
        let profile = NatProfile::default();
        let (near, far) = (server("10.0.0.2:3478", 1, None, 600), server("192.0.2.1:3478", 50, None, 600));
        let number = |search: Option<(Search, Sockets)>| search.map(|(search, _)| search.number);
        assert_eq!(number(begin(&[near, far], Insiders::default(), &profile)), Some(0));
        assert_eq!(number(begin(&[near, far], first_is_inside(), &profile)), Some(1));
        let no_help = server("192.0.2.1:3478", 50, None, 0);
        assert_eq!(number(begin(&[near, no_help], first_is_inside(), &profile)), None);
    }

    #[test]
    fn behind_several_addresses_nobody_is_asked_to_answer_to_another_socket() {
        let foreign = [server("192.0.2.1:3478", 50, Some("192.0.2.2:3479"), 0)];
        let one = NatProfile::default();
        assert!(begin(&foreign, Insiders::default(), &one).is_some());
        let value = Some(Finding { value: true, confidence: Confidence::SURE });
        let several = NatProfile { several_addresses: value, ..one };
        assert!(begin(&foreign, Insiders::default(), &several).is_none());
    }

    #[test]
    fn a_round_that_was_slept_through_begins_again_and_not_for_ever() {
        let helpful = [server("192.0.2.1:3478", 50, None, 600)];
        let (mut search, mut sockets) =
            begin(&helpful, Insiders::default(), &NatProfile::default()).expect("it begins");
        let (mut open, mut times) = (Vec::new(), 0);
        while !search.is_over() {
            search.begin_round_again(&mut sockets);
            times += 1;
            for request in core::iter::from_fn(|| sockets.next_request()) {
                match request {
                    HostRequest::Bind { id, .. } => open.push(id),
                    HostRequest::Close { id } => open.retain(|known| *known != id),
                    _ => {}
                }
            }
            assert_eq!(open.len(), if search.is_over() { 0 } else { TRIALS });
        }
        assert_eq!((times, search.lifetime()), (MAX_ROUNDS, None));
    }

    /// Nothing wakes these up: who stays alive shows that times vary, and not what keeps it alive.
    #[test]
    fn without_late_answers_nothing_is_said_of_what_comes_in() {
        let foreign = [server("192.0.2.1:3478", 50, Some("192.0.2.2:3479"), 0)];
        let (mut search, mut sockets) =
            begin(&foreign, Insiders::default(), &NatProfile::default()).expect("it begins");
        (search.aim, search.survives, search.forgotten) = (Aim::Confirming, 28, Some(30));
        search.end_round(&mut sockets);
        assert!(search.is_over() && search.lifetime().is_some());
        assert_eq!(search.refreshed_inbound(), None);
        let requests: Vec<_> = core::iter::from_fn(|| sockets.next_request()).collect();
        let count = |is: fn(&HostRequest) -> bool| requests.iter().filter(|request| is(request)).count();
        let opened = count(|request| matches!(request, HostRequest::Bind { .. }));
        assert_eq!(opened, count(|request| matches!(request, HostRequest::Close { .. })));
    }
}
