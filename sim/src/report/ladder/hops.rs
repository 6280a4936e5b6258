//! From records to hops: which record a packet comes from.

use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::nat::Flow;
use crate::trace::{PacketNote, PlaceKind, Record, Trace, What};

/// More columns than these are there only for places where something happens.
const MANY: usize = 10;

/// What is drawn of a run.
pub(super) struct Run<'a> {
    /// The places that have a column, from left to right.
    pub(super) columns: Vec<Column<'a>>,
    /// The records that are drawn.
    pub(super) steps: Vec<Step<'a>>,
    /// How many are not.
    pub(super) left_out: usize,
}

pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) gateway: bool,
}

/// A record, and how it hangs together with others.
pub(super) struct Step<'a> {
    /// When, in microseconds.
    pub(super) at: u64,
    /// Where; networks have no column.
    pub(super) column: Option<usize>,
    /// The name of the place.
    pub(super) place: &'a str,
    pub(super) packet: Option<&'a PacketNote>,
    pub(super) what: &'a What,
    /// The step that the packet comes from.
    pub(super) from: Option<usize>,
    /// The first step that the packet goes to.
    pub(super) to: Option<usize>,
    /// The column of whoever owns the packet's destination, as far as the records tell.
    pub(super) toward: Option<usize>,
    /// The mapping that was made for the packet here and now: a step.
    pub(super) mapped: Option<usize>,
}

impl Step<'_> {
    /// The packet's addresses when it leaves, if it does.
    pub(super) fn leaves(&self) -> Option<Flow> {
        match self.what {
            What::Sent => self.packet.map(|packet| packet.flow),
            What::Crossed(flow) | What::TurnedRound(flow) => Some(*flow),
            _ => None,
        }
    }

    fn arrives(&self) -> bool {
        matches!(self.what, What::Received | What::Crossed(_) | What::TurnedRound(_) | What::Dropped(_))
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(trace: &'a Trace, limit: usize) -> Self {
        let records = &trace.records[..limit.min(trace.records.len())];
        let (columns, of_place) = columns(trace, records);
        let mut steps: Vec<Step<'a>> = records
            .iter()
            .map(|record| Step {
                at: record.at.as_micros(),
                column: of_place.get(&record.place.0).copied(),
                place: trace.places.get(record.place.0 as usize).map_or("?", |place| place.name.as_str()),
                packet: record.packet.as_ref(),
                what: &record.what,
                from: None,
                to: None,
                toward: None,
                mapped: None,
            })
            .collect();
        join_hops(&mut steps);
        join_mappings(&mut steps);
        find_destinations(&mut steps);
        Self { columns, steps, left_out: trace.records.len() - records.len() }
    }

    /// Which way a packet goes from a step at a column: 1 or -1, to the right or to the left.
    pub(super) fn direction(&self, column: usize, toward: Option<usize>) -> i64 {
        match toward {
            Some(other) if other > column => 1,
            Some(other) if other < column => -1,
            _ if column + 1 < self.columns.len() => 1,
            _ => -1,
        }
    }

    /// The column that a step's packet is on its way to.
    pub(super) fn heading(&self, step: &Step<'_>) -> Option<usize> {
        let next = step.to.and_then(|to| self.steps[to].column);
        next.filter(|&next| Some(next) != step.column).or(step.toward)
    }
}

type OfPlace = BTreeMap<u32, usize>;

fn columns<'a>(trace: &'a Trace, records: &[Record]) -> (Vec<Column<'a>>, OfPlace) {
    let busy: std::collections::BTreeSet<u32> = records.iter().map(|record| record.place.0).collect();
    let shown = |kind| kind != PlaceKind::Network;
    let few = trace.places.iter().filter(|place| shown(place.kind)).count() <= MANY;
    let mut columns = Vec::new();
    let mut of_place = OfPlace::new();
    for (index, place) in (0..).zip(&trace.places) {
        if shown(place.kind) && (few || busy.contains(&index)) {
            of_place.insert(index, columns.len());
            columns.push(Column { name: &place.name, gateway: place.kind == PlaceKind::Gateway });
        }
    }
    (columns, of_place)
}

/// A packet comes from where it left last with the addresses it has now. A duplicate has its original's
/// number: each of the two takes a leaving of its own as long as there is one.
fn join_hops(steps: &mut [Step<'_>]) {
    let mut leavings: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for index in 0..steps.len() {
        let step = &steps[index];
        let Some(packet) = step.packet else { continue };
        let known = leavings.entry(packet.id).or_default();
        if step.arrives() {
            let dropped = matches!(step.what, What::Dropped(_));
            let best = known
                .iter()
                .copied()
                .filter(|&other| dropped || steps[other].column != step.column)
                .max_by_key(|&other| {
                    let free = steps[other].to.is_none();
                    let order = if free { -(other as i64) } else { other as i64 };
                    (steps[other].leaves() == Some(packet.flow), free, order)
                });
            if let Some(best) = best {
                steps[index].from = Some(best);
                steps[best].to.get_or_insert(index);
            }
        }
        if steps[index].leaves().is_some() {
            known.push(index);
        }
    }
}

/// A mapping belongs to the crossing of the packet it was made for, which may be noted before or after it.
fn join_mappings(steps: &mut [Step<'_>]) {
    for index in 0..steps.len() {
        let Some(packet) = steps[index].packet.filter(|_| matches!(steps[index].what, What::Mapped { .. }))
        else {
            continue;
        };
        let near = (index + 1..steps.len().min(index + 4)).chain((index.saturating_sub(3)..index).rev());
        let partner = near.into_iter().find(|&other| {
            let step = &steps[other];
            step.packet.is_some_and(|other| other.id == packet.id)
                && (step.column, step.at) == (steps[index].column, steps[index].at)
                && step.arrives()
                && step.mapped.is_none()
        });
        if let Some(partner) = partner {
            steps[partner].mapped = Some(index);
            // So that nobody draws it a second time.
            steps[index].to = Some(partner);
        }
    }
}

/// Addresses belong to the hosts that send from them or get packets at them, and to the gateways that map
/// to them. A private one may belong to several; the nearest is meant.
fn find_destinations(steps: &mut [Step<'_>]) {
    let mut owners: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for step in &*steps {
        let address = match (step.what, step.packet) {
            (What::Sent, Some(packet)) => packet.flow.source.ip(),
            (What::Received, Some(packet)) => packet.flow.destination.ip(),
            (What::Mapped { public, .. }, _) => public.ip(),
            _ => continue,
        };
        let columns = owners.entry(address).or_default();
        columns.extend(step.column.filter(|column| !columns.contains(column)));
    }
    for index in 0..steps.len() {
        let step = &steps[index];
        let Some(packet) = step.packet else { continue };
        let flow = step.leaves().unwrap_or(packet.flow);
        let here = step.column.or_else(|| steps[step.from?].column);
        let nearest = |columns: &Vec<usize>| {
            columns.iter().copied().min_by_key(|column| column.abs_diff(here.unwrap_or(0)))
        };
        steps[index].toward = owners.get(&flow.destination.ip()).and_then(nearest);
    }
}
