//! One request under way, and what counts as an answer to it.
//!
//! What counts as an answer is decided in this order, and whatever fails changes nothing:
//!
//! 1. A Binding response whose transaction id is one of ours.
//! 2. It came to the address that asked, from the address that was asked or, if another one was to
//!    answer, from that; then only errors may come from the first, too.
//! 3. Its FINGERPRINT is right, if it has one, and it has one if the request had.
//! 4. If the request was signed, so is the answer, with the same attribute. The exceptions are 401
//!    and 438 under long-term credentials, by which a server says what to sign with (RFC 8489
//!    §9.2.5): one 401 and [`MAX_STALE`] times 438 are followed per request. A 487 needs a signature
//!    always: it would make an ICE agent change its role.

use alloc::sync::Arc;
use core::net::SocketAddr;

use super::request::{Answer, Event, Failure, Request, RequestId, Secret};
use super::servers::{Proof, Servers};
use super::session::{ChallengeError, Session, Signer};
use super::{MAX_PADDING, MAX_STALE};
use crate::machine::{Path, Unreachable};
use crate::stun::transaction::Transaction;
use crate::time::Instant;
use crate::wire::stun::attr::{
    AlternateServer, ErrorCode, Kind, MappedAddress, Nonce, OtherAddress, Padding, ResponseOrigin,
    XorMappedAddress,
};
use crate::wire::stun::{BadAttribute, Class, Integrity, Message, Method, NoRoom, TransactionId, Writer};

/// A request under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) path: Path,
    pub(super) request: Request,
    pub(super) transaction_id: TransactionId,
    pub(super) transaction: Transaction,
    /// What the transmissions of this transaction are signed with. Fixed while it lasts: one
    /// transaction id, one content.
    pub(super) session: Option<Arc<Session>>,
    /// What the server was seen to sign with before.
    pub(super) settled: Option<Integrity>,
    /// What the answer is signed with.
    pub(super) proof: Option<Integrity>,
    pub(super) begun: Instant,
    pub(super) challenged: bool,
    pub(super) stale: u8,
    /// An answer came that did not prove who sent it, and what it said.
    pub(super) unproven: Option<Option<u16>>,
}

/// What an answer leads to.
pub(super) enum Ruling {
    Finish(Event),
    /// Send the request again, signed like this.
    Follow(Session),
}

/// Why an answer leads to nothing.
pub(super) enum Ignore {
    WrongSource,
    WrongFingerprint,
    Unproven(Option<u16>),
    Forged(Option<u16>),
}

