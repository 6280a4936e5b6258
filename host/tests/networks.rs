//! The driver on networks that misbehave: small MTUs, forged ICMP, interfaces that take no more.
//!
//! Each test makes a network namespace of its own and says so where it may not.
#![cfg(all(target_os = "linux", not(feature = "portable")))]

mod common;

use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::process::Command;
use std::time::Duration;

use bradawl::machine::{HostRequest, Path, SocketId, Unreachable};
use bradawl_host::driver::Driver;
use bradawl_host::mediator::Plan;
use bradawl_host::udp::BindOptions;
use bradawl_host::{interfaces, routes, workers};
use common::network::{self, Capture, FAR, Router, answer, silent_link};
use common::{Echo, Heard, Say, bound, driver, request, turn_until};
use socket2::{Domain, Protocol, Socket, Type};

fn socket(local: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(local).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn what_our_own_interface_finds_too_big_is_told_with_its_path() {
    if !network::own(&["link set lo up mtu 1500"]) {
        return;
    }
    for (local, peer) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("[::1]:0", "[::1]:0"),
        ("[::]:0", "[::1]:0"),
    ] {
        let (mut driver, address) = bound(local);
        let (alive, remote) = socket(peer);
        let path = Path::udp(SocketAddr::new(remote.ip(), address.port()), remote);
        for len in [1, 3_000, 2] {
            driver.machine_mut().outgoing.push_back((path, vec![0; len]));
        }
        let _ = driver.turn(&mut |_| {});
        assert_eq!(driver.machine().heard, [Heard::TooBig(path, Some(1_500))], "{local}");
        assert_eq!((driver.counters().refused, driver.counters().sent), (1, 2), "{local}");
        for len in [1, 2] {
            assert_eq!(alive.recv(&mut [0; 4_000]).ok(), Some(len), "the others were sent");
        }
        // Nothing of it is left to be taken for something else.
        turn_until(&mut driver, &mut |_| {}, |_| true);
        assert_eq!(driver.machine().heard.len(), 1, "{local}");
    }
}

/// The checksum of IP and ICMP over bytes of even number.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xFFFF) + (sum >> 16);
    (!((sum + (sum >> 16)) as u16)).to_be_bytes()
}

