//! Firewalls, one test per behaviour, named after the recommendation it shows where RFC 6092 has one: what
//! one does that has it and what one does that has not.

use std::net::SocketAddr;

use bradawl::time::{Duration, Instant};
use bradawl_sim::firewall::{Blocked, Firewall, Outbound, Wall};
use bradawl_sim::nat::Flow;
use bradawl_sim::units::Span;

const HOST: &str = "[2001:db8::7]:5000";
const PEER: &str = "[2001:db8:1::1]:6000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn udp(source: &str, destination: &str) -> Flow {
    Flow::udp(address(source), address(destination))
}

fn tcp(source: &str, destination: &str) -> Flow {
    Flow::tcp(address(source), address(destination))
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn home() -> Wall {
    Wall::new(Firewall::rfc6092())
}

fn wall(outbound: Outbound, reject: bool) -> Wall {
    Wall::new(Firewall { outbound, reject, ..Firewall::rfc6092() })
}

/// A wall through which the host has sent a datagram to its peer at 0.
fn home_with_session() -> Wall {
    let mut wall = home();
    assert_eq!(wall.outbound(at(0), udp(HOST, PEER)), Ok(()));
    wall
}

#[test]
fn an_open_wall_lets_everybody_in_and_remembers_nobody() {
    let mut wall = Wall::new(Firewall::default());
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Ok(()));
    assert_eq!(wall.outbound(at(0), udp(HOST, PEER)), Ok(()));
    assert!(wall.error_inbound(at(0), tcp(HOST, PEER)));
    assert_eq!(wall.load(at(0)), 0);
}

#[test]
fn a_stateful_wall_lets_in_exactly_who_was_sent_to() {
    let mut wall = home_with_session();
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Ok(()));
    for flow in [
        udp("[2001:db8:1::1]:6001", HOST), // another port of the peer
        udp("[2001:db8:1::2]:6000", HOST), // another address
        udp(PEER, "[2001:db8::7]:5001"),   // another port of the host
        udp(PEER, "[2001:db8::8]:5000"),   // another host
        tcp(PEER, HOST),                   // another protocol
    ] {
        assert_eq!(wall.inbound(at(0), flow), Err(Blocked::Unsolicited), "{flow:?}");
    }
    assert_eq!(wall.load(at(0)), 1);
}

#[test]
fn who_is_not_let_in_does_not_open_the_way_out_or_in() {
    let mut wall = home();
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.load(at(0)), 0);
}

#[test]
fn rfc6092_rec14_udp_sessions_live_for_two_minutes_of_idle_time() {
    let mut wall = home_with_session();
    assert_eq!(wall.inbound(at(119), udp(PEER, HOST)), Ok(()));
    let mut wall = home_with_session();
    assert_eq!(wall.inbound(at(120), udp(PEER, HOST)), Err(Blocked::Unsolicited));
}

#[test]
fn rfc6092_rec14_the_idle_time_is_configurable() {
    let mut wall = Wall::new(Firewall { lifetime: Span::from_secs(30), ..Firewall::rfc6092() });
    assert_eq!(wall.outbound(at(0), udp(HOST, PEER)), Ok(()));
    assert_eq!(wall.load(at(29)), 1);
    assert_eq!(wall.load(at(30)), 0);
}

#[test]
fn rfc6092_rec16_packets_of_either_way_refresh() {
    let mut wall = home_with_session();
    assert_eq!(wall.outbound(at(100), udp(HOST, PEER)), Ok(()));
    assert_eq!(wall.inbound(at(200), udp(PEER, HOST)), Ok(()));
    assert_eq!(wall.inbound(at(300), udp(PEER, HOST)), Ok(()));
    assert_eq!(wall.load(at(419)), 1);
    assert_eq!(wall.load(at(420)), 0);
}

#[test]
fn rfc6092_rec18_and_rec36_errors_about_a_session_pass() {
    let mut wall = home_with_session();
    assert_eq!(wall.outbound(at(0), tcp(HOST, PEER)), Ok(()));
    assert!(wall.error_inbound(at(0), udp(HOST, PEER)));
    assert!(wall.error_inbound(at(0), tcp(HOST, PEER)));
    assert!(!wall.error_inbound(at(0), udp(HOST, "[2001:db8:1::1]:6001")));
    assert!(!wall.error_inbound(at(0), udp(PEER, HOST)), "nobody sent that out");
}

#[test]
fn rfc6092_rec19_and_rec37_errors_change_nothing() {
    let mut wall = home_with_session();
    assert!(wall.error_inbound(at(60), udp(HOST, PEER)));
    assert_eq!(wall.load(at(119)), 1, "it did not end the session");
    assert!(!wall.error_inbound(at(120), udp(HOST, PEER)), "nor make it live longer");
}

