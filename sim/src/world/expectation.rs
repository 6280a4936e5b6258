//! What the oracle has to know of a world: everything that stands between two hosts, on each way on which
//! they might meet, and how long the certain may take.

use core::net::IpAddr;

use bradawl::time::Duration;

use super::network::NetworkId;
use super::{HostId, World};
use crate::check::OFTEN;
use crate::firewall::{Inbound, Outbound};
use crate::link::Quality;
use crate::nat::{Allocation, Behaviour, Dependence, Hairpin, Pooling};
use crate::oracle::{Expectation, Side, plain};
use crate::trace::Strategy;
use crate::units::{Chance, Span};

/// How likely it is that a port is preserved which nobody but chance takes: two hosts with the same one
/// behind the same NAT are rare.
const USUALLY_FREE: Chance = Chance::percent(98);

/// How many mappings a host of the scripts may need at once: sockets × (servers and addresses of the peer).
const ENOUGH_MAPPINGS: u32 = 256;

/// How many blocks of ports there have to be, one for each host behind a NAT that gives blocks.
const ENOUGH_BLOCKS: u32 = 32;

/// What all links between the two and their server lose together, in a million: up to the first nothing is
/// less certain, and up to the second it still works as often as this.
const SOME_LOSS: u32 = 100_000;
const MUCH_LOSS: u32 = 500_000;
const DESPITE_LOSS: Chance = Chance::percent(90);

/// How slow a link may be before checks wait for one another, and how few bytes may wait.
const SLOW: Span = Span::from_millis(20);
const SHORT_QUEUE: u32 = 8_192;

/// How long all links together may take before the scripts, whose patience is that of people, lose theirs.
const FAR: Duration = Duration::from_millis(1_900);

/// An address of a host and the network that it is in.
#[derive(Clone, Copy)]
struct End {
    network: NetworkId,
    address: IpAddr,
}

impl World {
    /// What must become of two hosts, and how long that may take (invariant 3).
    pub(super) fn expectation(&self, (a, b): (HostId, HostId)) -> (Expectation, Duration) {
        let links = self.links_between(a, b);
        let one_way: Duration = links.iter().map(|link| link.delay.duration() + link.jitter.duration()).sum();
        let loss = links.iter().map(|link| link.loss.ppm()).sum::<u32>();
        let is_lossy = links.iter().any(|link| link.loss != Chance::NEVER);
        let is_rough = links.iter().any(|link| {
            let is_slow = link.rate.is_some_and(|rate| rate.time_for(200) > SLOW);
            let is_short = link.rate.is_some() && link.queue < SHORT_QUEUE;
            let is_late = link.reorder != Chance::NEVER && link.hold > Span::from_secs(1);
            link.burst != Chance::NEVER || is_slow || is_short || is_late || link.mtu < 1_280
        }) || one_way > FAR;
        let patience = super::setup::patience(one_way * 2, is_lossy);
        if ![a, b].into_iter().all(|host| self.reaches_server(host)) {
            return (Expectation::Impossible("nobody can introduce them"), patience);
        }
        if ![a, b].into_iter().all(|host| self.is_served(host)) {
            return (Expectation::Probable(Chance::NEVER), patience);
        }
        let mut best: Option<Expectation> = None;
        for ours in self.ends(a) {
            for theirs in self.ends(b) {
                if ours.address.is_ipv4() == theirs.address.is_ipv4() {
                    let way = self.between(ours, theirs, self.hosts[a.0 as usize].server);
                    best = Some(best.map_or(way, |best| best.or(way)));
                }
            }
        }
        let mut best = best.unwrap_or(Expectation::Impossible("they have no address family in common"));
        // What a bad link makes unlikely is no fault of the peers.
        best = match best {
            Expectation::Certain(_) | Expectation::Probable(_) if is_rough || loss > MUCH_LOSS => {
                Expectation::Probable(Chance::NEVER)
            }
            Expectation::Certain(_) if loss > SOME_LOSS => Expectation::Probable(DESPITE_LOSS),
            Expectation::Probable(chance) if loss > SOME_LOSS => {
                Expectation::Probable(chance.min(DESPITE_LOSS))
            }
            other => other,
        };
        (best, patience)
    }

