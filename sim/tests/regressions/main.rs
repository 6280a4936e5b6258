//! What was wrong once and must not be again: found by the swarm or by somebody who looked.

use std::fs;
use std::path::Path;

use bradawl::time::{Duration, Instant};
use bradawl_sim::scenario::Scenario;
use bradawl_sim::trace::{Happened, What};
use bradawl_sim::world::{Keep, Report, World};

fn run(scenario: &Scenario, keep: Keep) -> Report {
    let mut world = World::of(scenario, keep).expect("a world");
    world.run_until(Instant::ZERO + scenario.time.duration());
    world.finish()
}

/// Each file is a scenario in which the checker blamed somebody who had done nothing wrong: nobody could
/// have done it better, or it had not begun yet.
#[test]
fn nobody_is_blamed_who_did_nothing_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("scenarios") {
        let path = entry.expect("one").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.display().to_string();
            let scenario = Scenario::from_file(&name, &fs::read(&path).expect("a file")).expect(&name);
            let report = run(&scenario, Keep::Digest);
            assert!(report.violations.is_empty(), "{name}: {:?}", report.violations);
            count += 1;
        }
    }
    assert!(count >= 15, "only {count} scenarios");
}

/// Seeds of random scenarios that broke an invariant while the simulator was being built.
#[test]
fn what_the_swarm_has_found_stays_mended() {
    let seeds = [
        57, 150, 173, 190, 224, 254, 317, 399, 874, 1_064, 1_352, 1_415, 1_632, 1_681, 1_954, 2_332, 2_361,
        2_498, 2_674, 4_820, 6_970, 8_048, 12_022, 12_165, 13_988, 18_128, 30_571, 34_881, 42_698, 43_431,
        63_158, 73_626, 91_868, 92_533, 201_163, 502_415, 512_691,
    ];
    nothing_is_broken_in(&seeds);
}

fn nothing_is_broken_in(seeds: &[u32]) {
    for &seed in seeds {
        let report = run(&Scenario::random(seed), Keep::Digest);
        assert!(report.violations.is_empty(), "{seed}: {:?}", report.violations);
    }
}

/// A stranger garbles the answer of a STUN server, and discovery asks whom that names.
#[test]
fn whom_a_garbled_answer_names_may_be_asked_a_little() {
    nothing_is_broken_in(&[9, 4_439]);
}

/// A hint for an attempt that is over was heard in the next one.
#[test]
fn a_hint_is_for_one_attempt() {
    nothing_is_broken_in(&[11_683, 505_661]);
}

/// Checks from more addresses than are learned, and checks that a stranger repeats from elsewhere: both are
/// answered, and nothing else is sent there.
#[test]
fn a_check_is_answered_wherever_it_comes_from() {
    nothing_is_broken_in(&[6_705, 13_775, 21_332]);
}

/// Two who make each other begin again and again sent volleys for ever.
#[test]
fn there_is_an_end_to_guessing() {
    nothing_is_broken_in(&[30_461, 55_069]);
}

/// The side in control went over to a better path, to a socket that the other side was closing.
#[test]
fn a_choice_that_was_told_is_kept() {
    nothing_is_broken_in(&[52_144]);
}

/// One of two sockets led nowhere and took all the checks that the other side's address may have.
#[test]
fn two_sockets_share_what_there_is_for_an_address() {
    nothing_is_broken_in(&[87_082]);
}

/// On a long way a path was given up before the last check could be answered, and two peers who had learned
/// how they look made each other learn it again.
#[test]
fn a_long_way_is_no_dead_one() {
    nothing_is_broken_in(&[95_057, 95_713]);
}

/// A host with three addresses asks and tries three times as much; a bracket's ports are tried at the pace
/// of checks.
#[test]
fn who_has_more_addresses_may_send_more() {
    nothing_is_broken_in(&[6_352, 19_434]);
}

/// The link comes back while a socket that is answered by nobody is waited for.
#[test]
fn who_was_cut_off_asks_again_and_does_not_wait_for_the_dumb() {
    nothing_is_broken_in(&[8_454]);
}

/// Two sessions cannot share a tuple of an overloaded port: one gets a mapping of its own.
#[test]
fn an_overloaded_nat_does_not_promise_the_same_to_all() {
    nothing_is_broken_in(&[21_852]);
}

/// Two peers in one network, and what happens to bob.
fn with_faults(faults: &str) -> Report {
    let text = format!(
        "time = '3 min'
         [host.hub]
         run = 'mediator'
         in = 'internet'
         [host.alice]
         run = 'peer'
         in = 'internet'
         server = 'hub'
         peer = 'bob'
         [host.bob]
         run = 'peer'
         in = 'internet'
         server = 'hub'
         peer = 'alice'
         {faults}"
    );
    run(&Scenario::from_toml(&text).expect("a scenario"), Keep::Everything)
}

/// When bob sent anything.
fn bob_sends(report: &Report) -> Vec<Duration> {
    let bob = report.trace.places.iter().position(|place| place.name == "bob").expect("bob");
    let records = report.trace.records.iter();
    records
        .filter(|record| record.place.0 as usize == bob && record.what == What::Sent)
        .map(|record| record.at.since(Instant::ZERO))
        .collect()
}

fn is_silent(sends: &[Duration], from: u64, to: u64) -> bool {
    let silence = Duration::from_secs(from)..Duration::from_secs(to);
    sends.iter().all(|at| *at == silence.start || !silence.contains(at))
}

#[test]
fn who_is_put_to_sleep_in_his_sleep_sleeps_until_the_later_end() {
    let report = with_faults(
        "[[fault]]
         at = '10 s'
         sleep = { of = 'bob', for = '10 s' }
         [[fault]]
         at = '15 s'
         sleep = { of = 'bob', for = '60 s' }",
    );
    let sends = bob_sends(&report);
    assert!(is_silent(&sends, 10, 75), "{sends:?}");
    assert!(sends.iter().any(|at| at.as_secs() == 75), "he wakes up");
}

#[test]
fn who_is_killed_twice_comes_back_once() {
    let report = with_faults(
        "[[fault]]
         at = '10 s'
         restart = { of = 'bob', for = '10 s' }
         [[fault]]
         at = '15 s'
         restart = { of = 'bob', for = '60 s' }",
    );
    let sends = bob_sends(&report);
    assert!(is_silent(&sends, 10, 75), "{sends:?}");
    let first_words = report.trace.records.iter().filter(|record| {
        matches!(record.what, What::Says(Happened::MaySend { .. }))
            && record.at.since(Instant::ZERO).as_secs() == 75
    });
    assert!(first_words.count() >= 1, "he begins anew");
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[test]
fn who_is_killed_in_his_sleep_comes_back_awake() {
    let report = with_faults(
        "[[fault]]
         at = '10 s'
         sleep = { of = 'bob', for = '30 s' }
         [[fault]]
         at = '15 s'
         restart = { of = 'bob', for = '30 s' }",
    );
    let sends = bob_sends(&report);
    assert!(is_silent(&sends, 10, 45), "{sends:?}");
    assert!(sends.iter().any(|at| at.as_secs() == 45), "he is awake");
}

#[test]
fn a_crowd_that_would_take_hours_is_refused() {
    let text = "time = '24 h'
        [nat.busy]
        crowd = 10000
        [network.lan]
        behind = 'busy'
        [host.hub]
        run = 'mediator'
        in = 'internet'";
    let problem = Scenario::from_toml(text).expect_err("too many").to_string();
    let expected = "line 5: network.lan.behind: the crowds behind all NATs are 864000000 strangers in 24 h; at most \
                    2000000 are simulated";
    assert_eq!(problem, expected);
}
