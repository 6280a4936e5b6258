//! How long a mapping is remembered, and what keeps it alive.

use bradawl_sim::discover::lifetimes::{Measured, Plan, run};
use bradawl_sim::units::Chance;

fn measured(loss: u32, seeds: u32, seed: u32) -> Measured {
    let plan = Plan { loss: Chance::percent(loss), seeds, seed, jobs: 2 };
    run(&plan, || ()).expect("worlds that can be")
}

#[test]
fn lifetimes_are_found_to_two_seconds() {
    for loss in [0, 2] {
        let measured = measured(loss, 12, 1);
        assert!(measured.requirements().iter().all(|it| it.holds), "{measured:#?}");
        assert_eq!((measured.near(), measured.refreshed_right), (12, 12), "{loss} %: {measured:#?}");
    }
}

#[test]
fn losses_make_a_lifetime_unsure_and_not_wrong() {
    let measured = measured(10, 12, 1);
    assert_eq!((measured.far_and_sure, measured.refreshed_wrong), (0, 0), "{measured:#?}");
}

/// A question that was asked again, as its answer was lost, has the server speak up twice: the first time
/// too early, which keeps a mapping alive that was forgotten otherwise. It was taken for a silence that was
/// survived, and the lifetime for 3 s longer than it is, surely.
#[test]
fn an_answer_that_comes_too_early_is_no_silence() {
    let measured = measured(10, 1, 67);
    assert_eq!(measured.near(), 1, "{measured:#?}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let plan = Plan { loss: Chance::percent(2), seeds: 6, seed: 1, jobs: 1 };
    let one = run(&plan, || ()).expect("worlds that can be");
    assert_eq!(run(&Plan { jobs: 4, ..plan }, || ()).expect("the same"), one);
}
