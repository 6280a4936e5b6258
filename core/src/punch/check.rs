//! What a connectivity check looks like on the wire (RFC 8445 §7.1), and its answer.
//!
//! Nothing here keeps anything: a check is written when it is polled and read where it lies.

use core::net::SocketAddr;

use super::Credentials;
use crate::wire::stun::attr::{
    ErrorCode, IceControlled, IceControlling, Kind, Priority, Proof, UnknownAttributes, UseCandidate,
    Username, XorMappedAddress,
};
use crate::wire::stun::{Class, Message, Method, NoRoom, TransactionId, Writer};

/// Who decides which pair is used (RFC 8445 §2.3).
///
/// ```
/// use bradawl::punch::Role;
/// assert_eq!(Role::Controlling.other(), Role::Controlled);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It decides: the caller.
    Controlling,
    /// It follows.
    Controlled,
}

impl Role {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// A check to be written.
pub(super) struct Check {
    pub(super) id: TransactionId,
    pub(super) priority: u32,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) use_candidate: bool,
    /// For our own agents only.
    pub(super) proof: Option<Proof>,
}

impl Check {
    pub(super) fn write(
        &self,
        username: &str,
        theirs: &Credentials,
        buf: &mut [u8],
    ) -> Result<usize, NoRoom> {
        let (controlling, controlled) = match self.role {
            Role::Controlling => (Some(IceControlling(self.tie_breaker)), None),
            Role::Controlled => (None, Some(IceControlled(self.tie_breaker))),
        };
        Writer::new(buf, Class::Request, Method::BINDING, self.id)
            .put(&Username(username.as_bytes()))
            .put(&Priority(self.priority))
            .put_some(controlling.as_ref())
            .put_some(controlled.as_ref())
            .put_some(self.use_candidate.then_some(&UseCandidate))
            .put_some(self.proof.as_ref())
            .integrity(theirs.key())
            .fingerprint()
            .finish()
    }
}

/// A check that came in, and is what it says: its seal holds.
pub(super) struct Asked {
    pub(super) id: TransactionId,
    pub(super) priority: u32,
    /// What the other side thinks it is, and its tie-breaker; none if it does not say.
    pub(super) role: Option<(Role, u64)>,
    pub(super) use_candidate: bool,
    pub(super) proof: Option<Proof>,
}

/// Why a check that names us is not believed, or cannot be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is not sealed, or not by whom it says.
    Unproven,
    /// The user name is not the one of this session.
    Stranger,
    /// It holds something that must be understood and is not.
    Unknown(Kind),
    /// There is no priority in it.
    Incomplete,
}

impl Asked {
    /// Reads a request whose user name begins with ours. `theirs` is the other side's user fragment, once it
    /// is known.
    pub(super) fn read(message: &Message<'_>, ours: &Credentials, theirs: Option<&str>) -> Result<Self, Bad> {
        let username = message.find::<Username<'_>>().ok().flatten().ok_or(Bad::Stranger)?;
        let sender = names(username.0, ours.ufrag()).ok_or(Bad::Stranger)?;
        if theirs.is_some_and(|theirs| theirs.as_bytes() != sender) {
            return Err(Bad::Stranger);
        }
        if message.has_fingerprint() && !message.fingerprint_holds() || !message.integrity_holds(ours.key()) {
            return Err(Bad::Unproven);
        }
        if let Some(kind) = message.not_understood(is_understood).next() {
            return Err(Bad::Unknown(kind));
        }
        let priority = message.find::<Priority>().ok().flatten().ok_or(Bad::Incomplete)?.0;
        let controlling = message.find::<IceControlling>().ok().flatten();
        let controlled = message.find::<IceControlled>().ok().flatten();
        Ok(Self {
            id: message.transaction_id(),
            priority,
            role: controlling
                .map(|IceControlling(number)| (Role::Controlling, number))
                .or(controlled.map(|IceControlled(number)| (Role::Controlled, number))),
            use_candidate: message.has(Kind::USE_CANDIDATE),
            proof: message.find::<Proof>().ok().flatten(),
        })
    }
}

/// Who sends a check with this user name to `ours`: what comes after the colon.
pub(super) fn names<'a>(username: &'a [u8], ours: &str) -> Option<&'a [u8]> {
    username.strip_prefix(ours.as_bytes())?.strip_prefix(b":")
}

fn is_understood(kind: Kind) -> bool {
    kind.is_basic() || matches!(kind, Kind::PRIORITY | Kind::USE_CANDIDATE)
}

/// What is answered to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// We have got it, from this address.
    Success { mapped: SocketAddr, proof: Option<Proof> },
    /// We both think that we are the same.
    RoleConflict,
    /// What is this?
    Unknown(Kind),
    /// Something is missing.
    BadRequest,
}

impl Reply {
    pub(super) fn write(
        self,
        id: TransactionId,
        ours: &Credentials,
        buf: &mut [u8],
    ) -> Result<usize, NoRoom> {
        let class = if matches!(self, Self::Success { .. }) { Class::Success } else { Class::Error };
        let writer = Writer::new(buf, class, Method::BINDING, id);
        let error = |code, reason| ErrorCode { code, reason };
        let writer = match self {
            Self::Success { mapped, proof } => writer.put(&XorMappedAddress(mapped)).put_some(proof.as_ref()),
            Self::RoleConflict => writer.put(&error(ErrorCode::ROLE_CONFLICT, "Role Conflict")),
            Self::BadRequest => writer.put(&error(ErrorCode::BAD_REQUEST, "Bad Request")),
            Self::Unknown(kind) => writer
                .put(&error(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute"))
                .put(&UnknownAttributes::from_iter([kind])),
        };
        writer.integrity(ours.key()).fingerprint().finish()
    }
}

/// What an answer to a check of ours says, if its seal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// They have got it, from this address.
    Success { mapped: SocketAddr, proof: Option<Proof> },
    /// An error, with its number.
    Error(u16),
}

impl Answer {
    /// `None` if it proves nothing or makes no sense.
    pub(super) fn read(message: &Message<'_>, theirs: &Credentials) -> Option<Self> {
        let is_proven = message.integrity_holds(theirs.key());
        if !is_proven || message.has_fingerprint() && !message.fingerprint_holds() {
            return None;
        }
        if message.class() == Class::Error {
            return Some(Self::Error(message.find::<ErrorCode<'_>>().ok()??.code));
        }
        let XorMappedAddress(mapped) = message.find().ok()??;
        Some(Self::Success { mapped, proof: message.find::<Proof>().ok().flatten() })
    }
}
