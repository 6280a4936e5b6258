//! One agent alone, and whoever pretends to be the other side.

use std::net::SocketAddr;

use bradawl::discovery::{Allocation, Dependence};
use bradawl::machine::{HostInput, HostRequest, MIN_BUFFER, Machine as _, Meta, Output, Path, Verdict};
use bradawl::punch::{
    Agent, Candidate, Config, Credentials, Event, Nat, Observers, Party, Remote, Role, Selected,
};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{
    ErrorCode, IceControlled, IceControlling, Priority, Proof, UseCandidate, Username, XorMappedAddress,
};
use bradawl::wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

use crate::kit::{address, at};

pub(crate) const OURS: &str = "192.168.1.2:5000";
pub(crate) const THEIRS: &str = "203.0.113.1:6000";
pub(crate) const ELSEWHERE: &str = "198.51.100.66:666";

/// What came out of the agent.
pub(crate) type Sent = (Instant, Path, Vec<u8>);

pub(crate) struct Solo {
    pub(crate) agent: Agent,
    pub(crate) now: Instant,
    pub(crate) ours: Credentials,
    pub(crate) theirs: Credentials,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<Event>,
    pub(crate) wake: Option<Instant>,
    /// The sockets that were asked for and not closed.
    pub(crate) open: Vec<(bradawl::machine::SocketId, SocketAddr)>,
    next_bound: u16,
}

impl Solo {
    /// It has one socket and knows nobody.
    pub(crate) fn new(config: Config, role: Role) -> Self {
        let (ours, theirs) = Credentials::derive(&[7; 32], b"alone");
        let mut agent = Agent::new(config, ours.clone(), role, Rng::from_seed([1; 32]));
        let base = address(OURS);
        agent.add_local(at(0), &Candidate::host(base, 65_535), base).expect("a socket");
        Self {
            agent,
            now: at(10_000),
            ours,
            theirs,
            sent: Vec::new(),
            events: Vec::new(),
            wake: None,
            open: Vec::new(),
            next_bound: 30_000,
        }
    }

    /// It has begun to check one address of the other side.
    pub(crate) fn begun(role: Role, party: Party) -> Self {
        let mut solo = Self::new(Config::default(), role);
        solo.begin(party);
        solo.add_remote(&Candidate::host(address(THEIRS), 65_535));
        solo
    }

    /// In control, behind a NAT that counts: it has opened a socket for a bracket; which one.
    pub(crate) fn with_a_bracket() -> (Self, SocketAddr) {
        let dependence = Some(Dependence::AddressAndPort);
        let allocation = Some(Allocation::Sequential { step: 1 });
        let nat = Nat { mapping: dependence, filtering: dependence, allocation, ..Nat::default() };
        let observers = Observers {
            endpoints: vec![address("192.0.2.53:3478"), address("192.0.2.54:3478")],
            username: "a session".into(),
            key: Key::short_term("of the mediator"),
        };
        let config = Config { nat, observers: Some(observers), ..Config::default() };
        let mut solo = Self::new(config, Role::Controlling);
        solo.begin(Party::Kin);
        solo.agent.seen_at(solo.now, address(THEIRS));
        solo.add_remote(&Candidate::server_reflexive(address(THEIRS), address("10.0.0.1:5000"), 1));
        let (_, socket) = *solo.open.first().expect("a socket of a bracket");
        (solo, socket)
    }

    pub(crate) fn begin(&mut self, party: Party) {
        let remote = Remote { credentials: self.theirs.clone(), party, nat: Nat::default() };
        self.agent.begin(self.now, remote);
        self.drain();
    }

