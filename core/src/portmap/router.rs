//! One router: what it speaks, whether it has lost its state, and the leases that it is asked for.
//!
//! PCP and NAT-PMP live here, for they share a port and a server (RFC 6887 appendix A). What a gateway is
//! asked by UPnP is the subject of `igd/gateway.rs`.
//!
//! An answer counts if it comes from the router's own address and port, if something was asked that is not
//! answered yet, and if it names that: by nonce, protocol and port for PCP, by protocol and port for
//! NAT-PMP, which has nothing else.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::config::{Config, Event, MappingId, Refusal, Via, is_usable};
use super::epoch::Epoch;
use super::igd::gateway::Gateway;
use super::igd::search::Search;
use super::lease::{Lease, Stage, Wish};
use super::sockets::Sockets;
use super::{natpmp, pcp, retry};
use crate::machine::{Output, Path};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// What a router shares with the mapper.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    /// The socket that questions are asked from.
    pub(super) local: SocketAddr,
    pub(super) rng: &'a mut Rng,
    pub(super) events: &'a mut VecDeque<Event>,
    pub(super) sockets: &'a mut Sockets,
    pub(super) search: &'a mut Search,
}

pub(super) struct Router {
    pub(super) address: IpAddr,
    /// It was found by search: it is no default gateway, and is asked by IGD alone.
    pub(super) is_extra: bool,
    pub(super) leases: Vec<Lease>,
    pub(super) gateway: Gateway,
    pcp_epoch: Epoch,
    nat_pmp_epoch: Epoch,
    /// It has said that it speaks no PCP.
    no_pcp: bool,
    /// When it was last asked for everything again, or will be.
    recovered: Option<Instant>,
    watch: Instant,
    announce: bool,
    external: Option<IpAddr>,
    nat_pmp_address: Question,
}

/// The question for the external address, which NAT-PMP does not tell with a mapping.
#[derive(Clone, Copy, Debug)]
struct Question {
    next: Instant,
    tries: u8,
    /// How many times it is asked.
    most: u8,
    awaiting: bool,
    answer: Option<IpAddr>,
}

impl Question {
    fn ask(&mut self, now: Instant, most: u8) {
        (self.next, self.tries, self.most) = (now, 0, most);
    }
}

impl Router {
    pub(super) fn new(address: IpAddr, is_extra: bool) -> Self {
        Self {
            address,
            is_extra,
            leases: Vec::new(),
            gateway: Gateway::default(),
            pcp_epoch: Epoch::pcp(),
            nat_pmp_epoch: Epoch::nat_pmp(),
            no_pcp: false,
            recovered: None,
            watch: Instant::FAR_FUTURE,
            announce: false,
            external: None,
            nat_pmp_address: Question {
                next: Instant::FAR_FUTURE,
                tries: 0,
                most: 0,
                awaiting: false,
                answer: None,
            },
        }
    }

    pub(super) fn add(&mut self, now: Instant, config: &Config, wish: Wish, rng: &mut Rng) {
        let mut lease = Lease::new(wish, rng);
        lease.begin(now, self.spoken(config));
        self.leases.push(lease);
    }

    /// Which protocols are worth a try.
    fn spoken(&self, config: &Config) -> impl Fn(Via) -> bool + use<> {
        let (protocols, no_pcp, is_extra) = (config.protocols, self.no_pcp, self.is_extra);
        let is_v4 = self.address.is_ipv4();
        move |via| {
            let possible = match via {
                Via::Pcp => !no_pcp && !is_extra,
                Via::NatPmp => is_v4 && !is_extra,
                Via::Igd => is_v4,
            };
            possible && protocols.has(via)
        }
    }

    pub(super) fn remove(&mut self, now: Instant, id: MappingId) {
        for lease in self.leases.iter_mut().filter(|lease| lease.wish.id == id && !lease.leaving) {
            lease.leave(now);
        }
        self.forget_gone();
    }

    /// What is deleted is forgotten, unless a question about it is still under way.
    pub(super) fn forget_gone(&mut self) {
        let about = self.gateway.job_is_about();
        self.leases.retain(|lease| !lease.is_gone() || about == Some(lease.wish.id));
    }

