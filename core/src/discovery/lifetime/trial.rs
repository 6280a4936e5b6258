//! One socket that is silent, to see whether its mapping is still there afterwards.
//!
//! It speaks with a server twice, some seconds apart, so that the NAT takes it for a conversation and not
//! for a question (netfilter gives these less time). Then it says nothing, until the server sends
//! something to the address it has seen: because it was asked to, after so many seconds (HELP); or
//! because another socket asks it to answer to that port (RESPONSE-PORT, RFC 5780 §4.6). If that arrives,
//! the mapping has survived. If not, the server is asked whether it is still there.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::discovery::pass::Want;
use crate::discovery::probe::{Ask, Said};
use crate::time::{Duration, Instant};

/// How long a conversation takes until it is one: netfilter wants more than two seconds.
const CONVERSATION: Duration = Duration::from_secs(3);

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What comes in this long after the socket has spoken is more than a late answer to that.
const DISTURBING: Duration = Duration::from_secs(1);

/// How late the server's last copy may be: it sends three, a quarter of a second apart.
const LATENESS: Duration = Duration::from_secs(2);

/// How often a question is asked, and how often another socket asks for an answer to this one.
const MAX_TRIES: u8 = 4;
const RINGS: u8 = 3;
const BETWEEN_RINGS: Duration = Duration::from_millis(250);

/// How a silent socket is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bell {
    /// The server has noted down when.
    Late,
    /// This socket asks the server to.
    ToPort { socket: u8 },
}

/// What became of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was there after the silence.
    Survived,
    /// It was not.
    Forgotten,
    /// The server did not answer when it should have: this says nothing.
    Spoiled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its socket is not open yet.
    Opening,
    /// It has asked for the first time, so many times.
    Introducing(u8),
    /// It has an answer, and lets some time pass.
    Conversing,
    /// It has asked for the second time.
    Asking(u8),
    /// It is silent.
    Silent,
    /// The other socket has asked the server to speak to it.
    Ringing(u8),
    /// The answer did not come: it asks whether the server is there.
    Checking(u8),
    Over(Outcome),
}

/// One socket and how it fares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) socket: u8,
    /// The silence, in seconds.
    pub(super) silence: u16,
    /// Whether the mapping is woken up in between, by a packet from outside after so many seconds.
    pub(super) nudge: Option<u16>,
    is_nudged: bool,
    /// Something came in before the silence was over.
    is_disturbed: bool,
    state: State,
    token: u64,
    mapped: Option<SocketAddr>,
    /// When it last spoke.
    spoke: Instant,
}

impl Trial {
    pub(super) const fn new(socket: u8, silence: u16, nudge: Option<u16>) -> Self {
        Self {
            socket,
            silence,
            nudge,
            is_nudged: false,
            is_disturbed: false,
            state: State::Opening,
            token: 0,
            mapped: None,
            spoke: Instant::ZERO,
        }
    }

    pub(super) const fn outcome(&self) -> Option<Outcome> {
        if let State::Over(outcome) = self.state { Some(outcome) } else { None }
    }

    /// It is not needed any more.
    pub(super) const fn abandon(&mut self) {
        self.state = State::Over(Outcome::Spoiled);
    }

    /// Its time has come: what to send, and when to come again.
    pub(super) fn step(&mut self, now: Instant, context: Context<'_>) -> Option<Instant> {
        let next = match self.state {
            State::Opening => State::Introducing(0),
            State::Conversing => State::Asking(0),
            State::Silent if matches!(context.bell, Bell::ToPort { .. }) => State::Ringing(0),
            State::Silent => State::Checking(0),
            State::Ringing(RINGS) => State::Checking(0),
            State::Introducing(MAX_TRIES) | State::Asking(MAX_TRIES) | State::Checking(MAX_TRIES) => {
                State::Over(Outcome::Spoiled)
            }
            same => same,
        };
        self.state = next;
        self.speak(now, context)
    }

