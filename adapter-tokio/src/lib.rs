//! bradawl for tokio.
//!
//! A machine and its sockets are a [`Driver`](bradawl_host::driver::Driver); an [`EventLoop`] waits
//! for it the way tokio waits. The binaries are built from the same parts.

#![deny(unsafe_op_in_unsafe_fn)]

mod event_loop;

pub use event_loop::EventLoop;
