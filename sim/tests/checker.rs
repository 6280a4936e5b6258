//! Who watches the watchman: each invariant is broken on purpose, by a small bad program or a planted bug,
//! and the checker names that one and no other; and next to each stands somebody who just about keeps it.

mod support;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{Head, HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::time::{Duration, Instant};
use bradawl_sim::check::{BURST, Invariant, PER_ADDRESS, PER_SECOND};
use bradawl_sim::firewall::Firewall;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::{Allocation, Behaviour, Dependence};
use bradawl_sim::program::Policy;
use bradawl_sim::scenario::{Plant, Scenario};
use bradawl_sim::trace::{Happened, Strategy, Warrant};
use bradawl_sim::units::{Chance, Span};
use bradawl_sim::world::{HostId, HostSetup, Keep, NetworkId, World};

use support::{Act, Actor, acting, actor, heard, known, millis, nat, network, secs, send};

/// What the checker has to say, each invariant once.
fn broken(world: World) -> Vec<Invariant> {
    let report = world.finish();
    let mut broken: Vec<Invariant> = report.violations.iter().map(|violation| violation.invariant).collect();
    broken.sort();
    broken.dedup();
    broken
}

/// A host on the internet that may send only to whom it has a warrant for, and somebody it can send to.
struct Lab {
    world: World,
    host: HostId,
    /// From the host's port 5000.
    path: Path,
}

impl Lab {
    fn new() -> Self {
        let mut world = World::new(1);
        let other = actor(&mut world, "other", World::INTERNET);
        let setup = HostSetup { listen: &[5_000], ..HostSetup::new("host", &[World::INTERNET]) };
        let host = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let path = Path::udp(world.address(host, 5_000), world.address(other, 5_000));
        Self { world, host, path }
    }

    fn then(mut self, at: Instant, act: Act) -> Self {
        support::act_at(&mut self.world, self.host, at, act);
        self
    }

    fn may_send(self, at: Instant, why: Warrant) -> Self {
        let to = self.path.remote;
        self.then(at, Act::Say(Happened::MaySend { to, why }))
    }

    fn sends(self, at: Instant) -> Self {
        let path = self.path;
        self.then(at, Act::send(path, b"here"))
    }

