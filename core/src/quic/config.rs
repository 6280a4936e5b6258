//! The bounds of a session, and what quinn-proto is told of them.

use alloc::sync::Arc;

use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::machine::{Head, MIN_BUFFER};
use crate::time::Duration;

/// How many streams of each kind the other side may have open at a time, unless configured.
pub const STREAMS: u32 = 128;
/// How many streams of our own may be open at a time, of both kinds together, whatever the other side allows.
pub const OWN_STREAMS: usize = 4_096;
/// Bytes of one stream that the other side may send before they are read, unless configured.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of all streams together that the other side may send before they are read, unless configured.
pub const WINDOW: u32 = 16 << 20;
/// Bytes written that are kept until the other side has confirmed them, unless configured.
pub const SEND_WINDOW: u32 = 16 << 20;
/// Bytes of datagrams that wait to be received or to be sent, unless configured. When there are more the
/// oldest received ones are dropped; what is to be sent is refused.
pub const DATAGRAMS: u32 = 256 << 10;
/// How long nothing may come from the other side, unless configured.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a handshake may take from the first path on, unless configured.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The round trip that is reckoned with before one is measured, unless configured. RFC 9002 §6.2.2 has 333
/// ms for the unknown; here a check has just come back over the path, and a lost first packet should not
/// cost a second.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);
/// How many events are kept for whoever polls. Each is kept once, so only streams without end reach this;
/// the connection is then closed, as what is not heard of cannot be read either.
pub const MAX_EVENTS: usize = 16_384;
/// The largest UDP payload that is ever sent: it fits into the least buffer, behind the longest head that a
/// relay puts before it, and into an Ethernet frame behind any IP header.
pub const MAX_PACKET: usize = MIN_BUFFER - Head::MAX;
/// How many packets are sent at a time at most: together they are one UDP datagram to the system.
pub const MAX_SEGMENTS: usize = u16::MAX as usize / MAX_PACKET;

/// The bounds of one session. What the other side can make grow is bounded by them.
///
/// ```
/// use bradawl::quic::Config;
/// use bradawl::time::Duration;
///
/// // Who keeps the path alive anyway can let connections be silent for as long as they like.
/// let config = Config { idle_timeout: None, ..Config::default() };
/// assert_eq!(config.handshake_timeout, Duration::from_secs(10));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many bidirectional streams the other side may have open at a time.
    pub bidirectional: u32,
    /// How many unidirectional streams the other side may have open at a time.
    pub unidirectional: u32,
    /// Bytes of one stream that the other side may send before they are read.
    pub stream_window: u32,
    /// Bytes of all streams together that the other side may send before they are read.
    pub window: u32,
    /// Bytes written that are kept until the other side has confirmed them.
    pub send_window: u32,
    /// Bytes of datagrams that wait to be received, and that wait to be sent.
    pub datagrams: u32,
    /// How long nothing may come from the other side; the shorter one of both sides counts.
    pub idle_timeout: Option<Duration>,
    /// How often a silent connection says something, so that it is not taken for idle. The mapping of a NAT
    /// needs no such help: the agent below keeps it.
    pub keep_alive: Option<Duration>,
    /// How long a handshake may take from the first path on.
    pub handshake_timeout: Duration,
    /// The round trip that is reckoned with before one is measured, on each new path.
    pub initial_rtt: Duration,
    /// Whether to find out how large packets may be; only if the host does not let them be fragmented.
    pub discover_mtu: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bidirectional: STREAMS,
            unidirectional: STREAMS,
            stream_window: STREAM_WINDOW,
            window: WINDOW,
            send_window: SEND_WINDOW,
            datagrams: DATAGRAMS,
            idle_timeout: Some(IDLE_TIMEOUT),
            keep_alive: None,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            initial_rtt: INITIAL_RTT,
            discover_mtu: true,
        }
    }
}

impl Config {
    pub(super) fn transport(&self) -> Arc<TransportConfig> {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MAX_PACKET as u16);
        // What is longer than QUIC can say is for ever.
        let idle = self.idle_timeout.and_then(|timeout| IdleTimeout::try_from(timeout).ok());
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidirectional))
            .max_concurrent_uni_streams(VarInt::from_u32(self.unidirectional))
            .stream_receive_window(VarInt::from_u32(self.stream_window))
            .receive_window(VarInt::from_u32(self.window))
            .send_window(self.send_window.into())
            .datagram_receive_buffer_size(Some(self.datagrams as usize))
            .datagram_send_buffer_size(self.datagrams as usize)
            .max_idle_timeout(idle)
            .keep_alive_interval(self.keep_alive)
            .initial_rtt(self.initial_rtt)
            .mtu_discovery_config(self.discover_mtu.then_some(discovery))
            // It tells everybody on the path how long a round trip is, and us nothing.
            .allow_spin(false);
        Arc::new(transport)
    }
}
