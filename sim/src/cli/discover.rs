//! `bradawl-sim discover`: what a discovery finds out about every kind of NAT.

use core::fmt;

use clap::Args;
use serde::Serialize;

use super::output::Event;
use super::{Exit, Printer, Problem, jobs_or_all, progress};
use crate::discover::lifetimes;
use crate::discover::table::{Measured, Mistake, Plan, Requirement, Row, Subject, Tally, percentile, run};
use crate::report::figures::counted;
use crate::units::Chance;

/// More measurements than this of one NAT would be memory for nothing.
const MAX_SEEDS: u32 = 100_000;

/// The most servers that are asked.
const MAX_SERVERS: usize = bradawl::discovery::MAX_SERVERS;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  bradawl-sim discover --nat home --nat port/port/random --loss 2 --loss 10
  bradawl-sim discover --seeds 1000
  bradawl-sim discover --lifetime --seeds 100
Exit codes: 0 all is as it must be, 1 it is not, 2 usage")]
pub(super) struct Arguments {
    /// Which NATs: a name by `bradawl-sim nats`, or MAPPING/FILTERING/PORTS [default: all there are]
    #[arg(long = "nat", value_name = "NAME")]
    nats: Vec<Subject>,

    /// Runs of each with each loss
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEEDS)))]
    seeds: u32,

    /// The first of the seeds; it decides the round trip, 20 to 300 ms, and on hairpinning
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,

    /// How many percent of the packets go lost each way; again for more of them [default: 0]
    #[arg(long = "loss", value_name = "P", value_parser = loss)]
    losses: Vec<Chance>,

    /// Servers that answer
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = servers)]
    servers: usize,

    /// Servers that say nothing and are asked first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = servers)]
    dead: usize,

    /// How long mappings are remembered, instead of all else
    #[arg(long, conflicts_with_all = ["nats", "servers", "dead"])]
    lifetime: bool,

    /// Threads; the results are the same for any number [default: one per processor]
    #[arg(long, value_name = "N", value_parser = super::jobs)]
    jobs: Option<usize>,

    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// A number is in percent, as this is what people mean by it.
fn loss(text: &str) -> Result<Chance, String> {
    let is_bare = text.ends_with(|c: char| c.is_ascii_digit());
    let text = if is_bare { format!("{text} %") } else { text.to_owned() };
    text.parse().map_err(|error| format!("{error}"))
}

fn servers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|servers| *servers <= MAX_SERVERS);
    number.ok_or_else(|| format!("expected a number from 0 to {MAX_SERVERS}"))
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        if self.seed.checked_add(self.seeds - 1).is_none() {
            return Err(Problem::usage(format!("there are no {} seeds from {} on", self.seeds, self.seed)));
        }
        let all = self.servers + self.dead;
        if !(1..=MAX_SERVERS).contains(&all) {
            return Err(Problem::usage(format!(
                "{all} servers, dead ones among them: 1 to {MAX_SERVERS} are asked"
            )));
        }
        let mut out = Printer::new(self.json);
        let requirements = if self.lifetime { self.lifetimes(&mut out)? } else { self.table(&mut out)? };
        out.show("\n")?;
        requirements.iter().try_for_each(|requirement| out.print(&Checked::of(requirement)))?;
        Ok(Exit::failed_if(requirements.iter().any(|requirement| !requirement.holds)))
    }

    fn losses(&self) -> Vec<Chance> {
        let mut losses = self.losses.clone();
        losses.sort_unstable();
        losses.dedup();
        if losses.is_empty() { vec![Chance::NEVER] } else { losses }
    }

    fn plan(&self) -> Plan {
        let mut subjects: Vec<Subject> = Vec::new();
        for subject in &self.nats {
            if !subjects.contains(subject) {
                subjects.push(subject.clone());
            }
        }
        if subjects.is_empty() {
            subjects = Subject::combinations().into_iter().chain(Subject::catalogue()).collect();
        }
        Plan {
            subjects,
            losses: self.losses(),
            seeds: self.seeds,
            seed: self.seed,
            servers: self.servers,
            dead: self.dead,
            jobs: jobs_or_all(self.jobs),
        }
    }

    fn table(&self, out: &mut Printer) -> Result<Vec<Requirement>, Problem> {
        let plan = self.plan();
        let bar = progress::bar(Some(plan.runs()), "runs");
        let measured = run(&plan, |runs| bar.inc(runs.into()));
        bar.finish_and_clear();
        let measured = measured.map_err(|error| Problem::failed(error.to_string()))?;
        out.show(&heading(&plan))?;
        for row in &measured.rows {
            out.print(&Line::of(row))?;
        }
        self.print_mistakes(&measured, out)?;
        Ok(measured.requirements())
    }

    /// Each with the command that shows it.
    fn print_mistakes(&self, measured: &Measured, out: &mut Printer) -> Result<(), Problem> {
        for row in &measured.rows {
            for mistake in &row.mistakes {
                out.print(&Fault::of(self, row, mistake))?;
            }
        }
        Ok(())
    }

    fn lifetimes(&self, out: &mut Printer) -> Result<Vec<Requirement>, Problem> {
        let losses = self.losses();
        let bar = progress::bar(Some(losses.len() as u64 * u64::from(self.seeds)), "runs");
        let mut requirements = Vec::new();
        for loss in losses {
            let jobs = jobs_or_all(self.jobs);
            let plan = lifetimes::Plan { loss, seeds: self.seeds, seed: self.seed, jobs };
            let measured = lifetimes::run(&plan, || bar.inc(1));
            let measured = measured.map_err(|error| Problem::failed(error.to_string()))?;
            out.print(&Lifetimes::of(&measured))?;
            requirements.extend(measured.requirements());
        }
        bar.finish_and_clear();
        Ok(requirements)
    }
}

