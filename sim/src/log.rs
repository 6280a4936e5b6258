//! Writes the [`Trace`] of a run while it runs, and its digest.
//!
//! Every record goes into the digest as bytes in a fixed order, and so does every byte that a host
//! sends; so the digest is the same on every platform, and two runs that share it have done the same.

use core::hash::{BuildHasher, Hasher as _};
use core::net::{IpAddr, SocketAddr};

use bradawl::hash::Keyed;
use bradawl::rng::Rng;
use bradawl::time::Instant;

use crate::nat::{Dropped, Flow, Protocol};
use crate::packet::{Body, Packet};
use crate::trace::{
    Digest, Drop, Happened, Place, PlaceKind, PlaceName, Record, Strategy, Trace, Warrant, What,
};

/// How many records are kept at most, so that no run takes gigabytes.
pub(crate) const MAX_RECORDS: usize = 1_000_000;

type Hasher = <Keyed as BuildHasher>::Hasher;

/// What is written down while a world runs.
#[derive(Debug)]
pub(crate) struct Log {
    trace: Trace,
    is_kept: bool,
    hasher: Hasher,
}

impl Log {
    pub(crate) fn new(is_kept: bool) -> Self {
        // Any key will do, as long as it is always the same.
        let hasher = Keyed::new(&mut Rng::from_seed([0; 32])).build_hasher();
        Self { trace: Trace { places: Vec::new(), records: Vec::new() }, is_kept, hasher }
    }

    pub(crate) fn add_place(&mut self, name: &str, kind: PlaceKind) -> Place {
        self.trace.places.push(PlaceName { name: name.to_owned(), kind });
        Place((self.trace.places.len() - 1) as u32)
    }

    /// Something that happened to no packet.
    pub(crate) fn note(&mut self, at: Instant, place: Place, what: What) {
        self.digest_head(at, place);
        self.digest_what(&what);
        if self.has_room() {
            self.trace.records.push(Record { at, place, packet: None, what });
        }
    }

    /// Something that happened to a packet.
    pub(crate) fn packet(&mut self, at: Instant, place: Place, packet: &Packet, what: What) {
        self.digest_head(at, place);
        self.hasher.write(&packet.id.to_le_bytes());
        self.digest_flow(packet.flow);
        if let (What::Sent, Body::Datagram(bytes)) = (&what, &packet.body) {
            self.hasher.write(bytes);
        }
        self.digest_what(&what);
        if self.has_room() {
            self.trace.records.push(Record { at, place, packet: Some(packet.note()), what });
        }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest(self.hasher.finish())
    }

    /// What was kept; the places stand in the order given.
    pub(crate) fn into_trace(self, order: &[Place]) -> Trace {
        let mut trace = self.trace;
        let mut position = vec![Place(0); trace.places.len()];
        for (new, old) in order.iter().enumerate() {
            position[old.0 as usize] = Place(new as u32);
        }
        for record in &mut trace.records {
            record.place = position[record.place.0 as usize];
        }
        trace.places = order.iter().map(|place| trace.places[place.0 as usize].clone()).collect();
        trace
    }

    fn has_room(&self) -> bool {
        self.is_kept && self.trace.records.len() < MAX_RECORDS
    }

    fn digest_head(&mut self, at: Instant, place: Place) {
        self.hasher.write(&at.as_micros().to_le_bytes());
        self.hasher.write(&place.0.to_le_bytes());
    }

    fn digest_what(&mut self, what: &What) {
        match what {
            What::Sent => self.hasher.write(&[0]),
            What::Received => self.hasher.write(&[1]),
            What::Crossed(flow) | What::TurnedRound(flow) => {
                self.hasher.write(&[2 + u8::from(matches!(what, What::TurnedRound(_)))]);
                self.digest_flow(*flow);
            }
            What::Mapped { inside, public } => {
                self.hasher.write(&[4]);
                self.digest_address(*inside);
                self.digest_address(*public);
            }
            What::Dropped(why) => self.hasher.write(&[5, drop_code(*why)]),
            What::Says(happened) => self.digest_happened(happened),
            What::Fault(text) => {
                self.hasher.write(&[7]);
                self.hasher.write(text.as_bytes());
            }
        }
    }

    fn digest_happened(&mut self, happened: &Happened) {
        match happened {
            Happened::MaySend { to, why } => {
                let why = match why {
                    Warrant::Server => 0,
                    Warrant::Candidate => 1,
                    Warrant::PeerReflexive => 2,
                    Warrant::Answer => 3,
                };
                self.hasher.write(&[6, 0, why]);
                self.digest_address(*to);
            }
            Happened::Selected { local, remote, strategy } => {
                let strategy = match strategy {
                    Strategy::Host => 0,
                    Strategy::Punch => 1,
                    Strategy::PeerReflexive => 2,
                    Strategy::Relay => 3,
                    Strategy::Guess => 4,
                    Strategy::Bracket => 5,
                    Strategy::Birthday => 6,
                    Strategy::Volley => 7,
                };
                self.hasher.write(&[6, 1, strategy]);
                self.digest_address(*local);
                self.digest_address(*remote);
            }
            Happened::Lost => self.hasher.write(&[6, 2]),
            Happened::Failed(why) => {
                self.hasher.write(&[6, 3]);
                self.hasher.write(why.as_bytes());
            }
            Happened::Closed => self.hasher.write(&[6, 4]),
            Happened::SeenAs(address) => {
                self.hasher.write(&[6, 5]);
                self.digest_address(*address);
            }
            Happened::MayVolley(at) => {
                self.hasher.write(&[6, 7]);
                self.digest_address(*at);
            }
            Happened::MayProbe(ip) => {
                self.hasher.write(&[6, 6]);
                self.digest_address(SocketAddr::new(*ip, 0));
            }
        }
    }

    fn digest_flow(&mut self, flow: Flow) {
        self.hasher.write(&[u8::from(flow.protocol == Protocol::Tcp)]);
        self.digest_address(flow.source);
        self.digest_address(flow.destination);
    }

    fn digest_address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.hasher.write(&ip.octets()),
            IpAddr::V6(ip) => self.hasher.write(&ip.octets()),
        }
        self.hasher.write(&address.port().to_le_bytes());
    }
}

const fn drop_code(why: Drop) -> u8 {
    match why {
        Drop::Nat(Dropped::NoMapping) => 0,
        Drop::Nat(Dropped::Filtered) => 1,
        Drop::Nat(Dropped::Capacity) => 2,
        Drop::Nat(Dropped::Ports) => 3,
        Drop::Nat(Dropped::NoHairpin) => 4,
        Drop::Nat(Dropped::Family) => 5,
        Drop::Nat(Dropped::Refused) => 6,
        Drop::Firewall => 10,
        Drop::Lost => 11,
        Drop::QueueFull => 12,
        Drop::TooBig => 13,
        Drop::LinkDown => 14,
        Drop::NoRoute => 15,
        Drop::NoSocket => 16,
        Drop::HostDown => 17,
        Drop::Hops => 18,
    }
}
