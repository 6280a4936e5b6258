//! A gatherer and an agent as one machine, and the datagrams that wait to be sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use bradawl::punch::gather::{self, Gatherer};
use bradawl::punch::{self, Agent, Candidate, Config, Credentials, Role};
use bradawl::rng::Rng;
use bradawl::time::Instant;

/// So many datagrams wait to be sent at most. One that is one too many is not taken, and an echo is lost.
pub const MAX_SENDING: usize = 512;

/// The composition.
pub struct Ice {
    gatherer: Gatherer,
    agent: Agent,
    rng: Rng,
    sending: VecDeque<Vec<u8>>,
    is_echoing: bool,
    /// What is to be said of a packet that was too big: how big it might have been.
    too_big: Option<Option<u16>>,
}

/// What it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// We can be reached there.
    Found(Candidate),
    /// There are no more candidates.
    Gathered,
    /// This path is used from now on, and whether it is we who decide.
    Selected(Path, Role),
    /// The path that was used is not any more.
    Lost,
    /// There is no path.
    Failed,
    /// A datagram was too big for its path. As packets of so many bytes are not, if that is known.
    TooBig(Option<u16>),
}

/// A datagram was not taken.
///
/// ```
/// use bradawl_host::cli::ice::NotSent;
/// assert_eq!(NotSent::NoPath.to_string(), "there is no path yet");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Nowhere to send it.
    #[error("there is no path yet")]
    NoPath,
    /// [`MAX_SENDING`] are waiting.
    #[error("too much is waiting to be sent")]
    TooMuch,
}

impl Ice {
    /// It gathers from its first poll on.
    pub fn new(locals: Vec<SocketAddr>, servers: Vec<SocketAddr>, role: Role, mut rng: Rng) -> Self {
        let config = Config { servers: servers.clone(), ..Config::default() };
        let gatherer = gather::Config { locals, servers, ..gather::Config::default() };
        let ours = Credentials::random(&mut rng);
        Self {
            gatherer: Gatherer::new(gatherer, rng.fork()),
            agent: Agent::new(config, ours, role, rng.fork()),
            rng,
            sending: VecDeque::new(),
            is_echoing: false,
            too_big: None,
        }
    }

    /// What arrives is sent back, too.
    #[must_use]
    pub fn echoing(self, is_echoing: bool) -> Self {
        Self { is_echoing, ..self }
    }

    /// The agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The agent, to tell it of the other end.
    pub fn agent_mut(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// Whether our own sockets are there: before that, the agent does not know what it can reach.
    pub fn is_open(&self) -> bool {
        self.gatherer.is_open()
    }

    /// What was found so far, and whether that is all.
    pub fn gathered(&self) -> (impl Iterator<Item = &Candidate>, bool) {
        (self.gatherer.found().iter().map(|(candidate, _)| candidate), self.gatherer.is_done())
    }

    /// Sends a datagram on the path that is used.
    pub fn send(&mut self, data: Vec<u8>) -> Result<(), NotSent> {
        if self.agent.selected().is_none() {
            return Err(NotSent::NoPath);
        }
        if self.sending.len() >= MAX_SENDING {
            return Err(NotSent::TooMuch);
        }
        self.sending.push_back(data);
        Ok(())
    }

    /// How many datagrams wait to be sent.
    pub fn sending(&self) -> usize {
        self.sending.len()
    }

    /// New credentials of ours. The other end is to be told again, and has to tell again.
    pub fn restart(&mut self, now: Instant) {
        let ours = Credentials::random(&mut self.rng);
        self.agent.restart(now, ours);
        // What the other end is told again is to be true still when it tries.
        self.gatherer.settle(now, false);
    }

    /// The end: sockets are closed, once it has been drained.
    pub fn close(&mut self, now: Instant) {
        self.agent.close(now);
        self.gatherer.close();
        self.sending.clear();
    }

    fn gathered_event(&mut self, now: Instant, event: gather::Event) -> Event {
        match event {
            gather::Event::Found { candidate, base } => {
                // One that it cannot use is told all the same: the other end may know better.
                let _ = self.agent.add_local(now, &candidate, base);
                if let Some(id) = self.gatherer.socket(base) {
                    self.agent.name_local(base, id);
                }
                Event::Found(candidate)
            }
            gather::Event::Done => Event::Gathered,
        }
    }

    /// What there is to tell of what the agent tells.
    fn punched_event(&mut self, now: Instant, event: &punch::Event) -> Option<Event> {
        match event {
            punch::Event::Selected(selected) => {
                self.gatherer.settle(now, true);
                Some(Event::Selected(selected.path, self.agent.role()))
            }
            // Who reads `controlling` in the last line is to believe it.
            punch::Event::RoleChanged(role) => {
                self.agent.selected().map(|selected| Event::Selected(selected.path, *role))
            }
            punch::Event::Lost { .. } => {
                self.gatherer.settle(now, false);
                Some(Event::Lost)
            }
            punch::Event::Failed(_) => Some(Event::Failed),
            // There is no mediator here, and `selected` says where the other end is.
            punch::Event::Tell(_) | punch::Event::Learned(_) => None,
        }
    }

    /// The next datagram, if there is one and a way for it.
    fn transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output<Event>> {
        while let Some(data) = self.sending.pop_front() {
            // What has no path is lost, as it might be on the way.
            let Some(path) = self.agent.transmit(now) else { continue };
            if let Some(room) = buf.get_mut(..data.len()) {
                room.copy_from_slice(&data);
                return Some(Output::Transmit { path, len: data.len(), segment: None, ecn: None });
            }
        }
        None
    }
}

impl Machine for Ice {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        let verdict = match self.gatherer.handle_input(now, path, meta, bytes) {
            Verdict::Unclaimed => self.agent.handle_input(now, path, meta, bytes),
            verdict => verdict,
        };
        if let Verdict::Deliver { body, .. } = &verdict
            && self.is_echoing
            && self.sending.len() < MAX_SENDING
        {
            self.sending.push_back(bytes[body.clone()].to_vec());
        }
        verdict
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        // Nothing is cut into fragments, and checks are small. Anybody can forge it: it is said, and no more.
        if let HostInput::TooBig { path, mtu } = input
            && self.agent.selected().is_some_and(|selected| selected.path == path)
        {
            self.too_big = Some(mtu);
        }
        // Each knows its own sockets.
        self.gatherer.handle_host(now, input);
        self.agent.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        if let Some(mtu) = self.too_big.take() {
            return Output::Event(Event::TooBig(mtu));
        }
        let gathering = match self.gatherer.poll_output(now, buf) {
            Output::Transmit { path, len, segment, ecn } => {
                return Output::Transmit { path, len, segment, ecn };
            }
            Output::Host(request) => return Output::Host(request),
            Output::Event(event) => return Output::Event(self.gathered_event(now, event)),
            Output::Idle(wake) => wake,
        };
        loop {
            match self.agent.poll_output(now, buf) {
                Output::Transmit { path, len, segment, ecn } => {
                    return Output::Transmit { path, len, segment, ecn };
                }
                Output::Host(request) => return Output::Host(request),
                Output::Event(event) => {
                    if let Some(event) = self.punched_event(now, &event) {
                        return Output::Event(event);
                    }
                }
                Output::Idle(punching) => {
                    // What is sent may change when the agent wants to be woken: it is asked again after.
                    let idle = Output::Idle(gathering.into_iter().chain(punching).min());
                    return self.transmit(now, buf).unwrap_or(idle);
                }
            }
        }
    }
}
