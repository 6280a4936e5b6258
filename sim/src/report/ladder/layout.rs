//! Where everything of a ladder goes: columns as near to each other as their texts allow, and moments
//! below each other so that no text lies on another.

use crate::report::figures::{elided, lasted};
use crate::report::markup::{width, width_mono};
use crate::trace::{Happened, What};

use super::hops::{Run, Step};
use super::{BREAK, addresses, said};

/// The sizes of what a hop is called and of its addresses.
const WORDS: i64 = 11;
const ADDRESSES: i64 = 10;
/// Where the time stands.
const AXIS: i64 = 100;
/// Longer names of places are cut.
const LONGEST: usize = 24;

pub(super) struct Layout {
    /// Where the columns are.
    pub(super) xs: Vec<i64>,
    /// How far down each step is.
    pub(super) ys: Vec<i64>,
    /// How far down its packet leaves again: below, where it goes back to where it came from.
    pub(super) outs: Vec<i64>,
    pub(super) marks: Vec<Mark>,
    /// Where time is left out, and how much.
    pub(super) breaks: Vec<(i64, String)>,
    /// The moments that are written at the side.
    pub(super) times: Vec<(i64, u64)>,
    pub(super) width: i64,
    pub(super) bottom: i64,
    taken: Vec<Rect>,
}

/// Something to be read, and where.
pub(super) enum Mark {
    /// What leaves a place, beside the start of its arrow.
    Hop { at: (i64, i64), to_the_left: bool, words: String, addresses: String },
    /// A mapping, at its gateway, on the side that it is for.
    Tab { at: (i64, i64), width: i64, to_the_left: bool, words: String },
    /// What a program says. It is joined to its column by a line.
    Note { at: (i64, i64), size: (i64, i64), column: i64, lines: Vec<String>, tone: &'static str },
    /// Why a packet ended.
    Reason { at: (i64, i64), to_the_left: bool, words: String },
    /// Something that went wrong on purpose.
    Band { y: i64, words: String },
}

#[derive(Clone, Copy)]
struct Rect {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Rect {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

pub(super) fn name(name: &str) -> String {
    elided(name, LONGEST)
}

impl Layout {
    pub(super) fn new(run: &Run<'_>, top: i64) -> Self {
        let (xs, width) = columns(run);
        let mut layout = Self {
            xs,
            ys: vec![0; run.steps.len()],
            outs: vec![0; run.steps.len()],
            marks: Vec::new(),
            breaks: Vec::new(),
            times: Vec::new(),
            width,
            bottom: top,
            taken: Vec::new(),
        };
        let mut now: Option<u64> = None;
        let mut start = top + 40;
        for (index, step) in run.steps.iter().enumerate() {
            if now != Some(step.at) {
                if let Some(last) = now {
                    start = layout.pass(step.at.saturating_sub(last));
                }
                layout.times.push((start, step.at));
                now = Some(step.at);
            }
            let (y, out) = layout.place(run, index, start);
            layout.ys[index] = y;
            layout.outs[index] = out;
            layout.bottom = layout.bottom.max(out);
        }
        let lowest = layout.taken.iter().map(|rect| rect.bottom).max().unwrap_or(0);
        layout.bottom = layout.bottom.max(lowest) + 24;
        layout
    }

    /// Lets time pass; returns how far down that is.
    fn pass(&mut self, micros: u64) -> i64 {
        if micros > BREAK {
            self.breaks.push((self.bottom + 26, format!("{} later", lasted(micros))));
            return self.bottom + 60;
        }
        self.bottom + 14 + (micros / 1_250).min(32) as i64
    }

    /// Finds room for a step at `start` or below, and takes it. Returns where its packet arrives and where
    /// it leaves.
    fn place(&mut self, run: &Run<'_>, index: usize, start: i64) -> (i64, i64) {
        let step = &run.steps[index];
        let y = match step.what {
            What::Sent => self.place_leaving(run, step, &[], start),
            What::Crossed(_) => {
                let arrow: Vec<Rect> = self.arrow(run, step).into_iter().collect();
                self.place_leaving(run, step, &arrow, start)
            }
            What::TurnedRound(_) => {
                let y = self.place_arrival(run, step, start);
                return (y, self.place_leaving(run, step, &[], y));
            }
            What::Received => self.place_arrival(run, step, start),
            What::Dropped(why) => self.place_drop(run, step, why.to_string(), start),
            // It is drawn with the crossing it was made for.
            What::Mapped { .. } if step.to.is_some() => start,
            What::Mapped { .. } => {
                let Some(x) = step.column.map(|column| self.xs[column]) else { return (start, start) };
                let (rect, mark) = tab(step, x, true);
                self.take(&[rect], start, vec![mark])
            }
            What::Says(happened) => self.place_note(run, step, happened, start),
            What::Fault(words) => {
                let words = format!("{}: {words}", step.place);
                let rect = Rect { left: 0, top: -12, right: self.width, bottom: 14 };
                self.take(&[rect], start, vec![Mark::Band { y: 0, words }])
            }
        };
        (y, y)
    }

