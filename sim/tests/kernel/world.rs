//! Three network namespaces with a kernel's NAT in the middle, and a model of it beside.
//!
//! The namespaces have no names: each lives as long as the program in it, which ends when its standard
//! input does. So nothing is left behind, however the test ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_sim::nat::{Allocation, Behaviour, Dropped, Flow, Nat, Passed};

pub(crate) const PUBLIC: &str = "10.81.0.1";
const AGENT: &str = include_str!("agent.py");
/// How long a packet is waited for that should come, and one that should not, in seconds.
const SURELY: &str = "3";
const HARDLY: &str = "0.15";

/// A public endpoint: what the kernel chose, and what the model did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    kernel: SocketAddr,
    model: SocketAddr,
}

impl Pair {
    pub(crate) fn same(endpoint: &str) -> Self {
        Self { kernel: address(endpoint), model: address(endpoint) }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A program in a network namespace of its own.
struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Agent {
    fn new() -> Option<Self> {
        let mut child = Command::new("unshare")
            .args(["--net", "python3", "-c", AGENT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let input = child.stdin.take()?;
        let output = BufReader::new(child.stdout.take()?);
        let mut agent = Self { child, input, output };
        (agent.line() == "ready").then_some(agent)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.output.read_line(&mut line);
        line.trim().to_owned()
    }

    fn ask(&mut self, words: &[&str]) -> String {
        writeln!(self.input, "{}", words.join(" ")).expect("it listens");
        let answer = self.line();
        assert!(!answer.is_empty(), "no answer to {words:?}");
        answer
    }

    /// Runs a script in its namespace.
    fn sh(&self, script: &str) -> Option<String> {
        let done = Command::new("nsenter")
            .args(["--net", "--target", &self.child.id().to_string(), "--", "sh", "-ec", script])
            .output()
            .ok()?;
        eprint!("{}", String::from_utf8_lossy(&done.stderr));
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The kernel and the model.
pub(crate) struct World {
    inside: Agent,
    router: Agent,
    outside: Agent,
    nat: Nat,
    now: Instant,
    count: u32,
    /// The endpoints that each inside endpoint had so far, and with whom.
    seen: BTreeMap<String, Vec<(String, Pair)>>,
    differences: Vec<String>,
    /// What the model was asked: when, whether from inside, what.
    history: Vec<(Instant, bool, Flow)>,
    /// How long a packet is waited for that should come.
    patience: &'static str,
}

fn new_nat(behaviour: Behaviour) -> Nat {
    let public: IpAddr = PUBLIC.parse().expect("an address");
    Nat::new(behaviour, vec![public], Rng::from_seed([1; 32])).expect("a NAT that can be")
}

impl World {
    /// Nothing, with the reason printed, where this machine does not let us.
    pub(crate) fn new(rules: &str, behaviour: Behaviour) -> Option<Self> {
        let agents = [Agent::new(), Agent::new(), Agent::new()];
        let [Some(inside), Some(router), Some(mut outside)] = agents else {
            println!("skipped: `unshare --net python3` does not work here (root can)");
            return None;
        };
        let (ins, outs) = (inside.child.id(), outside.child.id());
        let wired = router.sh(&format!(
            "ip link add lan type veth peer name eth0 netns {ins}
             ip link add wan type veth peer name eth0 netns {outs}
             ip addr add 10.80.0.1/24 dev lan; ip addr add {PUBLIC}/24 dev wan
             ip link set lan up; ip link set wan up
             echo 1 > /proc/sys/net/ipv4/ip_forward"
        ));
        let hosts = inside.sh("for n in 2 3 4; do ip addr add 10.80.0.$n/24 dev eth0; done
             ip link set eth0 up; ip route add default via 10.80.0.1");
        let peers =
            outside.sh("for n in 2 3; do ip addr add 10.81.0.$n/24 dev eth0; done; ip link set eth0 up");
        if wired.is_none() || hosts.is_none() || peers.is_none() {
            println!("skipped: no veth pairs between namespaces here (iproute2 and root make them)");
            return None;
        }
        // Whether there is netfilter at all; after that, what is not understood is our fault.
        if router.sh("nft 'add table ip box'").is_none() {
            println!("skipped: no nftables here");
            return None;
        }
        let rules = format!("nft -f - <<E\ntable ip box {{\n{rules}\n}}\nE");
        router.sh(&rules).unwrap_or_else(|| panic!("refused: {rules}"));
        for remote in ["10.81.0.2:7001", "10.81.0.2:7002", "10.81.0.3:7001", "10.81.0.3:7002"] {
            outside.ask(&["bind", remote]);
        }
        Some(Self {
            inside,
            router,
            outside,
            nat: new_nat(behaviour),
            now: Instant::ZERO,
            count: 0,
            seen: BTreeMap::new(),
            differences: Vec::new(),
            history: Vec::new(),
            patience: SURELY,
        })
    }

    /// It does not wait long for packets that the model expects and the kernel may not let pass.
    pub(crate) fn hurry(&mut self) {
        self.patience = HARDLY;
    }

    fn token(&mut self) -> String {
        self.count += 1;
        format!("packet-{}", self.count)
    }

    fn differ(&mut self, what: String) {
        println!("{what}");
        self.differences.push(what);
    }

    /// A packet from inside: from where it seems to come, outside.
    pub(crate) fn out(&mut self, inside: &str, remote: &str) -> Pair {
        let token = self.token();
        self.inside.ask(&["send", inside, remote, &token]);
        let heard = self.outside.ask(&["recv", &token, SURELY]);
        let (local, source) =
            heard.split_once(' ').unwrap_or_else(|| panic!("{inside} to {remote}: {heard}"));
        assert_eq!(local, remote);
        let kernel = address(source);
        let passed = self.outbound(Flow::udp(address(inside), address(remote)));
        let Ok(Passed::Across(Flow { source: model, .. })) = passed else {
            panic!("{inside} to {remote}: {passed:?}, and the kernel lets it pass as {kernel}");
        };
        let pair = Pair { kernel, model };
        self.compare(inside, remote, pair);
        self.seen.entry(inside.to_owned()).or_default().push((remote.to_owned(), pair));
        pair
    }

    /// Ports: preserved, in the same range, and the same as before where the other's is. Where all are
    /// random, only those of one session can be expected to be the same.
    fn compare(&mut self, inside: &str, remote: &str, pair: Pair) {
        let own = address(inside).port();
        let is_random = self.nat.behaviour().allocation == Allocation::Random;
        let range = |port: u16| match port {
            0..512 => 0,
            512..1_024 => 1,
            _ => 2,
        };
        let seen = self.seen.get(inside).map_or(&[][..], Vec::as_slice);
        let traits = |of: fn(&Pair) -> SocketAddr| {
            let endpoint = of(&pair);
            let earlier = seen.iter().filter(|(peer, _)| !is_random || peer == remote);
            let same: Vec<bool> = earlier.map(|(_, pair)| of(pair) == endpoint).collect();
            let is_preserved = !is_random && endpoint.port() == own;
            (endpoint.ip(), is_preserved, range(endpoint.port()), same)
        };
        let (kernel, model) = (traits(|pair| pair.kernel), traits(|pair| pair.model));
        println!("{inside} to {remote}: kernel {}, model {}", pair.kernel, pair.model);
        if kernel != model {
            self.differ(format!("DIFFERENT: {inside} to {remote}: {pair:?} after {seen:?}"));
        }
    }

    /// A packet from outside to a public endpoint: who gets it.
    pub(crate) fn knock(&mut self, remote: &str, pair: Pair) {
        let token = self.token();
        let model = self.inbound(Flow::udp(address(remote), pair.model));
        self.outside.ask(&["send", remote, &pair.kernel.to_string(), &token]);
        let heard = self.inside.ask(&["recv", &token, if model.is_ok() { self.patience } else { HARDLY }]);
        let expected = match model {
            Ok(flow) => format!("{} {}", flow.destination, flow.source),
            Err(_) => "nothing".to_owned(),
        };
        println!("{remote} to {}: {heard}", pair.kernel);
        if heard != expected {
            self.differ(format!("DIFFERENT: {remote} to {pair:?}: kernel {heard}, model {model:?}"));
        }
    }

    /// A packet from inside to a public endpoint.
    pub(crate) fn turns_round(&mut self, inside: &str, pair: Pair) {
        let token = self.token();
        let model = self.outbound(Flow::udp(address(inside), pair.model));
        self.inside.ask(&["send", inside, &pair.kernel.to_string(), &token]);
        let heard = self.inside.ask(&["recv", &token, if model.is_ok() { self.patience } else { HARDLY }]);
        if (heard != "nothing") != model.is_ok() {
            self.differ(format!("DIFFERENT: {inside} to {pair:?}: kernel {heard}, model {model:?}"));
        }
    }

    /// A packet to a port outside where nobody is: whether the sender is told.
    pub(crate) fn unreachable_outside(&mut self, inside: &str, remote: &str) {
        let sent = Flow::udp(address(inside), address(remote));
        let model = match self.outbound(sent) {
            Ok(Passed::Across(across)) => self.nat.error_inbound(self.now, across) == Some(sent),
            _ => false,
        };
        let heard = self.inside.ask(&["refused", inside, remote, SURELY]);
        if (heard == "refused") != model {
            self.differ(format!(
                "DIFFERENT: error about {inside} to {remote}: kernel {heard}, model {model}"
            ));
        }
    }

    /// The same about a packet from outside to an inside socket that is closed; it is opened again.
    pub(crate) fn unreachable_inside(&mut self, inside: &str, pair: Pair, remote: &str) {
        let sent = Flow::udp(address(remote), pair.model);
        let model = match self.inbound(sent) {
            Ok(arrived) => self.nat.error_outbound(self.now, arrived) == Some(sent),
            Err(_) => false,
        };
        self.inside.ask(&["close", inside]);
        let heard = self.outside.ask(&["refused", remote, &pair.kernel.to_string(), SURELY]);
        if (heard == "refused") != model {
            self.differ(format!(
                "DIFFERENT: error about {remote} to {inside}: kernel {heard}, model {model}"
            ));
        }
        self.outside.ask(&["bind", remote]);
        self.inside.ask(&["bind", inside]);
    }

    /// Lets time pass for both.
    pub(crate) fn wait(&mut self, millis: u64) {
        let done = self.router.sh(&format!("sleep {}.{:03}", millis / 1_000, millis % 1_000));
        assert!(done.is_some(), "it slept");
        self.now += Duration::from_millis(millis);
    }

    /// How many seconds the kernel gives the session that began with a packet from `source` to
    /// `destination`; the model's has to have as many.
    pub(crate) fn lifetime(&mut self, source: &str, destination: &str, seconds: u64) {
        let (from, to) = (address(source), address(destination));
        let start = format!("src={} dst={} sport={} dport={}", from.ip(), to.ip(), from.port(), to.port());
        let table = self.router.sh("cat /proc/net/nf_conntrack").unwrap_or_default();
        let Some(line) = table.lines().find(|line| line.contains(&start)) else {
            return println!("not compared: this kernel does not show its table, or not {start}");
        };
        let left = line.split_whitespace().nth(4).and_then(|word| word.parse::<u64>().ok());
        // It counts whole seconds down, and a busy machine may have taken some of them.
        let kernel = left.is_some_and(|left| (seconds - 10..=seconds).contains(&left));
        let model = self.dies_after(from, seconds);
        println!("{source} to {destination}: kernel {left:?} s; {seconds} s in the model: {model}");
        if !kernel || !model {
            self.differ(format!("DIFFERENT: {source} to {destination}: kernel {left:?} s, not {seconds}"));
        }
    }

    /// Whether the model forgets what began at `source` just then. A model like ours is asked, that has
    /// seen the same: ours is needed.
    fn dies_after(&self, source: SocketAddr, seconds: u64) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        let just_before = Instant::from_micros(end.as_micros() - 1);
        let [before, after] = [just_before, end].map(|when| {
            let mut nat = new_nat(self.nat.behaviour().clone());
            for &(at, is_outbound, flow) in &self.history {
                let _ = if is_outbound {
                    nat.outbound(at, flow).map(drop)
                } else {
                    nat.inbound(at, flow).map(drop)
                };
            }
            let of_source = nat.mappings(when).filter(|(inside, _)| *inside == source).count();
            (of_source, nat.load(when))
        });
        before > after
    }

    /// Where the two have differed.
    pub(crate) fn differences(mut self) -> Vec<String> {
        if self.nat.behaviour().allocation == Allocation::Random {
            // Some sessions of one inside endpoint, with different peers.
            let ports = |of: fn(&Pair) -> SocketAddr| -> BTreeSet<u16> {
                self.seen["10.80.0.2:5000"].iter().map(|(_, pair)| of(pair).port()).collect()
            };
            if ports(|pair| pair.kernel).len() == 1 || ports(|pair| pair.model).len() == 1 {
                self.differ("DIFFERENT: one of the two has no random ports".to_owned());
            }
        }
        self.differences
    }

    fn outbound(&mut self, flow: Flow) -> Result<Passed, Dropped> {
        self.history.push((self.now, true, flow));
        self.nat.outbound(self.now, flow)
    }

    fn inbound(&mut self, flow: Flow) -> Result<Flow, Dropped> {
        self.history.push((self.now, false, flow));
        self.nat.inbound(self.now, flow)
    }
}
