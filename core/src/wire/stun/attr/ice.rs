//! Attributes of connectivity checks (RFC 8445 §7.1).

use super::{Attribute, Kind, flag_attributes, number_attributes};
use crate::wire::stun::TransactionId;

number_attributes! {
    /// The priority that a candidate learned from this check would have.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Priority};
    /// assert_eq!(Priority(0x6e00_01ff).encoded_len(), 4);
    /// ```
    Priority(u32) = PRIORITY;
    /// The sender thinks that it is controlled; the number breaks ties.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, IceControlled};
    /// assert_eq!(IceControlled(1).encoded_len(), 8);
    /// ```
    IceControlled(u64) = ICE_CONTROLLED;
    /// The sender thinks that it is in control; the number breaks ties.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, IceControlling};
    /// assert_eq!(IceControlling(1).encoded_len(), 8);
    /// ```
    IceControlling(u64) = ICE_CONTROLLING;
}

flag_attributes! {
    /// The pair that this check is about is to be used.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Kind, UseCandidate};
    /// assert_eq!((UseCandidate::KIND, UseCandidate.encoded_len()), (Kind::USE_CANDIDATE, 0));
    /// ```
    UseCandidate = USE_CANDIDATE;
}
