//! Several routers, several protocols, bounds, and what the program gets wrong.

use bradawl::machine::{BindError, HostInput, HostRequest, MIN_BUFFER, Machine as _, Output, SocketId};
use bradawl::portmap::{
    Config, Event, MAX_MAPPINGS, MAX_ROUTERS, MapError, PortMapper, Protocol, Refusal, SOCKET_IDS, Via,
};
use bradawl::rng::Rng;
use bradawl::time::Duration;

use crate::router::Router;
use crate::world::{START, World, address};

#[test]
fn every_router_maps_in_its_own_way() {
    let mut world = World::new(vec![
        Router::pcp("192.168.1.1"),
        Router::nat_pmp("192.168.1.2"),
        Router::igd("192.168.1.3"),
        Router::new("192.168.1.4"),
    ]);
    world.map(5_000);
    world.pass(Duration::from_secs(20));
    let mapped: Vec<_> = world.take_mapped().into_iter().map(|mapped| (mapped.router, mapped.via)).collect();
    let at = |index: usize| world.routers[index].address;
    assert_eq!(mapped, [(at(0), Via::Pcp), (at(1), Via::NatPmp), (at(2), Via::Igd)]);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Failed { .. })));
    // One reboots; the others are left alone.
    let asked: Vec<_> = world.routers.iter().map(|router| router.asked.len()).collect();
    let now = world.now;
    world.routers[0].reboot(now);
    world.pass(Duration::from_secs(130));
    assert_eq!(world.table(0).len(), 1);
    assert!(world.routers[1].asked.len() <= asked[1] + 2, "{:?}", world.routers[1].asked);
    world.close();
    assert!(world.routers.iter().all(|router| router.table.is_empty()));
}

#[test]
fn a_better_protocol_that_wakes_up_late_takes_over_and_the_worse_is_deleted() {
    // PCP answers only from the third second on, and with another port.
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.map(5_000);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.table(0), [(5_000, "igd")]);
    world.routers[0].pcp = true;
    // The router gives each protocol an entry of its own.
    let entry = world.routers[0].table.remove(&(17, 5_000)).expect("mapped");
    world.routers[0].table.insert((17, 5_000), crate::router::Entry { internal: 1, ..entry });
    world.pass(Duration::from_secs(6));
    let changed =
        world.events.iter().any(|event| matches!(event, Event::Changed(mapped) if mapped.via == Via::Pcp));
    assert!(changed, "{:?}", world.events);
    assert_eq!(world.table(0), [(5_001, "pcp")]);
    assert_eq!(world.routers[0].table.len(), 1, "what IGD mapped is deleted");
}

#[test]
fn a_protocol_that_takes_back_what_it_granted_leaves_it_to_the_others() {
    // What is granted at first, and by whom the port is mapped once that is refused.
    let cases = [
        (Router::pcp("192.168.1.1"), Via::Igd),
        (Router::nat_pmp("192.168.1.1"), Via::Igd),
        (Router { nat_pmp: true, ..Router::pcp("192.168.1.1") }, Via::NatPmp),
    ];
    for (router, expected) in cases {
        let (mut world, mapped) = World::mapped(Router { igd: Some(5_000), ..router });
        assert!(mapped.via < expected);
        let now = world.now;
        world.routers[0].reboot(now);
        match mapped.via {
            Via::NatPmp => world.routers[0].nat_pmp_error = Some(2),
            _ => world.routers[0].pcp_error = Some((2, 1_800)),
        }
        world.pass(Duration::from_secs(130));
        let again: Vec<_> = world.take_mapped().into_iter().map(|mapped| mapped.via).collect();
        assert_eq!(again, [expected], "{:?}", world.events);
        assert_eq!(world.table(0).len(), 1);
    }
}

#[test]
fn mappings_and_routers_are_bounded() {
    let routers = (1..=9).map(|host| Router::pcp(&format!("192.168.1.{}", host + 10))).collect();
    let mut world = World::new(routers);
    for port in 0..MAX_MAPPINGS as u16 {
        world.map(5_000 + port);
    }
    assert_eq!(world.mapper.map(world.now, 1, Protocol::Udp, 0), Err(MapError::TooMany));
    world.drain();
    let asked = world.routers.iter().filter(|router| !router.asked.is_empty()).count();
    assert_eq!(asked, MAX_ROUTERS);
    assert_eq!(world.take_mapped().len(), MAX_ROUTERS * MAX_MAPPINGS);
}

