//! The event loop wakes for datagrams, for errors and for deadlines, and for nothing else.

#[cfg(target_os = "linux")]
#[path = "../../host/tests/common/network.rs"]
mod network;

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use bradawl::machine::{
    BindError, HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport, Unreachable, Verdict,
};
use bradawl::time::Instant;
use bradawl_host::driver::{Driver, Limits};
use bradawl_tokio::EventLoop;
use tokio::sync::Mutex;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(5);

/// For tests that start programs, and those that open a port again which they have just closed: a child
/// holds copies of all our descriptors until its own program runs.
static CHILDREN: Mutex<()> = Mutex::const_new(());

/// Echoes, sends and asks what it is told to, and tells what it hears.
#[derive(Default)]
struct Probe {
    outgoing: VecDeque<(Path, Vec<u8>)>,
    requests: VecDeque<HostRequest>,
    wake: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Woken,
    Unreachable(Unreachable),
    Bound(Result<SocketAddr, BindError>),
    Connected(Path),
    Closed,
}

#[derive(Default)]
struct Machinery {
    probe: Probe,
    heard: VecDeque<Heard>,
}

impl Machine for Machinery {
    type Event = Heard;

    fn handle_input(&mut self, _: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        self.probe.outgoing.push_back((path, bytes.to_vec()));
        Verdict::Consumed
    }

