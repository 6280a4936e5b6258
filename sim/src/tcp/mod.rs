//! TCP, as far as TURN over TCP and WebSocket need it: a reliable byte stream over packets that get lost,
//! doubled and shuffled, in virtual time (RFC 9293).
//!
//! A [`Stream`] is one end of one connection, without addresses and without a simulator: segments in,
//! [`Step`]s out, time given. Like the core's machines it is polled until it says [`Step::Idle`], after
//! every input and at the time it names.
//!
//! *Opening* (§3.5): [`Stream::connect`] sends a SYN again and again, [`Stream::accept`] answers one. Two
//! that connect to each other at once become one connection (simultaneous open), which is how holes are
//! punched for TCP. A reset or an ICMP error ends the attempt; silence does after [`Stream::SYN_TRIES`].
//!
//! *Open*: both halves work by themselves, `send` and `receive`. Every segment that carries something is
//! acknowledged at once. Segments that do not fit the window are answered with where we are, and so are
//! resets and SYNs that might be forged (§3.10.7.4, RFC 5961).
//!
//! *Closing* (§3.6): each half ends with a FIN. Who closed first waits in TIME-WAIT for the other's FIN to
//! come again, in case the last acknowledgment got lost, but for [`Stream::TIME_WAIT`] rather than the four
//! minutes of §3.4.2: nothing stays in the air that long here. A program need not wait with it: once it has
//! closed and seen [`Step::Finished`], the rest is the stream's.
//!
//! Left out: options (the MSS is the same for all, there is no window scaling, SACK or timestamps), delayed
//! acknowledgments, Nagle's algorithm, keepalives (who has nothing to send does not notice that the other end
//! is gone), zero windows (who polls takes everything), path MTU discovery, urgent data, and congestion
//! control but for slow start after a timeout: a long queue on a slow link makes it send much in vain.

mod receive;
mod rto;
mod segment;
mod send;

use bradawl::time::{Duration, Instant};

use receive::Receiver;
use rto::Rto;
pub use segment::{Flags, Segment, reset_for};
use send::Sender;

/// What a stream wants or has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send this to the other end.
    Send(Segment),
    /// The connection is open.
    Connected,
    /// These bytes came next.
    Received(Vec<u8>),
    /// The other end has closed: no more bytes will come. Ours may still go; then [`Stream::close`].
    Finished,
    /// It is over. Nothing comes after that.
    Closed(Reason),
    /// Nothing now: poll again at this time or after the next input.
    Idle(Option<Instant>),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Both ends closed and have everything.
    #[error("closed")]
    Done,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The network said that there is no way there (ICMP).
    #[error("unreachable")]
    Unreachable,
    /// The other end does not answer, or not any more.
    #[error("timed out")]
    TimedOut,
    /// The other end ended it at once.
    #[error("connection reset")]
    Reset,
    /// We did.
    #[error("aborted")]
    Aborted,
}

/// One end of a connection.
///
/// ```
/// use bradawl::time::Instant;
/// use bradawl_sim::tcp::{Step, Stream};
///
/// let now = Instant::ZERO;
/// let mut client = Stream::connect(now, 1_000);
/// client.write(b"hello"); // goes out as soon as the connection is open
/// let Step::Send(syn) = client.poll(now) else { panic!() };
/// let mut server = Stream::accept(now, &syn, 2_000).expect("a SYN");
///
/// let mut heard = Vec::new();
/// loop {
///     match (server.poll(now), client.poll(now)) {
///         (Step::Idle(_), Step::Idle(_)) => break,
///         (ours, theirs) => {
///             if let Step::Send(segment) = &ours { client.handle_segment(now, segment) }
///             if let Step::Send(segment) = &theirs { server.handle_segment(now, segment) }
///             if let Step::Received(bytes) = ours { heard.extend(bytes) }
///         }
///     }
/// }
/// assert_eq!(heard, b"hello");
/// ```
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    sender: Sender,
    receiver: Receiver,
    /// A reset that must go out.
    reset: Option<Segment>,
    owes_ack: bool,
    /// What the program must still be told.
    news: News,
    /// The other end finished before we did, so that it waits in TIME-WAIT and we need not.
    is_passive: bool,
    /// When patience with a peer ends that has nothing but its FIN left to send.
    until: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// SYN-SENT and SYN-RECEIVED.
    Opening(Opening),
    /// ESTABLISHED to LAST-ACK: which one it is follows from what the two halves have seen.
    Open,
    /// TIME-WAIT.
    TimeWait,
    /// CLOSED.
    Closed,
}

