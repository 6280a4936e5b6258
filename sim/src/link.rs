//! A link: what can happen to a packet on its way from one end to the other.
//!
//! A [`Link`] is one direction. It holds no packets: asked about one, it says at once when that one will
//! arrive, or why it never will. In this order:
//!
//! 1. A link that is down carries nothing, and no link carries a packet longer than its MTU.
//! 2. Where there is a rate, packets leave one after another, each as long as its bytes take. What does not
//!    fit into the queue any more is dropped (tail drop).
//! 3. Packets get lost, each by itself or in bursts (Gilbert's model of two states: in the bad one all do).
//!    They have taken their time on the wire before.
//! 4. The rest arrives after the delay and a random share of the jitter, but never before a packet that
//!    was ahead: jitter stretches and squeezes a flow, it does not shuffle it.
//! 5. Some are held back after that, so that those behind overtake them.
//! 6. Some arrive twice, the copy with the packet or up to the jitter later; it delays nobody.
//!
//! No random number is drawn for what never happens, so a perfect link costs a few comparisons.

use bradawl::rng::Rng;
use bradawl::time::Instant;
use serde::{Deserialize, Serialize};

use crate::trace;
use crate::units::{Chance, Rate, Span};

/// How good a link is, the same both ways. The default is perfect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Quality {
    /// How long a packet takes at least.
    pub delay: Span,
    /// How much longer it may take; uniformly distributed. Packets stay in order.
    pub jitter: Span,
    /// How many packets get lost, each by itself.
    pub loss: Chance,
    /// How often a burst begins, per packet: from then on all packets get lost …
    pub burst: Chance,
    /// … until it ends, per packet (Gilbert's model). Its mean length is the inverse.
    pub burst_end: Chance,
    /// How many packets arrive twice.
    pub duplicate: Chance,
    /// How many packets are held back, so that others overtake them …
    pub reorder: Chance,
    /// … and for how long.
    pub hold: Span,
    /// How many bits it carries per second; none: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many bytes may wait for their turn where there is a rate.
    pub queue: u32,
    /// The longest packet it carries, IP header included.
    pub mtu: u16,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            delay: Span::ZERO,
            jitter: Span::ZERO,
            loss: Chance::NEVER,
            burst: Chance::NEVER,
            burst_end: Chance::percent(25),
            duplicate: Chance::NEVER,
            reorder: Chance::NEVER,
            hold: Span::from_millis(5),
            rate: None,
            queue: 65_536,
            mtu: 1_500,
        }
    }
}

impl Quality {
    /// The longest delay, jitter and hold.
    pub const MAX_SPAN: Span = Span::from_secs(60);
    /// The smallest MTU: what every IPv4 host must be able to take in (RFC 791 §3.1). IPv6 wants 1,280.
    pub const MIN_MTU: u16 = 576;
    /// The longest queue, in bytes.
    pub const MAX_QUEUE: u32 = 64 << 20;

    /// Whether there can be such a link.
    pub fn check(&self) -> Result<(), QualityError> {
        let spans = [("delay", self.delay), ("jitter", self.jitter), ("hold", self.hold)];
        if let Some((field, _)) = spans.into_iter().find(|&(_, span)| span > Self::MAX_SPAN) {
            return Err(QualityError::TooLong { field });
        }
        if self.burst != Chance::NEVER && self.burst_end == Chance::NEVER {
            return Err(QualityError::EndlessBurst);
        }
        if self.reorder != Chance::NEVER && self.hold == Span::ZERO {
            return Err(QualityError::NoHold);
        }
        if self.queue > Self::MAX_QUEUE {
            return Err(QualityError::Queue);
        }
        if self.mtu < Self::MIN_MTU {
            return Err(QualityError::Mtu);
        }
        Ok(())
    }
}

/// Why there is no such link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QualityError {
    /// A time that no packet takes.
    #[error("`{field}` is longer than {}", Quality::MAX_SPAN)]
    TooLong {
        /// Which one.
        field: &'static str,
    },
    /// Bursts that never end.
    #[error("`burst-end` is 0 %, so the first burst would never end")]
    EndlessBurst,
    /// Packets held back for no time.
    #[error("`hold` is 0, so `reorder` would reorder nothing")]
    NoHold,
    /// A queue that no router has.
    #[error("`queue` is longer than {} bytes", Quality::MAX_QUEUE)]
    Queue,
    /// Too small for the packets that everybody must be able to send.
    #[error("`mtu` is less than {}", Quality::MIN_MTU)]
    Mtu,
}

impl QualityError {
    /// The field that is wrong, as a scenario spells it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::TooLong { field } => field,
            Self::EndlessBurst => "burst-end",
            Self::NoHold => "hold",
            Self::Queue => "queue",
            Self::Mtu => "mtu",
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It arrives.
    Arrives {
        /// When.
        first: Instant,
        /// When a copy of it does, if there is one; not before the first.
        again: Option<Instant>,
    },
    /// It does not.
    Lost(Loss),
}

/// Why a packet does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// By chance, alone or in a burst.
    Random,
    /// Too many bytes were waiting.
    QueueFull,
    /// It is longer than the MTU.
    TooBig,
    /// The link is down.
    Down,
}

