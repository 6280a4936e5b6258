//! STUN messages (RFC 8489), with the attributes of ICE (RFC 8445), TURN (RFC 8656, 6062, 8016)
//! and NAT behaviour discovery (RFC 5780).
//!
//! [`Message::parse`] checks a datagram once and is a view of it from then on: attributes are read
//! from where they lie. [`Writer`] puts a message into a buffer of the caller's. Neither copies,
//! neither allocates.
//!
//! ```
//! use bradawl::wire::stun::attr::{Priority, Username, XorMappedAddress};
//! use bradawl::wire::stun::{Class, Key, Message, Method, TransactionId, Writer};
//!
//! let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
//! let mut buf = [0; 128];
//! let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([7; 12]))
//!     .put(&Username(b"evtj:h6vY"))
//!     .put(&Priority(0x6e00_01ff))
//!     .integrity(&key)
//!     .fingerprint()
//!     .finish()?;
//!
//! let message = Message::parse(&buf[..len])?;
//! assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
//! assert!(message.fingerprint_holds() && message.integrity_holds(&key));
//! assert_eq!(message.find::<Username>()?, Some(Username(b"evtj:h6vY")));
//! assert_eq!(message.find::<XorMappedAddress>()?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod attr;
mod header;
mod integrity;
mod message;
mod writer;

pub use header::{Class, MAGIC_COOKIE, Method, TransactionId};
pub use integrity::{Integrity, Key, PasswordAlgorithm, userhash};
pub use message::{AttributeRef, Attributes, BadAttribute, Malformed, Message};
pub use writer::{NoRoom, Writer};
