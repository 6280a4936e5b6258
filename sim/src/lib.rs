//! # bradawl-sim
//!
//! Networks in virtual time: every kind of NAT there is, from one seed.

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod firewall;
pub mod link;
pub mod nat;
pub mod scenario;
pub mod tcp;
pub mod trace;
pub mod units;
