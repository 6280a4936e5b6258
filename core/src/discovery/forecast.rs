//! What a NAT profile promises: with whom a direct path can be had, how, and how soon.
//!
//! This is the planner's table read by a person, before there is a peer. It knows no more of the peer
//! than the kind of NAT in front of it. What is unknown of ourselves counts as the worst that it may be.

use core::fmt;

use super::{Allocation, Confidence, Dependence, NatProfile};
use crate::time::Duration;

/// What may stand in front of the other side.
///
/// ```
/// use bradawl::discovery::Kind;
/// assert_eq!(Kind::Home.to_string(), "home");
/// assert_eq!(Kind::ALL.len(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No NAT, no firewall.
    Open,
    /// A NAT with open ports.
    FullCone,
    /// A NAT that lets in whoever was sent to, from any port.
    Restricted,
    /// What most homes have: a NAT that lets in whom was sent to, from the port that was sent to.
    Home,
    /// Another port for each peer, one after the other.
    SymmetricSequential,
    /// Another port for each peer, any of a block of [`BLOCK`](Self::BLOCK).
    SymmetricBlock,
    /// Another port for each peer, any.
    Symmetric,
    /// No UDP at all.
    UdpBlocked,
}

impl Kind {
    /// All of them, from the easiest to the hardest.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::Home,
        Self::SymmetricSequential,
        Self::SymmetricBlock,
        Self::Symmetric,
        Self::UdpBlocked,
    ];

    /// How many ports a block of [`Kind::SymmetricBlock`] is taken to have.
    pub const BLOCK: u32 = 1_024;

    /// Its name; it stays.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FullCone => "full-cone",
            Self::Restricted => "restricted",
            Self::Home => "home",
            Self::SymmetricSequential => "symmetric-sequential",
            Self::SymmetricBlock => "symmetric-block",
            Self::Symmetric => "symmetric",
            Self::UdpBlocked => "udp-blocked",
        }
    }

    const fn side(self) -> Side {
        match self {
            Self::Open | Self::FullCone => Side::Reachable,
            Self::Restricted => Side::Restricted,
            Self::Home => Side::PortRestricted,
            Self::SymmetricSequential => Side::Sequential,
            Self::SymmetricBlock => Side::Block(Self::BLOCK),
            Self::Symmetric => Side::Random,
            Self::UdpBlocked => Side::Blocked,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to expect.
///
/// ```
/// use bradawl::discovery::Outlook;
/// assert!(Outlook::Direct < Outlook::Relay);
/// assert_eq!(Outlook::Likely.to_string(), "likely");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outlook {
    /// A direct path, ninety-nine times in a hundred or more.
    Direct,
    /// A direct path more often than not.
    Likely,
    /// A direct path with luck. A relay carries the data meanwhile.
    Unlikely,
    /// A relay.
    Relay,
}

impl Outlook {
    /// Its name; it stays.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Likely => "likely",
            Self::Unlikely => "unlikely",
            Self::Relay => "relay",
        }
    }

    const fn worse(self) -> Self {
        match self {
            Self::Direct => Self::Likely,
            Self::Likely => Self::Unlikely,
            Self::Unlikely | Self::Relay => self,
        }
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to expect of a peer behind one kind of NAT.
///
/// ```
/// use bradawl::discovery::{Confidence, Dependence, Finding, Kind, NatProfile, Outlook};
///
/// let endpoint = Some(Finding { value: Dependence::Endpoint, confidence: Confidence::SURE });
/// let home = NatProfile { servers: (2, 2), mapping: endpoint, ..NatProfile::default() };
/// let forecast = home.forecast(Kind::Symmetric);
/// assert_eq!((forecast.outlook, forecast.within.as_secs()), (Outlook::Likely, 2));
/// assert_eq!(home.forecast(Kind::Home).outlook, Outlook::Direct);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// How it will most probably end.
    pub outlook: Outlook,
    /// How long it takes: half of those that succeed are there by then. Where a relay has to help,
    /// it carries data by then.
    pub within: Duration,
    /// How it is done. The name stays.
    pub strategy: &'static str,
    /// It is direct all the same if the other side has IPv6 as we do.
    pub ipv6: bool,
}

