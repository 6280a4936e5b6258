//! Scenarios made smaller, to find what of a failing one the failure needs.
//!
//! Every candidate is valid and simpler by a measure that is a whole number, so that it ends. Big steps come
//! first: most of a random scenario has nothing to do with what went wrong.

use std::collections::BTreeSet;

use super::{Fault, GatewaySpec, HostSpec, INTERNET, Mishap, NetworkSpec, Program, Scenario};
use crate::catalogue;
use crate::link::Quality;
use crate::units::Span;

/// Gateways that are easy to think about, the easiest first.
const PLAIN: [&str; 4] = ["open", "full-cone", "home", "symmetric-random"];

/// The smallest scenario that `still_fails`, as far as single steps find it within `budget` runs.
///
/// ```
/// use bradawl_sim::scenario::{Scenario, shrink};
///
/// let scenario = Scenario::random(3);
/// let small = shrink(scenario, |it| it.hosts.contains_key("alice"), 10_000);
/// assert_eq!(small.networks.len(), 0);
/// assert_eq!(small.hosts.keys().collect::<Vec<_>>(), ["alice", "bob", "hub"]); // a peer needs these
/// ```
pub fn shrink(
    scenario: Scenario,
    mut still_fails: impl FnMut(&Scenario) -> bool,
    mut budget: usize,
) -> Scenario {
    let mut current = scenario;
    loop {
        let affordable = |_: &Scenario| {
            let left = budget > 0;
            budget = budget.saturating_sub(1);
            left
        };
        let found = current.smaller().take_while(affordable).find(&mut still_fails);
        match found {
            Some(smaller) => current = smaller,
            None => return current,
        }
    }
}

impl Scenario {
    /// Scenarios that are each a step simpler, big steps first, all of them valid.
    pub fn smaller(&self) -> impl Iterator<Item = Self> + '_ {
        const STAGES: [fn(&Scenario) -> Vec<Scenario>; 11] = [
            whole_kinds,
            fewer_hosts,
            fewer_faults,
            fewer_networks,
            fewer_interfaces,
            plainer_gateways,
            better_links,
            fewer_axes,
            fewer_details,
            smaller_faults,
            shorter,
        ];
        let size = self.size();
        let candidates = STAGES.into_iter().flat_map(move |stage| stage(self)).map(Self::tidied);
        candidates.filter(move |candidate| candidate.size() < size && candidate.check().is_ok())
    }

    /// How much there is to it. Only the order of these numbers means anything.
    pub fn size(&self) -> u64 {
        let bits = |number: u64| u64::from(u64::BITS - number.leading_zeros());
        let mut size = self.time.as_micros() / 1_000;
        for spec in self.nats.values() {
            size += 50_000 + 1_000 * (spec.less().len() + usize::from(spec.like.is_some())) as u64;
            size += 10 * u64::from(spec.crowd.unwrap_or_default());
        }
        for network in self.networks.values() {
            let plain = PLAIN.iter().position(|plain| *plain == network.behind);
            let gateway =
                if self.nats.contains_key(&network.behind) { 20 } else { plain.unwrap_or(10) as u64 };
            let depth = u64::from(network.outside != INTERNET);
            let details = u64::from(network.ipv6) + u64::from(network.subnet.is_some());
            size += 100_000 + 1_000 * (gateway + depth + details) + impairments(&network.link);
        }
        for host in self.hosts.values() {
            let details = host.networks.len() as u64 * 20 + host.addresses.len() as u64;
            size += 1_000_000 + 1_000 * details + impairments(&host.link) + bits(host.start.as_micros());
        }
        for fault in &self.faults {
            let last = fault.what.lasts().map_or(0, |time| bits(time.as_micros()));
            let packets = if let Mishap::Evil { packets, .. } = fault.what { packets } else { 0 };
            size += 10_000 + last + bits(packets.into());
        }
        size
    }

    /// Without what refers to something that is gone.
    fn tidied(mut self) -> Self {
        loop {
            let there: BTreeSet<String> = self.hosts.keys().cloned().collect();
            let refers = |host: &HostSpec| {
                let mut needed = host.server.iter().chain(&host.peer);
                needed.all(|name| there.contains(name))
            };
            self.hosts.retain(|_, host| refers(host));
            if self.hosts.len() == there.len() {
                break;
            }
        }
        let Self { hosts, networks, faults, .. } = &mut self;
        faults.retain(|fault| {
            let name = fault.what.whose();
            hosts.contains_key(name) || networks.contains_key(name)
        });
        self
    }

    /// Without what nothing refers to.
    fn drop_unused(&mut self) {
        loop {
            let before = self.networks.len();
            let inside = self.networks.values().map(|network| &network.outside);
            let used = self.hosts.values().flat_map(|host| &host.networks).chain(inside);
            let used: BTreeSet<String> = used.cloned().collect();
            self.networks.retain(|name, _| used.contains(name));
            if self.networks.len() == before {
                break;
            }
        }
        let Self { nats, networks, .. } = self;
        nats.retain(|name, _| networks.values().any(|network| network.behind == *name));
    }

    /// The same after a change.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut scenario = self.clone();
        change(&mut scenario);
        scenario
    }

    /// What is in a network is in the one outside of it instead.
    fn dissolve(&mut self, name: &str) {
        let Some(network) = self.networks.remove(name) else {
            return;
        };
        for inner in self.networks.values_mut().filter(|inner| inner.outside == name) {
            inner.outside.clone_from(&network.outside);
        }
        for host in self.hosts.values_mut().filter(|host| host.networks.iter().any(|it| it == name)) {
            if host.networks.contains(&network.outside) {
                host.networks.retain(|it| it != name);
            }
            for it in host.networks.iter_mut().filter(|it| *it == name) {
                it.clone_from(&network.outside);
            }
            host.addresses.clear();
        }
    }

    /// Another gateway; where that changes what addresses there are, none are given.
    fn put_behind(&mut self, name: &str, gateway: &str) {
        let Some(network) = self.networks.get_mut(name) else {
            return;
        };
        gateway.clone_into(&mut network.behind);
        if catalogue::entry(gateway).is_some_and(|entry| entry.gateway.nat.is_some()) {
            return;
        }
        network.subnet = None;
        for host in self.hosts.values_mut().filter(|host| host.networks.iter().any(|it| it == name)) {
            host.addresses.clear();
        }
    }
}

