//! STUN at work: asking a server and being one (RFC 8489, RFC 5780).
//!
//! [`client`] and [`server`] are the two machines; [`transaction`] is how often a request is
//! repeated before it is given up.

pub mod client;
pub mod server;
pub mod transaction;
