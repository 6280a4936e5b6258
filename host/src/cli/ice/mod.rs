//! `ice`: our agent against any other. One JSON object per line, on stdin and stdout alike, is the signaling
//! and the data; who connects two of them passes on what each says to the other (`docs/ice.md`).
//!
//! * `arguments.rs`: the command line.
//! * `line.rs`: the lines, both ways.
//! * `input.rs`: stdin, cut into lines that are not too long.
//! * `machine.rs`: a gatherer and an agent as one machine.
//! * `dialogue.rs`: what each line does, and which lines that brings about.

mod arguments;
mod dialogue;
mod input;
mod line;
mod machine;

pub use arguments::{Arguments, Role, TurnTransport};
pub use dialogue::{Dialogue, Lookup, MAX_LOOKUPS, MAX_WAITING, Next};
pub use input::{Input, MAX_LINE, next_line};
pub use line::{Command, MAX_DATAGRAM, Said, Unusable};
pub use machine::{Event, Ice, MAX_SENDING, NotSent};