    /// Whether a host can send to its server at all.
    fn reaches_server(&self, host: HostId) -> bool {
        let server = self.hosts[host.0 as usize].server;
        self.ends(host).into_iter().any(|end| {
            self.has_server(end.address.is_ipv4(), server)
                && self.uplinks(end.network).all(|uplink| uplink.wall.firewall().outbound == Outbound::All)
        })
    }

    /// Whether nothing but links stands between a host and its server's answers: the server is where
    /// everybody can reach it and was told to find it, and all NATs in front of the host are sane.
    fn is_served(&self, host: HostId) -> bool {
        let host = &self.hosts[host.0 as usize];
        let Some(server) = host.server.map(|server| &self.hosts[server.0 as usize]) else { return false };
        let is_public = server.ports.iter().all(|port| port.network == Self::INTERNET);
        let mut uplinks = host.ports.iter().flat_map(|port| self.uplinks(port.network));
        is_public
            && !server.has_moved
            && uplinks.all(|uplink| uplink.nat.as_ref().is_none_or(|nat| is_sane(nat.behaviour())))
    }

    fn ends(&self, host: HostId) -> Vec<End> {
        let ports = self.hosts[host.0 as usize].ports.iter();
        ports
            .flat_map(|port| port.addresses.iter().map(|&address| End { network: port.network, address }))
            .collect()
    }

    /// All links that a packet between two hosts, or from them to their server, may have to take.
    fn links_between(&self, a: HostId, b: HostId) -> Vec<&Quality> {
        let servers = [a, b].map(|host| self.hosts[host.0 as usize].server);
        let hosts = [Some(a), Some(b)].into_iter().chain(servers).flatten();
        let mut links = Vec::new();
        for host in hosts {
            for port in &self.hosts[host.0 as usize].ports {
                links.push(port.up.quality());
                links.extend(self.uplinks(port.network).map(|uplink| uplink.up.quality()));
            }
        }
        links
    }

    /// A network and those outside of it, up to the internet.
    fn outwards(&self, network: NetworkId) -> Vec<NetworkId> {
        let outer = self.uplinks(network).map(|uplink| uplink.outside);
        core::iter::once(network).chain(outer).collect()
    }

    /// What must become of two addresses.
    fn between(&self, a: End, b: End, server: Option<HostId>) -> Expectation {
        let is_ipv4 = a.address.is_ipv4();
        let (way_a, way_b) = (self.outwards(a.network), self.outwards(b.network));
        let Some(meeting) = way_a.iter().find(|network| way_b.contains(network)).copied() else {
            return Expectation::Impossible("there is no way between them");
        };
        if a.network == b.network {
            return Expectation::Certain(Strategy::Host);
        }
        if !self.has_server(is_ipv4, server) {
            return Expectation::Probable(Chance::NEVER);
        }
        let [side_a, side_b] = [(a, b), (b, a)].map(|(end, other)| self.side(end, other, meeting, is_ipv4));
        let (side_a, side_b) = match (side_a, side_b) {
            (Err(why), _) | (_, Err(why)) => return why,
            (Ok(a), Ok(b)) => (a, b),
        };
        let direct = plain(side_a, side_b);
        // Above where they meet there may be one more NAT, which can turn their packets round.
        let turned = self.uplinks(meeting).filter(|uplink| uplink.nat.is_some() && is_ipv4).last();
        match turned.and_then(|uplink| uplink.nat.as_ref()) {
            None => direct,
            Some(nat) if nat.behaviour().hairpin == Hairpin::ExternalSource => {
                let [over_a, over_b] =
                    [(a, b), (b, a)].map(|(end, other)| self.side(end, other, Self::INTERNET, is_ipv4));
                match (over_a, over_b) {
                    (Ok(over_a), Ok(over_b)) => direct.or(plain(over_a, over_b)),
                    (Err(why), _) | (_, Err(why)) => direct.or(why),
                }
            }
            Some(nat) if nat.behaviour().hairpin == Hairpin::InternalSource => {
                direct.or(Expectation::Probable(Chance::NEVER))
            }
            Some(_) => direct,
        }
    }

