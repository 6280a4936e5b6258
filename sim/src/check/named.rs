//! Whom a host may send to because an answer names them, and how much.
//!
//! What a host asks a server without a key, as discovery does (RFC 5780), is answered without one: whoever
//! sees the question can make the answer, and have it name anybody. Such an answer is no warrant. It is good
//! for a few packets to a few addresses, and no answer to what nobody asked is good for anything.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bradawl::discovery::MAX_SERVERS;
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{Help, MappedAddress, OtherAddress, Username, XorMappedAddress};
use bradawl::wire::stun::{Class, Message, Method, TransactionId};

/// How many packets there may be to one address that was only named, before it is named anew.
pub const MOST_TO_NAMED: u32 = 64;
/// To how many such addresses one of a host's own may send at a time: two of each server, and how two of its
/// sockets look.
pub const MOST_NAMED: usize = 2 * MAX_SERVERS + 2;
/// How long who is named has what it has, before the next name gets as much: a pass of a discovery.
pub const PASS: Duration = Duration::from_secs(5);

/// How many questions are remembered: more than are under way.
const MAX_ASKED: usize = 4_096;

/// What was asked, and who was named.
#[derive(Debug, Default)]
pub(super) struct Named {
    asked: BTreeSet<TransactionId>,
    in_order: VecDeque<TransactionId>,
    /// By the host's own address and who was named to it.
    budgets: BTreeMap<(IpAddr, SocketAddr), Budget>,
}

/// What was sent to somebody who was named, since when.
#[derive(Clone, Copy, Debug)]
struct Budget {
    began: Instant,
    sent: u32,
}

impl Named {
    /// The host sends this; if it is a question without a key, its answers count.
    pub(super) fn asks(&mut self, bytes: &[u8]) {
        let Some(message) = binding(bytes, Class::Request) else { return };
        let has_key = message.find::<Username<'_>>().is_ok_and(|found| found.is_some());
        if has_key || !self.asked.insert(message.transaction_id()) {
            return;
        }
        self.in_order.push_back(message.transaction_id());
        if self.in_order.len() > MAX_ASKED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.asked.remove(&oldest);
        }
    }

    /// The host gets this at `local` from somebody: if it is an answer, whoever it names was named.
    pub(super) fn hears(&mut self, now: Instant, local: IpAddr, from: SocketAddr, bytes: &[u8]) {
        let Some(message) = binding(bytes, Class::Success) else { return };
        if !self.asked.contains(&message.transaction_id()) {
            return;
        }
        for named in names(&message, from).filter(|named| may_name(from.ip(), *named)) {
            let budget = self.budgets.entry((local, named)).or_insert(Budget { began: now, sent: 0 });
            if now >= budget.began + PASS {
                *budget = Budget { began: now, sent: 0 };
            }
        }
    }

    /// One more packet from `local` to somebody; whether that is within the budget, if there is one.
    pub(super) fn take(&mut self, now: Instant, local: IpAddr, to: SocketAddr) -> Option<bool> {
        let budget = self.budgets.get_mut(&(local, to))?;
        budget.sent += 1;
        let is_left = budget.sent <= MOST_TO_NAMED;
        let is_in_use = |((by, _), budget): &(&(IpAddr, SocketAddr), &Budget)| {
            *by == local && budget.sent > 0 && now < budget.began + PASS
        };
        Some(is_left && self.budgets.iter().filter(is_in_use).count() <= MOST_NAMED)
    }
}

fn binding(bytes: &[u8], class: Class) -> Option<Message<'_>> {
    let message = Message::parse(bytes).ok()?;
    (message.method() == Method::BINDING && message.class() == class).then_some(message)
}

/// Whom an answer names: how the host looks, and where else the server is.
fn names(message: &Message<'_>, from: SocketAddr) -> impl Iterator<Item = SocketAddr> {
    let xor = message.find().ok().flatten().map(|XorMappedAddress(address)| address);
    let plain = message.find().ok().flatten().map(|MappedAddress(address)| address);
    let other = message.find().ok().flatten().map(|OtherAddress(address)| address);
    let help = message.find().ok().flatten().map(|Help { other_port, .. }| other_port);
    let ports = other.map(|other| other.port()).into_iter().chain(help);
    let beside = ports.map(move |port| SocketAddr::new(from.ip(), port));
    [xor, plain, other].into_iter().flatten().chain(beside)
}

/// Who is in the world does not know its way around a home or a carrier's network.
fn may_name(by: IpAddr, named: SocketAddr) -> bool {
    named.port() != 0 && by.is_ipv4() == named.is_ipv4() && (is_of_world(named.ip()) || !is_of_world(by))
}

