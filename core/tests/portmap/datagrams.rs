//! PCP and NAT-PMP: map, renew, a router that reboots, delete.

use bradawl::machine::{HostInput, Machine as _, Path, Unreachable};
use bradawl::portmap::{Event, Protocol, Protocols, Refusal, Via};
use bradawl::time::Duration;

use crate::router::Router;
use crate::world::{OWN, World, address};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn pcp_maps_at_once_and_nothing_else_is_asked() {
    let (world, mapped) =
        World::mapped(Router { nat_pmp: true, igd: Some(5_000), ..Router::pcp("192.168.1.1") });
    assert_eq!((mapped.via, mapped.external), (Via::Pcp, address("203.0.113.9:5000")));
    assert_eq!(mapped.lifetime, Some(Duration::from_secs(7_200)));
    assert_eq!(world.routers[0].asked, ["pcp map"]);
}

#[test]
fn a_router_without_pcp_is_asked_by_nat_pmp_at_once() {
    let mut world = World::new(vec![Router::nat_pmp("192.168.1.1")]);
    world.map(5_000);
    world.drain();
    let mapped = world.take_mapped();
    assert_eq!(mapped.len(), 1);
    assert_eq!((mapped[0].via, mapped[0].external), (Via::NatPmp, address("203.0.113.9:5000")));
    assert_eq!(world.routers[0].asked, ["pcp unsupported", "nat-pmp map", "nat-pmp address"]);
    assert_eq!(world.datagrams, 3);
}

#[test]
fn a_mapping_is_renewed_for_a_day_and_never_lost() {
    for router in [Router::pcp("192.168.1.1"), Router::nat_pmp("192.168.1.1")] {
        let (mut world, mapped) = World::mapped(router);
        for _ in 0..24 * 60 {
            world.pass(Duration::from_secs(60));
            assert_eq!(world.table(0).len(), 1, "{:?}", world.now);
        }
        let renewed = world.events.iter().filter(|event| matches!(event, Event::Renewed(_))).count();
        assert_eq!(renewed, world.events.len(), "{:?}", world.events);
        assert!((19..=24).contains(&renewed), "{renewed} times by {}", mapped.via);
    }
}

#[test]
fn a_reboot_is_noticed_within_minutes_and_everything_is_mapped_again() {
    for (router, ask) in
        [(Router::pcp("192.168.1.1"), "pcp map"), (Router::nat_pmp("192.168.1.1"), "nat-pmp map")]
    {
        let (mut world, _) = World::mapped(router);
        let others = [6_000, 6_001, 6_002];
        for port in others {
            world.map(port);
        }
        world.pass(Duration::from_secs(600));
        assert_eq!(world.routers[0].table.len(), 4);
        let asked = world.routers[0].count(ask);
        let now = world.now;
        world.routers[0].reboot(now);
        world.pass(Duration::from_secs(125));
        assert_eq!(world.routers[0].table.len(), 4, "all are back");
        assert_eq!(world.routers[0].count(ask), asked + 4, "each was asked for once");
        assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })));
    }
}

#[test]
fn without_a_watch_a_reboot_is_noticed_at_the_first_renewal() {
    let mut world = World::with(vec![Router::pcp("192.168.1.1")], |config| config.watch = None);
    for port in [5_000, 6_000, 6_001] {
        world.map(port);
    }
    world.pass(Duration::from_secs(600));
    let now = world.now;
    world.routers[0].reboot(now);
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.routers[0].table.len(), 0);
    world.pass(HOUR);
    assert_eq!(world.routers[0].table.len(), 3);
}

#[test]
fn a_router_that_is_gone_is_lost_once_its_time_is_over_and_found_again() {
    let (mut world, mapped) = World::mapped(Router::pcp("192.168.1.1"));
    world.is_down = true;
    world.pass(HOUR + HOUR - Duration::from_secs(10));
    assert_eq!(world.events, []);
    world.pass(Duration::from_secs(60));
    let lost = Event::Lost { id: mapped.id, external: mapped.external, via: Via::Pcp, router: mapped.router };
    assert_eq!(world.events, [lost, Event::Failed { id: mapped.id, reason: Refusal::NoAnswer }]);
    world.events.clear();
    world.is_down = false;
    world.pass(Duration::from_secs(1_200));
    assert_eq!(world.take_mapped().len(), 1, "{:?}", world.events);
}

#[test]
fn silence_is_told_after_twelve_seconds_and_asking_goes_on_slowly() {
    let mut world = World::new(vec![Router::new("192.168.1.1")]);
    let id = world.map(5_000);
    world.pass(Duration::from_millis(11_900));
    assert_eq!(world.events, []);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.events, [Event::Failed { id, reason: Refusal::NoAnswer }]);
    let before = world.datagrams;
    world.pass(24 * HOUR);
    let per_hour = (world.datagrams - before) / 24;
    assert!(per_hour < 250, "{per_hour} packets per hour");
    assert_eq!(world.events.len(), 1, "told once");
}

#[test]
fn unmapping_and_closing_delete_everything() {
    for router in [Router::pcp("192.168.1.1"), Router::nat_pmp("192.168.1.1")] {
        let (mut world, mapped) = World::mapped(router);
        world.mapper.map(world.now, 5_000, Protocol::Tcp, 8_080).expect("another protocol");
        world.drain();
        assert!(world.routers[0].table.contains_key(&(6, 8_080)));
        assert!(world.mapper.unmap(world.now, mapped.id) && !world.mapper.unmap(world.now, mapped.id));
        world.drain();
        assert_eq!(world.routers[0].table.len(), 1);
        assert_eq!(world.close(), Duration::ZERO);
        assert!(world.routers[0].table.is_empty());
    }
}

