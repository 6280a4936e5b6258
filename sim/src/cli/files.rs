//! Files that are named on the command line. A bad name is found before anything is run.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Problem;

/// What a file holds, or as much of it as `limit` bytes and one more: a device has no end.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Problem> {
    let wrong = |error: std::io::Error| Problem::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(wrong)?;
    if file.metadata().map_err(wrong)?.is_dir() {
        return Err(Problem::usage(format!("cannot read {}: it is a directory", path.display())));
    }
    let mut content = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut content).map_err(wrong)?;
    Ok(content)
}

/// A file that is going to be written.
#[derive(Debug)]
pub(super) struct Target(PathBuf);

impl Target {
    /// Makes sure that it can be written. What is in it stays there until then.
    pub(super) fn at(path: &Path) -> Result<Self, Problem> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| Problem::usage(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self(path.to_owned()))
    }

    /// The same where there is a name.
    pub(super) fn maybe(path: Option<&PathBuf>) -> Result<Option<Self>, Problem> {
        path.map(|path| Self::at(path)).transpose()
    }

    /// Writes it.
    pub(super) fn write(&self, text: &str) -> Result<(), Problem> {
        let Self(path) = self;
        std::fs::write(path, text)
            .map_err(|error| Problem::failed(format!("cannot write {}: {error}", path.display())))
    }
}