    /// Everything granted is asked for again: the host has slept, or is elsewhere.
    pub(super) fn doubt(&mut self, now: Instant) {
        for lease in &mut self.leases {
            for via in Via::ALL {
                lease.recover(via, now);
                let attempt = lease.attempt_mut(via);
                if attempt.stage == Stage::Refused {
                    attempt.next = now;
                }
            }
        }
        self.gateway.doubt(now);
    }

    /// ICMP says that nobody listens: a hint that makes the others begin, and ends nothing.
    pub(super) fn is_perhaps_deaf(&mut self, now: Instant) {
        for lease in &mut self.leases {
            lease.hurry_all(now);
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Instant {
        let leases = self.leases.iter().flat_map(|lease| {
            let igd = lease.attempt(Via::Igd).grant.map_or(Instant::FAR_FUTURE, |grant| grant.expires);
            [lease.attempt(Via::Pcp).deadline(), lease.attempt(Via::NatPmp).deadline(), igd]
        });
        let own = self.watch.min(self.nat_pmp_address.next).min(self.gateway.deadline(&self.leases));
        leases.fold(own, Instant::min)
    }

    /// The next thing that is due, if any.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<Output<Event>> {
        for index in 0..self.leases.len() {
            if self.leases[index].expire(cx.now) {
                self.leases[index].settle(cx.now, self.address, None, cx.events);
                self.no_pcp = false;
                let spoken = self.spoken(cx.config);
                self.leases[index].begin(cx.now, spoken);
            }
            for via in [Via::Pcp, Via::NatPmp] {
                if let Some(len) = self.step(index, via, cx, buf) {
                    return Some(self.transmit(cx, len));
                }
            }
        }
        if let Some(len) = self.ask_for_address(cx, buf).or_else(|| self.keep_watch(cx, buf)) {
            return Some(self.transmit(cx, len));
        }
        self.gateway.poll(&mut self.leases, self.address, cx, buf)
    }

    fn transmit(&self, cx: &Context<'_>, len: usize) -> Output<Event> {
        let path = Path::udp(cx.local, self.server(cx.config.local));
        Output::Transmit { path, len, segment: None, ecn: None }
    }

    /// Where it listens: a link-local address is one on our own link. Which that is says the configured
    /// `local`: the host forgets the scope of a bound address that needs none itself.
    fn server(&self, local: SocketAddr) -> SocketAddr {
        let mut server = SocketAddr::new(self.address, pcp::PORT);
        if let (SocketAddr::V6(server), SocketAddr::V6(local)) = (&mut server, local)
            && server.ip().is_unicast_link_local()
        {
            server.set_scope_id(local.scope_id());
        }
        server
    }

    /// Moves one attempt on if it is due; the length of what is to be sent.
    fn step(&mut self, index: usize, via: Via, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<usize> {
        let lease = &mut self.leases[index];
        let is_held = lease.best().is_some();
        let attempt = lease.attempt_mut(via);
        if attempt.next > cx.now {
            return None;
        }
        let lifetime = match attempt.stage {
            Stage::Off | Stage::Parked => return None,
            Stage::Waiting | Stage::Refused => {
                if attempt.grant.is_none() && is_held {
                    attempt.enter(Stage::Parked, Instant::FAR_FUTURE);
                    return None;
                }
                attempt.enter(Stage::Asking, cx.now);
                if via == Via::NatPmp && self.nat_pmp_address.answer.is_none() {
                    self.nat_pmp_address.ask(cx.now, retry::NAT_PMP_TRIES);
                }
                cx.config.lifetime
            }
            Stage::Asking if via == Via::NatPmp && attempt.tries >= retry::NAT_PMP_TRIES => {
                lease.refuse(cx.now, via, Refusal::NoAnswer, retry::ASK_AGAIN);
                lease.settle(cx.now, self.address, None, cx.events);
                return None;
            }
            Stage::Asking if attempt.tries >= retry::FAST_TRIES && is_held && attempt.grant.is_none() => {
                attempt.enter(Stage::Parked, Instant::FAR_FUTURE);
                return None;
            }
            Stage::Deleting if attempt.tries >= retry::DELETE_TRIES => {
                lease.deleted(cx.now, via);
                return None;
            }
            Stage::Asking | Stage::Holding => cx.config.lifetime,
            Stage::Deleting => Duration::ZERO,
        };
        attempt.tries = attempt.tries.saturating_add(1);
        attempt.awaiting = true;
        attempt.next = match (attempt.stage, attempt.grant) {
            (Stage::Holding, Some(grant)) => {
                let lasts = grant.lifetime.unwrap_or_default();
                retry::renewal(cx.rng, cx.now, grant.since, lasts, attempt.tries)
                    .unwrap_or(Instant::FAR_FUTURE)
            }
            _ => cx.now + retry::interval(cx.rng, attempt.tries),
        };
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        match via {
            Via::Pcp => pcp_request(lease, cx.config, seconds).write(buf),
            _ => nat_pmp_request(lease, seconds).write(buf),
        }
    }

    fn ask_for_address(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<usize> {
        let question = &mut self.nat_pmp_address;
        if question.next > cx.now {
            return None;
        }
        if question.tries >= question.most {
            question.next = Instant::FAR_FUTURE;
            return None;
        }
        question.tries += 1;
        question.awaiting = true;
        question.next = cx.now + retry::interval(cx.rng, question.tries);
        natpmp::write_address_request(buf)
    }

    /// Asks for the epoch, where a router holds anything for us.
    fn keep_watch(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<usize> {
        let period = cx.config.watch?.max(retry::RECOVERY);
        let holds = |via| self.leases.iter().any(|lease| lease.attempt(via).stage == Stage::Holding);
        let (by_pcp, by_nat_pmp) = (holds(Via::Pcp), holds(Via::NatPmp));
        if !by_pcp && !by_nat_pmp {
            self.watch = Instant::FAR_FUTURE;
            return None;
        }
        if self.watch == Instant::FAR_FUTURE {
            self.watch = cx.now + period;
        }
        if self.watch > cx.now {
            return None;
        }
        self.watch = cx.now + period;
        if by_nat_pmp {
            // It also tells whether the address is still the same. The next poll asks.
            self.nat_pmp_address.ask(cx.now, 1);
        }
        self.announce = by_pcp;
        let own = cx.config.local.ip();
        if by_pcp { pcp::write_announce(own, buf) } else { self.ask_for_address(cx, buf) }
    }

    /// A datagram came from the port where PCP and NAT-PMP servers listen.
    pub(super) fn handle_answer(&mut self, cx: &mut Context<'_>, datagram: &[u8]) {
        if let Some(answer) = natpmp::Answer::parse(datagram) {
            self.handle_nat_pmp(cx, &answer);
        } else if let Some(answer) = pcp::Answer::parse(datagram) {
            self.handle_pcp(cx, &answer);
        }
    }

    fn handle_pcp(&mut self, cx: &mut Context<'_>, answer: &pcp::Answer) {
        let mapping = match answer.body {
            pcp::Body::Map(mapping) => mapping,
            pcp::Body::Other => return self.is_without_pcp(cx),
            pcp::Body::Announce => {
                let asked = core::mem::take(&mut self.announce);
                if asked && answer.result == pcp::ResultCode::SUCCESS {
                    self.note_pcp_epoch(cx, answer.epoch);
                }
                return;
            }
        };
        let asked = self.leases.iter().position(|lease| {
            lease.attempt(Via::Pcp).awaiting
                && lease.nonce == mapping.nonce
                && lease.wish.protocol.number() == mapping.protocol
                && lease.wish.internal_port == mapping.internal_port
        });
        let Some(index) = asked else { return };
        if answer.result == pcp::ResultCode::UNSUPP_VERSION {
            return self.is_without_pcp(cx);
        }
        self.note_pcp_epoch(cx, answer.epoch);
        let lease = &mut self.leases[index];
        let attempt = lease.attempt(Via::Pcp);
        let granted = if attempt.stage == Stage::Deleting {
            if attempt.is_deleted_by(answer.result == pcp::ResultCode::SUCCESS, answer.lifetime) {
                lease.deleted(cx.now, Via::Pcp);
            }
            false
        } else if answer.result != pcp::ResultCode::SUCCESS {
            let again = Duration::from_secs(u64::from(answer.lifetime.clamp(5, 3_600)));
            lease.refuse(cx.now, Via::Pcp, pcp_refusal(answer.result), again);
            false
        } else if !is_usable(mapping.external_address) {
            lease.refuse(cx.now, Via::Pcp, Refusal::Nonsense, retry::ASK_AGAIN);
            false
        } else {
            let (port, address) = (mapping.external_port, Some(mapping.external_address));
            let lifetime = Duration::from_secs(u64::from(answer.lifetime));
            lease.grant(cx.now, cx.rng, Via::Pcp, port, address, lifetime)
        };
        if granted {
            self.tell_address(cx, mapping.external_address);
        }
        self.leases[index].settle(cx.now, self.address, granted.then_some(Via::Pcp), cx.events);
    }

    fn handle_nat_pmp(&mut self, cx: &mut Context<'_>, answer: &natpmp::Answer) {
        match answer.body {
            natpmp::Body::VersionError => self.is_without_pcp(cx),
            natpmp::Body::Address(_) | natpmp::Body::AddressError => {
                if !core::mem::take(&mut self.nat_pmp_address.awaiting) {
                    return;
                }
                self.nat_pmp_address.next = Instant::FAR_FUTURE;
                self.note_nat_pmp_epoch(cx, answer.epoch);
                match answer.body {
                    natpmp::Body::Address(ip) if is_usable(ip.into()) => {
                        self.learn_nat_pmp_address(cx, ip.into());
                    }
                    _ => self.has_no_address(cx, nat_pmp_refusal(answer.result)),
                }
            }
            natpmp::Body::Map { protocol, internal_port, external_port, lifetime } => {
                let asked = self.leases.iter().position(|lease| {
                    lease.attempt(Via::NatPmp).awaiting
                        && (lease.wish.protocol, lease.wish.internal_port) == (protocol, internal_port)
                });
                let Some(index) = asked else { return };
                self.note_nat_pmp_epoch(cx, answer.epoch);
                let (address, lease) = (self.nat_pmp_address.answer, &mut self.leases[index]);
                let attempt = lease.attempt(Via::NatPmp);
                let granted = if attempt.stage == Stage::Deleting {
                    if attempt.is_deleted_by(answer.result == natpmp::ResultCode::SUCCESS, lifetime) {
                        lease.deleted(cx.now, Via::NatPmp);
                    }
                    false
                } else if answer.result == natpmp::ResultCode::SUCCESS {
                    let lifetime = Duration::from_secs(u64::from(lifetime));
                    lease.grant(cx.now, cx.rng, Via::NatPmp, external_port, address, lifetime)
                } else {
                    lease.refuse(cx.now, Via::NatPmp, nat_pmp_refusal(answer.result), retry::ASK_AGAIN);
                    false
                };
                lease.settle(cx.now, self.address, granted.then_some(Via::NatPmp), cx.events);
            }
        }
    }

    /// It has said that it does not speak PCP: NAT-PMP begins at once. Believed only while PCP is asked.
    fn is_without_pcp(&mut self, cx: &mut Context<'_>) {
        if self.leases.iter().any(|lease| {
            let attempt = lease.attempt(Via::Pcp);
            attempt.awaiting && attempt.stage == Stage::Asking && attempt.grant.is_none()
        }) {
            self.no_pcp = true;
            for lease in &mut self.leases {
                lease.rule_out(cx.now, Via::Pcp, Refusal::UnsupportedVersion);
            }
        }
    }

    fn learn_nat_pmp_address(&mut self, cx: &mut Context<'_>, address: IpAddr) {
        self.nat_pmp_address.answer = Some(address);
        self.tell_address(cx, address);
        for lease in &mut self.leases {
            if let Some(grant) = &mut lease.attempt_mut(Via::NatPmp).grant {
                grant.address = Some(address);
            }
            lease.settle(cx.now, self.address, None, cx.events);
        }
    }

    /// There is no network outside: what NAT-PMP maps leads nowhere.
    fn has_no_address(&mut self, cx: &mut Context<'_>, reason: Refusal) {
        for lease in &mut self.leases {
            let attempt = lease.attempt_mut(Via::NatPmp);
            if attempt.grant.is_some_and(|grant| grant.address.is_none()) {
                attempt.enter(Stage::Asking, cx.now);
                lease.refuse(cx.now, Via::NatPmp, reason, retry::ASK_AGAIN);
            }
        }
    }

    pub(super) fn tell_address(&mut self, cx: &mut Context<'_>, address: IpAddr) {
        if self.external.replace(address) != Some(address) {
            cx.events.push_back(Event::ExternalAddress { router: self.address, address });
        }
    }

    fn note_pcp_epoch(&mut self, cx: &mut Context<'_>, epoch: u32) {
        if self.pcp_epoch.is_lost_at(cx.now, epoch) {
            self.recover(cx);
        }
    }

    fn note_nat_pmp_epoch(&mut self, cx: &mut Context<'_>, epoch: u32) {
        if self.nat_pmp_epoch.is_lost_at(cx.now, epoch) {
            self.recover(cx);
        }
    }

    /// The router has lost its state: everything is asked for again, soon and not all at once, and no more
    /// than every ten seconds whatever its clock says.
    fn recover(&mut self, cx: &mut Context<'_>) {
        if self.recovered.is_some_and(|at| at > cx.now) {
            return;
        }
        let soon = cx.now + retry::jitter(cx.rng, retry::FIRST);
        let at = self.recovered.map_or(soon, |before| soon.max(before + retry::RECOVERY));
        self.recovered = Some(at);
        for lease in &mut self.leases {
            for via in Via::ALL {
                lease.recover(via, at);
            }
        }
    }
}

fn pcp_request(lease: &Lease, config: &Config, lifetime: u32) -> pcp::MapRequest {
    let client = config.local.ip();
    let any = match client {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    // What was granted is asked for again; a deletion names nothing (RFC 6887 §15.1).
    let grant = lease.attempt(Via::Pcp).grant;
    let (port, address) = match grant {
        _ if lifetime == 0 => (0, any),
        Some(grant) => (grant.port, grant.address.unwrap_or(any)),
        None => (lease.wish.external_port, any),
    };
    pcp::MapRequest {
        lifetime,
        client,
        nonce: lease.nonce,
        protocol: lease.wish.protocol,
        internal_port: lease.wish.internal_port,
        external_port: port,
        external_address: address,
    }
}

fn nat_pmp_request(lease: &Lease, lifetime: u32) -> natpmp::MapRequest {
    let external_port = match lease.attempt(Via::NatPmp).grant {
        _ if lifetime == 0 => 0,
        Some(grant) => grant.port,
        None => lease.wish.external_port,
    };
    let Wish { protocol, internal_port, .. } = lease.wish;
    natpmp::MapRequest { protocol, internal_port, external_port, lifetime }
}

fn pcp_refusal(code: pcp::ResultCode) -> Refusal {
    match code {
        pcp::ResultCode::NOT_AUTHORIZED => Refusal::NotAuthorized,
        pcp::ResultCode::NETWORK_FAILURE => Refusal::NetworkFailure,
        pcp::ResultCode::NO_RESOURCES => Refusal::NoResources,
        pcp::ResultCode::UNSUPP_PROTOCOL => Refusal::UnsupportedProtocol,
        pcp::ResultCode::USER_EX_QUOTA => Refusal::QuotaExceeded,
        pcp::ResultCode::CANNOT_PROVIDE_EXTERNAL => Refusal::PortTaken,
        pcp::ResultCode::ADDRESS_MISMATCH => Refusal::AddressMismatch,
        pcp::ResultCode(code) => Refusal::Code(code.into()),
    }
}

fn nat_pmp_refusal(code: natpmp::ResultCode) -> Refusal {
    match code {
        natpmp::ResultCode::SUCCESS => Refusal::Nonsense,
        natpmp::ResultCode::NOT_AUTHORIZED => Refusal::NotAuthorized,
        natpmp::ResultCode::NETWORK_FAILURE => Refusal::NetworkFailure,
        natpmp::ResultCode::OUT_OF_RESOURCES => Refusal::NoResources,
        natpmp::ResultCode(code) => Refusal::Code(code),
    }
}
