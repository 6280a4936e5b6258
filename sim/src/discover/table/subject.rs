//! What a host is put behind: every combination of the three axes that are configured alone, and the NATs of
//! the catalogue.

use core::fmt;
use core::str::FromStr;

use crate::catalogue::{self, Entry, Gateway};
use crate::firewall::Firewall;
use crate::nat::{Allocation, Behaviour, Dependence, Fallback, Hairpin, PortRange};
use crate::scenario::instead;

const DEPENDENCES: [(&str, Dependence); 3] = [
    ("endpoint", Dependence::Endpoint),
    ("address", Dependence::Address),
    ("port", Dependence::AddressAndPort),
];

const ALL: PortRange = Behaviour::WELL_BEHAVED.ports;
const HIGH: PortRange = PortRange { first: 50_001, last: u16::MAX };

const ALLOCATIONS: [(&str, Allocation, PortRange); 8] = [
    ("preserving-random", Allocation::Preserve(Fallback::Random), ALL),
    ("preserving-next", Allocation::Preserve(Fallback::Next), ALL),
    ("sequential-1", Allocation::Sequential { step: 1 }, ALL),
    ("sequential-7", Allocation::Sequential { step: 7 }, ALL),
    ("random", Allocation::Random, ALL),
    ("random-high", Allocation::Random, HIGH),
    ("block-256", Allocation::Block { size: 256 }, ALL),
    ("block-1024", Allocation::Block { size: 1_024 }, ALL),
];

const HAIRPINS: [Hairpin; 3] = [Hairpin::None, Hairpin::ExternalSource, Hairpin::InternalSource];

/// What a host is put behind, by name: `port/address/random-high` is a mapping that depends on address and
/// port, a filter that depends on the address, and random ports above 50,000; `home` is of the catalogue.
///
/// ```
/// use bradawl_sim::discover::table::Subject;
///
/// assert_eq!(Subject::combinations().len(), 72);
/// assert!("endpoint/address/block-256".parse::<Subject>().is_ok());
/// assert!("hom".parse::<Subject>().unwrap_err().to_string().contains("did you mean `home`?"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The seed decides on hairpinning.
    Combined(Box<Behaviour>),
    /// The outermost first.
    Known(Vec<Gateway>),
}

impl Subject {
    /// Every mapping with every filter and every choice of ports.
    pub fn combinations() -> Vec<Self> {
        let mut all = Vec::new();
        for (mapping_name, mapping) in DEPENDENCES {
            for (filtering_name, filtering) in DEPENDENCES {
                for (allocation_name, allocation, ports) in ALLOCATIONS {
                    let nat = Behaviour { mapping, filtering, allocation, ports, ..Behaviour::default() };
                    let name = format!("{mapping_name}/{filtering_name}/{allocation_name}");
                    all.push(Self { name, kind: Kind::Combined(Box::new(nat)) });
                }
            }
        }
        all
    }

    /// All that the catalogue has.
    pub fn catalogue() -> Vec<Self> {
        catalogue::entries().iter().map(Self::of).collect()
    }

    fn of(entry: &Entry) -> Self {
        let above = entry.above.and_then(catalogue::entry).map(|above| above.gateway.clone());
        let behind = above.into_iter().chain([entry.gateway.clone()]).collect();
        Self { name: entry.name.to_owned(), kind: Kind::Known(behind) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The gateways that the host is behind, the outermost first.
    pub(super) fn behind(&self, seed: u32) -> Vec<Gateway> {
        match &self.kind {
            Kind::Known(behind) => behind.clone(),
            Kind::Combined(nat) => {
                let nat = Behaviour { hairpin: HAIRPINS[seed as usize % 3], ..(**nat).clone() };
                vec![Gateway { nat: Some(nat), addresses: 1, firewall: Firewall::OPEN }]
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(name: &str) -> Result<Self, UnknownSubject> {
        let all = if name.contains('/') { Self::combinations() } else { Self::catalogue() };
        let names: Vec<String> = all.iter().map(|subject| subject.name.clone()).collect();
        let found = all.into_iter().find(|subject| subject.name == name);
        found.ok_or_else(|| UnknownSubject(instead(name, names.iter().map(String::as_str))))
    }
}

/// There is nothing of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownSubject(String);
