//! The secret half of an identity: it signs, and it agrees.
//!
//! A signature is for one use, which is named in what is signed, so that what was signed for one use says
//! nothing in another. The layout is a fixed beginning, the length of the name, the name, and the bytes; no
//! other protocol signs anything that begins so (TLS 1.3 begins with 64 blanks, RFC 8446 §4.4.3).
//!
//! To agree, both turn the two keys into the Montgomery form of the same curve (RFC 7748 §4.1) and multiply
//! there: X25519 with the secret scalar of RFC 8032 §5.1.5.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{ForPeer, PeerId, SessionId, base32};
use crate::hkdf;
use crate::punch::Credentials;
use crate::rng::{Rng, Seed};

/// Who we are, and can prove to be. Its memory is wiped when it goes.
///
/// ```
/// use bradawl::identity::{Context, SecretKey};
/// use bradawl::rng::Rng;
///
/// const GREETING: Context = Context::new("greeting");
/// let ours = SecretKey::generate(&mut Rng::from_seed([1; 32]));
/// let signature = ours.sign(GREETING, b"hello");
/// assert!(ours.id().verify(GREETING, b"hello", &signature).is_ok());
/// assert!(ours.id().verify(Context::new("farewell"), b"hello", &signature).is_err());
/// ```
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that grows from these bytes (RFC 8032 §5.1.5).
    pub fn from_seed(seed: &Seed) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// A new one.
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from_seed(&Zeroizing::new(rng.bytes()))
    }

    /// The bytes that it grows from, for who keeps the key. Whoever has them is this peer.
    pub fn expose_seed(&self) -> &Seed {
        self.0.as_bytes()
    }

    /// The public half.
    pub fn id(&self) -> PeerId {
        PeerId::of(self.0.as_ref())
    }

    /// Signs these bytes for this use.
    pub fn sign(&self, context: Context, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(&labelled(context, bytes)).to_bytes())
    }

    /// What only we and this peer can compute.
    pub fn agree(&self, other: &PeerId) -> Result<Agreed, LowOrder> {
        let scalar = Zeroizing::new(self.0.to_scalar_bytes());
        let theirs = other.key().ok_or(LowOrder)?.to_montgomery();
        let agreed = Agreed(theirs.mul_clamped(*scalar).to_bytes());
        // RFC 7748 §6.1: zeros are what a point of small order makes of every secret.
        if bool::from(agreed.0.ct_eq(&[0; 32])) { Err(LowOrder) } else { Ok(agreed) }
    }
}

impl fmt::Debug for SecretKey {
    // Never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What is signed.
pub(super) fn labelled(context: Context, bytes: &[u8]) -> Vec<u8> {
    let label = context.0.as_bytes();
    // A context is no longer than a byte says.
    [b"bradawl signature 1", &[label.len() as u8][..], label, bytes].concat()
}

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(&'static str);

impl Context {
    /// The longest name of a use.
    pub const MAX: usize = 64;

    /// The use with this name, of at most [`Context::MAX`] bytes.
    ///
    /// ```
    /// use bradawl::identity::Context;
    /// const OFFER: Context = Context::new("offer");
    /// ```
    ///
    /// A longer one is none:
    ///
    /// ```compile_fail
    /// use bradawl::identity::Context;
    /// const LONG: Context = Context::new("12345678901234567890123456789012345678901234567890123456789012345");
    /// ```
    pub const fn new(name: &'static str) -> Self {
        assert!(name.len() <= Self::MAX, "the name of a use is short");
        Self(name)
    }
}

/// Proof that the holder of a key saw some bytes and meant them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// One that somebody sent. Whether it holds, [`PeerId::verify`] says.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// As it is sent.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    pub(super) fn to_dalek(self) -> ed25519_dalek::Signature {
        ed25519_dalek::Signature::from_bytes(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        base32::write(f, &self.0)?;
        f.write_str(")")
    }
}

/// This peer did not sign these bytes for this use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not this peer's")]
pub struct Forged;

/// With this key everybody agrees on the same: it hides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side's key is one with which no secret can be agreed on")]
pub struct LowOrder;

/// What two peers agreed on. Its memory is wiped when it goes.
pub struct Agreed([u8; 32]);

impl Agreed {
    /// What the checks of this session are sealed with, the caller's and the callee's. `ticket` is there if
    /// the call is by a ticket with a secret: then who does not know that has other credentials, and no check
    /// of theirs is answered.
    pub fn check_credentials(
        &self,
        session: &SessionId,
        ticket: Option<&ForPeer>,
    ) -> (Credentials, Credentials) {
        let Some(ticket) = ticket else { return Credentials::derive(&self.0, session.as_bytes()) };
        let both = Zeroizing::new(hkdf::extract(ticket.expose(), &self.0));
        let secret = Zeroizing::new(hkdf::expand(&both, &[b"bradawl ticket checks 1"]));
        Credentials::derive(&secret, session.as_bytes())
    }
}

impl Drop for Agreed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Agreed {
    // Never what it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Agreed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::id::tests::{SMALL, bytes};
    use crate::identity::{Nonce, TicketSecret};
    use std::format;

