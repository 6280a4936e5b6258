//! Any bytes as a scenario file: what is wrong with them is said in one line that names the place, and what is
//! a scenario reads back from what it writes as the same.

#![no_main]

use bradawl_sim::scenario::{Problem, Scenario};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "it.toml";

fuzz_target!(|bytes: &[u8]| match Scenario::from_file(NAME, bytes) {
    Ok(scenario) => reads_back(&scenario),
    Err(problem) => is_told(&problem, bytes),
});

fn reads_back(scenario: &Scenario) {
    assert!(scenario.check().is_ok());
    let text = scenario.to_toml();
    let again = Scenario::from_toml(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"));
    assert_eq!(&again, scenario, "{text}");
    assert_eq!(again.to_toml(), text);
}

fn is_told(problem: &Problem, bytes: &[u8]) {
    let told = problem.to_string();
    assert!(!told.chars().any(char::is_control), "{told:?}");
    assert!(!problem.message().is_empty() && told.ends_with(problem.message()));
    match problem.line() {
        Some(line) => {
            assert!(told.starts_with(&format!("{NAME}:{line}:")), "{told}");
            assert!(1 <= line && line <= 1 + bytes.iter().filter(|&&byte| byte == b'\n').count(), "{told}");
        }
        // What is about one value names the place where it is, or where it should be.
        None => assert!(problem.key().is_empty() && told.starts_with(&format!("{NAME}: ")), "{told}"),
    }
}
