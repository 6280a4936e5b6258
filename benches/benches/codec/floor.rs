//! The floor: one HMAC-SHA1 with the keyed state cached and one CRC-32, over the bytes that they
//! cover in an ICE binding request, and nothing else. No STUN stack that signs can cost less than
//! this with these two crates, so the targets of the ICE rows are multiples of it.

use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::fixture::{self, ICE_COVERED, PASSWORD};
use crate::library::{Entry, Row};

pub(crate) const FLOOR: Entry = Entry {
    name: "floor",
    note: "cached HMAC-SHA1 + CRC-32 over the same bytes, nothing else",
    rows: &[Row::IceDecode, Row::IceEncode],
    run,
};

/// The two directions cost the same: the one compares and the other stores, and neither is here.
fn run(_row: Row, iterations: u64) {
    let keyed = Hmac::<Sha1>::new_from_slice(PASSWORD.as_bytes()).expect("any length will do");
    let message = fixture::ice_request();
    for _ in 0..iterations {
        let message = black_box(&message[..]);
        let mut mac = keyed.clone();
        mac.update(&message[..ICE_COVERED]);
        let tag: [u8; 20] = mac.finalize().into_bytes().into();
        black_box((tag, crc32fast::hash(&message[..ICE_COVERED + 24])));
    }
}
