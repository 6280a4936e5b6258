//! Servers that do not tell the truth.

use bradawl::discovery::{Dependence, Hairpin, NatProfile};
use bradawl::machine::{Path, Verdict};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};

use crate::world::{Nat, Server, World, address, server, servers};

/// Four servers of one address each.
fn few() -> Vec<Server> {
    (1..=4).map(|n| Server { other: None, ..server(n) }).collect()
}

/// One of them says something else of us than the others.
fn with_liar(nat: Nat, local: &str, at: usize, says: &str) -> NatProfile {
    let mut all = few();
    all[at].says = Some(address(says));
    World::at(local, nat, all, false).run().clone()
}

#[test]
fn a_liar_among_honest_servers_lowers_confidence_and_does_not_win() {
    let honest = World::profile(Nat::Preserving, few());
    let value = |profile: &NatProfile| profile.mapping.map(|finding| finding.value);
    let bits = |profile: &NatProfile| profile.mapping.map_or(0, |finding| finding.confidence.bits());
    assert_eq!(value(&honest), Some(Dependence::Endpoint));
    for at in 0..4 {
        let lied_to = with_liar(Nat::Preserving, "192.168.1.7:40000", at, "203.0.113.200:7777");
        assert_eq!(value(&lied_to), Some(Dependence::Endpoint), "{lied_to:?}");
        assert!(bits(&lied_to) < bits(&honest), "liar {at}: {} bits", bits(&lied_to));
        let several = lied_to.several_addresses.expect("seen");
        assert!(!several.value || several.confidence < bradawl::discovery::Confidence::ENOUGH);
    }
}

#[test]
fn a_liar_does_not_make_a_nat_where_none_is() {
    for at in 0..4 {
        let profile = with_liar(Nat::None, "203.0.113.77:40000", at, "203.0.113.200:7777");
        let translated = profile.translated.expect("known");
        assert!(!translated.value, "liar {at}: {profile:?}");
        let honest = World::at("203.0.113.77:40000", Nat::None, few(), false).run().clone();
        assert!(translated.confidence < honest.translated.expect("known").confidence);
    }
}

#[test]
fn nobody_on_the_internet_sends_us_into_private_networks() {
    for named in [
        "10.0.0.1:3479",
        "172.20.0.1:3479",
        "192.168.1.1:3479",
        "127.0.0.1:3479",
        "169.254.1.1:3479",
        "100.64.0.1:3479",
        "224.0.0.1:3479",
        "255.255.255.255:3479",
        "240.0.0.1:3479",
        "0.0.0.0:3479",
        "203.0.113.1:0",
        "[2001:db8::1]:3479",
    ] {
        let liar = Server { names: Some(address(named)), other: None, ..server(1) };
        let mut world = World::new(Nat::Preserving, vec![liar, server(2)]);
        world.run();
        assert_eq!(world.sent_to(&address(named).ip().to_string()), 0, "{named} is asked");
        assert!(world.sent_to("192.0.2.2") > 0, "the honest one is followed");
    }
}

#[test]
fn nobody_outside_sends_us_to_our_neighbours() {
    let at = |address_of: &str, named: &str| {
        let named = address(named);
        let server = Server { address: address(address_of), other: None, names: Some(named), ..server(1) };
        let mut world = World::at("[2001:db8:7::7]:40000", Nat::None, vec![server], false);
        world.run();
        world.sent_to(&named.ip().to_string())
    };
    assert_eq!(at("[2001:db8:1::1]:3478", "[2001:db8:7::1]:3479"), 0);
    assert_eq!(at("[2001:db8:1::1]:3478", "[fd00::1]:3479"), 0);
    assert_eq!(at("[2001:db8:1::1]:3478", "[fe80::1]:3479"), 0);
    assert_eq!(at("[2001:db8:1::1]:3478", "[::1]:3479"), 0);
    assert_eq!(at("[2001:db8:1::1]:3478", "[::ffff:10.0.0.1]:3479"), 0);
    assert!(at("[2001:db8:1::1]:3478", "[2001:db8:2::1]:3479") > 0, "the world's are followed");
    assert!(at("[2001:db8:7::2]:3478", "[2001:db8:7::1]:3479") > 0, "a neighbour may name another");
}

