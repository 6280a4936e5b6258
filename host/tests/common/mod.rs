//! A machine to drive and the loop to drive it with, for the tests of this crate.

#![allow(dead_code, reason = "each test uses its part")]

#[cfg(target_os = "linux")]
pub(crate) mod network;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bradawl::machine::{
    HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Transport, Unreachable, Verdict,
};
use bradawl::time::Instant;
use bradawl_host::clock::Clock;
use bradawl_host::driver::{Driver, Limits, Sink};
use bradawl_host::udp::BindOptions;
use std::collections::VecDeque;

/// Sends back what comes, and whatever it is told to send; remembers what the host said.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) outgoing: VecDeque<(Path, Vec<u8>)>,
    pub(crate) requests: VecDeque<HostRequest>,
    /// Said in this order, before anything else.
    pub(crate) script: VecDeque<Say>,
    /// Asked as soon as something has arrived.
    pub(crate) requests_on_arrival: VecDeque<HostRequest>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) arrived: Vec<(Path, usize)>,
    /// When it wants to be polled again.
    pub(crate) wake: Option<Instant>,
    /// Only note what comes.
    pub(crate) silent: bool,
    /// Have the host forward it instead, with this head and so many zeros after it.
    pub(crate) forward: Option<(&'static [u8], u8)>,
}

/// What the machine says to its host.
pub(crate) enum Say {
    Ask(HostRequest),
    Send(Path, Vec<u8>),
}

/// The host inputs that the tests look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Unreachable(Path, Unreachable),
    TooBig(Path, Option<u16>),
    Expired(Path, IpAddr),
    Bound(SocketId, Result<SocketAddr, bradawl::machine::BindError>),
    Connected(SocketId, Path),
    Closed(SocketId),
}

impl Machine for Echo {
    type Event = usize;

    fn handle_input(&mut self, _now: Instant, path: Path, _meta: Meta, bytes: &[u8]) -> Verdict {
        self.arrived.push((path, bytes.len()));
        self.requests.append(&mut self.requests_on_arrival);
        if let Some((head, pad)) = self.forward {
            let head = bradawl::machine::Head::new(head).expect("a short head");
            return Verdict::Forward { path, body: 1..bytes.len(), head, pad };
        }
        if self.silent {
            return Verdict::Deliver { from: path.remote, body: 0..bytes.len() };
        }
        self.outgoing.push_back((path, bytes.to_vec()));
        Verdict::Consumed
    }

    fn handle_host(&mut self, _now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Unreachable { path, kind } => self.heard.push(Heard::Unreachable(path, kind)),
            HostInput::TooBig { path, mtu } => self.heard.push(Heard::TooBig(path, mtu)),
            HostInput::Expired { path, by } => self.heard.push(Heard::Expired(path, by)),
            HostInput::Bound { id, result } => self.heard.push(Heard::Bound(id, result)),
            HostInput::Connected { id, path } => self.heard.push(Heard::Connected(id, path)),
            HostInput::Closed { id } => self.heard.push(Heard::Closed(id)),
            _ => {}
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<usize> {
        match self.script.pop_front() {
            Some(Say::Ask(request)) => self.requests.push_front(request),
            Some(Say::Send(path, bytes)) => self.outgoing.push_front((path, bytes)),
            None => {}
        }
        if let Some(request) = self.requests.pop_front() {
            return Output::Host(request);
        }
        let Some((path, bytes)) = self.outgoing.pop_front() else {
            self.wake = self.wake.filter(|wake| *wake > now);
            return Output::Idle(self.wake);
        };
        // A test may want to send more than a packet can hold.
        let len = bytes.len();
        buf[..len].copy_from_slice(&bytes);
        Output::Transmit { path, len, segment: None, ecn: None }
    }
}

/// Takes application data as it comes.
#[derive(Default)]
pub(crate) struct Bodies(pub(crate) Vec<Vec<u8>>);

impl Sink<usize> for Bodies {
    fn event(&mut self, _event: usize) {}

    fn deliver(&mut self, _path: Path, _from: SocketAddr, body: &[u8]) {
        self.0.push(body.to_vec());
    }
}

pub(crate) fn driver() -> Driver<Echo> {
    Driver::new(Echo::default(), Limits::default())
}

/// A driver with one socket at `local`, and the address of that.
pub(crate) fn bound(local: &str) -> (Driver<Echo>, SocketAddr) {
    let mut driver = driver();
    let (_, address) =
        driver.bind(local.parse().expect("an address"), &BindOptions::default()).expect("a socket");
    (driver, address)
}

/// Says that all sockets are readable, and those that wait for it writable, and turns until `done`, or
/// fails after five seconds.
pub(crate) fn turn_until(
    driver: &mut Driver<Echo>,
    sink: &mut impl Sink<usize>,
    mut done: impl FnMut(&Driver<Echo>) -> bool,
) {
    let clock = Clock::new();
    let start = clock.now();
    while !done(driver) {
        assert!(clock.now().since(start) < Duration::from_secs(5), "what was waited for did not happen");
        let keys: Vec<_> = driver.sockets().map(|(key, _)| key).collect();
        for key in keys {
            driver.readable(key);
            if driver.is_blocked(key) {
                driver.writable(key);
            }
        }
        let _ = driver.turn(sink);
    }
}

pub(crate) fn request(id: u32, local: &str) -> HostRequest {
    HostRequest::Bind {
        id: SocketId(id),
        transport: Transport::Udp,
        local: local.parse().expect("an address"),
    }
}
