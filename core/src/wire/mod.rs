//! Codecs: bytes to values and back, with no state and no time.
//!
//! Every protocol here is a checked, zero-copy view over received bytes plus small plain values.
//! Parsing borrows, writing goes into the caller's buffer, nothing allocates.

pub mod channel;
pub mod demux;
pub mod stun;
