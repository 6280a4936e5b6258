//! Scenarios made up from bytes: a few hosts that want to reach each other through whatever stands between
//! them. Any bytes give one that can be run, and no bytes at all a mild one.
//!
//! Most are like the world is, so that what they find matters; one in eight is wild.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Arbitrary, Result, Unstructured};
use bradawl::rng::Rng;

use super::{Fault, GatewaySpec, HostSpec, INTERNET, Mishap, NetworkSpec, Program, Scenario, Subnet};
use crate::catalogue;
use crate::firewall::{Firewall, Inbound, Outbound};
use crate::link::Quality;
use crate::nat::{Allocation, Dependence, Fallback, Hairpin, Pooling, PortRange};
use crate::units::{Chance, Rate, Span};

impl Scenario {
    /// The one that grows from `seed`, and runs with it.
    ///
    /// ```
    /// use bradawl_sim::scenario::Scenario;
    ///
    /// let scenario = Scenario::random(7);
    /// assert_eq!(scenario, Scenario::random(7));
    /// assert!(scenario.check().is_ok());
    /// ```
    pub fn random(seed: u32) -> Self {
        /// More than the wildest one takes.
        const BYTES: usize = 2_048;
        let mut whole = *b"bradawl-sim: a random scenario..";
        whole[28..].copy_from_slice(&seed.to_le_bytes());
        let bytes: [u8; BYTES] = Rng::from_seed(whole).bytes();
        let scenario = Self::arbitrary(&mut Unstructured::new(&bytes)).unwrap_or_default();
        Self { seed, ..scenario }
    }
}

impl<'a> Arbitrary<'a> for Scenario {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut draft =
            Draft { seed: u.arbitrary().unwrap_or_default(), wild: false, u, it: Self::default() };
        draft.wild = draft.rarely(1, 8)?;
        draft.it.seed = draft.seed;
        draft.it.time = draft.millis(20_000, 60_000)?;
        draft.mediator()?;
        let pairs = if draft.rarely(1, 6)? { draft.number(2, 3)? } else { 1 };
        for pair in 0..pairs {
            draft.pair(pair)?;
        }
        draft.others()?;
        draft.addresses()?;
        draft.faults()?;
        Ok(draft.it)
    }
}

/// A scenario that is being made up.
struct Draft<'u, 'a> {
    u: &'u mut Unstructured<'a>,
    seed: u32,
    wild: bool,
    it: Scenario,
}

const HUB: &str = "hub";
const PEERS: [(&str, &str); 3] = [("alice", "bob"), ("carol", "dave"), ("erin", "frank")];

