//! One machine of several: who asks each server, who looks at the NAT over each address family, and who
//! asks the router to open a port.
//!
//! A datagram is offered to one after the other until somebody claims it. What the host says of a socket
//! goes to whoever asked for it; everything else concerns all.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use bradawl::discovery::{self, Discovery};
use bradawl::machine::{HostInput, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::portmap::SOCKET_IDS;
use bradawl::rng::Rng;
use bradawl::stun::client::{self, StunClient};
use bradawl::time::Instant;

use super::asker::Asker;
use super::opening::{self, Opening};
use crate::cli::nat::Family;

/// The composition. `D` looks at a NAT.
pub struct Survey<D> {
    asker: Asker,
    lookers: Vec<Looker<D>>,
    opening: Option<(Range<u32>, Opening)>,
    /// The first name of a socket that nobody has.
    unnamed: u32,
    rng: Rng,
}

/// Somebody who looks at a NAT.
pub trait Look: Machine {
    /// A router says that this is its address outside.
    fn heard_router(&mut self, outside: IpAddr);

    /// Whether an event says that it knows what can be known in a few seconds.
    fn is_known(event: &Self::Event) -> bool;
}

impl Look for Discovery {
    fn heard_router(&mut self, outside: IpAddr) {
        Self::heard_router(self, outside);
    }

    fn is_known(event: &discovery::Event) -> bool {
        matches!(event, discovery::Event::Known | discovery::Event::Finished)
    }
}

struct Looker<D> {
    family: Family,
    /// The names of its sockets.
    sockets: Range<u32>,
    machine: D,
}

/// What it says.
#[derive(Clone, Debug)]
pub enum Event<E> {
    /// A server has answered, or has not.
    Asked(client::Event),
    /// About the NAT, over that family.
    Looked(Family, E),
    /// About a port of the router.
    Opening(opening::Event),
}

impl<D> Survey<D> {
    /// Nobody is asked yet, and nobody looks.
    pub fn new(mut rng: Rng) -> Self {
        let asker = Asker::new(StunClient::new(rng.fork()));
        Self { asker, lookers: Vec::new(), opening: None, unnamed: 0, rng }
    }

    /// Who asks servers.
    pub fn asker_mut(&mut self) -> &mut Asker {
        &mut self.asker
    }

    /// From now on that one, too, looks over that family; it has as many names of sockets from the
    /// first one on.
    pub fn look(&mut self, family: Family, sockets: u32, make: impl FnOnce(SocketId, Rng) -> D) {
        let sockets = self.name(sockets);
        let machine = make(SocketId(sockets.start), self.rng.fork());
        self.lookers.push(Looker { family, sockets, machine });
    }

    /// From now on a router is asked for a port, over IPv4.
    pub fn open<E>(&mut self, make: impl FnOnce(SocketId, Rng) -> Result<Opening, E>) -> Result<(), E> {
        let sockets = self.name(SOCKET_IDS);
        let opening = make(SocketId(sockets.start), self.rng.fork())?;
        self.opening = Some((sockets, opening));
        Ok(())
    }

    /// Who asks the router for a port, if anybody does.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref().map(|(_, opening)| opening)
    }

    /// The same, to have it end.
    pub fn opening_mut(&mut self) -> Option<&mut Opening> {
        self.opening.as_mut().map(|(_, opening)| opening)
    }

    /// So many names for sockets that nobody else has.
    fn name(&mut self, sockets: u32) -> Range<u32> {
        let first = self.unnamed;
        self.unnamed += sockets;
        first..self.unnamed
    }

    /// Those who look.
    pub fn lookers(&self) -> impl Iterator<Item = (Family, &D)> {
        self.lookers.iter().map(|looker| (looker.family, &looker.machine))
    }
}

impl<D: Machine> Survey<D> {
    fn over(&mut self, local: SocketAddr) -> impl Iterator<Item = &mut D> {
        let family = Family::of(local);
        self.lookers.iter_mut().filter(move |one| one.family == family).map(|one| &mut one.machine)
    }
}

