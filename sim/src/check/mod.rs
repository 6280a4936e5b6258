//! What must hold in every run (the invariants of the design, by its numbers), watched while it runs.
//!
//! The checker sees what the world sees, the truth that no host knows: who really sent a packet, and what
//! each NAT did with it. It has a model of its own of what NATs promise (`shadow.rs`), and never looks
//! into theirs.

mod answers;
mod judge;
mod named;
mod probes;
mod shadow;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use bradawl::machine::Path;
use bradawl::time::{Duration, Instant};

use answers::{Answers, Checks};
pub use judge::{Outcome, PairOutcome};
use named::Named;
pub use named::{MOST_NAMED, MOST_TO_NAMED, PASS};
use probes::Probes;
pub use probes::{MOST_PROBES, MOST_VOLLEYS, PROBES_A_SECOND, PROBES_AT_ONCE, SESSION, VOLLEY};
use shadow::Shadow;

use crate::firewall::{Firewall, Inbound};
use crate::nat::Behaviour;
use crate::packet::{HostId, Packet};
use crate::program::Policy;
use crate::trace::{Drop, Happened, Place, Strategy, Warrant, What};
use crate::units::Span;

/// Something that must not happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// What was broken.
    pub invariant: Invariant,
    /// Who did what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: {}", self.at, self.invariant, self.detail)
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Invariant {
    /// 1.
    #[error("a packet goes only to whom its sender has a warrant for")]
    Warrant,
    /// 2.
    #[error("both sides agree on the path or neither has one")]
    Agreement,
    /// 3.
    #[error("what is certain to be direct is, in time")]
    Certain,
    /// 3, the other way round.
    #[error("what cannot be direct is not")]
    Impossible,
    /// 3, the other end.
    #[error("who finds no path says so within 30 s")]
    Silence,
    /// 4, the network's half: what the checker believes of NATs is what they do.
    #[error("a NAT keeps its promises")]
    Nat,
    /// 4.
    #[error("a path in use is kept open")]
    Keepalive,
    /// 4.
    #[error("packets stay within the budget")]
    Budget,
    /// 5.
    #[error("a machine comes to rest, and is woken in the future")]
    Rest,
    /// 5.
    #[error("a machine sends from sockets that it has")]
    Socket,
    /// 5.
    #[error("who has closed is silent")]
    Closed,
    /// 6.
    #[error("nothing is sent to a lost peer after 30 s")]
    Lost,
    /// 8.
    #[error("a repeated packet changes nothing")]
    Repetition,
}

/// How many violations of a run are kept.
const MAX_VIOLATIONS: usize = 16;

/// What a program may send: this many packets at once …
pub const BURST: u64 = 2_000;
/// … so many more for each of its addresses but the first, from which it asks and tries like from that …
pub const PER_ADDRESS: u64 = 500;
/// … and so many a second for ever.
pub const PER_SECOND: u64 = 60;

/// How long after its loss a peer may still be sent to.
const AFTER_LOSS: Duration = Duration::from_secs(30);

/// How long a path may take to settle after something went wrong, before it must be kept open.
const GRACE: Duration = Duration::from_secs(15);

/// How long a mapping or a firewall's session has to live to be kept by a packet a second.
pub(crate) const OFTEN: Span = Span::from_secs(5);

/// How long who finds no path may take to say so.
const SILENCE: Duration = Duration::from_secs(30);

/// Watches one run.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    hosts: Vec<Facts>,
    names: Vec<String>,
    shadows: BTreeMap<Place, Shadow>,
    /// Which gateways let a path live that is used once a second.
    keepable: BTreeMap<Place, bool>,
    /// Who got what was sent last on a path: the receiver, and the path as it looks from there.
    delivered: BTreeMap<(HostId, SocketAddr, SocketAddr), (HostId, SocketAddr, SocketAddr)>,
    checks: Checks,
    last_fault: Instant,
    violations: Vec<Violation>,
}

