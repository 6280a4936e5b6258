//! `bradawl-sim matrix`: every pair of NATs.

use core::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::files::{self, Target};
use super::links::LinkArguments;
use super::output::Event;
use super::{Exit, Printer, Problem, jobs_or_all, progress, quoted};
use crate::catalogue::{self, Population};
use crate::matrix::{Failure, Measured, Plan, Shares, Wrong, run};
use crate::report::figures::{lasted, tenths_of_percent};
use crate::report::junit::{self, Case, junit};
use crate::report::matrix::{Matrix, Summary, compare, distribution_svg, html, svg, text};

/// A baseline is one line per pair, of which there are a few hundred.
const MAX_BASELINE: usize = 16 * 1_024 * 1_024;

/// More measurements than this of one pair would be memory for nothing.
const MAX_SEEDS: u32 = 100_000;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bradawl-sim matrix --nats home,cgn,symmetric-random --seeds 200 --html matrix.html
  bradawl-sim matrix --save baseline.jsonl; bradawl-sim matrix --baseline baseline.jsonl
Exit codes: 0 all is as it must be, 1 an invariant is broken or a pair is worse, 2 usage")]
pub(super) struct Arguments {
    /// Which NATs: names by `bradawl-sim nats`, or `all`
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', default_value = "all", value_parser = nats)]
    nats: Vec<String>,

    /// The NATs of a population, and what becomes of two of its members
    #[arg(long, value_name = "NAME", conflicts_with = "nats", value_parser = population)]
    population: Option<&'static Population>,

    /// Runs of each pair
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEEDS)))]
    seeds: u32,

    /// The first of the seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    /// Threads; the results are the same for any number [default: one per processor]
    #[arg(long, value_name = "N", value_parser = super::jobs)]
    jobs: Option<usize>,

    #[command(flatten)]
    links: LinkArguments,

    /// A page with pictures and all numbers
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// The pairs as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// The times to connect as a picture
    #[arg(long, value_name = "FILE")]
    times: Option<PathBuf>,

    /// A test case per pair, for a CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Fail where a pair is worse than when FILE was saved
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// The numbers, as a baseline for later
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

fn nats(name: &str) -> Result<String, String> {
    if name == "all" { Ok(name.to_owned()) } else { super::nat(name) }
}

fn population(name: &str) -> Result<&'static Population, String> {
    let found = catalogue::populations().iter().find(|population| population.name == name);
    let names = catalogue::populations().iter().map(|population| population.name);
    found.ok_or_else(|| crate::scenario::instead(name, names))
}

/// Where the results go beside stdout.
struct Targets {
    html: Option<Target>,
    svg: Option<Target>,
    times: Option<Target>,
    junit: Option<Target>,
    save: Option<Target>,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let plan = self.plan()?;
        let baseline = self.baseline.as_deref().map(baseline).transpose()?;
        let targets = Targets {
            html: Target::maybe(self.html.as_ref())?,
            svg: Target::maybe(self.svg.as_ref())?,
            times: Target::maybe(self.times.as_ref())?,
            junit: Target::maybe(self.junit.as_ref())?,
            save: Target::maybe(self.save.as_ref())?,
        };
        let bar = progress::bar(Some(plan.runs()), "runs");
        let measured = run(&plan, |runs| bar.inc(runs.into()))?;
        bar.finish_and_clear();
        let Measured { mut matrix, failures, .. } = measured;
        matrix.command = self.command(&plan);
        let summary = matrix.summary();
        let faults = self.faults(&summary, &failures, baseline.as_ref());
        targets.write(&matrix, &summary, &faults)?;
        self.print(&matrix, &summary, &faults)?;
        Ok(Exit::failed_if(!faults.is_empty()))
    }

    fn plan(&self) -> Result<Plan, Problem> {
        let mut nats: Vec<String> = Vec::new();
        let all = || catalogue::entries().iter().map(|entry| entry.name.to_owned()).collect::<Vec<_>>();
        let wanted = match self.population {
            Some(population) => population.weights.iter().map(|(name, _)| (*name).to_owned()).collect(),
            None if self.nats.iter().any(|nat| nat == "all") => all(),
            None => self.nats.clone(),
        };
        for nat in wanted {
            if !nats.contains(&nat) {
                nats.push(nat);
            }
        }
        if self.seed.checked_add(self.seeds - 1).is_none() {
            return Err(Problem::usage(format!("there are no {} seeds from {} on", self.seeds, self.seed)));
        }
        let (seeds, seed, jobs) = (self.seeds, self.seed, jobs_or_all(self.jobs));
        Ok(Plan { nats, seeds, seed, links: self.links.links(), jobs })
    }

    /// The command that measures the same.
    fn command(&self, plan: &Plan) -> String {
        let of = match self.population {
            Some(population) => format!("--population {}", population.name),
            None if plan.nats.len() == catalogue::entries().len() => "--nats all".to_owned(),
            None => format!("--nats {}", plan.nats.join(",")),
        };
        self.with(&of)
    }

    fn with(&self, of: &str) -> String {
        let seed = if self.seed == 1 { String::new() } else { format!(" --seed {}", self.seed) };
        format!("bradawl-sim matrix {of} --seeds {}{seed}{}", self.seeds, self.links.words())
    }

    /// The command that measures only this pair, as an earlier one did.
    fn command_for(&self, a: &str, b: &str) -> String {
        let nats = if a == b { a.to_owned() } else { format!("{a},{b}") };
        let baseline = self.baseline.as_ref();
        let baseline = baseline.map(|file| format!(" --baseline {}", quoted(&file.display().to_string())));
        self.with(&format!("--nats {nats}")) + &baseline.unwrap_or_default()
    }

    /// All that is wrong, each with the command that shows it.
    fn faults(&self, now: &Summary, failures: &[Failure], baseline: Option<&Summary>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for failure in failures {
            let Failure { a, b, what } = failure;
            let command = match what {
                Wrong::Broken { seed, .. } => {
                    format!("bradawl-sim demo --nat {a},{b} --seed {seed}{}", self.links.words())
                }
                Wrong::Below(_) => self.command_for(a, b),
            };
            faults.push(Fault { a: a.clone(), b: b.clone(), message: failure.to_string(), command });
        }
        for regression in baseline.map(|baseline| compare(baseline, now)).unwrap_or_default() {
            // What is broken is among the failures, with its seed.
            if matches!(regression.what, crate::report::matrix::Worse::Broken { .. }) {
                continue;
            }
            let (a, b) = (regression.a.clone(), regression.b.clone());
            let message = format!("worse than before: {regression}");
            faults.push(Fault { command: self.command_for(&a, &b), a, b, message });
        }
        faults
    }

    fn print(&self, matrix: &Matrix, summary: &Summary, faults: &[Fault]) -> Result<(), Problem> {
        let mut out = Printer::new(self.json);
        if self.json {
            out.write(&summary.to_json_lines())?;
        } else {
            out.write(&text(matrix))?;
        }
        if let Some(population) = self.population
            && let Some(shares) = Shares::of(population, matrix)
        {
            out.print(&OfPopulation::of(population, &shares))?;
        }
        faults.iter().try_for_each(|fault| out.print(fault))
    }
}

