use bradawl_sim::report::matrix::{Cell, Matrix, Summary, Worse, compare, distribution_svg, html, svg, text};
use bradawl_sim::trace::Strategy;

use crate::data::matrix;
use crate::snapshot;
use crate::well_formed::assert_well_formed;

#[test]
fn the_matrix_looks_as_it_did() {
    let matrix = matrix();
    snapshot("matrix.txt", &text(&matrix));
    snapshot("matrix.svg", &svg(&matrix));
    snapshot("matrix.html", &html(&matrix));
    snapshot("times.svg", &distribution_svg(&matrix));
    snapshot("matrix.jsonl", &matrix.summary().to_json_lines());
}

fn assert_all_well_formed(matrix: &Matrix) {
    for page in [svg(matrix), html(matrix), distribution_svg(matrix)] {
        assert_well_formed(&page);
    }
}

#[test]
fn all_of_it_is_well_formed() {
    assert_all_well_formed(&matrix());
}

#[test]
fn names_are_harmless() {
    let nasty = "<a&\"b>'\u{7}".to_owned();
    let cell = Cell { runs: 1, direct: 1, broken: 1, expectation: nasty.clone(), ..Cell::default() };
    let matrix = Matrix { command: nasty.clone(), nats: vec![nasty], cells: vec![cell], ..Matrix::default() };
    assert_all_well_formed(&matrix);
    assert!(svg(&matrix).contains("&lt;a&amp;&quot;b&gt;&#39;\u{fffd}"));
    assert!(text(&matrix).contains("<a&\"b>'"));
}

#[test]
fn nothing_at_all_is_shown_as_such() {
    let nothing = Matrix::default();
    assert_all_well_formed(&nothing);
    assert!(distribution_svg(&nothing).contains("no path was won"));
    assert!(text(&nothing).contains("0 runs: – direct"), "{}", text(&nothing));
    let no_runs = Matrix { nats: vec!["home".to_owned()], cells: vec![Cell::default()], ..nothing };
    assert_all_well_formed(&no_runs);
    assert!(text(&no_runs).contains("home    –"), "{}", text(&no_runs));
}

#[test]
fn extremes_do_not_overflow() {
    let most = u32::MAX;
    let cell = Cell {
        a: 0,
        b: 1,
        runs: most,
        direct: most,
        relayed: most,
        failed: most,
        broken: most,
        expectation: "x".repeat(1_000),
        times: vec![(Strategy::Host, vec![0, most]), (Strategy::Relay, vec![most; 3])],
        packets: vec![0, most],
    };
    let stray = Cell { a: usize::MAX, b: 7, ..cell.clone() };
    let matrix = Matrix {
        command: "y".repeat(1_000),
        nats: vec!["n".repeat(300), String::new()],
        cells: vec![cell.clone(), cell, stray],
        seeds: most,
        seed: most,
    };
    assert_all_well_formed(&matrix);
    assert!(!text(&matrix).is_empty());
    let summary = matrix.summary();
    assert_eq!(Summary::from_json_lines(&summary.to_json_lines()).unwrap(), summary);
    assert!(compare(&summary, &summary).iter().all(|worse| matches!(worse.what, Worse::Broken { .. })));
}

#[test]
fn one_path_in_a_thousand_stays_visible() {
    let cell = Cell { runs: 1_000, direct: 999, failed: 1, ..Cell::default() };
    let matrix =
        Matrix { nats: vec!["home".to_owned()], cells: vec![cell], seeds: 1_000, ..Matrix::default() };
    let picture = svg(&matrix);
    assert!(picture.contains(">&gt;99</text>") && picture.contains("<rect class=\"failed\""), "{picture}");
    assert!(text(&matrix).contains(" >99x"), "{}", text(&matrix));
}

