//! Servers that lie, a host that refuses and a clock that jumps, against behaviour discovery: no panic,
//! an end to every drain, to the quick pass and to all, packets to nobody whom no server has named and
//! few to anybody who is not asked, no socket left open, and nothing that grows.

#![no_main]

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use arbitrary::Arbitrary;
use bradawl::discovery::{
    Circumstances, Confidence, Config, Discovery, Event, Forecast, Kind, MAX_SERVERS, MAX_SOCKETS,
};
use bradawl::machine::{BindError, HostInput, Machine as _, Meta, Path, SocketId, Unreachable};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{ErrorCode, Help, MappedAddress, OtherAddress, XorMappedAddress};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
use bradawl_fuzz::{Told, drain_with};
use libfuzzer_sys::fuzz_target;

/// More polls than anything can ask for at one time.
const BOUND: usize = 1_000;
/// How many packets the quick pass sends.
const MOST_PACKETS: usize = 512;
/// How many of them go to one address that is not a configured server.
const MOST_TO_ONE: usize = 64;
/// How many packets and sockets there are in all, if the lifetime is wanted.
const MOST_IN_ALL: usize = 4_000;
/// When the quick pass is over, whatever happens.
const PASS: Duration = Duration::from_secs(5);
const FIRST: SocketId = SocketId(u32::MAX - 9);

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    local: u8,
    servers: Vec<u8>,
    lifetime: bool,
    steps: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// For so many wakes sockets are opened and packets are answered like this, one after the other.
    Play {
        says: Vec<Say>,
        wakes: u8,
        millis: u8,
    },
    Answer {
        to: u8,
        say: Say,
    },
    Bytes {
        to: u8,
        from: u8,
        bytes: &'a [u8],
    },
    Bound {
        which: u8,
        how: u8,
    },
    Unknown {
        id: u32,
    },
    Host {
        which: u8,
        kind: u8,
        by: u8,
    },
    Wait {
        millis: u16,
    },
    Wake,
    Jump {
        seconds: u32,
    },
    Back {
        millis: u32,
    },
    Close,
}

/// What is answered to a packet.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Say {
    what: u8,
    /// 0 to 3: from whom was asked, else from another one.
    from: u8,
    /// To which of our sockets, if not to that which asked.
    to: u8,
    mapped: u8,
    mapped_port: u16,
    other: Option<u8>,
    help: Option<(u16, u16, u64)>,
}

struct World {
    discovery: Discovery,
    local: SocketAddr,
    servers: HashSet<SocketAddr>,
    now: Instant,
    began: Option<Instant>,
    wake: Option<Instant>,
    asked: Vec<SocketId>,
    binds: usize,
    open: HashMap<SocketId, SocketAddr>,
    sent: Vec<(Path, TransactionId)>,
    named: HashSet<SocketAddr>,
    to_strangers: HashMap<SocketAddr, usize>,
    is_known: bool,
    is_finished: bool,
    is_closed: bool,
}

fuzz_target!(|input: Input<'_>| {
    let local = SocketAddr::new(ip(input.local % 3), 40_000);
    let servers: Vec<SocketAddr> = input.servers.iter().take(20).map(|&which| address(which)).collect();
    let config = Config { local, servers: servers.clone(), first_socket: FIRST, lifetime: input.lifetime };
    let mut world = World {
        discovery: Discovery::new(config, Rng::from_seed([3; 32])),
        local,
        servers: servers.into_iter().collect(),
        now: Instant::ZERO + Duration::from_secs(100_000),
        began: None,
        wake: None,
        asked: Vec::new(),
        binds: 0,
        open: HashMap::new(),
        sent: Vec::new(),
        named: HashSet::new(),
        to_strangers: HashMap::new(),
        is_known: false,
        is_finished: false,
        is_closed: false,
    };
    for step in input.steps.into_iter().take(64) {
        world.step(step);
        world.drain();
    }
    world.end();
});

