//! An agent that keeps an idle path open allocates nothing, however long it does so; and how much memory one
//! takes that has a path.
//!
//! A file of its own, for it counts what the whole process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bradawl::machine::{MIN_BUFFER, Machine as _, Meta, Output, Path, Verdict};
use bradawl::punch::{Agent, Candidate, Config, Credentials, Nat, Party, Remote, Role};
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

/// What an agent with a path may take, all in all.
const MOST: u64 = 16 * 1_024;
const HOUR: Duration = Duration::from_secs(3_600);
const BASES: [&str; 2] = ["203.0.113.1:5000", "203.0.113.2:5000"];

fn address(index: usize) -> SocketAddr {
    BASES[index].parse().expect("an address")
}

/// What sits between two agents, and takes no time: one packet.
struct Pair {
    agents: [Agent; 2],
    wakes: [Option<Instant>; 2],
    now: Instant,
    packets: u64,
}

impl Pair {
    fn new(party: Party) -> Self {
        let (caller, callee) = Credentials::derive(&[1; 32], b"idle");
        let credentials = [caller, callee];
        let now = Instant::ZERO + Duration::from_secs(1);
        let agents = [(0, Role::Controlling), (1, Role::Controlled)].map(|(index, role)| {
            let rng = Rng::from_seed([1 + index as u8; 32]);
            let mut agent = Agent::new(Config::default(), credentials[index].clone(), role, rng);
            agent.add_local(now, &Candidate::host(address(index), 1), address(index)).expect("a socket");
            agent
        });
        let mut pair = Self { agents, wakes: [None; 2], now, packets: 0 };
        for index in [0, 1] {
            let remote = Remote { credentials: credentials[1 - index].clone(), party, nat: Nat::default() };
            pair.agents[index].begin(now, remote);
            pair.agents[index].add_remote(now, &Candidate::host(address(1 - index), 1)).expect("it is fine");
        }
        pair
    }

    /// Drains both until neither has anything to say.
    fn drain(&mut self) {
        let mut buf = [0; MIN_BUFFER];
        let (mut index, mut idle) = (0, 0);
        while idle < 2 {
            match self.agents[index].poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => {
                    self.packets += 1;
                    let back = Path::udp(path.remote, path.local);
                    let verdict =
                        self.agents[1 - index].handle_input(self.now, back, Meta::default(), &buf[..len]);
                    assert_ne!(verdict, Verdict::Unclaimed);
                    idle = 0;
                }
                Output::Event(_) => idle = 0,
                Output::Host(request) => panic!("{request:?}"),
                Output::Idle(wake) => {
                    self.wakes[index] = wake;
                    index = 1 - index;
                    idle += 1;
                }
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(next) = self.wakes.into_iter().flatten().min().filter(|next| *next <= end) {
            self.now = next;
            self.drain();
        }
        self.now = end;
    }
}

// One test, for two would count each other's.
#[test]
fn an_idle_path_allocates_nothing_and_an_agent_is_small() {
    for party in [Party::Kin, Party::Foreign] {
        let before = BYTES.load(Ordering::Relaxed);
        let mut pair = Pair::new(party);
        // Whatever is made on first use is made here.
        pair.run_for(HOUR);
        assert!(pair.agents.iter().all(|agent| agent.selected().is_some()));
        let heap = (BYTES.load(Ordering::Relaxed) - before) / 2;
        let itself = size_of::<Agent>() as u64;
        println!("{party:?}: an agent is {itself} bytes, and {heap} on the heap");
        assert!(itself + heap <= MOST, "{itself} + {heap} bytes");

        let (allocations, bytes) = (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        pair.packets = 0;
        pair.run_for(HOUR);
        // Before anything is printed: whoever captures that allocates.
        let allocated = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
        let grown = BYTES.load(Ordering::Relaxed) - bytes;
        // Whoever answers need not ask: a check and its answer in fifteen seconds.
        println!("{party:?}: {} packets in an hour, {allocated} allocations", pair.packets);
        assert!((2 * 3_600 / 15 - 2..=4 * 3_600 / 15 + 4).contains(&pair.packets), "{}", pair.packets);
        assert_eq!((allocated, grown), (0, 0));
        assert!(pair.agents.iter().all(|agent| agent.selected().is_some()));
    }
}
