//! Scenarios: those that come with the simulator, those that are made up, and how they get smaller.

use arbitrary::{Arbitrary as _, Unstructured};
use bradawl::rng::Rng;
use bradawl_sim::scenario::{Mishap, Program, Scenario, shrink};
use proptest::collection::vec;
use proptest::prelude::*;

/// What comes with the simulator: its files, by name.
fn files() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let toml = entries.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    toml.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn made_of(bytes: &[u8]) -> Scenario {
    Scenario::arbitrary(&mut Unstructured::new(bytes)).unwrap()
}

#[test]
fn what_comes_with_the_simulator_can_be_run() {
    let files = files();
    for name in ["two-homes.toml", "cgn-collision.toml", "roaming.toml", "evil.toml", "v6.toml"] {
        assert!(files.iter().any(|(file, _)| file == name), "{name} is missing");
    }
    for (name, content) in files {
        let scenario = Scenario::from_file(&name, &content).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(!scenario.about.is_empty(), "{name}");
        assert_eq!(Scenario::from_toml(&scenario.to_toml()), Ok(scenario), "{name}");
    }
}

#[test]
fn one_is_written_as_people_would() {
    let (_, content) = files().into_iter().find(|(name, _)| name == "roaming.toml").unwrap();
    let scenario = Scenario::from_file("roaming.toml", &content).unwrap();
    let text = scenario.to_toml();
    for part in [
        "about = \"Wi-Fi to mobile and back\"\nseed = 0\ntime = \"2 min\"\n\n[network.desk]\n",
        "[host.hub]\nrun = \"mediator\"\nin = \"internet\"\n\n",
        "[host.phone]\nrun = \"peer\"\nin = [\"wifi\", \"mobile\"]\nserver = \"hub\"\npeer = \"computer\"\n",
        "[[fault]]\nat = \"15 s\"\ndown = { of = \"wifi\", for = \"20 s\" }\n",
        "[network.desk]\nin = \"internet\"\nbehind = \"home\"\nlink = { delay = \"10 ms\" }\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

/// A given address belongs to the first network that can have it.
#[test]
fn addresses_find_their_interfaces() {
    let text = "
        [network.home]
        behind = 'home'
        subnet = '10.1.0.0/16'
        [host.hub]
        run = 'mediator'
        in = ['home', 'internet']
        addresses = ['192.0.2.1', '10.1.0.7', '192.0.2.2', '2001:db8:2::1']
    ";
    let scenario = Scenario::from_toml(text).unwrap();
    let places = scenario.addresses(&scenario.hosts["hub"]);
    assert_eq!(places.iter().map(|(interface, _)| *interface).collect::<Vec<_>>(), [1, 0, 1, 1]);
}

/// Networks between a carrier's NAT and the homes behind it have the carrier's addresses; hosts behind
/// something that does not translate have those of the network outside.
#[test]
fn networks_have_the_addresses_of_their_realm() {
    let text = "
        [network.carrier]
        behind = 'cgn'
        [network.home]
        behind = 'home'
        in = 'carrier'
        [network.guests]
        behind = 'open'
        in = 'home'
        [network.office]
        behind = 'open'
        [host.hub]
        run = 'mediator'
        in = 'internet'
    ";
    let scenario = Scenario::from_toml(text).unwrap();
    let subnet = |network| scenario.subnet(network).to_string();
    assert_eq!(subnet("carrier"), "100.64.0.0/10");
    assert_eq!(subnet("home"), "192.168.1.0/24");
    assert_eq!((scenario.realm("guests"), subnet("guests")), ("home", "192.168.1.0/24".to_owned()));
    assert_eq!((scenario.realm("office"), subnet("office")), ("internet", "198.51.100.0/24".to_owned()));
}

#[test]
fn ten_thousand_random_ones_can_be_run() {
    for seed in 0..10_000 {
        let scenario = Scenario::random(seed);
        assert_eq!(scenario.seed, seed);
        scenario.check().unwrap_or_else(|problem| panic!("{seed}: {problem}\n{}", scenario.to_toml()));
    }
}

/// Random scenarios are worth running: everything that there is happens in some of them, and none is absurd.
#[test]
fn random_ones_have_everything_that_there_is() {
    let all: Vec<Scenario> = (0..2_000).map(Scenario::random).collect();
    let share = |what: &dyn Fn(&Scenario) -> bool| all.iter().filter(|it| what(it)).count() as f64 / 2_000.0;
    let host = |what: fn(&bradawl_sim::scenario::HostSpec) -> bool| share(&|it| it.hosts.values().any(what));
    let network =
        |what: fn(&bradawl_sim::scenario::NetworkSpec) -> bool| share(&|it| it.networks.values().any(what));
    let fault = |name: &str| share(&|it| it.faults.iter().any(|fault| fault.what.name() == name));

    assert!(
        (0.7..0.95).contains(&share(&|it| it.hosts.contains_key("bob") && !it.hosts.contains_key("dave")))
    );
    for name in ["down", "reboot", "readdress", "sleep", "restart", "evil"] {
        assert!((0.03..0.4).contains(&fault(name)), "{name}: {}", fault(name));
    }
    let evil = |it: &Scenario| it.faults.iter().any(|fault| matches!(fault.what, Mishap::Evil { .. }));
    assert!(share(&evil) < 0.5 && share(&|it| it.faults.is_empty()) > 0.4);
    for (what, share) in [
        ("several interfaces", host(|host| host.networks.len() > 1)),
        ("two addresses", share(&|it| it.hosts["hub"].addresses.len() > 1)),
        ("bystanders", host(|host| host.run == Program::Silent)),
        ("IPv6", network(|network| network.ipv6)),
        ("nested", network(|network| network.outside != "internet")),
        ("subnets", network(|network| network.subnet.is_some())),
        ("own NATs", share(&|it| !it.nats.is_empty())),
        ("loss", network(|network| network.link.loss.ppm() > 0)),
        ("one home", share(&|it| it.hosts["alice"].networks[0] == it.hosts["bob"].networks[0])),
    ] {
        assert!((0.05..0.75).contains(&share), "{what}: {share}");
    }
    let links = all.iter().flat_map(|it| it.networks.values().map(|network| &network.link));
    assert!(links.clone().all(|link| link.loss.ppm() <= 200_000 && link.delay.as_micros() <= 300_000));
}

/// What still fails after shrinking is all that the failure needs.
#[test]
fn shrinking_leaves_what_matters() {
    let needs = |it: &Scenario| {
        let nat = |network: &bradawl_sim::scenario::NetworkSpec| it.nats.contains_key(&network.behind);
        let lossy = it.hosts.values().any(|host| host.link.loss.ppm() > 0);
        lossy && it.networks.values().any(nat) && it.faults.iter().any(|fault| fault.what.name() == "reboot")
    };
    let failing: Vec<Scenario> = (0..5_000).map(Scenario::random).filter(needs).take(5).collect();
    assert_eq!(failing.len(), 5);
    for scenario in failing {
        let small = shrink(scenario.clone(), needs, 100_000);
        assert!(needs(&small) && small.size() < scenario.size());
        let links = small.hosts.values().filter(|host| host.link != Default::default()).count();
        let counts = (small.nats.len(), small.faults.len(), links);
        assert_eq!(counts, (1, 1, 1), "{}", small.to_toml());
        assert!(small.hosts.len() <= 4 && small.networks.len() <= 2, "{}", small.to_toml());
        assert!(small.nats.values().all(|nat| *nat == Default::default()), "{}", small.to_toml());
    }
}

#[test]
fn shrinking_keeps_its_budget() {
    let mut runs = 0;
    let count = |_: &Scenario| {
        runs += 1;
        true
    };
    shrink(Scenario::random(1), count, 7);
    assert_eq!(runs, 7);
}

/// Where everything fails, next to nothing is left: it ends, and well before it has tried everything.
#[test]
fn shrinking_ends() {
    for seed in 0..100 {
        let mut runs = 0;
        let small = shrink(
            Scenario::random(seed),
            |_| {
                runs += 1;
                runs > 0
            },
            usize::MAX,
        );
        assert_eq!((small.hosts.len(), small.networks.len(), small.faults.len()), (1, 0, 0), "{seed}");
        assert!(runs < 100, "{seed}: {runs} runs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Any bytes: few, many, all alike.
    #[test]
    fn any_bytes_are_a_scenario(bytes in prop_oneof![vec(any::<u8>(), 0..600), vec(prop_oneof![Just(0), Just(255)], 0..600)]) {
        let scenario = made_of(&bytes);
        prop_assert_eq!(scenario.check(), Ok(()));
    }

    /// What is written is read again as what it was: a replay depends on it.
    #[test]
    fn every_scenario_survives_being_written(bytes in vec(any::<u8>(), 0..1_500), about in any::<String>()) {
        let scenario = Scenario { about, ..made_of(&bytes) };
        let text = scenario.to_toml();
        prop_assert_eq!(Scenario::from_toml(&text), Ok(scenario), "{}", text);
    }

    /// Anything at all is read without a panic, and problems fit on a line.
    #[test]
    fn any_text_is_read_or_refused(seed in any::<u32>(), cut in any::<u16>(), put in any::<String>()) {
        let mut text = Scenario::random(seed).to_toml();
        let at = usize::from(cut) % text.len();
        let at = text.floor_char_boundary(at);
        text.insert_str(at, &put);
        if let Err(problem) = Scenario::from_toml(&text) {
            let told = problem.to_string();
            prop_assert!(told.len() < 3_000 && !told.contains('\n'), "{}", told);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Every step is simpler by the measure, and can be run.
    #[test]
    fn every_smaller_one_is_valid_and_smaller(seed in any::<u32>()) {
        let scenario = Scenario::random(seed);
        for smaller in scenario.smaller() {
            prop_assert!(smaller.size() < scenario.size());
            prop_assert_eq!(smaller.check(), Ok(()));
        }
    }
}

/// The seed is the whole of it, whatever ran before.
#[test]
fn a_seed_is_a_scenario() {
    let mut rng = Rng::from_seed([5; 32]);
    let seeds: Vec<u32> = (0..100).map(|_| rng.u64() as u32).collect();
    let hash = |seeds: &[u32]| seeds.iter().map(|seed| Scenario::random(*seed).to_toml()).collect::<String>();
    assert_eq!(hash(&seeds), hash(&seeds));
    assert_ne!(hash(&seeds[..1]), hash(&seeds[1..2]));
}
