//! The NATs, one test per behaviour, named after the requirement it shows: what a NAT does that has it
//! and what one does that does not.

mod errors;
mod lifetimes;
mod overload;
mod properties;
mod rfc4787;
mod rfc5382;

use std::net::{IpAddr, SocketAddr};

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_sim::nat::{Behaviour, Dropped, Flow, Nat, Passed};

const HOST: &str = "10.0.0.7:5000";
const OTHER: &str = "10.0.0.8:5000";
const PUBLIC: &str = "203.0.113.9";
const PEERS: [&str; 3] = ["198.51.100.1:3478", "198.51.100.1:3479", "198.51.100.2:3478"];

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn rng() -> Rng {
    Rng::from_seed([7; 32])
}

fn nat(behaviour: Behaviour) -> Nat {
    Nat::new(behaviour, vec![ip(PUBLIC)], rng()).expect("a NAT that can be")
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

/// The public endpoint that a packet from `inside` to `peer` gets.
fn out(nat: &mut Nat, now: Instant, inside: &str, peer: &str) -> Result<SocketAddr, Dropped> {
    out_as(nat, now, Flow::udp(address(inside), address(peer)))
}

fn out_as(nat: &mut Nat, now: Instant, flow: Flow) -> Result<SocketAddr, Dropped> {
    match nat.outbound(now, flow)? {
        Passed::Across(flow) => Ok(flow.source),
        Passed::Hairpin(flow) => panic!("it turned round: {flow:?}"),
    }
}

fn lets_in(nat: &mut Nat, now: Instant, source: &str, public: SocketAddr) -> Result<SocketAddr, Dropped> {
    nat.inbound(now, Flow::udp(address(source), public)).map(|flow| flow.destination)
}