    fn broken(mut self) -> Vec<Invariant> {
        self.world.run_until(secs(300));
        broken(self.world)
    }
}

#[test]
fn warrant_nobody_sends_to_whom_it_was_not_told_of() {
    assert_eq!(Lab::new().sends(secs(1)).broken(), [Invariant::Warrant]);
    for why in [Warrant::Server, Warrant::Candidate, Warrant::PeerReflexive] {
        assert_eq!(Lab::new().may_send(secs(1), why).sends(secs(1)).broken(), []);
    }
    let late = Lab::new().sends(secs(1)).may_send(secs(2), Warrant::Server);
    assert_eq!(late.broken(), [Invariant::Warrant]);
}

/// A server answers, and does not begin.
#[test]
fn warrant_a_server_sends_to_whom_it_has_heard() {
    for answers in [true, false] {
        let mut world = World::new(1);
        let client = actor(&mut world, "client", World::INTERNET);
        let setup = HostSetup {
            listen: &[5_000],
            policy: Policy::Answers,
            ..HostSetup::new("server", &[World::INTERNET])
        };
        let server = world.add_host(setup, |_| Actor::echo()).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let (there, here) = (world.address(server, 5_000), world.address(client, 5_000));
        send(&mut world, client, Path::udp(here, there), b"hello");
        world.run_for(Duration::ZERO);
        if !answers {
            let elsewhere = world.address(client, 5_001);
            send(&mut world, server, Path::udp(there, elsewhere), b"unasked");
        }
        assert_eq!(heard(&mut world, client).len(), 1, "the answer");
        assert_eq!(broken(world), if answers { vec![] } else { vec![Invariant::Warrant] });
    }
}

#[test]
fn warrant_a_planted_stray_sender_is_found() {
    for (plant, expected) in [(Some(Plant::StraySender), vec![Invariant::Warrant]), (None, vec![])] {
        let scenario = Scenario { plant, ..two_peers() };
        let mut world = World::of(&scenario, Keep::Digest).expect("a world");
        world.run_until(secs(20));
        assert_eq!(broken(world), expected);
    }
}

#[test]
fn socket_nobody_sends_from_a_socket_that_it_does_not_have() {
    let lab = Lab::new().may_send(secs(0), Warrant::Server);
    let path = Path { local: SocketAddr::new(lab.path.local.ip(), 4_999), ..lab.path };
    assert_eq!(lab.then(secs(1), Act::send(path, b"here")).broken(), [Invariant::Socket]);
    let lab = Lab::new();
    let path = Path::tcp(lab.path.local, lab.path.remote);
    assert_eq!(lab.then(secs(1), Act::send(path, b"no such stream")).broken(), [Invariant::Socket]);
}

#[test]
fn closed_who_has_closed_is_silent() {
    let closed = || Lab::new().may_send(secs(0), Warrant::Server).sends(secs(1));
    let closed = || closed().then(secs(2), Act::Say(Happened::Closed));
    assert_eq!(closed().broken(), []);
    assert_eq!(closed().sends(secs(3)).broken(), [Invariant::Closed]);
}

#[test]
fn lost_a_lost_peer_is_left_alone_after_half_a_minute() {
    let lost = |why| Lab::new().may_send(secs(0), why).then(secs(10), Act::Say(Happened::Lost));
    let candidate = || lost(Warrant::Candidate).sends(secs(40));
    assert_eq!(candidate().broken(), []);
    assert_eq!(candidate().sends(millis(40_001)).broken(), [Invariant::Lost]);
    // It was introduced again; and a server is not lost with a peer.
    assert_eq!(candidate().may_send(secs(50), Warrant::Candidate).sends(secs(50)).broken(), []);
    assert_eq!(lost(Warrant::Server).sends(secs(50)).broken(), []);
}

/// What a host may send at once that has so many addresses, of both families.
fn burst(addresses: usize) -> usize {
    usize::try_from(BURST + PER_ADDRESS * (addresses as u64 - 1)).expect("it fits")
}

#[test]
fn budget_who_has_more_addresses_may_send_more_at_once() {
    let two = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
    let busy = |addresses: &[IpAddr], more: usize| {
        let mut world = World::new(1);
        let other = actor(&mut world, "other", World::INTERNET);
        let setup = HostSetup { addresses, listen: &[5_000], ..HostSetup::new("host", &[World::INTERNET]) };
        let host = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let path = Path::udp(world.address(host, 5_000), world.address(other, 5_000));
        let may = Happened::MaySend { to: path.remote, why: Warrant::Server };
        support::act(&mut world, host, Act::Say(may));
        let count = burst(world.addresses(host).len()) + more;
        (0..count).for_each(|_| send(&mut world, host, path, b"here"));
        world.run_for(Duration::ZERO);
        (count, broken(world))
    };
    let [one, both] = [&two[..1], &two[..]].map(|addresses| {
        assert_eq!(busy(addresses, 1).1, [Invariant::Budget]);
        busy(addresses, 0)
    });
    assert_eq!((one.1, both.1, both.0 - one.0), (vec![], vec![], PER_ADDRESS as usize));
}

#[test]
fn budget_so_many_packets_at_once_and_then_so_many_a_second() {
    let busy = |at_once: usize| {
        let lab = Lab::new().may_send(secs(0), Warrant::Server);
        let lab = (0..at_once).fold(lab, |lab, _| lab.sends(secs(0)));
        (1..=5 * PER_SECOND).fold(lab, |lab, number| lab.sends(secs(number.div_ceil(PER_SECOND))))
    };
    let lab = Lab::new();
    let burst = burst(lab.world.addresses(lab.host).len());
    assert_eq!(busy(burst).broken(), []);
    assert_eq!(busy(burst + 1).broken(), [Invariant::Budget]);
}

/// Sends on what it gets, without its first byte, in an envelope.
struct Relay(Path);

impl Machine for Relay {
    type Event = Infallible;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let head = Head::new(b"dear ").expect("it fits");
        Verdict::Forward { path: self.0, body: 1..bytes.len(), head, pad: 2 }
    }

    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Infallible> {
        Output::Idle(None)
    }
}

