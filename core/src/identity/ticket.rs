//! What people pass around so that others find them: one word, `brad1…`.
//!
//! The `1` and a byte behind it say how to read the rest (`wire.rs`), which is base32. Whoever copies a ticket
//! may lose its end, mistype a letter, add a blank or shout; what is harmless of that is tolerated, and of
//! the rest is said what went wrong and what to do.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use zeroize::Zeroizing;

use super::wire::{self, Content, Flaw};
use super::{Grant, MediatorAddress, PeerId, base32};

/// The most mediators that a ticket names.
pub const MAX_MEDIATORS: usize = 4;

/// The most characters that are read. The longest ticket there can be has fewer.
pub const MAX_TICKET: usize = 2_048;

const _: () = assert!(PREFIX.len() + base32::length(wire::MAX_BYTES) <= MAX_TICKET);

const NAME: &str = "brad";
const PREFIX: &str = "brad1";

/// A way to a peer.
///
/// Its text is the only place where its secret shows: who has the text has the secret.
///
/// ```
/// use bradawl::identity::{Grant, SecretKey, Ticket, TicketError, TicketSecret, Uses};
/// use bradawl::rng::Rng;
///
/// let secret = TicketSecret::random(&mut Rng::from_seed([2; 32]));
/// let grant = Grant { secret, uses: Uses::Once, expires: Some(1_900_000_000) };
/// let peer = SecretKey::from_seed(&[1; 32]).id();
/// let ticket = Ticket::new(vec!["192.0.2.1:3478".parse()?], peer, Some(grant))?;
///
/// let word = ticket.to_string();
/// assert!(word.starts_with("brad1"));
/// assert_eq!(word.parse(), Ok(ticket.clone()));
/// assert_eq!(word[..60].parse::<Ticket>(), Err(TicketError::Truncated));
/// assert!(ticket.check(1_900_000_000).is_err(), "it has expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    mediators: Vec<MediatorAddress>,
    peer: PeerId,
    grant: Option<Grant>,
}

impl Ticket {
    /// A ticket to this peer, who is found by any of these mediators.
    pub fn new(
        mediators: Vec<MediatorAddress>,
        peer: PeerId,
        grant: Option<Grant>,
    ) -> Result<Self, MakeError> {
        match mediators.len() {
            0 => Err(MakeError::NoMediator),
            1..=MAX_MEDIATORS => Ok(Self { mediators, peer, grant }),
            count => Err(MakeError::TooMany(count)),
        }
    }

    /// Whom to ask for the peer, best first.
    pub fn mediators(&self) -> &[MediatorAddress] {
        &self.mediators
    }

    /// Who is found.
    pub const fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// What shows that its holder may come in, if that is needed.
    pub const fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// Whether it can still be used at this time, in seconds since 1970.
    pub fn check(&self, now_unix: u64) -> Result<(), Expired> {
        match self.grant.as_ref().and_then(|grant| grant.expires) {
            Some(expires) if expires <= now_unix => Err(Expired { seconds: now_unix - expires }),
            _ => Ok(()),
        }
    }
}

/// Why there can be no such ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MakeError {
    /// It leads nowhere.
    #[error("a ticket names a mediator at least")]
    NoMediator,
    /// More than [`MAX_MEDIATORS`].
    #[error("a ticket names {MAX_MEDIATORS} mediators at most, not {0}")]
    TooMany(usize),
}

/// A ticket that can no longer be used.
///
/// ```
/// use bradawl::identity::Expired;
///
/// let text = "the ticket expired 2 hours ago: ask for a new one";
/// assert_eq!(Expired { seconds: 7_300 }.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Since when.
    pub seconds: u64,
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
        let fits = units.into_iter().find(|(length, _)| self.seconds >= *length);
        f.write_str("the ticket expired ")?;
        match fits.map(|(length, unit)| (self.seconds / length, unit)) {
            Some((1, unit)) => write!(f, "1 {unit} ago")?,
            Some((count, unit)) => write!(f, "{count} {unit}s ago")?,
            None => f.write_str("just now")?,
        }
        f.write_str(": ask for a new one")
    }
}

