//! Which port does a new mapping get (RFC 4787 §4.2)?
//!
//! In this order: most sockets keep their own port; or the ports come in the order in which they were
//! asked for, which random ones do once in n! times; or they are random, and the question is of how
//! many.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Insiders, found};
use crate::discovery::probe::{Ask, Probe, Probes};
use crate::discovery::server::log2_sixteenths;
use crate::discovery::{Allocation, Axis, Dependence, Fallback, NatProfile};
use crate::time::{Duration, Instant};

/// A mapping that was made for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::discovery) struct Sample {
    pub(in crate::discovery) socket: u8,
    pub(in crate::discovery) local: SocketAddr,
    pub(in crate::discovery) mapped: SocketAddr,
    pub(in crate::discovery) sent: Instant,
    /// The place of the packet it was seen by among all that were sent.
    place: usize,
    /// Whether it is the first of its socket.
    pub(in crate::discovery) is_first: bool,
    /// Whether the first packet that could have made it was answered. If not, nobody knows which one did,
    /// and so when it was made.
    is_in_place: bool,
}

impl Sample {
    fn is_kept(&self) -> bool {
        self.mapped.port() == self.local.port()
    }
}

/// Ports in order are that many bits of evidence at least, or they are taken for random.
const IN_ORDER: u32 = 12;
/// More than that, and they are not taken for random either.
const NOT_IN_ORDER: u32 = 8;
/// Nobody chooses at random from fewer ports.
const SMALLEST_BLOCK: u32 = 64;
/// So many are needed to say of how many ports they are: fewer may be in order by chance.
const ENOUGH: usize = 7;
/// So many whose order is known are needed to be sure that they come in none.
const ENOUGH_FOR_DISORDER: usize = 10;
/// And so many to be sure that they are of less than three times as many as it looks.
const ENOUGH_FOR_BOUNDS: usize = 16;
/// Not quite sure.
const UNSURE: u32 = 18;
/// Where random ports are of more than this many, they are of all.
const LARGEST_BLOCK: u32 = 16_384;
/// How many ports there are for a NAT to choose from.
const ALL_PORTS: u32 = 64_512;

/// The mappings that were seen, in the order in which they were asked for: one for each socket and
/// public endpoint of it.
pub(in crate::discovery) fn samples(probes: &Probes) -> Vec<Sample> {
    let mut all: Vec<Sample> = Vec::new();
    let insiders = Insiders::of(probes);
    for (place, probe) in probes.iter().enumerate().filter(|(_, probe)| probe.ask == Ask::Plain) {
        if insiders.contains(probe.server) {
            continue;
        }
        let Some(mapped) = probe.mapped() else { continue };
        let mut same_socket = all.iter().filter(|sample| sample.socket == probe.socket).peekable();
        let is_first = same_socket.peek().is_none();
        if !same_socket.any(|sample| sample.mapped == mapped) {
            let Probe { socket, local, sent, to, .. } = *probe;
            let earlier = probes
                .iter()
                .take(place)
                .find(|earlier| earlier.socket == socket && earlier.to.ip() == to.ip());
            let is_in_place = earlier.is_none();
            all.push(Sample { socket, local, mapped, sent, place, is_first, is_in_place });
        }
    }
    all
}

/// Which port a new mapping gets.
pub(in crate::discovery) fn allocation(samples: &[Sample]) -> Axis<Allocation> {
    let firsts = samples.iter().filter(|sample| sample.is_first).count() as u32;
    let kept = samples.iter().filter(|sample| sample.is_first && sample.is_kept()).count() as u32;
    if kept * 2 > firsts {
        let otherwise = fallback(samples);
        // A socket whose port somebody else had says little against it.
        return found(Allocation::Preserving { otherwise }, (16 * kept).saturating_sub(8 * (firsts - kept)));
    }
    pattern(&of_one_address(samples))
}

/// What was done where the port of a socket was taken: by the socket itself, which talks to several
/// peers.
fn fallback(samples: &[Sample]) -> Option<Fallback> {
    let busiest = samples.iter().max_by_key(|sample| {
        samples.iter().filter(|other| other.socket == sample.socket && !other.is_kept()).count()
    })?;
    let moved: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.socket == busiest.socket && !sample.is_kept())
        .copied()
        .collect();
    match pattern(&moved)?.value {
        Allocation::Sequential { step } => Some(Fallback::Next { step }),
        Allocation::Random | Allocation::Block { .. } => Some(Fallback::Random),
        Allocation::Preserving { .. } => None,
    }
}

/// Those of the public address that most have: each address may count for itself.
fn of_one_address(samples: &[Sample]) -> Vec<Sample> {
    let count = |of: &Sample| samples.iter().filter(|other| other.mapped.ip() == of.mapped.ip()).count();
    // The last of equals, which is the same each time.
    let Some(ip) = samples.iter().max_by_key(|sample| count(sample)).map(|sample| sample.mapped.ip()) else {
        return Vec::new();
    };
    samples.iter().filter(|sample| sample.mapped.ip() == ip).copied().collect()
}

