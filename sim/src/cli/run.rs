//! `bradawl-sim run`, `replay` and `demo`: one run, and what is to be seen of it.

use core::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::files::{self, Target};
use super::links::LinkArguments;
use super::output::Event;
use super::{Exit, Printer, Problem, quoted};
use crate::check::{Outcome, PairOutcome, Violation};
use crate::matrix::{pair_scenario, settle};
use crate::report::figures::{clock, counted, lasted};
use crate::report::ladder::{self, Title};
use crate::scenario::{MAX_BYTES, Scenario};
use crate::swarm;
use crate::world::{InvalidWorld, Keep, Report};

/// How a run is shown.
#[derive(Args, Debug)]
struct View {
    /// Draw what happened to every packet into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// How a scenario's file is run.
#[derive(Args, Debug)]
struct How {
    /// Another seed than the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u32>,

    /// Print what happened to every packet
    #[arg(long)]
    trace: bool,

    #[command(flatten)]
    view: View,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  bradawl-sim run sim/scenarios/two-homes.toml --trace\n\
                        Exit codes: 0 all is as it must be, 1 an invariant is broken, 2 usage")]
pub(super) struct Run {
    /// What to run; its format is in docs/simulator.md
    #[arg(value_name = "SCENARIO.toml")]
    file: PathBuf,

    #[command(flatten)]
    how: How,
}

impl Run {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let scenario = File::read(&self.file, self.how.seed)?.scenario;
        let command = again("run", &self.file, self.how.seed);
        let mut show = Show::new(&self.how.view, self.how.trace, &scenario, command)?;
        let report = show.run(swarm::run)?;
        show.results(&report)?;
        Ok(Exit::failed_if(!report.violations.is_empty()))
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  bradawl-sim replay swarm-17.toml\n\
                        Exit codes: 0 it is gone, 1 it is still there, or something else is, 2 usage")]
pub(super) struct Replay {
    /// What a swarm has written
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    how: How,
}

impl Replay {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let File { scenario, broken } = File::read(&self.file, self.how.seed)?;
        let command = again("replay", &self.file, self.how.seed);
        let mut show = Show::new(&self.how.view, self.how.trace, &scenario, command)?;
        let wrong = swarm::examine(&scenario);
        // A panic would be one here, too.
        if !wrong.iter().any(|wrong| matches!(wrong, swarm::Wrong::Panicked(_))) {
            let report = show.run(swarm::run)?;
            show.results(&report)?;
        }
        let now = wrong.iter().find(|wrong| Some(wrong.what()) == broken).or(wrong.first());
        let replayed = Replayed {
            was: broken.as_deref(),
            is: now.map(swarm::Wrong::what),
            detail: now.map(swarm::Wrong::detail),
        };
        show.out.print(&replayed)?;
        Ok(Exit::failed_if(now.is_some()))
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  bradawl-sim demo --nat home,symmetric-random --svg demo.svg")]
pub(super) struct Demo {
    /// Behind what the two are; `bradawl-sim nats` lists what there is
    #[arg(long, value_name = "A,B", required = true, num_args = 1, value_delimiter = ',', value_parser = super::nat)]
    nat: Vec<String>,

    /// What everything random grows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    #[command(flatten)]
    links: LinkArguments,

    #[command(flatten)]
    view: View,
}

impl Demo {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let [a, b] = &self.nat[..] else {
            let count = self.nat.len();
            return Err(Problem::usage(format!("--nat is about two homes, so it wants A,B and not {count}")));
        };
        let scenario = pair_scenario(a, b, &self.links.links(), self.seed);
        scenario.check()?;
        let command = format!("bradawl-sim demo --nat {a},{b} --seed {}{}", self.seed, self.links.words());
        let mut show = Show::new(&self.view, !self.view.json, &scenario, command)?;
        let report = show.run(settle)?;
        show.results(&report)?;
        Ok(Exit::failed_if(!report.violations.is_empty()))
    }
}

/// A scenario file.
struct File {
    scenario: Scenario,
    /// What was broken when it was written, if it says so.
    broken: Option<String>,
}

impl File {
    fn read(path: &Path, seed: Option<u32>) -> Result<Self, Problem> {
        let content = files::read(path, MAX_BYTES)?;
        let mut scenario = Scenario::from_file(&path.display().to_string(), &content)?;
        scenario.seed = seed.unwrap_or(scenario.seed);
        let broken = swarm::recorded(&String::from_utf8_lossy(&content)).map(str::to_owned);
        Ok(Self { scenario, broken })
    }
}

/// The command that runs a file again.
fn again(verb: &str, file: &Path, seed: Option<u32>) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!(" --seed {seed}"));
    format!("bradawl-sim {verb} {}{seed}", quoted(&file.display().to_string()))
}

/// A run on its way to people.
struct Show<'a> {
    out: Printer,
    trace: bool,
    svg: Option<Target>,
    scenario: &'a Scenario,
    command: String,
}

impl<'a> Show<'a> {
    fn new(view: &View, trace: bool, scenario: &'a Scenario, command: String) -> Result<Self, Problem> {
        let svg = Target::maybe(view.svg.as_ref())?;
        Ok(Self { out: Printer::new(view.json), trace, svg, scenario, command })
    }