impl Pending {
    fn signer(&self) -> Option<Signer<'_>> {
        Signer::new(self.request.credentials.as_deref(), self.session.as_deref(), self.settled)
    }

    /// The session in which the server has proven itself last, be it refused since.
    pub(super) fn proven_session(&self, servers: &mut Servers) -> Option<Arc<Session>> {
        let credentials = self.request.credentials.as_ref()?;
        match servers.known(self.path.remote)?.proof(credentials)? {
            Proof::Long(session) => Some(Arc::clone(session)),
            Proof::Short(_) => None,
        }
    }

    pub(super) fn write(&self, buf: &mut [u8]) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(buf, Class::Request, Method::BINDING, self.transaction_id)
            .put_some(self.request.change.map(|change| change.ask).as_ref());
        if self.request.padding > 0 {
            let len = self.request.padding.min(MAX_PADDING);
            writer = writer.put(&Padding(&[0; MAX_PADDING as usize][..usize::from(len)]));
        }
        if let Some(signer) = self.signer() {
            writer = signer.sign(writer);
        }
        if self.request.fingerprint {
            writer = writer.fingerprint();
        }
        writer.finish()
    }

    /// What the answer `message` leads to. See the module documentation for the order.
    pub(super) fn rule(
        &mut self,
        now: Instant,
        path: Path,
        message: &Message<'_>,
        proven: Option<&Session>,
    ) -> Result<Ruling, Ignore> {
        if !self.may_come_from(path, message.class()) {
            return Err(Ignore::WrongSource);
        }
        if (message.has_fingerprint() || self.request.fingerprint) && !message.fingerprint_holds() {
            return Err(Ignore::WrongFingerprint);
        }
        let signer = self.signer();
        let (signed, proof) = (signer.is_some(), signer.and_then(|signer| signer.proof(message)));
        self.proof = proof;
        let ruling = match message.class() {
            Class::Success if signed && proof.is_none() => return Err(Ignore::Unproven(None)),
            Class::Success if self.is_bid_down(message) => return Err(Ignore::Forged(None)),
            Class::Success => Ruling::Finish(self.accept(now, path.remote, message)),
            _ => self.rule_on_error(message, signed, proven)?,
        };
        // RFC 8489 §6.3.3, §6.3.4: who does not understand an answer must not act on it.
        if message.not_understood(understood).next().is_some() {
            return Ok(Ruling::Finish(self.fail(Failure::BadAnswer)));
        }
        Ok(ruling)
    }

    /// Addresses count, not what IPv6 sockets say beside them.
    fn may_come_from(&self, path: Path, class: Class) -> bool {
        let same = |a: SocketAddr, b: SocketAddr| (a.ip(), a.port()) == (b.ip(), b.port());
        let asked = same(path.remote, self.path.remote);
        let right = match self.request.change {
            Some(change) => same(path.remote, change.answer_from) || asked && class == Class::Error,
            None => asked,
        };
        right && same(path.local, self.path.local) && path.transport == self.path.transport
    }

    /// Whether a long-term answer has its list of algorithms struck out (RFC 8489 §9.2.5).
    fn is_bid_down(&self, message: &Message<'_>) -> bool {
        let credentials = self.request.credentials.as_deref();
        let is_long_term = credentials.is_some_and(|with| matches!(with.secret, Secret::Long { .. }));
        let nonce: Option<Nonce<'_>> = message.find().ok().flatten();
        let negotiates = nonce.is_some_and(|nonce| nonce.security_features().password_algorithms);
        is_long_term && negotiates && !message.has(Kind::PASSWORD_ALGORITHMS)
    }

    fn accept(&self, now: Instant, from: SocketAddr, message: &Message<'_>) -> Event {
        let Ok(Some(mapped)) = mapped_address(message) else { return self.fail(Failure::BadAnswer) };
        let other = message.find().ok().flatten();
        let origin = message.find().ok().flatten();
        Event::Answered(Answer {
            id: self.id,
            mapped,
            from,
            round_trip: self.transaction.round_trip(now),
            attempts: self.transaction.sent(),
            other: other.map(|OtherAddress(other)| other),
            origin: origin.map(|ResponseOrigin(origin)| origin),
        })
    }

    /// What an error response leads to.
    fn rule_on_error(
        &mut self,
        message: &Message<'_>,
        signed: bool,
        proven: Option<&Session>,
    ) -> Result<Ruling, Ignore> {
        let unproven = signed && self.proof.is_none();
        let Ok(Some(ErrorCode { code, .. })) = message.find() else {
            if unproven {
                return Err(Ignore::Unproven(None));
            }
            return Ok(Ruling::Finish(self.fail(Failure::BadAnswer)));
        };
        let is_challenge = matches!(code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE);
        if is_challenge
            && let Some(credentials) = self.request.credentials.clone()
            && let Secret::Long { password } = &credentials.secret
        {
            let previous = [self.session.as_deref(), proven];
            let session = Session::from_challenge(message, previous, &credentials.username, password);
            return self.rule_on_challenge(code, session);
        }
        if unproven || !signed && code == ErrorCode::ROLE_CONFLICT {
            return Err(Ignore::Unproven(Some(code)));
        }
        let reason = match code {
            ErrorCode::UNAUTHENTICATED => Failure::Unauthenticated,
            ErrorCode::TRY_ALTERNATE => match message.find() {
                Ok(Some(AlternateServer(server))) => Failure::TryAlternate(server),
                _ => Failure::BadAnswer,
            },
            code => Failure::Refused { code },
        };
        Ok(Ruling::Finish(self.fail(reason)))
    }

    /// A 401 or 438 under long-term credentials, read.
    fn rule_on_challenge(
        &mut self,
        code: u16,
        session: Result<Session, ChallengeError>,
    ) -> Result<Ruling, Ignore> {
        let session = match session {
            Ok(session) => session,
            Err(ChallengeError::Forged) => return Err(Ignore::Forged(Some(code))),
            Err(ChallengeError::Unusable) => return Ok(Ruling::Finish(self.fail(Failure::BadAnswer))),
        };
        if code == ErrorCode::STALE_NONCE {
            self.stale += 1;
            if self.stale > MAX_STALE {
                return Ok(Ruling::Finish(self.fail(Failure::AlwaysStale)));
            }
            return Ok(Ruling::Follow(session));
        }
        // The same key again would be refused again (RFC 8489 §9.2.5).
        let tried = self.session.as_ref().is_some_and(|tried| tried.has_key_of(&session));
        if core::mem::replace(&mut self.challenged, true) || tried {
            return Ok(Ruling::Finish(self.fail(Failure::Unauthenticated)));
        }
        Ok(Ruling::Follow(session))
    }

    pub(super) fn give_up(&self, unreachable: Option<Unreachable>) -> Event {
        self.fail(self.unproven.map_or(Failure::TimedOut(unreachable), Failure::Unproven))
    }

    pub(super) const fn fail(&self, reason: Failure) -> Event {
        Event::Failed { id: self.id, reason }
    }
}

/// XOR-MAPPED-ADDRESS, or what servers had before it.
fn mapped_address(message: &Message<'_>) -> Result<Option<SocketAddr>, BadAttribute> {
    if let Some(XorMappedAddress(mapped)) = message.find()? {
        return Ok(Some(mapped));
    }
    Ok(message.find()?.map(|MappedAddress(mapped)| mapped))
}

/// What a Binding response may carry. The addresses of RFC 3489 are among it: its servers are asked
/// too.
fn understood(kind: Kind) -> bool {
    matches!(kind, Kind::SOURCE_ADDRESS | Kind::CHANGED_ADDRESS | Kind::PADDING) || kind.is_basic()
}