impl core::error::Error for Expired {}

/// Why a text is no ticket, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TicketError {
    /// It does not begin as one.
    #[error("this is no ticket: one begins with {PREFIX}")]
    NotATicket,
    /// Its version is one that is not yet known here.
    #[error("the ticket was made by a newer bradawl: update this one")]
    Newer,
    /// Its version is one that is no longer read.
    #[error("the ticket was made by an older bradawl: ask for a new one")]
    Older,
    /// More than [`MAX_TICKET`] characters.
    #[error("no ticket is longer than {MAX_TICKET} characters: copy the ticket alone")]
    TooLong,
    /// A character that no ticket has.
    #[error("character {at} of the ticket is {found:?}, which no ticket has: copy it again, as one word")]
    Character {
        /// Which.
        found: char,
        /// The how manieth, counted from 1.
        at: usize,
    },
    /// Its end is missing.
    #[error("the end of the ticket is missing: copy all of it")]
    Truncated,
    /// There is more than a ticket.
    #[error("there is something behind the ticket: copy the ticket alone")]
    Surplus,
    /// It is not what was written.
    #[error("the ticket is damaged, some character of it is wrong: copy it again")]
    Mistyped,
    /// It is what was written, and should not have been.
    #[error("the ticket arrived whole, but {0}: ask for one that another program makes")]
    Content(Content),
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        base32::write(f, &wire::encode(self))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Blanks around it do not matter, nor do upper and lower case.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        has_our_version(text)?;
        if text.len() > MAX_TICKET {
            return Err(TicketError::TooLong);
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        let rest = base32::read(&text[PREFIX.len()..], |byte| bytes.push(byte)).map_err(stray)?;
        if !wire::is_sealed(&bytes) {
            return Err(damage(wire::decode(&bytes).err()));
        }
        if rest.is_surplus() {
            return Err(TicketError::Surplus);
        }
        if !rest.is_clean() {
            return Err(TicketError::Mistyped);
        }
        wire::decode(&bytes).map_err(|flaw| match flaw {
            Flaw::Version(version) if version > wire::VERSION => TicketError::Newer,
            Flaw::Version(_) => TicketError::Older,
            Flaw::Short | Flaw::Long => TicketError::Content(Content::Layout),
            Flaw::Content(content) => TicketError::Content(content),
        })
    }
}

/// Whether it begins with a name and a number that are ours.
fn has_our_version(text: &str) -> Result<(), TicketError> {
    let (name, rest) = text.split_at_checked(NAME.len()).ok_or(TicketError::NotATicket)?;
    if !name.eq_ignore_ascii_case(NAME) {
        return Err(TicketError::NotATicket);
    }
    match rest.bytes().next() {
        Some(b'1') => Ok(()),
        Some(b'0') => Err(TicketError::Older),
        Some(b'2'..=b'9') => Err(TicketError::Newer),
        _ => Err(TicketError::NotATicket),
    }
}

fn stray(malformed: base32::Malformed) -> TicketError {
    match malformed {
        base32::Malformed::Character { found, at } => TicketError::Character { found, at: PREFIX.len() + at },
        base32::Malformed::Length { .. } | base32::Malformed::End => TicketError::Mistyped,
    }
}

/// What became of a ticket whose checksum does not hold. Where it would end is in its first bytes; if these are
/// the damage, this is a guess, and what to do is the same.
fn damage(flaw: Option<Flaw>) -> TicketError {
    match flaw {
        Some(Flaw::Short) => TicketError::Truncated,
        Some(Flaw::Long) => TicketError::Surplus,
        None | Some(Flaw::Version(_) | Flaw::Content(_)) => TicketError::Mistyped,
    }
}
