//! One machine, its sockets and its clock, under any event loop.
//!
//! A [`Driver`] never waits. Its owner waits, in whatever way its runtime has, until a socket is
//! readable or writable or the deadline has come, says so, and calls [`Driver::turn`]. A turn takes
//! a batch of datagrams from a socket in one system call, feeds all of them to the machine, drains
//! the machine into the outbox, sends that in one system call, and goes on until the sockets are
//! empty or the turn's budget is used up. A datagram costs no allocation, and a batch one look at
//! the clock.
//!
//! TCP connections that the machine asks for are read in turn with the rest, a piece at a time. Nobody
//! can connect to a driver.
//!
//! Nothing that the network does ends a driver. What ICMP or the kernel says about one packet
//! becomes a [`HostInput`] and the next packet is sent.

mod counters;
mod handle;
mod limits;
mod net;
mod outbox;
mod streams;
mod table;
mod tcp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{BindError, HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport};
use bradawl::time::{Duration, Instant};
use rustix::io::Errno;

pub use self::counters::Counters;
pub use self::handle::Handle;
pub use self::limits::Limits;
pub use self::table::SocketKey;

use self::net::Net;
use self::streams::{Reading, Streams};
use crate::clock::{self, Clock};
use crate::udp::{BindOptions, Flaw, Inbox, Udp};

/// Takes what a machine tells the program around it. It is called during a turn, so it should be
/// quick; one turn calls it at most [`Limits::steps`] + [`Limits::datagrams`] times.
pub trait Sink<E> {
    /// The machine says something.
    fn event(&mut self, event: E);

    /// Application data has arrived: sent by `from`, by way of `path`.
    fn deliver(&mut self, path: Path, from: SocketAddr, body: &[u8]) {
        let _ = (path, from, body);
    }
}

/// Any closure takes events. Application data is dropped.
impl<E, F: FnMut(E)> Sink<E> for F {
    fn event(&mut self, event: E) {
        self(event);
    }
}

/// What to wait for after a turn, beside readable sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Wait {
    /// When the machine wants to be polled again.
    pub deadline: Option<Instant>,
    /// Some socket has refused packets: watch for writability those that [`Driver::is_blocked`].
    pub want_write: bool,
    /// The budget was used up before the work was: let others run, then turn again at once.
    pub more: bool,
}

impl Wait {
    /// How long to wait from `now` on; `None` is until a socket stirs. Never longer than
    /// [`JUMP`](clock::JUMP): what runtimes wait with stands still while the host sleeps, the
    /// deadline does not.
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.more {
            return Some(Duration::ZERO);
        }
        self.deadline.map(|deadline| deadline.since(now).min(clock::JUMP))
    }
}

/// Drives one machine. See the [module documentation](self).
///
/// ```
/// use bradawl_host::driver::{Driver, Limits};
/// use bradawl_host::udp::BindOptions;
/// # use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Verdict};
/// # use bradawl::time::Instant;
/// # struct Quiet;
/// # impl Machine for Quiet {
/// #     type Event = core::convert::Infallible;
/// #     fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict { Verdict::Consumed }
/// #     fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}
/// #     fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Self::Event> { Output::Idle(None) }
/// # }
///
/// let mut driver = Driver::new(Quiet, Limits::default());
/// let (_key, _address) = driver.bind("127.0.0.1:0".parse()?, &BindOptions::default())?;
/// let wait = driver.turn(&mut |event| match event {});
/// assert_eq!(wait.timeout(driver.now()), None, "nothing to do until a datagram comes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Driver<M: Machine> {
    machine: M,
    clock: Clock,
    limits: Limits,
    inbox: Inbox,
    /// Where pieces of streams arrive; empty until there is one.
    piece: Vec<u8>,
    net: Net,
    /// When the machine wants to be polled, as it last said.
    deadline: Option<Instant>,
    /// The machine may have more to say than has been heard.
    unfinished: bool,
}

/// Errors in a row that one attempt to receive puts up with. Each is about an earlier packet.
const ERRORS: usize = 8;

impl<M: Machine> Driver<M> {
    /// A driver without sockets.
    pub fn new(machine: M, limits: Limits) -> Self {
        let limits = Limits { batch: limits.batch.max(1), ..limits };
        Self {
            machine,
            clock: Clock::new(),
            inbox: Inbox::new(limits.batch),
            piece: Vec::new(),
            net: Net::new(&limits),
            deadline: None,
            unfinished: true,
            limits,
        }
    }

    /// Opens a socket for the machine; the address is the real one, port and all, though its IP may
    /// be a wildcard.
    pub fn bind(&mut self, local: SocketAddr, options: &BindOptions) -> io::Result<(SocketKey, SocketAddr)> {
        let udp = Udp::bind(local, options)?;
        let bound = udp.bound();
        Ok((self.adopt(udp), bound))
    }

