//! How long mappings and filters live (RFC 4787 §4.3 and §5).

use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Dropped};
use bradawl_sim::units::Span;

use super::{HOST, PEERS, at, lets_in, nat, out};

#[test]
fn rfc4787_req5_mappings_die_when_they_are_not_refreshed() {
    let mut nat = nat(Behaviour { lifetime: Span::from_secs(120), ..Behaviour::default() });
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    assert!(lets_in(&mut nat, at(119), PEERS[0], public).is_ok());
    let mut deaf = super::nat(Behaviour { refresh_inbound: false, ..Behaviour::default() });
    let public = out(&mut deaf, at(0), HOST, PEERS[0]).unwrap();
    assert_eq!(lets_in(&mut deaf, at(121), PEERS[0], public), Err(Dropped::NoMapping));
    assert_eq!(deaf.mappings(at(121)).count(), 0);
}

#[test]
fn rfc4787_req6_outbound_refresh_and_inbound_refresh_as_configured() {
    for refresh_inbound in [true, false] {
        let mut nat = nat(Behaviour { refresh_inbound, ..Behaviour::default() });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        assert_eq!(out(&mut nat, at(100), HOST, PEERS[0]), Ok(public), "outbound always refreshes");
        assert!(lets_in(&mut nat, at(200), PEERS[0], public).is_ok());
        assert_eq!(lets_in(&mut nat, at(300), PEERS[0], public).is_ok(), refresh_inbound);
    }
}

/// Without any refresh the lifetime runs from the first packet, whatever is sent.
#[test]
fn rfc4787_req6_absent_outbound_refresh() {
    for refresh_outbound in [true, false] {
        let behaviour = Behaviour { refresh_outbound, refresh_inbound: false, ..Behaviour::default() };
        let mut nat = nat(Behaviour { allocation: Allocation::Random, ..behaviour });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        assert_eq!(out(&mut nat, at(100), HOST, PEERS[0]), Ok(public));
        let later = out(&mut nat, at(150), HOST, PEERS[0]).unwrap();
        assert_eq!(later == public, refresh_outbound);
    }
}

/// netfilter's way: 30 s, and 120 s from the second packet after an answer on.
#[test]
fn an_unanswered_mapping_dies_earlier() {
    for (unreplied, lives) in [(Some(Span::from_secs(30)), false), (None, true)] {
        let mut nat = nat(Behaviour { unreplied, ..Behaviour::default() });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        out(&mut nat, at(29), HOST, PEERS[0]).unwrap();
        assert_eq!(lets_in(&mut nat, at(60), PEERS[0], public).is_ok(), lives);
    }
    let mut nat = nat(Behaviour { unreplied: Some(Span::from_secs(30)), ..Behaviour::default() });
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    assert!(lets_in(&mut nat, at(29), PEERS[0], public).is_ok());
    out(&mut nat, at(58), HOST, PEERS[0]).unwrap();
    assert!(lets_in(&mut nat, at(177), PEERS[0], public).is_ok());
}

#[test]
fn an_answered_mapping_is_on_probation_for_a_while() {
    for (probation, lives) in [(Span::from_secs(2), false), (Span::ZERO, true)] {
        let unreplied = Some(Span::from_secs(30));
        let mut nat = nat(Behaviour { unreplied, probation, ..Behaviour::default() });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        lets_in(&mut nat, at(1), PEERS[0], public).unwrap();
        out(&mut nat, at(2), HOST, PEERS[0]).unwrap();
        assert_eq!(lets_in(&mut nat, at(33), PEERS[0], public).is_ok(), lives);
    }
}

/// A peer that nobody sends to any more is forgotten while the mapping lives on.
#[test]
fn rfc4787_section5_filter_lifetime() {
    for (filter_lifetime, lives) in [(Some(Span::from_secs(30)), false), (None, true)] {
        for filtering in [Dependence::Address, Dependence::AddressAndPort] {
            let mut nat = nat(Behaviour { filter_lifetime, filtering, ..Behaviour::default() });
            let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
            out(&mut nat, at(20), HOST, PEERS[2]).unwrap();
            assert!(lets_in(&mut nat, at(29), PEERS[0], public).is_ok(), "and that refreshes it");
            assert!(lets_in(&mut nat, at(49), PEERS[2], public).is_ok());
            let late = lets_in(&mut nat, at(60), PEERS[0], public).map(drop);
            assert_eq!(late, if lives { Ok(()) } else { Err(Dropped::Filtered) });
            assert_eq!(out(&mut nat, at(61), HOST, PEERS[0]), Ok(public), "the mapping is the same");
            assert!(lets_in(&mut nat, at(62), PEERS[0], public).is_ok());
        }
    }
}
