//! Several protocols on one UDP port, told apart by the first byte (RFC 7983 §7, RFC 9443 §3).
//!
//! The first byte only says whose turn it is to look: the protocol named still checks the rest.

/// The protocol that a datagram claims to be.
///
/// ```
/// use bradawl::wire::demux::Protocol;
///
/// assert_eq!(Protocol::of(&[0x00, 0x01]), Some(Protocol::Stun));
/// assert_eq!(Protocol::of(&[0x40, 0x00]), Some(Protocol::ChannelOrQuic));
/// assert_eq!(Protocol::of(&[0xC3]), Some(Protocol::Quic));
/// assert_eq!(Protocol::of(&[]), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// STUN and TURN control messages: first byte 0 to 3.
    Stun,
    /// ZRTP: 16 to 19.
    Zrtp,
    /// DTLS: 20 to 63.
    Dtls,
    /// 64 to 79: TURN ChannelData if the channel is bound on this 5-tuple, else a QUIC short header.
    ChannelOrQuic,
    /// QUIC: 80 to 127 (short headers), and from 192 on (long headers).
    Quic,
    /// RTP and RTCP: 128 to 191.
    Rtp,
}

impl Protocol {
    /// Looks at the first byte; `None` for no bytes or a byte that nobody has been assigned.
    #[inline]
    pub const fn of(datagram: &[u8]) -> Option<Self> {
        let [first, ..] = datagram else { return None };
        FIRST_BYTES[(*first >> 2) as usize]
    }
}

/// Who has been given each four first bytes: all ranges of RFC 9443 §3 are multiples of four long.
const FIRST_BYTES: [Option<Protocol>; 64] = {
    let mut table = [None; 64];
    let mut fours = 0;
    while fours < table.len() {
        table[fours] = match 4 * fours {
            0..=3 => Some(Protocol::Stun),
            16..=19 => Some(Protocol::Zrtp),
            20..=63 => Some(Protocol::Dtls),
            64..=79 => Some(Protocol::ChannelOrQuic),
            80..=127 | 192..=255 => Some(Protocol::Quic),
            128..=191 => Some(Protocol::Rtp),
            _ => None,
        };
        fours += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::Protocol;

    #[test]
    fn every_first_byte_falls_where_rfc9443_section_3_puts_it() {
        let expected = |first: u8| match first {
            0..4 => Some(Protocol::Stun),
            4..16 => None,
            16..20 => Some(Protocol::Zrtp),
            20..64 => Some(Protocol::Dtls),
            64..80 => Some(Protocol::ChannelOrQuic),
            80..128 => Some(Protocol::Quic),
            128..192 => Some(Protocol::Rtp),
            192.. => Some(Protocol::Quic),
        };
        for first in 0..=255 {
            assert_eq!(Protocol::of(&[first]), expected(first), "first byte {first}");
        }
    }
}
