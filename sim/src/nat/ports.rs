//! Which ports are taken and which one is next (RFC 4787 §4.2).

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use bradawl::rng::Rng;

use super::range::PortRange;
use super::table::Table;
use super::{Allocation, Behaviour, Fallback, Protocol};

/// The ports of all public addresses.
#[derive(Debug)]
pub(super) struct Ports {
    /// What is in use. Empty where ports are overloaded: there only whole tuples are.
    taken: BTreeMap<(Protocol, IpAddr), Bits>,
    /// Where the next sequential one is looked for.
    cursor: BTreeMap<(Protocol, IpAddr), u16>,
    /// The block that each host was given on each address, by its number, and how many of its mappings
    /// are in it; and the numbers that are given.
    blocks: BTreeMap<(IpAddr, IpAddr), (u16, u32)>,
    given: BTreeMap<IpAddr, Bits>,
    start: u16,
}

/// Who needs a port, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) protocol: Protocol,
    pub(super) ip: IpAddr,
    pub(super) inside: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The port that would be best.
    pub(super) wish: Option<u16>,
}

impl Ports {
    /// A NAT that was just switched on begins its sequence anywhere.
    pub(super) fn new(behaviour: &Behaviour, rng: &mut Rng) -> Self {
        let offset = rng.below(u64::from(behaviour.ports.len()));
        Self {
            taken: BTreeMap::new(),
            cursor: BTreeMap::new(),
            blocks: BTreeMap::new(),
            given: BTreeMap::new(),
            start: behaviour.ports.nth(offset as u32),
        }
    }

    /// A port for a new mapping, marked as taken. The table says who uses which tuple, where that matters.
    pub(super) fn allocate(
        &mut self,
        behaviour: &Behaviour,
        table: Option<&Table>,
        rng: &mut Rng,
        need: Need,
    ) -> Option<SocketAddr> {
        let place = (need.protocol, need.ip);
        let inside = need.inside.port();
        let is_low = behaviour.well_known && inside < 1_024;
        let block = match behaviour.allocation {
            Allocation::Block { size } => Some((self.block(behaviour, rng, need, size)?, size)),
            _ => None,
        };
        let range = match block {
            Some((block, size)) => block_range(behaviour.ports, block, size),
            None if is_low && inside < 512 => PortRange { first: 1, last: 511 },
            None if is_low => PortRange { first: 600, last: 1_023 },
            None => behaviour.ports,
        };
        let search = Search {
            taken: self.taken.get(&place),
            table,
            need,
            parity: behaviour.parity.then_some(inside % 2),
        };
        let suits = |&port: &u16| (is_low || range.contains(port)) && search.is_free(port);
        let port = match (need.wish.filter(suits), behaviour.allocation) {
            (Some(wish), _) => wish,
            (None, Allocation::Preserve(_)) if suits(&inside) => inside,
            (None, Allocation::Preserve(Fallback::Next)) => search.upwards(range, inside, 1)?,
            (None, Allocation::Sequential { step }) => {
                let from = *self.cursor.get(&place).unwrap_or(&self.start);
                let port = search.upwards(range, from, step)?;
                if range == behaviour.ports {
                    self.cursor.insert(place, range.after(port, step));
                }
                port
            }
            (None, _) => search.random(range, rng)?,
        };
        if !behaviour.overload {
            self.taken.entry(place).or_default().insert(port);
        }
        if let Some((block, _)) = block {
            self.given.entry(need.ip).or_default().insert(block);
            self.blocks.entry((need.inside.ip(), need.ip)).or_insert((block, 0)).1 += 1;
        }
        Some(SocketAddr::new(need.ip, port))
    }

    /// So many UDP mappings were made and died without anybody's looking: a sequence has moved on.
    pub(super) fn pass(&mut self, behaviour: &Behaviour, mappings: u64) {
        let Allocation::Sequential { step } = behaviour.allocation else { return };
        if mappings == 0 {
            return;
        }
        let (range, ports) = (behaviour.ports, u64::from(behaviour.ports.len()));
        let is_udp = |place: &(Protocol, IpAddr)| place.0 == Protocol::Udp;
        let addresses = self.cursor.keys().filter(|place| is_udp(place)).count().max(1) as u64;
        let by = mappings / addresses % ports * u64::from(step) % ports;
        for (_, cursor) in self.cursor.iter_mut().filter(|(place, _)| is_udp(place)) {
            *cursor = range.after(*cursor, by as u16);
        }
    }

    /// A mapping died. A host's block goes with its last one.
    pub(super) fn free(&mut self, protocol: Protocol, inside: IpAddr, public: SocketAddr) {
        if let Some(taken) = self.taken.get_mut(&(protocol, public.ip())) {
            taken.remove(public.port());
        }
        let Some((block, used)) = self.blocks.get_mut(&(inside, public.ip())) else {
            return;
        };
        *used -= 1;
        if *used == 0 {
            if let Some(given) = self.given.get_mut(&public.ip()) {
                given.remove(*block);
            }
            self.blocks.remove(&(inside, public.ip()));
        }
    }

