//! ICMP errors (RFC 4787 REQ-10, RFC 5508 §4).

use bradawl_sim::nat::{Behaviour, Dependence, Flow};

use super::{HOST, OTHER, PEERS, address, at, lets_in, nat, out};

/// From outside: about a packet that went out. To whom it is passed on, and how its packet looked there.
#[test]
fn rfc5508_req4_an_error_from_outside_reaches_the_sender() {
    for pass_errors in [true, false] {
        for mapping in [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort] {
            for overload in [true, false] {
                let mut nat = nat(Behaviour { pass_errors, mapping, overload, ..Behaviour::default() });
                let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
                let offending = Flow::udp(public, address(PEERS[0]));
                let inside = Flow::udp(address(HOST), address(PEERS[0]));
                assert_eq!(nat.error_inbound(at(1), offending), pass_errors.then_some(inside));
                // About what was never sent: to somebody else, or from another port.
                let stranger = Flow::udp(public, address(PEERS[1]));
                assert_eq!(nat.error_inbound(at(1), stranger), None);
                let unmapped = Flow::udp(address("203.0.113.9:9"), address(PEERS[0]));
                assert_eq!(nat.error_inbound(at(1), unmapped), None);
            }
        }
    }
}

/// From inside: about a packet that came in.
#[test]
fn rfc5508_req5_an_error_from_inside_reaches_the_sender() {
    for pass_errors in [true, false] {
        for overload in [true, false] {
            let mut nat = nat(Behaviour { pass_errors, overload, ..Behaviour::default() });
            let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
            lets_in(&mut nat, at(1), PEERS[0], public).unwrap();
            let offending = Flow::udp(address(PEERS[0]), address(HOST));
            let outside = Flow::udp(address(PEERS[0]), public);
            assert_eq!(nat.error_outbound(at(1), offending), pass_errors.then_some(outside));
            assert_eq!(nat.error_outbound(at(1), Flow::udp(address(PEERS[0]), address(OTHER))), None);
            assert_eq!(nat.error_outbound(at(1), Flow::udp(address(PEERS[2]), address(HOST))), None);
        }
    }
}

/// Neither ends a mapping nor keeps it alive.
#[test]
fn rfc4787_req10_errors_change_no_mapping() {
    let mut nat = nat(Behaviour::default());
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    for now in [at(1), at(100), at(119)] {
        assert!(nat.error_inbound(now, Flow::udp(public, address(PEERS[0]))).is_some());
        assert!(nat.error_outbound(now, Flow::udp(address(PEERS[0]), address(HOST))).is_some());
        assert_eq!(nat.load(now), 1);
    }
    assert_eq!(nat.error_inbound(at(120), Flow::udp(public, address(PEERS[0]))), None);
    assert_eq!(nat.load(at(120)), 0);
}

/// The mapping that a packet came in at need not be the one that the host would use for its sender.
#[test]
fn rfc5508_req4_errors_about_packets_that_came_in_where_only_the_filter_is_open() {
    let mut nat = nat(Behaviour {
        mapping: Dependence::AddressAndPort,
        filtering: Dependence::Endpoint,
        ..Behaviour::default()
    });
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    lets_in(&mut nat, at(1), PEERS[2], public).unwrap();
    let offending = Flow::udp(address(PEERS[2]), address(HOST));
    assert_eq!(nat.error_outbound(at(1), offending), Some(Flow::udp(address(PEERS[2]), public)));
}