fn heading(plan: &Plan) -> String {
    let last = plan.seed + (plan.seeds - 1);
    format!(
        "{}, {} each (seeds {} to {last}), {}, {} dead\n\n{:<35} {:>4}  {:>9} {:>9} {:>10} {:>9}  {:>11}  {:>7}\n",
        counted(plan.subjects.len() as u64, "NAT", "NATs"),
        counted(plan.seeds.into(), "run", "runs"),
        plan.seed,
        counted(plan.servers as u64, "server", "servers"),
        plan.dead,
        "right·sure in percent",
        "loss",
        "mapping",
        "filtering",
        "allocation",
        "hairpin",
        "round trips",
        "packets",
    )
}

/// One NAT with one loss.
#[derive(Serialize)]
struct Line<'a> {
    nat: &'a str,
    loss_ppm: u32,
    runs: u32,
    mapping: Counts,
    filtering: Counts,
    allocation: Counts,
    hairpin: Counts,
    udp: bool,
    udp_right: u32,
    udp_wrong: u32,
    udp_surely_blocked: u32,
    round_trips_p50: f64,
    round_trips_p95: f64,
    slowest_ms: Option<f64>,
    packets_p50: u32,
    #[serde(skip)]
    loss: Chance,
}

/// How often what was found of an axis.
#[derive(Serialize)]
struct Counts {
    decidable: u32,
    right: u32,
    wrong: u32,
    unknown: u32,
    sure: u32,
    wrong_and_sure: u32,
    invented: u32,
}

impl Counts {
    const fn of(tally: &Tally) -> Self {
        let &Tally { decidable, right, wrong, sure, wrong_and_sure, invented } = tally;
        Self { decidable, right, wrong, unknown: tally.unknown(), sure, wrong_and_sure, invented }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self {
            Self { wrong_and_sure: 1.., .. } | Self { invented: 1.., .. } => "!",
            Self { wrong: 1.., .. } => "?",
            _ => "",
        };
        if self.decidable == 0 {
            return f.pad(&format!("{mark}–"));
        }
        // Rounded down: one failure in a thousand runs must stay visible.
        let percent = |part: u32| u64::from(part) * 100 / u64::from(self.decidable);
        f.pad(&format!("{mark}{}·{}", percent(self.right), percent(self.sure)))
    }
}

impl<'a> Line<'a> {
    fn of(row: &'a Row) -> Self {
        let [mapping, filtering, allocation, hairpin] = row.axes.each_ref().map(Counts::of);
        let of_round_trips = |percent| f64::from(percentile(&row.round_trips, percent)) / 1_000.0;
        Self {
            nat: &row.name,
            loss_ppm: row.loss.ppm(),
            runs: row.runs,
            mapping,
            filtering,
            allocation,
            hairpin,
            udp: row.udp,
            udp_right: row.udp_right,
            udp_wrong: row.udp_wrong,
            udp_surely_blocked: row.udp_surely_blocked,
            round_trips_p50: of_round_trips(50),
            round_trips_p95: of_round_trips(95),
            slowest_ms: row.slowest.map(|slowest| slowest.as_micros() as f64 / 1_000.0),
            packets_p50: percentile(&row.packets, 50),
            loss: row.loss,
        }
    }
}

