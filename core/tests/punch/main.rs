//! Agents against each other, in memory: two boxes, a delay, and nothing else.

mod kit;
mod pairs;