    /// The tip of an arrow that arrives at a step, where no text may be.
    fn arrow(&self, run: &Run<'_>, step: &Step<'_>) -> Option<Rect> {
        let from = self.xs[run.steps[step.from?].column?];
        let x = self.xs[step.column?];
        let (left, right) = if from < x { (from.max(x - 120), x) } else { (x, from.min(x + 120)) };
        Some(Rect { left, top: -5, right, bottom: 3 })
    }

    fn place_arrival(&mut self, run: &Run<'_>, step: &Step<'_>, start: i64) -> i64 {
        if let Some(arrow) = self.arrow(run, step) {
            return self.take(&[arrow], start, Vec::new());
        }
        // Nobody saw it leave: so what it is stands here.
        let (Some(column), Some(packet)) = (step.column, step.packet) else { return start };
        let (rect, mark) = label(self.xs[column], column > 0, packet.label, addresses(&packet.flow));
        self.take(&[rect], start, vec![mark])
    }

    fn place_leaving(&mut self, run: &Run<'_>, step: &Step<'_>, arrow: &[Rect], start: i64) -> i64 {
        let (Some(column), Some(flow)) = (step.column, step.leaves()) else { return start };
        let x = self.xs[column];
        let to_the_left = run.direction(column, run.heading(step)) < 0;
        let words = step.packet.map_or("", |packet| packet.label);
        let (rect, mark) = label(x, to_the_left, words, addresses(&flow));
        let (mut rects, mut marks) = (arrow.to_vec(), vec![mark]);
        rects.push(rect);
        if let Some(mapped) = step.mapped {
            let from = step.from.and_then(|from| run.steps[from].column);
            let (rect, mark) = tab(&run.steps[mapped], x, from.is_none_or(|from| from < column));
            rects.push(rect);
            marks.push(mark);
        }
        self.take(&rects, start, marks)
    }

    fn place_drop(&mut self, run: &Run<'_>, step: &Step<'_>, why: String, start: i64) -> i64 {
        let (x, direction) = self.end(run, step);
        let to_the_left = direction < 0;
        let words = match step.packet.filter(|_| step.from.is_none()) {
            Some(packet) => format!("{}: {why}", packet.label),
            None => why,
        };
        let wide = width(&words, WORDS) + 12;
        let (left, right) = if to_the_left { (x - wide, x + 6) } else { (x - 6, x + wide) };
        let mark = Mark::Reason { at: (x, 0), to_the_left, words };
        self.take(&[Rect { left, top: -9, right, bottom: 8 }], start, vec![mark])
    }

    fn place_note(&mut self, run: &Run<'_>, step: &Step<'_>, happened: &Happened, start: i64) -> i64 {
        let Some(column) = step.column else { return start };
        let (lines, column_x) = (said(happened), self.xs[column]);
        let size = (note_width(&lines), lines.len() as i64 * 13 + 8);
        let outside = column == 0 && run.columns.len() > 1;
        let left = if outside { column_x - 14 - size.0 } else { column_x + 14 };
        let tone = match happened {
            Happened::Selected { .. } => "note won",
            Happened::Lost | Happened::Failed(_) => "note bad",
            _ => "note",
        };
        let rect = Rect { left, top: -10, right: left + size.0, bottom: size.1 - 6 };
        let mark = Mark::Note { at: (left, -8), size, column: column_x, lines, tone };
        self.take(&[rect], start, vec![mark])
    }

    /// Where a dropped packet ends across, and which way it went: one that was lost between two columns
    /// ends there.
    pub(super) fn end(&self, run: &Run<'_>, step: &Step<'_>) -> (i64, i64) {
        let from = step.from.and_then(|from| run.steps[from].column);
        match (from, step.column) {
            (Some(from), Some(to)) if from != to => (self.xs[to], if to > from { 1 } else { -1 }),
            (None, Some(to)) => (self.xs[to], 1),
            (Some(from), _) => {
                let direction = run.direction(from, step.toward);
                (self.beside(from, direction), direction)
            }
            (None, None) => (self.xs.first().copied().unwrap_or(AXIS) + 20, 1),
        }
    }

    /// More than half of the way to the next column.
    pub(super) fn beside(&self, column: usize, direction: i64) -> i64 {
        let next = if direction > 0 { self.xs.get(column + 1) } else { self.xs[..column].last() };
        next.map_or(self.xs[column] + direction * 60, |next| {
            self.xs[column] + (next - self.xs[column]) * 6 / 10
        })
    }

