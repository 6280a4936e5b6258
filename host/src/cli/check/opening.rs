//! Does the router open a port for us? It is asked for the port that will punch, as a program that
//! connects would ask, and what it opens is closed again as soon as that is known.

use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::portmap::{self, Config, MapError, MappingId, PortMapper, Protocol, Refusal};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::cli::nat::PortMapping;

/// How long a router is waited for when all else is known.
pub const PATIENCE: Duration = Duration::from_millis(1_500);

/// For how long a port is asked for. It is closed long before, unless somebody kills us.
const LEASE: Duration = Duration::from_secs(120);

/// The question, until the answer has been taken back again.
pub struct Opening {
    mapper: PortMapper,
    port: MappingId,
    /// When silence counts as an answer; it is not known before the rest is.
    until: Option<Instant>,
    is_answered: bool,
    /// Some router has said anything, so that there may be something to delete.
    has_router: bool,
    is_closed: bool,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A router's own address outside.
    Outside(IpAddr),
    /// Whether there is a port; said once.
    Answered(PortMapping),
    /// What was opened is closed again.
    Closed,
}

impl Opening {
    /// Asks `routers` for the port of the socket at `local`.
    pub fn new(
        now: Instant,
        local: SocketAddr,
        routers: Vec<IpAddr>,
        first_socket: SocketId,
        rng: Rng,
    ) -> Result<Self, MapError> {
        let mut config = Config::new(local, routers);
        config.local.set_port(0);
        (config.lifetime, config.igd_lease, config.watch) = (LEASE, LEASE, None);
        config.sockets = first_socket;
        let mut mapper = PortMapper::new(config, rng);
        let port = mapper.map(now, local.port(), Protocol::Udp, 0)?;
        Ok(Self { mapper, port, until: None, is_answered: false, has_router: false, is_closed: false })
    }

    /// All else is known: it has little time left.
    pub fn hurry(&mut self, now: Instant) {
        self.until.get_or_insert(now + PATIENCE);
    }

    /// What is known if nobody is waited for any more.
    pub fn so_far(&self) -> PortMapping {
        PortMapping::Refused(self.mapper.refusal(self.port).unwrap_or(Refusal::NoAnswer))
    }

    /// Takes back whatever there is.
    pub fn close(&mut self, now: Instant) {
        self.mapper.close(now);
    }

    /// Whether nothing is left in any router, as far as we can tell.
    pub fn is_closed(&self) -> bool {
        self.is_closed || !self.has_router
    }

    fn answer(&mut self, now: Instant, answer: PortMapping) -> Option<Event> {
        self.mapper.close(now);
        (!std::mem::replace(&mut self.is_answered, true)).then_some(Event::Answered(answer))
    }

    /// What there is to say of what the mapper says.
    fn hear(&mut self, now: Instant, event: portmap::Event) -> Option<Event> {
        match event {
            portmap::Event::Mapped(mapped)
            | portmap::Event::Renewed(mapped)
            | portmap::Event::Changed(mapped) => {
                self.has_router = true;
                self.answer(now, PortMapping::Open { via: mapped.via, external: mapped.external })
            }
            portmap::Event::Failed { reason, .. } => self.answer(now, PortMapping::Refused(reason)),
            portmap::Event::ExternalAddress { address, .. } => {
                self.has_router = true;
                Some(Event::Outside(address))
            }
            portmap::Event::Lost { .. } => None,
            portmap::Event::Closed => {
                self.is_closed = true;
                Some(Event::Closed)
            }
        }
    }
}

