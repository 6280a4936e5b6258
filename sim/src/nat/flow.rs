//! What a packet is to a NAT, and what becomes of it.

use core::net::SocketAddr;

/// What a packet is to a NAT.
///
/// ```
/// use bradawl_sim::nat::{Flow, Protocol, Stage};
///
/// let flow = Flow::udp("10.0.0.7:5000".parse()?, "198.51.100.1:3478".parse()?);
/// assert_eq!((flow.protocol, flow.stage), (Protocol::Udp, Stage::Plain));
/// let syn = Flow::tcp(flow.source, flow.destination).opening();
/// assert_eq!((syn.protocol, syn.stage), (Protocol::Tcp, Stage::Open));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Its protocol: the two have ports of their own.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it does to its connection.
    pub stage: Stage,
}

impl Flow {
    /// A datagram's.
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, source, destination, stage: Stage::Plain }
    }

    /// A segment's.
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol: Protocol::Tcp, source, destination, stage: Stage::Plain }
    }

    /// The same with a SYN.
    pub const fn opening(self) -> Self {
        Self { stage: Stage::Open, ..self }
    }

    /// The same with a FIN or RST.
    pub const fn closing(self) -> Self {
        Self { stage: Stage::Close, ..self }
    }
}

/// What a NAT tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Datagrams (RFC 4787).
    Udp,
    /// Streams (RFC 5382).
    Tcp,
}

/// What a segment does to its connection; a datagram is always plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing.
    #[default]
    Plain,
    /// It opens it: SYN.
    Open,
    /// It closes it: FIN or RST.
    Close,
}

/// What becomes of a packet that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It goes on to the other side, with these addresses.
    Across(Flow),
    /// It turns round inside the NAT and goes back to the private side, with these addresses.
    Hairpin(Flow),
}

/// Why a packet does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Dropped {
    /// Inbound, to a port that no mapping owns.
    #[error("no mapping")]
    NoMapping,
    /// Inbound, from somebody who was not sent to.
    #[error("filtered")]
    Filtered,
    /// Inbound, a SYN that nobody asked for; and its sender is told so with a RST.
    #[error("refused")]
    Refused,
    /// Outbound, and the NAT or the host has no room for one more mapping.
    #[error("no capacity")]
    Capacity,
    /// Outbound, and no port is free.
    #[error("no port")]
    Ports,
    /// From inside to the NAT's own public address, which does not turn packets round.
    #[error("no hairpin")]
    NoHairpin,
    /// The packet is of another address family than the NAT's public side.
    #[error("no such family")]
    Family,
}
