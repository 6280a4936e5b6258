//! Answers that come late, for who wants to know how long his NAT keeps a mapping.
//!
//! A client asks to be answered once more after some time. If that answer arrives, the mapping lived
//! that long without a packet. Nobody may have others bombarded like this: such a request carries a
//! token that an answer brought to this very address and port a few minutes ago at most. The token is
//! a keyed hash of that address and the time, so nothing is remembered for it.
//!
//! What is remembered are the answers to come. There is a bound for all of them and one per network;
//! who meets it is told so in the answer that comes at once.

use alloc::vec::Vec;
use core::hash::{BuildHasher as _, Hasher as _};
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use super::answer::Answer;
use crate::hash::Keyed;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::timers::{Key, Timers};

/// How many requests may wait for their late answer.
pub const MAX_LATE: usize = 4_096;

/// How many of them may be of one network: an IPv4 address, or an IPv6 /56.
pub const MAX_LATE_PER_NETWORK: usize = 16;

/// How often a late answer is sent, for packets get lost.
pub const LATE_ANSWERS: u8 = 3;

/// How long after one the next is sent.
pub const LATE_GAP: Duration = Duration::from_millis(250);

/// A token is good until the end of the epoch after its own.
const EPOCH: Duration = Duration::from_secs(5 * 60);

/// The answers to come.
pub(super) struct Late {
    longest: u16,
    tokens: Keyed,
    slots: Vec<Slot>,
    /// The slots that are free again.
    free: Vec<Key>,
    timers: Timers,
    /// By the keyed hash of the network.
    networks: HashMap<u64, Network, Keyed>,
}

#[derive(Clone, Copy)]
struct Slot {
    answer: Answer,
    network: u64,
    /// How often it is still to be sent.
    left: u8,
}

/// The slots of one network, the first `count` of these.
#[derive(Clone, Copy, Default)]
struct Network {
    slots: [Key; MAX_LATE_PER_NETWORK],
    count: usize,
}

impl Late {
    pub(super) fn new(longest: u16, rng: &mut Rng) -> Self {
        Self {
            longest,
            tokens: Keyed::new(rng),
            slots: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            networks: HashMap::with_hasher(Keyed::new(rng)),
        }
    }

    /// The longest delay that may be asked for, in seconds.
    pub(super) const fn longest(&self) -> u16 {
        self.longest
    }

    /// What proves that whoever repeats it has heard us at this address.
    pub(super) fn token(&self, now: Instant, client: SocketAddr) -> u64 {
        self.token_of(epoch(now), client)
    }

    /// Notes that `answer` is to be sent after as many seconds as its HELP says. `false` if it will not
    /// be: that is too long, the token is not ours, or there is no room.
    pub(super) fn note(&mut self, now: Instant, answer: Answer, token: u64) -> bool {
        let (client, delay) = (answer.path.remote, answer.help.map_or(0, |help| help.delay));
        if delay > self.longest || !self.is_ours(now, client, token) {
            return false;
        }
        let tag = self.tokens.hash_network(client.ip());
        let network = self.networks.get(&tag).copied().unwrap_or_default();
        let same = |slot: &Slot| slot.answer.id == answer.id && slot.answer.path == answer.path;
        let waiting = network.slots.iter().take(network.count);
        // A request that was repeated because our answer to it got lost.
        if waiting.filter_map(|&key| self.slots.get(key as usize)).any(same) {
            return true;
        }
        if network.count == MAX_LATE_PER_NETWORK || self.timers.len() == MAX_LATE {
            return false;
        }
        let key = self.place(Slot { answer, network: tag, left: LATE_ANSWERS });
        let network = self.networks.entry(tag).or_default();
        network.slots[network.count] = key;
        network.count += 1;
        self.timers.set(key, now + Duration::from_secs(delay.into()));
        true
    }

    /// An answer whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Answer> {
        let key = self.timers.pop(now)?;
        let slot = self.slots.get_mut(key as usize)?;
        slot.left -= 1;
        let Slot { answer, network, left } = *slot;
        if left > 0 {
            self.timers.set(key, now + LATE_GAP);
        } else {
            self.forget(key, network);
        }
        Some(answer)
    }

    /// When the next answer is due.
    pub(super) fn next(&mut self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn is_ours(&self, now: Instant, client: SocketAddr, token: u64) -> bool {
        let epoch = epoch(now);
        [Some(epoch), epoch.checked_sub(1)].into_iter().flatten().any(|at| self.token_of(at, client) == token)
    }

    fn token_of(&self, epoch: u64, client: SocketAddr) -> u64 {
        let ip = match client.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut hasher = self.tokens.build_hasher();
        hasher.write(&ip.octets());
        hasher.write(&client.port().to_le_bytes());
        hasher.write(&epoch.to_le_bytes());
        // 0 is what a client sends that has none.
        hasher.finish().max(1)
    }

    fn place(&mut self, slot: Slot) -> Key {
        if let Some(key) = self.free.pop() {
            self.slots[key as usize] = slot;
            return key;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as Key
    }

    fn forget(&mut self, key: Key, tag: u64) {
        self.free.push(key);
        let Some(network) = self.networks.get_mut(&tag) else { return };
        if let Some(place) = network.slots.iter().take(network.count).position(|&slot| slot == key) {
            network.count -= 1;
            network.slots[place] = network.slots[network.count];
        }
        if network.count == 0 {
            self.networks.remove(&tag);
        }
    }
}

fn epoch(now: Instant) -> u64 {
    now.as_micros() / EPOCH.as_micros() as u64
}
