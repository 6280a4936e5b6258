//! The three measures of one operation.
//!
//! Instructions: see [`callgrind`]. It is the measure that binds.
//!
//! Nanoseconds: the best of several rounds on this machine as it is.
//!
//! Allocations: what a counting global allocator saw.

#![allow(clippy::disallowed_methods, reason = "what is measured here is real time")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bradawl_benches::callgrind;

use crate::library::{Entry, Row};

/// What one operation costs. `instructions` is `None` where callgrind is not at hand.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) instructions: Option<f64>,
    pub(crate) nanoseconds: f64,
    pub(crate) allocations: f64,
}

/// Measures `row` of `entry`.
pub(crate) fn measure(entry: &Entry, row: Row, with_callgrind: bool) -> Result<Cost, String> {
    Ok(Cost {
        instructions: if with_callgrind { Some(instructions(entry, row)?) } else { None },
        nanoseconds: nanoseconds(entry, row),
        allocations: allocations(entry, row),
    })
}

/// The arguments with which this program runs one operation and nothing else.
pub(crate) const OPERATION: &str = "--op";

fn instructions(entry: &Entry, row: Row) -> Result<f64, String> {
    const N: u64 = 400; // twice as many has as many digits, or reading the argument would show
    callgrind::instructions(&[OPERATION, entry.name, row.name()], N)
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
