//! The ladder for a terminal. A hop stands on the line of its arrival.

use core::fmt::Write as _;

use crate::report::figures::{clock, counted, elided, grouped, lasted};
use crate::trace::{Trace, What};

use super::hops::{Run, Step};
use super::{BREAK, addresses, said};

/// The columns' distance.
const PITCH: usize = 16;
/// Where the first is.
const FIRST: usize = 20;

/// The first `limit` records of a run, a line for each that says something new.
pub fn text(trace: &Trace, limit: usize) -> String {
    let run = Run::new(trace, limit);
    let mut out = heading(&run);
    let mut last = None;
    for step in &run.steps {
        let Some((line, words)) = Line::of(&run, step) else { continue };
        if let Some(quiet) = last.and_then(|last| step.at.checked_sub(last)).filter(|&quiet| quiet > BREAK) {
            let mut line = Line::empty(&run, '┊');
            line.put(FIRST - 10, "⋮");
            line.write(&mut out, None, &format!("{} later", lasted(quiet)));
        }
        line.write(&mut out, Some(step.at), &words);
        last = Some(step.at);
    }
    if run.steps.is_empty() {
        out.push_str("nothing happened\n");
    }
    if run.left_out > 0 {
        let _ = writeln!(out, "… and {} more", grouped(run.left_out as u64));
    }
    out
}

fn heading(run: &Run<'_>) -> String {
    let mut line = Line { cells: Vec::new() };
    for (index, column) in run.columns.iter().enumerate() {
        let name = elided(column.name, PITCH - 2);
        line.put(position(index).saturating_sub(name.chars().count() / 2), &name);
    }
    let mut out = String::new();
    line.write(&mut out, None, "");
    Line::empty(run, '│').write(&mut out, None, "");
    if run.columns.is_empty() {
        out = format!("{}\n", counted(0, "host", "hosts"));
    }
    out
}

fn position(column: usize) -> usize {
    FIRST + column * PITCH
}

struct Line {
    cells: Vec<char>,
}

impl Line {
    /// The line of a step and what stands beside it; `None` where a later line says it all.
    fn of(run: &Run<'_>, step: &Step<'_>) -> Option<(Self, String)> {
        let mut line = Self::empty(run, '│');
        let words = match step.what {
            What::Sent if step.to.is_some() => return None,
            What::Sent => {
                let column = step.column?;
                line.stub(run, column, run.direction(column, run.heading(step)), '…');
                hop_words(run, step)
            }
            What::Received | What::Crossed(_) | What::TurnedRound(_) => {
                line.hop(run, step, None);
                hop_words(run, step)
            }
            What::Dropped(why) => {
                line.hop(run, step, Some('×'));
                format!("× {why}: {}", hop_words(run, step))
            }
            What::Mapped { inside, public } => {
                line.mark(step.column, '◆');
                format!("{} maps {inside} → {public}", step.place)
            }
            What::Says(happened) => {
                line.mark(step.column, '●');
                format!("{}: {}", step.place, said(happened).join(" "))
            }
            What::Fault(words) => {
                let end = line.cells.len();
                line.cells[FIRST - 4..end - 2].fill('═');
                format!("{}: {words}", step.place)
            }
        };
        Some((line, words))
    }

    fn empty(run: &Run<'_>, lifeline: char) -> Self {
        let mut line = Self { cells: vec![' '; position(run.columns.len().max(1)) - PITCH / 2] };
        for index in 0..run.columns.len() {
            line.cells[position(index)] = lifeline;
        }
        line
    }

    fn put(&mut self, at: usize, text: &str) {
        for (index, c) in (at..).zip(text.chars()) {
            if self.cells.len() <= index {
                self.cells.resize(index + 1, ' ');
            }
            self.cells[index] = c;
        }
    }

    fn mark(&mut self, column: Option<usize>, mark: char) {
        if let Some(column) = column {
            self.cells[position(column)] = mark;
        }
    }

    /// An arrow to where the step is, or, with an `end`, to where the packet ended.
    fn hop(&mut self, run: &Run<'_>, step: &Step<'_>, end: Option<char>) {
        let from = step.from.and_then(|from| run.steps[from].column);
        match (from, step.column) {
            (Some(from), Some(to)) if from != to => self.arrow(from, to, end),
            (Some(column), _) => {
                self.stub(run, column, run.direction(column, step.toward), end.unwrap_or('…'));
            }
            (None, column) => self.mark(column, end.unwrap_or('○')),
        }
    }

    fn arrow(&mut self, from: usize, to: usize, end: Option<char>) {
        let (start, stop) = (position(from), position(to));
        let shaft = if end.is_some() { '╌' } else { '─' };
        for index in start.min(stop) + 1..start.max(stop) {
            self.cells[index] = if self.cells[index] == '│' { '┼' } else { shaft };
        }
        if to > from {
            self.cells[start] = '├';
            self.cells[stop - 1] = end.unwrap_or('►');
        } else {
            self.cells[start] = '┤';
            self.cells[stop + 1] = end.unwrap_or('◄');
        }
    }

    /// Half an arrow, which nobody meets.
    fn stub(&mut self, run: &Run<'_>, column: usize, direction: i64, end: char) {
        let start = position(column);
        let reach = PITCH / 2;
        if direction > 0 && column + 1 < run.columns.len() {
            self.cells[start] = '├';
            self.cells[start + 1..start + reach].fill('╌');
            self.cells[start + reach] = end;
        } else {
            self.cells[start] = '┤';
            self.cells[start - reach + 1..start].fill('╌');
            self.cells[start - reach] = end;
        }
    }

    fn write(mut self, out: &mut String, at: Option<u64>, words: &str) {
        if let Some(at) = at {
            self.put(0, &format!("{:>12}", clock(at)));
        }
        let line: String = self.cells.iter().collect();
        let _ = writeln!(out, "{}", format!("{line}{words}").trim_end());
    }
}

/// What arrives, with the addresses that it had on the way.
fn hop_words(run: &Run<'_>, step: &Step<'_>) -> String {
    let Some(packet) = step.packet else { return String::new() };
    let flow = step.from.and_then(|from| run.steps[from].leaves()).unwrap_or(packet.flow);
    format!("{} {}", packet.label, addresses(&flow))
}
