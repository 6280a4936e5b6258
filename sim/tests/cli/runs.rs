//! One run: `run`, `demo`, and what there is to run: `nats`.

use super::{ends_quietly, folder, lines, read, sim, sim_in, stdout};

#[test]
fn a_scenario_is_run() {
    let output = sim("run scenarios/two-homes.toml");
    ends_quietly(&output, 0);
    let text = stdout(&output);
    let [pair, run] = text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {text}") };
    assert!(pair.starts_with("alice ↔ bob: direct · punch · "), "{pair}");
    assert!(pair.ends_with(" packets · the oracle said: certain (punch)"), "{pair}");
    assert!(run.starts_with("digest ") && run.ends_with(" packets · 30 s of virtual time"), "{run}");
    assert_eq!(stdout(&sim("run scenarios/two-homes.toml --seed 1")), text, "its own seed");
    assert_ne!(stdout(&sim("run scenarios/two-homes.toml --seed 2")), text);
}

#[test]
fn every_scenario_that_comes_with_it_runs_as_json() {
    for name in ["two-homes", "cgn-collision", "roaming", "evil", "v6"] {
        let output = sim(&format!("run scenarios/{name}.toml --json"));
        assert!(output.status.code().is_some_and(|code| code <= 1), "{name}");
        let lines = lines(&output);
        assert_eq!(lines[0]["event"], "pair", "{name}");
        let last = lines.last().expect("a line");
        assert_eq!((&last["event"], last["digest"].as_str().map(str::len)), (&"run".into(), Some(16)));
        let violations = lines.iter().filter(|line| line["event"] == "violation").count();
        assert_eq!(last["violations"], violations);
        assert_eq!(output.status.code(), Some(i32::from(violations > 0)), "{name}");
    }
}

#[test]
fn what_happened_can_be_seen() {
    let folder = folder("seen");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/two-homes.toml");
    let output = sim_in(&folder, &["run", scenario, "--trace", "--svg", "run.svg"]);
    ends_quietly(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("binding request") && text.contains("selected: punch"), "{text}");
    assert!(read(folder.join("run.svg")).starts_with("<svg "));
    // To look at it changes nothing.
    let seen = text.lines().last().expect("the digest");
    assert_eq!(stdout(&sim_in(&folder, &["run", scenario])).lines().last(), Some(seen));
}

#[test]
fn two_homes_by_name() {
    let output = sim("demo --nat home,symmetric-random");
    ends_quietly(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("lan-a") && text.contains("× filtered"), "{text}");
    assert!(text.contains("alice ↔ bob: no path · every check was lost"), "{text}");
    assert_eq!(stdout(&sim("demo --nat home,symmetric-random --seed 1")), text);

    let near = lines(&sim("demo --nat home,home --json --delay 1ms --skew 0ms"));
    let far = lines(&sim("demo --nat home,home --json --link delay=100ms --skew 1s"));
    let elapsed = |lines: &[serde_json::Value]| lines[0]["elapsed_ms"].as_f64().expect("a time");
    assert!(elapsed(&near) < 50.0 && elapsed(&far) > 200.0, "{near:?} {far:?}");
}

#[test]
fn the_catalogue_is_listed() {
    let output = sim("nats");
    ends_quietly(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("home (port-restricted): what most home routers do\n"), "{text}");
    assert!(text.contains("population measured: "), "{text}");
    let lines = lines(&sim("nats --json"));
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    let expected = bradawl_sim::catalogue::entries().len();
    assert_eq!((count("nat"), count("population"), lines.len()), (expected, 2, expected + 2));
}

#[test]
fn help_and_version_are_results() {
    ends_quietly(&sim("--version"), 0);
    for verb in ["", "run ", "matrix ", "swarm ", "replay ", "nats ", "demo "] {
        let output = sim(&format!("{verb}--help"));
        ends_quietly(&output, 0);
        let text = stdout(&output);
        assert!(text.lines().count() <= 40 && text.contains("Example"), "{verb}: {text}");
    }
}
