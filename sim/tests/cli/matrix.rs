//! `matrix`: the same for any number of jobs, and worse than before where it is.

use super::{ends_quietly, folder, lines, read, sim, sim_in, stderr, stdout};

const NATS: &str = "home,symmetric-random,udp-blocked";

#[test]
fn every_pair_is_measured() {
    let output = sim(&format!("matrix --nats {NATS} --seeds 5"));
    ends_quietly(&output, 0);
    let text = stdout(&output);
    assert!(text.contains("3 NATs, 6 pairs, 5 runs each (seeds 1 to 5)"), "{text}");
    assert!(text.contains(" 1 home              100\n"), "{text}");
    let lines = lines(&sim(&format!("matrix --nats {NATS} --seeds 5 --json")));
    assert_eq!((lines.len(), &lines[0]["event"], &lines[0]["seeds"]), (7, &"matrix".into(), &5.into()));
    let home = &lines[1];
    assert_eq!((&home["a"], &home["b"], &home["direct"]), (&"home".into(), &"home".into(), &5.into()));
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let folder = folder("jobs");
    let mut all = Vec::new();
    for jobs in ["1", "3"] {
        let files = ["html", "svg", "times", "junit", "save"];
        let mut arguments = vec!["matrix".to_owned(), "--nats".to_owned(), NATS.to_owned()];
        arguments.extend(["--seeds", "40", "--loss", "2%", "--jobs", jobs].map(str::to_owned));
        arguments.extend(files.iter().flat_map(|file| [format!("--{file}"), format!("{jobs}.{file}")]));
        let output = sim_in(&folder, &arguments);
        ends_quietly(&output, 0);
        let written = files.map(|file| read(folder.join(format!("{jobs}.{file}"))));
        assert!(written[0].to_lowercase().starts_with("<!doctype html>") && written[1].starts_with("<svg "));
        assert!(
            written[0].contains("bradawl-sim matrix --nats home,symmetric-random,udp-blocked --seeds 40")
        );
        assert!(written[2].starts_with("<svg ") && written[3].contains("tests=\"6\" failures=\"0\""));
        assert!(written[4].starts_with("{\"v\":1,"));
        all.push((stdout(&output), written));
    }
    assert_eq!(all[0], all[1]);
}

#[test]
fn what_got_worse_is_named_with_the_command_that_shows_it() {
    let folder = folder("baseline");
    let at = |words: &str| sim_in(&folder, &words.split_whitespace().collect::<Vec<_>>());
    let matrix = format!("matrix --nats {NATS} --seeds 20");
    ends_quietly(&at(&format!("{matrix} --save base.jsonl")), 0);
    ends_quietly(&at(&format!("{matrix} --baseline base.jsonl")), 0);
    // What `--json` prints is one, too.
    std::fs::write(folder.join("json"), at(&format!("{matrix} --json")).stdout).expect("written");
    ends_quietly(&at(&format!("{matrix} --baseline json")), 0);

    // A slower net is a regression of the pair that is direct, and of no other.
    let slower = at(&format!("{matrix} --delay 60ms --baseline base.jsonl --junit worse.xml"));
    ends_quietly(&slower, 1);
    let text = stdout(&slower);
    assert!(text.contains("FAILED worse than before: home × home: median time to connect (punch)"), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("FAILED")).all(|line| line.contains("home × home")));
    assert!(read(folder.join("worse.xml")).contains("tests=\"6\" failures=\"1\""));
    // The command that it gives shows just that.
    let command = text.lines().find_map(|line| line.trim().strip_prefix("bradawl-sim ")).expect("a command");
    assert_eq!(command, "matrix --nats home --seeds 20 --link delay=60ms --baseline base.jsonl");
    let again = at(command);
    ends_quietly(&again, 1);
    assert!(stdout(&again).contains("FAILED worse than before: home × home"), "{}", stdout(&again));

    // A baseline in which more was direct than is: the numbers of a better world.
    let better = read(folder.join("base.jsonl")).replace(
        "\"runs\":20,\"direct\":0,\"relayed\":0,\"failed\":20",
        "\"runs\":20,\"direct\":20,\"relayed\":0,\"failed\":0",
    );
    std::fs::write(folder.join("better.jsonl"), better).expect("written");
    let output = at(&format!("{matrix} --baseline better.jsonl --json"));
    ends_quietly(&output, 1);
    let failed: Vec<_> = lines(&output).into_iter().filter(|line| line["event"] == "failed").collect();
    let of_blocked = failed.iter().find(|line| line["b"] == "udp-blocked").expect("a regression");
    assert!(of_blocked["message"].as_str().is_some_and(|text| text.contains("direct 100.0 % → 0.0 %")));
    assert!(of_blocked["command"].as_str().is_some_and(|text| text.contains("--nats home,udp-blocked")));
}

#[test]
fn a_population_is_summed_up_by_weight() {
    let output = sim("matrix --population gentle --seeds 2");
    ends_quietly(&output, 0);
    let text = stdout(&output);
    let last = text.lines().last().expect("a line");
    assert!(last.starts_with("two of the population gentle: ") && last.contains(" direct · "), "{last}");
    let lines = lines(&sim("matrix --population gentle --seeds 2 --json"));
    let sums = lines.last().expect("a line");
    assert_eq!((&sums["event"], &sums["name"]), (&"population".into(), &"gentle".into()));
    let part = |name: &str| sums[name].as_u64().expect("a number");
    let all = part("direct_ppm") + part("relayed_ppm") + part("failed_ppm");
    assert!((999_998..=1_000_000).contains(&all), "{sums}");
    // 98 % have UDP, and of these only 8 % are symmetric; these meet full cones and restricted ones.
    assert!((900_000..960_400).contains(&part("direct_ppm")), "{sums}");
}

#[test]
fn there_is_no_progress_in_a_pipe() {
    assert_eq!(stderr(&sim("matrix --nats home --seeds 40")), "");
    assert_eq!(stderr(&sim("swarm --count 8")), "");
}
