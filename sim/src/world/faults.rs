//! What goes wrong on purpose, and the stranger who means harm.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use bradawl::time::Duration;

use super::host::Told;
use super::network::{NetworkId, Owner};
use super::{Event, HostId, World};
use crate::nat::Flow;
use crate::packet::{Body, Packet};
use crate::scenario::{Mishap, STRANGERS};
use crate::trace::What;

/// The pause between two packets of a stranger.
const EVIL_PAUSE: Duration = Duration::from_millis(7);

/// How many packets the stranger keeps in mind.
const MEMORY: usize = 64;

/// Something that goes wrong, ready to happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    HostDown(HostId, Duration),
    NetworkDown(NetworkId, Duration),
    Reboot(NetworkId),
    Readdress(HostId),
    Sleep(HostId, Duration),
    Restart(HostId, Duration),
    Evil(HostId, u16),
    /// It names something that is not there: nothing happens.
    Nothing,
}

impl Trouble {
    pub(super) fn of(
        mishap: &Mishap,
        networks: &BTreeMap<String, NetworkId>,
        hosts: &BTreeMap<String, HostId>,
    ) -> Self {
        let host = |name: &String| hosts.get(name).copied();
        let trouble = match mishap {
            Mishap::Down { of, time } => host(of)
                .map(|host| Self::HostDown(host, time.duration()))
                .or_else(|| networks.get(of).map(|&network| Self::NetworkDown(network, time.duration()))),
            Mishap::Reboot(network) => networks.get(network).copied().map(Self::Reboot),
            Mishap::Readdress(name) => host(name).map(Self::Readdress),
            Mishap::Sleep { of, time } => host(of).map(|host| Self::Sleep(host, time.duration())),
            Mishap::Restart { of, time } => host(of).map(|host| Self::Restart(host, time.duration())),
            Mishap::Evil { to, packets } => host(to).map(|host| Self::Evil(host, *packets)),
        };
        trouble.unwrap_or(Self::Nothing)
    }
}

impl World {
    /// The gateway of a network forgets everything, now.
    pub fn reboot(&mut self, network: NetworkId) {
        self.strike(Trouble::Reboot(network));
    }

    pub(super) fn strike(&mut self, trouble: Trouble) {
        let now = self.now;
        let (place, text, end) = match trouble {
            Trouble::Nothing => return,
            Trouble::HostDown(host, time) => {
                for port in &mut self.host_mut(host).ports {
                    port.up.set_down(now + time);
                    port.down.set_down(now + time);
                }
                (self.host_mut(host).place, format!("link down for {time:?}"), now + time)
            }
            Trouble::NetworkDown(network, time) => {
                let Some(uplink) = self.uplink(network) else { return };
                uplink.up.set_down(now + time);
                uplink.down.set_down(now + time);
                (uplink.place, format!("link down for {time:?}"), now + time)
            }
            Trouble::Reboot(network) => {
                let Some(uplink) = self.uplink(network) else { return };
                uplink.reboot();
                let place = uplink.place;
                self.check.rebooted(place);
                (place, "rebooted".to_owned(), now)
            }
            Trouble::Readdress(host) => {
                self.readdress(host);
                (self.host_mut(host).place, "other addresses".to_owned(), now)
            }
            Trouble::Sleep(host, time) => {
                let this = self.host_mut(host);
                let end = this.away_until.max(now + time);
                if this.running().is_some() || this.asleep_since.is_some() {
                    this.asleep_since.get_or_insert(now);
                    this.away_until = end;
                    self.schedule(end, Event::WakeUp(host));
                }
                (self.host_mut(host).place, format!("sleeps for {time:?}"), end)
            }
            Trouble::Restart(host, time) => {
                let this = self.host_mut(host);
                let end = this.away_until.max(now + time);
                this.stop();
                this.away_until = end;
                self.check.restarted(end, host);
                self.schedule(end, Event::Start(host));
                (self.host_mut(host).place, format!("killed, back after {time:?}"), end)
            }
            Trouble::Evil(host, packets) => {
                self.schedule(now, Event::Evil(host, packets));
                let end = now + EVIL_PAUSE * u32::from(packets);
                (self.host_mut(host).place, format!("a stranger sends {packets} packets"), end)
            }
        };
        self.check.fault(end);
        self.log.note(now, place, What::Fault(text));
    }

