//! Two agents, a network that does what it likes, a host that refuses, a clock that jumps, and an attacker
//! who hears all and says what he likes. No panic, an end to every drain, packets to nobody whom nobody has
//! named and few to who is silent, nothing of the attacker's believed, nothing changed by a repetition,
//! nothing after the end; and two that are left alone agree.

#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::{Arbitrary, Unstructured};
use bradawl::machine::{HostInput, Interface, Machine as _, Path, SocketId, Unreachable};
use bradawl::punch::{Credentials, Hint};
use bradawl::time::{Duration, Instant};
use bradawl::wire::stun::attr::{self, ErrorCode, Priority, Proof, Username, XorMappedAddress};
use bradawl::wire::stun::{Class, Key, Message, Method, TransactionId, Writer};
use bradawl_fuzz::agents::setup::{Hints, Peer, Place, bases, front, ip};
use bradawl_fuzz::agents::{ATTACKERS, Front, World, address};
use bradawl_fuzz::attribute::Owned;
use libfuzzer_sys::fuzz_target;

/// How many steps a scenario has at most.
const MAX_STEPS: usize = 48;
/// Every so many steps are told.
const TOLD: u64 = 1_000_000;
static STEPS: AtomicU64 = AtomicU64::new(0);
/// What happened in between: arrivals and wakes.
static MOMENTS: AtomicU64 = AtomicU64::new(0);

#[derive(Arbitrary, Debug)]
struct Input {
    seed: u8,
    /// Both draw from the same numbers, and so have the same tie-breaker.
    is_twin: bool,
    delay: u8,
    jitter: u8,
    loss: u8,
    twice: u8,
    sides: [Peer; 2],
    /// Whether the second one begins later, in milliseconds.
    later: u8,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Run {
        millis: u16,
    },
    Tick {
        micros: u16,
    },
    /// Nothing runs for a while; the sides may be told.
    Sleep {
        seconds: u32,
        told: u8,
    },
    Back {
        millis: u32,
    },
    Network {
        loss: u8,
        twice: u8,
        jitter: u8,
    },
    Bytes {
        side: bool,
        local: u8,
        from: u8,
        bytes: &'a [u8],
    },
    /// Something overheard comes again: from where it came, or from elsewhere; perhaps not quite the same.
    Replay {
        which: u8,
        from: u8,
        side: Option<bool>,
        change: Option<(u8, u8)>,
    },
    Forge {
        side: bool,
        local: u8,
        from: u8,
        forged: Forged,
    },
    Name {
        side: bool,
        place: Place,
        many: u16,
    },
    Bracket {
        side: bool,
        of: u8,
        first: u16,
        second: u16,
    },
    Aim {
        side: bool,
        of: u8,
        port: u16,
    },
    Know {
        side: bool,
        nat: Hints,
    },
    Restart {
        side: bool,
    },
    AddLocal {
        side: bool,
        which: u8,
    },
    RemoveLocal {
        side: bool,
        which: u8,
    },
    Interfaces {
        side: bool,
        kept: u8,
    },
    Host {
        side: bool,
        kind: u8,
        id: u16,
    },
    Binds {
        side: bool,
        pattern: u8,
    },
    Data {
        side: bool,
        bytes: u8,
        times: u8,
    },
    Short {
        side: bool,
        len: u16,
    },
    Reboot {
        side: bool,
        front: Option<u8>,
    },
    NoMore {
        side: bool,
    },
    Close {
        side: bool,
    },
}

