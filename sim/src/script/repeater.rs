//! A STUN client that asks again and again how it looks, with pauses of 1, 2, 4 … 64 seconds: whoever
//! forgets a mapping before its time is found out.

use core::net::SocketAddr;

use bradawl::machine::{
    HostInput, HostRequest, Interface, Machine, Meta, Output, Path, SocketId, Transport, Verdict,
};
use bradawl::rng::Rng;
use bradawl::stun::client::{Event, Request, StunClient};
use bradawl::time::{Duration, Instant};

use crate::trace::{Happened, Warrant};

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(64);

/// The repeater as a [`Machine`].
#[derive(Debug)]
pub struct Repeater {
    stun: StunClient,
    server: SocketAddr,
    /// The socket to be asked for, if it has not been.
    bind: Option<SocketAddr>,
    local: Option<SocketAddr>,
    next: Option<Instant>,
    pause: Duration,
    is_warranted: bool,
}

impl Repeater {
    /// On a host with these interfaces, asks `server`.
    pub fn new(interfaces: &[Interface], server: SocketAddr, rng: Rng) -> Self {
        let address = interfaces.iter().map(|interface| interface.address);
        let address = address.into_iter().find(|address| address.is_ipv4() == server.is_ipv4());
        Self {
            stun: StunClient::new(rng),
            server,
            bind: address.map(|ip| SocketAddr::new(ip, 0)),
            local: None,
            next: None,
            pause: Duration::from_secs(1),
            is_warranted: false,
        }
    }
}

impl Machine for Repeater {
    type Event = Happened;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        self.stun.handle_input(now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { result: Ok(local), .. } => {
                self.local = Some(local);
                self.next = Some(now);
            }
            HostInput::Interfaces(interfaces) => {
                // The old socket's address is gone, and what was asked from there is not answered any more.
                let address = interfaces.iter().map(|interface| interface.address);
                let mut address = address.filter(|address| address.is_ipv4() == self.server.is_ipv4());
                self.bind = address.next().map(|ip| SocketAddr::new(ip, 0));
                (self.local, self.next) = (None, None);
            }
            other => self.stun.handle_host(now, other),
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Happened> {
        if let Some(local) = self.bind.take() {
            return Output::Host(HostRequest::Bind { id: SocketId(0), transport: Transport::Udp, local });
        }
        if !core::mem::replace(&mut self.is_warranted, true) {
            return Output::Event(Happened::MaySend { to: self.server, why: Warrant::Server });
        }
        if let (Some(local), Some(next)) = (self.local, self.next)
            && next <= now
        {
            // It cannot be refused: there is one at a time, and the families agree.
            let _ = self.stun.request(now, Path::udp(local, self.server), Request::default());
            self.next = Some(now + self.pause);
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
        match self.stun.poll_output(now, buf) {
            // From a socket that is no more.
            Output::Transmit { path, .. } if Some(path.local) != self.local => self.poll_output(now, buf),
            Output::Transmit { path, len, segment, ecn } => Output::Transmit { path, len, segment, ecn },
            Output::Host(request) => Output::Host(request),
            Output::Event(Event::Answered(answer)) => Output::Event(Happened::SeenAs(answer.mapped)),
            Output::Event(Event::Failed { .. }) => {
                Output::Event(Happened::Failed("the server does not answer"))
            }
            Output::Idle(wake) => Output::Idle([wake, self.next].into_iter().flatten().min()),
        }
    }
}
