//! Made-up results that look like real ones.

use core::net::SocketAddr;

use bradawl::time::Instant;
use bradawl_sim::nat::{Dropped, Flow};
use bradawl_sim::report::matrix::{Cell, Matrix};
use bradawl_sim::trace::{
    Drop, Happened, PacketNote, Place, PlaceKind, PlaceName, Record, Strategy, Trace, Warrant, What,
};

/// Each NAT and how hard it is: 0 is open, 9 lets nothing through.
const NATS: [(&str, u32); 12] = [
    ("open", 0),
    ("full-cone", 1),
    ("restricted", 2),
    ("port-restricted", 3),
    ("home", 3),
    ("linux", 3),
    ("symmetric-preserving", 4),
    ("symmetric-sequential", 5),
    ("symmetric-block", 6),
    ("symmetric-random", 7),
    ("cgn", 7),
    ("udp-blocked", 9),
];

const RUNS: u32 = 200;

pub(crate) fn matrix() -> Matrix {
    let mut noise = 1;
    let mut cells = Vec::new();
    for a in 0..NATS.len() {
        for b in a..NATS.len() {
            cells.push(cell(a, b, &mut noise));
        }
    }
    Matrix {
        command: format!("bradawl-sim matrix --nats all --seeds {RUNS} --svg matrix.svg"),
        nats: NATS.map(|(name, _)| name.to_owned()).to_vec(),
        cells,
        seeds: RUNS,
        seed: 1,
    }
}

fn cell(a: usize, b: usize, noise: &mut u32) -> Cell {
    let hardness = NATS[a].1 + NATS[b].1;
    let blocked = NATS[a].1 == 9 || NATS[b].1 == 9;
    let (expectation, direct) = match hardness {
        _ if blocked => ("impossible", 0),
        0..=8 => ("certain", RUNS),
        9 => ("certain", RUNS - 1),
        10 => ("probable 97.5 %", 196),
        11 => ("probable 60 %", 124),
        12 => ("probable 30 %", 57),
        _ => ("impossible", 0),
    };
    let failed = if a == b && blocked { 9 } else { 0 };
    let relayed = RUNS - direct - failed;
    let strategy = if hardness < 4 { Strategy::PeerReflexive } else { Strategy::Punch };
    let base = if hardness < 4 { 62_000 } else { 104_000 + hardness.saturating_sub(6) * 38_000 };
    let mut times =
        vec![(strategy, spread(direct, base, noise)), (Strategy::Relay, spread(relayed, 246_000, noise))];
    if a == b {
        times[0].1.truncate(150);
        times.push((Strategy::Host, spread(direct.saturating_sub(150), 2_400, noise)));
    }
    Cell {
        a,
        b,
        runs: RUNS,
        direct,
        relayed,
        failed,
        broken: if (a, b) == (4, 10) { 3 } else { 0 },
        expectation: expectation.to_owned(),
        times,
        packets: spread(RUNS, 12 + hardness * hardness * 2, noise),
    }
}

/// So many values from `base` up, most of them near to it.
fn spread(count: u32, base: u32, noise: &mut u32) -> Vec<u32> {
    let mut next = || {
        *noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*noise >> 16) % 1_000
    };
    (0..count)
        .map(|_| {
            base + (u64::from(base) * u64::from(next() * next() / 1_000 * (next() + 200)) / 1_500_000) as u32
        })
        .collect()
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A run that is being written down.
pub(crate) struct Story {
    pub(crate) trace: Trace,
}

impl Story {
    pub(crate) fn new(places: &[(&str, PlaceKind)]) -> Self {
        let place = |&(name, kind): &(&str, PlaceKind)| PlaceName { name: name.to_owned(), kind };
        Self { trace: Trace { places: places.iter().map(place).collect(), records: Vec::new() } }
    }

    pub(crate) fn add(&mut self, at: u64, place: u32, packet: Option<PacketNote>, what: What) {
        self.trace.records.push(Record { at: Instant::from_micros(at), place: Place(place), packet, what });
    }

    /// A packet's whole way: when and where, and what happens to it there.
    pub(crate) fn packet(
        &mut self,
        id: u64,
        label: &'static str,
        mut flow: Flow,
        way: Vec<(u64, u32, What)>,
    ) {
        for (at, place, what) in way {
            let crossed = match what {
                What::Crossed(flow) | What::TurnedRound(flow) => Some(flow),
                _ => None,
            };
            self.add(at, place, Some(PacketNote { id, flow, size: 108, label }), what);
            flow = crossed.unwrap_or(flow);
        }
    }

