//! What links do to packets on a way of several.

use std::num::NonZeroU16;

use bradawl::machine::{Ecn, Path};
use bradawl::time::Duration;
use bradawl_sim::link::Quality;
use bradawl_sim::program::Policy;
use bradawl_sim::units::{Chance, Span};
use bradawl_sim::world::{HostId, HostSetup, World};

use super::support::{Act, Actor, Heard, act, actor, delay, heard, known, linked, send};
use super::{between, nested};

/// A host whose own link is like this.
fn host(world: &mut World, name: &str, network: bradawl_sim::world::NetworkId, link: Quality) -> HostId {
    let networks = [network];
    let setup =
        HostSetup { listen: &[5_000], policy: Policy::Anybody, link, ..HostSetup::new(name, &networks) };
    world.add_host(setup, |_| Actor::new()).expect("a host that can be")
}

#[test]
fn delays_add_up_both_ways() {
    let mut world = World::new(1);
    let home = linked(&mut world, "home", World::INTERNET, known("home"), delay(11));
    let (alice, server) =
        (host(&mut world, "alice", home, delay(7)), host(&mut world, "server", World::INTERNET, delay(13)));
    world.run_for(Duration::ZERO);
    let begun = world.now();
    let path = between(&world, alice, server);
    send(&mut world, alice, path, b"ping");
    world.run_for(Duration::from_secs(1));
    let ping = heard(&mut world, server).remove(0);
    assert_eq!(ping.at.since(begun), Duration::from_millis(7 + 11 + 13));
    let begun = world.now();
    send(&mut world, server, ping.path, b"pong");
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&mut world, alice)[0].at.since(begun), Duration::from_millis(7 + 11 + 13));
}

#[test]
fn the_congestion_mark_arrives_as_it_was_sent_through_two_nats() {
    let mut world = World::new(1);
    let home = nested(&mut world, World::INTERNET, 2);
    let (alice, server) = (actor(&mut world, "alice", home), actor(&mut world, "server", World::INTERNET));
    world.run_for(Duration::ZERO);
    let path = between(&world, alice, server);
    for ecn in [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce)] {
        act(&mut world, alice, Act::Send { path, bytes: b"marked".to_vec(), segment: None, ecn });
        world.run_for(Duration::ZERO);
        assert_eq!(heard(&mut world, server)[0].ecn, ecn);
    }
}

#[test]
fn a_batch_arrives_as_the_datagrams_that_it_is() {
    let mut world = World::new(1);
    let (alice, bob) =
        (actor(&mut world, "alice", World::INTERNET), actor(&mut world, "bob", World::INTERNET));
    world.run_for(Duration::ZERO);
    let path = between(&world, alice, bob);
    let bytes: Vec<u8> = (0..2_500_u32).map(|index| index as u8).collect();
    for (segment, sizes) in [(NonZeroU16::new(1_000), vec![1_000, 1_000, 500]), (None, vec![1_400])] {
        let bytes = bytes[..sizes.iter().sum()].to_vec();
        act(&mut world, alice, Act::Send { path, bytes: bytes.clone(), segment, ecn: None });
        world.run_for(Duration::ZERO);
        let heard = heard(&mut world, bob);
        assert_eq!(heard.iter().map(|heard| heard.bytes.len()).collect::<Vec<_>>(), sizes);
        assert_eq!(heard.into_iter().flat_map(|heard| heard.bytes).collect::<Vec<_>>(), bytes);
    }
    send(&mut world, alice, path, b"");
    world.run_for(Duration::ZERO);
    assert_eq!(heard(&mut world, bob).len(), 0, "nothing is nothing");
}

/// The numbers of a thousand packets, one a millisecond, in the order in which they arrived behind a home
/// whose link is like this.
fn thousand(link: Quality) -> Vec<u32> {
    let mut world = World::new(1);
    let home = linked(&mut world, "home", World::INTERNET, known("home"), link);
    let (alice, server) = (actor(&mut world, "alice", home), actor(&mut world, "server", World::INTERNET));
    world.run_for(Duration::ZERO);
    let path: Path = between(&world, alice, server);
    for number in 0..1_000_u32 {
        send(&mut world, alice, path, &number.to_be_bytes());
        world.run_for(Duration::from_millis(1));
    }
    world.run_for(Duration::from_secs(1));
    let number = |heard: Heard| u32::from_be_bytes(heard.bytes.try_into().expect("a number"));
    heard(&mut world, server).into_iter().map(number).collect()
}

#[test]
fn a_perfect_link_carries_everything_once_and_in_order() {
    assert!(thousand(Quality::default()).into_iter().eq(0..1_000));
}

#[test]
fn a_link_that_loses_loses_its_share() {
    let arrived = thousand(Quality { loss: Chance::percent(20), ..Quality::default() });
    assert!(arrived.is_sorted() && arrived.windows(2).all(|pair| pair[0] < pair[1]));
    // 800, give or take 4 σ.
    assert!((750..=850).contains(&arrived.len()), "{}", arrived.len());
}

#[test]
fn a_link_that_doubles_doubles_its_share() {
    let mut arrived = thousand(Quality { duplicate: Chance::percent(20), ..Quality::default() });
    assert!((1_150..=1_250).contains(&arrived.len()), "{}", arrived.len());
    arrived.dedup();
    assert!(arrived.into_iter().eq(0..1_000), "and in order");
}

#[test]
fn a_link_that_holds_back_changes_the_order() {
    let hold = Span::from_millis(5);
    let mut arrived = thousand(Quality { reorder: Chance::percent(20), hold, ..Quality::default() });
    assert!(!arrived.is_sorted());
    arrived.sort_unstable();
    assert!(arrived.into_iter().eq(0..1_000), "and loses nothing");
}
