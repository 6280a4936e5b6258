//! The `linux` models beside a real kernel: the same packets through nftables in network namespaces and
//! through the model, and the same is seen behind both.
//!
//! ```text
//! inside 10.80.0.2, .3, .4 ── 10.80.0.1 router 10.81.0.1 ── 10.81.0.2, .3 outside
//! ```
//!
//! Where the kernel throws dice, so does the model, and they fall differently. What has to agree then is
//! whether a port was preserved, whether it is the one of an earlier session, and in which range it is.
#![cfg(target_os = "linux")]

mod world;

use bradawl_sim::catalogue;
use bradawl_sim::nat::Behaviour;
use world::{Pair, World};

const A: &str = "10.80.0.2";
const B: &str = "10.80.0.3";
const C: &str = "10.80.0.4";
/// Two ports and two addresses outside.
const R11: &str = "10.81.0.2:7001";
const R12: &str = "10.81.0.2:7002";
const R21: &str = "10.81.0.3:7001";
const R22: &str = "10.81.0.3:7002";
const PUBLIC: &str = world::PUBLIC;

const MASQUERADE: &str =
    "chain post { type nat hook postrouting priority 100; oifname \"wan\" masquerade FLAGS; }";
const FIREWALL: &str = "chain in { type filter hook input priority 0; iifname \"wan\" drop; }";

fn masquerade(flags: &str) -> String {
    MASQUERADE.replace("FLAGS", flags)
}

fn model(name: &str) -> Behaviour {
    catalogue::entry(name).and_then(|entry| entry.gateway.nat.clone()).expect("a NAT of the catalogue")
}

/// The exchange of all tests: mappings, collisions, filters, early packets, hairpinning, errors.
fn exchange(world: &mut World) {
    mappings(world);
    low_ports(world);
    filters(world);
    early_packets(world);
    errors(world);
}

fn at(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Three hosts with one source port, to the same peers and to different ones. What is to be preserved
/// comes first, or the dice of a collision might take its port.
fn mappings(world: &mut World) {
    for (host, port) in [(A, 5_001), (B, 5_002), (C, 5_003)] {
        world.out(&at(host, port), R11);
        world.out(&at(host, port), R12);
    }
    for remote in [R11, R12, R21] {
        world.out(&at(A, 5_000), remote);
    }
    for remote in [R11, R12, R22, R11] {
        world.out(&at(B, 5_000), remote); // taken, taken, free
    }
    for remote in [R22, R11, R21, R12] {
        world.out(&at(C, 5_000), remote);
    }
    for remote in [R11, R12, R21] {
        world.out(&at(A, 5_000), remote); // as at first
    }
}

fn low_ports(world: &mut World) {
    for host in [A, B, C] {
        for port in [80, 511, 700, 1_023] {
            world.out(&at(host, port), R11);
        }
    }
}

// From here on all ports are of the few that netfilter never throws dice for: 512 to 599.

fn filters(world: &mut World) {
    let one = world.out(&at(A, 520), R11);
    world.knock(R11, one); // who was sent to
    world.knock(R12, one); // another port
    world.knock(R21, one); // another address
    let two = world.out(&at(B, 520), R21);
    world.knock(R21, two);
    world.knock(R11, one);
    for nobody in [521, 599] {
        world.knock(R11, Pair::same(&at(PUBLIC, nobody)));
    }
    world.turns_round(&at(B, 520), one);
}

/// A peer's packet is there before ours.
fn early_packets(world: &mut World) {
    world.knock(R11, Pair::same(&at(PUBLIC, 550)));
    world.knock(R11, Pair::same(&at(PUBLIC, 550)));
    let late = world.out(&at(A, 550), R11);
    world.knock(R11, late);
    world.knock(R11, Pair::same(&at(PUBLIC, 550)));
    world.out(&at(A, 550), R12);
    world.out(&at(B, 550), R12);
    // As when two punch: the mapping that the peer was told is there, its packet is first.
    let told = world.out(&at(A, 530), R22);
    world.knock(R21, told);
    let used = world.out(&at(A, 530), R21);
    world.knock(R21, used);
    world.knock(R22, told);
}

/// ICMP "port unreachable" in both directions, and the mapping after it.
fn errors(world: &mut World) {
    world.unreachable_outside(&at(A, 540), "10.81.0.2:9");
    let pair = world.out(&at(A, 545), R11);
    world.unreachable_inside(&at(A, 545), pair, R11);
    world.knock(R11, pair);
}

fn agree(rules: &str, name: &str) {
    let Some(mut world) = World::new(rules, model(name)) else { return };
    exchange(&mut world);
    verdict(world, name);
}

fn verdict(world: World, name: &str) {
    let differences = world.differences();
    assert!(differences.is_empty(), "the kernel is not `{name}`:\n{}", differences.join("\n"));
}

/// The comparison sees what it is there for.
#[test]
fn other_models_do_not_agree() {
    for name in ["linux-firewall", "linux-random", "port-restricted", "symmetric-preserving"] {
        let Some(mut world) = World::new(&masquerade(""), model(name)) else { return };
        world.hurry();
        mappings(&mut world);
        early_packets(&mut world);
        assert!(!world.differences().is_empty(), "{name}");
    }
}

#[test]
fn masquerade_agrees_with_linux() {
    agree(&masquerade(""), "linux");
}

#[test]
fn masquerade_behind_a_firewall_agrees_with_linux_firewall() {
    agree(&(masquerade("") + "\n" + FIREWALL), "linux-firewall");
}

#[test]
fn masquerade_random_agrees_with_linux_random() {
    agree(&masquerade("random"), "linux-random");
}

#[test]
fn masquerade_fully_random_agrees_with_linux_random() {
    agree(&masquerade("fully-random"), "linux-random");
}

/// The kernel says how long each entry has left: what it says is what the model does.
#[test]
fn lifetimes_agree_with_linux() {
    let Some(mut world) = World::new(&masquerade(""), model("linux")) else { return };
    let inside = at(A, 5_000);
    let pair = world.out(&inside, R11);
    world.lifetime(&inside, R11, 30);
    world.knock(R11, pair);
    world.lifetime(&inside, R11, 30);
    world.out(&inside, R11);
    world.lifetime(&inside, R11, 30);
    // Unanswered: still the short one after the probation, and so with the first answer.
    let quiet = at(A, 5_001);
    let late = world.out(&quiet, R11);
    world.knock(R12, Pair::same(&at(PUBLIC, 5_002)));
    world.lifetime(R12, &at(PUBLIC, 5_002), 30);
    world.wait(2_200);
    world.out(&inside, R11);
    world.lifetime(&inside, R11, 120);
    world.out(&quiet, R11);
    world.lifetime(&quiet, R11, 30);
    world.knock(R11, late);
    world.lifetime(&quiet, R11, 30);
    world.knock(R11, late);
    world.lifetime(&quiet, R11, 120);
    verdict(world, "linux");
}
