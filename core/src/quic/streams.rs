//! What goes over a connection: streams and datagrams.
//!
//! A stream is named by its number (RFC 9000 §2.1): the two low bits say who opened it and whether both sides
//! send on it. quinn-proto panics if it is asked to send where only the other side may; here that is a typed
//! error, as is everything else that a program can get wrong.

use core::fmt;

use bytes::Bytes;
use quinn_proto::{
    ClosedStream, Dir, FinishError, ReadError as ProtoReadError, SendDatagramError, Side, VarInt,
    WriteError as ProtoWriteError,
};

use super::{OWN_STREAMS, Session};

/// Names a stream of one connection, the same on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) u64);

impl StreamId {
    /// Whether both sides send on it.
    pub const fn is_bidirectional(self) -> bool {
        self.0 & 2 == 0
    }

    /// Whether the client, which is the one who connects, has opened it.
    pub const fn is_clients(self) -> bool {
        self.0 & 1 == 0
    }

    /// Its number on the wire.
    pub const fn number(self) -> u64 {
        self.0
    }

    fn of(id: quinn_proto::StreamId) -> Self {
        Self(id.into())
    }

    fn proto(self) -> quinn_proto::StreamId {
        let side = if self.is_clients() { Side::Client } else { Side::Server };
        let dir = if self.is_bidirectional() { Dir::Bi } else { Dir::Uni };
        quinn_proto::StreamId::new(side, dir, self.0 >> 2)
    }
}

impl From<quinn_proto::StreamId> for StreamId {
    fn from(id: quinn_proto::StreamId) -> Self {
        Self::of(id)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection, not yet or not any more.
    #[error("there is no connection")]
    NotConnected,
    /// As many are open as the other side allows, or as [`OWN_STREAMS`]. [`Event::StreamsAllowed`] tells when
    /// there may be more.
    ///
    /// [`Event::StreamsAllowed`]: super::Event::StreamsAllowed
    #[error("too many streams are open")]
    TooMany,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no room: [`Event::Writable`](super::Event::Writable) tells when there is.
    #[error("there is no room for more just now")]
    Blocked,
    /// The other side wants no more of it.
    #[error("stopped by the other side with code {0}")]
    Stopped(u64),
    /// There is no such stream to write to, not any more or never.
    #[error("no such stream to write to")]
    NoStream,
}

/// What reading has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes; more may follow.
    Bytes(usize),
    /// Nothing has come yet: [`Event::Readable`](super::Event::Readable) tells when it has.
    Blocked,
    /// This many bytes, perhaps none, and no more will follow.
    End(usize),
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The other side has given up sending it.
    #[error("reset by the other side with code {0}")]
    Reset(u64),
    /// There is no such stream to read from, not any more or never.
    #[error("no such stream to read from")]
    NoStream,
}

/// There is no such stream, or it cannot be used like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such stream")]
pub struct NoStream;

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// It is longer than fits into one packet on this path.
    #[error("a datagram can have {most} bytes at most")]
    TooLarge {
        /// How long it may be.
        most: usize,
    },
    /// As many wait to be sent as may wait: [`Event::DatagramRoom`](super::Event::DatagramRoom) tells when
    /// there is room.
    #[error("there is no room for more just now")]
    Blocked,
    /// There is no connection, or the other side takes none.
    #[error("no datagrams can be sent")]
    Unavailable,
}

/// A code that a program gives; what QUIC cannot say (RFC 9000 §16) becomes the largest that it can.
pub(super) fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

impl Session {
    /// Opens a stream on which both sides send. The other side hears of it with the first byte.
    pub fn open_bi(&mut self) -> Result<StreamId, OpenError> {
        self.open(Dir::Bi)
    }

    /// Opens a stream on which only we send. The other side hears of it with the first byte.
    pub fn open_uni(&mut self) -> Result<StreamId, OpenError> {
        self.open(Dir::Uni)
    }

    fn open(&mut self, dir: Dir) -> Result<StreamId, OpenError> {
        if !self.is_connected() {
            return Err(OpenError::NotConnected);
        }
        let connection = self.connection.as_mut().ok_or(OpenError::NotConnected)?;
        let mut streams = connection.streams();
        if streams.send_streams() >= OWN_STREAMS {
            return Err(OpenError::TooMany);
        }
        streams.open(dir).map(StreamId::of).ok_or(OpenError::TooMany)
    }

