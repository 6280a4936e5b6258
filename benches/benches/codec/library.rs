//! What a library is asked to do, and the loops that ask it.
//!
//! Every operation is the same loop around one call: the input is hidden from the optimiser with
//! [`black_box`], so is everything that the library reads or writes, and whatever may be prepared
//! once (keys, encoders, buffers that the API lets a caller reuse) is prepared in [`Library::new`].

use std::hint::black_box;
use std::net::SocketAddr;

use crate::fixture::{self, Channel, IceRequest, Send, Success};

/// One operation; one line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    IceDecode,
    IceEncode,
    SuccessDecode,
    SuccessEncode,
    SendDecode,
    SendEncode,
    ChannelDecode,
    ChannelEncode,
    Demux,
}

impl Row {
    /// What every library of STUN messages can do.
    pub(crate) const STUN: [Self; 6] = [
        Self::IceDecode,
        Self::IceEncode,
        Self::SuccessDecode,
        Self::SuccessEncode,
        Self::SendDecode,
        Self::SendEncode,
    ];

    pub(crate) const ALL: [Self; 9] = [
        Self::IceDecode,
        Self::IceEncode,
        Self::SuccessDecode,
        Self::SuccessEncode,
        Self::SendDecode,
        Self::SendEncode,
        Self::ChannelDecode,
        Self::ChannelEncode,
        Self::Demux,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::IceDecode => "ice_request/decode",
            Self::IceEncode => "ice_request/encode",
            Self::SuccessDecode => "success/decode",
            Self::SuccessEncode => "success/encode",
            Self::SendDecode => "send_indication/decode",
            Self::SendEncode => "send_indication/encode",
            Self::ChannelDecode => "channel_data/decode",
            Self::ChannelEncode => "channel_data/encode",
            Self::Demux => "demux",
        }
    }
}

/// Takes what a library has read: checks it once before a measurement, swallows it during one.
pub(crate) trait Sink {
    /// A name is bytes here: some libraries check that they are UTF-8, some do not.
    fn ice_request(&mut self, username: &[u8], priority: u32, controlling: u64);
    fn success(&mut self, mapped: SocketAddr);
    fn send(&mut self, peer: SocketAddr, data: &[u8]);
    fn channel(&mut self, number: u16, data: &[u8]);
}

/// The sink of a measurement.
pub(crate) struct Swallow;

impl Sink for Swallow {
    fn ice_request(&mut self, username: &[u8], priority: u32, controlling: u64) {
        black_box((username, priority, controlling));
    }

    fn success(&mut self, mapped: SocketAddr) {
        black_box(mapped);
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        black_box((peer, data));
    }

    fn channel(&mut self, number: u16, data: &[u8]) {
        black_box((number, data));
    }
}

/// The sink that looks: it counts the reads that were right.
struct Examine(usize);

impl Sink for Examine {
    fn ice_request(&mut self, username: &[u8], priority: u32, controlling: u64) {
        let IceRequest { username: name, priority: prio, controlling: control, .. } = fixture::ICE_REQUEST;
        self.0 += usize::from((username, priority, controlling) == (name.as_bytes(), prio, control));
    }

    fn success(&mut self, mapped: SocketAddr) {
        self.0 += usize::from(mapped == fixture::SUCCESS.address);
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        self.0 += usize::from(peer == fixture::SEND.peer && data == fixture::SEND.data);
    }

    fn channel(&mut self, number: u16, data: &[u8]) {
        self.0 += usize::from(number == fixture::CHANNEL.number && data == fixture::CHANNEL.data);
    }
}

/// A STUN library, as somebody who knows it well would use it.
///
/// The methods for rows that are not in [`Library::ROWS`] are never called.
pub(crate) trait Library {
    /// Its name on crates.io.
    const NAME: &'static str;
    /// What it can do. What is missing is printed as `–`; the module of the library says why.
    const ROWS: &'static [Row];
    /// Attributes that it cannot write, so that the judge does not ask for them.
    const CANNOT_WRITE: &'static [u16] = &[];
    /// What its demultiplexer answers; `()` where there is none.
    type Protocol: Default + PartialEq;
    /// What the reader of the table has to know.
    const NOTE: &'static str = "";

    /// Prepares whatever may be prepared once.
    fn new() -> Self;

    /// Parses, verifies integrity and fingerprint, reads username, priority and tie-breaker.
    fn ice_decode(&mut self, _bytes: &[u8], _sink: &mut impl Sink) {}

    /// Writes the same with integrity and fingerprint.
    fn ice_encode<'a>(&'a mut self, _request: &IceRequest, buf: &'a mut [u8]) -> &'a [u8] {
        buf
    }

