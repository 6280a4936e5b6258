//! # bradawl-sim
//!
//! Networks in virtual time: every kind of NAT there is, from one seed.

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod firewall;
mod jobs;
pub mod link;
mod log;
pub mod matrix;
pub mod nat;
pub mod odds;
pub mod oracle;
mod packet;
pub mod program;
pub mod report;
pub mod scenario;
pub mod script;
pub mod swarm;
pub mod tcp;
pub mod trace;
pub mod units;
pub mod world;
