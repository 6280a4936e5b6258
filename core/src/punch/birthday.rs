//! Many ports against many guesses: S sockets on one side, N guesses on the other, M ports. They meet with
//! probability 1 − e^(−S·N/M), whichever of a pair comes first: the guess comes in through a socket that
//! has opened, or the check of a socket that opens comes in through the filter that the guess has opened.
//!
//! A guess is a check like any other, but nothing is kept of it: the transaction id is derived from the
//! port, so its answer is known when it comes.

use core::hash::BuildHasher as _;
use core::net::{IpAddr, SocketAddr};

use super::budget::{Allowance, Paced};
use super::volley::FIRST_PORT;
use crate::hash::Keyed;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::stun::TransactionId;

/// Ports of the other side, in an order that nobody can foresee, each once.
pub(super) struct Probes {
    pub(super) base: SocketAddr,
    ip: IpAddr,
    first: u16,
    size: u32,
    stride: u32,
    offset: u32,
    sent: u32,
    probes: u32,
    pace: Paced,
    keyed: Keyed,
}

impl Probes {
    pub(super) fn new(
        now: Instant,
        base: SocketAddr,
        ip: IpAddr,
        (first, last): (u16, u16),
        probes: u16,
        rng: &mut Rng,
    ) -> Self {
        // No NAT gives out the ports of well-known services, and nobody is to knock at them.
        let first = first.max(FIRST_PORT);
        let size = u32::from(last.saturating_sub(first)) + 1;
        let stride = loop {
            let stride = 1 + rng.below(u64::from(size)) as u32;
            if greatest_common_divisor(stride, size) == 1 {
                break stride;
            }
        };
        let offset = rng.below(u64::from(size)) as u32;
        let (pace, keyed) = (Paced::new(now), Keyed::new(rng));
        Self {
            base,
            ip,
            first,
            size,
            stride,
            offset,
            sent: 0,
            probes: u32::from(probes).min(size),
            pace,
            keyed,
        }
    }

    /// Whose ports are probed.
    pub(super) const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.sent < self.probes).then(|| self.pace.next())
    }

    /// Where the next one goes, and its transaction id, if it is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<(SocketAddr, TransactionId)> {
        if self.sent == self.probes || self.pace.ask(now) != Allowance::Now {
            return None;
        }
        let step = u64::from(self.sent) * u64::from(self.stride) + u64::from(self.offset);
        self.sent += 1;
        let to = SocketAddr::new(self.ip, self.first + (step % u64::from(self.size)) as u16);
        Some((to, self.id(to)))
    }

    /// Whether this is the transaction id of a probe to `from`.
    pub(super) fn is_answer(&self, from: SocketAddr, id: TransactionId) -> bool {
        from.ip() == self.ip && self.id(from) == id
    }

    fn id(&self, to: SocketAddr) -> TransactionId {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.keyed.hash_one((to.port(), 0_u8)).to_be_bytes());
        bytes[8..].copy_from_slice(&(self.keyed.hash_one((to.port(), 1_u8)) as u32).to_be_bytes());
        TransactionId::from_bytes(bytes)
    }
}

/// Sockets of ours, opened one after the other.
pub(super) struct Openers {
    left: u16,
    pace: Paced,
}

impl Openers {
    pub(super) fn new(now: Instant, sockets: u16) -> Self {
        Self { left: sockets, pace: Paced::new(now) }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        (self.left > 0).then(|| self.pace.next())
    }

    /// Whether one more is due.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let is_due = self.left > 0 && self.pace.ask(now) == Allowance::Now;
        self.left -= u16::from(is_due);
        is_due
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::time::Duration;

    #[test]
    fn no_port_is_probed_twice_and_none_outside() {
        for (seed, (first, last), probes) in
            [(1, (1_024, u16::MAX), 512), (2, (2_000, 3_023), 1_024), (3, (9_999, 9_999), 5)]
        {
            let mut rng = Rng::from_seed([seed; 32]);
            let base = "192.0.2.1:1".parse().expect("an address");
            let mut all = Probes::new(Instant::ZERO, base, base.ip(), (first, last), probes, &mut rng);
            let (mut now, mut seen) = (Instant::ZERO, BTreeSet::new());
            while let Some(next) = all.next() {
                now = now.max(next);
                let (to, id) = all.due(now).expect("it is due");
                assert!((first..=last).contains(&to.port()) && seen.insert(to.port()), "{to}");
                assert!(all.is_answer(to, id) && !all.is_answer(SocketAddr::new(to.ip(), to.port() ^ 1), id));
            }
            assert_eq!(seen.len(), usize::from(probes.min(last - first + 1)));
            let least = Duration::from_millis(10) * (seen.len() as u32).saturating_sub(10);
            assert!(now.since(Instant::ZERO) >= least, "a hundred a second");
        }
    }
}
