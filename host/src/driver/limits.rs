//! The bounds of a driver, each with a name and a default.

use bradawl::time::Duration;

/// How much a [`Driver`](super::Driver) takes on at once. What happens at each bound is said beside it.
///
/// ```
/// use bradawl_host::driver::Limits;
///
/// let small = Limits { batch: 8, ..Limits::default() };
/// assert_eq!(small.datagrams, 512);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams per system call, each way. Memory is set aside for so many of the largest ones,
    /// though the system provides only what is touched. At the bound: the next call takes the rest.
    pub batch: usize,
    /// Datagrams, and pieces of TCP streams, taken in per turn; joined ones may exceed it by the rest of
    /// their batch. At the bound: the turn ends and says `more`.
    pub datagrams: usize,
    /// Steps of the machine per turn. At the bound: the turn ends and says `more`.
    pub steps: usize,
    /// Bytes waiting to be sent, at least 128 KiB. What sockets that take no more hold back gets half
    /// of it. At that bound: whichever socket holds back the most loses its oldest packets, and the
    /// machine hears [`Congested`](bradawl::machine::Unreachable::Congested).
    pub outbox: usize,
    /// Packets waiting to be sent, at least 2. The same half, and the same at the bound.
    pub packets: usize,
    /// Open UDP sockets. At the bound: a machine's request is answered `Exhausted`.
    pub sockets: usize,
    /// TCP connections, those that are still being made and those that linger among them. At the
    /// bound: a machine's request is answered `Closed`.
    pub connections: usize,
    /// Bytes that wait to be sent on one TCP connection. What does not fit resets the connection, and
    /// the machine hears `Closed`.
    pub backlog: usize,
    /// How long a TCP connection may take to stand. After that the machine hears `Closed`.
    pub connecting: Duration,
    /// How long a TCP connection that the machine has closed may take to send its backlog and to hear
    /// the other side's end. After that it is reset.
    pub linger: Duration,
}

impl Limits {
    /// Room that one packet, or one batch of segments, may take in the outbox.
    pub(crate) const PACKET: usize = 1 << 16;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 64,
            datagrams: 512,
            steps: 2_048,
            outbox: 256 << 10,
            packets: 512,
            sockets: 1_100,
            connections: 64,
            backlog: 256 << 10,
            connecting: Duration::from_secs(30),
            linger: Duration::from_secs(5),
        }
    }
}
