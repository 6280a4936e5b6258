//! The key file on a real file system.

#![cfg(unix)]

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use bradawl::identity::SecretKey;
use bradawl_host::identity::{Kept, KeyFileError, MAX_FILE, Problem, load, load_or_make};

/// A folder of a test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bradawl-identity-{test}-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).expect("a new folder");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("private");
}

fn problem(path: &Path) -> Problem {
    match load(path) {
        Err(KeyFileError::Unusable { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_key_is_private_and_stays() {
    let folder = Folder::new("new");
    let path = folder.file("deep/er/key");
    assert!(matches!(load(&path), Err(KeyFileError::Missing(missing)) if missing == path));
    let Kept { key, is_new } = load_or_make(&path).expect("a key");
    assert!(is_new);
    assert_eq!(
        (mode(&path), mode(&folder.file("deep")), mode(&folder.file("deep/er"))),
        (0o600, 0o700, 0o700)
    );
    let before = fs::read(&path).expect("text");

    let again = load_or_make(&path).expect("a key");
    assert!(!again.is_new);
    assert_eq!(again.key.expose_seed(), key.expose_seed());
    assert_eq!(load(&path).expect("a key").id(), key.id());
    assert_eq!(fs::read(&path).expect("text"), before);
    assert_eq!(fs::metadata(&path).expect("it is there").nlink(), 1, "the draft is gone");
    let other = load_or_make(&folder.file("other")).expect("a key");
    assert_ne!(other.key.id(), key.id());
}

#[test]
fn who_makes_one_at_once_has_the_same() {
    let folder = Folder::new("race");
    for round in 0..20 {
        let path = folder.file(&format!("key{round}"));
        let start = Barrier::new(8);
        let kept: Vec<Kept> = thread::scope(|scope| {
            let one = || {
                start.wait();
                load_or_make(&path).expect("a key")
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(kept.iter().all(|one| one.key.id() == kept[0].key.id()));
        assert_eq!(kept.iter().filter(|one| one.is_new).count(), 1);
    }
    assert_eq!(folder.names().len(), 20, "no draft is left: {:?}", folder.names());
}

#[test]
fn a_file_that_others_can_read_is_refused_with_what_to_run() {
    let folder = Folder::new("open");
    let path = folder.file("key");
    load_or_make(&path).expect("a key");
    for open in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o601] {
        fs::set_permissions(&path, Permissions::from_mode(open)).expect("ours");
        let Problem::Open { mode, command } = problem(&path) else { panic!("{open:o} is taken") };
        assert_eq!((mode, &command), (open, &format!("chmod 600 {}", path.display())));
        let told = load_or_make(&path).expect_err("it is not replaced").to_string();
        assert!(
            told.contains(&command) && told.contains(&format!("{open:o}")) && !told.contains('\n'),
            "{told}"
        );
        let done = std::process::Command::new("sh").args(["-c", &command]).status().expect("a shell");
        assert!(done.success() && load(&path).is_ok(), "{command}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).expect("ours");
    assert!(load(&path).is_ok(), "less is fine");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = Folder::new("kind");
    assert_eq!(problem(&folder.0), Problem::NotAFile);
    assert_eq!(problem(Path::new("/dev/zero")), Problem::NotAFile);
    assert_eq!(problem(Path::new("/")), Problem::NotAFile);
    let pipe = folder.file("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    assert_eq!(problem(&pipe), Problem::NotAFile, "and nobody waits for a writer");

    // Somebody may keep the key elsewhere. A link to nothing is left alone.
    let path = folder.file("key");
    let id = load_or_make(&path).expect("a key").key.id();
    symlink(&path, folder.file("link")).expect("a link");
    assert_eq!(load(&folder.file("link")).expect("the same").id(), id);
    symlink(folder.file("nothing"), folder.file("dangling")).expect("a link");
    assert!(matches!(load_or_make(&folder.file("dangling")), Err(KeyFileError::Missing(_))));
    let under = load_or_make(&path.join("key")).expect_err("a file is no folder");
    assert!(matches!(under, KeyFileError::Io { .. }), "{under}");
}

#[test]
fn a_file_of_another_user_is_refused() {
    let folder = Folder::new("owner");
    let path = folder.file("key");
    load_or_make(&path).expect("a key");
    if chown(&path, Some(65_534), None).is_err() {
        println!("skipped: only root can give a file away");
        return;
    }
    assert_eq!(problem(&path), Problem::Owner { theirs: 65_534, ours: 0 });
    let told = load_or_make(&path).expect_err("not ours").to_string();
    assert!(told.contains("belongs to user 65534") && told.contains("--key"), "{told}");
}

#[test]
fn what_is_no_key_is_refused_and_kept() {
    let folder = Folder::new("garbage");
    let path = folder.file("key");
    load_or_make(&path).expect("a key");
    let good = fs::read_to_string(&path).expect("text");
    let long = format!("{}{good}", "#\n".repeat(MAX_FILE / 2));
    let other = SecretKey::from_seed(&[1; 32]).id();
    let (line, _) = good.trim_end().rsplit_once(' ').expect("words");
    for (bytes, expected) in [
        (b"".as_slice(), Problem::Truncated),
        (&good.as_bytes()[..good.len() - 2], Problem::Truncated),
        (&good.as_bytes()[..good.len() - 60], Problem::Truncated),
        (good.replace("key-1", "key-2").as_bytes(), Problem::Version(2)),
        (format!("{line} {other}\n").as_bytes(), Problem::Damaged),
        (b"\xff\xfe", Problem::Garbage),
        (&[0; 100], Problem::Garbage),
        (long.as_bytes(), Problem::Garbage),
        (good.repeat(2).as_bytes(), Problem::Garbage),
    ] {
        write(&path, bytes);
        assert_eq!(problem(&path), expected);
        let told = load_or_make(&path).expect_err("it is not replaced").to_string();
        assert!(told.contains("; ") && !told.contains('\n'), "what to do: {told}");
        assert_eq!(fs::read(&path).expect("bytes"), bytes);
    }
    let longest = format!("{}{good}", "#".repeat(MAX_FILE - good.len() - 1) + "\n");
    write(&path, &longest);
    assert!(longest.len() == MAX_FILE && load(&path).is_ok());
}