#[test]
fn rfc6092_rec31_simultaneous_open_passes() {
    let mut wall = home();
    assert_eq!(wall.inbound(at(0), tcp(PEER, HOST)), Err(Blocked::Unsolicited), "it came too early");
    assert_eq!(wall.outbound(at(0), tcp(HOST, PEER)), Ok(()));
    assert_eq!(wall.inbound(at(1), tcp(PEER, HOST)), Ok(()), "a SYN as good as any segment");
}

#[test]
fn rfc6092_rec35_tcp_sessions_live_for_two_hours_and_four_minutes_of_idle_time() {
    let mut wall = home();
    assert_eq!(wall.outbound(at(0), tcp(HOST, PEER)), Ok(()));
    assert_eq!(wall.inbound(at(7_439), tcp(PEER, HOST)), Ok(()));
    assert_eq!(wall.inbound(at(7_439 + 7_440), tcp(PEER, HOST)), Err(Blocked::Unsolicited));
}

#[test]
fn outbound_policies() {
    let flows = [udp(HOST, PEER), udp(HOST, "[2001:db8::1]:443"), tcp(HOST, PEER)];
    let web = tcp(HOST, "[2001:db8:1::1]:443");
    for (policy, allowed) in
        [(Outbound::All, [true; 3]), (Outbound::NoUdp, [false, false, true]), (Outbound::Only443, [false; 3])]
    {
        let mut wall = wall(policy, false);
        assert_eq!(flows.map(|flow| wall.outbound(at(0), flow).is_ok()), allowed, "{policy:?}");
        assert_eq!(wall.outbound(at(0), web), Ok(()));
        assert_eq!(wall.inbound(at(0), tcp("[2001:db8:1::1]:443", HOST)), Ok(()), "its answer");
    }
}

#[test]
fn what_may_not_go_out_opens_no_way_in() {
    let mut wall = wall(Outbound::NoUdp, false);
    assert!(wall.outbound(at(0), udp(HOST, PEER)).is_err());
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.load(at(0)), 0);
}

#[test]
fn a_wall_that_rejects_says_so_to_those_inside_only() {
    for reject in [true, false] {
        let mut wall = wall(Outbound::Only443, reject);
        let blocked = wall.outbound(at(0), udp(HOST, PEER)).expect_err("UDP");
        assert_eq!(blocked, Blocked::Outbound { reject });
        assert_eq!(blocked.is_rejected(), reject);
        let blocked = wall.inbound(at(0), udp(PEER, HOST)).expect_err("unsolicited");
        assert!(!blocked.is_rejected());
    }
}

#[test]
fn it_forgets_everything_when_it_reboots() {
    let mut wall = home_with_session();
    wall.reboot();
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.outbound(at(0), udp(HOST, PEER)), Ok(()));
    assert_eq!(wall.inbound(at(0), udp(PEER, HOST)), Ok(()));
}

/// The nth of many peers.
fn peer(n: usize) -> String {
    format!("[2001:db8:1::{:x}]:{}", n >> 8, 1 + (n & 0xff))
}

#[test]
fn the_session_idle_longest_gives_way_when_there_are_too_many() {
    let mut wall = home();
    assert_eq!(wall.outbound(at(0), tcp(HOST, &peer(0))), Ok(()));
    for n in 1..Wall::MAX_SESSIONS {
        assert_eq!(wall.outbound(at(1), udp(HOST, &peer(n))), Ok(()));
    }
    assert_eq!(wall.inbound(at(2), udp(&peer(1), HOST)), Ok(()), "the second is not idle any more");

    // The TCP session is the oldest though it would live longest; then a datagram's.
    for n in 0..2 {
        assert_eq!(wall.load(at(3)), Wall::MAX_SESSIONS);
        assert_eq!(wall.outbound(at(3), udp(HOST, &peer(Wall::MAX_SESSIONS + n))), Ok(()));
    }
    assert_eq!(wall.load(at(3)), Wall::MAX_SESSIONS);
    assert_eq!(wall.inbound(at(3), tcp(&peer(0), HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.inbound(at(3), udp(&peer(1), HOST)), Ok(()));
    assert_eq!(wall.inbound(at(3), udp(&peer(2), HOST)), Err(Blocked::Unsolicited));
    assert_eq!(wall.inbound(at(3), udp(&peer(3), HOST)), Ok(()));
}

#[test]
fn dead_sessions_leave_room_for_new_ones() {
    let mut wall = home();
    for n in 0..10_000 {
        assert_eq!(wall.outbound(at(n as u64), udp(HOST, &peer(n))), Ok(()));
        assert!(wall.load(at(n as u64)) <= 120);
    }
}