impl From<Loss> for trace::Drop {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Random => Self::Lost,
            Loss::QueueFull => Self::QueueFull,
            Loss::TooBig => Self::TooBig,
            Loss::Down => Self::LinkDown,
        }
    }
}

/// One direction of a link.
///
/// ```
/// use bradawl::rng::Rng;
/// use bradawl::time::{Duration, Instant};
/// use bradawl_sim::link::{Carried, Link, Loss, Quality};
/// use bradawl_sim::units::Span;
///
/// let quality = Quality { delay: Span::from_millis(20), ..Quality::default() };
/// let mut link = Link::new(quality, Rng::from_seed([0; 32]));
///
/// let first = Instant::ZERO + Duration::from_millis(20);
/// assert_eq!(link.carry(Instant::ZERO, 1_500), Carried::Arrives { first, again: None });
/// assert_eq!(link.carry(Instant::ZERO, 1_501), Carried::Lost(Loss::TooBig));
/// ```
#[derive(Debug)]
pub struct Link {
    quality: Quality,
    rng: Rng,
    is_in_burst: bool,
    down_until: Instant,
    /// When the last packet that was accepted has left, in whole microseconds …
    free: Instant,
    /// … and the rest, in microseconds ÷ rate: without it a fast link would lose up to one with each packet.
    rest: u64,
    /// When the last packet arrives that was not held back.
    last: Instant,
}

impl Link {
    /// A link that nothing has crossed yet. Whether `quality` can be is for [`Quality::check`].
    pub const fn new(quality: Quality, rng: Rng) -> Self {
        let (down_until, free, last) = (Instant::ZERO, Instant::ZERO, Instant::ZERO);
        Self { quality, rng, is_in_burst: false, down_until, free, rest: 0, last }
    }

    /// What it was made from.
    pub const fn quality(&self) -> &Quality {
        &self.quality
    }

    /// It carries nothing before `until`, or even longer if somebody said so before. What is on its way
    /// already still arrives.
    pub fn set_down(&mut self, until: Instant) {
        self.down_until = self.down_until.max(until);
    }

    /// Whether it carries nothing at `now`.
    pub fn is_down(&self, now: Instant) -> bool {
        now < self.down_until
    }

    /// A packet of `size` bytes, IP header included, is sent at `now`, which never runs backwards.
    pub fn carry(&mut self, now: Instant, size: usize) -> Carried {
        if self.is_down(now) {
            return Carried::Lost(Loss::Down);
        }
        if size > usize::from(self.quality.mtu) {
            return Carried::Lost(Loss::TooBig);
        }
        let Some(sent) = self.transmit(now, size) else { return Carried::Lost(Loss::QueueFull) };
        if self.loses() {
            return Carried::Lost(Loss::Random);
        }
        let arrival = sent + self.quality.delay.duration() + self.jitter().duration();
        self.last = self.last.max(arrival);
        let mut first = self.last;
        if self.quality.reorder.happens(&mut self.rng) {
            first += self.quality.hold.duration();
        }
        let is_doubled = self.quality.duplicate.happens(&mut self.rng);
        let again = is_doubled.then(|| first + self.jitter().duration());
        Carried::Arrives { first, again }
    }

    /// When the last bit of the packet has left; none if there is no room for it to wait.
    ///
    /// What is waiting includes the part of the packet on the wire that has not left yet. A packet that
    /// finds the wire free need not wait, so that a queue of 0 still lets one pass at a time.
    fn transmit(&mut self, now: Instant, size: usize) -> Option<Instant> {
        /// A byte, in bits × microseconds per second: divided by the rate it is microseconds.
        const BYTE: u128 = 8 * 1_000_000;
        let Some(rate) = self.quality.rate else { return Some(now) };
        let rate = u128::from(rate.bits());
        if self.free < now {
            (self.free, self.rest) = (now, 0);
        }
        let unsent = self.free.since(now).as_micros() * rate + u128::from(self.rest);
        let waiting = unsent.div_ceil(BYTE);
        if waiting > 0 && waiting + size as u128 > u128::from(self.quality.queue) {
            return None;
        }
        let work = size as u128 * BYTE + u128::from(self.rest);
        // Both fit: the size is at most the MTU, the remainder less than the rate.
        self.free += Span::from_micros((work / rate) as u64).duration();
        self.rest = (work % rate) as u64;
        Some(self.free + Span::from_micros(u64::from(self.rest > 0)).duration())
    }

    /// Gilbert's two states, and the dice of each packet by itself.
    fn loses(&mut self) -> bool {
        let Quality { loss, burst, burst_end, .. } = self.quality;
        if self.is_in_burst || burst.happens(&mut self.rng) {
            // Decided after the packet, so that a burst takes one at least and 1 ÷ `burst_end` on average.
            self.is_in_burst = !burst_end.happens(&mut self.rng);
            return true;
        }
        loss.happens(&mut self.rng)
    }

    fn jitter(&mut self) -> Span {
        match self.quality.jitter.as_micros() {
            0 => Span::ZERO,
            most => Span::from_micros(self.rng.below(most.saturating_add(1))),
        }
    }
}
