//! bradawl for tokio.
//!
//! A machine and its sockets are a [`Driver`](bradawl_host::driver::Driver); an [`EventLoop`] waits
//! for it the way tokio waits. The binaries are built from the same parts; `bradawl-mediator serve`
//! has tokio wait for signals only, and serves on the host's own threads
//! ([`workers`](bradawl_host::workers)).

#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod event_loop;

pub use event_loop::EventLoop;
