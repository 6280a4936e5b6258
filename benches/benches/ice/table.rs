//! The tables.

use std::fmt::Write;
use std::time::Duration;

use bradawl_benches::figure::number;

use crate::contender::Entry;
use crate::measure::{Cost, Sample};
use crate::race::{COUNTED, Outcome};
use bradawl_benches::network::Side;

/// One block for each delay and loss; the samples come in that order.
pub(crate) fn times(samples: &[Sample]) -> String {
    let mut text = String::new();
    let like = |a: &Sample, b: &Sample| {
        let (a, b) = (a.conditions, b.conditions);
        (a.delay, a.loss_percent) == (b.delay, b.loss_percent)
    };
    for block in samples.chunk_by(like) {
        text.push_str(&head(&block[0]));
        for cell in block.chunk_by(|a, b| a.conditions.cell == b.conditions.cell) {
            for (at, sample) in cell.iter().enumerate() {
                let name = if at == 0 { sample.conditions.cell.name } else { "" };
                text.push_str(&line(name, sample));
            }
        }
        text.push('\n');
    }
    text
}

fn head(sample: &Sample) -> String {
    let conditions = &sample.conditions;
    let title = format!(
        "D {} ms, R {} ms, loss {} %, {} seeds",
        conditions.delay.as_millis(),
        conditions.round_trip().as_millis(),
        conditions.loss_percent,
        sample.seeds()
    );
    format!(
        "{title:<41} {:>15} {:>15} {:>17} {:>11} {:>15}\n{:<19}{:<22} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>5} {:>5} {:>7} {:>7} {:>7}\n",
        "A, ms",
        "B, ms",
        "both, ms",
        "both, R",
        "packets until",
        "A×B",
        "agents",
        "median",
        "p95",
        "median",
        "p95",
        "median",
        "p95",
        "med.",
        "p95",
        "both",
        format!("{} s", COUNTED.as_secs()),
        "failed",
    )
}

fn line(cell: &str, sample: &Sample) -> String {
    let mut text = format!("{cell:<19}{:<22}", agents(sample));
    let side = |side: Side| sample.spread(move |outcome: &Outcome| outcome.selected[side.index()]);
    for times in [side(Side::A), side(Side::B)] {
        for time in [times.median(), times.percentile(95)] {
            let _ = write!(text, " {:>7}", milliseconds(time));
        }
    }
    let both = sample.both();
    let both = [both.median(), both.percentile(95)];
    for time in both {
        let _ = write!(text, " {:>8}", milliseconds(time));
    }
    let round_trip = sample.conditions.round_trip().as_secs_f64();
    for time in both {
        let trips = time.map(|time| format!("{:.2}", time.as_secs_f64() / round_trip));
        let _ = write!(text, " {:>5}", trips.unwrap_or_else(|| number(None)));
    }
    let until_both = sample.spread(|outcome| outcome.sent_until_both).median();
    let counted = sample.spread(|outcome| Some(outcome.sent_counted)).median();
    for packets in [until_both, counted] {
        let _ = write!(text, " {:>7}", number(packets.map(f64::from)));
    }
    let _ = writeln!(text, " {:>7}", sample.failures());
    text
}

/// Who plays A and B; one name if they are alike.
pub(crate) fn agents(sample: &Sample) -> String {
    let [a, b] = sample.pair.map(|entry| entry.name);
    if a == b { a.to_owned() } else { format!("{a}×{b}") }
}

pub(crate) fn milliseconds(time: Option<Duration>) -> String {
    number(time.map(|time| time.as_secs_f64() * 1e3))
}

/// What a connection costs the processor.
pub(crate) fn costs(costs: &[(&'static Entry, Cost)]) -> String {
    let mut text = format!(
        "{:<41} {:>13} {:>13}\n",
        "one connection, port×port, D 50 ms, no loss", "instructions", "ns, best"
    );
    for (entry, cost) in costs {
        let (instructions, nanoseconds) = (number(cost.instructions), number(Some(cost.nanoseconds.round())));
        let _ = writeln!(text, "{:<43} {instructions:>13} {nanoseconds:>13}", entry.name);
    }
    text
}

/// What the reader has to know of each library.
pub(crate) fn notes(entries: &[&'static Entry]) -> String {
    let mut text = String::new();
    for entry in entries.iter().filter(|entry| !entry.note.is_empty()) {
        let _ = writeln!(text, "{:<12} {}", entry.name, entry.note);
    }
    text
}