/// What a profile of one address family does not say, and matters all the same.
///
/// ```
/// use bradawl::discovery::{Circumstances, Kind, NatProfile, Outlook};
///
/// let unknown = NatProfile { servers: (1, 1), ..NatProfile::default() };
/// assert_eq!(unknown.forecast(Kind::Symmetric).outlook, Outlook::Relay);
/// let mapped = Circumstances { port_mapping: true, ..Circumstances::default() };
/// assert_eq!(unknown.forecast_given(Kind::Symmetric, mapped).outlook, Outlook::Direct);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// A router has opened a port for us (PCP, NAT-PMP, UPnP), and its address is a public one.
    pub port_mapping: bool,
    /// IPv6 works here.
    pub ipv6: bool,
}

/// How far away a peer is taken to be if no server says.
const ROUND_TRIP: Duration = Duration::from_millis(80);

/// How many ports there are to choose from: all but the well-known ones.
const ALL_PORTS: u32 = 64_512;

/// Ports a second taken by others, from which on a prediction fails too often to be called sure.
const BUSY: u16 = 300;

impl NatProfile {
    /// What to expect of a peer behind that kind of NAT.
    pub fn forecast(&self, remote: Kind) -> Forecast {
        self.forecast_given(remote, Circumstances::default())
    }

    /// The same, with what is known beside.
    pub fn forecast_given(&self, remote: Kind, given: Circumstances) -> Forecast {
        let local = self.side(given);
        let remote_side = remote.side();
        let plan = Plan::of(local.min(remote_side), local.max(remote_side));
        let forecast = self.weigh(plan, local);
        let ipv6 = given.ipv6 && forecast.outlook != Outlook::Direct && remote != Kind::UdpBlocked;
        Forecast { ipv6, ..forecast }
    }

    fn weigh(&self, plan: Plan, local: Side) -> Forecast {
        let round_trip = self.round_trip.unwrap_or(ROUND_TRIP);
        let traffic = known(self.traffic).unwrap_or(0);
        let is_predicted = local >= Side::Preserving;
        let mut outlook = plan.outlook();
        if matches!(plan, Plan::Bracket) && (local == Side::Preserving || traffic > BUSY) {
            outlook = outlook.worse();
        }
        // A packet of the peer that comes before ours may cost the port.
        let is_early = !matches!(plan, Plan::AtOnce) && known(self.overloaded) == Some(true);
        if is_early && outlook == Outlook::Direct {
            outlook = outlook.worse();
        }
        // The address of the mapping to come is one of several: half a prediction at best.
        if is_predicted && !matches!(plan, Plan::AtOnce) && known(self.several_addresses) == Some(true) {
            outlook = outlook.worse();
        }
        let within = match plan {
            Plan::AtOnce | Plan::Plain => round_trip,
            Plan::PeerReflexive | Plan::SamePort | Plan::Bracket | Plan::LongShot | Plan::Relay => {
                round_trip * 2
            }
            Plan::InStep => Duration::from_secs(1) * if traffic > BUSY / 2 { 2 } else { 1 },
            Plan::Birthday(ports) => round_trip * 2 + birthday(ports),
            Plan::RelayOverTcp => round_trip * 4,
        };
        Forecast { outlook, within, strategy: plan.name(), ipv6: false }
    }

