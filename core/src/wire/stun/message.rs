//! A received STUN message: a view of the datagram, checked once (RFC 8489 §5, §6.3, §14).
//!
//! A message is a header and a row of attributes. Up to three *seals* may close it, in this order:
//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT. What stands behind the first seal is
//! covered by no signature, so everything there that is not itself a seal is ignored (§14.5,
//! §14.6); FINGERPRINT is the last attribute or the message is malformed (§14.7).
//!
//! [`Message::parse`] walks the attributes once, checks that each lies inside the message and notes
//! where the seals are. Reading an attribute afterwards walks again; the first of duplicates wins
//! (§14). With the few attributes that real messages have, that is cheaper than an index.

use core::fmt;

use super::attr::{Attribute, Kind};
use super::header::{Class, HEADER, MAGIC_COOKIE, Method, TransactionId, class_of, method_of};
use super::integrity::{Integrity, Key};

/// A well-formed STUN message in somebody's buffer.
///
/// ```
/// use bradawl::wire::stun::attr::XorMappedAddress;
/// use bradawl::wire::stun::{Class, Malformed, Message};
///
/// let datagram = [
///     0x01, 0x01, 0x00, 0x0C, 0x21, 0x12, 0xA4, 0x42, // a Binding success, 12 bytes of attributes
///     0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE,
///     0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43, // XOR-MAPPED-ADDRESS
/// ];
/// let message = Message::parse(&datagram)?;
/// assert_eq!(message.class(), Class::Success);
/// let XorMappedAddress(mapped) = message.find()?.expect("it is there");
/// assert_eq!(mapped, "192.0.2.1:32853".parse()?);
///
/// assert_eq!(Message::parse(&datagram[..31]), Err(Malformed::Length));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    header: &'a [u8; HEADER],
    /// Everything behind the header, seals and all.
    body: &'a [u8],
    seals: Seals,
}

/// Where in the body the seals begin; `None` where there is no such seal. A body is shorter than
/// 64 KiB by the width of the header's length field.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Seals {
    sha1: Option<u16>,
    sha256: Option<u16>,
    fingerprint: Option<u16>,
}

/// Why a datagram is not a STUN message.
///
/// ```
/// use bradawl::wire::stun::{Malformed, Message};
///
/// assert_eq!(Message::parse(b"GET / HTTP/1.1\r\n\r\n").unwrap_err(), Malformed::TooShort);
/// assert_eq!(Message::parse(b"GET /index.html HTTP/1.1\r\n\r\n").unwrap_err(), Malformed::NotStun);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than a header has.
    #[error("shorter than a STUN header")]
    TooShort,
    /// The two leading bits are not zero.
    #[error("not a STUN message")]
    NotStun,
    /// The magic cookie is another.
    #[error("no magic cookie")]
    Cookie,
    /// The header's length is not that of the datagram, or not a multiple of four.
    #[error("the length in the header is wrong")]
    Length,
    /// An attribute reaches beyond the end of the message.
    #[error("an attribute reaches beyond the end")]
    Overrun,
    /// MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 or FINGERPRINT of a length that it cannot have.
    #[error("an integrity attribute of impossible length")]
    Seal,
    /// Something follows FINGERPRINT, which is always last.
    #[error("something follows the fingerprint")]
    AfterFingerprint,
}

/// An attribute is there and its value makes no sense.
///
/// ```
/// use bradawl::wire::stun::attr::{Kind, Priority};
/// use bradawl::wire::stun::{BadAttribute, Class, Message, Method, TransactionId, Writer};
///
/// let mut buf = [0; 64];
/// let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([0; 12]))
///     .put_raw(Kind::PRIORITY, &[1, 2, 3]) // it has four bytes
///     .finish()?;
/// assert_eq!(Message::parse(&buf[..len])?.find::<Priority>(), Err(BadAttribute(Kind::PRIORITY)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the value of attribute {0:?} makes no sense")]
pub struct BadAttribute(pub Kind);

