//! A profile for programs. The names are part of the interface, documented in `docs/check.md`, and stay.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bradawl::discovery::{
    Allocation, Axis, Confidence, Dependence, Fallback, Forecast, Hairpin, Hint, Ipv6, Kind,
};
use bradawl::portmap::{Refusal, Via};
use serde::{Serialize, Serializer};

use super::{Nat, PortMapping};

/// The object, in the order in which it is printed.
#[derive(Serialize)]
struct Body<'a> {
    family: &'static str,
    label: String,
    confidence: f64,
    udp: Option<bool>,
    translated: Option<bool>,
    mapping: Option<&'static str>,
    filtering: Option<&'static str>,
    allocation: Option<&'static str>,
    ports: Option<Ports>,
    hairpin: Option<&'static str>,
    lifetime_s: Option<f64>,
    refreshed_inbound: Option<bool>,
    overloaded: Option<bool>,
    parity: Option<bool>,
    traffic: Option<u16>,
    several_addresses: Option<bool>,
    carrier: Option<bool>,
    confidences: BTreeMap<&'static str, f64>,
    local: Option<SocketAddr>,
    mapped: &'a [SocketAddr],
    public: &'a [IpAddr],
    port_mapping: Option<Mapping>,
    ipv6: &'static str,
    servers: Servers,
    rtt_ms: Option<f64>,
    loss_percent: Option<u8>,
    forecast: Forecasts,
    hints: Vec<&'static str>,
}

/// Which ports new mappings get, beyond the name of the rule.
#[derive(Serialize)]
#[serde(untagged)]
enum Ports {
    Step { step: i16 },
    Block { first: u16, last: u16 },
    Otherwise { otherwise: &'static str, step: Option<i16> },
}

#[derive(Serialize)]
struct Mapping {
    protocol: Option<&'static str>,
    external: Option<SocketAddr>,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Servers {
    asked: u8,
    answered: u8,
}

#[derive(Serialize)]
struct Expected {
    outlook: &'static str,
    within_s: f64,
    strategy: &'static str,
    ipv6: bool,
}

/// By kind, from the easiest to the hardest.
struct Forecasts([(Kind, Forecast); Kind::ALL.len()]);

impl Serialize for Forecasts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.map(|(kind, forecast)| {
            let Forecast { outlook, within, strategy, ipv6 } = forecast;
            let within_s = rounded(within);
            (kind.name(), Expected { outlook: outlook.name(), within_s, strategy, ipv6 })
        }))
    }
}

impl Serialize for Nat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (profile, given) = (self.profile, self.circumstances());
        let body = Body {
            family: self.family.name(),
            label: profile.label().to_string(),
            confidence: fraction(profile.confidence()),
            udp: value(profile.udp),
            translated: value(profile.translated),
            mapping: value(profile.mapping).map(dependence),
            filtering: value(profile.filtering).map(dependence),
            allocation: value(profile.allocation).map(allocation),
            ports: value(profile.allocation).and_then(ports),
            hairpin: value(profile.hairpin).map(hairpin),
            lifetime_s: value(profile.lifetime).map(|lifetime| rounded(lifetime.estimate())),
            refreshed_inbound: value(profile.refreshed_inbound),
            overloaded: value(profile.overloaded),
            parity: value(profile.parity),
            traffic: value(profile.traffic),
            several_addresses: value(profile.several_addresses),
            carrier: value(profile.carrier),
            confidences: self.confidences(),
            local: profile.local,
            mapped: &profile.mapped,
            public: &profile.public,
            port_mapping: match self.port_mapping {
                PortMapping::NotAsked => None,
                PortMapping::Refused(reason) => {
                    Some(Mapping { protocol: None, external: None, reason: Some(refusal(reason)) })
                }
                PortMapping::Open { via, external } => {
                    Some(Mapping { protocol: Some(protocol(via)), external: Some(external), reason: None })
                }
            },
            ipv6: ipv6(self.ipv6),
            servers: Servers { asked: profile.servers.0, answered: profile.servers.1 },
            rtt_ms: profile.round_trip.map(|round_trip| round_trip.as_micros() as f64 / 1_000.0),
            loss_percent: profile.loss,
            forecast: Forecasts(Kind::ALL.map(|kind| (kind, profile.forecast_given(kind, given)))),
            hints: profile.hints(given).map(Hint::name).collect(),
        };
        body.serialize(serializer)
    }
}

