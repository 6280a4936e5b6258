//! What is known of a NAT as one word of text: its fields in their order, `-` for what is not known.

use bradawl::discovery::{Allocation, Dependence, Fallback};
use bradawl::punch::Nat;
use bradawl::time::Duration;

pub(super) fn write(nat: &Nat) -> String {
    let flag = |known: Option<bool>| known.map_or_else(unknown, |is| u8::from(is).to_string());
    let on = |on: Option<Dependence>| on.map_or_else(unknown, |on| dependence(on).to_owned());
    let fields = [
        flag(Some(nat.is_blocked)),
        flag(nat.is_translated),
        on(nat.mapping),
        on(nat.filtering),
        nat.allocation.map_or_else(unknown, allocation),
        nat.traffic.map_or_else(unknown, |traffic| traffic.to_string()),
        flag(Some(nat.punishes_early)),
        flag(Some(nat.is_behind_carrier)),
        nat.lifetime.map_or_else(unknown, |lifetime| lifetime.as_micros().to_string()),
        nat.public.map_or_else(unknown, |public| public.to_string()),
        flag(Some(nat.birthday)),
    ];
    fields.join(",")
}

pub(super) fn read(text: &str) -> Option<Nat> {
    let mut fields = text.split(',');
    let mut next = || fields.next();
    Some(Nat {
        is_blocked: read_flag(next()?)?.unwrap_or(false),
        is_translated: read_flag(next()?)?,
        mapping: maybe(next()?, read_dependence)?,
        filtering: maybe(next()?, read_dependence)?,
        allocation: maybe(next()?, read_allocation)?,
        traffic: maybe(next()?, |text| text.parse().ok())?,
        punishes_early: read_flag(next()?)?.unwrap_or(false),
        is_behind_carrier: read_flag(next()?)?.unwrap_or(false),
        lifetime: maybe(next()?, |text| text.parse().ok().map(Duration::from_micros))?,
        public: maybe(next()?, |text| text.parse().ok())?,
        birthday: read_flag(next()?)?.unwrap_or(false),
    })
}

fn unknown() -> String {
    "-".to_owned()
}

fn maybe<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text == "-" { Some(None) } else { read(text).map(Some) }
}

fn read_flag(text: &str) -> Option<Option<bool>> {
    maybe(text, |text| match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })
}

const fn dependence(on: Dependence) -> &'static str {
    match on {
        Dependence::Endpoint => "e",
        Dependence::Address => "a",
        Dependence::AddressAndPort => "p",
    }
}

fn read_dependence(text: &str) -> Option<Dependence> {
    match text {
        "e" => Some(Dependence::Endpoint),
        "a" => Some(Dependence::Address),
        "p" => Some(Dependence::AddressAndPort),
        _ => None,
    }
}

fn allocation(allocation: Allocation) -> String {
    match allocation {
        Allocation::Preserving { otherwise: None } => "k".to_owned(),
        Allocation::Preserving { otherwise: Some(Fallback::Random) } => "kr".to_owned(),
        Allocation::Preserving { otherwise: Some(Fallback::Next { step }) } => format!("k{step}"),
        Allocation::Sequential { step } => format!("s{step}"),
        Allocation::Random => "r".to_owned(),
        Allocation::Block { first, last } => format!("b{first}:{last}"),
    }
}

fn read_allocation(text: &str) -> Option<Allocation> {
    let (kind, rest) = text.split_at_checked(1)?;
    Some(match (kind, rest) {
        ("k", "") => Allocation::Preserving { otherwise: None },
        ("k", "r") => Allocation::Preserving { otherwise: Some(Fallback::Random) },
        ("k", step) => {
            Allocation::Preserving { otherwise: Some(Fallback::Next { step: step.parse().ok()? }) }
        }
        ("s", step) => Allocation::Sequential { step: step.parse().ok()? },
        ("r", "") => Allocation::Random,
        ("b", block) => {
            let (first, last) = block.split_once(':')?;
            Allocation::Block { first: first.parse().ok()?, last: last.parse().ok()? }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use bradawl::discovery::{Allocation, Dependence, Fallback};
    use bradawl::punch::Nat;
    use bradawl::time::Duration;

    #[test]
    fn what_is_written_is_read_again() {
        let allocations = [
            Allocation::Preserving { otherwise: None },
            Allocation::Preserving { otherwise: Some(Fallback::Random) },
            Allocation::Preserving { otherwise: Some(Fallback::Next { step: -2 }) },
            Allocation::Sequential { step: 7 },
            Allocation::Random,
            Allocation::Block { first: 1_024, last: 2_047 },
        ];
        for allocation in allocations {
            let nat = Nat {
                is_blocked: true,
                is_translated: Some(false),
                mapping: Some(Dependence::Address),
                filtering: Some(Dependence::AddressAndPort),
                allocation: Some(allocation),
                traffic: Some(264),
                is_behind_carrier: true,
                punishes_early: true,
                lifetime: Some(Duration::from_millis(29_500)),
                public: Some("203.0.113.1".parse().unwrap()),
                birthday: true,
            };
            assert_eq!(read(&write(&nat)), Some(nat));
        }
        assert_eq!(read(&write(&Nat::default())), Some(Nat::default()));
        for wrong in ["", "0", "0,1,e,p,k,-,0,-,-", "0,1,x,p,k,-,0,-,-,0", "0,1,e,p,s,-,0,-,-,0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
