//! One gateway: where it is described and controlled, and what it is being asked.
//!
//! One question at a time, each on a connection of its own, so that nothing queues: what is asked next
//! follows from what the leases want. A mapping is added again long before its lease ends, after five
//! minutes at most. That is the only way to outlive a restart of the gateway, which tells nobody when it
//! has forgotten what it mapped, and one short connection in five minutes is a price that nobody notices.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::description::{Service, ServiceType, services};
use super::http::{self, Progress, Response};
use super::job::{Job, Kind};
use super::soap::{Action, Answer, Entry, ErrorCode};
use super::url::Url;
use crate::machine::{HostRequest, Output, Path, SocketId};
use crate::portmap::config::{Event, MappingId, Refusal, Via, is_usable};
use crate::portmap::lease::{Grant, Lease, Stage as LeaseStage};
use crate::portmap::retry;
use crate::portmap::router::Context;
use crate::time::{Duration, Instant};

/// How many places of a description are tried.
const MAX_LOCATIONS: usize = 4;

/// A mapping is added again after so long at the latest, and the external address asked for.
const REFRESH: Duration = Duration::from_secs(300);

/// A mapping that is for ever counts as lost when nobody has confirmed it for so long.
const UNCONFIRMED: Duration = Duration::from_secs(1_200);

/// How long a gateway that is not found or of no use is left alone, the first time and at most.
const SHORTEST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_secs(900);

/// A gateway that was found so recently and has mapped nothing since is not searched again at once.
const RECENT: Duration = Duration::from_secs(10);

/// How often something else is tried when a gateway does not like a port or a lease.
const MAX_ADJUSTMENTS: u8 = 6;

/// How often a deletion that the gateway did not answer is tried.
const DELETE_TRIES: u8 = 2;

#[derive(Debug)]
pub(in crate::portmap) struct Gateway {
    stage: Stage,
    locations: VecDeque<Url>,
    /// The best first. Those that turn out to be of no use are dropped.
    services: VecDeque<Service>,
    external: Option<Ipv4Addr>,
    ask_external: Instant,
    found: Instant,
    /// It has mapped something since it was found.
    is_useful: bool,
    rest: Duration,
    refusal: Refusal,
    job: Option<Job>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unknown,
    Searching { until: Instant },
    Located,
    Ready,
    Absent { until: Instant },
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            stage: Stage::Unknown,
            locations: VecDeque::new(),
            services: VecDeque::new(),
            external: None,
            ask_external: Instant::ZERO,
            found: Instant::ZERO,
            is_useful: false,
            rest: SHORTEST_REST,
            refusal: Refusal::NoAnswer,
            job: None,
        }
    }
}

impl Gateway {
    /// Which mapping is being added or deleted right now.
    pub(in crate::portmap) fn job_is_about(&self) -> Option<MappingId> {
        match self.job.as_ref()?.kind {
            Kind::Add { id, .. } | Kind::Delete { id } => Some(id),
            Kind::Describe | Kind::External => None,
        }
    }

    /// The socket of the question that is under way, to be closed.
    pub(in crate::portmap) fn abandon(&mut self) -> Option<SocketId> {
        self.job.take().map(|job| job.id)
    }

    /// What is known may not be so any more.
    pub(in crate::portmap) fn doubt(&mut self, now: Instant) {
        self.ask_external = now;
        if let Stage::Absent { .. } = self.stage {
            self.stage = Stage::Unknown;
        }
    }

    pub(in crate::portmap) fn deadline(&self, leases: &[Lease]) -> Instant {
        match (&self.job, self.stage) {
            (Some(job), _) if job.is_writable() => Instant::ZERO,
            (Some(job), _) => job.deadline(),
            (None, Stage::Searching { until }) => until,
            (None, _) => leases.iter().map(wants_at).min().unwrap_or(Instant::FAR_FUTURE),
        }
    }

