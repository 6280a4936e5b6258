//! Everything that can be wrong with a scenario, and what is said about it, word by word: the line, the
//! value, what is wrong, and what was probably meant.

mod parts;

use bradawl_sim::catalogue;
use bradawl_sim::scenario::Scenario;

const HUB: &str = "[host.hub]\nrun = 'mediator'\nin = 'internet'\n";
const LAN: &str = "[network.lan-a]\nbehind = 'home'\n";
const BOB: &str = "[host.bob]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\npeer = 'alice'\n";
const ALICE: &str = "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\npeer = 'bob'\n";

/// Texts, each in pieces, and what is said about them. `{nats}` stands for the names in the catalogue.
fn refused(cases: &[(&[&str], &str, &str)]) {
    let nats: Vec<&str> = catalogue::entries().iter().map(|entry| entry.name).collect();
    for (base, rest, told) in cases {
        let text = base.concat() + rest;
        let problem = Scenario::from_toml(&text).expect_err(&text);
        assert_eq!(problem.to_string(), told.replace("{nats}", &nats.join(", ")), "\n{text}");
    }
}

#[test]
fn text_that_is_no_scenario() {
    refused(&[
        (&[], "seed = ", "line 1, column 8: string values must be quoted, expected literal string"),
        (&[], "[host.hub\nrun = 1", "line 1, column 10: unclosed table, expected `]`"),
        (&[], "seed = 1\nseed = 2", "line 2, column 1: duplicate key"),
        (
            &[],
            "sead = 7",
            "line 1, column 1: sead: there is no key `sead` here; there are: about, seed, time, plant, \
             nat, network, host, fault; did you mean `seed`?",
        ),
        (&[], "seed = -1", "line 1, column 8: seed: invalid value: integer `-1`, expected u32"),
        (
            &[],
            "time = '30'",
            "line 1, column 8: time: `30` is not a length of time such as `40 ms`, `1.5 s` or `2 min`: a \
             number and a unit are wanted",
        ),
        (&[], "time = 30", "line 1, column 8: time: invalid type: integer `30`, expected a string"),
        (&[], "time = '0 s'", "line 1: time: 0 us is not between 1 ms and 24 h"),
        (&[], "time = '25 h'", "line 1: time: 25 h is not between 1 ms and 24 h"),
        (
            &[],
            "plant = 'forgetfull-nat'",
            "line 1, column 9: plant: there is no such value as `forgetfull-nat` here; there are: \
             forgetful-nat, stray-sender; did you mean `forgetful-nat`?",
        ),
        (&[], "", "there is no host: nothing would happen"),
    ]);
}

#[test]
fn names() {
    refused(&[
        (
            &[HUB],
            "[host.'A b']\nrun = 'silent'\nin = 'internet'",
            "line 4: host.\"A b\": a name has 1 to 40 small letters, digits and hyphens",
        ),
        (
            &[HUB],
            "[network.'']\nbehind = 'home'",
            "line 4: network.\"\": a name has 1 to 40 small letters, digits and hyphens",
        ),
        (
            &[HUB],
            "[network.internet]\nbehind = 'home'",
            "line 4: network.internet: the internet is there by itself",
        ),
        (&[HUB], "[network.hub]\nbehind = 'home'", "line 1: host.hub: a network has this name already"),
    ]);
}

