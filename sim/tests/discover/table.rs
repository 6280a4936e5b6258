//! Every combination of the axes and every NAT of the catalogue.

use bradawl_sim::discover::table::{Measured, Plan, Requirement, Subject, run};
use bradawl_sim::units::Chance;

fn plan(subjects: Vec<Subject>, losses: &[u32], seeds: u32) -> Plan {
    let losses = losses.iter().copied().map(Chance::percent).collect();
    Plan { subjects, losses, seeds, seed: 1, servers: 3, dead: 0, jobs: 2 }
}

fn measured(plan: &Plan) -> Measured {
    run(plan, |_| ()).expect("worlds that can be")
}

/// Everything that `bradawl-sim discover` demands.
#[track_caller]
fn holds(measured: &Measured) {
    let failed: Vec<Requirement> = measured.requirements().into_iter().filter(|it| !it.holds).collect();
    let mistakes: Vec<String> = measured
        .rows
        .iter()
        .flat_map(|row| row.mistakes.iter().map(|it| format!("{}: {it}", row.name)))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}\n{mistakes:#?}");
}

#[test]
fn every_combination_is_found_out() {
    let measured = measured(&plan(Subject::combinations(), &[0, 2, 10], 2));
    assert_eq!(measured.rows.len(), 3 * 72);
    holds(&measured);
}

#[test]
fn every_nat_of_the_catalogue_is_found_out() {
    let measured = measured(&plan(Subject::catalogue(), &[0, 2, 10], 2));
    holds(&measured);
    let blocked = measured.rows.iter().filter(|row| !row.udp);
    assert_eq!(blocked.map(|row| (row.udp_right, row.udp_surely_blocked)).collect::<Vec<_>>(), [(2, 0); 6]);
}

#[test]
fn hairpinning_behind_two_walls_is_unknown() {
    let subjects = ["address/address/random", "port/address/preserving-next", "port/port/sequential-1"];
    let subjects = subjects.map(|name| name.parse().expect("a combination")).to_vec();
    for row in measured(&plan(subjects, &[0], 6)).rows {
        let hairpin = row.axes[3];
        assert_eq!((hairpin.decidable, hairpin.invented), (0, 0), "{}", row.name);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let subjects =
        vec!["home".parse().expect("it is there"), "port/port/random".parse().expect("it is, too")];
    let one = Plan { jobs: 1, ..plan(subjects, &[2], 34) };
    assert_eq!(measured(&one), measured(&Plan { jobs: 5, ..one.clone() }));
}

/// A requirement that could not fail would show nothing.
#[test]
fn what_is_wrong_fails() {
    let good = measured(&plan(vec!["endpoint/port/random".parse().expect("it is there")], &[0], 3));
    holds(&good);
    let fails = |spoil: fn(&mut bradawl_sim::discover::table::Row), what: &str| {
        let mut bad = good.clone();
        spoil(&mut bad.rows[0]);
        let failed: Vec<_> = bad.requirements().into_iter().filter(|it| !it.holds).collect();
        assert!(failed.len() == 1 && failed[0].what.contains(what), "{what}: {failed:#?}");
    };
    fails(|row| row.axes[0].right -= 1, "right in 99 %");
    fails(|row| row.axes[1].sure -= 1, "sure in 95 %");
    fails(|row| row.axes[2].wrong_and_sure += 1, "wrong and sure");
    fails(|row| row.axes[3].invented += 1, "nobody can know");
    fails(|row| row.round_trips.fill(3_001), "3 round trips");
    fails(|row| row.slowest = None, "within 5 s");
    fails(|row| row.udp_surely_blocked += 1, "never sure");
}
