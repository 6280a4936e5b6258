//! The codec comparison: bradawl beside the STUN libraries of crates.io, one table, one run.
//!
//! ```text
//! cargo bench -p bradawl-benches --bench codec -- [--check] [--json] [--no-callgrind] [ROW | LIBRARY]...
//! ```
//!
//! Without arguments it measures every operation of every library and prints instructions,
//! nanoseconds and allocations per operation. `--check` adds our targets and ends with 1 when one
//! is missed. Names of rows or libraries restrict it. `--op LIBRARY ROW --iterations N` does one
//! operation N times and nothing else: that is what it runs itself as under callgrind, and what a
//! profiler wants to see.

mod fixture;
mod floor;
mod library;
mod measure;
mod ours;
mod peers;
mod table;

use std::process::ExitCode;

use library::{Entry, Row};
use table::Table;

static OURS: Entry = Entry::of::<ours::Ours>();

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("codec: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    if let [op, library, row, flag, iterations] = arguments
        && (op.as_str(), flag.as_str()) == (measure::OPERATION, "--iterations")
    {
        let entry = entries().find(|entry| entry.name == library).ok_or("no such library")?;
        let row = Row::ALL.into_iter().find(|known| known.name() == row).ok_or("no such row")?;
        let iterations = iterations.parse().map_err(|error| format!("--iterations: {error}"))?;
        (entry.run)(row, iterations);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut check, mut json, mut callgrind, mut names) = (false, false, true, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--check" => check = true,
            "--json" => json = true,
            "--no-callgrind" => callgrind = false,
            "--bench" => {} // what cargo says to every bench
            name if is_name(name) => names.push(name),
            other => return Err(format!("no such option, row or library: {other}")),
        }
    }
    if callgrind && !bradawl_benches::callgrind::is_available() {
        callgrind = false;
        eprintln!("codec: no valgrind here, so no instructions: nanoseconds and allocations only");
    }
    let table = fill(&names, callgrind)?;
    print!("{}", if json { table.json() } else { table.text() });
    let (verdict, met) = table.verdict();
    if check {
        eprint!("\n{verdict}");
        if !callgrind {
            eprintln!("codec: targets in instructions were not looked at");
        }
    }
    Ok(if check && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The floor, we, the peers: the order of [`table::FLOOR`] and [`table::OURS`].
fn entries() -> impl Iterator<Item = &'static Entry> {
    [&floor::FLOOR, &OURS].into_iter().chain(&peers::PEERS)
}

fn is_name(name: &str) -> bool {
    Row::ALL.iter().any(|row| row.name() == name) || entries().any(|entry| entry.name == name)
}

/// Measures what `names` leave; the floor and we are always there.
fn fill(names: &[&str], callgrind: bool) -> Result<Table, String> {
    let any_row = !names.iter().any(|name| Row::ALL.iter().any(|row| row.name() == *name));
    let any_library = !names.iter().any(|name| entries().any(|entry| entry.name == *name));
    let entries: Vec<_> = entries()
        .enumerate()
        .filter(|(at, entry)| *at <= table::OURS || any_library || names.contains(&entry.name))
        .map(|(_, entry)| entry)
        .collect();
    let mut costs = Vec::new();
    for row in Row::ALL.into_iter().filter(|row| any_row || names.contains(&row.name())) {
        let cells = entries.iter().map(|entry| {
            let offered = entry.rows.contains(&row);
            offered.then(|| measure::measure(entry, row, callgrind)).transpose()
        });
        costs.push((row, cells.collect::<Result<_, _>>()?));
    }
    Ok(Table { entries, costs })
}
