//! The three measures of one operation.
//!
//! Instructions: this program runs itself under callgrind with N and with 2 N iterations; the
//! difference over N is one operation, since everything else happens once. It is the measure that
//! binds, because it is the same on every run. (Valgrind's processor has no SHA extensions, so the
//! hashes here are those of plain x86-64 for every library and for the floor.)
//!
//! Nanoseconds: the best of several rounds on this machine as it is.
//!
//! Allocations: what a counting global allocator saw.

#![allow(clippy::disallowed_methods, reason = "what is measured here is real time")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use crate::library::{Entry, Row};

/// What one operation costs. `instructions` is `None` where callgrind is not at hand.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) instructions: Option<f64>,
    pub(crate) nanoseconds: f64,
    pub(crate) allocations: f64,
}

/// Measures `row` of `entry`.
pub(crate) fn measure(entry: &Entry, row: Row, callgrind: bool) -> Result<Cost, String> {
    Ok(Cost {
        instructions: if callgrind { Some(instructions(entry, row)?) } else { None },
        nanoseconds: nanoseconds(entry, row),
        allocations: allocations(entry, row),
    })
}

/// Whether `valgrind` can be run.
pub(crate) fn has_callgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The arguments with which this program runs one operation and nothing else.
pub(crate) const OPERATION: &str = "--op";

fn instructions(entry: &Entry, row: Row) -> Result<f64, String> {
    const N: u64 = 400; // twice as many has as many digits, or reading the argument would show
    let (one, two) = (under_callgrind(entry, row, N)?, under_callgrind(entry, row, 2 * N)?);
    Ok((two - one) as f64 / N as f64)
}

/// The instructions of a whole process.
fn under_callgrind(entry: &Entry, row: Row, iterations: u64) -> Result<u64, String> {
    let out = env::temp_dir().join(format!("bradawl-callgrind.{}", process::id()));
    let failed = |why: &dyn std::fmt::Display| format!("callgrind of {} {}: {why}", entry.name, row.name());
    let this = env::current_exe().map_err(|error| failed(&error))?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args([OPERATION, entry.name, row.name(), "--iterations", &iterations.to_string()])
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

fn nanoseconds(entry: &Entry, row: Row) -> f64 {
    const ROUND: Duration = Duration::from_millis(20);
    let timed = |iterations| {
        let start = Instant::now();
        (entry.run)(row, iterations);
        start.elapsed()
    };
    let mut iterations = 1_000;
    while timed(iterations) < ROUND {
        iterations *= 2;
    }
    let best = (0..8).map(|_| timed(iterations)).min().unwrap_or(ROUND);
    best.as_secs_f64() * 1e9 / iterations as f64
}

fn allocations(entry: &Entry, row: Row) -> f64 {
    const N: u64 = 256;
    let counted = |iterations| {
        let before = ALLOCATIONS.load(Relaxed);
        (entry.run)(row, iterations);
        ALLOCATIONS.load(Relaxed) - before
    };
    (counted(2 * N) - counted(N)) as f64 / N as f64
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting what is asked of it.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
