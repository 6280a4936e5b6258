//! How large a scenario can be: what is at a limit is taken, what is above it refused, and what is absurd is
//! refused at once.

use bradawl_sim::scenario::{MAX_BYTES, Scenario};

const HUB: &str = "[host.hub]\nrun = 'mediator'\nin = 'internet'\n";

#[test]
fn more_than_the_limits_is_refused() {
    let hosts = |count| {
        (0..count).map(|n| format!("[host.h{n}]\nrun = 'silent'\nin = 'internet'\n")).collect::<String>()
    };
    let networks =
        |count| (0..count).map(|n| format!("[network.n{n}]\nbehind = 'home'\n")).collect::<String>();
    let nats = |count| (0..count).map(|n| format!("[nat.n{n}]\n")).collect::<String>();
    let faults = |count| "[[fault]]\nat = '1 s'\nreaddress = 'hub'\n".repeat(count);
    let gateways = |addresses: usize| {
        (0..addresses).map(|n| format!("[network.n{n}]\nbehind = 'wide'\n")).collect::<String>()
            + "[nat.wide]\naddresses = 16\n"
    };
    for (fits, too_much, told) in [
        (hosts(64), hosts(65), "line 1: host: 65 hosts are too many: 64 at most"),
        (networks(64), networks(65), "line 4: network: 65 networks are too many: 64 at most"),
        (nats(64), nats(65), "line 4: nat: 65 NATs are too many: 64 at most"),
        (faults(256), faults(257), "line 4: fault: 257 faults are too many: 256 at most"),
        (
            gateways(15),
            gateways(16),
            "line 4: network: the gateways need 256 public addresses; there are 254",
        ),
    ] {
        let with = |text: String| if text.contains("[host") { text } else { HUB.to_owned() + &text };
        assert_eq!(Scenario::from_toml(&with(fits)).err(), None);
        assert_eq!(Scenario::from_toml(&with(too_much)).unwrap_err().to_string(), told);
    }
    let comment = |size: usize| format!("{HUB}#{}", "x".repeat(size - HUB.len() - 1));
    assert_eq!(Scenario::from_toml(&comment(MAX_BYTES)).err(), None);
    let problem = Scenario::from_toml(&comment(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(problem.to_string(), "262145 bytes are too many: 256 KiB at most");
}

/// Nothing overflows the stack, takes long or fills a screen, whatever is in a file of the largest size.
#[test]
fn absurd_files_are_refused_in_one_line() {
    let deep = "cannot recurse further; max recursion depth met";
    for (piece, told) in [
        ("[", "unquoted keys cannot be empty"),
        ("a={", deep),
        ("a.", "key with no value, expected `=`"),
        ("[[fault]]\n", "`at` is missing"),
        ("[a]\n", "duplicate key"),
        ("a.b=1\n", "duplicate key"),
        ("\0", "key with no value, expected `=`"),
        ("a", "key with no value, expected `=`"),
    ] {
        let text = piece.repeat(MAX_BYTES / piece.len());
        for text in [text.clone(), format!("a={text}"), format!("a=[{text}"), format!("[{text}]")] {
            let problem = Scenario::from_toml(&text).unwrap_err().to_string();
            assert!(problem.len() < 500 && !problem.contains('\n'), "{piece}: {problem}");
        }
        let problem = Scenario::from_toml(&text).unwrap_err().to_string();
        assert!(problem.contains(told), "{piece}: {problem}");
    }
    let nested = format!("a={}", "[".repeat(100_000));
    assert!(Scenario::from_toml(&nested).unwrap_err().to_string().contains(deep));
}
