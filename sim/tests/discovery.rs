//! The tests of RFC 5780, run by our own STUN client in a world: they find out of every NAT what was
//! configured, and say so in a table.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
use bradawl::stun::client::{Change, Event, Request, RequestId, StunClient};
use bradawl::stun::transaction::Schedule;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::ChangeRequest;
use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Fallback, Hairpin};
use bradawl_sim::program::{Policy, Report};
use bradawl_sim::script::{ALTERNATE_PORT, STUN_PORT};
use bradawl_sim::trace::Happened;
use bradawl_sim::units::Span;
use bradawl_sim::world::{HostId, HostSetup, NetworkId, World};

use support::{delay, linked, mediator, nat};

use Dependence::{Address, AddressAndPort, Endpoint};

const DEPENDENCES: [Dependence; 3] = [Endpoint, Address, AddressAndPort];
const ALLOCATIONS: [Allocation; 6] = [
    Allocation::Preserve(Fallback::Random),
    Allocation::Preserve(Fallback::Next),
    Allocation::Sequential { step: 1 },
    Allocation::Sequential { step: 7 },
    Allocation::Random,
    Allocation::Block { size: 256 },
];

/// Patient enough for a network that loses nothing.
const SCHEDULE: Schedule = Schedule { attempts: 2, patience: 2 };
const PATIENCE: Duration = Duration::from_secs(3);

/// Our client, and what became of what it was asked. What is not for it is kept, too: a request that came
/// back from the NAT.
struct Asker {
    stun: StunClient,
    done: BTreeMap<RequestId, Option<SocketAddr>>,
    others: Vec<Path>,
}

/// The world need not judge it.
struct Unjudged;

impl Report for Unjudged {
    fn report(&self) -> Option<Happened> {
        None
    }
}

impl Machine for Asker {
    type Event = Unjudged;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        let verdict = self.stun.handle_input(now, path, meta, bytes);
        if verdict == Verdict::Unclaimed {
            self.others.push(path);
        }
        verdict
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        self.stun.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Unjudged> {
        match self.stun.poll_output(now, buf) {
            Output::Transmit { path, len, segment, ecn } => Output::Transmit { path, len, segment, ecn },
            Output::Host(request) => Output::Host(request),
            Output::Idle(wake) => Output::Idle(wake),
            Output::Event(event) => {
                let (id, mapped) = match event {
                    Event::Answered(answer) => (answer.id, Some(answer.mapped)),
                    Event::Failed { id, .. } => (id, None),
                };
                self.done.insert(id, mapped);
                Output::Event(Unjudged)
            }
        }
    }
}

/// A host behind one NAT or more, and a server with two addresses and two ports.
struct Lab {
    world: World,
    host: HostId,
    /// The server's: primary address and port, the other port, the other address, both.
    server: [SocketAddr; 4],
    /// Each test begins with a mapping of its own.
    next_port: u16,
}

impl Lab {
    /// The first NAT is the outermost one.
    fn new(seed: u64, nats: &[&Behaviour]) -> Self {
        let mut world = World::new(seed);
        let server = mediator(&mut world, delay(10));
        let mut inside: NetworkId = World::INTERNET;
        for (depth, &behaviour) in nats.iter().enumerate() {
            inside = linked(&mut world, &format!("lan-{depth}"), inside, nat(behaviour.clone()), delay(5));
        }
        let ports: Vec<u16> = (5_000..5_080).collect();
        let networks = [inside];
        let setup =
            HostSetup { listen: &ports, policy: Policy::Anybody, ..HostSetup::new("host", &networks) };
        let make = |start: bradawl_sim::program::Start| Asker {
            stun: StunClient::new(start.rng),
            done: BTreeMap::new(),
            others: Vec::new(),
        };
        let host = world.add_host(setup, make).expect("a host that can be");
        world.run_for(Duration::ZERO);
        let [first, second, ..] = world.addresses(server)[..] else { panic!("two addresses") };
        let server =
            [(first, STUN_PORT), (first, ALTERNATE_PORT), (second, STUN_PORT), (second, ALTERNATE_PORT)];
        Self { world, host, server: server.map(SocketAddr::from), next_port: 5_000 }
    }

    /// A socket that has not been used yet.
    fn socket(&mut self) -> SocketAddr {
        self.next_port += 1;
        self.world.address(self.host, self.next_port - 1)
    }

