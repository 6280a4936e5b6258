//! Every transcript in the README and the book is run, and what it shows is what comes out.
//!
//! A transcript is a fenced block marked `console`: commands behind `$ `, each followed by what it
//! prints, on stdout and stderr alike. A command that ends in `&` goes on in the background until the
//! block ends. Numbers are compared as "some number", since ports and round trips are never the same;
//! port 3478 becomes a free one while a block runs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How the README starts a binary, and where cargo has put it for this test.
const BINARIES: [(&str, &str); 2] = [
    ("bradawl-peer", env!("CARGO_BIN_EXE_bradawl-peer")),
    ("bradawl-mediator", env!("CARGO_BIN_EXE_bradawl-mediator")),
];

#[test]
fn every_transcript_comes_out_as_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = vec![root.join("README.md")];
    documents.extend(markdown_in(&root.join("docs")));
    let transcripts: Vec<_> = documents.iter().flat_map(|document| transcripts(document)).collect();
    assert!(
        transcripts.len() >= 3,
        "found only {} transcripts: is the marker still `console`?",
        transcripts.len()
    );
    for transcript in &transcripts {
        if transcript.needs_ipv6() && UdpSocket::bind("[::1]:0").is_err() {
            println!("skipped, there is no IPv6 on this host: {}", transcript.place);
            continue;
        }
        if transcript.needs_icmp() && cfg!(feature = "portable") {
            println!("skipped, without Linux's error queue nobody tells of ICMP: {}", transcript.place);
            continue;
        }
        transcript.run();
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
    fn needs_ipv6(&self) -> bool {
        self.steps.iter().any(|(_, output)| output.contains("udp [::1]"))
    }

    fn needs_icmp(&self) -> bool {
        self.steps.iter().any(|(_, output)| output.contains("nobody listens"))
    }

    fn run(&self) {
        let port = free_port().to_string();
        let mut background = Vec::new();
        for (command, expected) in &self.steps {
            let shell = runnable(command).replace("3478", &port);
            let actual = match shell.strip_suffix('&') {
                Some(shell) => {
                    let lines = expected.lines().count();
                    let (child, output) = start(shell, lines);
                    background.push(child);
                    output
                }
                None => finish(&shell),
            };
            let (actual, expected) = (without_numbers(&actual), without_numbers(expected));
            assert_eq!(actual, expected, "\n{}\n$ {command}", self.place);
        }
    }
}

/// The command with the binaries that cargo built for this test, however the document starts them.
fn runnable(command: &str) -> String {
    let started = BINARIES.iter().find_map(|(name, path)| {
        let by_cargo = format!("cargo run --release -p bradawl-tokio --bin {name} --");
        let arguments = command.strip_prefix(&by_cargo).or_else(|| command.strip_prefix(name))?;
        Some(format!("{path}{arguments}"))
    });
    started.unwrap_or_else(|| command.to_owned())
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1; {command}")).stdin(Stdio::null()).stdout(Stdio::piped());
    shell
}

/// Runs a command to its end and returns what it printed.
fn finish(command: &str) -> String {
    let output = shell(command).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text")
}

/// Starts a command and reads as many lines as it is said to print.
fn start(command: &str, lines: usize) -> (Background, String) {
    let mut child = shell(&format!("exec {command}")).spawn().expect("a shell");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    for _ in 0..lines {
        output.read_line(&mut text).expect("a line");
    }
    (Background(child), text)
}

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every run of digits becomes one `0`.
fn without_numbers(text: &str) -> String {
    let mut result = String::new();
    for character in text.chars() {
        let digit = character.is_ascii_digit();
        if !(digit && result.ends_with('0')) {
            result.push(if digit { '0' } else { character });
        }
    }
    result
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.local_addr().expect("an address").port()
}