/// How many kinds of trouble a link makes, and how much it delays.
fn impairments(link: &Quality) -> u64 {
    10 * fewer_impairments(link).len() as u64
}

/// A link with one impairment less, for each that it has.
fn fewer_impairments(link: &Quality) -> Vec<Quality> {
    let perfect = Quality::default();
    let all = [
        Quality { delay: perfect.delay, ..link.clone() },
        Quality { jitter: perfect.jitter, ..link.clone() },
        Quality { loss: perfect.loss, ..link.clone() },
        Quality { burst: perfect.burst, burst_end: perfect.burst_end, ..link.clone() },
        Quality { duplicate: perfect.duplicate, ..link.clone() },
        Quality { reorder: perfect.reorder, hold: perfect.hold, ..link.clone() },
        Quality { rate: perfect.rate, queue: perfect.queue, ..link.clone() },
        Quality { mtu: perfect.mtu, ..link.clone() },
    ];
    all.into_iter().filter(|better| better != link).collect()
}

/// Everything of a kind at once.
fn whole_kinds(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = vec![scenario.with(Scenario::drop_unused), scenario.with(|it| it.faults.clear())];
    for (name, host) in &scenario.hosts {
        // One pair alone.
        if host.run == Program::Peer && Some(name) < host.peer.as_ref() {
            let keep = |other: &String| {
                other == name || Some(other) == host.peer.as_ref() || Some(other) == host.server.as_ref()
            };
            all.push(scenario.with(|it| it.hosts.retain(|other, _| keep(other))));
        }
    }
    all.push(scenario.with(|it| {
        for name in scenario.networks.keys() {
            it.dissolve(name);
        }
    }));
    for plain in PLAIN {
        all.push(scenario.with(|it| scenario.networks.keys().for_each(|name| it.put_behind(name, plain))));
    }
    all.push(scenario.with(|it| {
        it.hosts.values_mut().for_each(|host| host.link = Quality::default());
        it.networks.values_mut().for_each(|network| network.link = Quality::default());
    }));
    all.push(scenario.with(|it| it.hosts.values_mut().for_each(|host| host.addresses.clear())));
    all.push(scenario.with(|it| {
        it.networks.values_mut().for_each(|network| network.ipv6 = false);
    }));
    all
}

/// One host less; who needs it goes with it.
fn fewer_hosts(scenario: &Scenario) -> Vec<Scenario> {
    let without = |name: &String| scenario.with(|it| drop(it.hosts.remove(name)));
    scenario.hosts.keys().map(without).collect()
}

/// One half of the faults, then one fault less.
fn fewer_faults(scenario: &Scenario) -> Vec<Scenario> {
    let count = scenario.faults.len();
    let halves = [0..count / 2, count / 2..count].into_iter().filter(|_| count > 2);
    let ones = (0..count).map(|index| index..index + 1);
    let without = |range| scenario.with(|it| drop(it.faults.drain(range)));
    halves.chain(ones).map(without).collect()
}