#[test]
fn hosts() {
    refused(&[
        (&[], "[host.hub]\nin = 'internet'", "line 1, column 1: host.hub: `run` is missing"),
        (
            &[],
            "[host.hub]\nrn = 'mediator'\nin = 'internet'",
            "line 2, column 1: host.hub.rn: there is no key `rn` here; there are: run, in, addresses, \
             server, peer, start, link; did you mean `run`?",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediater'\nin = 'internet'",
            "line 2, column 7: host.hub.run: there is no such value as `mediater` here; there are: \
             mediator, peer, stun, silent; did you mean `mediator`?",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediator'\nin = 7",
            "line 3, column 6: host.hub.in: invalid type: integer `7`, expected the name of a network or \
             a list of such names",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediator'\nin = []",
            "line 3: host.hub.in: a host is in one network at least",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediator'\nin = 'lan-z'",
            "line 3: host.hub.in: there is no network called `lan-z`; there are: internet",
        ),
        (
            &[HUB, LAN],
            "[host.alice]\nrun = 'silent'\nin = [\n  'internet',\n  'lan-b',\n]",
            "line 8: host.alice.in: there is no network called `lan-b`; there are: internet, lan-a; did \
             you mean `lan-a`?",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediator'\nin = ['internet', 'internet']",
            "line 3: host.hub.in: the host is in `internet` twice",
        ),
        (
            &[],
            "[host.hub]\nrun = 'mediator'\n\
             in = ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9', 'n10', 'n11', 'n12', 'n13', 'n14', 'n15', 'n16']",
            "line 3: host.hub.in: 17 interfaces are too many: 16 at most",
        ),
        (
            &[],
            "time = '1 s'\n[host.hub]\nrun = 'mediator'\nin = 'internet'\nstart = '2 s'",
            "line 5: host.hub.start: 2 s is after the end, which is at 1 s",
        ),
    ]);
}

#[test]
fn servers_and_peers() {
    refused(&[
        (&[HUB], "server = 'hub'", "line 4: host.hub.server: a host that runs `mediator` has no `server`"),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\n",
            "line 11: host.alice.peer: a host that runs `peer` needs a `peer`",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\npeer = 'bob'\n",
            "line 11: host.alice.server: a host that runs `peer` needs a `server`",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hbu'\npeer = 'bob'\n",
            "line 14: host.alice.server: there is no host called `hbu`; there are: alice, bob, hub; did \
             you mean `hub`?",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'bob'\npeer = 'bob'\n",
            "line 14: host.alice.server: `bob` runs `peer`, and only a `mediator` answers",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\npeer = 'alice'\n",
            "line 15: host.alice.peer: a host cannot be its own peer",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\npeer = 'carol'\n",
            "line 15: host.alice.peer: there is no host called `carol`; there are: alice, bob, hub",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub'\npeer = 'hub'\n",
            "line 15: host.alice.peer: `hub` runs `mediator`, not `peer`",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "[host.carol]\nrun = 'peer'\nin = 'internet'\nserver = 'hub'\npeer = 'alice'",
            "line 20: host.carol.peer: `alice` wants to reach `bob`; peers name each other",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = 'lan-a'\nserver = 'hub-2'\npeer = 'bob'\n[host.hub-2]\n\
             run = 'mediator'\nin = 'internet'",
            "line 15: host.alice.peer: `bob` asks another server; only one that both ask can introduce \
             them",
        ),
    ]);
}

#[test]
fn addresses() {
    refused(&[
        (
            &[HUB],
            "addresses = ['192.0.2.400']",
            "line 4, column 14: host.hub.addresses[0]: invalid IP address syntax",
        ),
        (
            &[HUB],
            "addresses = ['192.168.1.7']",
            "line 4: host.hub.addresses[0]: 192.168.1.7 is no address that a host on the internet can \
             have",
        ),
        (
            &[HUB],
            "addresses = ['198.51.100.7']",
            "line 4: host.hub.addresses[0]: 198.51.100.7 is in a range that is given out automatically; \
             take one outside of it",
        ),
        (
            &[HUB],
            "addresses = ['198.18.0.1']",
            "line 4: host.hub.addresses[0]: 198.18.0.1 is no address that a host on the internet can have",
        ),
        (
            &[HUB],
            "addresses = ['fe80::1']",
            "line 4: host.hub.addresses[0]: fe80::1 is no address that a host on the internet can have",
        ),
        (
            &[HUB],
            "addresses = ['2001:db8:1::7']",
            "line 4: host.hub.addresses[0]: 2001:db8:1::7 is in a range that is given out automatically; \
             take one outside of it",
        ),
        (
            &[HUB],
            "addresses = ['2001:db8:1fff::7']",
            "line 4: host.hub.addresses[0]: 2001:db8:1fff::7 is in a range that is given out \
             automatically; take one outside of it",
        ),
        (
            &[HUB],
            "addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3']",
            "line 4: host.hub.addresses[2]: a host has 2 addresses of a family in a network at most",
        ),
        (
            &[HUB],
            "addresses = [\n  '192.0.2.1',\n  '192.0.2.1',\n]",
            "line 6: host.hub.addresses[1]: 192.0.2.1 is an address of this host already",
        ),
        (
            &[HUB],
            "addresses = ['192.0.2.1']\n[host.hub-2]\nrun = 'mediator'\nin = 'internet'\n\
             addresses = ['192.0.2.1']",
            "line 8: host.hub-2.addresses[0]: 192.0.2.1 is an address of hub already",
        ),
    ]);
}

