//! TCP connections that the machine asked for: from the request to the last byte.
//!
//! A connection begins when the machine asks, stands when the other side has answered, and is then
//! read in turn with all others, a piece at a time. What the machine writes goes out at once; what
//! the system does not take waits in the connection's own backlog, which is bounded. Once the machine
//! lets go, the backlog is sent, our direction is closed, and whatever still comes is thrown away
//! until the other side is done, too: a socket that is closed with bytes unread resets the connection
//! and may take the last ones we sent along (RFC 1122 §4.2.2.13). None of that lasts for ever.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bradawl::machine::{HostInput, Machine, Path, SocketId, Transport};
use bradawl::time::Instant;

use super::limits::Limits;
use super::table::SocketKey;
use super::tcp::Tcp;

/// All connections of a driver.
pub(super) struct Streams {
    limits: Limits,
    connections: Vec<Option<Connection>>,
    open: usize,
    /// Where the machine can write to, by our end and the other.
    by_ends: HashMap<(SocketAddr, SocketAddr), u32>,
    /// Those that may hold bytes, in the order of their turns.
    readable: VecDeque<u32>,
    /// Those that may take bytes now, or may have come to stand.
    woken: VecDeque<u32>,
    /// How many wait to become writable.
    blocked: usize,
    deadlines: BTreeSet<(Instant, u32)>,
    opened: u32,
    /// Grows with every connection that comes or goes.
    version: u64,
}

struct Connection {
    tcp: Arc<Tcp>,
    generation: u32,
    /// What the machine calls it; `None` once it is none of the machine's business.
    id: Option<SocketId>,
    path: Path,
    state: State,
    /// What the system has not taken yet.
    backlog: VecDeque<u8>,
    /// It waits to become writable.
    blocked: bool,
    /// It is in the queue of those to be read.
    readable: bool,
    /// The other side will send nothing more.
    ended: bool,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// Nothing can be sent any more. What has arrived before is still delivered.
    Broken,
    /// The machine has let go of it.
    Closing,
}

/// What reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// So many bytes for the machine.
    Piece(Path, usize),
    /// The connection is over.
    Closed(SocketId),
    /// Bytes that nobody wants any more.
    Discarded,
}

/// What became of bytes that the machine wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Taken,
    /// There is no such connection.
    Homeless,
    /// The connection takes no more, and the machine will hear of it when it has been read.
    Refused,
    /// There was no room, and now there is no connection.
    Overflowed(Option<SocketId>),
}