#[test]
fn what_the_program_gets_wrong_is_said() {
    let mut world = World::new(vec![Router::pcp("192.168.1.1")]);
    assert_eq!(world.mapper.map(world.now, 0, Protocol::Udp, 0), Err(MapError::PortZero));
    world.map(5_000);
    assert_eq!(world.mapper.map(world.now, 5_000, Protocol::Udp, 0), Err(MapError::Duplicate));
    world.close();
    assert_eq!(world.mapper.map(world.now, 5_001, Protocol::Udp, 0), Err(MapError::Closed));
}

#[test]
fn without_a_router_of_this_family_there_is_nothing_to_ask() {
    let mut world =
        World::with(vec![], |config| config.routers = vec!["fe80::1".parse().expect("an address")]);
    let id = world.map(5_000);
    world.drain();
    assert_eq!(world.events, [Event::Failed { id, reason: Refusal::NoRouter }]);
    assert_eq!(world.datagrams, 0);
}

#[test]
fn without_a_socket_it_says_so_and_asks_again() {
    let config = Config {
        sockets: SocketId(700),
        ..Config::new(address("192.168.1.7:0"), vec!["192.168.1.1".parse().expect("an address")])
    };
    let mut mapper = PortMapper::new(config, Rng::from_seed([1; 32]));
    let id = mapper.map(START, 5_000, Protocol::Udp, 0).expect("begun");
    let mut buf = [0; MIN_BUFFER];
    let Output::Host(HostRequest::Bind { id: socket, .. }) = mapper.poll_output(START, &mut buf) else {
        panic!()
    };
    assert_eq!(socket, SocketId(700));
    mapper.handle_host(START, HostInput::Bound { id: socket, result: Err(BindError::Denied) });
    let failed = Event::Failed { id, reason: Refusal::NoSocket };
    assert_eq!(mapper.poll_output(START, &mut buf), Output::Event(failed));
    let Output::Idle(Some(wake)) = mapper.poll_output(START, &mut buf) else { panic!() };
    assert!(matches!(mapper.poll_output(wake, &mut buf), Output::Host(HostRequest::Bind { .. })));
}

#[test]
fn sockets_have_names_of_their_own_range() {
    let mut world = World::with(vec![Router::igd("192.168.1.1")], |config| config.sockets = SocketId(100));
    world.map(5_000);
    for _ in 0..200 {
        world.pass(Duration::from_secs(300));
        assert!(world.open.iter().all(|id| (100..100 + SOCKET_IDS).contains(&id.0)));
    }
    assert!(world.connected_to.len() > 150);
}

#[test]
fn ipv6_is_asked_by_pcp_alone_and_a_link_local_router_by_its_scope() {
    let local = "[2001:db8::7%3]:0";
    let local = match local.parse::<std::net::SocketAddrV6>() {
        Ok(local) => local,
        Err(error) => panic!("{error}"),
    };
    let config = Config::new(local.into(), vec!["fe80::1".parse().expect("an address")]);
    let mut mapper = PortMapper::new(config, Rng::from_seed([1; 32]));
    mapper.map(START, 5_000, Protocol::Udp, 0).expect("begun");
    let mut buf = [0; MIN_BUFFER];
    let Output::Host(HostRequest::Bind { id, .. }) = mapper.poll_output(START, &mut buf) else { panic!() };
    // The kernel tells no scope with an address that needs none.
    let bound = address("[2001:db8::7]:40000");
    mapper.handle_host(START, HostInput::Bound { id, result: Ok(bound) });
    let (mut now, mut sent) = (START, 0);
    while sent < 8 {
        match mapper.poll_output(now, &mut buf) {
            Output::Transmit { path, .. } => {
                assert_eq!((path.local, path.remote), (bound, address("[fe80::1%3]:5351")));
                sent += 1;
            }
            Output::Idle(Some(wake)) => now = wake,
            Output::Event(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn same_seed_same_run() {
    let run = || {
        let routers =
            vec![Router::pcp("192.168.1.1"), Router::igd("192.168.1.3"), Router::nat_pmp("192.168.1.2")];
        let mut world = World::new(routers);
        world.map(5_000);
        world.map(6_000);
        world.pass(Duration::from_secs(40_000));
        (format!("{:?}", world.events), world.datagrams, world.wake)
    };
    assert_eq!(run(), run());
}
