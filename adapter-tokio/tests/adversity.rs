//! The two binaries where something is missing: an answer, a reader, a resolver, a scope.

mod common;
#[cfg(target_os = "linux")]
#[path = "../../host/tests/common/network.rs"]
mod network;

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use bradawl_host::clock::Clock;
use common::{Mediator, lines, peer, stderr};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Runs `work` and says how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let clock = Clock::new();
    let start = clock.now();
    let result = work();
    (result, clock.now().since(start))
}

#[test]
fn a_closed_port_says_so_at_once() {
    if cfg!(feature = "portable") {
        println!("skipped: without Linux's error queue nobody tells this backend of ICMP");
        return;
    }
    let closed = UdpSocket::bind("127.0.0.77:0").expect("a socket").local_addr().expect("an address");
    let (output, took) = timed(|| peer(&["check", "--mediator", &closed.to_string(), "--json"]));
    assert_eq!(output.status.code(), Some(3));
    let [failed] = &lines(&output)[..] else { panic!("one line") };
    assert_eq!((&failed["event"], &failed["reason"]), (&json!("failed"), &json!("unreachable")));
    let hint = format!("nothing listens on UDP {}: is the mediator running?", closed.port());
    assert!(stderr(&output).contains(&hint), "{}", stderr(&output));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// A network of our own in which the only name server hears all and says nothing.
#[cfg(target_os = "linux")]
fn mute_resolver() -> Option<UdpSocket> {
    if !network::own(&["link set lo up"]) {
        return None;
    }
    let server = UdpSocket::bind("127.0.0.1:53").expect("port 53 of this network");
    server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    Some(server)
}

/// The peer, with `127.0.0.1` for its name server.
#[cfg(target_os = "linux")]
fn peer_with_resolver(arguments: &[&str]) -> Command {
    let script = format!(
        "echo nameserver 127.0.0.1 > '{0}/resolv.conf' && mount --bind '{0}/resolv.conf' /etc/resolv.conf \
         && exec \"$0\" \"$@\"",
        env!("CARGO_TARGET_TMPDIR")
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_bradawl-peer")]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_does_not_resolve_holds_up_neither_the_timeout_nor_others() {
    let Some(_resolver) = mute_resolver() else { return };
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    let servers = format!("one.example,{},two.example", mediator.addresses()[0]);
    let mut command = peer_with_resolver(&["check", "--mediator", &servers, "--timeout", "1", "--json"]);
    let (output, took) = timed(|| command.output().expect("the peer runs"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events: Vec<_> = lines(&output).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["mapped", "failed", "failed", "nat"], "who can be asked is asked first");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_check_is_interrupted_while_a_name_resolves() {
    let Some(resolver) = mute_resolver() else { return };
    let mut child = peer_with_resolver(&["check", "--mediator", "one.example", "--timeout", "60"])
        .spawn()
        .expect("the peer starts");
    // Its question is here, so it is waiting.
    resolver.recv(&mut [0; 512]).expect("a question");
    let (status, took) = timed(|| {
        kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
        child.wait().expect("an end")
    });
    assert_eq!(status.code(), Some(130));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_link_local_mediator_can_be_asked() {
    if !network::own(&[
        "link set lo up",
        "link add near type veth peer name far",
        "link set near up",
        "link set far up",
        "-6 addr add fe80::7/64 dev near nodad",
    ]) {
        return;
    }
    let mediator = Mediator::start(&["--listen", "[::]:3478"]);
    for arguments in
        [&["--mediator", "[fe80::7%near]:3478"][..], &["--mediator", "fe80::7%near", "--bind", "fe80::7"]]
    {
        let output = peer(&[&["check", "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?} {}", stderr(&output));
        let [mapped, nat] = &lines(&output)[..] else { panic!("two lines") };
        assert!(mapped["public"].as_str().is_some_and(|public| public.starts_with("[fe80::7]:")), "{mapped}");
        assert_eq!((&mapped["translated"], &nat["translated"]), (&json!(false), &json!(false)));
    }
    assert_eq!(mediator.stop(Signal::TERM).0.code(), Some(0));
}

#[test]
fn a_link_local_address_without_its_interface_is_a_usage_error() {
    let output = peer(&["check", "--mediator", "fe80::1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("%eth0"), "{}", stderr(&output));
}

#[test]
fn two_families_that_cannot_meet_are_a_usage_error() {
    let output = peer(&["check", "--mediator", "127.0.0.1", "--bind", "::1"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(stderr(&output).contains("--bind ::1 is IPv6"), "{}", stderr(&output));
}

#[test]
fn a_closed_stderr_changes_nothing() {
    let mediator = env!("CARGO_BIN_EXE_bradawl-mediator");
    let peer = env!("CARGO_BIN_EXE_bradawl-peer");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    for (binary, arguments, code) in [
        (peer, format!("check --mediator {taken} --timeout 0.1"), 3),
        (peer, "dance".to_owned(), 2),
        (mediator, "serve --listen nonsense".to_owned(), 2),
        (mediator, "serve --listen 192.0.2.177:9".to_owned(), 1),
        (peer, "demo".to_owned(), 0),
    ] {
        // Not only gone: full, so that each attempt to write fails.
        for stderr in ["2>&-", "2>/dev/full"] {
            let script = format!("exec {binary} {arguments} >/dev/null {stderr}");
            let status = Command::new("sh").args(["-c", &script]).status().expect("a shell");
            assert_eq!(status.code(), Some(code), "{script}");
        }
    }
}

#[test]
fn a_mediator_whose_reader_has_gone_still_ends_well() {
    let mut mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    mediator.forget_stdout();
    assert_eq!(mediator.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_mediator_that_nobody_can_hear_does_not_start() {
    let script =
        format!("exec {} serve --listen 127.0.0.1:0 >/dev/full", env!("CARGO_BIN_EXE_bradawl-mediator"));
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot print to stdout: "), "{}", stderr(&output));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    let output = Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
        .args(["check", "--mediator", &mediator.addresses()[0]])
        .envs(["BRADAWL_BIND", "BRADAWL_TIMEOUT", "BRADAWL_JSON"].map(|name| (name, "")))
        .output()
        .expect("the peer runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let output = Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
        .arg("check")
        .env("BRADAWL_MEDIATOR", "")
        .output()
        .expect("the peer runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("required"), "{}", stderr(&output));
}
