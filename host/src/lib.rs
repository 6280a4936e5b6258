//! What a host is under any runtime.
//!
//! The core is machines that never touch a socket, a clock or a random number. Here is the host
//! around them that every adapter shares:
//!
//! * [`driver`]: one machine, its sockets, batches in and out. An event loop around it is ten lines.
//! * [`udp`]: a socket that knows which address a datagram came to and an answer must leave from.
//! * [`clock`]: time that goes on while the host sleeps. [`seed`]: randomness from the system.
//! * [`identity`]: the file with the secret key.
//! * [`interfaces`]: the addresses this host has. [`routes`]: its default gateways.
//! * [`workers`]: threads without a runtime, each with its own driver, that share one port.
//! * [`mediator`]: the mediator's stateless part, started and stopped as a whole.
#![cfg_attr(feature = "cli", doc = "* [`cli`]: the verbs of the command lines, and how results are printed.")]
#![deny(unsafe_op_in_unsafe_fn)]
// These panic where nobody reads what is printed.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod driver;
pub mod identity;
pub mod interfaces;
pub mod mediator;
pub mod routes;
pub mod seed;
pub mod udp;
pub mod workers;
