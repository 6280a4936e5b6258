//! TCP: two ends over two links, and one end against segments made by hand.

mod net;

use bradawl::time::{Duration, Instant};
use bradawl_sim::link::Quality;
use bradawl_sim::tcp::{Flags, Reason, Segment, Step, Stream};
use bradawl_sim::units::{Chance, Rate, Span};
use net::{End, Net};
use proptest::prelude::*;

const START: Instant = Instant::ZERO;
const SYN: Flags = Flags { syn: true, ack: false, fin: false, rst: false };
const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };
const RST: Flags = Flags { syn: false, ack: false, fin: false, rst: true };

const fn millis(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn text(count: usize, salt: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 + n / 251 + salt) as u8).collect()
}

fn rough() -> Quality {
    Quality {
        delay: Span::from_millis(20),
        jitter: Span::from_millis(10),
        loss: Chance::percent(20),
        reorder: Chance::percent(10),
        hold: Span::from_millis(30),
        duplicate: Chance::percent(10),
        ..Quality::default()
    }
}

const FOREVER: Instant = Instant::from_micros(10_000 * 1_000_000);

#[test]
fn bytes_arrive_whole_over_a_perfect_link_and_both_sides_close() {
    let says = [text(100_000, 1), text(300_000, 2)];
    let mut net = Net::client_and_server(&Quality::default(), 0, says.clone(), [u32::MAX - 5_000, 7]);
    net.run(FOREVER);
    assert_eq!([&net.ends[1].received, &net.ends[0].received], [&says[0], &says[1]]);
    assert_eq!(net.reasons(), [Some(Reason::Done); 2]);
    let data = net.times(0, "tcp data").len() + net.times(0, "tcp fin").len();
    assert_eq!(data, 84, "nothing was sent twice");
}

#[test]
fn bytes_arrive_whole_over_links_that_lose_shuffle_and_double() {
    for seed in 0..60 {
        let says = [text(usize::from(seed) * 997, 1), text(50_000, 2)];
        let mut net = Net::client_and_server(&rough(), seed, says.clone(), [u32::MAX - 9_000, 1 << 31]);
        net.run(FOREVER);
        assert_eq!(net.reasons(), [Some(Reason::Done); 2], "seed {seed}");
        assert!(net.ends[1].received == says[0] && net.ends[0].received == says[1], "seed {seed}");
    }
}

#[test]
fn bytes_arrive_whole_over_slow_links_with_a_short_and_a_long_queue() {
    // At best they take 6.5 s and 21 s. The first queue holds a fifth of the window. In the second all of it
    // waits, for 8 s, so that the first timeouts are in vain and what they send waits, too.
    for (bits, queue, size, most) in [(256_000, 8_000, 200_000, 15_000), (40_000, 65_536, 100_000, 60_000)] {
        let rate = Some(Rate::from_bits(bits));
        let quality = Quality { delay: Span::from_millis(50), rate, queue, ..Quality::default() };
        let mut net = Net::client_and_server(&quality, 0, [text(size, 1), Vec::new()], [1, 2]);
        net.run(FOREVER);
        assert!(net.ends[1].received == text(size, 1));
        let took = net.ends[1].closed.expect("closed").0;
        assert!(took < millis(most), "{took:?}, {} segments", net.times(0, "tcp data").len());
    }
}

/// RFC 9293 §3.8.3, R2 for SYN segments, shortened.
#[test]
fn connecting_to_nobody_gives_up() {
    let mut net = Net::new(&Quality { loss: Chance::ALWAYS, ..Quality::default() }, 0);
    net.ends[0].stream = Some(Stream::connect(START, 1));
    net.run(FOREVER);
    let times = [0, 1, 3, 7, 15, 31].map(|secs| millis(secs * 1_000));
    assert_eq!(net.times(0, "tcp syn"), times);
    assert_eq!(net.ends[0].closed, Some((millis(63_000), Reason::TimedOut)));
    assert_eq!(net.ends[0].connected, None);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut net = Net::client_and_server(&Quality::default(), 0, Default::default(), [1, 2]);
    net.ends[1].listens = None;
    net.run(FOREVER);
    assert_eq!(net.ends[0].closed, Some((START, Reason::Refused)));
    assert_eq!(net.times(1, "tcp rst").len(), 1);
}