    /// Parses and reads XOR-MAPPED-ADDRESS.
    fn success_decode(&mut self, _bytes: &[u8], _sink: &mut impl Sink) {}

    /// Writes the same.
    fn success_encode<'a>(&'a mut self, _success: &Success, buf: &'a mut [u8]) -> &'a [u8] {
        buf
    }

    /// Parses and reads XOR-PEER-ADDRESS and DATA.
    fn send_decode(&mut self, _bytes: &[u8], _sink: &mut impl Sink) {}

    /// Writes the same.
    fn send_encode<'a>(&'a mut self, _send: &Send, buf: &'a mut [u8]) -> &'a [u8] {
        buf
    }

    /// Parses and reads channel number and data.
    fn channel_decode(&mut self, _bytes: &[u8], _sink: &mut impl Sink) {}

    /// Writes the same.
    fn channel_encode<'a>(&'a mut self, _channel: &Channel, buf: &'a mut [u8]) -> &'a [u8] {
        buf
    }

    /// Says which protocol a datagram belongs to, in the library's own words.
    fn demux(&mut self, _bytes: &[u8]) -> Self::Protocol {
        Self::Protocol::default()
    }
}

/// A column of the table: something with a name that can be run.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    pub(crate) rows: &'static [Row],
    /// Does an operation so many times.
    pub(crate) run: fn(Row, u64),
}

impl Entry {
    pub(crate) const fn of<L: Library>() -> Self {
        Self { name: L::NAME, note: L::NOTE, rows: L::ROWS, run: run::<L> }
    }
}

/// Checks once that `row` does what it should, then does it `iterations` times.
fn run<L: Library>(row: Row, iterations: u64) {
    let mut library = L::new();
    let library = &mut library;
    match row {
        Row::IceDecode => decode(&fixture::ice_request(), iterations, library, L::ice_decode, L::ice_decode),
        Row::SuccessDecode => {
            decode(&fixture::success(), iterations, library, L::success_decode, L::success_decode);
        }
        Row::SendDecode => decode(&fixture::send(), iterations, library, L::send_decode, L::send_decode),
        Row::ChannelDecode => {
            decode(&fixture::channel(), iterations, library, L::channel_decode, L::channel_decode);
        }
        Row::IceEncode => {
            let ok = |bytes: &[u8]| fixture::same(bytes, &fixture::ice_request(), L::CANNOT_WRITE);
            encode(&fixture::ICE_REQUEST, iterations, library, L::ice_encode, ok);
        }
        Row::SuccessEncode => {
            let ok = |bytes: &[u8]| fixture::same(bytes, &fixture::success(), &[]);
            encode(&fixture::SUCCESS, iterations, library, L::success_encode, ok);
        }
        Row::SendEncode => {
            let ok = |bytes: &[u8]| fixture::same(bytes, &fixture::send(), &[]);
            encode(&fixture::SEND, iterations, library, L::send_encode, ok);
        }
        Row::ChannelEncode => {
            encode(&fixture::CHANNEL, iterations, library, L::channel_encode, |bytes| {
                bytes == fixture::channel()
            });
        }
        Row::Demux => demux(iterations, library),
    }
}

fn decode<L: Library>(
    bytes: &[u8],
    iterations: u64,
    library: &mut L,
    examine: impl Fn(&mut L, &[u8], &mut Examine),
    operation: impl Fn(&mut L, &[u8], &mut Swallow),
) {
    let mut right = Examine(0);
    examine(library, bytes, &mut right);
    assert_eq!(right.0, 1, "{} must read what was written", L::NAME);
    for _ in 0..iterations {
        operation(library, black_box(bytes), &mut Swallow);
    }
}

fn encode<L: Library, T>(
    input: &T,
    iterations: u64,
    library: &mut L,
    operation: impl for<'a> Fn(&'a mut L, &T, &'a mut [u8]) -> &'a [u8],
    right: impl Fn(&[u8]) -> bool,
) {
    let mut buf = [0xee; 1_500];
    let written = operation(library, input, &mut buf);
    assert!(right(written), "{} must write the message: {written:02x?}", L::NAME);
    for _ in 0..iterations {
        black_box(operation(library, black_box(input), black_box(&mut buf)));
    }
}

/// One operation here is five datagrams, one of each protocol.
fn demux<L: Library>(iterations: u64, library: &mut L) {
    let datagrams = fixture::demux();
    let kinds = datagrams.each_ref().map(|datagram| library.demux(datagram));
    assert!(kinds[0] != kinds[1] && kinds[0] != kinds[2], "{} must tell STUN from others", L::NAME);
    for _ in 0..iterations {
        for datagram in &datagrams {
            black_box(library.demux(black_box(datagram)));
        }
    }
}
