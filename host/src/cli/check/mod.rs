//! The verb `check` without a runtime: whom to ask, from where, and what to make of the answers.
//!
//! An adapter resolves names and waits; everything else that `check` does is here. Each server is asked
//! once from a socket of its own (`asker.rs`), over each family somebody looks at the NAT (`look.rs`), and
//! the router is asked to open a port (`opening.rs`); all are one machine (`survey.rs`).

pub mod asker;
mod look;
pub mod opening;
pub mod survey;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use bradawl::discovery::{self, Discovery};
use bradawl::machine::{Path, Unreachable};
use bradawl::stun::client::{self, Answer, Failure, Request, RequestError, RequestId};
use bradawl::stun::transaction::{RoundTrips, Schedule};

use self::look::Look;
use self::opening::Opening;
use self::survey::{Event, Survey};
use super::output::{Mapped, Printer, Unanswered};
use super::peer::Server;
use super::{Exit, Problem};
use crate::driver::{Driver, Limits, Sink};
use crate::seed;
use crate::udp::{self, BindOptions};

/// Questions to servers, on their way, and a look at what stands in between.
pub struct Inquiry {
    printer: Printer,
    look: Look,
    asked: Vec<Asked>,
    answered: usize,
    failures: Failures,
    /// The first result that could not be printed.
    broken: Option<io::Error>,
}

/// One question.
struct Asked {
    server: Server,
    path: Path,
    id: RequestId,
    done: bool,
}

/// Why servers did not answer, as far as it helps to say what to do about it.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    /// Some said nothing at all, or cannot be reached.
    silent: bool,
    /// The last one whose host said that nobody listens on this port.
    closed: Option<u16>,
    /// Some name led nowhere.
    unresolved: bool,
}

impl Failures {
    fn hint(self) -> Option<String> {
        if self.silent {
            return Some("check its address, and that a firewall lets UDP through".to_owned());
        }
        if let Some(port) = self.closed {
            return Some(format!(
                "the host is there but nothing listens on UDP {port}: is the mediator running?"
            ));
        }
        self.unresolved.then(|| "check its name".to_owned())
    }
}

impl Inquiry {
    /// How long after its timeout an inquiry is ended from outside. Its requests know the timeout
    /// and end themselves, with a better reason; this is for what keeps them from it.
    pub const GRACE: Duration = Duration::from_millis(50);

    /// How long a router may take to close what it has opened, if that is not over before the rest is.
    pub const LEAVING: Duration = Duration::from_secs(1);

    /// How long names may take to resolve before one looks at the NAT without them.
    pub const NAMES: Duration = Duration::from_secs(1);

    /// Nobody has been asked yet. Who is patient waits until it is known how long mappings live.
    pub fn new(printer: Printer, patient: bool) -> Self {
        Self {
            printer,
            look: Look::new(patient),
            asked: Vec::new(),
            answered: 0,
            failures: Failures::default(),
            broken: None,
        }
    }

    /// The machine, without sockets.
    pub fn driver() -> Result<Driver<Survey<Discovery>>, Problem> {
        let rng = seed::rng().map_err(|error| Problem::new(Exit::Failed, error.to_string()))?;
        Ok(Driver::new(Survey::new(rng), Limits::default()))
    }