/// A handshake.
#[derive(Clone, Copy, Debug)]
struct Opening {
    /// Whether we began it.
    is_active: bool,
    /// Whether the other end's SYN has come (SYN-RECEIVED).
    is_met: bool,
    /// How often our SYN went out, and when the first time.
    tries: u32,
    first: Instant,
    /// When it goes out next, and how long to wait after that.
    deadline: Instant,
    wait: Duration,
    /// The other end asked again, so it goes out before its time.
    again: bool,
}

impl Opening {
    const fn new(now: Instant, is_active: bool) -> Self {
        let (tries, wait) = (0, Rto::INITIAL);
        Self { is_active, is_met: !is_active, tries, first: now, deadline: now, wait, again: false }
    }
}

#[derive(Debug, Default)]
struct News {
    connected: bool,
    finished: bool,
    closed: Option<Reason>,
}

impl Stream {
    /// How many bytes may wait to be sent or acknowledged.
    pub const SEND_BUFFER: usize = 65_536;
    /// How many bytes a segment carries at most.
    pub const MSS: usize = 1_200;
    /// How many bytes may be on their way.
    pub const WINDOW: usize = 32 * Self::MSS;
    /// How often a SYN is sent: at 0, 1, 3, 7, 15 and 31 s. The attempt ends at 63 s.
    pub const SYN_TRIES: u32 = 6;
    /// How often in a row the first unacknowledged segment is sent again before the connection ends.
    pub const DATA_TRIES: u32 = 15;
    /// How long TIME-WAIT lasts: as long as the longest retransmission timeout, so that a FIN sent again
    /// finds somebody who knows it.
    pub const TIME_WAIT: Duration = Rto::MAX;
    /// How long the other end may be silent when we have closed and it has not.
    pub const FIN_WAIT: Duration = Duration::from_secs(60);

    /// Begins a connection. `iss` is the first sequence number.
    pub fn connect(now: Instant, iss: u32) -> Self {
        Self::new(Opening::new(now, true), iss, Receiver::default())
    }

    /// Answers a SYN; none if the segment is no such thing.
    pub fn accept(now: Instant, syn: &Segment, iss: u32) -> Option<Self> {
        let is_syn = syn.flags == Flags { syn: true, ..Flags::default() };
        is_syn.then(|| Self::new(Opening::new(now, false), iss, Receiver::new(syn.seq)))
    }

    fn new(opening: Opening, iss: u32, receiver: Receiver) -> Self {
        Self {
            phase: Phase::Opening(opening),
            sender: Sender::new(iss.wrapping_add(1)),
            receiver,
            reset: None,
            owes_ack: false,
            news: News::default(),
            is_passive: false,
            until: None,
        }
    }

