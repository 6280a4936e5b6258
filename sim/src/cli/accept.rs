//! `bradawl-sim accept`: the acceptance table of the design, with what comes out beside what has to.

use core::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::files::Target;
use super::output::Event;
use super::{Exit, Printer, Problem, jobs_or_all, progress};
use crate::accept::{Case, Checked, Measured, Plan, RunOutcome, cases, run, trace};
use crate::report::figures::counted;
use crate::report::ladder;
use crate::scenario::instead;

/// More measurements than this of one case would be memory for nothing.
const MAX_SEEDS: u32 = 1_000_000;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bradawl-sim accept --seeds 300
  bradawl-sim accept --case 2 --case birthday
  bradawl-sim accept --write docs/acceptance.md
Exit codes: 0 all is as it must be, 1 it is not, 2 usage")]
pub(super) struct Arguments {
    /// Which cases: by their number in the design, or by name [default: all there are]
    #[arg(long = "case", value_name = "N")]
    cases: Vec<String>,

    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEEDS)))]
    seeds: u32,

    /// The first of the seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    /// Threads; the results are the same for any number [default: one per processor]
    #[arg(long, value_name = "N", value_parser = super::jobs)]
    jobs: Option<usize>,

    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Show each run without a direct path, or that broke an invariant
    #[arg(long)]
    failures: bool,

    /// Show what happened to every packet in the first run of the first case, from the beginning of the punch
    #[arg(long)]
    trace: bool,

    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        if self.seed.checked_add(self.seeds - 1).is_none() {
            return Err(Problem::usage(format!("there are no {} seeds from {} on", self.seeds, self.seed)));
        }
        let target = Target::maybe(self.write.as_ref())?;
        let plan =
            Plan { cases: self.wanted()?, seeds: self.seeds, seed: self.seed, jobs: jobs_or_all(self.jobs) };
        if self.trace
            && let Some(case) = plan.cases.first()
        {
            let trace =
                trace(&case.setting, self.seed).map_err(|error| Problem::failed(error.to_string()))?;
            Printer::new(false).write(&ladder::text(&trace, ladder::LIMIT))?;
            return Ok(Exit::Done);
        }
        let bar = progress::bar(Some(plan.runs()), "runs");
        let measured = run(&plan, |runs| bar.inc(runs.into()));
        bar.finish_and_clear();
        let measured = measured.map_err(|error| Problem::failed(error.to_string()))?;
        let lines: Vec<Line> = measured.iter().flat_map(Line::of).collect();
        let mut out = Printer::new(self.json);
        out.show(&format!(
            "{} each, seeds {} to {}\n\n",
            counted(self.seeds.into(), "run", "runs"),
            self.seed,
            self.seed + (self.seeds - 1)
        ))?;
        let mut last = "";
        for line in &lines {
            if line.name != last {
                out.show(&format!("{:>2}  {} ({})\n", line.case, line.what, line.name))?;
                last = line.name;
            }
            out.print(line)?;
        }
        if self.failures {
            let runs = measured.iter().flat_map(|case| case.runs.iter().map(|run| (case.case.name, run)));
            let bad = runs.filter(|(_, run)| run.direct.is_none() || run.violation.is_some());
            bad.map(|(name, run)| Failed::of(name, run)).try_for_each(|failed| out.print(&failed))?;
        }
        if let Some(target) = target {
            target.write(&markdown(&plan, &measured))?;
        }
        Ok(Exit::failed_if(lines.iter().any(|line| !line.met)))
    }

    fn wanted(&self) -> Result<Vec<Case>, Problem> {
        let all = cases();
        if self.cases.is_empty() {
            return Ok(all);
        }
        let is = |case: &Case, wanted: &str| case.name == wanted || case.number.to_string() == wanted;
        for wanted in &self.cases {
            if !all.iter().any(|case| is(case, wanted)) {
                let names = all.iter().map(|case| case.name);
                return Err(Problem::usage(format!("--case {wanted}: {}", instead(wanted, names))));
            }
        }
        let is_wanted = |case: &Case| self.cases.iter().any(|wanted| is(case, wanted));
        Ok(all.into_iter().filter(is_wanted).collect())
    }
}

/// One demand of one case.
#[derive(Serialize)]
struct Line {
    case: u8,
    name: &'static str,
    what: &'static str,
    target: String,
    result: String,
    met: bool,
    seeds: usize,
}

impl Line {
    fn of(measured: &Measured) -> Vec<Self> {
        let Case { number, name, what, .. } = measured.case;
        let seeds = measured.runs.len();
        let line = |Checked { target, result, holds }| Self {
            case: number,
            name,
            what,
            target,
            result,
            met: holds,
            seeds,
        };
        measured.checked().into_iter().map(line).collect()
    }

