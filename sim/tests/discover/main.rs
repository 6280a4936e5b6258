//! A discovery behind every kind of NAT: it is right where anybody could be, says nothing where nobody
//! could, is never wrong and sure, and is quick about it.

mod lifetimes;
mod servers;
mod table;
mod weather;

use bradawl::discovery::NatProfile;
use bradawl_sim::catalogue::{Gateway, entry};
use bradawl_sim::discover::{Axis, Found, Judgement, Lab, Truth, discover, round_trip};
use bradawl_sim::firewall::Firewall;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Fallback};
use bradawl_sim::units::Span;

const DEPENDENCES: [Dependence; 3] = [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];

const ALLOCATIONS: [Allocation; 4] = [
    Allocation::Preserve(Fallback::Random),
    Allocation::Sequential { step: 1 },
    Allocation::Random,
    Allocation::Block { size: 1_024 },
];

/// A gateway with a NAT and no firewall.
fn gateway(nat: Behaviour) -> Gateway {
    Gateway { nat: Some(nat), addresses: 1, firewall: Firewall::OPEN }
}

/// The gateway of an entry of the catalogue that has nothing above it.
fn known(name: &str) -> Vec<Gateway> {
    vec![entry(name).expect("it is in the catalogue").gateway.clone()]
}

/// A link with a round trip of its own for each seed, from 20 to 300 ms.
fn link(seed: u32) -> Quality {
    Quality { delay: Span::from_micros(round_trip(seed).as_micros() / 2), ..Quality::default() }
}

/// Each mapping with each filter, and ports that change with them.
fn nats() -> impl Iterator<Item = (u32, Behaviour)> {
    let pairs = DEPENDENCES.into_iter().flat_map(|mapping| DEPENDENCES.map(|filtering| (mapping, filtering)));
    pairs.enumerate().map(|(number, (mapping, filtering))| {
        let allocation = ALLOCATIONS[number % ALLOCATIONS.len()];
        (number as u32, Behaviour { mapping, filtering, allocation, ..Behaviour::default() })
    })
}

fn found(seed: u32, lab: &Lab) -> Found {
    discover(seed.into(), lab).expect("a world that can be")
}

/// How often all that can be known was found, of how often it could be. Panics where something is wrong and
/// sure, or found though nobody can know.
#[derive(Default)]
struct Score {
    right: u32,
    decidable: u32,
}

impl Score {
    #[track_caller]
    fn add(&mut self, about: &str, profile: &NatProfile, truth: &Truth) {
        for axis in Axis::ALL {
            let Judgement { is_decidable, is_right, is_sure } = axis.judge(profile, truth);
            if is_decidable {
                assert!(
                    !is_sure || is_right == Some(true),
                    "{about}: {axis} is wrong and sure: {profile:#?}"
                );
                self.decidable += 1;
                self.right += u32::from(is_right == Some(true));
            } else {
                assert_eq!(is_right, None, "{about}: nobody can know {axis}: {profile:#?}");
            }
        }
    }

    #[track_caller]
    fn is_at_least(&self, percent: u32) {
        let Self { right, decidable } = self;
        assert!(*decidable > 0 && right * 100 >= decidable * percent, "{right} of {decidable} are right");
    }
}