/// The numbers of an earlier matrix.
fn baseline(path: &Path) -> Result<Summary, Problem> {
    let content = files::read(path, MAX_BASELINE)?;
    let wrong = |what: String| Problem::usage(format!("{}: {what}", path.display()));
    if content.len() > MAX_BASELINE {
        return Err(wrong(format!("too big for a baseline: {} MiB at most", MAX_BASELINE >> 20)));
    }
    let text = String::from_utf8(content);
    let text =
        text.map_err(|error| wrong(format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to())))?;
    Summary::from_json_lines(&text).map_err(|error| wrong(error.to_string()))
}

impl Targets {
    fn write(&self, matrix: &Matrix, summary: &Summary, faults: &[Fault]) -> Result<(), Problem> {
        let Self { html: page, svg: picture, times, junit: cases, save } = self;
        let write = |target: &Option<Target>, text: &dyn Fn() -> String| match target {
            Some(target) => target.write(&text()),
            None => Ok(()),
        };
        write(page, &|| html(matrix))?;
        write(picture, &|| svg(matrix))?;
        write(times, &|| distribution_svg(matrix))?;
        write(save, &|| summary.to_json_lines())?;
        write(cases, &|| junit("bradawl-sim matrix", &cases_of(summary, faults)))
    }
}

/// A case per pair. It takes no time: a run is over before anybody could look at a clock.
fn cases_of(summary: &Summary, faults: &[Fault]) -> Vec<Case> {
    let case = |pair: &crate::report::matrix::Pair| {
        let faults: Vec<&Fault> =
            faults.iter().filter(|fault| fault.a == pair.a && fault.b == pair.b).collect();
        let outcome = match faults.first() {
            None => junit::Outcome::Passed,
            Some(first) => junit::Outcome::Failed {
                message: first.message.clone(),
                details: faults.iter().map(|fault| format!("{fault}\n")).collect(),
            },
        };
        Case { name: format!("{} × {}", pair.a, pair.b), micros: 0, outcome }
    };
    summary.pairs.iter().map(case).collect()
}

/// A pair that is not as it must be.
#[derive(Serialize)]
struct Fault {
    a: String,
    b: String,
    message: String,
    command: String,
}

impl Event for Fault {
    const NAME: &'static str = "failed";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED {}\n    {}", self.message, self.command)
    }
}

/// What becomes of two members of a population.
#[derive(Serialize)]
struct OfPopulation {
    name: &'static str,
    direct_ppm: u64,
    relayed_ppm: u64,
    failed_ppm: u64,
    median_us: Option<u32>,
}

impl OfPopulation {
    fn of(population: &Population, shares: &Shares) -> Self {
        let &Shares { direct, relayed, failed, median } = shares;
        let name = population.name;
        Self { name, direct_ppm: direct, relayed_ppm: relayed, failed_ppm: failed, median_us: median }
    }
}

impl Event for OfPopulation {
    const NAME: &'static str = "population";
}

impl fmt::Display for OfPopulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [direct, relayed, failed] =
            [self.direct_ppm, self.relayed_ppm, self.failed_ppm].map(|ppm| tenths_of_percent(ppm, 1_000_000));
        write!(
            f,
            "two of the population {}: {direct} direct · {relayed} relayed · {failed} failed",
            self.name
        )?;
        match self.median_us {
            Some(median) => write!(f, " · median time to connect {}", lasted(median.into())),
            None => Ok(()),
        }
    }
}
