//! TCP on a host: its connections, and what its program hears and says on them.
//!
//! A program asks for a listening socket with `Bind`, for a connection with `Connect`; it is told
//! `Connected` (with the listener's id for one that came in), gets the bytes of the stream as they arrive,
//! and `Closed` when it is over. What it transmits on the path of a connection are bytes of the stream.

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use bradawl::machine::{HostInput, Meta, Path, SocketId, Transport, Verdict};
use bradawl::time::Instant;

use super::{HostId, World};
use crate::nat::Protocol;
use crate::packet::{Body, Packet};
use crate::tcp::{Segment, Step, Stream, reset_for};
use crate::trace::{Drop, What};

/// How much a host holds back of what its program writes, per connection, before it ends the connection.
const MAX_BACKLOG: usize = 256 * 1_024;

/// The connections of a host, by both their ends.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<(SocketAddr, SocketAddr), Connection>,
}

#[derive(Debug)]
struct Connection {
    id: SocketId,
    stream: Stream,
    /// What the program has written and the stream had no room for.
    backlog: VecDeque<u8>,
    next: Option<Instant>,
}

impl Streams {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().filter_map(|connection| connection.next).min()
    }
}

impl World {
    /// A segment has come to a host.
    pub(super) fn at_stream(&mut self, id: HostId, packet: &Packet) {
        let (now, place) = (self.now, self.hosts[id.0 as usize].place);
        let Body::Segment(segment) = &packet.body else { return };
        let (local, remote) = (packet.flow.destination, packet.flow.source);
        let host = self.host_mut(id);
        if let Some(connection) = host.streams.open.get_mut(&(local, remote)) {
            connection.stream.handle_segment(now, segment);
        } else {
            let listener = host.listens(local);
            let iss = host.rng.u64() as u32;
            let accepted = listener.and_then(|listener| Some((listener, Stream::accept(now, segment, iss)?)));
            let Some((listener, stream)) = accepted else {
                self.drop_packet(place, packet, Drop::NoSocket);
                if let Some(reset) = reset_for(segment) {
                    self.send_segment(id, Path::tcp(local, remote), reset);
                }
                return;
            };
            let connection = Connection { id: listener, stream, backlog: VecDeque::new(), next: None };
            host.streams.open.insert((local, remote), connection);
            self.check.delivered(now, id, Path::tcp(local, remote), (None, &[]));
        }
        self.record(place, packet, What::Received);
        self.pump(id, (local, remote));
        self.drive(id);
    }

    /// A program wants a connection.
    pub(super) fn connect(&mut self, id: HostId, socket: SocketId, local: SocketAddr, remote: SocketAddr) {
        let now = self.now;
        let host = self.host_mut(id);
        let local = match local.port() {
            0 => host.free_port(Transport::Tcp, local.ip()),
            _ => Some(local),
        };
        let iss = host.rng.u64() as u32;
        let ends = local.filter(|&local| {
            host.port_of(local.ip()).is_some() && !host.streams.open.contains_key(&(local, remote))
        });
        let Some(local) = ends else {
            return self.closed(id, socket);
        };
        self.check.sends(now, id, Path::tcp(local, remote), &[]);
        let connection = Connection {
            id: socket,
            stream: Stream::connect(now, iss),
            backlog: VecDeque::new(),
            next: None,
        };
        self.host_mut(id).streams.open.insert((local, remote), connection);
        self.pump(id, (local, remote));
    }

    /// What a program writes to a connection.
    pub(super) fn write_stream(&mut self, id: HostId, path: Path, bytes: &[u8]) {
        let ends = (path.local, path.remote);
        let Some(connection) = self.host_mut(id).streams.open.get_mut(&ends) else {
            return self.check.no_socket(self.now, id, path);
        };
        if connection.backlog.len() + bytes.len() > MAX_BACKLOG {
            connection.stream.abort();
        } else {
            connection.backlog.extend(bytes);
        }
        self.check.sends(self.now, id, path, bytes);
        self.pump(id, ends);
    }

    /// A program closes a connection; what it wrote before still goes out.
    pub(super) fn close_stream(&mut self, id: HostId, socket: SocketId) {
        let streams = &mut self.host_mut(id).streams.open;
        let ends = streams.iter().find(|(_, connection)| connection.id == socket).map(|(&ends, _)| ends);
        if let Some(ends) = ends {
            if let Some(connection) = streams.get_mut(&ends) {
                connection.stream.close();
            }
            self.pump(id, ends);
        }
    }

    /// An ICMP error about a segment of this host's.
    pub(super) fn stream_unreachable(&mut self, id: HostId, path: Path) {
        let ends = (path.local, path.remote);
        if let Some(connection) = self.host_mut(id).streams.open.get_mut(&ends) {
            connection.stream.handle_unreachable();
            self.pump(id, ends);
            self.drive(id);
        }
    }

    /// Whatever is due on any connection of a host.
    pub(super) fn poll_streams(&mut self, id: HostId) {
        let now = self.now;
        let due = |connection: &Connection| connection.next.is_some_and(|next| next <= now);
        let streams = self.host_mut(id).streams.open.iter();
        let due: Vec<_> = streams.filter(|(_, connection)| due(connection)).map(|(&ends, _)| ends).collect();
        for ends in due {
            self.pump(id, ends);
        }
    }

    /// Polls one connection until it is idle.
    fn pump(&mut self, id: HostId, ends: (SocketAddr, SocketAddr)) {
        let (now, path) = (self.now, Path::tcp(ends.0, ends.1));
        loop {
            let host = self.host_mut(id);
            let Some(connection) = host.streams.open.get_mut(&ends) else { return };
            let (front, _) = connection.backlog.as_slices();
            let written = connection.stream.write(front);
            connection.backlog.drain(..written);
            let socket = connection.id;
            match connection.stream.poll(now) {
                Step::Idle(next) => {
                    connection.next = next;
                    return;
                }
                Step::Send(segment) => self.send_segment(id, path, segment),
                Step::Finished => connection.stream.close(),
                Step::Connected => {
                    if let Some(program) = host.running() {
                        program.handle_host(now, HostInput::Connected { id: socket, path });
                    }
                }
                Step::Received(bytes) => {
                    if let Some(program) = host.running() {
                        let verdict = program.handle_input(now, path, Meta::default(), &bytes);
                        debug_assert!(!matches!(verdict, Verdict::Forward { .. }), "relaying needs framing");
                    }
                }
                Step::Closed(_) => {
                    host.streams.open.remove(&ends);
                    self.closed(id, socket);
                }
            }
        }
    }

    fn closed(&mut self, id: HostId, socket: SocketId) {
        let now = self.now;
        if let Some(program) = self.host_mut(id).running() {
            program.handle_host(now, HostInput::Closed { id: socket });
        }
    }

    fn send_segment(&mut self, id: HostId, path: Path, segment: Segment) {
        let flow = Packet::flow_of(Protocol::Tcp, path, Some(&segment));
        let packet = Packet::new(self.next_packet_id(), flow, Body::Segment(segment));
        self.send_packet(id, packet);
    }
}