    /// Asks `server` at `address`, from `bind` or whatever address the system would use. A server
    /// that cannot be asked is a result like any other; an address that is not ours is an error.
    pub fn ask(
        &mut self,
        driver: &mut Driver<Survey<Discovery>>,
        server: &Server,
        address: SocketAddr,
        bind: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<(), Problem> {
        let ours = match bind {
            Some(ip) if ip.is_ipv4() != address.is_ipv4() => {
                self.unanswered(server, Some(address), "family", format!("cannot be asked from {ip}"));
                return Ok(());
            }
            Some(ip) => on_the_way_to(address, ip),
            None => match udp::source_for(address) {
                Ok(ours) => ours,
                Err(error) => {
                    self.failures.silent = true;
                    self.look.no_way_to(address);
                    self.unanswered(server, Some(address), "no-route", format!("no way there: {error}"));
                    return Ok(());
                }
            },
        };
        let (_, local) = driver.bind(ours, &BindOptions::default()).map_err(|error| {
            Problem::new(Exit::Failed, format!("cannot send from {}: {error}", ours.ip()))
                .hint("--bind takes an address of this host")
        })?;
        let path = Path::udp(local, address);
        let request = Request { schedule: schedule(timeout), ..Request::default() };
        let now = driver.now();
        match driver.machine_mut().asker_mut().ask(now, path, request) {
            Ok(id) => {
                self.asked.push(Asked { server: server.clone(), path, id, done: false });
                self.look.add(ours, address);
            }
            Err(error @ (RequestError::TooMany | RequestError::BadPath)) => {
                self.unanswered(server, Some(address), "not-asked", error.to_string());
            }
        }
        Ok(())
    }

    /// A server whose name leads nowhere.
    pub fn unresolved(&mut self, server: &Server, why: &str) {
        self.failures.unresolved = true;
        self.unanswered(server, None, "unresolved", format!("cannot be resolved: {why}"));
    }

    /// Looks at the NAT through all servers that have been asked so far. Those that are named later
    /// say how they see us, and no more.
    pub fn look(&mut self, driver: &mut Driver<Survey<Discovery>>) -> Result<(), Problem> {
        self.look.begin(driver)
    }

    /// Whether [`Inquiry::look`] has been called.
    pub fn is_looking(&self) -> bool {
        self.look.has_begun()
    }

    /// Whether nothing more will come.
    pub fn is_over(&self) -> bool {
        if self.broken.is_some() {
            return true;
        }
        // If every server's host has said no, none of them will say more of what lies between.
        let is_hopeless = self.answered == 0 && !self.failures.silent;
        self.asked.iter().all(|asked| asked.done) && (is_hopeless || self.look.is_over())
    }

    /// Nothing is waited for any more: what a router may have opened is to be closed.
    pub fn leave(&self, driver: &mut Driver<Survey<Discovery>>) {
        let now = driver.now();
        if let Some(opening) = driver.machine_mut().opening_mut() {
            opening.close(now);
        }
    }

    /// Whether nothing of ours is left in any router.
    pub fn has_left(&self, driver: &Driver<Survey<Discovery>>) -> bool {
        driver.machine().opening().is_none_or(Opening::is_closed)
    }

    /// Tells who waits for minutes how far it is.
    pub fn progress(&mut self, driver: &Driver<Survey<Discovery>>) {
        self.look.progress(driver.machine(), self.printer);
    }

    /// What came of it; questions that are still open count as unanswered.
    pub fn finish(mut self, driver: &Driver<Survey<Discovery>>) -> Result<Exit, Problem> {
        for index in 0..self.asked.len() {
            if !std::mem::replace(&mut self.asked[index].done, true) {
                self.failed(index, "timeout", "no answer".to_owned(), None);
            }
        }
        // A host that says that nobody listens there has got our packet, and nothing is blocked.
        let is_telling = self.answered > 0 || self.failures.closed.is_none();
        for nat in self.look.results(driver.machine()).filter(|_| is_telling) {
            if let Err(error) = self.printer.print(&nat) {
                self.broken.get_or_insert(error);
            }
        }
        if let Some(error) = self.broken {
            return Err(Problem::unprintable(&error));
        }
        if self.answered == 0 {
            let problem = Problem::new(Exit::Unreachable, "no mediator answered");
            return Err(match self.failures.hint() {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
        Ok(Exit::Done)
    }

    fn answered(&mut self, index: usize, answer: &Answer) {
        let asked = &self.asked[index];
        self.answered += 1;
        self.print(&Mapped {
            server: asked.server.clone(),
            address: asked.path.remote,
            local: asked.path.local,
            public: answer.mapped,
            translated: answer.mapped != without_scope(asked.path.local),
            rtt: answer.round_trip,
        });
    }

    fn failed(&mut self, index: usize, reason: &'static str, message: String, why: Option<Unreachable>) {
        let (server, address) = (self.asked[index].server.clone(), self.asked[index].path.remote);
        match (reason, why) {
            (_, Some(Unreachable::Port)) => self.failures.closed = Some(address.port()),
            ("timeout" | "unreachable", _) => self.failures.silent = true,
            // It did answer, and what it said is the reason.
            _ => {}
        }
        self.unanswered(&server, Some(address), reason, message);
    }

    fn unanswered(
        &mut self,
        server: &Server,
        address: Option<SocketAddr>,
        reason: &'static str,
        message: String,
    ) {
        self.print(&Unanswered { server: server.clone(), address, reason, message });
    }

    fn print(&mut self, event: &impl super::output::Event) {
        if let Err(error) = self.printer.print(event) {
            self.broken.get_or_insert(error);
        }
    }
}

impl Sink<Event<discovery::Event>> for Inquiry {
    fn event(&mut self, event: Event<discovery::Event>) {
        let event = match event {
            Event::Asked(event) => event,
            Event::Looked(family, event) => return self.look.event(family, event),
            Event::Opening(opening::Event::Answered(answer)) => return self.look.answered(answer),
            Event::Opening(opening::Event::Outside(_) | opening::Event::Closed) => return,
        };
        let id = match event {
            client::Event::Answered(answer) => answer.id,
            client::Event::Failed { id, .. } => id,
        };
        let Some(index) = self.asked.iter().position(|asked| asked.id == id) else { return };
        self.asked[index].done = true;
        match event {
            client::Event::Answered(answer) => self.answered(index, &answer),
            client::Event::Failed { reason, .. } => {
                let why = if let Failure::TimedOut(why) = reason { why } else { None };
                self.failed(index, name(reason), reason.to_string(), why);
            }
        }
    }
}

/// Our address `ip` to ask `remote` from: a link-local one is on the same link.
fn on_the_way_to(remote: SocketAddr, ip: IpAddr) -> SocketAddr {
    match (ip, remote) {
        (IpAddr::V6(ip), SocketAddr::V6(remote)) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, 0, 0, remote.scope_id()).into()
        }
        _ => (ip, 0).into(),
    }
}

/// The interface of a link-local address is known to nobody but us.
fn without_scope(address: SocketAddr) -> SocketAddr {
    (address.ip(), address.port()).into()
}

/// As many repetitions as fit into `timeout` with a little patience after the last.
fn schedule(timeout: Duration) -> Schedule {
    let whole = Schedule::default();
    // Some of the time is gone already when the first question is asked.
    let rtos = ((timeout + Inquiry::GRACE / 2).as_millis() / RoundTrips::INITIAL_RTO.as_millis()).max(1);
    let before = |attempts: u8| (1u128 << (attempts - 1)) - 1;
    let attempts = (1..=whole.attempts).rev().find(|&attempts| before(attempts) < rtos).unwrap_or(1);
    let patience = u8::try_from(rtos - before(attempts)).unwrap_or(whole.patience).min(whole.patience);
    Schedule { attempts, patience }
}

/// A failure's name for programs.
fn name(reason: Failure) -> &'static str {
    match reason {
        Failure::TimedOut(None) => "timeout",
        Failure::TimedOut(Some(_)) => "unreachable",
        Failure::Unproven(_) => "unproven",
        Failure::Refused { .. } => "refused",
        Failure::Unauthenticated => "unauthenticated",
        Failure::AlwaysStale => "stale-nonce",
        Failure::TryAlternate(_) => "try-alternate",
        Failure::BadAnswer => "bad-answer",
        // What comes later in the core has a name here, too, as soon as somebody gives it one.
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_within_its_timeout() {
        let rto = RoundTrips::INITIAL_RTO;
        for (millis, attempts) in [(500, 1), (1_000, 2), (5_000, 4), (8_000, 5), (39_500, 7), (3_600_000, 7)]
        {
            let timeout = Duration::from_millis(millis);
            let schedule = schedule(timeout);
            assert_eq!(schedule.attempts, attempts, "{timeout:?}");
            assert!(schedule.patience >= 1 && schedule.time_to_give_up(rto) <= timeout, "{timeout:?}");
        }
        assert_eq!(schedule(Duration::from_millis(39_500)), Schedule::default());
        assert_eq!(schedule(Duration::from_millis(1)).attempts, 1, "the grace ends it");
    }
}
