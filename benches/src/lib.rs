//! What the benches of bradawl share.

pub mod sessions;
