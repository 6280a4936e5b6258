//! TCP connections of a driver, against real sockets on loopback.

mod common;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bradawl::machine::{HostRequest, Path, SocketId, Transport, Unreachable};
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::workers;
use common::{Bodies, Echo, Heard, driver, turn_until};
use socket2::SockRef;

const ID: SocketId = SocketId(7);

fn listener(local: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(local).expect("a socket");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn connect(id: SocketId, local: &str, remote: SocketAddr) -> HostRequest {
    HostRequest::Connect { id, local: local.parse().expect("an address"), remote }
}

/// Waits for the driver to hear something, and says what it heard first.
fn first_heard(driver: &mut Driver<Echo>) -> Heard {
    turn_until(driver, &mut |_| {}, |driver| !driver.machine().heard.is_empty());
    driver.machine().heard[0]
}

/// A driver that is connected to us: the path, and our end of it.
fn connected(limits: Limits) -> (Driver<Echo>, Path, TcpStream) {
    let (listener, remote) = listener("127.0.0.1:0");
    let mut driver = Driver::new(Echo::default(), limits);
    driver.machine_mut().requests.push_back(connect(ID, "127.0.0.1:0", remote));
    let Heard::Connected(ID, path) = first_heard(&mut driver) else { panic!("connected") };
    let (stream, from) = listener.accept().expect("a connection");
    assert_eq!(path, Path::tcp(from, remote));
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    driver.machine_mut().heard.clear();
    (driver, path, stream)
}

/// Has the system take little at once, so that the rest waits in the driver.
fn narrow(driver: &Driver<Echo>) {
    let (_, socket) = driver.sockets().next().expect("a socket");
    SockRef::from(&socket).set_send_buffer_size(100_000).expect("less room");
}

/// Bytes that tell where they were.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn it_connects_and_both_sides_hear_each_other_over_both_families() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, remote) = listener(local);
        let mut driver = driver();
        driver.machine_mut().requests.push_back(connect(ID, local, remote));
        let Heard::Connected(ID, path) = first_heard(&mut driver) else { panic!("connected") };
        let (mut stream, from) = listener.accept().expect("a connection");
        assert_eq!(path, Path::tcp(from, remote));
        stream.write_all(b"hello").expect("sent");
        let mut buf = [0; 5];
        turn_until(&mut driver, &mut |_| {}, |driver| !driver.machine().arrived.is_empty());
        stream.read_exact(&mut buf).expect("an echo");
        assert_eq!(&buf, b"hello");
        assert_eq!(driver.machine().arrived, [(path, 5)]);
        assert_eq!((driver.counters().pieces, driver.counters().received), (1, 0));
        assert!(!driver.turn(&mut |_| {}).want_write, "there is nothing to wait for");
    }
}

#[test]
fn it_connects_from_the_port_it_is_told_and_again_at_once() {
    let (listener, remote) = listener("127.0.0.1:0");
    let port = TcpListener::bind("127.0.0.78:0").expect("a socket").local_addr().expect("an address");
    for _ in 0..2 {
        let mut driver = driver();
        driver.machine_mut().requests.push_back(connect(ID, &port.to_string(), remote));
        assert_eq!(first_heard(&mut driver), Heard::Connected(ID, Path::tcp(port, remote)));
        let (mut stream, _) = listener.accept().expect("a connection");
        // We are the one who closes first, and whose port is not free for a minute.
        driver.machine_mut().requests.push_back(HostRequest::Close { id: ID });
        let _ = driver.turn(&mut |_| {});
        assert_eq!(stream.read(&mut [0; 8]).expect("the end"), 0);
        drop(stream);
        turn_until(&mut driver, &mut |_| {}, |driver| driver.sockets().count() == 0);
    }
}

#[test]
fn what_cannot_be_connected_to_is_closed() {
    let (listener, nobody) = listener("127.0.0.1:0");
    drop(listener);
    let mut driver = driver();
    driver.machine_mut().requests.push_back(connect(ID, "127.0.0.1:0", nobody));
    assert_eq!(first_heard(&mut driver), Heard::Closed(ID));
    assert_eq!(driver.sockets().count(), 0);

    // Not an address of ours; the other family; itself.
    let requests = [
        connect(SocketId(1), "192.0.2.77:0", nobody),
        connect(SocketId(2), "[::1]:0", nobody),
        connect(SocketId(3), &nobody.to_string(), nobody),
    ];
    driver.machine_mut().requests.extend(requests);
    let _ = driver.turn(&mut |_| {});
    let closed = [1, 2, 3].map(|id| Heard::Closed(SocketId(id)));
    assert_eq!(driver.machine().heard[1..], closed);
}

