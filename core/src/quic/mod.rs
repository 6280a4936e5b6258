//! Encrypted connections between peers: QUIC (RFC 9000) as one more machine.
//!
//! A [`Session`] is one connection between two peers who know each other's keys. It has no sockets and knows
//! no addresses: the agent below has found a path, and changes it when it likes; the session is told which one
//! is in use and says what to send there. Towards quinn-proto, which does the protocol, the other side is
//! always at one and the same made-up address, so nothing there migrates, and whoever forges a source address
//! has forged nothing that counts.
//!
//! 1. [`Session::connect`] or [`Session::accept`], then [`Session::set_path`] whenever the agent selects one.
//! 2. What the agent's verdict calls `Deliver` goes to [`Session::handle_input`].
//! 3. [`Session::poll_output`] until it says `Idle`, as with every [`Machine`](crate::machine::Machine).
//!
//! Both sides prove their Ed25519 keys by TLS 1.3 with raw public keys (RFC 7250): see `tls.rs`. Connection
//! ids are such that no packet is mistaken for ChannelData: see `cid.rs`. What an outsider can make grow is
//! bounded by [`Config`] and the constants beside it.
//!
//! With the same seed, the same inputs and a [`CryptoProvider`] that repeats, a session says the same, byte
//! for byte. quinn-proto's own randomness comes from the seed. TLS draws its randoms from the provider, and
//! key exchanges within it, out of reach: with an ordinary provider the bytes differ in each run, while what
//! is sent when, and how much, does not. The feature `quic-seeded` has key exchanges that repeat.
//!
//! ```
//! use bradawl::machine::{MIN_BUFFER, Output, Path};
//! use bradawl::quic::{Config, Event, Expect, Local, OwnKey, Protocol, Read, Session};
//! use bradawl::rng::Rng;
//! use bradawl::time::Instant;
//!
//! let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
//! let (now, mut rng) = (Instant::ZERO, Rng::from_seed([7; 32]));
//! let mut local = Vec::new();
//! for seed in [[1; 32], [2; 32]] {
//!     let key = OwnKey::from_seed(&seed, &provider)?;
//!     local.push(Local { key, provider: provider.clone(), protocol: Protocol::Peer });
//! }
//! let keys = [*local[0].key.public(), *local[1].key.public()];
//! let mut sessions = [
//!     Session::connect(now, &local[0], keys[1], Config::default(), rng.fork())?,
//!     Session::accept(now, &local[1], Expect::Only(keys[0]), Config::default(), rng.fork())?,
//! ];
//! let (alice, bob) = ("192.0.2.1:5000".parse()?, "198.51.100.7:6000".parse()?);
//! sessions[0].set_path(now, Some(Path::udp(alice, bob)));
//! sessions[1].set_path(now, Some(Path::udp(bob, alice)));
//!
//! let (mut buf, mut heard) = ([0; MIN_BUFFER], [0; 64]);
//! let len = 'heard: loop {
//!     for index in [0, 1] {
//!         match sessions[index].poll_output(now, &mut buf) {
//!             // Whatever one sends is handed to the other, here without any network between.
//!             Output::Transmit { len, .. } => sessions[1 - index].handle_input(now, None, &buf[..len]),
//!             Output::Event(Event::Connected { peer }) if index == 0 => {
//!                 assert_eq!(peer, keys[1]);
//!                 let id = sessions[0].open_uni()?;
//!                 sessions[0].write(id, b"hello")?;
//!             }
//!             Output::Event(Event::StreamOpened { id }) => {
//!                 let Read::Bytes(len) = sessions[index].read(id, &mut heard)? else { continue };
//!                 break 'heard len;
//!             }
//!             Output::Event(_) | Output::Host(_) | Output::Idle(_) => {}
//!         }
//!     }
//! };
//! assert_eq!(&heard[..len], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cid;
mod config;
mod crypto;
mod event;
mod keys;
#[cfg(test)]
mod liar;
mod pool;
#[cfg(feature = "quic-seeded")]
pub mod seeded;
mod session;
mod status;
mod streams;
mod time;
mod tls;

pub use config::{
    Config, DATAGRAMS, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, INITIAL_RTT, MAX_EVENTS, MAX_PACKET, MAX_SEGMENTS,
    OWN_STREAMS, SEND_WINDOW, STREAM_WINDOW, STREAMS, WINDOW,
};
pub use event::{Event, Reason};
pub use keys::{OwnKey, PublicKey};
pub use rustls::crypto::CryptoProvider;
pub use session::{Local, Session};
pub use status::{Counters, Stats};
pub use streams::{DatagramError, NoStream, OpenError, Read, ReadError, StreamId, WriteError};

/// What is spoken above QUIC (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Two peers.
    Peer,
    /// A peer and a mediator.
    Hub,
}

impl Protocol {
    /// What it is called in the handshake.
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Peer => b"bradawl/1",
            Self::Hub => b"bradawl-hub/1",
        }
    }
}

/// Whom a server admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Who holds this key, and nobody else.
    Only(PublicKey),
    /// Whoever proves some key, which [`Event::Connected`] then names: this is for mediators.
    Anyone,
}

/// Why no session could be made. It is always about what the caller gave, never about the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The provider has not the suite that every QUIC connection begins with (RFC 9001 §5.2).
    #[error("the provider has no AES-128-GCM for QUIC")]
    NoInitialSuite,
    /// The provider has no TLS 1.3.
    #[error("the provider has no TLS 1.3")]
    NoTls13,
    /// The provider cannot sign or verify with Ed25519.
    #[error("the provider has no Ed25519")]
    NoEd25519,
    /// The provider's randomness or key exchange has failed.
    #[error("the provider could not begin a handshake")]
    NoHandshake,
}