/// "Fragmentation needed, and the MTU is 1,200", about a packet that was never sent.
fn forge_too_big(ours: SocketAddr, port: u16) {
    let mut icmp = vec![3, 4, 0, 0, 0, 0, 0x04, 0xB0];
    icmp.extend([0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    icmp.extend(ours.port().to_be_bytes());
    icmp.extend(port.to_be_bytes());
    icmp.extend([0, 8, 0, 0]);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("root in here");
    let to: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    raw.send_to(&icmp, &to.into()).expect("sent");
}

#[test]
fn a_forged_icmp_message_costs_no_packet() {
    if !network::own(&["link set lo up"]) {
        return;
    }
    for local in ["127.0.0.1:0", "0.0.0.0:0"] {
        let (mut driver, address) = bound(local);
        let (alive, remote) = socket("127.0.0.1:0");
        let _ = driver.turn(&mut |_| {});
        forge_too_big(address, 9_999);
        let ours = SocketAddr::new(remote.ip(), address.port());
        driver.machine_mut().outgoing.push_back((Path::udp(ours, remote), b"hello".to_vec()));
        let _ = driver.turn(&mut |_| {});
        assert_eq!((driver.counters().sent, driver.counters().refused), (1, 0), "{local}");
        assert_eq!(alive.recv(&mut [0; 16]).ok(), Some(5));
        let forged = Path::udp(ours, "127.0.0.1:9999".parse().expect("an address"));
        assert_eq!(driver.machine().heard, [Heard::TooBig(forged, Some(1_200))], "a hint, as it came");
    }
}

/// Gives the socket at `local` so little room that a few packets fill it.
fn narrow(driver: &Driver<Echo>, local: SocketAddr) {
    let (_, socket) = driver.sockets().find(|(_, socket)| socket.local() == Some(local)).expect("open");
    network::narrow(&socket);
}

/// A driver whose first socket is full: packets wait in the kernel, and more in the outbox.
fn blocked() -> (Driver<Echo>, SocketAddr) {
    let (mut driver, near) = bound("10.77.0.1:0");
    narrow(&driver, near);
    let path = Path::udp(near, FAR.parse().expect("an address"));
    driver.machine_mut().outgoing.extend((0..40).map(|byte| (path, vec![byte; 1_000])));
    let wait = driver.turn(&mut |_| {});
    assert!(wait.want_write && driver.counters().sent < 40, "{wait:?} {:?}", driver.counters());
    (driver, near)
}

#[test]
fn a_blocked_socket_holds_up_nobody_else_and_goes_on_when_it_can() {
    if !silent_link() {
        return;
    }
    let (mut driver, near) = blocked();
    let key = driver.sockets().map(|(key, _)| key).next().expect("a socket");
    assert!(driver.is_blocked(key));
    let (_, other) =
        driver.bind("127.0.0.1:0".parse().expect("an address"), &BindOptions::default()).expect("a socket");

    // Far more for the blocked socket than may be kept, and in between somebody else's packets.
    let (client, _) = socket("127.0.0.1:0");
    let far = Path::udp(near, FAR.parse().expect("an address"));
    for round in 0..20 {
        driver.machine_mut().outgoing.extend((0..50).map(|_| (far, vec![7; 1_000])));
        client.send_to(&[round], other).expect("sent");
        let heard = driver.machine().arrived.len();
        turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().arrived.len() > heard);
        let mut buf = [0; 16];
        assert_eq!((client.recv(&mut buf).expect("an echo"), buf[0]), (1, round));
    }
    let wait = driver.turn(&mut |_| {});
    assert!(wait.want_write && !wait.more && driver.is_blocked(key), "{wait:?}");
    let dropped = driver.counters().overflowed;
    let congested = Heard::Unreachable(far, Unreachable::Congested);
    assert!(dropped > 500, "{:?}", driver.counters());
    assert_eq!(driver.machine().heard.len() as u64, dropped, "and each was told");
    assert!(driver.machine().heard.iter().all(|heard| *heard == congested));

    answer();
    let clock = driver.now();
    while driver.turn(&mut |_| {}).want_write {
        driver.writable(key);
        assert!(driver.now().since(clock) < Duration::from_secs(5));
    }
    assert_eq!(driver.counters().sent + dropped, 40 + 20 * 51, "nothing is lost uncounted");
}

#[test]
fn a_deadline_that_has_come_is_not_waited_for_while_a_socket_is_blocked() {
    if !silent_link() {
        return;
    }
    let (mut driver, near) = blocked();
    let path = Path::udp(near, FAR.parse().expect("an address"));
    driver.machine_mut().wake = Some(driver.now() + Duration::from_millis(1));
    let _ = driver.turn(&mut |_| {});
    driver.machine_mut().outgoing.extend((0..1_000).map(|_| (path, vec![7; 1_000])));
    let clock = driver.now();
    while driver.now().since(clock) < Duration::from_millis(2) {}
    let mut wait = driver.turn(&mut |_| {});
    while wait.more {
        wait = driver.turn(&mut |_| {});
    }
    assert!(wait.want_write, "still blocked");
    assert_eq!(wait.timeout(driver.now()), None, "the machine was asked, and wants nothing more");
}

#[test]
fn packets_of_a_closed_socket_do_not_leave_from_the_next() {
    if !silent_link() {
        return;
    }
    let mut driver = driver();
    driver.machine_mut().requests.push_back(request(1, "10.77.0.1:6001"));
    let _ = driver.turn(&mut |_| {});
    let near: SocketAddr = "10.77.0.1:6001".parse().expect("an address");
    narrow(&driver, near);
    let path = Path::udp(near, FAR.parse().expect("an address"));
    driver.machine_mut().outgoing.extend((0..40).map(|byte| (path, vec![byte; 1_000])));
    let _ = driver.turn(&mut |_| {});
    let sent = driver.counters().sent;
    assert!(sent < 40, "the socket is full");

    driver
        .machine_mut()
        .requests
        .extend([HostRequest::Close { id: SocketId(1) }, request(2, "10.77.0.1:6002")]);
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 2);
    let wait = driver.turn(&mut |_| {});
    assert!(!wait.want_write, "nothing waits any more");
    assert_eq!((driver.counters().sent, driver.counters().homeless), (sent, 40 - sent));
}

