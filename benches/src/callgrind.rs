//! Instructions: the program runs itself under callgrind with N and with 2 N iterations; the
//! difference over N is one operation, since everything else happens once.
//!
//! It is the measure that binds, because it is the same on every run. (Valgrind's processor has no
//! SHA extensions, so the hashes are those of plain x86-64 for everybody.)

use std::process::{Command, Stdio};
use std::{env, fs, process};

/// Whether `valgrind` can be run.
pub fn is_available() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The instructions of one operation. This program, given `operation` and `--iterations N`, must do
/// that operation N times and nothing else.
pub fn instructions(operation: &[&str], n: u64) -> Result<f64, String> {
    let (one, two) = (of_this_program(operation, n)?, of_this_program(operation, 2 * n)?);
    Ok((two as f64 - one as f64) / n as f64)
}

/// The instructions of a whole process.
fn of_this_program(operation: &[&str], iterations: u64) -> Result<u64, String> {
    let out = env::temp_dir().join(format!("bradawl-callgrind.{}", process::id()));
    let failed = |why: &dyn std::fmt::Display| format!("callgrind of {}: {why}", operation.join(" "));
    let this = env::current_exe().map_err(|error| failed(&error))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(operation)
        .args(["--iterations", &iterations.to_string()])
        .output()
        .map_err(|error| failed(&error))?;
    if !run.status.success() {
        return Err(failed(&String::from_utf8_lossy(&run.stderr)));
    }
    let profile = fs::read_to_string(&out).map_err(|error| failed(&error))?;
    let _ = fs::remove_file(&out);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.ok_or_else(|| failed(&"no summary in its output"))?;
    total.trim().parse().map_err(|error| failed(&error))
}
