//! The binary as a person or a CI meets it: what it prints, what it writes, what it ends with.

mod bad_input;
mod matrix;
mod runs;
mod swarm;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder of a test's own, empty at its beginning.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    // It is not there the first time.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs the binary in a folder.
fn sim_in(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bradawl-sim"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the binary runs")
}

/// Runs the binary, with words separated by blanks.
fn sim(words: &str) -> Output {
    let words: Vec<&str> = words.split_whitespace().collect();
    sim_in(Path::new(env!("CARGO_MANIFEST_DIR")), &words)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Ends with this, and says nothing on stderr.
#[track_caller]
fn ends_quietly(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
    assert_eq!(stderr(output), "");
}

/// Every line is a JSON object of version 1.
#[track_caller]
fn lines(output: &Output) -> Vec<Value> {
    let parsed = stdout(output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &parsed {
        let line: &Value = line;
        assert_eq!(line["v"], 1, "{line}");
        assert!(line["event"].is_string(), "{line}");
    }
    parsed
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).expect("a file")
}
