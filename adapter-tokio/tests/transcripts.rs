//! Every transcript in the README and the book is run, and what it shows is what comes out: here those of the
//! mediator and the peer; `sim/tests/transcripts.rs` runs the simulator's.

mod transcript;

use transcript::{Binary, Runner, root};

const BINARIES: [Binary; 2] = [
    Binary {
        name: "bradawl-peer",
        by_cargo: "cargo run --release -p bradawl-tokio --bin bradawl-peer --",
        path: env!("CARGO_BIN_EXE_bradawl-peer"),
    },
    Binary {
        name: "bradawl-mediator",
        by_cargo: "cargo run --release -p bradawl-tokio --bin bradawl-mediator --",
        path: env!("CARGO_BIN_EXE_bradawl-mediator"),
    },
];

#[test]
fn every_transcript_comes_out_as_printed() {
    let runner = Runner {
        binaries: &BINARIES,
        others: &["bradawl-sim"],
        folder: root(),
        has_icmp: !cfg!(feature = "portable"),
    };
    let count = runner.run_all();
    assert!(count >= 3, "found only {count} transcripts: is the marker still `console`?");
}