    /// In the order of time, as a run writes it down.
    pub(crate) fn told(mut self) -> Trace {
        self.trace.records.sort_by_key(|record| record.at);
        self.trace
    }
}

/// Two hosts behind port-restricted NATs learn their addresses and punch. Of the first two checks one is
/// filtered, because the other side has not sent yet, and one is lost on the way.
pub(crate) fn punch() -> Trace {
    let mut story = Story::new(&[
        ("alice", PlaceKind::Host),
        ("alice-home", PlaceKind::Gateway),
        ("mediator", PlaceKind::Host),
        ("cafe", PlaceKind::Gateway),
        ("bob", PlaceKind::Host),
        ("internet", PlaceKind::Network),
    ]);
    let sides = [
        Side {
            host: 0,
            gateway: 1,
            inside: address("192.168.1.7:50000"),
            public: address("203.0.113.9:50000"),
        },
        Side {
            host: 4,
            gateway: 3,
            inside: address("10.0.0.23:41641"),
            public: address("198.51.100.77:41641"),
        },
    ];
    ask(&mut story, &sides[0], 0, 1);
    ask(&mut story, &sides[1], 7_400, 3);
    for (place, to) in [(0, sides[1].public), (4, sides[0].public)] {
        story.add(240_000, place, None, What::Says(Happened::MaySend { to, why: Warrant::Candidate }));
    }
    let [alice, bob] = &sides;
    story.packet(
        5,
        "check",
        Flow::udp(alice.inside, bob.public),
        vec![
            (241_000, 0, What::Sent),
            (243_000, 1, What::Crossed(Flow::udp(alice.public, bob.public))),
            (281_000, 3, What::Dropped(Drop::Nat(Dropped::Filtered))),
        ],
    );
    story.packet(
        6,
        "check",
        Flow::udp(bob.inside, alice.public),
        vec![
            (284_500, 4, What::Sent),
            (287_000, 3, What::Crossed(Flow::udp(bob.public, alice.public))),
            (290_000, 5, What::Dropped(Drop::Lost)),
        ],
    );
    connect(&mut story, alice, bob);
    story.add(900_000, 1, None, What::Fault("reboot".to_owned()));
    story.add(2_300_000, 0, None, What::Says(Happened::Lost));
    story.told()
}

struct Side {
    host: u32,
    gateway: u32,
    inside: SocketAddr,
    public: SocketAddr,
}

/// A host asks the mediator how it looks from outside.
fn ask(story: &mut Story, side: &Side, at: u64, id: u64) {
    let mediator = address("192.0.2.1:3478");
    let Side { host, gateway, inside, public } = *side;
    story.packet(
        id,
        "binding request",
        Flow::udp(inside, mediator),
        vec![
            (at, host, What::Sent),
            (at + 2_000, gateway, What::Mapped { inside, public }),
            (at + 2_000, gateway, What::Crossed(Flow::udp(public, mediator))),
            (at + 42_000, 2, What::Received),
        ],
    );
    story.packet(
        id + 1,
        "binding response",
        Flow::udp(mediator, public),
        vec![
            (at + 42_000, 2, What::Sent),
            (at + 82_000, gateway, What::Crossed(Flow::udp(mediator, inside))),
            (at + 84_000, host, What::Received),
        ],
    );
    story.add(at + 84_000, host, None, What::Says(Happened::SeenAs(public)));
}

/// The second check of each comes through, and both select it.
fn connect(story: &mut Story, alice: &Side, bob: &Side) {
    let flows = [(alice, bob, 321_000), (bob, alice, 324_500)];
    for (id, (from, to, at)) in (7..).zip(flows) {
        story.packet(
            id,
            "check",
            Flow::udp(from.inside, to.public),
            vec![
                (at, from.host, What::Sent),
                (at + 2_000, from.gateway, What::Crossed(Flow::udp(from.public, to.public))),
                (at + 40_000, to.gateway, What::Crossed(Flow::udp(from.public, to.inside))),
                (at + 42_000, to.host, What::Received),
            ],
        );
        let at = at + 42_000;
        story.packet(
            id + 10,
            "check response",
            Flow::udp(to.inside, from.public),
            vec![
                (at, to.host, What::Sent),
                (at + 2_000, to.gateway, What::Crossed(Flow::udp(to.public, from.public))),
                (at + 40_000, from.gateway, What::Crossed(Flow::udp(to.public, from.inside))),
                (at + 42_000, from.host, What::Received),
            ],
        );
        let (local, remote) = (from.inside, to.public);
        let selected = Happened::Selected { local, remote, strategy: Strategy::Punch };
        story.add(at + 42_000, from.host, None, What::Says(selected));
    }
}
