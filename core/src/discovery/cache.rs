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
/// let ours = "192.168.1.5".parse()?;
/// let local = Some((ours, 50_000).into());
/// cache.insert(here, NatProfile { local, servers: (2, 2), ..NatProfile::default() });
/// assert!(cache.find(here, ours, Instant::ZERO).is_some());
/// assert!(cache.find(here, ours, Instant::ZERO + CACHE_TIME).is_none());
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

    /// Keeps a profile, beside those of other addresses of this host: another interface or the other family
    /// leads out another way. One without an answer is worth nothing later, and is not kept.
    pub fn insert(&mut self, network: Fingerprint, profile: NatProfile) {
        if profile.servers.1 == 0 {
            return;
        }
        let ours = ip(&profile);
        self.profiles.retain(|(known, other)| *known != network || ip(other) != ours);
        if self.profiles.len() == MAX_CACHED {
            self.profiles.pop_front();
        }
        self.profiles.push_back((network, profile));
    }

    /// What is known of the way out of a network from this address of ours, if that is not too long ago.
    pub fn find(&self, network: Fingerprint, ours: IpAddr, now: Instant) -> Option<&NatProfile> {
        let is_it = |known: Fingerprint, profile: &NatProfile| known == network && ip(profile) == Some(ours);
        let (_, profile) = self.profiles.iter().find(|(known, profile)| is_it(*known, profile))?;
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

/// The address of ours that it is about.
fn ip(profile: &NatProfile) -> Option<IpAddr> {
    profile.local.map(|local| local.ip())
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

    const OURS: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 168, 1, 5));

    fn profile(ours: IpAddr) -> NatProfile {
        NatProfile { local: Some((ours, 5_000).into()), servers: (2, 1), ..NatProfile::default() }
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
        cache.insert(here, profile(OURS));
        cache.handle_host(&HostInput::Interfaces(&home));
        assert!(cache.find(here, OURS, Instant::ZERO).is_some(), "nothing has changed");
        cache.handle_host(&HostInput::Interfaces(&away));
        assert!(cache.find(here, OURS, Instant::ZERO).is_none());
    }

    #[test]
    fn a_machine_that_has_slept_believes_nothing() {
        let mut cache = cache();
        let here = cache.fingerprint(&[], &[]);
        cache.insert(here, profile(OURS));
        cache.handle_host(&HostInput::ClockJumped(Duration::from_secs(60)));
        assert!(cache.find(here, OURS, Instant::ZERO).is_none());
    }

    #[test]
    fn each_address_of_ours_has_its_own_way_out() {
        let mut cache = cache();
        let here = cache.fingerprint(&[], &[]);
        let v6: IpAddr = "2001:db8::5".parse().expect("an address");
        let tunnel: IpAddr = "10.8.0.2".parse().expect("an address");
        for ours in [OURS, v6, OURS] {
            cache.insert(here, profile(ours));
        }
        for (ours, expected) in [(OURS, Some(OURS)), (v6, Some(v6)), (tunnel, None)] {
            assert_eq!(cache.find(here, ours, Instant::ZERO).and_then(ip), expected);
        }
        assert_eq!(cache.profiles.len(), 2);
    }

    #[test]
    fn what_nobody_answered_is_not_kept() {
        let mut cache = cache();
        let here = cache.fingerprint(&[], &[]);
        cache.insert(here, profile(OURS));
        cache.insert(here, NatProfile { servers: (2, 0), ..profile(OURS) });
        assert!(cache.find(here, OURS, Instant::ZERO).is_some_and(|known| known.servers.1 == 1));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = cache();
        let networks: Vec<_> = (0..=MAX_CACHED)
            .map(|n| cache.fingerprint(&[interface(&std::format!("10.0.0.{n}"))], &[]))
            .collect();
        for &network in &networks {
            cache.insert(network, profile(OURS));
        }
        assert_eq!(cache.profiles.len(), MAX_CACHED);
        assert!(cache.find(networks[0], OURS, Instant::ZERO).is_none());
        assert!(cache.find(networks[MAX_CACHED], OURS, Instant::ZERO).is_some());
    }
}
