//! Every transcript of `bradawl-sim` in the README and the book is run, and what it shows is what comes out.

#[path = "../../adapter-tokio/tests/transcript/mod.rs"]
mod transcript;

use std::path::Path;

use transcript::{Binary, Runner, root};

const BINARIES: [Binary; 1] = [Binary {
    name: "bradawl-sim",
    by_cargo: "cargo run --release -p bradawl-sim --",
    path: env!("CARGO_BIN_EXE_bradawl-sim"),
}];

#[test]
fn every_transcript_comes_out_as_printed() {
    // Commands write files: not into the repository, but beside what of it they read.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transcripts");
    // It is not there the first time.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let sim = root().join("sim").canonicalize().expect("it is there");
    std::os::unix::fs::symlink(sim, folder.join("sim")).expect("a link");
    let runner =
        Runner { binaries: &BINARIES, others: &["bradawl-peer", "bradawl-mediator"], folder, has_icmp: true };
    let count = runner.run_all();
    assert!(count >= 3, "found only {count} transcripts: is the marker still `console`?");
}
