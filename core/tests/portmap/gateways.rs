//! IGD: found, described, asked; its quirks; restarts.

use bradawl::portmap::igd::ServiceType;
use bradawl::portmap::{Event, Via, is_behind_another};
use bradawl::time::Duration;

use crate::router::Router;
use crate::world::{World, address};

#[test]
fn a_gateway_is_found_described_and_asked() {
    for service in [ServiceType::Ip1, ServiceType::Ip2, ServiceType::Ppp1] {
        let (world, mapped) = World::mapped(Router { service, ..Router::igd("192.168.1.1") });
        assert_eq!((mapped.via, mapped.external), (Via::Igd, address("203.0.113.9:5000")));
        assert_eq!(mapped.lifetime, Some(Duration::from_secs(3_600)));
        let asked: Vec<_> = world.routers[0].asked.iter().filter(|asked| *asked != "search").collect();
        let add = if service == ServiceType::Ip2 { "AddAnyPortMapping" } else { "AddPortMapping" };
        assert_eq!(asked, ["describe", "GetExternalIPAddress", add]);
    }
}

#[test]
fn answers_may_come_in_any_pieces() {
    for (piece, chunked) in [(1, false), (1, true), (7, true), (100_000, true)] {
        let mut world = World::new(vec![Router { chunked, ..Router::igd("192.168.1.1") }]);
        world.piece = piece;
        world.map(5_000);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.take_mapped().len(), 1, "{piece} {chunked}");
    }
}

#[test]
fn a_gateway_that_restarts_elsewhere_is_found_again_before_anybody_notices() {
    let (mut world, _) = World::mapped(Router::igd("192.168.1.1"));
    world.pass(Duration::from_secs(1_000));
    let now = world.now;
    world.routers[0].reboot(now);
    world.routers[0].igd = Some(49_152);
    world.pass(Duration::from_secs(301));
    assert_eq!(world.table(0), [(5_000, "igd")]);
    assert!(world.events.iter().all(|event| matches!(event, Event::Renewed(_))), "{:?}", world.events);
    assert_eq!(world.connected_to.last(), Some(&address("192.168.1.1:49152")));
}

/// As `miniupnpd` does when it is restarted: it takes any port for its descriptions.
#[test]
fn a_gateway_that_restarts_elsewhere_just_after_it_was_found_is_searched_at_once() {
    let lease = Duration::from_secs(16);
    let mut world = World::with(vec![Router::igd("192.168.1.1")], |config| config.igd_lease = lease);
    world.map(5_000);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_mapped().len(), 1);
    world.events.clear();
    let now = world.now;
    world.routers[0].reboot(now);
    world.routers[0].igd = Some(49_152);
    world.pass(Duration::from_secs(9));
    assert_eq!(world.table(0), [(5_000, "igd")]);
    world.pass(Duration::from_secs(60));
    assert!(world.events.iter().all(|event| matches!(event, Event::Renewed(_))), "{:?}", world.events);
}

#[test]
fn a_gateway_that_is_away_for_minutes_is_lost_and_comes_back() {
    let (mut world, _) = World::mapped(Router::igd("192.168.1.1"));
    world.routers[0].igd = None;
    world.pass(Duration::from_secs(3_700));
    let lost = world.events.iter().filter(|event| matches!(event, Event::Lost { .. })).count();
    assert_eq!(lost, 1, "{:?}", world.events);
    assert!(world.connected_to.len() < 20, "{} connections", world.connected_to.len());
    world.routers[0].igd = Some(5_000);
    world.pass(Duration::from_secs(1_300));
    assert_eq!(world.take_mapped().len(), 1, "{:?}", world.events);
}

#[test]
fn only_permanent_leases_are_taken_confirmed_and_deleted() {
    // The code that says so, and those that gateways use who do not know it.
    for (code, service) in [725, 402, 501]
        .into_iter()
        .flat_map(|code| [ServiceType::Ip1, ServiceType::Ip2].into_iter().map(move |service| (code, service)))
    {
        let router = Router { permanent: Some(code), service, ..Router::igd("192.168.1.1") };
        let (mut world, mapped) = World::mapped(router);
        assert_eq!(mapped.lifetime, None);
        let now = world.now;
        world.routers[0].reboot(now);
        world.pass(Duration::from_secs(301));
        assert_eq!(world.table(0).len(), 1);
        assert_eq!(world.close(), Duration::ZERO);
        assert_eq!(world.table(0), []);
    }
}

