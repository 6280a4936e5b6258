//! Our targets, and what became of them.

use std::fmt::Write;
use std::time::Duration;

use bradawl_benches::figure::number;

use crate::contender::Entry;
use crate::measure::{Cost, Sample};
use crate::race::Outcome;
use crate::table::milliseconds;
use bradawl_benches::network::Side;

/// Our name; everything with another is not held to anything.
pub(crate) const OURS: &str = "bradawl";

/// What a side may take beside the time of its packets: it paces and it may just have missed a turn.
const GRACE: Duration = Duration::from_millis(20);
/// The packets that both sides have sent by the time both have selected, without loss.
const PACKETS: u32 = 16;
/// Both agents and the network, creation to both selected.
const INSTRUCTIONS: f64 = 300_000.0;
/// The 95th percentile with one datagram of ten lost, at 50 ms one way.
const LOSSY_P95: Duration = Duration::from_millis(200);
/// How much later than two of the foreign agents we may be with one of them where datagrams are
/// lost: others are lost for each pair, and the medians of two runs of the same agents differ, too.
const LUCK: f64 = 1.05;

/// The lines of a verdict and whether all are met.
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) is_met: bool,
}

impl Verdict {
    fn line(&mut self, of: &str, what: &str, is_met: bool) {
        self.is_met &= is_met;
        let _ = writeln!(self.text, "{} {of:<50} {what}", if is_met { "ok  " } else { "MISS" });
    }
}

/// Looks at our rows, if there are any.
pub(crate) fn verdict(samples: &[Sample], costs: &[(&'static Entry, Cost)]) -> Verdict {
    let mut verdict = Verdict { text: String::new(), is_met: true };
    for sample in samples {
        match sample.pair.map(|entry| entry.name == OURS) {
            [true, true] => alone(&mut verdict, sample),
            [false, false] => {}
            [_, b] => beside_foreign(&mut verdict, sample, sample.pair[usize::from(!b)], samples),
        }
    }
    for (_, cost) in costs.iter().filter(|(entry, _)| entry.name == OURS) {
        if let Some(instructions) = cost.instructions {
            let what = format!("{}, target ≤ {}", number(Some(instructions)), number(Some(INSTRUCTIONS)));
            verdict.line("instructions of a connection", &what, instructions <= INSTRUCTIONS);
        }
    }
    if verdict.text.is_empty() {
        verdict.text = format!("no rows of {OURS}: nothing to hold to the targets\n");
    }
    verdict
}

/// Two of ours.
fn alone(verdict: &mut Verdict, sample: &Sample) {
    let conditions = &sample.conditions;
    if conditions.loss_percent == 0 {
        lossless(verdict, sample);
    }
    if conditions.loss_percent == 10 && conditions.delay == Duration::from_millis(50) {
        within(verdict, sample, "p95 of both", sample.both().percentile(95), LOSSY_P95);
    }
}

fn lossless(verdict: &mut Verdict, sample: &Sample) {
    let (cell, trip) = (sample.conditions.cell, sample.conditions.round_trip());
    let both = sample.both().worst();
    match cell.symmetric() {
        None => within(verdict, sample, "both", both, trip + GRACE),
        Some(side) => {
            let times = sample.spread(|outcome: &Outcome| outcome.selected[side.index()]);
            let name = if side == Side::A { "symmetric A" } else { "symmetric B" };
            within(verdict, sample, name, times.worst(), trip);
            within(verdict, sample, "both", both, trip + trip / 2 + GRACE);
        }
    }
    let until_both = sample.spread(|outcome| outcome.sent_until_both).worst();
    let counted = sample.spread(|outcome| Some(outcome.sent_counted)).worst();
    let what = format!(
        "packets {} ({} in two seconds), target ≤ {PACKETS}",
        number(until_both.map(f64::from)),
        number(counted.map(f64::from))
    );
    verdict.line(&place(sample), &what, until_both.is_some_and(|packets| packets <= PACKETS));
}

/// One of ours and one of `foreign`: no later, and no more often in vain, than two of `foreign`.
fn beside_foreign(verdict: &mut Verdict, sample: &Sample, foreign: &Entry, samples: &[Sample]) {
    let theirs = samples.iter().find(|other| {
        other.conditions == sample.conditions && other.pair.iter().all(|entry| entry.name == foreign.name)
    });
    let Some(theirs) = theirs else { return };
    let bound = theirs.both().median();
    let luck = if sample.conditions.loss_percent == 0 { 1.0 } else { LUCK };
    match bound {
        Some(bound) => within(verdict, sample, "both", sample.both().median(), bound.mul_f64(luck)),
        None => verdict.line(&place(sample), "both: two of theirs mostly fail", true),
    }
    let (ours, theirs) = (sample.failures(), theirs.failures());
    verdict.line(&place(sample), &format!("failed {ours}, two of theirs {theirs}"), ours <= theirs);
}

fn within(verdict: &mut Verdict, sample: &Sample, name: &str, time: Option<Duration>, bound: Duration) {
    let what = format!("{name} {} ms, target ≤ {} ms", milliseconds(time), milliseconds(Some(bound)));
    verdict.line(&place(sample), &what, time.is_some_and(|time| time <= bound));
}

fn place(sample: &Sample) -> String {
    let conditions = &sample.conditions;
    let agents = crate::table::agents(sample);
    format!(
        "{agents} {} D {} loss {} %",
        conditions.cell.name,
        conditions.delay.as_millis(),
        conditions.loss_percent
    )
}
