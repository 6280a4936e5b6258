//! What peers and their mediator say to each other: one line of text, and a seal that strangers cannot
//! make.
//!
//! ```text
//! join alice bob 17 0 h,192.168.1.2:5000;s,203.0.113.1:5000,192.168.1.2:5000 0,1,e,p,k,-,0,-,-,0 - 0123456789abcdef
//!     alice to the mediator
//! meet bob alice 12 17 h,192.168.1.2:6000 … 203.0.113.2:6000 fedcba9876543210
//!     the mediator to alice
//! hint bob alice 12 17 1 aim,203.0.113.2:6000 00112233445566ff
//!     bob to the mediator, and the mediator to alice
//! ```
//!
//! The first number is the generation of the addresses: who gathers again takes a higher one. The second is
//! the generation of whoever is told, so that what somebody overheard and repeats later means nothing. A hint
//! then has its own number, the same in every copy. An introduction has the candidates, what is known of the
//! NAT (`nat_text.rs`), and in the end where the mediator has seen whoever is introduced.

use core::fmt;
use core::hash::{BuildHasher as _, Hasher as _};
use core::net::SocketAddr;

use bradawl::hash::Keyed;
use bradawl::punch::{Candidate, Hint, Kind, Nat};
use bradawl::rng::{Rng, Seed};
use bradawl::wire::stun::Key;

use super::nat_text;

/// How many addresses a peer gives at most.
pub(crate) const MAX_CANDIDATES: usize = 20;

/// How much all candidates of a kind are liked: there is nothing to choose between them.
pub(crate) const PREFERENCE: u16 = 65_535;

/// What everybody in a scenario knows and strangers do not.
#[derive(Clone)]
pub struct Secret {
    seal: Keyed,
    /// The password of all checks.
    password: String,
    /// What the peers agreed on, and their mediator does not look at.
    pub(crate) of_peers: [u8; 32],
}

impl Secret {
    /// The secret that grows from a seed.
    pub fn new(seed: Seed) -> Self {
        let mut rng = Rng::from_seed(seed);
        let (seal, password) = (Keyed::new(&mut rng), format!("{:016x}", rng.u64()));
        Self { seal, password, of_peers: rng.bytes() }
    }

    fn seal(&self, text: &str) -> u64 {
        let mut hasher = self.seal.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// What a peer's marks are sealed with.
    pub(crate) fn observer_key(&self, username: &str) -> Key {
        Key::short_term(&format!("{} {username}", self.password))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A peer is introduced.
    Introduction(Introduction),
    /// What one side has the other told while they punch.
    Told(Told),
}

/// Who somebody is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Introduction {
    pub(crate) verb: Verb,
    /// Who is being introduced.
    pub(crate) name: String,
    /// To whom.
    pub(crate) to: String,
    pub(crate) generation: u64,
    /// The generation of the one it is told to.
    pub(crate) answers: u64,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) nat: Nat,
    /// Where the mediator has seen it.
    pub(crate) seen: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// A peer to the mediator: these are my addresses, tell them to my peer.
    Join,
    /// The mediator to a peer: these are your peer's.
    Meet,
}

/// A hint on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whom it is about.
    pub(crate) name: String,
    /// Who is to be told.
    pub(crate) to: String,
    /// Its generation.
    pub(crate) generation: u64,
    /// The generation of the one it is told to: a hint is for this attempt and no other.
    pub(crate) answers: u64,
    /// Which of its hints: copies have the same.
    pub(crate) number: u32,
    pub(crate) hint: Hint,
}

impl Said {
    pub(crate) fn write(&self, secret: &Secret) -> Vec<u8> {
        let text = match self {
            Self::Introduction(said) => said.text(),
            Self::Told(Told { name, to, generation, answers, number, hint }) => {
                format!("hint {name} {to} {generation} {answers} {number} {}", hint_text(hint))
            }
        };
        format!("{text} {:016x}", secret.seal(&text)).into_bytes()
    }

    pub(crate) fn read(bytes: &[u8], secret: &Secret) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let (text, seal) = text.rsplit_once(' ')?;
        if u64::from_str_radix(seal, 16).ok()? != secret.seal(text) {
            return None;
        }
        let mut words = text.split(' ');
        let verb = match words.next()? {
            "join" => Verb::Join,
            "meet" => Verb::Meet,
            "hint" => return Told::read(&mut words).map(Self::Told),
            _ => return None,
        };
        Introduction::read(verb, &mut words).map(Self::Introduction)
    }
}

