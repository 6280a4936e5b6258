//! When a pair is checked.
//!
//! The two sides of a session begin at different times: whatever the first one sends before the second has
//! sent anything is dropped by the second one's filter. So the first checks follow each other closely. Once
//! a check of the other side has come in, its way is open, and the only reason to repeat ours is that
//! packets get lost. Whatever is left after that is repeated more and more seldom, for a NAT may reboot and
//! a radio may come back.

use crate::time::Duration;

/// In which rhythm a pair is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// Nothing is known of the other side: dense, then sparse.
    Dense,
    /// The other side is there, and its filter is open: only losses are made good.
    Open,
    /// A private address that may belong to another network: twice.
    Faint,
    /// Once: many others are like it, or the transport repeats by itself.
    Once,
}

/// Offsets from the first check, in milliseconds. No seven of them within two seconds but the first
/// (`budget.rs`).
const DENSE: &[u16] = &[0, 20, 60, 160, 300, 600, 1_100];
const OPEN: &[u16] = &[0, 40, 160, 320, 600, 1_100];
const FAINT: &[u16] = &[0, 60];

/// How often a check is repeated after the table has ended.
const SPARSE: Duration = Duration::from_secs(1);

impl Rhythm {
    /// When check number `step`, counted from 0, is due after the first; `None` if there is no such check.
    pub(super) fn offset(self, step: u16) -> Option<Duration> {
        let table = match self {
            Self::Dense => DENSE,
            Self::Open => OPEN,
            Self::Faint => {
                return FAINT.get(usize::from(step)).map(|&offset| Duration::from_millis(offset.into()));
            }
            Self::Once => return (step == 0).then_some(Duration::ZERO),
        };
        let step = usize::from(step);
        if let Some(&offset) = table.get(step) {
            return Some(Duration::from_millis(offset.into()));
        }
        let last = Duration::from_millis(table[table.len() - 1].into());
        let more = u32::try_from(step - table.len() + 1).unwrap_or(u32::MAX);
        Some(last + SPARSE * more)
    }
}

/// How long to wait for what a check of the other side leads to, before ours is repeated: about a round
/// trip, judged by how long it took the other side to be heard, within these bounds.
pub(super) fn gap(until_heard: Duration) -> Duration {
    until_heard.clamp(LATELY, Duration::from_millis(160))
}

/// A check that left so lately is not repeated because one of the other side has come in: it is still on
/// its way, or was not needed.
pub(super) const LATELY: Duration = Duration::from_millis(40);

/// How long a foreign agent may wait before it sends a check of its own (RFC 8445 §14.2). rice-proto counts
/// from its last packet, even if that was an answer: every check of ours puts off one of its.
pub(super) const TURN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rhythm_slows_down_and_none_stands_still() {
        for rhythm in [Rhythm::Dense, Rhythm::Open] {
            let times: alloc::vec::Vec<_> = (0..40).map_while(|step| rhythm.offset(step)).collect();
            assert_eq!(times.len(), 40);
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{rhythm:?}");
            assert_eq!(times[39] - times[38], SPARSE);
        }
        assert_eq!((Rhythm::Once.offset(1), Rhythm::Faint.offset(2)), (None, None));
    }
}
