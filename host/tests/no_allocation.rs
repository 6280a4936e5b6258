//! Serving a request allocates nothing: not in the driver, not in the STUN server, not in the wait.
//!
//! A file of its own, for it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};

use bradawl::rng::Rng;
use bradawl::stun::server::{Config, Outcome, StunServer};
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::udp::BindOptions;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that `System` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: u64 = 100;
/// Requests per round: more than a batch, so that a turn has several.
const BURST: u64 = 100;

#[test]
fn no_request_allocates() {
    for (listen, from) in
        [("0.0.0.0:0", "127.0.0.1:0"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")]
    {
        let config = Config { rate: None, ..Config::default() };
        let mut driver = Driver::new(StunServer::new(config, Rng::from_seed([1; 32])), Limits::default());
        let listen = listen.parse().expect("an address");
        let (key, bound) = driver.bind(listen, &BindOptions::default()).expect("a socket");
        let client = UdpSocket::bind(from).expect("a socket");
        let local = client.local_addr().expect("an address");
        client.connect((local.ip(), bound.port())).expect("connected");

        let mut request = [0; 20];
        request[1] = 1;
        request[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        let mut round = || {
            for _ in 0..BURST {
                client.send(&request).expect("sent");
            }
            driver.readable(key);
            while driver.turn(&mut |event| match event {}).more {}
            let mut answer = [0; 64];
            for _ in 0..BURST {
                assert!(client.recv(&mut answer).expect("an answer") >= 32);
            }
        };
        round(); // Whatever is made on first use is made here.
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..ROUNDS {
            round();
        }
        let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(allocated, 0, "in {} requests", ROUNDS * BURST);
        assert_eq!(driver.machine().counters().count(Outcome::Success), (ROUNDS + 1) * BURST);
        assert_eq!(driver.counters().sent, (ROUNDS + 1) * BURST);
    }
}
