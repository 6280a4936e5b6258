//! What a person can change about a NAT, if anything.

use core::fmt;

use super::forecast::known;
use super::{Circumstances, Dependence, NatProfile};

/// One thing to change, in words for people.
///
/// ```
/// use bradawl::discovery::{Circumstances, Confidence, Finding, Hint, NatProfile};
///
/// let blocked = Some(Finding { value: false, confidence: Confidence::SURE });
/// let profile = NatProfile { servers: (2, 0), udp: blocked, ..NatProfile::default() };
/// assert!(profile.hints(Circumstances::default()).eq([Hint::AllowUdp]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// UDP does not pass.
    AllowUdp,
    /// A carrier's NAT is above our own.
    LeaveCarrier,
    /// The router opens no port for us.
    MapPorts,
    /// The mapping depends on whom one talks to.
    KeepMapping,
    /// The mapping is not known for sure, since only one server answered.
    AskAnother,
    /// The filter is not known, since no server could answer from another address.
    AskTwoAddresses,
}

impl Hint {
    /// All of them, the most useful first.
    pub const ALL: [Self; 6] = [
        Self::AllowUdp,
        Self::LeaveCarrier,
        Self::MapPorts,
        Self::KeepMapping,
        Self::AskAnother,
        Self::AskTwoAddresses,
    ];

    /// Its name for programs; it stays.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowUdp => "allow-udp",
            Self::LeaveCarrier => "leave-carrier",
            Self::MapPorts => "map-ports",
            Self::KeepMapping => "keep-mapping",
            Self::AskAnother => "ask-another",
            Self::AskTwoAddresses => "ask-two-addresses",
        }
    }

    fn helps(self, profile: &NatProfile, given: Circumstances) -> bool {
        if !profile.passes_udp() {
            // The rest is about UDP that passes. And who asked nobody knows nothing.
            return self == Self::AllowUdp && profile.servers.0 > 0;
        }
        let is_carrier = known(profile.carrier) == Some(true);
        let is_translated = known(profile.translated) != Some(false);
        let lets_all_in = known(profile.filtering) == Some(Dependence::Endpoint);
        let mapping = known(profile.mapping);
        match self {
            Self::AllowUdp => false,
            Self::LeaveCarrier => is_carrier && !lets_all_in,
            Self::MapPorts => is_translated && !is_carrier && !lets_all_in && !given.port_mapping,
            // On what it depends need not be known for that.
            Self::KeepMapping => {
                !lets_all_in
                    && mapping.map_or(profile.mapped.len() > 1, |mapping| mapping != Dependence::Endpoint)
            }
            Self::AskAnother => is_translated && mapping.is_none() && profile.servers.1 == 1,
            Self::AskTwoAddresses => known(profile.filtering).is_none(),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowUdp => {
                "no UDP comes back: ask for UDP port 3478 to be let out; else it takes a relay over TCP 443"
            }
            Self::LeaveCarrier => {
                "your router is behind a carrier's NAT: ask for a public address, or use IPv6"
            }
            Self::MapPorts => "turn on UPnP, NAT-PMP or PCP in the router",
            Self::KeepMapping => {
                "each peer sees another port: look for a setting `full cone` or `EIM` in the router"
            }
            Self::AskAnother => "only one server answered: name a second one for surer results",
            Self::AskTwoAddresses => {
                "the filter stays unknown without a server that has two addresses: name one"
            }
        })
    }
}

impl NatProfile {
    /// What a person can change: each hint at most once, the most useful first.
    pub fn hints(&self, given: Circumstances) -> impl Iterator<Item = Hint> + '_ {
        Hint::ALL.into_iter().filter(move |hint| hint.helps(self, given))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::SocketAddr;

    use super::*;
    use crate::discovery::{Axis, Confidence, Finding};
    use Hint::{AllowUdp, AskAnother, AskTwoAddresses, KeepMapping, LeaveCarrier, MapPorts};

    fn sure<T>(value: T) -> Axis<T> {
        Some(Finding { value, confidence: Confidence::SURE })
    }

    fn profile(mapping: Option<Dependence>, filtering: Option<Dependence>) -> NatProfile {
        NatProfile {
            servers: (2, 2),
            udp: sure(true),
            translated: sure(true),
            mapping: mapping.and_then(sure),
            filtering: filtering.and_then(sure),
            ..NatProfile::default()
        }
    }

    fn hints(profile: &NatProfile) -> Vec<Hint> {
        profile.hints(Circumstances::default()).collect()
    }

    #[test]
    fn each_hint_where_it_helps_and_nowhere_else() {
        use Dependence::{AddressAndPort, Endpoint};
        let home = profile(Some(Endpoint), Some(AddressAndPort));
        let one = NatProfile { servers: (2, 1), ..profile(None, None) };
        let carrier = NatProfile { carrier: sure(true), ..home.clone() };
        let seen = |port| SocketAddr::from(([203, 0, 113, 9], port));
        let differing = NatProfile { mapped: Vec::from([seen(1), seen(2)]), ..profile(None, None) };
        let open = NatProfile { translated: sure(false), ..profile(Some(Endpoint), Some(Endpoint)) };
        let firewall = NatProfile { translated: sure(false), ..home.clone() };
        let silent = NatProfile { servers: (1, 0), ..NatProfile::default() };
        for (profile, expected) in [
            (&home, &[MapPorts][..]),
            (&profile(Some(AddressAndPort), Some(AddressAndPort)), &[MapPorts, KeepMapping]),
            (&profile(Some(AddressAndPort), Some(Endpoint)), &[]),
            (&profile(Some(Endpoint), Some(Endpoint)), &[]),
            (&profile(Some(Endpoint), None), &[MapPorts, AskTwoAddresses]),
            (&one, &[MapPorts, AskAnother, AskTwoAddresses]),
            (&carrier, &[LeaveCarrier]),
            (&differing, &[MapPorts, KeepMapping, AskTwoAddresses]),
            (&open, &[]),
            (&firewall, &[]),
            (&silent, &[AllowUdp]),
            (&NatProfile::default(), &[]),
        ] {
            assert_eq!(hints(profile), expected, "{profile:?}");
        }
        let mapped = Circumstances { port_mapping: true, ipv6: false };
        assert_eq!(home.hints(mapped).count(), 0);
    }
}
