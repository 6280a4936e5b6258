//! What one end sends the other (RFC 9293 §3.1), and the arithmetic of its sequence numbers (§3.4).

/// The control bits that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The sequence number is the first of all.
    pub syn: bool,
    /// The acknowledgment number means something.
    pub ack: bool,
    /// The sender has nothing more to say.
    pub fin: bool,
    /// There is no such connection, or none any more.
    pub rst: bool,
}

/// A segment without ports: the addresses travel beside it.
///
/// ```
/// use bradawl_sim::tcp::{Flags, Segment};
///
/// let flags = Flags { ack: true, ..Flags::default() };
/// let segment = Segment { flags, seq: 1, ack: 7, body: b"hello".to_vec() };
/// assert_eq!((segment.size(), segment.label()), (45, "tcp data"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Its control bits.
    pub flags: Flags,
    /// The sequence number of its first byte, or of its SYN.
    pub seq: u32,
    /// The sequence number that its sender waits for, if the ACK bit is set.
    pub ack: u32,
    /// Its data.
    pub body: Vec<u8>,
}

impl Segment {
    /// The headers of IPv4 and TCP without options.
    pub const HEADERS: usize = 40;

    /// How many bytes it is on the wire.
    pub fn size(&self) -> usize {
        Self::HEADERS + self.body.len()
    }

    /// How many sequence numbers it takes: SYN and FIN take one each.
    pub fn span(&self) -> u32 {
        self.body.len() as u32 + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// What it is, in two words.
    pub fn label(&self) -> &'static str {
        match self.flags {
            Flags { rst: true, .. } => "tcp rst",
            Flags { syn: true, ack: true, .. } => "tcp syn-ack",
            Flags { syn: true, .. } => "tcp syn",
            Flags { fin: true, .. } => "tcp fin",
            _ if self.body.is_empty() => "tcp ack",
            _ => "tcp data",
        }
    }
}

/// What a host answers to a segment for which it has no connection (RFC 9293 §3.10.7.1): a reset, and
/// nothing to a reset.
///
/// ```
/// use bradawl_sim::tcp::{Flags, Segment, reset_for};
///
/// let syn = Segment { flags: Flags { syn: true, ..Flags::default() }, seq: 7, ..Segment::default() };
/// let reset = reset_for(&syn).expect("a reset");
/// assert_eq!((reset.flags.rst, reset.ack), (true, 8));
/// assert_eq!(reset_for(&reset), None);
/// ```
pub fn reset_for(segment: &Segment) -> Option<Segment> {
    if segment.flags.rst {
        return None;
    }
    // It must look as if it came from the connection that the other end believes in.
    let (seq, ack) = match segment.flags.ack {
        true => (segment.ack, 0),
        false => (0, segment.seq.wrapping_add(segment.span())),
    };
    let flags = Flags { rst: true, ack: !segment.flags.ack, ..Flags::default() };
    Some(Segment { flags, seq, ack, body: Vec::new() })
}

/// How far `to` lies ahead of `from`; negative if behind. They wrap, so that what is half the circle away
/// or more counts as behind.
pub(super) fn distance(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(distance(u32::MAX, 1), 2);
        assert_eq!(distance(1, u32::MAX), -2);
        assert_eq!(distance(7, 7), 0);
        assert_eq!(distance(0, 0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(distance(0, 0x8000_0000), -0x8000_0000);
    }
}