#[test]
fn socket_what_is_sent_on_needs_one_too() {
    for (port, expected) in [(5_000, vec![]), (4_999, vec![Invariant::Socket])] {
        let mut world = World::new(1);
        let client = actor(&mut world, "client", World::INTERNET);
        let other = actor(&mut world, "other", World::INTERNET);
        let address: IpAddr = "192.0.2.1".parse().expect("an address");
        let onwards = Path::udp(SocketAddr::new(address, port), world.address(other, 5_000));
        let setup = HostSetup {
            addresses: &[address],
            listen: &[5_000],
            policy: Policy::Anybody,
            ..HostSetup::new("relay", &[World::INTERNET])
        };
        world.add_host(setup, move |_| Relay(onwards)).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let path = Path::udp(world.address(client, 5_000), SocketAddr::new(address, 5_000));
        send(&mut world, client, path, b"xbody");
        world.run_for(Duration::ZERO);
        let arrived: Vec<_> = heard(&mut world, other).into_iter().map(|heard| heard.bytes).collect();
        let whole = b"dear body\0\0".to_vec();
        assert_eq!(arrived, if expected.is_empty() { vec![whole] } else { vec![] });
        assert_eq!(broken(world), expected);
    }
}

/// Never idle, or idle until now.
struct Restless(Option<Duration>);

impl Machine for Restless {
    type Event = Infallible;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict {
        Verdict::Consumed
    }

    fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}

    fn poll_output(&mut self, now: Instant, _: &mut [u8]) -> Output<Infallible> {
        match self.0 {
            Some(nap) => Output::Idle(Some(now + nap)),
            None => Output::Host(HostRequest::Close { id: SocketId(0) }),
        }
    }
}

#[test]
fn rest_a_machine_is_idle_in_the_end_and_woken_in_the_future() {
    for (nap, expected) in [
        (None, vec![Invariant::Rest]),
        (Some(Duration::ZERO), vec![Invariant::Rest]),
        (Some(Duration::from_micros(100_000)), vec![]),
    ] {
        let mut world = World::new(1);
        let setup = HostSetup::new("host", &[World::INTERNET]);
        world.add_host(setup, move |_| Restless(nap)).expect("a host that can be");
        world.run_until(secs(10));
        assert_eq!(world.now(), secs(10), "the run goes on without it");
        assert_eq!(broken(world), expected);
    }
}

/// Invariant 8: what comes twice counts once; an answer may be sent twice.
#[test]
fn repetition_a_packet_that_comes_twice_changes_nothing() {
    let excited = || Actor::reacting(|_, path, _| Some(Act::Say(Happened::SeenAs(path.remote))));
    for (make, copies, expected) in [
        (excited as fn() -> Actor, Chance::ALWAYS, vec![Invariant::Repetition]),
        (excited, Chance::NEVER, vec![]),
        (Actor::echo, Chance::ALWAYS, vec![]),
    ] {
        let mut world = World::new(1);
        let sender = actor(&mut world, "sender", World::INTERNET);
        let link = Quality { duplicate: copies, ..Quality::default() };
        let setup = HostSetup {
            listen: &[5_000],
            policy: Policy::Anybody,
            link,
            ..HostSetup::new("receiver", &[World::INTERNET])
        };
        let receiver = world.add_host(setup, move |_| make()).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let path = Path::udp(world.address(sender, 5_000), world.address(receiver, 5_000));
        send(&mut world, sender, path, b"once");
        world.run_for(Duration::from_secs(1));
        let expected_copies = if copies == Chance::ALWAYS { 2 } else { 1 };
        assert_eq!(heard(&mut world, receiver).len(), expected_copies);
        assert_eq!(broken(world), expected);
    }
}