    /// How hard we are to reach. What is not known is the worst that it may be.
    fn side(&self, given: Circumstances) -> Side {
        if !self.passes_udp() {
            return Side::Blocked;
        }
        // A port of the router is no port of the carrier's NAT above it. And where the filter lets in
        // everybody, the address that a server saw serves for all, however many others there may be.
        let is_mapped = given.port_mapping && known(self.carrier) != Some(true);
        let filtering = known(self.filtering);
        if is_mapped || filtering == Some(Dependence::Endpoint) {
            return Side::Reachable;
        }
        if !self.has_one_port() {
            return match known(self.allocation) {
                Some(Allocation::Preserving { .. }) => Side::Preserving,
                Some(Allocation::Sequential { .. }) => Side::Sequential,
                Some(Allocation::Block { first, last }) => Side::Block(u32::from(last.abs_diff(first)) + 1),
                Some(Allocation::Random) | None => Side::Random,
            };
        }
        match filtering {
            Some(Dependence::Address) => Side::Restricted,
            _ => Side::PortRestricted,
        }
    }

    pub(super) fn passes_udp(&self) -> bool {
        known(self.udp).unwrap_or(self.servers.1 > 0)
    }

    /// Whether a socket has the same public address for all, as far as is known.
    fn has_one_port(&self) -> bool {
        match known(self.mapping) {
            Some(mapping) => mapping == Dependence::Endpoint,
            None => known(self.translated) == Some(false),
        }
    }
}

/// The value of an axis, if there is enough evidence for it.
pub(super) fn known<T: Copy>(axis: super::Axis<T>) -> Option<T> {
    axis.filter(|finding| finding.confidence >= Confidence::ENOUGH).map(|finding| finding.value)
}

/// One side of a pair, from the easiest to the hardest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    /// Whoever knows its address can send to it.
    Reachable,
    /// One port for all, open to whomever it has sent to.
    Restricted,
    /// One port for all, open to whichever port it has sent to.
    PortRestricted,
    /// Another port for each, the inside one as a rule.
    Preserving,
    /// Another port for each, one after the other.
    Sequential,
    /// Another port for each, any of so many.
    Block(u32),
    /// Another port for each, any.
    Random,
    /// No UDP.
    Blocked,
}

/// How a pair is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    AtOnce,
    Plain,
    PeerReflexive,
    SamePort,
    Bracket,
    InStep,
    Birthday(u32),
    LongShot,
    Relay,
    RelayOverTcp,
}

impl Plan {
    /// The planner's table.
    const fn of(easier: Side, harder: Side) -> Self {
        use Side::*;
        match (easier, harder) {
            (_, Blocked) => Self::RelayOverTcp,
            (Reachable, _) => Self::AtOnce,
            (Restricted | PortRestricted, Restricted | PortRestricted) => Self::Plain,
            (Restricted, _) => Self::PeerReflexive,
            (PortRestricted | Preserving, Preserving) => Self::SamePort,
            (PortRestricted | Preserving, Sequential) => Self::Bracket,
            (Sequential, Sequential) => Self::InStep,
            (PortRestricted | Preserving, Block(ports)) => Self::Birthday(ports),
            (PortRestricted, Random) => Self::Birthday(ALL_PORTS),
            // One of the two is half known.
            (Preserving, Random) | (Sequential, Block(_)) => Self::LongShot,
            _ => Self::Relay,
        }
    }

    const fn outlook(self) -> Outlook {
        match self {
            Self::AtOnce | Self::Plain | Self::PeerReflexive | Self::Bracket => Outlook::Direct,
            Self::SamePort | Self::InStep | Self::Birthday(_) => Outlook::Likely,
            Self::LongShot => Outlook::Unlikely,
            Self::Relay | Self::RelayOverTcp => Outlook::Relay,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::Plain => "punch",
            Self::PeerReflexive => "peer-reflexive",
            Self::SamePort => "same-port",
            Self::Bracket => "bracket",
            Self::InStep => "in-step",
            Self::Birthday(ports) if ports > ALL_PORTS / 2 => "birthday-full",
            Self::Birthday(_) | Self::LongShot => "birthday",
            Self::Relay => "relay",
            Self::RelayOverTcp => "relay-tcp",
        }
    }
}

