//! TURN ChannelData: four bytes in front of the data (RFC 8656 §12.4).
//!
//! ```text
//!  0                   1                   2                   3
//! |         Channel Number        |            Length             |
//! |                       Application Data                        |
//! ```

use core::ops::Range;

/// A channel number from 0x4000 to 0x4FFF, the only ones that can be bound (RFC 8656 §12).
///
/// ```
/// use bradawl::wire::channel::ChannelNumber;
///
/// assert_eq!(ChannelNumber::new(0x4001).map(u16::from), Some(0x4001));
/// assert_eq!(ChannelNumber::new(0x5000), None); // reserved, see RFC 8656 §12
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// All the numbers there are.
    pub const RANGE: core::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;

    /// Checks the range.
    #[inline]
    pub const fn new(number: u16) -> Option<Self> {
        if number & 0xF000 == 0x4000 { Some(Self(number)) } else { None }
    }
}

impl From<ChannelNumber> for u16 {
    fn from(channel: ChannelNumber) -> Self {
        channel.0
    }
}

/// A ChannelData message: a view of its data.
///
/// ```
/// use bradawl::wire::channel::{ChannelData, ChannelNumber};
///
/// let channel = ChannelNumber::new(0x4000).unwrap();
/// let mut buf = [0; 9];
/// buf[4..].copy_from_slice(b"hello"); // the data is already where it belongs
/// ChannelData::write_header(channel, &mut buf).unwrap();
///
/// let message = ChannelData::parse(&buf).unwrap();
/// assert_eq!((message.channel, message.data), (channel, &b"hello"[..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel it came on.
    pub channel: ChannelNumber,
    /// What the peer sent.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// How many bytes go in front of the data.
    pub const HEADER: usize = 4;

    /// Reads a datagram. `None` if it is not ChannelData: the number is out of range or the length
    /// lies. Over UDP up to three bytes of padding may follow the data (RFC 8656 §12.5); more is
    /// not padding.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (&header, rest) = datagram.split_first_chunk()?;
        // One load for both halves, as this is done for every relayed packet.
        let header = u32::from_be_bytes(header);
        if !(0x4000_0000..0x5000_0000).contains(&header) {
            return None; // not a channel's number
        }
        let channel = ChannelNumber((header >> 16) as u16);
        let (data, padding) = rest.split_at_checked(usize::from(header as u16))?;
        (padding.len() < 4).then_some(Self { channel, data })
    }

    /// Where in the datagram the data lies.
    pub const fn body(&self) -> Range<usize> {
        Self::HEADER..Self::HEADER + self.data.len()
    }

    /// Writes the four bytes in front of data that already lies at `message[4..]`. `None` if there
    /// is no room for them or the data is longer than the length field can say.
    #[inline]
    pub fn write_header(channel: ChannelNumber, message: &mut [u8]) -> Option<()> {
        let (header, data) = message.split_first_chunk_mut::<4>()?;
        let [n0, n1] = channel.0.to_be_bytes();
        let [l0, l1] = u16::try_from(data.len()).ok()?.to_be_bytes();
        *header = [n0, n1, l0, l1];
        Some(())
    }

    /// Writes the whole message, copying the data; returns its length. `None` if it does not fit.
    #[inline]
    pub fn write(&self, buf: &mut [u8]) -> Option<usize> {
        let len = Self::HEADER + self.data.len();
        let message = buf.get_mut(..len)?;
        Self::write_header(self.channel, message)?;
        message[Self::HEADER..].copy_from_slice(self.data);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::{ChannelData, ChannelNumber};

    #[test]
    fn a_lying_length_is_not_channel_data() {
        assert_eq!(ChannelData::parse(&[0x40, 0x00, 0x00, 0x05, 1, 2, 3, 4]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0x00, 0x00]), None);
        assert_eq!(ChannelData::parse(&[0x40, 0x00, 0x00, 0x00, 0, 0, 0, 0]), None, "four bytes too many");
    }

    #[test]
    fn padding_up_to_a_multiple_of_four_is_allowed() {
        let message = ChannelData::parse(&[0x4F, 0xFF, 0x00, 0x01, 7, 0, 0, 0]).expect("valid");
        assert_eq!((message.data, message.body()), (&[7][..], 4..5));
    }

    #[test]
    fn only_bindable_channels_are_read() {
        for (number, bindable) in [(0x3FFF, false), (0x4000, true), (0x4FFF, true), (0x5000, false)] {
            assert_eq!(ChannelNumber::new(number).is_some(), bindable, "{number:#x}");
        }
    }

    #[test]
    fn data_that_does_not_fit_is_not_written() {
        let message = ChannelData { channel: ChannelNumber::new(0x4000).unwrap(), data: &[1, 2, 3] };
        assert_eq!(message.write(&mut [0; 6]), None);
        assert_eq!(message.write(&mut [0; 7]), Some(7));
    }
}
