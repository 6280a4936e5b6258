//! What peers and their mediator say to each other: one line of text, and a seal that strangers cannot
//! make.
//!
//! ```text
//! join alice bob 17 0 192.168.1.2:5000,203.0.113.1:5000 0123456789abcdef     alice to the mediator
//! meet bob alice 12 17 192.168.1.2:6000,203.0.113.2:6000 fedcba9876543210    the mediator to alice
//! ```
//!
//! The first number is the generation of the addresses: who gathers again takes a higher one. The second is
//! the generation of whoever is told, so that what somebody overheard and repeats later means nothing.

use core::fmt;
use core::hash::{BuildHasher as _, Hasher as _};
use core::net::SocketAddr;

use bradawl::hash::Keyed;
use bradawl::rng::{Rng, Seed};

/// How many addresses a peer gives at most.
pub(super) const MAX_CANDIDATES: usize = 20;

/// What everybody in a scenario knows and strangers do not.
#[derive(Clone)]
pub struct Secret {
    seal: Keyed,
    /// The password of all checks.
    pub(super) password: String,
}

impl Secret {
    /// The secret that grows from a seed.
    pub fn new(seed: Seed) -> Self {
        let mut rng = Rng::from_seed(seed);
        Self { seal: Keyed::new(&mut rng), password: format!("{:016x}", rng.u64()) }
    }

    fn seal(&self, text: &str) -> u64 {
        let mut hasher = self.seal.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) verb: Verb,
    /// Who is being introduced.
    pub(super) name: String,
    /// To whom.
    pub(super) to: String,
    pub(super) generation: u64,
    /// The generation of the one it is told to.
    pub(super) answers: u64,
    pub(super) candidates: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// A peer to the mediator: these are my addresses, tell them to my peer.
    Join,
    /// The mediator to a peer: these are your peer's.
    Meet,
}

impl Introduction {
    pub(super) fn write(&self, secret: &Secret) -> Vec<u8> {
        let verb = match self.verb {
            Verb::Join => "join",
            Verb::Meet => "meet",
        };
        let candidates: Vec<_> = self.candidates.iter().map(ToString::to_string).collect();
        let Self { name, to, generation, answers, .. } = self;
        let text = format!("{verb} {name} {to} {generation} {answers} {}", candidates.join(","));
        format!("{text} {:016x}", secret.seal(&text)).into_bytes()
    }

    pub(super) fn read(bytes: &[u8], secret: &Secret) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let (text, seal) = text.rsplit_once(' ')?;
        if u64::from_str_radix(seal, 16).ok()? != secret.seal(text) {
            return None;
        }
        let mut words = text.split(' ');
        let verb = match words.next()? {
            "join" => Verb::Join,
            "meet" => Verb::Meet,
            _ => return None,
        };
        let (name, to) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (generation, answers) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let candidates = words.next()?.split(',').filter(|word| !word.is_empty());
        let candidates = candidates.take(MAX_CANDIDATES).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { verb, name, to, generation, answers, candidates })
    }
}
