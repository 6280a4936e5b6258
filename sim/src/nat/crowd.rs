//! Strangers behind the same NAT, who make mappings as people's programs do: at random moments, at a
//! steady rate (a Poisson process), each to somebody new.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

/// When the next stranger comes.
#[derive(Debug)]
pub(super) struct Crowd {
    per_second: u32,
    rng: Rng,
    next: Option<Instant>,
    count: u32,
}

impl Crowd {
    pub(super) fn new(per_second: u32, rng: Rng) -> Self {
        Self { per_second, rng, next: None, count: 0 }
    }

    /// The next stranger who comes no later than `now`: when, from where, to whom.
    pub(super) fn next_before(&mut self, now: Instant) -> Option<(Instant, SocketAddr, SocketAddr)> {
        if self.per_second == 0 {
            return None;
        }
        // The first packet that the NAT ever sees begins its time.
        let pause = if self.next.is_none() { self.pause() } else { Duration::ZERO };
        let at = *self.next.get_or_insert(now + pause);
        if at > now {
            return None;
        }
        self.next = Some(at + self.pause());
        self.count = self.count.wrapping_add(1);
        // Hosts of a large private network, each with a port of its own choice.
        let host = Ipv4Addr::from_bits(0x0A80_0000 | (self.rng.u64() as u32 & 0xFFFF));
        let port = 32_768 + self.rng.below(28_232) as u16;
        let peer = Ipv4Addr::from_bits(0xC612_0000 | self.count & 0x1_FFFF);
        Some((at, SocketAddr::new(IpAddr::V4(host), port), SocketAddr::new(IpAddr::V4(peer), 443)))
    }

    /// Exponentially distributed: −ln(u) ÷ λ, in integers, so that it is the same on every platform.
    fn pause(&mut self) -> Duration {
        const LN2_MICROS: u64 = 693_147;
        // u = x · 2⁻ⁿ with 0.5 ≤ x < 1, so −ln(u) = n · ln 2 + (y + y²/2 + y³/3 + …) with y = 1 − x.
        let draw = self.rng.u64() | 1;
        let halvings = draw.leading_zeros();
        let y = (1 << 32) - ((draw << halvings) >> 32); // 32 bits behind the point
        let (mut power, mut sum) = (1 << 32, 0);
        for term in 1..=16 {
            power = (power * y) >> 32;
            sum += power / term;
        }
        let micros = u64::from(halvings) * LN2_MICROS + ((sum * 1_000_000) >> 32);
        Duration::from_micros(micros / u64::from(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;
    use bradawl::rng::Rng;

    /// An exponential distribution has its mean for a standard deviation, and e⁻¹ beyond the mean.
    #[test]
    fn pauses_are_exponentially_distributed() {
        let mut crowd = Crowd::new(1, Rng::from_seed([3; 32]));
        let pauses: Vec<f64> = (0..100_000).map(|_| crowd.pause().as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / 1e5;
        let variance = pauses.iter().map(|pause| (pause - mean).powi(2)).sum::<f64>() / 1e5;
        let beyond = pauses.iter().filter(|&&pause| pause > 1.0).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 0.015, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!((beyond - 1.0 / std::f64::consts::E).abs() < 0.01, "beyond the mean {beyond}");
    }
}
