//! What a pass knows of a server it asks.

use core::net::{IpAddr, SocketAddr};

use super::probe::{Ask, Probe, Probes, Said};
use crate::scope::may_name;
use crate::time::{Duration, Instant};

/// Less than this is nobody's round trip but that of this host with itself, where a busy machine may be
/// late by more.
const LEAST_PATIENCE: Duration = Duration::from_millis(10);

/// One server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Its other IP address and other port (RFC 5780 §7.4).
    pub(super) other: Option<SocketAddr>,
    /// The same IP address and its other port.
    pub(super) other_port: Option<SocketAddr>,
    /// The longest time after which it would answer once more, in seconds.
    pub(super) longest_delay: u16,
    /// The shortest and the longest round trip there has been.
    pub(super) round_trips: Option<(Duration, Duration)>,
    /// The longest round trip to its other address, which may be another machine, and far away.
    other_round_trip: Option<Duration>,
}

impl Server {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            other: None,
            other_port: None,
            longest_delay: 0,
            round_trips: None,
            other_round_trip: None,
        }
    }

    pub(super) const fn is_heard(&self) -> bool {
        self.round_trips.is_some()
    }

    /// Whether it can help to find out about filters.
    pub(super) const fn can_answer_from_elsewhere(&self) -> bool {
        self.other_port.is_some()
    }

    /// Takes in what an answer from its own address says.
    pub(super) fn learn(&mut self, said: &Said, round_trip: Duration, local: SocketAddr) {
        let (shortest, longest) = self.round_trips.unwrap_or((round_trip, round_trip));
        self.round_trips = Some((shortest.min(round_trip), longest.max(round_trip)));
        let usable = |other: &SocketAddr| {
            other.ip() != self.address.ip()
                && other.port() != self.address.port()
                && may_name(self.address, *other)
                && (!are_neighbours(other.ip(), local.ip()) || are_neighbours(self.address.ip(), local.ip()))
        };
        let Self { address, .. } = *self;
        self.other = self.other.or(said.other.filter(usable));
        let by_help = said.help.map(|help| help.other_port).filter(|&port| port != 0);
        let port = self.other.map(|other| other.port()).or(by_help).filter(|&port| port != address.port());
        self.other_port = self.other_port.or(port.map(|port| SocketAddr::new(address.ip(), port)));
        self.longest_delay = self.longest_delay.max(said.help.map_or(0, |help| help.delay));
    }

    /// Takes in that its other address has answered a direct question.
    pub(super) fn hear_other(&mut self, round_trip: Duration) {
        self.other_round_trip = self.other_round_trip.max(Some(round_trip));
    }

    /// For how long silence says nothing: 1.5 round trips.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (_, longest) = self.round_trips?;
        Some((longest * 3 / 2).max(LEAST_PATIENCE))
    }

    /// When the silence after `probe` begins to mean something. If the other address is that of another
    /// machine, the question goes to one of them, from there to the other, and the answer comes from that:
    /// that is no longer than there and back to each. Two addresses next to each other are of one machine.
    pub(super) fn silent_from(&self, probe: &Probe) -> Option<Instant> {
        let is_elsewhere = self.other.is_some_and(|other| !are_side_by_side(self.address.ip(), other.ip()));
        let detour = self.other_round_trip.filter(|_| is_elsewhere && probe.ask == Ask::OtherAddress);
        Some(probe.sent + self.patience()? + detour.unwrap_or_default())
    }
}

/// Whether both are in one network, as far as addresses tell: in IPv6 the first half of them does, and what
/// is private in IPv4 is told by its scope.
fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        _ => one == other,
    }
}

/// Whether both are of one link, as far as addresses tell: the first 24 bits, in IPv6 64.
fn are_side_by_side(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        _ => are_neighbours(one, other),
    }
}

/// How often packets go lost, as far as the answers of servers that do answer tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    sent: u32,
    lost: u32,
}

impl Loss {
    /// Counts the plain questions whose time is over, to addresses that were heard at least once.
    pub(super) fn of(probes: &Probes, servers: &[Server], now: Instant) -> Self {
        let mut loss = Self::default();
        for probe in probes.iter().filter(|probe| probe.ask == Ask::Plain) {
            let Some(server) = servers.get(usize::from(probe.server)) else { continue };
            if probe.to != server.address {
                continue;
            }
            let is_over = server.silent_from(probe).is_some_and(|over| over <= now);
            loss.sent += u32::from(probe.reply.is_some() || is_over);
            loss.lost += u32::from(probe.reply.is_none() && is_over);
        }
        loss
    }

    pub(super) const fn percent(self) -> Option<u8> {
        if self.sent < 10 { None } else { Some((self.lost * 100 / self.sent) as u8) }
    }

    /// What so many unanswered questions are worth, in bits: each as much as the chance that an answer
    /// goes lost, which is taken for higher than it looks (two more losses among four more questions).
    pub(super) fn silence(self, unanswered: u32) -> u32 {
        let sixteenths = log2_sixteenths(((self.sent + 4) << 8) / (self.lost + 2)).saturating_sub(8 * 16);
        unanswered.saturating_mul(sixteenths) / 16
    }
}

/// The binary logarithm in sixteenths, rounded down.
pub(super) const fn log2_sixteenths(number: u32) -> u32 {
    if number == 0 {
        return 0;
    }
    let whole = number.ilog2();
    // Between two powers of two the logarithm is above the straight line.
    let rest = number - (1 << whole);
    let fraction = if whole >= 4 { rest >> (whole - 4) } else { rest << (4 - whole) };
    whole * 16 + fraction
}

#[cfg(test)]
mod tests {
    use super::{Loss, log2_sixteenths};

    #[test]
    fn logarithms_are_never_too_high() {
        assert_eq!((log2_sixteenths(1), log2_sixteenths(2), log2_sixteenths(1 << 31)), (0, 16, 31 * 16));
        for number in 1..10_000_u32 {
            let exact = f64::from(number).log2() * 16.0;
            let ours = f64::from(log2_sixteenths(number));
            assert!(ours <= exact + 1e-9 && exact - ours < 2.5, "{number}: {ours} for {exact}");
        }
    }

    #[test]
    fn silence_is_worth_less_where_much_is_lost() {
        let clean = Loss { sent: 20, lost: 0 };
        let bad = Loss { sent: 20, lost: 4 };
        assert!(clean.silence(6) >= 20, "{}", clean.silence(6));
        assert!(bad.silence(6) < 20 && bad.silence(10) >= 20, "{}", bad.silence(10));
        assert!(Loss::default().silence(5) < 20, "nothing is known of the losses");
    }
}
