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
use core::num::NonZeroU16;

use super::attr::{Attribute, Kind};
use super::header::{Class, HEADER, MAGIC_COOKIE, Method, TransactionId, class_of, method_of};
use super::integrity::{Integrity, Key, fingerprint};

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
    datagram: &'a [u8],
    /// The beginning of the datagram.
    header: &'a [u8; HEADER],
    /// The attributes in front of the seals.
    attributes: Attributes<'a>,
    seals: Seals,
}

/// At which word of the datagram the seals begin, for those that there are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Seals {
    sha1: Option<NonZeroU16>,
    sha256: Option<NonZeroU16>,
    fingerprint: Option<NonZeroU16>,
}

impl Seals {
    /// Reads what stands behind the attributes, from word `at` of the body on: the seals, and what
    /// is ignored between them.
    #[inline]
    fn parse(words: &[Word], mut at: usize) -> Result<Self, Malformed> {
        let mut seals = Self::default();
        while let Some((kind, len)) = words.get(at).map(split_header) {
            let here = NonZeroU16::new((HEADER / size_of::<Word>() + at) as u16);
            at += 1 + len.div_ceil(4);
            match kind {
                // Behind the first of a kind, and behind the stronger, integrity is ignored.
                Kind::MESSAGE_INTEGRITY if seals.sha1.or(seals.sha256).is_some() => {}
                Kind::MESSAGE_INTEGRITY if len == 20 => seals.sha1 = here,
                Kind::MESSAGE_INTEGRITY_SHA256 if seals.sha256.is_some() => {}
                Kind::MESSAGE_INTEGRITY_SHA256 if matches!(len, 16 | 20 | 24 | 28 | 32) => {
                    seals.sha256 = here;
                }
                Kind::FINGERPRINT if len == 4 && at < words.len() => return Err(Malformed::AfterFingerprint),
                Kind::FINGERPRINT if len == 4 => seals.fingerprint = here,
                kind if kind.is_seal() => return Err(Malformed::Seal),
                _ => {}
            }
        }
        if at == words.len() { Ok(seals) } else { Err(Malformed::Overrun) }
    }
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
    // Always: half of the callers want one attribute of a short message, and get by with half of the
    // instructions when the parts that they do not look at are never put together.
    #[inline(always)]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (header, words) = frame(datagram)?;
        if header[4..8] != MAGIC_COOKIE {
            return Err(Malformed::Cookie);
        }
        Self::walk(datagram, header, words)
    }

    /// The same for a message of RFC 3489, which has no magic cookie: any four bytes may stand
    /// there, and the whole sixteen are the transaction id.
    pub fn parse_classic(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let (header, words) = frame(datagram)?;
        Self::walk(datagram, header, words)
    }

    /// Walks the attributes: each lies inside the message, and the seals are where they may be.
    #[inline(always)] // see `parse`
    fn walk(datagram: &'a [u8], header: &'a [u8; HEADER], words: &'a [Word]) -> Result<Self, Malformed> {
        let mut end = 0;
        while let Some((kind, len)) = words.get(end).map(split_header)
            && !kind.is_seal()
        {
            end += 1 + len.div_ceil(4);
        }
        let attributes = words.get(..end).ok_or(Malformed::Overrun)?;
        let seals = Seals::parse(words, end)?;
        Ok(Self { datagram, header, attributes: Attributes { words: attributes }, seals })
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
    pub const fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// The first attribute of one kind, read; `None` if there is none in front of the seals.
    #[inline]
    pub fn find<A: Attribute<'a>>(&self) -> Result<Option<A>, BadAttribute> {
        let Some(value) = self.value(A::KIND) else { return Ok(None) };
        A::decode(value, &self.transaction_id()).map(Some).ok_or(BadAttribute(A::KIND))
    }

    /// All attributes of one kind, read, for the few that may stand there several times.
    pub fn find_all<A: Attribute<'a>>(&self) -> impl Iterator<Item = Result<A, BadAttribute>> + 'a {
        let id = self.transaction_id();
        let all = self.attributes().filter(|attribute| attribute.kind == A::KIND);
        all.map(move |attribute| A::decode(attribute.value, &id).ok_or(BadAttribute(A::KIND)))
    }

    /// Whether there is an attribute of this kind in front of the seals.
    #[inline]
    pub fn has(&self, kind: Kind) -> bool {
        self.value(kind).is_some()
    }

    /// The value of the first attribute of one kind, as it lies there; `None` if there is none in
    /// front of the seals.
    #[inline]
    pub fn value(&self, kind: Kind) -> Option<&'a [u8]> {
        let words = self.attributes.words;
        let mut at = 0;
        loop {
            let (found, len) = split_header(words.get(at)?);
            if found == kind {
                return words.get(at + 1..)?.as_flattened().get(..len);
            }
            at += 1 + len.div_ceil(4);
        }
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

    /// Whether it is signed with `key`, by the strongest integrity attribute that it carries, in
    /// full. A message without any is not.
    #[inline]
    pub fn integrity_holds(&self, key: &Key) -> bool {
        self.integrity().is_some_and(|which| self.integrity_holds_with(key, which))
    }

    /// Whether it is signed by a MESSAGE-INTEGRITY-SHA256 that was perhaps cut to its first 16 to 32
    /// bytes: for usages of STUN that allow that, which neither Binding nor TURN does (RFC 8489
    /// §14.6).
    pub fn integrity_holds_truncated(&self, key: &Key) -> bool {
        let sealed = self.sealed_by(Integrity::Sha256);
        sealed.is_some_and(|(header, body, tag)| key.verify_sha256_truncated(&header, body, tag))
    }

    /// The same for one of the two attributes: a short-term server that knows only the old one may
    /// have to look at that (RFC 8489 §9.1.3).
    #[inline]
    pub fn integrity_holds_with(&self, key: &Key, which: Integrity) -> bool {
        let Some((header, body, tag)) = self.sealed_by(which) else { return false };
        match which {
            Integrity::Sha1 => key.verify_sha1(&header, body, tag),
            Integrity::Sha256 => key.verify_sha256(&header, body, tag),
        }
    }

    /// What an integrity attribute covers, in two parts, and its value. What was signed is a message
    /// that ends with this attribute, so the length in the header is another (RFC 8489 §14.5).
    #[inline]
    fn sealed_by(&self, which: Integrity) -> Option<([u8; HEADER], &'a [u8], &'a [u8])> {
        let word = match which {
            Integrity::Sha1 => self.seals.sha1,
            Integrity::Sha256 => self.seals.sha256,
        };
        let (signed, seal) = self.datagram.split_at_checked(4 * usize::from(word?.get()))?;
        let (_, body) = signed.split_first_chunk::<HEADER>()?;
        let (&[_, _, l0, l1], rest) = seal.split_first_chunk()?;
        let tag = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        let mut header = *self.header;
        header[2..4].copy_from_slice(&((body.len() + 4 + tag.len()) as u16).to_be_bytes());
        Some((header, body, tag))
    }

    /// Whether it carries a FINGERPRINT, right or wrong.
    #[inline]
    pub const fn has_fingerprint(&self) -> bool {
        self.seals.fingerprint.is_some()
    }

    /// Whether it carries a FINGERPRINT that is right (RFC 8489 §14.7).
    #[inline]
    pub fn fingerprint_holds(&self) -> bool {
        // FINGERPRINT is last, so the length in the header is the one that was covered.
        let Some((covered, [_, _, _, _, value @ ..])) = self.datagram.split_last_chunk::<8>() else {
            return false;
        };
        self.has_fingerprint() && fingerprint(covered) == *value
    }
}

