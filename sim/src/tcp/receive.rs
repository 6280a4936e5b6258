//! The receiving half: puts what arrives in order (RFC 9293 §3.10.7.4).
//!
//! It never holds more than the window it offers, counted from the last byte that was taken out: what is in
//! order and not taken yet, and what came too early. The latter is kept in pieces that do not overlap.

use std::collections::BTreeMap;

use super::Stream;
use super::segment::{Segment, distance};

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// The sequence number of position 0.
    start: u32,
    /// Everything before has arrived.
    next: u64,
    /// What is in order and was not taken yet; it ends at `next`.
    ready: Vec<u8>,
    /// What came too early, by its position.
    early: BTreeMap<u64, Vec<u8>>,
    /// The position of the FIN, once one came.
    fin: Option<u64>,
    is_finished: bool,
}

impl Receiver {
    /// What the peer's SYN announces.
    pub(super) fn new(syn: u32) -> Self {
        Self { start: syn.wrapping_add(1), ..Self::default() }
    }

    /// RCV.NXT.
    pub(super) fn expected(&self) -> u32 {
        self.start.wrapping_add(self.next as u32).wrapping_add(u32::from(self.is_finished))
    }

    /// The sequence number of the SYN.
    pub(super) const fn syn(&self) -> u32 {
        self.start.wrapping_sub(1)
    }

    /// Whether everything has arrived, the FIN included.
    pub(super) const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether a segment lies in the window at least in part (RFC 9293 §3.4, table 5).
    pub(super) fn is_in_window(&self, segment: &Segment) -> bool {
        let ahead = distance(self.expected(), segment.seq);
        match i64::from(segment.span()) {
            0 => (0..=self.room() as i64).contains(&ahead),
            span => ahead < self.room() as i64 && ahead + span > 0,
        }
    }

    /// Takes in what is new in a segment that is in the window.
    pub(super) fn accept(&mut self, segment: &Segment) {
        if self.is_finished {
            return;
        }
        let ahead = distance(self.expected(), segment.seq);
        // One of the two is 0: what has arrived before, or what is missing before it.
        let (known, gap) = ((-ahead).max(0) as usize, ahead.max(0) as usize);
        let body = segment.body.get(known..).unwrap_or_default();
        let fits = body.len().min(self.room().saturating_sub(gap));
        let at = self.next + gap as u64;
        if segment.flags.fin && fits == body.len() {
            self.fin = Some(at + fits as u64);
        }
        if gap == 0 {
            self.append(&body[..fits]);
        } else {
            self.keep(at, &body[..fits]);
        }
        while let Some(piece) = self.early.first_entry().filter(|piece| *piece.key() <= self.next) {
            let (at, body) = piece.remove_entry();
            let known = (self.next - at) as usize;
            self.append(body.get(known..).unwrap_or_default());
        }
        if self.fin.is_some_and(|fin| fin <= self.next) {
            self.is_finished = true;
            self.early.clear();
        }
    }

    /// Everything that is in order.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        (!self.ready.is_empty()).then(|| core::mem::take(&mut self.ready))
    }

    /// How far beyond `next` it takes anything.
    fn room(&self) -> usize {
        Stream::WINDOW.saturating_sub(self.ready.len())
    }

    fn append(&mut self, body: &[u8]) {
        self.ready.extend_from_slice(body);
        self.next += body.len() as u64;
    }

    /// Keeps as much of `body` as lies between the pieces that are there. What lies behind the next one is
    /// left to be sent again: only a sender that cuts its data anew each time sends such.
    fn keep(&mut self, mut at: u64, mut body: &[u8]) {
        if let Some((&before, piece)) = self.early.range(..=at).next_back() {
            let known = (before + piece.len() as u64).saturating_sub(at);
            body = body.get(known as usize..).unwrap_or_default();
            at += known;
        }
        if let Some((&after, _)) = self.early.range(at..).next() {
            let free = (after - at) as usize;
            body = &body[..free.min(body.len())];
        }
        if !body.is_empty() {
            self.early.insert(at, body.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Receiver, Segment, Stream};

    fn data(seq: u32, body: &[u8]) -> Segment {
        Segment { seq, body: body.to_vec(), ..Segment::default() }
    }

    /// The bytes from `from` on, each its own position.
    fn bytes(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).map(|n| n as u8).collect()
    }

    #[test]
    fn pieces_that_overlap_in_every_way_become_one_whole() {
        let mut receiver = Receiver::new(u32::MAX - 10);
        let start = receiver.expected();
        for (from, count) in [(10, 5), (20, 5), (8, 4), (12, 10), (9, 1), (5, 1), (0, 4), (2, 10), (23, 10)] {
            let segment = data(start.wrapping_add(from as u32), &bytes(from, count));
            assert!(receiver.is_in_window(&segment), "{from}");
            receiver.accept(&segment);
        }
        assert_eq!(receiver.take(), Some(bytes(0, 33)));
        assert_eq!(receiver.expected(), start.wrapping_add(33));
        assert!(receiver.early.is_empty());
    }

    #[test]
    fn it_never_holds_more_than_its_window() {
        let mut receiver = Receiver::new(0);
        for from in (0..4 * Stream::WINDOW).step_by(700).rev() {
            let segment = data(1 + from as u32, &bytes(from, 1_000));
            if receiver.is_in_window(&segment) {
                receiver.accept(&segment);
            }
            let early: usize = receiver.early.values().map(Vec::len).sum();
            assert!(receiver.ready.len() + early <= Stream::WINDOW);
        }
        assert_eq!(receiver.take(), Some(bytes(0, Stream::WINDOW)));
        assert!(!receiver.is_in_window(&data(1, b"old")));
        assert!(receiver.is_in_window(&data(1 + Stream::WINDOW as u32, b"new")));
    }
}
