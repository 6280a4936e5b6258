//! Criterion benches of the core: what each part of a packet's way through it costs.
//!
//! They watch for change from one commit to the next. How we compare with others is the affair of
//! the `codec` bench and of `server-vs-coturn`.

use std::hint::black_box;
use std::net::SocketAddr;

use bradawl::machine::{MIN_BUFFER, Machine, Meta, Output, Path};
use bradawl::rng::Rng;
use bradawl::stun::server::{Config, StunServer};
use bradawl::time::{Duration, Instant};
use bradawl::wire::channel::{ChannelData, ChannelNumber};
use bradawl::wire::demux::Protocol;
use bradawl::wire::stun::attr::{
    Data, IceControlling, Priority, Software, Username, XorMappedAddress, XorPeerAddress,
};
use bradawl::wire::stun::{Class, Integrity, Key, Message, Method, TransactionId, Writer};
use bradawl_benches::sessions::Sessions;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ID: [u8; 12] = *b"bradawl-core";

fn key() -> Key {
    Key::short_term("VOkJxbRl1RmTxUk/WvJxBt")
}

fn address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 32_853))
}

fn ice_request(buf: &mut [u8], key: &Key, which: Integrity) -> usize {
    Writer::new(buf, Class::Request, Method::BINDING, TransactionId::from(black_box(ID)))
        .put(&Username(black_box(b"evtj:h6vY")))
        .put(&Priority(black_box(0x6e00_01ff)))
        .put(&IceControlling(black_box(0x932f_f9b1_5126_3b36)))
        .put(&Software(black_box("bradawl")))
        .integrity_with(key, which)
        .fingerprint()
        .finish()
        .expect("there is room")
}

fn success(buf: &mut [u8]) -> usize {
    Writer::new(buf, Class::Success, Method::BINDING, TransactionId::from(black_box(ID)))
        .put(&XorMappedAddress(black_box(address())))
        .finish()
        .expect("there is room")
}

fn send_indication(buf: &mut [u8], data: &[u8]) -> usize {
    Writer::new(buf, Class::Indication, Method::SEND, TransactionId::from(black_box(ID)))
        .put(&XorPeerAddress(black_box(address())))
        .put(&Data(data))
        .finish()
        .expect("there is room")
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let (key, mut buf) = (key(), [0; MIN_BUFFER]);

    let len = ice_request(&mut buf, &key, Integrity::Sha1);
    group.throughput(Throughput::Elements(1)).bench_function("ice_request", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&buf[..len])).expect("valid");
            let username: Option<Username<'_>> = message.find().expect("valid");
            let priority: Option<Priority> = message.find().expect("valid");
            black_box((username, priority, message.find::<IceControlling>().expect("valid")));
        });
    });
    let len = success(&mut buf);
    group.bench_function("success", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&buf[..len])).expect("valid");
            black_box(message.find::<XorMappedAddress>().expect("valid"));
        });
    });
    let len = send_indication(&mut buf, &[0xa5; 160]);
    group.bench_function("send_indication", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&buf[..len])).expect("valid");
            let peer: Option<XorPeerAddress> = message.find().expect("valid");
            black_box((peer, message.find::<Data<'_>>().expect("valid")));
        });
    });
    let channel = ChannelData { channel: ChannelNumber::new(0x4001).expect("in range"), data: &[0xa5; 160] };
    let len = channel.write(&mut buf).expect("there is room");
    group
        .bench_function("channel_data", |b| b.iter(|| black_box(ChannelData::parse(black_box(&buf[..len])))));
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let (key, mut buf) = (key(), [0; MIN_BUFFER]);
    let data = [0xa5; 160];
    group.throughput(Throughput::Elements(1));
    group.bench_function("ice_request", |b| {
        b.iter(|| ice_request(black_box(&mut buf), &key, Integrity::Sha1));
    });
    group.bench_function("success", |b| b.iter(|| success(black_box(&mut buf))));
    group.bench_function("send_indication", |b| {
        b.iter(|| send_indication(black_box(&mut buf), black_box(&data)));
    });
    let channel = ChannelData { channel: ChannelNumber::new(0x4001).expect("in range"), data: &data };
    group.bench_function("channel_data", |b| b.iter(|| black_box(&channel).write(black_box(&mut buf))));
    group.finish();
}

fn integrity(c: &mut Criterion) {
    let mut group = c.benchmark_group("integrity");
    let key = key();
    for (name, which) in [("sha1", Integrity::Sha1), ("sha256", Integrity::Sha256)] {
        let mut buf = [0; MIN_BUFFER];
        let len = ice_request(&mut buf, &key, which);
        let message = Message::parse(&buf[..len]).expect("valid");
        group.bench_function(name, |b| b.iter(|| black_box(&message).integrity_holds(black_box(&key))));
        group.bench_function(BenchmarkId::new("fingerprint", name), |b| {
            b.iter(|| black_box(&message).fingerprint_holds());
        });
    }
    group.bench_function("key", |b| b.iter(|| Key::short_term(black_box("VOkJxbRl1RmTxUk/WvJxBt"))));
    group.finish();
}

fn demux(c: &mut Criterion) {
    let datagrams = [0x00, 0x40, 0x16, 0x80, 0xc3, 0x10, 0x50].map(|first| [first; 32]);
    c.bench_function("demux/seven_datagrams", |b| {
        b.iter(|| {
            for datagram in &datagrams {
                black_box(Protocol::of(black_box(datagram)));
            }
        });
    });
}

/// One datagram in, its answer out, from many addresses, with the rate limit on: what the server
/// does per request between two system calls.
fn server(c: &mut Criterion) {
    let mut server = StunServer::new(Config::default(), Rng::from_seed([7; 32]));
    let mut request = [0; 20];
    Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId::from(ID))
        .finish()
        .expect("there is room");
    let local = SocketAddr::from(([192, 0, 2, 1], 3478));
    let (mut now, mut host, mut buf) = (Instant::ZERO, 0_u32, [0; MIN_BUFFER]);
    let mut group = c.benchmark_group("server");
    group.throughput(Throughput::Elements(1)).bench_function("turn", |b| {
        b.iter(|| {
            // 8,192 clients, each about 24 times a second.
            now += Duration::from_micros(5);
            host = (host + 1) % 8_192;
            let remote = SocketAddr::from(((0x0a00_0000 + host).to_be_bytes(), 50_000));
            let path = Path::udp(local, remote);
            let verdict = server.handle_input(now, path, Meta::default(), black_box(&request));
            let answer = server.poll_output(now, &mut buf);
            assert!(matches!(answer, Output::Transmit { len: 32, .. }), "{verdict:?} {answer:?}");
            black_box(server.poll_output(now, &mut buf))
        });
    });
    group.finish();
}

fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers");
    for many in [1_000, 100_000] {
        let mut sessions = Sessions::new(many);
        group.bench_function(BenchmarkId::new("set_and_pop", many), |b| b.iter(|| sessions.set_and_pop()));
        let mut sessions = Sessions::new(many);
        group.bench_function(BenchmarkId::new("postpone", many), |b| {
            b.iter(|| black_box(sessions.postpone()));
        });
    }
    group.finish();
}

criterion_group!(core, decode, encode, integrity, demux, server, timers);
criterion_main!(core);
