//! Deadlines for any number of things, the next one always at hand.
//!
//! A four-ary heap of `(deadline, key)` that knows where each key stands in it. It is half as deep as
//! a binary one, and four children of 16 bytes touch two cache lines at most.
//!
//! It is lazy in one direction. Most timers of a network program are postponed again and again and
//! hardly ever fire: a keepalive moves with every packet sent, a consent check with every answer.
//! Postponing only writes the new deadline beside the old one, which stays in the heap as a lower
//! bound and is moved down when it comes to the top. So postponing is O(1), setting, advancing and
//! cancelling are O(log n), and deadlines are exact: [`Timers::next_deadline`] settles the top first.

use alloc::vec::Vec;

use crate::time::Instant;

/// How many children a heap node has.
const ARITY: usize = 4;

/// What a timer is for: a small number, dense from 0, such as an index into a slab. Memory grows
/// with the largest key ever set.
///
/// ```
/// use bradawl::timers::{Key, Timers};
///
/// let session: Key = 3; // its place in a list of sessions
/// let mut timers = Timers::default();
/// timers.set(session, bradawl::time::Instant::ZERO);
/// assert_eq!(timers.pop(bradawl::time::Instant::ZERO), Some(session));
/// ```
pub type Key = u32;

/// A set of timers, at most one per key.
///
/// ```
/// use bradawl::time::{Duration, Instant};
/// use bradawl::timers::Timers;
///
/// let at = |secs| Instant::ZERO + Duration::from_secs(secs);
/// let mut timers = Timers::default();
/// timers.set(0, at(10));
/// timers.set(1, at(20));
/// timers.set(0, at(30)); // postponed
/// assert_eq!(timers.next_deadline(), Some(at(20)));
///
/// assert_eq!(timers.pop(at(25)), Some(1));
/// assert_eq!(timers.pop(at(25)), None); // nothing else is due
/// timers.cancel(0);
/// assert_eq!(timers.next_deadline(), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Timers {
    heap: Vec<Node>,
    slots: Vec<Slot>,
}

/// A place in the heap: a lower bound of the key's deadline. Ordered by bound, then by key, so that
/// the order in which timers fire does not depend on the heap's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    bound: Instant,
    key: Key,
}

/// A key's true deadline and its place in the heap.
#[derive(Clone, Copy, Debug)]
struct Slot {
    deadline: Instant,
    place: u32,
}

impl Slot {
    const NOWHERE: u32 = u32::MAX;
    const UNSET: Self = Self { deadline: Instant::FAR_FUTURE, place: Self::NOWHERE };
}

impl Timers {
    /// Sets, postpones or advances the timer of `key`.
    pub fn set(&mut self, key: Key, deadline: Instant) {
        let index = key as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::UNSET);
        }
        let slot = &mut self.slots[index];
        slot.deadline = deadline;
        let place = slot.place as usize;
        if slot.place == Slot::NOWHERE {
            self.heap.push(Node { bound: deadline, key });
            self.rise(self.heap.len() - 1, Node { bound: deadline, key });
        } else if deadline < self.heap[place].bound {
            self.rise(place, Node { bound: deadline, key });
        }
    }

    /// Forgets the timer of `key`, if there is one.
    pub fn cancel(&mut self, key: Key) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        if slot.place != Slot::NOWHERE {
            self.remove(slot.place as usize);
        }
    }

    /// When the timer of `key` will fire.
    pub fn deadline(&self, key: Key) -> Option<Instant> {
        let slot = self.slots.get(key as usize)?;
        (slot.place != Slot::NOWHERE).then_some(slot.deadline)
    }

    /// When the next timer will fire.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.settle().map(|node| node.bound)
    }

    /// Takes out one timer that is due at `now`: the earliest, the smallest key among equals.
    pub fn pop(&mut self, now: Instant) -> Option<Key> {
        let due = self.settle().filter(|node| node.bound <= now)?;
        self.remove(0);
        Some(due.key)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Moves postponed timers away from the top until the one there is exact.
    fn settle(&mut self) -> Option<Node> {
        loop {
            let top = *self.heap.first()?;
            let deadline = self.slots[top.key as usize].deadline;
            if deadline == top.bound {
                return Some(top);
            }
            self.sink(0, Node { bound: deadline, key: top.key });
        }
    }

    /// Takes the node out at `place` and closes the gap with the last one.
    fn remove(&mut self, place: usize) {
        let Some(last) = self.heap.pop() else { return };
        let Some(&gone) = self.heap.get(place) else {
            self.slots[last.key as usize] = Slot::UNSET;
            return;
        };
        self.slots[gone.key as usize] = Slot::UNSET;
        if last < gone {
            self.rise(place, last);
        } else {
            self.sink(place, last);
        }
    }

    /// Puts `node` at `hole` or above, where its parent is not later.
    fn rise(&mut self, mut hole: usize, node: Node) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.heap[parent] <= node {
                break;
            }
            self.place(hole, self.heap[parent]);
            hole = parent;
        }
        self.place(hole, node);
    }

    /// Puts `node` at `hole` or below, where none of its children is earlier.
    fn sink(&mut self, mut hole: usize, node: Node) {
        loop {
            let first = ARITY * hole + 1;
            let end = (first + ARITY).min(self.heap.len());
            let children = self.heap.get(first..end).unwrap_or_default();
            let Some((offset, &earliest)) = children.iter().enumerate().min_by_key(|&(_, child)| child)
            else {
                break;
            };
            if node <= earliest {
                break;
            }
            self.place(hole, earliest);
            hole = first + offset;
        }
        self.place(hole, node);
    }

    fn place(&mut self, place: usize, node: Node) {
        self.heap[place] = node;
        self.slots[node.key as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use crate::time::Instant;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_of_their_keys() {
        let mut timers = Timers::default();
        for key in [5, 3, 9, 0] {
            timers.set(key, at(7));
        }
        let order: [_; 5] = core::array::from_fn(|_| timers.pop(at(7)));
        assert_eq!(order, [Some(0), Some(3), Some(5), Some(9), None]);
    }

    #[test]
    fn a_postponed_timer_fires_at_its_new_time_and_not_before() {
        let mut timers = Timers::default();
        timers.set(0, at(1));
        timers.set(0, at(5));
        assert_eq!(timers.pop(at(4)), None);
        assert_eq!(timers.next_deadline(), Some(at(5)));
        assert_eq!(timers.pop(at(5)), Some(0));
        assert_eq!(timers.deadline(0), None);
    }

    #[test]
    fn a_postponed_timer_can_be_advanced_between_its_old_bound_and_its_deadline() {
        let mut timers = Timers::default();
        timers.set(0, at(1));
        timers.set(0, at(9));
        timers.set(0, at(4));
        timers.set(1, at(6));
        assert_eq!((timers.pop(at(5)), timers.pop(at(5))), (Some(0), None));
    }

    #[test]
    fn cancelling_the_last_or_a_missing_timer_is_nothing_special() {
        let mut timers = Timers::default();
        timers.cancel(3);
        timers.set(0, at(1));
        timers.set(1, at(2));
        timers.cancel(1);
        timers.cancel(1);
        assert_eq!((timers.len(), timers.next_deadline()), (1, Some(at(1))));
    }
}
