//! `bradawl-sim swarm`: random scenarios until something is wrong.

use core::fmt;
use core::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::files::Target;
use super::output::Event;
use super::{Exit, Printer, Problem, jobs_or_all, progress, quoted};
use crate::report::figures::{counted, grouped, tenths_of_percent};
use crate::report::junit::{Case, Outcome, junit};
use crate::scenario::Plant;
use crate::swarm::{Find, Plan, Totals, hunt};

/// How many scenarios there are unless somebody says so.
const COUNT: u32 = 1_000;

/// How many runs are spent on making a scenario smaller.
const SHRINK: usize = 2_000;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bradawl-sim swarm --count 10000
  bradawl-sim swarm --minutes 30 --seed 1000000 --junit swarm.xml
Exit codes: 0 nothing was found, 1 something was, 2 usage")]
pub(super) struct Arguments {
    /// Scenarios at most [default: 1000, or what --minutes allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,

    /// Minutes at most
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<Duration>,

    /// The seed of the first scenario
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    /// Threads; the results are the same for any number [default: one per processor]
    #[arg(long, value_name = "N", value_parser = super::jobs)]
    jobs: Option<usize>,

    /// A bug on purpose, to see it found
    #[arg(long, value_name = "BUG")]
    plant: Option<Bug>,

    /// Where to write the scenario that is found, made smaller [default: swarm-SEED.toml]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The result as test cases, for a CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// The names of [`Plant`] on the command line. What they mean is in the book: help has to fit a screen.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bug {
    ForgetfulNat,
    StraySender,
}

impl From<Bug> for Plant {
    fn from(bug: Bug) -> Self {
        match bug {
            Bug::ForgetfulNat => Self::ForgetfulNat,
            Bug::StraySender => Self::StraySender,
        }
    }
}