fn is_of_world(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_carriers = first == 100 && second & 0xC0 == 64;
            let is_nobodys = first == 0 || first >= 224;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_carriers || is_nobodys)
        }
        IpAddr::V6(ip) => {
            let is_local = ip.is_unique_local() || ip.is_unicast_link_local();
            !(is_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, SocketAddr};

    use bradawl::time::{Duration, Instant};
    use bradawl::wire::stun::attr::{OtherAddress, Username, XorMappedAddress};
    use bradawl::wire::stun::{Class, Method, TransactionId, Writer};

    use super::{MOST_NAMED, MOST_TO_NAMED, Named, PASS};

    fn local() -> IpAddr {
        "192.168.1.2".parse().unwrap()
    }

    fn server() -> SocketAddr {
        "198.51.100.2:3478".parse().unwrap()
    }

    fn somebody(number: usize) -> SocketAddr {
        ([203, 0, 113, 7], 1_000 + number as u16).into()
    }

    fn question(id: u8, username: Option<&str>) -> Vec<u8> {
        let mut buf = [0; 100];
        let username = username.map(|name| Username(name.as_bytes()));
        let len = Writer::new(&mut buf, Class::Request, Method::BINDING, TransactionId::from([id; 12]))
            .put_some(username.as_ref())
            .finish()
            .unwrap();
        buf[..len].to_vec()
    }

    fn answer(id: u8, mapped: SocketAddr, other: SocketAddr) -> Vec<u8> {
        let mut buf = [0; 100];
        let len = Writer::new(&mut buf, Class::Success, Method::BINDING, TransactionId::from([id; 12]))
            .put(&XorMappedAddress(mapped))
            .put(&OtherAddress(other))
            .finish()
            .unwrap();
        buf[..len].to_vec()
    }

    /// Who has asked and was told of somebody.
    fn told(of: SocketAddr) -> Named {
        let mut named = Named::default();
        named.asks(&question(1, None));
        named.hears(Instant::ZERO, local(), server(), &answer(1, of, somebody(99)));
        named
    }

    #[test]
    fn only_an_answer_names_and_only_to_whom_it_comes() {
        let mut named = told(somebody(1));
        assert_eq!(named.take(Instant::ZERO, local(), somebody(1)), Some(true));
        assert_eq!(named.take(Instant::ZERO, local(), somebody(99)), Some(true), "its other address");
        let beside = SocketAddr::new(server().ip(), somebody(99).port());
        assert_eq!(named.take(Instant::ZERO, local(), beside), Some(true), "its other port");
        assert_eq!(named.take(Instant::ZERO, local(), somebody(2)), None);
        assert_eq!(named.take(Instant::ZERO, "192.168.1.3".parse().unwrap(), somebody(1)), None);
        for asked in [question(2, None), question(1, Some("alice"))] {
            let mut named = Named::default();
            named.asks(&asked);
            named.hears(Instant::ZERO, local(), server(), &answer(1, somebody(1), somebody(99)));
            assert_eq!(named.take(Instant::ZERO, local(), somebody(1)), None, "nobody has asked that");
        }
    }

    #[test]
    fn the_world_names_nobody_in_a_home() {
        for private in ["192.168.1.9:80", "100.64.0.1:80", "127.0.0.1:80", "224.0.0.1:80", "8.8.8.8:0"] {
            let private = private.parse().unwrap();
            assert_eq!(told(private).take(Instant::ZERO, local(), private), None, "{private}");
        }
    }

    #[test]
    fn few_packets_until_it_is_named_anew_and_not_too_soon() {
        let mut named = told(somebody(1));
        let spend = |named: &mut Named, now| {
            (0..).take_while(|_| named.take(now, local(), somebody(1)) == Some(true)).count() as u32
        };
        let name = |named: &mut Named, now| {
            named.hears(now, local(), server(), &answer(1, somebody(1), somebody(99)));
        };
        assert_eq!(spend(&mut named, Instant::ZERO), MOST_TO_NAMED);
        let soon = Instant::ZERO + (PASS - Duration::from_millis(1));
        name(&mut named, soon);
        assert_eq!(spend(&mut named, soon), 0, "saying it again changes nothing");
        let later = Instant::ZERO + PASS;
        assert_eq!(spend(&mut named, later), 0, "time alone neither");
        name(&mut named, later);
        assert_eq!(spend(&mut named, later), MOST_TO_NAMED);
    }

    #[test]
    fn few_addresses_at_a_time() {
        let mut named = told(somebody(0));
        for number in 1..=MOST_NAMED {
            named.hears(Instant::ZERO, local(), server(), &answer(1, somebody(number), somebody(99)));
        }
        assert!((0..MOST_NAMED).all(|n| named.take(Instant::ZERO, local(), somebody(n)) == Some(true)));
        assert_eq!(named.take(Instant::ZERO, local(), somebody(MOST_NAMED)), Some(false));
    }
}