impl Machine for Opening {
    type Event = Event;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        self.mapper.handle_input(now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        self.mapper.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event> {
        if self.until.is_some_and(|until| until <= now)
            && let Some(event) = self.answer(now, self.so_far())
        {
            return Output::Event(event);
        }
        loop {
            return match self.mapper.poll_output(now, buf) {
                Output::Event(event) => match self.hear(now, event) {
                    Some(event) => Output::Event(event),
                    None => continue,
                },
                Output::Idle(wake) => {
                    let until = self.until.filter(|_| !self.is_answered);
                    Output::Idle(wake.into_iter().chain(until).min())
                }
                Output::Transmit { path, len, segment, ecn } => Output::Transmit { path, len, segment, ecn },
                Output::Host(request) => Output::Host(request),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bradawl::machine::{HostRequest, MIN_BUFFER};
    use bradawl::portmap::Via;

    const NOW: Instant = Instant::ZERO;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// One that has asked by PCP, and what it asked.
    fn asked() -> (Opening, Path, Vec<u8>) {
        let routers = vec![at("192.168.1.1:0").ip()];
        let rng = Rng::from_seed([1; 32]);
        let mut opening =
            Opening::new(NOW, at("192.168.1.7:5000"), routers, SocketId(9), rng).expect("begun");
        let mut buf = [0; MIN_BUFFER];
        let Output::Host(HostRequest::Bind { id: SocketId(9), .. }) = opening.poll_output(NOW, &mut buf)
        else {
            panic!("it wants a socket");
        };
        let result = Ok(at("192.168.1.7:40000"));
        opening.handle_host(NOW, HostInput::Bound { id: SocketId(9), result });
        let Output::Transmit { path, len, .. } = opening.poll_output(NOW, &mut buf) else {
            panic!("it asks")
        };
        (opening, path, buf[..len].to_vec())
    }

    fn granted(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[1] |= 0x80;
        answer[8..24].fill(0);
        answer[42..44].copy_from_slice(&61_000_u16.to_be_bytes());
        answer[44..].copy_from_slice(&std::net::Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped().octets());
        answer
    }

    /// What it says until it is idle, how many datagrams it sends, and when it wakes.
    fn drain(opening: &mut Opening, now: Instant) -> (Vec<Event>, Vec<Vec<u8>>, Option<Instant>) {
        let (mut events, mut sent, mut buf) = (Vec::new(), Vec::new(), [0; MIN_BUFFER]);
        loop {
            match opening.poll_output(now, &mut buf) {
                Output::Event(event) => events.push(event),
                Output::Transmit { len, .. } => sent.push(buf[..len].to_vec()),
                Output::Host(_) => {}
                Output::Idle(wake) => return (events, sent, wake),
            }
        }
    }

    #[test]
    fn what_is_opened_is_closed_at_once() {
        let (mut opening, path, request) = asked();
        assert_eq!(request[4..8], 120_u32.to_be_bytes(), "for two minutes");
        assert_eq!(request[40..42], 5_000_u16.to_be_bytes(), "the port that will punch");
        assert!(opening.is_closed(), "there is nothing yet");
        let _ = opening.handle_input(NOW, path, Meta::default(), &granted(&request));
        let (events, sent, _) = drain(&mut opening, NOW);
        let external = at("203.0.113.9:61000");
        let open = PortMapping::Open { via: Via::Pcp, external };
        assert_eq!(events, [Event::Outside(external.ip()), Event::Answered(open)]);
        assert_eq!((sent.len(), &sent[0][4..8]), (1, &[0; 4][..]), "it is deleted");
        assert!(!opening.is_closed());
        let mut deleted = granted(&sent[0]);
        deleted[4..8].fill(0);
        let _ = opening.handle_input(NOW, path, Meta::default(), &deleted);
        assert_eq!(drain(&mut opening, NOW), (vec![Event::Closed], vec![], None));
        assert!(opening.is_closed());
    }

    #[test]
    fn silence_is_an_answer_only_when_all_else_is_known() {
        let (mut opening, ..) = asked();
        let later = NOW + Duration::from_secs(8);
        assert_eq!(drain(&mut opening, later).0, []);
        opening.hurry(later);
        opening.hurry(later + Duration::from_secs(1));
        let (events, _, wake) = drain(&mut opening, later);
        assert_eq!(events, []);
        assert!(wake.is_some_and(|wake| wake <= later + PATIENCE), "{wake:?}");
        let (events, ..) = drain(&mut opening, later + PATIENCE);
        assert_eq!(events, [Event::Answered(PortMapping::Refused(Refusal::NoAnswer))]);
        assert!(opening.is_closed(), "nobody has to wait for who never said anything");
        opening.close(later + PATIENCE);
        let (events, ..) = drain(&mut opening, later + PATIENCE + Duration::from_secs(4));
        assert_eq!(events, [Event::Closed], "said once");
    }
}
