//! The sending half: what was written, what of it is on its way, and when it is sent again.
//!
//! Positions count bytes from the first that was ever written, in 64 bits; only at the edge do they become
//! sequence numbers, which wrap. The FIN takes the position behind the last byte.
//!
//! What is lost is sent again when three acknowledgments in a row say that something is missing (fast
//! retransmit, RFC 5681 §3.2, and one more for each partial acknowledgment, RFC 6582), or when time is up
//! (RFC 6298 §5): then everything from the first unacknowledged byte on, one segment first and more as
//! acknowledgments come in (slow start, RFC 5681 §3.1). Apart from that the window is as large as the
//! receiver's, always: this models what TCP delivers, not how it shares a link.

use std::collections::VecDeque;

use bradawl::time::{Duration, Instant};

use super::Stream;
use super::rto::Rto;
use super::segment::distance;

/// What the next segment carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) seq: u32,
    pub(super) body: Vec<u8>,
    pub(super) fin: bool,
}

/// Something is lost, and until this position is acknowledged it is the same loss.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    until: u64,
    /// Noticed by duplicate acknowledgments rather than by time.
    is_fast: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    /// The sequence number of position 0.
    start: u32,
    /// SND.UNA.
    acked: u64,
    /// What is sent next; falls back to `acked` when time is up.
    next: u64,
    /// SND.NXT: everything before was sent at least once.
    sent: u64,
    /// What was written, from `acked` on.
    buffer: VecDeque<u8>,
    is_closing: bool,
    is_fin_acked: bool,
    /// How much may be on its way.
    window: u64,
    rto: Rto,
    deadline: Option<Instant>,
    tries: u32,
    /// A position that was sent once, and when: its acknowledgment tells the round trip time.
    timed: Option<(u64, Instant)>,
    duplicates: u32,
    recovery: Option<Recovery>,
    /// The first unacknowledged segment goes out once more.
    resend: bool,
}

impl Sender {
    /// RFC 5681 §3.2.
    const DUPLICATES: u32 = 3;

    pub(super) const fn new(start: u32) -> Self {
        Self {
            start,
            acked: 0,
            next: 0,
            sent: 0,
            buffer: VecDeque::new(),
            is_closing: false,
            is_fin_acked: false,
            window: Stream::WINDOW as u64,
            rto: Rto::new(),
            deadline: None,
            tries: 0,
            timed: None,
            duplicates: 0,
            recovery: None,
            resend: false,
        }
    }

    /// Takes as much as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.is_closing {
            return 0;
        }
        let taken = bytes.len().min(Stream::SEND_BUFFER - self.buffer.len());
        self.buffer.extend(&bytes[..taken]);
        taken
    }

    /// Nothing more will be written.
    pub(super) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// What the handshake took, if it told.
    pub(super) fn opened(&mut self, rtt: Option<Duration>) {
        match rtt {
            Some(rtt) => self.rto.measured(rtt),
            None => self.rto.be_cautious(),
        }
    }

    /// The sequence number of what has never been sent.
    pub(super) const fn seq(&self) -> u32 {
        self.seq_of(self.sent)
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) const fn is_fin_acked(&self) -> bool {
        self.is_fin_acked
    }

    pub(super) fn is_fin_sent(&self) -> bool {
        self.is_closing && self.sent > self.end()
    }

    /// Whether every byte has arrived and nothing but the FIN may be missing.
    pub(super) fn is_done_but_for_fin(&self) -> bool {
        self.is_closing && self.buffer.is_empty()
    }

    /// Goes back to what is missing if its time is up; `false` if that has happened too often.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return true;
        }
        self.tries += 1;
        self.rto.back_off();
        self.deadline = None;
        self.next = self.acked;
        self.window = Stream::MSS as u64;
        self.timed = None;
        self.duplicates = 0;
        self.resend = false;
        self.recovery = Some(Recovery { until: self.sent, is_fast: false });
        self.tries <= Stream::DATA_TRIES
    }

    /// The next piece that may be sent now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Piece> {
        let from = if self.resend { self.acked } else { self.next };
        self.resend = false;
        let end = self.end();
        let until = end.min(self.acked + self.window).min(from + Stream::MSS as u64).max(from);
        let fin = self.is_closing && until == end && !self.is_fin_acked;
        if until == from && !fin {
            return None;
        }
        let stop = until + u64::from(fin);
        if from < self.sent {
            // Karn: what is sent twice tells no time, nor does what waits for it.
            self.timed = None;
        } else if self.timed.is_none() {
            self.timed = Some((stop, now));
        }
        self.next = self.next.max(stop);
        self.sent = self.sent.max(stop);
        self.deadline.get_or_insert(now + self.rto.value());
        let place = |position: u64| (position - self.acked) as usize;
        let body = self.buffer.range(place(from)..place(until)).copied().collect();
        Some(Piece { seq: self.seq_of(from), body, fin })
    }

    /// The other end waits for `ack`, and said so in a segment that carried nothing else (`is_bare`);
    /// `false` if that was never sent.
    pub(super) fn acknowledge(&mut self, now: Instant, ack: u32, is_bare: bool) -> bool {
        let Ok(more) = u64::try_from(distance(self.seq_of(self.acked), ack)) else { return true };
        let acked = self.acked + more;
        if acked > self.sent {
            return false;
        }
        if more > 0 {
            self.advance(now, acked);
        } else if is_bare && self.sent > self.acked {
            self.duplicates += 1;
            if self.duplicates >= Self::DUPLICATES && self.recovery.is_none() {
                self.recovery = Some(Recovery { until: self.sent, is_fast: true });
                self.resend = true;
            }
        }
        true
    }

    fn advance(&mut self, now: Instant, acked: u64) {
        let more = acked - self.acked;
        let bytes = more.min(self.buffer.len() as u64);
        self.buffer.drain(..bytes as usize);
        self.is_fin_acked |= more > bytes;
        self.acked = acked;
        self.next = self.next.max(acked);
        self.window = (self.window + more).min(Stream::WINDOW as u64);
        self.tries = 0;
        self.rto.progressed();
        self.duplicates = 0;
        if let Some((_, sent)) = self.timed.take_if(|(position, _)| *position <= acked) {
            self.rto.measured(now.since(sent));
        }
        self.recovery.take_if(|recovery| recovery.until <= acked);
        self.resend = self.recovery.is_some_and(|recovery| recovery.is_fast);
        self.deadline = (acked < self.sent).then(|| now + self.rto.value());
    }

    /// The position behind the last byte that was written: the FIN's.
    fn end(&self) -> u64 {
        self.acked + self.buffer.len() as u64 - u64::from(self.is_fin_acked)
    }

    const fn seq_of(&self, position: u64) -> u32 {
        // Their lower 32 bits are what sequence numbers are.
        self.start.wrapping_add(position as u32)
    }
}
