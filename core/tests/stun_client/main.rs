//! The STUN client as a machine, against a server that the test plays: what counts as an answer, what
//! is ignored, when it repeats and when it gives up.

mod answers;
mod credentials;
mod world;