    /// Takes bytes to be sent, as many as there is room for, and says how many: none once it was closed.
    /// Room comes with acknowledgments, so try again after the next segment.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self.phase {
            Phase::Closed => 0,
            _ => self.sender.write(bytes),
        }
    }

    /// Nothing more will be written. What was goes out first, even if the connection is not open yet.
    pub fn close(&mut self) {
        self.sender.close();
    }

    /// Ends it at once; what is on its way may get lost.
    pub fn abort(&mut self) {
        match self.phase {
            Phase::Closed => return,
            Phase::TimeWait => return self.end(Reason::Done),
            Phase::Opening(Opening { is_met: false, .. }) => {}
            Phase::Opening(_) | Phase::Open => {
                let flags = Flags { rst: true, ..Flags::default() };
                self.reset = Some(Segment { flags, seq: self.sender.seq(), ..Segment::default() });
            }
        }
        self.end(Reason::Aborted);
    }

    /// An ICMP error came about something we sent. It ends an attempt to connect, but no connection
    /// (RFC 9293 §3.9.2.2, RFC 5461): the way may come back.
    pub fn handle_unreachable(&mut self) {
        if matches!(self.phase, Phase::Opening(_)) {
            self.end(Reason::Unreachable);
        }
    }

    /// A segment from the other end.
    pub fn handle_segment(&mut self, now: Instant, segment: &Segment) {
        match self.phase {
            Phase::Opening(opening) if !opening.is_met => self.handle_in_syn_sent(now, segment, opening),
            Phase::Opening(opening) => self.handle_in_syn_received(now, segment, opening),
            Phase::Open | Phase::TimeWait => self.handle_when_open(now, segment),
            Phase::Closed => {}
        }
    }

    /// The next thing to do. Fires what is due at `now`.
    pub fn poll(&mut self, now: Instant) -> Step {
        self.expire(now);
        if let Some(reset) = self.reset.take() {
            return Step::Send(reset);
        }
        if let Some(syn) = self.poll_syn(now) {
            return Step::Send(syn);
        }
        if core::mem::take(&mut self.news.connected) {
            return Step::Connected;
        }
        if let Some(bytes) = self.receiver.take() {
            return Step::Received(bytes);
        }
        if core::mem::take(&mut self.news.finished) {
            return Step::Finished;
        }
        if let Phase::Open = self.phase
            && let Some(piece) = self.sender.take(now)
        {
            let flags = Flags { ack: true, fin: piece.fin, ..Flags::default() };
            return Step::Send(self.segment(flags, piece.seq, piece.body));
        }
        if self.owes_ack {
            let flags = Flags { ack: true, ..Flags::default() };
            return Step::Send(self.segment(flags, self.sender.seq(), Vec::new()));
        }
        if let Some(reason) = self.news.closed.take() {
            return Step::Closed(reason);
        }
        Step::Idle(self.deadline())
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Opening(opening) => Some(opening.deadline),
            Phase::Open => [self.sender.deadline(), self.until].into_iter().flatten().min(),
            Phase::TimeWait => self.until,
            Phase::Closed => None,
        }
    }

    /// Gives up what has taken too long.
    fn expire(&mut self, now: Instant) {
        let is_late = self.until.is_some_and(|until| until <= now);
        match self.phase {
            Phase::Opening(opening) if opening.deadline <= now && opening.tries >= Self::SYN_TRIES => {
                self.end(Reason::TimedOut);
            }
            Phase::Open if is_late || !self.sender.expire(now) => self.end(Reason::TimedOut),
            Phase::TimeWait if is_late => self.end(Reason::Done),
            _ => {}
        }
    }

    /// Our SYN, when it is due: alone as long as the other end's has not come, else with its
    /// acknowledgment.
    fn poll_syn(&mut self, now: Instant) -> Option<Segment> {
        let Phase::Opening(opening) = &mut self.phase else { return None };
        if opening.deadline <= now {
            if opening.tries == 0 {
                opening.first = now;
            }
            opening.tries += 1;
            opening.deadline = now + opening.wait;
            opening.wait *= 2;
        } else if !opening.again {
            return None;
        }
        opening.again = false;
        let flags = Flags { syn: true, ack: opening.is_met, ..Flags::default() };
        Some(self.segment(flags, self.sender.seq().wrapping_sub(1), Vec::new()))
    }

    /// A segment; if it acknowledges, everything that has come is.
    fn segment(&mut self, flags: Flags, seq: u32, body: Vec<u8>) -> Segment {
        let ack = if flags.ack { self.receiver.expected() } else { 0 };
        self.owes_ack &= !flags.ack;
        Segment { flags, seq, ack, body }
    }

    /// RFC 9293 §3.10.7.3.
    fn handle_in_syn_sent(&mut self, now: Instant, segment: &Segment, opening: Opening) {
        let Flags { syn, ack, rst, .. } = segment.flags;
        if ack && segment.ack != self.sender.seq() {
            self.reset = reset_for(segment);
            return;
        }
        match (rst, syn, ack) {
            (true, _, true) => self.end(Reason::Refused),
            (false, true, true) => {
                self.receiver = Receiver::new(segment.seq);
                self.owes_ack = true;
                self.open(now, opening);
            }
            // Simultaneous open: the SYNs cross, and each end answers the other's.
            (false, true, false) => {
                self.receiver = Receiver::new(segment.seq);
                self.phase = Phase::Opening(Opening { is_met: true, ..Opening::new(now, true) });
            }
            _ => {}
        }
    }

    /// RFC 9293 §3.10.7.4, as far as it concerns SYN-RECEIVED.
    fn handle_in_syn_received(&mut self, now: Instant, segment: &Segment, opening: Opening) {
        let Flags { syn, ack, rst, .. } = segment.flags;
        let is_their_syn = syn && !rst && segment.seq == self.receiver.syn();
        if is_their_syn && !ack {
            self.phase = Phase::Opening(Opening { again: true, ..opening });
            return;
        }
        // In a simultaneous open their SYN comes twice, the second time with the acknowledgment of ours.
        if !is_their_syn && !self.is_valid(segment) {
            return;
        }
        if rst {
            return self.end(if opening.is_active { Reason::Refused } else { Reason::Reset });
        }
        if !ack {
            return;
        }
        if segment.ack != self.sender.seq() {
            self.reset = reset_for(segment);
            return;
        }
        self.open(now, opening);
        if is_their_syn {
            self.owes_ack = true;
        } else {
            self.handle_when_open(now, segment);
        }
    }

    /// RFC 9293 §3.10.7.4.
    fn handle_when_open(&mut self, now: Instant, segment: &Segment) {
        if !self.is_valid(segment) {
            // Their FIN came again: our acknowledgment got lost, so they need us for longer.
            if let Phase::TimeWait = self.phase
                && segment.flags.fin
            {
                self.until = Some(now + Self::TIME_WAIT);
            }
            return;
        }
        if segment.flags.rst {
            // When only goodbyes are missing, it is one.
            let is_goodbye = self.receiver.is_finished() && self.sender.is_done_but_for_fin();
            return self.end(if is_goodbye { Reason::Done } else { Reason::Reset });
        }
        if !segment.flags.ack {
            return;
        }
        let carries = segment.span() > 0;
        if !self.sender.acknowledge(now, segment.ack, !carries) {
            self.owes_ack |= carries;
            return;
        }
        if carries {
            self.owes_ack = true;
            let was_finished = self.receiver.is_finished();
            self.receiver.accept(segment);
            if !was_finished && self.receiver.is_finished() {
                self.news.finished = true;
                self.is_passive = !self.sender.is_fin_sent();
            }
        }
        self.proceed(now);
    }

    /// Whether a segment belongs here and now; if not, the other end is told where we are, in case it is
    /// real and has missed something.
    ///
    /// A reset or a SYN counts only if it could not have been guessed (RFC 5961): a reset must bear exactly
    /// the number that we wait for, a SYN never counts. An empty segment is not answered, or two ends that
    /// disagree would answer each other forever.
    fn is_valid(&mut self, segment: &Segment) -> bool {
        let Flags { syn, rst, .. } = segment.flags;
        if !self.receiver.is_in_window(segment) {
            self.owes_ack |= !rst && segment.span() > 0;
            return false;
        }
        let is_suspect = syn || rst && segment.seq != self.receiver.expected();
        self.owes_ack |= is_suspect;
        !is_suspect
    }

    /// Both SYNs have been acknowledged, as far as we know.
    fn open(&mut self, now: Instant, opening: Opening) {
        self.phase = Phase::Open;
        self.news.connected = true;
        // Only a SYN that needed no second try tells the round trip time (RFC 6298 §5.7).
        let is_sure = opening.tries == 1;
        self.sender.opened(is_sure.then(|| now.since(opening.first)));
    }

    /// Once our FIN is acknowledged, what is left depends on the other end's.
    fn proceed(&mut self, now: Instant) {
        if !self.sender.is_fin_acked() || !matches!(self.phase, Phase::Open) {
            return;
        }
        if !self.receiver.is_finished() {
            self.until = Some(now + Self::FIN_WAIT);
        } else if self.is_passive {
            self.end(Reason::Done);
        } else {
            self.phase = Phase::TimeWait;
            self.until = Some(now + Self::TIME_WAIT);
        }
    }

    /// It is over: nothing is kept but what the program was promised, the bytes of an end in good order.
    fn end(&mut self, reason: Reason) {
        self.phase = Phase::Closed;
        self.news.closed = Some(reason);
        self.owes_ack = false;
        self.until = None;
        self.sender = Sender::new(self.sender.seq());
        if reason != Reason::Done {
            self.receiver = Receiver::default();
            self.news.finished = false;
        }
    }
}
