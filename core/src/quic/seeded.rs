//! Cryptography that repeats: for simulators and tests, and for nothing else.
//!
//! Whoever knows the seed can read everything. It is another provider's cryptography with two parts put in
//! their places: TLS's randomness comes from the seed, and so do the secrets of the key exchange, X25519,
//! which other providers draw themselves. The rest needs no randomness: Ed25519 signs the same the same
//! (RFC 8032 §5.1.6).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::fmt;
use std::sync::{Mutex, PoisonError};

use curve25519_dalek::montgomery::MontgomeryPoint;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved};

use crate::rng::Rng;

/// `base`, with what it draws drawn from `rng`. A session that is to repeat needs a provider of its own, for
/// sessions that share one change what the others draw. It takes a hundred bytes that are never given back,
/// as TLS wants its randomness for ever.
pub fn provider(base: CryptoProvider, rng: Rng) -> Arc<CryptoProvider> {
    let source: &'static Source = Box::leak(Box::new(Source(Mutex::new(rng))));
    let exchange: &'static Exchange = Box::leak(Box::new(Exchange(source)));
    Arc::new(CryptoProvider { secure_random: source, kx_groups: vec![exchange], ..base })
}

/// Where everything is drawn from.
struct Source(Mutex<Rng>);

impl Source {
    fn with<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl SecureRandom for Source {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.with(|rng| buf.fill_with(|| rng.u64() as u8));
        Ok(())
    }
}

/// X25519 (RFC 7748 §5).
#[derive(Debug)]
struct Exchange(&'static Source);

impl SupportedKxGroup for Exchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = self.0.with(Rng::bytes);
        Ok(Box::new(Begun { secret, public: MontgomeryPoint::mul_base_clamped(secret).to_bytes() }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Begun {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Begun {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        let theirs: [u8; 32] = theirs.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = MontgomeryPoint(theirs).mul_clamped(self.secret).to_bytes();
        // RFC 8446 §7.4.2: a point of low order agrees with everybody.
        if shared == [0; 32] {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(shared.as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