/// When half of all birthday punches are through: both sides try a hundred ports a second, so that after
/// `t` ms the chance is 1 − e^(−(t / 10)² / ports), and half of that is t = 10 · √(ln 2 · ports).
fn birthday(ports: u32) -> Duration {
    let square = u64::from(ports) * 693 / 10;
    Duration::from_millis(square.isqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{Axis, Finding};
    use Outlook::{Direct, Likely, Relay, Unlikely};

    fn sure<T>(value: T) -> Axis<T> {
        Some(Finding { value, confidence: Confidence::SURE })
    }

    fn asked() -> NatProfile {
        NatProfile { servers: (2, 2), udp: sure(true), translated: sure(true), ..NatProfile::default() }
    }

    fn cone(filtering: Option<Dependence>) -> NatProfile {
        let filtering = filtering.and_then(sure);
        NatProfile { mapping: sure(Dependence::Endpoint), filtering, ..asked() }
    }

    fn symmetric(allocation: Option<Allocation>) -> NatProfile {
        let filtering = sure(Dependence::AddressAndPort);
        let allocation = allocation.and_then(sure);
        NatProfile { mapping: sure(Dependence::AddressAndPort), filtering, allocation, ..asked() }
    }

    const SEQUENTIAL: Allocation = Allocation::Sequential { step: 1 };
    const PRESERVING: Allocation = Allocation::Preserving { otherwise: None };
    const BLOCK: Allocation = Allocation::Block { first: 1_024, last: 2_047 };

    /// What to expect of each kind, from `open` to `udp-blocked`.
    fn outlooks(profile: &NatProfile) -> [Outlook; 8] {
        Kind::ALL.map(|kind| profile.forecast(kind).outlook)
    }

    #[test]
    fn each_row_of_the_planners_table() {
        let restricted = [Direct, Direct, Direct, Direct, Direct, Direct, Direct, Relay];
        let port_restricted = [Direct, Direct, Direct, Direct, Direct, Likely, Likely, Relay];
        for (profile, expected) in [
            (cone(Some(Dependence::Endpoint)), restricted),
            (cone(Some(Dependence::Address)), restricted),
            (cone(Some(Dependence::AddressAndPort)), port_restricted),
            (cone(None), port_restricted),
            (symmetric(Some(PRESERVING)), [Direct, Direct, Direct, Likely, Likely, Likely, Unlikely, Relay]),
            (symmetric(Some(SEQUENTIAL)), [Direct, Direct, Direct, Direct, Likely, Unlikely, Relay, Relay]),
            (symmetric(Some(BLOCK)), [Direct, Direct, Direct, Likely, Unlikely, Relay, Relay, Relay]),
            (
                symmetric(Some(Allocation::Random)),
                [Direct, Direct, Direct, Likely, Relay, Relay, Relay, Relay],
            ),
            (symmetric(None), [Direct, Direct, Direct, Likely, Relay, Relay, Relay, Relay]),
            (NatProfile { udp: sure(false), ..asked() }, [Relay; 8]),
        ] {
            assert_eq!(outlooks(&profile), expected, "{profile:?}");
        }
    }

    #[test]
    fn how_and_how_soon() {
        let far = |profile| NatProfile { round_trip: Some(Duration::from_millis(50)), ..profile };
        let home = far(cone(Some(Dependence::AddressAndPort)));
        let sequential = far(symmetric(Some(SEQUENTIAL)));
        let random = far(symmetric(Some(Allocation::Random)));
        for (profile, kind, strategy, millis) in [
            (&home, Kind::Open, "at-once", 50),
            (&home, Kind::Home, "punch", 50),
            (&random, Kind::Restricted, "peer-reflexive", 100),
            (&far(symmetric(Some(PRESERVING))), Kind::Home, "same-port", 100),
            (&home, Kind::SymmetricSequential, "bracket", 100),
            (&sequential, Kind::SymmetricSequential, "in-step", 1_000),
            (&home, Kind::SymmetricBlock, "birthday", 366),
            (&home, Kind::Symmetric, "birthday-full", 2_214),
            (&random, Kind::Symmetric, "relay", 100),
            (&home, Kind::UdpBlocked, "relay-tcp", 200),
        ] {
            let forecast = profile.forecast(kind);
            assert_eq!((forecast.strategy, forecast.within.as_millis()), (strategy, millis), "{kind}");
        }
        assert_eq!(cone(None).forecast(Kind::Home).within, ROUND_TRIP);
    }

    #[test]
    fn what_is_unknown_or_unsure_is_the_worst() {
        let nothing = NatProfile::default();
        assert_eq!(outlooks(&nothing), [Relay; 8]);
        let answered = NatProfile { servers: (1, 1), ..nothing };
        assert_eq!(outlooks(&answered), outlooks(&symmetric(None)));
        let keeps_ports = NatProfile { allocation: sure(PRESERVING), ..answered.clone() };
        assert_eq!(outlooks(&keeps_ports), outlooks(&symmetric(Some(PRESERVING))));

        let guess = Some(Finding { value: Dependence::Endpoint, confidence: Confidence::from_bits(6) });
        assert_eq!(outlooks(&NatProfile { mapping: guess, ..answered }), outlooks(&symmetric(None)));
        let open = NatProfile { translated: sure(false), ..asked() };
        assert_eq!(outlooks(&open), outlooks(&cone(None)), "no NAT, perhaps a firewall");
    }

    #[test]
    fn a_port_that_an_early_packet_may_cost_is_not_sure() {
        let shared = NatProfile { overloaded: sure(true), ..cone(Some(Dependence::AddressAndPort)) };
        assert_eq!(outlooks(&shared), [Direct, Direct, Likely, Likely, Likely, Likely, Likely, Relay]);
    }

    #[test]
    fn what_spoils_a_prediction() {
        let busy = NatProfile { traffic: sure(1_000), ..symmetric(Some(SEQUENTIAL)) };
        assert_eq!(busy.forecast(Kind::Home).outlook, Likely);
        assert_eq!(busy.forecast(Kind::SymmetricSequential).within, Duration::from_secs(2));
        let many = NatProfile { several_addresses: sure(true), ..symmetric(Some(SEQUENTIAL)) };
        assert_eq!(outlooks(&many), [Direct, Direct, Likely, Likely, Unlikely, Unlikely, Relay, Relay]);
        let cone = NatProfile { several_addresses: sure(true), ..cone(None) };
        assert_eq!(cone.forecast(Kind::Home).outlook, Direct, "its own mapping is known");
    }

    #[test]
    fn a_filter_that_lets_in_everybody_makes_up_for_any_mapping() {
        let odd = NatProfile { filtering: sure(Dependence::Endpoint), ..symmetric(None) };
        assert_eq!(odd.forecast(Kind::Symmetric).outlook, Direct);
    }

    #[test]
    fn a_mapped_port_is_as_good_as_a_full_cone_unless_a_carrier_is_above() {
        let given = Circumstances { port_mapping: true, ipv6: false };
        let random = symmetric(None);
        assert_eq!(random.forecast_given(Kind::Symmetric, given).outlook, Direct);
        let carrier = NatProfile { carrier: sure(true), ..random };
        assert_eq!(carrier.forecast_given(Kind::Symmetric, given).outlook, Relay);
        let blocked = NatProfile { udp: sure(false), ..carrier };
        assert_eq!(blocked.forecast_given(Kind::Open, given).outlook, Relay);
    }

    #[test]
    fn ipv6_on_both_sides_is_said_where_it_helps() {
        let given = Circumstances { ipv6: true, port_mapping: false };
        let helps = Kind::ALL.map(|kind| symmetric(None).forecast_given(kind, given).ipv6);
        assert_eq!(helps, [false, false, false, true, true, true, true, false]);
        assert!(!symmetric(None).forecast(Kind::Symmetric).ipv6);
    }
}
