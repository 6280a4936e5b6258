//! Two agents of `bradawl::punch`, each behind a box, with a network between them that loses, repeats and
//! reorders; and everything that has to hold whatever is done to them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bradawl::machine::{
    BindError, HostInput, HostRequest, MIN_BUFFER, Machine as _, Meta, Output, Path, Transport, Verdict,
};
use bradawl::punch::{Candidate, Credentials, Event, Hint, Kind, MAX_EXTRA, Remote};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{Mark, XorMappedAddress};
use bradawl::wire::stun::{Class, Key, Message, Writer};

pub use self::side::{Begin, Front, Side};

pub mod setup;
mod side;

/// More polls than any one moment can ask for: volleys that are closed and opened.
const BOUND: usize = 6_000;
/// How many packets an attacker remembers.
const MAX_CAPTURED: usize = 96;
/// How many sockets one attempt asks for at most: brackets, openers, and three volleys with their scouts.
const SOCKETS_OF_ATTEMPT: usize = 4 + 512 + 3 * 151;
/// How many moments a world may have: a bound for the fuzzer's sake.
const FUEL: u32 = 4_000;
/// A packet that somebody overheard.
#[derive(Clone)]
pub struct Captured {
    /// How it looked outside.
    pub transport: Transport,
    /// Where it came from, as seen outside.
    pub from: SocketAddr,
    /// Where it was sent.
    pub to: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it has arrived, if it has.
    pub arrived: Option<(usize, Path)>,
}

enum Cargo {
    Packet(Captured),
    Hint(usize, Hint),
    Restart(usize),
}

/// Both, and what is between them.
pub struct World {
    /// The agents.
    pub sides: [Side; 2],
    /// What time it is.
    pub now: Instant,
    /// How long a packet takes.
    pub delay: Duration,
    /// How much longer some take.
    pub jitter: Duration,
    /// How many of 256 are lost, and come twice.
    pub loss: u8,
    /// How many of 256 come twice.
    pub twice: u8,
    /// What was overheard.
    pub captured: VecDeque<Captured>,
    /// Somebody who has the passwords joins in.
    pub has_traitor: bool,
    /// Something was done after which the two need not agree.
    pub is_sloppy: bool,
    air: BTreeMap<(Instant, u64), Cargo>,
    serial: u64,
    rng: Rng,
    generation: u32,
    fuel: u32,
    /// How often something happened.
    pub moments: u64,
    marks: BTreeMap<(usize, SocketAddr, u16), u16>,
}

impl World {
    /// Two agents that have their sockets and do not know of each other yet.
    pub fn new(begin: [Begin; 2], seed: u8) -> Self {
        let (caller, callee) = Credentials::derive(&[seed; 32], &0_u32.to_be_bytes());
        let [first, second] = begin;
        let mut sides = [Side::new(0, first, caller), Side::new(1, second, callee)];
        let now = Instant::ZERO + Duration::from_secs(200_000);
        for side in &mut sides {
            for candidate in side.offers() {
                let base = candidate.related.unwrap_or(candidate.address);
                let _ = side.agent.add_local(now, &candidate, base);
            }
        }
        Self {
            sides,
            now,
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss: 0,
            twice: 0,
            captured: VecDeque::new(),
            has_traitor: false,
            is_sloppy: false,
            air: BTreeMap::new(),
            serial: 0,
            rng: Rng::from_seed([seed; 32]),
            generation: 0,
            fuel: FUEL,
            moments: 0,
            marks: BTreeMap::new(),
        }
    }

    /// Side `index` learns who the other one is, and where.
    pub fn begin(&mut self, index: usize) {
        let remote = Remote {
            credentials: self.sides[1 - index].agent.credentials().clone(),
            party: self.sides[index].party,
            nat: self.sides[1 - index].nat,
        };
        let offers = self.sides[1 - index].offers();
        let (now, side) = (self.now, &mut self.sides[index]);
        side.theirs = Some(Key::short_term(remote.credentials.pwd()));
        side.forget_attempt();
        // Who has failed begins again when it is told to.
        side.has_failed = false;
        side.agent.begin(now, remote);
        // The mediator sees it where its NAT has put it.
        if let Some(seen) = offers.iter().max_by_key(|offer| offer.kind == Kind::ServerReflexive) {
            side.agent.seen_at(now, seen.address);
        }
        for candidate in offers {
            self.name(index, &candidate);
        }
    }

