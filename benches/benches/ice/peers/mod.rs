//! The agents of other people, each driven as its documentation and its own users do it.

mod is;
mod rice;
mod rtc;

use std::time::{Duration, Instant};

use bradawl::rng::Seed;

use crate::contender::{Credentials, Entry};

pub(crate) const PEERS: [Entry; 3] = [is::ENTRY, rice::ENTRY, rtc::ENTRY];

/// Our time as a `std::time::Instant`, for the libraries that insist.
struct Clock(Instant);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "there is no other way to make one; it never moves")]
    fn new() -> Self {
        Self(Instant::now())
    }

    fn at(&self, now: Duration) -> Instant {
        self.0 + now
    }

    fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.0)
    }
}

/// Credentials for the libraries that take them.
fn credentials(seed: &Seed) -> Credentials {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Credentials { ufrag: hex(&seed[..4]), pwd: hex(&seed[4..16]) }
}