    pub(in crate::portmap) fn is_searched(&self) -> bool {
        matches!(self.stage, Stage::Searching { .. })
    }

    /// It has just answered a search that was another's.
    pub(in crate::portmap) fn expect(&mut self, now: Instant) {
        self.stage = Stage::Searching { until: now + super::search::LENGTH };
    }

    /// Somebody says where this gateway is described: believed only while it is searched.
    pub(in crate::portmap) fn locate(&mut self, location: Url) {
        if matches!(self.stage, Stage::Searching { .. } | Stage::Located)
            && self.locations.len() < MAX_LOCATIONS
            && !self.locations.contains(&location)
        {
            self.locations.push_back(location);
            self.stage = Stage::Located;
        }
    }

    /// The next thing that is due, if any.
    pub(in crate::portmap) fn poll(
        &mut self,
        leases: &mut [Lease],
        router: IpAddr,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Option<Output<Event>> {
        if let Some(job) = &mut self.job {
            if job.deadline() <= cx.now {
                cx.sockets.closing.push_back(job.id);
                self.finish(leases, router, cx, false);
                return None;
            }
            return job.transmit(buf);
        }
        if let Stage::Searching { until } = self.stage
            && until <= cx.now
        {
            self.give_up(cx.now, Refusal::NoAnswer);
        }
        let index = (0..leases.len()).find(|&index| is_wanted(&mut leases[index], cx.now))?;
        match self.stage {
            Stage::Searching { .. } => None,
            Stage::Absent { until } if until > cx.now => {
                self.refuse(leases, router, cx, until);
                None
            }
            Stage::Unknown | Stage::Absent { .. } => {
                self.locations.clear();
                self.stage = Stage::Searching { until: cx.search.begin(cx.now) };
                None
            }
            Stage::Located => {
                let Some(location) = self.locations.front() else {
                    self.give_up(cx.now, Refusal::Nonsense);
                    return None;
                };
                let (to, request) = (location.authority, http::get(location.authority, &location.target));
                Some(self.ask(cx, Kind::Describe, to, request))
            }
            Stage::Ready => self.ask_service(&mut leases[index], cx),
        }
    }

    /// Asks the service what the lease wants next.
    fn ask_service(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Option<Output<Event>> {
        let Some(service) = self.services.front() else {
            self.give_up(cx.now, Refusal::Nonsense);
            return None;
        };
        let (id, protocol) = (lease.wish.id, lease.wish.protocol);
        let attempt = lease.attempt(Via::Igd);
        let (kind, request) = if attempt.stage == LeaseStage::Deleting {
            let external_port = attempt.grant.map_or(0, |grant| grant.port);
            (Kind::Delete { id }, Action::Delete { external_port, protocol }.request(service))
        } else if self.external.is_none() || self.ask_external <= cx.now {
            (Kind::External, Action::ExternalAddress.request(service))
        } else {
            let IpAddr::V4(client) = cx.config.local.ip() else { return None };
            let lasts = u32::try_from(cx.config.igd_lease.as_secs()).unwrap_or(u32::MAX);
            let leased = if lease.igd.permanent { 0 } else { lasts };
            let wish = lease.wish;
            let port = [attempt.grant.map_or(0, |grant| grant.port), lease.igd.port, wish.external_port]
                .into_iter()
                .find(|&port| port != 0)
                .unwrap_or(wish.internal_port);
            let any = service.kind == ServiceType::Ip2 && attempt.grant.is_none() && !lease.igd.plain;
            let entry = Entry {
                external_port: port,
                protocol,
                client,
                internal_port: wish.internal_port,
                lease: leased,
                description: shortened(&cx.config.description),
            };
            let kind = Kind::Add { id, port, lease: leased, any };
            if matches!(attempt.stage, LeaseStage::Waiting | LeaseStage::Refused) {
                lease.attempt_mut(Via::Igd).enter(LeaseStage::Asking, cx.now);
            }
            (kind, Action::Add { any, entry }.request(service))
        };
        let to = service.control.authority;
        Some(self.ask(cx, kind, to, request))
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        kind: Kind,
        remote: SocketAddr,
        request: Vec<u8>,
    ) -> Output<Event> {
        let id = cx.sockets.connection();
        self.job = Some(Job::new(cx.now, kind, id, request));
        Output::Host(HostRequest::Connect { id, local: SocketAddr::new(cx.config.local.ip(), 0), remote })
    }

    /// A connection stands. Whether it is ours.
    pub(in crate::portmap) fn handle_connected(&mut self, id: SocketId, path: Path) -> bool {
        let job = self.job.as_mut().filter(|job| job.id == id && job.path.is_none());
        job.is_some_and(|job| {
            job.path = Some(path);
            true
        })
    }

    /// A connection is gone. Whether it was ours.
    pub(in crate::portmap) fn handle_closed(
        &mut self,
        id: SocketId,
        leases: &mut [Lease],
        router: IpAddr,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(job) = self.job.as_mut().filter(|job| job.id == id) else { return false };
        let whole = job.response.end() == Progress::Done;
        self.finish(leases, router, cx, whole);
        true
    }

    /// Bytes came on a connection. Whether it was ours.
    pub(in crate::portmap) fn handle_bytes(
        &mut self,
        path: Path,
        bytes: &[u8],
        leases: &mut [Lease],
        router: IpAddr,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(job) = self.job.as_mut().filter(|job| job.path == Some(path)) else { return false };
        let progress = job.response.push(bytes);
        if progress != Progress::More {
            cx.sockets.closing.push_back(job.id);
            self.finish(leases, router, cx, progress == Progress::Done);
        }
        true
    }

    /// The question is over, and its answer whole or not.
    fn finish(&mut self, leases: &mut [Lease], router: IpAddr, cx: &mut Context<'_>, whole: bool) {
        let Some(Job { kind, response, .. }) = self.job.take() else { return };
        let find = |leases: &mut [Lease], id| leases.iter().position(|lease: &Lease| lease.wish.id == id);
        match kind {
            Kind::Describe => self.described(cx.now, &response, whole),
            Kind::External if !whole => self.lost_touch(cx.now),
            Kind::External => {
                let answer = Answer::read(response.status(), response.body()).unwrap_or_default();
                self.learn_external(leases, router, cx, answer.external_address);
            }
            Kind::Add { id, port, lease, any } => {
                if !whole {
                    self.lost_touch(cx.now);
                }
                let Some(index) = find(leases, id).filter(|_| whole) else { return };
                self.refusal = Refusal::NoAnswer;
                match Answer::read(response.status(), response.body()) {
                    Ok(answer) => {
                        let port = answer.reserved_port.filter(|_| any).unwrap_or(port);
                        self.added(&mut leases[index], router, cx, port, lease);
                    }
                    Err(code) => self.not_added(&mut leases[index], router, cx, code, any),
                }
            }
            Kind::Delete { id } => {
                let Some(index) = find(leases, id) else { return };
                let attempt = leases[index].attempt_mut(Via::Igd);
                attempt.tries += 1;
                if whole || attempt.tries >= DELETE_TRIES {
                    // Whatever it answers: it has no such mapping, or will not let go of it.
                    leases[index].deleted(cx.now, Via::Igd);
                }
                if !whole {
                    self.lost_touch(cx.now);
                }
            }
        }
    }

    fn described(&mut self, now: Instant, response: &Response, whole: bool) {
        let Some(location) = self.locations.pop_front() else { return };
        // Names in it may be in whatever encoding; what matters to us is ASCII.
        let is_good = whole && response.status() == 200;
        let text = is_good.then(|| String::from_utf8_lossy(response.body()));
        self.services = text.map(|text| services(&text, &location).into()).unwrap_or_default();
        if !self.services.is_empty() {
            (self.stage, self.found, self.is_useful) = (Stage::Ready, now, false);
            self.external = None;
        } else if self.locations.is_empty() {
            self.give_up(now, Refusal::Nonsense);
        }
    }

    /// A service without a usable address is not connected: another one may be.
    fn learn_external(
        &mut self,
        leases: &mut [Lease],
        router: IpAddr,
        cx: &mut Context<'_>,
        address: Option<Ipv4Addr>,
    ) {
        let Some(address) = address.filter(|&address| is_usable(address.into())) else {
            self.services.pop_front();
            self.external = None;
            if self.services.is_empty() {
                self.give_up(cx.now, Refusal::NetworkFailure);
            }
            return;
        };
        (self.external, self.ask_external) = (Some(address), cx.now + REFRESH);
        for lease in leases {
            if let Some(grant) = &mut lease.attempt_mut(Via::Igd).grant {
                grant.address = Some(address.into());
            }
            lease.settle(cx.now, router, None, cx.events);
        }
    }

    pub(in crate::portmap) fn external(&self) -> Option<IpAddr> {
        self.external.map(IpAddr::V4)
    }

    fn added(&mut self, lease: &mut Lease, router: IpAddr, cx: &mut Context<'_>, port: u16, seconds: u32) {
        (self.rest, self.is_useful) = (SHORTEST_REST, true);
        if port == 0 {
            lease.refuse(cx.now, Via::Igd, Refusal::Nonsense, retry::ASK_AGAIN);
            return lease.settle(cx.now, router, None, cx.events);
        }
        let lifetime = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
        let grant = Grant {
            port,
            address: self.external(),
            lifetime,
            since: cx.now,
            expires: cx.now + lifetime.unwrap_or(UNCONFIRMED),
        };
        let again =
            lifetime.map_or(REFRESH, |lifetime| (lifetime / 2).clamp(Duration::from_secs(1), REFRESH));
        lease.igd.adjusted = 0;
        lease.hold(Via::Igd, grant, cx.now + again);
        if lease.leaving {
            lease.delete(cx.now, Via::Igd);
        }
        lease.settle(cx.now, router, Some(Via::Igd), cx.events);
    }

    /// It did not like something: another try with that changed, or a refusal.
    fn not_added(
        &mut self,
        lease: &mut Lease,
        router: IpAddr,
        cx: &mut Context<'_>,
        code: ErrorCode,
        any: bool,
    ) {
        lease.igd.adjusted = lease.igd.adjusted.saturating_add(1);
        let may_adjust = lease.igd.adjusted <= MAX_ADJUSTMENTS;
        let is_ours = matches!(lease.attempt(Via::Igd).stage, LeaseStage::Asking | LeaseStage::Holding);
        let is_new = lease.attempt(Via::Igd).grant.is_none();
        let (adjusted, reason) = match code {
            ErrorCode::CONFLICT_IN_MAPPING_ENTRY | ErrorCode::CONFLICT_WITH_OTHER_MECHANISMS => {
                // What was ours is somebody else's: there are others.
                lease.igd.port = 1_024 + u16::try_from(cx.rng.below(64_512)).unwrap_or_default();
                lease.attempt_mut(Via::Igd).grant = None;
                (may_adjust, Refusal::PortTaken)
            }
            ErrorCode::SAME_PORT_VALUES_REQUIRED => {
                lease.igd.port = lease.wish.internal_port;
                (may_adjust, Refusal::PortTaken)
            }
            ErrorCode::ONLY_PERMANENT_LEASES => {
                lease.igd.permanent = true;
                (may_adjust, Refusal::Code(code.0))
            }
            ErrorCode::INVALID_ACTION
            | ErrorCode::INVALID_ARGS
            | ErrorCode::ACTION_FAILED
            | ErrorCode::OPTIONAL_ACTION_NOT_IMPLEMENTED
                if any =>
            {
                lease.igd.plain = true;
                (may_adjust, Refusal::Code(code.0))
            }
            // How gateways that know no leases say so, if they do not know that code either.
            ErrorCode::INVALID_ARGS | ErrorCode::ACTION_FAILED if !lease.igd.permanent && is_new => {
                lease.igd.permanent = true;
                (may_adjust, Refusal::Code(code.0))
            }
            ErrorCode::NOT_AUTHORIZED => (false, Refusal::NotAuthorized),
            ErrorCode::NO_PORT_MAPS_AVAILABLE => (false, Refusal::NoResources),
            ErrorCode::NONE => (false, Refusal::Nonsense),
            ErrorCode(code) => (false, Refusal::Code(code)),
        };
        let attempt = lease.attempt_mut(Via::Igd);
        if adjusted && is_ours {
            attempt.stage = if attempt.grant.is_some() { attempt.stage } else { LeaseStage::Asking };
            attempt.next = cx.now;
        } else if attempt.grant.is_some() && attempt.stage == LeaseStage::Holding {
            attempt.next = cx.now + SHORTEST_REST; // it lasts until its time is over
        } else {
            if attempt.stage == LeaseStage::Holding {
                attempt.stage = LeaseStage::Asking; // there is nothing to hold any more
            }
            lease.refuse(cx.now, Via::Igd, reason, retry::ASK_AGAIN);
            // Next time it may like a lease: what is for ever outlives a crash of ours.
            (lease.igd.adjusted, lease.igd.permanent) = (0, false);
        }
        lease.settle(cx.now, router, None, cx.events);
    }

    /// It does not answer where it did. It may have restarted elsewhere, so it is searched again: at once,
    /// unless it was found only just now and has been of no use.
    fn lost_touch(&mut self, now: Instant) {
        if self.is_useful || now.since(self.found) > RECENT {
            self.stage = Stage::Unknown;
        } else {
            self.give_up(now, Refusal::NoAnswer);
        }
    }

    fn give_up(&mut self, now: Instant, reason: Refusal) {
        self.stage = Stage::Absent { until: now + self.rest };
        self.rest = (self.rest * 2).min(LONGEST_REST);
        self.refusal = reason;
        self.locations.clear();
        self.services.clear();
    }

    /// Who wants something has to wait; what is mapped lasts until its time is over.
    fn refuse(&self, leases: &mut [Lease], router: IpAddr, cx: &mut Context<'_>, until: Instant) {
        for lease in leases.iter_mut().filter(|lease| wants_at(lease) <= cx.now) {
            let attempt = lease.attempt_mut(Via::Igd);
            match attempt.stage {
                LeaseStage::Deleting => lease.deleted(cx.now, Via::Igd),
                LeaseStage::Holding => attempt.next = until,
                _ => {
                    attempt.stage = LeaseStage::Asking;
                    lease.refuse(cx.now, Via::Igd, self.refusal, until.since(cx.now));
                }
            }
            lease.settle(cx.now, router, None, cx.events);
        }
    }
}

/// When this lease wants something of the gateway.
fn wants_at(lease: &Lease) -> Instant {
    let attempt = lease.attempt(Via::Igd);
    match attempt.stage {
        LeaseStage::Off | LeaseStage::Parked => Instant::FAR_FUTURE,
        _ => attempt.next,
    }
}

/// Whether it wants something now. Nobody who has a mapping begins to want another.
fn is_wanted(lease: &mut Lease, now: Instant) -> bool {
    if wants_at(lease) > now {
        return false;
    }
    let is_held = lease.best().is_some();
    let attempt = lease.attempt_mut(Via::Igd);
    if is_held && attempt.grant.is_none() {
        attempt.enter(LeaseStage::Parked, Instant::FAR_FUTURE);
        return false;
    }
    true
}

/// At most 64 bytes of it.
fn shortened(description: &str) -> &str {
    &description[..description.floor_char_boundary(64)]
}