impl Event for Line<'_> {
    const NAME: &'static str = "row";
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nat, mapping, filtering, allocation, hairpin, packets_p50, .. } = self;
        let loss = self.loss.to_string();
        // In round trips nobody answers never.
        let round_trips = if self.udp {
            format!("{:.2} {:>5.2}", self.round_trips_p50, self.round_trips_p95)
        } else {
            "–".to_owned()
        };
        write!(
            f,
            "{nat:<35} {loss:>4}  {mapping:>9} {filtering:>9} {allocation:>10} {hairpin:>9}  \
             {round_trips:>11}  {packets_p50:>7}"
        )
    }
}

/// Something that must not be.
#[derive(Serialize)]
struct Fault {
    nat: String,
    message: String,
    command: String,
}

impl Fault {
    fn of(arguments: &Arguments, row: &Row, mistake: &Mistake) -> Self {
        let Arguments { servers, dead, .. } = arguments;
        let loss = row.loss.to_string().replace(" %", "");
        let command = format!(
            "bradawl-sim discover --nat {} --loss {loss} --seed {} --seeds 1 --servers {servers} --dead {dead}",
            row.name, mistake.seed
        );
        Self { nat: row.name.clone(), message: format!("{}: {mistake}", row.name), command }
    }
}

impl Event for Fault {
    const NAME: &'static str = "failed";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAILED {}\n    {}", self.message, self.command)
    }
}

/// Something that must hold.
#[derive(Serialize)]
struct Checked<'a> {
    what: &'a str,
    found: &'a str,
    holds: bool,
    #[serde(skip)]
    requirement: &'a Requirement,
}

impl<'a> Checked<'a> {
    fn of(requirement: &'a Requirement) -> Self {
        let Requirement { what, found, holds } = requirement;
        Self { what, found, holds: *holds, requirement }
    }
}

impl Event for Checked<'_> {
    const NAME: &'static str = "requirement";
}

impl fmt::Display for Checked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requirement.fmt(f)
    }
}

/// How long mappings were found to be remembered.
#[derive(Serialize)]
struct Lifetimes<'a> {
    loss_ppm: u32,
    runs: u32,
    near: u32,
    unknown: u32,
    sure: u32,
    far_and_sure: u32,
    worst_ms: u32,
    refreshed_right: u32,
    refreshed_wrong: u32,
    packets_p50: u32,
    packets_max: u32,
    seconds_p50: u32,
    seconds_max: u32,
    seeds: &'a [u32],
    #[serde(skip)]
    loss: Chance,
}

impl<'a> Lifetimes<'a> {
    fn of(measured: &'a lifetimes::Measured) -> Self {
        let most = |sorted: &[u32]| percentile(sorted, 100);
        Self {
            loss_ppm: measured.loss.ppm(),
            runs: measured.runs,
            near: measured.near(),
            unknown: measured.runs - measured.errors.len() as u32,
            sure: measured.sure,
            far_and_sure: measured.far_and_sure,
            worst_ms: most(&measured.errors),
            refreshed_right: measured.refreshed_right,
            refreshed_wrong: measured.refreshed_wrong,
            packets_p50: percentile(&measured.packets, 50),
            packets_max: most(&measured.packets),
            seconds_p50: percentile(&measured.seconds, 50),
            seconds_max: most(&measured.seconds),
            seeds: &measured.seeds,
            loss: measured.loss,
        }
    }
}

impl Event for Lifetimes<'_> {
    const NAME: &'static str = "lifetimes";
}

impl fmt::Display for Lifetimes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lifetimes of 20 to 300 s, {} at {} loss: {} packets after the quick pass (at most {}), {} s (at most {})",
            counted(self.runs.into(), "run", "runs"),
            self.loss,
            self.packets_p50,
            self.packets_max,
            self.seconds_p50,
            self.seconds_max,
        )?;
        let first: Vec<String> = self.seeds.iter().take(8).map(u32::to_string).collect();
        match first.is_empty() {
            true => Ok(()),
            false => write!(f, "\n    not as they should be: seeds {}", first.join(", ")),
        }
    }
}