    fn begin(&mut self, local: SocketAddr, remote: SocketAddr, change: Option<Change>) -> RequestId {
        let request = Request { change, schedule: SCHEDULE, ..Request::default() };
        let path = Path::udp(local, remote);
        let begun =
            self.world.with(self.host, |asker: &mut Asker, now| asker.stun.request(now, path, request));
        begun.expect("it runs").expect("a request that can be")
    }

    /// How `local` looks from `remote`; none if no answer came.
    fn ask(&mut self, local: SocketAddr, remote: SocketAddr, change: Option<Change>) -> Option<SocketAddr> {
        let id = self.begin(local, remote, change);
        self.world.run_for(PATIENCE);
        let done = self.world.with(self.host, |asker: &mut Asker, _| asker.done.remove(&id));
        done.flatten().expect("the request is over")
    }

    /// RFC 5780 §4.3.
    fn mapping(&mut self) -> Dependence {
        let local = self.socket();
        let [primary, _, other_address, both] = self.server;
        let one = self.ask(local, primary, None).expect("test I");
        let two = self.ask(local, other_address, None).expect("test II");
        if one == two {
            return Endpoint;
        }
        let three = self.ask(local, both, None).expect("test III");
        if two == three { Address } else { AddressAndPort }
    }

    /// RFC 5780 §4.4.
    fn filtering(&mut self) -> Dependence {
        let local = self.socket();
        let [primary, other_port, _, both] = self.server;
        self.ask(local, primary, None).expect("test I");
        let change = |ip, port, answer_from| Some(Change { ask: ChangeRequest { ip, port }, answer_from });
        if self.ask(local, primary, change(true, true, both)).is_some() {
            return Endpoint;
        }
        match self.ask(local, primary, change(false, true, other_port)) {
            Some(_) => Address,
            None => AddressAndPort,
        }
    }

    /// RFC 5780 §4.5, with a second socket, to which the first one has sent: filters hold here, too.
    fn hairpin(&mut self) -> Hairpin {
        let (ours, theirs) = (self.socket(), self.socket());
        let primary = self.server[0];
        let [ours_outside, theirs_outside] =
            [ours, theirs].map(|local| self.ask(local, primary, None).expect("an answer"));
        self.world.with(self.host, |asker: &mut Asker, _| asker.others.clear());
        self.begin(ours, theirs_outside, None);
        self.ask(theirs, ours_outside, None);
        let others = self.world.with(self.host, |asker: &mut Asker, _| asker.others.clone());
        match others.expect("it runs").iter().find(|path| path.local == ours) {
            None => Hairpin::None,
            Some(path) if path.remote == theirs => Hairpin::InternalSource,
            Some(_) => Hairpin::ExternalSource,
        }
    }

    /// RFC 5780 §4.6 without RESPONSE-PORT, which our server refuses: whether a mapping was forgotten shows
    /// in the port of the next one, unless it is the inside port again. The longest silence that a mapping
    /// survives, by halving, to the second.
    fn lifetime(&mut self, longest: Duration) -> Duration {
        let (mut alive, mut dead) = (Duration::ZERO, longest);
        while dead - alive > Duration::from_secs(1) {
            let silence = (alive + dead) / 2;
            let local = self.socket();
            let primary = self.server[0];
            let before = self.ask(local, primary, None).expect("an answer");
            self.world.run_for(silence - PATIENCE.min(silence));
            let after = self.ask(local, primary, None).expect("an answer");
            *if before == after { &mut alive } else { &mut dead } = silence;
        }
        alive
    }
}

/// How often each was found where it was, and how often something else was.
#[derive(Default)]
struct Tally(BTreeMap<String, (u32, u32)>);

impl Tally {
    fn add(&mut self, configured: String, found: bool) {
        let (right, all) = self.0.entry(configured).or_default();
        *right += u32::from(found);
        *all += 1;
    }

    /// Prints the table; whether everything was found.
    fn is_perfect(&self, title: &str) -> bool {
        println!("{title}: found / tried");
        for (configured, (right, all)) in &self.0 {
            println!("  {configured:<90} {right:>4} / {all}");
        }
        !self.0.is_empty() && self.0.values().all(|(right, all)| right == all)
    }
}