/// What is known of a host.
#[derive(Debug)]
struct Facts {
    policy: Policy,
    /// Whom it may send to, since when and why.
    warrants: BTreeMap<SocketAddr, (Instant, Warrant)>,
    /// Where it may try ports that nobody named, and what it has tried.
    probes: BTreeMap<IpAddr, Probes>,
    /// Who was named to it by answers to what it has asked.
    named: Named,
    /// Which checks it has got and may answer.
    answers: Answers,
    /// Who has sent to it, where that is a warrant.
    heard: BTreeSet<SocketAddr>,
    /// Its path, since when, and how it was won.
    selected: Option<Selected>,
    /// The first path it ever had, since the last fault.
    first: Option<Selected>,
    lost: Option<Instant>,
    /// Why it has given up, and when.
    failed: Option<(&'static str, Instant)>,
    /// The gateways between it and the internet.
    gateways: Vec<Place>,
    /// What it may send at once.
    burst: u64,
    is_closed: bool,
    sent: u64,
    /// Packets sent until it had its first path.
    until_selected: u64,
    started: Instant,
    is_repetition: bool,
}

/// A path in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Selected {
    at: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    strategy: Strategy,
}

impl Checker {
    pub(crate) fn add_gateway(&mut self, place: Place, behaviour: Option<&Behaviour>, firewall: &Firewall) {
        let mut is_keepable = firewall.inbound == Inbound::Open || firewall.lifetime >= OFTEN;
        if let Some(behaviour) = behaviour {
            let shadow = Shadow::new(behaviour);
            is_keepable &= shadow.is_keepable();
            self.shadows.insert(place, shadow);
        }
        self.keepable.insert(place, is_keepable);
    }

    /// A host with so many addresses, and the gateways between it and the internet.
    pub(crate) fn add_host(&mut self, name: &str, policy: Policy, addresses: usize, gateways: Vec<Place>) {
        self.names.push(name.to_owned());
        let burst = BURST + PER_ADDRESS * addresses.saturating_sub(1) as u64;
        self.hosts.push(Facts { gateways, burst, ..Facts::new(policy) });
    }

    /// A host's program begins.
    pub(crate) fn started(&mut self, now: Instant, host: HostId) {
        self.hosts[host.0 as usize].started = now;
    }

