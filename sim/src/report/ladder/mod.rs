//! A run as a ladder: a column per host and gateway, time downwards, an arrow per hop of a packet.
//!
//! A packet's hop is from the record of its leaving (sent, crossed, turned round) to its next record
//! elsewhere. What a gateway maps, what it drops and why, what programs say and what goes wrong stand where
//! they happen. Time is not to scale: a long while in which nothing happens is a break.

mod draw;
mod hops;
mod layout;
mod text;

use crate::nat::Flow;
use crate::trace::{Happened, Warrant};

pub use draw::svg;
pub use text::text;

/// As many records as people look through.
pub const LIMIT: usize = 400;
/// How many records a run has in text, which scrolls.
pub const TEXT_LIMIT: usize = 4_000;

/// A longer while without a record, in microseconds, is drawn as a break.
const BREAK: u64 = 120_000;

/// What stands above and below a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    /// What it shows.
    pub title: String,
    /// The command that made it.
    pub command: String,
}

fn addresses(flow: &Flow) -> String {
    format!("{} → {}", flow.source, flow.destination)
}

/// What a program says, in one or more short lines.
fn said(happened: &Happened) -> Vec<String> {
    match happened {
        Happened::MaySend { to, why } => {
            let why = match why {
                Warrant::Server => "a server",
                Warrant::Candidate => "a candidate",
                Warrant::PeerReflexive => "peer-reflexive",
                Warrant::Answer => "to answer",
            };
            vec![format!("may send ({why})"), format!("to {to}")]
        }
        Happened::MayVolley(at) => vec!["may send a volley".to_owned(), format!("to {at}")],
        Happened::MayProbe(ip) => vec!["may try ports".to_owned(), format!("of {ip}")],
        Happened::Selected { local, remote, strategy } => {
            vec![format!("selected: {strategy}"), local.to_string(), format!("→ {remote}")]
        }
        Happened::Lost => vec!["path lost".to_owned()],
        Happened::Failed(why) => vec![format!("gave up: {why}")],
        Happened::Closed => vec!["closed".to_owned()],
        Happened::SeenAs(address) => vec!["seen from outside as".to_owned(), address.to_string()],
    }
}
