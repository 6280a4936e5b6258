//! A link: what can happen to a packet on its way from one end to the other.

use serde::{Deserialize, Serialize};

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