#[test]
fn workers_wait_until_a_blocked_socket_is_writable() {
    if !silent_link() {
        return;
    }
    let (mut driver, _) = blocked();
    let mut capture = Capture::new();
    let (stop, stopped) = workers::stop().expect("a pipe");
    let worker = std::thread::spawn(move || {
        workers::run(&mut driver, &mut |_| {}, &stopped).expect("it can wait");
        driver
    });
    answer();
    capture.expect(40, 1_028);
    drop(stop);
    assert_eq!(worker.join().expect("no panic").counters().sent, 40);
}

#[test]
fn everywhere_is_ipv4_alone_where_ipv6_is_switched_off() {
    // Loopback is down, which takes its addresses away as `disable_ipv6` would.
    if !network::own(&[]) {
        return;
    }
    assert_eq!(Plan::everywhere(), ["0.0.0.0:3478".parse().expect("an address")]);
    assert!(network::run("link set lo up"));
    if Command::new("ip")
        .args(["-6", "addr", "show", "dev", "lo"])
        .output()
        .is_ok_and(|out| !out.stdout.is_empty())
    {
        assert_eq!(Plan::everywhere().len(), 2);
    }
}

#[test]
fn the_default_gateways_and_our_addresses_are_what_the_system_has() {
    let commands = [
        "link set lo up",
        "link add lan type veth peer name far",
        "link add off type veth peer name far-off",
        "addr add 192.0.2.7/26 dev lan",
        "addr add 192.0.2.200/32 dev off",
        "addr add 2001:db8::7/64 dev lan nodad",
        "link set lan up",
        "link set far up",
        "route add default via 192.0.2.2 metric 200",
        "route add default via 192.0.2.1 metric 100",
        "route add 198.51.100.0/24 via 192.0.2.3",
        "-6 route add default via fe80::1 dev lan metric 150",
        "-6 route add unreachable default metric 9999",
    ];
    if !network::own(&commands) {
        return;
    }
    let all = interfaces::interfaces().expect("a list");
    let of = |text: &str| all.iter().find(|interface| interface.address == address(text));
    let lan = of("192.0.2.7").expect("it is up");
    assert_eq!(lan.prefix_len, 26);
    assert_eq!(of("2001:db8::7").map(|v6| (v6.prefix_len, v6.index)), Some((64, lan.index)));
    for hidden in ["192.0.2.200", "127.0.0.1", "::1"] {
        assert_eq!(of(hidden), None, "{hidden}");
    }
    assert!(all.iter().any(|interface| interface.address.to_string().starts_with("fe80::")));

    let link_local = SocketAddrV6::new("fe80::1".parse().expect("an address"), 0, 0, lan.index);
    let expected = ["192.0.2.1:0", "192.0.2.2:0"].map(|text| text.parse().expect("an address"));
    assert_eq!(routes::gateways(), [expected[0], link_local.into(), expected[1]]);
}

/// Two routers in a row, and behind the second one a network with nobody in it.
fn two_hops() -> Option<[Router; 2]> {
    let (near, far) = (Router::new()?, Router::new()?);
    let ours = [
        format!("link add lan type veth peer name home netns {}", near.id),
        "addr add 192.168.1.2/24 dev lan".to_owned(),
        "addr add 2001:db8:1::2/64 dev lan nodad".to_owned(),
        "link set lan up".to_owned(),
        "route add default via 192.168.1.1".to_owned(),
        "-6 route add default via 2001:db8:1::1".to_owned(),
    ];
    if !network::own(&["link set lo up"]) {
        return None;
    }
    let theirs = [
        "addr add 192.168.1.1/24 dev home",
        "addr add 2001:db8:1::1/64 dev home nodad",
        "addr add 100.64.0.2/10 dev wan",
        "addr add 2001:db8:2::2/64 dev wan nodad",
        "link set home up",
        "link set wan up",
        "route add default via 100.64.0.1",
        "-6 route add default via 2001:db8:2::1",
    ];
    let carriers = [
        "addr add 100.64.0.1/10 dev upper",
        "addr add 2001:db8:2::1/64 dev upper nodad",
        "link set upper up",
        "link add out type veth peer name nobody",
        "addr add 203.0.113.1/24 dev out",
        "addr add 2001:db8:3::1/64 dev out nodad",
        "link set out up",
        "link set nobody up",
        "route add 192.168.1.0/24 via 100.64.0.2",
        "-6 route add 2001:db8:1::/64 via 2001:db8:2::2",
    ];
    let between = format!("link add wan type veth peer name upper netns {}", far.id);
    if !network::run(&ours[0]) || !near.run(&between) {
        println!("skipped: no pairs of virtual links");
        return None;
    }
    for command in &ours[1..] {
        assert!(network::run(command), "ip {command}");
    }
    for (router, commands) in [(&near, &theirs[..]), (&far, &carriers[..])] {
        for command in commands {
            assert!(router.run(command), "ip {command}");
        }
    }
    Some([near, far])
}

