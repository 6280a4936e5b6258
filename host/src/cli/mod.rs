//! The command lines, the same for every adapter's binaries: verbs, results, errors, exit codes.
//!
//! Results go to stdout, everything else to stderr. With `--json` a result is one object per line
//! with `"v":1` in it. An error is one line that says what is wrong and what to do about it.

pub mod check;
pub mod ice;
pub mod id;
pub mod mediator;
pub mod nat;
pub mod output;
pub mod peer;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;

/// What a process ends with.
///
/// ```
/// use bradawl_host::cli::Exit;
/// assert_eq!(Exit::Unreachable as u8, 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It could not be done.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The mediator is unreachable or refused us.
    Unreachable = 3,
    /// The peer is offline or refused.
    PeerRefused = 4,
    /// There is no path to the peer.
    NoPath = 5,
    /// The path is relayed though a direct one was required.
    Relayed = 6,
    /// What arrived is not what was sent.
    Integrity = 7,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error as a person should see it.
///
/// ```
/// use bradawl_host::cli::{Exit, Problem};
///
/// let problem = Problem::new(Exit::Failed, "port 1 is in use").hint("choose another with --listen");
/// assert_eq!(problem.to_string(), "port 1 is in use; choose another with --listen");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the process ends with.
    pub exit: Exit,
    what: String,
    hint: Option<String>,
}

impl Problem {
    /// A problem: what is wrong.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: None }
    }

    /// And what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// A result that could not be printed.
    pub fn unprintable(error: &io::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot print to stdout: {error}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Reads the command line. Help and version are printed and end the process well; anything else
/// that cannot be read is one line on stderr and [`Exit::Usage`].
pub fn parse<P: clap::Parser>() -> Result<P, ExitCode> {
    let command = without_empty_variables(P::command());
    command.try_get_matches().and_then(|matches| P::from_arg_matches(&matches)).map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // Nobody is there to read it: nothing to do about that.
            let _ = error.print();
            return Exit::Done.into();
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = error.print();
            return Exit::Usage.into();
        }
        say(format_args!("{}", one_line(&error.render().to_string())));
        Exit::Usage.into()
    })
}

/// One line on stderr. Nobody is there to read it: nothing to do about that.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// An environment variable that is set to nothing counts as not set, as people expect of them.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// Ends the process: the problem on stderr, if there was one.
pub fn finish(result: Result<Exit, Problem>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(problem) => {
            say(format_args!("error: {problem}"));
            problem.exit.into()
        }
    }
}

/// The part of clap's message in front of its tips and usage, and where to find these.
fn one_line(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<_> = first.split_whitespace().collect();
    format!("{}; see --help", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        mediator::Cli::command().debug_assert();
        peer::Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen_and_shows_an_example() {
        for mut command in [mediator::Cli::command(), peer::Cli::command()] {
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
    }

    #[test]
    fn usage_errors_are_one_line() {
        let error = <mediator::Cli as clap::Parser>::try_parse_from(["x", "serve", "--listen", "nonsense"])
            .expect_err("not an address");
        let line = one_line(&error.render().to_string());
        assert!(!line.contains('\n') && line.contains("nonsense") && line.contains("0.0.0.0:3478"), "{line}");
    }
}
