//! Links, one test per impairment: what one does that has it and what one does that has not.

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_sim::link::{Carried, Link, Loss, Quality, QualityError};
use bradawl_sim::trace;
use bradawl_sim::units::{Chance, Rate, Span};

fn link(quality: Quality) -> Link {
    quality.check().expect("a link that can be");
    Link::new(quality, Rng::from_seed([7; 32]))
}

const fn millis(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// When a packet arrives that must.
fn arrival(carried: Carried) -> Instant {
    match carried {
        Carried::Arrives { first, .. } => first,
        Carried::Lost(why) => panic!("lost: {why:?}"),
    }
}

/// What becomes of `count` packets of 100 bytes, one each millisecond.
fn stream(quality: Quality, count: u64) -> Vec<Carried> {
    let mut link = link(quality);
    (0..count).map(|n| link.carry(millis(n), 100)).collect()
}

fn is_lost(carried: &Carried) -> bool {
    matches!(carried, Carried::Lost(Loss::Random))
}

/// The lengths of the runs of lost packets.
fn bursts(stream: &[Carried]) -> Vec<usize> {
    stream.split(|carried| !is_lost(carried)).map(<[_]>::len).filter(|&length| length > 0).collect()
}

#[test]
fn a_perfect_link_carries_everything_at_once() {
    for (n, carried) in (0..).zip(stream(Quality::default(), 1_000)) {
        assert_eq!(carried, Carried::Arrives { first: millis(n), again: None });
    }
}

#[test]
fn delay() {
    let quality = Quality { delay: Span::from_millis(40), ..Quality::default() };
    for (n, carried) in (0..).zip(stream(quality, 10)) {
        assert_eq!(arrival(carried), millis(n + 40));
    }
}

#[test]
fn jitter_is_uniform_within_its_bounds() {
    let quality =
        Quality { delay: Span::from_millis(40), jitter: Span::from_millis(10), ..Quality::default() };
    let mut link = link(quality);
    // Far enough apart that no packet waits for the one ahead of it.
    let extra: Vec<u64> = (0..10_000)
        .map(|n| arrival(link.carry(millis(n * 100), 100)).since(millis(n * 100 + 40)).as_micros() as u64)
        .collect();
    assert!(extra.iter().all(|&micros| micros <= 10_000));
    for tenth in 0..10 {
        let share = extra.iter().filter(|&&micros| micros / 1_000 == tenth).count();
        assert!((850..1_150).contains(&share), "{share} of 10,000 in tenth {tenth}");
    }
}

#[test]
fn jitter_keeps_the_order() {
    let arrivals = stream(Quality { jitter: Span::from_millis(50), ..Quality::default() }, 10_000);
    assert!(arrivals.windows(2).all(|pair| arrival(pair[0]) <= arrival(pair[1])));
}

#[test]
fn loss_takes_its_share_and_each_packet_by_itself() {
    let stream = stream(Quality { loss: Chance::percent(10), ..Quality::default() }, 100_000);
    let lost = stream.iter().filter(|carried| is_lost(carried)).count();
    assert!((9_700..10_300).contains(&lost), "{lost} of 100,000");
    // Runs of independent losses are 1 ÷ (1 - 0.1) long.
    let bursts = bursts(&stream);
    let mean = 1_000 * lost / bursts.len();
    assert!((1_095..1_128).contains(&mean), "{mean} ‰");
}

#[test]
fn loss_of_everything_and_of_nothing() {
    assert!(stream(Quality { loss: Chance::ALWAYS, ..Quality::default() }, 100).iter().all(is_lost));
    assert!(!stream(Quality::default(), 100).iter().any(is_lost));
}

#[test]
fn bursts_have_their_mean_length_and_frequency() {
    let (burst, burst_end) = (Chance::percent(1), Chance::percent(20));
    let stream = stream(Quality { burst, burst_end, ..Quality::default() }, 200_000);
    let bursts = bursts(&stream);
    let lost: usize = bursts.iter().sum();
    // A burst that ends may begin again at once (1 %), so runs are 1 % longer than 5.
    let mean = 1_000 * lost / bursts.len();
    assert!((4_750..5_350).contains(&mean), "{mean} ‰");
    // 0.01 ÷ (0.01 + 0.2 · 0.99) = 4.8 %.
    assert!((9_000..10_250).contains(&lost), "{lost} of 200,000");
}

#[test]
fn duplicates_arrive_twice_and_not_before_the_first() {
    let quality =
        Quality { duplicate: Chance::percent(5), jitter: Span::from_millis(3), ..Quality::default() };
    let mut copies = 0;
    for carried in stream(quality, 20_000) {
        let Carried::Arrives { first, again } = carried else { panic!("lost") };
        if let Some(again) = again {
            copies += 1;
            assert!(again >= first && again.since(first) <= Duration::from_millis(3));
        }
    }
    assert!((900..1_100).contains(&copies), "{copies} of 20,000");
}

#[test]
fn reordering_holds_back_some_and_not_those_behind() {
    let quality = Quality { reorder: Chance::percent(10), hold: Span::from_millis(5), ..Quality::default() };
    let (mut held, mut overtaken) = (0, 0);
    let stream = stream(quality, 10_000);
    for (n, pair) in (0..).zip(stream.windows(2)) {
        let (this, next) = (arrival(pair[0]), arrival(pair[1]));
        assert!(this == millis(n) || this == millis(n + 5));
        held += usize::from(this == millis(n + 5));
        overtaken += usize::from(next < this);
    }
    assert!((900..1_100).contains(&held), "{held} of 10,000");
    assert!(overtaken > held * 8 / 10, "{overtaken} of {held}: the others were followed by one held, too");
}

#[test]
fn a_rate_makes_packets_wait_for_each_other() {
    // 1,500 bytes at 10 Mbit/s take 1.2 ms each.
    let rate = Some(Rate::from_bits(10_000_000));
    let mut link = link(Quality { rate, queue: 1 << 20, ..Quality::default() });
    for n in 1..=100 {
        assert_eq!(arrival(link.carry(Instant::ZERO, 1_500)), Instant::from_micros(n * 1_200));
    }
    // When all have left, the next waits for itself only.
    assert_eq!(arrival(link.carry(millis(500), 1_500)), Instant::from_micros(501_200));
}

/// 100 bytes at 1 Gbit/s take 0.8 µs: rounding each up would make the link a fifth slower.
#[test]
fn a_fast_rate_is_exact_in_the_long_run() {
    let rate = Some(Rate::from_bits(1_000_000_000));
    let mut link = link(Quality { rate, queue: 1 << 20, ..Quality::default() });
    let last = (0..10_000).map(|_| arrival(link.carry(Instant::ZERO, 100))).last();
    assert_eq!(last, Some(millis(8)));
}

#[test]
fn what_does_not_fit_into_the_queue_is_dropped() {
    let rate = Some(Rate::from_bits(8_000)); // a byte each millisecond
    let mut link = link(Quality { rate, queue: 3_000, ..Quality::default() });
    // One on the wire counts as waiting as far as it has not left yet.
    for n in 1..=3 {
        assert_eq!(arrival(link.carry(Instant::ZERO, 1_000)), millis(n * 1_000));
    }
    assert_eq!(link.carry(Instant::ZERO, 1_000), Carried::Lost(Loss::QueueFull));
    assert_eq!(link.carry(millis(999), 1_000), Carried::Lost(Loss::QueueFull));
    assert_eq!(arrival(link.carry(millis(1_000), 1_000)), millis(4_000));

    // A free wire needs no queue; without a rate nothing waits.
    let mut link = Link::new(Quality { rate, queue: 0, ..Quality::default() }, Rng::from_seed([0; 32]));
    assert_eq!(arrival(link.carry(Instant::ZERO, 1_000)), millis(1_000));
    assert_eq!(link.carry(millis(999), 1), Carried::Lost(Loss::QueueFull));
    assert_eq!(arrival(link.carry(millis(1_000), 1)), millis(1_001));
    assert!(stream(Quality { queue: 0, ..Quality::default() }, 10).iter().all(|carried| !is_lost(carried)));
}

#[test]
fn what_is_longer_than_the_mtu_is_dropped() {
    let mut link = link(Quality { mtu: 1_280, ..Quality::default() });
    assert_eq!(arrival(link.carry(Instant::ZERO, 1_280)), Instant::ZERO);
    assert_eq!(link.carry(Instant::ZERO, 1_281), Carried::Lost(Loss::TooBig));
}

#[test]
fn a_link_that_is_down_carries_nothing_until_the_last_who_said_so() {
    let mut link = link(Quality::default());
    assert!(!link.is_down(Instant::ZERO));
    link.set_down(millis(10));
    link.set_down(millis(5));
    assert_eq!(link.carry(millis(9), 2_000), Carried::Lost(Loss::Down));
    assert!(link.is_down(millis(9)) && !link.is_down(millis(10)));
    assert_eq!(arrival(link.carry(millis(10), 100)), millis(10));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let quality = Quality {
        delay: Span::from_millis(3),
        jitter: Span::from_millis(9),
        loss: Chance::percent(5),
        burst: Chance::percent(1),
        duplicate: Chance::percent(5),
        reorder: Chance::percent(5),
        rate: Some(Rate::from_bits(1_000_000)),
        ..Quality::default()
    };
    assert_eq!(stream(quality.clone(), 1_000), stream(quality, 1_000));
}

#[test]
fn every_loss_has_its_name_in_the_trace() {
    let names = [Loss::Random, Loss::QueueFull, Loss::TooBig, Loss::Down].map(trace::Drop::from);
    use trace::Drop::{LinkDown, Lost, QueueFull, TooBig};
    assert_eq!(names, [Lost, QueueFull, TooBig, LinkDown]);
}

#[test]
fn impossible_links_are_refused_with_the_field() {
    let long = Span::from_secs(61);
    let some = Chance::percent(1);
    for (quality, field) in [
        (Quality { delay: long, ..Quality::default() }, "delay"),
        (Quality { jitter: long, ..Quality::default() }, "jitter"),
        (Quality { hold: long, ..Quality::default() }, "hold"),
        (Quality { reorder: some, hold: Span::ZERO, ..Quality::default() }, "hold"),
        (Quality { burst: some, burst_end: Chance::NEVER, ..Quality::default() }, "burst-end"),
        (Quality { queue: (64 << 20) + 1, ..Quality::default() }, "queue"),
        (Quality { mtu: 575, ..Quality::default() }, "mtu"),
    ] {
        let error = quality.check().expect_err(field);
        assert_eq!(error.field(), field);
        assert!(error.to_string().contains(field), "{error}");
    }
    let most = Span::from_secs(60);
    let extreme = Quality { delay: most, jitter: most, hold: most, mtu: 576, ..Quality::default() };
    assert_eq!(Quality { queue: 64 << 20, loss: Chance::ALWAYS, ..extreme }.check(), Ok(()));
    assert_eq!(QualityError::TooLong { field: "delay" }.to_string(), "`delay` is longer than 1 min");
}
