//! How long a mapping is remembered: whether a discovery that takes its time finds out, of NATs that forget
//! after 20 to 300 s, to within two seconds.

use core::ops::ControlFlow;

use bradawl::time::Duration;

use super::table::Requirement;
use super::{Found, Lab, discover, round_trip};
use crate::catalogue::Gateway;
use crate::firewall::Firewall;
use crate::jobs;
use crate::link::Quality;
use crate::nat::{Allocation, Behaviour, Dependence, Fallback};
use crate::units::{Chance, Span};
use crate::world::InvalidWorld;

/// How far what was found may be from what is true.
const NEAR: Duration = Duration::from_secs(2);

/// How long a search is watched.
const PATIENCE: Duration = Duration::from_secs(4_000);

const MAPPINGS: [Dependence; 3] = [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];
const ALLOCATIONS: [Allocation; 3] =
    [Allocation::Preserve(Fallback::Random), Allocation::Sequential { step: 1 }, Allocation::Random];

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many packets go lost each way.
    pub loss: Chance,
    /// How many seeds,
    pub seeds: u32,
    /// and the first of them.
    pub seed: u32,
    /// How many threads.
    pub jobs: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// How many packets went lost.
    pub loss: Chance,
    /// How many runs there were.
    pub runs: u32,
    /// How far each that found something was from what is true, in milliseconds, in order.
    pub errors: Vec<u32>,
    /// How many were sure.
    pub sure: u32,
    /// How many were sure, and further off than two seconds.
    pub far_and_sure: u32,
    /// How many found out whether packets from outside keep a mapping alive,
    pub refreshed_right: u32,
    /// and how many found the opposite.
    pub refreshed_wrong: u32,
    /// How many packets were sent after the quick pass, in order.
    pub packets: Vec<u32>,
    /// How long it took, in seconds, in order.
    pub seconds: Vec<u32>,
    /// The seeds that are not as they must be.
    pub seeds: Vec<u32>,
}

/// What is there to be found with a seed: the lifetime, and the NAT.
fn nat(seed: u32) -> Behaviour {
    Behaviour {
        mapping: MAPPINGS[seed as usize % 3],
        allocation: ALLOCATIONS[seed as usize / 3 % 3],
        lifetime: Span::from_secs(20 + (u64::from(seed) * 104_729) % 281),
        refresh_inbound: !seed.is_multiple_of(4),
        ..Behaviour::default()
    }
}

/// Runs a plan. `progress` is told of each run.
///
/// ```
/// use bradawl_sim::discover::lifetimes::{Plan, run};
/// use bradawl_sim::units::Chance;
///
/// let measured = run(&Plan { loss: Chance::NEVER, seeds: 2, seed: 1, jobs: 1 }, || ())?;
/// assert!(measured.requirements().iter().all(|requirement| requirement.holds));
/// # Ok::<(), bradawl_sim::world::InvalidWorld>(())
/// ```
pub fn run(plan: &Plan, mut progress: impl FnMut()) -> Result<Measured, InvalidWorld> {
    let work = |unit: u64| {
        let seed = plan.seed.wrapping_add(unit as u32);
        let nat = nat(seed);
        let delay = Span::from_micros(round_trip(seed).as_micros() / 2);
        let lab = Lab {
            behind: vec![Gateway { nat: Some(nat.clone()), addresses: 1, firewall: Firewall::OPEN }],
            link: Quality { delay, loss: plan.loss, ..Quality::default() },
            patience: PATIENCE,
            ..Lab::default()
        };
        discover(seed.into(), &lab).map(|found| (seed, nat, found))
    };
    let mut measured = Measured::new(plan.loss);
    let mut failed = None;
    jobs::in_order(plan.jobs, plan.seeds.into(), work, |done| match done {
        Ok((seed, nat, found)) => {
            progress();
            measured.add(seed, &nat, &found);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    measured.errors.sort_unstable();
    measured.packets.sort_unstable();
    measured.seconds.sort_unstable();
    failed.map_or(Ok(measured), Err)
}

impl Measured {
    const fn new(loss: Chance) -> Self {
        Self {
            loss,
            runs: 0,
            errors: Vec::new(),
            sure: 0,
            far_and_sure: 0,
            refreshed_right: 0,
            refreshed_wrong: 0,
            packets: Vec::new(),
            seconds: Vec::new(),
            seeds: Vec::new(),
        }
    }

    fn add(&mut self, seed: u32, nat: &Behaviour, found: &Found) {
        self.runs += 1;
        let mut is_right = false;
        if let Some(lifetime) = found.profile.lifetime {
            let error = lifetime.value.estimate().abs_diff(nat.lifetime.duration());
            self.errors.push(u32::try_from(error.as_millis()).unwrap_or(u32::MAX));
            let is_sure = lifetime.confidence.is_sure();
            self.sure += u32::from(is_sure);
            self.far_and_sure += u32::from(is_sure && error > NEAR);
            is_right = error <= NEAR;
        }
        let refreshed = found.profile.refreshed_inbound.map(|finding| finding.value);
        self.refreshed_right += u32::from(refreshed == Some(nat.refresh_inbound));
        self.refreshed_wrong += u32::from(refreshed == Some(!nat.refresh_inbound));
        if !is_right || refreshed != Some(nat.refresh_inbound) {
            self.seeds.push(seed);
        }
        self.packets.push(found.packets.1.saturating_sub(found.packets.0));
        let seconds = found.finished.map(|finished| finished.as_secs());
        self.seconds.push(seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(u32::MAX));
    }

    /// How many are within two seconds.
    pub fn near(&self) -> u32 {
        self.errors.iter().filter(|&&error| u128::from(error) <= NEAR.as_millis()).count() as u32
    }

    /// All that must hold, and whether it does. Where packets go lost, a search may end without a result.
    pub fn requirements(&self) -> Vec<Requirement> {
        let Self { loss, runs, .. } = self;
        let (near, least) = (self.near(), if *loss == Chance::NEVER { *runs } else { runs - runs / 20 });
        let worst = self.errors.last().copied().unwrap_or(0);
        vec![
            Requirement {
                what: format!("the lifetime of a mapping is found within 2 s, at {loss} loss"),
                found: format!(
                    "{near} of {runs}, the worst off by {}.{:03} s, {} sure",
                    worst / 1_000,
                    worst % 1_000,
                    self.sure
                ),
                holds: near >= least && self.far_and_sure == 0,
            },
            Requirement {
                what: format!("whether packets from outside keep it alive, at {loss} loss"),
                found: format!("{} of {runs} right, {} wrong", self.refreshed_right, self.refreshed_wrong),
                holds: self.refreshed_right >= least,
            },
        ]
    }
}
