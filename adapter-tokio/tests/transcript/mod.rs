//! Transcripts in the README and the book, run: what a block shows is what comes out.
//!
//! A transcript is a fenced block marked `console`: commands behind `$ `, each followed by what it
//! prints, on stdout and stderr alike. A command that ends in `&` goes on in the background until the
//! block ends. Numbers are compared as "some number", since ports and round trips are never the same, and
//! digests likewise; ports 3478 and 3479 become free ones while a block runs.
//!
//! A crate can only run binaries of its own, so each with binaries has a test that runs the blocks which
//! begin with one of them; those without any belong to the one that says so.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A binary that documents start.
pub(crate) struct Binary {
    pub(crate) name: &'static str,
    /// How they start it with cargo, up to its arguments.
    pub(crate) by_cargo: &'static str,
    /// Where cargo has put it for this test.
    pub(crate) path: &'static str,
}

/// Who runs transcripts.
pub(crate) struct Runner {
    /// Its binaries.
    pub(crate) binaries: &'static [Binary],
    /// The names of all binaries that other crates run.
    pub(crate) others: &'static [&'static str],
    /// Where commands are run; the repository is there as far as documents name files of it.
    pub(crate) folder: PathBuf,
    /// Whether hosts hear of ICMP errors.
    pub(crate) has_icmp: bool,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Runner {
    /// Runs all that are its own, and returns how many these are.
    pub(crate) fn run_all(&self) -> usize {
        let mut documents = vec![root().join("README.md")];
        documents.extend(markdown_in(&root().join("docs")));
        let mut transcripts: Vec<_> = documents.iter().flat_map(|document| transcripts(document)).collect();
        transcripts.retain(|transcript| !transcript.belongs_to(self.others));
        for transcript in &transcripts {
            if transcript.needs_ipv6() && UdpSocket::bind("[::1]:0").is_err() {
                println!("skipped, there is no IPv6 on this host: {}", transcript.place);
                continue;
            }
            if transcript.needs_icmp() && !self.has_icmp {
                println!("skipped, without Linux's error queue nobody tells of ICMP: {}", transcript.place);
                continue;
            }
            transcript.run(self);
        }
        transcripts.len()
    }

    /// The command with the binaries that cargo built for this test, however the document starts them.
    fn runnable(&self, command: &str) -> String {
        let started = self.binaries.iter().find_map(|Binary { name, by_cargo, path }| {
            let arguments = command.strip_prefix(by_cargo).or_else(|| command.strip_prefix(name))?;
            Some(format!("{path}{arguments}"))
        });
        started.unwrap_or_else(|| self.piped(command))
    }

    /// The same for one at the end of a pipe.
    fn piped(&self, command: &str) -> String {
        let renamed = |command: String, Binary { name, path, .. }: &Binary| {
            command.replace(&format!("| {name} "), &format!("| {path} "))
        };
        self.binaries.iter().fold(command.to_owned(), renamed)
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec 2>&1; {command}")).current_dir(&self.folder);
        shell.stdin(Stdio::null()).stdout(Stdio::piped());
        shell
    }

    /// Runs a command to its end and returns what it printed.
    fn finish(&self, command: &str) -> String {
        let output = self.shell(command).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts a command and reads as many lines as it is said to print.
    fn start(&self, command: &str, lines: usize) -> (Background, String) {
        let mut child = self.shell(&format!("exec {command}")).spawn().expect("a shell");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        for _ in 0..lines {
            output.read_line(&mut text).expect("a line");
        }
        (Background(child), text)
    }
}

fn markdown_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files
}

/// One block: where it stands, and its commands with what each prints.
struct Transcript {
    place: String,
    steps: Vec<(String, String)>,
}

fn transcripts(document: &Path) -> Vec<Transcript> {
    let text = fs::read_to_string(document).expect("a document");
    let mut found: Vec<Transcript> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            if inside {
                let place = format!("{}:{}", document.display(), number + 1);
                found.push(Transcript { place, steps: Vec::new() });
            }
        } else if inside && let Some(transcript) = found.last_mut() {
            match line.strip_prefix("$ ") {
                Some(command) => transcript.steps.push((command.to_owned(), String::new())),
                None => {
                    let (_, output) = transcript.steps.last_mut().expect("a block begins with a command");
                    *output += line;
                    *output += "\n";
                }
            }
        }
    }
    found
}

impl Transcript {
    /// Whether one of its commands starts one of these.
    fn belongs_to(&self, binaries: &[&str]) -> bool {
        let starts = |command: &str, name: &str| {
            command.split_once(' ').map_or(command, |(first, _)| first) == name
                || command.contains(&format!("| {name} "))
                || command.starts_with("cargo run") && command.split_whitespace().any(|word| word == name)
        };
        self.steps.iter().any(|(command, _)| binaries.iter().any(|name| starts(command, name)))
    }

    fn needs_ipv6(&self) -> bool {
        self.steps.iter().any(|(_, output)| output.contains("udp [::1]"))
    }

    fn needs_icmp(&self) -> bool {
        self.steps.iter().any(|(_, output)| output.contains("nobody listens"))
    }

    fn run(&self, runner: &Runner) {
        let ports = free_ports();
        let mut background = Vec::new();
        for (command, expected) in &self.steps {
            let [first, second] = &ports;
            let shell = runner.runnable(command).replace("3478", first).replace("3479", second);
            let actual = match shell.strip_suffix('&') {
                Some(shell) => {
                    let lines = expected.lines().count();
                    let (child, output) = runner.start(shell, lines);
                    background.push(child);
                    output
                }
                None => runner.finish(&shell),
            };
            let (actual, expected) = (without_numbers(&actual), without_numbers(expected));
            assert_eq!(actual, expected, "\n{}\n$ {command}", self.place);
        }
    }
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every run of digits, with commas between thousands, becomes one `0`, and so does every digest and every
/// credential; blanks that only keep numbers in columns become one.
fn without_numbers(text: &str) -> String {
    let text =
        &["\"ufrag\":\"", "\"pwd\":\""].iter().fold(text.to_owned(), |text, name| without_value(&text, name));
    let mut result = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let bare = word.trim_end();
        let is_digest = bare.len() == 16 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut characters = if is_digest { word[16..].chars() } else { word.chars() }.peekable();
        if is_digest {
            result.push('0');
        }
        while let Some(character) = characters.next() {
            let is_comma = character == ',' && characters.peek().is_some_and(char::is_ascii_digit);
            let is_digit = character.is_ascii_digit() || is_comma && result.ends_with('0');
            let is_more = is_digit && result.ends_with('0') || character == ' ' && result.ends_with(' ');
            if !is_more {
                result.push(if is_digit { '0' } else { character });
            }
        }
    }
    result
}

/// What stands behind `name` up to the next quote becomes `0`.
fn without_value(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| match part.split_once('"') {
        Some((_, after)) => format!("{before}{name}0\"{after}"),
        None => before + name + part,
    })
}

fn free_ports() -> [String; 2] {
    let sockets = [(); 2].map(|()| UdpSocket::bind(("127.0.0.1", 0)).expect("a socket"));
    sockets.map(|socket| socket.local_addr().expect("an address").port().to_string())
}
