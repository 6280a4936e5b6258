//! Results, for people and for programs.
//!
//! Each result is a type that a person reads by [`Display`](fmt::Display) and a program as JSON; the
//! names of its fields are part of the interface and stay.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use bradawl::stun::server::Outcome;
use serde::{Serialize, Serializer};

use super::peer::Server;
use crate::driver;
use crate::mediator::Tally;

/// Prints results to stdout.
///
/// ```
/// use bradawl_host::cli::output::{Printer, Ready};
///
/// let printer = Printer::new(true);
/// // {"v":1,"event":"ready","udp":["127.0.0.1:3478"]}
/// printer.print(&Ready { udp: &["127.0.0.1:3478".parse()?] })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    json: bool,
}

/// A result with a name that programs know it by.
pub trait Event: Serialize + fmt::Display {
    /// The name.
    const NAME: &'static str;
}

#[derive(Serialize)]
struct Line<'a, E> {
    v: u8,
    event: &'static str,
    #[serde(flatten)]
    body: &'a E,
}

impl Printer {
    /// One that prints JSON, or not.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints one line, at once.
    pub fn print<E: Event>(&self, event: &E) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", self.line(event)?)?;
        out.flush()
    }

    /// Tells a person what goes on, where it does not get in a program's way.
    pub fn progress(&self, text: fmt::Arguments<'_>) {
        if !self.json {
            super::say(text);
        }
    }

    pub(super) fn line<E: Event>(&self, event: &E) -> io::Result<String> {
        if !self.json {
            return Ok(event.to_string());
        }
        Ok(serde_json::to_string(&Line { v: 1, event: E::NAME, body: event })?)
    }
}

/// A server listens.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ready<'a> {
    /// Where.
    pub udp: &'a [SocketAddr],
}

impl Event for Ready<'_> {
    const NAME: &'static str = "ready";
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ready")?;
        self.udp.iter().try_for_each(|address| write!(f, " udp {address}"))
    }
}

/// A server has stopped: what it did.
#[derive(Clone, Copy, Debug)]
pub struct Stopped(pub Tally);

impl Event for Stopped {
    const NAME: &'static str = "stopped";
}

impl Stopped {
    fn answered(&self) -> u64 {
        let answers = Outcome::ALL.into_iter().filter(|outcome| outcome.is_answer());
        answers.map(|outcome| self.0.stun.count(outcome)).sum()
    }

    /// What was not answered, and why; only what happened.
    fn dropped(&self) -> impl Iterator<Item = (String, u64)> {
        let stun = self.0.stun;
        let sockets = self.0.sockets;
        let by_server = Outcome::ALL.into_iter().filter(|outcome| !outcome.is_answer());
        let by_server = by_server.map(move |outcome| (outcome.to_string(), stun.count(outcome)));
        let by_socket = [
            ("too-large", sockets.truncated),
            ("anonymous", sockets.anonymous),
            ("send-refused", sockets.refused + sockets.homeless + sockets.overflowed),
        ];
        let by_socket = by_socket.into_iter().map(|(why, count)| (why.to_owned(), count));
        by_server.chain(by_socket).filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver::Counters { received, batches, .. } = self.0.sockets;
        write!(f, "stopped: {received} datagrams in {batches} batches, {} answers", self.answered())?;
        let mut separator = "; dropped: ";
        for (why, count) in self.dropped() {
            write!(f, "{separator}{why} {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Serialize for Stopped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("datagrams", &self.0.sockets.received)?;
        map.serialize_entry("batches", &self.0.sockets.batches)?;
        map.serialize_entry("answers", &self.answered())?;
        map.serialize_entry("dropped", &self.dropped().collect::<std::collections::BTreeMap<_, _>>())?;
        map.end()
    }
}

/// A server has said how it sees us.
#[derive(Clone, Debug, Serialize)]
pub struct Mapped {
    /// As it was named on the command line.
    #[serde(serialize_with = "as_text")]
    pub server: Server,
    /// The address of it that was asked.
    pub address: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
    /// Our address as the server sees it.
    pub public: SocketAddr,
    /// Whether the two differ: somebody on the way translates addresses.
    pub translated: bool,
    /// How long the answer took; unknown if the request had to be repeated.
    #[serde(rename = "rtt_ms", serialize_with = "as_millis")]
    pub rtt: Option<Duration>,
}

impl Event for Mapped {
    const NAME: &'static str = "mapped";
}

impl fmt::Display for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sees us as {} · from {}", self.address, self.public, self.local)?;
        if let Some(rtt) = self.rtt {
            write!(f, " · {:.1} ms", millis(rtt))?;
        }
        f.write_str(if self.translated { " · behind a NAT" } else { " · no NAT on this path" })
    }
}

/// A server has said nothing that helps.
#[derive(Clone, Debug, Serialize)]
pub struct Unanswered {
    /// As it was named on the command line.
    #[serde(serialize_with = "as_text")]
    pub server: Server,
    /// The address of it that was asked, if it has one.
    pub address: Option<SocketAddr>,
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

impl Event for Unanswered {
    const NAME: &'static str = "failed";
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address} · {}", self.message),
            None => write!(f, "{} · {}", self.server, self.message),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn as_millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds, so that no digits are printed that nobody measured.
    duration.map(|duration| duration.as_micros() as f64 / 1_000.0).serialize(serializer)
}

pub(super) fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped() -> Mapped {
        let address = "198.51.100.1:3478".parse().expect("an address");
        Mapped {
            server: Server::from(address),
            address,
            local: "192.168.1.5:50000".parse().expect("an address"),
            public: "203.0.113.9:61234".parse().expect("an address"),
            translated: true,
            rtt: Some(Duration::from_micros(12_345)),
        }
    }

    #[test]
    fn results_read_well() {
        let text = Printer::new(false).line(&mapped()).expect("a line");
        assert_eq!(
            text,
            "198.51.100.1:3478 sees us as 203.0.113.9:61234 · from 192.168.1.5:50000 · 12.3 ms · behind a NAT"
        );
        let json = Printer::new(true).line(&mapped()).expect("a line");
        assert_eq!(
            json,
            r#"{"v":1,"event":"mapped","server":"198.51.100.1:3478","address":"198.51.100.1:3478","local":"192.168.1.5:50000","public":"203.0.113.9:61234","translated":true,"rtt_ms":12.345}"#
        );
    }

    #[test]
    fn a_quiet_server_has_little_to_say() {
        let stopped = Stopped(Tally::default());
        assert_eq!(stopped.to_string(), "stopped: 0 datagrams in 0 batches, 0 answers");
        let json = Printer::new(true).line(&stopped).expect("a line");
        assert_eq!(json, r#"{"v":1,"event":"stopped","datagrams":0,"batches":0,"answers":0,"dropped":{}}"#);
    }
}
