//! Peers that lie: one keeps to no limit, for it makes itself believe that it was granted everything; one
//! shows a key that is not its own.
//!
//! In here and not in `tests/`, as it takes quinn-proto and TLS apart.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;

use quinn_proto::coding::Codec as _;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session as TlsSession,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Dir, Side, TransportError, TransportErrorCode, VarInt};

use super::crypto::{Tls, initial_suite};
use super::{Config, Event, Expect, Local, OwnKey, Protocol, Reason, Session, tls};
use crate::machine::{MIN_BUFFER, Output, Path};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The parameters that are limits (RFC 9000 §18.2): of data, of data on streams, of streams.
const LIMITS: core::ops::RangeInclusive<u64> = 0x04..=0x09;

struct Liar(Arc<dyn crypto::ClientConfig>);

impl crypto::ClientConfig for Liar {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn TlsSession>, ConnectError> {
        Ok(Box::new(Lies(self.0.clone().start_session(version, server_name, params)?)))
    }
}

struct Lies(Box<dyn TlsSession>);

impl TlsSession for Lies {
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(honest) = self.0.transport_parameters()? else { return Ok(None) };
        let (mut written, mut lies) = (Vec::new(), Vec::new());
        honest.write(&mut written);
        let mut left = written.as_slice();
        while let (Ok(id), Ok(len)) = (VarInt::decode(&mut left), VarInt::decode(&mut left)) {
            let (value, rest) = left.split_at(len.into_inner() as usize);
            left = rest;
            id.encode(&mut lies);
            if LIMITS.contains(&id.into_inner()) {
                VarInt::from_u32(8).encode(&mut lies);
                VarInt::from_u64(1 << 40).expect("it is less than 2^62").encode(&mut lies);
            } else {
                len.encode(&mut lies);
                lies.extend_from_slice(value);
            }
        }
        Ok(Some(TransportParameters::read(Side::Client, &mut lies.as_slice())?))
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.0.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.0.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.0.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.0.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.0.read_handshake(bytes)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.0.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.0.next_1rtt_keys()
    }

    fn is_valid_retry(&self, first: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.0.is_valid_retry(first, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.0.export_keying_material(output, label, context)
    }
}

/// Who has the keys that grow from these seeds.
fn locals<const N: usize>(seeds: [u8; N]) -> [Local; N] {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    seeds.map(|seed| Local {
        key: OwnKey::from_seed(&[seed; 32], &provider).expect("ring has Ed25519"),
        provider: provider.clone(),
        protocol: Protocol::Peer,
    })
}

/// A liar and a server of ours, connected; no time passes between them.
fn liar_and_server(config: Config) -> [Session; 2] {
    let [client, server] = locals([1, 2]);
    let provider = client.provider.clone();
    let (now, mut rng) = (Instant::ZERO, Rng::from_seed([1; 32]));
    let honest = tls::client(&client.key, *server.key.public(), Protocol::Peer, &provider).expect("TLS 1.3");
    let initial = initial_suite(&provider).expect("there is one");
    let liar = Liar(Arc::new(Tls { config: Arc::new(honest), initial }));
    let expect = Expect::Only(*client.key.public());
    let mut sessions = [
        Session::begin(now, Arc::new(liar), Config::default(), &mut rng).expect("a client"),
        Session::accept(now, &server, expect, config, rng.fork()).expect("a server"),
    ];
    set_path(&mut sessions);
    exchange(&mut sessions, now);
    assert!(sessions.iter().all(Session::is_connected));
    sessions
}

fn set_path(sessions: &mut [Session; 2]) {
    let [a, b] = [([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 1).into()];
    sessions[0].set_path(Instant::ZERO, Some(Path::udp(a, b)));
    sessions[1].set_path(Instant::ZERO, Some(Path::udp(b, a)));
}

/// Lets them talk; what each tells.
fn exchange(sessions: &mut [Session; 2], now: Instant) -> [Vec<Event>; 2] {
    let (mut buf, mut told, mut idle, mut index) = (vec![0; MIN_BUFFER], [const { Vec::new() }; 2], 0, 0);
    while idle < 2 {
        match sessions[index].poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => {
                sessions[1 - index].handle_input(now, None, &buf[..len]);
                idle = 0;
            }
            Output::Event(event) => told[index].push(event),
            Output::Host(_) | Output::Idle(_) => (index, idle) = (1 - index, idle + 1),
        }
    }
    told
}

fn misbehaved(events: &[Event]) -> Option<u64> {
    match events.last()? {
        Event::Closed(Reason::Misbehaved { code, .. }) => Some(*code),
        _ => None,
    }
}

const LATER: Instant = Instant::from_micros(1_000_000);

#[test]
fn who_opens_a_million_streams_against_the_rules_is_thrown_out() {
    let config = Config { bidirectional: 10, unidirectional: 10, ..Config::default() };
    for dir in [Dir::Bi, Dir::Uni] {
        let mut sessions = liar_and_server(config.clone());
        let connection = sessions[0].connection.as_mut().expect("it has one");
        let ids: Vec<_> = (0..1_000_000).map_while(|_| connection.streams().open(dir)).collect();
        assert_eq!(ids.len(), 1_000_000, "nothing holds it back");
        let last = ids[ids.len() - 1];
        assert_eq!(connection.send_stream(last).write(b"x"), Ok(1));
        let [_, told] = exchange(&mut sessions, LATER);
        assert_eq!(misbehaved(&told), Some(TransportErrorCode::STREAM_LIMIT_ERROR.into()));
        assert_eq!(told.len(), 1, "none of them was told of");
    }
}

#[test]
fn who_sends_more_than_there_is_room_for_is_thrown_out() {
    let of_one = Config { stream_window: 10_000, ..Config::default() };
    let of_all = Config { window: 10_000, ..Config::default() };
    for config in [of_one, of_all] {
        let mut sessions = liar_and_server(config);
        let id = sessions[0].open_uni().expect("it is a liar");
        assert_eq!(sessions[0].write(id, &[7; 100_000]), Ok(100_000));
        let [_, told] = exchange(&mut sessions, LATER);
        assert_eq!(misbehaved(&told), Some(TransportErrorCode::FLOW_CONTROL_ERROR.into()));
        let received = sessions[1].stats().bytes_received;
        assert!(received < 20_000, "{received}");
        assert!(exchange(&mut sessions, LATER + Duration::from_secs(60))[1].is_empty());
        assert!(sessions[1].is_over());
    }
}

#[test]
fn who_shows_a_key_that_is_not_its_own_is_refused_on_either_side() {
    for impostor in [0, 1] {
        let [mut client, mut server, thief] = locals([1, 2, 3]);
        let keys = [*client.key.public(), *server.key.public()];
        let robbed = if impostor == 0 { &mut client } else { &mut server };
        robbed.key = OwnKey { public: robbed.key.public, signing: thief.key.signing };
        let (now, mut rng) = (Instant::ZERO, Rng::from_seed([1; 32]));
        let (config, expect) = (Config::default(), Expect::Only(keys[0]));
        let mut sessions = [
            Session::connect(now, &client, keys[1], config.clone(), rng.fork()).expect("a client"),
            Session::accept(now, &server, expect, config, rng.fork()).expect("a server"),
        ];
        set_path(&mut sessions);
        let told = exchange(&mut sessions, now);
        assert_eq!(told[impostor].last(), Some(&Event::Closed(Reason::KeyRefused)));
        assert_eq!(told[1 - impostor], [Event::Closed(Reason::WrongKey)]);
        assert_eq!(sessions[1 - impostor].peer(), None);
    }
}