#[test]
fn an_icmp_error_ends_an_attempt_but_no_connection() {
    let mut net = Net::open_pair();
    net.stream(0).handle_unreachable();
    net.ends[0].to_write = b"still here".to_vec();
    net.run(millis(500));
    assert_eq!((net.reasons()[0], &net.ends[1].received[..]), (None, &b"still here"[..]));

    let mut stream = Stream::connect(START, 1);
    stream.handle_unreachable();
    assert_eq!(stream.poll(START), Step::Closed(Reason::Unreachable));
    assert_eq!(stream.poll(START), Step::Idle(None));
}

/// RFC 9293 §3.5, figure 7: the SYNs cross.
#[test]
fn simultaneous_open() {
    for quality in [Quality { delay: Span::from_millis(30), ..Quality::default() }, rough()] {
        for seed in 0..30 {
            let mut net = Net::new(&quality, seed);
            for side in 0..2 {
                net.ends[side].stream = Some(Stream::connect(START, 5_000 * side as u32));
                net.ends[side].to_write = text(5_000, side);
            }
            net.run(millis(60_000));
            assert!(net.ends[0].received == text(5_000, 1), "seed {seed}");
            assert!(net.ends[1].received == text(5_000, 0), "seed {seed}");
            if quality.loss == Chance::NEVER {
                assert_eq!(net.ends[0].connected, Some(millis(60)), "one round trip");
                assert_eq!(net.times(0, "tcp syn-ack").len(), 1);
            }
            (net.ends[0].closes, net.ends[1].closes) = (true, true);
            net.run(FOREVER);
            assert_eq!(net.reasons(), [Some(Reason::Done); 2], "seed {seed}");
        }
    }
}

/// The first SYN dies at the other's NAT, which has no mapping yet; the second end's SYN comes through.
#[test]
fn simultaneous_open_after_the_first_syn_was_dropped() {
    let quality = Quality { delay: Span::from_millis(30), ..Quality::default() };
    let mut net = Net::new(&quality, 0);
    net.ends[0].stream = Some(Stream::connect(START, 1));
    net.links[0].set_down(millis(1));
    net.run(millis(20));
    net.ends[1].stream = Some(Stream::connect(net.now, 2));
    net.run(millis(500));
    assert!(net.ends.iter().all(|end| end.connected.is_some_and(|at| at <= millis(120))));
}

#[test]
fn a_reset_ends_the_other_side_at_once() {
    let mut net = Net::open_pair();
    net.stream(0).abort();
    net.run(FOREVER);
    assert_eq!(net.reasons(), [Some(Reason::Aborted), Some(Reason::Reset)]);
    assert_eq!(net.ends[1].closed.map(|(at, _)| at), Some(net.now));

    // Before anybody answered there is nobody to tell.
    let mut stream = Stream::connect(START, 1);
    stream.abort();
    assert_eq!(stream.poll(START), Step::Closed(Reason::Aborted));
}

/// RFC 9293 §3.10.7.4 after RFC 5961 §3.2: whoever knows the addresses only cannot reset.
#[test]
fn a_reset_that_might_be_guessed_is_questioned() {
    let mut net = Net::open_pair();
    for (seq, answered) in [(9_002, true), (9_001 - 1, false), (9_001 + 100_000, false)] {
        net.sent.clear();
        net.deliver(0, &Segment { flags: RST, seq, ..Segment::default() });
        net.drain(0);
        assert_eq!(net.times(0, "tcp ack").len(), usize::from(answered), "{seq}");
    }
    net.deliver(0, &Segment { flags: RST, seq: 9_001, ..Segment::default() });
    net.run(millis(1_000));
    assert_eq!(net.reasons()[0], Some(Reason::Reset));
}

/// RFC 9293 §3.5.1, figure 9: one end was killed, and connects again from the same port.
#[test]
fn a_half_open_connection_is_found_out() {
    let mut net = Net::open_pair();
    net.ends[0] = End { stream: Some(Stream::connect(net.now, 77)), ..End::default() };
    net.run(millis(500));
    assert_eq!(net.reasons()[1], Some(Reason::Reset));
    net.ends[1].listens = Some(88);
    (net.ends[1].connected, net.ends[1].closes) = (None, false);
    net.run(millis(5_000));
    assert!(net.ends[0].connected.is_some(), "its SYN comes again and finds a listener");
}

/// RFC 5681 §3.2.
#[test]
fn three_duplicate_acknowledgments_bring_back_what_is_missing() {
    let mut net = Net::open_pair();
    net.links[0].set_down(millis(101));
    net.now = millis(100);
    net.ends[0].to_write = text(1_200, 0);
    net.drain(0); // lost
    net.now = millis(101);
    net.ends[0].to_write = text(4 * 1_200, 3);
    net.run(millis(1_000));
    assert_eq!(net.ends[1].received, [text(1_200, 0), text(4 * 1_200, 3)].concat());
    let times = net.times(0, "tcp data");
    assert_eq!(times.len(), 6);
    assert_eq!(times.last(), Some(&millis(111)), "a round trip later, not after 200 ms");
}

