//! Who may send to a mapping (RFC 5780 §4.4)?
//!
//! A socket speaks to one address of a server and asks for answers from elsewhere. One that comes from
//! an IP address that the socket has never sent to shows that the filter asks for nothing; one from
//! another port of the same address, that it does not ask for the port. That neither comes shows the
//! opposite only as far as it was not lost, and only if that other address works: the punching socket
//! has asked it directly.

use core::net::SocketAddr;

use super::{Insiders, found};
use crate::discovery::probe::{Ask, Probes};
use crate::discovery::server::{Loss, Server};
use crate::discovery::{Axis, Dependence};
use crate::time::Instant;

/// What one answer from an address that was never sent to is worth, and each further one.
const HEARD: u32 = 24;
const HEARD_AGAIN: u32 = 6;

/// Fewer questions without an answer than this say nothing.
const LEAST_SILENCE: u32 = 3;

/// What the silence of a single server is worth at most: it may be one that never answers from elsewhere,
/// though it says that it does.
const ONE_SERVER: u32 = 18;

/// What became of the questions of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    heard: u32,
    silent: u32,
    /// The servers that were silent, a bit for each.
    servers: u16,
}

impl Tally {
    /// What the silence is worth.
    fn silence(self, loss: Loss) -> u32 {
        let bits = loss.silence(self.silent);
        if self.servers.count_ones() > 1 { bits } else { bits.min(ONE_SERVER) }
    }
}

/// What the filter depends on, seen from all sockets but the one that punches.
pub(in crate::discovery) fn filtering(
    probes: &Probes,
    servers: &[Server],
    loss: Loss,
    now: Instant,
) -> Axis<Dependence> {
    let (mut elsewhere, mut other_port) = (Tally::default(), Tally::default());
    let insiders = Insiders::of(probes);
    for probe in probes.iter().filter(|probe| !insiders.contains(probe.server)) {
        let Some(server) = servers.get(usize::from(probe.server)) else { continue };
        let alternate = match probe.ask {
            Ask::OtherAddress => server.other,
            Ask::OtherPort => server.other_port,
            _ => continue,
        };
        match probe.reply {
            // It does not know what it was asked for, or answers as if it had not been.
            Some(reply) if reply.mapped.is_none() || reply.from == probe.to => {}
            // By the time it came, the socket had let it in.
            Some(reply) if probes.has_opened(probe, reply) => {}
            Some(reply) if reply.from.ip() != probe.to.ip() => elsewhere.heard += 1,
            Some(_) => other_port.heard += 1,
            None => {
                let is_over = server.silent_from(probe).is_some_and(|over| over <= now);
                let works = alternate.is_some_and(|alternate| is_heard(probes, alternate));
                if is_over && works && !refuses(probes, probe.server, probe.ask) {
                    let tally = if probe.ask == Ask::OtherPort { &mut other_port } else { &mut elsewhere };
                    tally.silent += 1;
                    tally.servers |= 1 << probe.server;
                }
            }
        }
    }
    conclude(elsewhere, other_port, loss)
}

fn conclude(elsewhere: Tally, other_port: Tally, loss: Loss) -> Axis<Dependence> {
    let heard = |tally: Tally| HEARD + HEARD_AGAIN * (tally.heard - 1);
    if elsewhere.heard > 0 {
        return found(Dependence::Endpoint, heard(elsewhere));
    }
    if other_port.heard > 0 {
        let silence = elsewhere.silence(loss);
        // With a server that has one IP address only nobody can tell.
        let can_tell = elsewhere.silent >= LEAST_SILENCE;
        return can_tell.then(|| found(Dependence::Address, silence.min(heard(other_port)))).flatten();
    }
    let can_tell = other_port.silent >= LEAST_SILENCE;
    can_tell.then(|| found(Dependence::AddressAndPort, other_port.silence(loss))).flatten()
}

/// Whether anybody has had an answer from there to a direct question.
fn is_heard(probes: &Probes, alternate: SocketAddr) -> bool {
    probes.iter().any(|probe| probe.to == alternate && probe.mapped().is_some())
}

