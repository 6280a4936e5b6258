//! Bytes as letters and digits that nobody has to quote: base32 (RFC 4648 §6) in lower case, without padding.
//!
//! Five bits make a character. Where the bytes end within one, the rest of its bits is zero, and text in which
//! it is not is refused: everything has one text.

use alloc::string::String;
use core::fmt;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text of these bytes.
///
/// ```
/// use bradawl::identity::base32;
///
/// assert_eq!(base32::encode(b"foobar"), "mzxw6ytboi");
/// assert_eq!(base32::decode("mzxw6ytboi"), Ok(*b"foobar"));
/// ```
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(length(bytes.len()));
    write(&mut text, bytes).expect("a String takes everything");
    text
}

/// The bytes of this text, of which there are `N`.
///
/// ```
/// use bradawl::identity::base32::{Malformed, decode};
///
/// assert_eq!(decode("ae"), Ok([1]));
/// assert_eq!(decode::<1>("aef"), Err(Malformed::Length { expected: 2, found: 3 }));
/// assert_eq!(decode::<1>("a1"), Err(Malformed::Character { found: '1', at: 2 }));
/// assert_eq!(decode::<1>("af"), Err(Malformed::End));
/// ```
pub fn decode<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    let expected = length(N);
    // Whoever forgot a character wants to hear that, and not which one is odd because of it.
    let found = text.chars().count();
    if found != expected {
        return Err(Malformed::Length { expected, found });
    }
    let mut bytes = [0; N];
    let mut places = bytes.iter_mut();
    let rest = read(text, |byte| {
        if let Some(place) = places.next() {
            *place = byte;
        }
    })?;
    if rest.is_clean() { Ok(bytes) } else { Err(Malformed::End) }
}

/// Why a text does not stand for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// It is shorter or longer than it has to be, in characters.
    #[error("it has {found} characters instead of {expected}")]
    Length {
        /// How long it has to be.
        expected: usize,
        /// How long it is.
        found: usize,
    },
    /// A character that is not of the alphabet.
    #[error("character {at} is {found:?} where only a to z and 2 to 7 can be")]
    Character {
        /// Which.
        found: char,
        /// The how manieth, counted from 1.
        at: usize,
    },
    /// The last character has bits that belong to no byte.
    #[error("its last character is wrong")]
    End,
}

/// How many characters so many bytes become.
pub(super) const fn length(bytes: usize) -> usize {
    (8 * bytes).div_ceil(5)
}

pub(super) fn write(out: &mut dyn fmt::Write, bytes: &[u8]) -> fmt::Result {
    let (mut held, mut bits) = (0_u32, 0);
    for &byte in bytes {
        held = held << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.write_char(character(held >> bits))?;
        }
    }
    if bits > 0 { out.write_char(character(held << (5 - bits))) } else { Ok(()) }
}

fn character(value: u32) -> char {
    char::from(ALPHABET[value as usize & 31])
}

/// What is left of the last characters when no whole byte is.
pub(super) struct Rest {
    bits: u32,
    value: u32,
}

impl Rest {
    /// Whether it is as it is written: less than a character, and zero.
    pub(super) const fn is_clean(&self) -> bool {
        !self.is_surplus() && self.value == 0
    }

    /// Whether it is a whole character that adds nothing.
    pub(super) const fn is_surplus(&self) -> bool {
        self.bits >= 5
    }
}

/// Reads as many whole bytes as there are, one after the other.
pub(super) fn read(text: &str, mut byte: impl FnMut(u8)) -> Result<Rest, Malformed> {
    let (mut held, mut bits) = (0_u32, 0);
    for (index, found) in text.chars().enumerate() {
        let value = value(found).ok_or(Malformed::Character { found, at: index + 1 })?;
        held = held << 5 | value;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            byte((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Ok(Rest { bits, value: held })
}

fn value(character: char) -> Option<u32> {
    match character {
        'a'..='z' => Some(u32::from(character) - u32::from('a')),
        '2'..='7' => Some(u32::from(character) - u32::from('2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10, in lower case and without padding.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(decode("mzxw6ytb"), Ok(*b"fooba"));
        assert_eq!(decode(""), Ok([]));
    }

    #[test]
    fn a_text_is_the_only_one_of_its_bytes() {
        let found = |text: &str| decode::<32>(text).expect_err("not the one");
        let text = encode(&[0xff; 32]);
        assert!(text.ends_with('q') && text.len() == 52, "{text}");
        assert_eq!(found(&text.replace('q', "r")), Malformed::End);
        assert_eq!(found(&text.to_uppercase()), Malformed::Character { found: 'Q', at: 52 });
        assert_eq!(found(&text[1..]), Malformed::Length { expected: 52, found: 51 });
        assert_eq!(found(&text.replacen('7', "ä", 1)), Malformed::Character { found: 'ä', at: 1 });
    }
}
