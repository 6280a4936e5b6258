//! Two servers that are each other's second IP address (RFC 5780 §6.1).
//!
//! One that is asked to answer from the other IP address hands the request over to its partner, in
//! an indication of our own that is sealed with a secret they share. It goes to the very port from
//! which the partner is to answer, and the partner answers the client, once.
//!
//! A hand-over that is proven by its seal says the same however often it comes: who repeats one makes
//! the partner repeat an answer that is no longer than the hand-over, to a client that did ask, within
//! that client's rate. So nothing has to be remembered against repetition. Nor is anything gained by
//! having one server flood the other: there is a bound on how many it hands over, and takes.

use core::net::{IpAddr, SocketAddr};

use super::answer::{Answer, Body};
use super::rate::{RateLimit, RateTable};
use super::{Outcome, StunServer};
use crate::machine::Path;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::stun::attr::{ChangeRequest, HandOver};
use crate::wire::stun::{Class, Integrity, Key, Message, Method};

/// How many requests a second a server hands over to its partner, and how many it takes.
pub const MAX_HAND_OVERS: u32 = 1_000;

/// What a server shares with its partner, and how much it lets it do.
pub(super) struct Partner {
    key: Key,
    given: RateTable,
    taken: RateTable,
}

impl Partner {
    pub(super) fn new(key: Key, rng: &mut Rng) -> Self {
        let limit = RateLimit { per_second: MAX_HAND_OVERS, burst: MAX_HAND_OVERS, networks: 4 };
        Self { key, given: RateTable::new(limit, rng), taken: RateTable::new(limit, rng) }
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    /// Whether one more request may be handed over to the partner at this address.
    pub(super) fn may_give(&mut self, now: Instant, to: IpAddr) -> bool {
        self.given.admit(now, to)
    }
}

impl StunServer {
    /// What is no request may be a hand-over. Everything else is left to others.
    #[cold]
    pub(super) fn examine_other(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
    ) -> Result<Outcome, Outcome> {
        let is_hand_over = message.class() == Class::Indication && message.method() == Method::HAND_OVER;
        let Some(partner) = self.partner.as_mut().filter(|_| is_hand_over) else {
            return Err(Outcome::NotARequest);
        };
        // First who says so, then everything else. It is all decided before anything changes.
        let alternate = self.addresses.alternate_of(path).copied();
        let alternate = alternate.filter(|alternate| alternate.partner() == Some(path.remote.ip()));
        let alternate = alternate.ok_or(Outcome::BadHandOver)?;
        if !message.integrity_holds_with(&partner.key, Integrity::Sha256) {
            return Err(Outcome::BadHandOver);
        }
        let Ok(Some(said)) = message.find::<HandOver>() else { return Err(Outcome::BadHandOver) };
        let asked = SocketAddr::new(path.remote.ip(), said.asked_port);
        let other = alternate.changed(asked, ChangeRequest { ip: true, port: true });
        // As the world writes it: without what an IPv6 address has beside IP address and port.
        let ours = self.addresses.advertised(path.local);
        let ours = SocketAddr::new(ours.ip(), ours.port());
        let is_for_us = said.answerer == ours && other.is_some();
        let can_be_answered = said.client.port() != 0 && said.client.is_ipv4() == path.local.is_ipv4();
        if !is_for_us || !can_be_answered {
            return Err(Outcome::BadHandOver);
        }
        if !partner.taken.admit(now, path.remote.ip()) {
            return Err(Outcome::RateLimited);
        }
        self.admit(now, said.client.ip())?;
        self.pending.push_back(Answer {
            path: Path { remote: said.client, ..path },
            other,
            id: message.transaction_id(),
            classic: said.classic,
            fingerprint: said.fingerprint,
            padding: None,
            help: None,
            body: Body::Success,
        });
        Ok(Outcome::TakenOver)
    }
}