/// A pair's place in [`compare`]'s findings must not depend on which of the two is named first.
#[test]
fn a_pair_is_the_same_pair_the_other_way_round() {
    let now = matrix().summary();
    let mut baseline = now.clone();
    for pair in &mut baseline.pairs {
        core::mem::swap(&mut pair.a, &mut pair.b);
        pair.broken = 0;
        pair.packets =
            pair.packets.map(|packets| bradawl_sim::report::summary::Quantiles { p50: 1, ..packets });
    }
    let found = compare(&baseline, &now);
    assert_eq!(found.iter().filter(|worse| matches!(worse.what, Worse::Packets { .. })).count(), 78);
}

#[test]
fn what_is_worse_is_said_in_a_line() {
    let baseline = matrix().summary();
    let mut now = baseline.clone();
    let pair = |now: &mut Summary, a: &str, b: &str, change: fn(&mut bradawl_sim::report::matrix::Pair)| {
        change(now.pairs.iter_mut().find(|pair| pair.a == a && pair.b == b).unwrap());
    };
    pair(&mut now, "home", "linux", |pair| (pair.direct, pair.relayed) = (180, 20));
    pair(&mut now, "home", "cgn", |pair| pair.broken = 0);
    pair(&mut now, "cgn", "cgn", |pair| (pair.relayed, pair.failed) = (170, 30));
    pair(&mut now, "open", "home", |pair| pair.time_us.get_mut("peer-reflexive").unwrap().p50 = 90_000);
    pair(&mut now, "open", "linux", |pair| pair.packets.as_mut().unwrap().p50 = 1_000);
    pair(&mut now, "full-cone", "full-cone", |pair| pair.broken = 1);
    let found: Vec<String> = compare(&baseline, &now).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "open × home: median time to connect (peer-reflexive) 67 ms → 90 ms",
            "open × linux: median packets 32 → 1,000",
            "full-cone × full-cone: 1 run broke an invariant",
            "home × linux: direct 100.0 % → 90.0 %",
            "cgn × cgn: connected 100.0 % → 85.0 %",
        ]
    );
}

/// What chance explains is no regression: just below each threshold nothing is said.
#[test]
fn noise_is_not_worse() {
    let mut baseline = matrix().summary();
    baseline.pairs.iter_mut().for_each(|pair| pair.broken = 0);
    let mut now = baseline.clone();
    for pair in &mut now.pairs {
        pair.direct = pair.direct.saturating_sub(8); // 3 σ from 200 of 200 are 9
        pair.relayed = pair.runs - pair.direct - pair.failed;
        pair.time_us.values_mut().for_each(|time| time.p50 += time.p50 / 10 + 5_000);
        pair.packets.iter_mut().for_each(|packets| packets.p50 += packets.p50 / 10 + 2);
    }
    assert_eq!(compare(&baseline, &now), []);
    now.pairs[0].direct -= 1;
    assert_eq!(compare(&baseline, &now).len(), 1);
    now.pairs.clear();
    assert_eq!(compare(&baseline, &now), []);
}

#[test]
fn a_baseline_is_read_as_it_was_written_and_nonsense_is_refused() {
    let summary = matrix().summary();
    let lines = summary.to_json_lines();
    assert_eq!(lines.lines().count(), 79);
    assert_eq!(Summary::from_json_lines(&lines).unwrap(), summary);
    let printed = format!("{lines}{{\"v\":1,\"event\":\"failed\",\"a\":\"home\",\"message\":\"worse\"}}\n");
    assert_eq!(Summary::from_json_lines(&printed).unwrap(), summary, "with what was printed beside it");
    let error = |text: &str| Summary::from_json_lines(text).unwrap_err().to_string();
    assert!(error("").contains("no line says what was run"));
    assert!(error(&format!("{lines}\nnonsense")).starts_with("line 81 is no line of a matrix: "));
    let newer = error(&lines.replace("\"v\":1", "\"v\":2"));
    assert!(newer.contains("version 2 of the format is unknown; 1 is known"), "{newer}");
    assert!(error(&lines.replace("\"event\":\"pair\"", "\"event\":\"pear\"")).contains("pear"));
}