#[test]
fn a_gateway_that_just_fails_is_not_asked_for_ever_nor_for_what_is_for_ever() {
    let mut world = World::new(vec![Router { igd_error: Some(501), ..Router::igd("192.168.1.1") }]);
    world.map(5_000);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.routers[0].count("AddPortMapping"), 2, "with a lease and without");
    world.routers[0].igd_error = None;
    world.pass(Duration::from_secs(300));
    let lifetime = world.take_mapped().first().map(|mapped| mapped.lifetime);
    assert_eq!(lifetime, Some(Some(Duration::from_secs(3_600))));
}

#[test]
fn a_gateway_that_renews_nothing_may_say_so_any_number_of_times() {
    let router = Router::igd("192.168.1.1");
    let mut world = World::with(vec![router], |config| config.igd_lease = Duration::from_secs(86_400));
    world.map(5_000);
    world.pass(Duration::from_secs(4));
    world.routers[0].igd_error = Some(501);
    world.pass(Duration::from_secs(40_000));
    assert!(world.routers[0].count("AddPortMapping") > usize::from(u8::MAX));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Lost { .. })), "{:?}", world.events);
    world.routers[0].igd_error = None;
    world.pass(Duration::from_secs(60));
    assert!(matches!(world.events.last(), Some(Event::Renewed(_))), "{:?}", world.events);
}

#[test]
fn a_port_that_is_taken_leads_to_another() {
    for service in [ServiceType::Ip1, ServiceType::Ip2] {
        let router = Router { taken: vec![5_000], service, ..Router::igd("192.168.1.1") };
        let (world, mapped) = World::mapped(router);
        assert_ne!(mapped.external.port(), 5_000);
        assert_eq!(world.table(0), [(mapped.external.port(), "igd")]);
    }
}

#[test]
fn a_port_that_is_taken_while_it_was_ours_is_a_change() {
    let (mut world, _) = World::mapped(Router::igd("192.168.1.1"));
    let now = world.now;
    world.routers[0].reboot(now);
    world.routers[0].taken = vec![5_000];
    world.pass(Duration::from_secs(301));
    let last = world.take_mapped().pop().expect("mapped again");
    assert_eq!(world.table(0), [(last.external.port(), "igd")], "{:?}", world.events);
}

#[test]
fn several_mappings_are_asked_for_one_after_the_other() {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    for port in 5_000..5_016 {
        world.map(port);
    }
    world.pass(Duration::from_secs(1));
    assert_eq!((world.take_mapped().len(), world.routers[0].table.len()), (16, 16));
    assert_eq!(world.close(), Duration::ZERO);
    assert_eq!(world.routers[0].table.len(), 0);
}

#[test]
fn a_gateway_behind_another_nat_says_so_by_its_address() {
    let external = "100.64.7.7".parse().expect("an address");
    let mut world = World::new(vec![Router { external, ..Router::igd("192.168.1.1") }]);
    world.map(5_000);
    world.pass(Duration::from_secs(1));
    let told = world.events.iter().find_map(|event| match event {
        Event::ExternalAddress { address, .. } => Some(*address),
        _ => None,
    });
    assert_eq!(told, Some(external.into()));
    assert!(is_behind_another(external.into()));
}

#[test]
fn without_a_search_only_the_router_is_asked() {
    let mut world = World::with(vec![Router::igd("192.168.1.1")], |config| config.search = false);
    world.map(5_000);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_mapped().len(), 1);
    assert_eq!(world.routers[0].count("search"), 1, "who is found is not searched any more");
}

#[test]
fn an_add_that_is_answered_after_the_program_changed_its_mind_is_deleted() {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.piece = 1;
    let id = world.map(5_000);
    world.pass(Duration::from_millis(499));
    // Everything but the last answer.
    world.now += Duration::from_millis(1);
    let mut buf = [0; 1_500];
    loop {
        use bradawl::machine::{Machine as _, Output};
        match world.mapper.poll_output(world.now, &mut buf) {
            Output::Transmit { path, len, .. } => {
                let is_add = buf[..len].windows(16).any(|window| window == b"#AddPortMapping\"");
                if is_add {
                    assert!(world.mapper.unmap(world.now, id));
                }
                world.carry(path, &buf[..len]);
                if is_add {
                    break;
                }
            }
            Output::Host(request) => world.serve(request),
            Output::Event(_) => {}
            Output::Idle(wake) => panic!("idle until {wake:?}"),
        }
    }
    assert_eq!(world.table(0).len(), 1);
    world.drain();
    assert_eq!(world.table(0), []);
}
