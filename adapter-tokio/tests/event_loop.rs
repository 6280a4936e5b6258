//! The event loop wakes for datagrams, for errors and for deadlines, and for nothing else.

use std::net::UdpSocket;
use std::time::Duration;

use bradawl::machine::{HostInput, Machine, Meta, Output, Path, Unreachable, Verdict};
use bradawl::time::Instant;
use bradawl_host::driver::{Driver, Limits};
use bradawl_tokio::EventLoop;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(5);

/// Echoes, sends one packet when it is told to, and counts what it hears.
#[derive(Default)]
struct Probe {
    outgoing: Option<(Path, Vec<u8>)>,
    wake: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Woken,
    Unreachable(Unreachable),
}

#[derive(Default)]
struct Machinery {
    probe: Probe,
    heard: Vec<Heard>,
}

impl Machine for Machinery {
    type Event = Heard;

    fn handle_input(&mut self, _: Instant, path: Path, _: Meta, bytes: &[u8]) -> Verdict {
        self.probe.outgoing = Some((path, bytes.to_vec()));
        Verdict::Consumed
    }

    fn handle_host(&mut self, _: Instant, input: HostInput<'_>) {
        if let HostInput::Unreachable { kind, .. } = input {
            self.heard.push(Heard::Unreachable(kind));
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Heard> {
        if let Some((path, bytes)) = self.probe.outgoing.take() {
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Output::Transmit { path, len: bytes.len(), segment: None, ecn: None };
        }
        if self.probe.wake.is_some_and(|wake| wake <= now) {
            self.probe.wake = None;
            return Output::Event(Heard::Woken);
        }
        self.heard.pop().map_or(Output::Idle(self.probe.wake), Output::Event)
    }
}

fn start() -> (EventLoop<Machinery>, std::net::SocketAddr) {
    let mut driver = Driver::new(Machinery::default(), Limits::default());
    let local = "127.0.0.1:0".parse().expect("an address");
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

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "current_thread")]
async fn it_wakes_for_an_icmp_error_alone() {
    let (mut events, address) = start();
    let closed = UdpSocket::bind("127.0.0.79:0").expect("a socket").local_addr().expect("an address");
    events.driver_mut().machine_mut().probe.outgoing = Some((Path::udp(address, closed), b"hello".to_vec()));
    let heard = timeout(LONG, next(&mut events)).await;
    assert_eq!(heard, Ok(Heard::Unreachable(Unreachable::Port)), "though nothing was sent or received since");
}
