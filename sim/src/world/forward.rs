//! What becomes of a packet on its way: from network to gateway to network, over the links between, until
//! a host gets it or it ends somewhere. Whoever drops it may tell its sender by ICMP.

use core::net::IpAddr;

use bradawl::machine::Unreachable;
use bradawl::time::{Duration, Instant};

use super::network::{NetworkId, Next, Owner};
use super::{Event, World};
use crate::link::{Carried, Link};
use crate::nat::{Dropped, Flow, Nat, Passed};
use crate::packet::{Body, Grief, HostId, Packet};
use crate::trace::{Drop, Place, What};

/// How long a neighbour that is not there is asked for: three tries, a second apart (RFC 4861 §10).
const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(3);

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// From an interface of a host to its network.
    FromHost(HostId, usize),
    /// From a network to an interface of a host in it.
    ToHost(HostId, usize),
    /// From a network's gateway to the network outside.
    OutOf(NetworkId),
    /// From the network outside to a network's gateway.
    Into(NetworkId),
}

impl World {
    /// A packet is in a network.
    pub(super) fn at_network(&mut self, at: NetworkId, packet: Box<Packet>) {
        let flow = packet.flow;
        match self.next(at, flow.destination.ip()) {
            Next::To(Owner::Host(host, port)) => self.carry(Way::ToHost(host, port), packet, flow, at),
            Next::To(Owner::Gateway(inside)) => self.carry(Way::Into(inside), packet, flow, at),
            Next::Up => self.out_of_network(at, packet),
            Next::Nowhere => {
                self.drop_packet(self.network(at).place, &packet, Drop::NoRoute);
                // Nobody on the internet answers for addresses that are nobody's.
                if self.is_local(at, flow.destination.ip())
                    && let Some(error) = self.complaint(&packet, flow, Grief::Unreachable(Unreachable::Host))
                {
                    self.schedule(self.now + NEIGHBOUR_PATIENCE, Event::AtNetwork(at, error));
                }
            }
        }
    }

    /// A packet goes through the gateway of the network it is in, outwards.
    fn out_of_network(&mut self, inside: NetworkId, mut packet: Box<Packet>) {
        let (now, sent_as) = (self.now, packet.flow);
        // Before the NAT has a look at it: what goes no further leaves no mapping.
        let by = self.network(inside).range.router(sent_as.source.ip());
        if !self.passes_on(inside, inside, &mut packet, sent_as, by) {
            return;
        }
        let Some(uplink) = self.networks[inside.0 as usize].gateway.as_deref_mut() else { return };
        let place = uplink.place;
        if let Body::Error { offending, what } = &mut packet.body {
            let Some(outer) = uplink.error_outbound(now, *offending) else {
                return self.drop_packet(place, &packet, Drop::Nat(Dropped::NoMapping));
            };
            // Outside, what a private address says comes from the NAT (RFC 5508 §4.2).
            if let Grief::Expired { by } = what
                && outer != *offending
            {
                *by = outer.destination.ip();
            }
            *offending = outer;
            packet.flow = Flow::udp(outer.destination, sent_as.destination);
            return self.carry(Way::OutOf(inside), packet, sent_as, inside);
        }
        let passed = match uplink.outbound(now, sent_as) {
            Ok(passed) => passed,
            Err((why, is_told)) => return self.refuse(inside, place, &packet, why, is_told),
        };
        if let Some((private, public)) = uplink.nat.as_mut().and_then(Nat::take_opened) {
            self.record(place, &packet, What::Mapped { inside: private, public });
        }
        match passed {
            Passed::Across(flow) => {
                if flow != sent_as {
                    self.record(place, &packet, What::Crossed(flow));
                    packet.flow = flow;
                }
                self.carry(Way::OutOf(inside), packet, sent_as, inside);
            }
            Passed::Hairpin(flow) => {
                self.record(place, &packet, What::TurnedRound(flow));
                packet.flow = flow;
                self.at_network(inside, packet);
            }
        }
    }

    /// A packet has come to the gateway of a network from outside.
    pub(super) fn enter_network(&mut self, inside: NetworkId, mut packet: Box<Packet>) {
        let now = self.now;
        let router = self.network(inside).range.router(packet.flow.destination.ip());
        let Some(uplink) = self.uplink(inside) else { return };
        let (place, outside, sent_as) = (uplink.place, uplink.outside, packet.flow);
        let by = uplink.outside_address(sent_as.destination.ip()).or(router);
        if let Body::Error { offending, .. } = &mut packet.body {
            let Some(inner) = uplink.error_inbound(now, *offending) else {
                return self.drop_packet(place, &packet, Drop::Nat(Dropped::NoMapping));
            };
            *offending = inner;
            packet.flow = Flow::udp(sent_as.source, inner.source);
            if self.passes_on(inside, outside, &mut packet, sent_as, by) {
                self.at_network(inside, packet);
            }
            return;
        }
        match uplink.inbound(now, sent_as) {
            Err((why, is_told)) => return self.refuse(outside, place, &packet, why, is_told),
            Ok(flow) if flow == sent_as => {}
            Ok(flow) => {
                self.record(place, &packet, What::Crossed(flow));
                packet.flow = flow;
            }
        }
        // After the NAT: what it has no mapping for is for the gateway itself, and comes to its end there.
        if self.passes_on(inside, outside, &mut packet, sent_as, by) {
            self.at_network(inside, packet);
        }
    }

