//! A packet on its way through the simulated network.

use core::net::IpAddr;

use bradawl::machine::{Ecn, Path, Unreachable};
use bradawl::wire::demux;
use bradawl::wire::stun::{Class, Message, Method};

use crate::nat::{Flow, Protocol};
use crate::tcp::Segment;
use crate::trace::PacketNote;

/// One IP packet. Its payload is moved from hop to hop, never copied.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Kept from the sender to the end; a duplicate has its original's.
    pub(crate) id: u64,
    /// Its addresses at this moment.
    pub(crate) flow: Flow,
    pub(crate) body: Body,
    pub(crate) ecn: Option<Ecn>,
    /// How many more gateways it may come to; the last of them drops it. No part of the digest, for
    /// every gateway changes it.
    pub(crate) hops: u8,
    /// Who sent it, and as what: the truth that no NAT can rewrite.
    pub(crate) origin: Option<(HostId, Path)>,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Datagram(Vec<u8>),
    Segment(Segment),
    /// ICMP: a packet that was sent as `offending`, as it looked where this one is now, came to grief.
    Error {
        offending: Flow,
        what: Grief,
    },
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grief {
    Unreachable(Unreachable),
    TooBig {
        mtu: u16,
    },
    /// It had passed as many gateways as it may when it came to the one with this address.
    Expired {
        by: IpAddr,
    },
}

/// Which host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(crate) u32);

impl Packet {
    /// The hop limit of a packet whose sender has not chosen one (RFC 1700).
    pub(crate) const HOPS: u8 = 64;

    pub(crate) fn new(id: u64, flow: Flow, body: Body) -> Self {
        Self { id, flow, body, ecn: None, hops: Self::HOPS, origin: None }
    }

    /// Its length with all headers.
    pub(crate) fn size(&self) -> usize {
        let ip = if self.flow.source.is_ipv4() { 20 } else { 40 };
        ip + match &self.body {
            Body::Datagram(bytes) => 8 + bytes.len(),
            Body::Segment(segment) => 20 + segment.body.len(),
            Body::Error { .. } => 8 + ip + 8,
        }
    }

    pub(crate) fn note(&self) -> PacketNote {
        PacketNote {
            id: self.id,
            flow: self.flow,
            size: u16::try_from(self.size()).unwrap_or(u16::MAX),
            label: self.label(),
        }
    }

    fn label(&self) -> &'static str {
        match &self.body {
            Body::Datagram(bytes) => datagram_label(bytes),
            Body::Segment(segment) => match () {
                () if segment.flags.rst => "tcp rst",
                () if segment.flags.syn && segment.flags.ack => "tcp syn-ack",
                () if segment.flags.syn => "tcp syn",
                () if segment.flags.fin => "tcp fin",
                () if segment.body.is_empty() => "tcp ack",
                () => "tcp data",
            },
            Body::Error { what: Grief::TooBig { .. }, .. } => "icmp too big",
            Body::Error { what: Grief::Expired { .. }, .. } => "icmp time exceeded",
            Body::Error { what: Grief::Unreachable(kind), .. } => match kind {
                Unreachable::Port => "icmp port unreachable",
                Unreachable::Host => "icmp host unreachable",
                Unreachable::Network => "icmp no route",
                Unreachable::Prohibited => "icmp prohibited",
                Unreachable::Congested => "icmp congested",
            },
        }
    }

    /// Whether the NATs and firewalls in between look at it as something that begins or ends a stream.
    pub(crate) fn flow_of(protocol: Protocol, path: Path, segment: Option<&Segment>) -> Flow {
        let flow = match protocol {
            Protocol::Udp => Flow::udp(path.local, path.remote),
            Protocol::Tcp => Flow::tcp(path.local, path.remote),
        };
        match segment.map(|segment| segment.flags) {
            Some(flags) if flags.syn => flow.opening(),
            Some(flags) if flags.fin || flags.rst => flow.closing(),
            _ => flow,
        }
    }
}

fn datagram_label(bytes: &[u8]) -> &'static str {
    match bytes.get(..5) {
        Some(b"join ") => return "join",
        Some(b"meet ") => return "meet",
        _ => {}
    }
    match demux::Protocol::of(bytes) {
        Some(demux::Protocol::Stun) => {}
        Some(demux::Protocol::ChannelOrQuic) => return "channel data or quic",
        Some(demux::Protocol::Quic) => return "quic",
        _ => return "data",
    }
    let Ok(message) = Message::parse(bytes) else { return "not quite stun" };
    match (message.method(), message.class()) {
        (Method::BINDING, Class::Request) => "binding request",
        (Method::BINDING, Class::Success) => "binding success",
        (Method::BINDING, Class::Error) => "binding error",
        (Method::BINDING, Class::Indication) => "binding indication",
        (_, Class::Request) => "stun request",
        (_, Class::Success) => "stun success",
        (_, Class::Error) => "stun error",
        (_, Class::Indication) => "stun indication",
    }
}