#[test]
fn a_packet_that_may_go_no_further_tells_by_whom_it_was_stopped() {
    let Some(_routers) = two_hops() else { return };
    for (local, remote, hops) in [
        ("192.168.1.2:6001", "203.0.113.9:9", ["192.168.1.1", "100.64.0.1"]),
        ("0.0.0.0:6002", "203.0.113.9:9", ["192.168.1.1", "100.64.0.1"]),
        ("[2001:db8:1::2]:6003", "[2001:db8:3::9]:9", ["2001:db8:1::1", "2001:db8:2::1"]),
        ("[::]:6004", "[2001:db8:3::9]:9", ["2001:db8:1::1", "2001:db8:2::1"]),
    ] {
        let mut driver = driver();
        driver.machine_mut().requests.push_back(request(1, local));
        let _ = driver.turn(&mut |_| {});
        let port = local.rsplit_once(':').expect("a port").1.parse().expect("a port");
        let remote: SocketAddr = remote.parse().expect("an address");
        let ours = address(if remote.is_ipv4() { "192.168.1.2" } else { "2001:db8:1::2" });
        let path = Path::udp(SocketAddr::new(ours, port), remote);
        for (limit, by) in [(2, hops[1]), (1, hops[0])] {
            driver.machine_mut().heard.clear();
            driver.machine_mut().requests.push_back(HostRequest::Limit { id: SocketId(1), hops: limit });
            driver.machine_mut().outgoing.push_back((path, b"how far?".to_vec()));
            turn_until(&mut driver, &mut |_| {}, |driver| !driver.machine().heard.is_empty());
            assert_eq!(driver.machine().heard, [Heard::Expired(path, address(by))], "{local}");
        }

        // Without the limit it gets to the second router itself, where nobody listens.
        driver.machine_mut().heard.clear();
        driver.machine_mut().requests.push_back(HostRequest::Limit { id: SocketId(1), hops: 0 });
        let router = if remote.is_ipv4() { "203.0.113.1" } else { "2001:db8:3::1" };
        let path = Path::udp(path.local, SocketAddr::new(address(router), 9));
        driver.machine_mut().outgoing.push_back((path, b"all the way".to_vec()));
        turn_until(&mut driver, &mut |_| {}, |driver| !driver.machine().heard.is_empty());
        assert_eq!(driver.machine().heard, [Heard::Unreachable(path, Unreachable::Port)], "{local}");
    }
}

#[test]
fn packets_written_before_a_limit_are_not_limited() {
    let Some(_routers) = two_hops() else { return };
    let mut driver = driver();
    driver.machine_mut().requests.push_back(request(1, "192.168.1.2:6001"));
    let _ = driver.turn(&mut |_| {});
    let local = "192.168.1.2:6001".parse().expect("an address");
    let remote = |port| SocketAddr::new(address("203.0.113.9"), port);
    let limit = |hops| HostRequest::Limit { id: SocketId(1), hops };
    driver.machine_mut().script.extend([
        Say::Ask(limit(2)),
        Say::Send(Path::udp(local, remote(2)), b"two".to_vec()),
        Say::Ask(limit(1)),
        Say::Send(Path::udp(local, remote(1)), b"one".to_vec()),
        // Nobody has this name: nothing happens.
        Say::Ask(HostRequest::Limit { id: SocketId(4), hops: 2 }),
    ]);
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 3);
    let expired = |port, by| Heard::Expired(Path::udp(local, remote(port)), address(by));
    let heard = &driver.machine().heard[1..];
    assert!(
        heard.contains(&expired(1, "192.168.1.1")) && heard.contains(&expired(2, "100.64.0.1")),
        "{heard:?}"
    );
}
