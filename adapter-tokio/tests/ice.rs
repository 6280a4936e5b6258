//! `bradawl-peer ice` against itself, over real sockets and pipes.

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bradawl_host::cli::ice::MAX_DATAGRAM;
use common::{Mediator, peer, stderr};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Nothing here takes longer than this, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many datagrams are on their way at a time: few enough for any socket.
const WINDOW: usize = 48;

/// A running end, and a thread that reads what it prints as soon as somebody wants to know.
struct End {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// Whoever holds it keeps what is printed from being read.
    gate: Arc<Mutex<()>>,
    /// What was said beside the lines that were waited for.
    said: Vec<Value>,
}

impl End {
    fn start(role: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
            .args(["ice", "--role", role])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        let gate = Arc::new(Mutex::new(()));
        let is_open = Arc::clone(&gate);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let _open = is_open.lock().expect("nobody panics with it");
                let line = line.expect("text");
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines, gate, said: Vec::new() }
    }

    fn tell(&mut self, line: &Value) {
        writeln!(self.stdin.as_mut().expect("it listens"), "{line}").expect("it reads");
    }

    fn send(&mut self, data: &str) {
        self.tell(&json!({"type": "send", "data": data}));
    }

    /// The next line of this type; what comes before is kept.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line["type"] == kind => return line,
                Ok(line) => self.said.push(line),
                Err(error) => panic!("{error}: no `{kind}` after {:?}", self.said),
            }
        }
    }

    /// What it says until it ends by itself, and that it ends well.
    fn end(mut self) -> Vec<Value> {
        self.stdin = None;
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("{error}: it has not ended"),
            }
        }
        assert_eq!(self.child.wait().expect("an end").code(), Some(0));
        std::mem::take(&mut self.said)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what each has to know of the other, and waits until both have a path.
fn introduce(ends: &mut [End; 2], is_kin: bool) {
    for from in [0, 1] {
        let mut local = ends[from].next("local");
        local["type"] = json!("remote");
        if !is_kin {
            local.as_object_mut().expect("an object").remove("impl");
        }
        ends[1 - from].tell(&local);
        ends[from].next("end-of-candidates");
        for line in std::mem::take(&mut ends[from].said) {
            if line["type"] == "candidate" {
                ends[1 - from].tell(&line);
            }
        }
        ends[1 - from].tell(&json!({"type": "end-of-candidates"}));
    }
    let [left, right] = ends.each_mut().map(|end| end.next("selected"));
    assert_eq!((&left["local"], &left["remote"]), (&right["remote"], &right["local"]));
    assert_eq!((&left["controlling"], &right["controlling"]), (&json!(true), &json!(false)));
}

fn pair(bind: &str, echo: &[&str]) -> [End; 2] {
    let left = End::start("controlling", &["--bind", bind]);
    let right = End::start("controlled", &[&["--bind", bind], echo].concat());
    [left, right]
}

#[test]
fn ten_thousand_datagrams_each_way_and_a_restart() {
    for (bind, is_kin) in [("127.0.0.1", false), ("::1", true)] {
        if UdpSocket::bind((bind, 0)).is_err() {
            println!("skipped, there is no {bind} on this host");
            continue;
        }
        let mut ends = pair(bind, &[]);
        introduce(&mut ends, is_kin);
        let (count, data) = (10_000, "sLCwsLCwsLA=");
        let (mut sent, mut arrived) = ([0; 2], [0; 2]);
        while arrived != [count; 2] {
            for index in [0, 1] {
                while sent[index] < count && sent[index] < arrived[1 - index] + WINDOW {
                    ends[index].send(data);
                    sent[index] += 1;
                }
            }
            for index in [0, 1] {
                assert_eq!(ends[index].next("recv")["data"], data);
                arrived[index] += 1;
            }
        }
        for end in &mut ends {
            end.said.clear();
            end.tell(&json!({"type": "restart"}));
        }
        introduce(&mut ends, is_kin);
        ends[0].send("aGVsbG8=");
        assert_eq!(ends[1].next("recv")["data"], "aGVsbG8=");
        let [mut left, right] = ends;
        left.tell(&json!({"type": "close"}));
        for said in [left.end(), right.end()] {
            assert_eq!(said.last(), Some(&json!({"type": "state", "state": "closed"})));
            assert!(said.iter().all(|line| line["type"] != "error"), "{said:?}");
        }
    }
}

