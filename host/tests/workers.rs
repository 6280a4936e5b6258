//! Threads that share a port: all serve, all stop.

mod common;

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use bradawl::machine::{HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::stun::server::Outcome;
use bradawl::time::Instant;
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::mediator::{Mediator, Plan, StartError};
use bradawl_host::udp::BindOptions;
use bradawl_host::workers::{self, Workers};
use common::{Heard, request};

fn plan(listen: &[&str]) -> Plan {
    let listen = listen.iter().map(|text| text.parse().expect("an address")).collect();
    Plan { listen, rate: None, ..Plan::default() }
}

/// A plain binding request, and what came back from where.
fn ask(server: SocketAddr, change: Option<u8>) -> Option<(Vec<u8>, SocketAddr)> {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(any).expect("a socket");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    if let Some(flags) = change {
        request[3] = 8;
        request.extend([0, 3, 0, 4, 0, 0, 0, flags]);
    }
    client.send_to(&request, server).expect("sent");
    let mut buf = [0; 256];
    let (len, from) = client.recv_from(&mut buf).ok()?;
    Some((buf[..len].to_vec(), from))
}

#[test]
fn workers_share_a_port_and_all_stop() {
    let mediator =
        Mediator::start(&Plan { workers: 3, ..plan(&["127.0.0.1:0", "[::1]:0"]) }).expect("started");
    let addresses = mediator.addresses().to_vec();
    for _ in 0..30 {
        for &address in &addresses {
            let (answer, from) = ask(address, None).expect("an answer");
            assert_eq!((answer.len(), from), (if address.is_ipv4() { 32 } else { 44 }, address));
        }
    }
    let tally = mediator.stop().expect("all stopped");
    assert_eq!(tally.stun.count(Outcome::Success), 60);
    assert_eq!((tally.sockets.received, tally.sockets.sent), (60, 60));
    for address in addresses {
        assert!(UdpSocket::bind(address).is_ok(), "the port is free again");
    }
}

#[test]
fn a_shared_port_is_still_not_shared_with_strangers() {
    for workers in [1, 2] {
        let first = Mediator::start(&Plan { workers, ..plan(&["127.0.0.1:0"]) }).expect("started");
        let again = Plan { listen: first.addresses().to_vec(), workers, ..plan(&[]) };
        let error = Mediator::start(&again).expect_err("the port is taken");
        let StartError::Bind { address, source } = error else { panic!("{error}") };
        assert_eq!(address, first.addresses()[0]);
        assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn answers_come_from_the_address_that_was_asked_for() {
    let mut wanted = plan(&["127.0.0.1:0"]);
    wanted.alternates = vec!["127.0.0.2:0".parse().expect("an address")];
    let mediator = Mediator::start(&wanted).expect("started");
    let [a1p1, a2p2, others @ ..] = mediator.addresses() else { panic!("four addresses") };
    assert_eq!(others.len(), 2);
    let a1p2 = SocketAddr::new(a1p1.ip(), a2p2.port());
    let a2p1 = SocketAddr::new(a2p2.ip(), a1p1.port());
    for (flags, expected) in [(0, *a1p1), (2, a1p2), (4, a2p1), (6, *a2p2)] {
        let (_, from) = ask(*a1p1, Some(flags)).expect("an answer");
        assert_eq!(from, expected, "CHANGE-REQUEST {flags}");
    }
}

#[test]
fn an_alternate_address_needs_its_primary() {
    for (listen, alternate) in
        [("0.0.0.0:0", "127.0.0.2:0"), ("[::1]:0", "127.0.0.2:0"), ("127.0.0.1:0", "127.0.0.1:0")]
    {
        let mut plan = plan(&[listen]);
        plan.alternates = vec![alternate.parse().expect("an address")];
        assert!(matches!(Mediator::start(&plan), Err(StartError::Alternate(_))), "{listen} {alternate}");
    }
}

#[test]
fn a_worker_that_fails_does_not_do_so_quietly() {
    struct Fragile;
    impl Machine for Fragile {
        type Event = Infallible;
        fn handle_input(&mut self, _: Instant, _: Path, _: Meta, _: &[u8]) -> Verdict {
            panic!("this test wants it so")
        }
        fn handle_host(&mut self, _: Instant, _: HostInput<'_>) {}
        fn poll_output(&mut self, _: Instant, _: &mut [u8]) -> Output<Infallible> {
            Output::Idle(None)
        }
    }
    let mut drivers = [Fragile, Fragile].map(|machine| Driver::new(machine, Limits::default()));
    let local = "127.0.0.1:0".parse().expect("an address");
    let (_, address) = drivers[0].bind(local, &BindOptions::default()).expect("a socket");
    let workers = Workers::start(drivers.into()).expect("started");
    let mut ended = File::from(workers.ended().expect("a pipe"));

    UdpSocket::bind(local).expect("a socket").send_to(b"x", address).expect("sent");
    ended.read_exact(&mut [0]).expect("one has ended");
    let error = workers.stop().err().expect("an error, and no panic of whoever stops it");
    assert_eq!(error.to_string(), "worker-0 panicked");
}

#[test]
fn of_mediators_that_start_at_once_one_gets_the_port() {
    for _ in 0..25 {
        let free = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
        let plan = Plan { listen: vec![free], workers: 3, ..plan(&[]) };
        let together = Barrier::new(8);
        let started: Vec<_> = thread::scope(|scope| {
            let start = || {
                together.wait();
                Mediator::start(&plan)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(started.iter().filter(|mediator| mediator.is_ok()).count(), 1);
    }
}

#[test]
fn a_socket_can_be_closed_and_opened_again_at_the_same_address() {
    let mut driver = common::driver();
    let free = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let again = [HostRequest::Close { id: SocketId(1) }, request(2, &free.to_string())];
    driver.machine_mut().requests.push_back(request(1, &free.to_string()));
    driver.machine_mut().requests_on_arrival.extend(again);
    let (stop, stopped) = workers::stop().expect("a pipe");
    let worker = thread::spawn(move || {
        workers::run(&mut driver, &mut |_| {}, &stopped).expect("it can wait");
        driver
    });
    // The first datagram finds the socket that is then closed; one that comes back, the new one.
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let echoed = (0..250).any(|_| {
        client.send_to(b"hello", free).expect("sent");
        client.recv(&mut [0; 8]).is_ok()
    });
    assert!(echoed, "the new socket is open");
    drop(stop);
    let driver = worker.join().expect("no panic");
    assert_eq!(
        driver.machine().heard,
        [Heard::Bound(SocketId(1), Ok(free)), Heard::Bound(SocketId(2), Ok(free))]
    );
}
