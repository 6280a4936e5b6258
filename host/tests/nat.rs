//! What a person and a program read of a NAT, for the networks that people have.

#![cfg(feature = "cli")]

use std::time::Duration;

use bradawl::discovery::{
    Allocation, Axis, Confidence, Dependence, Fallback, Finding, Hairpin, Ipv6, Lifetime, NatProfile,
};
use bradawl::portmap::{Refusal, Via};
use bradawl_host::cli::nat::{Family, Nat, PortMapping};
use serde_json::{Value, json};

fn found<T>(value: T, bits: u32) -> Axis<T> {
    Some(Finding { value, confidence: Confidence::from_bits(bits) })
}

fn answered() -> NatProfile {
    NatProfile {
        local: Some("192.168.1.5:50000".parse().expect("an address")),
        mapped: vec!["203.0.113.9:50000".parse().expect("an address")],
        public: vec!["203.0.113.9".parse().expect("an address")],
        servers: (2, 2),
        round_trip: Some(Duration::from_micros(12_345)),
        udp: found(true, 60),
        translated: found(true, 60),
        ..NatProfile::default()
    }
}

fn home() -> NatProfile {
    NatProfile {
        mapping: found(Dependence::Endpoint, 32),
        filtering: found(Dependence::AddressAndPort, 20),
        allocation: found(Allocation::Preserving { otherwise: Some(Fallback::Random) }, 48),
        hairpin: found(Hairpin::None, 12),
        ..answered()
    }
}

fn symmetric() -> NatProfile {
    NatProfile {
        mapping: found(Dependence::AddressAndPort, 32),
        allocation: found(Allocation::Random, 20),
        ..home()
    }
}

fn nat(profile: &NatProfile) -> Nat<'_> {
    Nat {
        family: Family::Ipv4,
        profile,
        ipv6: Ipv6::Unknown,
        port_mapping: PortMapping::NotAsked,
        patient: false,
    }
}

/// What a person reads, as it is.
#[track_caller]
fn reads(nat: Nat<'_>, expected: &str) {
    let expected = expected.trim_start_matches('\n').trim_end();
    assert_eq!(nat.to_string(), expected, "\n{nat}");
    assert!(nat.to_string().lines().all(|line| line.chars().count() <= 110), "short lines:\n{nat}");
}

#[test]
fn a_home_router() {
    let profile = home();
    let about =
        Nat { port_mapping: PortMapping::Refused(Refusal::NoAnswer), ipv6: Ipv6::Absent, ..nat(&profile) };
    reads(
        about,
        "
IPv4 · port-restricted · 90 % sure
  UDP           99 %  passes
  NAT           99 %  yes
  mapping       97 %  one public port for all peers (endpoint-independent)
  filtering     90 %  lets in answers only (address- and port-dependent)
  ports         99 %  the inside port is kept; if it is taken, any
  hairpin       75 %  two hosts behind it do not reach each other by its address
  lifetime         ?  unknown: takes minutes: --lifetime waits
  public        203.0.113.9
  port mapping  none found: no router speaks PCP, NAT-PMP or UPnP with us
  carrier NAT      ?  unknown: the router does not say
  IPv6          none: no address of this host leads out
  forecast      direct ✔  with open, full-cone, restricted, home, symmetric-sequential
                likely    with symmetric-block (0.3 s), symmetric (2 s)
                relay     with udp-blocked
  hint          turn on UPnP, NAT-PMP or PCP in the router
",
    );
    let lifetime = Lifetime { survives: Duration::from_secs(119), forgotten: Some(Duration::from_secs(121)) };
    let learned = NatProfile { lifetime: found(lifetime, 20), refreshed_inbound: found(true, 20), ..profile };
    let text = Nat { patient: true, ..nat(&learned) }.to_string();
    assert!(text.contains("lifetime      90 %  forgotten after 120 s of silence\n"), "{text}");
    assert!(text.contains("kept alive by 90 %  what comes in, too\n"), "{text}");
}

