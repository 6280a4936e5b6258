//! # bradawl
//!
//! Peer-to-peer NAT traversal as pure state machines: packets and timestamps in, actions out.
//!
//! There is no socket in this crate, no thread, no clock and no global randomness. Every protocol is
//! a [`Machine`](machine::Machine): whoever embeds one feeds it datagrams and the time, and does what
//! it says. That makes it fit any event loop, and makes every run repeatable from a seed.
//!
//! Here a client asks a server for its address, through a NAT, in no time at all:
//!
//! ```
//! use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path};
//! use bradawl::rng::Rng;
//! use bradawl::stun::client::{Event, Request, StunClient};
//! use bradawl::stun::server::{Config, StunServer};
//! use bradawl::time::Instant;
//!
//! let now = Instant::ZERO;
//! let (local, public, server_at) = ("10.0.0.7:5000", "192.0.2.9:61000", "198.51.100.1:3478");
//! let inside = Path::udp(local.parse()?, server_at.parse()?);
//! let outside = Path::udp(server_at.parse()?, public.parse()?);
//!
//! let mut client = StunClient::new(Rng::from_seed([1; 32]));
//! let mut server = StunServer::new(Config::default(), Rng::from_seed([2; 32]));
//! client.request(now, inside, Request::default())?;
//!
//! let mut buf = [0; MIN_BUFFER];
//! let mapped = loop {
//!     match client.poll_output(now, &mut buf) {
//!         Output::Transmit { len, .. } => drop(server.handle_input(now, outside, Meta::default(), &buf[..len])),
//!         Output::Event(Event::Answered(answer)) => break answer.mapped,
//!         Output::Event(Event::Failed { reason, .. }) => return Err(reason.into()),
//!         Output::Host(_) | Output::Idle(_) => {}
//!     }
//!     if let Output::Transmit { len, .. } = server.poll_output(now, &mut buf) {
//!         let _ = client.handle_input(now, inside, Meta::default(), &buf[..len]);
//!     }
//! };
//! assert_eq!(mapped, public.parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! And two agents find a path. Each is told of one address of the other; whatever one sends is handed to the
//! other, here without any network between:
//!
//! ```
//! use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path};
//! use bradawl::punch::{Agent, Candidate, Config, Credentials, Event, Nat, Party, Remote, Role};
//! use bradawl::rng::Rng;
//! use bradawl::time::Instant;
//!
//! let (alice, bob) = Credentials::derive(&[7; 32], b"what only these two know, and this session");
//! let at = ["192.0.2.1:5000".parse()?, "198.51.100.7:6000".parse()?];
//! let mut agents = [(Role::Controlling, &alice), (Role::Controlled, &bob)]
//!     .map(|(role, ours)| Agent::new(Config::default(), ours.clone(), role, Rng::from_seed([1; 32])));
//! let now = Instant::ZERO;
//! for (index, theirs) in [(0, &bob), (1, &alice)] {
//!     let (ours, other) = (at[index], at[1 - index]);
//!     agents[index].add_local(now, &Candidate::host(ours, 65_535), ours)?;
//!     agents[index].begin(now, Remote { credentials: theirs.clone(), party: Party::Kin, nat: Nat::default() });
//!     agents[index].add_remote(now, &Candidate::host(other, 65_535))?;
//! }
//!
//! let (mut buf, mut paths) = ([0; MIN_BUFFER], [None, None]);
//! while paths.contains(&None) {
//!     for index in [0, 1] {
//!         match agents[index].poll_output(now, &mut buf) {
//!             Output::Transmit { path, len, .. } => {
//!                 let back = Path::udp(path.remote, path.local);
//!                 let _ = agents[1 - index].handle_input(now, back, Meta::default(), &buf[..len]);
//!             }
//!             Output::Event(Event::Selected(selected)) => paths[index] = Some(selected.path),
//!             Output::Event(_) | Output::Host(_) | Output::Idle(_) => {}
//!         }
//!     }
//! }
//! assert_eq!(paths[0].map(|path| path.remote), paths[1].map(|path| path.local));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to look: [`machine`] is the idiom that everything follows; [`wire`] holds the codecs; [`stun`] a
//! client and a server; [`discovery`] finds out what NAT there is; [`portmap`] asks routers for ports;
//! [`punch`] is the agent that opens paths; [`identity`] is who a peer is, and the ticket that leads to it;
//! `quic` (a feature) makes encrypted connections of paths; [`timers`], [`time`], [`rng`] and [`hash`] are what
//! machines are made of.
//!
//! Without default features the crate is `no_std` with `alloc`. The `std` feature only lets CRC-32
//! look for a faster instruction at run time. The feature `quic` needs `std`, as QUIC and TLS do.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "quic"))]
extern crate std;

pub mod discovery;
pub mod hash;
mod hkdf;
pub mod identity;
pub mod machine;
pub mod portmap;
pub mod punch;
#[cfg(feature = "quic")]
pub mod quic;
pub mod rng;
mod scope;
pub mod stun;
pub mod time;
pub mod timers;
pub mod wire;
