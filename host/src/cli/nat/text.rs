//! A profile in words: one line per axis, how sure each is, what it promises, what to change.

use std::fmt;
use std::time::Duration;

use bradawl::discovery::{
    Allocation, Axis, Confidence, Dependence, Fallback, Finding, Hairpin, Ipv6, Kind, Label, Lifetime,
    Outlook,
};
use bradawl::portmap::Refusal;

use super::{Family, Nat, PortMapping};

/// What takes no longer is not worth a word.
const MOMENT: Duration = Duration::from_millis(200);

impl fmt::Display for Nat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title(f)?;
        line(f, "UDP", self.profile.udp, |passes| if passes { "passes" } else { "does not pass" }.into())?;
        if !self.is_blocked() && !self.nobody_answered() {
            self.behaviour(f)?;
        }
        self.addresses(f)?;
        self.forecasts(f)?;
        for hint in self.profile.hints(self.circumstances()) {
            write!(f, "\n  {:<13} {hint}", "hint")?;
        }
        Ok(())
    }
}

impl Nat<'_> {
    fn title(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.title())?;
        match self.profile.label() {
            Label::Unknown if self.nobody_answered() => f.write_str(" · no server answered"),
            Label::Unknown if self.is_untranslated() => f.write_str(" · no NAT, perhaps a firewall"),
            Label::Unknown => f.write_str(" · its kind is not known"),
            Label::PortRestricted if self.is_untranslated() => {
                write!(f, " · no NAT, a firewall · {} sure", self.profile.confidence())
            }
            label => {
                let confidence = self.profile.confidence();
                let perhaps = if confidence < Confidence::ENOUGH { "perhaps " } else { "" };
                write!(f, " · {perhaps}{label} · {confidence} sure")
            }
        }
    }

    fn behaviour(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.profile;
        line(f, "NAT", profile.translated, |is| if is { "yes" } else { "no" }.into())?;
        if !self.is_untranslated() || profile.mapping.is_some() {
            self.axis(f, "mapping", profile.mapping, mapping, self.why_no_mapping())?;
        }
        self.axis(f, "filtering", profile.filtering, filtering, "needs a server with two addresses")?;
        let early = "others may have it, too, and a packet that comes early may cost it";
        line(f, "shared port", profile.overloaded.filter(is_so), |_| early.into())?;
        if !self.is_untranslated() {
            self.axis(f, "ports", profile.allocation, allocation, "too few answers")?;
            line(f, "taken by others", profile.traffic, |rate| format!("{rate} ports a second"))?;
            line(f, "parity", profile.parity.filter(is_so), |_| "even ports stay even".into())?;
            self.axis(f, "hairpin", profile.hairpin, hairpin, "not found out")?;
            line(f, "addresses", profile.several_addresses.filter(is_so), |_| "several".into())?;
        }
        // An open way has nothing to forget.
        if !profile.is_open() && (!self.is_untranslated() || profile.lifetime.is_some() || self.patient) {
            let why = if self.patient { "not found out in time" } else { "takes minutes: --lifetime waits" };
            self.axis(f, "lifetime", profile.lifetime, lifetime, why)?;
        }
        line(f, "kept alive by", profile.refreshed_inbound, |is| {
            if is { "what comes in, too" } else { "what goes out only" }.into()
        })
    }

    fn addresses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.profile.public.is_empty() {
            let public: Vec<_> = self.profile.public.iter().map(ToString::to_string).collect();
            write!(f, "\n  {:<13} {}", "public", public.join(", "))?;
        }
        if self.family == Family::Ipv6 {
            return Ok(());
        }
        match self.port_mapping {
            PortMapping::NotAsked => {}
            PortMapping::Refused(reason) => write!(f, "\n  {:<13} {}", "port mapping", no_port(reason))?,
            PortMapping::Open { via, external } => {
                write!(f, "\n  {:<13} {via}, {external}", "port mapping")?;
                if !self.circumstances().port_mapping {
                    f.write_str(", which is not public")?;
                }
            }
        }
        if !self.is_untranslated() && !self.nobody_answered() {
            let why = match self.port_mapping {
                PortMapping::NotAsked => "the router was not asked for its address",
                PortMapping::Refused(_) | PortMapping::Open { .. } => "the router does not say",
            };
            self.axis(
                f,
                "carrier NAT",
                self.profile.carrier,
                |is| if is { "yes" } else { "no" }.into(),
                why,
            )?;
        }
        write!(f, "\n  {:<13} {}", "IPv6", ipv6(self.ipv6))
    }

    /// Kinds with the same outlook share a line.
    fn forecasts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.circumstances();
        let all = Kind::ALL.map(|kind| (kind, self.profile.forecast_given(kind, given)));
        let mut label = "forecast";
        for outlook in [Outlook::Direct, Outlook::Likely, Outlook::Unlikely, Outlook::Relay] {
            let these: Vec<_> = all.iter().filter(|(_, forecast)| forecast.outlook == outlook).collect();
            let kinds: Vec<_> = these
                .iter()
                .map(|(kind, forecast)| match outlook {
                    Outlook::Likely if forecast.within > MOMENT => {
                        format!("{kind} ({})", seconds(forecast.within))
                    }
                    _ => kind.to_string(),
                })
                .collect();
            let with = match (these.len(), outlook) {
                (0, _) => continue,
                (count, _) if count == Kind::ALL.len() => "everybody".to_owned(),
                (count, Outlook::Direct) if count == Kind::ALL.len() - 1 => {
                    "everybody who has UDP".to_owned()
                }
                _ => kinds.join(", "),
            };
            let mark = if outlook == Outlook::Direct { "direct ✔".to_owned() } else { outlook.to_string() };
            write!(f, "\n  {label:<13} {mark:<8}  with {with}")?;
            label = "";
        }
        if all.iter().any(|(_, forecast)| forecast.ipv6) {
            write!(f, "\n  {:<13} direct ✔  with whoever has IPv6, too", "")?;
        }
        Ok(())
    }

    fn why_no_mapping(&self) -> &'static str {
        match (self.profile.servers.1, self.profile.mapped.len()) {
            (_, 2..) => "not one for all peers; on what it depends needs a server with two ports",
            (0 | 1, _) => "needs a second server, or one with two addresses",
            _ => "the answers do not suffice",
        }
    }

    /// A line about an axis that people want to know of, even if it is not known.
    fn axis<T: Copy>(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        axis: Axis<T>,
        words: impl Fn(T) -> String,
        why_not: &str,
    ) -> fmt::Result {
        match axis {
            Some(_) => line(f, name, axis, words),
            None => write!(f, "\n  {name:<13}    ?  unknown: {why_not}"),
        }
    }
}

