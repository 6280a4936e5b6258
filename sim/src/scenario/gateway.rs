//! NATs and firewalls of a scenario's own: one of the catalogue, or what RFC 4787 asks for, with changes.

use serde::{Deserialize, Serialize};

use super::problem::{Problem, instead, problem, short};
use super::{MAX_POOL, Scenario};
use crate::catalogue::{self, Gateway};
use crate::firewall::Firewall;
use crate::nat::{Allocation, Behaviour, ConfigError, Dependence, Hairpin, Pooling, PortRange};
use crate::units::Span;

/// Declares [`GatewaySpec`] with an `Option` per axis, and what has to be done for each of them.
macro_rules! axes {
    ($($(#[$doc:meta])* $axis:ident: $type:ty,)*) => {
        /// A NAT or firewall: one of the catalogue, or of RFC 4787's defaults, with changes. What is `None` is
        /// as it is in that one; the axes are those of [`Behaviour`].
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct GatewaySpec {
            /// Which one of the catalogue it is like. `None`: a NAT as RFC 4787 wants it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub like: Option<String>,
            /// How many public addresses it has.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub addresses: Option<u8>,
            /// Its firewall, the whole of it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub firewall: Option<Firewall>,
            $(
                $(#[$doc])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $axis: Option<$type>,
            )*
        }

        impl GatewaySpec {
            /// Where axes are missing in this file, this does not compile.
            fn change(&self, behaviour: &mut Behaviour) {
                let Behaviour { $($axis),* } = behaviour;
                $(if let Some(value) = self.$axis {
                    *$axis = value.into();
                })*
            }

            /// The axes that are changed, by the names they have in a scenario.
            pub(super) fn changed(&self) -> Vec<String> {
                let axes = [$((self.$axis.is_some(), stringify!($axis))),*];
                let changed = axes.into_iter().filter(|(changed, _)| *changed);
                changed.map(|(_, axis)| axis.replace('_', "-")).collect()
            }

            /// The same with one change less, for each of them.
            pub(super) fn less(&self) -> Vec<Self> {
                let mut all = Vec::new();
                $(if self.$axis.is_some() {
                    all.push(Self { $axis: None, ..self.clone() });
                })*
                if self.firewall.is_some() {
                    all.push(Self { firewall: None, ..self.clone() });
                }
                if self.addresses.is_some() {
                    all.push(Self { addresses: None, ..self.clone() });
                }
                all
            }
        }
    };
}

axes! {
    /// When a host gets the same public endpoint again.
    mapping: Dependence,
    /// Who may send to that endpoint.
    filtering: Dependence,
    /// Which port a new mapping gets.
    allocation: Allocation,
    /// Whether several inside endpoints may have the same public one.
    overload: bool,
    /// Even ports stay even, odd ones odd.
    parity: bool,
    /// An odd port is mapped right above its even neighbour.
    contiguity: bool,
    /// Inside ports below 1,024 get public ones below 1,024.
    well_known: bool,
    /// The ports that it hands out.
    ports: PortRange,
    /// Whether one mapping's packets can come back in at another's.
    hairpin: Hairpin,
    /// Which of its public addresses a host gets.
    pooling: Pooling,
    /// How long a mapping lives that is not refreshed.
    lifetime: Span,
    /// How long it lives as long as nothing has come in.
    unreplied: Span,
    /// For how long `unreplied` holds even if something comes in.
    probation: Span,
    /// How long a peer that was sent to may send in.
    filter_lifetime: Span,
    /// Whether what goes out refreshes a mapping.
    refresh_outbound: bool,
    /// Whether what comes in refreshes a mapping.
    refresh_inbound: bool,
    /// Whether an unasked packet from outside takes its tuple.
    early: bool,
    /// How long a TCP connection lives that is established and idle.
    tcp_established: Span,
    /// How long one lives that is half open or closing.
    tcp_transitory: Span,
    /// Whether it refuses an unasked TCP SYN.
    refuse: bool,
    /// Whether ICMP errors pass.
    pass_errors: bool,
    /// How many mappings it has room for.
    capacity: u32,
    /// How many of these one host may have.
    per_host: u32,
    /// How many mappings strangers behind it make per second.
    crowd: u32,
}

impl Scenario {
    /// The gateway that `name` means: one of the scenario's own, or else of the catalogue.
    pub fn gateway(&self, name: &str) -> Option<Gateway> {
        let Some(spec) = self.nats.get(name) else {
            return Some(catalogue::entry(name)?.gateway.clone());
        };
        let mut gateway = match &spec.like {
            Some(like) => catalogue::entry(like)?.gateway.clone(),
            None => Gateway { nat: Some(Behaviour::default()), addresses: 1, firewall: Firewall::default() },
        };
        if let Some(behaviour) = &mut gateway.nat {
            spec.change(behaviour);
        }
        gateway.addresses = spec.addresses.unwrap_or(gateway.addresses);
        gateway.firewall = spec.firewall.unwrap_or(gateway.firewall);
        Some(gateway)
    }

    /// The gateway of the catalogue that stands above the one that `name` means, as a carrier's does.
    pub fn above(&self, name: &str) -> Option<&'static str> {
        self.origin(name)?.above
    }

    /// The entry of the catalogue that `name` is, or is like.
    pub(super) fn origin(&self, name: &str) -> Option<&'static catalogue::Entry> {
        match self.nats.get(name) {
            Some(spec) => catalogue::entry(spec.like.as_deref()?),
            None => catalogue::entry(name),
        }
    }

    /// Whether `network` has IPv6: because it says so, or because networks behind such a gateway have it and
    /// the network outside has it, too. Only for scenarios that are in order.
    pub fn has_ipv6(&self, network: &str) -> bool {
        let mut name = network;
        for _ in 0..=self.networks.len() {
            let Some(network) = self.networks.get(name) else {
                return name == super::INTERNET;
            };
            if !network.ipv6 && !self.origin(&network.behind).is_some_and(|entry| entry.ipv6) {
                return false;
            }
            name = &network.outside;
        }
        false
    }

    /// Whether the gateway that `name` means, or the one above it, changes addresses.
    pub(super) fn translates(&self, name: &str) -> bool {
        let own = self.nats.get(name).is_some_and(|spec| spec.like.is_none());
        own || self.origin(name).is_some_and(|entry| entry.gateway.nat.is_some() || entry.above.is_some())
    }

    /// How many addresses the gateway that `name` means takes of the network outside.
    pub(super) fn pool(&self, name: &str) -> u32 {
        let topmost = self.above(name).unwrap_or(name);
        self.gateway(topmost).map_or(0, |gateway| gateway.addresses.into())
    }

    /// Whether a network can be behind this.
    pub(super) fn knows_gateway(&self, name: &str) -> bool {
        self.nats.contains_key(name) || catalogue::entry(name).is_some()
    }

    /// All gateways that a network can be behind.
    pub(super) fn gateways(&self) -> impl Iterator<Item = &str> {
        self.nats.keys().map(String::as_str).chain(catalogue::entries().iter().map(|entry| entry.name))
    }

    /// Whether there can be such a gateway as the one of the scenario's own called `name`.
    pub(super) fn check_gateway(&self, name: &str) -> Result<(), Problem> {
        let spec = &self.nats[name];
        let Some(gateway) = self.gateway(name) else {
            let like = spec.like.as_deref().unwrap_or_default();
            let known = instead(like, catalogue::entries().iter().map(|entry| entry.name));
            let text = format!("there is no NAT called `{}` in the catalogue; {known}", short(like));
            return Err(problem!(["nat", name, "like"], "{text}"));
        };
        if gateway.nat.is_none() && spec.addresses.is_some() {
            return Err(problem!(["nat", name, "addresses"], "what does not translate has no addresses"));
        }
        if !(1..=MAX_POOL).contains(&gateway.addresses) && gateway.nat.is_some() {
            let count = gateway.addresses;
            return Err(problem!(["nat", name, "addresses"], "{count} is not between 1 and {MAX_POOL}"));
        }
        if gateway.firewall.lifetime == Span::ZERO {
            return Err(problem!(["nat", name, "firewall", "lifetime"], "a lifetime of 0 lets no answer in"));
        }
        match gateway.nat {
            None => match spec.changed().first() {
                None => Ok(()),
                Some(axis) => {
                    let like = spec.like.as_deref().unwrap_or_default();
                    Err(problem!(
                        ["nat", name, axis.as_str()],
                        "`{like}` does not translate: there is nothing to change"
                    ))
                }
            },
            Some(behaviour) => behaviour.check().map_err(|error| {
                let axis = match error {
                    ConfigError::NoAddress | ConfigError::Address => "addresses",
                    ConfigError::Ports => "ports",
                    ConfigError::Parity => "parity",
                    ConfigError::Step => "allocation",
                    ConfigError::Crowd => "crowd",
                    ConfigError::Capacity => "capacity",
                    ConfigError::Lifetime => {
                        let spans = [
                            (spec.unreplied, "unreplied"),
                            (spec.filter_lifetime, "filter-lifetime"),
                            (spec.tcp_established, "tcp-established"),
                            (spec.tcp_transitory, "tcp-transitory"),
                        ];
                        let zero = spans.iter().find(|(span, _)| *span == Some(Span::ZERO));
                        zero.map_or("lifetime", |(_, axis)| axis)
                    }
                };
                problem!(["nat", name, axis], "{error}")
            }),
        }
    }
}
