//! One question to a gateway on its way: a connection, a request, and the answer as far as it has come.

use alloc::vec::Vec;

use super::description::MAX_DESCRIPTION;
use super::http::Response;
use super::soap;
use crate::machine::{Output, Path, SocketId};
use crate::portmap::config::{Event, MappingId};
use crate::time::{Duration, Instant};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One question on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) id: SocketId,
    pub(super) path: Option<Path>,
    request: Vec<u8>,
    sent: usize,
    pub(super) response: Response,
    began: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Describe,
    External,
    Add { id: MappingId, port: u16, lease: u32, any: bool },
    Delete { id: MappingId },
}

impl Job {
    pub(super) const fn new(now: Instant, kind: Kind, id: SocketId, request: Vec<u8>) -> Self {
        let limit = if matches!(kind, Kind::Describe) { MAX_DESCRIPTION } else { soap::MAX_ANSWER };
        let response = Response::new(limit);
        Self { kind, id, path: None, request, sent: 0, response, began: now }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.began + PATIENCE
    }

    pub(super) const fn is_writable(&self) -> bool {
        self.path.is_some() && self.sent < self.request.len()
    }

    /// The next piece of the request, once there is a connection.
    pub(super) fn transmit(&mut self, buf: &mut [u8]) -> Option<Output<Event>> {
        let path = self.path?;
        let rest = &self.request[self.sent..];
        let len = rest.len().min(buf.len());
        if len == 0 {
            self.sent = self.request.len(); // no room at all: lost, as on the way
            return None;
        }
        buf[..len].copy_from_slice(&rest[..len]);
        self.sent += len;
        Some(Output::Transmit { path, len, segment: None, ecn: None })
    }
}