    /// Side `index` is told of an address.
    pub fn name(&mut self, index: usize, candidate: &Candidate) {
        let (now, side) = (self.now, &mut self.sides[index]);
        let is_new = side.agent.add_remote(now, candidate).is_ok();
        if is_new {
            let to = candidate.address;
            assert!(to.port() != 0 && !to.ip().is_multicast() && !to.ip().is_unspecified(), "{to}");
            assert!(to != address("192.0.2.99:3478"), "a server of ours");
            side.candidates.insert(to);
        }
    }

    /// Side `index` begins a new generation; the other one is told, and does so a little later.
    pub fn restart(&mut self, index: usize) {
        self.generation += 1;
        self.renew(index);
        let when = (self.now + self.delay + Duration::from_micros(1), self.next_serial());
        self.air.insert(when, Cargo::Restart(1 - index));
    }

    fn renew(&mut self, index: usize) {
        let (caller, callee) = Credentials::derive(&[9; 32], &self.generation.to_be_bytes());
        let (now, side) = (self.now, &mut self.sides[index]);
        let ours = if index == 0 { caller } else { callee };
        side.keys = [&ours, side.agent.credentials()].map(|known| Key::short_term(known.pwd())).into();
        side.agent.restart(now, ours);
        side.theirs = None;
        side.has_failed = false;
        side.candidates.clear();
        side.vouched.clear();
        side.forget_attempt();
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Side `index` has one more socket.
    pub fn add_local(&mut self, index: usize, base: (Transport, SocketAddr)) {
        let (now, side) = (self.now, &mut self.sides[index]);
        let candidate = Candidate { transport: base.0, ..Candidate::host(base.1, 1) };
        if side.agent.add_local(now, &candidate, base.1).is_ok() {
            side.bases.push(base);
            side.ever_local.insert(base.1);
        }
    }

    /// The program of side `index` sends, if there is a path.
    pub fn send_data(&mut self, index: usize, bytes: &[u8]) {
        let Some(path) = self.sides[index].agent.transmit(self.now) else { return };
        let from = self.sides[index].out(path.transport, path.local, path.remote);
        self.put(Captured {
            transport: path.transport,
            from,
            to: path.remote,
            bytes: bytes.to_vec(),
            arrived: None,
        });
    }

    // --- time -------------------------------------------------------------------------------------

    /// Lets everything happen until `end`; false if the world had more in it than the fuel is good for.
    pub fn run(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        loop {
            self.drain(0);
            self.drain(1);
            let arrival = self.air.keys().next().map(|(at, _)| *at);
            let wakes = [self.sides[0].wake, self.sides[1].wake];
            let next = [arrival, wakes[0], wakes[1]].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            if self.fuel == 0 {
                return false;
            }
            self.fuel -= 1;
            self.now = self.now.max(next);
            self.moments += 1;
            while let Some(entry) = self.air.first_entry().filter(|entry| entry.key().0 <= self.now) {
                match entry.remove() {
                    Cargo::Packet(packet) => self.arrives(packet),
                    Cargo::Hint(index, hint) => self.sides[index].agent.hear(self.now, hint),
                    Cargo::Restart(index) => {
                        self.renew(index);
                        self.begin(index);
                        self.begin(1 - index);
                    }
                }
            }
        }
        self.now = end;
        self.drain(0);
        self.drain(1);
        true
    }

    /// Fresh fuel, for the end.
    pub fn refuel(&mut self) {
        self.fuel = FUEL;
    }

    /// The clock is set, whatever was planned.
    pub fn set_clock(&mut self, now: Instant) {
        if now < self.now {
            // Whoever is counted by time begins anew.
            for side in &mut self.sides {
                side.silent.values_mut().for_each(|(_, times)| times.clear());
            }
        }
        self.now = now;
        self.drain(0);
        self.drain(1);
    }

    fn arrives(&mut self, mut packet: Captured) {
        let way = |index: usize| {
            let inside = self.sides[index].inside(packet.transport, packet.from, packet.to)?;
            Some((index, Path { transport: packet.transport, local: inside, remote: packet.from }))
        };
        let Some((index, path)) = way(0).or_else(|| way(1)) else { return };
        packet.arrived = Some((index, path));
        if let Some(known) = self.captured.iter_mut().find(|known| known.bytes == packet.bytes) {
            known.arrived = packet.arrived;
        }
        self.input(index, path, &packet.bytes);
    }

    /// Bytes come in at a socket of side `index`.
    pub fn input(&mut self, index: usize, path: Path, bytes: &[u8]) {
        let (now, side) = (self.now, &mut self.sides[index]);
        side.note_seals(path, bytes);
        let verdict = side.agent.handle_input(now, path, Meta::default(), bytes);
        if let Verdict::Deliver { from, body } = verdict {
            assert!(body.end <= bytes.len() && !side.is_closed, "delivered");
            assert_eq!(from, path.remote);
            let proven = side.ever_vouched.contains(&from);
            assert!(proven, "data from {from}, of whom nobody has heard");
            assert!(self.has_traitor || !is_attacker(from), "data of the attacker's");
        }
    }

    // --- what comes out -----------------------------------------------------------------------------

    /// Drains side `index`, and looks at all that comes out.
    pub fn drain(&mut self, index: usize) {
        self.drain_into(index, &mut [0; MIN_BUFFER]);
    }

    /// The same with a buffer of another size.
    pub fn drain_into(&mut self, index: usize, buf: &mut [u8]) {
        for _ in 0..BOUND {
            match self.sides[index].agent.poll_output(self.now, buf) {
                Output::Transmit { path, len, .. } => self.sends(index, path, &buf[..len]),
                Output::Event(event) => self.tells(index, event),
                Output::Host(request) => self.asks(index, request),
                Output::Idle(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "woken at once again");
                    assert!(wake.is_none() || !self.sides[index].is_closed, "woken after the end");
                    self.sides[index].wake = wake;
                    return;
                }
            }
        }
        panic!("not idle after {BOUND} polls");
    }