#[test]
fn a_port_that_is_shared() {
    let profile = NatProfile { overloaded: found(true, 24), several_addresses: found(false, 5), ..home() };
    let text = nat(&profile).to_string();
    for line in [
        "shared port   93 %  others may have it, too, and a packet that comes early may cost it\n",
        "forecast      direct ✔  with open, full-cone\n",
        "likely    with restricted, home, symmetric-sequential, symmetric-block (0.3 s), symmetric (2 s)\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("addresses"), "a guess, and nothing special:\n{text}");
}

#[test]
fn a_router_that_opens_a_port() {
    let profile = home();
    let external = "203.0.113.9:4000".parse().expect("an address");
    let mapped = Nat { port_mapping: PortMapping::Open { via: Via::Igd, external }, ..nat(&profile) };
    let text = mapped.to_string();
    assert!(text.contains("port mapping  UPnP-IGD, 203.0.113.9:4000\n"), "{text}");
    assert!(text.contains("direct ✔  with everybody who has UDP\n") && !text.contains("hint"), "{text}");

    let refused = Nat { port_mapping: PortMapping::Refused(Refusal::NotAuthorized), ..nat(&profile) };
    let said = "port mapping  the router answers but refuses: port mapping is switched off\n";
    assert!(refused.to_string().contains(said), "{refused}");
    let none = Nat { port_mapping: PortMapping::Refused(Refusal::NoRouter), ..nat(&profile) };
    assert!(none.to_string().contains("port mapping  none: no router leads out"), "{none}");
    let external = "100.64.0.9:4000".parse().expect("an address");
    let inner = Nat { port_mapping: PortMapping::Open { via: Via::Igd, external }, ..nat(&profile) };
    assert!(inner.to_string().contains("UPnP-IGD, 100.64.0.9:4000, which is not public\n"), "{inner}");
    assert!(inner.to_string().contains("likely    with"), "{inner}");
}

#[test]
fn a_symmetric_one_with_random_ports_and_ipv6() {
    let profile = symmetric();
    reads(
        Nat { ipv6: Ipv6::Filtered, ..nat(&profile) },
        "
IPv4 · symmetric · 97 % sure
  UDP           99 %  passes
  NAT           99 %  yes
  mapping       97 %  another public port for each peer (address- and port-dependent)
  filtering     90 %  lets in answers only (address- and port-dependent)
  ports         90 %  any
  hairpin       75 %  two hosts behind it do not reach each other by its address
  lifetime         ?  unknown: takes minutes: --lifetime waits
  public        203.0.113.9
  carrier NAT      ?  unknown: the router was not asked for its address
  IPv6          works, behind a firewall
  forecast      direct ✔  with open, full-cone, restricted
                likely    with home (2 s)
                relay     with symmetric-sequential, symmetric-block, symmetric, udp-blocked
                direct ✔  with whoever has IPv6, too
  hint          turn on UPnP, NAT-PMP or PCP in the router
  hint          each peer sees another port: look for a setting `full cone` or `EIM` in the router
",
    );
}

#[test]
fn a_carrier_above() {
    let profile = NatProfile { carrier: found(true, 20), several_addresses: found(true, 20), ..symmetric() };
    let text = nat(&profile).to_string();
    assert!(
        text.contains("carrier NAT   90 %  yes\n") && text.contains("addresses     90 %  several\n"),
        "{text}"
    );
    assert!(text.contains("hint          your router is behind a carrier's NAT: ask for"), "{text}");
    assert!(!text.contains("turn on"), "its own ports help nobody:\n{text}");
}

#[test]
fn no_udp() {
    let profile = NatProfile { servers: (2, 0), udp: found(false, 20), ..NatProfile::default() };
    reads(
        nat(&profile),
        "
IPv4 · blocked · 90 % sure
  UDP           90 %  does not pass
  IPv6          unknown: no server with an IPv6 address was named
  forecast      relay     with everybody
  hint          no UDP comes back: ask for UDP port 3478 to be let out; else it takes a relay over TCP 443
",
    );
    let guess = NatProfile { servers: (1, 0), udp: found(false, 5), ..profile };
    assert!(nat(&guess).to_string().starts_with("IPv4 · perhaps blocked · 43 % sure\n"));
}

#[test]
fn nothing_in_between() {
    let profile = NatProfile {
        translated: found(false, 60),
        mapping: found(Dependence::Endpoint, 32),
        filtering: found(Dependence::Endpoint, 20),
        ..answered()
    };
    let v6 = Nat { family: Family::Ipv6, ipv6: Ipv6::Open, ..nat(&profile) };
    reads(
        v6,
        "
IPv6 · open · 90 % sure
  UDP           99 %  passes
  NAT           99 %  no
  mapping       97 %  one public port for all peers (endpoint-independent)
  filtering     90 %  lets everybody in (endpoint-independent)
  public        203.0.113.9
  forecast      direct ✔  with everybody who has UDP
                relay     with udp-blocked
",
    );
    let walled = NatProfile { filtering: found(Dependence::AddressAndPort, 20), ..profile };
    assert!(nat(&walled).to_string().starts_with("IPv4 · no NAT, a firewall · 90 % sure\n"));
    let one = NatProfile { servers: (1, 1), mapping: None, filtering: None, ..walled };
    let text = nat(&one).to_string();
    assert!(text.starts_with("IPv4 · no NAT, perhaps a firewall\n") && !text.contains("mapping"), "{text}");
}

#[test]
fn two_servers_that_see_different_ports() {
    let mut profile = answered();
    profile.mapped.push("203.0.113.9:50001".parse().expect("an address"));
    let text = nat(&profile).to_string();
    assert!(text.contains("mapping          ?  unknown: not one for all peers;"), "{text}");
    assert!(text.contains("hint          each peer sees another port:"), "{text}");
}

#[test]
fn one_server_with_one_address() {
    let profile = NatProfile { servers: (2, 1), ..answered() };
    let text = nat(&profile).to_string();
    assert!(text.starts_with("IPv4 · its kind is not known\n"), "{text}");
    for line in [
        "mapping          ?  unknown: needs a second server, or one with two addresses\n",
        "filtering        ?  unknown: needs a server with two addresses\n",
        "hint          only one server answered: name a second one for surer results\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

fn object(nat: Nat<'_>) -> Value {
    serde_json::to_value(nat).expect("an object")
}

#[test]
fn for_programs() {
    let lifetime = Lifetime { survives: Duration::from_secs(119), forgotten: Some(Duration::from_secs(122)) };
    let profile = NatProfile { lifetime: found(lifetime, 20), ..home() };
    let event = object(nat(&profile));
    for (name, expected) in [
        ("family", json!("ipv4")),
        ("label", json!("port-restricted")),
        ("confidence", json!(0.9)),
        ("mapping", json!("endpoint-independent")),
        ("filtering", json!("address-and-port-dependent")),
        ("allocation", json!("preserving")),
        ("ports", json!({"otherwise": "random", "step": null})),
        ("hairpin", json!("no")),
        ("lifetime_s", json!(120.5)),
        ("public", json!(["203.0.113.9"])),
        ("mapped", json!(["203.0.113.9:50000"])),
        ("port_mapping", Value::Null),
        ("carrier", Value::Null),
        ("ipv6", json!("unknown")),
        ("servers", json!({"asked": 2, "answered": 2})),
        ("rtt_ms", json!(12.345)),
        ("hints", json!(["map-ports"])),
    ] {
        assert_eq!(event[name], expected, "{name} in {event}");
    }
    assert_eq!(event["confidences"]["mapping"], 0.97);
    assert!(event["confidences"].get("carrier").is_none());
    let symmetric =
        json!({"outlook": "likely", "within_s": 2.138, "strategy": "birthday-full", "ipv6": false});
    assert_eq!(event["forecast"]["symmetric"], symmetric);
    assert_eq!(event["forecast"].as_object().expect("an object").len(), 8);
}

#[test]
fn a_port_of_the_router_for_programs() {
    let profile = home();
    let external = "203.0.113.9:4000".parse().expect("an address");
    for (port_mapping, expected) in [
        (
            PortMapping::Open { via: Via::NatPmp, external },
            json!({"protocol": "nat-pmp", "external": "203.0.113.9:4000", "reason": null}),
        ),
        (
            PortMapping::Refused(Refusal::NoAnswer),
            json!({"protocol": null, "external": null, "reason": "no-answer"}),
        ),
        (
            PortMapping::Refused(Refusal::Code(718)),
            json!({"protocol": null, "external": null, "reason": "other"}),
        ),
    ] {
        assert_eq!(object(Nat { port_mapping, ..nat(&profile) })["port_mapping"], expected);
    }
}

#[test]
fn what_is_unknown_is_null_for_programs() {
    let event = object(nat(&NatProfile::default()));
    for name in ["udp", "mapping", "filtering", "allocation", "ports", "hairpin", "lifetime_s", "rtt_ms"] {
        assert_eq!(event.get(name), Some(&Value::Null), "{name} in {event}");
    }
    assert_eq!((&event["label"], &event["confidences"]), (&json!("unknown"), &json!({})));
}
