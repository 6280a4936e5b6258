//! What became of every datagram that a STUN server was given.

use core::fmt;

use crate::wire::stun::Malformed;

/// One count per [`Outcome`].
///
/// ```
/// use bradawl::stun::server::{Counters, Outcome};
///
/// let counters = Counters::default();
/// assert!(Outcome::ALL.iter().all(|&outcome| counters.count(outcome) == 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Outcome::ALL.len()]);

impl Counters {
    /// How often this happened.
    pub const fn count(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    #[inline]
    pub(super) fn add(&mut self, outcome: Outcome) {
        let count = &mut self.0[outcome as usize];
        *count = count.saturating_add(1);
    }
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// What can become of a datagram. Its text form is stable and fit for a metric's label.
        ///
        /// ```
        /// use bradawl::stun::server::Outcome;
        /// assert_eq!(Outcome::RateLimited.to_string(), "rate-limited");
        /// ```
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Outcome {
            $($(#[$doc])* $name,)*
        }

        impl Outcome {
            /// All there are.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$name),*];
        }

        impl fmt::Display for Outcome {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $label,)*
                })
            }
        }
    };
}

outcomes! {
    /// Answered with the sender's address.
    Success = "success";
    /// Answered with 400.
    BadRequest = "bad-request";
    /// Answered with 420.
    UnknownAttributes = "unknown-attributes";
    /// Left to the partner, who is to answer from the other IP address.
    HandedOver = "handed-over";
    /// The partner's: its client is answered in its place.
    TakenOver = "taken-over";
    /// Dropped: its network asks too often.
    RateLimited = "rate-limited";
    /// Dropped: too many answers wait to be polled.
    Overflow = "overflow";
    /// Dropped: it came from port 0, to which nothing can be sent.
    PortZero = "port-zero";
    /// Dropped: its fingerprint is wrong.
    WrongFingerprint = "wrong-fingerprint";
    /// Dropped: an RFC 3489 client wants an answer from an address that we do not have.
    NoAlternate = "no-alternate";
    /// Dropped: a hand-over that is not from the partner, not sealed by it, or not for us.
    BadHandOver = "bad-hand-over";
    /// Left to others: a response or an indication.
    NotARequest = "not-a-request";
    /// Left to others: a request for something else than a binding.
    OtherMethod = "other-method";
    /// Left to others: shorter than a STUN header.
    TooShort = "too-short";
    /// Left to others: not STUN by its first two bits.
    NotStun = "not-stun";
    /// Dropped: no magic cookie.
    Cookie = "no-cookie";
    /// Dropped: the length in the header is not the datagram's.
    Length = "wrong-length";
    /// Dropped: an attribute reaches beyond the end.
    Overrun = "attribute-overrun";
    /// Dropped: an integrity attribute of impossible length.
    Seal = "bad-seal";
    /// Dropped: something follows the fingerprint.
    AfterFingerprint = "after-fingerprint";
}

impl Outcome {
    /// Whether it was answered, be it with an error, or by the partner.
    pub const fn is_answer(self) -> bool {
        matches!(
            self,
            Self::Success | Self::BadRequest | Self::UnknownAttributes | Self::HandedOver | Self::TakenOver
        )
    }

    /// Whether another machine on the same socket may still want the datagram.
    pub(super) const fn is_for_others(self) -> bool {
        matches!(self, Self::NotARequest | Self::OtherMethod | Self::TooShort | Self::NotStun)
    }
}

impl From<Malformed> for Outcome {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TooShort => Self::TooShort,
            Malformed::NotStun => Self::NotStun,
            Malformed::Cookie => Self::Cookie,
            Malformed::Length => Self::Length,
            Malformed::Overrun => Self::Overrun,
            Malformed::Seal => Self::Seal,
            Malformed::AfterFingerprint => Self::AfterFingerprint,
        }
    }
}
