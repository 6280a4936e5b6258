//! What kind of NAT is this? Behaviour discovery (RFC 5780, and more).

mod confidence;
mod profile;

pub use confidence::Confidence;
pub use profile::{
    Allocation, Axis, Dependence, Fallback, Finding, Hairpin, Ipv6, Label, Lifetime, NatProfile, Observation,
};
