//! The port mapper as a machine, against routers that the test plays: what is mapped, renewed, made again
//! and deleted, and what hostile routers cannot do.

mod datagrams;
mod gateways;
mod hostile;
mod router;
mod several;
mod world;
