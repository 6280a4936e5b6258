//! The pictures of the book are what the commands beside them make, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The commands of `docs/simulator.md` that draw into `docs/img`.
fn commands(book: &str) -> impl Iterator<Item = &str> {
    book.lines().filter(|line| line.starts_with("bradawl-sim ") && line.contains(" docs/img/"))
}

#[test]
fn the_pictures_of_the_book_come_out_as_they_are_committed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let book = fs::read_to_string(root.join("docs/simulator.md")).expect("the book");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).expect("a folder");
    let mut seen: Vec<PathBuf> = Vec::new();
    for command in commands(&book) {
        let mut drawn = Vec::new();
        let words = command.split(' ').skip(1).map(|word| match word.strip_prefix("docs/img/") {
            None => word.to_owned(),
            Some(name) => {
                drawn.push(name.to_owned());
                folder.join(name).to_str().expect("a path in UTF-8").to_owned()
            }
        });
        let words: Vec<String> = words.collect();
        let output = Command::new(env!("CARGO_BIN_EXE_bradawl-sim")).args(words).output().expect("it starts");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        for name in drawn {
            let committed = root.join("docs/img").join(&name);
            let same = fs::read(folder.join(&name)).ok() == fs::read(&committed).ok();
            assert!(same, "docs/img/{name} is not what `{command}` draws: run it again, and look at it");
            seen.push(committed);
        }
    }
    let mut all: Vec<PathBuf> = fs::read_dir(root.join("docs/img"))
        .expect("pictures")
        .map(|entry| entry.expect("one").path())
        .collect();
    all.sort();
    seen.sort();
    assert_eq!(seen, all, "each picture has its command");
}
