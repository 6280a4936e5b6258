//! Whole worlds: what the small peers do behind every NAT of the catalogue is what the oracle says.

use bradawl_sim::catalogue;
use bradawl_sim::matrix::{Links, pair_scenario, settle};
use bradawl_sim::units::Span;
use bradawl_sim::world::Keep;

#[test]
fn what_the_oracle_says_is_what_happens() {
    let links = Links { skew: Span::ZERO, ..Links::default() };
    for a in catalogue::entries() {
        for b in catalogue::entries() {
            for seed in 0..2 {
                let scenario = pair_scenario(a.name, b.name, &links, seed);
                assert_eq!(scenario.check(), Ok(()), "{} × {}", a.name, b.name);
                let report = settle(&scenario, Keep::Digest).expect("a world");
                let [pair] = &report.pairs[..] else { panic!("one pair") };
                println!(
                    "{} × {}: {} → {:?}, {} packets",
                    a.name, b.name, pair.expectation, pair.outcome, pair.packets
                );
                assert!(report.violations.is_empty(), "{} × {}: {:?}", a.name, b.name, report.violations);
            }
        }
    }
}
