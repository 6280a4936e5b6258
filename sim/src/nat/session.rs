//! One mapping, and the sessions that run over it: who may send to it, and how long it lives (RFC 4787
//! §4.3 and §5 for UDP, RFC 5382 REQ-5 for TCP).

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bradawl::time::Instant;

use super::table::Key;
use super::{Behaviour, Dependence, Flow, Protocol, Stage};
use crate::units::Span;

/// Whose a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A host's behind the NAT.
    Host,
    /// The NAT's own: somebody outside sent to it without having been asked.
    Box,
}

/// One mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) key: Key,
    pub(super) public: SocketAddr,
    pub(super) owner: Owner,
    /// Whether anything has come in.
    pub(super) replied: bool,
    /// The how manieth it is.
    pub(super) serial: u64,
    pub(super) made: Instant,
    /// Those whom it was used to send to, as far as it matters.
    sessions: BTreeMap<SocketAddr, Session>,
}

/// What is known about one peer.
#[derive(Clone, Copy, Debug)]
struct Session {
    /// When it is forgotten, though its mapping may live on.
    dies: Instant,
    /// TCP: it has sent something since the connection began.
    answered: bool,
    /// TCP: one of the two has closed it.
    closing: bool,
}

impl Session {
    const NEW: Self = Self { dies: Instant::FAR_FUTURE, answered: false, closing: false };

    /// RFC 5382 REQ-5: established connections live long, others do not.
    fn tcp_death(&self, now: Instant, rules: &Behaviour) -> Instant {
        let is_established = self.answered && !self.closing;
        now + if is_established { rules.tcp_established } else { rules.tcp_transitory }.duration()
    }
}

impl Mapping {
    pub(super) fn new(now: Instant, key: Key, public: SocketAddr, owner: Owner) -> Self {
        Self { key, public, owner, replied: false, serial: 0, made: now, sessions: BTreeMap::new() }
    }

    /// Whom it was used to send to, as far as that was remembered.
    pub(super) fn remotes(&self) -> impl Iterator<Item = SocketAddr> {
        self.sessions.keys().copied()
    }

    pub(super) fn remember(&mut self, remote: SocketAddr) {
        self.sessions.insert(remote, Session::NEW);
    }

    /// Whether the filter lets `source` in.
    pub(super) fn lets_in(&self, now: Instant, filtering: Dependence, source: SocketAddr) -> bool {
        let lives = |session: &Session| session.dies > now;
        match filtering {
            Dependence::Endpoint => true,
            Dependence::Address => {
                let ports = [0, u16::MAX].map(|port| SocketAddr::new(source.ip(), port));
                self.sessions.range(ports[0]..=ports[1]).any(|(_, session)| lives(session))
            }
            Dependence::AddressAndPort => self.sessions.get(&source).is_some_and(lives),
        }
    }

    /// Notes a packet that goes out. Whether its receiver is new.
    pub(super) fn sent(&mut self, now: Instant, rules: &Behaviour, exact: bool, flow: Flow) -> bool {
        let is_udp = flow.protocol == Protocol::Udp;
        if is_udp && !exact && rules.filtering == Dependence::Endpoint {
            return false; // nobody ever asks
        }
        let before = self.sessions.len();
        let session = self.sessions.entry(flow.destination).or_insert(Session { dies: now, ..Session::NEW });
        if is_udp {
            if rules.refresh_outbound || session.dies <= now {
                session.dies = session_death(now, rules);
            }
        } else {
            match flow.stage {
                Stage::Open => *session = Session::NEW,
                Stage::Close => session.closing = true,
                Stage::Plain => {}
            }
            session.dies = session.tcp_death(now, rules);
        }
        self.sessions.len() > before
    }

    /// Notes a packet that comes in. Who was not sent to leaves no trace.
    pub(super) fn received(&mut self, now: Instant, rules: &Behaviour, flow: Flow) {
        let Some(session) = self.sessions.get_mut(&flow.source) else { return };
        if flow.protocol == Protocol::Udp {
            if rules.refresh_inbound && session.dies > now {
                session.dies = session_death(now, rules);
            }
            return;
        }
        session.answered = true;
        match flow.stage {
            Stage::Open => session.closing = false,
            Stage::Close => session.closing = true,
            Stage::Plain => {}
        }
        session.dies = session.tcp_death(now, rules);
    }

    /// When it dies after a packet to or from `remote`, if it was to die at `before`.
    pub(super) fn death(
        &self,
        now: Instant,
        rules: &Behaviour,
        before: Instant,
        remote: SocketAddr,
        refreshes: bool,
    ) -> Instant {
        if self.key.protocol == Protocol::Udp {
            return if refreshes { now + self.udp_lifetime(now, rules).duration() } else { before };
        }
        self.sessions.get(&remote).map_or(before, |session| before.max(session.dies))
    }

    /// When the last of its TCP connections dies: what ends one may bring the end of all nearer.
    pub(super) fn last_death(&self) -> Option<Instant> {
        self.sessions.values().map(|session| session.dies).max()
    }

    /// How long it lives from `now` on without being refreshed.
    pub(super) fn udp_lifetime(&self, now: Instant, rules: &Behaviour) -> Span {
        match rules.unreplied {
            Some(unreplied) if !self.replied || now.since(self.made) <= rules.probation.duration() => {
                unreplied
            }
            _ => rules.lifetime,
        }
    }
}

fn session_death(now: Instant, rules: &Behaviour) -> Instant {
    rules.filter_lifetime.map_or(Instant::FAR_FUTURE, |span| now + span.duration())
}
