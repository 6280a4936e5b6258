//! Every kind of NAT, each with the same seeds: how often a discovery is right, how sure it is, and what it
//! costs.
//!
//! [`run`] is `bradawl-sim discover` for a test of one's own: a plan in, the measurements out, in as many
//! threads as one likes and the same for any number of them. [`Measured::requirements`] says what must hold.

mod requirement;
mod subject;

use core::fmt;
use core::ops::ControlFlow;

use bradawl::discovery::NatProfile;
use bradawl::time::Duration;

use super::{Axis, Found, Judgement, Lab, Truth, discover, round_trip};
use crate::jobs;
use crate::link::Quality;
use crate::units::{Chance, Span};
use crate::world::InvalidWorld;

pub use requirement::Requirement;
pub use subject::{Subject, UnknownSubject};

/// So many runs are one piece of work for a thread.
const PIECE: u32 = 32;

/// How many mistakes of a row are kept.
const MAX_MISTAKES: usize = 3;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the host is behind.
    pub subjects: Vec<Subject>,
    /// How many packets go lost each way; all is run with each.
    pub losses: Vec<Chance>,
    /// How many seeds,
    pub seeds: u32,
    /// and the first of them.
    pub seed: u32,
    /// How many servers there are,
    pub servers: usize,
    /// and how many that are asked first and say nothing.
    pub dead: usize,
    /// How many threads.
    pub jobs: usize,
}

impl Plan {
    /// How many runs that are.
    pub fn runs(&self) -> u64 {
        (self.subjects.len() * self.losses.len()) as u64 * u64::from(self.seeds)
    }

    /// The lab of one run. The seed decides the round trip, from 20 to 300 ms.
    fn lab(&self, subject: &Subject, loss: Chance, seed: u32) -> Lab {
        let delay = Span::from_micros(round_trip(seed).as_micros() / 2);
        let link = Quality { delay, loss, ..Quality::default() };
        let behind = subject.behind(seed);
        Lab { behind, link, servers: self.servers, dead: self.dead, ..Lab::default() }
    }
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// For each loss, each subject.
    pub rows: Vec<Row>,
}

/// One subject with one loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the host was behind.
    pub name: String,
    /// How many packets went lost.
    pub loss: Chance,
    /// How many runs there were.
    pub runs: u32,
    /// What was found of each of [`Axis::ALL`].
    pub axes: [Tally; 4],
    /// Whether UDP passes.
    pub udp: bool,
    /// How often this was found to be so,
    pub udp_right: u32,
    /// how often the opposite was,
    pub udp_wrong: u32,
    /// and how often the host was sure that UDP is blocked.
    pub udp_surely_blocked: u32,
    /// How long each quick pass took, in thousandths of the round trip, in order.
    pub round_trips: Vec<u32>,
    /// How many packets it sent, in order.
    pub packets: Vec<u32>,
    /// The longest quick pass; `None` if one was not over after six seconds.
    pub slowest: Option<Duration>,
    /// The first things that were wrong.
    pub mistakes: Vec<Mistake>,
}

/// How often what was found of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often anybody could know.
    pub decidable: u32,
    /// Of these: what was found was right,
    pub right: u32,
    /// or wrong; else nothing was found.
    pub wrong: u32,
    /// Of these: sure, 0.9 or more,
    pub sure: u32,
    /// and wrong all the same.
    pub wrong_and_sure: u32,
    /// How often something was found though nobody can know.
    pub invented: u32,
}

impl Tally {
    /// How often nothing was found of what could be known.
    pub const fn unknown(&self) -> u32 {
        self.decidable - self.right - self.wrong
    }

    fn add(&mut self, judgement: Judgement) {
        let Judgement { is_decidable, is_right, is_sure } = judgement;
        if !is_decidable {
            self.invented += u32::from(is_right.is_some());
            return;
        }
        self.decidable += 1;
        self.right += u32::from(is_right == Some(true));
        self.wrong += u32::from(is_right == Some(false));
        self.sure += u32::from(is_sure);
        self.wrong_and_sure += u32::from(is_sure && is_right == Some(false));
    }

    /// These and those.
    pub const fn merge(&mut self, other: &Self) {
        self.decidable += other.decidable;
        self.right += other.right;
        self.wrong += other.wrong;
        self.sure += other.sure;
        self.wrong_and_sure += other.wrong_and_sure;
        self.invented += other.invented;
    }
}

/// Something that was wrong and sure, or that nobody can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The run's seed.
    pub seed: u32,
    /// What it was about.
    pub axis: Axis,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} found to be {}", self.seed, self.axis, self.found)
    }
}

