//! Which ports are taken and which one is next (RFC 4787 §4.2).

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};

use bradawl::rng::Rng;

use super::{Allocation, Config, Fallback, Protocol};

/// The ports of all public addresses.
#[derive(Debug)]
pub(super) struct Ports {
    taken: BTreeSet<(Protocol, IpAddr, u16)>,
    /// Where the next sequential one is looked for.
    cursor: BTreeMap<(Protocol, IpAddr), u16>,
    /// The block that each host was given on each address, by its number, and how many of its ports
    /// are in use; and the numbers that are given.
    blocks: BTreeMap<(IpAddr, IpAddr), (u16, u16)>,
    given: BTreeSet<(IpAddr, u16)>,
    start: u16,
}

impl Ports {
    /// A NAT that was just switched on begins its sequence anywhere.
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let count = u64::from(config.ports.end() - config.ports.start()) + 1;
        let start = config.ports.start() + rng.below(count) as u16;
        Self {
            taken: BTreeSet::new(),
            cursor: BTreeMap::new(),
            blocks: BTreeMap::new(),
            given: BTreeSet::new(),
            start,
        }
    }

    /// A port on `ip` for a new mapping of `inside`, marked as taken.
    pub(super) fn allocate(
        &mut self,
        config: &Config,
        rng: &mut Rng,
        protocol: Protocol,
        ip: IpAddr,
        inside: SocketAddr,
    ) -> Option<SocketAddr> {
        let search =
            Search { taken: &self.taken, protocol, ip, parity: config.parity.then_some(inside.port() % 2) };
        let port = match config.allocation {
            Allocation::Preserve(fallback) => match fallback {
                _ if config.ports.contains(&inside.port()) && search.is_free(inside.port()) => inside.port(),
                Fallback::Next => search.upwards(&config.ports, inside.port(), 1)?,
                Fallback::Random => search.random(&config.ports, rng)?,
            },
            Allocation::Sequential { step } => {
                let from = *self.cursor.get(&(protocol, ip)).unwrap_or(&self.start);
                let port = search.upwards(&config.ports, from, step)?;
                self.cursor.insert((protocol, ip), wrapping_step(&config.ports, port, step));
                port
            }
            Allocation::Random => search.random(&config.ports, rng)?,
            Allocation::Block { size } => {
                let block = match self.blocks.get(&(inside.ip(), ip)) {
                    Some(&(block, _)) => block,
                    None => free_block(&self.given, config, rng, ip, size)?,
                };
                let port = search.random(&block_range(&config.ports, block, size), rng)?;
                self.given.insert((ip, block));
                self.blocks.entry((inside.ip(), ip)).or_insert((block, 0)).1 += 1;
                port
            }
        };
        self.taken.insert((protocol, ip, port));
        Some(SocketAddr::new(ip, port))
    }

    /// A mapping died. A host's block goes with its last one.
    pub(super) fn free(&mut self, protocol: Protocol, inside: IpAddr, public: SocketAddr) {
        self.taken.remove(&(protocol, public.ip(), public.port()));
        let Some((block, used)) = self.blocks.get_mut(&(inside, public.ip())) else {
            return;
        };
        *used -= 1;
        if *used == 0 {
            self.given.remove(&(public.ip(), *block));
            self.blocks.remove(&(inside, public.ip()));
        }
    }
}

/// What a free port has to be.
struct Search<'a> {
    taken: &'a BTreeSet<(Protocol, IpAddr, u16)>,
    protocol: Protocol,
    ip: IpAddr,
    parity: Option<u16>,
}

impl Search<'_> {
    fn is_free(&self, port: u16) -> bool {
        self.parity.is_none_or(|parity| port % 2 == parity)
            && !self.taken.contains(&(self.protocol, self.ip, port))
    }

    /// The first free one from `from` on, in steps, once round the range.
    fn upwards(&self, range: &RangeInclusive<u16>, from: u16, step: u16) -> Option<u16> {
        let count = u32::from(range.end() - range.start()) + 1;
        let mut port = if range.contains(&from) { from } else { *range.start() };
        for _ in 0..count {
            if self.is_free(port) {
                return Some(port);
            }
            port = wrapping_step(range, port, step);
        }
        None
    }

    /// A few throws of the dice; where nearly everything is taken, the first free one from there.
    fn random(&self, range: &RangeInclusive<u16>, rng: &mut Rng) -> Option<u16> {
        const THROWS: usize = 16;
        let count = u64::from(range.end() - range.start()) + 1;
        let mut port = *range.start();
        for _ in 0..THROWS {
            port = range.start() + rng.below(count) as u16;
            if self.is_free(port) {
                return Some(port);
            }
        }
        self.upwards(range, port, 1)
    }
}

fn wrapping_step(range: &RangeInclusive<u16>, port: u16, step: u16) -> u16 {
    let count = u32::from(range.end() - range.start()) + 1;
    let offset = (u32::from(port - range.start()) + u32::from(step)) % count;
    range.start() + offset as u16
}

/// The ports of one block; the last may be shorter.
fn block_range(range: &RangeInclusive<u16>, block: u16, size: u16) -> RangeInclusive<u16> {
    let start = range.start() + block * size;
    start..=start.saturating_add(size - 1).min(*range.end())
}

/// A block that nobody has been given: a throw of the dice, then upwards.
fn free_block(
    given: &BTreeSet<(IpAddr, u16)>,
    config: &Config,
    rng: &mut Rng,
    ip: IpAddr,
    size: u16,
) -> Option<u16> {
    let count = (u32::from(config.ports.end() - config.ports.start()) + 1).div_ceil(u32::from(size));
    let start = rng.below(u64::from(count)) as u32;
    let blocks = (0..count).map(|offset| ((start + offset) % count) as u16);
    blocks.into_iter().find(|&block| !given.contains(&(ip, block)))
}