    const fn verdict(&self) -> &'static str {
        if self.met { "met" } else { "fell short" }
    }
}

impl Event for Line {
    const NAME: &'static str = "accept";
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "      {:<30}  {:<10}  {}", self.target, self.verdict(), self.result)
    }
}

/// A run without a path, or in which something was not as it must be.
#[derive(Serialize)]
struct Failed {
    name: &'static str,
    seed: u32,
    direct: bool,
    agreed: bool,
    behind: Option<[&'static str; 2]>,
    nats: [String; 2],
    tried: [Option<[u32; 7]>; 2],
    violation: Option<String>,
}

impl Failed {
    fn of(name: &'static str, run: &RunOutcome) -> Self {
        let nat = |nat: &bradawl::punch::Nat| {
            let on = |on: Option<bradawl::discovery::Dependence>| {
                on.map_or_else(|| "?".to_owned(), |on| on.to_string())
            };
            let allocation =
                nat.allocation.map_or_else(|| "?".to_owned(), |allocation| allocation.to_string());
            let traffic =
                nat.traffic.map_or_else(String::new, |traffic| format!(", {traffic} others a second"));
            format!(
                "{} mapping, {} filtering, ports {allocation}{traffic}",
                on(nat.mapping),
                on(nat.filtering)
            )
        };
        Self {
            name,
            seed: run.seed,
            direct: run.direct.is_some(),
            agreed: !run.is_false,
            behind: run.behind,
            nats: [nat(&run.nats[0]), nat(&run.nats[1])],
            tried: run.tried,
            violation: run.violation.as_ref().map(ToString::to_string),
        }
    }
}

impl Event for Failed {
    const NAME: &'static str = "failed";
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, seed, nats: [a, b], .. } = self;
        let what = match (self.direct, self.agreed) {
            (true, _) => "direct",
            (false, true) => "no path",
            (false, false) => "no path that both agree on",
        };
        write!(f, "{name} seed {seed}: {what}; {a} × {b}")?;
        if let Some([a, b]) = self.behind {
            write!(f, "; behind {a} × {b}")?;
        }
        for tried in self.tried.iter().flatten() {
            write!(f, "; tried {tried:?}")?;
        }
        self.violation.as_ref().map_or(Ok(()), |violation| write!(f, "; {violation}"))
    }
}

/// The whole table for the documentation.
fn markdown(plan: &Plan, measured: &[Measured]) -> String {
    let mut text = format!(
        "# Acceptance\n\n\
         What the design demands of punching (`DESIGN.md` §7), and what comes out of {} of each case.\n\
         This file is written by `bradawl-sim accept --write docs/acceptance.md`; the same seeds give the same \
         numbers\neverywhere. Cases 6, 9 and 10 need the relay and are not here yet.\n\n{ABOUT}\n\n\
         | # | case | target | result | verdict |\n|---|---|---|---|---|\n",
        counted(plan.seeds.into(), "run", "runs"),
    );
    for case in measured {
        for (index, line) in Line::of(case).iter().enumerate() {
            let (number, what) = match index {
                0 => (line.case.to_string(), line.what),
                _ => (String::new(), ""),
            };
            let verdict = if line.met { "met" } else { "**fell short**" };
            text += &format!("| {number} | {what} | {} | {} | {verdict} |\n", line.target, line.result);
        }
    }
    text
}

/// What the numbers mean.
const ABOUT: &str = "\
How it is measured:

- Both peers have run the real discovery, are registered and know each other's candidates and NAT. The caller
  begins to punch at a given moment, the callee 50 ms later. Time runs from the caller's moment until both have
  selected a path, and counts only if in the end what each sends on its own arrives at the other on its own.
- A direct round trip takes 80 ms: 19.5 ms on each access link each way and up to 1 ms at random within each home, the
  core nothing. The mediator is 20 ms from both. So hardly anybody can be faster than 50 + 80 = 130 ms.
- Loss is on the two access links, 1.005 % on each in each direction where a case says 2 %: a direct path then
  loses 2 % each way, and the way to the mediator 1 %.
- Packets are the checks, answers and marks of both agents, from the caller's moment until both have a path (or
  all of them, if they have none). Messages through the mediator are not among them. The number that counts
  is that of 99 in a hundred pairs.
- NAT entries are distinct pairs of addresses that either agent has sent between: sessions in the tables.
- Where the two sides differ, every other seed has them the other way round.
- λ strangers a second make mappings behind each sequential NAT.
- Case 7: in one of a hundred runs for each side, a neighbour with the same port has the tuple already.
- Cases 1 and 8: in each home there is a bystander at the address of the other peer with the same port.";
