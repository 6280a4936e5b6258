//! Strangers behind the same NAT, who make mappings as people's programs do: at random moments, at a
//! steady rate (a Poisson process), each to somebody new, and never use them again.
//!
//! There may be hundreds of thousands of them, so what is kept of one is only what others notice: the port,
//! the room, and who gets what is sent there. Nothing else depends on their sessions, for nobody else sends
//! to their peers (198.18.0.0/15), and these never send.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

/// Who comes next, and who is there.
#[derive(Debug)]
pub(super) struct Crowd {
    per_second: u32,
    /// How long each stays.
    stay: Duration,
    rng: Rng,
    next: Option<Instant>,
    count: u32,
    /// Who has a mapping: who came first leaves first.
    here: VecDeque<Stranger>,
    /// How many have left.
    left: usize,
    /// On each public address, by port: the how manieth has come there last, counted from 1.
    last_at: BTreeMap<IpAddr, Vec<u32>>,
    /// How many mappings each of their hosts has.
    per_host: Vec<u32>,
}

/// A stranger's mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger {
    pub(super) came: Instant,
    pub(super) inside: SocketAddr,
    pub(super) public: SocketAddr,
}

/// Somebody new who wants a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) inside: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl Crowd {
    pub(super) fn new(per_second: u32, stay: Duration, rng: Rng) -> Self {
        Self {
            per_second,
            stay,
            rng,
            next: None,
            count: 0,
            here: VecDeque::new(),
            left: 0,
            last_at: BTreeMap::new(),
            per_host: Vec::new(),
        }
    }

    /// The next stranger who comes no later than `now`.
    pub(super) fn next_before(&mut self, now: Instant) -> Option<Arrival> {
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
        let host = Ipv4Addr::from_bits(HOSTS | (self.rng.u64() as u32 & 0xFFFF));
        let port = 32_768 + self.rng.below(28_232) as u16;
        let peer = Ipv4Addr::from_bits(0xC612_0000 | self.count & 0x1_FFFF);
        let (inside, peer) = ((host, port).into(), (peer, 443).into());
        Some(Arrival { at, inside, peer })
    }

    /// How many have come and gone again before `now` while nobody looked: those that come next are the
    /// first who may still be there.
    pub(super) fn skip(&mut self, now: Instant) -> u64 {
        let Some(next) = self.next else { return 0 };
        let gone = now.since(next).saturating_sub(self.stay);
        if gone.is_zero() {
            return 0;
        }
        self.next = Some(next + gone + self.pause());
        u64::try_from(gone.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.per_second.into()) / 1_000_000
    }

    /// One has got a mapping.
    pub(super) fn settle(&mut self, stranger: Stranger) {
        let Stranger { inside, public, .. } = stranger;
        self.here.push_back(stranger);
        let ports = self.last_at.entry(public.ip()).or_insert_with(|| vec![0; 1 << 16]);
        ports[usize::from(public.port())] = (self.left + self.here.len()) as u32;
        if self.per_host.is_empty() {
            self.per_host = vec![0; 1 << 16];
        }
        self.per_host[index(inside)] += 1;
    }

    /// One whose time is over at `now`.
    pub(super) fn leave(&mut self, now: Instant) -> Option<Stranger> {
        if self.here.front()?.came + self.stay > now {
            return None;
        }
        let stranger = self.here.pop_front()?;
        self.left += 1;
        self.per_host[index(stranger.inside)] -= 1;
        Some(stranger)
    }

    /// All are gone, and go on coming.
    pub(super) fn forget(&mut self) {
        self.left += self.here.len();
        self.here.clear();
        self.per_host.clear();
    }

    /// How many are there.
    pub(super) fn len(&self) -> usize {
        self.here.len()
    }

    /// How many mappings the host of a stranger has.
    pub(super) fn of_host(&self, inside: SocketAddr) -> u32 {
        self.per_host.get(index(inside)).copied().unwrap_or(0)
    }

    /// Who has come to a public endpoint last, and is still there.
    pub(super) fn at(&self, public: SocketAddr) -> Option<&Stranger> {
        let ordinal = *self.last_at.get(&public.ip())?.get(usize::from(public.port()))? as usize;
        self.here.get(ordinal.checked_sub(self.left + 1)?)
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

/// Hosts of a large private network, each with a port of its own choice.
const HOSTS: u32 = 0x0A80_0000;

fn index(inside: SocketAddr) -> usize {
    match inside.ip() {
        IpAddr::V4(host) => (host.to_bits() & 0xFFFF) as usize,
        IpAddr::V6(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Crowd, Stranger};
    use bradawl::rng::Rng;
    use bradawl::time::{Duration, Instant};

    /// An exponential distribution has its mean for a standard deviation, and e⁻¹ beyond the mean.
    #[test]
    fn pauses_are_exponentially_distributed() {
        let mut crowd = Crowd::new(1, Duration::from_secs(1), Rng::from_seed([3; 32]));
        let pauses: Vec<f64> = (0..100_000).map(|_| crowd.pause().as_secs_f64()).collect();
        let mean = pauses.iter().sum::<f64>() / 1e5;
        let variance = pauses.iter().map(|pause| (pause - mean).powi(2)).sum::<f64>() / 1e5;
        let beyond = pauses.iter().filter(|&&pause| pause > 1.0).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 0.015, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!((beyond - 1.0 / std::f64::consts::E).abs() < 0.01, "beyond the mean {beyond}");
    }

    #[test]
    fn who_came_and_went_while_nobody_looked_is_skipped_and_counted() {
        let mut crowd = Crowd::new(100, Duration::from_secs(10), Rng::from_seed([3; 32]));
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        assert!((crowd.next_before(at(0)).is_none(), crowd.skip(at(9))) == (true, 0));
        let skipped = crowd.skip(at(1_010));
        assert!((99_900..=100_000).contains(&skipped), "{skipped}");
        let mut come = 0;
        while let Some(arrival) = crowd.next_before(at(1_010)) {
            assert!(arrival.at + Duration::from_secs(10) >= at(1_010));
            let public = "203.0.113.9:5000".parse().unwrap();
            crowd.settle(Stranger { came: arrival.at, inside: arrival.inside, public });
            assert_eq!(crowd.at(public).map(|stranger| stranger.inside), Some(arrival.inside));
            come += 1;
        }
        assert!((850..1_150).contains(&come) && crowd.len() == come, "{come} of about 1,000");
        while let Some(stranger) = crowd.leave(at(2_000)) {
            assert_eq!(crowd.at(stranger.public).is_some(), crowd.len() > 0);
            assert_eq!(crowd.per_host.iter().sum::<u32>() as usize, crowd.len());
        }
        assert_eq!(crowd.len(), 0);
    }
}