#[derive(Arbitrary, Debug)]
struct Forged {
    /// 0 a check, 1 an answer, 2 an error, 3 an indication.
    what: u8,
    /// Which packet of the captured it pretends to belong to.
    like: u8,
    /// 0 nothing, 1 a wrong password, 2 the other side's, 3 the right one.
    seal: u8,
    is_named: bool,
    priority: Option<u32>,
    role: Option<(bool, u64)>,
    nominates: bool,
    proof: Option<(u32, u64)>,
    error: u16,
    more: Option<Owned>,
    fingerprint: bool,
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let Ok(input) = Input::arbitrary(&mut bytes) else { return };
    // As many steps as there are bytes for.
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < MAX_STEPS {
        let Ok(step) = Step::arbitrary(&mut bytes) else { break };
        steps.push(step);
    }
    let Input { seed, is_twin, delay, jitter, loss, twice, sides, later } = input;
    let seeds = [seed, if is_twin { seed } else { seed.wrapping_add(1) }];
    let mut index = 0;
    let mut is_kin = true;
    let begin = sides.map(|peer| {
        is_kin &= peer.party % 4 < 2;
        let begin = peer.begin(index, seeds[index]);
        index += 1;
        begin
    });
    let mut world = World::new(begin, seed);
    // Two that draw the same numbers for ever need not come to an end.
    world.is_sloppy = is_twin;
    world.delay = Duration::from_micros(u64::from(delay) * 500);
    set_network(&mut world, loss, twice, jitter);
    world.begin(0);
    world.drain(0);
    world.run(Duration::from_millis(u64::from(later % 64)));
    world.begin(1);
    world.drain(1);
    for step in &steps {
        take(&mut world, step);
        world.drain(0);
        world.drain(1);
    }
    // Left alone, they agree: longer than any path takes to be found dead.
    (world.loss, world.twice, world.jitter) = (0, 0, Duration::ZERO);
    world.refuel();
    if is_kin && !world.has_traitor && !world.is_sloppy {
        if world.run(Duration::from_secs(80)) {
            world.assert_agreed();
        }
    } else {
        world.run(Duration::from_secs(12));
    }
    for index in [0, 1] {
        world.close(index);
    }
    for packet in world.captured.clone() {
        if let Some((index, path)) = packet.arrived {
            world.input(index, path, &packet.bytes);
            world.drain(index);
        }
    }
    tell(steps.len() as u64, world.moments);
});

/// Says now and then how far it has come.
fn tell(steps: u64, moments: u64) {
    let steps = steps + STEPS.fetch_add(steps, Ordering::Relaxed);
    let before = MOMENTS.fetch_add(moments, Ordering::Relaxed);
    if before / TOLD != (before + moments) / TOLD {
        eprintln!("{steps} steps, {} moments", before + moments);
    }
}

fn set_network(world: &mut World, loss: u8, twice: u8, jitter: u8) {
    (world.loss, world.twice) = (loss, twice);
    world.jitter = Duration::from_millis(u64::from(jitter));
}

fn take(world: &mut World, step: &Step<'_>) {
    match *step {
        Step::Run { millis } => {
            world.run(Duration::from_millis(u64::from(millis)));
        }
        Step::Tick { micros } => {
            world.run(Duration::from_micros(u64::from(micros)));
        }
        Step::Sleep { seconds, told } => {
            let slept = Duration::from_secs(u64::from(seconds % 90_000));
            let now = world.now + slept;
            for index in [0, 1].into_iter().filter(|index| told >> index & 1 == 1) {
                world.sides[index].agent.handle_host(now, HostInput::ClockJumped(slept));
            }
            world.set_clock(now);
        }
        Step::Back { millis } => {
            world.is_sloppy = true;
            let now = world.now.as_micros().saturating_sub(u64::from(millis % 100_000_000) * 1_000);
            world.set_clock(Instant::from_micros(now));
        }
        Step::Network { loss, twice, jitter } => set_network(world, loss, twice, jitter),
        Step::Bytes { side, local, from, bytes } => {
            if let Some(path) = path(world, side, local, from) {
                world.input(usize::from(side), path, bytes);
            }
        }
        Step::Replay { which, from, side, change } => replay(world, which, from, side, change),
        Step::Forge { side, local, from, ref forged } => forge(world, side, local, from, forged),
        Step::Name { side, place, many } => {
            for more in 0..=many % 512 {
                world.name(usize::from(side), &place.candidate(more));
            }
        }
        Step::Bracket { side, of, first, second } => {
            let hint = Hint::Bracket { ip: ip(of), first, second };
            world.sides[usize::from(side)].agent.hear(world.now, hint);
        }
        Step::Aim { side, of, port } => {
            let hint = Hint::Aim { at: SocketAddr::new(ip(of), port) };
            world.sides[usize::from(side)].agent.hear(world.now, hint);
        }
        Step::Know { side, nat } => {
            let now = world.now;
            world.sides[usize::from(side)].know(now, nat.nat());
        }
        Step::Restart { side } => world.restart(usize::from(side)),
        Step::NoMore { side } => world.sides[usize::from(side)].agent.end_of_candidates(world.now),
        Step::Close { side } => world.close(usize::from(side)),
        Step::Short { side, len } => {
            // Packets that do not fit are lost: it is a host that loses what it likes.
            let mut buf = [0; 256];
            let len = usize::from(len).min(buf.len());
            world.drain_into(usize::from(side), &mut buf[..len]);
        }
        _ => take_host(world, step),
    }
}