    /// The number of the host's block: its own, or one that nobody has been given: a throw of the dice,
    /// then upwards.
    fn block(&self, behaviour: &Behaviour, rng: &mut Rng, need: Need, size: u16) -> Option<u16> {
        if let Some(&(block, _)) = self.blocks.get(&(need.inside.ip(), need.ip)) {
            return Some(block);
        }
        let count = behaviour.ports.len().div_ceil(u32::from(size));
        let all = PortRange { first: 0, last: (count - 1) as u16 };
        let start = rng.below(u64::from(count)) as u16;
        match self.given.get(&need.ip) {
            None => Some(start),
            Some(given) => given
                .first_free(start, all.last, u64::MAX)
                .or_else(|| given.first_free(all.first, start, u64::MAX)),
        }
    }
}

/// What a free port has to be.
struct Search<'a> {
    taken: Option<&'a Bits>,
    /// Who uses which tuple, where that matters.
    table: Option<&'a Table>,
    need: Need,
    parity: Option<u16>,
}

impl Search<'_> {
    fn is_free(&self, port: u16) -> bool {
        self.parity.is_none_or(|parity| port % 2 == parity)
            && !self.taken.is_some_and(|taken| taken.has(port))
            && self.table.is_none_or(|table| {
                let public = SocketAddr::new(self.need.ip, port);
                table.user((self.need.protocol, public, self.need.remote)).is_none()
            })
    }

    /// The first free one from `from` on, in a few steps, and where these lead only to what is taken or of
    /// the wrong parity, one after the other, once round the range.
    fn upwards(&self, range: PortRange, from: u16, step: u16) -> Option<u16> {
        const STEPS: u32 = 64;
        let mut start = if range.contains(from) { from } else { range.first };
        if step > 1 {
            let mut port = start;
            for _ in 0..STEPS.min(range.len()) {
                if self.is_free(port) {
                    return Some(port);
                }
                port = range.after(port, step);
            }
            start = range.after(start, 1);
        }
        self.first_free(start, range.last).or_else(|| self.first_free(range.first, start))
    }

    /// The first free one from `first` to `last`.
    fn first_free(&self, first: u16, last: u16) -> Option<u16> {
        let wanted = match self.parity {
            None => u64::MAX,
            Some(0) => EVEN,
            Some(_) => !EVEN,
        };
        let mut from = first;
        loop {
            let port = self.taken.unwrap_or(&Bits::NONE).first_free(from, last, wanted)?;
            if self.is_free(port) {
                return Some(port);
            }
            from = port.checked_add(1)?;
        }
    }

    /// A few throws of the dice; where nearly everything is taken, the first free one from there.
    fn random(&self, range: PortRange, rng: &mut Rng) -> Option<u16> {
        const THROWS: usize = 16;
        let mut port = range.first;
        for _ in 0..THROWS {
            port = range.nth(rng.below(u64::from(range.len())) as u32);
            if self.is_free(port) {
                return Some(port);
            }
        }
        self.upwards(range, port, 1)
    }
}

/// The ports of one block; the last may be shorter.
fn block_range(range: PortRange, block: u16, size: u16) -> PortRange {
    let first = range.first + block * size;
    PortRange { first, last: first.saturating_add(size - 1).min(range.last) }
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
}

/// The even ones of 64 numbers.
const EVEN: u64 = u64::MAX / 3;

impl Bits {
    const NONE: Self = Self { words: Vec::new() };

    fn has(&self, number: u16) -> bool {
        self.words.get(usize::from(number / 64)).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// The first number from `first` to `last` that is not in it, and is one of the `wanted` of each 64.
    fn first_free(&self, first: u16, last: u16, wanted: u64) -> Option<u16> {
        let mut number = u32::from(first);
        while number <= u32::from(last) {
            let word = self.words.get(number as usize / 64).copied().unwrap_or(0);
            let free = ((!word & wanted) >> (number % 64)).trailing_zeros();
            if free < 64 {
                return u16::try_from(number + free).ok().filter(|&free| free <= last);
            }
            number = (number / 64 + 1) * 64;
        }
        None
    }

    fn insert(&mut self, number: u16) {
        let index = usize::from(number / 64);
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= 1 << (number % 64);
    }

    fn remove(&mut self, number: u16) {
        if let Some(word) = self.words.get_mut(usize::from(number / 64)) {
            *word &= !(1 << (number % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, EVEN};

    #[test]
    fn the_first_free_number_is_the_one_that_a_walk_finds() {
        let mut bits = Bits::default();
        for number in (60..200).chain([300, 65_534, 65_535]).filter(|number| *number != 150) {
            bits.insert(number);
        }
        for first in (0..400).chain(65_500..=u16::MAX) {
            for last in [first, first.saturating_add(70), u16::MAX] {
                for wanted in [u64::MAX, EVEN, !EVEN] {
                    let is_wanted = |number: u16| wanted >> (number % 64) & 1 == 1;
                    let walked = (first..=last).find(|&number| is_wanted(number) && !bits.has(number));
                    assert_eq!(bits.first_free(first, last, wanted), walked, "{first} to {last}");
                }
            }
        }
        bits.remove(100);
        assert_eq!(bits.first_free(60, 199, u64::MAX), Some(100));
    }
}
