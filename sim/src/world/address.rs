//! Addresses, handed out in the order of asking, so that a scenario has the same ones every time. From
//! which ranges is said in [`crate::scenario`].

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeSet;

use crate::scenario::{INTERNET_GATEWAYS, INTERNET_HOSTS, INTERNET_HOSTS_V6, NETWORKS_V6, Subnet};

/// The addresses of one network.
#[derive(Clone, Debug)]
pub(super) struct Range {
    v4: Subnet,
    /// The first address of its /64.
    v6: Option<Ipv6Addr>,
    /// Where gateways in it get theirs: on the internet from elsewhere than hosts, in other networks from
    /// the upper half.
    gateways: Subnet,
    next_host: u32,
    next_host_v6: u32,
    next_gateway: u32,
    taken: BTreeSet<IpAddr>,
}

impl Range {
    /// The internet's.
    pub(super) const fn internet() -> Self {
        Self::new(INTERNET_HOSTS, INTERNET_GATEWAYS, Some(INTERNET_HOSTS_V6), 0)
    }

    /// That of the network numbered `number`.
    pub(super) const fn private(v4: Subnet, number: u16, has_ipv6: bool) -> Self {
        let v6 = Ipv6Addr::from_bits(NETWORKS_V6.to_bits() | (number as u128) << 64);
        Self::new(v4, v4, if has_ipv6 { Some(v6) } else { None }, v4.size() / 2)
    }

    const fn new(v4: Subnet, gateways: Subnet, v6: Option<Ipv6Addr>, next_gateway: u32) -> Self {
        Self { v4, v6, gateways, next_host: 1, next_host_v6: 1, next_gateway, taken: BTreeSet::new() }
    }

    pub(super) const fn has_ipv6(&self) -> bool {
        self.v6.is_some()
    }

    /// Whether an address would have to be in this network.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) => self.v4.contains(ip),
            IpAddr::V6(ip) => self.v6.is_some_and(|net| net.to_bits() >> 64 == ip.to_bits() >> 64),
        }
    }

    /// How long the prefix is that `address` is in.
    pub(super) const fn prefix_len(&self, address: IpAddr) -> u8 {
        if address.is_ipv4() { self.v4.bits() } else { 64 }
    }

    /// The address of its gateway in it, of the family of `other`: one that no host ever gets.
    pub(super) fn router(&self, other: IpAddr) -> Option<IpAddr> {
        match other {
            IpAddr::V4(_) => self.v4.host(0).map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(|net| IpAddr::V6(Ipv6Addr::from_bits(net.to_bits() | 1))),
        }
    }

    /// Keeps an address that somebody chose from being handed out; false if it is taken.
    pub(super) fn reserve(&mut self, address: IpAddr) -> bool {
        self.taken.insert(address)
    }

    /// An IPv4 address for a host.
    pub(super) fn host_v4(&mut self) -> Option<IpAddr> {
        let net = self.v4;
        next(&mut self.taken, &mut self.next_host, |n| net.host(n).map(IpAddr::V4))
    }

    /// An IPv6 address for a host, where there is IPv6.
    pub(super) fn host_v6(&mut self) -> Option<IpAddr> {
        let net = self.v6?.to_bits();
        next(&mut self.taken, &mut self.next_host_v6, |n| {
            (n < 1 << 16).then(|| IpAddr::V6(Ipv6Addr::from_bits(net | u128::from(n + 1))))
        })
    }

    /// A public address for a gateway in this network.
    pub(super) fn gateway_v4(&mut self) -> Option<IpAddr> {
        let net = self.gateways;
        next(&mut self.taken, &mut self.next_gateway, |n| net.host(n).map(IpAddr::V4))
    }
}

fn next(
    taken: &mut BTreeSet<IpAddr>,
    cursor: &mut u32,
    nth: impl Fn(u32) -> Option<IpAddr>,
) -> Option<IpAddr> {
    loop {
        let address = nth(*cursor)?;
        *cursor += 1;
        if taken.insert(address) {
            return Some(address);
        }
    }
}