    /// Writes as much as there is room for; returns how much that was.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, WriteError> {
        let mut stream = self.sending(id).ok_or(WriteError::NoStream)?;
        stream.write(bytes).map_err(|error| match error {
            ProtoWriteError::Blocked => WriteError::Blocked,
            ProtoWriteError::Stopped(code) => WriteError::Stopped(code.into_inner()),
            ProtoWriteError::ClosedStream => WriteError::NoStream,
        })
    }

    /// Reads what has come, in order, into `buf`. An end or a reset is told once; after it there is no such
    /// stream.
    pub fn read(&mut self, id: StreamId, buf: &mut [u8]) -> Result<Read, ReadError> {
        let mut stream = self.receiving(id).ok_or(ReadError::NoStream)?;
        let mut chunks = stream.read(true).map_err(|_| ReadError::NoStream)?;
        let mut len = 0;
        while len < buf.len() {
            match chunks.next(buf.len() - len) {
                Ok(Some(chunk)) => {
                    buf[len..len + chunk.bytes.len()].copy_from_slice(&chunk.bytes);
                    len += chunk.bytes.len();
                }
                Ok(None) => return Ok(Read::End(len)),
                Err(ProtoReadError::Blocked) if len > 0 => break,
                Err(ProtoReadError::Blocked) => return Ok(Read::Blocked),
                // A reset takes away what was not read before, so nothing was.
                Err(ProtoReadError::Reset(code)) => return Err(ReadError::Reset(code.into_inner())),
            }
        }
        Ok(Read::Bytes(len))
    }

    /// Nothing more will be written. [`Event::Finished`](super::Event::Finished) tells when all has arrived.
    pub fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        self.sending(id).ok_or(WriteError::NoStream)?.finish().map_err(|error| match error {
            FinishError::Stopped(code) => WriteError::Stopped(code.into_inner()),
            FinishError::ClosedStream => WriteError::NoStream,
        })
    }

    /// Gives up sending: what has not arrived never will. `code` says to the other side why.
    pub fn reset(&mut self, id: StreamId, why: u64) -> Result<(), NoStream> {
        self.sending(id).ok_or(NoStream)?.reset(code(why)).map_err(|ClosedStream { .. }| NoStream)
    }

    /// Gives up reading: what the other side still sends is dropped. `code` says to the other side why.
    pub fn stop(&mut self, id: StreamId, why: u64) -> Result<(), NoStream> {
        self.receiving(id).ok_or(NoStream)?.stop(code(why)).map_err(|ClosedStream { .. }| NoStream)
    }

    /// Sends a datagram (RFC 9221): once, in one packet, or not at all.
    pub fn send_datagram(&mut self, bytes: &[u8]) -> Result<(), DatagramError> {
        let is_connected = self.is_connected();
        let connection = self.connection.as_mut().filter(|_| is_connected);
        let mut datagrams = connection.ok_or(DatagramError::Unavailable)?.datagrams();
        let most = datagrams.max_size().ok_or(DatagramError::Unavailable)?;
        if bytes.len() > most {
            return Err(DatagramError::TooLarge { most });
        }
        datagrams.send(Bytes::copy_from_slice(bytes), false).map_err(|error| match error {
            SendDatagramError::Blocked(_) => DatagramError::Blocked,
            SendDatagramError::TooLarge => DatagramError::TooLarge { most },
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::Unavailable,
        })
    }

    /// The oldest datagram that has come.
    pub fn recv_datagram(&mut self) -> Option<Bytes> {
        self.connection.as_mut()?.datagrams().recv()
    }

    /// The stream, if we may send on it.
    fn sending(&mut self, id: StreamId) -> Option<quinn_proto::SendStream<'_>> {
        let is_ours = self.is_ours(id)?;
        let connection = self.connection.as_mut().filter(|connection| !connection.is_closed())?;
        (is_ours || id.is_bidirectional()).then(|| connection.send_stream(id.proto()))
    }

    /// The stream, if the other side may send on it. What has come before the end can be read after it.
    fn receiving(&mut self, id: StreamId) -> Option<quinn_proto::RecvStream<'_>> {
        let is_ours = self.is_ours(id)?;
        let connection = self.connection.as_mut()?;
        (!is_ours || id.is_bidirectional()).then(|| connection.recv_stream(id.proto()))
    }

    /// Whether we have opened it; `None` if neither side has, which only another session's stream can be.
    fn is_ours(&self, id: StreamId) -> Option<bool> {
        let id = id.proto();
        let is_ours = id.initiator() == self.connection.as_ref()?.side();
        (is_ours || id.index() < self.told[id.dir() as usize]).then_some(is_ours)
    }
}
