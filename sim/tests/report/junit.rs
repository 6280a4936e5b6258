use bradawl_sim::report::junit::{Case, Outcome, junit};

use crate::snapshot;
use crate::well_formed::assert_well_formed;

#[test]
fn every_outcome_is_told() {
    let case = |name: &str, micros, outcome| Case { name: name.to_owned(), micros, outcome };
    let failed = Outcome::Failed {
        message: "direct 99.9 % → 71.0 %".to_owned(),
        details: "bradawl-sim matrix --nats home,cgn --seed 7\nsecond line".to_owned(),
    };
    let xml = junit(
        "matrix",
        &[
            case("home × home", 1_234_567, Outcome::Passed),
            case("home × cgn", 90_061, failed),
            case("v6-firewall × open", 0, Outcome::Skipped { reason: "no IPv6 here".to_owned() }),
        ],
    );
    assert_well_formed(&xml);
    snapshot("junit.xml", &xml);
}

#[test]
fn names_are_harmless_and_extremes_too() {
    let nasty = "<a&\"b>'\u{1}\u{ffff}]]>\u{1b}[31m";
    let outcome = Outcome::Failed { message: nasty.to_owned(), details: nasty.to_owned() };
    let case = Case { name: nasty.to_owned(), micros: u64::MAX, outcome };
    let xml = junit(nasty, &[case.clone(), case]);
    assert_well_formed(&xml);
    assert!(xml.contains("name=\"&lt;a&amp;&quot;b&gt;&#39;\u{fffd}\u{fffd}]]&gt;\u{fffd}[31m\""), "{xml}");
    assert!(xml.contains("failures=\"2\""), "{xml}");
    assert_well_formed(&junit("", &[]));
}
