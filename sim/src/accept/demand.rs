//! What is demanded of a case, and whether the runs fulfil it.

use core::fmt;

use bradawl::time::Duration;

use super::RunOutcome;
use crate::report::figures::{counted, lasted, tenths_of_percent};

/// One demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// So many in a million have a direct path, in so much time if it says so.
    Direct {
        /// How many at least.
        least: u32,
        /// How fast.
        within: Option<Duration>,
    },
    /// So many in a hundred of all runs are no slower than this.
    Time {
        /// How many.
        percent: u8,
        /// The slowest of them.
        at_most: Duration,
    },
    /// Half of those that have a path are no slower than this.
    Median(Duration),
    /// 99 of a hundred pairs need no more packets.
    Packets(u32),
    /// No pair makes more entries in the tables of NATs.
    Entries(u32),
    /// No port is guessed twice.
    NoRepetition,
    /// Nobody takes somebody else for its peer, and nobody has a path alone.
    NoFalseValidation,
    /// Whoever has no path is told so.
    SaysSo,
    /// A host that has nothing to do with it gets no more packets of each side than this.
    Strays(u32),
}

/// A demand, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What is to be.
    pub target: String,
    /// What is.
    pub result: String,
    /// Whether it is as it is to be.
    pub holds: bool,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Direct { least, within } => {
                let (whole, rest) = (least / 10_000, least % 10_000 / 1_000);
                match rest {
                    0 if least == 1_000_000 => write!(f, "{whole} % direct")?,
                    0 => write!(f, "≥ {whole} % direct")?,
                    rest => write!(f, "≥ {whole}.{rest} % direct")?,
                }
                within.map_or(Ok(()), |within| write!(f, " in {}", plain(within)))
            }
            Self::Time { percent, at_most } => write!(f, "p{percent} ≤ {}", plain(at_most)),
            Self::Median(at_most) => write!(f, "median of the direct ≤ {}", plain(at_most)),
            Self::Packets(most) => write!(f, "≤ {most} packets (p99)"),
            Self::Entries(most) => write!(f, "≤ {most} NAT entries"),
            Self::NoRepetition => f.write_str("no port probed twice"),
            Self::NoFalseValidation => f.write_str("no false validation"),
            Self::SaysSo => f.write_str("direct, or a reason why not"),
            Self::Strays(most) => write!(f, "≤ {most} packets to a bystander"),
        }
    }
}

fn plain(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis / 1_000, millis % 1_000) {
        (0, _) => format!("{millis} ms"),
        (seconds, 0) => format!("{seconds} s"),
        (seconds, rest) => format!("{seconds}.{} s", rest / 100),
    }
}

/// As people read it; milliseconds with one digit behind the point.
fn exact(duration: Duration) -> String {
    match duration.as_micros() {
        micros if micros < 1_000_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        micros => lasted(u64::try_from(micros).unwrap_or(u64::MAX)),
    }
}

impl Demand {
    /// Whether the runs are as it wants them.
    pub fn check(&self, runs: &[RunOutcome]) -> Checked {
        let (result, holds) = match *self {
            Self::Direct { least, within } => direct(runs, least, within),
            Self::Time { percent, at_most } => {
                let times = runs.iter().map(|run| run.direct.map_or(Duration::MAX, |direct| direct.after));
                quantile(times.collect(), percent.into(), at_most)
            }
            Self::Median(at_most) => {
                let times = runs.iter().filter_map(|run| run.direct).map(|direct| direct.after);
                quantile(times.collect(), 50, at_most)
            }
            Self::Packets(most) => packets(runs, most),
            Self::Entries(most) => {
                let worst = runs.iter().map(|run| run.entries).max().unwrap_or(0);
                (format!("{worst} at most"), worst <= most)
            }
            Self::NoRepetition => nothing(runs, |run| run.repeated > 0),
            Self::NoFalseValidation => nothing(runs, |run| run.is_false),
            Self::SaysSo => nothing(runs, |run| run.direct.is_none() && !run.has_failed),
            Self::Strays(most) => {
                let worst = runs.iter().map(|run| run.strays).max().unwrap_or(0);
                (format!("{worst} at most"), worst <= most)
            }
        };
        Checked { target: self.to_string(), result, holds }
    }
}

/// That no invariant of the design was broken.
pub(super) fn invariants(runs: &[RunOutcome]) -> Checked {
    let mut broken = runs.iter().filter_map(|run| Some((run.seed, run.violation.as_ref()?)));
    let count = broken.clone().count();
    let result = match broken.next() {
        None => "none".to_owned(),
        Some((seed, violation)) => {
            format!("{}; seed {seed}: {violation}", counted(count as u64, "run", "runs"))
        }
    };
    Checked { target: "no invariant broken".to_owned(), result, holds: count == 0 }
}