#[test]
fn a_private_server_may_name_private_addresses() {
    let near = Server {
        address: address("192.168.1.1:3478"),
        other: Some(address("192.168.1.2:3479")),
        ..server(1)
    };
    let mut world = World::new(Nat::None, vec![near]);
    world.run();
    assert!(world.sent_to("192.168.1.2") > 0);
}

#[test]
fn lies_about_our_own_address_send_nothing_to_it() {
    for said in
        ["10.0.0.1:53", "127.0.0.1:53", "224.0.0.1:53", "0.0.0.0:53", "203.0.113.5:0", "[2001:db8::1]:53"]
    {
        let liar = Server { says: Some(address(said)), ..server(1) };
        let mut world = World::new(Nat::Preserving, vec![liar, server(2)]);
        world.run();
        assert_eq!(world.sent_to(&address(said).ip().to_string()), 0, "{said} is sent to");
    }
}

#[test]
fn many_liars_together_send_little_to_a_victim() {
    let victim = address("203.0.113.66:3479");
    let mut all = servers(9);
    for liar in &mut all {
        (liar.names, liar.says, liar.other) = (Some(victim), Some(victim), None);
    }
    let mut world = World::new(Nat::Preserving, all);
    world.run();
    let sent = world.sent_to("203.0.113.66");
    assert!((1..=64).contains(&sent), "{sent} packets");
}

/// Who receives what was meant for ourselves and sends it back is no NAT that does.
#[test]
fn what_a_server_sends_back_has_not_come_back_by_itself() {
    let stranger = address("203.0.113.66:7777");
    let mut all = servers(3);
    all[0].says = Some(stranger);
    let mut world = World::new(Nat::Preserving, all);
    let mut echoed = 0;
    for _ in 0..200 {
        world.pass(std::time::Duration::from_millis(1));
        let sent = world.sent.clone();
        for (path, bytes) in sent.iter().filter(|(path, _)| path.remote == stranger) {
            let _ = world.arrives(Path::udp(path.local, stranger), bytes);
            let from_server = Path::udp(path.local, world.servers[0].address);
            let _ = world.arrives(from_server, bytes);
            echoed += 1;
        }
    }
    assert!(echoed > 0, "nothing was echoed");
    let hairpin = world.run().hairpin;
    assert!(hairpin.is_none_or(|finding| finding.value == Hairpin::None), "{hairpin:?}");
}

#[test]
fn answers_of_other_methods_to_other_sockets_or_with_other_ids_are_none() {
    let mut world = World::new(Nat::Preserving, servers(2));
    world.drain();
    let (path, request) = world.sent[0].clone();
    let id = Message::parse(&request).expect("well formed").transaction_id();
    let mut buf = [0; 100];
    let write = |buf: &mut [u8], method, id| {
        let writer = Writer::new(buf, Class::Success, method, id);
        let mapped = address("203.0.113.66:1");
        writer.put(&bradawl::wire::stun::attr::XorMappedAddress(mapped)).finish().expect("room enough")
    };
    let len = write(&mut buf, Method::ALLOCATE, id);
    assert_eq!(world.arrives(path, &buf[..len]), Verdict::Consumed);
    let len = write(&mut buf, Method::BINDING, TransactionId::from([7; 12]));
    assert_eq!(world.arrives(path, &buf[..len]), Verdict::Unclaimed);
    let len = write(&mut buf, Method::BINDING, id);
    let elsewhere = Path { local: address("192.168.1.7:40001"), ..path };
    assert_eq!(world.arrives(elsewhere, &buf[..len]), Verdict::Consumed);
    let by_another = Path { remote: address("198.51.100.2:3478"), ..path };
    assert_eq!(world.arrives(by_another, &buf[..len]), Verdict::Consumed);
    assert_eq!(world.arrives(path, &buf[..len - 1]), Verdict::Unclaimed);
    let profile = world.run();
    assert_eq!(profile.mapped, ["203.0.113.9:40000".parse().expect("an address")]);
}