impl Streams {
    /// How many bytes the machine gets at once, at most.
    pub(super) const PIECE: usize = 1 << 14;

    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            connections: Vec::new(),
            open: 0,
            by_ends: HashMap::new(),
            readable: VecDeque::new(),
            woken: VecDeque::new(),
            blocked: 0,
            deadlines: BTreeSet::new(),
            opened: 0,
            version: 0,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketKey, &Arc<Tcp>)> {
        self.connections.iter().enumerate().filter_map(|(index, connection)| {
            let connection = connection.as_ref()?;
            Some((SocketKey::stream(index as u32, connection.generation), &connection.tcp))
        })
    }

    pub(super) fn index(&self, key: SocketKey) -> Option<u32> {
        let connection = self.connections.get(key.index as usize)?.as_ref()?;
        let is_it = key.transport == Transport::Tcp && key.generation == connection.generation;
        is_it.then_some(key.index)
    }

    pub(super) fn is_blocked(&self, index: u32) -> bool {
        self.peek(index).is_some_and(|connection| connection.blocked)
    }

    /// Whether there is nothing more to be read.
    pub(super) fn is_ended(&self, index: u32) -> bool {
        self.peek(index).is_some_and(|connection| connection.ended)
    }

    /// Whether any waits to become writable.
    pub(super) fn want_write(&self) -> bool {
        self.blocked > 0
    }

    /// Whether there is something to do at once.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        !self.readable.is_empty() || !self.woken.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Begins to connect; whether that was possible.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        id: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> bool {
        // TCP lets a port connect to itself, and nobody is there.
        if self.open >= self.limits.connections || local == remote || local.is_ipv4() != remote.is_ipv4() {
            return false;
        }
        let Ok((tcp, stands)) = Tcp::connect(local, remote) else { return false };
        self.version += 1;
        self.opened = self.opened.wrapping_add(1);
        self.open += 1;
        let connection = Connection {
            tcp: Arc::new(tcp),
            generation: self.opened,
            id: Some(id),
            path: Path::tcp(local, remote),
            state: State::Connecting,
            backlog: VecDeque::new(),
            blocked: false,
            readable: false,
            ended: false,
            deadline: None,
        };
        let free = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        if free == self.connections.len() {
            self.connections.push(Some(connection));
        } else {
            self.connections[free] = Some(connection);
        }
        let index = free as u32;
        self.set_deadline(index, Some(now + self.limits.connecting));
        match stands {
            true => self.woken.push_back(index),
            false => self.block(index),
        }
        true
    }

    /// The machine lets go of what it calls `id`; whether there was one.
    pub(super) fn close(&mut self, now: Instant, id: SocketId) -> bool {
        let is_it = |connection: &Connection| connection.id == Some(id);
        let found = self.connections.iter().position(|connection| connection.as_ref().is_some_and(is_it));
        let Some(index) = found.map(|index| index as u32) else { return false };
        match self.peek(index).map(|connection| connection.state) {
            Some(State::Open) => self.let_go(now, index),
            _ => self.remove(index),
        }
        true
    }

    /// Hears that a connection may be readable. One that has failed to come about is, too.
    pub(super) fn readable(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        if connection.state == State::Connecting {
            return self.writable(index);
        }
        if !connection.ended && !std::mem::replace(&mut connection.readable, true) {
            self.readable.push_back(index);
        }
    }

    /// Hears that a connection may be writable.
    pub(super) fn writable(&mut self, index: u32) {
        if self.unblock(index) {
            self.woken.push_back(index);
        }
    }

    /// Goes on with those that were woken and ends those whose time is up; whether the machine was
    /// told anything.
    pub(super) fn attend<M: Machine>(&mut self, machine: &mut M, now: Instant) -> bool {
        let mut told = false;
        let mut tell = |input| {
            told = true;
            machine.handle_host(now, input);
        };
        while let Some(&(at, index)) = self.deadlines.first()
            && at <= now
        {
            if let Some(id) = self.abort(index) {
                tell(HostInput::Closed { id });
            }
        }
        for _ in 0..self.woken.len() {
            let Some(index) = self.woken.pop_front() else { break };
            match self.peek(index).map(|connection| connection.state) {
                Some(State::Connecting) => {
                    if let Some(input) = self.establish(index) {
                        tell(input);
                    }
                }
                Some(_) => self.write_out(index),
                None => {}
            }
        }
        told
    }

    /// Looks whether a connection stands by now, or never will.
    fn establish(&mut self, index: u32) -> Option<HostInput<'static>> {
        let connection = self.connection(index)?;
        match connection.tcp.established() {
            Ok(None) => {
                self.block(index);
                None
            }
            Ok(Some(local)) => {
                connection.state = State::Open;
                connection.path.local = local;
                let (id, path) = (connection.id, connection.path);
                self.by_ends.insert((path.local, path.remote), index);
                self.set_deadline(index, None);
                // Nobody has looked yet.
                self.readable(index);
                id.map(|id| HostInput::Connected { id, path })
            }
            Err(_) => self.abort(index).map(|id| HostInput::Closed { id }),
        }
    }

    /// Reads a piece of the next connection that has one.
    pub(super) fn read(&mut self, now: Instant, piece: &mut [u8]) -> Option<Reading> {
        while let Some(index) = self.readable.pop_front() {
            let Some(connection) = self.connection(index) else { continue };
            match connection.tcp.read(piece) {
                Ok(0) => {
                    if let Some(id) = self.end_of_input(now, index) {
                        return Some(Reading::Closed(id));
                    }
                }
                Ok(len) => {
                    let is_closing = connection.state == State::Closing;
                    let path = connection.path;
                    self.readable.push_back(index);
                    return Some(if is_closing { Reading::Discarded } else { Reading::Piece(path, len) });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.readable.push_back(index),
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && connection.state != State::Broken =>
                {
                    connection.readable = false;
                }
                Err(_) => {
                    if let Some(id) = self.abort(index) {
                        return Some(Reading::Closed(id));
                    }
                }
            }
        }
        None
    }

    /// Writes to the connection with these ends: what the system does not take waits.
    pub(super) fn write(&mut self, path: &Path, parts: [&[u8]; 3]) -> Written {
        let Some(&index) = self.by_ends.get(&(path.local, path.remote)) else { return Written::Homeless };
        let room = self.limits.backlog;
        let Some(connection) = self.connection(index) else { return Written::Homeless };
        if connection.state != State::Open {
            return Written::Refused;
        }
        for part in parts {
            let mut rest = part;
            while !rest.is_empty() && connection.backlog.is_empty() {
                match connection.tcp.write(rest) {
                    Ok(taken) => rest = &rest[taken..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.break_down(index);
                        return Written::Refused;
                    }
                }
            }
            if connection.backlog.len() + rest.len() > room {
                return Written::Overflowed(self.abort(index));
            }
            connection.backlog.extend(rest);
        }
        if !connection.backlog.is_empty() && !connection.blocked && !self.woken.contains(&index) {
            self.block(index);
        }
        Written::Taken
    }

    /// Sends the backlog, as far as the system takes it.
    fn write_out(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        while !connection.backlog.is_empty() {
            match connection.tcp.write(connection.backlog.as_slices().0) {
                Ok(taken) => drop(connection.backlog.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.block(index),
                Err(_) => return self.break_down(index),
            }
        }
        if connection.state == State::Closing {
            self.finish(index);
        }
    }

    /// Sends no more. What has arrived is read to its end, which tells the machine.
    fn break_down(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        if connection.state == State::Closing {
            return self.remove(index);
        }
        connection.state = State::Broken;
        connection.backlog = VecDeque::new();
        self.unblock(index);
        self.readable(index);
    }

    /// The other side sends no more: the machine is told by the name that this gives.
    fn end_of_input(&mut self, now: Instant, index: u32) -> Option<SocketId> {
        let connection = self.connection(index)?;
        (connection.ended, connection.readable) = (true, false);
        let id = connection.id;
        let is_written = connection.backlog.is_empty();
        match connection.state {
            State::Open if !is_written => self.let_go(now, index),
            State::Closing if !is_written => {}
            _ => self.remove(index),
        }
        id
    }

    /// The connection is no longer the machine's, and ends when its backlog is sent.
    fn let_go(&mut self, now: Instant, index: u32) {
        let until = now + self.limits.linger;
        let Some(connection) = self.connection(index) else { return };
        connection.state = State::Closing;
        connection.id = None;
        let (path, is_written) = (connection.path, connection.backlog.is_empty());
        self.by_ends.remove(&(path.local, path.remote));
        self.set_deadline(index, Some(until));
        if is_written {
            self.finish(index);
        }
    }

    /// All is sent: our direction is closed, and the other read to its end.
    fn finish(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        if connection.ended || connection.tcp.finish().is_err() {
            return self.remove(index);
        }
        self.readable(index);
    }

    /// Ends a connection as something that was not meant to end.
    fn abort(&mut self, index: u32) -> Option<SocketId> {
        let connection = self.peek(index)?;
        connection.tcp.reset_on_close();
        let id = connection.id;
        self.remove(index);
        id
    }

    fn remove(&mut self, index: u32) {
        self.unblock(index);
        self.set_deadline(index, None);
        let Some(connection) = self.connections[index as usize].take() else { return };
        if matches!(connection.state, State::Open | State::Broken) {
            self.by_ends.remove(&(connection.path.local, connection.path.remote));
        }
        self.readable.retain(|&other| other != index);
        self.woken.retain(|&other| other != index);
        self.open -= 1;
        self.version += 1;
    }

    fn block(&mut self, index: u32) {
        let Some(connection) = self.connection(index) else { return };
        if !std::mem::replace(&mut connection.blocked, true) {
            self.blocked += 1;
        }
    }

    /// Whether it was blocked.
    fn unblock(&mut self, index: u32) -> bool {
        let Some(connection) = self.connection(index) else { return false };
        let was_blocked = std::mem::replace(&mut connection.blocked, false);
        self.blocked -= usize::from(was_blocked);
        was_blocked
    }

    fn set_deadline(&mut self, index: u32, at: Option<Instant>) {
        let Some(connection) = self.connection(index) else { return };
        let before = std::mem::replace(&mut connection.deadline, at);
        if let Some(before) = before {
            self.deadlines.remove(&(before, index));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, index));
        }
    }

    fn connection(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index as usize)?.as_mut()
    }

    fn peek(&self, index: u32) -> Option<&Connection> {
        self.connections.get(index as usize)?.as_ref()
    }
}
