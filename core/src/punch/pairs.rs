//! All pairs of a session, by number and by path.

use alloc::vec::Vec;

use hashbrown::HashMap;

use super::pair::Pair;
use crate::hash::Keyed;
use crate::machine::Path;

/// How many pairs of candidates there are at most (RFC 8445 §6.1.2.5). Sockets that a strategy opens come
/// on top of these, and have their own bounds.
pub const MAX_PAIRS: usize = 100;

/// A pair's number. It is used again when the pair is gone.
pub(super) type Slot = u32;

pub(super) struct Pairs {
    slots: Vec<Option<Pair>>,
    vacant: Vec<Slot>,
    by_path: HashMap<Path, Slot, Keyed>,
}

impl Pairs {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { slots: Vec::new(), vacant: Vec::new(), by_path: HashMap::with_hasher(keyed) }
    }

    pub(super) fn add(&mut self, pair: Pair) -> Slot {
        let path = pair.path;
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(pair);
                slot
            }
            None => {
                self.slots.push(Some(pair));
                (self.slots.len() - 1) as Slot
            }
        };
        self.by_path.insert(path, slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Pair> {
        let pair = self.slots.get_mut(slot as usize)?.take()?;
        self.by_path.remove(&pair.path);
        self.vacant.push(slot);
        Some(pair)
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.vacant.clear();
        self.by_path.clear();
    }

    pub(super) fn at(&self, path: Path) -> Option<Slot> {
        self.by_path.get(&path).copied()
    }

    pub(super) fn pair(&self, slot: Slot) -> Option<&Pair> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn pair_mut(&mut self, slot: Slot) -> Option<&mut Pair> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Pair)> {
        (0..).zip(&self.slots).filter_map(|(slot, pair)| Some((slot, pair.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Pair)> {
        (0..).zip(&mut self.slots).filter_map(|(slot, pair)| Some((slot, pair.as_mut()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}
