//! The plan: what is tried beside plain punching, by what is known of the two NATs.
//!
//! This is the table of the design as code. A profile is a hint and never a gate: plain punching runs
//! whatever it says, and what the table adds costs little where it is wrong.

use super::nat::{Nat, Shape};

/// One thing that one side does beside plain punching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Check the public address with the inside port, too: their NAT keeps ports.
    Guess,
    /// From a fresh socket: a request to the mediator, the check, another request. The port of the check
    /// lies between.
    Bracket,
    /// Open so many sockets, each with a port of its own at our NAT, and check from each.
    Open { sockets: u16 },
    /// Check so many of these ports, each once.
    Probe { first: u16, last: u16, probes: u16 },
    /// Let the first checks run out of hops behind our own NAT: one that comes too early costs them their
    /// port, and one that dies on the way opens our filter all the same.
    Prime,
    /// Both sides fire from many sockets at one port of the other, at the same time.
    Volley { step: i16 },
}

/// How many sockets or probes there are at most where the ports are a known block …
const MAX_BOUNDED: u16 = 250;
/// … and where they are all there are, which both sides have to agree to.
pub const MAX_BIRTHDAY: u16 = 512;
/// All ports that a NAT gives out.
const FULL_RANGE: (u16, u16) = (1_024, u16::MAX);

/// What we do, being `local`, to reach `remote`.
pub(super) fn moves(local: &Nat, remote: &Nat) -> impl Iterator<Item = Move> {
    use Shape::{Block, PortRestricted, Random, Restricted, Sequential, Unknown};

    let is_agreed = local.birthday && remote.birthday;
    let full = Move::Probe { first: FULL_RANGE.0, last: FULL_RANGE.1, probes: MAX_BIRTHDAY };
    let special = match (local.shape(), remote.shape()) {
        // One port each, one after the other: the mediator sees the one before and the one after.
        (Sequential { .. }, PortRestricted | Restricted | Unknown) => Some(Move::Bracket),
        // Nobody's port is known before it is used, but both can say which one they will have.
        (Sequential { step }, Sequential { .. }) => Some(Move::Volley { step }),
        // S sockets and N probes meet with probability 1 − e^(−S·N/M).
        (Block { first, last }, PortRestricted | Unknown) => {
            Some(Move::Open { sockets: bounded(first, last) })
        }
        (PortRestricted | Unknown, Block { first, last }) => {
            Some(Move::Probe { first, last, probes: bounded(first, last) })
        }
        (Random, PortRestricted | Unknown) if is_agreed => Some(Move::Open { sockets: MAX_BIRTHDAY }),
        (PortRestricted | Unknown, Random) if is_agreed => Some(full),
        // Everything else is plain, or there is no way: cone with cone, whoever can be reached, address-restricted
        // with anything, random with endpoint-dependent.
        _ => None,
    };
    let guess = remote.keeps_ports().then_some(Move::Guess);
    let prime = remote.punishes_early.then_some(Move::Prime);
    guess.into_iter().chain(prime).chain(special)
}

/// So many that S·N is five times the size of the block: 99 in 100 meet, with some to lose.
fn bounded(first: u16, last: u16) -> u16 {
    let size = u32::from(last.saturating_sub(first)) + 1;
    u16::try_from((5 * size).isqrt() + 1).unwrap_or(MAX_BOUNDED).min(MAX_BOUNDED)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::discovery::{Allocation, Dependence};

    fn cone(filtering: Dependence) -> Nat {
        Nat { mapping: Some(Dependence::Endpoint), filtering: Some(filtering), ..Nat::default() }
    }

    fn symmetric(allocation: Allocation) -> Nat {
        let dependence = Some(Dependence::AddressAndPort);
        Nat { mapping: dependence, filtering: dependence, allocation: Some(allocation), ..Nat::default() }
    }

    fn plan(local: Nat, remote: Nat) -> Vec<Move> {
        moves(&local, &remote).collect()
    }

    #[test]
    fn the_table_is_that_of_the_design() {
        let home = cone(Dependence::AddressAndPort);
        let sequential = symmetric(Allocation::Sequential { step: 1 });
        let block = symmetric(Allocation::Block { first: 2_000, last: 3_023 });
        let random = symmetric(Allocation::Random);
        for easy in [cone(Dependence::Endpoint), cone(Dependence::Address), home] {
            assert_eq!(plan(easy, home), [], "plain is enough");
            assert_eq!(plan(home, easy), [], "plain is enough");
        }
        assert_eq!(plan(sequential, home), [Move::Bracket]);
        assert_eq!(plan(home, sequential), [], "who is told of a bracket follows it without a plan");
        assert_eq!(plan(sequential, sequential), [Move::Volley { step: 1 }]);
        assert_eq!(plan(block, home), [Move::Open { sockets: 72 }]);
        assert_eq!(plan(home, block), [Move::Probe { first: 2_000, last: 3_023, probes: 72 }]);
        assert_eq!(plan(random, home), [], "nobody has agreed to that");
        assert_eq!(plan(random, random), []);
        let agreed = |nat: Nat| Nat { birthday: true, ..nat };
        assert_eq!(plan(agreed(random), agreed(home)), [Move::Open { sockets: 512 }]);
        assert_eq!(plan(random, agreed(home)), [], "both have to agree");
        let keeps = symmetric(Allocation::Preserving { otherwise: None });
        assert_eq!(plan(home, keeps), [Move::Guess]);
        assert_eq!(plan(sequential, keeps), [Move::Guess, Move::Bracket]);
        let touchy = Nat { punishes_early: true, ..home };
        assert_eq!((plan(home, touchy), plan(touchy, home)), (Vec::from([Move::Prime]), Vec::new()));
    }
}