impl World {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Play { says, wakes, millis } => self.play(&says, wakes, millis),
            Step::Answer { to, say } => {
                if let Some(&(path, id)) = self.sent.iter().rev().nth(to.into()) {
                    self.answer(path, id, say);
                }
            }
            Step::Bytes { to, from, bytes } => {
                let local = self.own(to);
                let path = Path::udp(local, address(from));
                let _ = self.discovery.handle_input(self.now, path, Meta::default(), bytes);
            }
            Step::Bound { which, how } => self.bound(which, how),
            Step::Unknown { id } => {
                let input = HostInput::Bound { id: SocketId(id), result: Err(BindError::InUse) };
                self.discovery.handle_host(self.now, input);
                if !self.asked.contains(&SocketId(id)) {
                    let input = HostInput::Bound { id: SocketId(id), result: Ok(address(1)) };
                    self.discovery.handle_host(self.now, input);
                }
            }
            Step::Host { which, kind, by } => self.host(which, kind, by),
            Step::Wait { millis } => self.now += Duration::from_millis(millis.into()),
            Step::Wake => self.now = self.now.max(self.wake.unwrap_or(self.now)),
            Step::Jump { seconds } => self.now += Duration::from_secs(seconds.into()),
            Step::Back { millis } => {
                let micros = self.now.as_micros().saturating_sub(u64::from(millis) * 1_000);
                self.now = Instant::from_micros(micros);
            }
            Step::Close => {
                self.discovery.close();
                self.is_closed = true;
            }
        }
    }

    fn play(&mut self, says: &[Say], wakes: u8, millis: u8) {
        let mut next = 0;
        for _ in 0..wakes {
            let answered = self.sent.len();
            self.drain();
            self.bound(0, 0);
            self.drain();
            let due: Vec<(Path, TransactionId)> = self.sent[answered.min(self.sent.len())..].to_vec();
            self.now += Duration::from_millis(millis.into());
            for (path, id) in due {
                if let Some(&say) = says.get(next % says.len().max(1)) {
                    self.answer(path, id, say);
                    next += 1;
                }
            }
            self.drain();
            self.now = self.now.max(self.wake.unwrap_or(self.now));
        }
    }

    fn answer(&mut self, path: Path, id: TransactionId, say: Say) {
        let mut buf = [0; 600];
        let mapped = match say.mapped {
            0..=99 => path.local,
            100..=199 => SocketAddr::new(ip(12), say.mapped_port),
            which => SocketAddr::new(ip(which), say.mapped_port),
        };
        let other = say.other.map(address);
        let help = say.help.map(|(other_port, delay, token)| Help { other_port, delay, token });
        let (class, id) = match say.what % 12 {
            7 => (Class::Error, id),
            8 => (Class::Request, id),
            9 => (Class::Indication, id),
            10 => (Class::Success, TransactionId::from([7; 12])),
            _ => (Class::Success, id),
        };
        let method = if say.what == 255 { Method::ALLOCATE } else { Method::BINDING };
        let writer = Writer::new(&mut buf, class, method, id);
        let writer = match say.what % 12 {
            7 => writer.put(&ErrorCode { code: 420, reason: "" }),
            6 => writer.put(&MappedAddress(mapped)),
            5 => writer,
            _ => writer.put(&XorMappedAddress(mapped)),
        };
        let writer = writer.put_some(other.map(OtherAddress).as_ref()).put_some(help.as_ref());
        let Ok(len) = writer.finish() else { return };
        let len = if say.what % 12 == 11 { len.min(usize::from(say.mapped)) } else { len };
        self.name(path.remote, mapped, other, help);
        let local = if say.to < 200 { path.local } else { self.own(say.to) };
        let remote = match say.from {
            0..=127 => path.remote,
            128..=159 => other.unwrap_or(path.remote),
            160..=191 => SocketAddr::new(path.remote.ip(), path.remote.port() ^ 1),
            which => address(which),
        };
        let _ = self.discovery.handle_input(self.now, Path::udp(local, remote), Meta::default(), &buf[..len]);
    }

    /// Whoever is named may be sent to, but for addresses that are none of the world's, if it is a server
    /// in the world that names them.
    fn name(&mut self, by: SocketAddr, mapped: SocketAddr, other: Option<SocketAddr>, help: Option<Help>) {
        let port = help.map(|help| SocketAddr::new(by.ip(), help.other_port));
        let others_port = other.map(|other| SocketAddr::new(by.ip(), other.port()));
        let may = |named: &SocketAddr| named.port() != 0 && (is_public(named.ip()) || !is_public(by.ip()));
        self.named.extend([Some(mapped), other, port, others_port].into_iter().flatten().filter(may));
    }

    fn bound(&mut self, which: u8, how: u8) {
        let which = usize::from(which) % self.asked.len().max(1);
        let count = if how == 0 { self.asked.len() } else { usize::from(!self.asked.is_empty()) };
        for id in self.asked.drain(which..).take(count).collect::<Vec<_>>() {
            let number = id.0.wrapping_sub(FIRST.0) as u16;
            let local = SocketAddr::new(self.local.ip(), 50_000 + number);
            let result = match how % 4 {
                3 => Err(BindError::Exhausted),
                _ => Ok(local),
            };
            // An answer may come twice.
            for _ in 0..=how % 2 {
                self.discovery.handle_host(self.now, HostInput::Bound { id, result });
            }
            if result.is_ok() {
                self.open.insert(id, local);
            }
        }
    }

    fn host(&mut self, which: u8, kind: u8, by: u8) {
        let path = self.sent.iter().rev().nth(which.into()).map(|&(path, _)| path);
        let path = path.unwrap_or(Path::udp(self.own(which), address(by)));
        let id = SocketId(FIRST.0.wrapping_add(u32::from(which)));
        let input = match kind % 5 {
            0 => HostInput::Closed { id },
            1 => HostInput::Unreachable { path, kind: Unreachable::Port },
            2 => HostInput::Expired { path, by: ip(by) },
            3 => HostInput::ClockJumped(Duration::from_secs(by.into())),
            _ => return self.discovery.heard_router(ip(by)),
        };
        self.discovery.handle_host(self.now, input);
    }

    /// One of our own sockets.
    fn own(&self, which: u8) -> SocketAddr {
        if which.is_multiple_of(4) {
            return self.local;
        }
        SocketAddr::new(self.local.ip(), 50_000 + u16::from(which) % MAX_SOCKETS as u16)
    }

    fn drain(&mut self) {
        self.began.get_or_insert(self.now);
        let drained = drain_with(&mut self.discovery, self.now, BOUND);
        self.wake = drained.wake;
        let was_over = self.is_finished;
        let was_known = self.is_known;
        for event in drained.events {
            match event {
                Event::Known => assert!(!std::mem::replace(&mut self.is_known, true), "known twice"),
                Event::Finished => assert!(!std::mem::replace(&mut self.is_finished, true), "finished twice"),
                Event::Learned => assert!(self.is_known && !was_over, "learned without a search"),
            }
        }
        for (path, bytes) in &drained.sent {
            assert!(!was_over && !self.is_closed, "sent after the end: {path}");
            self.sends(*path, bytes, was_known);
        }
        for told in drained.told {
            match told {
                Told::Bind(id) => {
                    assert!(!was_over, "a socket after the end");
                    self.binds += 1;
                    self.asked.push(id);
                }
                Told::Close(id) => {
                    self.asked.retain(|&asked| asked != id);
                    self.open.remove(&id);
                }
                Told::Connect(..) => panic!("there is no TCP here"),
            }
        }
        self.check(was_known);
    }

    fn sends(&mut self, path: Path, bytes: &[u8], was_known: bool) {
        let request = Message::parse(bytes).expect("well formed");
        assert_eq!((request.class(), request.method()), (Class::Request, Method::BINDING));
        let is_ours = path.local == self.local || self.binds > 0 && path.local.port() >= 50_000;
        assert!(is_ours && path.local.is_ipv4() == path.remote.is_ipv4(), "{path}");
        if !self.servers.contains(&path.remote) {
            assert!(self.named.contains(&path.remote), "nobody has named {path}");
            let count = self.to_strangers.entry(path.remote).or_default();
            *count += usize::from(!was_known);
            assert!(*count <= MOST_TO_ONE, "{count} to {path}");
        }
        self.sent.push((path, request.transaction_id()));
    }

    fn check(&self, was_known: bool) {
        let profile = self.discovery.profile();
        let most = if self.is_known { MOST_IN_ALL } else { MOST_PACKETS };
        assert!(self.sent.len() <= most, "{} packets", self.sent.len());
        assert!(was_known || self.binds <= 3 * MAX_SOCKETS && self.open.len() <= MAX_SOCKETS);
        assert!(self.binds <= MOST_IN_ALL);
        let is_late = self.began.is_some_and(|began| self.now >= began + PASS);
        assert!(!is_late || self.is_known || self.is_closed, "not known in time");
        for count in [profile.observations.len(), profile.mapped.len(), profile.public.len()] {
            assert!(count <= MOST_PACKETS);
        }
        assert!(profile.hops.len() <= 8 && usize::from(profile.servers.0) <= MAX_SERVERS);
        let bits = [
            profile.udp.map(|finding| finding.confidence),
            profile.translated.map(|finding| finding.confidence),
            profile.mapping.map(|finding| finding.confidence),
            profile.overloaded.map(|finding| finding.confidence),
            profile.filtering.map(|finding| finding.confidence),
            profile.allocation.map(|finding| finding.confidence),
            profile.traffic.map(|finding| finding.confidence),
            profile.parity.map(|finding| finding.confidence),
            profile.hairpin.map(|finding| finding.confidence),
            profile.lifetime.map(|finding| finding.confidence),
            profile.refreshed_inbound.map(|finding| finding.confidence),
            profile.several_addresses.map(|finding| finding.confidence),
            profile.carrier.map(|finding| finding.confidence),
            Some(profile.confidence()),
        ];
        assert!(bits.into_iter().flatten().all(|confidence| confidence <= Confidence::MAX));
        if let Some(lifetime) = profile.lifetime {
            let lifetime = lifetime.value;
            assert!(lifetime.forgotten.is_none_or(|forgotten| forgotten > lifetime.survives), "{lifetime:?}");
        }
        if self.is_finished {
            assert!(self.open.is_empty(), "left open: {:?}", self.open);
        }
    }

    /// Whatever happened, it ends.
    fn end(&mut self) {
        self.drain();
        for _ in 0..MOST_IN_ALL {
            let Some(wake) = self.wake else { break };
            self.now = self.now.max(wake);
            self.drain();
        }
        assert!(self.is_finished, "no end");
        let profile = self.discovery.profile();
        let _: Vec<_> = profile.hints(Circumstances::default()).collect();
        let _: Vec<Forecast> = Kind::ALL.iter().map(|&kind| profile.forecast(kind)).collect();
        let _ = (profile.label().to_string(), format!("{profile:?}"));
        let _ = profile.lifetime.map(|finding| finding.value.estimate());
    }
}

