//! What goes over a connection arrives, whole and in order, whatever the path does.

use bradawl::quic::{Config, DatagramError, Event, MAX_PACKET, OpenError, Read, ReadError, WriteError};

use crate::kit::{CLIENT, Link, SERVER, World, at, body, ms, sha256};

const TEN_MEGABYTES: usize = 10_000_000;

#[test]
fn ten_megabytes_arrive_with_the_right_hash_without_loss_and_with_some() {
    for (loss, jitter) in [(0, 0), (20, 0), (20, 5)] {
        let link = Link { loss, jitter: ms(jitter), ..Link::GOOD };
        let mut world = World::connected(&[link], 3);
        let begun = world.now;
        let sent = body(TEN_MEGABYTES);
        let got = world.transfer(CLIENT, &sent, begun + ms(600_000), |_, _| ());
        assert_eq!(sha256(&got), sha256(&sent));
        let (took, stats) = (world.now.since(begun), world.client().stats());
        println!(
            "{loss} ‰ lost, {jitter} ms jitter: {took:?}, {} packets, {} counted as lost, mtu {}",
            stats.sent, stats.lost, stats.mtu
        );
        assert_eq!(stats.mtu, MAX_PACKET as u16, "the link takes 1472");
        assert!(world.sides[CLIENT].batches > 100, "several packets at a time");
        assert!(loss > 0 || (stats.lost == 0 && took <= ms(2_000)));
    }
}

#[test]
fn a_path_that_changes_in_the_middle_loses_no_byte() {
    let links = [
        Link::GOOD,
        Link { delay: ms(90), mtu: 1_280, ..Link::GOOD },
        Link { delay: ms(5), loss: 10, mtu: 1_400, ..Link::GOOD },
    ];
    let mut world = World::connected(&links, 4);
    let begun = world.now;
    let sent = body(TEN_MEGABYTES);
    let (mut changes, mut last, mut stall) = (0, (0, begun), ms(0));
    let got = world.transfer(SERVER, &sent, begun + ms(600_000), |world, got| {
        if got > last.0 {
            stall = stall.max(world.now.since(last.1));
            last = (got, world.now);
        }
        let due = [2_000_000, 5_000_000];
        if due.get(changes).is_some_and(|due| got >= *due) {
            changes += 1;
            // The old one is gone at once, with what was on it.
            world.links[changes - 1].loss = 1_000;
            world.set_path(Some(changes));
            world.sides[SERVER].largest = 0;
        }
    });
    assert_eq!(sha256(&got), sha256(&sent));
    assert_eq!(changes, 2);
    let took = world.now.since(begun);
    let stats = world.server().stats();
    println!(
        "two changes: {took:?}, at most {stall:?} without a byte, mtu {}, rtt {:?}, {} lost",
        stats.mtu, stats.rtt, stats.lost
    );
    assert!((1_380..=1_400).contains(&stats.mtu), "it was found anew: {}", stats.mtu);
    assert!(stats.rtt < ms(30), "{:?}", stats.rtt);
}

#[test]
fn without_a_path_nothing_is_sent_and_afterwards_it_goes_on() {
    let mut world = World::connected(&[Link::GOOD, Link { delay: ms(10), ..Link::GOOD }], 5);
    let begun = world.now;
    let sent = body(1_000_000);
    let mut gap = None;
    let got = world.transfer(CLIENT, &sent, begun + ms(60_000), |world, got| {
        if got > 100_000 && gap.is_none() {
            world.set_path(None);
            // What is on its way arrives.
            let before = world.sides.each_ref().map(|side| side.sent);
            world.run_for(ms(10_000));
            assert_eq!(world.sides.each_ref().map(|side| side.sent), before);
            world.set_path(Some(1));
            gap = Some(world.now);
        }
    });
    assert_eq!(sha256(&got), sha256(&sent));
    let after = world.now.since(gap.expect("there was one"));
    println!("after a gap of 10 s: {after:?}");
    assert!(after < ms(500), "{after:?}");
}

#[test]
fn a_path_that_is_told_again_is_no_change_and_one_that_was_away_is_new() {
    let mut world = World::connected(&[Link::GOOD], 5);
    let before = world.client().stats();
    world.set_path(Some(0));
    assert_eq!(world.client().stats(), before);
    world.set_path(None);
    world.set_path(Some(0));
    assert_eq!(world.client().stats().mtu, 1_200);
    world.run_for(ms(2_000));
    assert_eq!((world.client().stats().mtu, world.client().stats().rtt), (before.mtu, before.rtt));
}