    fn has_server(&self, is_ipv4: bool, server: Option<HostId>) -> bool {
        server.is_some_and(|server| {
            self.hosts[server.0 as usize].addresses().any(|address| address.is_ipv4() == is_ipv4)
        })
    }

    /// One side of a path that meets the other in the network `meeting`.
    fn side(&self, end: End, other: End, meeting: NetworkId, is_ipv4: bool) -> Result<Side, Expectation> {
        let mut side = Side::OPEN;
        let mut at = end.network;
        for uplink in self.uplinks(end.network) {
            if at == meeting {
                break;
            }
            at = uplink.outside;
            let firewall = uplink.wall.firewall();
            if firewall.outbound != Outbound::All {
                return Err(Expectation::Impossible("a firewall blocks UDP"));
            }
            match uplink.nat.as_ref().filter(|_| is_ipv4) {
                Some(nat) => add_nat(&mut side, nat.behaviour(), nat.addresses().len())?,
                None if firewall.inbound == Inbound::Stateful => {
                    side.filtering = Dependence::AddressAndPort;
                    if firewall.lifetime < OFTEN {
                        return Err(Expectation::Probable(Chance::NEVER));
                    }
                }
                None => {}
            }
        }
        // What the server sees means something in this network if nothing translates above it. A host's own
        // address does if nothing translates on the way there, and nobody on the way takes it for his own.
        let means_something = !self.uplinks(meeting).any(|uplink| uplink.nat.is_some() && is_ipv4);
        let is_own = !is_ipv4 || self.realm(end.network) == self.realm(meeting);
        let mut below = self.outwards(other.network).into_iter().take_while(|&network| network != meeting);
        let is_taken = below.any(|network| self.is_local(network, end.address));
        side.is_known = means_something || is_own && !is_taken;
        Ok(side)
    }
}

/// One more NAT on the way: it can only make things harder.
fn add_nat(side: &mut Side, nat: &Behaviour, addresses: usize) -> Result<(), Expectation> {
    let keeps_open = nat.refresh_outbound || nat.refresh_inbound;
    if !is_sane(nat) || nat.early || !keeps_open {
        return Err(Expectation::Probable(Chance::NEVER));
    }
    if nat.mapping != Dependence::Endpoint {
        let preserves = nat.overload && matches!(nat.allocation, Allocation::Preserve(_)) && nat.crowd == 0;
        let is_first = side.mapping == Dependence::Endpoint;
        side.preserves = match (preserves && !nat.parity, is_first, side.preserves) {
            (true, true, _) => Some(USUALLY_FREE),
            (true, false, before) => before,
            (false, ..) => None,
        };
    }
    side.mapping = side.mapping.max(nat.mapping);
    side.filtering = side.filtering.max(nat.filtering);
    side.is_paired &= addresses == 1 || nat.pooling == Pooling::Paired;
    Ok(())
}

/// Whether a NAT has mappings and ports for all hosts of a scenario and the strangers behind it, and keeps
/// them for a while.
fn is_sane(nat: &Behaviour) -> bool {
    let lifetimes = [Some(nat.lifetime), nat.unreplied, nat.filter_lifetime];
    let is_fragile = lifetimes.into_iter().flatten().any(|lifetime| lifetime < OFTEN);
    let has_blocks = match nat.allocation {
        Allocation::Block { size } => {
            let size = u32::from(size);
            nat.crowd == 0 && size >= ENOUGH_MAPPINGS && nat.ports.len() / size >= ENOUGH_BLOCKS
        }
        _ => true,
    };
    let strangers = u64::from(nat.crowd) * (nat.lifetime.as_micros() / 1_000_000 + 1);
    let room = u64::from(nat.capacity.min(nat.ports.len()));
    nat.capacity.min(nat.per_host) >= ENOUGH_MAPPINGS
        && nat.ports.len() >= 4_096
        && strangers * 2 <= room
        && has_blocks
        && !is_fragile
}
