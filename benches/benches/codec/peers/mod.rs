//! The peers, each as its own documentation and source suggest for a hot path.
//!
//! Where a library leaves a check to its caller, the caller here does it with the cheapest means
//! there are, the cached keyed HMAC and the CRC of the floor, so that no library looks slow for
//! what it does not do.

mod is;
mod rtc;
mod stun_codec;
mod stun_format;
mod stun_rs;
mod stun_types;

use ::hmac::{Hmac, KeyInit, Mac};
use ::sha1::Sha1;

use crate::fixture::PASSWORD;
use crate::library::Entry;

pub(crate) const PEERS: [Entry; 6] = [
    Entry::of::<is::Is>(),
    Entry::of::<rtc::Rtc>(),
    Entry::of::<stun_codec::StunCodec>(),
    Entry::of::<stun_format::StunFormat>(),
    Entry::of::<stun_rs::StunRs>(),
    Entry::of::<stun_types::StunTypes>(),
];

/// The keyed state of [`PASSWORD`], for the libraries that let the caller do the hashing.
fn keyed() -> Hmac<Sha1> {
    Hmac::new_from_slice(PASSWORD.as_bytes()).expect("any length will do")
}

/// HMAC-SHA1 of the parts, one after the other.
fn sign(keyed: &Hmac<Sha1>, parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The value of FINGERPRINT over `covered`.
fn fingerprint(covered: &[u8]) -> u32 {
    crc32fast::hash(covered) ^ 0x5354_554e
}
