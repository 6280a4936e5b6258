//! Agents against each other, in memory: two boxes, a delay, and nothing else.

mod foreign;
mod hostile;
mod kit;
mod pairs;
mod solo;
mod strategies;
mod trouble;
