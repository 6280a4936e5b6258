//! How far an IP address reaches: one place for what is private, shared or nobody's.
//!
//! The special addresses are those of RFC 6890 and its registries. Those for documentation count as
//! the world's: simulated worlds are made of them, and a real one leads nowhere.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where an address means something, from nowhere to everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// No single host has it: unspecified, multicast, broadcast, reserved.
    Nowhere,
    /// This host.
    Host,
    /// The network that this host is in.
    Link,
    /// A home or a company (RFC 1918, RFC 4193).
    Private,
    /// A carrier's network (RFC 6598).
    Shared,
    /// Everywhere.
    World,
}

impl Scope {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    const fn of_v4(ip: Ipv4Addr) -> Self {
        match ip.octets() {
            [0 | 224..=255, ..] => Self::Nowhere,
            [127, ..] => Self::Host,
            [169, 254, ..] => Self::Link,
            // Protocol assignments and benchmarks (RFC 2544) stay where they are, too.
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => {
                Self::Private
            }
            [100, 64..=127, ..] => Self::Shared,
            _ => Self::World,
        }
    }

    const fn of_v6(ip: Ipv6Addr) -> Self {
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Host,
            // Unspecified and long obsolete; discarded (RFC 6666); multicast.
            [0, 0, 0, 0, 0, 0, ..] | [0x100, 0, 0, 0, ..] | [0xff00..=0xffff, ..] => Self::Nowhere,
            [0xfe80..=0xfebf, ..] => Self::Link,
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            _ => Self::World,
        }
    }
}

/// Whether a server may send us to this address: it is one that can be sent to, and reaches no less far
/// than its own. A server in the world knows nothing of the hosts around us; whoever lets it choose one
/// of them is a hole in the firewall.
pub(crate) fn may_name(server: SocketAddr, named: SocketAddr) -> bool {
    let scope = Scope::of(named.ip());
    named.is_ipv4() == server.is_ipv4()
        && named.port() != 0
        && scope > Scope::Nowhere
        && scope >= Scope::of(server.ip())
}

#[cfg(test)]
mod tests {
    use super::{Scope, may_name};

    #[test]
    fn addresses_reach_as_far_as_they_do() {
        for (scope, addresses) in [
            (Scope::Nowhere, "0.0.0.0 0.1.2.3 224.0.0.1 240.0.0.1 255.255.255.255 :: ff02::1 100::1 ::7:8"),
            (Scope::Host, "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1"),
            (Scope::Link, "169.254.1.1 fe80::1 febf::1"),
            (
                Scope::Private,
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 192.0.0.8 198.18.0.1 198.19.0.1",
            ),
            (Scope::Private, "fc00::1 fd12::1 fec0::1 ::ffff:10.0.0.1"),
            (Scope::Shared, "100.64.0.1 100.127.255.255"),
            (Scope::World, "8.8.8.8 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 198.20.0.1 192.0.2.1"),
            (Scope::World, "198.51.100.1 203.0.113.1 2001:db8::1 2606:4700::1 64:ff9b::808:808"),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(Scope::of(address.parse().expect("an address")), scope, "{address}");
            }
        }
    }

    #[test]
    fn nobody_names_what_is_nearer_than_he_is() {
        let may = |server: &str, named: &str| {
            may_name(server.parse().expect("a server"), named.parse().expect("an address"))
        };
        assert!(may("198.51.100.1:3478", "203.0.113.1:3479"));
        assert!(may("10.0.0.1:3478", "10.0.0.2:3479") && may("10.0.0.1:3478", "203.0.113.1:3479"));
        assert!(may("127.0.0.1:3478", "127.0.0.2:3479"), "a server for tests");
        assert!(may("192.168.1.1:3478", "100.64.0.1:3479"));
        assert!(!may("100.64.0.1:3478", "192.168.1.1:3479"), "a carrier does not know our home");
        assert!(!may("198.51.100.1:3478", "100.64.0.1:3479"));
        assert!(!may("198.51.100.1:3478", "203.0.113.1:0"));
        assert!(!may("198.51.100.1:3478", "[2001:db8::1]:3479"));
        assert!(!may("0.0.0.0:3478", "224.0.0.1:3479") && !may("[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"));
    }
}