#[test]
fn closing_waits_for_nobody_for_long() {
    let (mut world, _) = World::mapped(Router::pcp("192.168.1.1"));
    world.is_down = true;
    assert_eq!(world.close(), Duration::from_secs(3));
}

#[test]
fn what_was_asked_and_not_answered_is_deleted_too() {
    let mut world = World::new(vec![Router::pcp("192.168.1.1")]);
    world.is_down = true;
    let id = world.map(5_000);
    world.drain();
    world.is_down = false;
    assert!(world.mapper.unmap(world.now, id));
    world.drain();
    assert_eq!(world.routers[0].asked, ["pcp delete"]);
}

#[test]
fn errors_of_pcp_lead_to_the_others_and_are_told_if_nobody_helps() {
    for (code, reason) in [
        (2, Refusal::NotAuthorized),
        (8, Refusal::NoResources),
        (10, Refusal::QuotaExceeded),
        (11, Refusal::PortTaken),
        (12, Refusal::AddressMismatch),
        (99, Refusal::Code(99)),
    ] {
        let router = || Router { pcp_error: Some((code, 60)), ..Router::pcp("192.168.1.1") };
        let mut world = World::new(vec![Router { igd: Some(5_000), ..router() }]);
        world.map(5_000);
        world.pass(Duration::from_millis(500));
        assert_eq!(world.take_mapped()[0].via, Via::Igd, "after half a second");

        let mut world = World::with(vec![router()], |config| config.protocols = Protocols::only(Via::Pcp));
        let id = world.map(5_000);
        world.drain();
        assert_eq!(world.events, [Event::Failed { id, reason }]);
        world.pass(Duration::from_secs(59));
        assert_eq!(world.routers[0].asked.len(), 1, "its minute is honoured");
        world.routers[0].pcp_error = None;
        world.pass(Duration::from_secs(2));
        assert_eq!(world.take_mapped().len(), 1);
    }
}

/// `miniupnpd` with a rule that forbids it says so at once, and a gateway is still searched for seconds.
#[test]
fn a_refusal_is_known_before_the_others_have_had_their_time() {
    let mut world = World::new(vec![Router { pcp_error: Some((2, 60)), ..Router::pcp("192.168.1.1") }]);
    let id = world.map(5_000);
    assert_eq!(world.mapper.refusal(id), None);
    world.pass(Duration::from_millis(100));
    assert_eq!((world.mapper.refusal(id), world.events.len()), (Some(Refusal::NotAuthorized), 0));
    world.routers[0].pcp_error = None;
    world.pass(Duration::from_secs(61));
    assert_eq!((world.take_mapped().len(), world.mapper.refusal(id).is_some()), (1, true), "of the others");
}

#[test]
fn nat_pmp_says_why_not() {
    let router = Router { nat_pmp_error: Some(2), ..Router::nat_pmp("192.168.1.1") };
    let mut world = World::with(vec![router], |config| config.protocols.igd = false);
    let id = world.map(5_000);
    world.drain();
    assert_eq!(world.events, [Event::Failed { id, reason: Refusal::NotAuthorized }]);
}

#[test]
fn another_address_outside_is_a_change() {
    for router in [Router::pcp("192.168.1.1"), Router::nat_pmp("192.168.1.1")] {
        let (mut world, _) = World::mapped(router);
        world.routers[0].external = "198.51.100.44".parse().expect("an address");
        world.pass(HOUR + HOUR);
        let new = address("198.51.100.44:5000");
        let changed = |event: &Event| matches!(event, Event::Changed(mapped) if mapped.external == new);
        assert_eq!(world.events.iter().filter(|event| changed(event)).count(), 1, "{:?}", world.events);
        let told = Event::ExternalAddress { router: world.routers[0].address, address: new.ip() };
        assert!(world.events.contains(&told));
    }
}

#[test]
fn a_closed_port_makes_the_others_begin_and_ends_nothing() {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.map(5_000);
    world.drain();
    assert_eq!(world.take_mapped(), []);
    let path = Path::udp(address(OWN), address("192.168.1.1:5351"));
    world.mapper.handle_host(world.now, HostInput::Unreachable { path, kind: Unreachable::Port });
    world.drain();
    assert_eq!(world.take_mapped()[0].via, Via::Igd);
}

#[test]
fn an_answer_that_was_under_way_is_not_that_of_the_deletion() {
    for (via, is_lost) in [(Via::Pcp, false), (Via::Pcp, true), (Via::NatPmp, false), (Via::NatPmp, true)] {
        let router = Router { nat_pmp: true, ..Router::pcp("192.168.1.1") };
        let mut world = World::with(vec![router], |config| config.protocols = Protocols::only(via));
        let id = world.map(5_000);
        let request = world.first_datagram();
        let granted = world.routers[0].datagram(world.now, 5_351, &request).pop().expect("an answer");
        assert_eq!(world.table(0).len(), 1);
        assert!(world.mapper.unmap(world.now, id));
        if is_lost {
            let deletion = world.first_datagram();
            assert_eq!(deletion.len(), request.len());
        }
        world.arrives(address("192.168.1.1:5351"), &granted);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.table(0), [], "{via}, the first deletion lost: {is_lost}");
        assert_eq!(world.close(), Duration::ZERO, "the answer to the deletion counts");
    }
}
