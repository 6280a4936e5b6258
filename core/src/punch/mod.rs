//! Punching: a complete ICE agent (RFC 8445), and more than one when the other side is our own.
//!
//! An [`Agent`] is a [`Machine`](crate::machine::Machine). It is told where we are
//! ([`Agent::add_local`]), who the other side is ([`Agent::begin`]) and where it may be
//! ([`Agent::add_remote`]); it sends checks and answers them, and says which pair of addresses to use.
//!
//! 1. *Pairs* (`pairs.rs`): each of our sockets with each address of the other side that it can reach. To a
//!    foreign agent they are checked in the order of RFC 8445 §6.1.4; to our own all at once.
//! 2. *When* (`schedule.rs`): dense first, while the two sides start at different times, then sparser. A
//!    check that came in is answered by one of ours at once, for now the way is open.
//! 3. *How much* (`budget.rs`): nobody who has not answered gets more than a handful. One place says no.
//! 4. *Proof* (`check.rs`): an answer carries a token, the next request shows it: three packets prove a path
//!    to both. The controlling side uses the first pair that is proven and says so by a number that counts
//!    its choices; a better pair takes over later.
//! 5. *Plan* (`plan.rs`): what is known of the two NATs picks what is tried beside plain punching.
//!    Strategies differ in sockets, addresses and times; a success is the same success.
//! 6. *Keeping* (`keep.rs`): one packet before the mapping is forgotten; consent while data flows
//!    (RFC 7675).

mod agent;
mod attempt;
mod birthday;
mod bracket;
mod budget;
mod candidate;
mod check;
mod choose;
mod credentials;
mod extra;
mod fire;
pub mod gather;
mod keep;
mod listen;
mod nat;
mod pair;
mod pairs;
mod plan;
mod prime;
mod replays;
mod schedule;
mod session;
mod tactics;
mod text;
mod volley;

pub use agent::{Agent, MAX_BASES, MAX_CANDIDATES};
pub use bracket::MAX_BRACKET;
pub use budget::{CHECKS_IN_WINDOW, CHECKS_UNANSWERED, GUESS_INTERVAL, GUESSES, MAX_ADDRESSES, WINDOW};
pub use candidate::{Candidate, Kind, Refused, TcpKind};
pub use check::Role;
pub use credentials::Credentials;
pub use extra::{MAX_EXTRA, SOCKET_IDS};
pub use nat::{Nat, Shape};
pub use pairs::MAX_PAIRS;
pub use plan::MAX_BIRTHDAY;
pub use prime::PRIMING;
pub use session::{
    Config, Counters, Event, Failure, Hint, Loss, Observers, Party, Remote, Selected, Strategy,
};
pub use tactics::BETWEEN_GUESSES;
pub use text::{Described, Host, MAX_TEXT, Malformed};
pub use volley::{MAX_ROUNDS, MAX_VOLLEY};