impl<'a> Message<'a> {
    /// Checks that `datagram` is one STUN message, whole and nothing but.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let message = Self::frame(datagram)?;
        if message.cookie() != MAGIC_COOKIE {
            return Err(Malformed::Cookie);
        }
        message.sealed()
    }

    /// The same for a message of RFC 3489, which has no magic cookie: any four bytes may stand
    /// there, and the whole sixteen are the transaction id.
    pub fn parse_classic(datagram: &'a [u8]) -> Result<Self, Malformed> {
        Self::frame(datagram)?.sealed()
    }

    /// Checks what the header says of the whole.
    #[inline]
    fn frame(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (header, body) = datagram.split_first_chunk::<HEADER>().ok_or(Malformed::TooShort)?;
        if header[0] & 0xC0 != 0 {
            return Err(Malformed::NotStun);
        }
        let length = u16::from_be_bytes([header[2], header[3]]);
        if usize::from(length) != body.len() || length % 4 != 0 {
            return Err(Malformed::Length);
        }
        Ok(Self { header, body, seals: Seals::default() })
    }

    /// Walks the attributes: each lies inside the message, and the seals are where they may be.
    #[inline]
    fn sealed(mut self) -> Result<Self, Malformed> {
        let seals = &mut self.seals;
        let mut rest = self.body;
        while let Some((attribute, tail)) = AttributeRef::split(rest)? {
            // The body's length came out of a 16-bit field.
            let at = (self.body.len() - rest.len()) as u16;
            let len = attribute.value.len();
            match attribute.kind {
                Kind::MESSAGE_INTEGRITY if seals.sha1.is_none() && seals.sha256.is_none() => {
                    seals.sha1 = Some((len == 20).then_some(at).ok_or(Malformed::Seal)?);
                }
                Kind::MESSAGE_INTEGRITY_SHA256 if seals.sha256.is_none() => {
                    let possible = matches!(len, 16 | 20 | 24 | 28 | 32);
                    seals.sha256 = Some(possible.then_some(at).ok_or(Malformed::Seal)?);
                }
                Kind::FINGERPRINT if len != 4 => return Err(Malformed::Seal),
                Kind::FINGERPRINT if !tail.is_empty() => return Err(Malformed::AfterFingerprint),
                Kind::FINGERPRINT => seals.fingerprint = Some(at),
                _ => {}
            }
            rest = tail;
        }
        Ok(self)
    }

    /// Whether it asks, answers or tells.
    #[inline]
    pub const fn class(&self) -> Class {
        class_of(self.message_type())
    }

    /// What it is about.
    #[inline]
    pub const fn method(&self) -> Method {
        method_of(self.message_type())
    }

    #[inline]
    const fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// What ties an answer to its request.
    #[inline]
    pub fn transaction_id(&self) -> TransactionId {
        let [_, _, _, _, _, _, _, _, id @ ..] = *self.header;
        TransactionId::from(id)
    }

    /// The magic cookie, or the first four bytes of an RFC 3489 transaction id.
    #[inline]
    pub const fn cookie(&self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d, ..] = *self.header;
        [a, b, c, d]
    }

    /// The attributes in front of the seals, in order, duplicates and all.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        let Seals { sha1, sha256, fingerprint } = self.seals;
        let end = sha1.or(sha256).or(fingerprint).map_or(self.body.len(), usize::from);
        Attributes { rest: self.body.get(..end).unwrap_or_default() }
    }

    /// The first attribute of one kind, read; `None` if there is none in front of the seals.
    #[inline]
    pub fn find<A: Attribute<'a>>(&self) -> Result<Option<A>, BadAttribute> {
        let Some(found) = self.attributes().find(|attribute| attribute.kind == A::KIND) else {
            return Ok(None);
        };
        A::decode(found.value, &self.transaction_id()).map(Some).ok_or(BadAttribute(A::KIND))
    }

    /// Whether there is an attribute of this kind in front of the seals.
    #[inline]
    pub fn has(&self, kind: Kind) -> bool {
        self.attributes().any(|attribute| attribute.kind == kind)
    }

    /// The kinds that must be understood for this message to be (RFC 8489 §14) and that
    /// `understood` does not know.
    pub fn not_understood(&self, understood: fn(Kind) -> bool) -> impl Iterator<Item = Kind> + 'a {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(move |&kind| kind.comprehension_required() && !understood(kind))
    }

    /// The strongest integrity attribute it carries, held or not.
    #[inline]
    pub fn integrity(&self) -> Option<Integrity> {
        match self.seals {
            Seals { sha256: Some(_), .. } => Some(Integrity::Sha256),
            Seals { sha1: Some(_), .. } => Some(Integrity::Sha1),
            _ => None,
        }
    }

    /// Whether it is signed with `key`, by the strongest integrity attribute that it carries. A
    /// message without any is not.
    #[inline]
    pub fn integrity_holds(&self, key: &Key) -> bool {
        self.integrity().is_some_and(|which| self.integrity_holds_with(key, which))
    }

    /// The same for one of the two attributes: a short-term server that knows only the old one may
    /// have to look at that (RFC 8489 §9.1.3).
    #[inline]
    pub fn integrity_holds_with(&self, key: &Key, which: Integrity) -> bool {
        let seal = match which {
            Integrity::Sha1 => self.seals.sha1,
            Integrity::Sha256 => self.seals.sha256,
        };
        let Some((signed, rest)) = seal.and_then(|at| self.body.split_at_checked(usize::from(at))) else {
            return false;
        };
        let Ok(Some((tag, _))) = AttributeRef::split(rest) else { return false };
        // What was signed is a message that ends with this attribute (RFC 8489 §14.5).
        let [t0, t1, _, _, after_length @ ..] = *self.header;
        let [l0, l1] = ((signed.len() + 4 + tag.value.len()) as u16).to_be_bytes();
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&[t0, t1, l0, l1]);
        header[4..].copy_from_slice(&after_length);
        match which {
            Integrity::Sha1 => {
                tag.value.try_into().is_ok_and(|tag: &[u8; 20]| key.verify_sha1(&header, signed, tag))
            }
            Integrity::Sha256 => key.verify_sha256(&header, signed, tag.value),
        }
    }

    /// Whether it carries a FINGERPRINT, right or wrong.
    #[inline]
    pub const fn has_fingerprint(&self) -> bool {
        self.seals.fingerprint.is_some()
    }

    /// Whether it carries a FINGERPRINT that is right (RFC 8489 §14.7).
    #[inline]
    pub fn fingerprint_holds(&self) -> bool {
        let Some(at) = self.seals.fingerprint else { return false };
        let Some((covered, rest)) = self.body.split_at_checked(usize::from(at)) else { return false };
        let Some(&value) = rest.last_chunk::<4>() else { return false };
        // FINGERPRINT is last, so the length in the header is the one that was covered.
        let mut crc = crc32fast::Hasher::new();
        crc.update(self.header);
        crc.update(covered);
        crc.finalize() ^ super::writer::FINGERPRINT_XOR == u32::from_be_bytes(value)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} ", self.class(), self.method(), self.transaction_id())?;
        f.debug_list().entries(self.attributes().map(|attribute| attribute.kind)).finish()
    }
}

