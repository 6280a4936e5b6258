//! Who looks at the NAT: over which families, from where, through which servers.

use std::net::SocketAddr;

use bradawl::discovery::{self, Config, Discovery, Ipv6, MAX_SERVERS, NatProfile};
use bradawl::machine::{HostInput, Machine as _};
use bradawl::portmap::Refusal;

use super::opening::Opening;
use super::survey::Survey;
use crate::cli::nat::{Family, Nat, PortMapping};
use crate::cli::output::Printer;
use crate::cli::{Exit, Problem, say};
use crate::driver::Driver;
use crate::udp::{self, BindOptions};
use crate::{interfaces, routes};

/// The look over each family.
#[derive(Default)]
pub(super) struct Look {
    groups: Vec<Group>,
    begun: bool,
    /// Whether the lifetime of mappings is waited for.
    patient: bool,
    /// Some server has an IPv6 address to which no address of ours leads.
    no_ipv6: bool,
    /// Something was learned that nobody has been told.
    news: bool,
    /// Whether a router is asked for a port, and what came of it.
    asks_router: bool,
    port_mapping: Option<PortMapping>,
}

/// Servers that one socket can ask.
struct Group {
    family: Family,
    /// Our address, without a port.
    ours: SocketAddr,
    servers: Vec<SocketAddr>,
    /// Whether it is known what can be known in a few seconds; and all that will ever be.
    known: bool,
    finished: bool,
    /// How far it is, as somebody has heard last.
    said: String,
}

impl Look {
    pub(super) fn new(patient: bool) -> Self {
        Self { patient, ..Self::default() }
    }

    /// A server that can be asked from `ours`, whose port is 0.
    pub(super) fn add(&mut self, ours: SocketAddr, server: SocketAddr) {
        let family = Family::of(server);
        let group = match self.groups.iter_mut().find(|group| group.family == family) {
            Some(group) => group,
            None => {
                let (servers, said) = (Vec::new(), String::new());
                self.groups.push_mut(Group { family, ours, servers, known: false, finished: false, said })
            }
        };
        if group.ours == ours && !group.servers.contains(&server) {
            group.servers.push(server);
        } else if group.ours != ours {
            let (first, other) = (group.ours.ip(), ours.ip());
            say(format_args!(
                "note: {server} is asked from {other}: it says nothing of the way out of {first}"
            ));
        }
    }

