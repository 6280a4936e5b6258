//! The lines of `ice`: what each does, between two ends in memory.

#![cfg(feature = "cli")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{HostInput, HostRequest, MIN_BUFFER, Machine, Meta, Output, Path, Verdict};
use bradawl::punch::{Party, Role};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_host::cli::ice::{
    Command, Dialogue, Ice, Input, Lookup, MAX_DATAGRAM, MAX_LOOKUPS, MAX_SENDING, MAX_WAITING, Next,
    Unusable,
};
use bradawl_host::driver::Sink;
use serde_json::{Value, json};

const REMOTE: &str = r#"{"type":"remote","ufrag":"F7gI","pwd":"x9cml/YzichV2+XlhiMu8g","lite":false}"#;
const NAMED: &str =
    r#"{"type":"candidate","candidate":"candidate:1 1 udp 2113937151 a.local 50000 typ host"}"#;
const END: &str = r#"{"type":"end-of-candidates"}"#;
const RESTART: &str = r#"{"type":"restart"}"#;
const HELLO: &str = r#"{"type":"send","data":"aGVsbG8="}"#;

#[test]
fn lines_are_read() {
    let read = |line: &str| Command::parse(line.as_bytes()).expect(line);
    let party = |extra: &str| match read(&REMOTE.replace("\"lite\":false", extra)) {
        Command::Remote(credentials, party) => {
            assert_eq!(credentials.ufrag(), "F7gI");
            party
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(party(r#""lite":false,"role":"controlled""#), Party::Foreign);
    assert_eq!(party(r#""impl":"aioice 0.9""#), Party::Foreign);
    assert_eq!(party(r#""impl":"bradawl""#), Party::Kin);
    assert_eq!(party(r#""lite":true"#), Party::Lite);
    assert!(matches!(read(NAMED), Command::Candidate(described) if described.port == 50_000));
    assert_eq!(read(HELLO), Command::Send(b"hello".to_vec()));
    assert_eq!(read(END), Command::EndOfCandidates);
    assert_eq!(read(RESTART), Command::Restart);
    assert_eq!(read(r#" {"why":7,"type":"close"} "#), Command::Close);
}

#[test]
fn what_is_no_line_is_refused() {
    let why = |line: &[u8]| Command::parse(line).expect_err("of no use");
    for line in [
        &b""[..],
        b"{",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        br#"{"type":7}"#,
        br#"{"type":"dance"}"#,
        br#"{"type":"remote","ufrag":"F7gI"}"#,
        br#"{"type":"send"}"#,
        br#"{"type":"send","data":7}"#,
        br#"{"type":"close"} {"type":"close"}"#,
    ] {
        assert!(matches!(why(line), Unusable::Json(_)), "{line:?}");
    }
    assert_eq!(why(br#"{"type":"remote","ufrag":"F7gI","pwd":"short"}"#), Unusable::Credentials);
    assert_eq!(why(br#"{"type":"send","data":"aGVsbG8"}"#), Unusable::Base64);
    assert_eq!(why(br#"{"type":"send","data":""}"#), Unusable::Length);
    let data = |length: usize| format!(r#"{{"type":"send","data":"{}"}}"#, "AAAA".repeat(length / 3));
    assert_eq!(why(data(MAX_DATAGRAM + 3).as_bytes()), Unusable::Length);
    assert!(Command::parse(data(MAX_DATAGRAM - 3).as_bytes()).is_ok());
    let candidate = br#"{"type":"candidate","candidate":"candidate:1 1 sctp 1 192.0.2.1 9 typ host"}"#;
    assert_eq!(
        why(candidate).to_string(),
        "the candidate cannot be read: the transport is neither udp nor tcp"
    );
}

/// One end, and what it has printed.
struct End {
    ip: IpAddr,
    ice: Ice,
    dialogue: Dialogue,
    printed: Vec<Value>,
    lookups: Vec<Lookup>,
}

impl End {
    fn new(ip: &str, role: Role, is_echoing: bool) -> Self {
        let ip: IpAddr = ip.parse().expect("an address");
        let seed = if role == Role::Controlling { [1; 32] } else { [2; 32] };
        let ice = Ice::new(vec![(ip, 0).into()], Vec::new(), role, Rng::from_seed(seed)).echoing(is_echoing);
        let dialogue = Dialogue::begin(&ice);
        Self { ip, ice, dialogue, printed: Vec::new(), lookups: Vec::new() }
    }

    fn hear(&mut self, now: Instant, line: &str) {
        match self.dialogue.hear(&mut self.ice, now, &Input::Line(line.into())) {
            Next::Go => {}
            Next::Resolve(lookup) => self.lookups.push(lookup),
            Next::End => self.dialogue.end(&mut self.ice, now),
        }
    }

    /// What it prints now.
    fn print(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(chunk) = self.dialogue.take() {
            lines.extend(chunk.lines().map(|line| serde_json::from_str::<Value>(line).expect(line)));
        }
        self.printed.extend(lines.iter().cloned());
        lines
    }

    /// The values of this field in the lines of this type.
    fn said(&self, kind: &str, field: &str) -> Vec<Value> {
        let lines = self.printed.iter().filter(|line| line["type"] == kind);
        lines.map(|line| line[field].clone()).collect()
    }

    fn states(&self) -> Vec<Value> {
        self.said("state", "state")
    }

    fn errors(&self) -> Vec<Value> {
        self.said("error", "message")
    }
}

/// Two ends and a network between them, with us as the signaling.
struct World {
    ends: [End; 2],
    now: Instant,
    in_flight: BTreeMap<(Instant, u64), (Path, Vec<u8>)>,
    sent: u64,
    is_cut: bool,
    /// Candidates are passed on under this name.
    name: Option<&'static str>,
}

impl World {
    fn new(is_echoing: bool) -> Self {
        let ends = [
            End::new("192.0.2.1", Role::Controlling, false),
            End::new("192.0.2.2", Role::Controlled, is_echoing),
        ];
        let now = Instant::from_micros(1_000_000);
        Self { ends, now, in_flight: BTreeMap::new(), sent: 0, is_cut: false, name: None }
    }

    fn drain(&mut self, index: usize) -> Option<Instant> {
        let End { ip, ice, dialogue, .. } = &mut self.ends[index];
        let mut buf = [0; MIN_BUFFER];
        for _ in 0..10_000 {
            match ice.poll_output(self.now, &mut buf) {
                Output::Transmit { path, len, .. } => {
                    self.sent += 1;
                    if !self.is_cut {
                        let there = Path::udp(path.remote, path.local);
                        let arrival = (self.now + Duration::from_millis(10), self.sent);
                        self.in_flight.insert(arrival, (there, buf[..len].to_vec()));
                    }
                }
                Output::Event(event) => dialogue.event(event),
                Output::Host(HostRequest::Bind { id, .. }) => {
                    let local = SocketAddr::new(*ip, 5_000 + id.0 as u16);
                    ice.handle_host(self.now, HostInput::Bound { id, result: Ok(local) });
                }
                Output::Host(_) => {}
                Output::Idle(wake) => return wake,
            }
        }
        panic!("it never rests");
    }

    fn arrives(&mut self, path: Path, bytes: &[u8]) {
        let Some(to) = self.ends.iter_mut().find(|end| end.ip == path.local.ip()) else { return };
        if let Verdict::Deliver { from, body } = to.ice.handle_input(self.now, path, Meta::default(), bytes) {
            to.dialogue.deliver(path, from, &bytes[body]);
        }
    }

    /// Passes on what each says that concerns the other.
    fn pass_on(&mut self) -> bool {
        let mut any = false;
        for index in [0, 1] {
            for mut line in self.ends[index].print() {
                match line["type"].as_str().expect("each has one") {
                    "local" => line["type"] = json!("remote"),
                    "candidate" => {
                        if let Some(name) = self.name {
                            let ip = self.ends[index].ip.to_string();
                            let text = line["candidate"].as_str().expect("text").replace(&ip, name);
                            line["candidate"] = json!(text);
                        }
                    }
                    "end-of-candidates" => {}
                    _ => continue,
                }
                // As to a foreign agent.
                line.as_object_mut().expect("an object").remove("impl");
                self.ends[1 - index].hear(self.now, &line.to_string());
                any = true;
            }
        }
        any
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let wakes = [self.drain(0), self.drain(1)];
            if self.pass_on() {
                continue;
            }
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let next = wakes.into_iter().flatten().chain(arrival).min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.now = next;
            if arrival == Some(next) {
                let (_, (path, bytes)) = self.in_flight.pop_first().expect("there is one");
                self.arrives(path, &bytes);
            }
        }
        self.now = end;
    }

    fn hear(&mut self, index: usize, line: &str) {
        self.ends[index].hear(self.now, line);
    }
}

#[test]
fn two_ends_find_each_other_and_talk() {
    let mut world = World::new(true);
    world.run(Duration::from_secs(1));
    for (index, other, controlling) in [(0, "192.0.2.2:5000", true), (1, "192.0.2.1:5000", false)] {
        let end = &world.ends[index];
        assert_eq!(end.printed[0]["type"], "local", "it comes first");
        assert_eq!((&end.printed[0]["lite"], &end.printed[0]["impl"]), (&json!(false), &json!("bradawl")));
        assert_eq!(end.said("candidate", "candidate").len(), 1);
        assert_eq!(end.states(), ["checking", "connected"]);
        assert_eq!(end.said("selected", "remote").last(), Some(&json!(other)));
        assert_eq!(end.said("selected", "controlling").last(), Some(&json!(controlling)));
        assert_eq!(end.errors(), Vec::<Value>::new());
    }
    world.hear(0, HELLO);
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[1].said("recv", "data"), ["aGVsbG8="]);
    assert_eq!(world.ends[0].said("recv", "data"), ["aGVsbG8="], "the echo");
    let here = Path::udp("192.0.2.1:5000".parse().expect("ours"), "192.0.2.2:5000".parse().expect("theirs"));
    world.ends[0].ice.handle_host(world.now, HostInput::TooBig { path: here, mtu: Some(1_280) });
    world.run(Duration::from_secs(1));
    let too_big = "a datagram was too big for the path, which takes packets of 1280 bytes";
    assert_eq!(world.ends[0].errors(), [too_big]);
    world.hear(0, r#"{"type":"close"}"#);
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].states().last(), Some(&json!("closed")));
}

#[test]
fn a_line_that_comes_at_the_wrong_time_changes_nothing() {
    let mut world = World::new(false);
    world.drain(0);
    for line in [NAMED, END, HELLO] {
        world.hear(0, line);
    }
    let Next::Go = world.ends[0].dialogue.hear(&mut world.ends[0].ice, world.now, &Input::TooLong) else {
        panic!("it goes on");
    };
    world.run(Duration::from_secs(1));
    for (error, about) in world.ends[0].errors().iter().zip([
        "after `remote`",
        "after `remote`",
        "no path yet",
        "no longer than",
    ]) {
        assert!(error.as_str().is_some_and(|error| error.contains(about)), "{error}");
    }
    assert_eq!(world.ends[0].errors().len(), 4);
    assert_eq!(world.ends[0].states(), ["checking", "connected"]);
    // Another `remote` belongs to another generation, and so does a candidate after the end.
    for line in [REMOTE, NAMED, END] {
        world.hear(0, line);
    }
    world.hear(0, HELLO);
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].errors().len(), 7);
    assert_eq!(world.ends[1].said("recv", "data"), ["aGVsbG8="], "the path is as it was");
}

#[test]
fn a_restart_has_new_credentials_and_the_same_candidates() {
    let mut world = World::new(false);
    world.run(Duration::from_secs(1));
    let before =
        world.ends.each_ref().map(|end| (end.said("local", "pwd"), end.said("candidate", "candidate")));
    for index in [0, 1] {
        world.ends[index].printed.clear();
        world.hear(index, RESTART);
    }
    world.run(Duration::from_secs(1));
    for (end, (pwd, candidates)) in world.ends.iter().zip(before) {
        assert_eq!(end.said("local", "pwd").len(), 1);
        assert_ne!(end.said("local", "pwd"), pwd);
        assert_eq!(end.said("candidate", "candidate"), candidates);
        assert_eq!(end.states(), ["checking", "connected"]);
        assert_eq!(end.said("selected", "local").len(), 1);
        assert_eq!(end.errors(), Vec::<Value>::new());
    }
    world.hear(1, HELLO);
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].said("recv", "data"), ["aGVsbG8="]);
}

#[test]
fn names_are_resolved_by_others() {
    let mut world = World::new(false);
    world.name = Some("hidden.local");
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].states(), ["checking"], "nobody knows where the other is");
    // One of the two is enough: the other learns of the first from its checks.
    let lookup = world.ends[0].lookups.pop().expect("a name");
    assert_eq!(lookup.name(), "hidden.local");
    let End { ice, dialogue, .. } = &mut world.ends[0];
    dialogue.resolved(ice, world.now, &lookup, Ok("192.0.2.2".parse().expect("an address")));
    let lookup = world.ends[1].lookups.pop().expect("a name");
    let End { ice, dialogue, .. } = &mut world.ends[1];
    dialogue.resolved(ice, world.now, &lookup, Err("no such host".to_owned()));
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].states(), ["checking", "connected"]);
    assert_eq!(world.ends[1].states(), ["checking", "connected"]);
    assert_eq!(world.ends[1].errors(), ["hidden.local leads nowhere: no such host"]);
}

#[test]
fn a_name_of_another_generation_is_forgotten_and_there_are_never_too_many() {
    let mut end = End::new("192.0.2.1", Role::Controlling, false);
    let now = Instant::ZERO;
    end.hear(now, REMOTE);
    for _ in 0..MAX_LOOKUPS + 1 {
        end.hear(now, NAMED);
    }
    end.print();
    assert_eq!(end.lookups.len(), MAX_LOOKUPS);
    assert_eq!(end.errors(), ["a.local is one name too many at a time"]);
    end.hear(now, RESTART);
    end.hear(now, REMOTE);
    end.hear(now, NAMED);
    assert_eq!(end.lookups.len(), MAX_LOOKUPS, "those of before still count");
    for lookup in end.lookups.drain(..) {
        end.dialogue.resolved(&mut end.ice, now, &lookup, Err("no such host".to_owned()));
    }
    end.hear(now, NAMED);
    end.print();
    assert_eq!(end.lookups.len(), 1);
    assert_eq!(end.errors().len(), 2, "nobody hears of those of before: {:?}", end.errors());
}

#[test]
fn a_path_that_is_gone_and_one_that_never_was() {
    let mut world = World::new(false);
    world.run(Duration::from_secs(1));
    world.is_cut = true;
    // Data goes on, so that its consent runs out (RFC 7675).
    for _ in 0..60 {
        world.hear(0, HELLO);
        world.run(Duration::from_secs(1));
    }
    let states = world.ends[0].states();
    assert_eq!(states[..3], ["checking", "connected", "disconnected"], "{states:?}");
    assert!(states[3..].iter().all(|state| *state == "failed"), "{states:?}");

    let mut world = World::new(false);
    world.is_cut = true;
    world.run(Duration::from_secs(120));
    assert_eq!(world.ends[0].states(), ["checking", "failed"]);
    // It is not the end: a restart begins again.
    world.is_cut = false;
    world.hear(0, RESTART);
    world.hear(1, RESTART);
    world.run(Duration::from_secs(1));
    assert_eq!(world.ends[0].states(), ["checking", "failed", "checking", "connected"]);
}

#[test]
fn who_does_not_read_is_not_listened_to_and_loses_datagrams_in_the_end() {
    let mut world = World::new(false);
    assert!(!world.ends[0].dialogue.has_room(&world.ends[0].ice), "its sockets are not there yet");
    world.run(Duration::from_secs(1));
    let End { ice, dialogue, .. } = &mut world.ends[0];
    assert!(dialogue.has_room(ice));
    for number in 0.. {
        if ice.send(vec![0xB0; 1_200]).is_err() {
            assert_eq!(number, MAX_SENDING);
            break;
        }
    }
    assert!(!dialogue.has_room(ice), "it has to send first");
    world.drain(0);
    let End { ice, dialogue, .. } = &mut world.ends[0];
    assert!(dialogue.has_room(ice));

    let path = Path::udp("192.0.2.1:5000".parse().expect("ours"), "192.0.2.2:5000".parse().expect("theirs"));
    let datagram = vec![0xB0; 60_000];
    let mut count = 0;
    while dialogue.lost() == 0 {
        dialogue.deliver(path, path.remote, &datagram);
        count += 1;
    }
    assert!(count * 80_000 > MAX_WAITING && !dialogue.has_room(ice));
    let mut bytes = 0;
    while let Some(chunk) = dialogue.take() {
        bytes += chunk.len();
    }
    assert!(bytes < MAX_WAITING + 100_000, "{bytes}");
    assert!(dialogue.has_room(ice) && dialogue.lost() == 1);
}