    /// Whether a host's program has said that it is done.
    pub(crate) fn has_closed(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].is_closed
    }

    /// A program that is done still holds something.
    pub(crate) fn clings(&mut self, now: Instant, host: HostId, to: &str) {
        self.violate(now, Invariant::Closed, format!("{} still has {to}", self.name(host)));
    }

    /// Whether a path between two hosts can be kept open by sending once a second.
    fn is_keepable(&self, a: HostId, b: HostId) -> bool {
        let gateways = [a, b].into_iter().flat_map(|host| &self.hosts[host.0 as usize].gateways);
        gateways.into_iter().all(|place| self.keepable.get(place).copied().unwrap_or(true))
    }

    /// Everything that happens to packets.
    pub(crate) fn packet(&mut self, now: Instant, place: Place, packet: &Packet, what: &What) {
        if let Some(shadow) = self.shadows.get_mut(&place)
            && let Err(detail) = shadow.observe(now, packet, what)
        {
            self.violate(now, Invariant::Nat, detail);
        }
        if let (What::Dropped(why @ (Drop::Nat(_) | Drop::Firewall)), Some((sender, path))) =
            (what, packet.origin)
        {
            self.lost_on_selected(now, sender, path, *why);
        }
    }

    /// A program sends a datagram, or something in a stream.
    pub(crate) fn sends(&mut self, now: Instant, host: HostId, path: Path, bytes: &[u8]) {
        let facts = &mut self.hosts[host.0 as usize];
        facts.sent += 1;
        facts.until_selected += u64::from(facts.first.is_none());
        let allowed = facts.burst + PER_SECOND * now.since(facts.started).as_secs();
        let (is_over, is_closed) = (facts.sent == allowed + 1, facts.is_closed);
        let warrant = if facts.answers.take(path, bytes) { Ok(()) } else { facts.warrant(now, path) };
        facts.named.asks(bytes);
        self.checks.sent(bytes);
        if is_over && facts.policy == Policy::Warranted {
            self.violate(now, Invariant::Budget, format!("{} has sent {allowed} packets", self.name(host)));
        }
        if is_closed {
            self.violate(now, Invariant::Closed, format!("{} sends on {path}", self.name(host)));
        }
        match warrant {
            Err(Unwarranted::Never) => {
                self.violate(now, Invariant::Warrant, format!("{} sends on {path}", self.name(host)));
            }
            Err(Unwarranted::Lost(since)) if now > since + AFTER_LOSS => {
                self.violate(
                    now,
                    Invariant::Lost,
                    format!("{} sends on {path}, lost at {since:?}", self.name(host)),
                );
            }
            Err(Unwarranted::TooMuch) => {
                let detail = format!("{} sends on {path} beyond its budget", self.name(host));
                self.violate(now, Invariant::Budget, detail);
            }
            Ok(()) | Err(Unwarranted::Lost(_)) => {}
        }
    }

    /// A program has got a datagram.
    pub(crate) fn delivered(
        &mut self,
        now: Instant,
        to: HostId,
        path: Path,
        (origin, bytes): (Option<(HostId, Path)>, &[u8]),
    ) {
        let facts = &mut self.hosts[to.0 as usize];
        facts.named.hears(now, path.local.ip(), path.remote, bytes);
        if let Some(check) = self.checks.recognize(bytes) {
            facts.answers.allow(path, check);
        }
        if facts.policy == Policy::Answers || facts.probes.contains_key(&path.remote.ip()) {
            facts.heard.insert(path.remote);
        }
        if let Some((from, sent)) = origin {
            self.delivered.insert((from, sent.local, sent.remote), (to, path.local, path.remote));
        }
    }

    /// A program says something.
    pub(crate) fn says(&mut self, now: Instant, host: HostId, happened: &Happened) {
        let facts = &mut self.hosts[host.0 as usize];
        let is_repetition =
            facts.is_repetition && !matches!(happened, Happened::MaySend { why: Warrant::Answer, .. });
        match *happened {
            Happened::MaySend { to, why } => {
                facts.warrants.insert(to, (now, why));
            }
            Happened::Selected { local, remote, strategy } => {
                let selected = Selected { at: now, local, remote, strategy };
                facts.selected = Some(selected);
                facts.first.get_or_insert(selected);
                facts.failed = None;
            }
            Happened::Lost => {
                facts.selected = None;
                facts.lost = Some(now);
            }
            Happened::Failed(why) => facts.failed = Some((why, now)),
            Happened::Closed => {
                facts.is_closed = true;
                facts.selected = None;
            }
            Happened::MayProbe(ip) => {
                facts.probes.entry(ip).or_default().allow(now);
            }
            // Only where the mediator has seen the peer, and not as often as anybody likes.
            Happened::MayVolley(at) => {
                if let Some(probes) = facts.probes.get_mut(&at.ip()) {
                    probes.allow_volley(at.port());
                }
            }
            Happened::SeenAs(_) => {}
        }
        if is_repetition {
            self.violate(now, Invariant::Repetition, format!("{} says {happened:?}", self.name(host)));
        }
    }

    /// From here on, or no longer, what a host does follows from a packet that it has had before.
    pub(crate) fn begin_repetition(&mut self, host: HostId, is_repetition: bool) {
        self.hosts[host.0 as usize].is_repetition = is_repetition;
    }

    /// A program does not come to rest.
    pub(crate) fn restless(&mut self, now: Instant, host: HostId) {
        self.violate(now, Invariant::Rest, format!("{} is never idle", self.name(host)));
    }

    /// A program wants to be woken at a time that is not in the future.
    pub(crate) fn impatient(&mut self, now: Instant, host: HostId) {
        self.violate(now, Invariant::Rest, format!("{} wants to be woken at once", self.name(host)));
    }

    /// A program sends from a socket that it does not have.
    pub(crate) fn no_socket(&mut self, now: Instant, host: HostId, path: Path) {
        self.violate(now, Invariant::Socket, format!("{} sends on {path}", self.name(host)));
    }

    /// More is going on than can be.
    pub(crate) fn flood(&mut self, now: Instant) {
        self.violate(now, Invariant::Budget, "too much is under way at once".to_owned());
    }

    /// Something goes wrong on purpose, until `end`: what follows is judged from then on.
    pub(crate) fn fault(&mut self, end: Instant) {
        self.last_fault = self.last_fault.max(end);
        for facts in &mut self.hosts {
            facts.first = None;
            facts.until_selected = 0;
        }
    }

    /// A NAT was rebooted: it may forget.
    pub(crate) fn rebooted(&mut self, place: Place) {
        if let Some(shadow) = self.shadows.get_mut(&place) {
            shadow.clear();
        }
    }

    /// A host was switched off, or got other addresses: what it knew and had is gone.
    pub(crate) fn restarted(&mut self, now: Instant, host: HostId) {
        let facts = &mut self.hosts[host.0 as usize];
        let (gateways, burst) = (core::mem::take(&mut facts.gateways), facts.burst);
        *facts = Facts { started: now, gateways, burst, ..Facts::new(facts.policy) };
    }

    pub(crate) const fn last_fault(&self) -> Instant {
        self.last_fault
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// A packet on a path that both ends use was stopped by a NAT: somebody let a mapping die.
    fn lost_on_selected(&mut self, now: Instant, sender: HostId, path: Path, why: Drop) {
        let facts = &self.hosts[sender.0 as usize];
        let Some(selected) = facts.selected else { return };
        let is_settled = now > selected.at + GRACE && now > self.last_fault + GRACE;
        if is_settled && (selected.local, selected.remote) == (path.local, path.remote) {
            // If the other end has given up, it may let it die.
            let other = self.delivered.get(&(sender, path.local, path.remote));
            let is_used = other.is_some_and(|&(host, local, remote)| {
                let theirs = self.hosts[host.0 as usize].selected;
                theirs.is_some_and(|theirs| (theirs.local, theirs.remote) == (local, remote))
                    && self.is_keepable(sender, host)
            });
            if is_used {
                self.violate(now, Invariant::Keepalive, format!("{}, {path}: {why}", self.name(sender)));
            }
        }
    }

    fn name(&self, host: HostId) -> &str {
        &self.names[host.0 as usize]
    }

    fn violate(&mut self, at: Instant, invariant: Invariant, detail: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { at, invariant, detail });
        }
    }
}

