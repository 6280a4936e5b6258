#![no_std]
#![forbid(unsafe_code)]
//! placeholder
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod machine;
pub mod rng;
pub mod time;
pub mod timers;
pub mod wire;
