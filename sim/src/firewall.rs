//! A firewall: which packets may pass, without changing them.

use serde::{Deserialize, Serialize};

use crate::units::Span;

/// What a firewall does. The default lets everything pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Firewall {
    /// Who may send in without having been sent to.
    pub inbound: Inbound,
    /// What may go out.
    pub outbound: Outbound,
    /// How long somebody who was sent to may answer (UDP), counted from the last packet either way.
    pub lifetime: Span,
    /// Whether it says so to the sender (ICMP "prohibited") when it stops a packet from inside.
    pub reject: bool,
}

/// Who may send in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inbound {
    /// Anybody.
    #[default]
    Open,
    /// Exactly those endpoints that were sent to (a stateful firewall).
    Stateful,
}

/// What may go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outbound {
    /// Everything.
    #[default]
    All,
    /// TCP only.
    NoUdp,
    /// TCP to port 443 only.
    Only443,
}

impl Default for Firewall {
    fn default() -> Self {
        Self::OPEN
    }
}

impl Firewall {
    /// It lets everything pass: the default.
    pub const OPEN: Self = Self {
        inbound: Inbound::Open,
        outbound: Outbound::All,
        lifetime: Span::from_secs(60),
        reject: false,
    };
}
