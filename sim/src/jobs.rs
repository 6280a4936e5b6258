//! Work for several threads whose results come in order: the same results for any number of threads.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

/// Does `work` for 0 up to `units`, in `jobs` threads, and hands the results to `take` in that order, on this
/// thread, until it breaks off. One job needs no thread.
pub(crate) fn in_order<T: Send>(
    jobs: usize,
    units: u64,
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(T) -> ControlFlow<()>,
) {
    if jobs <= 1 {
        let _ = (0..units).try_for_each(|unit| take(work(unit)));
        return;
    }
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(jobs);
        for _ in 0..jobs {
            let send = send.clone();
            scope.spawn(|| {
                let send = send;
                while !is_over.load(Ordering::Relaxed) {
                    let unit = next.fetch_add(1, Ordering::Relaxed);
                    if unit >= units || send.send((unit, work(unit))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut wanted = 0;
        for (unit, result) in receive {
            early.insert(unit, result);
            while let Some(result) = early.remove(&wanted) {
                wanted += 1;
                if take(result).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use core::ops::ControlFlow;

    use super::in_order;

    #[test]
    fn results_come_in_order_and_no_longer_than_they_are_wanted() {
        for jobs in [1, 2, 7] {
            let mut all = Vec::new();
            in_order(
                jobs,
                100,
                |unit| unit * unit,
                |square| {
                    all.push(square);
                    if square == 81 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
            assert_eq!(all, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81], "{jobs} jobs");
            in_order(jobs, 0, |unit| unit, |_| unreachable!());
        }
    }
}
