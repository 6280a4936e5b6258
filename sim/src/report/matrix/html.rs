//! The whole of a matrix as one page, which needs nothing but itself.

use core::fmt::Write as _;

use crate::report::figures::{Share, grouped, lasted, tenths_of_percent};
use crate::report::markup::{Escaped, Svg};
use crate::report::summary::Quantiles;

use super::grid::Grid;
use super::{Matrix, Pair, distribution, heat};

const STYLE: &str = "\
:root{color-scheme:light dark}
body{margin:0 auto;max-width:1240px;padding:24px 16px 64px;background:#ffffff;color:#1f2328;\
font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif}
h1{font-size:26px;margin:8px 0 2px}
h2{font-size:19px;margin:40px 0 8px}
p{max-width:72ch}
.scope{margin:0;color:#59636e}
code{font:13px ui-monospace,SFMono-Regular,Menlo,\"DejaVu Sans Mono\",monospace;overflow-wrap:anywhere}
.tiles{display:flex;flex-wrap:wrap;gap:12px;padding:0;margin:20px 0;list-style:none}
.tiles li{flex:1 1 130px;border:1px solid #d1d9e0;border-radius:8px;padding:10px 14px}
.tiles b{display:block;font-size:23px;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
figure{margin:0}
figure svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid #d1d9e0}
th{background:#f6f8fa;font-weight:600;vertical-align:bottom}
th.l,td.l{text-align:left}
td.bad{font-weight:700;color:#b3261e}
tbody tr:hover{background:#f6f8fa}
";

const STYLE_DARK: &str = "\
body{background:#0d1117;color:#e6edf3}
.scope{color:#9ea7b3}
.tiles li,th,td{border-color:#30363d}
th,tbody tr:hover{background:#161b22}
td.bad{color:#ff8f85}
";

/// A page with the heat map, the times to connect, the packets, and a table of all pairs.
pub fn html(matrix: &Matrix) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    let _ = writeln!(page, "<title>NAT traversal: {}</title>", Escaped(&matrix.scope()));
    let _ =
        write!(page, "<style>\n{STYLE}@media (prefers-color-scheme: dark) {{\n{STYLE_DARK}}}\n</style>\n");
    page.push_str("</head>\n<body>\n<h1>NAT traversal, pair by pair</h1>\n");
    let _ = writeln!(page, "<p class=\"scope\">{}</p>", Escaped(&matrix.scope()));
    if !matrix.command.is_empty() {
        let _ = writeln!(page, "<p class=\"scope\"><code>{}</code></p>", Escaped(&matrix.command));
    }
    tiles(matrix, &mut page);
    page.push_str("<h2>Direct, relayed, failed</h2>\n");
    page.push_str(
        "<p>Each cell is filled in proportion to what its runs came to. Point at one for its numbers.</p>\n",
    );
    figure(&heat::picture(matrix, ""), &mut page);
    page.push_str("<h2>Time to connect</h2>\n");
    page.push_str("<p>For every moment, the share of the paths of that kind that were won by then.</p>\n");
    figure(&distribution::picture(matrix, ""), &mut page);
    page.push_str(
        "<h2>Packets</h2>\n<p>What both sides sent until they had a path: the median, and below it ",
    );
    page.push_str("what one run in a hundred exceeds. The stronger the colour, the more.</p>\n");
    figure(&packets(matrix), &mut page);
    page.push_str("<h2>All pairs</h2>\n");
    table(matrix, &mut page);
    page.push_str("</body>\n</html>\n");
    page
}

fn figure(svg: &str, page: &mut String) {
    let _ = write!(page, "<figure class=\"scroll\">\n{svg}</figure>\n");
}

fn tiles(matrix: &Matrix, page: &mut String) {
    let total = matrix.total();
    let share = |part| tenths_of_percent(part, total.runs);
    page.push_str("<ul class=\"tiles\">\n");
    for (number, words) in [
        (grouped(total.runs), "runs"),
        (share(total.direct), "direct"),
        (share(total.relayed), "relayed"),
        (share(total.failed), "failed"),
        (grouped(total.broken), "broke an invariant"),
    ] {
        let _ = writeln!(page, "<li><b>{}</b>{words}</li>", Escaped(&number));
    }
    page.push_str("</ul>\n");
}

/// The grid of the packets. A step in colour is four times as many: 16, 64, 256, 1,024.
fn packets(matrix: &Matrix) -> String {
    let mut svg = Svg::default();
    let grid = Grid::new(&mut svg, &matrix.nats, 8);
    for row in 0..matrix.nats.len() {
        for column in 0..matrix.nats.len() {
            let (x, y) = grid.at(row, column);
            let cell = matrix.cell(row, column);
            let Some((cell, Quantiles { p50, p99, .. })) =
                cell.and_then(|cell| Some((cell, Quantiles::of(cell.packets.iter().copied())?)))
            else {
                svg.rect("none", (x, y), Grid::CELL);
                continue;
            };
            let [a, b] = [cell.a, cell.b].map(|index| matrix.name(index));
            svg.titled(&format!("{a} × {b}: p50 {p50}, p99 {p99} packets"), |svg| {
                let load = ((p50.max(4) / 4).ilog2() / 2).min(4);
                svg.rect(&format!("load{load}"), (x, y), Grid::CELL);
                let (middle, width) = (x + Grid::CELL.0 / 2, 6);
                svg.text("share", (middle, y + 20), &short(p50, width));
                svg.text("other", (middle, y + 33), &format!("p99 {}", short(p99, width)));
            });
        }
    }
    svg.finish((grid.width(), grid.bottom() + 12), "Packets per pair of NATs: median and p99", &heat::SHEET)
}

/// A count that fits into a cell.
fn short(count: u32, width: usize) -> String {
    let exact = grouped(count.into());
    match count {
        _ if exact.len() <= width => exact,
        0..1_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", grouped(u64::from(count) / 1_000_000)),
    }
}

fn table(matrix: &Matrix, page: &mut String) {
    page.push_str("<div class=\"scroll\">\n<table>\n<thead>\n<tr><th class=\"l\">pair</th>");
    page.push_str("<th class=\"l\">expected</th><th>runs</th><th>direct</th><th>relayed</th><th>failed</th>");
    page.push_str(
        "<th>broken</th><th class=\"l\">time to connect: p50, p99</th><th>packets: p50, p99</th></tr>\n",
    );
    page.push_str("</thead>\n<tbody>\n");
    for pair in matrix.summary().pairs {
        row(&pair, page);
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

fn row(pair: &Pair, page: &mut String) {
    let _ = write!(
        page,
        "<tr><td class=\"l\">{} × {}</td><td class=\"l\">{}</td><td>{}</td>",
        Escaped(&pair.a),
        Escaped(&pair.b),
        Escaped(&pair.expectation),
        grouped(pair.runs.into())
    );
    for part in [pair.direct, pair.relayed, pair.failed] {
        let share = Share { part, of: pair.runs }.to_string();
        let _ = write!(page, "<td>{} %</td>", Escaped(&share));
    }
    let class = if pair.broken > 0 { " class=\"bad\"" } else { "" };
    let _ = write!(page, "<td{class}>{}</td><td class=\"l\">", grouped(pair.broken.into()));
    for (index, (strategy, Quantiles { p50, p99, .. })) in pair.time_us.iter().enumerate() {
        let between = if index == 0 { "" } else { "<br>" };
        let (p50, p99) = (lasted((*p50).into()), lasted((*p99).into()));
        let _ = write!(page, "{between}{} {p50}, {p99}", Escaped(strategy));
    }
    page.push_str("</td><td>");
    if let Some(Quantiles { p50, p99, .. }) = pair.packets {
        let _ = write!(page, "{}, {}", grouped(p50.into()), grouped(p99.into()));
    }
    page.push_str("</td></tr>\n");
}
