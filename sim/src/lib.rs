//! # bradawl-sim
//!
//! Whole networks in virtual time: every kind of NAT there is, from one seed.
//!
//! * [`nat`], [`firewall`], [`link`] and [`tcp`] are pure state machines with no simulator in them: packets
//!   and the time in, packets out. [`catalogue`] has the NATs that people meet, by name.
//! * [`world`] puts networks and hosts together; a host runs any [`Machine`](bradawl::machine::Machine) of
//!   the core, or one of yours ([`program`]). [`scenario`] is a world as data, in TOML.
//! * [`oracle`] says what must become of two hosts, [`check`] watches what must hold in every run, and
//!   [`trace`] is what happened: a log, and one number that two equal runs share.
//! * [`matrix`] runs every pair of NATs, [`swarm`] makes up scenarios until one breaks an invariant and makes
//!   that one smaller, and [`report`] draws.
//!
//! Two homes behind NATs of the catalogue, in five lines:
//!
//! ```
//! use bradawl_sim::matrix::{Links, pair_scenario, settle};
//! use bradawl_sim::oracle::Expectation;
//! use bradawl_sim::world::Keep;
//!
//! let report = settle(&pair_scenario("home", "cgn", &Links::default(), 1), Keep::Digest)?;
//! let [pair] = &report.pairs[..] else { panic!("one pair") };
//! assert!(matches!(pair.expectation, Expectation::Certain(_)) && pair.outcome.is_direct());
//! assert!(report.violations.is_empty());
//! # Ok::<(), bradawl_sim::world::InvalidWorld>(())
//! ```

#![forbid(unsafe_code)]

pub mod accept;
pub mod catalogue;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod discover;
pub mod firewall;
mod jobs;
pub mod link;
mod log;
pub mod matrix;
pub mod nat;
pub mod odds;
pub mod oracle;
mod packet;
pub mod peer;
pub mod program;
pub mod report;
pub mod scenario;
pub mod script;
pub mod swarm;
pub mod tcp;
pub mod trace;
pub mod units;
pub mod world;
