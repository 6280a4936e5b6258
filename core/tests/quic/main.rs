//! Sessions against each other, in memory and in virtual time.

mod handshake;
mod kit;
mod transfer;
mod trouble;