#[test]
fn much_goes_through_both_ways_in_order() {
    let (mut driver, path, mut stream) = connected(Limits { backlog: 4 << 20, ..Limits::default() });
    narrow(&driver);
    driver.machine_mut().silent = true;
    let sent = pattern(2_000_000);
    driver.machine_mut().outgoing.extend(sent.chunks(30_000).map(|chunk| (path, chunk.to_vec())));
    let _ = driver.turn(&mut |_| {});
    let wait = driver.turn(&mut |_| {});
    assert!(wait.want_write && !wait.more, "more than the system takes at once: {wait:?}");

    let reflect = std::thread::spawn(move || {
        let mut all = vec![0; 2_000_000];
        stream.read_exact(&mut all).expect("all of it");
        stream.write_all(&all).expect("sent back");
        (all, stream)
    });
    let mut bodies = Bodies::default();
    let mut arrived = 0;
    turn_until(&mut driver, &mut bodies, |driver| {
        arrived = driver.machine().arrived.iter().map(|(_, len)| len).sum();
        arrived == sent.len()
    });
    assert_eq!(reflect.join().expect("no panic").0, sent);
    assert_eq!(bodies.0.concat(), sent);
    assert!(bodies.0.iter().all(|body| body.len() <= 1 << 14), "in pieces");
}

#[test]
fn what_the_other_side_said_before_it_went_is_delivered_before_its_end() {
    let (mut driver, path, mut stream) = connected(Limits::default());
    driver.machine_mut().silent = true;
    stream.write_all(&pattern(40_000)).expect("sent");
    drop(stream);
    let mut bodies = Bodies::default();
    turn_until(&mut driver, &mut bodies, |driver| !driver.machine().heard.is_empty());
    assert_eq!(driver.machine().heard, [Heard::Closed(ID)]);
    assert_eq!(bodies.0.concat(), pattern(40_000));
    assert_eq!(driver.sockets().count(), 0);

    // Too late to write.
    driver.machine_mut().outgoing.push_back((path, b"still there?".to_vec()));
    let _ = driver.turn(&mut bodies);
    assert_eq!(driver.machine().heard[1], Heard::Unreachable(path, Unreachable::Network));
    assert_eq!(driver.counters().homeless, 1);
}

#[test]
fn a_reset_is_an_end_too() {
    let (mut driver, path, mut stream) = connected(Limits::default());
    driver.machine_mut().silent = true;
    stream.write_all(b"last words").expect("sent");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
    // It is the write that finds out.
    driver.machine_mut().outgoing.push_back((path, b"hello?".to_vec()));
    let mut bodies = Bodies::default();
    turn_until(&mut driver, &mut bodies, |driver| !driver.machine().heard.is_empty());
    assert_eq!(driver.machine().heard, [Heard::Closed(ID)], "once");
    let wait = driver.turn(&mut bodies);
    assert!(!wait.want_write && !wait.more && driver.sockets().count() == 0);
}

#[test]
fn one_that_sends_no_more_still_gets_what_is_waiting() {
    let (mut driver, path, mut stream) = connected(Limits { backlog: 8 << 20, ..Limits::default() });
    narrow(&driver);
    let sent = pattern(6_000_000);
    driver.machine_mut().outgoing.extend(sent.chunks(30_000).map(|chunk| (path, chunk.to_vec())));
    let _ = driver.turn(&mut |_| {});
    stream.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(first_heard(&mut driver), Heard::Closed(ID));
    assert_eq!(driver.sockets().count(), 1, "it lingers");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it");
        all
    });
    turn_until(&mut driver, &mut |_| {}, |driver| driver.sockets().count() == 0);
    assert!(reader.join().expect("no panic") == sent);
}

#[test]
fn what_is_closed_is_flushed_first_and_its_unread_bytes_spoil_nothing() {
    let (mut driver, path, mut stream) = connected(Limits { backlog: 8 << 20, ..Limits::default() });
    narrow(&driver);
    stream.write_all(&pattern(10_000)).expect("sent");
    let sent = pattern(6_000_000);
    driver.machine_mut().outgoing.extend(sent.chunks(30_000).map(|chunk| (path, chunk.to_vec())));
    while !driver.machine().outgoing.is_empty() {
        let _ = driver.turn(&mut |_| {});
    }
    driver.machine_mut().requests.push_back(HostRequest::Close { id: ID });
    let wait = driver.turn(&mut |_| {});
    assert!(wait.want_write && wait.deadline.is_some(), "{wait:?}");
    let heard = driver.machine().arrived.len();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("all of it, and a good end");
        all
    });
    turn_until(&mut driver, &mut |_| {}, |driver| driver.sockets().count() == 0);
    assert!(reader.join().expect("no panic") == sent);
    assert_eq!(driver.machine().arrived.len(), heard, "what came after the close is nobody's");
    assert_eq!(driver.machine().heard, [], "closing is not answered");
    assert_eq!(driver.turn(&mut |_| {}).deadline, None);
}

