//! The two binaries as a person or a script meets them.

mod common;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use bradawl_host::clock::Clock;
use common::{Mediator, lines, named, peer, stderr};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

#[test]
fn check_over_both_families() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0,[::1]:0"]);
    for address in mediator.addresses() {
        let output = peer(&["check", "--mediator", &address, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let [mapped, nat] = &lines(&output)[..] else { panic!("two lines") };
        assert_eq!((&mapped["v"], &mapped["event"]), (&json!(1), &json!("mapped")));
        assert_eq!(mapped["public"], mapped["local"]);
        assert_eq!(mapped["translated"], false);
        assert!(mapped["rtt_ms"].as_f64().is_some_and(|rtt| rtt > 0.0 && rtt < 5_000.0));
        assert_eq!((&nat["v"], &nat["event"]), (&json!(1), &json!("nat")));
        assert_eq!(nat["family"], if address.starts_with('[') { "ipv6" } else { "ipv4" });
        assert_eq!((&nat["udp"], &nat["translated"]), (&json!(true), &json!(false)));
        assert_eq!(nat["forecast"]["home"]["outlook"], "direct");
        assert_eq!(nat["forecast"]["udp-blocked"]["outlook"], "relay");

        let output = peer(&["check", "--mediator", &address]);
        let text = str::from_utf8(&output.stdout).expect("UTF-8");
        let first = text.lines().next().expect("a line");
        assert!(first.starts_with(&address) && first.ends_with("no NAT on this path"), "{text}");
        assert!(text.contains("· no NAT") && text.contains("\n  forecast      direct ✔  with"), "{text}");
        assert_eq!(stderr(&output), "");
    }
    let (status, stopped) = mediator.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert_eq!((&stopped["event"], &stopped["dropped"]), (&json!("stopped"), &json!({})));
    assert_eq!(stopped["datagrams"], stopped["answers"]);
}

#[test]
fn check_through_a_wildcard_by_name_and_by_several_addresses() {
    let mediator = Mediator::start(&["--listen", "0.0.0.0:0", "--workers", "2"]);
    let [any] = &mediator.addresses()[..] else { panic!("one address") };
    let port = any.strip_prefix("0.0.0.0:").expect("the wildcard, as it was asked for");
    let servers = format!("127.0.0.1:{port},127.0.0.9:{port}");
    let output = peer(&["check", "--mediator", &servers, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(named(&output, "mapped").len(), 2, "each answers from where it was asked");

    let output = peer(&["check", "--mediator", &format!("localhost:{port}"), "--json", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(lines(&output).iter().any(|line| line["event"] == "mapped"));
}

#[test]
fn a_server_that_is_not_there() {
    // Bound and silent: nothing comes back, not even a refusal.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = silent.local_addr().expect("an address").to_string();
    let clock = Clock::new();
    let start = clock.now();
    let output = peer(&["check", "--mediator", &silent, "--timeout", "1", "--json"]);
    let took = clock.now().since(start);
    assert_eq!(output.status.code(), Some(3));
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stderr(&output).contains("no mediator answered"));
}

#[test]
fn one_server_of_two_is_enough() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    let closed = UdpSocket::bind("127.0.0.78:0").expect("a socket").local_addr().expect("an address");
    let both = format!("{},{closed}", mediator.addresses()[0]);
    let output = peer(&["check", "--mediator", &both, "--timeout", "0.5", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut events: Vec<_> = lines(&output).iter().map(|line| line["event"].clone()).collect();
    events.sort_by_key(Value::to_string);
    assert_eq!(events, ["failed", "mapped", "nat"]);
    assert_eq!(named(&output, "nat")[0]["servers"], json!({"asked": 2, "answered": 1}));
}

#[test]
fn a_server_with_two_addresses_tells_of_the_filter() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0", "--alternate", "127.0.0.74:0"]);
    let output = peer(&["check", "--mediator", &mediator.addresses()[0], "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [nat] = &named(&output, "nat")[..] else { panic!("one") };
    assert_eq!((&nat["label"], &nat["filtering"]), (&json!("open"), &json!("endpoint-independent")), "{nat}");
    let confidence = nat["confidences"]["filtering"].as_f64().expect("it is known");
    assert!((0.5..1.0).contains(&confidence), "{nat}");
    assert_eq!(nat["hints"], json!([]));
}

#[test]
fn where_nothing_is_forgotten_nobody_waits_for_it() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0", "--alternate", "127.0.0.73:0"]);
    let output = peer(&["check", "--mediator", &mediator.addresses()[0], "--lifetime"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    assert!(text.contains("IPv4 · open ·") && !text.contains("lifetime"), "{text}");
}

#[test]
fn more_servers_than_help_are_said_aloud() {
    let mediator = Mediator::start(&["--listen", "0.0.0.0:0"]);
    let any = &mediator.addresses()[0];
    let port = any.strip_prefix("0.0.0.0:").expect("the wildcard, as it was asked for");
    let servers: Vec<_> = (1..=10).map(|host| format!("127.0.1.{host}:{port}")).collect();
    let output = peer(&["check", "--mediator", &servers.join(","), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(named(&output, "mapped").len(), 10, "each is asked how it sees us");
    assert_eq!(named(&output, "nat")[0]["servers"], json!({"asked": 9, "answered": 9}));
    assert!(stderr(&output).starts_with("note: of 10 servers the first 9 "), "{}", stderr(&output));
}

#[test]
fn no_udp_at_all_is_concluded_from_silence() {
    let silent = ["127.0.0.71:0", "127.0.0.72:0"].map(|at| UdpSocket::bind(at).expect("a socket"));
    let servers = silent.each_ref().map(|silent| silent.local_addr().expect("an address").to_string());
    let output = peer(&["check", "--mediator", &servers.join(","), "--timeout", "6", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let [nat] = &named(&output, "nat")[..] else { panic!("one") };
    assert_eq!((&nat["udp"], &nat["label"]), (&json!(false), &json!("blocked")), "{nat}");
    assert_eq!(nat["forecast"]["open"]["strategy"], "relay-tcp");
    assert_eq!(nat["hints"], json!(["allow-udp"]));
}

#[test]
fn a_port_in_use() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("an address").to_string();
    for workers in ["1", "2"] {
        let output = Command::new(env!("CARGO_BIN_EXE_bradawl-mediator"))
            .args(["serve", "--listen", &address, "--workers", workers])
            .output()
            .expect("the mediator runs");
        assert_eq!(output.status.code(), Some(1));
        let (text, port) = (stderr(&output), taken.local_addr().expect("an address").port());
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(&format!("UDP port {port} is in use")) && text.contains("--listen"), "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_understood() {
    let usage: &[&[&str]] = &[
        &["check", "--mediator", "127.0.0.1:99999"],
        &["check", "--mediator", ""],
        &["check", "--mediator", "127.0.0.1", "--bind", "here"],
        &["check", "--mediator", "127.0.0.1", "--timeout", "0"],
        &["check"],
        &["dance"],
    ];
    for arguments in usage {
        let output = peer(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_bradawl-mediator"))
        .args(["serve", "--listen", "nonsense"])
        .output()
        .expect("the mediator runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("expected ADDR:PORT"), "{}", stderr(&output));

    // Well-formed, and not an address of this host.
    let output = peer(&["check", "--mediator", "127.0.0.1", "--bind", "192.0.2.177"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--bind"), "{}", stderr(&output));
}

#[test]
fn a_name_that_leads_nowhere() {
    let output = peer(&["check", "--mediator", "nowhere.invalid", "--timeout", "2", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output)[0]["reason"], "unresolved");
}

#[test]
fn signals_end_things_as_they_should() {
    for signal in [Signal::TERM, Signal::INT] {
        let (status, _) = Mediator::start(&["--listen", "127.0.0.1:0"]).stop(signal);
        assert_eq!(status.code(), Some(0), "a server that is asked to stop ends well");
    }
}

#[test]
fn demo_needs_nothing_and_nobody() {
    let output = peer(&["demo", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events: Vec<_> = lines(&output).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events.first(), Some(&json!("ready")));
    assert_eq!(events.last(), Some(&json!("stopped")));
    let mapped = named(&output, "mapped").len();
    assert_eq!((mapped, named(&output, "nat").len()), ((events.len() - 2) / 2, mapped), "{events:?}");
    if mapped < 2 {
        println!("skipped the IPv6 half: this host has no IPv6 loopback");
    }
    assert!(mapped > 0);
}

#[test]
fn the_environment_is_read_and_flags_win() {
    let closed = UdpSocket::bind("127.0.0.76:0").expect("a socket").local_addr().expect("an address");
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    let run = |json: &str, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
            .args(["check", "--timeout", "1"])
            .args(arguments)
            .env("BRADAWL_MEDIATOR", closed.to_string())
            .env("BRADAWL_JSON", json)
            .output()
            .expect("the peer runs")
    };
    let output = run("1", &[]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(lines(&output)[0]["server"], closed.to_string());

    let output = run("0", &["--mediator", &mediator.addresses()[0]]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.starts_with(mediator.addresses()[0].as_bytes()), "text, not JSON");
}

#[test]
fn a_check_that_is_interrupted() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    silent.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let address = silent.local_addr().expect("an address").to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
        .args(["check", "--mediator", &address, "--timeout", "60"])
        .spawn()
        .expect("the peer starts");
    // Its question is here, so it is waiting.
    silent.recv(&mut [0; 64]).expect("a request");
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
}

/// Starts a mediator that talks to people, has it stop, and returns what it said.
fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bradawl-mediator"))
        .arg("serve")
        .args(arguments)
        .env("BRADAWL_TEST_SECRET", "sixteen bytes or more")
        .env("BRADAWL_TEST_SHORT", "too short")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the mediator starts");
    let mut ready = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().expect("a pipe")).read_line(&mut ready).expect("text");
    if !ready.is_empty() {
        kill_process(Pid::from_child(&child), Signal::TERM).expect("a signal");
    }
    let output = child.wait_with_output().expect("an end");
    (output.status.code(), ready, stderr(&output).to_owned())
}

#[test]
fn a_mediator_says_at_its_start_what_it_cannot_test() {
    let (status, ready, text) = said(&["--listen", "127.0.0.1:0"]);
    assert_eq!(status, Some(0));
    assert!(ready.starts_with("ready udp 127.0.0.1:"), "{ready}");
    let [second, one, stopped] = &text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(second.starts_with("second port: 127.0.0.1:"), "{text}");
    assert!(one.starts_with("one IP address: ") && one.contains("--alternate"), "{text}");
    assert!(stopped.starts_with("stopped: "), "{text}");

    let (_, _, text) = said(&["--listen", "127.0.0.1:0", "--alternate-port", "none"]);
    assert!(!text.contains("second port"), "{text}");

    let (_, _, text) = said(&["--listen", "127.0.0.1:0", "--alternate", "127.0.0.2:0"]);
    assert_eq!(text.lines().count(), 1, "nothing is missing: {text}");

    let both = ["--listen", "127.0.0.1:0,[::1]:0", "--alternate", "127.0.0.2:0"];
    let (_, _, text) = said(&both);
    assert!(text.contains("one IPv6 address: "), "{text}");
}

#[test]
fn a_second_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.79:0").expect("a socket");
    let next = taken.local_addr().expect("an address");
    let first = SocketAddr::new(next.ip(), next.port() - 1);
    let (status, ready, text) = said(&["--listen", &first.to_string()]);
    assert_eq!(status, Some(0), "it does without: {text}");
    assert!(!ready.is_empty());
    assert!(text.contains(&format!("no second port: {next} is in use")), "{text}");

    let (status, _, text) =
        said(&["--listen", &first.to_string(), "--alternate-port", &next.port().to_string()]);
    assert_eq!((status, text.lines().count()), (Some(1), 1), "{text}");
}

#[test]
fn a_partner_needs_a_secret_that_is_never_printed() {
    let partner = ["--listen", "127.0.0.1:0", "--alternate", "192.0.2.177:3479"];
    let with = |secret: &str| said(&[&partner[..], &["--alternate-secret", secret]].concat());
    let (status, _, text) = said(&partner);
    assert_eq!(status, Some(1));
    assert!(text.contains("not one of this host's") && text.contains("--alternate-secret"), "{text}");

    let (status, _, text) = with("env:BRADAWL_TEST_SECRET");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("partner: 192.0.2.177:3479") && !text.contains("sixteen"), "{text}");

    let path = std::env::temp_dir().join(format!("bradawl-secret-{}", std::process::id()));
    std::fs::write(&path, "sixteen bytes or more\n").expect("written");
    let (status, _, text) = with(path.to_str().expect("UTF-8"));
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(status, Some(0), "{text}");

    for (secret, code) in [
        ("env:BRADAWL_TEST_SHORT", 2),
        ("env:BRADAWL_TEST_NONE", 1),
        ("/nowhere/at/all", 1),
        ("/dev/zero", 2),
    ] {
        let (status, _, text) = with(secret);
        assert_eq!((status, text.lines().count()), (Some(code), 1), "{text}");
        assert!(text.contains(secret) && !text.contains("too short"), "{text}");
    }
    let (status, _, text) = said(&["--alternate-secret", "env:BRADAWL_TEST_SECRET"]);
    assert_eq!(status, Some(2), "of whom? {text}");
}

#[test]
fn what_is_advertised_is_a_pair_of_addresses() {
    for (bad, code) in
        [("10.0.0.5", 2), ("10.0.0.5=", 2), ("10.0.0.5=2001:db8::1", 2), ("10.0.0.5=192.0.2.1", 2)]
    {
        let (status, _, text) = said(&["--listen", "127.0.0.1:0", "--advertise", bad]);
        assert_eq!((status, text.lines().count()), (Some(code), 1), "{text}");
    }
    let (status, ..) = said(&["--listen", "127.0.0.1:0", "--advertise", "127.0.0.1=192.0.2.1"]);
    assert_eq!(status, Some(0));
}
