//! TCP (RFC 5382, RFC 7857 §2).

use bradawl_sim::nat::{Behaviour, Dependence, Dropped, Flow, Stage};

use super::{HOST, PEERS, address, at, nat, out_as};

fn syn(peer: usize) -> Flow {
    Flow::tcp(address(HOST), address(PEERS[peer])).opening()
}

#[test]
fn rfc5382_req1_endpoint_independent_mapping() {
    for (mapping, same) in [(Dependence::Endpoint, true), (Dependence::AddressAndPort, false)] {
        let mut nat = nat(Behaviour { mapping, ..Behaviour::default() });
        let [a, b] = [0, 1].map(|peer| out_as(&mut nat, at(0), syn(peer)).unwrap());
        assert_eq!(a == b, same);
    }
}

/// Two who connect to each other at once: SYN out, SYN in.
#[test]
fn rfc5382_req2_simultaneous_open() {
    let mut nat = nat(Behaviour::default());
    let public = out_as(&mut nat, at(0), syn(0)).unwrap();
    let theirs = Flow::tcp(address(PEERS[0]), public).opening();
    let passed = nat.inbound(at(1), theirs).unwrap();
    assert_eq!((passed.destination, passed.stage), (address(HOST), Stage::Open));
}

#[test]
fn rfc5382_req3_filtering() {
    for (filtering, expected) in [
        (Dependence::Endpoint, [true, true, true]),
        (Dependence::Address, [true, true, false]),
        (Dependence::AddressAndPort, [true, false, false]),
    ] {
        let mut nat = nat(Behaviour { filtering, ..Behaviour::default() });
        let public = out_as(&mut nat, at(0), syn(0)).unwrap();
        let seen = PEERS.map(|peer| nat.inbound(at(1), Flow::tcp(address(peer), public).opening()).is_ok());
        assert_eq!(seen, expected, "{filtering:?}");
    }
}

#[test]
fn rfc5382_req4_an_unsolicited_syn_is_dropped_silently() {
    for refuse in [false, true] {
        let mut nat = nat(Behaviour { refuse, ..Behaviour::default() });
        let public = out_as(&mut nat, at(0), syn(0)).unwrap();
        let stranger = Flow::tcp(address(PEERS[1]), public);
        let quiet = Err(Dropped::Filtered);
        let expected = if refuse { Err(Dropped::Refused) } else { quiet };
        assert_eq!(nat.inbound(at(1), stranger.opening()), expected);
        assert_eq!(nat.inbound(at(1), stranger), quiet, "only a SYN is refused");
        let nobody = Flow::tcp(address(PEERS[0]), address("203.0.113.9:9")).opening();
        assert_eq!(nat.inbound(at(1), nobody).is_err_and(|why| why == Dropped::Refused), refuse);
    }
}

/// Two hours and four minutes once both have sent, four minutes before and after.
#[test]
fn rfc5382_req5_idle_connections() {
    const HOURS: u64 = 7_440;
    let opened = || {
        let mut nat = nat(Behaviour::default());
        let public = out_as(&mut nat, at(0), syn(0)).unwrap();
        (nat, public)
    };
    let (mut half, _) = opened();
    assert_eq!((half.load(at(239)), half.load(at(240))), (1, 0), "half open");

    let (mut nat, public) = opened();
    let back = Flow::tcp(address(PEERS[0]), public);
    nat.inbound(at(1), back.opening()).unwrap();
    out_as(&mut nat, at(2), Flow::tcp(address(HOST), address(PEERS[0]))).unwrap();
    assert!(nat.inbound(at(1 + HOURS), back).is_ok(), "established");
    // A second connection over the same mapping ends without taking the first with it.
    out_as(&mut nat, at(HOURS + 2), syn(1)).unwrap();
    let second = Flow::tcp(address(PEERS[1]), public);
    nat.inbound(at(HOURS + 3), second.opening()).unwrap();
    nat.inbound(at(HOURS + 4), second.closing()).unwrap();
    assert!(nat.inbound(at(HOURS + 240), second).is_ok(), "closing");
    assert_eq!(nat.inbound(at(HOURS + 600), second), Err(Dropped::Filtered), "closed");
    assert!(nat.inbound(at(HOURS + 600), back).is_ok());
    // The last one's end is the mapping's.
    nat.inbound(at(HOURS + 601), back.closing()).unwrap();
    assert_eq!((nat.load(at(HOURS + 840)), nat.load(at(HOURS + 841))), (1, 0));
}

/// A new connection with the addresses of one that is closing lives as any.
#[test]
fn rfc7857_section2_a_connection_can_be_opened_again() {
    let mut nat = nat(Behaviour::default());
    let public = out_as(&mut nat, at(0), syn(0)).unwrap();
    let back = Flow::tcp(address(PEERS[0]), public);
    nat.inbound(at(1), back.closing()).unwrap();
    out_as(&mut nat, at(2), syn(0)).unwrap();
    nat.inbound(at(3), back.opening()).unwrap();
    assert!(nat.inbound(at(7_000), back).is_ok());
}
