//! Results on stdout, for people or for programs.

use core::fmt;
use std::io::{self, Write as _};

use serde::Serialize;

use super::Problem;

/// Prints results.
#[derive(Debug)]
pub(super) struct Printer {
    json: bool,
    /// Whoever read the results has gone, as `head` does. The verdict is still wanted.
    is_deaf: bool,
}

/// A result: JSON for programs, `Display` for people. Its name and fields stay as they are.
pub(super) trait Event: Serialize + fmt::Display {
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
    pub(super) fn new(json: bool) -> Self {
        Self { json, is_deaf: false }
    }

    /// A result.
    pub(super) fn print<E: Event>(&mut self, event: &E) -> Result<(), Problem> {
        if !self.json {
            return self.write(&format!("{event}\n"));
        }
        let line = serde_json::to_string(&Line { v: 1, event: E::NAME, body: event });
        let line = line.map_err(|error| Problem::failed(format!("cannot print as JSON: {error}")))?;
        self.write(&(line + "\n"))
    }

    /// What only people want to see.
    pub(super) fn show(&mut self, text: &str) -> Result<(), Problem> {
        if self.json { Ok(()) } else { self.write(text) }
    }

    /// Text as it is.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Problem> {
        if self.is_deaf {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_deaf = true;
                Ok(())
            }
            other => other.map_err(|error| Problem::failed(format!("cannot print to stdout: {error}"))),
        }
    }
}
