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
use crate::time::Instant;

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

const NANOS_PER_SECOND: u64 = 1_000_000_000;

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
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([Entry; WAYS]);

/// One network's virtual clock, in nanoseconds. A tag is a whole 64-bit keyed hash, so that two
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
        let interval = NANOS_PER_SECOND / u64::from(limit.per_second.clamp(1, 1_000_000));
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
        let Some(Line(line)) = self.lines.get_mut(line) else { return false };
        let place = line.iter().position(|entry| entry.tag == tag).unwrap_or_else(|| {
            let least = line.iter().enumerate().min_by_key(|(_, entry)| entry.clock);
            let place = least.map_or(0, |(place, _)| place);
            line[place] = Entry { tag, clock: 0 };
            place
        });
        let now = now.as_micros().saturating_mul(1_000);
        let latest = now.saturating_add(self.tolerance);
        // A clock beyond what is ever admitted was set before time ran backwards.
        let before = line[place].clock.clamp(now, latest);
        let after = before.saturating_add(self.interval);
        let admitted = after <= latest;
        line[place].clock = if admitted { after } else { before };
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
    fn the_newcomer_takes_the_place_of_the_quietest() {
        let mut table = table(RateLimit { per_second: 1, burst: 100, networks: 4 });
        let network = |last| IpAddr::from([198, 51, 100, last]);
        for (last, requests) in [(1, 50), (2, 3), (3, 50), (4, 50)] {
            assert!((0..requests).all(|_| table.admit(Instant::ZERO, network(last))));
        }
        assert!(table.admit(Instant::ZERO, network(5)));
        let tags = table.lines[0].0.map(|entry| entry.tag);
        let is_known = |last| tags.contains(&table.keyed.hash_network(network(last)));
        assert!(is_known(1) && !is_known(2) && is_known(3) && is_known(4) && is_known(5));
    }

    #[test]
    fn high_rates_are_nearly_exact() {
        let mut table = table(RateLimit { per_second: 600_000, burst: 10, networks: 4 });
        let source = IpAddr::from([192, 0, 2, 1]);
        let second = (0..1_000_000).filter(|&at| table.admit(Instant::from_micros(at), source)).count();
        assert!((599_000..=601_000).contains(&second), "{second}");
    }

    #[test]
    fn time_that_runs_backwards_locks_nobody_out_for_long() {
        let mut table = table(RateLimit { per_second: 10, burst: 5, networks: 64 });
        let year = Instant::ZERO + Duration::from_secs(365 * 86_400);
        assert_eq!(admitted(&mut table, year, "192.0.2.1", 9), 5);
        let now = Instant::ZERO + Duration::from_secs(1);
        assert_eq!(admitted(&mut table, now, "192.0.2.1", 9), 0);
        assert_eq!(admitted(&mut table, now + Duration::from_millis(100), "192.0.2.1", 9), 1);
        assert_eq!(admitted(&mut table, now + Duration::from_secs(2), "192.0.2.1", 9), 5);
    }

    #[test]
    fn ipv4_in_an_ipv6_socket_is_ipv4() {
        let mut table = table(RateLimit { per_second: 1, burst: 1, networks: 1_024 });
        assert_eq!(admitted(&mut table, Instant::ZERO, "::ffff:192.0.2.1", 9), 1);
        assert_eq!(admitted(&mut table, Instant::ZERO, "::ffff:192.0.2.2", 9), 1);
        assert_eq!(admitted(&mut table, Instant::ZERO, "192.0.2.1", 9), 0, "the same network");
    }

    #[test]
    fn absurd_limits_are_brought_to_reason() {
        let mut zero = table(RateLimit { per_second: 0, burst: 0, networks: 0 });
        assert_eq!(admitted(&mut zero, Instant::ZERO, "192.0.2.1", 9), 1);
        let most = table(RateLimit { networks: usize::MAX, ..RateLimit::default() });
        assert_eq!(most.lines.len() * super::WAYS, RateTable::MAX_NETWORKS);
    }

    /// No clock can be ahead of the end of time: what matters is that nothing wraps around.
    #[test]
    fn at_the_end_of_time_nothing_wraps() {
        let mut table = table(RateLimit { per_second: 1, burst: 1, networks: 4 });
        assert_eq!(admitted(&mut table, Instant::FAR_FUTURE, "192.0.2.1", 9), 9);
        assert_eq!(admitted(&mut table, Instant::ZERO, "198.51.100.1", 9), 1);
    }
}