impl Draft<'_, '_> {
    fn mediator(&mut self) -> Result<()> {
        let mut addresses = Vec::new();
        if self.rarely(1, 3)? {
            addresses = [1, 2].map(|number| IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))).into();
            if self.rarely(1, 2)? {
                let v6 = |number| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, number));
                addresses.extend([1, 2].map(v6));
            }
        }
        let link = self.link()?;
        let run = Program::Mediator;
        let hub = HostSpec {
            run,
            networks: vec![INTERNET.to_owned()],
            addresses,
            server: None,
            peer: None,
            start: Span::ZERO,
            link,
        };
        self.it.hosts.insert(HUB.to_owned(), hub);
        Ok(())
    }

    /// Two that want to reach each other, somewhere.
    fn pair(&mut self, number: u64) -> Result<()> {
        let (a, b) = PEERS[number as usize];
        let (first, second) = match self.number(0, 12)? {
            0..=5 => (self.network(INTERNET)?, self.network(INTERNET)?),
            6 => {
                let home = self.network(INTERNET)?;
                (home.clone(), home)
            }
            7 | 8 => {
                let carrier = self.network(INTERNET)?;
                (self.network(&carrier)?, self.network(&carrier)?)
            }
            9 => (self.network(INTERNET)?, INTERNET.to_owned()),
            // Where another pair is, too.
            10 => (self.network(INTERNET)?, self.somewhere()?),
            _ => {
                let mut way = self.network(INTERNET)?;
                for _ in 0..self.number(1, if self.wild { 3 } else { 1 })? {
                    way = self.network(&way)?;
                }
                (way, self.network(INTERNET)?)
            }
        };
        self.peer(a, b, first)?;
        self.peer(b, a, second)
    }

    fn peer(&mut self, name: &str, peer: &str, network: String) -> Result<()> {
        let mut networks = vec![network];
        let mut more = self.rarely(1, 6)?;
        while more {
            let other = if self.rarely(1, 8)? { INTERNET.to_owned() } else { self.network(INTERNET)? };
            if !networks.contains(&other) {
                networks.push(other);
            }
            more = networks.len() < 4 && self.rarely(1, 4)?;
        }
        let start = if self.rarely(1, 2)? { self.millis(0, self.bound(200, 5_000))? } else { Span::ZERO };
        let host = HostSpec {
            run: Program::Peer,
            networks,
            addresses: Vec::new(),
            server: Some(HUB.to_owned()),
            peer: Some(peer.to_owned()),
            start,
            link: self.link()?,
        };
        self.it.hosts.insert(name.to_owned(), host);
        Ok(())
    }

    /// Bystanders.
    fn others(&mut self) -> Result<()> {
        for (name, run) in [("stan", Program::Stun), ("simon", Program::Silent)] {
            if !self.rarely(1, 8)? {
                continue;
            }
            let network = self.somewhere()?;
            let host = HostSpec {
                run,
                networks: vec![network],
                addresses: Vec::new(),
                server: (run == Program::Stun).then(|| HUB.to_owned()),
                peer: None,
                start: self.millis(0, 2_000)?,
                link: self.link()?,
            };
            self.it.hosts.insert(name.to_owned(), host);
        }
        Ok(())
    }

    fn somewhere(&mut self) -> Result<String> {
        let all: Vec<&String> = self.it.networks.keys().collect();
        Ok(self.u.choose(&all)?.to_string())
    }

    /// A new network in `outside`.
    fn network(&mut self, outside: &str) -> Result<String> {
        const SUBNETS: [Ipv4Addr; 4] = [
            Ipv4Addr::new(192, 168, 0, 0),
            Ipv4Addr::new(192, 168, 178, 0),
            Ipv4Addr::new(10, 0, 0, 0),
            Ipv4Addr::new(172, 20, 0, 0),
        ];
        let name = format!("net-{}", self.it.networks.len() + 1);
        let behind = self.gateway()?;
        let ipv6 = self.it.has_ipv6(outside) && self.rarely(1, 3)?;
        let mut subnet = None;
        if self.it.translates(&behind) && self.rarely(1, 5)? {
            subnet = Subnet::of(*self.u.choose(&SUBNETS)?, if self.rarely(1, 4)? { 16 } else { 24 });
        }
        let network = NetworkSpec { outside: outside.to_owned(), behind, ipv6, subnet, link: self.link()? };
        self.it.networks.insert(name.clone(), network);
        Ok(name)
    }

    /// One of the catalogue, or one that nobody has thought of.
    fn gateway(&mut self) -> Result<String> {
        if !self.rarely(1, 4)? {
            return Ok(self.u.choose_iter(catalogue::entries())?.name.to_owned());
        }
        let name = format!("nat-{}", self.it.nats.len() + 1);
        let mut spec = self.spec()?;
        if self.rarely(1, 4)? {
            let nats = catalogue::entries().iter().filter(|entry| entry.gateway.nat.is_some());
            spec.like = Some(self.u.choose_iter(nats.collect::<Vec<_>>())?.name.to_owned());
        }
        self.it.nats.insert(name.clone(), spec);
        if self.it.check_gateway(&name).is_err() {
            // Axes that exclude each other: such a NAT is not built.
            self.it.nats.insert(name.clone(), GatewaySpec::default());
        }
        Ok(name)
    }

    /// Some axes as they may be.
    fn spec(&mut self) -> Result<GatewaySpec> {
        const DEPENDENCE: [Dependence; 3] =
            [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];
        const PORTS: [(u16, u16); 5] =
            [(1_024, 65_535), (50_001, 65_535), (32_768, 60_999), (1_024, 2_047), (1, 65_535)];
        const HAIRPIN: [Hairpin; 3] = [Hairpin::None, Hairpin::ExternalSource, Hairpin::InternalSource];
        const POOLING: [Pooling; 2] = [Pooling::Paired, Pooling::Arbitrary];
        Ok(GatewaySpec {
            like: None,
            addresses: self.maybe(|draft| Ok(draft.number(1, 4)? as u8))?,
            firewall: self.maybe(Self::firewall)?,
            mapping: self.maybe(|draft| draft.u.choose(&DEPENDENCE).copied())?,
            filtering: self.maybe(|draft| draft.u.choose(&DEPENDENCE).copied())?,
            allocation: self.maybe(Self::allocation)?,
            overload: self.maybe(|draft| draft.u.arbitrary())?,
            parity: self.maybe(|draft| draft.u.arbitrary())?,
            contiguity: self.maybe(|draft| draft.u.arbitrary())?,
            well_known: self.maybe(|draft| draft.u.arbitrary())?,
            ports: self.maybe(|draft| {
                let (first, last) = *draft.u.choose(&PORTS)?;
                Ok(PortRange { first, last })
            })?,
            hairpin: self.maybe(|draft| draft.u.choose(&HAIRPIN).copied())?,
            pooling: self.maybe(|draft| draft.u.choose(&POOLING).copied())?,
            lifetime: self.maybe(|draft| draft.millis(if draft.wild { 2_000 } else { 20_000 }, 300_000))?,
            unreplied: self.maybe(|draft| draft.millis(10_000, 60_000))?,
            probation: self.maybe(|draft| draft.millis(0, 5_000))?,
            filter_lifetime: self.maybe(|draft| draft.millis(10_000, 120_000))?,
            refresh_outbound: self.maybe(|draft| draft.u.arbitrary())?,
            refresh_inbound: self.maybe(|draft| draft.u.arbitrary())?,
            early: self.maybe(|draft| draft.u.arbitrary())?,
            tcp_established: self.maybe(|draft| draft.millis(60_000, 7_440_000))?,
            tcp_transitory: self.maybe(|draft| draft.millis(10_000, 240_000))?,
            refuse: self.maybe(|draft| draft.u.arbitrary())?,
            pass_errors: self.maybe(|draft| draft.u.arbitrary())?,
            capacity: self.maybe(|draft| Ok(draft.number(draft.bound(1_024, 8), 65_536)? as u32))?,
            per_host: self.maybe(|draft| Ok(draft.number(draft.bound(256, 4), 4_096)? as u32))?,
            crowd: self.maybe(|draft| Ok(draft.number(0, draft.bound(20, 1_000))? as u32))?,
        })
    }

    fn allocation(&mut self) -> Result<Allocation> {
        Ok(match self.number(0, 6)? {
            0 => Allocation::Preserve(Fallback::Next),
            1 => Allocation::Preserve(Fallback::Random),
            2 => Allocation::Sequential { step: 1 },
            3 => Allocation::Sequential { step: self.number(2, 64)? as u16 },
            4 | 5 => Allocation::Random,
            _ => Allocation::Block { size: 1 << self.number(6, 11)? },
        })
    }

    fn firewall(&mut self) -> Result<Firewall> {
        let inbound = if self.rarely(1, 2)? { Inbound::Stateful } else { Inbound::Open };
        let blocked = if self.rarely(1, 2)? { Outbound::NoUdp } else { Outbound::Only443 };
        let outbound = if self.rarely(1, 4)? { blocked } else { Outbound::All };
        Ok(Firewall {
            inbound,
            outbound,
            lifetime: self.millis(10_000, 120_000)?,
            reject: self.u.arbitrary()?,
        })
    }

    /// A way as ways are: often perfect, mostly good, sometimes bad.
    fn link(&mut self) -> Result<Quality> {
        let mut link = Quality::default();
        if self.rarely(1, 4)? {
            return Ok(link);
        }
        link.delay = self.millis(0, self.bound(80, 300))?;
        let odds = if self.wild { 3 } else { 8 };
        if self.rarely(1, odds)? {
            link.jitter = self.millis(1, self.bound(10, 100))?;
        }
        if self.rarely(1, odds)? {
            link.loss = self.chance(self.bound(30_000, 200_000))?;
        }
        if self.rarely(1, odds * 2)? {
            link.burst = self.chance(self.bound(2_000, 20_000))?;
            link.burst_end = Chance::percent(self.number(10, 80)? as u32);
        }
        if self.rarely(1, odds * 2)? {
            link.duplicate = self.chance(self.bound(10_000, 100_000))?;
        }
        if self.rarely(1, odds * 2)? {
            link.reorder = self.chance(self.bound(10_000, 100_000))?;
            link.hold = self.millis(1, self.bound(20, 100))?;
        }
        if self.rarely(1, odds * 2)? {
            link.rate = Some(Rate::from_bits(self.number(self.bound(1_000, 64), 100_000)? * 1_000));
            link.queue = self.number(4, 256)? as u32 * 1_024;
        }
        if self.rarely(1, odds * 2)? {
            link.mtu = self.number(self.bound(1_280, 576), 1_500)? as u16;
        }
        Ok(link)
    }

    /// Addresses that matter, for a few hosts. Last, because they depend on the networks.
    fn addresses(&mut self) -> Result<()> {
        /// Far enough from those that are given automatically.
        const FROM: u32 = 99;
        let names: Vec<String> = self.it.hosts.keys().cloned().collect();
        for (number, name) in names.into_iter().enumerate() {
            if !self.it.hosts[&name].addresses.is_empty() || !self.rarely(1, 10)? {
                continue;
            }
            let network = &self.it.hosts[&name].networks[0];
            let ip = match self.it.realm(network) {
                INTERNET => Some(Ipv4Addr::new(192, 0, 2, 100 + number as u8)),
                realm => self.it.subnet(realm).host(FROM + number as u32),
            };
            if let Some(host) = self.it.hosts.get_mut(&name) {
                host.addresses.extend(ip.map(IpAddr::V4));
            }
        }
        Ok(())
    }

    fn faults(&mut self) -> Result<()> {
        if !self.rarely(if self.wild { 7 } else { 3 }, 8)? {
            return Ok(());
        }
        let hosts: Vec<String> = self.it.hosts.keys().cloned().collect();
        let networks: Vec<String> = self.it.networks.keys().cloned().collect();
        let end = self.it.time.as_micros() / 1_000;
        for _ in 0..self.number(1, self.bound(2, 4))? {
            let (host, network) = (self.u.choose(&hosts)?.clone(), self.u.choose(&networks)?.clone());
            let what = match self.number(0, 6)? {
                0 => Mishap::Down { of: host, time: self.millis(100, 8_000)? },
                1 => Mishap::Down { of: network, time: self.millis(100, 8_000)? },
                2 => Mishap::Reboot(network),
                3 => Mishap::Readdress(host),
                4 => Mishap::Sleep { of: host, time: self.millis(500, 20_000)? },
                5 => Mishap::Restart { of: host, time: self.millis(100, 5_000)? },
                _ => Mishap::Evil { to: host, packets: self.number(1, self.bound(100, 1_000))? as u16 },
            };
            let at = self.millis(0, end * 3 / 4)?;
            self.it.faults.push(Fault { at, what });
        }
        self.it.faults.sort_by_key(|fault| fault.at);
        Ok(())
    }

    /// `some` times in `all`; never where there are no bytes left.
    fn rarely(&mut self, some: u8, all: u8) -> Result<bool> {
        Ok(self.u.int_in_range(1..=all)? > all - some)
    }

    /// Perhaps something.
    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        let some = if self.wild { 2 } else { 1 };
        if self.rarely(some, 4)? { make(self).map(Some) } else { Ok(None) }
    }

    /// A number that depends on how wild it gets.
    const fn bound(&self, mild: u64, wild: u64) -> u64 {
        if self.wild { wild } else { mild }
    }

    fn number(&mut self, least: u64, most: u64) -> Result<u64> {
        self.u.int_in_range(least..=most)
    }

    fn millis(&mut self, least: u64, most: u64) -> Result<Span> {
        self.number(least, most).map(Span::from_millis)
    }

    fn chance(&mut self, most: u64) -> Result<Chance> {
        self.number(1, most).map(|ppm| Chance::from_ppm(ppm as u32))
    }
}
