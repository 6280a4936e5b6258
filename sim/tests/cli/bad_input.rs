//! Whatever is on the command line or in a file: one line that says what is wrong, and no panic.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{folder, sim, sim_in, stderr};

/// Ends with `code` and one line that contains `told`.
#[track_caller]
fn is_refused(output: &std::process::Output, code: i32, told: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("error: ") && text.contains(told), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_understood() {
    for (words, told) in [
        ("dance", "unrecognized subcommand 'dance'"),
        ("run", "<SCENARIO.toml>"),
        ("run x.toml --seed -1", "unexpected argument '-1'"),
        ("run x.toml --seed 4294967296", "4294967296"),
        ("demo", "--nat <A,B>"),
        ("demo --nat home", "wants A,B and not 1"),
        ("demo --nat home,home,home", "wants A,B and not 3"),
        ("demo --nat home,simetric-random", "did you mean `symmetric-random`?"),
        ("demo --nat home,home --delay 20", "a number and a unit are wanted"),
        ("demo --nat home,home --loss 200%", "a probability from `0 %` to `100 %`"),
        ("demo --nat home,home --link dealy=1ms", "unknown field `dealy`"),
        ("demo --nat home,home --skew 1h", "10 s at most"),
        ("matrix --nats hom", "did you mean `home`?"),
        ("matrix --nats", "--nats <A,B,…>"),
        ("matrix --seeds 0", "0 is not in 1..=100000"),
        ("matrix --seeds 1000000000", "not in 1..=100000"),
        ("matrix --seeds 2 --seed 4294967295", "there are no 2 seeds from 4294967295 on"),
        ("matrix --jobs 0", "expected a number from 1 to 256"),
        ("matrix --jobs 100000", "expected a number from 1 to 256"),
        ("matrix --population maesured", "did you mean `measured`?"),
        ("matrix --population gentle --nats home", "cannot be used with"),
        ("swarm --count 0", "0 is not in 1.."),
        ("swarm --count 2 --seed 4294967295", "there are no 2 seeds from 4294967295 on"),
        ("swarm --minutes 0", "expected a number from 0.001"),
        ("swarm --minutes nan", "expected a number from 0.001"),
        ("swarm --minutes 1e300", "expected a number from 0.001"),
        ("swarm --plant moles", "forgetful-nat, stray-sender"),
    ] {
        is_refused(&sim(words), 2, told);
    }
    let output = sim("");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(stderr(&output).contains("bradawl-sim demo"), "{}", stderr(&output));
}

#[test]
fn files_that_are_no_scenarios() {
    let folder = folder("no-scenarios");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content).expect("written");
    write("key.toml", b"time = '1 s'\nsead = 7\n");
    write("empty.toml", b"");
    write("latin.toml", b"about = '\xe4'\n");
    write("garbage.toml", &[0, 159, 146, 150]);
    write("long.toml", &[b'#'; 262_145]);
    write("loop.toml", b"[network.a]\nin = 'b'\nbehind = 'home'\n[network.b]\nin = 'a'\nbehind = 'home'\n");
    std::fs::create_dir(folder.join("folder.toml")).expect("a folder");
    for verb in ["run", "replay"] {
        let of = |name: &str| sim_in(&folder, &[verb, name]);
        is_refused(&of("key.toml"), 2, "key.toml:2:1: sead: there is no key `sead` here");
        is_refused(&of("empty.toml"), 2, "empty.toml: ");
        is_refused(&of("latin.toml"), 2, "latin.toml: byte 9 is not UTF-8 text");
        is_refused(&of("garbage.toml"), 2, "garbage.toml: byte 1 is not UTF-8 text");
        is_refused(&of("long.toml"), 2, "long.toml: 262145 bytes are too many: 256 KiB at most");
        is_refused(&of("loop.toml"), 2, "loop.toml:");
        is_refused(&of("folder.toml"), 2, "cannot read folder.toml: it is a directory");
        is_refused(&of("missing.toml"), 2, "cannot read missing.toml: No such file");
        is_refused(&of("/dev/zero"), 2, "/dev/zero: 262145 bytes are too many");
        is_refused(&of("/dev/null"), 2, "/dev/null: ");
        is_refused(&of(""), 2, "");
    }
    let name = std::ffi::OsStr::from_bytes(b"\xff.toml");
    is_refused(&sim_in(&folder, &["run".as_ref(), name]), 2, "cannot read \u{fffd}.toml");
}

#[test]
fn files_that_are_no_baselines() {
    let folder = folder("no-baselines");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.join(name), content).expect("written");
    write("empty", b"");
    write("text", b"hello\n");
    write("version", b"{\"v\":2,\"event\":\"matrix\",\"seed\":1,\"seeds\":1,\"nats\":[]}\n");
    write("latin", b"\xe4");
    for (name, told) in [
        ("empty", "no line says what was run"),
        ("text", "line 1 is no line of a matrix"),
        ("version", "version 2 of the format is unknown"),
        ("latin", "byte 0 is not UTF-8 text"),
        ("missing", "cannot read missing"),
        (".", "it is a directory"),
        ("/dev/zero", "too big for a baseline"),
    ] {
        let output = sim_in(&folder, &["matrix", "--nats", "open", "--seeds", "1", "--baseline", name]);
        is_refused(&output, 2, told);
    }
}

/// Before anything is run: the swarm would take a year, and the matrix an hour.
#[test]
fn files_that_cannot_be_written() {
    let folder = folder("unwritable");
    let at = |words: &str| sim_in(&folder, &words.split_whitespace().collect::<Vec<_>>());
    let matrix = "matrix --nats all --seeds 100000";
    for flag in ["--html", "--svg", "--times", "--junit", "--save"] {
        is_refused(&at(&format!("{matrix} {flag} no/such/file")), 2, "cannot write no/such/file: No such");
        is_refused(&at(&format!("{matrix} {flag} .")), 2, "cannot write .: Is a directory");
    }
    for flag in ["--out", "--junit"] {
        is_refused(
            &at(&format!("swarm --minutes 10000 {flag} no/such/file")),
            2,
            "cannot write no/such/file",
        );
    }
    is_refused(&at("demo --nat home,home --svg ."), 2, "cannot write .: Is a directory");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
    // What is only found out later is a failure.
    if Path::new("/dev/full").exists() {
        is_refused(&at("demo --nat home,home --json --svg /dev/full"), 1, "cannot write /dev/full: No space");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_problem() {
    for words in ["nats", "demo --nat home,home", "matrix --nats home --seeds 1", "swarm --count 1"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bradawl-sim"))
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words}");
    }
    // A full disk is one.
    if let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bradawl-sim"));
        let output = command.arg("nats").stdout(full).output().expect("the binary runs");
        is_refused(&output, 1, "cannot print to stdout: No space");
    }
}