    /// There is no way to that server.
    pub(super) fn no_way_to(&mut self, server: SocketAddr) {
        self.no_ipv6 |= server.is_ipv6();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Begins, with the servers that there are by now.
    pub(super) fn begin(&mut self, driver: &mut Driver<Survey<Discovery>>) -> Result<(), Problem> {
        self.begun = true;
        self.groups.sort_by_key(|group| group.family);
        for group in &mut self.groups {
            if group.servers.len() > MAX_SERVERS {
                let (count, first) = (group.servers.len(), MAX_SERVERS);
                say(format_args!("note: of {count} servers the first {first} are used to look at the NAT"));
                group.servers.truncate(MAX_SERVERS);
            }
            let (_, local) = driver.bind(group.ours, &BindOptions::default()).map_err(|error| {
                Problem::new(Exit::Failed, format!("cannot send from {}: {error}", group.ours.ip()))
            })?;
            let (servers, lifetime) = (group.servers.clone(), self.patient);
            let sockets = discovery::MAX_SOCKETS as u32;
            driver.machine_mut().look(group.family, sockets, |first_socket, rng| {
                Discovery::new(Config { local, servers, first_socket, lifetime }, rng)
            });
            if group.family == Family::Ipv4 && group.leads_out() {
                // For a socket of its own: what the router does with this one is being looked at.
                let (_, spare) = driver.bind(group.ours, &BindOptions::default()).map_err(|error| {
                    Problem::new(Exit::Failed, format!("cannot send from {}: {error}", group.ours.ip()))
                })?;
                self.asks_router = ask_router(driver, spare);
                // Nobody to ask is an answer, too.
                let nobody = PortMapping::Refused(Refusal::NoRouter);
                self.port_mapping = (!self.asks_router).then_some(nobody);
            }
        }
        Ok(())
    }

    /// What became of the question for a port.
    pub(super) fn answered(&mut self, port_mapping: PortMapping) {
        self.port_mapping = Some(port_mapping);
    }

    pub(super) fn event(&mut self, family: Family, event: discovery::Event) {
        let Some(group) = self.groups.iter_mut().find(|group| group.family == family) else { return };
        match event {
            discovery::Event::Known => {
                group.known = true;
                self.news = true;
            }
            discovery::Event::Learned => self.news = true,
            discovery::Event::Finished => group.finished = true,
        }
    }

    /// Whether nothing more will come that is waited for.
    pub(super) fn is_over(&self) -> bool {
        let is_open = self.asks_router && self.port_mapping.is_none();
        let mut groups = self.groups.iter();
        self.begun && !is_open && groups.all(|group| group.finished || group.known && !self.patient)
    }

    /// Tells who waits for minutes how far it is.
    pub(super) fn progress(&mut self, survey: &Survey<Discovery>, printer: Printer) {
        if !self.patient || !std::mem::take(&mut self.news) {
            return;
        }
        for (family, looker) in survey.lookers() {
            let Some(group) = self.groups.iter_mut().find(|group| group.family == family) else { continue };
            let text = how_far(looker.profile()).filter(|text| *text != group.said);
            if let Some(text) = text.filter(|_| group.known) {
                printer.progress(format_args!("{}: {text}", family.title()));
                group.said = text;
            }
        }
    }

    /// What is known, for each family of which anything is.
    pub(super) fn results<'a>(&self, survey: &'a Survey<Discovery>) -> impl Iterator<Item = Nat<'a>> {
        let (ipv6, patient) = (self.ipv6(survey), self.patient);
        let so_far = || survey.opening().map(Opening::so_far);
        let port_mapping = self.port_mapping.or_else(so_far).unwrap_or_default();
        let all = survey.lookers().map(|(family, looker)| (family, looker.profile()));
        all.filter(|(_, profile)| says_something(profile)).map(move |(family, profile)| Nat {
            family,
            profile,
            ipv6,
            port_mapping: if family == Family::Ipv4 { port_mapping } else { PortMapping::NotAsked },
            patient,
        })
    }

    fn ipv6(&self, survey: &Survey<Discovery>) -> Ipv6 {
        match survey.lookers().find(|(family, _)| *family == Family::Ipv6) {
            Some((_, looker)) => Ipv6::of(looker.profile()),
            None if self.no_ipv6 => Ipv6::Absent,
            None => Ipv6::Unknown,
        }
    }
}

impl Group {
    /// Whether any server is not on this very host: only then may there be a router on the way.
    fn leads_out(&self) -> bool {
        let ours = self.ours.ip();
        !ours.is_loopback() && self.servers.iter().any(|server| server.ip() != ours)
    }
}

/// Asks the routers that are reached from this socket for its port. Whether there are any.
fn ask_router(driver: &mut Driver<Survey<Discovery>>, local: SocketAddr) -> bool {
    let leads_from_here = |router: &SocketAddr| {
        udp::source_for(*router).is_ok_and(|ours| ours.is_ipv4() && ours.ip() == local.ip())
    };
    let routers = routes::gateways().into_iter().filter(leads_from_here).map(|router| router.ip());
    let routers: Vec<_> = routers.collect();
    if routers.is_empty() {
        return false;
    }
    let now = driver.now();
    let survey = driver.machine_mut();
    let opened = survey.open(|first_socket, rng| Opening::new(now, local, routers, first_socket, rng));
    if let (Some(opening), Ok(interfaces)) = (survey.opening_mut(), interfaces::interfaces()) {
        opening.handle_host(now, HostInput::Interfaces(&interfaces));
    }
    opened.is_ok()
}