/// One network less: what was in it moves outwards.
fn fewer_networks(scenario: &Scenario) -> Vec<Scenario> {
    scenario.networks.keys().map(|name| scenario.with(|it| it.dissolve(name))).collect()
}

/// One interface less.
fn fewer_interfaces(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (name, host) in scenario.hosts.iter().filter(|(_, host)| host.networks.len() > 1) {
        for index in 0..host.networks.len() {
            all.push(scenario.with(|it| {
                if let Some(host) = it.hosts.get_mut(name) {
                    host.networks.remove(index);
                    host.addresses.clear();
                }
            }));
        }
    }
    all
}

/// A plainer gateway for one network.
fn plainer_gateways(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (name, network) in &scenario.networks {
        let like = scenario.nats.get(&network.behind).and_then(|spec| spec.like.as_deref());
        for gateway in PLAIN.into_iter().chain(like) {
            all.push(scenario.with(|it| it.put_behind(name, gateway)));
        }
    }
    all
}

/// One link perfect, then one of its impairments gone.
fn better_links(scenario: &Scenario) -> Vec<Scenario> {
    let better = |link: &Quality| core::iter::once(Quality::default()).chain(fewer_impairments(link));
    let mut all = Vec::new();
    for (name, network) in &scenario.networks {
        for link in better(&network.link) {
            all.push(scenario.with(|it| {
                if let Some(network) = it.networks.get_mut(name) {
                    network.link = link;
                }
            }));
        }
    }
    for (name, host) in &scenario.hosts {
        for link in better(&host.link) {
            all.push(scenario.with(|it| {
                if let Some(host) = it.hosts.get_mut(name) {
                    host.link = link;
                }
            }));
        }
    }
    all
}

/// One axis of a NAT back to its default.
fn fewer_axes(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (name, spec) in &scenario.nats {
        if scenario.networks.values().all(|network| network.behind != *name) {
            all.push(scenario.with(|it| drop(it.nats.remove(name))));
        }
        let mut less = spec.less();
        less.push(GatewaySpec { like: None, ..spec.clone() });
        less.push(GatewaySpec { crowd: spec.crowd.map(|crowd| crowd / 2), ..spec.clone() });
        for spec in less {
            all.push(scenario.with(|it| drop(it.nats.insert(name.clone(), spec))));
        }
    }
    all
}

/// Subnets, IPv6, addresses, late starts: one thing less.
fn fewer_details(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for name in scenario.networks.keys() {
        let mut change = |change: fn(&mut NetworkSpec)| {
            all.push(scenario.with(|it| it.networks.get_mut(name).into_iter().for_each(change)));
        };
        change(|network| network.ipv6 = false);
        change(|network| network.subnet = None);
        change(|network| INTERNET.clone_into(&mut network.outside));
    }
    for name in scenario.hosts.keys() {
        let mut change = |change: fn(&mut HostSpec)| {
            all.push(scenario.with(|it| it.hosts.get_mut(name).into_iter().for_each(change)));
        };
        change(|host| host.start = Span::ZERO);
        change(|host| host.addresses.clear());
        change(|host| host.addresses.truncate(host.addresses.len().saturating_sub(1)));
    }
    all
}

/// A fault that does half as much.
fn smaller_faults(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    for (index, Fault { what, .. }) in scenario.faults.iter().enumerate() {
        let mut what = what.clone();
        match &mut what {
            Mishap::Down { time, .. } | Mishap::Sleep { time, .. } | Mishap::Restart { time, .. } => {
                *time = Span::from_micros(time.as_micros() / 2);
            }
            Mishap::Evil { packets, .. } => *packets /= 2,
            Mishap::Reboot(_) | Mishap::Readdress(_) => continue,
        }
        all.push(scenario.with(|it| it.faults[index].what = what));
    }
    all
}

/// Less time: half of it, a second less, or what it takes until the last fault is over.
fn shorter(scenario: &Scenario) -> Vec<Scenario> {
    const SECOND: u64 = 1_000_000;
    let time = scenario.time.as_micros();
    let over = |fault: &Fault| fault.at.as_micros() + fault.what.lasts().unwrap_or_default().as_micros();
    let last = scenario.faults.iter().map(over).max().unwrap_or_default();
    let times = [last + SECOND, time / 2, last + 10 * SECOND, time.saturating_sub(SECOND)];
    let whole = |time: u64| if time > SECOND { time.next_multiple_of(SECOND) } else { time };
    let times = times.into_iter().map(|time| Span::from_micros(whole(time)));
    times.map(|time| Scenario { time, ..scenario.clone() }).collect()
}
