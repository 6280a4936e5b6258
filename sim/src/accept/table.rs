//! The rows of the table, as the design has them. Cases 6, 9 and 10 come with the relay.

use bradawl::time::Duration;

use super::setting::{Place, Setting};
use super::{Case, Demand};
use crate::catalogue::{entry, populations};
use crate::nat::{Behaviour, Hairpin};
use crate::units::Chance;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// In tenths of a percent.
const fn direct(tenths: u32) -> Demand {
    Demand::Direct { least: tenths * 1_000, within: None }
}

const fn within(tenths: u32, millis: u64) -> Demand {
    Demand::Direct { least: tenths * 1_000, within: Some(ms(millis)) }
}

const fn time(percent: u8, millis: u64) -> Demand {
    Demand::Time { percent, at_most: ms(millis) }
}

/// A NAT of the catalogue with so many strangers a second behind it.
fn nat(name: &str, crowd: u32) -> Behaviour {
    let behaviour = entry(name).and_then(|entry| entry.gateway.nat.clone());
    Behaviour { crowd, ..behaviour.unwrap_or_default() }
}

fn pair(a: &str, b: &str, crowd: u32) -> Setting {
    // Strangers matter where ports follow one another.
    let of = |name: &str| nat(name, if name == "symmetric-sequential" { crowd } else { 0 });
    Setting::between(of(a), of(b))
}

/// All rows.
pub fn cases() -> Vec<Case> {
    let mut cases = cones();
    cases.extend(sequential());
    cases.extend(random());
    cases.extend(special());
    cases.extend(population());
    cases
}

fn cones() -> Vec<Case> {
    let cones = pair("port-restricted", "port-restricted", 0);
    vec![
        Case {
            number: 1,
            name: "cone",
            what: "port-restricted × port-restricted",
            setting: Setting { has_bystanders: true, ..cones.clone() },
            demands: vec![
                direct(1_000),
                time(50, 135),
                time(99, 160),
                Demand::Packets(24),
                Demand::Strays(7),
            ],
        },
        Case {
            number: 1,
            name: "cone-lossy",
            what: "the same, 10 % loss",
            setting: Setting { loss: Chance::percent(10), ..cones },
            demands: vec![direct(1_000), time(99, 200)],
        },
    ]
}

fn sequential() -> Vec<Case> {
    let one = |crowd| pair("port-restricted", "symmetric-sequential", crowd);
    let two = |crowd| pair("symmetric-sequential", "symmetric-sequential", crowd);
    let row = |number, name, what, setting, demands| Case { number, name, what, setting, demands };
    vec![
        row(
            2,
            "bracket",
            "port-restricted × sequential, λ = 2/s",
            one(2),
            vec![within(999, 400), Demand::Packets(60)],
        ),
        row(
            2,
            "bracket-264",
            "port-restricted × sequential, λ = 264/s",
            one(264),
            vec![within(995, 600), Demand::Packets(120)],
        ),
        row(2, "bracket-1000", "port-restricted × sequential, λ = 1,000/s", one(1_000), vec![direct(990)]),
        row(
            3,
            "volley",
            "sequential × sequential, λ = 10/s",
            two(10),
            vec![within(995, 1_000), Demand::Packets(250)],
        ),
        row(
            3,
            "volley-264",
            "sequential × sequential, λ = 264/s",
            two(264),
            vec![within(990, 2_000), Demand::Packets(900)],
        ),
    ]
}

fn random() -> Vec<Case> {
    vec![
        Case {
            number: 4,
            name: "birthday",
            what: "port-restricted × random, full range, opted in",
            setting: Setting { birthday: true, ..pair("port-restricted", "symmetric-random", 0) },
            demands: vec![
                within(500, 2_300),
                within(975, 5_500),
                Demand::Entries(1_050),
                Demand::NoRepetition,
            ],
        },
        Case {
            number: 5,
            name: "block",
            what: "port-restricted × random in a block of 1,024",
            setting: pair("port-restricted", "symmetric-block", 0),
            demands: vec![within(980, 1_200), Demand::Entries(160)],
        },
        Case {
            number: 5,
            name: "high",
            what: "port-restricted × random in 50001–65535",
            setting: pair("port-restricted", "symmetric-high", 0),
            demands: vec![within(975, 3_000), Demand::Entries(520)],
        },
    ]
}

fn special() -> Vec<Case> {
    let preserving = pair("symmetric-preserving", "symmetric-preserving", 0);
    let carrier = |hairpin| Setting {
        place: Place::Carrier(Behaviour { hairpin, ..nat("carrier", 0) }),
        has_bystanders: true,
        ..pair("port-restricted", "port-restricted", 0)
    };
    vec![
        Case {
            number: 7,
            name: "preserving",
            what: "port-preserving symmetric × the same, 1 % of the tuples taken",
            setting: Setting { occupied: Chance::percent(1), ..preserving },
            demands: vec![within(975, 300)],
        },
        Case {
            number: 8,
            name: "carrier",
            what: "same CGN, colliding 192.168.1.x, no hairpin",
            setting: carrier(Hairpin::None),
            demands: vec![Demand::NoFalseValidation, Demand::SaysSo, Demand::Strays(40)],
        },
        Case {
            number: 8,
            name: "carrier-hairpin",
            what: "the same with hairpin",
            setting: carrier(Hairpin::ExternalSource),
            demands: vec![within(1_000, 300), Demand::NoFalseValidation, Demand::Strays(7)],
        },
    ]
}

fn population() -> Vec<Case> {
    let measured = &populations()[0];
    let of = |birthday| Setting { place: Place::Population(measured), birthday, ..pair("open", "open", 0) };
    vec![
        Case {
            number: 11,
            name: "population",
            what: "two of the population, defaults",
            setting: of(false),
            demands: vec![direct(870), Demand::Median(ms(140))],
        },
        Case {
            number: 11,
            name: "population-birthday",
            what: "two of the population, full-range birthday opted in",
            setting: of(true),
            demands: vec![direct(935), Demand::Median(ms(140))],
        },
    ]
}