/// What the host does, and the program.
fn take_host(world: &mut World, step: &Step<'_>) {
    let now = world.now;
    match *step {
        Step::AddLocal { side, which } => {
            let side = usize::from(side);
            if let Some(&base) = bases(side, 1 << (which % 16)).first() {
                world.add_local(side, base);
            }
        }
        Step::RemoveLocal { side, which } => {
            let side = usize::from(side);
            if let Some(&(_, base)) = world.sides[side].bases.get(usize::from(which)) {
                world.sides[side].bases.retain(|(_, known)| *known != base);
                world.sides[side].agent.remove_local(now, base);
            }
        }
        Step::Interfaces { side, kept } => {
            let side = &mut world.sides[usize::from(side)];
            let mut ips: Vec<IpAddr> = side.bases.iter().map(|(_, base)| base.ip()).collect();
            ips.dedup();
            let mut place = 0;
            ips.retain(|_| {
                place += 1;
                kept >> ((place - 1) % 8) & 1 == 1
            });
            let interfaces: Vec<Interface> =
                ips.iter().map(|&address| Interface { index: 1, address, prefix_len: 24 }).collect();
            side.bases.retain(|(_, base)| ips.contains(&base.ip()));
            side.agent.handle_host(now, HostInput::Interfaces(&interfaces));
        }
        Step::Host { side, kind, id } => {
            let side = &mut world.sides[usize::from(side)];
            let id = SocketId((u32::MAX - 99).wrapping_add(u32::from(id)));
            let path = side.agent.selected().map(|selected| selected.path);
            let path = path.unwrap_or(Path::udp(address(ATTACKERS[0]), address(ATTACKERS[1])));
            let input = match kind % 4 {
                0 => HostInput::Unreachable { path, kind: Unreachable::Port },
                1 => HostInput::TooBig { path, mtu: Some(id.0 as u16) },
                2 => HostInput::Connected { id, path },
                _ => HostInput::Expired { path, by: path.remote.ip() },
            };
            side.agent.handle_host(now, input);
        }
        Step::Binds { side, pattern } => world.sides[usize::from(side)].binds = pattern,
        Step::Data { side, bytes, times } => {
            for _ in 0..=times % 64 {
                world.send_data(usize::from(side), &[b'x'; 256][..usize::from(bytes)]);
                world.run(Duration::from_millis(20));
            }
        }
        Step::Reboot { side, front: new } => {
            let side = &mut world.sides[usize::from(side)];
            side.reboot();
            // Who has never been inside has no mappings, and the other way round.
            if let Some(new) = new.filter(|_| side.front != Front::Open) {
                side.front = Some(front(new)).filter(|new| *new != Front::Open).unwrap_or(side.front);
            }
        }
        _ => {}
    }
}

// --- the attacker ---------------------------------------------------------------------------------

/// A socket of a side, and where something pretends to come from.
fn path(world: &World, side: bool, local: u8, from: u8) -> Option<Path> {
    let side = usize::from(side);
    let bases = &world.sides[side].bases;
    let &(transport, local) = bases.get(usize::from(local) % bases.len().max(1))?;
    let remote = match from {
        0 => world.sides[side].agent.selected()?.path.remote,
        1..=3 => address(ATTACKERS[usize::from(from) - 1]),
        4..=32 => world.captured.iter().rev().nth(usize::from(from) - 4)?.from,
        _ => SocketAddr::new(ip(from), 5_000 + u16::from(from % 3)),
    };
    Some(Path { transport, local, remote })
}