    /// Whether the gateway of `inside` passes a packet on. If it has passed as many as it may already, its
    /// sender is told so by the address `by`, in the network `told_in` that it came from, where it was
    /// `sent_as` (RFC 792, RFC 4443 §3.3).
    fn passes_on(
        &mut self,
        inside: NetworkId,
        told_in: NetworkId,
        packet: &mut Packet,
        sent_as: Flow,
        by: Option<IpAddr>,
    ) -> bool {
        packet.hops = packet.hops.saturating_sub(1);
        if packet.hops > 0 {
            return true;
        }
        let network = self.network(inside);
        let place = network.gateway.as_ref().map_or(network.place, |uplink| uplink.place);
        self.drop_packet(place, packet, Drop::Hops);
        if let Some(by) = by {
            self.complain(told_in, packet, sent_as, Grief::Expired { by });
        }
        false
    }

    /// Over a link, to whatever comes then. A packet that is too big was `sent_as` in the network
    /// `told_in`, which tells its sender (RFC 1191).
    pub(super) fn carry(&mut self, way: Way, packet: Box<Packet>, sent_as: Flow, told_in: NetworkId) {
        let now = self.now;
        let Some((place, link)) = self.link(way) else { return };
        let mtu = link.quality().mtu;
        match link.carry(now, packet.size()) {
            Carried::Arrives { first, again } => {
                if let Some(again) = again {
                    let copy = self.arrival(way, packet.clone());
                    self.schedule(again, copy);
                }
                let arrival = self.arrival(way, packet);
                self.schedule(first, arrival);
            }
            Carried::Lost(loss) => {
                self.drop_packet(place, &packet, loss.into());
                if Drop::from(loss) == Drop::TooBig {
                    self.complain(told_in, &packet, sent_as, Grief::TooBig { mtu });
                }
            }
        }
    }

    fn link(&mut self, way: Way) -> Option<(Place, &mut Link)> {
        match way {
            Way::FromHost(host, port) | Way::ToHost(host, port) => {
                let host = &mut self.hosts[host.0 as usize];
                let port = host.ports.get_mut(port)?;
                let link = if matches!(way, Way::FromHost(..)) { &mut port.up } else { &mut port.down };
                Some((host.place, link))
            }
            Way::OutOf(inside) => self.uplink(inside).map(|uplink| (uplink.place, &mut uplink.up)),
            Way::Into(inside) => self.uplink(inside).map(|uplink| (uplink.place, &mut uplink.down)),
        }
    }

    /// What happens at the end of the link.
    fn arrival(&self, way: Way, packet: Box<Packet>) -> Event {
        match way {
            Way::FromHost(host, port) => {
                Event::AtNetwork(self.hosts[host.0 as usize].ports[port].network, packet)
            }
            Way::ToHost(host, _) => Event::AtHost(host, packet),
            Way::OutOf(inside) => {
                let outside =
                    self.network(inside).gateway.as_ref().map_or(Self::INTERNET, |uplink| uplink.outside);
                Event::AtNetwork(outside, packet)
            }
            Way::Into(inside) => Event::IntoNetwork(inside, packet),
        }
    }

    fn refuse(&mut self, at: NetworkId, place: Place, packet: &Packet, why: Drop, is_told: bool) {
        self.drop_packet(place, packet, why);
        if is_told {
            self.complain(at, packet, packet.flow, Grief::Unreachable(Unreachable::Prohibited));
        }
    }

    /// Tells the sender of a packet what became of it: an ICMP packet goes back from the network `at`,
    /// where the packet looked like `offending`.
    pub(super) fn complain(&mut self, at: NetworkId, packet: &Packet, offending: Flow, what: Grief) {
        if let Some(error) = self.complaint(packet, offending, what) {
            self.at_network(at, error);
        }
    }

    /// The packet that says so. Nobody complains of a complaint (RFC 1122 §3.2.2).
    pub(super) fn complaint(&mut self, packet: &Packet, offending: Flow, what: Grief) -> Option<Box<Packet>> {
        if matches!(packet.body, Body::Error { .. }) {
            return None;
        }
        let back = Flow::udp(offending.destination, offending.source);
        Some(Box::new(Packet::new(self.next_packet_id(), back, Body::Error { offending, what })))
    }

    pub(super) fn next_packet_id(&mut self) -> u64 {
        self.packets += 1;
        self.packets
    }

    pub(super) fn record(&mut self, place: Place, packet: &Packet, what: What) {
        self.check.packet(self.now, place, packet, &what);
        self.log.packet(self.now, place, packet, what);
    }

    pub(super) fn drop_packet(&mut self, place: Place, packet: &Packet, why: Drop) {
        self.record(place, packet, What::Dropped(why));
    }

    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.queue.push(at, event);
    }
}
