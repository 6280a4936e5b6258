//! How long to wait for an acknowledgment (RFC 6298 §2, §5), in whole nanoseconds.

use bradawl::time::Duration;

/// The retransmission timeout, as it learns.
#[derive(Debug)]
pub(super) struct Rto {
    /// The smoothed round trip time and its variation, from the first measurement on.
    smoothed: Option<(Duration, Duration)>,
    /// What follows from that …
    base: Duration,
    /// … and what has become of it by waiting in vain.
    value: Duration,
}

impl Rto {
    /// Before anything has been measured (§2.1).
    pub(super) const INITIAL: Duration = Duration::from_secs(1);
    /// Less than the second of §2.4, as everybody does.
    const MIN: Duration = Duration::from_millis(200);
    /// §2.5.
    pub(super) const MAX: Duration = Duration::from_secs(60);
    /// After a lost SYN (§5.7).
    const CAUTIOUS: Duration = Duration::from_secs(3);

    pub(super) const fn new() -> Self {
        Self { smoothed: None, base: Self::INITIAL, value: Self::INITIAL }
    }

    pub(super) const fn value(&self) -> Duration {
        self.value
    }

    /// A round trip took so long: one of something that was sent once only (Karn's algorithm, §3).
    pub(super) fn measured(&mut self, rtt: Duration) {
        let (smooth, variation) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((smooth, variation)) => ((smooth * 7 + rtt) / 8, (variation * 3 + smooth.abs_diff(rtt)) / 4),
        };
        self.smoothed = Some((smooth, variation));
        self.base = (smooth + variation * 4).clamp(Self::MIN, Self::MAX);
        self.value = self.base;
    }

    /// The time was up (§5.5).
    pub(super) fn back_off(&mut self) {
        self.value = (self.value * 2).min(Self::MAX);
    }

    /// Something has arrived after all. Without timestamps §5 would keep the long wait until something that
    /// was sent only once tells the time, which where much is lost is never. With timestamps (RFC 7323),
    /// which everybody has, every acknowledgment tells it; this is the same without the option.
    pub(super) const fn progressed(&mut self) {
        self.value = self.base;
    }

    /// The handshake needed more than one try, so nothing is known yet (§5.7).
    pub(super) const fn be_cautious(&mut self) {
        self.base = Self::CAUTIOUS;
        self.value = Self::CAUTIOUS;
    }
}

#[cfg(test)]
mod tests {
    use super::Rto;
    use bradawl::time::Duration;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn rfc6298_the_timeout_follows_the_round_trips() {
        let mut rto = Rto::new();
        assert_eq!(rto.value(), millis(1_000));
        rto.measured(millis(100)); // §2.2: 100 + 4 · 50
        assert_eq!(rto.value(), millis(300));
        rto.measured(millis(180)); // §2.3: 110 + 4 · (0.75 · 50 + 0.25 · 80)
        assert_eq!(rto.value(), millis(340));
        rto.measured(Duration::from_secs(1_000));
        assert_eq!(rto.value(), Rto::MAX);
    }

    #[test]
    fn rfc6298_the_timeout_has_bounds_and_doubles() {
        let mut rto = Rto::new();
        for _ in 0..50 {
            rto.measured(millis(1));
        }
        assert_eq!(rto.value(), millis(200));
        rto.back_off();
        assert_eq!(rto.value(), millis(400));
        (0..20).for_each(|_| rto.back_off());
        assert_eq!(rto.value(), Rto::MAX);
        rto.progressed();
        assert_eq!(rto.value(), millis(200));
    }
}