    /// A host wakes up, and is told for how long it was away.
    pub(super) fn wake_up(&mut self, host: HostId) {
        let now = self.now;
        let this = self.host_mut(host);
        // Killed meanwhile, or put to sleep for longer.
        if now < this.away_until {
            return;
        }
        let Some(since) = this.asleep_since.take() else { return };
        self.poll_streams(host);
        // What it slept through: its addresses may be others now.
        let interfaces = self.interfaces(host);
        self.tell(host, Told::Interfaces(interfaces).as_input());
        self.tell(host, Told::ClockJumped(now.since(since)).as_input());
    }

    /// All addresses of a host go, and others come.
    fn readdress(&mut self, host: HostId) {
        let ports = self.hosts[host.0 as usize].ports.len();
        for index in 0..ports {
            let mut own: BTreeSet<IpAddr> = self.hosts[host.0 as usize].addresses().collect();
            let port = &self.hosts[host.0 as usize].ports[index];
            let (network, old) = (port.network, port.addresses.clone());
            let mut new = Vec::with_capacity(old.len());
            for address in old {
                let other = self.new_address(network, address.is_ipv4(), &mut own);
                // Where there is none left, it keeps what it has.
                let other = other.unwrap_or(address);
                self.unroute(network, address);
                self.route(network, other, Owner::Host(host, index));
                new.push(other);
            }
            self.hosts[host.0 as usize].ports[index].addresses = new;
        }
        let this = self.host_mut(host);
        this.has_moved = true;
        this.forget_sockets();
        let interfaces = self.interfaces(host);
        self.tell(host, Told::Interfaces(interfaces).as_input());
    }

    /// The stranger sees what is on the internet, and keeps the last of it in mind.
    pub(super) fn overhear(&mut self, at: NetworkId, packet: &Packet) {
        if at == Self::INTERNET
            && let Some(overheard) = &mut self.overheard
            && matches!(packet.body, Body::Datagram(_))
        {
            if overheard.len() == MEMORY {
                overheard.pop_front();
            }
            overheard.push_back(packet.clone());
        }
    }

    /// One packet of the stranger's: somebody's packet to this host again, the same from elsewhere, the
    /// same garbled, or noise; always to where the host really is, as seen from the internet.
    pub(super) fn be_evil(&mut self, host: HostId, left: u16) {
        let Some(left) = left.checked_sub(1) else { return };
        self.schedule(self.now + EVIL_PAUSE, Event::Evil(host, left));
        let towards: Vec<&Packet> =
            self.overheard.iter().flatten().filter(|packet| self.is_near(host, packet)).collect();
        let Some(&seen) = towards.get(self.rng.below(towards.len() as u64) as usize) else { return };
        let mut packet = seen.clone();
        let lair = STRANGERS[usize::from(packet.flow.destination.is_ipv6())];
        let elsewhere = Flow::udp(SocketAddr::new(lair, 666), packet.flow.destination);
        let Body::Datagram(bytes) = &mut packet.body else { return };
        let kind = self.rng.below(4);
        match kind {
            0 => {}
            1 => packet.flow = elsewhere,
            2 => {
                let at = self.rng.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.rng.below(8);
                }
            }
            _ => {
                packet.flow = elsewhere;
                let noise: [u8; 64] = self.rng.bytes();
                *bytes = noise[..1 + self.rng.below(63) as usize].to_vec();
            }
        }
        if kind != 0 {
            packet.id = self.next_packet_id();
        }
        packet.hops = Packet::HOPS;
        // Whatever it says, its sender is nobody whose path anybody uses.
        packet.origin = None;
        self.at_network(Self::INTERNET, Box::new(packet));
    }

    /// Whether a packet on the internet was on its way to a host, or to a NAT in front of it.
    fn is_near(&self, host: HostId, packet: &Packet) -> bool {
        let ip = packet.flow.destination.ip();
        let host = &self.hosts[host.0 as usize];
        host.addresses().any(|address| address == ip)
            || host.ports.iter().any(|port| {
                let mut network = port.network;
                while let Some(uplink) = &self.network(network).gateway {
                    if uplink.nat.as_ref().is_some_and(|nat| nat.owns(ip)) {
                        return true;
                    }
                    network = uplink.outside;
                }
                false
            })
    }
}
