//! # bradawl-sim
//!
//! Networks in virtual time: every kind of NAT there is, from one seed.
//!
//! So far it is the NATs themselves: [`nat`] is a pure state machine that rewrites addresses, with no
//! simulator in it, and can be used alone.

#![forbid(unsafe_code)]

pub mod nat;
