//! Profiles are kept for a while, each for the network it was taken on.
//!
//! A network is known by its [`Fingerprint`]: which addresses this host has there, with their prefixes,
//! and which routers. Whoever comes back within five minutes need not ask again. When the addresses
//! change, or the clock has jumped because the machine slept, nothing that was kept is believed any more.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;
use core::net::IpAddr;

use super::NatProfile;
use crate::hash::Keyed;
use crate::machine::{HostInput, Interface};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// For how long a profile is believed, unless its owner says otherwise.
pub const CACHE_TIME: Duration = Duration::from_secs(300);

/// How many profiles are kept; the oldest one makes room.
pub const MAX_CACHED: usize = 8;

/// What tells one network from another. It means something only beside others of the same [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

/// The profiles of networks that this host was on lately.
///
/// ```
/// use bradawl::discovery::{Cache, CACHE_TIME, NatProfile};
/// use bradawl::machine::Interface;
/// use bradawl::rng::Rng;
/// use bradawl::time::Instant;
///
/// let mut cache = Cache::new(CACHE_TIME, &mut Rng::from_seed([1; 32]));
/// let wifi = [Interface { index: 2, address: "192.168.1.5".parse()?, prefix_len: 24 }];
/// let here = cache.fingerprint(&wifi, &["192.168.1.1".parse()?]);
///
/// cache.insert(here, NatProfile::default());
/// assert!(cache.find(here, Instant::ZERO).is_some());
/// assert!(cache.find(here, Instant::ZERO + CACHE_TIME).is_none());
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub struct Cache {
    time: Duration,
    keyed: Keyed,
    /// The oldest one first.
    profiles: VecDeque<(Fingerprint, NatProfile)>,
    /// Where this host was last seen.
    here: Option<Fingerprint>,
}

impl Cache {
    /// An empty cache that believes its profiles for so long.
    pub fn new(time: Duration, rng: &mut Rng) -> Self {
        Self { time, keyed: Keyed::new(rng), profiles: VecDeque::new(), here: None }
    }

    /// The network with these addresses of ours and these routers, in any order.
    pub fn fingerprint(&self, interfaces: &[Interface], routers: &[IpAddr]) -> Fingerprint {
        let mut ours: Vec<_> = interfaces.iter().map(|one| (one.address, one.prefix_len)).collect();
        let mut routers = routers.to_vec();
        ours.sort_unstable();
        routers.sort_unstable();
        Fingerprint(self.keyed.hash_one((ours, routers)))
    }

    /// Keeps a profile. One without an answer is worth nothing later.
    pub fn insert(&mut self, network: Fingerprint, profile: NatProfile) {
        self.profiles.retain(|(known, _)| *known != network);
        if self.profiles.len() == MAX_CACHED {
            self.profiles.pop_front();
        }
        self.profiles.push_back((network, profile));
    }

    /// What is known of a network, if that is not too long ago.
    pub fn find(&self, network: Fingerprint, now: Instant) -> Option<&NatProfile> {
        let (_, profile) = self.profiles.iter().find(|(known, _)| *known == network)?;
        (now.since(profile.taken) < self.time).then_some(profile)
    }

    /// Hears what the host has to say: after a change of its addresses, and after it has slept, nothing
    /// that was kept is believed.
    pub fn handle_host(&mut self, input: &HostInput<'_>) {
        match input {
            HostInput::ClockJumped(_) => self.profiles.clear(),
            HostInput::Interfaces(interfaces) => {
                let here = self.fingerprint(interfaces, &[]);
                if self.here.replace(here).is_some_and(|before| before != here) {
                    self.profiles.clear();
                }
            }
            _ => {}
        }
    }
}

impl core::fmt::Debug for Cache {
    // Not everybody's addresses.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cache").field("profiles", &self.profiles.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(address: &str) -> Interface {
        Interface { index: 2, address: address.parse().expect("an address"), prefix_len: 24 }
    }

    fn cache() -> Cache {
        Cache::new(CACHE_TIME, &mut Rng::from_seed([7; 32]))
    }

    #[test]
    fn a_network_is_its_addresses_and_routers_in_any_order() {
        let cache = cache();
        let [a, b] = ["192.168.1.5", "10.0.0.7"].map(interface);
        let router = ["192.168.1.1".parse().expect("an address")];
        assert_eq!(cache.fingerprint(&[a, b], &router), cache.fingerprint(&[b, a], &router));
        let another_index = Interface { index: 9, ..a };
        assert_eq!(cache.fingerprint(&[a], &router), cache.fingerprint(&[another_index], &router));
        assert_ne!(cache.fingerprint(&[a], &router), cache.fingerprint(&[a], &[]));
        assert_ne!(cache.fingerprint(&[a], &router), cache.fingerprint(&[b], &router));
    }

    #[test]
    fn a_profile_is_dropped_when_the_network_changes_and_not_before() {
        let mut cache = cache();
        let (home, away) = ([interface("192.168.1.5")], [interface("172.16.0.9")]);
        cache.handle_host(&HostInput::Interfaces(&home));
        let here = cache.fingerprint(&home, &[]);
        cache.insert(here, NatProfile::default());
        cache.handle_host(&HostInput::Interfaces(&home));
        assert!(cache.find(here, Instant::ZERO).is_some(), "nothing has changed");
        cache.handle_host(&HostInput::Interfaces(&away));
        assert!(cache.find(here, Instant::ZERO).is_none());
    }

    #[test]
    fn a_machine_that_has_slept_believes_nothing() {
        let mut cache = cache();
        let here = cache.fingerprint(&[], &[]);
        cache.insert(here, NatProfile::default());
        cache.handle_host(&HostInput::ClockJumped(Duration::from_secs(60)));
        assert!(cache.find(here, Instant::ZERO).is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = cache();
        let networks: Vec<_> = (0..=MAX_CACHED)
            .map(|n| cache.fingerprint(&[interface(&std::format!("10.0.0.{n}"))], &[]))
            .collect();
        for &network in &networks {
            cache.insert(network, NatProfile::default());
        }
        assert_eq!(cache.profiles.len(), MAX_CACHED);
        assert!(cache.find(networks[0], Instant::ZERO).is_none());
        assert!(cache.find(networks[MAX_CACHED], Instant::ZERO).is_some());
    }
}