#[test]
fn each_half_of_a_stream_ends_on_its_own() {
    let mut world = World::connected(&[Link::GOOD], 6);
    let id = world.client().open_bi().expect("allowed");
    assert_eq!(world.client().write(id, b"question"), Ok(8));
    world.client().finish(id).expect("open");
    assert_eq!(world.client().write(id, b"more"), Err(WriteError::NoStream));
    world.run_for(ms(200));
    assert_eq!(world.sides[SERVER].opened(), [id]);
    assert!(world.sides[CLIENT].has(&Event::Finished { id }));
    let mut question = Vec::new();
    assert!(world.read(SERVER, id, &mut question), "there is an end");
    assert_eq!(question, b"question");
    assert_eq!(world.server().read(id, &mut [0; 8]), Err(ReadError::NoStream));
    // The other half is open still.
    assert_eq!(world.server().write(id, b"answer"), Ok(6));
    world.run_for(ms(200));
    let mut answer = [0; 64];
    assert_eq!(world.client().read(id, &mut answer), Ok(Read::Bytes(6)));
    assert_eq!(world.client().read(id, &mut answer), Ok(Read::Blocked));
    world.server().finish(id).expect("open");
    world.run_for(ms(200));
    assert_eq!(world.client().read(id, &mut answer), Ok(Read::End(0)));
    assert!(world.client().is_idle() && world.server().is_idle());
}

#[test]
fn a_stream_is_given_up_by_either_side() {
    let mut world = World::connected(&[Link::GOOD], 6);
    let ids = [(); 2].map(|()| {
        let id = world.client().open_uni().expect("allowed");
        world.client().write(id, b"never mind").expect("there is room");
        id
    });
    world.run_for(ms(200));
    world.client().reset(ids[0], 7).expect("open");
    world.server().stop(ids[1], 8).expect("open");
    world.run_for(ms(200));
    assert_eq!(world.server().read(ids[0], &mut [0; 64]), Err(ReadError::Reset(7)));
    assert!(world.sides[CLIENT].has(&Event::Stopped { id: ids[1], code: 8 }));
    assert_eq!(world.client().write(ids[1], b"more"), Err(WriteError::Stopped(8)));
}

#[test]
fn a_stream_is_used_only_by_whom_it_is_for() {
    let mut world = World::connected(&[Link::GOOD], 6);
    let id = world.client().open_uni().expect("allowed");
    assert_eq!(world.client().read(id, &mut [0; 8]), Err(ReadError::NoStream));
    // The other side has not heard of it yet.
    assert_eq!(world.server().read(id, &mut [0; 8]), Err(ReadError::NoStream));
    world.client().write(id, b"now").expect("there is room");
    world.run_for(ms(200));
    assert_eq!(world.server().write(id, b"no"), Err(WriteError::NoStream));
    assert_eq!(world.server().finish(id), Err(WriteError::NoStream));
    assert!(world.server().reset(id, 0).is_err() && world.client().stop(id, 0).is_err());
    assert_eq!(world.server().read(id, &mut [0; 8]), Ok(Read::Bytes(3)));
}

#[test]
fn datagrams_go_both_ways_whole_or_not_at_all() {
    let mut world = World::connected(&[Link::GOOD], 7);
    let Err(DatagramError::TooLarge { most }) = world.client().send_datagram(&[0; 2_000]) else {
        panic!("two thousand bytes fit into no packet");
    };
    assert!((1_300..MAX_PACKET).contains(&most), "{most}");
    for index in 0..100_u8 {
        world.client().send_datagram(&vec![index; most]).expect("there is room");
        world.server().send_datagram(&[index]).expect("there is room");
    }
    world.run_for(ms(1_000));
    for index in 0..100_u8 {
        assert_eq!(world.server().recv_datagram().as_deref(), Some(&vec![index; most][..]));
        assert_eq!(world.client().recv_datagram().as_deref(), Some(&[index][..]));
    }
    assert_eq!(world.client().recv_datagram(), None);
    assert!(world.sides[CLIENT].has(&Event::DatagramReceived));
}

