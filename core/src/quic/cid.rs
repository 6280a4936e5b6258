//! Connection ids that no ChannelData message can be mistaken for.
//!
//! On the one socket a first byte from 0x40 to 0x4F may begin ChannelData or a QUIC short header (RFC 9443
//! §3). ChannelData has its length in the third and fourth byte; a short header is one byte and then the
//! connection id (RFC 9000 §17.3.1), so there lie the second and the third byte of the id. With 0xFFFF in
//! them every short header claims to be 65,535 bytes of data, which no UDP datagram can hold, and
//! [`ChannelData::parse`](crate::wire::channel::ChannelData::parse) does not believe it. Long headers begin
//! at 0xC0 and are in nobody's way.
//!
//! ```text
//! short header    01xxxxxx   id[0]   id[1]   id[2]   id[3] …
//! ChannelData     0100xxxx  number   length  length  data …
//! ```

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

use crate::rng::Rng;
use crate::time::Duration;

/// Bytes of a connection id: the two that are fixed, and 48 bits that are not.
pub(super) const LEN: usize = 8;

/// Draws connection ids.
pub(super) struct Generator(pub(super) Rng);

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id: [u8; LEN] = self.0.bytes();
        [id[1], id[2]] = [0xFF; 2];
        ConnectionId::new(&id)
    }

    /// Nothing that is not in use is worth an answer: a stateless reset for it would be signed with a key that
    /// did not exist when the id was given out.
    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Err(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionIdGenerator as _, Generator, Rng};
    use crate::wire::channel::ChannelData;

    #[test]
    fn no_short_header_is_channel_data_however_long_it_is() {
        let mut generator = Generator(Rng::from_seed([1; 32]));
        for first in 0x40..0x80 {
            let id = generator.generate_cid();
            for len in [9, 20, 1_200, 1_452, 65_507] {
                let mut packet = std::vec![0; len];
                packet[0] = first;
                packet[1..9].copy_from_slice(&id);
                assert_eq!(ChannelData::parse(&packet), None, "{first:#x}, {len} bytes");
            }
        }
    }

    #[test]
    fn ids_differ() {
        let mut generator = Generator(Rng::from_seed([1; 32]));
        let ids: std::collections::BTreeSet<_> = (0..1_000).map(|_| generator.generate_cid()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