impl<D: Look> Machine for Survey<D> {
    type Event = Event<D::Event>;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        let verdict = self.asker.handle_input(now, path, meta, bytes);
        if verdict != Verdict::Unclaimed {
            return verdict;
        }
        let claimed = self
            .over(path.local)
            .map(|looker| looker.handle_input(now, path, meta, bytes))
            .find(|verdict| *verdict != Verdict::Unclaimed);
        match (claimed, self.opening_mut()) {
            (Some(verdict), _) => verdict,
            (None, Some(opening)) => opening.handle_input(now, path, meta, bytes),
            (None, None) => Verdict::Unclaimed,
        }
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Bound { id, .. } | HostInput::Connected { id, .. } | HostInput::Closed { id } => {
                if let Some(owner) = self.lookers.iter_mut().find(|one| one.sockets.contains(&id.0)) {
                    owner.machine.handle_host(now, input);
                } else if let Some((sockets, opening)) = &mut self.opening
                    && sockets.contains(&id.0)
                {
                    opening.handle_host(now, input);
                }
            }
            HostInput::Unreachable { path, .. } | HostInput::TooBig { path, .. } => {
                self.asker.handle_host(now, input);
                self.over(path.local).for_each(|looker| looker.handle_host(now, input));
                self.opening_mut().into_iter().for_each(|opening| opening.handle_host(now, input));
            }
            _ => {
                self.asker.handle_host(now, input);
                self.lookers.iter_mut().for_each(|looker| looker.machine.handle_host(now, input));
                self.opening_mut().into_iter().for_each(|opening| opening.handle_host(now, input));
            }
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Self::Event> {
        let mut wake = match renamed(self.asker.poll_output(now, buf), Event::Asked) {
            Output::Idle(wake) => wake,
            busy => return busy,
        };
        for Looker { family, machine, .. } in &mut self.lookers {
            let output = machine.poll_output(now, buf);
            if let (Output::Event(event), Family::Ipv4, Some((_, opening))) =
                (&output, *family, &mut self.opening)
                && D::is_known(event)
            {
                opening.hurry(now);
            }
            match renamed(output, |event| Event::Looked(*family, event)) {
                Output::Idle(other) => wake = wake.into_iter().chain(other).min(),
                busy => return busy,
            }
        }
        let Some(opening) = self.opening_mut() else { return Output::Idle(wake) };
        match renamed(opening.poll_output(now, buf), Event::Opening) {
            Output::Idle(other) => Output::Idle(wake.into_iter().chain(other).min()),
            busy => {
                if let Output::Event(Event::Opening(opening::Event::Outside(address))) = busy {
                    let v4 = self.lookers.iter_mut().filter(|looker| looker.family == Family::Ipv4);
                    v4.for_each(|looker| looker.machine.heard_router(address));
                }
                busy
            }
        }
    }
}