/// Checks what the header says of the whole, and takes it off.
#[inline]
fn frame(datagram: &[u8]) -> Result<(&[u8; HEADER], &[Word]), Malformed> {
    let (header, body) = datagram.split_first_chunk::<HEADER>().ok_or(Malformed::TooShort)?;
    if header[0] & 0xC0 != 0 {
        return Err(Malformed::NotStun);
    }
    let (words, []) = body.as_chunks() else { return Err(Malformed::Length) };
    if usize::from(u16::from_be_bytes([header[2], header[3]])) != body.len() {
        return Err(Malformed::Length);
    }
    Ok((header, words))
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

/// The attributes of a [`Message`], in order.
///
/// ```
/// # use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
/// # let mut buf = [0; 64];
/// let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([0; 12])).finish()?;
/// assert_eq!(Message::parse(&buf[..len])?.attributes().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    words: &'a [Word],
}

/// Attributes are whole 32-bit words (RFC 8489 §14).
type Word = [u8; 4];

impl<'a> Iterator for Attributes<'a> {
    type Item = AttributeRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<AttributeRef<'a>> {
        let (header, rest) = self.words.split_first()?;
        let (kind, len) = split_header(header);
        let (padded, rest) = rest.split_at_checked(len.div_ceil(4))?;
        self.words = rest;
        Some(AttributeRef { kind, value: padded.as_flattened().get(..len).unwrap_or_default() })
    }
}

/// An attribute's kind and the length of its value. One load for both halves: this is the innermost
/// loop of everything.
#[inline]
const fn split_header(header: &Word) -> (Kind, usize) {
    let header = u32::from_be_bytes(*header);
    (Kind((header >> 16) as u16), header as u16 as usize)
}