/// An address of a server, or one that a server names.
fn address(which: u8) -> SocketAddr {
    let port = [3478, 3478, 3479, 0, 53][usize::from(which / 32) % 5];
    SocketAddr::new(ip(which % 32), port)
}

fn ip(which: u8) -> IpAddr {
    let text = match which % 32 {
        0 => "192.168.1.7",
        1 => "2001:db8:7::7",
        2 => "203.0.113.77",
        number @ 3..=10 => return IpAddr::from([198, 51, 100, number]),
        11 => "203.0.113.1",
        12 => "203.0.113.9",
        13 => "192.0.2.1",
        14 => "8.8.8.8",
        15 => "10.0.0.1",
        16 => "192.168.1.1",
        17 => "127.0.0.1",
        18 => "169.254.1.1",
        19 => "224.0.0.1",
        20 => "255.255.255.255",
        21 => "0.0.0.0",
        22 => "100.64.0.1",
        23 => "2001:db8:1::1",
        24 => "2001:db8:2::1",
        25 => "2001:db8:7::1",
        26 => "fe80::1",
        27 => "fd00::1",
        28 => "ff02::1",
        29 => "::1",
        30 => "::ffff:10.0.0.1",
        _ => "240.0.0.1",
    };
    text.parse().expect("an address")
}

/// Whether it is an address of the world's, not of a home, a carrier, a host, or nobody's.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || first == 100 && (64..128).contains(&second)
                || first == 0
                || first >= 224)
        }
        IpAddr::V6(ip) => {
            let local = ip.is_unique_local() || ip.is_unicast_link_local();
            !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
        }
    }
}
