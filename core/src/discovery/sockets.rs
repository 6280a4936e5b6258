//! The sockets of a discovery: the one that will punch, which its owner has opened, and spare ones, which
//! are opened when they are needed and closed afterwards.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::machine::{BindError, HostRequest, SocketId, Transport};

/// How many spare sockets there are at a time at most.
pub const MAX_SOCKETS: usize = 32;

/// The number of the socket that will punch.
pub(super) const PUNCHING: u8 = 0;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It will punch: mapping and allocation are measured on it.
    Punching,
    /// It talks to one address of one server and to nobody else.
    Filter { server: u8 },
    /// It lets the other address of a server speak first.
    Early { server: u8 },
    /// It has a mapping of its own to look at.
    Extra { server: u8 },
    /// Its packets run out of hops on the way.
    Hop { hops: u8 },
    /// It is silent, to see how long its mapping lives.
    Silent,
}

/// One socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) role: Role,
    /// Its address, once it is open.
    pub(super) local: Option<SocketAddr>,
    is_free: bool,
}

/// All of them, by number.
pub(super) struct Sockets {
    first: SocketId,
    all: Vec<Socket>,
    /// The number that was given out last: a free one is used again as late as possible, lest an answer
    /// of the host be taken for that to another question.
    last: usize,
    requests: VecDeque<HostRequest>,
}

impl Sockets {
    pub(super) fn new(punching: SocketAddr, first: SocketId) -> Self {
        let socket = Socket { role: Role::Punching, local: Some(punching), is_free: false };
        Self { first, all: Vec::from([socket]), last: 0, requests: VecDeque::new() }
    }

    /// Asks for one more socket, at any port of the address that will punch.
    pub(super) fn open(&mut self, role: Role) -> Option<u8> {
        let wanted = Socket { role, local: None, is_free: false };
        let is_free = |&number: &usize| self.all[number].is_free;
        let number = if self.all.len() <= MAX_SOCKETS {
            self.all.push(wanted);
            self.all.len() - 1
        } else {
            (self.last + 1..self.all.len()).chain(1..=self.last).find(is_free)?
        };
        self.last = number;
        self.all[number] = wanted;
        let mut local = self.all[usize::from(PUNCHING)].local?;
        local.set_port(0);
        let id = self.id(number);
        self.requests.push_back(HostRequest::Bind { id, transport: Transport::Udp, local });
        Some(number as u8)
    }

    /// Closes a spare socket.
    pub(super) fn close(&mut self, number: u8) {
        let index = usize::from(number);
        if number == PUNCHING || self.all[index].is_free {
            return;
        }
        self.all[index] = Socket { local: None, is_free: true, ..self.all[index] };
        let id = self.id(index);
        self.requests.push_back(HostRequest::Close { id });
    }

    pub(super) fn close_all(&mut self) {
        for number in 1..self.all.len() {
            self.close(number as u8);
        }
    }

    /// Takes in the host's answer: the number of the socket, if it is one of ours and open now.
    pub(super) fn bound(&mut self, id: SocketId, result: Result<SocketAddr, BindError>) -> Option<u8> {
        let number = (id.0.wrapping_sub(self.first.0) as usize).checked_add(1)?;
        let socket = self.all.get_mut(number).filter(|socket| !socket.is_free && socket.local.is_none())?;
        match result {
            Ok(local) => socket.local = Some(local),
            Err(_) => socket.is_free = true,
        }
        socket.local.is_some().then_some(number as u8)
    }

    /// Lets the packets of a socket come so far and no further.
    pub(super) fn limit(&mut self, number: u8, hops: u8) {
        let id = self.id(usize::from(number));
        self.requests.push_back(HostRequest::Limit { id, hops });
    }

    pub(super) fn next_request(&mut self) -> Option<HostRequest> {
        self.requests.pop_front()
    }

    pub(super) fn role(&self, number: u8) -> Role {
        self.all[usize::from(number)].role
    }

    pub(super) fn local(&self, number: u8) -> Option<SocketAddr> {
        self.all.get(usize::from(number))?.local
    }

    /// The number of the socket with this address.
    pub(super) fn number(&self, local: SocketAddr) -> Option<u8> {
        Some(self.all.iter().position(|socket| socket.local == Some(local))? as u8)
    }

    /// The socket with this role, if there is one.
    pub(super) fn find(&self, role: Role) -> Option<u8> {
        let found = self.all.iter().position(|socket| socket.role == role && !socket.is_free)?;
        Some(found as u8)
    }

    /// The first one of those that let others speak first.
    pub(super) fn find_early(&self) -> Option<u8> {
        let is_early = |socket: &Socket| !socket.is_free && matches!(socket.role, Role::Early { .. });
        Some(self.all.iter().position(is_early)? as u8)
    }

    /// How many there are with a role of this kind.
    pub(super) fn count(&self, of: impl Fn(Role) -> bool) -> usize {
        self.all.iter().filter(|socket| !socket.is_free && of(socket.role)).count()
    }

    fn id(&self, number: usize) -> SocketId {
        SocketId(self.first.0.wrapping_add(number as u32 - 1))
    }
}
