//! What to conclude from what was seen: pure functions from packets and their answers to axes.

mod allocation;
mod filtering;
mod insiders;
mod mapping;
mod udp;

pub(super) use allocation::{Sample, allocation, parity, samples, traffic};
pub(super) use filtering::filtering;
pub(super) use insiders::Insiders;
pub(super) use mapping::{mapping, overloaded, several_addresses, translated};
pub(super) use udp::udp;

use super::{Axis, Confidence, Finding};

/// A value with so many bits for it.
const fn found<T>(value: T, bits: u32) -> Axis<T>
where
    T: Copy,
{
    Some(Finding { value, confidence: Confidence::from_bits(bits) })
}