/// RFC 6298 §5.5, RFC 5681 §3.1, RFC 9293 §3.8.3.
#[test]
fn a_peer_that_vanishes_is_given_up_and_the_waits_double() {
    let mut net = Net::open_pair();
    net.links[0].set_down(FOREVER);
    net.ends[0].to_write = text(5 * Stream::MSS, 0);
    net.run(FOREVER);
    let times = net.times(0, "tcp data");
    assert_eq!(times.len(), 5 + Stream::DATA_TRIES as usize, "all that fits, then one at a time");
    let waits: Vec<u128> = times[4..].windows(2).map(|pair| pair[1].since(pair[0]).as_millis()).collect();
    assert_eq!(waits[..4], [200, 400, 800, 1_600]);
    assert_eq!(waits.last(), Some(&60_000));
    assert_eq!(net.reasons()[0], Some(Reason::TimedOut));
}

#[test]
fn an_outage_delays_and_loses_nothing() {
    let mut net = Net::open_pair();
    net.ends[0].to_write = text(150_000, 1);
    net.run(millis(120));
    net.links.iter_mut().for_each(|link| link.set_down(millis(5_000)));
    net.run(millis(10_000));
    assert!(net.ends[1].received == text(150_000, 1));
}

#[test]
fn the_send_buffer_is_bounded_and_closed_for_good() {
    let mut stream = Stream::connect(START, 1);
    assert_eq!(stream.write(&[0; 100_000]), Stream::SEND_BUFFER);
    assert_eq!(stream.write(&[0; 1]), 0);
    let mut stream = Stream::connect(START, 1);
    stream.close();
    assert_eq!(stream.write(b"too late"), 0);
}

#[test]
fn no_more_than_the_window_is_on_its_way() {
    let mut net = Net::open_pair();
    net.sent.clear();
    net.links[0].set_down(FOREVER);
    net.ends[0].to_write = text(Stream::SEND_BUFFER, 0);
    net.drain(0);
    let bytes: usize = net.sent.iter().map(|(_, _, segment)| segment.body.len()).sum();
    assert_eq!(bytes, Stream::WINDOW);
}

#[test]
fn what_was_written_before_closing_still_arrives() {
    let mut stream = Stream::connect(START, 1);
    stream.write(b"hello");
    stream.close();
    let mut net = Net::new(&rough(), 3);
    net.ends[0].stream = Some(stream);
    net.ends[1].listens = Some(2);
    net.run(FOREVER);
    assert_eq!((&net.ends[1].received[..], net.reasons()), (&b"hello"[..], [Some(Reason::Done); 2]));
}

/// RFC 9293 §3.6, case 1 and 2, figure 12: who closes first waits for the other's FIN to come again.
#[test]
fn the_first_to_close_waits_and_the_second_does_not() {
    let mut net = Net::open_pair();
    net.ends[0].closes = true;
    net.run(FOREVER);
    let [first, second] = [0, 1].map(|side| net.ends[side].closed.expect("closed"));
    assert_eq!((first.1, second.1), (Reason::Done, Reason::Done));
    assert!(first.0.since(second.0) + Duration::from_millis(5) >= Stream::TIME_WAIT);
    assert!(second.0 <= millis(120));
}

/// RFC 9293 §3.6, case 3, figure 13.
#[test]
fn simultaneous_close() {
    let mut net = Net::open_pair();
    (net.ends[0].closes, net.ends[1].closes) = (true, true);
    net.run(FOREVER);
    assert_eq!(net.reasons(), [Some(Reason::Done); 2]);
    assert!(net.ends.iter().all(|end| end.closed.expect("closed").0 > START + Stream::TIME_WAIT));
}

/// RFC 9293 §3.6: a FIN is "nothing more to say", not "nothing more to hear".
#[test]
fn one_direction_goes_on_when_the_other_is_closed() {
    let mut net = Net::open_pair();
    net.stream(0).close();
    net.ends[1].to_write = text(200_000, 4);
    net.run(FOREVER);
    assert!(net.ends[0].received == text(200_000, 4));
    assert_eq!(net.reasons(), [Some(Reason::Done); 2]);
}

