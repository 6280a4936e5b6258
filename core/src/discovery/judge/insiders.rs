//! Which servers are inside, before a NAT that others are beyond?
//!
//! A server in our own network or at the other end of a tunnel sees our private address, one in a carrier's
//! network that of our router. What these see, and whose packets reach us, says nothing of the NATs that
//! are between them and the rest of the world: where there are witnesses from further out, theirs count.

use core::net::SocketAddr;

use crate::discovery::MAX_SERVERS;
use crate::discovery::probe::{Ask, Probes};
use crate::portmap::is_behind_another;

/// From how far out a server looks at us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Nothing is changed on the way to it, and our address is a private one.
    Inside,
    /// It sees another private address.
    Between,
    /// It sees a public address.
    World,
}

impl Place {
    fn of(local: SocketAddr, mapped: SocketAddr) -> Self {
        match (is_behind_another(mapped.ip()), mapped == local) {
            (false, _) => Self::World,
            (true, false) => Self::Between,
            (true, true) => Self::Inside,
        }
    }
}

/// The servers that are nearer than others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::discovery) struct Insiders(u16);

impl Insiders {
    pub(in crate::discovery) fn of(probes: &Probes) -> Self {
        let mut places = [None; MAX_SERVERS];
        for probe in probes.iter().filter(|probe| probe.ask == Ask::Plain) {
            let Some(mapped) = probe.mapped() else { continue };
            if let Some(place) = places.get_mut(usize::from(probe.server)) {
                *place = (*place).max(Some(Place::of(probe.local, mapped)));
            }
        }
        let farthest = places.iter().max().copied().flatten();
        let is_inside = |place: &Option<Place>| place.is_some() && *place < farthest;
        let bit = |(server, place)| u16::from(is_inside(place)) << server;
        Self(places.iter().enumerate().map(bit).sum())
    }

    /// Whether it is known to be inside.
    pub(in crate::discovery) const fn contains(self, server: u8) -> bool {
        (server as usize) < MAX_SERVERS && self.0 >> server & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::Insiders;
    use crate::discovery::judge::{allocation, filtering, mapping, samples, several_addresses};
    use crate::discovery::probe::{Ask, Probe, Probes, Reply, Said};
    use crate::discovery::server::{Loss, Server};
    use crate::rng::Rng;
    use crate::time::{Duration, Instant};

    const LAN: &str = "192.168.1.2:3478";
    const CARRIER: &str = "100.64.0.2:3478";
    const WORLD: &str = "198.51.100.1:3478";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    struct Seen {
        probes: Probes,
        rng: Rng,
        sent: u64,
    }

    impl Seen {
        fn nothing() -> Self {
            let mut rng = Rng::from_seed([1; 32]);
            Self { probes: Probes::new(&mut rng), rng, sent: 0 }
        }

        /// `socket` has asked `server`, which sees `mapped` and answers from `from`.
        fn saw(&mut self, ask: Ask, socket: u8, (server, to): (u8, &str), mapped: SocketAddr, from: &str) {
            self.sent += 1;
            let sent = Instant::from_micros(self.sent * 100);
            let reply = Reply { at: Instant::from_micros(20_000), from: address(from), mapped: Some(mapped) };
            let local = local(socket);
            let probe = Probe { ask, socket, local, server, to: address(to), sent, reply: Some(reply) };
            self.probes.send(&mut self.rng, probe, &mut [0; 100]).expect("room");
        }
    }

    fn local(socket: u8) -> SocketAddr {
        SocketAddr::from(([192, 168, 1, 5], 5_000 + u16::from(socket)))
    }

    fn public(port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 9], port))
    }

    #[test]
    fn who_is_inside_is_known_only_by_those_further_out() {
        let mut seen = Seen::nothing();
        let inside = |seen: &Seen| [0, 1, 2, 255].map(|server| Insiders::of(&seen.probes).contains(server));
        assert_eq!(inside(&seen), [false; 4]);
        seen.saw(Ask::Plain, 0, (0, LAN), local(0), LAN);
        assert_eq!(inside(&seen), [false; 4]);
        seen.saw(Ask::Plain, 0, (1, CARRIER), address("100.64.0.9:7"), CARRIER);
        assert_eq!(inside(&seen), [true, false, false, false]);
        seen.saw(Ask::Plain, 0, (2, WORLD), public(7), WORLD);
        assert_eq!(inside(&seen), [true, true, false, false]);
    }

    /// A mediator in the same network beside one in the world, behind a NAT that chooses ports at random.
    #[test]
    fn what_a_server_inside_sees_is_not_taken_for_what_the_nat_does() {
        let mut seen = Seen::nothing();
        for socket in 0..20 {
            seen.saw(Ask::Plain, socket, (0, LAN), local(socket), LAN);
            if socket % 3 == 0 {
                let port = 20_000 + (u32::from(socket) * 26_573 % 40_000) as u16;
                seen.saw(Ask::Plain, socket, (1, WORLD), public(port), WORLD);
            }
        }
        let samples = samples(&seen.probes);
        assert!(samples.iter().all(|sample| sample.mapped.ip() == public(0).ip()));
        let found = allocation(&samples).map(|finding| finding.value);
        assert!(!matches!(found, Some(crate::discovery::Allocation::Preserving { .. })), "{found:?}");
        let several = several_addresses(&seen.probes, &[public(0).ip()], samples.len() as u32);
        assert!(several.is_some_and(|finding| !finding.value));
    }

    #[test]
    fn a_server_between_two_nats_does_not_make_a_mapping_depend_on_addresses() {
        let mut seen = Seen::nothing();
        seen.saw(Ask::Plain, 0, (0, CARRIER), address("100.64.0.9:7"), CARRIER);
        seen.saw(Ask::Plain, 0, (1, WORLD), public(7), WORLD);
        seen.saw(Ask::Plain, 0, (1, "198.51.100.1:3479"), public(7), "198.51.100.1:3479");
        assert_eq!(mapping(&seen.probes, 0), None, "one witness in the world");
        seen.saw(Ask::Plain, 0, (2, "198.51.100.2:3478"), public(7), "198.51.100.2:3478");
        assert!(mapping(&seen.probes, 0).is_some());
    }

    #[test]
    fn what_a_server_inside_gets_through_to_us_has_passed_no_filter() {
        let other = "192.168.1.3:3479";
        let mut server = Server::new(address(LAN));
        let said = Said { mapped: Some(local(1)), other: Some(address(other)), help: None };
        server.learn(&said, Duration::from_millis(1), local(0));
        let servers = [server, Server::new(address(WORLD))];
        let mut seen = Seen::nothing();
        seen.saw(Ask::Plain, 1, (0, LAN), local(1), LAN);
        seen.saw(Ask::OtherAddress, 1, (0, LAN), local(1), other);
        let found =
            |seen: &Seen| filtering(&seen.probes, &servers, Loss::default(), Instant::from_micros(1 << 20));
        assert!(found(&seen).is_some(), "nobody is further out");
        seen.saw(Ask::Plain, 0, (1, WORLD), public(7), WORLD);
        assert_eq!(found(&seen), None);
    }
}
