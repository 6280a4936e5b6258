//! The ladder as a picture.

use crate::report::figures::{clock, grouped};
use crate::report::markup::{Sheet, Svg, width, width_mono, wrapped};
use crate::trace::{Trace, What};

use super::Title;
use super::hops::{Run, Step};
use super::layout::{Layout, Mark, name};

/// A host's line is whole, a gateway's dashed; a lost packet's is dotted and ends in a cross.
const SHEET: Sheet = Sheet {
    light: "\
.picture .host{stroke:#818b98;stroke-width:1.5}
.picture .gateway{stroke:#818b98;stroke-width:1.5;stroke-dasharray:6 4}
.picture .box{fill:#f6f8fa;stroke:#818b98}
.picture .stripe{fill:#818b98}
.picture .hop{stroke:#1f2328;stroke-width:1.25;marker-end:url(#tip)}
.picture .tip{fill:#1f2328}
.picture .gone{stroke:#b3261e;stroke-width:1.25;stroke-dasharray:3 3}
.picture .going{stroke:#818b98;stroke-width:1.25;stroke-dasharray:1 3}
.picture .cut{stroke:#b3261e;stroke-width:2.5;stroke-linecap:round;fill:none}
.picture .point{fill:#1f2328}
.picture text.words{font-size:11px}
.picture text.reason{font-size:11px;font-weight:600;fill:#b3261e}
.picture text.addresses{font-family:ui-monospace,SFMono-Regular,Menlo,\"DejaVu Sans Mono\",monospace;\
font-size:10px;fill:#59636e}
.picture .over text,.picture text.over{paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}
.picture .tab{fill:#fff1cc;stroke:#9a6700}
.picture text.tabbed{font-family:ui-monospace,SFMono-Regular,Menlo,\"DejaVu Sans Mono\",monospace;\
font-size:10px;fill:#633c01}
.picture .flag{fill:#9a6700}
.picture .note{fill:#f6f8fa;stroke:#b0b8c1}
.picture .won{fill:#d3f3dc;stroke:#1a7f37;stroke-width:1.5}
.picture .bad{fill:#ffe3e0;stroke:#b3261e;stroke-width:1.5}
.picture .band{fill:#ffe3e0;stroke:#b3261e;stroke-dasharray:8 3}
.picture .zigzag{stroke:#818b98;stroke-width:1.5;fill:none}
",
    dark: "\
.picture .host,.picture .gateway,.picture .zigzag{stroke:#768390}
.picture .box{fill:#161b22;stroke:#768390}
.picture .stripe{fill:#768390}
.picture .hop{stroke:#e6edf3}
.picture .tip,.picture .point{fill:#e6edf3}
.picture .gone,.picture .cut{stroke:#ff8f85}
.picture .going{stroke:#768390}
.picture text.reason{fill:#ff8f85}
.picture text.addresses{fill:#9ea7b3}
.picture .over text,.picture text.over{stroke:#0d1117}
.picture .tab{fill:#3a2a05;stroke:#d29922}
.picture text.tabbed{fill:#f2cc70}
.picture .flag{fill:#d29922}
.picture .note{fill:#161b22;stroke:#545d68}
.picture .won{fill:#0f3a1c;stroke:#3fb950}
.picture .bad,.picture .band{fill:#4a1512;stroke:#ff8f85}
",
    defs: "\
<defs>
<marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"tip\" d=\"M0 0.8L8 4L0 7.2Z\"/></marker>
</defs>
",
};

/// How far down the names end.
const TOP: i64 = 120;

/// A picture of the first `limit` records of a run.
pub fn svg(trace: &Trace, title: &Title, limit: usize) -> String {
    let run = Run::new(trace, limit);
    let layout = Layout::new(&run, TOP);
    let width = layout.width.max(width(&title.title, 18) + 48).max(480);
    let mut svg = Svg::default();
    svg.text("title", (24, 36), &title.title);
    legend(&mut svg);
    lifelines(&mut svg, &run, &layout);
    for mark in &layout.marks {
        if let Mark::Band { y, words } = mark {
            band(&mut svg, &layout, *y, words);
        }
    }
    for (index, step) in run.steps.iter().enumerate() {
        hop(&mut svg, &run, &layout, index, step);
    }
    for mark in &layout.marks {
        draw(&mut svg, mark);
    }
    for (y, at) in &layout.times {
        svg.text("small dim end", (84, y + 4), &clock(*at));
    }
    let mut y = layout.bottom;
    if layout.bottom > 900 {
        y = layout.bottom + 28;
        names(&mut svg, &run, &layout, layout.bottom);
    }
    y += 22;
    if run.steps.is_empty() {
        svg.text("dim", (24, y), "nothing happened");
        y += 20;
    }
    if run.left_out > 0 {
        svg.text("dim", (24, y), &format!("… and {} more", grouped(run.left_out as u64)));
        y += 20;
    }
    for line in wrapped(&title.command, ((width - 48) / width_mono("0", 11)).max(20) as usize) {
        svg.text("code", (24, y), &line);
        y += 16;
    }
    svg.finish((width, y), "What happened to each packet, from top to bottom", &SHEET)
}

fn legend(svg: &mut Svg) {
    svg.rounded("tab", (24, 51), (26, 12));
    svg.rect("flag", (47, 51), (3, 12));
    svg.text("small dim", (58, 61), "a NAT makes a mapping: inside ⇒ public");
    svg.path("cut", "M306 52l10 10m0 -10l-10 10");
    svg.text("small dim", (324, 61), "a packet ends, and why");
}

fn lifelines(svg: &mut Svg, run: &Run<'_>, layout: &Layout) {
    for (column, &x) in run.columns.iter().zip(&layout.xs) {
        svg.line(if column.gateway { "gateway" } else { "host" }, (x, TOP), (x, layout.bottom));
    }
    for (y, words) in &layout.breaks {
        for &x in &layout.xs {
            svg.rect("paper", (x - 4, y - 8), (8, 16));
            svg.path("zigzag", &format!("M{x} {}l5 4l-10 4l10 4l-5 4", y - 8));
        }
        svg.text("small dim end", (84, y + 4), words);
    }
    names(svg, run, layout, TOP - 28);
}

fn names(svg: &mut Svg, run: &Run<'_>, layout: &Layout, top: i64) {
    for (column, &x) in run.columns.iter().zip(&layout.xs) {
        let name = name(column.name);
        let wide = width(&name, 13) + 22;
        if column.gateway {
            // A wall between two sides.
            svg.rect("box", (x - wide / 2, top), (wide, 28));
            svg.rect("stripe", (x - wide / 2, top), (4, 28));
            svg.rect("stripe", (x - wide / 2 + wide - 4, top), (4, 28));
        } else {
            svg.rounded("box", (x - wide / 2, top), (wide, 28));
        }
        svg.text("strong middle", (x, top + 18), &name);
    }
}

fn hop(svg: &mut Svg, run: &Run<'_>, layout: &Layout, index: usize, step: &Step<'_>) {
    let y = layout.ys[index];
    let start = step.from.and_then(|from| Some((layout.xs[run.steps[from].column?], layout.outs[from])));
    match (step.what, start) {
        (What::Received | What::Crossed(_) | What::TurnedRound(_), Some(start)) => {
            let Some(column) = step.column else { return };
            svg.line("hop", start, (layout.xs[column], y));
        }
        (What::Received | What::Crossed(_) | What::TurnedRound(_), None) => {
            // Its leaving is not among the records.
            let Some(column) = step.column else { return };
            svg.circle("point", (layout.xs[column], y), 3);
        }
        (What::Dropped(_), start) => {
            let (x, _) = layout.end(run, step);
            if let Some(start) = start {
                svg.line("gone", start, (x, y));
            }
            svg.path("cut", &format!("M{} {}l10 10m0 -10l-10 10", x - 5, y - 5));
        }
        _ => {}
    }
    if let (None, Some(_), Some(column)) = (step.to, step.leaves(), step.column) {
        // Still on its way when the records end.
        let direction = run.direction(column, run.heading(step));
        let y = layout.outs[index];
        svg.line("going", (layout.xs[column], y), (layout.beside(column, direction), y + 12));
    }
}

fn band(svg: &mut Svg, layout: &Layout, y: i64, words: &str) {
    svg.rect("band", (92, y - 10), (layout.width - 104, 20));
    svg.text("words strong over", (104, y + 4), words);
}

fn draw(svg: &mut Svg, mark: &Mark) {
    match mark {
        Mark::Hop { at: (x, y), to_the_left, words, addresses } => {
            let (x, end) = if *to_the_left { (x - 8, " end") } else { (x + 8, "") };
            svg.text(&format!("words over{end}"), (x, y - 16), words);
            svg.text(&format!("addresses over{end}"), (x, y - 4), addresses);
        }
        Mark::Tab { at: (x, y), width, to_the_left, words } => {
            svg.rounded("tab", (*x, *y), (*width, 16));
            svg.rect("flag", (if *to_the_left { x + width - 3 } else { *x }, *y), (3, 16));
            svg.text("tabbed middle", (x + width / 2, y + 12), words);
        }
        Mark::Note { at: (x, y), size, column, lines, tone } => {
            let near = if x < column { x + size.0 } else { *x };
            svg.line("axis", (*column, y + 8), (near, y + 8));
            svg.circle("point", (*column, y + 8), 3);
            svg.rounded(tone, (*x, *y), *size);
            for (index, line) in (0..).zip(lines) {
                let class = if index == 0 { "words strong" } else { "addresses" };
                svg.text(class, (x + 8, y + 14 + index * 13), line);
            }
        }
        Mark::Reason { at: (x, y), to_the_left, words } => {
            let (x, end) = if *to_the_left { (x - 10, " end") } else { (x + 10, "") };
            svg.text(&format!("reason over{end}"), (x, y + 4), words);
        }
        Mark::Band { .. } => {}
    }
}
