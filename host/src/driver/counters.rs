//! What a driver counts.

/// What a driver has done so far, and what it dropped and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to the machine.
    pub received: u64,
    /// Batches they came in: system calls that brought something.
    pub batches: u64,
    /// Pieces of TCP streams given to the machine.
    pub pieces: u64,
    /// Datagrams and pieces that the machine had no use for.
    pub unclaimed: u64,
    /// Dropped: larger than any UDP datagram may be.
    pub truncated: u64,
    /// Dropped: the kernel did not say from whom or to which address.
    pub anonymous: u64,
    /// Packets that the kernel took.
    pub sent: u64,
    /// Calls that took them.
    pub sends: u64,
    /// Packets that no socket could send: none has the local address that they should leave from, or
    /// it was closed before it took them. And what was written to a TCP connection that there is not.
    pub homeless: u64,
    /// Packets that the kernel refused for good, and what was written to a TCP connection that broke.
    pub refused: u64,
    /// Packets of a socket that took none for so long that there was no room to keep them; and what
    /// was to be forwarded and is larger than any packet may be. And TCP connections that were reset
    /// for want of such room.
    pub overflowed: u64,
    /// ICMP messages and the like that were passed on to the machine.
    pub complaints: u64,
}

impl Counters {
    /// Adds what another driver counted.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.received, other.received),
            (&mut self.batches, other.batches),
            (&mut self.pieces, other.pieces),
            (&mut self.unclaimed, other.unclaimed),
            (&mut self.truncated, other.truncated),
            (&mut self.anonymous, other.anonymous),
            (&mut self.sent, other.sent),
            (&mut self.sends, other.sends),
            (&mut self.homeless, other.homeless),
            (&mut self.refused, other.refused),
            (&mut self.overflowed, other.overflowed),
            (&mut self.complaints, other.complaints),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}
