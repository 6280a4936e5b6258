//! A firewall: which packets may pass, without changing them.
//!
//! *Outbound* (from inside): the policy is asked first; it looks at the packet alone, never at what came
//! before. A stateful wall then notes the session: protocol, inner endpoint, outer endpoint (RFC 6092
//! REC-14, REC-31: the state record of a flow).
//!
//! *Inbound*: an open wall lets everything pass and notes nothing. A stateful one lets pass what belongs to
//! a session, exactly; so the first packet of two that cross, or of a simultaneous open, dies here unless
//! its opposite has gone out before. RFC 6092 would rather see filters that look at less of the other end's
//! address (REC-17, REC-33); what home routers do for IPv6 is this, and it is the harder case.
//!
//! A packet either way keeps its session alive (REC-16 demands one way and allows the other). UDP sessions
//! live as long as the configuration says, TCP sessions 2 h 4 min (REC-35): the wall does not follow a
//! connection's states, so a closed one is forgotten no sooner.
//!
//! ICMP errors about a packet of a session pass (REC-18, REC-36), and change nothing (REC-19, REC-37).
//!
//! Not modelled: the ICMP error to an outsider whose SYN stays unanswered for 6 s (REC-34), and shorter
//! lives for well-known ports (REC-15).

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bradawl::time::{Duration, Instant};
use bradawl::timers::Timers;
use serde::{Deserialize, Serialize};

use crate::nat::{Flow, Protocol};
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

impl Firewall {
    /// It lets everything pass: the default.
    pub const OPEN: Self = Self {
        inbound: Inbound::Open,
        outbound: Outbound::All,
        lifetime: Span::from_secs(60),
        reject: false,
    };

    /// How long RFC 6092 REC-14 wants a UDP session to live at least.
    pub const UDP_LIFETIME: Span = Span::from_secs(120);
    /// How long RFC 6092 REC-35 (after RFC 5382 REC-5) wants a TCP session to live at least, which is how
    /// long it does.
    pub const TCP_LIFETIME: Span = Span::from_secs(2 * 3_600 + 4 * 60);

    /// The stateful firewall of a home router for IPv6.
    pub const fn rfc6092() -> Self {
        Self {
            inbound: Inbound::Stateful,
            outbound: Outbound::All,
            lifetime: Self::UDP_LIFETIME,
            reject: false,
        }
    }
}

impl Outbound {
    /// Whether a packet may go out.
    fn allows(self, flow: Flow) -> bool {
        match (self, flow.protocol) {
            (Self::All, _) | (Self::NoUdp, Protocol::Tcp) => true,
            (Self::NoUdp | Self::Only443, Protocol::Udp) => false,
            (Self::Only443, Protocol::Tcp) => flow.destination.port() == 443,
        }
    }
}

impl Default for Firewall {
    fn default() -> Self {
        Self::OPEN
    }
}

/// Why a packet does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Blocked {
    /// It may not go out.
    #[error("not allowed out")]
    Outbound {
        /// Whether its sender is told (ICMP "administratively prohibited").
        reject: bool,
    },
    /// It wants in and belongs to no session. Nobody is told.
    #[error("unsolicited")]
    Unsolicited,
}

impl Blocked {
    /// Whether its sender is told.
    pub const fn is_rejected(self) -> bool {
        matches!(self, Self::Outbound { reject: true })
    }
}

/// A firewall at work.
///
/// ```
/// use bradawl::time::Instant;
/// use bradawl_sim::firewall::{Blocked, Firewall, Wall};
/// use bradawl_sim::nat::Flow;
///
/// let (host, peer) = ("[2001:db8::7]:5000".parse()?, "[2001:db8:1::1]:6000".parse()?);
/// let mut wall = Wall::new(Firewall::rfc6092());
/// assert_eq!(wall.inbound(Instant::ZERO, Flow::udp(peer, host)), Err(Blocked::Unsolicited));
/// assert_eq!(wall.outbound(Instant::ZERO, Flow::udp(host, peer)), Ok(()));
/// assert_eq!(wall.inbound(Instant::ZERO, Flow::udp(peer, host)), Ok(()));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Wall {
    firewall: Firewall,
    sessions: BTreeMap<Session, u32>,
    slots: Vec<Option<Session>>,
    vacant: Vec<u32>,
    /// When sessions die, in an order of its own for each protocol: within one, who dies first is also who
    /// has been idle longest.
    deaths: [Timers; 2],
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    protocol: Protocol,
    inside: SocketAddr,
    outside: SocketAddr,
}