    fn handle_host(&mut self, _: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Unreachable { kind, .. } => self.heard.push_back(Heard::Unreachable(kind)),
            HostInput::Bound { result, .. } => self.heard.push_back(Heard::Bound(result)),
            HostInput::Connected { path, .. } => self.heard.push_back(Heard::Connected(path)),
            HostInput::Closed { .. } => self.heard.push_back(Heard::Closed),
            _ => {}
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Heard> {
        if let Some(request) = self.probe.requests.pop_front() {
            return Output::Host(request);
        }
        if let Some((path, bytes)) = self.probe.outgoing.pop_front() {
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Output::Transmit { path, len: bytes.len(), segment: None, ecn: None };
        }
        if self.probe.wake.is_some_and(|wake| wake <= now) {
            self.probe.wake = None;
            return Output::Event(Heard::Woken);
        }
        self.heard.pop_front().map_or(Output::Idle(self.probe.wake), Output::Event)
    }
}

fn start() -> (EventLoop<Machinery>, SocketAddr) {
    start_at("127.0.0.1:0")
}

fn start_at(local: &str) -> (EventLoop<Machinery>, SocketAddr) {
    let limits = Limits { backlog: 16 << 20, ..Limits::default() };
    let mut driver = Driver::new(Machinery::default(), limits);
    let local = local.parse().expect("an address");
    let (_, address) = driver.bind(local, &Default::default()).expect("a socket");
    (EventLoop::new(driver), address)
}

/// Turns until the machine says something.
async fn next(events: &mut EventLoop<Machinery>) -> Heard {
    let mut heard = None;
    while heard.is_none() {
        events.turn(&mut |event| heard = Some(event)).await.expect("a turn");
    }
    heard.expect("just checked")
}

#[tokio::test(flavor = "current_thread")]
async fn it_wakes_for_a_datagram_also_after_a_wait_was_given_up() {
    let (mut events, address) = start();
    // The first turn does not wait, the second would for ever.
    events.turn(&mut |_| {}).await.expect("a turn");
    let idle = timeout(Duration::from_millis(1), async { events.turn(&mut |_| {}).await }).await;
    assert!(idle.is_err(), "nothing has happened");

    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(LONG)).expect("a timeout");
    for _ in 0..3 {
        client.send_to(b"hello", address).expect("sent");
        timeout(LONG, events.turn(&mut |_| {})).await.expect("in time").expect("a turn");
        let mut buf = [0; 16];
        assert_eq!(client.recv(&mut buf).expect("an answer"), 5);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn it_wakes_for_a_deadline() {
    let (mut events, _) = start();
    let wake = events.driver().now() + Duration::from_millis(5);
    events.driver_mut().machine_mut().probe.wake = Some(wake);
    assert_eq!(timeout(LONG, next(&mut events)).await, Ok(Heard::Woken));
    assert!(events.driver().now() >= wake);
}

#[tokio::test(flavor = "current_thread")]
async fn it_follows_sockets_that_come_and_go() {
    let _alone = CHILDREN.lock().await;
    let (mut events, first) = start();
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(LONG)).expect("a timeout");
    // On an address of its own: on 127.0.0.1 another test may take the port that was free a moment ago.
    let free = UdpSocket::bind("127.0.0.77:0").expect("a socket").local_addr().expect("an address");
    let bind = |id| HostRequest::Bind { id: SocketId(id), transport: Transport::Udp, local: free };
    for round in 0..3 {
        // Closed and opened again in one breath, while the loop watches it.
        let close = (round > 0).then_some(HostRequest::Close { id: SocketId(round) });
        events.driver_mut().machine_mut().probe.requests.extend(close.into_iter().chain([bind(round + 1)]));
        let heard = timeout(LONG, next(&mut events)).await.expect("in time");
        assert_eq!(heard, Heard::Bound(Ok(free)));
        assert_eq!(events.driver().sockets().count(), 2);
        for address in [first, free] {
            client.send_to(b"hello", address).expect("sent");
            let sent = events.driver().counters().sent;
            while events.driver().counters().sent == sent {
                timeout(LONG, events.turn(&mut |_| {})).await.expect("in time").expect("a turn");
            }
            let mut buf = [0; 16];
            assert_eq!(client.recv_from(&mut buf).expect("an answer"), (5, address));
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn it_follows_a_tcp_connection_from_its_beginning_to_its_end() {
    let (mut events, _) = start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let remote = listener.local_addr().expect("an address");
    let local = "127.0.0.1:0".parse().expect("an address");
    let connect = HostRequest::Connect { id: SocketId(1), local, remote };
    events.driver_mut().machine_mut().probe.requests.push_back(connect);
    let heard = timeout(LONG, next(&mut events)).await.expect("in time");
    let (mut stream, from) = listener.accept().expect("a connection");
    assert_eq!(heard, Heard::Connected(Path::tcp(from, remote)));

    // More than the system takes at once, so that the loop has to wait for room.
    let pattern: Vec<u8> = (0..8_000_000_usize).map(|index| (index * 31 + index / 251) as u8).collect();
    let sent = pattern.clone();
    let peer = std::thread::spawn(move || {
        let mut reader = stream.try_clone().expect("another handle");
        let writer = std::thread::spawn(move || {
            for chunk in sent.chunks(100_000) {
                stream.write_all(chunk).expect("sent");
            }
            stream.shutdown(Shutdown::Write).expect("half closed");
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("all of it");
        writer.join().expect("no panic");
        all
    });
    assert_eq!(timeout(LONG, next(&mut events)).await, Ok(Heard::Closed));
    while events.driver().sockets().count() > 1 {
        timeout(LONG, events.turn(&mut |_| {})).await.expect("in time").expect("a turn");
    }
    drop(events);
    assert!(peer.join().expect("no panic") == pattern);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn it_waits_until_a_blocked_socket_is_writable() {
    {
        let _alone = CHILDREN.lock().await;
        if !network::silent_link() {
            return;
        }
    }
    let (mut events, near) = start_at("10.77.0.1:0");
    network::narrow(&events.driver().sockets().next().expect("a socket").1);
    let path = Path::udp(near, network::FAR.parse().expect("an address"));
    let packets = (0..40).map(|byte| (path, vec![byte; 1_000]));
    events.driver_mut().machine_mut().probe.outgoing.extend(packets);
    // It has tried again once it knew, and then waits.
    let idle = timeout(Duration::from_millis(20), async {
        loop {
            events.turn(&mut |_| {}).await.expect("a turn");
        }
    });
    assert!(idle.await.is_err());
    assert!(events.driver().counters().sent < 40);
    let mut capture = network::Capture::new();
    {
        let _alone = CHILDREN.lock().await;
        network::answer();
    }
    while events.driver().counters().sent < 40 {
        timeout(LONG, events.turn(&mut |_| {})).await.expect("in time").expect("a turn");
    }
    capture.expect(40, 1_028);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn it_wakes_for_an_icmp_error_alone() {
    if cfg!(feature = "portable") {
        println!("skipped: without Linux's error queue nobody tells this backend of ICMP");
        return;
    }
    let (mut events, address) = start();
    let closed = UdpSocket::bind("127.0.0.79:0").expect("a socket").local_addr().expect("an address");
    let packet = (Path::udp(address, closed), b"hello".to_vec());
    events.driver_mut().machine_mut().probe.outgoing.push_back(packet);
    let heard = timeout(LONG, next(&mut events)).await;
    assert_eq!(heard, Ok(Heard::Unreachable(Unreachable::Port)), "though nothing was sent or received since");
}