/// Runs a plan. `progress` is told of each piece of work how many runs it was.
///
/// ```
/// use bradawl_sim::discover::table::{Plan, Subject, run};
/// use bradawl_sim::units::Chance;
///
/// let subjects = vec!["home".parse::<Subject>()?, "endpoint/address/random".parse()?];
/// let losses = vec![Chance::NEVER];
/// let plan = Plan { subjects, losses, seeds: 2, seed: 1, servers: 3, dead: 0, jobs: 1 };
/// let measured = run(&plan, |_| ())?;
/// assert!(measured.rows.iter().all(|row| row.axes[0].right == 2));
/// assert!(measured.requirements().iter().all(|requirement| requirement.holds));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(plan: &Plan, mut progress: impl FnMut(u32)) -> Result<Measured, InvalidWorld> {
    let conditions = || plan.losses.iter().flat_map(|&loss| plan.subjects.iter().map(move |it| (loss, it)));
    let conditions: Vec<(Chance, &Subject)> = conditions().collect();
    let mut rows: Vec<Row> = conditions.iter().map(|&(loss, subject)| Row::new(subject, loss)).collect();
    let pieces = u64::from(plan.seeds.div_ceil(PIECE));
    let work = |unit: u64| {
        let at = (unit / pieces) as usize;
        let (loss, subject) = conditions[at];
        let first = (unit % pieces) as u32 * PIECE;
        let mut row = Row::new(subject, loss);
        for offset in first..plan.seeds.min(first.saturating_add(PIECE)) {
            let seed = plan.seed.wrapping_add(offset);
            let lab = plan.lab(subject, loss, seed);
            row.add(seed, &Truth::of(&lab.behind), &discover(seed.into(), &lab)?);
        }
        Ok((at, row))
    };
    let mut failed = None;
    jobs::in_order(plan.jobs, pieces * conditions.len() as u64, work, |done| match done {
        Ok((at, row)) => {
            progress(row.runs);
            rows[at].merge(row);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    for row in &mut rows {
        row.round_trips.sort_unstable();
        row.packets.sort_unstable();
    }
    failed.map_or(Ok(Measured { rows }), Err)
}

impl Row {
    fn new(subject: &Subject, loss: Chance) -> Self {
        Self {
            name: subject.name().to_owned(),
            loss,
            runs: 0,
            axes: [Tally::default(); 4],
            udp: true,
            udp_right: 0,
            udp_wrong: 0,
            udp_surely_blocked: 0,
            round_trips: Vec::new(),
            packets: Vec::new(),
            slowest: Some(Duration::ZERO),
            mistakes: Vec::new(),
        }
    }

    fn add(&mut self, seed: u32, truth: &Truth, found: &Found) {
        self.runs += 1;
        for (axis, tally) in Axis::ALL.into_iter().zip(&mut self.axes) {
            let judgement = axis.judge(&found.profile, truth);
            tally.add(judgement);
            let Judgement { is_decidable, is_right, is_sure } = judgement;
            let is_mistake =
                if is_decidable { is_sure && is_right == Some(false) } else { is_right.is_some() };
            if is_mistake && self.mistakes.len() < MAX_MISTAKES {
                self.mistakes.push(Mistake { seed, axis, found: shown(axis, &found.profile) });
            }
        }
        self.udp = truth.udp;
        if let Some(udp) = found.profile.udp {
            self.udp_right += u32::from(udp.value == truth.udp);
            self.udp_wrong += u32::from(udp.value != truth.udp);
            self.udp_surely_blocked += u32::from(!udp.value && udp.confidence.is_sure());
        }
        let thousandths =
            |took: Duration| took.as_micros() * 1_000 / u128::from(round_trip(seed).as_micros());
        let took = found.quick.map(thousandths).and_then(|took| u32::try_from(took).ok());
        self.round_trips.push(took.unwrap_or(u32::MAX));
        self.packets.push(found.packets.0);
        self.slowest = self.slowest.zip(found.quick).map(|(slowest, took)| slowest.max(took));
    }

    /// What was measured with the seeds behind these.
    fn merge(&mut self, later: Self) {
        self.runs += later.runs;
        self.axes.iter_mut().zip(&later.axes).for_each(|(tally, later)| tally.merge(later));
        self.udp = later.udp;
        self.udp_right += later.udp_right;
        self.udp_wrong += later.udp_wrong;
        self.udp_surely_blocked += later.udp_surely_blocked;
        self.round_trips.extend(later.round_trips);
        self.packets.extend(later.packets);
        self.slowest = self.slowest.zip(later.slowest).map(|(one, other)| one.max(other));
        self.mistakes.extend(later.mistakes);
        self.mistakes.truncate(MAX_MISTAKES);
    }
}

/// What a profile says of an axis, in words.
fn shown(axis: Axis, profile: &NatProfile) -> String {
    fn say<T: fmt::Display + Copy>(found: bradawl::discovery::Axis<T>) -> String {
        found.map_or_else(
            || "unknown".to_owned(),
            |found| format!("`{}` ({} bits)", found.value, found.confidence.bits()),
        )
    }
    match axis {
        Axis::Mapping => say(profile.mapping),
        Axis::Filtering => say(profile.filtering),
        Axis::Allocation => say(profile.allocation),
        Axis::Hairpin => say(profile.hairpin),
    }
}

/// The one of sorted figures that so many percent of them are not above; 0 of none.
pub fn percentile(sorted: &[u32], percent: usize) -> u32 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
