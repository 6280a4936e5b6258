//! Gathering with real STUN servers in memory, behind NATs that the test plays.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bradawl::machine::{
    BindError, HostInput, HostRequest, Interface, MIN_BUFFER, Machine, Meta, Output, Path, SocketId, Verdict,
};
use bradawl::punch::gather::{
    AGAIN, Config, Counters, Event, Gatherer, MAX_CANDIDATES, MAX_LOCALS, MAX_SERVERS, PACE, locals,
};
use bradawl::punch::{Candidate, Kind};
use bradawl::rng::Rng;
use bradawl::stun::server::{self, StunServer};
use bradawl::time::{Duration, Instant};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| address(text)).collect()
}

/// What a NAT makes of one of our addresses toward a server; nothing: the packet is lost.
type Nat = fn(SocketAddr, SocketAddr) -> Option<SocketAddr>;

const OPEN: Nat = |local, _| Some(local);
const LOST: Nat = |_, _| None;

/// One public address for the inside port, for IPv4.
const HOME: Nat = |local, _| {
    let public = SocketAddr::new("203.0.113.9".parse().expect("an address"), local.port());
    Some(if local.is_ipv4() { public } else { local })
};

/// Another port for each server.
const SYMMETRIC: Nat = |local, server| {
    let last = server.to_string().bytes().map(u16::from).sum::<u16>();
    Some(SocketAddr::new("203.0.113.9".parse().expect("an address"), local.port() + 1_000 + last))
};

struct World {
    gatherer: Gatherer,
    now: Instant,
    nat: Nat,
    server: StunServer,
    /// What is to be answered, and when it arrives.
    in_flight: BTreeMap<(Instant, usize), (Path, Vec<u8>)>,
    /// To whom and when each packet was sent.
    sent: Vec<(Instant, Path)>,
    opened: Vec<SocketId>,
    closed: Vec<SocketId>,
    told: Vec<(Instant, Event)>,
    refuses: Option<SocketAddr>,
}

impl World {
    fn new(locals: &[&str], servers: &[&str], nat: Nat) -> Self {
        let config =
            Config { locals: addresses(locals), servers: addresses(servers), first_socket: SocketId(70) };
        Self {
            gatherer: Gatherer::new(config, Rng::from_seed([5; 32])),
            now: Instant::from_micros(1_000_000),
            nat,
            server: StunServer::new(server::Config::default(), Rng::from_seed([6; 32])),
            in_flight: BTreeMap::new(),
            sent: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            told: Vec::new(),
            refuses: None,
        }
    }

    fn answer(&mut self, path: Path, request: &[u8]) {
        self.sent.push((self.now, path));
        let Some(seen) = (self.nat)(path.local, path.remote) else { return };
        let there = Path::udp(path.remote, seen);
        let _ = self.server.handle_input(self.now, there, Meta::default(), request);
        let mut buf = [0; MIN_BUFFER];
        while let Output::Transmit { len, .. } = self.server.poll_output(self.now, &mut buf) {
            let arrives = (self.now + Duration::from_millis(30), self.sent.len());
            self.in_flight.insert(arrives, (path, buf[..len].to_vec()));
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        let mut buf = [0; MIN_BUFFER];
        for _ in 0..1_000 {
            match self.gatherer.poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => self.answer(path, &buf[..len]),
                Output::Event(event) => self.told.push((self.now, event)),
                Output::Host(HostRequest::Bind { id, mut local, .. }) => {
                    self.opened.push(id);
                    local.set_port(50_000 + id.0 as u16);
                    let is_refused = self.refuses.is_some_and(|refused| refused.ip() == local.ip());
                    let result = if is_refused { Err(BindError::NotOurs) } else { Ok(local) };
                    self.gatherer.handle_host(self.now, HostInput::Bound { id, result });
                }
                Output::Host(HostRequest::Close { id }) => self.closed.push(id),
                Output::Host(request) => panic!("{request:?}"),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "woken at once again");
                    return wake;
                }
            }
        }
        panic!("it never rests");
    }

    /// Lets this much time pass.
    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let wake = self.drain();
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let Some(next) = wake.into_iter().chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = next;
            if arrival == Some(next) {
                let (_, (path, bytes)) = self.in_flight.pop_first().expect("there is one");
                let verdict = self.gatherer.handle_input(self.now, path, Meta::default(), &bytes);
                assert_eq!(verdict, Verdict::Consumed);
            }
        }
        self.now = end;
    }

    fn found(&self) -> Vec<Candidate> {
        let candidate = |(_, event): &(Instant, Event)| match event {
            Event::Found { candidate, .. } => Some(candidate.clone()),
            Event::Done => None,
        };
        self.told.iter().filter_map(candidate).collect()
    }

    /// When it was done, counted from the start.
    fn done_after(&self) -> Option<Duration> {
        let mut done = self.told.iter().filter(|(_, event)| *event == Event::Done);
        let after = done.next().map(|(at, _)| at.since(Instant::from_micros(1_000_000)));
        assert!(done.next().is_none(), "said once");
        after
    }
}

