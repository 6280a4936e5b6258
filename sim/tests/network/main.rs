//! Which way packets take through a world, what stands in it, and what comes back when they do not arrive.

#[path = "../support/mod.rs"]
mod support;

mod grief;
mod hairpin;
mod hops;
mod links;
mod routing;

use bradawl::machine::Path;
use bradawl::time::Duration;
use bradawl_sim::nat::{Behaviour, Dependence};
use bradawl_sim::world::{HostId, NetworkId, World};

use support::{heard, nat, network, send};

/// So many homes, one in the other, the outermost in `outside`; the innermost.
fn nested(world: &mut World, mut outside: NetworkId, depth: usize) -> NetworkId {
    for level in 0..depth {
        outside = network(world, &format!("home-{level}"), outside, nat(Behaviour::default()));
    }
    outside
}

/// A NAT at which everybody may knock.
fn full_cone() -> Behaviour {
    Behaviour { filtering: Dependence::Endpoint, ..Behaviour::default() }
}

/// The path from port 5000 of one to port 5000 of the other's own address.
fn between(world: &World, from: HostId, to: HostId) -> Path {
    Path::udp(world.address(from, 5_000), world.address(to, 5_000))
}

/// Sends something, and says on which path it was heard, if it was.
fn arrives(world: &mut World, from: HostId, path: Path, to: HostId) -> Option<Path> {
    heard(world, to);
    send(world, from, path, b"are you there?");
    world.run_for(Duration::from_secs(1));
    let heard = heard(world, to);
    assert!(heard.len() <= 1, "once");
    heard.first().map(|heard| heard.path)
}

/// How `host` looks to `server`, which has then heard of it.
fn seen_by(world: &mut World, host: HostId, server: HostId) -> Path {
    let path = between(world, host, server);
    arrives(world, host, path, server).expect("it arrives")
}
