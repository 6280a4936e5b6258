//! The binaries, started and read, for the tests of this crate.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A running mediator. It is killed if a test fails.
pub(crate) struct Mediator {
    child: Child,
    ready: Value,
}

impl Mediator {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bradawl-mediator"))
            .args(["serve", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the mediator starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        read_line(out, &mut line);
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, ready }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        let udp = self.ready["udp"].as_array().expect("addresses");
        udp.iter().map(|address| address.as_str().expect("text").to_owned()).collect()
    }

    /// Nobody reads what it prints from now on.
    pub(crate) fn forget_stdout(&mut self) {
        self.child.stdout = None;
    }

    /// Asks it to stop, and how it ended.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
        self.child.wait().expect("an end")
    }

    /// Asks it to stop, and what it said until then.
    pub(crate) fn stop(mut self, signal: Signal) -> (ExitStatus, Value) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal");
        let mut rest = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("an end");
        (status, serde_json::from_str(&rest).unwrap_or_else(|error| panic!("{error}: {rest:?}")))
    }
}

impl Drop for Mediator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One byte at a time, so that nothing behind the line is lost.
fn read_line(from: &mut impl Read, line: &mut String) {
    BufReader::with_capacity(1, from).read_line(line).expect("a line");
}

pub(crate) fn peer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bradawl-peer")).args(arguments).output().expect("the peer runs")
}

pub(crate) fn lines(output: &Output) -> Vec<Value> {
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The lines with this event.
pub(crate) fn named(output: &Output, event: &str) -> Vec<Value> {
    lines(output).into_iter().filter(|line| line["event"] == event).collect()
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("UTF-8")
}
