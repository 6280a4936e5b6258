//! Two sequential NATs: neither side knows a port of its own before it is used, but each can say which one
//! it will have soon.
//!
//! 1. A scout asks the mediator how it looks: port `c`.
//! 2. "Aim at `c + step·h`": told to the other side. Until it fires, strangers take some ports; `h` is as
//!    many as they may take, and a margin.
//! 3. As soon as we have told ours and heard theirs, `2h` sockets fire at theirs, all at once. One of them
//!    gets the port that we have told: its check opens our filter for exactly the one of theirs that got
//!    the port that they have told.
//! 4. Nothing came back: another round, three at most. What its scout sees tells how many ports strangers
//!    have really taken since the last one.

use core::net::SocketAddr;

use crate::time::{Duration, Instant};

/// How many rounds there are.
pub const MAX_ROUNDS: u16 = 3;
/// How many sockets fire at once at most.
pub const MAX_VOLLEY: u16 = 150;
/// How long after a volley the next round begins.
const ROUND: Duration = Duration::from_millis(350);
/// How often the scout asks again while it is not answered.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long after its own observation a side fires, at the most, as far as the plan goes.
const LEAD: Duration = Duration::from_millis(150);
/// More ports a second than this nobody is taken to have counted rightly.
const MAX_TRAFFIC: u32 = 2_000;
/// How many ports a second strangers take where nobody has counted.
const UNKNOWN_TRAFFIC: u16 = 30;

pub(super) struct Volley {
    step: i16,
    half: u16,
    round: u16,
    state: State,
    /// The port that the other side wants to be fired at.
    theirs: Option<SocketAddr>,
    /// What the last scout saw, and how many ports we have taken ourselves since.
    last_seen: Option<(Instant, u16)>,
    taken: u16,
    /// How many more sockets a round wants than were opened for it.
    more: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next round begins.
    Pause {
        until: Instant,
    },
    /// The scout asks.
    Scouting {
        ask_at: Instant,
    },
    /// Our port is told; theirs is waited for.
    Told {
        until: Instant,
    },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Close the sockets of the last round, open a scout and so many others.
    Open { sockets: u16 },
    /// So many more.
    More { sockets: u16 },
    /// The scout asks the mediator.
    Ask { round: u16 },
    /// All sockets check this address.
    Fire { at: SocketAddr },
}

