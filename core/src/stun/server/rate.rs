//! How fast one network may ask, in a table that never grows.
//!
//! Each network (an IPv4 address, an IPv6 /56) has a *virtual clock*: every admitted request moves
//! it one interval ahead, and a request that would move it further ahead of real time than the burst
//! allows is refused (the generic cell rate algorithm, ITU-T I.371). A clock in the past is a network
//! that has been quiet for long enough to have its whole burst back: its entry is as good as empty.
//!
//! The clocks live in a table of fixed size, four to a cache line, found by a keyed hash. Where four
//! busy networks share a line already, a fifth takes the place of the one with the least on its
//! clock, which starts afresh when it comes back: crowding makes the limit softer, never the table
//! larger and never a newcomer locked out.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use crate::hash::Keyed;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// How fast one network may ask: an IPv4 address, or an IPv6 /56.
///
/// ```
/// use bradawl::stun::server::RateLimit;
///
/// let limit = RateLimit { per_second: 10, ..RateLimit::default() };
/// assert_eq!(limit.burst, 200);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many answers per second in the long run; 1 to 1,000,000.
    pub per_second: u32,
    /// How many at once after a silence; at least 1.
    pub burst: u32,
    /// How many networks the table has room for, rounded up to a power of two. 16 bytes each.
    pub networks: usize,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { per_second: 100, burst: 200, networks: 65_536 }
    }
}

const WAYS: usize = 4;

/// The table.
#[derive(Debug)]
pub(super) struct RateTable {
    lines: Box<[Line]>,
    interval: u64,
    /// How far ahead of real time a clock may be.
    tolerance: u64,
    keyed: Keyed,
}

/// Entries that share a cache line.
type Line = [Entry; WAYS];

/// One network's virtual clock, in microseconds. A tag is a whole 64-bit keyed hash, so that two
/// networks share a clock about never.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tag: u64,
    clock: u64,
}

impl RateTable {
    /// The most networks that a table is made for: 64 MiB.
    const MAX_NETWORKS: usize = 1 << 22;

    pub(super) fn new(limit: RateLimit, rng: &mut Rng) -> Self {
        let lines = limit.networks.clamp(WAYS, Self::MAX_NETWORKS).div_ceil(WAYS).next_power_of_two();
        let interval =
            Duration::from_secs(1).as_micros() as u64 / u64::from(limit.per_second.clamp(1, 1_000_000));
        Self {
            lines: vec![Line::default(); lines].into_boxed_slice(),
            interval,
            tolerance: interval * u64::from(limit.burst.max(1)),
            keyed: Keyed::new(rng),
        }
    }

    /// Whether a request from `source` may be answered now. Counts it if so.
    #[inline]
    pub(super) fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let tag = self.keyed.hash_network(source);
        let line = tag as usize & (self.lines.len() - 1);
        let Some(line) = self.lines.get_mut(line) else { return false };
        let place = line.iter().position(|entry| entry.tag == tag).unwrap_or_else(|| {
            let least = line.iter().enumerate().min_by_key(|(_, entry)| entry.clock);
            let place = least.map_or(0, |(place, _)| place);
            line[place] = Entry { tag, clock: 0 };
            place
        });
        let clock = line[place].clock.max(now.as_micros()).saturating_add(self.interval);
        let admitted = clock - now.as_micros().min(clock) <= self.tolerance;
        if admitted {
            line[place].clock = clock;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::{RateLimit, RateTable};
    use crate::rng::Rng;
    use crate::time::{Duration, Instant};
    use core::net::IpAddr;

    fn table(limit: RateLimit) -> RateTable {
        RateTable::new(limit, &mut Rng::from_seed([3; 32]))
    }

    fn admitted(table: &mut RateTable, now: Instant, source: &str, tries: u32) -> usize {
        let source: IpAddr = source.parse().expect("an address");
        (0..tries).filter(|_| table.admit(now, source)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut table = table(RateLimit { per_second: 10, burst: 5, networks: 1_024 });
        let start = Instant::from_micros(1_000_000);
        assert_eq!(admitted(&mut table, start, "192.0.2.1", 100), 5);
        assert_eq!(admitted(&mut table, start + Duration::from_millis(99), "192.0.2.1", 100), 0);
        assert_eq!(admitted(&mut table, start + Duration::from_millis(300), "192.0.2.1", 100), 3);
        assert_eq!(admitted(&mut table, start + Duration::from_secs(60), "192.0.2.1", 100), 5);
    }

    #[test]
    fn networks_do_not_share_a_limit_and_an_ipv6_site_does() {
        let mut table = table(RateLimit { per_second: 1, burst: 1, networks: 1_024 });
        let now = Instant::from_micros(5);
        assert_eq!(admitted(&mut table, now, "192.0.2.1", 9), 1);
        assert_eq!(admitted(&mut table, now, "192.0.2.2", 9), 1);
        assert_eq!(admitted(&mut table, now, "2001:db8:0:100::1", 9), 1);
        assert_eq!(admitted(&mut table, now, "2001:db8:0:1ff:ffff::2", 9), 0, "the same /56");
        assert_eq!(admitted(&mut table, now, "2001:db8:0:200::1", 9), 1, "the next /56");
    }

    #[test]
    fn a_crowded_table_lets_newcomers_in_and_does_not_grow() {
        let mut table = table(RateLimit { per_second: 1, burst: 1, networks: 8 });
        let lines = table.lines.len();
        for last in 0..=255 {
            let source = IpAddr::from([198, 51, 100, last]);
            assert!(table.admit(Instant::ZERO, source), "{source} is new");
        }
        assert_eq!(table.lines.len(), lines);
    }

    #[test]
    fn absurd_limits_are_brought_to_reason() {
        let mut zero = table(RateLimit { per_second: 0, burst: 0, networks: 0 });
        assert_eq!(admitted(&mut zero, Instant::ZERO, "192.0.2.1", 9), 1);
        let mut end_of_time = table(RateLimit::default());
        assert_eq!(admitted(&mut end_of_time, Instant::FAR_FUTURE, "192.0.2.1", 9), 9);
    }
}
