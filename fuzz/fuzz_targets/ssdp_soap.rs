//! SSDP, HTTP, XML and SOAP from a hostile gateway, in arbitrary chunks with the clock moved: no panic, an end
//! to every drain, connections to the gateway's own address alone, never more than one, and no body beyond
//! its limit.

#![no_main]

use std::net::SocketAddr;

use arbitrary::Arbitrary;
use bradawl::machine::{HostInput, Machine as _, Meta, Path, SocketId, Verdict};
use bradawl::portmap::igd::http::{Progress, Response};
use bradawl::portmap::igd::xml::Scanner;
use bradawl::portmap::igd::{MAX_DESCRIPTION, MAX_SERVICES, Url, services, soap, ssdp};
use bradawl::portmap::{Config, Event, MAX_MAPPINGS, PortMapper, Protocol, Protocols, Via};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_fuzz::{Told, drain_with};
use libfuzzer_sys::fuzz_target;

/// More polls than any input can ask for.
const BOUND: usize = 60 * MAX_MAPPINGS;

/// How many times in a row the gateway may answer in one moment before that counts as endless.
const ENDLESS: usize = 400;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Map {
        port: u8,
    },
    Unmap {
        which: u8,
    },
    Wait {
        millis: u16,
    },
    Wake,
    /// An answer to a search, with this location behind the gateway's address or instead of it.
    Found {
        location: &'a str,
        whole: bool,
    },
    Datagram {
        bytes: &'a [u8],
    },
    /// Bytes on the connection that stands.
    Bytes {
        bytes: &'a [u8],
        piece: u8,
    },
    /// A whole response with this body.
    Body {
        body: &'a str,
        status: u8,
        piece: u8,
        chunked: bool,
    },
    Describe {
        kind: u8,
        control: &'a str,
        base: Option<&'a str>,
    },
    Address {
        octets: [u8; 4],
    },
    Fault {
        code: u16,
    },
    Done {
        port: Option<u16>,
    },
    /// The connection ends, or none comes to be.
    End,
    /// The next connection is refused or not.
    Refuse {
        next: bool,
    },
    Jump,
    Close,
}

struct World {
    mapper: PortMapper,
    now: Instant,
    ids: Vec<bradawl::portmap::MappingId>,
    connection: Option<(SocketId, Path)>,
    refuses: bool,
    wake: Option<Instant>,
    closed: bool,
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut config = Config::new(address("10.0.0.7:0"), vec!["10.0.0.1".parse().expect("an address")]);
    config.protocols = Protocols::only(Via::Igd);
    let mut world = World {
        mapper: PortMapper::new(config, Rng::from_seed([7; 32])),
        now: Instant::ZERO,
        ids: Vec::new(),
        connection: None,
        refuses: false,
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
            Step::Map { port } => {
                if let Ok(id) = self.mapper.map(self.now, port.into(), Protocol::Udp, 0) {
                    self.ids.push(id);
                }
            }
            Step::Unmap { which } => {
                if usize::from(which) < self.ids.len() {
                    assert!(self.mapper.unmap(self.now, self.ids.remove(which.into())));
                }
            }
            Step::Wait { millis } => self.now += Duration::from_millis(millis.into()),
            Step::Wake => self.now = self.wake.unwrap_or(self.now),
            Step::Found { location, whole } => {
                let own = if whole { "" } else { "http://10.0.0.1:5000/" };
                let target = ssdp::TARGETS[0];
                let text = format!("HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: {own}{location}\r\n\r\n");
                self.datagram(text.as_bytes());
            }
            Step::Datagram { bytes } => self.datagram(bytes),
            Step::Bytes { bytes, piece } => {
                read_alone(bytes, piece);
                self.bytes(bytes, piece);
            }
            Step::Body { body, status, piece, chunked } => {
                let status = [200, 500, 302, 404][usize::from(status % 4)];
                self.respond(status, body, piece, chunked);
            }
            Step::Describe { kind, control, base } => {
                let kinds =
                    ["WANIPConnection:1", "WANIPConnection:2", "WANPPPConnection:1", "Layer3Forwarding:1"];
                let kind = kinds[usize::from(kind % 4)];
                let base = base.map(|base| format!("<URLBase>{base}</URLBase>")).unwrap_or_default();
                let body = format!(
                    "<root>{base}<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType>\
                     <controlURL>{control}</controlURL></service></root>"
                );
                self.respond(200, &body, 50, false);
            }
            Step::Address { octets: [a, b, c, d] } => {
                let body = format!("<NewExternalIPAddress>{a}.{b}.{c}.{d}</NewExternalIPAddress>");
                self.respond(200, &body, 255, false);
            }
            Step::Fault { code } => {
                self.respond(500, &format!("<errorCode>{code}</errorCode>"), 255, true);
            }
            Step::Done { port } => {
                let body = port.map(|port| format!("<NewReservedPort>{port}</NewReservedPort>"));
                self.respond(200, &body.unwrap_or_default(), 255, false);
            }
            Step::End => {
                if let Some((id, _)) = self.connection.take() {
                    self.mapper.handle_host(self.now, HostInput::Closed { id });
                }
            }
            Step::Refuse { next } => self.refuses = next,
            Step::Jump => self.mapper.handle_host(self.now, HostInput::ClockJumped(Duration::from_secs(9))),
            Step::Close => {
                self.mapper.close(self.now);
                self.ids.clear();
            }
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let path = Path::udp(own(), address("10.0.0.1:1900"));
        if let Some(url) = ssdp::location(bytes, path.remote.ip()) {
            assert_eq!(url.authority.ip(), path.remote.ip());
        }
        let verdict = self.mapper.handle_input(self.now, path, Meta::default(), bytes);
        let _ = verdict;
    }

