//! Writing a STUN message into a buffer of the caller's (RFC 8489 §5, §14).
//!
//! A [`Writer`] is a chain: header, attributes, seals, [`Writer::finish`]. Running out of room is
//! remembered and reported once, at the end, so the chain reads like the message.

use super::attr::{Attribute, Kind};
use super::header::{Class, HEADER, MAGIC_COOKIE, Method, TransactionId, message_type};
use super::integrity::{Integrity, Key, fingerprint};

/// Writes one message. See the [module above](super) for a whole one.
///
/// ```
/// use bradawl::wire::stun::attr::Software;
/// use bradawl::wire::stun::{Class, Method, NoRoom, TransactionId, Writer};
///
/// let write = |buf: &mut [u8]| {
///     Writer::new(buf, Class::Request, Method::BINDING, TransactionId::from([0; 12]))
///         .put(&Software("bradawl"))
///         .finish()
/// };
/// assert_eq!(write(&mut [0; 32]), Ok(32));
/// assert_eq!(write(&mut [0; 31]), Err(NoRoom));
/// ```
#[derive(Debug)]
#[must_use]
pub struct Writer<'b> {
    buf: &'b mut [u8],
    /// How much is written, or would have been had there been room.
    len: usize,
    id: TransactionId,
}

/// The buffer was too small for the message.
///
/// ```
/// assert_eq!(bradawl::wire::stun::NoRoom.to_string(), "no room for the message");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for the message")]
pub struct NoRoom;

impl<'b> Writer<'b> {
    /// Begins a message.
    #[inline]
    pub fn new(buf: &'b mut [u8], class: Class, method: Method, id: TransactionId) -> Self {
        Self::with_cookie(buf, class, method, MAGIC_COOKIE, id)
    }

    /// Begins an answer to an RFC 3489 client, whose transaction id begins with the four bytes that
    /// are ours to choose no longer.
    #[inline]
    pub fn with_cookie(
        buf: &'b mut [u8],
        class: Class,
        method: Method,
        cookie: [u8; 4],
        id: TransactionId,
    ) -> Self {
        if let Some(header) = buf.first_chunk_mut::<HEADER>() {
            let [t0, t1] = message_type(class, method).to_be_bytes();
            header[..4].copy_from_slice(&[t0, t1, 0, 0]);
            header[4..8].copy_from_slice(&cookie);
            header[8..].copy_from_slice(id.as_bytes());
        }
        Self { buf, len: HEADER, id }
    }

    /// Adds an attribute.
    #[inline]
    pub fn put<'v, A: Attribute<'v>>(mut self, attribute: &A) -> Self {
        let id = self.id;
        if let Some(value) = self.reserve(A::KIND, attribute.encoded_len()) {
            attribute.encode(value, &id);
        }
        self
    }

    /// Adds an attribute if there is one to add.
    #[inline]
    pub fn put_some<'v, A: Attribute<'v>>(self, attribute: Option<&A>) -> Self {
        match attribute {
            Some(attribute) => self.put(attribute),
            None => self,
        }
    }

    /// Adds an attribute that this crate has no type for.
    pub fn put_raw(mut self, kind: Kind, value: &[u8]) -> Self {
        if let Some(room) = self.reserve(kind, value.len()) {
            room.copy_from_slice(value);
        }
        self
    }

    /// Signs what is written so far with MESSAGE-INTEGRITY.
    #[inline]
    pub fn integrity(self, key: &Key) -> Self {
        self.integrity_with(key, Integrity::Sha1)
    }

    /// Signs what is written so far. Where both attributes are wanted SHA-1 comes first.
    #[inline]
    pub fn integrity_with(mut self, key: &Key, which: Integrity) -> Self {
        match which {
            Integrity::Sha1 => self.seal(Kind::MESSAGE_INTEGRITY, |message| key.sign_sha1(message)),
            Integrity::Sha256 => {
                self.seal(Kind::MESSAGE_INTEGRITY_SHA256, |message| key.sign_sha256(message));
            }
        }
        self
    }

    /// Closes the message with a FINGERPRINT. Nothing may follow it.
    #[inline]
    pub fn fingerprint(mut self) -> Self {
        self.seal(Kind::FINGERPRINT, fingerprint);
        self
    }

    /// How long the message is.
    #[inline]
    pub fn finish(mut self) -> Result<usize, NoRoom> {
        self.write_length(self.len)?;
        Ok(self.len)
    }

    /// Adds an attribute whose value covers the message up to here. The length in the header then
    /// already counts it (RFC 8489 §14.5, §14.7).
    #[inline]
    fn seal<const N: usize>(&mut self, kind: Kind, cover: impl FnOnce(&[u8]) -> [u8; N]) {
        let covered = self.len;
        if self.write_length(covered.saturating_add(4 + N)).is_err() {
            self.len = usize::MAX;
            return;
        }
        let value = cover(&self.buf[..covered]);
        if let Some(room) = self.reserve(kind, N) {
            room.copy_from_slice(&value);
        }
    }

    /// Makes room for a value: writes its header and its padding of zeros.
    #[inline]
    fn reserve(&mut self, kind: Kind, len: usize) -> Option<&mut [u8]> {
        let start = self.len;
        // Saturating: a message that is already too long stays too long.
        self.len = start.saturating_add(4).saturating_add(len).saturating_add(3) & !3;
        let attribute = self.buf.get_mut(start..self.len)?;
        let (header, value) = attribute.split_first_chunk_mut::<4>()?;
        let [k0, k1] = kind.0.to_be_bytes();
        // A value longer than 64 KiB makes a message that `finish` refuses.
        let [l0, l1] = (len as u16).to_be_bytes();
        *header = [k0, k1, l0, l1];
        let (value, padding) = value.split_at_mut_checked(len)?;
        for byte in padding {
            *byte = 0;
        }
        Some(value)
    }

    /// Writes into the header that the message ends at `end`.
    #[inline]
    fn write_length(&mut self, end: usize) -> Result<(), NoRoom> {
        let length = u16::try_from(end - HEADER).map_err(|_| NoRoom)?;
        if end > self.buf.len() {
            return Err(NoRoom);
        }
        self.buf[2..4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}
