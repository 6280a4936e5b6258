//! Attributes that are text, each with the longest that RFC 8489 allows it to be.

use super::{Attribute, Kind};
use crate::wire::stun::TransactionId;

macro_rules! text_attributes {
    ($($(#[$doc:meta])* $name:ident = $kind:ident, at most $max:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl $name<'_> {
            /// The longest that is read, in bytes.
            pub const MAX: usize = $max;
        }

        impl<'a> Attribute<'a> for $name<'a> {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn decode(value: &'a [u8], _: &TransactionId) -> Option<Self> {
                (value.len() <= Self::MAX).then(|| str::from_utf8(value).ok().map(Self))?
            }

            #[inline]
            fn encoded_len(&self) -> usize {
                self.0.len()
            }

            #[inline]
            fn encode(&self, value: &mut [u8], _: &TransactionId) {
                value.copy_from_slice(self.0.as_bytes());
            }
        }
    )*};
}

text_attributes! {
    /// Within which realm those credentials count.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Realm};
    /// assert_eq!(Realm("example.org").encoded_len(), 11);
    /// ```
    Realm = REALM, at most 763;
    /// What program wrote the message. For people, and for nothing else.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{Attribute, Software};
    /// assert_eq!(Software("bradawl").encoded_len(), 7);
    /// ```
    Software = SOFTWARE, at most 763;
    /// The domain that an ALTERNATE-SERVER's certificate is for.
    ///
    /// ```
    /// use bradawl::wire::stun::attr::{AlternateDomain, Attribute};
    /// assert_eq!(AlternateDomain("stun.example").encoded_len(), 12);
    /// ```
    AlternateDomain = ALTERNATE_DOMAIN, at most 255;
}
