//! What must hold of a table: discovery is right, knows when it is not, and is quick.

use core::fmt;

use bradawl::time::Duration;

use super::{Measured, Row, Tally, percentile};
use crate::discover::Axis;
use crate::report::figures::tenths_of_percent;
use crate::units::Chance;

/// With more losses than this nobody promises how often it is right; only that it is not sure then.
const CALM: Chance = Chance::percent(2);

/// A quick pass is over after this, whatever is dead.
const QUICK: Duration = Duration::from_secs(5);

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What must be.
    pub what: String,
    /// What is.
    pub found: String,
    /// Whether that is enough.
    pub holds: bool,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, holds } = self;
        write!(f, "{:<6} {what}: {found}", if *holds { "ok" } else { "FAILED" })
    }
}

impl Measured {
    /// The losses, each once.
    fn losses(&self) -> Vec<Chance> {
        let mut losses: Vec<Chance> = self.rows.iter().map(|row| row.loss).collect();
        losses.dedup();
        losses
    }

    /// All that must hold, and whether it does.
    pub fn requirements(&self) -> Vec<Requirement> {
        let mut all = Vec::new();
        for loss in self.losses() {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.loss == loss).collect();
            if loss <= CALM && rows.iter().any(|row| row.udp) {
                all.extend(calm(loss, &rows));
            }
        }
        let sum = |count: fn(&Tally) -> u32| self.tallies().map(|tally| u64::from(count(tally))).sum::<u64>();
        all.push(nothing(
            "wrong and sure, at any loss",
            sum(|tally| tally.wrong_and_sure),
            sum(|tally| tally.sure),
        ));
        let undecidable = self
            .rows
            .iter()
            .map(|row| row.axes.iter().map(|tally| u64::from(row.runs - tally.decidable)).sum::<u64>());
        all.push(nothing("found though nobody can know", sum(|tally| tally.invented), undecidable.sum()));
        all.push(self.ends_in_time());
        all.extend(self.is_never_sure_to_be_blocked());
        all
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.rows.iter().flat_map(|row| &row.axes)
    }

    fn ends_in_time(&self) -> Requirement {
        let slowest = self
            .rows
            .iter()
            .map(|row| row.slowest)
            .try_fold(Duration::ZERO, |slowest, row| row.map(|row| slowest.max(row)));
        Requirement {
            what: "every quick pass is over within 5 s".to_owned(),
            found: match slowest {
                Some(slowest) => format!("the slowest after {:.2} s", slowest.as_secs_f64()),
                None => "one was not".to_owned(),
            },
            holds: slowest.is_some_and(|slowest| slowest <= QUICK),
        }
    }

    fn is_never_sure_to_be_blocked(&self) -> Option<Requirement> {
        let runs: u32 = self.rows.iter().map(|row| row.runs).sum();
        let sum = |count: fn(&Row) -> u32| self.rows.iter().map(count).sum::<u32>();
        let (wrong, surely) = (sum(|row| row.udp_wrong), sum(|row| row.udp_surely_blocked));
        let right = sum(|row| row.udp_right);
        (runs > 0).then(|| Requirement {
            what: "whether UDP passes is right, and that it does not is never sure".to_owned(),
            found: format!("{right} of {runs} right, {wrong} wrong, {surely} surely blocked"),
            holds: wrong == 0 && surely == 0,
        })
    }
}

/// Where little is lost.
fn calm(loss: Chance, rows: &[&Row]) -> Vec<Requirement> {
    let mut sums = [Tally::default(); 4];
    for row in rows {
        sums.iter_mut().zip(&row.axes).for_each(|(sum, tally)| sum.merge(tally));
    }
    let share = |what: &str, least: u32, count: fn(&Tally) -> u32| {
        let decidable = || Axis::ALL.iter().zip(&sums).filter(|(_, sum)| sum.decidable > 0);
        let shown = decidable().map(|(axis, sum)| {
            format!("{axis} {}", tenths_of_percent(count(sum).into(), sum.decidable.into()))
        });
        Requirement {
            what: format!("{what} in {least} % of what can be known, at {loss} loss"),
            found: shown.collect::<Vec<_>>().join(", "),
            holds: decidable()
                .all(|(_, sum)| u64::from(count(sum)) * 100 >= u64::from(sum.decidable) * u64::from(least)),
        }
    };
    let mut round_trips: Vec<u32> =
        rows.iter().filter(|row| row.udp).flat_map(|row| row.round_trips.iter().copied()).collect();
    round_trips.sort_unstable();
    let [median, p95] = [50, 95].map(|percent| percentile(&round_trips, percent));
    vec![
        share("right", 99, |tally| tally.right),
        share("sure", 95, |tally| tally.sure),
        Requirement {
            what: format!("the median of the quick passes is 3 round trips at most, at {loss} loss"),
            found: format!("{}, and 95 % of them {} at most", hundredths(median), hundredths(p95)),
            holds: median <= 3_000,
        },
    ]
}

/// That must never be.
fn nothing(what: &str, count: u64, of: u64) -> Requirement {
    Requirement { what: format!("nothing is {what}"), found: format!("{count} of {of}"), holds: count == 0 }
}

/// Thousandths with two digits behind the point, rounded up.
pub(crate) fn hundredths(thousandths: u32) -> String {
    let hundredths = thousandths.div_ceil(10);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
