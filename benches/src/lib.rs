//! What the benches of bradawl share.

pub mod callgrind;
pub mod figure;
pub mod network;
pub mod sessions;
