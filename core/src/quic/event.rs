//! What a session tells, and why one ends.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashSet;
use quinn_proto::{ConnectionError, TransportError, TransportErrorCode};
use rustls::AlertDescription;

use super::{MAX_EVENTS, PublicKey, StreamId};
use crate::hash::Keyed;

/// What a session tells. Each is told once until it is heard: a stream that became readable a hundred times
/// since the last poll is readable.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The handshake is done, and the other side is who it has to be. A client knows that before the server
    /// has looked at the client's own key (RFC 8446 §2): if that one is not welcome, [`Event::Closed`]
    /// follows a round trip later.
    Connected {
        /// The other side's key.
        peer: PublicKey,
    },
    /// The other side has opened a stream. There may be something to read already.
    StreamOpened {
        /// Which one.
        id: StreamId,
    },
    /// There is something to read, or an end.
    Readable {
        /// Where.
        id: StreamId,
    },
    /// A write that was [blocked](super::WriteError::Blocked) may go on.
    Writable {
        /// Where.
        id: StreamId,
    },
    /// Everything written to a stream that was finished has arrived.
    Finished {
        /// Which one.
        id: StreamId,
    },
    /// The other side wants no more of a stream.
    Stopped {
        /// Which one.
        id: StreamId,
        /// What the other side says about it.
        code: u64,
    },
    /// Streams of this kind can be opened that were [refused](super::OpenError::TooMany).
    StreamsAllowed {
        /// Whether both sides send on them.
        is_bidirectional: bool,
    },
    /// There are datagrams to receive; receive them all.
    DatagramReceived,
    /// There is room for a datagram that was [blocked](super::DatagramError::Blocked).
    DatagramRoom,
    /// The connection has ended, and not because we closed it. Nothing more is told.
    Closed(Reason),
}

/// Why a connection has ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The other side is not who it has to be, or cannot prove it.
    #[error("the other side has not the key that was expected")]
    WrongKey,
    /// The other side did not expect our key.
    #[error("the other side did not accept our key")]
    KeyRefused,
    /// The other side does not speak our protocol on top of QUIC.
    #[error("the other side speaks another protocol")]
    OtherProtocol,
    /// The handshake did not come to an end in time.
    #[error("the handshake took too long")]
    HandshakeTimedOut,
    /// Nothing came from the other side for too long.
    #[error("nothing was heard for too long")]
    TimedOut,
    /// The program on the other side has closed it.
    #[error("closed by the other side with code {code}")]
    ClosedByPeer {
        /// What it says.
        code: u64,
        /// And in words, of which it may choose any: at most what fits into a packet.
        reason: Vec<u8>,
    },
    /// The other side's QUIC or TLS has found fault with us.
    #[error("refused by the other side with transport error {code:#x}")]
    RefusedByPeer {
        /// The error as RFC 9000 §20.1 numbers them.
        code: u64,
    },
    /// The other side has broken the rules of QUIC or TLS.
    #[error("the other side broke the protocol with transport error {code:#x}: {what}")]
    Misbehaved {
        /// The error as RFC 9000 §20.1 numbers them.
        code: u64,
        /// What it did.
        what: String,
    },
    /// The other side has forgotten the connection.
    #[error("the other side has forgotten the connection")]
    Reset,
    /// The other side speaks another version of QUIC.
    #[error("the other side speaks another version of QUIC")]
    OtherVersion,
    /// Nobody has polled for so long that there was no room for more events.
    #[error("there were too many events that nobody asked for")]
    TooManyEvents,
}

/// A TLS alert as QUIC says it (RFC 9001 §4.8).
fn alert(alert: AlertDescription) -> TransportErrorCode {
    TransportErrorCode::crypto(alert.into())
}

impl Reason {
    /// `None` if it was us who closed it.
    pub(super) fn of(error: ConnectionError) -> Option<Self> {
        Some(match error {
            ConnectionError::TransportError(error) => Self::of_ours(error),
            ConnectionError::ConnectionClosed(close) => Self::of_theirs(close.error_code),
            ConnectionError::ApplicationClosed(close) => {
                Self::ClosedByPeer { code: close.error_code.into_inner(), reason: close.reason.to_vec() }
            }
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::VersionMismatch => Self::OtherVersion,
            ConnectionError::LocallyClosed => return None,
            // With ids of eight bytes this cannot be; and if it were, there would be nothing better to say.
            ConnectionError::CidsExhausted => Self::Reset,
        })
    }

    /// Whether it is about a key: our verifier says `access_denied` and nobody else does, of a signature that
    /// is not by the key that was shown it is `decrypt_error`, and `certificate_required` of a client that
    /// shows none.
    fn is_about_key(code: TransportErrorCode) -> bool {
        let alerts = [
            AlertDescription::AccessDenied,
            AlertDescription::DecryptError,
            AlertDescription::CertificateRequired,
        ];
        alerts.map(alert).contains(&code)
    }

    /// What we have found wrong with the other side.
    fn of_ours(error: TransportError) -> Self {
        if Self::is_about_key(error.code) {
            return Self::WrongKey;
        }
        if error.code == alert(AlertDescription::NoApplicationProtocol) {
            return Self::OtherProtocol;
        }
        Self::Misbehaved { code: error.code.into(), what: error.reason }
    }

    /// What the other side has found wrong with us.
    fn of_theirs(code: TransportErrorCode) -> Self {
        if Self::is_about_key(code) {
            return Self::KeyRefused;
        }
        if code == alert(AlertDescription::NoApplicationProtocol) {
            return Self::OtherProtocol;
        }
        Self::RefusedByPeer { code: code.into() }
    }
}

/// Events that wait to be told, each once.
pub(super) struct Events {
    waiting: VecDeque<Event>,
    known: HashSet<Event, Keyed>,
}

/// There is no room for another event.
pub(super) struct Full;

impl Events {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { waiting: VecDeque::new(), known: HashSet::with_hasher(keyed) }
    }

    pub(super) fn push(&mut self, event: Event) -> Result<(), Full> {
        if self.known.contains(&event) {
            return Ok(());
        }
        if self.waiting.len() == MAX_EVENTS {
            return Err(Full);
        }
        self.known.insert(event.clone());
        self.waiting.push_back(event);
        Ok(())
    }

    /// The last event there will be, for which there is always room.
    pub(super) fn last(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front()?;
        self.known.remove(&event);
        Some(event)
    }

    /// Drops what was not told.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_event_is_kept_once_until_it_is_told_and_there_is_a_last_one() {
        let mut events = Events::new(Keyed::new(&mut Rng::from_seed([1; 32])));
        for _ in 0..10 * MAX_EVENTS {
            assert!(events.push(Event::DatagramReceived).is_ok());
        }
        for index in 1..MAX_EVENTS as u64 {
            assert!(events.push(Event::Readable { id: StreamId(index) }).is_ok());
        }
        assert!(events.push(Event::Readable { id: StreamId(0) }).is_err());
        assert_eq!(events.pop(), Some(Event::DatagramReceived));
        assert!(events.push(Event::DatagramReceived).is_ok(), "it was told, so it can be news again");
    }
}
