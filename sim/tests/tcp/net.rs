//! Two ends, their programs, and the network between them.

use std::collections::BTreeMap;

use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl_sim::link::{Carried, Link, Quality};
use bradawl_sim::tcp::{Reason, Segment, Step, Stream, reset_for};
use bradawl_sim::units::Span;

use super::{START, millis};

/// One end and its program, which writes what it has, closes if it shall, and closes after the other end.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) stream: Option<Stream>,
    /// Whether it answers a SYN, and with which number.
    pub(crate) listens: Option<u32>,
    pub(crate) to_write: Vec<u8>,
    pub(crate) closes: bool,
    pub(crate) connected: Option<Instant>,
    pub(crate) received: Vec<u8>,
    pub(crate) finished: bool,
    pub(crate) closed: Option<(Instant, Reason)>,
    pub(crate) wakes: Option<Instant>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    pub(crate) links: [Link; 2],
    pub(crate) air: BTreeMap<(Instant, u64), (usize, Segment)>,
    /// Everything that was sent: when, by whom, what.
    pub(crate) sent: Vec<(Instant, usize, Segment)>,
}

impl Net {
    pub(crate) fn new(quality: &Quality, seed: u8) -> Self {
        quality.check().expect("a link that can be");
        let mut rng = Rng::from_seed([seed; 32]);
        let links = [0, 1].map(|_| Link::new(quality.clone(), rng.fork()));
        Self { now: START, ends: Default::default(), links, air: BTreeMap::new(), sent: Vec::new() }
    }

    /// A client and a server, with something to say each, of which the client closes first.
    pub(crate) fn client_and_server(quality: &Quality, seed: u8, says: [Vec<u8>; 2], iss: [u32; 2]) -> Self {
        let mut net = Self::new(quality, seed);
        let [client, server] = says;
        net.ends[0].stream = Some(Stream::connect(START, iss[0]));
        (net.ends[0].to_write, net.ends[0].closes) = (client, true);
        (net.ends[1].to_write, net.ends[1].listens) = (server, Some(iss[1]));
        net
    }

    /// A pair that is open at about 10 ms, and has said nothing.
    pub(crate) fn open_pair() -> Self {
        let quality = Quality { delay: Span::from_millis(5), ..Quality::default() };
        let mut net = Self::client_and_server(&quality, 0, Default::default(), [1_000, 9_000]);
        net.ends[0].closes = false;
        net.run(millis(100));
        assert!(net.ends[0].connected.is_some() && net.ends[1].connected.is_some());
        net
    }

    pub(crate) fn stream(&mut self, side: usize) -> &mut Stream {
        self.ends[side].stream.as_mut().expect("a stream")
    }

    pub(crate) fn send(&mut self, side: usize, segment: Segment) {
        assert!(segment.body.len() <= Stream::MSS);
        if let Carried::Arrives { first, again } = self.links[side].carry(self.now, segment.size()) {
            for at in [Some(first), again].into_iter().flatten() {
                let number = (self.sent.len() * 2 + usize::from(at != first)) as u64;
                self.air.insert((at, number), (1 - side, segment.clone()));
            }
        }
        self.sent.push((self.now, side, segment));
    }

    pub(crate) fn deliver(&mut self, side: usize, segment: &Segment) {
        let end = &mut self.ends[side];
        if let Some(stream) = &mut end.stream {
            stream.handle_segment(self.now, segment);
        } else if let Some(stream) = end.listens.and_then(|iss| Stream::accept(self.now, segment, iss)) {
            end.stream = Some(stream);
            end.listens = None;
        } else if let Some(reset) = reset_for(segment) {
            self.send(side, reset);
        }
    }

    /// Polls one end until it is idle.
    pub(crate) fn drain(&mut self, side: usize) {
        for _ in 0..1_000 {
            let end = &mut self.ends[side];
            let Some(stream) = &mut end.stream else { return };
            let taken = stream.write(&end.to_write);
            end.to_write.drain(..taken);
            if end.closes && end.to_write.is_empty() {
                stream.close();
            }
            match stream.poll(self.now) {
                Step::Send(segment) => self.send(side, segment),
                Step::Connected => assert_eq!(end.connected.replace(self.now), None, "connected twice"),
                Step::Received(bytes) => {
                    assert!(!end.finished && !bytes.is_empty());
                    end.received.extend(bytes);
                }
                Step::Finished => {
                    assert!(!end.finished);
                    (end.finished, end.closes) = (true, true);
                }
                Step::Closed(reason) => {
                    assert_eq!(stream.poll(self.now), Step::Idle(None), "it goes on after the end");
                    (end.stream, end.wakes) = (None, None);
                    end.closed = Some((self.now, reason));
                }
                Step::Idle(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "{at:?} at {:?}", self.now);
                    end.wakes = at;
                    return;
                }
            }
        }
        panic!("draining does not end");
    }

    /// Runs until nothing will happen any more, or `until`.
    pub(crate) fn run(&mut self, until: Instant) {
        for _ in 0..1_000_000 {
            (0..2).for_each(|side| self.drain(side));
            let arrival = self.air.first_key_value().map(|(&(at, _), _)| at);
            let next = self.ends.iter().filter_map(|end| end.wakes).chain(arrival).min();
            let Some(next) = next.filter(|&next| next <= until) else { return };
            self.now = next;
            if let Some(packet) = self.air.first_entry().filter(|packet| packet.key().0 == next) {
                let (side, segment) = packet.remove();
                self.deliver(side, &segment);
            }
        }
        panic!("it runs forever");
    }

    pub(crate) fn reasons(&self) -> [Option<Reason>; 2] {
        [0, 1].map(|side| self.ends[side].closed.map(|(_, reason)| reason))
    }

    /// When one side sent segments of this kind.
    pub(crate) fn times(&self, side: usize, label: &str) -> Vec<Instant> {
        let mine = self.sent.iter().filter(|(_, by, segment)| *by == side && segment.label() == label);
        mine.map(|&(at, ..)| at).collect()
    }
}
