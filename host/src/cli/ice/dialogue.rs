//! What each line does, and which lines that brings about.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bradawl::machine::Path;
use bradawl::punch::{Described, Host, Nat, Refused, Remote};
use bradawl::time::Instant;

use super::input::{Input, MAX_LINE};
use super::line::{Command, Said};
use super::machine::{Event, Ice, MAX_SENDING};
use crate::driver::Sink;

/// So many names are resolved at a time at most. A candidate with another one is refused.
pub const MAX_LOOKUPS: usize = 16;

/// So many bytes wait to be read by others at most. A datagram that comes while there are more is lost.
pub const MAX_WAITING: usize = 16 << 20;

/// While so many bytes wait to be read by others, nothing is read from them.
const ENOUGH_WAITING: usize = 1 << 20;

/// While so many datagrams wait to be sent, no more are read.
const ENOUGH_SENDING: usize = MAX_SENDING / 2;

/// As many bytes as are written at a time, about.
const CHUNK: usize = 64 << 10;

/// What is to be done after a line.
#[derive(Debug)]
#[must_use]
pub enum Next {
    /// Nothing beside.
    Go,
    /// A name is to be resolved, and [`Dialogue::resolved`] to be told.
    Resolve(Lookup),
    /// It is over.
    End,
}

/// A candidate whose name is being resolved.
#[derive(Debug)]
pub struct Lookup {
    name: String,
    generation: u32,
    described: Described,
}

impl Lookup {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One end of a conversation: it hears lines and what the machine says, and has lines to be printed.
#[derive(Debug, Default)]
pub struct Dialogue {
    lines: VecDeque<String>,
    waiting: usize,
    /// How often it was restarted.
    generation: u32,
    has_remote: bool,
    /// All candidates of ours have been told.
    is_told: bool,
    /// The other end has said that there are no more.
    is_ended: bool,
    /// Names of this generation that are being resolved.
    unresolved: usize,
    /// Those of all generations.
    lookups: usize,
    state: Option<&'static str>,
    /// Datagrams that came while nobody read.
    lost: u64,
}

impl Dialogue {
    /// Says who we are.
    pub fn begin(ice: &Ice) -> Self {
        let mut dialogue = Self::default();
        dialogue.introduce(ice);
        dialogue
    }

    /// Does what a line says.
    pub fn hear(&mut self, ice: &mut Ice, now: Instant, input: &Input) -> Next {
        let line = match input {
            Input::Line(line) => line,
            Input::TooLong => {
                return self.complain(format_args!("a line is no longer than {MAX_LINE} bytes"));
            }
        };
        match Command::parse(line) {
            Ok(command) => self.obey(ice, now, command),
            Err(error) => self.complain(format_args!("{error}")),
        }
    }

    /// A name has been resolved, or not.
    pub fn resolved(&mut self, ice: &mut Ice, now: Instant, lookup: &Lookup, result: Result<IpAddr, String>) {
        self.lookups -= 1;
        if lookup.generation != self.generation {
            return;
        }
        self.unresolved -= 1;
        match result {
            Ok(ip) => self.add(ice, now, &lookup.described, ip),
            Err(error) => {
                let _ = self.complain(format_args!("{} leads nowhere: {error}", lookup.name));
            }
        }
        self.conclude(ice, now);
    }

    /// The end: nothing more is heard.
    pub fn end(&mut self, ice: &mut Ice, now: Instant) {
        ice.close(now);
        self.change("closed");
    }

    /// Whether more lines may be heard now.
    pub fn has_room(&self, ice: &Ice) -> bool {
        ice.is_open() && self.waiting < ENOUGH_WAITING && ice.sending() < ENOUGH_SENDING
    }

    /// Some of the lines that are to be printed, if there are any.
    pub fn take(&mut self) -> Option<String> {
        let mut chunk = self.lines.pop_front()?;
        while chunk.len() < CHUNK
            && let Some(line) = self.lines.pop_front()
        {
            chunk += &line;
        }
        self.waiting -= chunk.len();
        Some(chunk)
    }

