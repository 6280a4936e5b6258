//! Whom a host may answer: who has sent it a check that is sealed, one answer for each time it comes.
//!
//! Which seals are good the checker does not know; but it sees which checks were really sent. One that was
//! overheard and repeated from elsewhere is as good as it was (RFC 8445 §7.3), one that was garbled is not.

use core::hash::{Hash as _, Hasher as _};
use std::collections::{BTreeMap, VecDeque};
use std::hash::DefaultHasher;

use bradawl::machine::Path;
use bradawl::wire::stun::attr::Username;
use bradawl::wire::stun::{Class, Message, TransactionId};

/// How many checks of all hosts are remembered.
const MAX_CHECKS: usize = 1 << 16;
/// How many checks that a host has not answered are remembered.
const MAX_DUE: usize = 1_024;

/// The checks that were really sent, by all hosts.
#[derive(Debug, Default)]
pub(super) struct Checks {
    sums: BTreeMap<TransactionId, u64>,
    in_order: VecDeque<TransactionId>,
}

impl Checks {
    /// A host sends this.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Some(id) = check(bytes).filter(|id| !self.sums.contains_key(id)) else { return };
        self.sums.insert(id, sum(bytes));
        self.in_order.push_back(id);
        if self.in_order.len() > MAX_CHECKS
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.sums.remove(&oldest);
        }
    }

    /// The check that this is, if it is one that somebody has sent.
    pub(super) fn recognize(&self, bytes: &[u8]) -> Option<TransactionId> {
        check(bytes).filter(|id| self.sums.get(id) == Some(&sum(bytes)))
    }
}

/// The checks that have come to a host and that it may answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    due: VecDeque<(Path, TransactionId)>,
}

impl Answers {
    /// A check has come.
    pub(super) fn allow(&mut self, path: Path, id: TransactionId) {
        if self.due.len() == MAX_DUE {
            self.due.pop_front();
        }
        self.due.push_back((path, id));
    }

    /// Whether this is the one answer to a check that has come on this path.
    pub(super) fn take(&mut self, path: Path, bytes: &[u8]) -> bool {
        let Some(message) = Message::parse(bytes).ok().filter(|message| message.class().is_response()) else {
            return false;
        };
        let is_it = |(on, id): &(Path, TransactionId)| *on == path && *id == message.transaction_id();
        let index = self.due.iter().position(is_it);
        index.is_some_and(|index| self.due.remove(index).is_some())
    }
}

/// The transaction of a request with a user name, which is what a check has.
fn check(bytes: &[u8]) -> Option<TransactionId> {
    let message = Message::parse(bytes).ok().filter(|message| message.class() == Class::Request)?;
    message.find::<Username<'_>>().ok()?.map(|_| message.transaction_id())
}

fn sum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