#[test]
fn nat_a_planted_forgetful_nat_is_found() {
    for (plant, expected) in [(Some(Plant::ForgetfulNat), vec![Invariant::Nat]), (None, vec![])] {
        let text = "
            [network.lan]
            behind = 'port-restricted'
            [host.hub]
            run = 'mediator'
            in = 'internet'
            [host.stan]
            run = 'stun'
            in = 'lan'
            server = 'hub'
        ";
        let scenario = Scenario { plant, ..Scenario::from_toml(text).expect("a scenario") };
        let mut world = World::of(&scenario, Keep::Digest).expect("a world");
        world.run_until(secs(300));
        assert_eq!(broken(world), expected);
    }
}

/// Alice behind a NAT that forgets after 30 s and bob on the internet, both with a path. `kept` is when
/// alice sends; bob sends after a minute.
fn keeping(kept: &[u64]) -> Vec<Invariant> {
    let mut world = World::new(1);
    let lan = nat(Behaviour { lifetime: Span::from_secs(30), ..Behaviour::default() });
    let lan = network(&mut world, "lan", World::INTERNET, lan);
    let alice = actor(&mut world, "alice", lan);
    let bob = actor(&mut world, "bob", World::INTERNET);
    world.run_for(Duration::ZERO);
    let out = Path::udp(world.address(alice, 5_000), world.address(bob, 5_000));
    send(&mut world, alice, out, b"hello");
    world.run_for(Duration::ZERO);
    let seen = heard(&mut world, bob)[0].path;
    for (host, path) in [(alice, out), (bob, seen)] {
        let Path { local, remote, .. } = path;
        let selected = Happened::Selected { local, remote, strategy: Strategy::Punch };
        support::act(&mut world, host, Act::Say(selected));
        send(&mut world, host, path, b"hello again");
    }
    for &at in kept {
        support::act_at(&mut world, alice, secs(at), Act::send(out, b"still there"));
    }
    support::act_at(&mut world, bob, secs(60), Act::send(seen, b"and you?"));
    world.run_until(secs(61));
    broken(world)
}

#[test]
fn keepalive_a_path_in_use_is_not_left_to_die() {
    assert_eq!(keeping(&[25, 50]), []);
    assert_eq!(keeping(&[25]), [Invariant::Keepalive]);
}

/// Two who want to reach each other; each in a network of its own, behind `gateway` if there is one.
struct Pair {
    world: World,
    hosts: [HostId; 2],
}

impl Pair {
    fn new(gateway: Option<&bradawl_sim::catalogue::Gateway>) -> Self {
        let mut world = World::new(1);
        let server = actor(&mut world, "server", World::INTERNET);
        let hosts = ["alice", "bob"].map(|name| {
            let at: NetworkId = match gateway {
                Some(gateway) => network(&mut world, name, World::INTERNET, gateway.clone()),
                None => World::INTERNET,
            };
            acting(&mut world, name, at, Actor::new)
        });
        world.add_pair(hosts[0], hosts[1], server);
        world.run_for(Duration::ZERO);
        Self { world, hosts }
    }

    /// One of them begins to use a path between these ports, and sends on it.
    fn selects(mut self, which: usize, at: Instant, from: u16, to: u16) -> Self {
        let (host, other) = (self.hosts[which], self.hosts[1 - which]);
        let (local, remote) = (self.world.address(host, from), self.world.address(other, to));
        let selected = Happened::Selected { local, remote, strategy: Strategy::Host };
        support::act_at(&mut self.world, host, at, Act::send(Path::udp(local, remote), b"this one"));
        support::act_at(&mut self.world, host, at, Act::Say(selected));
        self
    }

    fn fails(mut self, which: usize, at: Instant) -> Self {
        support::act_at(&mut self.world, self.hosts[which], at, Act::Say(Happened::Failed("tired")));
        self
    }

    fn broken_after(mut self, time: u64) -> Vec<Invariant> {
        self.world.run_until(secs(time));
        broken(self.world)
    }
}