    fn asks(&mut self, index: usize, request: HostRequest) {
        let (now, side) = (self.now, &mut self.sides[index]);
        match request {
            HostRequest::Bind { id, transport, local } => {
                assert!(!side.is_closed && transport == Transport::Udp, "a socket after the end");
                side.asked += 1;
                assert!(side.asked <= SOCKETS_OF_ATTEMPT, "{} sockets", side.asked);
                side.binds = side.binds.rotate_left(1);
                let result = if side.binds & 1 == 1 {
                    side.next_bound += 1;
                    let bound = SocketAddr::new(local.ip(), side.next_bound);
                    assert!(side.extras.insert(id, bound).is_none(), "a number that is in use");
                    assert!(side.extras.len() <= MAX_EXTRA, "too many sockets");
                    side.ever_local.insert(bound);
                    Ok(bound)
                } else {
                    Err(BindError::Exhausted)
                };
                side.agent.handle_host(now, HostInput::Bound { id, result });
            }
            HostRequest::Close { id } => {
                side.extras.remove(&id);
            }
            HostRequest::Limit { id, hops } => {
                assert!(!side.is_closed, "a limit after the end");
                let Some(&local) = side.extras.get(&id) else { return };
                if hops == 0 {
                    side.limited.remove(&local);
                } else {
                    side.limited.insert(local);
                }
            }
            HostRequest::Connect { .. } => panic!("not asked for: {request:?}"),
        }
    }

    fn tells(&mut self, index: usize, event: Event) {
        let side = &mut self.sides[index];
        assert!(!side.is_closed, "{event:?} after the end");
        match event {
            Event::Selected(selected) => {
                let path = selected.path;
                let is_open = side.is_open(path.transport, path.local);
                assert!(is_open, "a socket that is not open: {path}");
                assert!(side.ever_vouched.contains(&path.remote), "nobody is there: {path}");
                assert!(self.has_traitor || !is_attacker(path.remote), "the attacker's: {path}");
            }
            Event::Lost { .. } => {
                side.vouched.clear();
                side.forget_attempt();
            }
            Event::Failed(_) => side.has_failed = true,
            Event::Learned(place) => assert!(side.ever_vouched.contains(&place), "learned {place}"),
            Event::Tell(hint) => {
                let when = (self.now + self.delay, self.next_serial());
                self.air.insert(when, Cargo::Hint(1 - index, hint));
            }
            Event::RoleChanged(role) => assert_eq!(role.other().other(), role),
        }
    }

