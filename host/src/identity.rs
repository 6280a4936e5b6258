//! The key file: where the secret key of this peer is kept between runs.
//!
//! A text file with a comment and one line, `bradawl-key-1 SEED ID`, both in base32. The id is what grows from
//! the seed; if it does not, the file is damaged, and nobody silently becomes somebody else. A file that others
//! can read is refused, as is anything that is not a file of ours: a key that was seen is no identity.
//!
//! A new one is written under another name, flushed, and then linked to its own name, which fails if there
//! is one meanwhile. So the file is never seen half written, none is ever replaced, and two processes that make
//! one at once end with the same.
//!
//! Where there is no Unix, nobody's modes and owners are looked at: the default place is in the user's own
//! folder, which the system keeps from others.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bradawl::identity::{PeerId, SecretKey, base32};
use bradawl::rng::Rng;
use zeroize::Zeroizing;

use crate::seed::{self, SeedError};

/// The most bytes of a key file that are read.
pub const MAX_FILE: usize = 4_096;

/// The variable that names the key file.
pub const VARIABLE: &str = "BRADAWL_KEY";

/// What the line of the key begins with, up to its version.
const NAME: &str = "bradawl-key-";
const VERSION: u32 = 1;

const COMMENT: &str =
    "# The secret key of a bradawl peer. Whoever has it can pass for this peer: show it to nobody.";

/// A key that was read from a file, or made.
#[derive(Debug)]
pub struct Kept {
    /// The key.
    pub key: SecretKey,
    /// Whether there was none before.
    pub is_new: bool,
}

/// Where the key is if nobody says otherwise: `$BRADAWL_KEY`, else `$XDG_STATE_HOME/bradawl/key`, else
/// `~/.local/state/bradawl/key` (XDG base directory specification).
///
/// ```
/// let place = bradawl_host::identity::default_place()?;
/// assert!(place.file_name().is_some());
/// # Ok::<(), bradawl_host::identity::KeyFileError>(())
/// ```
pub fn default_place() -> Result<PathBuf, KeyFileError> {
    place(|name| std::env::var_os(name), std::env::home_dir())
}

fn place(
    variable: impl Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
) -> Result<PathBuf, KeyFileError> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = path(VARIABLE) {
        return Ok(file);
    }
    // A relative path is to be ignored, says the specification.
    let state = path("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute()).map(|home| home.join(".local/state"));
    state.or(home).map(|state| state.join("bradawl/key")).ok_or(KeyFileError::NoPlace)
}

/// The key in this file.
pub fn load(path: &Path) -> Result<SecretKey, KeyFileError> {
    let problem = |problem| KeyFileError::Unusable { path: path.to_owned(), problem };
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing(path.to_owned()));
        }
        Err(error) => return Err(KeyFileError::io("open", path, error)),
    };
    let metadata = file.metadata().map_err(|error| KeyFileError::io("look at", path, error))?;
    if !metadata.is_file() {
        return Err(problem(Problem::NotAFile));
    }
    is_private(&metadata, path).map_err(problem)?;
    // It never grows, which would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
    match file.take(MAX_FILE as u64 + 1).read_to_string(&mut text) {
        Ok(length) if length > MAX_FILE => Err(problem(Problem::Garbage)),
        Ok(_) => read(&text).map_err(problem),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(problem(Problem::Garbage)),
        Err(error) => Err(KeyFileError::io("read", path, error)),
    }
}

/// The key in this file, which is made, with its folder, if there is none.
pub fn load_or_make(path: &Path) -> Result<Kept, KeyFileError> {
    match load(path) {
        Ok(key) => Ok(Kept { key, is_new: false }),
        Err(KeyFileError::Missing(_)) => {
            let is_new = make(path, &mut seed::rng()?)?;
            // What counts is what is there now, whoever made it.
            Ok(Kept { key: load(path)?, is_new })
        }
        Err(error) => Err(error),
    }
}

/// Makes a key file, unless there is one by then.
fn make(path: &Path, rng: &mut Rng) -> Result<bool, KeyFileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .ok_or_else(|| KeyFileError::Unusable { path: path.to_owned(), problem: Problem::NotAFile })?;
    private_folders().create(folder).map_err(|error| KeyFileError::io("make", folder, error))?;
    let mut draft_name = OsString::from(".");
    draft_name.push(name);
    draft_name.push(format!(".{}", base32::encode(&rng.bytes::<10>())));
    let draft = Draft(folder.join(draft_name));
    let written = draft.write(&text(&SecretKey::generate(rng)));
    written.map_err(|error| KeyFileError::io("write", &draft.0, error))?;
    match fs::hard_link(&draft.0, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(KeyFileError::io("make", path, error)),
    }
    flush_folder(folder).map_err(|error| KeyFileError::io("flush", folder, error))?;
    Ok(true)
}

