//! The matrix for a terminal.

use core::fmt::Write as _;

use crate::report::figures::{counted, elided, grouped, lasted, tenths_of_percent};
use crate::report::summary::Quantiles;

use super::{Cell, Matrix};

/// Longer names are cut.
const LONGEST: usize = 24;

/// A table of the direct shares, and the sums. Each pair stands once; a column is called by the number of
/// its row, so that it is narrow.
pub fn text(matrix: &Matrix) -> String {
    let mut out = format!("direct paths in percent: {}\n\n", matrix.scope());
    let names: Vec<String> = matrix.nats.iter().map(|name| elided(name, LONGEST)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // A matrix with every pair once is a triangle.
    let triangle = matrix.cells.iter().all(|cell| cell.a <= cell.b);
    let _ = write!(out, "{:widest$}   ", "");
    for column in 1..=names.len() {
        let _ = write!(out, "{column:>5} ");
    }
    trim(&mut out);
    for (row, name) in names.iter().enumerate() {
        let _ = write!(out, "{:>2} {name:widest$}", row + 1);
        let columns = if triangle { row + 1 } else { names.len() };
        for column in 0..columns {
            match matrix.cell(row, column) {
                Some(cell) => {
                    let _ = write!(out, " {:>4}{}", cell.direct_share(), mark(cell));
                }
                None => out.push_str("    · "),
            }
        }
        trim(&mut out);
    }
    out.push_str("\nr: the others mostly relayed   x: mostly failed   !: broke an invariant\n\n");
    sums(matrix, &mut out);
    out
}

fn mark(cell: &Cell) -> char {
    match cell.otherwise() {
        _ if cell.broken > 0 => '!',
        Some(("relayed", _)) => 'r',
        Some(_) => 'x',
        None => ' ',
    }
}

fn sums(matrix: &Matrix, out: &mut String) {
    let total = matrix.total();
    let _ = writeln!(
        out,
        "{}: {} direct, {} relayed, {} failed, {} broke an invariant",
        counted(total.runs, "run", "runs"),
        tenths_of_percent(total.direct, total.runs),
        tenths_of_percent(total.relayed, total.runs),
        tenths_of_percent(total.failed, total.runs),
        grouped(total.broken)
    );
    for (strategy, values) in matrix.times() {
        let Some(Quantiles { n, p50, p99 }) = Quantiles::of_sorted(&values) else { continue };
        let _ = writeln!(
            out,
            "  {:<14} {:>9} won    p50 {:>7}    p99 {:>7}",
            strategy.to_string(),
            grouped(n.into()),
            lasted(p50.into()),
            lasted(p99.into())
        );
    }
    for cell in matrix.cells.iter().filter(|cell| cell.broken > 0) {
        let _ = writeln!(out, "! {}", cell.sentence(matrix));
    }
}

/// Ends a line without leaving blanks at its end.
fn trim(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}
