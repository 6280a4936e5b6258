//! A ticket as bytes. Numbers are big-endian.
//!
//! ```text
//!  version      1            1
//!  head         1            bits 0-2 how many mediators, 3 a secret, 4 for any number of uses, 5 it expires
//!  mediators    each:
//!    kind       1            bits 0-1 the host: 0 IPv4, 1 IPv6, 2 a name; bit 2 an id
//!    host       4, 16 or 1+n
//!    port       2
//!    id         0 or 32
//!  peer         32
//!  secret       0 or 16
//!  expires      0 or 8       seconds since 1970
//!  checksum     4            the first of SHA-256 of all before it
//! ```
//!
//! The first byte and the checksum at the end stay as they are in all versions, so that one that is too new is
//! told from one that is damaged. All other bits are zero, and a ticket has one layout: what is read is what
//! would be written.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::address::{Host, MAX_NAME, MediatorAddress, Name};
use super::ticket::{MAX_MEDIATORS, Ticket};
use super::{Grant, PeerId, TicketSecret, Uses};

/// The version that is written, and the only one so far.
pub(super) const VERSION: u8 = 1;

/// How many bytes tell whether a ticket is whole.
const CHECKSUM: usize = 4;

/// The most bytes of a ticket: all mediators have ids and the longest names.
pub(super) const MAX_BYTES: usize = 2 + MAX_MEDIATORS * (2 + MAX_NAME + 2 + 32) + 32 + 16 + 8 + CHECKSUM;

const MEDIATORS: u8 = 0b111;
const SECRET: u8 = 1 << 3;
const ANY_USES: u8 = 1 << 4;
const EXPIRES: u8 = 1 << 5;
const HEAD: u8 = MEDIATORS | SECRET | ANY_USES | EXPIRES;

const KIND: u8 = 0b11;
const V4: u8 = 0;
const V6: u8 = 1;
const NAME: u8 = 2;
const HAS_ID: u8 = 1 << 2;

/// The first thing that is wrong with the bytes of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They end too early.
    Short,
    /// Something is behind the checksum.
    Long,
    /// Their version is another.
    Version(u8),
    /// What is said in them cannot be.
    Content(Content),
}

/// What cannot be in a ticket that is otherwise whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Content {
    /// Bits that mean nothing, or too few or many bytes.
    #[error("its layout is not that of its version")]
    Layout,
    /// It names no mediator, or too many.
    #[error("it names no mediator or more than {MAX_MEDIATORS}")]
    Mediators,
    /// A mediator is at no place.
    #[error("a mediator of it is nowhere")]
    Mediator,
    /// An id is none.
    #[error("an id of it is nobody's")]
    Id,
}

/// Writes a ticket, with its checksum.
pub(super) fn encode(ticket: &Ticket) -> Zeroizing<Vec<u8>> {
    // So large that it never moves, which would leave a copy of the secret behind.
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
    let grant = ticket.grant();
    out.extend([VERSION, head(ticket.mediators().len(), grant)]);
    ticket.mediators().iter().for_each(|mediator| put_mediator(&mut out, mediator));
    out.extend(ticket.peer().as_bytes());
    if let Some(grant) = grant {
        out.extend(grant.secret.expose());
        out.extend(grant.expires.into_iter().flat_map(u64::to_be_bytes));
    }
    let checksum = checksum(&out);
    out.extend(checksum);
    out
}

fn head(mediators: usize, grant: Option<&Grant>) -> u8 {
    let bits = grant.map_or(0, |grant| {
        let any = if grant.uses == Uses::Any { ANY_USES } else { 0 };
        SECRET | any | if grant.expires.is_some() { EXPIRES } else { 0 }
    });
    mediators as u8 | bits
}