/// A child's output as its parent's.
fn renamed<A, B>(output: Output<A>, name: impl FnOnce(A) -> B) -> Output<B> {
    match output {
        Output::Transmit { path, len, segment, ecn } => Output::Transmit { path, len, segment, ecn },
        Output::Host(request) => Output::Host(request),
        Output::Event(event) => Output::Event(name(event)),
        Output::Idle(wake) => Output::Idle(wake),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bradawl::machine::{BindError, HostRequest, MIN_BUFFER, Transport, Unreachable};
    use bradawl::stun::client::Request;
    use bradawl::time::Duration;

    /// Wants one socket, claims what begins as it says, wakes when it says, and tells what it heard.
    struct Fake {
        id: SocketId,
        claims: u8,
        wake: Instant,
        asked: bool,
        heard: Vec<String>,
    }

    impl Machine for Fake {
        type Event = String;

        fn handle_input(&mut self, _: Instant, _: Path, _: Meta, bytes: &[u8]) -> Verdict {
            if bytes.first() != Some(&self.claims) {
                return Verdict::Unclaimed;
            }
            self.heard.push("datagram".to_owned());
            Verdict::Consumed
        }

        fn handle_host(&mut self, _: Instant, input: HostInput<'_>) {
            self.heard.push(match input {
                HostInput::Bound { id, .. } => format!("bound {}", id.0),
                HostInput::Unreachable { .. } => "unreachable".to_owned(),
                _ => "other".to_owned(),
            });
        }

        fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<String> {
            if !std::mem::replace(&mut self.asked, true) {
                let local = "192.0.2.1:0".parse().expect("an address");
                return Output::Host(HostRequest::Bind { id: self.id, transport: Transport::Udp, local });
            }
            self.heard.pop().map_or(Output::Idle(Some(self.wake)), Output::Event)
        }
    }

    impl Look for Fake {
        fn heard_router(&mut self, outside: IpAddr) {
            self.heard.push(format!("router {outside}"));
        }

        fn is_known(event: &String) -> bool {
            event == "datagram"
        }
    }

    const NOW: Instant = Instant::ZERO;

    fn survey() -> Survey<Fake> {
        let mut survey = Survey::new(Rng::from_seed([1; 32]));
        for (family, claims, wake) in [(Family::Ipv4, b'4', 9), (Family::Ipv6, b'6', 7)] {
            let wake = Instant::ZERO + Duration::from_secs(wake);
            survey.look(family, 5, |id, _| Fake { id, claims, wake, asked: false, heard: Vec::new() });
        }
        survey
    }

    /// What it says until it is idle, and until when that is.
    fn drain(survey: &mut Survey<Fake>) -> (Vec<String>, Option<Instant>) {
        let (mut said, mut buf) = (Vec::new(), [0; MIN_BUFFER]);
        loop {
            said.push(match survey.poll_output(NOW, &mut buf) {
                Output::Transmit { .. } => "transmit".to_owned(),
                Output::Host(HostRequest::Bind { id, .. }) => format!("bind {}", id.0),
                Output::Host(_) => "request".to_owned(),
                Output::Event(Event::Looked(family, event)) => format!("{} {event}", family.name()),
                Output::Event(Event::Asked(_)) => "asked".to_owned(),
                Output::Event(Event::Opening(event)) => format!("{event:?}"),
                Output::Idle(wake) => return (said, wake),
            });
        }
    }

    fn path(local: &str, remote: &str) -> Path {
        Path::udp(local.parse().expect("an address"), remote.parse().expect("an address"))
    }

    #[test]
    fn each_has_sockets_of_its_own() {
        let mut survey = survey();
        assert_eq!(drain(&mut survey).0, ["bind 0", "bind 5"]);
        for (id, expected) in [(4, &["ipv4 bound 4"][..]), (5, &["ipv6 bound 5"]), (10, &[])] {
            let result = Err(BindError::Other);
            survey.handle_host(NOW, HostInput::Bound { id: SocketId(id), result });
            assert_eq!(drain(&mut survey).0, expected);
        }
    }

    #[test]
    fn a_datagram_goes_to_who_claims_it_over_its_family() {
        let mut survey = survey();
        drain(&mut survey);
        let v4 = path("192.0.2.1:1", "198.51.100.1:3478");
        let v6 = path("[2001:db8::1]:1", "[2001:db8::2]:3478");
        for (path, bytes, expected) in
            [(v4, b"4", Some("ipv4 datagram")), (v6, b"6", Some("ipv6 datagram")), (v4, b"6", None)]
        {
            let verdict = survey.handle_input(NOW, path, Meta::default(), bytes);
            assert_eq!(verdict == Verdict::Consumed, expected.is_some());
            assert_eq!(drain(&mut survey).0.first().map(String::as_str), expected);
        }
        survey.handle_host(NOW, HostInput::Unreachable { path: v6, kind: Unreachable::Port });
        assert_eq!(drain(&mut survey).0, ["ipv6 unreachable"]);
        survey.handle_host(NOW, HostInput::ClockJumped(Duration::from_secs(11)));
        assert_eq!(drain(&mut survey).0, ["ipv4 other", "ipv6 other"]);
    }

    #[test]
    fn who_looks_over_ipv4_hears_what_the_router_says_and_has_it_hurry() {
        let mut survey = survey();
        drain(&mut survey);
        let (ours, router) = ("192.168.1.7:5000", "192.168.1.1:5351");
        let punching: SocketAddr = ours.parse().expect("an address");
        let gateway: SocketAddr = router.parse().expect("an address");
        let open = |id, rng| Opening::new(NOW, punching, vec![gateway.ip()], id, rng);
        survey.open(open).expect("begun");
        assert_eq!(drain(&mut survey).0, ["bind 10"]);
        let local: SocketAddr = "192.168.1.7:40000".parse().expect("an address");
        survey.handle_host(NOW, HostInput::Bound { id: SocketId(10), result: Ok(local) });
        assert_eq!(drain(&mut survey).0, ["transmit"]);
        // What is known ends the patience.
        let v4 = path("192.0.2.1:1", "198.51.100.1:3478");
        let _ = survey.handle_input(NOW, v4, Meta::default(), b"4");
        let (said, wake) = drain(&mut survey);
        assert_eq!(said[0], "ipv4 datagram");
        assert!(wake.is_some_and(|wake| wake <= NOW + opening::PATIENCE), "{wake:?}");
        // A router without PCP, with NAT-PMP, and its address.
        let there = path("192.168.1.7:40000", router);
        let no_pcp = [0, 0x81, 0, 1, 0, 0, 0, 9];
        assert_eq!(survey.handle_input(NOW, there, Meta::default(), &no_pcp), Verdict::Consumed);
        assert_eq!(drain(&mut survey).0, ["transmit", "transmit"]);
        let outside = [0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9];
        assert_eq!(survey.handle_input(NOW, there, Meta::default(), &outside), Verdict::Consumed);
        assert_eq!(drain(&mut survey).0, ["Outside(203.0.113.9)", "ipv4 router 203.0.113.9"]);
    }

    #[test]
    fn it_wakes_for_whoever_is_first() {
        let mut survey = survey();
        assert_eq!(drain(&mut survey).1, Some(Instant::ZERO + Duration::from_secs(7)));
        let there = path("192.0.2.1:2", "198.51.100.1:3478");
        survey.asker_mut().ask(NOW, there, Request::default()).expect("asked");
        let (said, wake) = drain(&mut survey);
        assert_eq!(said, ["transmit"]);
        assert!(wake.is_some_and(|wake| wake > NOW && wake < Instant::ZERO + Duration::from_secs(7)));
    }
}