fn of(found: &[Candidate], kind: Kind) -> Vec<String> {
    found.iter().filter(|one| one.kind == kind).map(|one| one.address.to_string()).collect()
}

#[test]
fn both_families_behind_a_home_router() {
    let servers = ["198.51.100.1:3478", "[2001:db8::53]:3478"];
    let mut world = World::new(&["[2001:db8::7]:0", "192.168.1.7:0"], &servers, HOME);
    world.run(Duration::from_secs(2));
    let found = world.found();
    assert_eq!(of(&found, Kind::Host), ["[2001:db8::7]:50070", "192.168.1.7:50071"]);
    assert_eq!(of(&found, Kind::ServerReflexive), ["203.0.113.9:50071"], "IPv6 is seen as it is");
    assert_eq!(found[2].related, Some(address("192.168.1.7:50071")));
    let priorities: Vec<_> = found.iter().map(|one| one.priority).collect();
    assert!(priorities.is_sorted_by(|a, b| a > b), "{priorities:?}");
    assert_eq!(*world.gatherer.counters(), Counters { redundant: 1, ..Counters::default() });
    let done = world.done_after().expect("done");
    assert!(done < Duration::from_millis(100), "{done:?}");
    assert!(world.gatherer.is_done() && world.gatherer.found().len() == 3);
}

#[test]
fn who_needs_no_server_is_done_at_once() {
    let mut world = World::new(&["192.168.1.7:0"], &[], OPEN);
    assert_eq!(world.drain(), None);
    assert_eq!((world.found().len(), world.done_after()), (1, Some(Duration::ZERO)));
    // Nor does who could not ask any.
    let mut world = World::new(&["192.168.1.7:0", "127.0.0.1:0"], &["[2001:db8::53]:3478"], OPEN);
    assert_eq!(world.drain(), None);
    assert!(world.sent.is_empty() && world.done_after().is_some());
}

#[test]
fn servers_in_the_world_are_not_asked_from_loopback_nor_the_other_way_round() {
    let both = ["127.0.0.1:3478", "198.51.100.1:3478"];
    let mut world = World::new(&["127.0.0.1:0", "192.168.1.7:0"], &both, HOME);
    world.run(Duration::from_secs(1));
    let asked: Vec<_> = world.sent.iter().map(|(_, path)| (path.local.ip(), path.remote.ip())).collect();
    let expected = [("127.0.0.1", "127.0.0.1"), ("192.168.1.7", "198.51.100.1")];
    assert_eq!(asked, expected.map(|(a, b)| (a.parse().expect("ours"), b.parse().expect("theirs"))));
    // A server on this host may see us anywhere. It says where the test's NAT has put us.
    assert_eq!(of(&world.found(), Kind::ServerReflexive), ["203.0.113.9:50070", "203.0.113.9:50071"]);
}

#[test]
fn two_servers_that_see_the_same_are_one_candidate_and_a_symmetric_nat_has_two() {
    let servers = ["198.51.100.1:3478", "198.51.100.2:3478"];
    for (nat, count, redundant) in [(HOME, 1, 1), (SYMMETRIC, 2, 0)] {
        let mut world = World::new(&["192.168.1.7:0"], &servers, nat);
        world.run(Duration::from_secs(1));
        let found = world.found();
        assert_eq!(of(&found, Kind::ServerReflexive).len(), count);
        assert_eq!(world.gatherer.counters().redundant, redundant);
        let mut priorities: Vec<_> = found.iter().map(|one| one.priority).collect();
        priorities.dedup();
        assert_eq!(priorities.len(), count + 1, "each has one of its own");
    }
}

#[test]
fn questions_are_paced_and_the_first_server_comes_first() {
    let servers = ["198.51.100.1:3478", "198.51.100.2:3478"];
    let mut world = World::new(&["192.168.1.7:0", "10.0.0.7:0"], &servers, HOME);
    world.run(Duration::from_millis(400));
    let [times, asked]: [Vec<String>; 2] = [
        world.sent.windows(2).map(|two| format!("{:?}", two[1].0.since(two[0].0))).collect(),
        world.sent.iter().map(|(_, path)| format!("{} {}", path.local.ip(), path.remote.ip())).collect(),
    ];
    assert_eq!(times, vec![format!("{PACE:?}"); 3]);
    assert_eq!(
        asked,
        [
            "192.168.1.7 198.51.100.1",
            "10.0.0.7 198.51.100.1",
            "192.168.1.7 198.51.100.2",
            "10.0.0.7 198.51.100.2"
        ]
    );
}

#[test]
fn silent_servers_and_foreign_addresses_are_counted_and_end() {
    let mut world = World::new(&["192.168.1.7:0", "192.0.2.66:0"], &["198.51.100.1:3478"], LOST);
    world.refuses = Some(address("192.0.2.66:0"));
    world.run(Duration::from_secs(6));
    assert_eq!(of(&world.found(), Kind::Host), ["192.168.1.7:50070"]);
    assert_eq!(world.done_after(), Some(Duration::from_secs(5)));
    let counters = Counters { unbound: 1, unanswered: 1, ..Counters::default() };
    assert_eq!(*world.gatherer.counters(), counters);
}

