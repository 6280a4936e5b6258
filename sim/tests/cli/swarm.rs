//! `swarm` finds what was planted, and `replay` finds it again, in another process.

use super::{ends_quietly, folder, lines, read, sim_in, stdout};

#[test]
fn what_is_planted_is_found_and_replayed() {
    for (plant, what) in [
        ("stray-sender", "a packet goes only to whom its sender has a warrant for"),
        ("forgetful-nat", "a NAT keeps its promises"),
    ] {
        let folder = folder(plant);
        let at = |words: &str| sim_in(&folder, &words.split_whitespace().collect::<Vec<_>>());
        let output = at(&format!("swarm --seed 60 --count 300 --plant {plant} --junit swarm.xml --json"));
        ends_quietly(&output, 1);
        let [found, swarm] = &lines(&output)[..] else { panic!("two lines: {}", stdout(&output)) };
        assert_eq!((&found["event"], &found["invariant"]), (&"found".into(), &what.into()));
        let stopped_at = swarm["scenarios"].as_u64().map(|scenarios| scenarios + 59);
        assert_eq!(found["seed"].as_u64(), stopped_at, "what is found is the first, and the end");
        assert!(read(folder.join("swarm.xml")).contains("tests=\"2\" failures=\"1\""));

        // The one command that it gives.
        let command = found["command"].as_str().and_then(|command| command.strip_prefix("bradawl-sim "));
        let command = command.expect("a command");
        assert_eq!(command, format!("replay swarm-{}.toml", found["seed"]));
        let replay = at(command);
        ends_quietly(&replay, 1);
        let text = stdout(&replay);
        let last = format!("still there: this does not hold: {what}");
        assert_eq!(text.lines().last(), Some(last.as_str()), "{text}");
        let detail =
            found["detail"].as_str().and_then(|text| text.split_once(": ")).expect("when and what").1;
        assert!(text.contains(detail), "{text}");
        // It is an ordinary scenario, too.
        ends_quietly(&at(&command.replacen("replay", "run", 1)), 1);
        let lines = lines(&at(&format!("{command} --json")));
        let last = lines.last().expect("a line");
        assert_eq!(
            (&last["event"], &last["was"], &last["is"]),
            (&"replay".into(), &what.into(), &what.into())
        );

        // Once the bug is gone, so is that.
        let file = folder.join(command.strip_prefix("replay ").expect("a file"));
        let fixed = read(&file).replace(&format!("plant = \"{plant}\"\n"), "");
        std::fs::write(&file, fixed).expect("written");
        let replay = at(command);
        ends_quietly(&replay, 0);
        let last = format!("gone: this holds now: {what}");
        assert_eq!(stdout(&replay).lines().last(), Some(last.as_str()));
    }
}

#[test]
fn where_nothing_is_wrong_nothing_is_found() {
    let folder = folder("swarm");
    let mut all = Vec::new();
    for jobs in ["1", "3"] {
        let output = sim_in(&folder, &["swarm", "--count", "40", "--json", "--jobs", jobs]);
        ends_quietly(&output, 0);
        let mut lines = lines(&output);
        let swarm = lines.pop().expect("a line");
        assert_eq!((lines.len(), &swarm["scenarios"], &swarm["repeated"]), (0, &40.into(), &3.into()));
        let pairs = ["direct", "relayed", "failed"].map(|part| swarm[part].as_u64().expect("a number"));
        assert!(pairs.iter().sum::<u64>() >= 40);
        all.push((swarm["packets"].clone(), pairs));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
}

#[test]
fn time_is_up_after_the_minutes_that_were_given() {
    let folder = folder("minutes");
    let output = sim_in(&folder, &["swarm", "--minutes", "0.001", "--seed", "7", "--jobs", "1"]);
    ends_quietly(&output, 0);
    let text = stdout(&output);
    assert!(text.contains(" scenarios from seed 7 · ") && text.contains(" a second · "), "{text}");
}

#[test]
fn the_file_has_the_name_that_it_is_given() {
    let folder = folder("out");
    let arguments = ["swarm", "--plant", "stray-sender", "--out", "it's found.toml"];
    let output = sim_in(&folder, &arguments);
    ends_quietly(&output, 1);
    let text = stdout(&output);
    assert!(text.contains(r"    bradawl-sim replay 'it'\''s found.toml'"), "{text}");
    assert!(read(folder.join("it's found.toml")).starts_with("# Found by `bradawl-sim swarm`"));
}