fn direct(runs: &[RunOutcome], least: u32, within: Option<Duration>) -> (String, bool) {
    let is_in_time = |run: &&RunOutcome| {
        run.direct.is_some_and(|direct| within.is_none_or(|within| direct.after <= within))
    };
    let count = runs.iter().filter(is_in_time).count() as u64;
    let all = runs.len() as u64;
    let holds = count * 1_000_000 >= u64::from(least) * all;
    let share = match count == all {
        true => "100 %".to_owned(),
        false if least > 990_000 => hundredths_of_percent(count, all),
        false => tenths_of_percent(count, all),
    };
    (format!("{share} ({count} of {all})"), holds)
}

fn hundredths_of_percent(part: u64, of: u64) -> String {
    let hundredths = (part * 10_000).checked_div(of).unwrap_or(0);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn quantile(mut times: Vec<Duration>, percent: u32, at_most: Duration) -> (String, bool) {
    times.sort_unstable();
    match at(&times, percent) {
        None | Some(Duration::MAX) => ("never".to_owned(), false),
        Some(time) => (exact(time), time <= at_most),
    }
}

fn packets(runs: &[RunOutcome], most: u32) -> (String, bool) {
    let mut counts: Vec<u32> = runs.iter().map(|run| run.packets).collect();
    counts.sort_unstable();
    let [median, p99, worst] = [50, 99, 100].map(|percent| at(&counts, percent).unwrap_or(0));
    (format!("{p99} (half {median}, all {worst})"), p99 <= most)
}

/// The smallest value that so many in a hundred are no greater than.
fn at<T: Copy>(sorted: &[T], percent: u32) -> Option<T> {
    let rank = (sorted.len() * percent as usize).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn nothing(runs: &[RunOutcome], is_bad: impl Fn(&RunOutcome) -> bool) -> (String, bool) {
    let mut bad = runs.iter().filter(|run| is_bad(run));
    let count = bad.clone().count();
    match bad.next() {
        None => (format!("0 of {}", runs.len()), true),
        Some(first) => (format!("{count} of {}, first seed {}", runs.len(), first.seed), false),
    }
}

#[cfg(test)]
mod tests {
    use super::Demand;
    use crate::accept::RunOutcome;
    use crate::accept::setting::Direct;
    use bradawl::time::Duration;

    fn run(seed: u32, millis: Option<u64>) -> RunOutcome {
        let direct = millis.map(|millis| Direct {
            after: Duration::from_millis(millis),
            strategy: crate::trace::Strategy::Punch,
        });
        RunOutcome { seed, direct, packets: seed, ..RunOutcome::default() }
    }

    #[test]
    fn shares_and_quantiles_count_those_without_a_path() {
        let runs: Vec<RunOutcome> =
            (1..=100).map(|seed| run(seed, (seed != 7).then_some(seed.into()))).collect();
        let all = Demand::Direct { least: 1_000_000, within: None }.check(&runs);
        assert_eq!(
            (all.target.as_str(), all.result.as_str(), all.holds),
            ("100 % direct", "99.00 % (99 of 100)", false)
        );
        let some = Demand::Direct { least: 985_000, within: Some(Duration::from_secs(2)) }.check(&runs);
        assert_eq!((some.target.as_str(), some.holds), ("≥ 98.5 % direct in 2 s", true));
        let p99 = Demand::Time { percent: 99, at_most: Duration::from_millis(100) }.check(&runs);
        assert_eq!((p99.result.as_str(), p99.holds), ("100.0 ms", true));
        let p100 = Demand::Time { percent: 100, at_most: Duration::from_secs(9) }.check(&runs);
        assert_eq!((p100.result.as_str(), p100.holds), ("never", false));
        let median = Demand::Median(Duration::from_millis(50)).check(&runs);
        assert_eq!((median.result.as_str(), median.holds), ("51.0 ms", false));
        let packets = Demand::Packets(98).check(&runs);
        assert_eq!((packets.result.as_str(), packets.holds), ("99 (half 50, all 100)", false));
    }

    #[test]
    fn what_must_never_be_names_the_first_seed() {
        let mut runs: Vec<RunOutcome> = (1..=10).map(|seed| run(seed, Some(1))).collect();
        assert!(Demand::NoFalseValidation.check(&runs).holds);
        runs[3].is_false = true;
        let checked = Demand::NoFalseValidation.check(&runs);
        assert_eq!((checked.result.as_str(), checked.holds), ("1 of 10, first seed 4", false));
    }
}
