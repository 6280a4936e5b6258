//! On what does a mapping depend (RFC 5780 §4.3)?
//!
//! Each address that was asked from one socket is a witness. Two that see the same endpoint, though
//! their IP addresses differ, speak for an endpoint-independent mapping, with the 16 bits that a port
//! has; two that see different ones speak against it. Whether the port matters as well is seen from two
//! ports of one address. A server inside our own network, who sees the private address while others do
//! not, is no witness.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::{Insiders, found};
use crate::discovery::probe::{Ask, Probe, Probes};
use crate::discovery::{Axis, Dependence};
use crate::scope::Scope;

/// What two witnesses that agree are worth.
const AGREE: u32 = 16;
/// What two that do not agree are worth: one may lie, or the mapping be another one by now.
const DIFFER: u32 = 12;
/// What an address is worth that only one server has seen.
const UNCERTAIN: u32 = 6;

/// Who sees what: the address that was asked, and how it sees the socket.
type Testimony = (SocketAddr, SocketAddr);

/// What each address that was asked from this socket said last.
fn testimonies(probes: &Probes, socket: u8) -> Vec<Testimony> {
    let mut all: Vec<Testimony> = Vec::new();
    let mut local = None;
    let insiders = Insiders::of(probes);
    let is_outside = |probe: &&Probe| !insiders.contains(probe.server);
    for probe in probes.iter().filter(|probe| probe.socket == socket && is_question(probe)).filter(is_outside)
    {
        let Some(mapped) = probe.mapped() else { continue };
        local = Some(probe.local);
        match all.iter_mut().find(|(asked, _)| *asked == probe.to) {
            Some(testimony) => testimony.1 = mapped,
            None => all.push((probe.to, mapped)),
        }
    }
    // What is the world's is so inside, too: there whoever sees something else may lie as well.
    let is_outside = |&(_, mapped): &Testimony| Some(mapped) != local;
    let has_inside = local.is_some_and(|local| Scope::of(local.ip()) < Scope::World);
    if has_inside && all.iter().any(is_outside) {
        all.retain(is_outside);
    }
    all
}

fn is_question(probe: &Probe) -> bool {
    matches!(probe.ask, Ask::Plain)
}

/// Whether somebody on the way changes addresses.
pub(in crate::discovery) fn translated(probes: &Probes, socket: u8) -> Axis<bool> {
    let local = probes.iter().find(|probe| probe.socket == socket)?.local;
    let all = testimonies(probes, socket);
    let translated = all.iter().filter(|(_, mapped)| *mapped != local).count() as u32;
    let untouched = all.len() as u32 - translated;
    if translated == untouched {
        return None;
    }
    found(translated > untouched, DIFFER * translated.abs_diff(untouched))
}

/// What the mapping of this socket depends on.
pub(in crate::discovery) fn mapping(probes: &Probes, socket: u8) -> Axis<Dependence> {
    let all = testimonies(probes, socket);
    // One witness for each IP address, and those who agree.
    let mut witnesses: Vec<(IpAddr, SocketAddr)> = Vec::new();
    for &(asked, mapped) in &all {
        if !witnesses.iter().any(|(ip, _)| *ip == asked.ip()) {
            witnesses.push((asked.ip(), mapped));
        }
    }
    let agreeing = |of: SocketAddr| witnesses.iter().filter(|(_, mapped)| *mapped == of).count() as u32;
    let most = witnesses.iter().map(|&(_, mapped)| agreeing(mapped)).max()?;
    let is_first_to_say = |&(at, (_, mapped)): &(usize, &(IpAddr, SocketAddr))| {
        !witnesses[..at].iter().any(|(_, earlier)| earlier == mapped)
    };
    let opinions = witnesses.iter().enumerate().filter(is_first_to_say).count() as u32;
    let (same, different) = ports_of_one_address(&all);
    let independent = (most - 1) * AGREE;
    let dependent = (opinions - 1) * DIFFER;
    if witnesses.len() < 2 {
        // One IP address: that its ports agree says nothing of others, that they do not says it all.
        return (different > same)
            .then(|| found(Dependence::AddressAndPort, (different - same) * DIFFER))
            .flatten();
    }
    if independent > dependent {
        return found(Dependence::Endpoint, independent.saturating_sub(dependent + different * DIFFER));
    }
    let (by_address, by_port) = (same * AGREE, different * DIFFER);
    if by_address == by_port {
        return None;
    }
    let value = if by_address > by_port { Dependence::Address } else { Dependence::AddressAndPort };
    found(value, (dependent - independent).min(by_address.abs_diff(by_port)))
}

/// How many ports see the same as another one of the same address, and how many see something else.
fn ports_of_one_address(all: &[Testimony]) -> (u32, u32) {
    let (mut same, mut different) = (0, 0);
    for (at, &(asked, mapped)) in all.iter().enumerate() {
        let earlier = all[..at].iter().find(|(other, _)| other.ip() == asked.ip());
        if let Some(&(_, other)) = earlier {
            *if mapped == other { &mut same } else { &mut different } += 1;
        }
    }
    (same, different)
}

/// Whether a packet that came too early has cost a port: `socket` has spoken to a server, whose other
/// address then sent to it unasked, and was spoken to only after that. Were the mapping endpoint-
/// independent, it would be the same. That it is says nothing.
pub(in crate::discovery) fn overloaded(probes: &Probes, socket: u8) -> Axis<bool> {
    let seen = testimonies(probes, socket);
    let (first, second) = (seen.first()?, seen.get(1)?);
    (first.1.ip() == second.1.ip() && first.1.port() != second.1.port())
        .then(|| found(true, DIFFER * 2))
        .flatten()
}

/// Whether sockets of this host have different public addresses. One that a single server has seen may be
/// a lie of it.
pub(in crate::discovery) fn several_addresses(
    probes: &Probes,
    public: &[IpAddr],
    mappings: u32,
) -> Axis<bool> {
    let is_seen_by_two = |ip: &&IpAddr| {
        let mut seers = probes
            .iter()
            .filter(|probe| is_question(probe) && probe.mapped().is_some_and(|mapped| mapped.ip() == **ip))
            .map(|probe| probe.server);
        seers.next().is_some_and(|first| seers.any(|other| other != first))
    };
    let certain = || public.iter().filter(is_seen_by_two).count() as u32;
    match public.len() {
        0 => None,
        // Had the NAT two and took either, each mapping would have had one chance in two.
        1 => found(false, mappings.saturating_sub(1)),
        _ => match certain() {
            0 | 1 => found(true, UNCERTAIN),
            more => found(true, DIFFER * more),
        },
    }
}