    /// Takes over a socket that is open already.
    pub fn adopt(&mut self, udp: Udp) -> SocketKey {
        self.net.table.insert(udp, None)
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, to give it commands. Call [`Driver::turn`] afterwards.
    pub fn machine_mut(&mut self) -> &mut M {
        self.unfinished = true;
        &mut self.machine
    }

    /// The time as the machine sees it.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.net.counters
    }

    /// All open sockets, to be watched for readability. On Linux an error counts as readable, if
    /// urgent data is watched for, too (`POLLPRI`, `EPOLLPRI`).
    pub fn sockets(&self) -> impl Iterator<Item = (SocketKey, Handle)> {
        let datagrams = self.net.table.iter().map(|(key, entry)| (key, Handle::udp(&entry.udp)));
        datagrams.chain(self.net.streams.iter().map(|(key, tcp)| (key, Handle::tcp(tcp))))
    }

    /// Whether this socket has refused packets, or is not connected yet, and must be watched for
    /// writability.
    pub fn is_blocked(&self, key: SocketKey) -> bool {
        if let Some(index) = self.net.streams.index(key) {
            return self.net.streams.is_blocked(index);
        }
        let entry = self.net.table.index(key).and_then(|index| self.net.table.peek(index));
        entry.is_some_and(|entry| entry.blocked)
    }

    /// Whether nothing more can come from this socket, which only waits to be rid of its last bytes.
    /// Such a one is readable for good: who asks again and again must not watch it for that.
    pub fn is_ended(&self, key: SocketKey) -> bool {
        self.net.streams.index(key).is_some_and(|index| self.net.streams.is_ended(index))
    }

    /// Changes whenever a socket was opened or closed, and [`Driver::sockets`] should be asked again.
    pub fn sockets_version(&self) -> u64 {
        // Both only grow.
        self.net.table.version() + self.net.streams.version()
    }

    /// Hears that a socket may be readable. It is then read until it is empty.
    pub fn readable(&mut self, key: SocketKey) {
        if let Some(index) = self.net.streams.index(key) {
            self.net.streams.readable(index);
        } else if let Some(index) = self.net.table.index(key) {
            self.net.table.readable(index);
        }
    }

    /// Hears that a socket may be writable.
    pub fn writable(&mut self, key: SocketKey) {
        if let Some(index) = self.net.streams.index(key) {
            self.net.streams.writable(index);
        } else if let Some(entry) = self.net.table.index(key).and_then(|index| self.net.table.entry(index)) {
            entry.blocked = false;
        }
    }

    /// Does what there is to do, as far as the budget goes, and says what to wait for. The turn also
    /// ends where the machine closes a socket: if [`Driver::sockets_version`] has changed, let go of
    /// what [`Driver::sockets`] gave, so that its port is free when the machine asks for it again.
    pub fn turn(&mut self, sink: &mut impl Sink<M::Event>) -> Wait {
        if let Some(asleep) = self.clock.jumped() {
            self.machine.handle_host(self.clock.now(), HostInput::ClockJumped(asleep));
        }
        self.unfinished |= self.net.streams.attend(&mut self.machine, self.clock.now());
        let (mut datagrams, mut steps) = (self.limits.datagrams, self.limits.steps);
        let mut first = true;
        while datagrams > 0 && steps > 0 {
            let batch = self.receive(datagrams);
            let now = self.clock.now();
            if let Some((socket, count)) = batch {
                datagrams = datagrams.saturating_sub(self.feed(now, socket, count, sink));
            }
            let has_read = self.read(now, sink);
            datagrams = datagrams.saturating_sub(usize::from(has_read));
            if batch.is_none() && !has_read && !first {
                break;
            }
            first = false;
            self.drain(now, sink, &mut steps);
        }
        let Net { table, outbox, streams, .. } = &self.net;
        Wait {
            deadline: [self.deadline, streams.next_deadline()].into_iter().flatten().min(),
            want_write: !outbox.is_empty() || streams.want_write(),
            more: self.unfinished || table.any_readable() || streams.is_busy(),
        }
    }

    /// Receives a batch from the next socket that has one: which socket, how many slots.
    fn receive(&mut self, limit: usize) -> Option<(u32, usize)> {
        let Self { inbox, net, machine, clock, .. } = self;
        let mut errors = 0;
        while errors < ERRORS {
            let index = net.table.next_readable()?;
            let Some(entry) = net.table.entry(index) else { continue };
            let untouched = std::mem::replace(&mut entry.untouched, false);
            match inbox.receive(&entry.udp, limit) {
                Ok(received) => {
                    net.counters.batches += 1;
                    if received.all {
                        net.table.emptied(index);
                    }
                    return Some((index, received.slots));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The error of an earlier packet. Reading it has cleared it.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    errors += 1;
                    self.unfinished |= net.hear_complaints(index, machine, clock.now());
                }
                _ => {
                    net.table.emptied(index);
                    // Woken for no datagram: for an error, then.
                    if untouched {
                        self.unfinished |= net.hear_complaints(index, machine, clock.now());
                    }
                }
            }
        }
        None
    }

