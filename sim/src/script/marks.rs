//! What a mediator sees of punching peers: each sends two marked requests with a check to its peer in
//! between, and the ports of the two are a bracket around the check's.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bradawl::machine::Path;
use bradawl::punch::Hint;
use bradawl::wire::stun::attr::{Mark, Username};
use bradawl::wire::stun::{Class, Message, Method};

use super::introduction::{Secret, Told};

/// How many brackets of which one end was seen are remembered.
const MAX_OPEN: usize = 1_024;

/// The marks of all sessions.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// By user name and round: where the first and the second came from.
    open: BTreeMap<(String, u16), [Option<SocketAddr>; 2]>,
}

impl Marks {
    /// A datagram that may be a mark: what is to be told if it is the second of two.
    pub(super) fn observe(&mut self, path: Path, bytes: &[u8], secret: &Secret) -> Option<Told> {
        let message = Message::parse(bytes).ok()?;
        if message.class() != Class::Request || message.method() != Method::BINDING {
            return None;
        }
        let Mark { round, is_second } = message.find().ok()??;
        let Username(username) = message.find().ok()??;
        let username = core::str::from_utf8(username).ok()?;
        if !message.integrity_holds(&secret.observer_key(username)) {
            return None;
        }
        let mut parts = username.split('/');
        let (name, to) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let (generation, answers) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let key = (username.to_owned(), round);
        if self.open.len() == MAX_OPEN && !self.open.contains_key(&key) {
            self.open.pop_first();
        }
        let ends = self.open.entry(key).or_default();
        if ends[usize::from(is_second)].replace(path.remote).is_some() {
            return None;
        }
        let [Some(first), Some(second)] = *ends else { return None };
        if first.ip() != second.ip() {
            return None;
        }
        let hint = Hint::Bracket { ip: first.ip(), first: first.port(), second: second.port() };
        Some(Told { name, to, generation, answers, number: BRACKETS | u32::from(round), hint })
    }
}

/// The numbers of a mediator's own hints begin here, those of a peer below.
const BRACKETS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::{Marks, Secret};
    use bradawl::machine::Path;
    use bradawl::punch::Hint;
    use bradawl::wire::stun::attr::{Mark, Username};
    use bradawl::wire::stun::{Class, Method, TransactionId, Writer};

    fn marked(username: &str, sealed_as: &str, round: u16, is_second: bool) -> Vec<u8> {
        let mut buf = [0; 200];
        let key = Secret::new([1; 32]).observer_key(sealed_as);
        let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([1; 12]))
            .put(&Username(username.as_bytes()))
            .put(&Mark { round, is_second })
            .integrity(&key)
            .finish()
            .unwrap();
        buf[..len].to_vec()
    }

    #[test]
    fn two_marks_of_a_round_are_a_bracket_once() {
        let (mut marks, secret) = (Marks::default(), Secret::new([1; 32]));
        let mut see = |port: u16, bytes: Vec<u8>| {
            let path = Path::udp("198.51.100.1:3478".parse().unwrap(), ([203, 0, 113, 1], port).into());
            marks.observe(path, &bytes, &secret)
        };
        assert_eq!(see(4_000, marked("a/b/7/8", "a/b/7/8", 1, false)), None);
        assert_eq!(see(4_002, marked("a/b/7/8", "a/b/7/8", 2, true)), None, "another round");
        assert_eq!(see(4_002, marked("a/b/7/8", "c/d/7/8", 1, true)), None, "somebody else's");
        let told = see(4_002, marked("a/b/7/8", "a/b/7/8", 1, true)).unwrap();
        let ip = "203.0.113.1".parse().unwrap();
        assert_eq!(told.hint, Hint::Bracket { ip, first: 4_000, second: 4_002 });
        assert_eq!((told.name.as_str(), told.to.as_str(), told.generation, told.answers), ("a", "b", 7, 8));
        assert_eq!(see(4_002, marked("a/b/7/8", "a/b/7/8", 1, true)), None, "a repetition");
    }
}