/// What is worth a line only if it is so, and more than a guess.
fn is_so(finding: &Finding<bool>) -> bool {
    finding.value && finding.confidence >= Confidence::ENOUGH
}

/// A line about an axis, if it is known.
fn line<T: Copy>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    axis: Axis<T>,
    words: impl Fn(T) -> String,
) -> fmt::Result {
    let Some(finding) = axis else { return Ok(()) };
    write!(f, "\n  {name:<13} {:>4}  {}", percent(finding.confidence), words(finding.value))
}

fn percent(confidence: Confidence) -> String {
    confidence.to_string()
}

fn mapping(value: Dependence) -> String {
    let words = match value {
        Dependence::Endpoint => "one public port for all peers",
        Dependence::Address => "another public port for each peer's address",
        Dependence::AddressAndPort => "another public port for each peer",
    };
    format!("{words} ({value})")
}

fn filtering(value: Dependence) -> String {
    let words = match value {
        Dependence::Endpoint => "lets everybody in",
        Dependence::Address => "lets in whom we sent to, from any port",
        Dependence::AddressAndPort => "lets in answers only",
    };
    format!("{words} ({value})")
}

fn allocation(value: Allocation) -> String {
    match value {
        Allocation::Preserving { otherwise: None } => "the inside port is kept".to_owned(),
        Allocation::Preserving { otherwise: Some(Fallback::Random) } => {
            "the inside port is kept; if it is taken, any".to_owned()
        }
        Allocation::Preserving { otherwise: Some(next) } => {
            format!("the inside port is kept; if it is taken, {next}")
        }
        Allocation::Sequential { step } => format!("one after the other, by {step}"),
        Allocation::Random => "any".to_owned(),
        Allocation::Block { first, last } => format!("any of {first}–{last}"),
    }
}

fn hairpin(value: Hairpin) -> String {
    match value {
        Hairpin::None => "two hosts behind it do not reach each other by its address".to_owned(),
        Hairpin::ExternalSource | Hairpin::InternalSource => value.to_string(),
    }
}

fn lifetime(value: Lifetime) -> String {
    let about = value.estimate().as_secs();
    match value.forgotten {
        Some(_) => format!("forgotten after {about} s of silence"),
        None => format!("remembered for {about} s of silence or more"),
    }
}

/// Why the router opens none.
fn no_port(reason: Refusal) -> String {
    match reason {
        Refusal::NoAnswer => "none found: no router speaks PCP, NAT-PMP or UPnP with us".to_owned(),
        Refusal::NoRouter => "none: no router leads out of this network".to_owned(),
        Refusal::NoSocket => format!("unknown: {reason}"),
        _ => format!("the router answers but refuses: {reason}"),
    }
}

fn ipv6(value: Ipv6) -> String {
    match value {
        Ipv6::Unknown => "unknown: no server with an IPv6 address was named".to_owned(),
        Ipv6::Absent => "none: no address of this host leads out".to_owned(),
        _ => value.to_string(),
    }
}

/// Roughly: nobody has measured it.
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.95 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}
