//! Serving a request allocates nothing, neither in the driver nor in the STUN server, whatever becomes
//! of it: an answer, an error, silence.
//!
//! A file of its own, for it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use bradawl::rng::Rng;
use bradawl::stun::server::{Alternate, Config, Outcome, Ports, RateLimit, StunServer};
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

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A binding request with these attributes.
fn request(attributes: &[u8]) -> Vec<u8> {
    let mut request = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    request.extend(attributes);
    request
}

/// Sends `request` many times, and again as often; what that allocated, having led to `outcome`.
fn allocated(config: Config, listen: &str, from: &str, request: &[u8], outcome: Outcome) -> u64 {
    let mut driver = Driver::new(StunServer::new(config, Rng::from_seed([1; 32])), Limits::default());
    let (key, bound) = driver.bind(address(listen), &BindOptions::default()).expect("a socket");
    let client = UdpSocket::bind(from).expect("a socket");
    let local = client.local_addr().expect("an address");
    client.connect((local.ip(), bound.port())).expect("connected");
    let mut round = || {
        for _ in 0..BURST {
            client.send(request).expect("sent");
        }
        driver.readable(key);
        while driver.turn(&mut |event| match event {}).more {}
        let mut answer = [0; 2_048];
        for _ in 0..if outcome.is_answer() { BURST } else { 0 } {
            assert!(client.recv(&mut answer).expect("an answer") >= 20);
        }
    };
    round(); // Whatever is made on first use is made here.
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        round();
    }
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // The very first may have been within a rate limit.
    assert!(driver.machine().counters().count(outcome) >= ROUNDS * BURST, "{outcome}");
    allocated
}

// One test, for two would count each other's.
#[test]
fn no_request_allocates() {
    let unlimited = || Config { rate: None, ..Config::default() };
    let plain = request(&[]);
    let v4 = ("127.0.0.1:0", "127.0.0.1:0");
    for (listen, from) in [("0.0.0.0:0", "127.0.0.1:0"), v4, ("[::]:0", "[::1]:0")] {
        assert_eq!(allocated(unlimited(), listen, from, &plain, Outcome::Success), 0, "{listen}");
    }

    // The answer to PADDING, which only a server with an alternate address gives, has its own.
    let padding = request(&[&[0, 0x26, 0, 64][..], &[0; 64]].concat());
    let cases = [
        (request(&[0x7F, 0xFE, 0, 0]), Outcome::UnknownAttributes),
        // A MESSAGE-INTEGRITY without a USERNAME.
        (request(&[&[0, 8, 0, 20][..], &[0; 20]].concat()), Outcome::BadRequest),
        (padding.clone(), Outcome::UnknownAttributes),
        (request(&[0, 6, 0, 40]), Outcome::Overrun),
        (plain[..19].to_vec(), Outcome::TooShort),
    ];
    for (request, outcome) in cases {
        assert_eq!(allocated(unlimited(), v4.0, v4.1, &request, outcome), 0, "{outcome}");
    }

    // HELP, without and with a delay that the token is not good for.
    let ports = Ports::new(address("127.0.0.1:0").ip(), 3_478, 3_479).expect("two ports");
    let helping = || Config { ports: vec![ports], ..unlimited() };
    for delay in [0, 40] {
        let help = request(&[&[0xCB, 0, 0, 12, 0, 0, 0, delay][..], &[9; 8]].concat());
        assert_eq!(allocated(helping(), v4.0, v4.1, &help, Outcome::Success), 0, "HELP {delay}");
    }

    let nothing = RateLimit { per_second: 0, burst: 0, ..RateLimit::default() };
    let limited = Config { rate: Some(nothing), ..Config::default() };
    assert_eq!(allocated(limited, v4.0, v4.1, &plain, Outcome::RateLimited), 0);

    let free = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let alternate = Alternate::new(free, address("127.0.0.2:9")).expect("another IP and port");
    let discovering = Config { alternates: vec![alternate], ..unlimited() };
    let listen = free.to_string();
    assert_eq!(allocated(discovering, &listen, v4.1, &padding, Outcome::Success), 0, "with PADDING");
}
