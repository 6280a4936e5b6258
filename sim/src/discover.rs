//! What a discovery finds out about a NAT, in a world where everybody knows what it is.
//!
//! A host behind one NAT or more runs [`Discovery`] against servers on the internet; [`Truth`] says for each
//! [`Axis`] what is right, and whether anybody could know. [`table`] does so for every kind of NAT there is,
//! [`lifetimes`] for how long a mapping is remembered.

pub mod lifetimes;
pub mod table;
mod truth;

use core::net::SocketAddr;

use bradawl::discovery::{Config, Discovery, Event, NatProfile};
use bradawl::machine::{HostInput, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::time::{Duration, Instant};

use crate::catalogue::Gateway;
use crate::link::Quality;
use crate::program::{Policy, Report};
use crate::script::{Mediator, STUN_PORT, Secret, Silent};
use crate::trace::Happened;
use crate::units::Span;
use crate::world::{HostSetup, InvalidWorld, Keep, NetworkSetup, World};

pub use truth::{Axis, Judgement, Truth};

/// The port of the socket that the discovery is about.
const PORT: u16 = 5_000;

/// How long the quick pass is waited for.
const QUICK: Duration = Duration::from_secs(6);

/// What stands around the host.
#[derive(Clone, Debug)]
pub struct Lab {
    /// What is between it and the internet, the outermost first.
    pub behind: Vec<Gateway>,
    /// The way from the outermost gateway to the internet.
    pub link: Quality,
    /// How many servers there are, with two ports at each address.
    pub servers: usize,
    /// How many addresses each of them has: two make it one for behaviour discovery (RFC 5780).
    pub addresses: u8,
    /// The way of each server to the internet, in their order; those beyond have a perfect one.
    pub far: Vec<Quality>,
    /// How many there are, and are asked first, that say nothing.
    pub dead: usize,
    /// For how long to watch how the lifetime is learned; zero: not at all.
    pub patience: Duration,
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            behind: Vec::new(),
            link: Quality::default(),
            servers: 3,
            addresses: 2,
            far: Vec::new(),
            dead: 0,
            patience: Duration::ZERO,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// What is known in the end.
    pub profile: NatProfile,
    /// How long the quick pass took.
    pub quick: Option<Duration>,
    /// How many packets were sent until then, and in all.
    pub packets: (u32, u32),
    /// How long all of it took.
    pub finished: Option<Duration>,
}

/// Runs a discovery in a lab.
///
/// ```
/// use bradawl::discovery::Label;
/// use bradawl_sim::catalogue::entry;
/// use bradawl_sim::discover::{Lab, discover};
///
/// let lab = Lab { behind: vec![entry("restricted").unwrap().gateway.clone()], ..Lab::default() };
/// assert_eq!(discover(1, &lab)?.profile.label(), Label::Restricted);
/// # Ok::<(), bradawl_sim::world::InvalidWorld>(())
/// ```
pub fn discover(seed: u64, lab: &Lab) -> Result<Found, InvalidWorld> {
    let mut world = World::keeping(seed, Keep::Digest);
    let servers = add_servers(&mut world, lab)?;
    let mut inside = World::INTERNET;
    for (depth, gateway) in lab.behind.iter().enumerate() {
        let link = if depth == 0 { lab.link.clone() } else { Quality::default() };
        inside = world.add_network(NetworkSetup {
            name: &format!("network-{depth}"),
            outside: inside,
            gateway: gateway.clone(),
            ipv6: false,
            subnet: None,
            is_carrier: depth + 1 < lab.behind.len(),
            link,
        })?;
    }
    let networks = [inside];
    let setup = HostSetup { listen: &[PORT], policy: Policy::Anybody, ..HostSetup::new("host", &networks) };
    let wants_lifetime = lab.patience > Duration::ZERO;
    let host = world.add_host(setup, move |start| {
        let config = Config {
            local: (start.interfaces[0].address, PORT).into(),
            servers: servers.clone(),
            first_socket: SocketId(1_000),
            lifetime: wants_lifetime,
        };
        Watched { discovery: Discovery::new(config, start.rng), sent: 0, quick: None, finished: None }
    })?;
    world.run_for(QUICK);
    world.run_for(lab.patience);
    let found = world.with(host, |watched: &mut Watched, _| watched.found());
    Ok(found.expect("the host is never killed"))
}

/// Those that say nothing first, and then those that answer.
fn add_servers(world: &mut World, lab: &Lab) -> Result<Vec<SocketAddr>, InvalidWorld> {
    let mut servers = Vec::new();
    for number in 0..lab.dead + lab.servers {
        let name = format!("server-{number}");
        let networks = [World::INTERNET];
        let link = number.checked_sub(lab.dead).and_then(|number| lab.far.get(number));
        let setup = HostSetup {
            count: lab.addresses,
            policy: Policy::Answers,
            link: link.cloned().unwrap_or_default(),
            ..HostSetup::new(&name, &networks)
        };
        let host = if number < lab.dead {
            world.add_host(setup, |_| Silent)?
        } else {
            world.add_host(setup, |start| {
                let addresses: Vec<_> = start.interfaces.iter().map(|interface| interface.address).collect();
                Mediator::new(addresses, Secret::new([5; 32]), start.rng)
            })?
        };
        servers.push(world.address(host, STUN_PORT));
    }
    Ok(servers)
}

/// A round trip of its own for each seed, from 20 to 300 ms.
pub const fn round_trip(seed: u32) -> Span {
    Span::from_millis(20 + (seed as u64 * 7_919) % 281)
}

/// A discovery, and how it went.
struct Watched {
    discovery: Discovery,
    sent: u32,
    quick: Option<(Instant, u32)>,
    finished: Option<Instant>,
}

impl Watched {
    fn found(&self) -> Found {
        let profile = self.discovery.profile().clone();
        let since = |at: Instant| at.since(profile.taken);
        Found {
            quick: self.quick.map(|(at, _)| since(at)),
            packets: (self.quick.map_or(self.sent, |(_, sent)| sent), self.sent),
            finished: self.finished.map(since),
            profile,
        }
    }
}

/// Nothing that the world judges.
struct Unjudged;

impl Report for Unjudged {
    fn report(&self) -> Option<Happened> {
        None
    }
}

impl Report for Event {
    fn report(&self) -> Option<Happened> {
        None
    }
}

impl Machine for Watched {
    type Event = Unjudged;

    fn handle_input(&mut self, now: Instant, path: Path, meta: Meta, bytes: &[u8]) -> Verdict {
        self.discovery.handle_input(now, path, meta, bytes)
    }

    fn handle_host(&mut self, now: Instant, input: HostInput<'_>) {
        self.discovery.handle_host(now, input);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Unjudged> {
        match self.discovery.poll_output(now, buf) {
            Output::Transmit { path, len, segment, ecn } => {
                self.sent += 1;
                Output::Transmit { path, len, segment, ecn }
            }
            Output::Event(event) => {
                match event {
                    Event::Known => self.quick = Some((now, self.sent)),
                    Event::Finished => self.finished = Some(now),
                    Event::Learned => {}
                }
                Output::Event(Unjudged)
            }
            Output::Host(request) => Output::Host(request),
            Output::Idle(wake) => Output::Idle(wake),
        }
    }
}