#[test]
fn datagrams_that_nobody_takes_are_bounded_at_both_ends() {
    let mut world = World::connected(&[Link::GOOD], 7);
    let most = Config::default().datagrams as usize / 1_000;
    let mut sent = 0;
    while world.client().send_datagram(&[1; 1_000]).is_ok() {
        sent += 1;
        assert!(sent <= most, "{sent} datagrams wait to be sent");
    }
    assert_eq!(world.client().send_datagram(&[1; 1_000]), Err(DatagramError::Blocked));
    world.run_for(ms(5_000));
    assert!(world.sides[CLIENT].has(&Event::DatagramRoom));
    for _ in 0..5 {
        while world.client().send_datagram(&[2; 1_000]).is_ok() {}
        world.run_for(ms(5_000));
    }
    let waiting = std::iter::from_fn(|| world.server().recv_datagram()).count();
    assert!((most / 2..=most).contains(&waiting), "{waiting}");
}

#[test]
fn a_million_streams_are_refused_beyond_the_bound_and_more_come_as_old_ones_end() {
    let config = Config { bidirectional: 10, unidirectional: 20, ..Config::default() };
    let mut world = World::pair(&[Link::GOOD], [Config::default(), config], 8);
    world.run_for(ms(1_000));
    let mut open = Vec::new();
    for _ in 0..1_000_000 {
        match world.client().open_uni() {
            Ok(id) => open.push(id),
            Err(error) => assert_eq!(error, OpenError::TooMany),
        }
    }
    assert_eq!(open.len(), 20);
    assert_eq!((0..1_000).filter(|_| world.client().open_bi().is_ok()).count(), 10);
    for id in &open {
        world.client().write(*id, b"x").expect("there is room");
        world.client().finish(*id).expect("open");
    }
    world.run_for(ms(1_000));
    assert_eq!(world.sides[SERVER].opened().len(), 20);
    assert_eq!(world.client().open_uni(), Err(OpenError::TooMany), "nobody has read them");
    for id in open {
        assert!(world.read(SERVER, id, &mut Vec::new()));
    }
    world.run_for(ms(1_000));
    assert!(world.sides[CLIENT].has(&Event::StreamsAllowed { is_bidirectional: false }));
    assert_eq!((0..1_000).filter(|_| world.client().open_uni().is_ok()).count(), 20);
}

#[test]
fn what_is_not_read_is_bounded() {
    let config = Config { stream_window: 100_000, window: 250_000, ..Config::default() };
    let mut world = World::pair(&[Link::GOOD], [Config::default(), config], 8);
    world.run_for(ms(1_000));
    let mut written = 0;
    for _ in 0..5 {
        let id = world.client().open_uni().expect("allowed");
        written += world.client().write(id, &body(1_000_000)).unwrap_or(0);
        assert!(written <= 250_000);
    }
    assert_eq!(written, 250_000);
    world.run_for(ms(60_000 / 4));
    assert!(world.server().stats().bytes_received < 300_000);
}

#[test]
fn what_is_written_without_end_is_bounded() {
    let config = Config { send_window: 300_000, ..Config::default() };
    let mut world = World::pair(&[Link::GOOD], [config, Config::default()], 8);
    world.run_for(ms(1_000));
    let id = world.client().open_uni().expect("allowed");
    let mut written = 0;
    while let Ok(len) = world.client().write(id, &body(100_000)) {
        written += len;
    }
    assert_eq!(written, 300_000);
    world.run_for(ms(1_000));
    assert!(world.sides[CLIENT].has(&Event::Writable { id }));
}

#[test]
fn packets_fit_into_a_buffer_that_a_relays_head_was_taken_from_and_none_into_less() {
    let mut world = World::connected(&[Link::GOOD], 9);
    world.sides[CLIENT].buf = vec![0; MAX_PACKET - 1];
    let id = world.client().open_uni().expect("allowed");
    world.client().write(id, &body(100_000)).expect("there is room");
    let before = world.sides[CLIENT].sent;
    world.run_until(at(8_000));
    assert_eq!(world.sides[CLIENT].sent, before);
    world.sides[CLIENT].buf = vec![0; MAX_PACKET];
    world.run_until(at(9_000));
    assert_eq!(world.sides[CLIENT].largest, MAX_PACKET);
    let mut got = Vec::new();
    world.read(SERVER, id, &mut got);
    assert_eq!(got.len(), 100_000);
}