#[test]
fn agreement_both_mean_the_same_path() {
    let agreed = Pair::new(None).selects(0, secs(1), 5_000, 5_000).selects(1, secs(1), 5_000, 5_000);
    assert_eq!(agreed.broken_after(60), []);
    let at_odds = || Pair::new(None).selects(0, secs(1), 5_000, 5_000).selects(1, secs(1), 5_001, 5_000);
    assert_eq!(at_odds().broken_after(60), [Invariant::Agreement]);
    assert_eq!(at_odds().broken_after(3), [], "they have time to settle");
}

/// Where nothing is certain, so that nothing else is broken.
#[test]
fn agreement_neither_has_a_path_alone() {
    let symmetric = nat(Behaviour {
        mapping: Dependence::AddressAndPort,
        allocation: Allocation::Random,
        ..Behaviour::default()
    });
    let alone = || Pair::new(Some(&symmetric)).selects(0, secs(1), 5_000, 5_000);
    assert_eq!(alone().broken_after(60), [Invariant::Agreement]);
    assert_eq!(alone().broken_after(3), []);
}

#[test]
fn silence_who_finds_no_path_says_so_within_half_a_minute() {
    let symmetric = nat(Behaviour {
        mapping: Dependence::AddressAndPort,
        allocation: Allocation::Random,
        ..Behaviour::default()
    });
    let nothing = || Pair::new(Some(&symmetric));
    assert_eq!(nothing().broken_after(30), []);
    assert_eq!(nothing().broken_after(31), [Invariant::Silence]);
    assert_eq!(nothing().fails(0, secs(29)).broken_after(60), []);
}

#[test]
fn certain_what_must_be_direct_is_direct_in_time() {
    let at = |time| Pair::new(None).selects(0, time, 5_000, 5_000).selects(1, time, 5_000, 5_000);
    assert_eq!(at(millis(4_999)).broken_after(60), []);
    assert_eq!(at(millis(5_001)).broken_after(60), [Invariant::Certain]);
    assert_eq!(Pair::new(None).broken_after(60), [Invariant::Certain], "they say nothing");
    assert_eq!(Pair::new(None).broken_after(5), [], "they still have time");
    let tired = Pair::new(None).fails(0, secs(1)).fails(1, secs(1));
    assert_eq!(tired.broken_after(60), [Invariant::Certain], "they give up");
}

#[test]
fn impossible_what_cannot_be_direct_is_not() {
    let blocked = known("udp-blocked");
    let claimed = |gateway| Pair::new(Some(gateway)).selects(0, secs(1), 5_000, 5_000);
    let claimed = |gateway| claimed(gateway).selects(1, secs(1), 5_000, 5_000);
    assert_eq!(claimed(&blocked).broken_after(2), [Invariant::Impossible]);
    let open = bradawl_sim::catalogue::Gateway { firewall: Firewall::OPEN, ..blocked.clone() };
    assert_eq!(claimed(&open).broken_after(2), [], "without the firewall it is possible");
    let honest = Pair::new(Some(&blocked)).fails(0, secs(1)).fails(1, secs(1));
    assert_eq!(honest.broken_after(60), []);
}

fn two_peers() -> Scenario {
    let text = "
        [network.lan-a]
        behind = 'home'
        link = { delay = '20 ms' }
        [network.lan-b]
        behind = 'restricted'
        link = { delay = '30 ms' }
        [host.hub]
        run = 'mediator'
        in = 'internet'
        [host.alice]
        run = 'peer'
        in = 'lan-a'
        server = 'hub'
        peer = 'bob'
        [host.bob]
        run = 'peer'
        in = 'lan-b'
        server = 'hub'
        peer = 'alice'
    ";
    Scenario::from_toml(text).expect("a scenario")
}

#[test]
fn two_who_behave_break_nothing() {
    let mut world = World::of(&two_peers(), Keep::Digest).expect("a world");
    world.run_until(secs(120));
    let report = world.finish();
    assert_eq!(report.violations, []);
    assert!(report.pairs.len() == 1 && report.pairs[0].outcome.is_direct(), "{:?}", report.pairs);
}
