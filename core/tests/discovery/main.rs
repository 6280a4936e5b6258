//! Behaviour discovery as a machine, against servers and a NAT that the test plays: what lies change, what
//! a host that refuses changes, and what nobody can make it do.

mod hosts;
mod judges;
mod liars;
mod servers;
mod world;