/// A week: who wants more can begin anew with another seed.
const MAX_MINUTES: f64 = 7.0 * 24.0 * 60.0;

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.001..=MAX_MINUTES).contains(minutes));
    let minutes: f64 = minutes.ok_or_else(|| format!("expected a number from 0.001 to {MAX_MINUTES}"))?;
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let plan = self.plan()?;
        let out = Target::maybe(self.out.as_ref())?;
        let cases = Target::maybe(self.junit.as_ref())?;
        let start = now();
        let steps = self.minutes.is_none().then_some(plan.count.into());
        let bar = progress::bar(steps, "scenarios");
        // A panic in a scenario is a result, and is told as one.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        // What is found is made smaller after that, which is another matter.
        let mut took = Duration::ZERO;
        let (totals, find) = hunt(&plan, |totals| {
            bar.set_position(totals.scenarios);
            took = now() - start;
            match self.minutes {
                Some(minutes) if took >= minutes => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        std::panic::set_hook(hook);
        bar.finish_and_clear();

        let found = find.as_ref().map(|find| self.keep(find, out)).transpose()?;
        let below = totals
            .odds
            .is_below()
            .then(|| Below { message: totals.odds.to_string(), command: again(&plan, &totals) });
        if let Some(cases) = cases {
            cases.write(&junit("bradawl-sim swarm", &cases_of(&totals, found.as_ref(), below.as_ref())))?;
        }
        let mut printer = Printer::new(self.json);
        if let Some(found) = &found {
            printer.print(found)?;
        }
        if let Some(below) = &below {
            printer.print(below)?;
        }
        printer.print(&Swarm::of(&plan, &totals, took))?;
        Ok(Exit::failed_if(found.is_some() || below.is_some()))
    }

    fn plan(&self) -> Result<Plan, Problem> {
        let left = u32::MAX - self.seed;
        let count = match (self.count, self.minutes) {
            (Some(count), _) if count - 1 > left => {
                return Err(Problem::usage(format!("there are no {count} seeds from {} on", self.seed)));
            }
            (Some(count), _) => count,
            (None, Some(_)) => left.saturating_add(1),
            (None, None) => COUNT.min(left.saturating_add(1)),
        };
        let plant = self.plant.map(Into::into);
        Ok(Plan { seed: self.seed, count, plant, jobs: jobs_or_all(self.jobs), shrink: SHRINK })
    }

    /// Writes down what was found.
    fn keep(&self, find: &Find, out: Option<Target>) -> Result<Found, Problem> {
        let file = self.out.clone().unwrap_or_else(|| format!("swarm-{}.toml", find.seed).into());
        let name = file.display().to_string();
        let command = format!("bradawl-sim replay {}", quoted(&name));
        let target = out.map_or_else(|| Target::at(&file), Ok)?;
        target.write(&find.to_toml(&command))?;
        Ok(Found {
            seed: find.seed,
            invariant: find.wrong.what(),
            detail: find.wrong.detail(),
            file: name,
            command,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a swarm takes is told, and may be limited")]
fn now() -> Instant {
    Instant::now()
}

/// The command that looks at the same scenarios.
fn again(plan: &Plan, totals: &Totals) -> String {
    let plant = match plan.plant {
        Some(Plant::ForgetfulNat) => " --plant forgetful-nat",
        Some(Plant::StraySender) => " --plant stray-sender",
        None => "",
    };
    format!("bradawl-sim swarm --seed {} --count {}{plant}", plan.seed, totals.scenarios)
}

/// What a CI is told: what was looked for, and whether it was found.
fn cases_of(totals: &Totals, found: Option<&Found>, below: Option<&Below>) -> Vec<Case> {
    let case = |name: String, outcome| Case { name, micros: 0, outcome };
    let failed = |message: String, details: &dyn fmt::Display| Outcome::Failed {
        message,
        details: details.to_string(),
    };
    let scenarios = counted(totals.scenarios, "random scenario", "random scenarios");
    let broken = found
        .map_or(Outcome::Passed, |found| failed(format!("{}: {}", found.invariant, found.detail), found));
    let unlikely = below.map_or(Outcome::Passed, |below| failed(below.message.clone(), below));
    let pairs = counted(totals.odds.runs(), "pair", "pairs");
    vec![
        case(format!("the invariants hold in {scenarios}"), broken),
        case(format!("{pairs} are direct as often as is probable"), unlikely),
    ]
}

/// Something that is wrong.
#[derive(Serialize)]
struct Found {
    seed: u32,
    invariant: String,
    detail: String,
    file: String,
    command: String,
}

impl Event for Found {
    const NAME: &'static str = "found";
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FOUND in the scenario of seed {}: this does not hold: {}", self.seed, self.invariant)?;
        writeln!(f, "    {}", self.detail)?;
        write!(f, "    {}", self.command)
    }
}

/// Too little of what is probable has happened.
#[derive(Serialize)]
struct Below {
    message: String,
    command: String,
}

impl Event for Below {
    const NAME: &'static str = "below";
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED too few of the probable pairs are direct: {}\n    {}", self.message, self.command)
    }
}

/// All in all.
#[derive(Serialize)]
struct Swarm {
    seed: u32,
    scenarios: u64,
    repeated: u64,
    packets: u64,
    direct: u64,
    relayed: u64,
    failed: u64,
    probable: u64,
    seconds: f64,
}

impl Swarm {
    fn of(plan: &Plan, totals: &Totals, took: Duration) -> Self {
        let &Totals { scenarios, repeated, packets, direct, relayed, failed, odds } = totals;
        let (seed, seconds) = (plan.seed, took.as_millis() as f64 / 1_000.0);
        Self { seed, scenarios, repeated, packets, direct, relayed, failed, probable: odds.runs(), seconds }
    }
}

impl Event for Swarm {
    const NAME: &'static str = "swarm";
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = ((self.seconds * 1_000.0) as u64).max(1);
        writeln!(
            f,
            "{} from seed {} · {} · {} a second · {} run twice",
            counted(self.scenarios, "scenario", "scenarios"),
            self.seed,
            counted(self.packets, "packet", "packets"),
            grouped(self.scenarios * 1_000 / millis),
            grouped(self.repeated)
        )?;
        let pairs = self.direct + self.relayed + self.failed;
        let share = |part| tenths_of_percent(part, pairs);
        write!(
            f,
            "{}: {} direct · {} relayed · {} without a path",
            counted(pairs, "pair", "pairs"),
            share(self.direct),
            share(self.relayed),
            share(self.failed)
        )
    }
}
