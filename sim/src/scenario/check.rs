//! Whether a scenario can be run: names refer to what there is, networks make a tree, addresses can exist,
//! and nothing is so large that a run would take forever.
//!
//! The first thing that is wrong is said, in an order in which one mistake does not cause another: sizes,
//! names, networks, hosts, addresses, faults.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Problem, Step, instead, problem, short};
use super::{
    Fault, HostSpec, INTERNET, INTERNET_GATEWAYS, MAX_ADDRESSES, MAX_DEPTH, MAX_EVIL, MAX_FAULTS, MAX_HOSTS,
    MAX_INTERFACES, MAX_NAME, MAX_NETWORKS, MAX_STRANGERS, MAX_TIME, MIN_TIME, Mishap, NetworkSpec, Program,
    Scenario,
};
use crate::link::Quality;

impl Scenario {
    /// Whether it can be run, and if not, the first reason why.
    pub fn check(&self) -> Result<(), Problem> {
        self.check_sizes()?;
        self.check_names()?;
        for name in self.nats.keys() {
            self.check_gateway(name)?;
        }
        for (name, network) in &self.networks {
            self.check_network(name, network)?;
        }
        for name in self.networks.keys() {
            self.check_way_up(name)?;
        }
        for (name, host) in &self.hosts {
            self.check_host(name, host)?;
        }
        for (name, host) in &self.hosts {
            self.check_server(name, host)?;
            self.check_peer(name, host)?;
        }
        self.check_addresses()?;
        self.check_room()?;
        self.check_strangers()?;
        for (index, fault) in self.faults.iter().enumerate() {
            self.check_fault(index, fault)?;
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), Problem> {
        if !(MIN_TIME..=MAX_TIME).contains(&self.time) {
            return Err(problem!(["time"], "{} is not between {MIN_TIME} and {MAX_TIME}", self.time));
        }
        let counts = [
            ("nat", "NATs", self.nats.len(), MAX_NETWORKS),
            ("network", "networks", self.networks.len(), MAX_NETWORKS),
            ("host", "hosts", self.hosts.len(), MAX_HOSTS),
            ("fault", "faults", self.faults.len(), MAX_FAULTS),
        ];
        for (key, what, count, most) in counts {
            if count > most {
                return Err(problem!([key], "{count} {what} are too many: {most} at most"));
            }
        }
        if self.hosts.is_empty() {
            return Err(problem!([], "there is no host: nothing would happen"));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Problem> {
        for name in self.nats.keys() {
            check_name("nat", name)?;
        }
        for name in self.networks.keys() {
            check_name("network", name)?;
            if name == INTERNET {
                return Err(problem!(["network", name.as_str()], "the internet is there by itself"));
            }
        }
        for name in self.hosts.keys() {
            check_name("host", name)?;
            if name == INTERNET || self.networks.contains_key(name) {
                return Err(problem!(["host", name.as_str()], "a network has this name already"));
            }
        }
        Ok(())
    }

    fn check_network(&self, name: &str, network: &NetworkSpec) -> Result<(), Problem> {
        let at = |key: &str| -> Vec<Step> { vec!["network".into(), name.into(), key.into()] };
        self.network(&network.outside).map_err(|text| Problem::new(at("in"), &text))?;
        if !self.knows_gateway(&network.behind) {
            let (gateway, known) = (&network.behind, instead(&network.behind, self.gateways()));
            let text = format!("there is no NAT called `{}`; {known}", short(gateway));
            return Err(Problem::new(at("behind"), &text));
        }
        if network.subnet.is_some() && !self.translates(&network.behind) {
            let text = format!(
                "`{}` does not translate, so hosts behind it have addresses of `{}`",
                network.behind, network.outside
            );
            return Err(Problem::new(at("subnet"), &text));
        }
        check_link("network", name, &network.link)
    }

    /// From every network the way out leads to the internet, and IPv6 leads there, too.
    fn check_way_up(&self, name: &str) -> Result<(), Problem> {
        let at = |key: &str| -> Vec<Step> { vec!["network".into(), name.into(), key.into()] };
        let mut way = vec![name];
        while let Some(network) = way.last().and_then(|last| self.networks.get(*last)) {
            if way.contains(&network.outside.as_str()) {
                let text = format!("this leads round in a loop: {} in {}", way.join(" in "), network.outside);
                return Err(Problem::new(at("in"), &text));
            }
            way.push(&network.outside);
            if way.len() > MAX_DEPTH + 1 {
                let text = format!("more than {MAX_DEPTH} networks inside each other: {}", way.join(" in "));
                return Err(Problem::new(at("in"), &text));
            }
        }
        let outside = &self.networks[name].outside;
        if self.networks[name].ipv6 && !self.has_ipv6(outside) {
            let text = format!("`{outside}`, the network that it is in, has no IPv6");
            return Err(Problem::new(at("ipv6"), &text));
        }
        Ok(())
    }

    fn check_host(&self, name: &str, host: &HostSpec) -> Result<(), Problem> {
        let at = |key: &str| -> Vec<Step> { vec!["host".into(), name.into(), key.into()] };
        let count = host.networks.len();
        if count == 0 {
            return Err(Problem::new(at("in"), "a host is in one network at least"));
        }
        if count > MAX_INTERFACES {
            let text = format!("{count} interfaces are too many: {MAX_INTERFACES} at most");
            return Err(Problem::new(at("in"), &text));
        }
        for (index, network) in host.networks.iter().enumerate() {
            self.network(network).map_err(|text| Problem::new(at("in"), &text))?;
            if host.networks[..index].contains(network) {
                let text = format!("the host is in `{network}` twice");
                return Err(Problem::new(at("in"), &text));
            }
        }
        if host.start > self.time {
            let text = format!("{} is after the end, which is at {}", host.start, self.time);
            return Err(Problem::new(at("start"), &text));
        }
        let (server, peer) = host.run.needs();
        let given = [("server", server, host.server.is_some()), ("peer", peer, host.peer.is_some())];
        for (key, needed, given) in given {
            let run = host.run.name();
            if needed && !given {
                let text = format!("a host that runs `{run}` needs a `{key}`");
                return Err(Problem::new(at(key), &text));
            }
            if given && !needed {
                let text = format!("a host that runs `{run}` has no `{key}`");
                return Err(Problem::new(at(key), &text));
            }
        }
        check_link("host", name, &host.link)
    }

    fn check_server(&self, name: &str, host: &HostSpec) -> Result<(), Problem> {
        let Some(server) = &host.server else {
            return Ok(());
        };
        let at = || -> Vec<Step> { vec!["host".into(), name.into(), "server".into()] };
        let spec = self.host(server).map_err(|text| Problem::new(at(), &text))?;
        if spec.run != Program::Mediator {
            let text = format!("`{server}` runs `{}`, and only a `mediator` answers", spec.run.name());
            return Err(Problem::new(at(), &text));
        }
        Ok(())
    }

    fn check_peer(&self, name: &str, host: &HostSpec) -> Result<(), Problem> {
        let Some(peer) = &host.peer else {
            return Ok(());
        };
        let at = || -> Vec<Step> { vec!["host".into(), name.into(), "peer".into()] };
        if peer == name {
            return Err(Problem::new(at(), "a host cannot be its own peer"));
        }
        let spec = self.host(peer).map_err(|text| Problem::new(at(), &text))?;
        let text = match &spec.peer {
            _ if spec.run != Program::Peer => {
                format!("`{peer}` runs `{}`, not `peer`", spec.run.name())
            }
            Some(other) if other != name => {
                format!("`{peer}` wants to reach `{}`; peers name each other", short(other))
            }
            _ if spec.server != host.server => {
                format!("`{peer}` asks another server; only one that both ask can introduce them")
            }
            _ => return Ok(()),
        };
        Err(Problem::new(at(), &text))
    }

    /// Every given address can exist where it is, and exists once.
    fn check_addresses(&self) -> Result<(), Problem> {
        let mut taken: BTreeMap<(&str, IpAddr), &str> = BTreeMap::new();
        for (name, host) in &self.hosts {
            let places = self.places(host).map_err(|(index, text)| {
                Problem::new(
                    vec!["host".into(), name.as_str().into(), "addresses".into(), index.into()],
                    &text,
                )
            })?;
            for (index, (interface, ip)) in places.into_iter().enumerate() {
                if let Some(other) = taken.insert((self.realm(&host.networks[interface]), ip), name) {
                    let other = if other == name { "this host" } else { other };
                    let steps = ["host".into(), name.as_str().into(), "addresses".into(), index.into()];
                    return Err(Problem::new(
                        steps.into(),
                        &format!("{ip} is an address of {other} already"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The given addresses of a host, each with the number of the interface that has it. Only for scenarios
    /// that are in order.
    pub fn addresses(&self, host: &HostSpec) -> Vec<(usize, IpAddr)> {
        self.places(host).unwrap_or_default()
    }

    /// Which interface each address belongs to; or which one to none, and why.
    fn places(&self, host: &HostSpec) -> Result<Vec<(usize, IpAddr)>, (usize, String)> {
        let mut places: Vec<(usize, IpAddr)> = Vec::new();
        for (index, &ip) in host.addresses.iter().enumerate() {
            if index == MAX_INTERFACES * MAX_ADDRESSES * 2 {
                return Err((index, "more addresses than interfaces can have".to_owned()));
            }
            let mut why = None;
            let interface = host.networks.iter().enumerate().find(|(interface, network)| {
                let same =
                    |place: &&(usize, IpAddr)| place.0 == *interface && place.1.is_ipv4() == ip.is_ipv4();
                let result = match places.iter().filter(same).count() {
                    MAX_ADDRESSES => {
                        Err(format!("a host has {MAX_ADDRESSES} addresses of a family in a network at most"))
                    }
                    _ => self.admits(network, ip),
                };
                result.map_err(|text| why = Some(text)).is_ok()
            });
            match (interface, why) {
                (Some((interface, _)), _) => places.push((interface, ip)),
                (None, Some(text)) if host.networks.len() == 1 => return Err((index, text)),
                (None, _) => {
                    return Err((index, format!("{ip} fits none of the networks that the host is in")));
                }
            }
        }
        Ok(places)
    }

    /// There are no more strangers than a run has patience for: each makes a mapping of his own.
    fn check_strangers(&self) -> Result<(), Problem> {
        let millis = self.time.as_micros() / 1_000;
        let mut all = 0;
        for (name, network) in &self.networks {
            let gateways = [Some(network.behind.as_str()), self.above(&network.behind)];
            let nats = gateways.into_iter().flatten().filter_map(|name| self.gateway(name)?.nat);
            all += nats.map(|nat| u64::from(nat.crowd) * millis / 1_000).sum::<u64>();
            if all > MAX_STRANGERS {
                let text = format!(
                    "the crowds behind all NATs are {all} strangers in {}; at most {MAX_STRANGERS} are simulated",
                    self.time
                );
                return Err(problem!(["network", name.as_str(), "behind"], "{text}"));
            }
        }
        Ok(())
    }

    /// There are enough addresses for all hosts and gateways.
    fn check_room(&self) -> Result<(), Problem> {
        let mut needed: BTreeMap<&str, u32> = BTreeMap::new();
        let mut public = 0;
        let moving = |fault: &Fault| match &fault.what {
            Mishap::Readdress(name) => Some(name.clone()),
            _ => None,
        };
        let moving: BTreeSet<String> = self.faults.iter().filter_map(moving).collect();
        for (name, host) in &self.hosts {
            // Whoever gets another address has two at that moment.
            let each = if moving.contains(name) { 2 } else { 1 };
            for network in &host.networks {
                *needed.entry(self.realm(network)).or_default() += each;
            }
        }
        for network in self.networks.values().filter(|network| self.translates(&network.behind)) {
            match self.realm(&network.outside) {
                INTERNET => public += self.pool(&network.behind),
                realm => *needed.entry(realm).or_default() += self.pool(&network.behind),
            }
        }
        for (realm, needed) in needed {
            // The gateway has one itself.
            let (subnet, room) = (self.subnet(realm), self.subnet(realm).size() - 1);
            if needed > room {
                let steps = if realm == INTERNET { vec![] } else { vec!["network".into(), realm.into()] };
                let text = format!("{needed} addresses are needed in `{realm}`, and {subnet} has {room}");
                return Err(Problem::new(steps, &text));
            }
        }
        if public > INTERNET_GATEWAYS.size() {
            let room = INTERNET_GATEWAYS.size();
            return Err(problem!(
                ["network"],
                "the gateways need {public} public addresses; there are {room}"
            ));
        }
        Ok(())
    }

    fn check_fault(&self, index: usize, fault: &Fault) -> Result<(), Problem> {
        let at = |key: &str| -> Vec<Step> { vec!["fault".into(), index.into(), key.into()] };
        if fault.at > self.time {
            let text = format!("{} is after the end, which is at {}", fault.at, self.time);
            return Err(Problem::new(at("at"), &text));
        }
        let (key, name) = (fault.what.name(), fault.what.whose());
        let (is_host, is_network) = (self.hosts.contains_key(name), self.networks.contains_key(name));
        let can = match fault.what {
            Mishap::Down { .. } => is_host || is_network,
            Mishap::Reboot(_) => is_network,
            _ => is_host,
        };
        if !can {
            let networks = self.networks.keys().filter(|_| matches!(key, "down" | "reboot"));
            let hosts = self.hosts.keys().filter(|_| key != "reboot");
            let known = instead(name, hosts.chain(networks).map(String::as_str));
            let text = match &fault.what {
                Mishap::Down { .. } => format!("no host or network is called `{}`; {known}", short(name)),
                Mishap::Reboot(_) if is_host => {
                    format!("`{name}` is a host; networks have gateways; {known}")
                }
                Mishap::Reboot(_) => {
                    format!("no network with a gateway is called `{}`; {known}", short(name))
                }
                _ if is_network => format!("`{name}` is a network, not a host; {known}"),
                _ => format!("there is no host called `{}`; {known}", short(name)),
            };
            return Err(Problem::new(at(key), &text));
        }
        if let Some(time) = fault.what.lasts()
            && !(MIN_TIME..=MAX_TIME).contains(&time)
        {
            let mut steps = at(key);
            steps.push("for".into());
            return Err(Problem::new(steps, &format!("{time} is not between {MIN_TIME} and {MAX_TIME}")));
        }
        if let Mishap::Evil { packets, .. } = fault.what
            && !(1..=MAX_EVIL).contains(&packets)
        {
            let mut steps = at(key);
            steps.push("packets".into());
            return Err(Problem::new(steps, &format!("{packets} is not between 1 and {MAX_EVIL}")));
        }
        Ok(())
    }

    /// Whether there is such a network; if not, which there are.
    fn network(&self, name: &str) -> Result<(), String> {
        if name == INTERNET || self.networks.contains_key(name) {
            return Ok(());
        }
        let known = core::iter::once(INTERNET).chain(self.networks.keys().map(String::as_str));
        Err(format!("there is no network called `{}`; {}", short(name), instead(name, known)))
    }

    /// The host of this name; if there is none, which there are.
    fn host(&self, name: &str) -> Result<&HostSpec, String> {
        self.hosts.get(name).ok_or_else(|| {
            let known = instead(name, self.hosts.keys().map(String::as_str));
            format!("there is no host called `{}`; {known}", short(name))
        })
    }
}

impl Program {
    /// What a scenario calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mediator => "mediator",
            Self::Peer => "peer",
            Self::Stun => "stun",
            Self::Silent => "silent",
        }
    }

    /// Whether it needs a server, and a peer.
    const fn needs(self) -> (bool, bool) {
        match self {
            Self::Mediator | Self::Silent => (false, false),
            Self::Peer => (true, true),
            Self::Stun => (true, false),
        }
    }
}

fn check_name(key: &str, name: &str) -> Result<(), Problem> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(problem!([key, name], "a name has 1 to {MAX_NAME} small letters, digits and hyphens"))
}

fn check_link(key: &str, name: &str, link: &Quality) -> Result<(), Problem> {
    let at = |field: &str| -> Vec<Step> { vec![key.into(), name.into(), "link".into(), field.into()] };
    link.check().map_err(|error| Problem::new(at(error.field()), &error.to_string()))
}