#[test]
fn rfc5780_tests_recover_every_mapping_and_filtering_from_every_allocation() {
    let mut tally = Tally::default();
    for mapping in DEPENDENCES {
        for filtering in DEPENDENCES {
            for allocation in ALLOCATIONS {
                for seed in 0..4 {
                    let nat = Behaviour { mapping, filtering, allocation, ..Behaviour::default() };
                    let mut lab = Lab::new(seed, &[&nat]);
                    let found = (lab.mapping(), lab.filtering());
                    tally.add(
                        format!("{mapping} mapping, {filtering} filtering"),
                        found == (mapping, filtering),
                    );
                }
            }
        }
    }
    assert!(tally.is_perfect("one NAT"));
}

#[test]
fn of_two_nats_the_stricter_is_found() {
    let mut tally = Tally::default();
    let pairs = || DEPENDENCES.into_iter().flat_map(|m| DEPENDENCES.map(|f| (m, f)));
    for (outer_mapping, outer_filtering) in pairs() {
        for (inner_mapping, inner_filtering) in pairs() {
            for (seed, allocation) in [Allocation::Random, ALLOCATIONS[0]].into_iter().enumerate() {
                let nat =
                    |mapping, filtering| Behaviour { mapping, filtering, allocation, ..Behaviour::default() };
                let (outer, inner) =
                    (nat(outer_mapping, outer_filtering), nat(inner_mapping, inner_filtering));
                let mut lab = Lab::new(seed as u64, &[&outer, &inner]);
                let (mapping, filtering) =
                    (outer_mapping.max(inner_mapping), outer_filtering.max(inner_filtering));
                let found = (lab.mapping(), lab.filtering());
                tally.add(format!("{mapping} mapping, {filtering} filtering"), found == (mapping, filtering));
            }
        }
    }
    assert!(tally.is_perfect("the stricter of two NATs"));
}

/// Why a profile is a hint and never a gate: where two sessions may share a port, all look like one
/// mapping until somebody else has the port.
#[test]
fn a_symmetric_nat_that_overloads_ports_looks_like_a_cone() {
    let nat = Behaviour { mapping: AddressAndPort, overload: true, ..Behaviour::default() };
    assert_eq!(Lab::new(1, &[&nat]).mapping(), Endpoint);
    let honest = Behaviour { overload: false, ..nat };
    assert_eq!(Lab::new(1, &[&honest]).mapping(), AddressAndPort);
}

#[test]
fn rfc5780_the_lifetime_is_found_to_the_second() {
    let mut tally = Tally::default();
    for lifetime in [20, 61, 120, 299] {
        for allocation in &ALLOCATIONS[2..] {
            let nat = Behaviour {
                allocation: *allocation,
                lifetime: Span::from_secs(lifetime),
                ..Behaviour::default()
            };
            let found = Lab::new(lifetime, &[&nat]).lifetime(Duration::from_secs(600));
            let is_near = found.abs_diff(Duration::from_secs(lifetime)) <= Duration::from_secs(1);
            tally.add(format!("{lifetime:>3} s"), is_near);
        }
    }
    assert!(tally.is_perfect("lifetime, to the second"));
}

#[test]
fn of_two_nats_the_more_forgetful_is_found() {
    for (outer, inner) in [(40, 90), (90, 40)] {
        let nat = |lifetime| Behaviour {
            allocation: Allocation::Random,
            lifetime: Span::from_secs(lifetime),
            ..Behaviour::default()
        };
        let found = Lab::new(3, &[&nat(outer), &nat(inner)]).lifetime(Duration::from_secs(600));
        assert!(found.abs_diff(Duration::from_secs(40)) <= Duration::from_secs(1), "{found:?}");
    }
}

/// Wherever it can be seen: with an endpoint-dependent mapping the other socket's filter must be open, for
/// what it sends there does not leave by the mapping that was asked for.
#[test]
fn rfc5780_hairpinning_and_its_source_are_found() {
    let mut tally = Tally::default();
    for hairpin in [Hairpin::None, Hairpin::ExternalSource, Hairpin::InternalSource] {
        for mapping in DEPENDENCES {
            for filtering in DEPENDENCES {
                if mapping != Endpoint && filtering != Endpoint {
                    continue;
                }
                for allocation in ALLOCATIONS {
                    let nat = Behaviour { mapping, filtering, allocation, hairpin, ..Behaviour::default() };
                    let found = Lab::new(2, &[&nat]).hairpin();
                    tally.add(format!("{hairpin:?}"), found == hairpin);
                }
            }
        }
    }
    assert!(tally.is_perfect("hairpinning"));
}
