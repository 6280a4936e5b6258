//! A discovery under which the network changes.

use std::collections::BTreeSet;

use bradawl::discovery::{Config, Discovery, Event};
use bradawl::machine::{HostInput, HostRequest, Interface, MIN_BUFFER, Machine, Output, SocketId};
use bradawl::rng::Rng;
use bradawl::time::Instant;

fn discovery(local: &str) -> Discovery {
    let config = Config {
        local: local.parse().expect("an address"),
        servers: vec!["198.51.100.1:3478".parse().expect("an address")],
        first_socket: SocketId(0),
        lifetime: true,
    };
    Discovery::new(config, Rng::from_seed([1; 32]))
}

/// What came of it until it was idle.
#[derive(Default)]
struct Drained {
    packets: usize,
    events: Vec<Event>,
    wake: Option<Instant>,
}

/// Drains it, and gives it all the sockets that it wants.
fn drain(discovery: &mut Discovery, now: Instant, open: &mut BTreeSet<SocketId>) -> Drained {
    let mut drained = Drained::default();
    let mut buf = [0; MIN_BUFFER];
    loop {
        match discovery.poll_output(now, &mut buf) {
            Output::Transmit { .. } => drained.packets += 1,
            Output::Event(event) => drained.events.push(event),
            Output::Host(HostRequest::Bind { id, mut local, .. }) => {
                open.insert(id);
                local.set_port(20_000 + id.0 as u16);
                discovery.handle_host(now, HostInput::Bound { id, result: Ok(local) });
            }
            Output::Host(HostRequest::Close { id }) => assert!(open.remove(&id), "{id:?} was not open"),
            Output::Host(_) => {}
            Output::Idle(wake) => return Drained { wake, ..drained },
        }
    }
}

#[test]
fn it_ends_when_its_address_is_gone_and_not_before() {
    let here = Interface { index: 2, address: "192.168.1.5".parse().expect("an address"), prefix_len: 24 };
    let elsewhere = Interface { address: "10.0.0.7".parse().expect("an address"), ..here };
    for (local, interfaces, ends) in [
        ("192.168.1.5:5000", &[elsewhere, here][..], false),
        ("192.168.1.5:5000", &[elsewhere], true),
        ("192.168.1.5:5000", &[], true),
        ("127.0.0.1:5000", &[here], false),
    ] {
        let (mut discovery, mut open) = (discovery(local), BTreeSet::new());
        drain(&mut discovery, Instant::ZERO, &mut open);
        discovery.handle_host(Instant::ZERO, HostInput::Interfaces(interfaces));
        let drained = drain(&mut discovery, Instant::ZERO, &mut open);
        assert_eq!(drained.packets, 0);
        assert_eq!(drained.events.contains(&Event::Finished), ends, "{local} among {interfaces:?}");
        assert_eq!((drained.wake.is_none(), open.is_empty()), (ends, ends));
    }
}
