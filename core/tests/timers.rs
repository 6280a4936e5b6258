//! The timer heap against the plainest model there is: a sorted map.

use std::collections::BTreeMap;

use bradawl::time::Instant;
use bradawl::timers::Timers;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Set(u32, u64),
    Cancel(u32),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40u32, 0..1_000u64).prop_map(|(key, after)| Step::Set(key, after)),
        1 => (0..40u32).prop_map(Step::Cancel),
        3 => (0..300u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_map(steps in proptest::collection::vec(step(), 0..400)) {
        let mut timers = Timers::default();
        let mut model = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Set(key, after) => {
                    timers.set(key, Instant::from_micros(now + after));
                    model.insert(key, now + after);
                }
                Step::Cancel(key) => {
                    timers.cancel(key);
                    model.remove(&key);
                }
                Step::Advance(by) => {
                    now += by;
                    while let Some(key) = timers.pop(Instant::from_micros(now)) {
                        let due = model.iter().map(|(&key, &at)| (at, key)).min();
                        prop_assert_eq!(due.map(|(_, key)| key), Some(key));
                        prop_assert!(model.remove(&key).is_some_and(|at| at <= now));
                    }
                    prop_assert!(model.values().all(|&at| at > now), "something due was not popped");
                }
            }
            let next = model.values().min().copied().map(Instant::from_micros);
            prop_assert_eq!(timers.next_deadline(), next);
            prop_assert_eq!(timers.len(), model.len());
            for key in 0..40 {
                let expected = model.get(&key).copied().map(Instant::from_micros);
                prop_assert_eq!(timers.deadline(key), expected);
            }
        }
    }
}