    fn speak(&mut self, now: Instant, context: Context<'_>) -> Option<Instant> {
        let Context { bell, server, to, wants } = context;
        let socket = self.socket;
        let mut want = |socket, ask| wants.push_back(Want { ask, socket, server, to });
        match &mut self.state {
            State::Introducing(tries) | State::Checking(tries) => {
                want(socket, Ask::Plain);
                *tries += 1;
                Some(now + PATIENCE)
            }
            State::Asking(tries) => {
                let token = self.token;
                match bell {
                    Bell::Late => {
                        for delay in self.nudge.into_iter().chain([self.silence]) {
                            want(socket, Ask::Later { delay, token });
                        }
                    }
                    Bell::ToPort { .. } => want(socket, Ask::Plain),
                }
                (*tries, self.spoke) = (*tries + 1, now);
                Some(now + PATIENCE)
            }
            State::Ringing(rings) => {
                let port = self.mapped?.port();
                if let Bell::ToPort { socket } = bell {
                    want(socket, Ask::ToPort(port));
                }
                *rings += 1;
                Some(now + if *rings == RINGS { LATENESS } else { BETWEEN_RINGS })
            }
            State::Opening | State::Conversing | State::Silent | State::Over(_) => None,
        }
    }

    /// Something came to its socket; when to come again, if that is something else now.
    pub(super) fn heard(&mut self, now: Instant, ask: Ask, said: &Said, bell: Bell) -> Option<Instant> {
        let delay = said.help.map_or(0, |help| help.delay);
        match (self.state, ask) {
            (State::Introducing(_), Ask::Plain) => {
                self.token = said.help.map_or(0, |help| help.token);
                self.mapped = said.mapped;
                self.state = State::Conversing;
                Some(now + CONVERSATION)
            }
            (State::Asking(_), Ask::Later { delay: asked, .. }) if asked == self.silence => {
                if delay == 0 {
                    // It has no room for us now.
                    self.state = State::Over(Outcome::Spoiled);
                    return Some(now);
                }
                Some(self.be_silent(now, Duration::from_secs(u64::from(asked)) + LATENESS))
            }
            (State::Asking(_), Ask::Plain) if bell != Bell::Late => {
                self.mapped = said.mapped;
                Some(self.be_silent(now, Duration::from_secs(u64::from(self.silence))))
            }
            (State::Silent, Ask::Later { delay: asked, .. }) if self.is_late(now, asked) => {
                if Some(asked) == self.nudge {
                    self.is_nudged = true;
                    return None;
                }
                // What comes in may have kept it alive: who was disturbed has not survived this silence.
                let is_proof = self.nudge.is_some() || !self.is_disturbed;
                self.state = State::Over(if is_proof { Outcome::Survived } else { Outcome::Spoiled });
                Some(now)
            }
            (State::Silent, Ask::Later { .. }) => {
                // The answer to the question is heard already, or was lost and the question asked again:
                // then the server knows of two times, and the first of them is too early.
                self.is_disturbed |= now.since(self.spoke) >= DISTURBING;
                None
            }
            (State::Ringing(_), Ask::ToPort(_)) => {
                self.state = State::Over(Outcome::Survived);
                Some(now)
            }
            (State::Checking(_), Ask::Plain) => {
                // Who was not woken up proves nothing about being woken up.
                let is_proof = self.nudge.is_none() || self.is_nudged;
                self.state = State::Over(if is_proof { Outcome::Forgotten } else { Outcome::Spoiled });
                Some(now)
            }
            _ => None,
        }
    }

    fn be_silent(&mut self, now: Instant, time: Duration) -> Instant {
        self.state = State::Silent;
        now + time
    }

    /// Whether an answer comes as late as it was asked to, and is not a copy of the first.
    fn is_late(&self, now: Instant, asked: u16) -> bool {
        now.since(self.spoke) + Duration::from_millis(500) >= Duration::from_secs(u64::from(asked))
    }
}

/// What a trial needs to speak.
pub(super) struct Context<'a> {
    pub(super) bell: Bell,
    pub(super) server: u8,
    pub(super) to: SocketAddr,
    pub(super) wants: &'a mut VecDeque<Want>,
}