/// A file under a name of its own, which goes when it has its right one, or when it was in vain.
struct Draft(PathBuf);

impl Draft {
    fn write(&self, text: &str) -> io::Result<()> {
        let mut file = private_file().open(&self.0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // If it cannot be removed it is as private as the key itself.
        let _ = fs::remove_file(&self.0);
    }
}

fn text(key: &SecretKey) -> Zeroizing<String> {
    let seed = Zeroizing::new(base32::encode(key.expose_seed()));
    let (line, id) = (format!("{COMMENT}\n{NAME}{VERSION} "), key.id().to_string());
    // In one piece, for a text that grows leaves copies behind.
    Zeroizing::new([&line, seed.as_str(), " ", &id, "\n"].concat())
}

/// Reads the text of a key file: one line, beside comments and empty ones.
fn read(text: &str) -> Result<SecretKey, Problem> {
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = text.lines().map(str::trim).filter(is_said);
    let line = lines.next().ok_or(Problem::Truncated)?;
    if lines.next().is_some() {
        return Err(Problem::Garbage);
    }
    let mut words = line.split_ascii_whitespace();
    let begin = words.next().unwrap_or_default();
    let Some(version) = begin.strip_prefix(NAME) else {
        return Err(if NAME.starts_with(begin) { Problem::Truncated } else { Problem::Garbage });
    };
    match version.parse() {
        Ok(VERSION) => {}
        Ok(version) => return Err(Problem::Version(version)),
        Err(_) if version.is_empty() => return Err(Problem::Truncated),
        Err(_) => return Err(Problem::Garbage),
    }
    let (Some(seed), Some(id)) = (words.next(), words.next()) else { return Err(Problem::Truncated) };
    if id.len() < PeerId::TEXT_LEN {
        return Err(Problem::Truncated);
    }
    let seed = Zeroizing::new(base32::decode(seed).map_err(|_| Problem::Damaged)?);
    let key = SecretKey::from_seed(&seed);
    let is_whole = words.next().is_none() && id.parse() == Ok(key.id());
    if is_whole { Ok(key) } else { Err(Problem::Damaged) }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe would wait for somebody to write into it.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(unix)]
fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

#[cfg(unix)]
fn private_folders() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700);
    folders
}

/// The name is in the folder for good only when that is flushed, too.
#[cfg(unix)]
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata, path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::MetadataExt as _;
    let (ours, theirs) = (rustix::process::geteuid().as_raw(), metadata.uid());
    if theirs != ours {
        return Err(Problem::Owner { theirs, ours });
    }
    let mode = metadata.mode() & 0o7777;
    let is_private = mode & 0o077 == 0;
    if is_private { Ok(()) } else { Err(Problem::Open { mode, command: chmod(path) }) }
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(not(unix))]
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options
}

#[cfg(not(unix))]
fn private_folders() -> DirBuilder {
    let mut folders = DirBuilder::new();
    folders.recursive(true);
    folders
}

#[cfg(not(unix))]
fn flush_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata, _: &Path) -> Result<(), Problem> {
    Ok(())
}

/// What to run, for a shell.
#[cfg(unix)]
fn chmod(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,@%".contains(&byte);
    if text.bytes().all(is_plain) && !text.starts_with('-') {
        return format!("chmod 600 {text}");
    }
    format!("chmod 600 -- '{}'", text.replace('\'', r"'\''"))
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Nobody says where it should be.
    #[error("there is no home directory to keep the key in; name a file with --key or {VARIABLE}")]
    NoPlace,
    /// There is no such file.
    #[error("there is no key file {}", .0.display())]
    Missing(PathBuf),
    /// The file is there and cannot be used.
    #[error("key file {}: {problem}", .path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The system does not let us.
    #[error("cannot {doing} {}: {error}; name another key file with --key", .path.display())]
    Io {
        /// What.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// No key can be made.
    #[error(transparent)]
    Seed(#[from] SeedError),
}

impl KeyFileError {
    fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), error }
    }
}

