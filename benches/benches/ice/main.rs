//! The comparison of ICE agents: how soon two of them have a pair, in virtual time.
//!
//! ```text
//! cargo bench -p bradawl-benches --bench ice -- [--check] [--mixed] [--as-host] [--seeds N] [--no-callgrind] [CELL | LIBRARY]...
//! ```
//!
//! Two agents learn of each other at the same moment, each of the other's one public address. Each
//! is behind a box of its own; a packet takes D and is lost with a given chance. Everything is drawn
//! from seeds, nothing waits. The table says when the controlling side (A), the controlled side (B)
//! and both had a pair that data may be sent on, and what was sent. Names of cells or libraries
//! restrict it. `--mixed` adds the connections between agents of different libraries, `--check` our
//! targets; it ends with 1 when one is missed. With `--as-host` an address that a STUN server told is
//! given to the other side as if it were its socket's, which spares an agent the time that it leaves
//! for better pairs. `--interop` asks whether ours and the others connect at all, row by row, and nothing
//! else. `--connect LIBRARY --iterations N` makes N
//! connections and nothing else: that is what it runs itself as under callgrind.

mod contender;
mod interop;
mod measure;
mod ours;
mod peers;
mod race;
mod table;
mod targets;

use std::process::ExitCode;
use std::time::Duration;

use bradawl_benches::callgrind;

use contender::Entry;
use measure::{Pair, Sample};
use race::{Cell, Conditions};

/// One way.
const DELAYS: [u64; 3] = [10, 50, 150];
const LOSSES: [u64; 3] = [0, 2, 10];
const SEEDS: u64 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("ice: {why}");
            ExitCode::from(2)
        }
    }
}

/// The rows of a cell, in this order: ours first.
fn entries() -> impl Iterator<Item = &'static Entry> {
    [&ours::ENTRY].into_iter().chain(&peers::PEERS)
}

/// What was asked for.
struct Options {
    check: bool,
    mixed: bool,
    as_host: bool,
    callgrind: bool,
    seeds: u64,
    cells: Vec<Cell>,
    entries: Vec<&'static Entry>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut cells, mut libraries) = (Vec::new(), Vec::new());
        let mut this = Self {
            check: false,
            mixed: false,
            as_host: false,
            callgrind: true,
            seeds: SEEDS,
            cells: Cell::ALL.to_vec(),
            entries: entries().collect(),
        };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            match argument {
                "--check" => this.check = true,
                "--mixed" => this.mixed = true,
                "--as-host" => this.as_host = true,
                "--no-callgrind" => this.callgrind = false,
                "--seeds" => this.seeds = seeds(arguments.next())?,
                "--bench" => {} // what cargo says to every bench
                name if Cell::ALL.iter().any(|cell| cell.name == name) => cells.push(name),
                name if entries().any(|entry| entry.name == name) => libraries.push(name),
                other => return Err(format!("no such option, cell or library: {other}")),
            }
        }
        this.cells.retain(|cell| cells.is_empty() || cells.contains(&cell.name));
        this.entries.retain(|entry| libraries.is_empty() || libraries.contains(&entry.name));
        Ok(this)
    }

    /// In the order of the tables.
    fn conditions(&self) -> Vec<Conditions> {
        let mut all = Vec::new();
        for delay in DELAYS.map(Duration::from_millis) {
            for loss_percent in LOSSES {
                let conditions =
                    |&cell: &Cell| Conditions { cell, delay, loss_percent, as_host: self.as_host };
                all.extend(self.cells.iter().map(conditions));
            }
        }
        all
    }

    /// Each library with itself; after it, if asked for, each earlier one with it, in both roles.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (at, &entry) in self.entries.iter().enumerate() {
            pairs.push([entry, entry]);
            for &earlier in self.entries[..at].iter().filter(|_| self.mixed) {
                pairs.extend([[earlier, entry], [entry, earlier]]);
            }
        }
        pairs
    }
}

fn seeds(value: Option<&str>) -> Result<u64, String> {
    match value.unwrap_or_default().parse() {
        Ok(0) => Err("--seeds: at least 1".to_owned()),
        Ok(seeds) => Ok(seeds),
        Err(error) => Err(format!("--seeds: {error}")),
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    if let [operation, library, flag, iterations] = arguments
        && (operation.as_str(), flag.as_str()) == (measure::OPERATION, "--iterations")
    {
        let entry = entries().find(|entry| entry.name == library).ok_or("no such library")?;
        let iterations = iterations.parse().map_err(|error| format!("--iterations: {error}"))?;
        measure::connect(entry, iterations);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.iter().any(|argument| argument == "--interop") {
        let others: Vec<_> = peers::PEERS.iter().collect();
        let is_fine = interop::run(&ours::ENTRY, &others);
        return Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut options = Options::parse(arguments)?;
    if options.callgrind && !callgrind::is_available() {
        options.callgrind = false;
        eprintln!("ice: no valgrind here, so no instructions");
    }
    let mut samples = Vec::new();
    for conditions in options.conditions() {
        for pair in options.pairs() {
            samples.push(Sample::take(conditions, pair, options.seeds));
        }
    }
    let mut costs = Vec::new();
    for &entry in &options.entries {
        costs.push((entry, measure::cost(entry, options.callgrind)?));
    }
    print!("{}{}\n{}", table::times(&samples), table::costs(&costs), table::notes(&options.entries));
    let verdict = targets::verdict(&samples, &costs);
    if options.check {
        eprint!("\n{}", verdict.text);
        if !options.callgrind {
            eprintln!("ice: the target in instructions was not looked at");
        }
    }
    Ok(if options.check && !verdict.is_met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
