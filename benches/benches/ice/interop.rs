//! Not how soon, but whether: our agent and another library's in one process, in every row that both can
//! play. `--interop` prints a line for each and ends with 1 if one is not as it should be.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bradawl::rng::Rng;
use bradawl_benches::network::{Candidate, Kind, Network, Side};

use crate::contender::{Contender, Entry, Role, Setup};

/// One way; and who has no pair by then, has none.
const DELAY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(10);
/// When an agent who asks for a time that has passed is asked again.
const TICK: Duration = Duration::from_millis(1);
/// How many connections make a row.
const SEEDS: u64 = 20;

/// What is special about a row.
struct Row {
    name: &'static str,
    kinds: [Kind; 2],
    loss_percent: u64,
    is_ipv6: bool,
    roles: [Role; 2],
    has_wrong_password: bool,
}

const PLAIN: Row = Row {
    name: "host, IPv4",
    kinds: [Kind::Open, Kind::Open],
    loss_percent: 0,
    is_ipv6: false,
    roles: [Role::Controlling, Role::Controlled],
    has_wrong_password: false,
};

fn rows() -> [Row; 9] {
    let (port, symmetric, address) = (Kind::PortRestricted, Kind::Symmetric, Kind::AddressRestricted);
    [
        PLAIN,
        Row { name: "host, IPv6", is_ipv6: true, ..PLAIN },
        Row { name: "srflx, IPv4", kinds: [port, port], ..PLAIN },
        Row { name: "srflx, IPv6", kinds: [port, port], is_ipv6: true, ..PLAIN },
        Row { name: "prflx", kinds: [symmetric, address], ..PLAIN },
        Row { name: "srflx, 10 % loss", kinds: [port, port], loss_percent: 10, ..PLAIN },
        Row { name: "both controlling", roles: [Role::Controlling; 2], ..PLAIN },
        Row { name: "both controlled", roles: [Role::Controlled; 2], ..PLAIN },
        Row { name: "wrong password", has_wrong_password: true, ..PLAIN },
    ]
}

/// All rows with each of these libraries, in both places; whether all are as they should be.
pub(crate) fn run(ours: &Entry, others: &[&Entry]) -> bool {
    let mut is_fine = true;
    for &other in others {
        for row in &rows() {
            for pair in [[ours, other], [other, ours]] {
                is_fine &= is_right(row, pair, other);
            }
        }
    }
    is_fine
}

/// Where two of the other library lose some, ours and one of them may lose as many.
fn is_right(row: &Row, pair: [&Entry; 2], other: &Entry) -> bool {
    let count = |pair| (1..=SEEDS).filter(|&seed| connects(row, pair, seed)).count() as u64;
    let (connected, alone) = (count(pair), count([other, other]));
    let is_right = if row.has_wrong_password { connected == 0 } else { connected >= alone };
    let [a, b] = pair.map(|entry| entry.name);
    let verdict = if is_right { "PASS" } else { "FAIL" };
    println!(
        "{verdict} {a}×{b}, {}: {connected} of {SEEDS} connect; two of {}: {alone}",
        row.name, other.name
    );
    is_right
}

fn connects(row: &Row, pair: [&Entry; 2], seed: u64) -> bool {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = Rng::from_seed(bytes);
    let mut network = Network::new(row.kinds, DELAY, row.loss_percent, rng.fork());
    let mut agents = Side::BOTH.map(|side| {
        let local = outside(row, network.local(side));
        let setup = Setup { role: row.roles[side.index()], local, seed: rng.bytes() };
        (pair[side.index()].start)(&setup)
    });
    introduce(row, &mut agents, &network);
    let (mut now, mut wakes) = (Duration::ZERO, [Some(Duration::ZERO); 2]);
    while now < LIMIT {
        for side in Side::BOTH {
            if wakes[side.index()].is_some_and(|at| at <= now) {
                let send = &mut |to, bytes: &[u8]| network.send(now, side, inside(to), bytes);
                let wake = agents[side.index()].poll(now, send);
                wakes[side.index()] = wake.map(|at| if at > now { at } else { now + TICK });
            }
        }
        if agents.iter().all(|agent| agent.is_selected()) {
            return true;
        }
        let Some(next) = wakes.into_iter().flatten().chain(network.next_arrival()).min() else {
            return false;
        };
        now = now.max(next);
        if network.next_arrival().is_some_and(|at| at <= now)
            && let Some(arrival) = network.arrive()
        {
            let index = arrival.side.index();
            agents[index].handle_input(now, outside(row, arrival.from), &arrival.bytes);
            wakes[index] = Some(now);
        }
    }
    false
}

fn introduce(row: &Row, agents: &mut [Box<dyn Contender>; 2], network: &Network) {
    for side in Side::BOTH {
        let mut remote = agents[side.other().index()].credentials();
        if row.has_wrong_password {
            remote.pwd = remote.pwd.chars().rev().collect();
        }
        let Candidate { address, is_reflexive } = network.candidate(side.other());
        let candidate = Candidate { address: outside(row, address), is_reflexive };
        agents[side.index()].connect(Duration::ZERO, &remote, candidate);
    }
}

/// The network counts in IPv4; agents that are to see IPv6 see each address behind this prefix.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

fn outside(row: &Row, address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if row.is_ipv6 => {
            let ip = Ipv6Addr::from_bits(PREFIX.to_bits() | u128::from(ip.to_bits()));
            SocketAddr::new(ip.into(), address.port())
        }
        _ => address,
    }
}

fn inside(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => SocketAddr::from(((ip.to_bits() as u32).to_be_bytes(), address.port())),
        IpAddr::V4(_) => address,
    }
}