/// Whether the server has shown that it does not answer from there. One with a single IP address may
/// refuse to answer from another, and answer from its other port all the same.
fn refuses(probes: &Probes, server: u8, ask: Ask) -> bool {
    probes
        .iter()
        .filter(|probe| probe.server == server && probe.ask == ask)
        .any(|probe| probe.reply.is_some_and(|reply| reply.mapped.is_none() || reply.from == probe.to))
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::filtering;
    use crate::discovery::probe::{Ask, Probe, Probes, Reply, Said};
    use crate::discovery::server::{Loss, Server};
    use crate::rng::Rng;
    use crate::time::{Duration, Instant};

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    /// A mediator whose other address is a partner's, far away, behind a NAT that lets in everybody: what it
    /// hands over comes later than its own answers.
    #[test]
    fn silence_of_a_partner_far_away_says_nothing_before_its_answer_could_have_come() {
        let [first, port, partner, local, mapped] =
            ["192.0.2.1:3478", "192.0.2.1:3479", "198.51.100.2:3479", "10.0.0.1:5000", "203.0.113.9:5000"]
                .map(|text| text.parse().expect("an address"));
        let said = Said { mapped: Some(mapped), other: Some(partner), help: None };
        let mut server = Server::new(first);
        server.learn(&said, Duration::from_millis(10), local);
        server.hear_other(Duration::from_millis(100));
        let mut rng = Rng::from_seed([1; 32]);
        let mut probes = Probes::new(&mut rng);
        let mut send = |socket, ask, to, answer: Option<(u64, SocketAddr)>| {
            let reply = answer.map(|(millis, from)| Reply { at: at(millis), from, mapped: Some(mapped) });
            let probe = Probe { ask, socket, local, server: 0, to, sent: at(0), reply };
            probes.send(&mut rng, probe, &mut [0; 100]).expect("room");
        };
        send(0, Ask::Plain, partner, Some((100, partner)));
        for _ in 0..12 {
            send(5, Ask::OtherPort, first, Some((10, port)));
            send(5, Ask::OtherAddress, first, None);
        }
        let found = |millis| filtering(&probes, &[server], Loss::default(), at(millis));
        assert_eq!(found(100), None, "its answer is on the way");
        assert!(found(130).is_some_and(|finding| finding.value == super::Dependence::Address));
    }

    /// Seen behind a firewall with a busy machine: the answer that was asked for from elsewhere took its
    /// time, and came through the hole that the direct question had made meanwhile.
    #[test]
    fn an_answer_from_elsewhere_that_comes_after_its_socket_sent_there_says_nothing() {
        let [first, second, local, mapped] =
            ["192.0.2.1:3478", "192.0.2.2:3479", "10.0.0.1:5000", "203.0.113.9:5000"]
                .map(|text| text.parse().expect("an address"));
        let mut server = Server::new(first);
        server.learn(
            &Said { mapped: Some(mapped), other: Some(second), help: None },
            Duration::from_millis(20),
            local,
        );
        for (opened, expected) in [(at(30), None), (at(50), Some(super::Dependence::Endpoint))] {
            let mut rng = Rng::from_seed([1; 32]);
            let mut probes = Probes::new(&mut rng);
            let mut send = |ask, to, sent, reply| {
                let probe = Probe { ask, socket: 5, local, server: 0, to, sent, reply };
                probes.send(&mut rng, probe, &mut [0; 100]).expect("room");
            };
            let reply = Reply { at: at(40), from: second, mapped: Some(mapped) };
            send(Ask::OtherAddress, first, at(0), Some(reply));
            send(Ask::Plain, second, opened, None);
            let found = filtering(&probes, &[server], Loss::default(), at(100));
            assert_eq!(found.map(|finding| finding.value), expected, "the hole was made at {opened:?}");
        }
    }

    /// One that says that it answers from elsewhere, and whose provider lets nothing out from there.
    #[test]
    fn silence_of_a_single_server_is_never_sure() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut probes = Probes::new(&mut rng);
        let mut servers = [1, 2].map(|host| Server::new(([192, 0, 2, host], 3478).into()));
        let [local, mapped] =
            ["10.0.0.1:5000", "203.0.113.9:5000"].map(|text| text.parse().expect("an address"));
        for server in &mut servers {
            let other = Some(([198, 51, 100, 9], 3479).into());
            let said = Said { mapped: Some(mapped), other, help: None };
            server.learn(&said, Duration::from_millis(20), local);
        }
        let mut ask = |server: u8, ask, to, is_heard: bool| {
            let reply = is_heard.then_some(Reply { at: at(20), from: to, mapped: Some(mapped) });
            let probe = Probe { ask, socket: server, local, server, to, sent: at(0), reply };
            probes.send(&mut rng, probe, &mut [0; 100]).expect("room");
        };
        for (number, server) in servers.iter().enumerate() {
            ask(number as u8, Ask::Plain, server.other_port.expect("it has one"), true);
            for _ in 0..20 {
                ask(number as u8, Ask::Plain, server.address, true);
            }
        }
        for server in 0..2 {
            for _ in 0..15 {
                ask(server, Ask::OtherPort, servers[usize::from(server)].address, false);
            }
        }
        let sure = |servers: &[Server]| {
            let loss = Loss::of(&probes, servers, at(1_000));
            let found = filtering(&probes, servers, loss, at(1_000)).expect("so much silence");
            assert_eq!(found.value, super::Dependence::AddressAndPort);
            found.confidence.is_sure()
        };
        assert_eq!((sure(&servers[..1]), sure(&servers)), (false, true));
    }
}
