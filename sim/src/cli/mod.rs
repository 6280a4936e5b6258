//! The command line: `bradawl-sim run`, `matrix`, `swarm`, `replay`, `discover`, `accept`, `nats` and `demo`.
//!
//! Results go to stdout, everything else to stderr. With `--json` a result is one object per line with
//! `"v":1` in it. A process ends with 0 if all is as it must be, 1 if something is not or could not be
//! written, and 2 if the command line or a file named on it makes no sense.

mod accept;
mod discover;
mod files;
mod links;
mod matrix;
mod nats;
mod output;
mod progress;
mod run;
mod swarm;

use core::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::catalogue;
use crate::scenario::instead;
use output::Printer;

/// What a process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    /// All is as it must be.
    Done = 0,
    /// Something is not.
    Failed = 1,
    /// The command line, or a file that is named on it, makes no sense.
    Usage = 2,
}

impl Exit {
    /// Failed, or not.
    const fn failed_if(is_failed: bool) -> Self {
        if is_failed { Self::Failed } else { Self::Done }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why there is no result: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    exit: Exit,
    what: String,
}

impl Problem {
    fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into() }
    }

    fn failed(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into() }
    }
}

impl From<crate::scenario::Problem> for Problem {
    fn from(problem: crate::scenario::Problem) -> Self {
        Self::usage(problem.to_string())
    }
}

/// Networks in virtual time: every kind of NAT, from one seed.
#[derive(Debug, Parser)]
#[command(
    name = "bradawl-sim",
    version,
    after_help = "Examples:\n  bradawl-sim demo --nat home,symmetric-random\n  bradawl-sim swarm --minutes 5\n\
                  Exit codes: 0 all is as it must be, 1 it is not, 2 usage"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a scenario file
    Run(run::Run),
    /// Run every pair of NATs with many seeds
    Matrix(matrix::Arguments),
    /// Run random scenarios until one breaks an invariant, and make that one smaller
    Swarm(swarm::Arguments),
    /// Run what a swarm has found: is it still there?
    Replay(run::Replay),
    /// Find out what every kind of NAT does, and compare that with what it does
    Discover(discover::Arguments),
    /// Run the acceptance table of the design: what has to come out, and what does
    Accept(accept::Arguments),
    /// List the NATs and populations that there are
    Nats(nats::Arguments),
    /// Run two homes behind two NATs, and show every packet
    Demo(run::Demo),
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let ended = match &cli.verb {
        Verb::Run(arguments) => arguments.run(),
        Verb::Matrix(arguments) => arguments.run(),
        Verb::Swarm(arguments) => arguments.run(),
        Verb::Replay(arguments) => arguments.run(),
        Verb::Discover(arguments) => arguments.run(),
        Verb::Accept(arguments) => arguments.run(),
        Verb::Nats(arguments) => arguments.run(),
        Verb::Demo(arguments) => arguments.run(),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(problem) => {
            say(format_args!("error: {}", problem.what));
            problem.exit.into()
        }
    }
}

/// Reads the command line. What cannot be read is one line on stderr.
fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if is_asked_for || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // Nobody is there to read it: nothing to do about that.
            let _ = error.print();
            return if is_asked_for { Exit::Done } else { Exit::Usage };
        }
        say(format_args!("{}", one_line(&error.render().to_string())));
        Exit::Usage
    })
}

/// One line on stderr. Nobody is there to read it: nothing to do about that.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The part of clap's message in front of its tips and usage, and where to find these.
fn one_line(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<_> = first.split_whitespace().collect();
    format!("{}; see --help", words.join(" "))
}

/// The name of a NAT, on the command line.
fn nat(name: &str) -> Result<String, String> {
    match catalogue::entry(name) {
        Some(entry) => Ok(entry.name.to_owned()),
        None => Err(instead(name, catalogue::entries().iter().map(|entry| entry.name))),
    }
}

/// The most threads that anybody can ask for.
const MAX_JOBS: u64 = 256;

fn jobs(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|jobs| (1..=MAX_JOBS).contains(jobs));
    number.map(|jobs| jobs as usize).ok_or_else(|| format!("expected a number from 1 to {MAX_JOBS}"))
}

/// So many threads as were asked for, or as there are processors.
fn jobs_or_all(jobs: Option<usize>) -> usize {
    jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
}

/// A word of a command that is to be copied into a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=%+:@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, one_line, quoted};

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen_and_shows_an_example() {
        let mut command = Cli::command();
        command.build();
        let mut all = vec![command.clone()];
        all.extend(command.get_subcommands().filter(|verb| verb.get_name() != "help").cloned());
        for command in &mut all {
            let help = command.render_help().to_string();
            let name = command.get_name();
            assert!(help.lines().count() <= 40, "{name}:\n{help}");
            assert!(help.contains("Example"), "{name}:\n{help}");
        }
    }

    #[test]
    fn usage_errors_are_one_line() {
        let error = <Cli as clap::Parser>::try_parse_from(["x", "demo", "--nat", "hom,home"]);
        let line = one_line(&error.expect_err("no such NAT").render().to_string());
        assert!(!line.contains('\n') && line.contains("did you mean `home`?"), "{line}");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("swarm-17.toml"), "swarm-17.toml");
        assert_eq!(quoted("delay=20 ms"), "'delay=20 ms'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