/// What is known of the lifetime so far; nothing while not even the rest is known.
fn how_far(profile: &NatProfile) -> Option<String> {
    if profile.servers.1 == 0 {
        return None;
    }
    let Some(lifetime) = profile.lifetime else {
        return Some("the rest is known; how long a mapping lives takes minutes".to_owned());
    };
    let survives = lifetime.value.survives.as_secs();
    let least = format!("a mapping is remembered for {survives} s of silence");
    Some(match lifetime.value.forgotten {
        Some(forgotten) => format!("{least}, and not for {} s", forgotten.as_secs()),
        None => least,
    })
}

fn says_something(profile: &NatProfile) -> bool {
    profile.servers.1 > 0 || profile.udp.is_some_and(|finding| !finding.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bradawl::discovery::{Confidence, Finding, Lifetime};
    use bradawl::time::Duration;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_group_for_each_family_and_only_who_is_asked_from_the_same_address() {
        let mut look = Look::new(false);
        for (ours, server) in [
            ("[2001:db8::5]:0", "[2001:db8::1]:3478"),
            ("192.168.1.5:0", "198.51.100.1:3478"),
            ("192.168.1.5:0", "198.51.100.1:3478"),
            ("10.8.0.2:0", "10.8.0.1:3478"),
            ("192.168.1.5:0", "198.51.100.2:3478"),
        ] {
            look.add(at(ours), at(server));
        }
        let servers: Vec<_> = look.groups.iter().map(|group| &group.servers[..]).collect();
        let v4 = [at("198.51.100.1:3478"), at("198.51.100.2:3478")];
        assert_eq!(servers, [&[at("[2001:db8::1]:3478")][..], &v4[..]]);
    }

    #[test]
    fn it_is_over_when_what_is_waited_for_is_known() {
        for patient in [false, true] {
            let mut look = Look::new(patient);
            look.add(at("192.168.1.5:0"), at("198.51.100.1:3478"));
            assert!(!look.is_over(), "it has not begun");
            look.begun = true;
            assert!(!look.is_over());
            look.event(Family::Ipv6, discovery::Event::Finished);
            assert!(!look.is_over(), "another one's");
            look.event(Family::Ipv4, discovery::Event::Known);
            assert_eq!(look.is_over(), !patient);
            look.event(Family::Ipv4, discovery::Event::Finished);
            assert!(look.is_over());
        }
    }

    #[test]
    fn who_asks_the_router_waits_for_what_it_says() {
        let mut look = Look::new(false);
        look.add(at("192.168.1.5:0"), at("198.51.100.1:3478"));
        (look.begun, look.asks_router) = (true, true);
        look.event(Family::Ipv4, discovery::Event::Known);
        assert!(!look.is_over());
        look.answered(PortMapping::Refused(Refusal::NoAnswer));
        assert!(look.is_over());
    }

    #[test]
    fn no_router_is_on_the_way_to_oneself() {
        for (ours, server, leads_out) in [
            ("127.0.0.1:0", "127.0.0.1:3478", false),
            ("127.0.0.1:0", "127.0.0.2:3478", false),
            ("192.168.1.5:0", "192.168.1.5:3478", false),
            ("192.168.1.5:0", "198.51.100.1:3478", true),
        ] {
            let mut look = Look::new(false);
            look.add(at(ours), at(server));
            assert_eq!(look.groups[0].leads_out(), leads_out, "{ours} {server}");
        }
    }

    #[test]
    fn who_waits_hears_how_far_it_is() {
        let mut profile = NatProfile::default();
        assert_eq!(how_far(&profile), None);
        profile.servers = (1, 1);
        assert!(how_far(&profile).is_some_and(|text| text.contains("takes minutes")));
        let mut learned = |survives, forgotten: Option<u64>| {
            let survives = Duration::from_secs(survives);
            let value = Lifetime { survives, forgotten: forgotten.map(Duration::from_secs) };
            profile.lifetime = Some(Finding { value, confidence: Confidence::SURE });
            how_far(&profile)
        };
        assert!(learned(60, None).is_some_and(|text| text.ends_with("for 60 s of silence")));
        assert!(
            learned(60, Some(90)).is_some_and(|text| text.ends_with("60 s of silence, and not for 90 s"))
        );
    }
}