/// One attribute as it lies in the message: its kind and its value without the padding.
///
/// ```
/// use bradawl::wire::stun::attr::{Kind, Software};
/// use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
///
/// let mut buf = [0; 64];
/// let len = Writer::new(&mut buf, Class::Indication, Method::BINDING, TransactionId::from([0; 12]))
///     .put(&Software("bradawl"))
///     .finish()?;
/// for attribute in Message::parse(&buf[..len])?.attributes() {
///     assert_eq!((attribute.kind, attribute.value), (Kind::SOFTWARE, &b"bradawl"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> AttributeRef<'a> {
    /// Takes one attribute and its padding off the front; `None` at the end.
    #[inline]
    fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Malformed> {
        let Some((&[k0, k1, l0, l1], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let (padded, tail) = rest.split_at_checked((len + 3) & !3).ok_or(Malformed::Overrun)?;
        let value = padded.get(..len).unwrap_or_default();
        Ok(Some((Self { kind: Kind(u16::from_be_bytes([k0, k1])), value }, tail)))
    }
}

/// The attributes of a [`Message`], in order.
///
/// ```
/// # use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
/// # let mut buf = [0; 64];
/// let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([0; 12])).finish()?;
/// assert_eq!(Message::parse(&buf[..len])?.attributes().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = AttributeRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<AttributeRef<'a>> {
        let (attribute, tail) = AttributeRef::split(self.rest).ok()??;
        self.rest = tail;
        Some(attribute)
    }
}
