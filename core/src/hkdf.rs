//! Keys out of one secret, another one for each use: HKDF-SHA256 (RFC 5869) with one block of output.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// RFC 5869 §2.2: what the keys of this secret are derived from.
pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    mac(salt, [secret])
}

/// RFC 5869 §2.3: the first block of output for the use that `info` names, its parts one behind the other.
pub(crate) fn expand(pseudorandom: &[u8; 32], info: &[&[u8]]) -> [u8; 32] {
    mac(pseudorandom, info.iter().copied().chain([&[1][..]]))
}

fn mac<'a>(key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.into_iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 appendix A.1. It wants 42 bytes, of which 32 are the first block.
    #[test]
    fn the_first_block_is_that_of_the_rfc() {
        let info = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9];
        let pseudorandom = extract(&core::array::from_fn::<u8, 13, _>(|index| index as u8), &[0x0b; 22]);
        assert_eq!(pseudorandom[..4], [0x07, 0x77, 0x09, 0x36]);
        let expected = [
            0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
            0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf,
        ];
        assert_eq!(expand(&pseudorandom, &[&info]), expected);
        assert_eq!(expand(&pseudorandom, &[&info[..3], &info[3..]]), expected);
    }
}
