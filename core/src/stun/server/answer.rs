//! Answers as they wait, and as bytes.

use core::net::SocketAddr;

use super::Outcome;
use super::addresses::Addresses;
use super::late::Late;
use crate::machine::Path;
use crate::time::Instant;
use crate::wire::stun::attr::{
    ChangedAddress, ErrorCode, HandOver, Help, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    SourceAddress, UnknownAttributes, XorMappedAddress,
};
use crate::wire::stun::{Class, Integrity, Key, Method, NoRoom, TransactionId, Writer};

/// The longest PADDING that is sent back, never longer than the request's own: with everything else
/// that an answer may carry it still fits into the smallest buffer, behind a parent's 48 bytes.
pub(super) const MAX_PADDING: usize = 1_300;

/// An answer that waits to be polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// From the address it is to leave from, to whom.
    pub(super) path: Path,
    /// The other IP address and port, where there are any; for a hand-over, from where the partner is
    /// to answer.
    pub(super) other: Option<SocketAddr>,
    pub(super) id: TransactionId,
    /// The four bytes in front of the id if the request had no magic cookie.
    pub(super) classic: Option<[u8; 4]>,
    pub(super) fingerprint: bool,
    pub(super) padding: Option<u16>,
    /// What HELP is to say, if the request had one.
    pub(super) help: Option<Helping>,
    pub(super) body: Body,
}

/// [`Help`] but for the token, which is made when the answer leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Helping {
    pub(super) other_port: u16,
    pub(super) delay: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Success,
    BadRequest,
    Unknown(UnknownAttributes),
    /// Not an answer: the partner is to give it.
    HandOver,
}

/// What an answer is written with.
pub(super) struct Pen<'a> {
    pub(super) now: Instant,
    pub(super) addresses: &'a Addresses,
    pub(super) late: &'a Late,
    pub(super) key: Option<&'a Key>,
}

impl Body {
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Success => Outcome::Success,
            Self::BadRequest => Outcome::BadRequest,
            Self::Unknown(_) => Outcome::UnknownAttributes,
            Self::HandOver => Outcome::HandedOver,
        }
    }
}

const fn error(code: u16, reason: &str) -> ErrorCode<'_> {
    ErrorCode { code, reason }
}

impl Answer {
    /// Where it goes.
    pub(super) fn way(&self) -> Path {
        match (self.body, self.other) {
            (Body::HandOver, Some(partner)) => Path { remote: partner, ..self.path },
            _ => self.path,
        }
    }

    pub(super) fn write(&self, buf: &mut [u8], pen: &Pen<'_>) -> Result<usize, NoRoom> {
        let writer = match self.body {
            Body::Success => self.write_success(self.begin(buf, Class::Success), pen),
            Body::BadRequest => self.write_bad_request(self.begin(buf, Class::Error)),
            Body::Unknown(unknown) => self.write_unknown(self.begin(buf, Class::Error), &unknown),
            Body::HandOver => return self.write_hand_over(buf, pen),
        };
        let writer = if self.fingerprint { writer.fingerprint() } else { writer };
        writer.finish()
    }

    fn begin<'b>(&self, buf: &'b mut [u8], class: Class) -> Writer<'b> {
        match self.classic {
            None => Writer::new(buf, class, Method::BINDING, self.id),
            Some(cookie) => Writer::with_cookie(buf, class, Method::BINDING, cookie, self.id),
        }
    }

    fn write_success<'b>(&self, writer: Writer<'b>, pen: &Pen<'_>) -> Writer<'b> {
        if self.classic.is_some() {
            let other = self.other.map(|other| ChangedAddress(pen.addresses.advertised(other)));
            return writer
                .put(&MappedAddress(self.path.remote))
                .put(&SourceAddress(pen.addresses.advertised(self.path.local)))
                .put_some(other.as_ref());
        }
        let writer = writer.put(&XorMappedAddress(self.path.remote));
        let help = self.help.map(|Helping { other_port, delay }| {
            let token = pen.late.token(pen.now, self.path.remote);
            Help { other_port, delay, token }
        });
        let writer = writer.put_some(help.as_ref());
        let Some(other) = self.other else { return writer };
        // RFC 5780 §6.1 wants the address both ways, to find NATs that rewrite what they recognise.
        let writer = writer.put(&MappedAddress(self.path.remote));
        let writer = writer
            .put(&ResponseOrigin(pen.addresses.advertised(self.path.local)))
            .put(&OtherAddress(pen.addresses.advertised(other)));
        match self.padding {
            Some(len) => writer.put(&Padding(&[0; MAX_PADDING][..usize::from(len)])),
            None => writer,
        }
    }

    // RFC 3489 knows no padding: values are multiples of four bytes, phrases filled up with spaces and
    // lists with a repetition (§11.2.9, §11.2.10).

    fn write_bad_request<'b>(&self, writer: Writer<'b>) -> Writer<'b> {
        let phrase = if self.classic.is_some() { "Bad Request " } else { "Bad Request" };
        writer.put(&error(ErrorCode::BAD_REQUEST, phrase))
    }

    fn write_unknown<'b>(&self, writer: Writer<'b>, unknown: &UnknownAttributes) -> Writer<'b> {
        if self.classic.is_none() {
            return writer.put(&error(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute")).put(unknown);
        }
        let filled = unknown.len().next_multiple_of(2);
        let even: UnknownAttributes = unknown.iter().cycle().take(filled).copied().collect();
        writer.put(&error(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute   ")).put(&even)
    }

    fn write_hand_over(&self, buf: &mut [u8], pen: &Pen<'_>) -> Result<usize, NoRoom> {
        // Without a key no alternate is a partner's, so there always is one here.
        let (Some(answerer), Some(key)) = (self.other, pen.key) else { return Err(NoRoom) };
        let hand_over = HandOver {
            client: self.path.remote,
            answerer,
            asked_port: self.path.local.port(),
            fingerprint: self.fingerprint,
            classic: self.classic,
        };
        Writer::new(buf, Class::Indication, Method::HAND_OVER, self.id)
            .put(&hand_over)
            .integrity_with(key, Integrity::Sha256)
            .finish()
    }
}
