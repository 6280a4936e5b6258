//! The heat map: a cell per pair, filled in proportion to what its runs came to.

use crate::report::figures::Share;
use crate::report::markup::{Sheet, Svg, width_mono, wrapped};

use super::grid::Grid;
use super::{Cell, Matrix};

/// Solid, hatched and cross-hatched: grey paper and any eye can tell them apart.
pub(super) const SHEET: Sheet = Sheet {
    light: "\
.picture text.name{font-size:13px}
.picture text.share{font-size:16px;font-weight:600;text-anchor:middle}
.picture text.other{font-size:10px;text-anchor:middle}
.picture .direct{fill:#9ccbf0}
.picture .relayed{fill:#ffd782}
.picture .failed{fill:#f4a59c}
.picture .none{fill:none;stroke:#d1d9e0;stroke-dasharray:3 3}
.picture .hatch{stroke:#b98100;stroke-opacity:.45;fill:none}
.picture .cross{stroke:#a3261c;stroke-opacity:.4;fill:none}
.picture .over-relayed{fill:url(#hatch)}
.picture .over-failed{fill:url(#cross)}
.picture .broken{fill:none;stroke:#1f2328;stroke-width:3}
.picture .badge{fill:#1f2328}
.picture text.badged{font-size:12px;font-weight:700;fill:#ffffff;text-anchor:middle}
.picture .load0{fill:#eef3f8}
.picture .load1{fill:#d9e8f6}
.picture .load2{fill:#bcd9f1}
.picture .load3{fill:#9cc6e9}
.picture .load4{fill:#7db1df}
",
    dark: "\
.picture .direct{fill:#17568c}
.picture .relayed{fill:#7a5608}
.picture .failed{fill:#8f2d29}
.picture .none{stroke:#3d444d}
.picture .hatch{stroke:#f0c050;stroke-opacity:.3}
.picture .cross{stroke:#ff9a90;stroke-opacity:.35}
.picture .broken{stroke:#ffffff}
.picture .badge{fill:#ffffff}
.picture text.badged{fill:#0d1117}
.picture .load0{fill:#161d26}
.picture .load1{fill:#14304c}
.picture .load2{fill:#164168}
.picture .load3{fill:#185585}
.picture .load4{fill:#1b69a3}
",
    defs: "\
<defs>
<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"hatch\" d=\"M-1 7L7 -1M-1 1L1 -1M5 7L7 5\"/></pattern>
<pattern id=\"cross\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path class=\"cross\" d=\"M0 0L6 6M6 0L0 6\"/></pattern>
</defs>
",
};

/// A picture of every pair: what its runs came to, and how many of a hundred are direct.
pub fn svg(matrix: &Matrix) -> String {
    picture(matrix, &matrix.command)
}

pub(super) fn picture(matrix: &Matrix, command: &str) -> String {
    let mut svg = Svg::default();
    svg.text("title", (24, 36), "Who reaches whom directly, in percent of runs");
    svg.text("dim", (24, 57), &matrix.scope());
    let grid = Grid::new(&mut svg, &matrix.nats, 66);
    for row in 0..matrix.nats.len() {
        for column in 0..matrix.nats.len() {
            let at = grid.at(row, column);
            match matrix.cell(row, column) {
                Some(cell) => svg.titled(&cell.sentence(matrix), |svg| draw(svg, cell, at)),
                None => svg.rect("none", at, Grid::CELL),
            }
        }
    }
    let legend_end = legend(&mut svg, (grid.left(), grid.bottom() + 20));
    let width = grid.width().max(legend_end).max(480);
    let mut y = grid.bottom() + 68;
    for line in wrapped(command, ((width - 48) / width_mono("0", 11)).max(20) as usize) {
        svg.text("code", (24, y), &line);
        y += 16;
    }
    svg.finish((width, y + 4), "Heat map of direct, relayed and failed connections per pair of NATs", &SHEET)
}

fn draw(svg: &mut Svg, cell: &Cell, (x, y): (i64, i64)) {
    let (width, height) = Grid::CELL;
    let mut left = x;
    for (class, share) in parts(cell, width) {
        svg.rect(class, (left, y), (share, height));
        if class != "direct" {
            svg.rect(
                if class == "failed" { "over-failed" } else { "over-relayed" },
                (left, y),
                (share, height),
            );
        }
        left += share;
    }
    let middle = x + width / 2;
    let other = cell.otherwise();
    let share = cell.direct_share().to_string();
    svg.text("share", (middle, y + if other.is_some() { 20 } else { 26 }), &share);
    if let Some((what, runs)) = other {
        svg.text("other", (middle, y + 33), &format!("{}{what}", rest(cell, runs)));
    }
    if cell.broken > 0 {
        svg.rect("broken", (x + 1, y + 1), (width - 2, height - 2));
        badge(svg, (x + width - 4, y + 4));
    }
}

/// How many percent `runs` are, if that is worth saying. Where nothing else is left it completes the cell's
/// number to 100, whatever was rounded.
fn rest(cell: &Cell, runs: u32) -> String {
    let two = cell.relayed == 0 || cell.failed == 0;
    let percent = match cell.direct_share().percent() {
        Some(direct) if two => Some(100 - direct.min(100)),
        _ => Share { part: runs, of: cell.runs }.percent(),
    };
    match percent {
        Some(0) => "<1 ".to_owned(),
        Some(percent @ 1..100) => format!("{percent} "),
        _ => String::new(),
    }
}

fn badge(svg: &mut Svg, (x, y): (i64, i64)) {
    svg.circle("badge", (x, y), 8);
    svg.text("badged", (x, y + 4), "!");
}

/// How wide the parts of a cell are. What is there at all is at least 3 pixels wide.
fn parts(cell: &Cell, width: i64) -> Vec<(&'static str, i64)> {
    let counts = [("direct", cell.direct), ("relayed", cell.relayed), ("failed", cell.failed)];
    let sum: i64 = counts.iter().map(|&(_, count)| i64::from(count)).sum();
    let mut parts: Vec<(&'static str, i64)> = counts
        .into_iter()
        .filter(|&(_, count)| count > 0)
        .map(|(class, count)| (class, (i64::from(count) * width / sum).max(3)))
        .collect();
    // What rounding left over or took goes to the widest.
    let rest = width - parts.iter().map(|&(_, width)| width).sum::<i64>();
    if let Some((_, widest)) = parts.iter_mut().max_by_key(|&&mut (_, width)| width) {
        *widest += rest;
    }
    parts
}

/// Returns where it ends.
fn legend(svg: &mut Svg, (left, y): (i64, i64)) -> i64 {
    let mut x = left;
    for (class, over, words, step) in [
        ("direct", "", "direct", 84),
        ("relayed", "over-relayed", "relayed", 94),
        ("failed", "over-failed", "failed", 84),
    ] {
        svg.rect(class, (x, y), (26, 18));
        if !over.is_empty() {
            svg.rect(over, (x, y), (26, 18));
        }
        svg.text("small", (x + 33, y + 13), words);
        x += step;
    }
    svg.rect("broken", (x + 1, y + 1), (24, 16));
    badge(svg, (x + 26, y + 2));
    svg.text("small", (x + 40, y + 13), "broke an invariant");
    x + 170
}