fn put_mediator(out: &mut Vec<u8>, mediator: &MediatorAddress) {
    let id = mediator.id();
    let kind = match mediator.host() {
        Host::Ip(IpAddr::V4(_)) => V4,
        Host::Ip(IpAddr::V6(_)) => V6,
        Host::Name(_) => NAME,
    };
    out.push(kind | if id.is_some() { HAS_ID } else { 0 });
    match mediator.host() {
        Host::Ip(IpAddr::V4(ip)) => out.extend(ip.octets()),
        Host::Ip(IpAddr::V6(ip)) => out.extend(ip.octets()),
        Host::Name(name) => {
            out.push(name.as_str().len() as u8);
            out.extend(name.as_str().bytes());
        }
    }
    out.extend(mediator.port().get().to_be_bytes());
    out.extend(id.into_iter().flat_map(PeerId::as_bytes));
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(bytes).into();
    [a, b, c, d]
}

/// Whether the last bytes are the checksum of those before, of which there are some.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.split_last_chunk().is_some_and(|(body, sum)| !body.is_empty() && checksum(body) == *sum)
}

/// Reads a ticket and passes over its checksum, so that what is wrong with a damaged one can be told.
pub(super) fn decode(bytes: &[u8]) -> Result<Ticket, Flaw> {
    let mut rest = Reader(bytes);
    let [version] = rest.take()?;
    if version != VERSION {
        return Err(Flaw::Version(version));
    }
    let [head] = rest.take()?;
    if head & !HEAD != 0 || head & SECRET == 0 && head & (ANY_USES | EXPIRES) != 0 {
        return Err(Flaw::Content(Content::Layout));
    }
    let mediators = (0..head & MEDIATORS).map(|_| rest.mediator()).collect::<Result<Vec<_>, _>>()?;
    let peer = rest.id()?;
    let grant = if head & SECRET == 0 { None } else { Some(rest.grant(head)?) };
    rest.take::<CHECKSUM>()?;
    if !rest.0.is_empty() {
        return Err(Flaw::Long);
    }
    Ticket::new(mediators, peer, grant).map_err(|_| Flaw::Content(Content::Mediators))
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn mediator(&mut self) -> Result<MediatorAddress, Flaw> {
        let nowhere = Flaw::Content(Content::Mediator);
        let [kind] = self.take()?;
        if kind & !(KIND | HAS_ID) != 0 {
            return Err(Flaw::Content(Content::Layout));
        }
        let host = match kind & KIND {
            V4 => Ipv4Addr::from(self.take::<4>()?).into(),
            V6 => Ipv6Addr::from(self.take::<16>()?).into(),
            NAME => Host::Name(self.name()?),
            _ => return Err(Flaw::Content(Content::Layout)),
        };
        let port = NonZeroU16::new(u16::from_be_bytes(self.take()?)).ok_or(nowhere)?;
        let id = if kind & HAS_ID == 0 { None } else { Some(self.id()?) };
        MediatorAddress::new(host, port, id).map_err(|_| nowhere)
    }

    /// A name as it is written: one in upper case is nobody's.
    fn name(&mut self) -> Result<Name, Flaw> {
        let [len] = self.take()?;
        let (name, rest) = self.0.split_at_checked(usize::from(len)).ok_or(Flaw::Short)?;
        self.0 = rest;
        let text = core::str::from_utf8(name).ok();
        let name = text.and_then(|text| Name::new(text).ok().filter(|name| name.as_str() == text));
        name.ok_or(Flaw::Content(Content::Mediator))
    }

    fn id(&mut self) -> Result<PeerId, Flaw> {
        PeerId::from_bytes(self.take()?).map_err(|_| Flaw::Content(Content::Id))
    }

    fn grant(&mut self, head: u8) -> Result<Grant, Flaw> {
        let secret = TicketSecret::from_bytes(self.take()?);
        let uses = if head & ANY_USES == 0 { Uses::Once } else { Uses::Any };
        let expires = if head & EXPIRES == 0 { None } else { Some(u64::from_be_bytes(self.take()?)) };
        Ok(Grant { secret, uses, expires })
    }
}
