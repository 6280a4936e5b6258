//! Port mapping: asking the routers at home to let the world in (RFC 6887, RFC 6886, UPnP-IGD).
//!
//! A [`PortMapper`] asks every router that the host knows, by the best protocol that it speaks: PCP before
//! NAT-PMP before IGD. They race: PCP is asked first, a router that says it has none is asked by NAT-PMP at
//! once (RFC 6887 appendix A), a silent one is asked by NAT-PMP and searched by SSDP half a second later.
//! What is granted is renewed, made again when a router has lost its state, and deleted at the end.
//!
//! [`pcp`], [`natpmp`] and [`igd`] are the codecs, [`epoch`] is how a loss of state is noticed. Over TCP this
//! machine takes bytes as they come: it reads HTTP itself.

mod config;
pub mod epoch;
pub mod igd;
mod lease;
mod mapper;
pub mod natpmp;
pub mod pcp;
mod retry;
mod router;
mod sockets;

pub use config::{
    Config, Event, MapError, Mapped, MappingId, Protocol, Protocols, Refusal, Via, is_behind_another,
};
pub use mapper::PortMapper;
pub use sockets::SOCKET_IDS;

/// How many ports may be mapped at once, counting those that are being deleted.
pub const MAX_MAPPINGS: usize = 16;

/// How many routers are asked.
pub const MAX_ROUTERS: usize = 4;