    pub(crate) fn add_remote(&mut self, candidate: &Candidate) {
        self.agent.add_remote(self.now, candidate).expect("it is fine");
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let mut buf = [0; MIN_BUFFER];
        for step in 0.. {
            assert!(step < 5_000, "it does not come to an end");
            match self.agent.poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => self.sent.push((self.now, path, buf[..len].to_vec())),
                Output::Event(event) => self.events.push(event),
                Output::Host(HostRequest::Bind { id, local, .. }) => {
                    self.next_bound += 1;
                    let bound = SocketAddr::new(local.ip(), self.next_bound);
                    self.open.push((id, bound));
                    self.agent.handle_host(self.now, HostInput::Bound { id, result: Ok(bound) });
                }
                Output::Host(HostRequest::Close { id }) => self.open.retain(|(open, _)| *open != id),
                Output::Host(other) => panic!("{other:?}"),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now));
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = wake;
            self.drain();
        }
        self.now = end;
        self.drain();
    }

    pub(crate) fn input(&mut self, from: SocketAddr, bytes: &[u8]) -> Verdict {
        let verdict =
            self.agent.handle_input(self.now, Path::udp(address(OURS), from), Meta::default(), bytes);
        self.drain();
        verdict
    }

    pub(crate) fn selected(&self) -> Option<Selected> {
        self.agent.selected().copied()
    }

    /// What was sent to an address.
    pub(crate) fn sent_to(&self, to: SocketAddr) -> Vec<&Sent> {
        self.sent.iter().filter(|(_, path, _)| path.remote == to).collect()
    }

    /// The id of the last check that was sent.
    pub(crate) fn last_check(&self) -> TransactionId {
        let checks = self.sent.iter().rev().map(|(_, _, bytes)| Message::parse(bytes).expect("a message"));
        let mut requests = checks.filter(|message| message.class() == Class::Request);
        requests.next().expect("a check").transaction_id()
    }

    /// A check as the other side sends it.
    pub(crate) fn check(&self, id: u8, edit: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
        let theirs = Check { role: Some(Role::Controlled), tie_breaker: 5, ..Check::default() };
        theirs.write(&self.ours, &self.theirs, id, edit)
    }

    /// An answer as the other side sends it, sealed with `key`.
    pub(crate) fn answer(&self, id: TransactionId, key: Option<&Key>) -> Vec<u8> {
        let mut buf = [0; 256];
        let writer = Writer::new(&mut buf, Class::Success, Method::BINDING, id)
            .put(&XorMappedAddress(address("198.51.100.1:4000")));
        let writer = match key {
            Some(key) => writer.integrity(key),
            None => writer,
        };
        let len = writer.fingerprint().finish().expect("it fits");
        buf[..len].to_vec()
    }

    /// The same as an error.
    pub(crate) fn error(&self, id: TransactionId, code: u16, key: Option<&Key>) -> Vec<u8> {
        let mut buf = [0; 256];
        let writer = Writer::new(&mut buf, Class::Error, Method::BINDING, id)
            .put(&ErrorCode { code, reason: "Role Conflict" });
        let writer = match key {
            Some(key) => writer.integrity(key),
            None => writer,
        };
        let len = writer.fingerprint().finish().expect("it fits");
        buf[..len].to_vec()
    }

    pub(crate) fn key_of_theirs(&self) -> Key {
        Key::short_term(self.theirs.pwd())
    }

    /// A foreign controlled agent has answered: there is a path.
    pub(crate) fn connect(&mut self) {
        let answer = self.answer(self.last_check(), Some(&self.key_of_theirs()));
        let _ = self.input(address(THEIRS), &answer);
        assert!(self.selected().is_some());
    }
}

/// What a check says.
pub(crate) struct Check {
    pub(crate) priority: Option<u32>,
    pub(crate) role: Option<Role>,
    pub(crate) tie_breaker: u64,
    pub(crate) nominates: bool,
    pub(crate) proof: Option<Proof>,
    /// What it is sealed with, if not with the right password.
    pub(crate) password: Option<&'static str>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            priority: Some(1_862_270_975),
            role: None,
            tie_breaker: 0,
            nominates: false,
            proof: None,
            password: None,
        }
    }
}

impl Check {
    /// From who has the credentials `from` to who has `to`.
    pub(crate) fn write(
        &self,
        to: &Credentials,
        from: &Credentials,
        id: u8,
        edit: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Vec<u8> {
        self.write_as(to, from, TransactionId::from_bytes([id; 12]), edit)
    }

    pub(crate) fn write_as(
        &self,
        to: &Credentials,
        from: &Credentials,
        id: TransactionId,
        edit: impl FnOnce(Writer<'_>) -> Writer<'_>,
    ) -> Vec<u8> {
        let username = format!("{}:{}", to.ufrag(), from.ufrag());
        let (controlling, controlled) = match self.role {
            Some(Role::Controlling) => (Some(IceControlling(self.tie_breaker)), None),
            Some(Role::Controlled) => (None, Some(IceControlled(self.tie_breaker))),
            None => (None, None),
        };
        let mut buf = [0; 512];
        let writer = Writer::new(&mut buf, Class::Request, Method::BINDING, id)
            .put(&Username(username.as_bytes()))
            .put_some(self.priority.map(Priority).as_ref())
            .put_some(controlling.as_ref())
            .put_some(controlled.as_ref())
            .put_some(self.nominates.then_some(&UseCandidate))
            .put_some(self.proof.as_ref());
        let len = edit(writer)
            .integrity(&Key::short_term(self.password.unwrap_or(to.pwd())))
            .fingerprint()
            .finish()
            .expect("it fits");
        buf[..len].to_vec()
    }
}

/// The code of an error.
pub(crate) fn code(bytes: &[u8]) -> Option<u16> {
    let message = Message::parse(bytes).expect("a message");
    message.find::<ErrorCode<'_>>().ok().flatten().map(|error| error.code)
}

pub(crate) fn is_request(bytes: &[u8]) -> bool {
    Message::parse(bytes).is_ok_and(|message| message.class() == Class::Request)
}