#[test]
fn a_server_far_away_does_not_name_what_is_near() {
    const LIAR: Nat = |_, _| Some(SocketAddr::new("192.168.1.1".parse().expect("an address"), 5_000));
    let mut world = World::new(&["192.168.1.7:0"], &["198.51.100.1:3478"], LIAR);
    world.run(Duration::from_secs(1));
    assert_eq!(of(&world.found(), Kind::ServerReflexive).len(), 0);
    assert_eq!(world.gatherer.counters().refused, 1);
    assert!(world.done_after().is_some());
}

#[test]
fn there_are_never_too_many() {
    let locals: Vec<_> = (0..30).map(|host| format!("10.0.0.{host}:0")).collect();
    let servers: Vec<_> = (1..30).map(|host| format!("198.51.100.{host}:3478")).collect();
    let [locals, servers] = [&locals, &servers].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut world = World::new(&locals, &servers, SYMMETRIC);
    world.run(Duration::from_secs(3));
    assert_eq!(world.opened.len(), MAX_LOCALS);
    assert_eq!(world.sent.len(), MAX_LOCALS * MAX_SERVERS);
    assert_eq!(world.found().len(), MAX_CANDIDATES);
    let left_out = MAX_LOCALS * MAX_SERVERS - (MAX_CANDIDATES - MAX_LOCALS);
    assert_eq!(world.gatherer.counters().refused as usize, left_out);
    assert!(world.done_after().is_some());
}

#[test]
fn a_mapping_is_kept_until_a_path_is_in_use() {
    let mut world = World::new(&["192.168.1.7:0"], &["198.51.100.1:3478"], HOME);
    world.run(Duration::from_secs(1));
    assert_eq!(world.sent.len(), 1);
    world.run(4 * AGAIN);
    assert_eq!(world.sent.len(), 5);
    assert_eq!(world.told.len(), 3, "and says nothing of it");
    // The NAT has forgotten us, and remembers something else now: that is told, without another end.
    world.nat = SYMMETRIC;
    world.run(AGAIN);
    assert_eq!(of(&world.found(), Kind::ServerReflexive).len(), 2);
    world.done_after();

    let now = world.now;
    world.gatherer.settle(now, true);
    world.run(10 * AGAIN);
    assert_eq!(world.sent.len(), 6, "the path keeps itself");
    let now = world.now;
    world.gatherer.settle(now, false);
    world.run(Duration::from_secs(1));
    assert_eq!(world.sent.len(), 7, "it is gone: at once again");
}

#[test]
fn closing_gives_back_every_socket_and_says_nothing_more() {
    let mut world = World::new(&["192.168.1.7:0", "10.0.0.7:0"], &["198.51.100.1:3478"], LOST);
    world.run(Duration::from_millis(10));
    let told = world.told.len();
    world.gatherer.close();
    world.run(Duration::from_secs(100));
    assert_eq!(world.closed, world.opened);
    assert_eq!(world.told.len(), told);

    // One that the host opens only now is not kept either.
    let mut world = World::new(&["192.168.1.7:0"], &[], OPEN);
    world.gatherer.close();
    world.run(Duration::from_secs(1));
    assert_eq!((world.opened.len(), world.closed.len(), world.told.len()), (1, 1, 0));
}

#[test]
fn of_the_interfaces_those_that_others_can_reach() {
    let interfaces = |texts: &[&str]| -> Vec<Interface> {
        let interface =
            |text: &&str| Interface { index: 7, address: text.parse().expect("an address"), prefix_len: 24 };
        texts.iter().map(interface).collect()
    };
    let all =
        interfaces(&["127.0.0.1", "fe80::1", "169.254.3.4", "192.168.1.7", "fd00::7", "::1", "0.0.0.0"]);
    assert_eq!(locals(&all), addresses(&["[fd00::7]:0", "192.168.1.7:0"]));
    // Two laptops and a cable.
    let cable = interfaces(&["127.0.0.1", "fe80::1", "169.254.3.4"]);
    assert_eq!(locals(&cable), addresses(&["[fe80::1%7]:0", "169.254.3.4:0"]));
    assert_eq!(locals(&interfaces(&["127.0.0.1", "::1"])), []);
    // The families take turns.
    let many = interfaces(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]);
    assert_eq!(locals(&many), addresses(&["[fd00::1]:0", "10.0.0.1:0", "10.0.0.2:0", "10.0.0.3:0"]));
    let many = interfaces(&["10.0.0.1", "fd00::1", "fd00::2", "fd00::3"]);
    assert_eq!(locals(&many), addresses(&["[fd00::1]:0", "[fd00::2]:0", "[fd00::3]:0", "10.0.0.1:0"]));
}
