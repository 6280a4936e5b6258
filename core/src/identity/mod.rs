//! Who a peer is, and the word that leads to it.
//!
//! 1. *Key and id* (`key.rs`, `id.rs`). A peer is an Ed25519 key (RFC 8032). Its [`PeerId`] is the public half,
//!    52 letters and digits as text. A [`SecretKey`] signs, each time for one named use, and agrees with
//!    another peer on a secret that no third knows: X25519 (RFC 7748) of the same two keys.
//! 2. *Session* (`session.rs`). Two ids and a [`Nonce`] of each side make a [`SessionId`]. With it, what was
//!    agreed becomes the credentials of the session's checks. Nobody sends these, so who introduces two
//!    peers cannot forge a check between them.
//! 3. *Ticket* (`ticket.rs`, `wire.rs`, `secret.rs`, `address.rs`). A [`Ticket`] is what people pass around: by
//!    whom a peer is found (up to four [`MediatorAddress`]es), which peer, and perhaps a [`Grant`] that lets
//!    its holder in. The mediator sees one derivation of its secret, the peer another, nobody the secret
//!    itself.
//!
//! ```
//! use bradawl::identity::{Nonce, SecretKey, SessionId, Ticket};
//! use bradawl::rng::Rng;
//!
//! let rng = &mut Rng::from_seed([7; 32]);
//! let (alice, bob) = (SecretKey::generate(rng), SecretKey::generate(rng));
//!
//! // Bob makes a ticket, and Alice gets it from him in a chat.
//! let word = Ticket::new(vec!["mediator.example:3478".parse()?], bob.id(), None)?.to_string();
//! let ticket: Ticket = word.parse()?;
//!
//! // A mediator tells each of the other's nonce; what the two derive it cannot know.
//! let session = SessionId::new((alice.id(), Nonce::random(rng)), (*ticket.peer(), Nonce::random(rng)));
//! let (ours, _) = alice.agree(ticket.peer())?.check_credentials(&session, None);
//! let (same, _) = bob.agree(&alice.id())?.check_credentials(&session, None);
//! assert_eq!(ours, same);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
pub mod base32;
mod id;
mod key;
mod secret;
mod session;
mod ticket;
mod wire;

pub use address::{AddressError, DEFAULT_PORT, Host, MAX_LABEL, MAX_NAME, MediatorAddress, Name};
pub use id::{IdError, NotAKey, PeerId, Short};
pub use key::{Agreed, Context, Forged, LowOrder, SecretKey, Signature};
pub use secret::{ForHub, ForPeer, Grant, HubHash, TicketSecret, Uses};
pub use session::{Nonce, SessionId};
pub use ticket::{Expired, MAX_MEDIATORS, MAX_TICKET, MakeError, Ticket, TicketError};
pub use wire::Content;
