//! Candidates as text: what is written reads the same, and whatever comes is read or refused.

use std::net::{IpAddr, SocketAddr};

use bradawl::machine::Transport;
use bradawl::punch::{Candidate, Described, Host, Kind, MAX_TEXT, TcpKind};
use proptest::prelude::*;

fn endpoint() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Host, Kind::ServerReflexive, Kind::PeerReflexive, Kind::Relayed])
}

fn tcp() -> impl Strategy<Value = Option<TcpKind>> {
    let kinds = [None, Some(TcpKind::Active), Some(TcpKind::Passive), Some(TcpKind::SimultaneousOpen)];
    prop::sample::select(kinds.to_vec())
}

prop_compose! {
    fn candidate()(
        foundation in "[A-Za-z0-9+/]{1,32}",
        component in 1..=256_u16,
        priority in 1..1_u32 << 31,
        address in endpoint(),
        kind in kind(),
        related in prop::option::of(endpoint()),
        tcp in tcp(),
    ) -> Candidate {
        let transport = if tcp.is_some() { Transport::Tcp } else { Transport::Udp };
        // A host candidate has none, and an unspecified one is none.
        let related = related.filter(|related| kind != Kind::Host && !related.ip().is_unspecified());
        Candidate { foundation, component, transport, priority, address, kind, related, tcp }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(candidate in candidate(), later in "( [a-z-]{1,9} [!-~]{0,9}){0,4}") {
        let text = candidate.to_string();
        prop_assert!(text.len() <= MAX_TEXT);
        for text in [text.clone(), format!("a={text}\r\n"), text.replace("UDP", "udp"), text + &later] {
            let known = [" raddr ", " rport ", " tcptype "];
            prop_assume!(known.iter().all(|name| !later.contains(name)));
            let described: Described = text.parse().expect("what we wrote");
            prop_assert_eq!(&described.host, &Host::Ip(candidate.address.ip()));
            prop_assert_eq!(described.candidate(), Some(candidate.clone()));
        }
    }

    #[test]
    fn names_wait_for_their_address(candidate in candidate(), name in "[a-z0-9]{1,20}\\.local") {
        let address = candidate.address;
        let text = candidate.to_string();
        let place = format!(" {} {} typ", address.ip(), address.port());
        let text = text.replacen(&place, &format!(" {name} {} typ", address.port()), 1);
        let described: Described = text.parse().expect("a name instead");
        prop_assert_eq!(&described.host, &Host::Name(name));
        prop_assert_eq!(described.candidate(), None);
        prop_assert_eq!(described.resolved(address.ip()), candidate);
    }

    #[test]
    fn nothing_panics(text in "(a=)?candidate:.{0,80}") {
        if let Ok(described) = text.parse::<Described>() {
            let candidate = described.resolved("192.0.2.1".parse().expect("an address"));
            prop_assert_eq!(candidate.to_string().parse::<Described>().expect("again").resolved(candidate.address.ip()), candidate);
        }
    }

    /// One character of a good one changed: it is another one, or none.
    #[test]
    fn whatever_is_changed_is_read_or_refused(candidate in candidate(), at in any::<prop::sample::Index>(), to in any::<char>()) {
        let mut characters: Vec<char> = candidate.to_string().chars().collect();
        let at = at.index(characters.len());
        characters[at] = to;
        let text: String = characters.into_iter().collect();
        if let Ok(described) = text.parse::<Described>() {
            prop_assert!(described.foundation.len() <= 32 && (1..=256).contains(&described.component));
            prop_assert!((1..1 << 31).contains(&described.priority));
        }
    }
}
