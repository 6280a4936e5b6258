//! Which checks have come in before.

use alloc::collections::VecDeque;

use crate::machine::Path;
use crate::wire::stun::TransactionId;

/// The transaction ids of the last checks that came in, and where each came in: one that comes again from
/// elsewhere is a repetition that somebody overheard.
#[derive(Default)]
pub(super) struct Replays {
    ring: VecDeque<(TransactionId, Path)>,
}

impl Replays {
    /// How many are remembered.
    const MAX: usize = 64;

    /// Whether it has come in before, wherever.
    pub(super) fn knows(&self, id: TransactionId) -> bool {
        self.ring.iter().any(|(known, _)| *known == id)
    }

    /// Notes one; whether it is a repetition from elsewhere.
    pub(super) fn is_replay(&mut self, id: TransactionId, path: Path) -> bool {
        if let Some((_, first)) = self.ring.iter().rev().find(|(known, _)| *known == id) {
            return *first != path;
        }
        if self.ring.len() == Self::MAX {
            self.ring.pop_front();
        }
        self.ring.push_back((id, path));
        false
    }
}