impl Introduction {
    fn text(&self) -> String {
        let verb = match self.verb {
            Verb::Join => "join",
            Verb::Meet => "meet",
        };
        let candidates: Vec<String> = self.candidates.iter().map(candidate_text).collect();
        let candidates = if candidates.is_empty() { "-".to_owned() } else { candidates.join(";") };
        let nat = nat_text::write(&self.nat);
        let seen = self.seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string());
        let Self { name, to, generation, answers, .. } = self;
        format!("{verb} {name} {to} {generation} {answers} {candidates} {nat} {seen}")
    }

    fn read<'a>(verb: Verb, words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let (name, to) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (generation, answers) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let candidates = words.next()?.split(';').filter(|word| *word != "-").take(MAX_CANDIDATES);
        let candidates = candidates.map(read_candidate).collect::<Option<_>>()?;
        let nat = nat_text::read(words.next()?)?;
        let seen = match words.next()? {
            "-" => None,
            address => Some(address.parse().ok()?),
        };
        Some(Self { verb, name, to, generation, answers, candidates, nat, seen })
    }
}

impl Told {
    fn read<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let (name, to) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (generation, answers) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let number = words.next()?.parse().ok()?;
        let mut parts = words.next()?.split(',');
        let hint = match parts.next()? {
            "aim" => Hint::Aim { at: parts.next()?.parse().ok()? },
            "bracket" => Hint::Bracket {
                ip: parts.next()?.parse().ok()?,
                first: parts.next()?.parse().ok()?,
                second: parts.next()?.parse().ok()?,
            },
            _ => return None,
        };
        Some(Self { name, to, generation, answers, number, hint })
    }
}

fn hint_text(hint: &Hint) -> String {
    match hint {
        Hint::Aim { at } => format!("aim,{at}"),
        Hint::Bracket { ip, first, second } => format!("bracket,{ip},{first},{second}"),
    }
}

/// One of its own addresses, or how it is seen from outside; others are for later.
fn candidate_text(candidate: &Candidate) -> String {
    let Candidate { address, related, .. } = candidate;
    match (candidate.kind, related) {
        (Kind::ServerReflexive, Some(base)) => format!("s,{address},{base}"),
        _ => format!("h,{address}"),
    }
}

fn read_candidate(text: &str) -> Option<Candidate> {
    let mut parts = text.split(',');
    let (kind, address) = (parts.next()?, parts.next()?.parse().ok()?);
    match kind {
        "h" => Some(Candidate::host(address, PREFERENCE)),
        "s" => Some(Candidate::server_reflexive(address, parts.next()?.parse().ok()?, PREFERENCE)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Introduction, PREFERENCE, Said, Secret, Told, Verb};
    use bradawl::punch::{Candidate, Hint, Nat};

    #[test]
    fn what_is_written_can_be_read_by_those_who_know_the_secret() {
        let (secret, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let (base, seen) = ("192.168.1.2:5000".parse().unwrap(), "203.0.113.1:6000".parse().unwrap());
        let introduction = Introduction {
            verb: Verb::Meet,
            name: "alice".to_owned(),
            to: "bob".to_owned(),
            generation: 17,
            answers: 12,
            candidates: vec![
                Candidate::host(base, PREFERENCE),
                Candidate::server_reflexive(seen, base, PREFERENCE),
            ],
            nat: Nat { traffic: Some(7), ..Nat::default() },
            seen: Some(seen),
        };
        let nobody = Introduction { candidates: Vec::new(), seen: None, ..introduction.clone() };
        let told = |hint| {
            let (name, to) = ("alice".into(), "bob".into());
            Said::Told(Told { name, to, generation: 17, answers: 12, number: 3, hint })
        };
        let all = [
            Said::Introduction(introduction),
            Said::Introduction(nobody),
            told(Hint::Aim { at: seen }),
            told(Hint::Bracket { ip: seen.ip(), first: 7, second: 9 }),
        ];
        for said in all {
            let bytes = said.write(&secret);
            assert_eq!(Said::read(&bytes, &secret), Some(said));
            assert_eq!(Said::read(&bytes, &other), None);
            assert_eq!(Said::read(&bytes[..bytes.len() - 1], &secret), None);
        }
    }
}