    /// The secret and the public keys of RFC 8032 §7.1, tests 1 and 2.
    const KEYS: [(&str, &str); 2] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        ),
    ];

    fn keys() -> [SecretKey; 2] {
        KEYS.map(|(seed, _)| SecretKey::from_seed(&bytes(seed)))
    }

    #[test]
    fn keys_and_signatures_are_those_of_the_rfc() {
        for (key, (seed, public)) in keys().iter().zip(KEYS) {
            assert_eq!((key.id().as_bytes(), key.expose_seed()), (&bytes(public), &bytes(seed)));
        }
        // RFC 8032 §7.1, test 1: the signature of nothing, as it is without any context.
        let [r, s] = [
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ];
        let [key, other] = keys();
        let signature = key.0.sign(b"").to_bytes();
        assert_eq!(
            (signature[..32].to_vec(), signature[32..].to_vec()),
            (bytes(r).to_vec(), bytes(s).to_vec())
        );
        // And it is none for any use of ours.
        assert_eq!(key.id().verify(Context::new(""), b"", &Signature::from_bytes(signature)), Err(Forged));
        assert_ne!(key.id(), other.id());
    }

    #[test]
    fn a_signature_is_for_one_use_one_text_and_one_signer() {
        const OFFER: Context = Context::new("offer");
        let [key, other] = keys();
        let signature = key.sign(OFFER, b"bytes");
        assert_eq!(key.id().verify(OFFER, b"bytes", &signature), Ok(()));
        assert_eq!(key.id().verify(OFFER, b"byte", &signature), Err(Forged));
        assert_eq!(other.id().verify(OFFER, b"bytes", &signature), Err(Forged));
        // The border between the name of the use and what is signed cannot be moved.
        assert_eq!(key.id().verify(Context::new("offe"), b"rbytes", &signature), Err(Forged));
        for bit in 0..512 {
            let mut bits = *signature.as_bytes();
            bits[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.id().verify(OFFER, b"bytes", &Signature::from_bytes(bits)), Err(Forged), "{bit}");
        }
    }

    /// Computed by a second implementation of RFC 7748 §5, which was held to the vectors of §5.2.
    #[test]
    fn what_is_agreed_is_x25519_of_the_same_keys() {
        let [alice, bob] = keys();
        let montgomery = alice.id().key().expect("a point").to_montgomery().to_bytes();
        assert_eq!(montgomery, bytes("d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e"));
        let agreed = bytes("5166f24a6918368e2af831a4affadd97af0ac326bdf143596c045967cc00230e");
        assert_eq!(alice.agree(&bob.id()).map(|agreed| agreed.0), Ok(agreed));
        assert_eq!(bob.agree(&alice.id()).map(|agreed| agreed.0), Ok(agreed));
        // Bob's public key of RFC 7748 §6.1, de9edb7d…, in Edwards form: y = (u - 1) / (u + 1).
        let y = bytes("ef4e197de29e38eae689f2f3c2954d14dd70cbcd5a14f8003a12def08174c67a");
        let theirs = PeerId::from_bytes(y).expect("a point");
        let u = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        assert_eq!(theirs.key().expect("a point").to_montgomery().to_bytes(), u);
        let agreed = bytes("b51414dc5538c9e61534e158a2c804bf4174e3f253366715bb3d6775f5c81a3d");
        assert_eq!(alice.agree(&theirs).map(|agreed| agreed.0), Ok(agreed));
    }

    #[test]
    fn nothing_is_agreed_with_what_hides_nothing() {
        let [alice, _] = keys();
        for small in SMALL.map(bytes) {
            assert_eq!(alice.agree(&PeerId::unchecked(small)).map(|agreed| agreed.0), Err(LowOrder));
        }
        // y = 2 is no point at all.
        let none = PeerId::unchecked(core::array::from_fn(|index| if index == 0 { 2 } else { 0 }));
        assert_eq!(alice.agree(&none).map(|agreed| agreed.0), Err(LowOrder));
        assert_eq!(none.verify(Context::new("a"), b"", &alice.sign(Context::new("a"), b"")), Err(Forged));
    }

    #[test]
    fn credentials_are_of_one_session_and_one_ticket() {
        let [alice, bob] = keys();
        let agreed = alice.agree(&bob.id()).expect("a secret");
        let nonce = |byte| Nonce::from_bytes([byte; 16]);
        let session = |caller, callee| SessionId::new((alice.id(), nonce(caller)), (bob.id(), nonce(callee)));
        let tickets = [1, 2].map(|byte| TicketSecret::from_bytes([byte; 16]).for_peer());
        let mut all = Vec::new();
        for session in [session(1, 2), session(2, 1), session(1, 1)] {
            for ticket in [None, Some(&tickets[0]), Some(&tickets[1])] {
                let (caller, callee) = agreed.check_credentials(&session, ticket);
                let theirs = bob.agree(&alice.id()).expect("the same").check_credentials(&session, ticket);
                assert_eq!((&caller, &callee), (&theirs.0, &theirs.1));
                all.extend([caller, callee]);
            }
        }
        for (index, one) in all.iter().enumerate() {
            assert!(
                all[..index].iter().all(|other| other.pwd() != one.pwd() && other.ufrag() != one.ufrag())
            );
        }
        let plain = Credentials::derive(&agreed.0, session(1, 2).as_bytes());
        assert_eq!(agreed.check_credentials(&session(1, 2), None), plain);
    }

    #[test]
    fn secrets_are_not_shown() {
        let [alice, bob] = keys();
        let shown = format!("{alice:?} {:?}", alice.agree(&bob.id()));
        assert_eq!(shown, format!("SecretKey {{ id: PeerId({}), .. }} Ok(Agreed)", alice.id()));
    }
}