#[test]
fn a_peer_that_never_closes_is_given_up_after_a_while() {
    let mut net = Net::open_pair();
    net.stream(0).close();
    net.drain(0);
    let fin = &net.sent.last().expect("a FIN").2;
    assert!(fin.flags.fin);
    let ack = Segment { flags: ACK, seq: 9_001, ack: fin.seq + 1, body: Vec::new() };
    net.air.clear();
    net.deliver(0, &ack);
    let patience = net.now + Stream::FIN_WAIT;
    net.run(FOREVER);
    assert_eq!(net.ends[0].closed, Some((patience, Reason::TimedOut)));
}

#[test]
fn only_a_syn_opens() {
    for flags in [ACK, RST, Flags { syn: true, ..ACK }, Flags { syn: true, ..RST }, Flags::default()] {
        assert!(Stream::accept(START, &Segment { flags, ..Segment::default() }, 1).is_none(), "{flags:?}");
    }
    assert!(Stream::accept(START, &Segment { flags: SYN, ..Segment::default() }, 1).is_some());
}

fn any_segment() -> impl Strategy<Value = Segment> {
    let near = prop_oneof![4 => 0u32..6, 1 => any::<u32>(), 1 => 0u32..100_000];
    let flags =
        any::<[bool; 4]>().prop_map(|[syn, ack, fin, rst]| Flags { syn, ack, fin, rst: rst && syn == fin });
    (flags, near.clone(), near, 0usize..1_500).prop_map(|(flags, seq, ack, length)| Segment {
        flags,
        seq: seq.wrapping_sub(3),
        ack: ack.wrapping_sub(3),
        body: vec![1; length / 3],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever the network does, what arrives is what was sent, from the beginning and without a gap; an
    /// end in good order means that all of it did; and there is an end.
    #[test]
    fn what_arrives_is_what_was_sent(
        seed: u8, iss: [u32; 2], sizes in [0usize..120_000, 0usize..5_000],
        loss in 0u32..30, reorder in 0u32..40, duplicate in 0u32..40, jitter in 0u64..100, rate: bool,
    ) {
        let quality = Quality {
            jitter: Span::from_millis(jitter),
            loss: Chance::percent(loss),
            reorder: Chance::percent(reorder),
            duplicate: Chance::percent(duplicate),
            rate: rate.then(|| Rate::from_bits(1_000_000)),
            ..rough()
        };
        let says = [text(sizes[0], 1), text(sizes[1], 2)];
        let mut net = Net::client_and_server(&quality, seed, says.clone(), iss);
        net.run(FOREVER);
        for side in 0..2 {
            let (mine, theirs) = (&net.ends[side], &says[1 - side]);
            prop_assert!(theirs.starts_with(&mine.received));
            // Who has nothing to send does not notice that the other end gave up.
            prop_assert!(mine.stream.is_none() || net.reasons()[1 - side] == Some(Reason::TimedOut));
            if mine.finished || net.reasons()[side] == Some(Reason::Done) {
                prop_assert!(mine.received.len() == theirs.len());
            }
            // A few in ten thousand may be unlucky where much is lost, never where nothing is.
            prop_assert!(loss > 2 || net.reasons()[side] == Some(Reason::Done), "{:?}", net.reasons());
        }
    }

    /// Whatever comes, an end stays within its bounds: it does not panic, draining ends, time advances.
    #[test]
    fn any_segments_do_no_harm(
        mode in 0u8..3, says in 0usize..3_000, closes: bool,
        segments in proptest::collection::vec((any_segment(), 0u64..2_000), 0..60),
    ) {
        let syn = Segment { flags: SYN, seq: u32::MAX, ..Segment::default() };
        let mut stream = match mode {
            0 => Stream::connect(START, u32::MAX),
            _ => Stream::accept(START, &syn, u32::MAX).expect("a SYN"),
        };
        let mut now = START;
        if mode == 2 {
            stream.handle_segment(now, &Segment { flags: ACK, ..Segment::default() });
        }
        stream.write(&text(says, 0));
        if closes {
            stream.close();
        }
        let mut over = false;
        for (segment, pause) in segments {
            now += Duration::from_millis(pause);
            stream.handle_segment(now, &segment);
            let mut steps = 0;
            loop {
                let step = stream.poll(now);
                if let Step::Idle(at) = step {
                    prop_assert!(at.is_none_or(|at| at > now && !over));
                    break;
                }
                prop_assert!(!over, "{step:?} after the end");
                over = matches!(step, Step::Closed(_));
                steps += 1;
                prop_assert!(steps < 100);
            }
        }
    }
}
