//! `rice-proto`, the ICE agent of librice.
//!
//! Both ends are told that no more candidates will come, since none will: without trickling it would
//! otherwise wait for them. As the controlled side it answers a nomination with a check that carries
//! USE-CANDIDATE (RFC 8445 §7.1.2 leaves that to the controlling side) and selects when that check is
//! answered; `is` and `rtc-ice` do not answer it. Behind a NAT it may not recognise the nomination of
//! a peer-reflexive pair that it checked before (its log says "unknown nomination"); then it never
//! selects.

use std::net::SocketAddr;
use std::time::Duration;

use bradawl_benches::network::Candidate;
use rice_proto::agent::{Agent, AgentPoll};
use rice_proto::candidate::{Candidate as RiceCandidate, CandidateType, TransportType};
use rice_proto::stream::{Credentials as RiceCredentials, StreamMut};
use stun_proto::Instant;
use stun_proto::agent::Transmit;

use crate::contender::{Contender, Credentials, Entry, Role, Send, Setup};

pub(crate) const ENTRY: Entry = Entry {
    name: "rice-proto",
    start: |setup| Box::new(Rice::start(setup)),
    note: "controlled, it nominates too, which is and rtc-ice refuse",
};

/// The only one.
const COMPONENT: usize = 1;

struct Rice {
    agent: Agent,
    stream: usize,
    local: SocketAddr,
    credentials: Credentials,
    is_selected: bool,
}

impl Rice {
    fn start(setup: &Setup) -> Self {
        let mut agent = Agent::builder().controlling(setup.role == Role::Controlling).build();
        let stream = agent.add_stream();
        let credentials = super::credentials(&setup.seed);
        let mut this = Self { agent, stream, local: setup.local, credentials, is_selected: false };
        let own = RiceCredentials::new(this.credentials.ufrag.clone(), this.credentials.pwd.clone());
        let mut stream = this.stream();
        let component = stream.add_component().expect("the first");
        assert_eq!(component, COMPONENT);
        stream.set_local_credentials(own);
        stream.add_local_candidate(candidate(CandidateType::Host, setup.local));
        stream.end_of_local_candidates();
        this
    }

    fn stream(&mut self) -> StreamMut<'_> {
        self.agent.mut_stream(self.stream).expect("added at the start")
    }
}

fn candidate(kind: CandidateType, address: SocketAddr) -> RiceCandidate {
    RiceCandidate::builder(COMPONENT, kind, TransportType::Udp, "1", address).build()
}

impl Contender for Rice {
    fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    fn connect(&mut self, _now: Duration, remote: &Credentials, told: Candidate) {
        let kind = if told.is_reflexive { CandidateType::ServerReflexive } else { CandidateType::Host };
        let mut stream = self.stream();
        stream.set_remote_credentials(RiceCredentials::new(remote.ufrag.clone(), remote.pwd.clone()));
        stream.add_remote_candidate(candidate(kind, told.address));
        stream.end_of_remote_candidates();
    }

    fn handle_input(&mut self, now: Duration, from: SocketAddr, bytes: &[u8]) {
        let transmit = Transmit::new(bytes, TransportType::Udp, from, self.local);
        self.stream().handle_incoming_data(COMPONENT, transmit, Instant::ZERO + now);
    }

    fn poll(&mut self, now: Duration, send: &mut Send<'_>) -> Option<Duration> {
        let instant = Instant::ZERO + now;
        loop {
            let poll = self.agent.poll(instant);
            let mut is_quiet = true;
            while let Some(out) = self.agent.poll_transmit(instant) {
                send(out.transmit.to, &out.transmit.data);
                is_quiet = false;
            }
            match poll {
                AgentPoll::Closed => return None,
                AgentPoll::WaitUntil(at) if is_quiet => return Some(at.duration_since(Instant::ZERO)),
                AgentPoll::SelectedPair(_) => self.is_selected = true,
                _ => {}
            }
        }
    }

    fn is_selected(&self) -> bool {
        self.is_selected
    }
}