    /// Runs it and draws it.
    fn run(&self, how: fn(&Scenario, Keep) -> Result<Report, InvalidWorld>) -> Result<Report, Problem> {
        let keep = if self.trace || self.svg.is_some() { Keep::Everything } else { Keep::Digest };
        let report = how(self.scenario, keep)
            .map_err(|invalid| Problem::usage(format!("no such world: {invalid}")))?;
        if let Some(svg) = &self.svg {
            let title = Title { title: self.scenario.about.clone(), command: self.command.clone() };
            svg.write(&ladder::svg(&report.trace, &title, ladder::LIMIT))?;
        }
        Ok(report)
    }

    /// Prints what became of it.
    fn results(&mut self, report: &Report) -> Result<(), Problem> {
        if self.trace {
            let text = ladder::text(&report.trace, ladder::TEXT_LIMIT);
            self.out.show(&(text + "\n"))?;
        }
        let names = pairs(self.scenario);
        for ((a, b), outcome) in names.into_iter().zip(&report.pairs) {
            self.out.print(&Pair::of(a, b, outcome))?;
        }
        for violation in &report.violations {
            self.out.print(&Broken::of(violation))?;
        }
        self.out.print(&Ran {
            digest: report.digest.to_string(),
            packets: report.packets,
            time_ms: report.end.as_micros() / 1_000,
            violations: report.violations.len(),
        })
    }
}

/// The two of each pair by name, in the order in which a world has them.
fn pairs(scenario: &Scenario) -> Vec<(&str, &str)> {
    let hosts = scenario.hosts.iter();
    hosts
        .filter_map(|(name, host)| {
            let peer = host.peer.as_ref().filter(|&peer| name < peer)?;
            Some((name.as_str(), peer.as_str()))
        })
        .collect()
}

/// What became of two.
#[derive(Serialize)]
struct Pair<'a> {
    a: &'a str,
    b: &'a str,
    path: &'static str,
    strategy: Option<String>,
    elapsed_ms: Option<f64>,
    packets: u64,
    reason: Option<&'static str>,
    oracle: String,
    #[serde(skip)]
    elapsed_us: u64,
}

impl<'a> Pair<'a> {
    fn of(a: &'a str, b: &'a str, pair: &PairOutcome) -> Self {
        let (path, strategy, after, reason) = match pair.outcome {
            Outcome::Direct { strategy, after } => ("direct", Some(strategy.to_string()), Some(after), None),
            Outcome::Relayed { after } => ("relayed", Some("turn".to_owned()), Some(after), None),
            Outcome::Failed(why) => ("none", None, None, Some(why)),
            Outcome::Nothing => ("none", None, None, Some("neither says why")),
        };
        let micros = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        Self {
            a,
            b,
            path,
            strategy,
            elapsed_ms: micros.map(|micros| micros as f64 / 1_000.0),
            packets: pair.packets,
            reason,
            oracle: pair.expectation.to_string(),
            elapsed_us: micros.unwrap_or(0),
        }
    }
}

impl Event for Pair<'_> {
    const NAME: &'static str = "pair";
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ↔ {}: ", self.a, self.b)?;
        match (&self.strategy, self.reason) {
            (Some(strategy), _) => {
                write!(f, "{} · {strategy} · {}", self.path, lasted(self.elapsed_us))?;
            }
            (None, reason) => {
                let reason = reason.unwrap_or_default();
                write!(f, "no path · {}", reason.strip_prefix("no path: ").unwrap_or(reason))?;
            }
        }
        let packets = counted(self.packets, "packet", "packets");
        write!(f, " · {packets} · the oracle said: {}", self.oracle)
    }
}

/// Something that must not have happened.
#[derive(Serialize)]
struct Broken<'a> {
    at_ms: f64,
    invariant: String,
    detail: &'a str,
    #[serde(skip)]
    at_us: u64,
}

impl<'a> Broken<'a> {
    fn of(violation: &'a Violation) -> Self {
        let at_us = violation.at.as_micros();
        Self {
            at_ms: at_us as f64 / 1_000.0,
            invariant: violation.invariant.to_string(),
            detail: &violation.detail,
            at_us,
        }
    }
}

impl Event for Broken<'_> {
    const NAME: &'static str = "violation";
}

impl fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BROKEN after {}: {}: {}", clock(self.at_us), self.invariant, self.detail)
    }
}

/// A run in one line.
#[derive(Serialize)]
struct Ran {
    digest: String,
    packets: u64,
    time_ms: u64,
    violations: usize,
}

impl Event for Ran {
    const NAME: &'static str = "run";
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets = counted(self.packets, "packet", "packets");
        let time = lasted(self.time_ms * 1_000);
        write!(f, "digest {} · {packets} · {time} of virtual time", self.digest)
    }
}

/// What became of what a swarm had found.
#[derive(Serialize)]
struct Replayed<'a> {
    was: Option<&'a str>,
    is: Option<String>,
    detail: Option<String>,
}

impl Event for Replayed<'_> {
    const NAME: &'static str = "replay";
}

impl fmt::Display for Replayed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.was, &self.is) {
            (Some(was), None) => write!(f, "gone: this holds now: {was}"),
            (None, None) => f.write_str("nothing is wrong"),
            (Some(was), Some(is)) if was == is => write!(f, "still there: this does not hold: {is}"),
            (Some(was), Some(is)) => write!(f, "another one: this holds now: {was}; this does not: {is}"),
            (None, Some(is)) => write!(f, "this does not hold: {is}"),
        }
    }
}