impl Nat<'_> {
    /// How sure each axis is that is known.
    fn confidences(&self) -> BTreeMap<&'static str, f64> {
        let profile = self.profile;
        [
            ("udp", sure(profile.udp)),
            ("translated", sure(profile.translated)),
            ("mapping", sure(profile.mapping)),
            ("filtering", sure(profile.filtering)),
            ("allocation", sure(profile.allocation)),
            ("hairpin", sure(profile.hairpin)),
            ("lifetime_s", sure(profile.lifetime)),
            ("refreshed_inbound", sure(profile.refreshed_inbound)),
            ("overloaded", sure(profile.overloaded)),
            ("parity", sure(profile.parity)),
            ("traffic", sure(profile.traffic)),
            ("several_addresses", sure(profile.several_addresses)),
            ("carrier", sure(profile.carrier)),
        ]
        .into_iter()
        .filter_map(|(name, confidence)| Some((name, fraction(confidence?))))
        .collect()
    }
}

fn value<T: Copy>(axis: Axis<T>) -> Option<T> {
    axis.map(|finding| finding.value)
}

fn sure<T>(axis: Axis<T>) -> Option<Confidence> {
    axis.map(|finding| finding.confidence)
}

/// As whole percents, which is what a person is shown.
fn fraction(confidence: Confidence) -> f64 {
    f64::from((confidence.value() * 100.0) as u8) / 100.0
}

/// Seconds, to the millisecond.
fn rounded(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1_000.0
}

fn dependence(value: Dependence) -> &'static str {
    match value {
        Dependence::Endpoint => "endpoint-independent",
        Dependence::Address => "address-dependent",
        Dependence::AddressAndPort => "address-and-port-dependent",
    }
}

fn allocation(value: Allocation) -> &'static str {
    match value {
        Allocation::Preserving { .. } => "preserving",
        Allocation::Sequential { .. } => "sequential",
        Allocation::Random => "random",
        Allocation::Block { .. } => "block",
    }
}

fn ports(value: Allocation) -> Option<Ports> {
    match value {
        Allocation::Preserving { otherwise: None } | Allocation::Random => None,
        Allocation::Preserving { otherwise: Some(Fallback::Random) } => {
            Some(Ports::Otherwise { otherwise: "random", step: None })
        }
        Allocation::Preserving { otherwise: Some(Fallback::Next { step }) } => {
            Some(Ports::Otherwise { otherwise: "next", step: Some(step) })
        }
        Allocation::Sequential { step } => Some(Ports::Step { step }),
        Allocation::Block { first, last } => Some(Ports::Block { first, last }),
    }
}

fn hairpin(value: Hairpin) -> &'static str {
    match value {
        Hairpin::None => "no",
        Hairpin::ExternalSource => "external-source",
        Hairpin::InternalSource => "internal-source",
    }
}

fn protocol(value: Via) -> &'static str {
    match value {
        Via::Pcp => "pcp",
        Via::NatPmp => "nat-pmp",
        Via::Igd => "upnp-igd",
    }
}

fn refusal(value: Refusal) -> &'static str {
    match value {
        Refusal::NoRouter => "no-router",
        Refusal::NoSocket => "no-socket",
        Refusal::NoAnswer => "no-answer",
        Refusal::UnsupportedVersion => "unsupported-version",
        Refusal::Nonsense => "nonsense",
        Refusal::Code(_) => "other",
        Refusal::UnsupportedProtocol => "unsupported-protocol",
        Refusal::NetworkFailure => "network-failure",
        Refusal::NoResources => "no-resources",
        Refusal::QuotaExceeded => "quota-exceeded",
        Refusal::PortTaken => "port-taken",
        Refusal::AddressMismatch => "address-mismatch",
        Refusal::NotAuthorized => "not-authorized",
    }
}

fn ipv6(value: Ipv6) -> &'static str {
    match value {
        Ipv6::Absent => "absent",
        Ipv6::Unanswered => "unanswered",
        Ipv6::Filtered => "filtered",
        Ipv6::Open => "open",
        Ipv6::Works => "works",
        Ipv6::Unknown => "unknown",
    }
}
