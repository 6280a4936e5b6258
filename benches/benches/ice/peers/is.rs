//! `is`, the ICE agent of str0m.
//!
//! Driven as str0m drives it: told the time after every datagram as well as when it asked. Its
//! controlling side sends on the first pair that is valid and nominates it with the next check.

use std::net::SocketAddr;
use std::time::Duration;

use ::is::stun::{StunMessage, StunPacket};
use ::is::{Candidate as IsCandidate, IceAgent, IceAgentEvent, IceCreds, Protocol};
use bradawl_benches::network::Candidate;

use super::Clock;
use crate::contender::{Contender, Credentials, Entry, Role, Send, Setup};

pub(crate) const ENTRY: Entry = Entry { name: "is", start: |setup| Box::new(Is::start(setup)), note: "" };

struct Is {
    agent: IceAgent,
    local: SocketAddr,
    clock: Clock,
    is_selected: bool,
}

impl Is {
    fn start(setup: &Setup) -> Self {
        let Credentials { ufrag, pwd } = super::credentials(&setup.seed);
        let mut agent = IceAgent::new(IceCreds { ufrag, pass: pwd });
        agent.set_controlling(setup.role == Role::Controlling);
        let host = IsCandidate::host(setup.local, "udp").expect("a good address");
        agent.add_local_candidate(host);
        Self { agent, local: setup.local, clock: Clock::new(), is_selected: false }
    }
}

impl Contender for Is {
    fn credentials(&self) -> Credentials {
        let IceCreds { ufrag, pass } = self.agent.local_credentials().clone();
        Credentials { ufrag, pwd: pass }
    }

    fn connect(&mut self, now: Duration, remote: &Credentials, candidate: Candidate) {
        let Candidate { address, is_reflexive } = candidate;
        let Credentials { ufrag, pwd } = remote.clone();
        self.agent.set_remote_credentials(IceCreds { ufrag, pass: pwd });
        let candidate = if is_reflexive {
            IsCandidate::server_reflexive(address, address, "udp")
        } else {
            IsCandidate::host(address, "udp")
        };
        self.agent.add_remote_candidate(candidate.expect("a good address"));
        self.agent.handle_timeout(self.clock.at(now));
    }

    fn handle_input(&mut self, now: Duration, from: SocketAddr, bytes: &[u8]) {
        let Ok(message) = StunMessage::parse(bytes) else { return };
        let now = self.clock.at(now);
        let packet = StunPacket { proto: Protocol::Udp, source: from, destination: self.local, message };
        self.agent.handle_packet(now, packet);
        self.agent.handle_timeout(now);
    }

    fn poll(&mut self, now: Duration, send: &mut Send<'_>) -> Option<Duration> {
        loop {
            while let Some(transmit) = self.agent.poll_transmit() {
                send(transmit.destination, &transmit.contents);
            }
            while let Some(event) = self.agent.poll_event() {
                self.is_selected |= matches!(event, IceAgentEvent::NominatedSend { .. });
            }
            let wake = self.clock.since(self.agent.poll_timeout()?);
            if wake > now {
                return Some(wake);
            }
            self.agent.handle_timeout(self.clock.at(now));
        }
    }

    fn is_selected(&self) -> bool {
        self.is_selected
    }
}
