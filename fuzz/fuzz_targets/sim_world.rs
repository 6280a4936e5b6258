//! A scenario out of any bytes, and the first seconds of its world: it can be run, nothing panics, machines
//! come to rest and send from sockets that they have, and NATs do what the checker believes of them. The
//! other invariants take longer, and are the swarm's business.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use bradawl_sim::check::Invariant;
use bradawl_sim::scenario::{Mishap, Scenario};
use bradawl_sim::swarm;
use bradawl_sim::units::Span;
use bradawl_sim::world::Keep;
use libfuzzer_sys::fuzz_target;

/// How long a world exists.
const TIME: Span = Span::from_secs(3);
/// What somebody evil sends at once, at most.
const EVIL: u16 = 50;

fuzz_target!(|bytes: &[u8]| {
    let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let scenario = shortened(scenario);
    if let Err(problem) = scenario.check() {
        panic!("{problem}\n{}", scenario.to_toml());
    }
    let report = match swarm::run(&scenario, Keep::Digest) {
        Ok(report) => report,
        Err(invalid) => panic!("{invalid}\n{}", scenario.to_toml()),
    };
    for violation in report.violations {
        let matters = matches!(violation.invariant, Invariant::Rest | Invariant::Socket | Invariant::Nat);
        assert!(!matters, "{violation}\n{}", scenario.to_toml());
    }
});

/// The same with everything in the first seconds.
fn shortened(mut scenario: Scenario) -> Scenario {
    let early = |span: Span| Span::from_micros(span.as_micros() % TIME.as_micros());
    for host in scenario.hosts.values_mut() {
        host.start = early(host.start);
    }
    for fault in &mut scenario.faults {
        fault.at = early(fault.at);
        match &mut fault.what {
            Mishap::Down { time, .. } | Mishap::Sleep { time, .. } | Mishap::Restart { time, .. } => {
                *time = early(*time);
            }
            Mishap::Evil { packets, .. } => *packets = (*packets).min(EVIL),
            Mishap::Reboot(_) | Mishap::Readdress(_) => {}
        }
    }
    Scenario { time: TIME, ..scenario }
}