    /// Gives the batch to the machine; the number of datagrams.
    fn feed(&mut self, now: Instant, socket: u32, count: usize, sink: &mut impl Sink<M::Event>) -> usize {
        let Self { inbox, net, machine, .. } = self;
        let Some(udp) = net.table.peek(socket).map(|entry| Arc::clone(&entry.udp)) else { return 0 };
        let mut fed = 0;
        for index in 0..count {
            let arrival = match inbox.arrival(index, &udp) {
                Ok(arrival) => arrival,
                Err(Flaw::Truncated) => {
                    net.counters.truncated += 1;
                    continue;
                }
                Err(Flaw::Anonymous) => {
                    net.counters.anonymous += 1;
                    continue;
                }
            };
            let (path, meta) = (arrival.path, Meta { ecn: arrival.ecn });
            for bytes in arrival.datagrams() {
                fed += 1;
                let verdict = machine.handle_input(now, path, meta, bytes);
                net.obey(verdict, machine, now, path, bytes, sink);
            }
        }
        net.counters.received += fed as u64;
        self.unfinished = true;
        fed
    }

    /// Gives the machine a piece of the next stream that has one; whether any had.
    fn read(&mut self, now: Instant, sink: &mut impl Sink<M::Event>) -> bool {
        let Self { piece, net, machine, .. } = self;
        let Some(reading) = net.streams.read(now, piece) else { return false };
        match reading {
            Reading::Piece(path, len) => {
                net.counters.pieces += 1;
                let verdict = machine.handle_input(now, path, Meta::default(), &piece[..len]);
                net.obey(verdict, machine, now, path, &piece[..len], sink);
            }
            Reading::Closed(id) => machine.handle_host(now, HostInput::Closed { id }),
            Reading::Discarded => return true,
        }
        self.unfinished = true;
        true
    }

    /// Polls the machine until it is idle, and sends what it wants sent.
    fn drain(&mut self, now: Instant, sink: &mut impl Sink<M::Event>, steps: &mut usize) {
        loop {
            self.poll(now, sink, steps);
            let told = self.net.flush(&mut self.machine, now);
            if !told || *steps == 0 {
                self.unfinished |= told;
                return;
            }
        }
    }

    fn poll(&mut self, now: Instant, sink: &mut impl Sink<M::Event>, steps: &mut usize) {
        self.unfinished = true;
        while *steps > 0 {
            if !self.net.outbox.has_room() {
                self.net.flush(&mut self.machine, now);
            }
            *steps -= 1;
            match self.machine.poll_output(now, self.net.outbox.room()) {
                Output::Transmit { path, len, segment, ecn } => {
                    self.net.transmit(&mut self.machine, now, path, len, segment, ecn);
                }
                Output::Event(event) => sink.event(event),
                Output::Host(request) => self.carry_out(now, request, steps),
                Output::Idle(deadline) => {
                    self.deadline = deadline;
                    self.unfinished = false;
                    return;
                }
            }
        }
    }

    /// Does what the machine asked of its host, and answers.
    fn carry_out(&mut self, now: Instant, request: HostRequest, steps: &mut usize) {
        let answer = match request {
            HostRequest::Bind { id, transport: Transport::Udp, local } => {
                HostInput::Bound { id, result: self.open(id, local) }
            }
            // Nobody listens here until something needs it.
            HostRequest::Bind { id, transport: Transport::Tcp, .. } => {
                HostInput::Bound { id, result: Err(BindError::Denied) }
            }
            HostRequest::Connect { id, local, remote } => {
                self.piece.resize(Streams::PIECE, 0);
                if self.net.streams.connect(now, id, local, remote) {
                    return;
                }
                HostInput::Closed { id }
            }
            HostRequest::Limit { id, hops } => return self.net.limit_hops(&mut self.machine, now, id, hops),
            HostRequest::Close { id } => {
                if !self.net.streams.close(now, id) && self.net.close(&mut self.machine, now, id) {
                    // Whoever waits for the sockets has yet to let go of this one.
                    *steps = 0;
                }
                return;
            }
        };
        self.machine.handle_host(now, answer);
    }

    fn open(&mut self, id: SocketId, local: SocketAddr) -> Result<SocketAddr, BindError> {
        if self.net.table.len() >= self.limits.sockets {
            return Err(BindError::Exhausted);
        }
        let udp = Udp::bind(local, &BindOptions::default()).map_err(|error| bind_error(&error))?;
        let bound = udp.bound();
        self.net.table.insert(udp, Some(id));
        Ok(bound)
    }
}

fn bind_error(error: &io::Error) -> BindError {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => BindError::InUse,
        Some(Errno::ADDRNOTAVAIL) => BindError::NotOurs,
        Some(Errno::ACCESS | Errno::PERM) => BindError::Denied,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => BindError::Exhausted,
        _ => BindError::Other,
    }
}