fn pattern(samples: &[Sample]) -> Axis<Allocation> {
    let in_place: Vec<Sample> = samples.iter().filter(|sample| sample.is_in_place).copied().collect();
    let (direction, order) = in_order(&unwrapped(&in_place))?;
    let ports = unwrapped(samples);
    let (step, bits) = step(&ports)?;
    if order >= IN_ORDER {
        return found(Allocation::Sequential { step: step.saturating_mul(direction) }, order.min(bits));
    }
    let (least, most) = (*ports.iter().min()?, *ports.iter().max()?);
    let (count, span) = (ports.len() as u32, (most - least) as u32 + 1);
    // Somewhat in order, too close together or all a multiple of the same apart: not random either.
    let is_few = in_place.len() < ENOUGH_FOR_DISORDER;
    let is_somewhat_in_order = is_few && order > NOT_IN_ORDER;
    if in_place.len() < ENOUGH || is_somewhat_in_order || span < SMALLEST_BLOCK || step > 2 {
        return None;
    }
    if most > i32::from(u16::MAX) && span <= LARGEST_BLOCK {
        // High ports and low ones, not in order: no block is like that.
        return None;
    }
    let most_bits = if is_few { UNSURE } else { u32::MAX };
    if span > LARGEST_BLOCK {
        return found(Allocation::Random, (4 * count).min(most_bits));
    }
    // Each port but one had to fall to where the others are; where that is, nobody knew before.
    let each = log2_sixteenths(ALL_PORTS / span);
    let bits = ((count - 1) * each / 16).saturating_sub(log2_sixteenths(count).div_ceil(16));
    let bits = if ports.len() < ENOUGH_FOR_BOUNDS { bits.min(UNSURE) } else { bits.min(most_bits) };
    let (first, last) = bounds(least as u16, most as u16, count);
    found(Allocation::Block { first, last }, bits)
}

/// The ports as numbers that go on where a counter begins again.
fn unwrapped(samples: &[Sample]) -> Vec<i32> {
    let ports = || samples.iter().map(|sample| i32::from(sample.mapped.port()));
    let (lower, upper) = (1 << 14, 3 << 14);
    let wraps = ports().all(|port| port < lower || port >= upper) && ports().any(|port| port < lower);
    let wraps = wraps && ports().any(|port| port >= upper);
    ports().map(|port| if wraps && port < lower { port + ALL_PORTS as i32 } else { port }).collect()
}

/// In which direction the ports go, and how much evidence there is that they come in order at all: of the
/// n! orders that random ports may have, no more than `n^k` have as few as `k` pairs the wrong way round.
fn in_order(ports: &[i32]) -> Option<(i16, u32)> {
    let count = ports.len() as u32;
    let pairs =
        || ports.iter().enumerate().flat_map(|(at, &port)| ports[..at].iter().map(move |&p| (p, port)));
    let falling = pairs().filter(|(earlier, later)| later < earlier).count() as u32;
    let rising = pairs().filter(|(earlier, later)| later > earlier).count() as u32;
    let orders: u32 = (2..=count).map(log2_sixteenths).sum();
    let wrong = falling.min(rising) * log2_sixteenths(count).div_ceil(16) * 16;
    // Either direction would have done.
    let bits = (orders.saturating_sub(wrong) / 16).saturating_sub(1);
    Some((if falling > rising { -1 } else { 1 }, bits))
}

/// The largest number that nearly all distances from one port to the next higher one are multiples of, and
/// how much evidence that is. Others who take ports in between take them in the same steps.
fn step(ports: &[i32]) -> Option<(i16, u32)> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    let distances = || sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|&distance| distance > 0);
    let count = distances().count() as u32;
    let fits =
        |step: i32| distances().filter(|distance| distance % step == 0).count() as u32 * 8 >= count * 7;
    let step = distances().chain([1]).filter(|&step| fits(step)).max().filter(|_| count > 0)?;
    // By chance every second distance would be a multiple of two, and fewer where none was lost.
    let each = log2_sixteenths(step as u32).max(24);
    let bits = if step == 1 { u32::MAX } else { count * each / 16 };
    Some((i16::try_from(step).unwrap_or(i16::MAX), bits))
}

/// From where to where the ports are that so few of were seen: a block of a power of two at a multiple
/// of its size, as carriers give them out, if there is one that is not much too large; else a little
/// more than was seen on both sides.
fn bounds(least: u16, most: u16, count: u32) -> (u16, u16) {
    let span = u32::from(most - least) + 1;
    let margin = span / (count - 1).max(1);
    let differing = u32::from(least ^ most);
    let size = (differing + 1).next_power_of_two();
    if size <= span + 4 * margin {
        let first = u32::from(least) & !(size - 1);
        return (first.max(1) as u16, (first + size - 1) as u16);
    }
    let margin = margin as u16;
    (least.saturating_sub(margin).max(1), most.saturating_add(margin))
}

