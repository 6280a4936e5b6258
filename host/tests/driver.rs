//! The driver against real sockets on loopback.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bradawl::machine::{BindError, HostRequest, Path, SocketId, Transport, Unreachable};
use bradawl_host::clock::JUMP;
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::udp::{BindOptions, MAX_PAYLOAD, Udp};
use common::{Bodies, Echo, Heard, bound, driver, request, turn_until};

fn client(local: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket
}

/// Sends `text` to `to` and returns what came back and from where.
fn exchange(
    driver: &mut Driver<Echo>,
    client: &UdpSocket,
    to: SocketAddr,
    text: &[u8],
) -> (Vec<u8>, SocketAddr) {
    let sent = driver.counters().sent;
    client.send_to(text, to).expect("sent");
    turn_until(driver, &mut |_| {}, |driver| driver.counters().sent > sent);
    let mut buf = vec![0; MAX_PAYLOAD + 1];
    let (len, from) = client.recv_from(&mut buf).expect("an answer");
    buf.truncate(len);
    (buf, from)
}

#[test]
fn echo_over_both_families() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (mut driver, address) = bound(local);
        let client = client(local);
        assert_eq!(exchange(&mut driver, &client, address, b"hello"), (b"hello".to_vec(), address));
        let (path, _) = driver.machine().arrived[0];
        assert_eq!(path, Path::udp(address, client.local_addr().expect("an address")));
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let (mut driver, address) = bound("0.0.0.0:0");
    let client = client("127.0.0.1:0");
    for host in ["127.0.0.1", "127.0.0.9", "127.200.3.4"] {
        let asked = (host.parse::<Ipv4Addr>().expect("an address"), address.port()).into();
        let (_, from) = exchange(&mut driver, &client, asked, b"who are you");
        assert_eq!(from, asked);
        assert_eq!(
            driver.machine().arrived.last().map(|(path, _)| path.local),
            Some(asked),
            "never a wildcard"
        );
    }

    let (mut driver, address) = bound("[::]:0");
    let asked = (Ipv6Addr::LOCALHOST, address.port()).into();
    let (_, from) = exchange(&mut driver, &self::client("[::1]:0"), asked, b"who are you");
    assert_eq!(from, asked);
    assert_eq!(driver.machine().arrived[0].0.local, asked);
}

#[test]
fn an_ipv6_wildcard_leaves_ipv4_alone() {
    let (_driver, address) = bound("[::]:0");
    let other = Udp::bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), &BindOptions::default());
    assert!(other.is_ok(), "the same port is free for the other family");
}

#[test]
fn the_largest_and_the_smallest_datagram() {
    let (mut driver, address) = bound("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    for len in [0, 1, 19, 1_500, MAX_PAYLOAD] {
        let (back, _) = exchange(&mut driver, &client, address, &vec![0x5A; len]);
        assert!(back.len() == len && back.iter().all(|&byte| byte == 0x5A), "{len} bytes");
    }
    assert_eq!(driver.counters().truncated, 0);
}

#[test]
fn a_closed_port_is_an_input_and_nothing_else() {
    if cfg!(feature = "portable") {
        println!("skipped: without Linux's error queue nobody tells this backend of ICMP");
        return;
    }
    for (local, nobody) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:0", "[::1]:0"),
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("[::]:0", "[::1]:0"),
    ] {
        let (mut driver, address) = bound(local);
        let dead = client(nobody).local_addr().expect("an address"); // closed again at once
        let alive = client(nobody);
        let ours = SocketAddr::new(alive.local_addr().expect("an address").ip(), address.port());
        let path = Path::udp(ours, dead);
        driver.machine_mut().outgoing.push_back((path, b"anybody there?".to_vec()));
        turn_until(&mut driver, &mut |_| {}, |driver| !driver.machine().heard.is_empty());
        assert_eq!(driver.machine().heard, [Heard::Unreachable(path, Unreachable::Port)]);

        // The error stands in nobody's way: it is consumed by a send here, and the packet goes out.
        driver.machine_mut().outgoing.push_back((path, b"and now?".to_vec()));
        let _ = driver.turn(&mut |_| {});
        let friend = Path::udp(ours, alive.local_addr().expect("an address"));
        driver.machine_mut().outgoing.push_back((friend, b"hello".to_vec()));
        let _ = driver.turn(&mut |_| {});
        let mut buf = [0; 16];
        assert_eq!(alive.recv(&mut buf).ok(), Some(5));
        turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 2);
    }
}