#[test]
fn addresses_behind_gateways() {
    refused(&[
        (
            &[HUB, LAN, BOB, ALICE],
            "addresses = ['192.168.2.9']\n",
            "line 16: host.alice.addresses[0]: 192.168.2.9 is not in 192.168.1.0/24, the subnet of \
             `lan-a`",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "addresses = ['192.168.1.1']\n",
            "line 16: host.alice.addresses[0]: 192.168.1.1 is the address of the gateway of `lan-a`",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "addresses = ['192.168.1.255']\n",
            "line 16: host.alice.addresses[0]: 192.168.1.255 is an address of the whole of `lan-a`, not \
             of a host",
        ),
        (
            &[HUB, LAN, BOB, ALICE],
            "addresses = ['2001:db8:2::1']\n",
            "line 16: host.alice.addresses[0]: IPv6 addresses can be given on the internet only, \
             elsewhere each host gets one by itself",
        ),
        (
            &[HUB, LAN, BOB],
            "[host.alice]\nrun = 'peer'\nin = ['lan-a', 'internet']\nserver = 'hub'\npeer = 'bob'\n\
             addresses = ['10.0.0.1']\n",
            "line 16: host.alice.addresses[0]: 10.0.0.1 fits none of the networks that the host is in",
        ),
    ]);
}

/// What the cases begin with is in order, so that it is the rest that is wrong.
#[test]
fn the_rest_is_in_order() {
    for base in [&[HUB][..], &[HUB, LAN], &[HUB, LAN, BOB, ALICE]] {
        assert!(Scenario::from_toml(&base.concat()).is_ok());
    }
}

#[test]
fn a_file_has_its_name_in_front() {
    let text = [HUB, LAN, BOB, ALICE].concat().replacen("in = 'lan-a'", "in = 'lan-z'", 2);
    let problem = Scenario::from_file("two-homes.toml", text.as_bytes()).unwrap_err();
    let told = "two-homes.toml:13: host.alice.in: there is no network called `lan-z`; there are: internet, \
                lan-a; did you mean `lan-a`?";
    assert_eq!(problem.to_string(), told);
    assert_eq!((problem.line(), problem.key().as_str()), (Some(13), "host.alice.in"));

    let problem = Scenario::from_file("typo.toml", b"seed = 1\nsead = 2").unwrap_err();
    assert!(problem.to_string().starts_with("typo.toml:2:1: sead: there is no key"), "{problem}");
    let problem = Scenario::from_file("picture.png", b"\x89PNG\r\n").unwrap_err();
    assert_eq!(problem.to_string(), "picture.png: byte 0 is not UTF-8 text");
}

/// A scenario that was not read has no lines, and problems all the same.
#[test]
fn without_a_text_there_is_no_line() {
    let problem = Scenario::default().check().unwrap_err();
    assert_eq!(
        (problem.line(), problem.to_string().as_str()),
        (None, "there is no host: nothing would happen")
    );
}