/// Whether even ports stay even. Of a NAT that keeps ports that says nothing new.
pub(in crate::discovery) fn parity(samples: &[Sample]) -> Axis<bool> {
    let is_alike = |sample: &&Sample| sample.mapped.port() % 2 == sample.local.port() % 2;
    let moved = || samples.iter().filter(|sample| !sample.is_kept());
    let alike = moved().filter(is_alike).count();
    match (moved().count(), alike) {
        (0, _) => None,
        (all, alike) if all == alike => found(true, alike as u32),
        (all, alike) => found(false, 12 * (all - alike) as u32),
    }
}

/// How many ports a second others take, where one follows the other: those that were given out while we
/// looked, less our own.
pub(in crate::discovery) fn traffic(samples: &[Sample], probes: &Probes, profile: &NatProfile) -> Axis<u16> {
    /// Over less time than this nobody else is seen.
    const LEAST: Duration = Duration::from_millis(15);
    let Allocation::Sequential { step } = profile.allocation?.value else { return None };
    let samples = of_one_address(samples);
    let ports = unwrapped(&samples);
    let (first, last) = (samples.first()?, samples.last()?);
    let time = last.sent.since(first.sent);
    if time < LEAST || step == 0 {
        return None;
    }
    let taken = (ports.last()? - ports.first()?) / i32::from(step);
    let ours = mappings_between(probes, first.place, last.place, profile);
    let others = u128::try_from(taken - ours).unwrap_or(0);
    let per_second = others * 1_000_000 / time.as_micros();
    found(u16::try_from(per_second).unwrap_or(u16::MAX), 8)
}

/// How many mappings were made for us after the packet at `first` and up to the one at `last`, whether
/// their packets were answered or not.
fn mappings_between(probes: &Probes, first: usize, last: usize, profile: &NatProfile) -> i32 {
    let dependence = profile.mapping.map_or(Dependence::AddressAndPort, |finding| finding.value);
    let is_same = |one: &Probe, other: &Probe| {
        one.socket == other.socket
            && match dependence {
                Dependence::Endpoint => true,
                Dependence::Address => one.to.ip() == other.to.ip(),
                Dependence::AddressAndPort => one.to == other.to,
            }
    };
    let is_new = |(place, probe): &(usize, &Probe)| {
        (first + 1..=last).contains(place)
            // Our own router drops it before anybody maps it.
            && probe.ask != Ask::Hop { hops: 1 }
            && !probes.iter().take(*place).any(|earlier| is_same(earlier, probe))
    };
    probes.iter().enumerate().filter(is_new).count() as i32
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Sample, allocation};
    use crate::discovery::Allocation;
    use crate::time::{Duration, Instant};

    /// A mapping for each of these ports, in the order in which they were asked for. Only of the first so many
    /// is it known that this is also the order in which they were made.
    fn samples(ports: &[u16], in_place: usize) -> Vec<Sample> {
        let sample = |(at, &port): (usize, &u16)| Sample {
            socket: at as u8,
            local: ([192, 168, 1, 2], 5_000 + at as u16).into(),
            mapped: ([203, 0, 113, 1], port).into(),
            sent: Instant::ZERO + Duration::from_millis(at as u64),
            place: at,
            is_first: true,
            is_in_place: at < in_place,
        };
        ports.iter().enumerate().map(sample).collect()
    }

    /// Behind a NAT that counts, and through a link that lost much: the others were asked for again, nobody
    /// knows when. That six come in order happens by chance, and seventeen ports close together are no block.
    #[test]
    fn few_ports_whose_order_is_known_are_no_proof_that_there_is_none() {
        let counted = [
            42_917, 42_925, 42_931, 42_940, 42_944, 42_951, 43_049, 42_990, 43_010, 42_970, 43_020, 42_961,
            43_033, 42_999, 43_005, 43_041, 42_980,
        ];
        assert_eq!(allocation(&samples(&counted, 6)), None);
        // One of eight that is late says as little.
        let mut late = counted;
        late[6..8].copy_from_slice(&[42_930, 42_955]);
        assert!(allocation(&samples(&late, 8)).is_none_or(|found| !found.confidence.is_sure()));
    }

    #[test]
    fn ports_in_no_order_are_of_a_block() {
        let chosen = [
            42_917, 43_049, 42_931, 42_990, 42_925, 42_951, 43_010, 42_940, 42_970, 43_020, 42_961, 42_944,
            43_033, 42_999, 43_005, 43_041, 42_980,
        ];
        let mut scattered = chosen;
        scattered.sort_unstable_by_key(|&port: &u16| port.wrapping_mul(40_503));
        let found = allocation(&samples(&scattered, 17)).expect("they are close together");
        assert!(matches!(found.value, Allocation::Block { .. }) && found.confidence.is_sure(), "{found:?}");
    }
}
