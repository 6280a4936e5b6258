//! How long it takes to connect: for every moment, the share of paths that were won by then.

use core::fmt::Write as _;

use crate::report::figures::{grouped, lasted, log2};
use crate::report::markup::{Sheet, Svg, width_mono, wrapped};
use crate::report::summary::Quantiles;
use crate::trace::Strategy;

use super::Matrix;

/// A colour and a dash pattern per strategy.
const SHEET: Sheet = Sheet {
    light: "\
.picture .curve{fill:none;stroke-width:2.25;stroke-linejoin:round}
.picture .mark{stroke:#ffffff;stroke-width:1.5}
.picture .s0{stroke:#1a7f37}.picture .m0{fill:#1a7f37}
.picture .s1{stroke:#0969da}.picture .m1{fill:#0969da}
.picture .s2{stroke:#8250df;stroke-dasharray:9 4}.picture .m2{fill:#8250df}
.picture .s3{stroke:#bc4c00;stroke-dasharray:2 4;stroke-linecap:round}.picture .m3{fill:#bc4c00}
.picture .sign{fill:#59636e}
",
    dark: "\
.picture .mark{stroke:#0d1117}
.picture .s0{stroke:#3fb950}.picture .m0{fill:#3fb950}
.picture .s1{stroke:#58a6ff}.picture .m1{fill:#58a6ff}
.picture .s2{stroke:#bc8cff}.picture .m2{fill:#bc8cff}
.picture .s3{stroke:#f0883e}.picture .m3{fill:#f0883e}
.picture .sign{fill:#9ea7b3}
",
    defs: "",
};

const LEFT: i64 = 72;
const TOP: i64 = 84;
const WIDTH: i64 = 660;
const HEIGHT: i64 = 280;
const RIGHT: i64 = LEFT + WIDTH + 36;

/// A picture of the times to connect of all pairs, a curve per strategy, with its median and the time that
/// a hundredth exceeds.
pub fn distribution_svg(matrix: &Matrix) -> String {
    picture(matrix, &matrix.command)
}

pub(super) fn picture(matrix: &Matrix, command: &str) -> String {
    let times = matrix.times();
    let mut svg = Svg::default();
    svg.text("title", (24, 36), "Time to connect, by how the path was won");
    svg.text("dim", (24, 57), &matrix.scope());
    let extremes = |values: &Vec<u32>| Some((*values.first()?, *values.last()?));
    let least = times.values().filter_map(extremes).map(|(least, _)| least).min();
    let most = times.values().filter_map(extremes).map(|(_, most)| most).max();
    let axis = Axis::over(least.unwrap_or(1_000), most.unwrap_or(1_000_000));
    frame(&mut svg, &axis);
    for (&strategy, values) in &times {
        curve(&mut svg, &axis, strategy, values);
    }
    // Marks lie over all curves.
    for (&strategy, values) in &times {
        marks(&mut svg, &axis, strategy, values);
    }
    let mut y = TOP + HEIGHT + 78;
    if times.is_empty() {
        svg.text("dim middle", (LEFT + WIDTH / 2, TOP + HEIGHT / 2 + 4), "no path was won");
    } else {
        y = table(&mut svg, &times, y);
    }
    for line in wrapped(command, ((RIGHT - 48) / width_mono("0", 11)) as usize) {
        svg.text("code", (24, y + 6), &line);
        y += 16;
    }
    svg.finish((RIGHT, y + 10), "Share of paths won by a given time, per strategy", &SHEET)
}

/// Time from left to right, each doubling as wide as the next.
struct Axis {
    least: u64,
    most: u64,
}

impl Axis {
    /// From the round number below to the one above.
    fn over(least: u32, most: u32) -> Self {
        let (least, most) = (u64::from(least.max(1)), u64::from(most.max(1)));
        let below = Self::round_numbers().take_while(|&tick| tick <= least).last().unwrap_or(1);
        let above = Self::round_numbers().find(|&tick| tick >= most && tick > below).unwrap_or(u64::MAX);
        Self { least: below, most: above }
    }

    /// 1, 2, 5, 10, 20, 50, … as far as 32 bits and a little farther.
    fn round_numbers() -> impl Iterator<Item = u64> {
        (0..11).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)))
    }

    /// Ticks to be labelled; fewer where they would crowd.
    fn ticks(&self) -> Vec<u64> {
        let all: Vec<u64> =
            Self::round_numbers().filter(|tick| (self.least..=self.most).contains(tick)).collect();
        if all.len() <= 13 {
            return all;
        }
        all.into_iter().filter(|&tick| 10u64.pow(tick.ilog10()) == tick).collect()
    }

    /// The tenths of a pixel where a time lies.
    fn at(&self, micros: u64) -> i64 {
        let (from, to) = (log2(self.least), log2(self.most));
        LEFT * 10 + (log2(micros.clamp(self.least, self.most)) - from) * WIDTH * 10 / (to - from).max(1)
    }
}

fn frame(svg: &mut Svg, axis: &Axis) {
    for quarter in 0..=4 {
        let y = TOP + HEIGHT - HEIGHT * quarter / 4;
        svg.line(if quarter == 0 { "axis" } else { "rule" }, (LEFT, y), (LEFT + WIDTH, y));
        svg.text("small dim end", (LEFT - 8, y + 4), &format!("{} %", quarter * 25));
    }
    for tick in axis.ticks() {
        let x = axis.at(tick) / 10;
        svg.line("rule", (x, TOP), (x, TOP + HEIGHT + 5));
        svg.text("small dim middle", (x, TOP + HEIGHT + 19), &round(tick));
    }
    svg.text("small dim end", (LEFT + WIDTH, TOP + HEIGHT + 38), "time to connect (logarithmic) →");
}

/// A round number of microseconds.
fn round(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{} s", grouped(micros / 1_000_000)),
    }
}

/// Steps up by one path each, but not more often than there are pixels.
fn curve(svg: &mut Svg, axis: &Axis, strategy: Strategy, sorted: &[u32]) {
    let mut path = String::new();
    let mut rest = sorted.iter().enumerate().peekable();
    while let Some((index, &value)) = rest.next() {
        let x = axis.at(value.into()) / 10;
        if rest.peek().is_some_and(|&(_, &next)| axis.at(next.into()) / 10 == x) {
            continue;
        }
        let y = height(index + 1, sorted.len());
        let _ = match path.is_empty() {
            true => write!(path, "M{x} {}V{}.{}", TOP + HEIGHT, y / 10, y % 10),
            false => write!(path, "H{x}V{}.{}", y / 10, y % 10),
        };
    }
    svg.path(&format!("curve s{}", number(strategy)), &path);
}

/// The tenths of a pixel where so many of so many lie.
fn height(part: usize, of: usize) -> i64 {
    let rise = part as u128 * (HEIGHT as u128) * 10 / (of.max(1) as u128);
    (TOP + HEIGHT) * 10 - rise as i64
}

fn marks(svg: &mut Svg, axis: &Axis, strategy: Strategy, sorted: &[u32]) {
    let Some(Quantiles { p50, p99, .. }) = Quantiles::of_sorted(sorted) else { return };
    let class = format!("mark m{}", number(strategy));
    svg.titled(&format!("{strategy}: p50 {}", lasted(p50.into())), |svg| {
        svg.circle(&class, (axis.at(p50.into()) / 10, TOP + HEIGHT / 2), 6);
    });
    svg.titled(&format!("{strategy}: p99 {}", lasted(p99.into())), |svg| {
        diamond(svg, &class, (axis.at(p99.into()) / 10, TOP + HEIGHT / 100), 7);
    });
}

fn diamond(svg: &mut Svg, class: &str, (x, y): (i64, i64), radius: i64) {
    svg.path(
        class,
        &format!("M{} {y}L{x} {}L{} {y}L{x} {}Z", x - radius, y - radius, x + radius, y + radius),
    );
}

/// The numbers below the curves; returns where it ends.
fn table(svg: &mut Svg, times: &std::collections::BTreeMap<Strategy, Vec<u32>>, top: i64) -> i64 {
    let columns = [LEFT + 300, LEFT + 420, LEFT + 540];
    svg.text("small dim end", (columns[0], top), "paths won");
    for (column, (sign, words)) in columns[1..].iter().zip([(false, "p50"), (true, "p99")]) {
        svg.text("small dim end", (*column, top), words);
        match sign {
            false => svg.circle("sign", (column - 32, top - 4), 5),
            true => diamond(svg, "sign", (column - 32, top - 4), 6),
        }
    }
    let mut y = top + 8;
    svg.line("rule", (LEFT, y), (columns[2], y));
    for (&strategy, values) in times {
        let Some(Quantiles { n, p50, p99 }) = Quantiles::of_sorted(values) else { continue };
        y += 20;
        svg.path(&format!("curve s{}", number(strategy)), &format!("M{LEFT} {}h44", y - 4));
        svg.text("strong", (LEFT + 56, y), &strategy.to_string());
        let numbers = [grouped(n.into()), lasted(p50.into()), lasted(p99.into())];
        for (column, number) in columns.iter().zip(&numbers) {
            svg.text("end", (*column, y), number);
        }
    }
    y + 26
}

/// The number of its colour.
fn number(strategy: Strategy) -> u8 {
    match strategy {
        Strategy::Host => 0,
        Strategy::Punch => 1,
        Strategy::PeerReflexive => 2,
        Strategy::Relay => 3,
        Strategy::Guess | Strategy::Bracket => 4,
        Strategy::Birthday | Strategy::Volley => 5,
    }
}
