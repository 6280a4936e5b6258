//! The long-term credential mechanism from the client's side (RFC 8489 §9.2).
//!
//! A server that wants credentials answers the first request with 401, a realm and a nonce; the
//! request is sent again, signed with a key made from user name, realm and password. When the nonce
//! gets old the server says 438 and gives a new one.
//!
//! Neither answer is signed, so an attacker on the path can make both up. What they must not achieve
//! is a weaker key: the nonce itself says whether the server negotiates algorithms, so that a list
//! struck out of the answer is noticed (§9.2.1), and no challenge leads to a weaker algorithm than
//! the one before it, or than one that the server has ever proven to use. Such challenges are treated
//! as if they had never arrived. And a session outlives its request only once an answer has proven
//! it (§9.2.3.1), so that one forged challenge spoils one request at most.

use alloc::string::String;
use alloc::vec::Vec;

use super::request::{Credentials, Offer, Secret};
use crate::wire::stun::attr::{ChosenAlgorithm, Kind, Nonce, PasswordAlgorithms, Realm, Userhash, Username};
use crate::wire::stun::{BadAttribute, Integrity, Key, Message, PasswordAlgorithm, Writer, userhash};

/// What was agreed with a server: how to sign the next request.
#[derive(Debug)]
pub(super) struct Session {
    realm: String,
    nonce: Vec<u8>,
    algorithm: PasswordAlgorithm,
    /// The server's list, to be sent back as it came; `None` for a server from before RFC 8489.
    offered: Option<Vec<u8>>,
    /// Whether the server takes a hash in place of the user name.
    anonymous: bool,
    key: Key,
}

/// Why a challenge leads to no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChallengeError {
    /// It would weaken what was agreed on, or contradicts itself: as good as never received.
    Forged,
    /// It has no realm or no nonce, or offers only algorithms that we do not know.
    Unusable,
}

impl From<BadAttribute> for ChallengeError {
    fn from(_: BadAttribute) -> Self {
        Self::Unusable
    }
}

impl Session {
    /// Reads a 401 or 438; `previous` are the sessions that it must not be weaker than.
    pub(super) fn from_challenge(
        challenge: &Message<'_>,
        previous: [Option<&Self>; 2],
        username: &str,
        password: &str,
    ) -> Result<Self, ChallengeError> {
        let Nonce(nonce) = challenge.find()?.ok_or(ChallengeError::Unusable)?;
        let realm = match challenge.find::<Realm>()? {
            Some(Realm(realm)) => realm,
            // Some servers leave it out of a 438.
            None => previous.iter().flatten().next().ok_or(ChallengeError::Unusable)?.realm.as_str(),
        };
        let features = Nonce(nonce).security_features();
        let offered: Option<PasswordAlgorithms<'_>> = if features.password_algorithms {
            Some(challenge.find()?.ok_or(ChallengeError::Forged)?)
        } else {
            None // a list that the nonce does not vouch for is no list (RFC 8489 §9.2.1)
        };
        let algorithm = match offered {
            // The server's order is its preference, and the list goes back to it signed (§9.2.5).
            Some(offered) => offered.iter().next().ok_or(ChallengeError::Unusable)?,
            None => PasswordAlgorithm::Md5,
        };
        let is_weaker =
            |than: &&Self| algorithm < than.algorithm || offered.is_none() && than.offered.is_some();
        if previous.iter().flatten().any(is_weaker) {
            return Err(ChallengeError::Forged);
        }
        Ok(Self {
            realm: realm.into(),
            nonce: nonce.into(),
            algorithm,
            offered: offered.map(|offered| offered.as_bytes().into()),
            anonymous: features.username_anonymity,
            key: Key::long_term(username, realm, password, algorithm),
        })
    }

    /// Whether a request signed in `other` would be signed with the same key.
    pub(super) fn has_key_of(&self, other: &Self) -> bool {
        (&self.realm, self.algorithm) == (&other.realm, other.algorithm)
    }

    /// Which attribute signs requests and must sign answers: servers that negotiate know the new
    /// one (RFC 8489 §9.2.5).
    fn integrity(&self) -> Integrity {
        if self.offered.is_some() { Integrity::Sha256 } else { Integrity::Sha1 }
    }
}

/// How one request is signed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signer<'a> {
    /// With short-term credentials.
    Short(&'a Credentials, Offer),
    /// With long-term credentials, in a session.
    Long(&'a Credentials, &'a Session),
}

impl<'a> Signer<'a> {
    /// What signs a request with these credentials; nothing does while a long-term one has not been
    /// challenged. `settled` is what the server was seen to sign with.
    pub(super) fn new(
        credentials: Option<&'a Credentials>,
        session: Option<&'a Session>,
        settled: Option<Integrity>,
    ) -> Option<Self> {
        let credentials = credentials?;
        match &credentials.secret {
            Secret::Short { offer, .. } => {
                let offer = settled.map_or(*offer, |which| offer.narrowed(which));
                Some(Self::Short(credentials, offer))
            }
            Secret::Long { .. } => session.map(|session| Self::Long(credentials, session)),
        }
    }

    /// Adds the credentials and signs.
    pub(super) fn sign<'b>(self, writer: Writer<'b>) -> Writer<'b> {
        match self {
            Self::Short(Credentials { username, secret: Secret::Short { key, .. } }, offer) => offer
                .attributes()
                .iter()
                .fold(writer.put(&Username(username.as_bytes())), |writer, &which| {
                    writer.integrity_with(key, which)
                }),
            Self::Short(..) => writer,
            Self::Long(Credentials { username, .. }, session) => {
                let writer = if session.anonymous {
                    writer.put(&Userhash(userhash(username, &session.realm)))
                } else {
                    writer.put(&Username(username.as_bytes()))
                };
                let writer = writer.put(&Realm(&session.realm)).put(&Nonce(&session.nonce));
                let writer = match &session.offered {
                    Some(offered) => writer
                        .put_raw(Kind::PASSWORD_ALGORITHMS, offered)
                        .put(&ChosenAlgorithm(session.algorithm)),
                    None => writer,
                };
                writer.integrity_with(&session.key, session.integrity())
            }
        }
    }

    /// By which attribute an answer proves that it comes from somebody who knows the key; `None` if it
    /// does not. Both sides use the same one, so that nobody can make us look at a weaker one.
    pub(super) fn proof(self, answer: &Message<'_>) -> Option<Integrity> {
        match self {
            Self::Short(Credentials { secret: Secret::Short { key, .. }, .. }, offer) => {
                let mut strongest_first = offer.attributes().iter().rev().copied();
                strongest_first.find(|&which| answer.integrity_holds_with(key, which))
            }
            Self::Short(..) => None,
            Self::Long(_, session) => {
                let which = session.integrity();
                answer.integrity_holds_with(&session.key, which).then_some(which)
            }
        }
    }
}
