//! How often a connection that is used allocates: what is ours does not, per packet; what is quinn-proto's is
//! counted and printed, so that it is noticed when it grows.
//!
//! A file of its own, for it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bradawl::machine::{Output, Path};
use bradawl::quic::{Config, Event, Expect, Local, OwnKey, Protocol, Read, Session, StreamId};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size as u64, Ordering::Relaxed);
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a connected session may take, all in all, before anything was sent over it.
const MOST: u64 = 80 * 1_024;
/// What a stream is written in pieces of.
const PIECE: usize = 64 * 1_024;
/// How much of it is sent while nothing is counted, and then while it is.
const BYTES_SENT: usize = 16 << 20;

/// Where the allocations were made.
#[derive(Debug, Default)]
struct Counts {
    packets: u64,
    transmits: u64,
    pieces: u64,
    making: u64,
    taking: u64,
    writing: u64,
    reading: u64,
}

fn counted<T>(count: &mut u64, what: impl FnOnce() -> T) -> T {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let result = what();
    *count += ALLOCATIONS.load(Ordering::Relaxed) - before;
    result
}

/// Two sessions, with a path between them that takes no time.
struct Pair {
    sessions: [Session; 2],
    now: Instant,
    bufs: [Vec<u8>; 2],
    counts: Counts,
    opened: Option<StreamId>,
}

impl Pair {
    fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let local = [1, 2].map(|seed| Local {
            key: OwnKey::from_seed(&[seed; 32], &provider).expect("ring has Ed25519"),
            provider: provider.clone(),
            protocol: Protocol::Peer,
        });
        let now = Instant::ZERO + Duration::from_secs(1);
        let mut rng = Rng::from_seed([1; 32]);
        let keys = local.each_ref().map(|local| *local.key.public());
        let mut sessions = [
            Session::connect(now, &local[0], keys[1], Config::default(), rng.fork()).expect("a client"),
            Session::accept(now, &local[1], Expect::Only(keys[0]), Config::default(), rng.fork())
                .expect("a server"),
        ];
        let ends = ["203.0.113.1:5000", "203.0.113.2:5000"].map(|end| end.parse().expect("an address"));
        for (index, session) in sessions.iter_mut().enumerate() {
            session.set_path(now, Some(Path::udp(ends[index], ends[1 - index])));
        }
        let bufs = [vec![0; 16_000], vec![0; 16_000]];
        Self { sessions, now, bufs, counts: Counts::default(), opened: None }
    }

    /// Drains both until neither has anything to say.
    fn drain(&mut self) {
        let (mut index, mut idle) = (0, 0);
        while idle < 2 {
            let (session, buf) = (&mut self.sessions[index], &mut self.bufs[index]);
            match counted(&mut self.counts.making, || session.poll_output(self.now, buf)) {
                Output::Transmit { len, segment, ecn, .. } => {
                    let size = segment.map_or(len, |size| usize::from(size.get()));
                    self.counts.transmits += 1;
                    for packet in self.bufs[index][..len].chunks(size) {
                        self.counts.packets += 1;
                        let other = &mut self.sessions[1 - index];
                        counted(&mut self.counts.taking, || other.handle_input(self.now, ecn, packet));
                    }
                    idle = 0;
                }
                Output::Event(Event::StreamOpened { id }) => self.opened = Some(id),
                Output::Event(Event::Closed(reason)) => panic!("{reason}"),
                Output::Event(_) => idle = 0,
                Output::Host(request) => panic!("{request:?}"),
                Output::Idle(_) => {
                    index = 1 - index;
                    idle += 1;
                }
            }
        }
        self.now += Duration::from_millis(1);
    }

    /// Sends and reads `len` bytes.
    fn send(&mut self, id: StreamId, len: usize) {
        let (piece, mut buf) = ([7; PIECE], [0; PIECE]);
        let mut left = len;
        let mut got = 0;
        while got < len {
            let piece = &piece[..left.min(PIECE)];
            self.counts.pieces += 1;
            let written = counted(&mut self.counts.writing, || self.sessions[0].write(id, piece));
            left -= written.unwrap_or(0);
            self.drain();
            let Some(id) = self.opened else { continue };
            while let Ok(Read::Bytes(read)) =
                counted(&mut self.counts.reading, || self.sessions[1].read(id, &mut buf))
            {
                got += read;
            }
        }
    }
}

// One test, for two would count each other's.
#[test]
fn what_is_ours_allocates_nothing_per_packet() {
    let before = BYTES.load(Ordering::Relaxed);
    let mut pair = Pair::new();
    for _ in 0..5_000 {
        pair.drain();
    }
    assert!(pair.sessions.iter().all(Session::is_connected));
    let heap = (BYTES.load(Ordering::Relaxed) - before) / 2;
    let id = pair.sessions[0].open_uni().expect("allowed");
    // Whatever is made on first use is made here.
    pair.send(id, BYTES_SENT);
    pair.counts = Counts::default();
    pair.send(id, BYTES_SENT);
    let counts = pair.counts;
    println!("a connected session: {} bytes, and {heap} on the heap", size_of::<Session>());
    println!("{counts:?}");
    let each = |count: u64| count as f64 / counts.packets as f64;
    println!(
        "per packet: {:.3} making it, {:.3} taking it, {:.3} writing, {:.3} reading",
        each(counts.making),
        each(counts.taking),
        each(counts.writing),
        each(counts.reading)
    );
    assert!(size_of::<Session>() as u64 + heap <= MOST);
    assert_eq!((counts.taking, counts.reading), (0, 0));
    // quinn-proto keeps a shared copy of each piece that is written, and a note of each packet until it is
    // confirmed.
    assert!(counts.writing <= 2 * counts.pieces, "{} for {} pieces", counts.writing, counts.pieces);
    assert!(5 * counts.making <= counts.packets, "{} for {} packets", counts.making, counts.packets);
}
