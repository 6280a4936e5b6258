//! What a peer has sent for a path, and when it had it.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

use bradawl::machine::Path;
use bradawl::punch::{Candidate, Failure, Selected};
use bradawl::time::Instant;

/// How much is kept.
const MAX_SENT: usize = 20_000;

/// One packet of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// From where.
    pub local: SocketAddr,
    /// To whom.
    pub remote: SocketAddr,
}

/// What became of an attempt, as the peer sees it: of the last one, if there was more than one.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    began: Option<Instant>,
    sent: Vec<Sent>,
    /// Who was named.
    named: BTreeSet<SocketAddr>,
    /// Since when somebody is heard.
    heard: BTreeMap<SocketAddr, Instant>,
    selected: Option<(Instant, Selected)>,
    last: Option<Selected>,
    failure: Option<Failure>,
}

impl Tally {
    pub(super) fn begin(&mut self, now: Instant, candidates: &[Candidate], servers: &[SocketAddr]) {
        let candidates = candidates.iter().map(|candidate| candidate.address);
        let named = candidates.chain(servers.iter().copied()).collect();
        *self = Self { began: Some(now), named, ..Self::default() };
    }

    pub(super) fn sent(&mut self, at: Instant, path: Path) {
        if self.sent.len() < MAX_SENT {
            self.sent.push(Sent { at, local: path.local, remote: path.remote });
        }
    }

    pub(super) fn heard(&mut self, at: Instant, path: Path) {
        if self.heard.len() < MAX_SENT {
            self.heard.entry(path.remote).or_insert(at);
        }
    }

    pub(super) fn select(&mut self, now: Instant, selected: Selected) {
        self.selected.get_or_insert((now, selected));
        self.last = Some(selected);
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// Whether somebody has named an address, or its IP address and, of another one, its port.
    fn is_named(&self, to: SocketAddr) -> bool {
        let mut named = self.named.iter();
        named.clone().any(|known| known.ip() == to.ip()) && named.any(|known| known.port() == to.port())
    }

    /// When it began.
    pub const fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Its first path, and since when.
    pub const fn selected(&self) -> Option<&(Instant, Selected)> {
        self.selected.as_ref()
    }

    /// Its last path.
    pub const fn last(&self) -> Option<&Selected> {
        self.last.as_ref()
    }

    /// Why it found none.
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// All that it has sent.
    pub fn all(&self) -> &[Sent] {
        &self.sent
    }

    /// How many packets it had sent by then.
    pub fn packets(&self, until: Instant) -> usize {
        self.sent.iter().filter(|sent| sent.at <= until).count()
    }

    /// How many sessions it made in the NATs on its way by then: each pair of addresses is one.
    pub fn entries(&self, until: Instant) -> usize {
        let sent = self.sent.iter().filter(|sent| sent.at <= until);
        sent.map(|sent| (sent.local, sent.remote)).collect::<BTreeSet<_>>().len()
    }

    /// How many packets went to a port that nobody had named and that one had been sent to before from the
    /// same socket, while nothing was heard from there.
    pub fn repeated(&self) -> usize {
        let mut tried = BTreeSet::new();
        let is_guess = |sent: &&Sent| {
            !self.is_named(sent.remote) && self.heard.get(&sent.remote).is_none_or(|heard| *heard > sent.at)
        };
        let guesses = self.sent.iter().filter(is_guess);
        guesses.filter(|sent| !tried.insert((sent.local, sent.remote))).count()
    }
}
