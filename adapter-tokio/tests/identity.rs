//! `bradawl-peer id` as a person or a script meets it.

#![cfg(unix)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bradawl::identity::PeerId;
use common::{lines, peer, stderr};
use serde_json::{Value, json};

/// A folder of a test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bradawl-id-{test}-{}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("UTF-8")
}

/// The word in the key file that must never be printed.
fn seed(path: impl AsRef<Path>) -> String {
    let text = fs::read_to_string(path).expect("a key file");
    let line = text.lines().find(|line| !line.starts_with('#')).expect("a key");
    line.split(' ').nth(1).expect("a seed").to_owned()
}

fn shows_no_secret(output: &Output, seed: &str) {
    assert!(!stdout(output).contains(seed) && !stderr(output).contains(seed));
}

#[test]
fn an_id_is_made_once_and_printed_alone() {
    let folder = Folder::new("once");
    let key = folder.file("state/key");
    let first = peer(&["id", "--key", &key]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(stderr(&first), format!("made a new key: {key}\n"));
    let id: PeerId = stdout(&first).trim_end().parse().expect("an id");
    assert_eq!(stdout(&first), format!("{id}\n"));

    let again = peer(&["id", "--key", &key]);
    assert_eq!((stdout(&again), stderr(&again)), (stdout(&first), ""));
    let output = peer(&["id", "--key", &key, "--json"]);
    let expected = json!({"v": 1, "event": "id", "id": id.to_string(), "file": key, "new": false});
    assert_eq!((lines(&output), stderr(&output)), (vec![expected], ""));
    for output in [first, again, output] {
        shows_no_secret(&output, &seed(&key));
    }
}

#[test]
fn the_place_of_the_key_comes_from_the_environment() {
    let folder = Folder::new("place");
    let id = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bradawl-peer"));
        for name in ["BRADAWL_KEY", "XDG_STATE_HOME", "BRADAWL_JSON"] {
            command.env_remove(name);
        }
        command.env("HOME", &folder.0).envs(variables.iter().copied()).args(["id", "--json"]);
        let output = command.output().expect("the peer runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let [line] = &lines(&output)[..] else { panic!("one line") };
        assert_eq!(line["new"], Value::Bool(!stderr(&output).is_empty()));
        line.clone()
    };
    let (state, own) = (folder.file("state"), folder.file("own"));
    let at_home = id(&[]);
    assert_eq!(
        (&at_home["file"], &at_home["new"]),
        (&json!(folder.file(".local/state/bradawl/key")), &json!(true))
    );
    let in_state = id(&[("XDG_STATE_HOME", &state)]);
    assert_eq!(in_state["file"], json!(folder.file("state/bradawl/key")));
    let of_its_own = id(&[("XDG_STATE_HOME", &state), ("BRADAWL_KEY", &own)]);
    assert_eq!(of_its_own["file"], json!(own));
    let nothing = id(&[("XDG_STATE_HOME", ""), ("BRADAWL_KEY", "")]);
    assert_eq!((&nothing["id"], &nothing["new"]), (&at_home["id"], &json!(false)));
    assert!(at_home["id"] != in_state["id"] && in_state["id"] != of_its_own["id"]);
}

#[test]
fn processes_that_make_a_key_at_once_have_the_same() {
    let folder = Folder::new("race");
    let key = folder.file("state/key");
    let start = |_| -> Child {
        Command::new(env!("CARGO_BIN_EXE_bradawl-peer"))
            .args(["id", "--json", "--key", &key])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the peer starts")
    };
    let children: Vec<_> = (0..6).map(start).collect();
    let all: Vec<Value> = children
        .into_iter()
        .flat_map(|child| {
            let output = child.wait_with_output().expect("an end");
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            lines(&output)
        })
        .collect();
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|line| line["id"] == all[0]["id"]), "{all:?}");
    assert_eq!(all.iter().filter(|line| line["new"] == json!(true)).count(), 1, "{all:?}");
}

#[test]
fn a_key_that_cannot_be_used_is_one_line_and_stays() {
    let folder = Folder::new("refused");
    let key = folder.file("key");
    assert_eq!(peer(&["id", "--key", &key]).status.code(), Some(0));
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("ours");
    let refused = |with: &str| {
        let before = fs::read(&key).expect("a file");
        let output = peer(&["id", "--key", &key]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
        let text = stderr(&output);
        assert!(text.starts_with("error: ") && text.lines().count() == 1 && text.contains(with), "{text}");
        assert_eq!(fs::read(&key).expect("a file"), before);
        output
    };
    shows_no_secret(&refused(&format!("chmod 600 {key}")), &seed(&key));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("ours");
    let text = fs::read_to_string(&key).expect("text");
    fs::write(&key, &text[..text.len() - 10]).expect("written");
    shows_no_secret(&refused("its end is missing"), &seed(&key));
    fs::write(&key, text.replace("key-1", "key-7")).expect("written");
    refused("its version is 7");
    let output = peer(&["id", "--key", "/proc/no/such/place"]);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(1), 1), "{}", stderr(&output));
}

#[test]
fn what_is_no_argument_is_a_usage_error() {
    assert_eq!(peer(&["id", "--key"]).status.code(), Some(2));
    assert_eq!(peer(&["id", "me"]).status.code(), Some(2));
}