#[test]
fn a_packet_that_is_too_big_is_an_input_and_nothing_else() {
    let (mut driver, address) = bound("127.0.0.1:0");
    let alive = client("127.0.0.1:0");
    let path = Path::udp(address, alive.local_addr().expect("an address"));
    driver.machine_mut().outgoing.push_back((path, vec![0; MAX_PAYLOAD + 1]));
    driver.machine_mut().outgoing.push_back((path, b"small".to_vec()));
    let _ = driver.turn(&mut |_| {});
    let heard = &driver.machine().heard[..];
    assert!(matches!(*heard, [Heard::TooBig(about, _)] if about == path), "{heard:?}");
    assert_eq!(driver.counters().refused, 1);
    let mut buf = [0; 16];
    assert_eq!(alive.recv(&mut buf).ok(), Some(5), "the one behind it was sent");
}

#[test]
fn an_address_that_nothing_can_be_sent_to_is_an_input() {
    let (mut driver, address) = bound("127.0.0.1:0");
    let path = Path::udp(address, "127.0.0.1:0".parse().expect("an address")); // port 0: EINVAL
    driver.machine_mut().outgoing.push_back((path, b"x".to_vec()));
    let _ = driver.turn(&mut |_| {});
    assert_eq!(driver.machine().heard, [Heard::Unreachable(path, Unreachable::Network)]);

    // No socket of ours has that address.
    let path = Path::udp("192.0.2.77:9".parse().expect("an address"), address);
    driver.machine_mut().outgoing.push_back((path, b"x".to_vec()));
    let _ = driver.turn(&mut |_| {});
    assert_eq!(driver.machine().heard[1], Heard::Unreachable(path, Unreachable::Network));
    assert_eq!(driver.counters().homeless, 1);
}

#[test]
fn a_machine_opens_and_closes_sockets() {
    let mut driver = driver();
    let before = driver.sockets_version();
    driver.machine_mut().requests.extend([request(1, "127.0.0.1:0"), request(2, "192.0.2.77:0")]);
    let _ = driver.turn(&mut |_| {});
    let Heard::Bound(SocketId(1), Ok(address)) = driver.machine().heard[0] else { panic!("bound") };
    assert_eq!(driver.machine().heard[1], Heard::Bound(SocketId(2), Err(BindError::NotOurs)));
    assert_ne!(driver.sockets_version(), before);

    driver.machine_mut().requests.push_back(request(3, &address.to_string()));
    let connect = HostRequest::Connect { id: SocketId(4), local: address, remote: address };
    driver.machine_mut().requests.push_back(connect);
    let listen = HostRequest::Bind { id: SocketId(5), transport: Transport::Tcp, local: address };
    driver.machine_mut().requests.push_back(listen);
    let _ = driver.turn(&mut |_| {});
    assert_eq!(
        driver.machine().heard[2..],
        [
            Heard::Bound(SocketId(3), Err(BindError::InUse)),
            Heard::Closed(SocketId(4)),
            Heard::Bound(SocketId(5), Err(BindError::Denied)),
        ]
    );

    assert_eq!(exchange(&mut driver, &client("127.0.0.1:0"), address, b"hi").0, b"hi");
    driver.machine_mut().requests.push_back(HostRequest::Close { id: SocketId(1) });
    let _ = driver.turn(&mut |_| {});
    assert_eq!(driver.sockets().count(), 0);
    assert!(UdpSocket::bind(address).is_ok(), "the port is free again");
}

#[test]
fn the_bound_on_sockets_is_kept() {
    let mut driver = Driver::new(Echo::default(), Limits { sockets: 2, ..Limits::default() });
    driver.machine_mut().requests.extend((0..3).map(|id| request(id, "127.0.0.1:0")));
    let _ = driver.turn(&mut |_| {});
    assert!(matches!(
        driver.machine().heard[..],
        [
            Heard::Bound(_, Ok(_)),
            Heard::Bound(_, Ok(_)),
            Heard::Bound(SocketId(2), Err(BindError::Exhausted))
        ]
    ));
}