    fn respond(&mut self, status: u16, body: &str, piece: u8, chunked: bool) {
        let head = format!("HTTP/1.1 {status} X\r\n");
        let text = if chunked {
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        } else {
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        if let Some(url) = Url::parse("http://10.0.0.1:5000/root.xml") {
            let found = services(body, &url);
            assert!(found.len() <= MAX_SERVICES);
            assert!(found.iter().all(|service| service.control.authority.ip() == url.authority.ip()));
        }
        assert!(Scanner::new(body).count() <= 2 * body.len() + 1);
        self.bytes(text.as_bytes(), piece);
    }

    fn bytes(&mut self, bytes: &[u8], piece: u8) {
        let Some((_, path)) = self.connection else { return };
        for piece in bytes.chunks(usize::from(piece).max(1)) {
            if self.mapper.handle_input(self.now, path, Meta::default(), piece) == Verdict::Unclaimed {
                return; // the question is over
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..ENDLESS {
            let drained = drain_with(&mut self.mapper, self.now, BOUND);
            self.wake = drained.wake;
            for event in &drained.events {
                assert!(!self.closed, "{event:?} after the last event");
                self.closed |= *event == Event::Closed;
            }
            for (path, bytes) in &drained.sent {
                match self.connection {
                    Some((_, stream)) if stream == *path => request_is_one(bytes),
                    _ => assert!(path.local == own() && path.remote.port() == 1_900, "{path}"),
                }
            }
            for told in &drained.told {
                match *told {
                    Told::Bind(id) => {
                        self.mapper.handle_host(self.now, HostInput::Bound { id, result: Ok(own()) });
                    }
                    Told::Connect(id, remote) => self.connect(id, remote),
                    Told::Close(id) => {
                        self.connection = self.connection.filter(|connection| connection.0 != id);
                    }
                }
            }
            if drained.told.is_empty() {
                return;
            }
        }
        panic!("it connects without end");
    }

    fn connect(&mut self, id: SocketId, remote: SocketAddr) {
        assert_eq!(remote.ip().to_string(), "10.0.0.1", "somebody else");
        assert!(self.connection.is_none(), "two connections to one gateway");
        if self.refuses {
            return self.mapper.handle_host(self.now, HostInput::Closed { id });
        }
        let path = Path::tcp(address("10.0.0.7:6000"), remote);
        self.connection = Some((id, path));
        self.mapper.handle_host(self.now, HostInput::Connected { id, path });
    }
}

/// Nobody has written a second request into it: its only empty line is before the body.
fn request_is_one(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("text");
    if text.starts_with("GET ") {
        assert!(text.find("\r\n\r\n") == Some(text.len() - 4), "{text}");
    }
}

/// What is read in pieces is what is read in one, within its limits.
fn read_alone(bytes: &[u8], piece: u8) {
    let (mut whole, mut pieces) = (Response::new(MAX_DESCRIPTION), Response::new(MAX_DESCRIPTION));
    let once = whole.push(bytes);
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        let _ = pieces.push(piece);
    }
    assert!(whole.body().len() <= MAX_DESCRIPTION);
    assert_eq!(once == Progress::Broken, pieces.push(b"") == Progress::Broken);
    if once == Progress::Done {
        assert_eq!((whole.status(), whole.body()), (pieces.status(), pieces.body()));
        let _ = soap::Answer::read(whole.status(), whole.body());
    }
}

fn own() -> SocketAddr {
    address("10.0.0.7:4000")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
