//! What bytes stand for: sides, NATs and addresses.

use std::net::{IpAddr, SocketAddr};

use arbitrary::Arbitrary;
use bradawl::discovery::{Allocation, Dependence};
use bradawl::machine::Transport;
use bradawl::punch::{Candidate, Kind, Nat, Party, Role};
use bradawl::time::Duration;

use super::{Begin, Front, address};

/// A side.
#[derive(Arbitrary, Debug)]
pub struct Peer {
    /// What stands in front of it.
    pub front: u8,
    /// Its sockets, a bit for each.
    pub bases: u16,
    /// What it thinks it is.
    pub is_controlling: bool,
    /// What it takes the other one for.
    pub party: u8,
    /// Its NAT.
    pub nat: Hints,
    /// How many observers it has.
    pub observers: u8,
}

/// What is known of a NAT.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Hints {
    /// What the mapping depends on.
    pub mapping: u8,
    /// What the filter depends on.
    pub filtering: u8,
    /// Which ports it gives.
    pub allocation: u8,
    /// A port, or a distance.
    pub number: u16,
    /// Of others.
    pub traffic: Option<u16>,
    /// In seconds.
    pub lifetime: Option<u8>,
    /// Everything else.
    pub flags: u8,
}

/// Where somebody may be.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Place {
    /// Which of the addresses here.
    pub ip: u8,
    /// Its port.
    pub port: u16,
    /// What it is.
    pub kind: u8,
    /// How well it is liked.
    pub priority: u32,
    /// Of which part.
    pub component: u8,
    /// Whether it is a stream.
    pub is_tcp: bool,
}

impl Peer {
    /// As the world wants it.
    pub fn begin(self, index: usize, seed: u8) -> Begin {
        let mut bases = bases(index, self.bases);
        if bases.is_empty() {
            bases = self::bases(index, 1);
        }
        Begin {
            front: front(self.front),
            bases,
            role: if self.is_controlling { Role::Controlling } else { Role::Controlled },
            party: [Party::Kin, Party::Kin, Party::Foreign, Party::Lite][usize::from(self.party % 4)],
            nat: self.nat.nat(),
            observers: usize::from(self.observers % 5),
            seed,
        }
    }
}

impl Hints {
    /// As an agent is told.
    pub fn nat(self) -> Nat {
        let dependence = |which: u8| {
            [None, Some(Dependence::Endpoint), Some(Dependence::Address), Some(Dependence::AddressAndPort)]
                [usize::from(which % 4)]
        };
        let number = self.number;
        Nat {
            is_blocked: self.flags & 15 == 15,
            is_translated: (self.flags & 16 != 0).then_some(true),
            mapping: dependence(self.mapping),
            filtering: dependence(self.filtering),
            allocation: match self.allocation % 5 {
                0 => None,
                1 => Some(Allocation::Preserving { otherwise: None }),
                2 => Some(Allocation::Sequential { step: number as i16 }),
                3 => Some(Allocation::Random),
                _ => Some(Allocation::Block { first: number, last: number.rotate_left(5) }),
            },
            traffic: self.traffic,
            punishes_early: self.flags & 32 != 0,
            lifetime: self.lifetime.map(|seconds| Duration::from_secs(u64::from(seconds % 32))),
            public: None,
            birthday: self.flags & 64 != 0,
            ..Nat::default()
        }
    }
}

impl Place {
    /// As a candidate; with another port for each of `more`.
    pub fn candidate(self, more: u16) -> Candidate {
        let at = SocketAddr::new(ip(self.ip), self.port.wrapping_add(more));
        let kind = [Kind::Host, Kind::ServerReflexive, Kind::PeerReflexive, Kind::Relayed];
        Candidate {
            foundation: format!("{}", self.kind),
            component: if self.component == 7 { 2 } else { 1 },
            transport: if self.is_tcp { Transport::Tcp } else { Transport::Udp },
            priority: self.priority,
            kind: kind[usize::from(self.kind % 4)],
            ..Candidate::host(at, 1)
        }
    }
}

/// One of the boxes.
pub fn front(which: u8) -> Front {
    match which % 5 {
        0 => Front::Open,
        1 => Front::Address,
        2 => Front::Port,
        3 => Front::Symmetric(1),
        _ => Front::Symmetric(u16::from(which)),
    }
}

/// The sockets of a side: a bit for each.
pub fn bases(side: usize, bits: u16) -> Vec<(Transport, SocketAddr)> {
    let number = side + 1;
    let all = [
        (Transport::Udp, format!("192.168.{number}.2:5000")),
        (Transport::Udp, format!("192.168.{number}.2:5001")),
        (Transport::Udp, format!("[2001:db8:{number}::2]:5000")),
        (Transport::Udp, format!("127.0.0.1:500{number}")),
        (Transport::Udp, format!("10.0.0.{number}:5000")),
        (Transport::Udp, format!("[::1]:500{number}")),
        (Transport::Udp, format!("[fe80::{number}]:5000")),
        (Transport::Tcp, format!("192.168.{number}.2:5000")),
        (Transport::Tcp, format!("[2001:db8:{number}::2]:5000")),
        (Transport::Udp, format!("100.64.0.{number}:5000")),
    ];
    let chosen = all.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
    chosen.map(|(_, (transport, text))| (*transport, address(text))).collect()
}

/// One of the addresses that are named here.
pub fn ip(which: u8) -> IpAddr {
    let text = match which % 24 {
        0 => "192.168.1.2",
        1 => "192.168.2.2",
        2 => "203.0.113.1",
        3 => "203.0.113.2",
        4 => "198.51.100.66",
        5 => "198.51.100.67",
        6 => "2001:db8:bad::66",
        7 => "2001:db8:1::2",
        8 => "2001:db8:2::2",
        9 => "127.0.0.1",
        10 => "0.0.0.0",
        11 => "224.0.0.1",
        12 => "255.255.255.255",
        13 => "192.0.2.99",
        14 => "192.0.2.53",
        15 => "fe80::9",
        16 => "ff02::1",
        17 => "::1",
        18 => "::",
        19 => "::ffff:192.168.1.2",
        20 => "10.0.0.9",
        21 => "169.254.1.1",
        22 => "8.8.8.8",
        _ => "100.64.0.7",
    };
    text.parse().expect("an address")
}