impl Volley {
    pub(super) fn new(now: Instant, step: i16, traffic: Option<u16>) -> Self {
        let state = State::Pause { until: now };
        let half = half(traffic.unwrap_or(UNKNOWN_TRAFFIC).max(UNKNOWN_TRAFFIC).into());
        Self { step, half, round: 0, state, theirs: None, last_seen: None, taken: 0, more: 0 }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        match self.state {
            State::Told { .. } if self.theirs.is_some() || self.more > 0 => Some(Instant::ZERO),
            State::Pause { until } | State::Told { until } => Some(until),
            State::Scouting { ask_at } => Some(ask_at),
            State::Over => None,
        }
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<Step> {
        match self.state {
            State::Pause { until } if until <= now => {
                if self.round == MAX_ROUNDS {
                    self.state = State::Over;
                    return None;
                }
                self.round += 1;
                self.state = State::Scouting { ask_at: now };
                Some(Step::Open { sockets: 2 * self.half })
            }
            State::Scouting { ask_at } if ask_at <= now => {
                self.state = State::Scouting { ask_at: now + ASK_AGAIN };
                self.taken += 1;
                Some(Step::Ask { round: self.round })
            }
            State::Told { .. } if self.more > 0 => {
                Some(Step::More { sockets: core::mem::take(&mut self.more) })
            }
            State::Told { until } => {
                if let Some(at) = self.theirs.take() {
                    self.state = State::Pause { until: now + ROUND };
                    self.taken += 2 * self.half;
                    return Some(Step::Fire { at });
                }
                if until <= now {
                    self.state = State::Pause { until: now };
                    return self.due(now);
                }
                None
            }
            _ => None,
        }
    }

    /// The scout is at `mapped`: the address that the other side is to be told.
    pub(super) fn scouted(&mut self, now: Instant, round: u16, mapped: SocketAddr) -> Option<SocketAddr> {
        if round != self.round || !matches!(self.state, State::Scouting { .. }) {
            return None;
        }
        self.learn(now, mapped.port());
        // Long enough for somebody who begins later, and no longer than what was told is good for.
        self.state = State::Told { until: now + ROUND };
        let port = i32::from(mapped.port()) + i32::from(self.step) * i32::from(self.half);
        Some(SocketAddr::new(mapped.ip(), wrap(port)))
    }

    /// How many ports strangers take, by what two scouts saw.
    fn learn(&mut self, now: Instant, port: u16) {
        let ours = i32::from(core::mem::take(&mut self.taken));
        let Some((before, last)) = self.last_seen.replace((now, port)) else { return };
        let size = 65_536 - i32::from(FIRST_PORT);
        let way = (i32::from(port) - i32::from(last)) * i32::from(self.step.signum());
        let strangers = way.rem_euclid(size) / i32::from(self.step.unsigned_abs().max(1)) - ours;
        let per_second = i64::from(strangers) * 1_000_000 / now.since(before).as_micros().max(1) as i64;
        // Less than none, or more than a NAT is likely to have: one of the two had an old mapping.
        let wanted = u32::try_from(per_second).ok().filter(|&seen| seen <= MAX_TRAFFIC).map_or(0, half);
        if wanted > self.half {
            self.more = 2 * (wanted - self.half);
            self.half = wanted;
        }
    }

    /// The other side has told its port.
    pub(super) fn hear(&mut self, at: SocketAddr) {
        if self.state != State::Over {
            self.theirs = Some(at);
        }
    }
}

/// As many ports as strangers may take until we fire, and three standard deviations more.
fn half(per_second: u32) -> u16 {
    let taken = per_second.min(MAX_TRAFFIC) * LEAD.as_millis() as u32 / 1_000;
    let half = taken + 3 * taken.isqrt() + 6;
    u16::try_from(half).unwrap_or(u16::MAX).min(MAX_VOLLEY / 2)
}

/// NATs begin again above the well-known ports.
pub(super) const FIRST_PORT: u16 = 1_024;

pub(super) fn wrap(port: i32) -> u16 {
    let first = i32::from(FIRST_PORT);
    let size = 65_536 - first;
    if (first..65_536).contains(&port) {
        port as u16
    } else {
        ((port - first).rem_euclid(size) + first) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn a_round_is_scout_tell_hear_fire() {
        let mut volley = Volley::new(at(0), 1, Some(10));
        let Some(Step::Open { sockets }) = volley.due(at(0)) else { panic!("it opens sockets") };
        assert_eq!(volley.due(at(0)), Some(Step::Ask { round: 1 }));
        assert_eq!((volley.due(at(0)), volley.next()), (None, Some(at(100))));
        let seen = "203.0.113.1:5000".parse().expect("an address");
        let told = volley.scouted(at(40), 1, seen).expect("it tells");
        assert_eq!(told.port(), 5_000 + sockets / 2);
        assert_eq!(volley.scouted(at(41), 1, seen), None, "once");
        assert_eq!(volley.due(at(41)), None);
        let theirs = "198.51.100.1:7000".parse().expect("an address");
        volley.hear(theirs);
        assert!(volley.next() <= Some(at(41)), "there is nothing to wait for");
        assert_eq!(volley.due(at(80)), Some(Step::Fire { at: theirs }));
    }

    #[test]
    fn two_scouts_tell_how_busy_a_nat_is() {
        let mut volley = Volley::new(at(0), 1, None);
        let Some(Step::Open { sockets }) = volley.due(at(0)) else { panic!("it opens sockets") };
        let _ = volley.due(at(0));
        let seen = |port: u16| SocketAddr::new([203, 0, 113, 1].into(), port);
        let _ = volley.scouted(at(40), 1, seen(5_000));
        volley.hear(seen(9));
        assert!(matches!(volley.due(at(50)), Some(Step::Fire { .. })));
        assert!(matches!(volley.due(at(400)), Some(Step::Open { .. })));
        assert_eq!(volley.due(at(400)), Some(Step::Ask { round: 2 }));
        // 400 ms later strangers have taken a hundred: 250 a second.
        let told = volley.scouted(at(440), 2, seen(5_000 + sockets + 1 + 100)).expect("it tells");
        let half = told.port() - (5_000 + sockets + 1 + 100);
        assert!((55..=65).contains(&half), "{half}");
        assert_eq!(volley.due(at(440)), Some(Step::More { sockets: 2 * half - sockets }));
    }

    #[test]
    fn it_gives_up_after_three_rounds() {
        let mut volley = Volley::new(at(0), -2, None);
        let mut opened = 0;
        while let Some(next) = volley.next() {
            match volley.due(next) {
                Some(Step::Open { .. }) => opened += 1,
                Some(Step::Ask { round }) => {
                    volley.scouted(next, round, "203.0.113.1:1030".parse().expect("an address"));
                }
                Some(Step::Fire { .. }) => panic!("nobody has told a port"),
                Some(Step::More { .. }) | None => {}
            }
        }
        assert_eq!(opened, MAX_ROUNDS);
    }

    #[test]
    fn ports_wrap() {
        assert_eq!((wrap(1_023), wrap(65_536), wrap(65_535)), (65_535, 1_024, 65_535));
    }
}
