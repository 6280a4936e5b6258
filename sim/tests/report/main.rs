//! The pictures, tables and files that runs are shown in, byte for byte, and what must never break them.
//!
//! What is expected is in `tests/snapshots`; `UPDATE_SNAPSHOTS=1 cargo test -p bradawl-sim --test report`
//! writes it anew, to be looked at before it is committed.

mod data;
mod junit;
mod ladder;
mod matrix;
mod well_formed;

use std::path::Path;

/// Compares with what is committed, or commits it.
fn snapshot(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(now.lines()).position(|(expected, now)| expected != now);
    let line = differs.unwrap_or(expected.lines().count().min(now.lines().count()));
    assert!(
        expected == now,
        "{name} differs from line {} on:\n  expected {:?}\n  is       {:?}",
        line + 1,
        expected.lines().nth(line),
        now.lines().nth(line)
    );
}