    fn sends(&mut self, index: usize, path: Path, bytes: &[u8]) {
        let message = Message::parse(bytes).expect("well formed");
        self.sides[index].may_send(self.now, path, &message);
        let from = self.sides[index].out(path.transport, path.local, path.remote);
        if self.sides[index].limited.contains(&path.local) {
            return;
        }
        if message.class() == Class::Request && self.mark(index, from, path, &message) {
            return;
        }
        let packet = Captured {
            transport: path.transport,
            from,
            to: path.remote,
            bytes: bytes.to_vec(),
            arrived: None,
        };
        if !is_attacker(path.remote) {
            self.capture(packet.clone());
        }
        self.put(packet);
    }

    fn capture(&mut self, packet: Captured) {
        if self.captured.len() == MAX_CAPTURED {
            self.captured.pop_front();
        }
        self.captured.push_back(packet);
    }

    fn put(&mut self, packet: Captured) {
        let is_datagram = packet.transport == Transport::Udp;
        let chance = self.rng.bytes::<3>();
        if is_datagram && chance[0] < self.loss {
            return;
        }
        let copies = if is_datagram && chance[1] < self.twice { 2 } else { 1 };
        for copy in 0..copies {
            let late =
                if is_datagram { self.jitter * u32::from(chance[2] ^ copy) / 256 } else { Duration::ZERO };
            let when = (self.now + self.delay + late, self.next_serial());
            self.air.insert(when, Cargo::Packet(packet.clone()));
        }
    }

    /// Whether it goes to the mediator, which answers and tells the other side.
    fn mark(&mut self, index: usize, from: SocketAddr, path: Path, message: &Message<'_>) -> bool {
        let Ok(Some(mark)) = message.find::<Mark>() else { return false };
        let mut buf = [0; 128];
        let len = Writer::new(&mut buf, Class::Success, message.method(), message.transaction_id())
            .put(&XorMappedAddress(from))
            .finish()
            .expect("it fits");
        self.put(Captured {
            transport: Transport::Udp,
            from: path.remote,
            to: from,
            bytes: buf[..len].to_vec(),
            arrived: None,
        });
        let key = (index, path.local, mark.round);
        if mark.is_second {
            if let Some(&first) = self.marks.get(&key) {
                let hint = Hint::Bracket { ip: from.ip(), first, second: from.port() };
                let when = (self.now + self.delay * 2, self.next_serial());
                self.air.insert(when, Cargo::Hint(1 - index, hint));
            }
        } else {
            self.marks.insert(key, from.port());
        }
        true
    }

    // --- the end ------------------------------------------------------------------------------------

    /// Side `index` ends; from now on it may close sockets, and nothing else.
    pub fn close(&mut self, index: usize) {
        let (now, side) = (self.now, &mut self.sides[index]);
        side.agent.close(now);
        side.is_closed = true;
        self.drain(index);
        let side = &self.sides[index];
        assert!(side.extras.is_empty(), "left open: {:?}", side.extras);
        assert!(side.agent.selected().is_none() && side.wake.is_none());
    }

    /// If both have a path, each is the other's.
    pub fn assert_agreed(&mut self) {
        let paths = [0, 1].map(|index| self.sides[index].agent.selected().map(|selected| selected.path));
        let [Some(first), Some(second)] = paths else { return };
        let is_mirrored = self.leads(0, first) == Some(second) && self.leads(1, second) == Some(first);
        assert!(is_mirrored, "two minds: {first} and {second}");
        assert_ne!(self.sides[0].agent.role(), self.sides[1].agent.role(), "two of a kind");
    }

    /// The path by which the other side gets what is sent on `path`.
    fn leads(&mut self, index: usize, path: Path) -> Option<Path> {
        let from = self.sides[index].out(path.transport, path.local, path.remote);
        let inside = self.sides[1 - index].inside(path.transport, from, path.remote)?;
        Some(Path { transport: path.transport, local: inside, remote: from })
    }
}

/// Addresses from which nobody but the attacker sends.
pub fn is_attacker(address: SocketAddr) -> bool {
    ATTACKERS.iter().any(|text| address.ip() == self::address(text).ip())
}

/// Where the attacker is.
pub const ATTACKERS: [&str; 3] = ["198.51.100.66:6666", "198.51.100.67:5000", "[2001:db8:bad::66]:6666"];

/// An address that is written here.
pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