#[test]
fn the_bound_on_the_backlog_is_kept() {
    let (mut driver, path, mut stream) = connected(Limits { backlog: 100_000, ..Limits::default() });
    narrow(&driver);
    let chunk = vec![7; 60_000];
    let mut written = 0;
    while driver.machine().heard.is_empty() {
        driver.machine_mut().outgoing.push_back((path, chunk.clone()));
        let _ = driver.turn(&mut |_| {});
        written += 1;
        assert!(written < 1_000, "the system does not take so much of what nobody reads");
    }
    assert_eq!(driver.machine().heard, [Heard::Closed(ID)]);
    assert_eq!((driver.counters().overflowed, driver.sockets().count()), (1, 0));
    let end = stream.read_to_end(&mut Vec::new()).expect_err("not the whole");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_bound_on_connections_is_kept_and_a_closed_one_makes_room() {
    let (listener, remote) = listener("127.0.0.1:0");
    let mut driver = Driver::new(Echo::default(), Limits { connections: 2, ..Limits::default() });
    let request = |id| connect(SocketId(id), "127.0.0.1:0", remote);
    driver.machine_mut().requests.extend([request(1), request(2), request(3)]);
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 3);
    assert_eq!(driver.machine().heard[0], Heard::Closed(SocketId(3)));
    drop(listener.accept().expect("the first"));
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 4);
    driver.machine_mut().requests.push_back(request(4));
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 5);
    assert!(matches!(driver.machine().heard[4], Heard::Connected(SocketId(4), _)));
}

#[test]
fn neither_connecting_nor_lingering_lasts_for_ever() {
    let short = Limits {
        connecting: Duration::from_millis(20),
        linger: Duration::from_millis(20),
        ..Limits::default()
    };
    // One that never says that it is done.
    let (mut driver, _, _stream) = connected(short);
    driver.machine_mut().requests.push_back(HostRequest::Close { id: ID });
    let _ = driver.turn(&mut |_| {});
    assert_eq!(driver.sockets().count(), 1);
    turn_until(&mut driver, &mut |_| {}, |driver| driver.sockets().count() == 0);

    // One that does not answer: whoever would accept is busy and the queue is full.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bound");
    listener.listen(0).expect("it listens");
    let remote = listener.local_addr().expect("an address").as_socket().expect("of IP");
    let requests = (0..4).map(|id| connect(SocketId(id), "127.0.0.1:0", remote));
    driver.machine_mut().requests.extend(requests);
    turn_until(&mut driver, &mut |_| {}, |driver| driver.machine().heard.len() == 4);
    let closed = driver.machine().heard.iter().filter(|heard| matches!(heard, Heard::Closed(_)));
    assert!(closed.count() > 0, "{:?}", driver.machine().heard);
}

#[test]
fn a_connection_that_is_closed_before_it_stands_is_gone() {
    let (_listener, remote) = listener("127.0.0.1:0");
    let mut driver = driver();
    driver.machine_mut().requests.extend([connect(ID, "127.0.0.1:0", remote), HostRequest::Close { id: ID }]);
    let wait = driver.turn(&mut |_| {});
    assert_eq!(
        (driver.sockets().count(), wait.want_write, wait.more, wait.deadline),
        (0, false, false, None)
    );
    assert_eq!(driver.machine().heard, []);
}

#[test]
fn a_turn_keeps_to_its_budget() {
    let (mut driver, _, mut stream) = connected(Limits { datagrams: 3, ..Limits::default() });
    driver.machine_mut().silent = true;
    stream.write_all(&pattern(5 * (1 << 14))).expect("sent");
    let mut bodies = Bodies::default();
    turn_until(&mut driver, &mut bodies, |driver| !driver.machine().arrived.is_empty());
    assert!(driver.machine().arrived.len() <= 3);
    let (key, _) = driver.sockets().next().expect("a socket");
    while driver.machine().arrived.iter().map(|(_, len)| len).sum::<usize>() < 5 * (1 << 14) {
        let before = driver.machine().arrived.len();
        driver.readable(key);
        let _ = driver.turn(&mut bodies);
        assert!(driver.machine().arrived.len() - before <= 3);
    }
    assert_eq!(bodies.0.concat(), pattern(5 * (1 << 14)));
}

