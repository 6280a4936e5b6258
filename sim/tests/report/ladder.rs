use bradawl::time::Instant;
use bradawl_sim::nat::Flow;
use bradawl_sim::report::ladder::{LIMIT, Title, svg, text};
use bradawl_sim::trace::{Drop, Happened, PacketNote, Place, PlaceKind, PlaceName, Record, Trace, What};

use crate::data::{Story, address, punch};
use crate::snapshot;
use crate::well_formed::assert_well_formed;

fn title() -> Title {
    Title {
        title: "A punch through two port-restricted NATs".to_owned(),
        command: "bradawl-sim run punch.toml --seed 7 --svg punch.svg".to_owned(),
    }
}

#[test]
fn a_punch_looks_as_it_did() {
    snapshot("punch.txt", &text(&punch(), LIMIT));
    let picture = svg(&punch(), &title(), LIMIT);
    assert_well_formed(&picture);
    snapshot("punch.svg", &picture);
}

/// Hairpinning, duplicates, many packets at the same moment, and packets whose beginning or end nobody saw.
#[test]
fn odd_packets_look_as_they_did() {
    let trace = odd();
    snapshot("odd.txt", &text(&trace, LIMIT));
    let picture = svg(&trace, &title(), LIMIT);
    assert_well_formed(&picture);
    snapshot("odd.svg", &picture);
}

fn odd() -> Trace {
    let mut story = Story::new(&[
        ("anna", PlaceKind::Host),
        ("berta", PlaceKind::Host),
        ("flat", PlaceKind::Gateway),
        ("carrier", PlaceKind::Gateway),
        ("server", PlaceKind::Host),
    ]);
    let (anna, berta) = (address("[2001:db8:17::aaaa]:50000"), address("192.168.1.3:50000"));
    let (public, server) = (address("203.0.113.9:50001"), address("192.0.2.1:3478"));
    let inside = address("192.168.1.2:50000");
    story.packet(
        1,
        "check",
        Flow::udp(inside, public),
        vec![
            (0, 0, What::Sent),
            (1_000, 2, What::TurnedRound(Flow::udp(public, berta))),
            (2_000, 1, What::Received),
        ],
    );
    let out = Flow::udp(public, server);
    story.packet(
        2,
        "binding request",
        Flow::udp(berta, server),
        vec![
            (9_000, 1, What::Sent),
            (10_000, 2, What::Crossed(out)),
            (10_000, 2, What::Mapped { inside: berta, public }),
            (30_000, 3, What::Crossed(out)),
            (30_100, 3, What::Crossed(out)),
            (50_000, 4, What::Received),
            (52_000, 4, What::Received),
        ],
    );
    for id in 10..14 {
        story.packet(
            id,
            "probe",
            Flow::udp(anna, address("[2001:db8:ffff::1]:1024")),
            vec![(60_000, 0, What::Sent), (61_000, 2, What::Dropped(Drop::Firewall))],
        );
    }
    story.packet(20, "tcp syn", Flow::tcp(server, public), vec![(70_000, 3, What::Dropped(Drop::NoRoute))]);
    story.packet(21, "tcp ack", Flow::tcp(server, public), vec![(70_000, 4, What::Received)]);
    story.packet(22, "tcp rst", Flow::tcp(server, public), vec![(80_000, 4, What::Sent)]);
    story.add(80_000, 3, None, What::Mapped { inside: berta, public });
    story.add(90_000, 4, None, What::Says(Happened::Failed("no answer")));
    story.add(90_000, 1, None, What::Says(Happened::Closed));
    story.told()
}

#[test]
fn a_long_run_ends_where_it_was_told_to() {
    for limit in [0, 1, 5, 20, 40] {
        let trace = punch();
        let rest = trace.records.len().saturating_sub(limit);
        let (text, picture) = (text(&trace, limit), svg(&trace, &title(), limit));
        assert_well_formed(&picture);
        assert_eq!(text.contains(&format!("… and {rest} more")), rest > 0, "{text}");
        assert_eq!(picture.contains(&format!("… and {rest} more")), rest > 0);
    }
    let mut long = punch();
    long.records = long.records.iter().cycle().take(1_634).cloned().collect();
    assert!(text(&long, 400).ends_with("… and 1,234 more\n"));
    assert_well_formed(&svg(&long, &title(), usize::MAX));
}

#[test]
fn names_are_harmless() {
    let nasty = "<a&\"b>'\u{7}";
    let mut trace = punch();
    trace.places.iter_mut().for_each(|place| place.name = nasty.to_owned());
    trace.records[0].what = What::Fault(nasty.to_owned());
    let title = Title { title: nasty.to_owned(), command: nasty.to_owned() };
    let picture = svg(&trace, &title, LIMIT);
    assert_well_formed(&picture);
    assert!(picture.contains("&lt;a&amp;&quot;b&gt;&#39;\u{fffd}"));
}

#[test]
fn nothing_at_all_is_shown_as_such() {
    let empty = Trace { places: Vec::new(), records: Vec::new() };
    assert_well_formed(&svg(&empty, &Title::default(), LIMIT));
    assert!(svg(&empty, &Title::default(), LIMIT).contains("nothing happened"));
    assert!(text(&empty, LIMIT).contains("nothing happened"));
}

/// Places that there are not, times out of order, every kind of record without a packet: shown somehow.
#[test]
fn nonsense_does_not_panic() {
    let flow = Flow::udp(address("192.0.2.1:1"), address("192.0.2.2:2"));
    let whats = [
        What::Sent,
        What::Received,
        What::Crossed(flow),
        What::TurnedRound(flow),
        What::Mapped { inside: flow.source, public: flow.destination },
        What::Dropped(Drop::Hops),
        What::Says(Happened::Lost),
        What::Fault(String::new()),
    ];
    for count in 0..3 {
        let place = PlaceName { name: "x".repeat(100), kind: PlaceKind::Host };
        let mut trace = Trace { places: vec![place; count], records: Vec::new() };
        for (index, what) in whats.iter().cycle().take(640).enumerate() {
            let note = PacketNote { id: u64::MAX, flow, size: u16::MAX, label: "" };
            let packet = Some(note).filter(|_| index % 3 != 0);
            let at = Instant::from_micros([u64::MAX, 0, 7][index % 3]);
            let place = Place([0, 1, u32::MAX][index / 8 % 3]);
            trace.records.push(Record { at, place, packet, what: what.clone() });
        }
        assert_well_formed(&svg(&trace, &Title::default(), usize::MAX));
        assert!(!text(&trace, usize::MAX).is_empty());
    }
}
