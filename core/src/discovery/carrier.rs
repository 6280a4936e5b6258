//! Is there a carrier's NAT above our own (RFC 6888)?
//!
//! What tells: our own address is one that carriers use (RFC 6598: 100.64.0.0/10); our router says, by
//! PCP, NAT-PMP or UPnP, that its outside address is such a one or a private one; or a router further
//! out has such an address, which is seen by letting packets run out of hops on the way (`Role::Hop`).
//! Anybody can forge the ICMP errors that say so, and a private address further out may be that of a
//! larger private network: hints, of different weight.

use core::net::IpAddr;

use super::{Axis, Confidence, Finding, NatProfile};
use crate::portmap::is_behind_another;
use crate::scope::Scope;

/// How far out routers are looked for.
pub(super) const MAX_HOPS: u8 = 3;

/// What a router says of its own outside address.
const TELLING: u32 = 24;
/// An address of RFC 6598 is a carrier's. But there are private networks and providers that use such ones
/// elsewhere, too, and anybody can forge who lets a packet expire.
const LIKELY: u32 = 14;
/// A private address beyond our router may be a second NAT or only a second router, as many providers have
/// them where no NAT is: a guess, and less than [`Confidence::ENOUGH`].
const AMBIGUOUS: u32 = 5;
/// If the first router outside has a public address, a carrier's NAT would have to be behind that.
const PUBLIC: u32 = 12;

/// What is concluded.
pub(super) fn carrier(profile: &NatProfile) -> Axis<bool> {
    let found = |value, bits| Some(Finding { value, confidence: Confidence::from_bits(bits) });
    if profile.translated.is_some_and(|finding| !finding.value) {
        return None;
    }
    let hops = || profile.hops.iter().map(|&(_, by)| by);
    let ours = profile.local.map(|local| local.ip());
    match profile.router {
        Some(outside) if is_behind_another(outside) => return found(true, TELLING),
        Some(outside) if profile.public.contains(&outside) => return found(false, TELLING),
        _ => {}
    }
    if ours.into_iter().chain(hops()).any(is_shared) {
        return found(true, LIKELY);
    }
    let mut beyond = profile.hops.iter().filter(|(hop, _)| *hop > 1);
    if beyond.clone().any(|&(_, by)| is_behind_another(by)) {
        return found(true, AMBIGUOUS);
    }
    // A second router that says nothing may well be the carrier's NAT, whoever comes after it.
    beyond.any(|&(hop, _)| hop == 2).then(|| found(false, PUBLIC)).flatten()
}

/// RFC 6598: between a carrier's NAT and its subscribers.
fn is_shared(ip: IpAddr) -> bool {
    Scope::of(ip) == Scope::Shared
}

#[cfg(test)]
mod tests {
    use super::carrier;
    use crate::discovery::{Confidence, Finding, NatProfile};

    fn profile(hops: &[(u8, &str)], router: Option<&str>) -> NatProfile {
        let ip = |text: &str| text.parse().expect("an address");
        NatProfile {
            local: Some("192.168.1.5:5000".parse().expect("an address")),
            translated: Some(Finding { value: true, confidence: Confidence::SURE }),
            public: [ip("203.0.113.9")].into(),
            hops: hops.iter().map(|&(hop, by)| (hop, ip(by))).collect(),
            router: router.map(ip),
            ..NatProfile::default()
        }
    }

    #[test]
    fn each_kind_of_hint_has_its_weight() {
        let of = |hops: &[(u8, &str)], router| {
            carrier(&profile(hops, router)).map(|finding| (finding.value, finding.confidence.is_sure()))
        };
        let is_guess = |hops: &[(u8, &str)]| {
            carrier(&profile(hops, None)).is_some_and(|finding| finding.confidence < Confidence::ENOUGH)
        };
        assert!(is_guess(&[(2, "10.0.0.1")]), "many providers have such routers and no NAT");
        assert!(!is_guess(&[(2, "198.51.100.7")]));
        assert_eq!(of(&[(1, "192.168.1.1"), (3, "198.51.100.7")], None), None, "the second says nothing");
        assert_eq!(of(&[], None), None);
        assert_eq!(of(&[(1, "192.168.1.1")], None), None);
        assert_eq!(of(&[(1, "192.168.1.1"), (2, "100.64.0.1")], None), Some((true, false)));
        assert_eq!(of(&[(2, "100.64.0.1")], Some("203.0.113.9")), Some((false, true)), "it should know");
        assert_eq!(of(&[(1, "192.168.1.1"), (2, "10.0.0.1")], None), Some((true, false)));
        assert_eq!(of(&[(1, "192.168.1.1"), (2, "198.51.100.7")], None), Some((false, false)));
        assert_eq!(of(&[], Some("100.80.1.2")), Some((true, true)));
        assert_eq!(of(&[], Some("10.1.2.3")), Some((true, true)));
        assert_eq!(of(&[], Some("203.0.113.9")), Some((false, true)));
        assert_eq!(of(&[], Some("203.0.113.77")), None, "it may have several");
    }

    #[test]
    fn who_is_in_the_carriers_network_himself_knows() {
        let local = Some("100.100.1.2:5000".parse().expect("an address"));
        let found = carrier(&NatProfile { local, ..profile(&[], None) });
        assert!(found.is_some_and(|finding| finding.value && finding.confidence >= Confidence::ENOUGH));
    }

    #[test]
    fn without_a_nat_there_is_none_above_it() {
        let translated = Some(Finding { value: false, confidence: Confidence::SURE });
        assert_eq!(carrier(&NatProfile { translated, ..profile(&[(2, "10.0.0.1")], None) }), None);
    }
}