#[test]
fn a_port_in_use_is_an_error_to_the_caller() {
    let (_driver, address) = bound("127.0.0.1:0");
    let error = driver().bind(address, &BindOptions::default()).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let foreign = "192.0.2.77:0".parse().expect("an address");
    let error = driver().bind(foreign, &BindOptions::default()).expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_turn_keeps_to_its_budget() {
    let mut driver = Driver::new(Echo::default(), Limits { batch: 4, datagrams: 10, ..Limits::default() });
    let local = "127.0.0.1:0".parse().expect("an address");
    let (key, address) = driver.bind(local, &BindOptions::default()).expect("a socket");
    driver.machine_mut().silent = true;
    let client = client("127.0.0.1:0");
    for byte in 0..25 {
        client.send_to(&[byte], address).expect("sent");
    }
    driver.readable(key);
    let mut bodies = Bodies::default();
    for (taken, more) in [(10, true), (20, true), (25, false)] {
        let wait = driver.turn(&mut bodies);
        assert_eq!((bodies.0.len(), wait.more), (taken, more));
        assert_eq!(wait.timeout(driver.now()), more.then_some(Duration::ZERO));
    }
    assert!(bodies.0.iter().enumerate().all(|(index, body)| body == &[index as u8]), "in order");
}

#[test]
fn a_wait_is_short_enough_to_notice_that_the_host_slept() {
    let mut driver = driver();
    driver.machine_mut().wake = Some(driver.now() + Duration::from_secs(3_600));
    let wait = driver.turn(&mut |_| {});
    assert_eq!(wait.timeout(driver.now()), Some(JUMP));
    driver.machine_mut().wake = None;
    let wait = driver.turn(&mut |_| {});
    assert_eq!(wait.timeout(driver.now()), None, "nothing can be late");
}

#[test]
fn a_turn_keeps_to_its_steps() {
    let mut driver = Driver::new(Echo::default(), Limits { steps: 3, ..Limits::default() });
    let local = "127.0.0.1:0".parse().expect("an address");
    let (_, address) = driver.bind(local, &BindOptions::default()).expect("a socket");
    let path = Path::udp(address, client("127.0.0.1:0").local_addr().expect("an address"));
    driver.machine_mut().outgoing.extend((0..5).map(|byte| (path, vec![byte])));
    assert!(driver.turn(&mut |_| {}).more);
    assert_eq!(driver.machine().outgoing.len(), 2);
}

#[test]
fn forwarded_bytes_get_their_head_and_their_padding() {
    let (mut driver, address) = bound("127.0.0.1:0");
    driver.machine_mut().forward = Some((b"head", 3));
    let (back, _) = exchange(&mut driver, &client("127.0.0.1:0"), address, b"xbody");
    assert_eq!(back, b"headbody\0\0\0");
}

#[test]
fn segments_arrive_as_datagrams() {
    struct Bulk(Option<Path>);
    impl bradawl::machine::Machine for Bulk {
        type Event = usize;
        fn handle_input(
            &mut self,
            _: bradawl::time::Instant,
            _: Path,
            _: bradawl::machine::Meta,
            _: &[u8],
        ) -> bradawl::machine::Verdict {
            bradawl::machine::Verdict::Consumed
        }
        fn handle_host(&mut self, _: bradawl::time::Instant, _: bradawl::machine::HostInput<'_>) {}
        fn poll_output(
            &mut self,
            _: bradawl::time::Instant,
            buf: &mut [u8],
        ) -> bradawl::machine::Output<usize> {
            let Some(path) = self.0.take() else { return bradawl::machine::Output::Idle(None) };
            for (index, byte) in buf[..10_500].iter_mut().enumerate() {
                *byte = (index / 1_000) as u8;
            }
            let segment = std::num::NonZeroU16::new(1_000);
            bradawl::machine::Output::Transmit { path, len: 10_500, segment, ecn: None }
        }
    }
    // Sent in one call, and taken apart again by our own receiver, which is given them joined.
    let (mut receiver, address) = bound("127.0.0.1:0");
    receiver.machine_mut().silent = true;
    let mut sender = Driver::new(Bulk(None), Limits::default());
    let local = "127.0.0.1:0".parse().expect("an address");
    let (_, from) = sender.bind(local, &BindOptions::default()).expect("a socket");
    sender.machine_mut().0 = Some(Path::udp(from, address));
    let _ = sender.turn(&mut |_| {});
    let mut bodies = Bodies::default();
    turn_until(&mut receiver, &mut bodies, |receiver| receiver.counters().received == 11);
    let lens: Vec<_> = bodies.0.iter().map(Vec::len).collect();
    assert_eq!(lens, [[1_000; 10].as_slice(), &[500]].concat());
    assert!(bodies.0.iter().enumerate().all(|(index, body)| body.iter().all(|&byte| byte == index as u8)));
}