/// What is wrong with a key file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is a folder, a pipe or a device.
    #[error("it is not a regular file; name one with --key")]
    NotAFile,
    /// Others can read or write it.
    #[error(
        "others can get at it (mode {mode:03o}); run `{command}`, or move it away for a new key if somebody may \
         have read it"
    )]
    Open {
        /// Its mode.
        mode: u32,
        /// What to run.
        command: String,
    },
    /// It is somebody else's.
    #[error("it belongs to user {theirs}, and we are user {ours}; name a file of your own with --key")]
    Owner {
        /// Whose.
        theirs: u32,
        /// Not ours.
        ours: u32,
    },
    /// Its end is missing.
    #[error("its end is missing; restore it from a copy, or move it away for a new key")]
    Truncated,
    /// The key in it is not the one that was written.
    #[error("the key in it is damaged; restore it from a copy, or move it away for a new one")]
    Damaged,
    /// It is something else.
    #[error("it is no key file; name another with --key")]
    Garbage,
    /// It was written by another bradawl.
    #[error("its version is {0}, and this bradawl knows version {VERSION} alone; use a newer one")]
    Version(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (SecretKey, Zeroizing<String>) {
        let key = SecretKey::from_seed(&[1; 32]);
        let text = text(&key);
        (key, text)
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let (key, text) = written();
        assert_eq!(text.lines().count(), 2);
        assert!(text.len() <= MAX_FILE && text.starts_with("# The secret key"));
        for text in
            [text.as_str(), text.trim_end(), &text.replace('\n', "\r\n"), &format!("\n{}\n# mine\n", *text)]
        {
            assert_eq!(read(text).map(|key| *key.expose_seed()), Ok(*key.expose_seed()), "{text:?}");
        }
    }

    #[test]
    fn what_is_cut_anywhere_is_told() {
        let (_, text) = written();
        let text = text.trim_end();
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]).map(|key| key.id()), Err(Problem::Truncated), "{:?}", &text[..end]);
        }
    }

    #[test]
    fn what_is_not_what_was_written_is_refused() {
        let (_, text) = written();
        let line = text.lines().nth(1).expect("a line");
        let (name, rest) = line.split_once(' ').expect("words");
        let (seed, id) = rest.split_once(' ').expect("words");
        let other = SecretKey::from_seed(&[2; 32]).id();
        let other_seed = base32::encode(&[2; 32]);
        for (text, problem) in [
            (format!("{name} {seed} {other}"), Problem::Damaged),
            (format!("{name} {other_seed} {id}"), Problem::Damaged),
            (format!("{name} {} {id}", seed.to_uppercase()), Problem::Damaged),
            (format!("{name} {seed}a {id}"), Problem::Damaged),
            (format!("{name} {seed} {id} more"), Problem::Damaged),
            (format!("bradawl-key-2 {seed} {id}"), Problem::Version(2)),
            (format!("bradawl-key-0 {rest}"), Problem::Version(0)),
            (format!("bradawl-key-x {rest}"), Problem::Garbage),
            (format!("{line}\n{line}"), Problem::Garbage),
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), Problem::Garbage),
            ("# nothing but this\n".to_owned(), Problem::Truncated),
        ] {
            assert_eq!(read(&text).map(|key| key.id()), Err(problem), "{text}");
        }
    }

    #[test]
    fn the_place_is_where_people_expect_it() {
        let with = |variables: &[(&str, &str)], home: Option<&str>| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            place(variable, home.map(PathBuf::from)).ok()
        };
        let home = Some("/home/me");
        let ours = ("BRADAWL_KEY", "my.key");
        let state = ("XDG_STATE_HOME", "/state");
        assert_eq!(with(&[ours, state], home), Some("my.key".into()));
        assert_eq!(with(&[("BRADAWL_KEY", ""), state], home), Some("/state/bradawl/key".into()));
        assert_eq!(with(&[state], None), Some("/state/bradawl/key".into()));
        for relative in ["", "state"] {
            let place = with(&[("XDG_STATE_HOME", relative)], home);
            assert_eq!(place, Some("/home/me/.local/state/bradawl/key".into()));
        }
        assert_eq!(with(&[], Some("")), None);
        assert_eq!(with(&[], None), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_command_can_be_pasted() {
        assert_eq!(chmod(Path::new("/home/me/key")), "chmod 600 /home/me/key");
        assert_eq!(chmod(Path::new("/home/m e/it's")), r"chmod 600 -- '/home/m e/it'\''s'");
        assert_eq!(chmod(Path::new("-rf")), "chmod 600 -- '-rf'");
    }
}