    /// Moves rectangles, given for a step at 0, down from `start` until they lie on no other.
    fn take(&mut self, rects: &[Rect], start: i64, marks: Vec<Mark>) -> i64 {
        let mut y = start;
        let at = |rect: &Rect, y| Rect { top: rect.top + y, bottom: rect.bottom + y, ..*rect };
        // Only the last few can reach as far down.
        let recent = self.taken.len().saturating_sub(64);
        let collision = |taken: &[Rect], y| {
            let pairs = rects.iter().flat_map(|rect| taken[recent..].iter().map(move |other| (rect, other)));
            pairs
                .filter(|(rect, other)| at(rect, y).overlaps(other))
                .map(|(rect, other)| other.bottom - rect.top)
                .max()
        };
        while let Some(free) = collision(&self.taken, y) {
            y = free;
        }
        self.taken.extend(rects.iter().map(|rect| at(rect, y)));
        self.marks.extend(marks.into_iter().map(|mark| mark.lowered(y)));
        y
    }
}

impl Mark {
    fn lowered(mut self, by: i64) -> Self {
        match &mut self {
            Self::Hop { at, .. } | Self::Tab { at, .. } | Self::Note { at, .. } | Self::Reason { at, .. } => {
                at.1 += by;
            }
            Self::Band { y, .. } => *y += by,
        }
        self
    }
}

/// What a packet is, beside a point where it leaves.
fn label(x: i64, to_the_left: bool, words: &str, addresses: String) -> (Rect, Mark) {
    let wide = width(words, WORDS).max(width_mono(&addresses, ADDRESSES));
    let (left, right) = if to_the_left { (x - 8 - wide, x - 8) } else { (x + 8, x + 8 + wide) };
    let mark = Mark::Hop { at: (x, 0), to_the_left, words: words.to_owned(), addresses };
    (Rect { left, top: -27, right, bottom: 0 }, mark)
}

/// A mapping's tab sticks out of its gateway, below the packet that it was made for.
fn tab(step: &Step<'_>, x: i64, to_the_left: bool) -> (Rect, Mark) {
    let words = match step.what {
        What::Mapped { inside, public } => format!("{inside} ⇒ {public}"),
        _ => String::new(),
    };
    let wide = width_mono(&words, ADDRESSES) + 14;
    let (left, right) = if to_the_left { (x - wide, x) } else { (x, x + wide) };
    let rect = Rect { left, top: 5, right, bottom: 25 };
    (rect, Mark::Tab { at: (left, 7), width: wide, to_the_left, words })
}

fn note_width(lines: &[String]) -> i64 {
    let first = lines.first().map_or(0, |line| width(line, WORDS));
    lines.iter().skip(1).map(|line| width_mono(line, ADDRESSES)).fold(first, i64::max) + 16
}

/// The columns' places, and how wide it all is.
fn columns(run: &Run<'_>) -> (Vec<i64>, i64) {
    let mut gaps: Vec<i64> = run
        .columns
        .windows(2)
        .map(|pair| {
            let [a, b] = [&pair[0], &pair[1]].map(|column| width(&name(column.name), 13) + 24);
            ((a + b) / 2 + 12).max(120)
        })
        .collect();
    let mut margins = [0, 0];
    let last = run.columns.len().saturating_sub(1);
    for step in &run.steps {
        let Some(column) = step.column else { continue };
        if let Some(flow) = step.leaves() {
            let words = step.packet.map_or(0, |packet| width(packet.label, WORDS));
            let wide = width_mono(&addresses(&flow), ADDRESSES).max(words) + 30;
            let direction = run.direction(column, run.heading(step));
            let next = run.heading(step).filter(|&next| next != column);
            let next = next.unwrap_or(column.saturating_add_signed(direction as isize)).min(last);
            let span = column.min(next)..column.max(next);
            let missing = wide - gaps[span.clone()].iter().sum::<i64>();
            if missing > 0 && !span.is_empty() {
                gaps[span.start] += missing;
            }
        }
        if let What::Says(happened) = step.what {
            let wide = note_width(&said(happened)) + 24;
            let margin = &mut margins[usize::from(column == last)];
            if column == 0 || column == last {
                *margin = wide.max(*margin);
            }
        }
    }
    let edge = |text: Option<&str>| text.map_or(0, |text| (width(&name(text), 13) + 24) / 2);
    let left = margins[0].max(edge(run.columns.first().map(|column| column.name))) + AXIS;
    let mut xs: Vec<i64> = run.columns.iter().take(1).map(|_| left).collect();
    for gap in gaps {
        xs.extend(xs.last().map(|x| x + gap));
    }
    let right = margins[1].max(edge(run.columns.last().map(|column| column.name))).max(40);
    let width = xs.last().copied().unwrap_or(AXIS) + right + 24;
    (xs, width)
}