fn replay(world: &mut World, which: u8, from: u8, side: Option<bool>, change: Option<(u8, u8)>) {
    let Some(packet) = world.captured.iter().rev().nth(usize::from(which)).cloned() else { return };
    let mut bytes = packet.bytes.clone();
    if let Some((at, by)) = change {
        let at = usize::from(at) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= by;
        }
    }
    let is_same = bytes == packet.bytes;
    let Some((index, way)) = packet.arrived.filter(|(index, _)| world.sides[*index].has_base(&packet)) else {
        // It was lost: whoever brings it late is a network, and no attacker.
        return;
    };
    let (index, way) = match side {
        Some(other) if usize::from(other) != index => {
            let Some(way) = path(world, other, 0, from) else { return };
            (usize::from(other), way)
        }
        _ if from < 128 => (index, way),
        _ => (index, Path { remote: address(ATTACKERS[usize::from(from) % ATTACKERS.len()]), ..way }),
    };
    let selected = |world: &World| world.sides[index].agent.selected().map(|selected| selected.path);
    let (before, role) = (selected(world), world.sides[index].agent.role());
    world.input(index, way, &bytes);
    world.drain(index);
    let what = if is_same { "a repetition" } else { "a forgery" };
    assert_eq!(selected(world), before, "{what} changed the path");
    assert_eq!(world.sides[index].agent.role(), role, "{what} changed the role");
}

fn forge(world: &mut World, side: bool, local: u8, from: u8, forged: &Forged) {
    let Some(path) = path(world, side, local, from) else { return };
    let index = usize::from(side);
    let (ours, theirs) = (credentials(world, index), credentials(world, 1 - index));
    let class =
        [Class::Request, Class::Success, Class::Error, Class::Indication][usize::from(forged.what % 4)];
    let like = world.captured.iter().rev().nth(usize::from(forged.like));
    let id = like.and_then(|packet| Some(Message::parse(&packet.bytes).ok()?.transaction_id()));
    let id = id.unwrap_or(TransactionId::from_bytes([forged.like; 12]));
    // What goes to us is sealed with our password, the answers with theirs.
    let (right, wrong) = if class == Class::Request { (&ours, &theirs) } else { (&theirs, &ours) };
    let username = format!("{}:{}", ours.ufrag(), theirs.ufrag());
    let mut buf = [0; 2_048];
    let mut writer = Writer::new(&mut buf, class, Method::BINDING, id);
    writer = writer
        .put_some(forged.is_named.then_some(&Username(username.as_bytes())))
        .put_some(forged.priority.map(Priority).as_ref())
        .put_some(forged.nominates.then_some(&attr::UseCandidate))
        .put_some(forged.proof.map(|(nomination, token)| Proof { nomination, token }).as_ref());
    writer = match forged.role {
        Some((true, number)) => writer.put(&attr::IceControlling(number)),
        Some((false, number)) => writer.put(&attr::IceControlled(number)),
        None => writer,
    };
    writer = match class {
        Class::Success => writer.put(&XorMappedAddress(path.remote)),
        Class::Error => writer.put(&ErrorCode { code: 300 + forged.error % 400, reason: "" }),
        _ => writer,
    };
    if let Some(more) = &forged.more {
        writer = more.put(writer);
    }
    writer = match forged.seal % 8 {
        0 | 4 => writer,
        1 | 5 => writer.integrity(&Key::short_term("a guess of the attacker's")),
        2 | 6 => writer.integrity(&Key::short_term(wrong.pwd())),
        _ => {
            world.has_traitor = true;
            writer.integrity(&Key::short_term(right.pwd()))
        }
    };
    let writer = if forged.fingerprint { writer.fingerprint() } else { writer };
    let Ok(len) = writer.finish() else { return };
    let selected = |world: &World| world.sides[index].agent.selected().map(|selected| selected.path);
    let before = (selected(world), world.sides[index].agent.role());
    world.input(index, path, &buf[..len]);
    world.drain(index);
    let after = (selected(world), world.sides[index].agent.role());
    assert!(world.has_traitor || before == after, "somebody without the password changed something");
}

fn credentials(world: &World, index: usize) -> Credentials {
    world.sides[index].agent.credentials().clone()
}