    /// How many datagrams were lost because nobody read what was printed.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn obey(&mut self, ice: &mut Ice, now: Instant, command: Command) -> Next {
        match command {
            Command::Remote(..) if self.has_remote => {
                return self.complain(format_args!("the other end is known already; restart first"));
            }
            Command::Candidate(_) | Command::EndOfCandidates if !self.has_remote => {
                return self.complain(format_args!("candidates come after `remote`"));
            }
            Command::Candidate(_) | Command::EndOfCandidates if self.is_ended => {
                return self.complain(format_args!("there were to be no more candidates"));
            }
            Command::Remote(credentials, party) => {
                self.has_remote = true;
                self.change("checking");
                ice.agent_mut().begin(now, Remote { credentials: *credentials, party, nat: Nat::default() });
            }
            Command::Candidate(described) => return self.candidate(ice, now, described),
            Command::EndOfCandidates => {
                self.is_ended = true;
                self.conclude(ice, now);
            }
            Command::Send(data) => {
                if let Err(error) = ice.send(data) {
                    return self.complain(format_args!("{error}"));
                }
            }
            Command::Restart => self.restart(ice, now),
            Command::Close => return Next::End,
        }
        Next::Go
    }

    fn candidate(&mut self, ice: &mut Ice, now: Instant, described: Described) -> Next {
        let name = match &described.host {
            Host::Ip(ip) => {
                self.add(ice, now, &described, *ip);
                return Next::Go;
            }
            Host::Name(name) => name.clone(),
        };
        if self.lookups == MAX_LOOKUPS {
            return self.complain(format_args!("{name} is one name too many at a time"));
        }
        self.lookups += 1;
        self.unresolved += 1;
        Next::Resolve(Lookup { name, generation: self.generation, described })
    }

    fn add(&mut self, ice: &mut Ice, now: Instant, described: &Described, ip: IpAddr) {
        let candidate = described.resolved(ip);
        match ice.agent_mut().add_remote(now, &candidate) {
            Ok(()) | Err(Refused::Known) => {}
            Err(why) => {
                let _ = self.complain(format_args!("{} is of no use: {why}", candidate.address));
            }
        }
    }

    /// There are no more candidates once all their names are resolved.
    fn conclude(&mut self, ice: &mut Ice, now: Instant) {
        if self.is_ended && self.unresolved == 0 {
            ice.agent_mut().end_of_candidates(now);
        }
    }

    /// A new generation: our sockets are the same, and so is how they are seen.
    fn restart(&mut self, ice: &mut Ice, now: Instant) {
        self.generation += 1;
        (self.has_remote, self.is_told, self.is_ended, self.unresolved) = (false, false, false, 0);
        ice.restart(now);
        self.introduce(ice);
    }

    /// Our credentials, and the candidates that are known already.
    fn introduce(&mut self, ice: &Ice) {
        self.say(&Said::local(ice.agent().credentials(), ice.agent().role()));
        let (found, is_all) = ice.gathered();
        for candidate in found {
            self.say(&Said::Candidate { candidate: candidate.to_string() });
        }
        if is_all {
            self.tell_end();
        }
    }

    fn tell_end(&mut self) {
        self.is_told = true;
        self.say(&Said::EndOfCandidates);
    }

    fn change(&mut self, state: &'static str) {
        if self.state != Some(state) {
            self.state = Some(state);
            self.say(&Said::State { state });
        }
    }

    fn complain(&mut self, message: std::fmt::Arguments<'_>) -> Next {
        self.say(&Said::Error { message: message.to_string() });
        Next::Go
    }

    fn say(&mut self, said: &Said) {
        let line = said.line();
        self.waiting += line.len();
        self.lines.push_back(line);
    }
}

impl Sink<Event> for Dialogue {
    fn event(&mut self, event: Event) {
        match event {
            // RFC 8838 §13: after the end there is no other one in this generation.
            Event::Found(candidate) if !self.is_told => {
                self.say(&Said::Candidate { candidate: candidate.to_string() });
            }
            Event::Found(_) => {}
            Event::Gathered => self.tell_end(),
            Event::Selected(Path { local, remote, .. }, role) => {
                let controlling = role == bradawl::punch::Role::Controlling;
                self.change("connected");
                self.say(&Said::Selected { local, remote, controlling });
            }
            Event::Lost => self.change("disconnected"),
            Event::Failed => self.change("failed"),
            // Whoever forges it fills nobody's memory.
            Event::TooBig(_) if self.waiting >= ENOUGH_WAITING => {}
            Event::TooBig(mtu) => {
                let mtu = mtu.map_or(String::new(), |mtu| format!(", which takes packets of {mtu} bytes"));
                let _ = self.complain(format_args!("a datagram was too big for the path{mtu}"));
            }
        }
    }

    fn deliver(&mut self, _: Path, _: SocketAddr, body: &[u8]) {
        if self.waiting > MAX_WAITING {
            self.lost += 1;
            return;
        }
        self.say(&Said::recv(body));
    }
}
