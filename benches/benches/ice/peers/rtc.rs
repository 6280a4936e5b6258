//! `rtc-ice`, the ICE agent of webrtc-rs.
//!
//! By default it does not nominate a server-reflexive candidate in the first 500 ms, nor a
//! peer-reflexive one in the first second; and it looks at its pairs every 200 ms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bradawl_benches::network::Candidate;
use rtc_ice::agent::Agent;
use rtc_ice::agent::agent_config::AgentConfig;
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::candidate::candidate_server_reflexive::CandidateServerReflexiveConfig;
use rtc_ice::candidate::{Candidate as RtcCandidate, CandidateConfig};
use rtc_ice::crypto;
use rtc_shared::{TransportContext, TransportMessage, TransportProtocol};
use sansio::Protocol;

use super::Clock;
use crate::contender::{Contender, Credentials, Entry, Role, Send, Setup};

pub(crate) const ENTRY: Entry = Entry {
    name: "rtc-ice",
    start: |setup| Box::new(Rtc::start(setup)),
    note: "nominates no server-reflexive pair before 500 ms, no peer-reflexive one before 1 s",
};

struct Rtc {
    agent: Agent,
    role: Role,
    local: SocketAddr,
    clock: Clock,
}

impl Rtc {
    fn start(setup: &Setup) -> Self {
        let Credentials { ufrag, pwd } = super::credentials(&setup.seed);
        let config = AgentConfig { local_ufrag: ufrag, local_pwd: pwd, ..AgentConfig::default() };
        let clock = Clock::new();
        let provider = crypto::default_provider().expect("there is one");
        let mut agent =
            Agent::new(clock.at(Duration::ZERO), Arc::new(config), provider).expect("a good configuration");
        agent.add_local_candidate(host(setup.local)).expect("a good address");
        Self { agent, role: setup.role, local: setup.local, clock }
    }
}

fn base(address: SocketAddr) -> CandidateConfig {
    CandidateConfig {
        network: "udp".to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..CandidateConfig::default()
    }
}

fn host(address: SocketAddr) -> RtcCandidate {
    let config = CandidateHostConfig { base_config: base(address), ..CandidateHostConfig::default() };
    config.new_candidate_host().expect("a good address")
}

fn server_reflexive(address: SocketAddr) -> RtcCandidate {
    let config = CandidateServerReflexiveConfig {
        base_config: base(address),
        ..CandidateServerReflexiveConfig::default()
    };
    config.new_candidate_server_reflexive().expect("a good address")
}

impl Contender for Rtc {
    fn credentials(&self) -> Credentials {
        let own = self.agent.get_local_credentials();
        Credentials { ufrag: own.ufrag.clone(), pwd: own.pwd.clone() }
    }

    fn connect(&mut self, now: Duration, remote: &Credentials, told: Candidate) {
        let candidate = if told.is_reflexive { server_reflexive(told.address) } else { host(told.address) };
        self.agent.add_remote_candidate(candidate).expect("a good address");
        let Credentials { ufrag, pwd } = remote.clone();
        let is_controlling = self.role == Role::Controlling;
        self.agent
            .start_connectivity_checks(self.clock.at(now), is_controlling, ufrag, pwd)
            .expect("good credentials");
    }

    fn handle_input(&mut self, now: Duration, from: SocketAddr, bytes: &[u8]) {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: from,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        // What it refuses it refuses: a user of it would log that.
        let _ = self.agent.handle_read(TransportMessage {
            now: self.clock.at(now),
            transport,
            message: bytes.into(),
        });
    }

    fn poll(&mut self, now: Duration, send: &mut Send<'_>) -> Option<Duration> {
        let due = self.agent.poll_timeout().map(|at| self.clock.since(at));
        if due.is_some_and(|at| at <= now) {
            let _ = self.agent.handle_timeout(self.clock.at(now));
        }
        while let Some(out) = self.agent.poll_write() {
            send(out.transport.peer_addr, &out.message);
        }
        while self.agent.poll_event().is_some() {}
        self.agent.poll_timeout().map(|at| self.clock.since(at))
    }

    fn is_selected(&self) -> bool {
        self.agent.get_selected_candidate_pair().is_some()
    }
}
