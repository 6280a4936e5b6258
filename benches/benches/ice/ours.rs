//! Ours. Between two of our own each knows the other for one, as its identity says where there are
//! identities; here the user fragment begins alike.

use std::net::SocketAddr;
use std::time::Duration;

use bradawl::machine::{MIN_BUFFER, Machine as _, Meta, Output, Path};
use bradawl::punch::{self, Agent, Config, Event, Nat, Party, Remote};
use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl_benches::network::Candidate;

use crate::contender::{Contender, Credentials, Entry, Role, Send, Setup};

pub(crate) const ENTRY: Entry =
    Entry { name: "bradawl", start: |setup| Box::new(Ours::start(setup)), note: "" };

/// How the user fragment of one of ours begins.
const KIN: &str = "brad";

struct Ours {
    agent: Agent,
    local: SocketAddr,
    is_selected: bool,
    buf: [u8; MIN_BUFFER],
}

impl Ours {
    fn start(setup: &Setup) -> Self {
        let mut rng = Rng::from_seed(setup.seed);
        let random = punch::Credentials::random(&mut rng);
        let ufrag = format!("{KIN}{}", random.ufrag());
        let credentials = punch::Credentials::new(&ufrag, random.pwd()).expect("made of the right letters");
        let role = match setup.role {
            Role::Controlling => punch::Role::Controlling,
            Role::Controlled => punch::Role::Controlled,
        };
        let mut agent = Agent::new(Config::default(), credentials, role, rng);
        let host = punch::Candidate::host(setup.local, u16::MAX);
        agent.add_local(Instant::ZERO, &host, setup.local).expect("the first one");
        Self { agent, local: setup.local, is_selected: false, buf: [0; MIN_BUFFER] }
    }
}

impl Contender for Ours {
    fn credentials(&self) -> Credentials {
        let ours = self.agent.credentials();
        Credentials { ufrag: ours.ufrag().to_owned(), pwd: ours.pwd().to_owned() }
    }

    fn connect(&mut self, now: Duration, remote: &Credentials, candidate: Candidate) {
        let Candidate { address, is_reflexive } = candidate;
        let candidate = match is_reflexive {
            true => punch::Candidate::server_reflexive(address, address, u16::MAX),
            false => punch::Candidate::host(address, u16::MAX),
        };
        let credentials = punch::Credentials::new(&remote.ufrag, &remote.pwd).expect("as RFC 8839 has them");
        let party = if remote.ufrag.starts_with(KIN) { Party::Kin } else { Party::Foreign };
        self.agent.begin(at(now), Remote { credentials, party, nat: Nat::default() });
        self.agent.add_remote(at(now), &candidate).expect("the first one");
    }

    fn handle_input(&mut self, now: Duration, from: SocketAddr, bytes: &[u8]) {
        let _ = self.agent.handle_input(at(now), Path::udp(self.local, from), Meta::default(), bytes);
    }

    fn poll(&mut self, now: Duration, send: &mut Send<'_>) -> Option<Duration> {
        loop {
            match self.agent.poll_output(at(now), &mut self.buf) {
                Output::Transmit { path, len, .. } => send(path.remote, &self.buf[..len]),
                Output::Event(Event::Selected(_)) => self.is_selected = true,
                Output::Event(_) | Output::Host(_) => {}
                Output::Idle(wake) => return wake.map(|wake| Duration::from_micros(wake.as_micros())),
            }
        }
    }

    fn is_selected(&self) -> bool {
        self.is_selected
    }
}

fn at(time: Duration) -> Instant {
    Instant::ZERO + time
}