#[test]
fn what_is_to_be_forwarded_goes_to_a_connection_too() {
    let (mut driver, _, mut stream) = connected(Limits::default());
    driver.machine_mut().forward = Some((b"head", 3));
    stream.write_all(b"xbody").expect("sent");
    turn_until(&mut driver, &mut |_| {}, |driver| !driver.machine().arrived.is_empty());
    let mut buf = [0; 11];
    stream.read_exact(&mut buf).expect("forwarded");
    assert_eq!(&buf, b"headbody\0\0\0");
}

/// Asks for a connection, sends what it has, and is done once it has heard as much and the end.
struct Caller {
    request: Option<HostRequest>,
    outgoing: Vec<u8>,
    written: usize,
    path: Option<Path>,
    heard: usize,
    polls: usize,
    /// Dropped at the end of the connection.
    done: Option<workers::Stop>,
}

impl bradawl::machine::Machine for Caller {
    type Event = usize;

    fn handle_input(
        &mut self,
        _: bradawl::time::Instant,
        path: Path,
        _: bradawl::machine::Meta,
        bytes: &[u8],
    ) -> bradawl::machine::Verdict {
        assert_eq!(path.transport, Transport::Tcp);
        self.heard += bytes.len();
        bradawl::machine::Verdict::Consumed
    }

    fn handle_host(&mut self, _: bradawl::time::Instant, input: bradawl::machine::HostInput<'_>) {
        match input {
            bradawl::machine::HostInput::Connected { path, .. } => self.path = Some(path),
            bradawl::machine::HostInput::Closed { .. } => self.done = None,
            _ => {}
        }
    }

    fn poll_output(&mut self, _: bradawl::time::Instant, buf: &mut [u8]) -> bradawl::machine::Output<usize> {
        if let Some(request) = self.request.take() {
            return bradawl::machine::Output::Host(request);
        }
        self.polls += 1;
        let rest = &self.outgoing[self.written..];
        let Some(path) = self.path.filter(|_| !rest.is_empty()) else {
            return bradawl::machine::Output::Idle(None);
        };
        let len = rest.len().min(20_000);
        buf[..len].copy_from_slice(&rest[..len]);
        self.written += len;
        bradawl::machine::Output::Transmit { path, len, segment: None, ecn: None }
    }
}

/// A driver on its way to `remote` with so many bytes.
fn caller(remote: SocketAddr, len: usize, done: Option<workers::Stop>) -> Driver<Caller> {
    let caller = Caller {
        request: Some(connect(ID, "127.0.0.1:0", remote)),
        outgoing: pattern(len),
        written: 0,
        path: None,
        heard: 0,
        polls: 0,
        done,
    };
    Driver::new(caller, Limits { backlog: 32 << 20, ..Limits::default() })
}

#[test]
fn a_thread_that_only_waits_is_woken_for_everything() {
    let (listener, remote) = listener("127.0.0.1:0");
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut all = vec![0; 3_000_000];
        stream.read_exact(&mut all).expect("all of it");
        stream.write_all(&all).expect("sent back");
        all
    });
    let (stop, stopped) = workers::stop().expect("a pipe");
    let mut driver = caller(remote, 3_000_000, Some(stop));
    workers::run(&mut driver, &mut |_| {}, &stopped).expect("it can wait");
    assert!(peer.join().expect("no panic") == pattern(3_000_000));
    assert_eq!(driver.machine().heard, 3_000_000);
}

#[test]
fn a_thread_rests_while_what_is_left_cannot_be_sent() {
    const LEN: usize = 20_000_000;
    let (listener, remote) = listener("127.0.0.1:0");
    let (stop, stopped) = workers::stop().expect("a pipe");
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut all = vec![0];
        stream.read_exact(&mut all).expect("the first byte: it is writing");
        stream.shutdown(Shutdown::Write).expect("half closed");
        // Long enough for very many turns, were there any.
        std::thread::sleep(Duration::from_millis(200));
        stream.read_to_end(&mut all).expect("all of it");
        drop(stop);
        all
    });
    let mut driver = caller(remote, LEN, None);
    workers::run(&mut driver, &mut |_| {}, &stopped).expect("it can wait");
    assert!(peer.join().expect("no panic") == pattern(LEN));
    let polls = driver.machine().polls;
    assert!(polls < LEN / 20_000 + 2_000, "{polls} times");
}
