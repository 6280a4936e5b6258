//! How a session fares, for whoever asks.

use core::fmt;

use quinn_proto::Connection;

use super::session::Phase;
use super::{PublicKey, Session};
use crate::machine::Path;
use crate::time::Duration;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that belong to no connection: garbage, or what comes after the end.
    pub dropped: u64,
    /// First packets of a second connection, and those that nobody could have meant.
    pub strangers: u64,
}

/// How a connection fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The round trip on the present path, as last estimated.
    pub rtt: Duration,
    /// The largest UDP payload that is known to pass.
    pub mtu: u16,
    /// How many bytes may be on the way at a time.
    pub congestion_window: u64,
    /// Packets sent, counted as UDP datagrams.
    pub sent: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Datagrams that came.
    pub received: u64,
    /// Bytes of UDP payload that came.
    pub bytes_received: u64,
    /// Packets of ours that were lost.
    pub lost: u64,
    /// Bytes in them.
    pub bytes_lost: u64,
}

impl Session {
    /// The path that is used.
    pub const fn path(&self) -> Option<Path> {
        self.path
    }

    /// Whether streams can be opened and datagrams sent.
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Whether it is closed, by whichever side.
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether there is nothing left to do, ever: it is closed, and whoever had to know has had the time to.
    pub fn is_over(&self) -> bool {
        let is_drained = self.connection.as_ref().is_none_or(Connection::is_drained);
        self.is_closed() && is_drained && self.refusal.is_empty()
    }

    /// Whether everything written has arrived. It says nothing about what the other side still sends.
    pub fn is_idle(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return true };
        connection.streams().send_streams() == 0 && !connection.has_pending_retransmits()
    }

    /// Who the other side is, once it has proven it.
    pub const fn peer(&self) -> Option<&PublicKey> {
        self.peer.as_ref()
    }

    /// What was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How the connection fares.
    pub fn stats(&self) -> Stats {
        let Some(stats) = self.connection.as_ref().map(Connection::stats) else { return Stats::default() };
        Stats {
            rtt: stats.path.rtt,
            mtu: stats.path.current_mtu,
            congestion_window: stats.path.cwnd,
            sent: stats.udp_tx.datagrams,
            bytes_sent: stats.udp_tx.bytes,
            received: stats.udp_rx.datagrams,
            bytes_received: stats.udp_rx.bytes,
            lost: stats.path.lost_packets,
            bytes_lost: stats.path.lost_bytes,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("phase", &self.phase)
            .field("path", &self.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