impl Session {
    const fn leaving(flow: Flow) -> Self {
        Self { protocol: flow.protocol, inside: flow.source, outside: flow.destination }
    }

    const fn entering(flow: Flow) -> Self {
        Self { protocol: flow.protocol, inside: flow.destination, outside: flow.source }
    }
}

impl Wall {
    /// How many sessions it remembers. When one more begins, the one that has been idle longest gives way.
    pub const MAX_SESSIONS: usize = 65_536;

    const PROTOCOLS: [Protocol; 2] = [Protocol::Udp, Protocol::Tcp];

    /// A firewall that has just been switched on.
    pub fn new(firewall: Firewall) -> Self {
        Self {
            firewall,
            sessions: BTreeMap::new(),
            slots: Vec::new(),
            vacant: Vec::new(),
            deaths: [Timers::default(), Timers::default()],
        }
    }

    /// What it was made from.
    pub const fn firewall(&self) -> &Firewall {
        &self.firewall
    }

    /// A packet from inside.
    pub fn outbound(&mut self, now: Instant, flow: Flow) -> Result<(), Blocked> {
        if !self.firewall.outbound.allows(flow) {
            return Err(Blocked::Outbound { reject: self.firewall.reject });
        }
        if self.firewall.inbound == Inbound::Stateful {
            self.note(now, Session::leaving(flow));
        }
        Ok(())
    }

    /// A packet from outside.
    pub fn inbound(&mut self, now: Instant, flow: Flow) -> Result<(), Blocked> {
        if self.firewall.inbound == Inbound::Open {
            return Ok(());
        }
        self.expire(now);
        let session = Session::entering(flow);
        let slot = *self.sessions.get(&session).ok_or(Blocked::Unsolicited)?;
        self.postpone(now, session.protocol, slot);
        Ok(())
    }

    /// Whether an ICMP error may come in about a packet that went out as `offending`.
    pub fn error_inbound(&mut self, now: Instant, offending: Flow) -> bool {
        self.expire(now);
        self.firewall.inbound == Inbound::Open || self.sessions.contains_key(&Session::leaving(offending))
    }

    /// It forgets everything, as when the power fails.
    pub fn reboot(&mut self) {
        *self = Self::new(self.firewall);
    }

    /// How many sessions live at `now`.
    pub fn load(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.sessions.len()
    }

    fn lifetime(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Udp => self.firewall.lifetime.duration(),
            Protocol::Tcp => Firewall::TCP_LIFETIME.duration(),
        }
    }

    /// A session begins or goes on.
    fn note(&mut self, now: Instant, session: Session) {
        self.expire(now);
        if let Some(&slot) = self.sessions.get(&session) {
            return self.postpone(now, session.protocol, slot);
        }
        if self.sessions.len() >= Self::MAX_SESSIONS {
            self.evict();
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(session);
        self.sessions.insert(session, slot);
        self.postpone(now, session.protocol, slot);
    }

    fn postpone(&mut self, now: Instant, protocol: Protocol, slot: u32) {
        let death = now + self.lifetime(protocol);
        self.deaths[protocol as usize].set(slot, death);
    }

    /// Forgets whose time is over.
    fn expire(&mut self, now: Instant) {
        for protocol in Self::PROTOCOLS {
            while let Some(slot) = self.deaths[protocol as usize].pop(now) {
                self.forget(slot);
            }
        }
    }

    /// Forgets the session that has been idle longest.
    fn evict(&mut self) {
        let [udp, tcp] = Self::PROTOCOLS.map(|protocol| {
            let death = self.deaths[protocol as usize].next_deadline()?;
            let lifetime = self.lifetime(protocol).as_micros();
            Some(u128::from(death.as_micros()).saturating_sub(lifetime))
        });
        let protocol = match (udp, tcp) {
            (Some(udp), Some(tcp)) if tcp < udp => Protocol::Tcp,
            (Some(_), _) => Protocol::Udp,
            (None, _) => Protocol::Tcp,
        };
        if let Some(slot) = self.deaths[protocol as usize].pop(Instant::FAR_FUTURE) {
            self.forget(slot);
        }
    }

    /// Forgets a session whose timer is gone already.
    fn forget(&mut self, slot: u32) {
        if let Some(session) = self.slots[slot as usize].take() {
            self.sessions.remove(&session);
            self.vacant.push(slot);
        }
    }
}
