//! `bradawl-sim nats`: the catalogue.

use core::fmt;

use clap::Args;
use serde::Serialize;

use super::output::Event;
use super::{Exit, Printer, Problem};
use crate::catalogue::{self, Entry, Population};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  bradawl-sim nats")]
pub(super) struct Arguments {
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<Exit, Problem> {
        let mut out = Printer::new(self.json);
        for entry in catalogue::entries() {
            out.print(&Nat::of(entry))?;
        }
        out.show("\n")?;
        for population in catalogue::populations() {
            out.print(&Shares::of(population))?;
        }
        Ok(Exit::Done)
    }
}

#[derive(Serialize)]
struct Nat {
    name: &'static str,
    legacy: &'static str,
    terms: String,
    about: &'static str,
}

impl Nat {
    fn of(entry: &Entry) -> Self {
        Self { name: entry.name, legacy: entry.legacy, terms: entry.terms(), about: entry.about }
    }
}

impl Event for Nat {
    const NAME: &'static str = "nat";
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}): {}", self.name, self.legacy, self.about)?;
        write!(f, "    {}", self.terms)
    }
}

#[derive(Serialize)]
struct Shares {
    name: &'static str,
    about: &'static str,
    nats: Vec<Share>,
}

#[derive(Serialize)]
struct Share {
    name: &'static str,
    percent: u32,
}

impl Shares {
    fn of(population: &Population) -> Self {
        let share = |&(name, percent): &(&'static str, u32)| Share { name, percent };
        let nats = population.weights.iter().map(share).collect();
        Self { name: population.name, about: population.about, nats }
    }
}

impl Event for Shares {
    const NAME: &'static str = "population";
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "population {}: {}\n    ", self.name, self.about)?;
        for (index, Share { name, percent }) in self.nats.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {percent} %")?;
        }
        Ok(())
    }
}