/// Why a host may not send to somebody.
enum Unwarranted {
    Never,
    /// No longer, since then.
    Lost(Instant),
    /// It has tried too many ports at that address, or too fast, or sends too much to whom an answer named.
    TooMuch,
}

impl Facts {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            warrants: BTreeMap::new(),
            probes: BTreeMap::new(),
            named: Named::default(),
            answers: Answers::default(),
            heard: BTreeSet::new(),
            selected: None,
            first: None,
            lost: None,
            failed: None,
            gateways: Vec::new(),
            burst: BURST,
            is_closed: false,
            sent: 0,
            until_selected: 0,
            started: Instant::ZERO,
            is_repetition: false,
        }
    }

    fn warrant(&mut self, now: Instant, path: Path) -> Result<(), Unwarranted> {
        let to = path.remote;
        match self.policy {
            Policy::Anybody => return Ok(()),
            Policy::Answers if self.heard.contains(&to) => return Ok(()),
            Policy::Answers | Policy::Warranted => {}
        }
        let Some(&(granted, why)) = self.warrants.get(&to) else {
            // An answer to who is guessed at and has found the way by itself is no guess.
            if self.heard.contains(&to) {
                return Ok(());
            }
            let named = self.named.take(now, path.local.ip(), to);
            if named == Some(true) {
                return Ok(());
            }
            // Who was named for one thing may be guessed at for another.
            let guess = |probes: &mut Probes| probes.take(now, to.port());
            return match self.probes.get_mut(&to.ip()).map(guess).or(named) {
                Some(true) => Ok(()),
                Some(false) => Err(Unwarranted::TooMuch),
                None => Err(Unwarranted::Never),
            };
        };
        match self.lost {
            Some(lost) if lost > granted && why != Warrant::Server => Err(Unwarranted::Lost(lost)),
            _ => Ok(()),
        }
    }
}