#[test]
fn an_end_that_nobody_reads_goes_on_and_loses_nothing_for_a_while() {
    let mut ends = pair("127.0.0.1", &["--echo"]);
    introduce(&mut ends, false);
    let gate = Arc::clone(&ends[1].gate);
    let closed = gate.lock().expect("nobody panics with it");
    // More than fits into a pipe.
    let (count, mut sent) = (10_000, 0);
    for back in 0..count {
        while sent < count && sent < back + WINDOW {
            ends[0].send("sLCwsLCwsLA=");
            sent += 1;
        }
        ends[0].next("recv");
    }
    drop(closed);
    for _ in 0..count {
        ends[1].next("recv");
    }
}

#[test]
fn no_line_is_passed_over_however_fast_they_come() {
    let mut end = End::start("controlling", &["--bind", "127.0.0.1"]);
    let lines: String = (0..1_000).map(|number| format!("{{\"type\":\"{number}\"}}\n")).collect();
    end.stdin.as_mut().expect("it listens").write_all(lines.as_bytes()).expect("it reads");
    for number in 0..1_000 {
        let message = end.next("error")["message"].as_str().expect("text").to_owned();
        assert!(message.starts_with(&format!("unknown variant `{number}`")), "{message}");
    }
}

#[test]
fn what_is_sent_before_the_end_is_sent() {
    let mut ends = pair("127.0.0.1", &[]);
    introduce(&mut ends, false);
    let [mut left, mut right] = ends;
    for _ in 0..WINDOW {
        left.send("aGVsbG8=");
    }
    left.end();
    for _ in 0..WINDOW {
        right.next("recv");
    }
}

#[test]
fn the_largest_datagram_arrives_where_it_fits() {
    let mut ends = pair("127.0.0.1", &[]);
    introduce(&mut ends, false);
    let largest = format!("sLCw{}sLA=", "AAAA".repeat((MAX_DATAGRAM - 5) / 3));
    ends[1].send(&largest);
    assert_eq!(ends[0].next("recv")["data"], largest);
}

#[test]
fn servers_are_asked_and_silent_ones_waited_for() {
    let mediator = Mediator::start(&["--listen", "127.0.0.1:0"]);
    let server = mediator.addresses()[0].clone();
    let mut end = End::start("controlled", &["--bind", "127.0.0.1", "--stun", &server]);
    end.next("end-of-candidates");
    let said = end.end();
    assert_eq!(said.iter().filter(|line| line["type"] == "candidate").count(), 1, "it is seen as it is");
    let (_, stopped) = mediator.stop(Signal::TERM);
    assert_eq!(stopped["answers"], 1, "{stopped}");
}

#[test]
fn a_name_that_leads_nowhere_and_one_that_leads_here() {
    let mut ends = pair("127.0.0.1", &[]);
    let mut locals = ends.each_mut().map(|end| end.next("local"));
    for (end, local) in ends.iter_mut().zip(locals.iter_mut().rev()) {
        local["type"] = json!("remote");
        end.tell(local);
    }
    let candidate = ends[1].next("candidate");
    let text = candidate["candidate"].as_str().expect("text");
    for name in ["no-such-host.invalid", "localhost"] {
        let text = text.replace("127.0.0.1", name);
        ends[0].tell(&json!({"type": "candidate", "candidate": text}));
    }
    ends[0].next("selected");
    if ends[0].said.iter().all(|line| line["type"] != "error") {
        ends[0].next("error");
    }
}

#[test]
fn relays_are_not_pretended() {
    for flags in [&["--turn", "192.0.2.1"][..], &["--relay-only"]] {
        let output = peer(&[&["ice", "--role", "controlled"], flags].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty() && stderr(&output).contains("relays come with a later release"));
    }
    for flags in [&[][..], &["--role", "boss"], &["--role", "controlled", "--bind", "0.0.0.0"]] {
        let output = peer(&[&["ice"], flags].concat());
        assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1), "{flags:?}");
    }
}
