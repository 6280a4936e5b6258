//! PCP and NAT-PMP answers, any bytes and some that nearly fit, against the codecs and the port mapper with
//! the clock moved: no panic, an end to every drain, packets to the router alone, and nothing grows.

#![no_main]

use std::net::SocketAddr;

use arbitrary::Arbitrary;
use bradawl::machine::{BindError, HostInput, Machine as _, Meta, Path, SocketId, Unreachable};
use bradawl::portmap::{Config, Event, MAX_MAPPINGS, PortMapper, Protocol, Protocols, natpmp, pcp};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_fuzz::{Told, drain_with};
use libfuzzer_sys::fuzz_target;

/// More polls than any input can ask for: every lease of both routers a few times.
const BOUND: usize = 40 * MAX_MAPPINGS;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Map {
        port: u8,
        tcp: bool,
        external: u16,
    },
    Unmap {
        which: u8,
    },
    Wait {
        millis: u32,
    },
    /// To when it wants to be woken.
    Wake,
    Bytes {
        bytes: &'a [u8],
        from: u8,
    },
    /// A request that it sent comes back as an answer, with some of its bytes set.
    Echo {
        to: u8,
        result: u8,
        lifetime: u32,
        epoch: u32,
        port: u16,
        from: u8,
    },
    /// The same in NAT-PMP.
    Old {
        opcode: u8,
        result: u16,
        epoch: u32,
        port: u8,
        external: u16,
        lifetime: u32,
    },
    Unreachable,
    Jump,
    Gone,
    Close,
}

struct World {
    mapper: PortMapper,
    now: Instant,
    ids: Vec<bradawl::portmap::MappingId>,
    sent: Vec<Vec<u8>>,
    wake: Option<Instant>,
    closed: bool,
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let routers = vec!["10.0.0.1".parse().expect("an address"), "10.0.0.2".parse().expect("an address")];
    let protocols = Protocols { igd: false, ..Protocols::ALL };
    let config = Config { protocols, ..Config::new(address("10.0.0.7:0"), routers) };
    let mut world = World {
        mapper: PortMapper::new(config, Rng::from_seed([7; 32])),
        now: Instant::ZERO,
        ids: Vec::new(),
        sent: Vec::new(),
        wake: None,
        closed: false,
    };
    for step in steps {
        world.step(step);
        world.drain();
    }
});

impl World {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Map { port, tcp, external } => {
                let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
                if let Ok(id) = self.mapper.map(self.now, port.into(), protocol, external) {
                    self.ids.push(id);
                }
                assert!(self.ids.len() <= MAX_MAPPINGS);
            }
            Step::Unmap { which } => {
                if usize::from(which) < self.ids.len() {
                    assert!(self.mapper.unmap(self.now, self.ids.remove(which.into())));
                }
            }
            Step::Wait { millis } => self.now += Duration::from_millis(millis.into()),
            Step::Wake => self.now = self.wake.unwrap_or(self.now),
            Step::Bytes { bytes, from } => {
                let _ = (pcp::Answer::parse(bytes), natpmp::Answer::parse(bytes));
                self.arrives(from, bytes);
            }
            Step::Echo { to, result, lifetime, epoch, port, from } => {
                let Some(request) = self.sent.iter().rev().nth(to.into()) else { return };
                let mut answer = request.clone();
                if answer.len() < 24 {
                    return;
                }
                answer[1] |= 0x80;
                answer[3] = result;
                answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
                answer[8..12].copy_from_slice(&epoch.to_be_bytes());
                if answer.len() == 60 {
                    answer[42..44].copy_from_slice(&port.to_be_bytes());
                    answer[44..].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 203, 0, 113, 9]);
                }
                let parsed = pcp::Answer::parse(&answer).expect("it makes sense");
                assert_eq!((parsed.lifetime, parsed.epoch), (lifetime, epoch));
                self.arrives(from, &answer);
            }
            Step::Old { opcode, result, epoch, port, external, lifetime } => {
                let mut answer = vec![0, 128 | opcode % 3];
                answer.extend(result.to_be_bytes());
                answer.extend(epoch.to_be_bytes());
                if opcode % 3 > 0 {
                    answer.extend(u16::from(port).to_be_bytes());
                    answer.extend(external.to_be_bytes());
                }
                answer.extend(lifetime.to_be_bytes());
                assert!(natpmp::Answer::parse(&answer).is_some());
                self.arrives(0, &answer);
            }
            Step::Unreachable => {
                let path = Path::udp(own(), address("10.0.0.1:5351"));
                let input = HostInput::Unreachable { path, kind: Unreachable::Port };
                self.mapper.handle_host(self.now, input);
            }
            Step::Jump => self.mapper.handle_host(self.now, HostInput::ClockJumped(Duration::from_secs(9))),
            Step::Gone => self.mapper.handle_host(self.now, HostInput::Closed { id: SocketId(0) }),
            Step::Close => {
                self.mapper.close(self.now);
                self.ids.clear();
            }
        }
    }

    fn arrives(&mut self, from: u8, bytes: &[u8]) {
        let from = match from {
            1 => "10.0.0.2:5351",
            2 => "10.0.0.1:5352",
            3 => "10.0.0.3:5351",
            _ => "10.0.0.1:5351",
        };
        let path = Path::udp(own(), address(from));
        let _ = self.mapper.handle_input(self.now, path, Meta::default(), bytes);
    }

    fn drain(&mut self) {
        loop {
            let drained = drain_with(&mut self.mapper, self.now, BOUND);
            self.wake = drained.wake;
            for event in &drained.events {
                assert!(!self.closed, "{event:?} after the last event");
                self.closed |= *event == Event::Closed;
            }
            for told in &drained.told {
                if let Told::Bind(id) = told {
                    // Now and then the host has none.
                    let refused = self.sent.len() % 5 == 4;
                    let result = if refused { Err(BindError::InUse) } else { Ok(own()) };
                    self.mapper.handle_host(self.now, HostInput::Bound { id: *id, result });
                }
            }
            for (path, bytes) in drained.sent {
                assert!(path.local == own() && path.remote.port() == pcp::PORT, "{path}");
                assert!(["10.0.0.1", "10.0.0.2"].contains(&path.remote.ip().to_string().as_str()), "{path}");
                self.sent.push(bytes);
            }
            if drained.told.is_empty() {
                return;
            }
        }
    }
}

fn own() -> SocketAddr {
    address("10.0.0.7:4000")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
