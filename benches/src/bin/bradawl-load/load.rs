//! The closed loop: so many requests in the air, a new one for each that ends.

#![allow(clippy::disallowed_methods, reason = "what is measured here is real time")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use bradawl::rng::Rng;
use bradawl::wire::stun::attr::XorMappedAddress;
use bradawl::wire::stun::{Class, Message, Method, TransactionId, Writer};

use crate::Stun;
use crate::net::{Arrived, BATCH, Net};

/// After how long a request is lost. Loopback answers in microseconds; this is a full socket.
const PATIENCE: Duration = Duration::from_millis(250);

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Answers that are no success for a request of ours, or that name another address.
    pub(crate) wrong: u64,
    pub(crate) elapsed: Duration,
    pub(crate) delays: Delays,
}

/// How long answers took, counted by the microsecond.
pub(crate) struct Delays(Vec<u64>);

impl Delays {
    fn new() -> Self {
        Self(vec![0; PATIENCE.as_micros() as usize + 1])
    }

    fn add(&mut self, delay: Duration) {
        let at = (delay.as_micros() as usize).min(self.0.len() - 1);
        self.0[at] += 1;
    }

    /// The delay that a share of the answers did not exceed, in microseconds.
    pub(crate) fn quantile(&self, share: f64) -> usize {
        let wanted = (self.0.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut seen = 0;
        self.0
            .iter()
            .position(|&count| {
                seen += count;
                seen >= wanted.max(1)
            })
            .unwrap_or(0)
    }
}

/// A request in the air, or none.
#[derive(Clone, Copy)]
struct Slot {
    id: [u8; 12],
    from: Ipv4Addr,
    since: Option<Instant>,
}

struct Loop<'a> {
    server: SocketAddrV4,
    sources: &'a [Ipv4Addr],
    /// Whose turn it is to ask.
    turn: usize,
    port: u16,
    rng: Rng,
    slots: Vec<Slot>,
    free: Vec<usize>,
    outcome: Outcome,
}

/// Runs the load until it has been sent or the time is up.
pub(crate) fn run(options: &Stun, sources: &[Ipv4Addr]) -> io::Result<Outcome> {
    let mut net = Net::bind()?;
    let idle = Slot { id: [0; 12], from: Ipv4Addr::UNSPECIFIED, since: None };
    let many = options.in_flight as usize;
    let mut seed = [0; 32];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
    let mut load = Loop {
        server: options.server,
        sources,
        turn: 0,
        port: net.port()?,
        rng: Rng::from_seed(seed),
        slots: vec![idle; many],
        free: (0..many).collect(),
        outcome: Outcome {
            sent: 0,
            answered: 0,
            lost: 0,
            wrong: 0,
            elapsed: Duration::ZERO,
            delays: Delays::new(),
        },
    };
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds);
    let limit = options.count.unwrap_or(u64::MAX);
    let mut look = start + PATIENCE;
    loop {
        let now = Instant::now();
        let sending = now < end && load.outcome.sent < limit;
        let sent = if sending { load.send(&mut net, now, limit)? } else { 0 };
        let got = load.receive(&mut net)?;
        if now >= look {
            load.give_up(now);
            look = now + PATIENCE / 10;
        }
        if !sending && load.free.len() == load.slots.len() {
            break;
        }
        if sent + got == 0 {
            net.wait(Duration::from_millis(10))?;
        }
    }
    load.outcome.elapsed = start.elapsed();
    Ok(load.outcome)
}

impl Loop<'_> {
    /// Sends a batch from the free slots.
    fn send(&mut self, net: &mut Net, now: Instant, limit: u64) -> io::Result<usize> {
        let left = usize::try_from(limit - self.outcome.sent).unwrap_or(usize::MAX);
        let many = self.free.len().min(BATCH).min(left);
        if many == 0 {
            return Ok(0);
        }
        let mut packets = [([0; 20], Ipv4Addr::UNSPECIFIED); BATCH];
        for (at, (packet, from)) in packets[..many].iter_mut().enumerate() {
            let slot = self.free[self.free.len() - 1 - at];
            // Random, but for the slot that it stands for.
            let mut id: [u8; 12] = self.rng.bytes();
            id[..4].copy_from_slice(&(slot as u32).to_be_bytes());
            *from = self.sources[(self.turn + at) % self.sources.len()];
            let id_on_the_wire = TransactionId::from(id);
            let written = Writer::new(packet, Class::Request, Method::BINDING, id_on_the_wire).finish();
            debug_assert_eq!(written, Ok(20));
            self.slots[slot] = Slot { id, from: *from, since: None };
        }
        let sent = net.send(self.server, &packets[..many])?;
        for _ in 0..sent {
            if let Some(slot) = self.free.pop() {
                self.slots[slot].since = Some(now);
            }
        }
        self.turn = (self.turn + sent) % self.sources.len();
        self.outcome.sent += sent as u64;
        Ok(sent)
    }

    fn receive(&mut self, net: &mut Net) -> io::Result<usize> {
        let mut now = None;
        net.receive(|arrived| {
            let now = *now.get_or_insert_with(Instant::now);
            match self.request_of(&arrived) {
                Some((slot, since)) => {
                    self.slots[slot].since = None;
                    self.free.push(slot);
                    self.outcome.answered += 1;
                    self.outcome.delays.add(now - since);
                }
                None => self.outcome.wrong += 1,
            }
        })
    }

    /// Which request this answers, if it does so rightly.
    fn request_of(&self, arrived: &Arrived<'_>) -> Option<(usize, Instant)> {
        let message = Message::parse(arrived.bytes).ok()?;
        let id = message.transaction_id();
        let id = id.as_bytes();
        let at = u32::from_be_bytes([id[0], id[1], id[2], id[3]]) as usize;
        let slot = self.slots.get(at)?;
        let since = slot.since?;
        let XorMappedAddress(mapped) = message.find().ok()??;
        let us = SocketAddr::from((arrived.to, self.port));
        let right = (message.class(), message.method()) == (Class::Success, Method::BINDING)
            && (*id, arrived.to, mapped) == (slot.id, slot.from, us);
        right.then_some((at, since))
    }

    /// Counts as lost what was not answered in time.
    fn give_up(&mut self, now: Instant) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.since.is_some_and(|since| now.duration_since(since) >= PATIENCE) {
                slot.since = None;
                self.free.push(at);
                self.outcome.lost += 1;
            }
        }
    }
}
