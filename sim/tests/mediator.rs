//! The simulator's mediator with one address: its two ports, and the answers that come late through a NAT
//! that forgets.

mod support;

use std::net::SocketAddr;

use bradawl::machine::Path;
use bradawl::time::Duration;
use bradawl::wire::stun::attr::{ChangeRequest, Help};
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};
use bradawl_sim::nat::{Behaviour, Dependence};
use bradawl_sim::program::Policy;
use bradawl_sim::script::{ALTERNATE_PORT, Mediator, STUN_PORT, Secret};
use bradawl_sim::units::Span;
use bradawl_sim::world::{HostId, HostSetup, World};

use support::{Heard, actor, delay, heard, linked, nat, send};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A host behind a NAT, and a mediator with one address.
struct Lab {
    world: World,
    host: HostId,
    server: SocketAddr,
}

impl Lab {
    fn new(behaviour: Behaviour) -> Self {
        let mut world = World::new(7);
        let setup = HostSetup { policy: Policy::Answers, ..HostSetup::new("mediator", &[World::INTERNET]) };
        let make = |start: bradawl_sim::program::Start| {
            let addresses: Vec<_> = start.interfaces.iter().map(|interface| interface.address).collect();
            Mediator::new(addresses, Secret::new([5; 32]), start.rng)
        };
        let mediator = world.add_host(setup, make).expect("a host that can be");
        let home = linked(&mut world, "home", World::INTERNET, nat(behaviour), delay(5));
        let host = actor(&mut world, "host", home);
        world.run_for(Duration::ZERO);
        let server = SocketAddr::new(world.addresses(mediator)[0], STUN_PORT);
        Self { world, host, server }
    }

    /// Asks from this port, and what is heard within a second.
    fn ask(&mut self, port: u16, build: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<Heard> {
        let mut buf = [0; 256];
        let id = TransactionId::from([7; 12]);
        let len = build(Writer::new(&mut buf, Class::Request, Method::BINDING, id)).finish().expect("room");
        let path = Path::udp(self.world.address(self.host, port), self.server);
        send(&mut self.world, self.host, path, &buf[..len]);
        self.world.run_for(secs(1));
        heard(&mut self.world, self.host)
    }

    fn help(&mut self, port: u16, wanted: Help) -> Help {
        let heard = self.ask(port, |writer| writer.put(&wanted));
        let [answer] = &heard[..] else { panic!("one answer: {heard:?}") };
        help_of(answer)
    }
}

fn help_of(answer: &Heard) -> Help {
    Message::parse(&answer.bytes).expect("STUN").find().expect("well formed").expect("HELP")
}

#[test]
fn one_address_with_two_ports_tells_filtering_by_port() {
    for (filtering, passes) in
        [(Dependence::Endpoint, true), (Dependence::Address, true), (Dependence::AddressAndPort, false)]
    {
        let mut lab = Lab::new(Behaviour { filtering, ..Behaviour::default() });
        assert_eq!(lab.help(5_000, Help::default()).other_port, ALTERNATE_PORT);
        let heard = lab.ask(5_000, |writer| writer.put(&ChangeRequest { ip: false, port: true }));
        assert_eq!(heard.len(), usize::from(passes), "{filtering:?}");
        assert!(heard.iter().all(|heard| heard.path.remote.port() == ALTERNATE_PORT));
    }
}

/// The mapping lives for a minute. Nothing comes in or goes out meanwhile.
#[test]
fn late_answers_tell_how_long_a_mapping_lives() {
    let lifetime = Span::from_millis(60_000);
    let mut lab = Lab::new(Behaviour { lifetime, ..Behaviour::default() });
    for (port, delay, arrives) in [(5_000, 50, true), (5_001, 70, false)] {
        let Help { token, .. } = lab.help(port, Help::default());
        assert_eq!(lab.help(port, Help { other_port: 0, delay, token }).delay, 600, "noted");
        lab.world.run_for(secs(u64::from(delay) + 5));
        let late = heard(&mut lab.world, lab.host);
        assert_eq!(late.len(), if arrives { 3 } else { 0 }, "after {delay} s");
        assert!(late.iter().all(|answer| help_of(answer).delay == delay));
    }
}
