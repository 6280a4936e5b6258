//! Candidates as others read them: the candidate attribute of SDP (RFC 8839 §5.1), with that of TCP
//! (RFC 6544 §4.5).
//!
//! What is written is a [`Candidate`]. What is read is a [`Described`], for its address may be a name: a
//! browser hides its own behind one that only mDNS knows. Who embeds this resolves it.
//!
//! Reading is strict about what we use and patient with what we do not know: a later attribute is a name and
//! a value, and passed over.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::{FromStr, Split};

use super::{Candidate, Kind, TcpKind};
use crate::machine::Transport;

/// The longest text that is read. Browsers write about 200 bytes.
pub const MAX_TEXT: usize = 1_024;

/// The longest foundation (RFC 8839 §5.1).
const MAX_FOUNDATION: usize = 32;

/// The greatest component (RFC 8839 §5.1).
const MAX_COMPONENT: u32 = 256;

/// The greatest priority (RFC 8839 §5.1).
const MAX_PRIORITY: u32 = (1 << 31) - 1;

/// The longest name of a host (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;

/// A candidate as it was written.
///
/// ```
/// use bradawl::punch::{Described, Host, Kind};
///
/// let text = "candidate:1 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998";
/// let described: Described = text.parse()?;
/// let candidate = described.candidate().expect("it has an address");
/// assert_eq!(candidate.kind, Kind::ServerReflexive);
/// assert_eq!(candidate.to_string(), text);
///
/// let hidden = "a=candidate:2 1 udp 2113937151 9b36eaac-bb2e-49bb-bb78-21c41c499900.local 50000 typ host";
/// let hidden: Described = hidden.parse()?;
/// assert!(matches!(&hidden.host, Host::Name(name) if name.ends_with(".local")));
/// let found = hidden.resolved("192.168.1.7".parse()?);
/// assert_eq!(found.address, "192.168.1.7:50000".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// As in [`Candidate::foundation`].
    pub foundation: String,
    /// As in [`Candidate::component`].
    pub component: u16,
    /// As in [`Candidate::transport`].
    pub transport: Transport,
    /// As in [`Candidate::priority`].
    pub priority: u32,
    /// On which host.
    pub host: Host,
    /// At which port.
    pub port: u16,
    /// As in [`Candidate::kind`].
    pub kind: Kind,
    /// As in [`Candidate::related`]; nothing where it was written not to be told.
    pub related: Option<SocketAddr>,
    /// As in [`Candidate::tcp`].
    pub tcp: Option<TcpKind>,
}

/// A host as a candidate names it.
///
/// ```
/// use bradawl::punch::Host;
/// assert_eq!(Host::Name("printer.local".into()).to_string(), "printer.local");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By a name.
    Name(String),
}

/// Why a text is no candidate, or none that anybody here could use.
///
/// ```
/// use bradawl::punch::{Described, Malformed};
///
/// let read = |text: &str| text.parse::<Described>().unwrap_err();
/// assert_eq!(read("candidate:1 1 UDP"), Malformed::Priority);
/// assert_eq!(read("candidate:1 1 SCTP 1 192.0.2.1 9 typ host"), Malformed::Transport);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// More than [`MAX_TEXT`] bytes.
    #[error("a candidate is no longer than {MAX_TEXT} bytes")]
    TooLong,
    /// It does not begin as one.
    #[error("a candidate begins with `candidate:`")]
    Prefix,
    /// The foundation.
    #[error("a foundation is 1 to {MAX_FOUNDATION} letters, digits, + and /")]
    Foundation,
    /// The component.
    #[error("a component is a number from 1 to {MAX_COMPONENT}")]
    Component,
    /// The transport protocol.
    #[error("the transport is neither udp nor tcp")]
    Transport,
    /// The priority.
    #[error("a priority is a number from 1 to {MAX_PRIORITY}")]
    Priority,
    /// The address.
    #[error("neither an IP address nor the name of a host")]
    Address,
    /// A port, its own or the related one.
    #[error("a port is a number up to 65535")]
    Port,
    /// The type.
    #[error("the type is none of host, srflx, prflx and relay")]
    Kind,
    /// The address that it was derived from.
    #[error("the related address is no address")]
    Related,
    /// A TCP candidate does not say how it comes to a connection.
    #[error("the tcptype is none of active, passive and so")]
    TcpKind,
    /// A name without its value at the end.
    #[error("each further attribute is a name and a value")]
    Extension,
}

impl Described {
    /// The candidate, if its address is known already.
    pub fn candidate(&self) -> Option<Candidate> {
        match self.host {
            Host::Ip(ip) => Some(self.resolved(ip)),
            Host::Name(_) => None,
        }
    }

    /// The candidate, now that its name is known to mean this.
    pub fn resolved(&self, ip: IpAddr) -> Candidate {
        Candidate {
            foundation: self.foundation.clone(),
            component: self.component,
            transport: self.transport,
            priority: self.priority,
            address: SocketAddr::new(ip, self.port),
            kind: self.kind,
            related: self.related,
            tcp: self.tcp,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        };
        let Self { foundation, component, priority, address, kind, .. } = self;
        write!(f, "candidate:{foundation} {component} {transport} {priority} ")?;
        write!(f, "{} {} typ {kind}", address.ip(), address.port())?;
        if *kind != Kind::Host {
            // RFC 8839 §5.1: what is not told is told as nobody's address, at port 9.
            let untold = match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let related = self.related.unwrap_or(SocketAddr::new(untold, 9));
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        match self.tcp {
            Some(tcp) => write!(f, " tcptype {tcp}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Described {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_TEXT {
            return Err(Malformed::TooLong);
        }
        let text = text.trim_end_matches(['\r', '\n']);
        let text = text.strip_prefix("a=").unwrap_or(text);
        let mut words = text.strip_prefix("candidate:").ok_or(Malformed::Prefix)?.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let foundation = foundation(next())?;
        let component = number(next(), 1..=MAX_COMPONENT).ok_or(Malformed::Component)? as u16;
        let transport = transport(next())?;
        let priority = number(next(), 1..=MAX_PRIORITY).ok_or(Malformed::Priority)?;
        let host = host(next()).ok_or(Malformed::Address)?;
        let port = port(next())?;
        let kind = if next() == "typ" { kind(next())? } else { return Err(Malformed::Kind) };
        let Further { related, tcp } = Further::read(words)?;
        let tcp = match (transport, tcp) {
            (Transport::Udp, _) => None,
            (Transport::Tcp, Some(tcp)) => Some(tcp),
            (Transport::Tcp, None) => return Err(Malformed::TcpKind),
        };
        Ok(Self { foundation, component, transport, priority, host, port, kind, related, tcp })
    }
}

/// What comes after the type, as far as we know it.
struct Further {
    related: Option<SocketAddr>,
    tcp: Option<TcpKind>,
}

impl Further {
    /// Names and their values, of which each may be empty (RFC 8839 §5.1).
    fn read(mut words: Split<'_, char>) -> Result<Self, Malformed> {
        let (mut address, mut at, mut tcp) = (None, None, None);
        while let Some(name) = words.next() {
            let Some(value) = words.next() else {
                // A blank at the end says nothing.
                return if name.is_empty() { Self::new(address, at, tcp) } else { Err(Malformed::Extension) };
            };
            match name {
                "raddr" => address = Some(host(value).ok_or(Malformed::Related)?),
                "rport" => at = Some(port(value)?),
                "tcptype" => tcp = Some(value),
                _ => {}
            }
        }
        Self::new(address, at, tcp)
    }

    fn new(address: Option<Host>, at: Option<u16>, tcp: Option<&str>) -> Result<Self, Malformed> {
        let related = match (address, at) {
            // An unspecified one is what is written in order not to tell.
            (Some(Host::Ip(ip)), Some(port)) if !ip.is_unspecified() => Some(SocketAddr::new(ip, port)),
            _ => None,
        };
        // What it means for a transport that has no such thing is nobody's business.
        let tcp = tcp.map(tcp_kind);
        Ok(Self { related, tcp: tcp.flatten() })
    }
}

fn foundation(word: &str) -> Result<String, Malformed> {
    let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let is_one = (1..=MAX_FOUNDATION).contains(&word.len()) && word.bytes().all(is_ice_char);
    is_one.then(|| word.to_owned()).ok_or(Malformed::Foundation)
}

fn transport(word: &str) -> Result<Transport, Malformed> {
    [("udp", Transport::Udp), ("tcp", Transport::Tcp)]
        .into_iter()
        .find_map(|(name, transport)| word.eq_ignore_ascii_case(name).then_some(transport))
        .ok_or(Malformed::Transport)
}

fn kind(word: &str) -> Result<Kind, Malformed> {
    match word {
        "host" => Ok(Kind::Host),
        "srflx" => Ok(Kind::ServerReflexive),
        "prflx" => Ok(Kind::PeerReflexive),
        "relay" => Ok(Kind::Relayed),
        // RFC 8839 §5.1: a type that is not known is to be ignored, with all of its candidate.
        _ => Err(Malformed::Kind),
    }
}

fn tcp_kind(word: &str) -> Option<TcpKind> {
    match word {
        "active" => Some(TcpKind::Active),
        "passive" => Some(TcpKind::Passive),
        "so" => Some(TcpKind::SimultaneousOpen),
        _ => None,
    }
}

fn port(word: &str) -> Result<u16, Malformed> {
    number(word, 0..=u32::from(u16::MAX)).map(|port| port as u16).ok_or(Malformed::Port)
}

/// Digits and nothing else, of which a number has ten at most.
fn number(word: &str, range: core::ops::RangeInclusive<u32>) -> Option<u32> {
    let is_number = (1..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| is_number && range.contains(number))
}

fn host(word: &str) -> Option<Host> {
    if let Ok(ip) = word.parse() {
        return Some(Host::Ip(ip));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = word.strip_suffix('.').unwrap_or(word);
    // What ends in a number is meant as an address, and is none.
    let is_address = name.rsplit('.').next()?.bytes().all(|byte| byte.is_ascii_digit());
    (name.len() <= MAX_NAME && !is_address && name.split('.').all(is_label))
        .then(|| Host::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

    use super::*;

    fn read(text: &str) -> Described {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> Malformed {
        text.parse::<Described>().expect_err(text)
    }

    #[test]
    fn the_examples_of_the_rfcs_read_and_write_the_same() {
        for text in [
            // RFC 8839 §5.1 and Appendix A of RFC 8838, RFC 6544 §4.5 and Appendix B.
            "candidate:1 1 UDP 2130706431 203.0.113.141 8998 typ host",
            "candidate:1 1 UDP 2130706431 2001:db8::1 8998 typ host",
            "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
            "candidate:1 1 TCP 2128609279 192.0.2.1 9 typ host tcptype active",
            "candidate:2 1 TCP 2124414975 192.0.2.1 8998 typ host tcptype passive",
            "candidate:3 1 TCP 2120220671 192.0.2.1 8999 typ host tcptype so",
            "candidate:4 1 TCP 1688207359 192.0.2.3 9 typ srflx raddr 192.0.2.1 rport 9 tcptype active",
            "candidate:7 1 UDP 41819902 198.51.100.3 60065 typ relay raddr 0.0.0.0 rport 9",
        ] {
            assert_eq!(read(text).candidate().expect("an address").to_string(), text);
        }
    }

    #[test]
    fn what_browsers_and_libraries_write_is_read() {
        let chromium = read(
            "candidate:842163049 1 udp 1677729535 198.51.100.9 51472 typ srflx raddr 0.0.0.0 rport 0 \
             generation 0 ufrag 3aFd network-id 1 network-cost 999",
        );
        assert_eq!((chromium.kind, chromium.related), (Kind::ServerReflexive, None));
        let firefox = read("candidate:0 2 UDP 2122187007 e1f3.local. 57352 typ host\r\n");
        assert_eq!((firefox.component, firefox.host), (2, Host::Name("e1f3.local".into())));
        let tcp = read("a=candidate:3 1 tcp 1518280447 ::1 9 typ host tcptype active generation 0 ");
        assert_eq!(
            (tcp.tcp, tcp.candidate().map(|found| found.address.port())),
            (Some(TcpKind::Active), Some(9))
        );
        // A value may be empty, and a relay may be known by a name.
        let odd = read("candidate:3 1 udp 1 192.0.2.1 9 typ relay a  raddr router.example rport 7 b c");
        assert_eq!((odd.related, odd.kind), (None, Kind::Relayed));
        assert_eq!(read("candidate:1 1 udp 1 192.0.2.1 9 typ host tcptype odd").tcp, None);
    }

    #[test]
    fn numbers_are_numbers() {
        for (text, why) in [
            ("candidate: 1 UDP 1 192.0.2.1 9 typ host", Malformed::Foundation),
            ("candidate:a-b 1 UDP 1 192.0.2.1 9 typ host", Malformed::Foundation),
            ("candidate:1 0 UDP 1 192.0.2.1 9 typ host", Malformed::Component),
            ("candidate:1 257 UDP 1 192.0.2.1 9 typ host", Malformed::Component),
            ("candidate:1 +1 UDP 1 192.0.2.1 9 typ host", Malformed::Component),
            ("candidate:1  1 UDP 1 192.0.2.1 9 typ host", Malformed::Component),
            ("candidate:1 1 tls 1 192.0.2.1 9 typ host", Malformed::Transport),
            ("candidate:1 1 UDP 0 192.0.2.1 9 typ host", Malformed::Priority),
            ("candidate:1 1 UDP 2147483648 192.0.2.1 9 typ host", Malformed::Priority),
            ("candidate:1 1 UDP 00000000001 192.0.2.1 9 typ host", Malformed::Priority),
            ("candidate:1 1 UDP 1 192.0.2.1 65536 typ host", Malformed::Port),
            ("candidate:1 1 UDP 1 192.0.2.1 9 typ host raddr 192.0.2.1 rport -1", Malformed::Port),
            ("candidate:1 1 UDP 1 192.0.2.1 9 host", Malformed::Kind),
            ("candidate:1 1 UDP 1 192.0.2.1 9 typ next", Malformed::Kind),
            ("candidate:1 1 UDP 1 192.0.2.1 9 typ srflx raddr 1.2.3 rport 9", Malformed::Related),
            ("candidate:1 1 TCP 1 192.0.2.1 9 typ host", Malformed::TcpKind),
            ("candidate:1 1 TCP 1 192.0.2.1 9 typ host tcptype odd", Malformed::TcpKind),
            ("candidate:1 1 UDP 1 192.0.2.1 9 typ host generation", Malformed::Extension),
            ("1 1 UDP 1 192.0.2.1 9 typ host", Malformed::Prefix),
            ("", Malformed::Prefix),
        ] {
            assert_eq!(refused(text), why, "{text}");
        }
        let long = format!("candidate:1 1 UDP 1 192.0.2.1 9 typ host x {}", "y".repeat(MAX_TEXT));
        assert_eq!(refused(&long), Malformed::TooLong);
        let foundation = "f".repeat(MAX_FOUNDATION);
        assert_eq!(read(&format!("candidate:{foundation} 1 UDP 1 ::1 9 typ host")).foundation, foundation);
        assert_eq!(
            refused(&format!("candidate:{foundation}f 1 UDP 1 ::1 9 typ host")),
            Malformed::Foundation
        );
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for name in ["a.local", "xn--bcher-kva.example", "_a-b.c", "localhost"] {
            assert_eq!(host(name), Some(Host::Name(name.into())));
        }
        for neither in
            ["", ".", "a..b", "-a.b", "256.1.1.1", "1.2.3", "fe80::1%eth0", "[::1]", "a b", "a.b:9", "ä.de"]
        {
            assert_eq!(host(neither), None, "{neither}");
        }
        assert_eq!(host(&"a.".repeat(130)), None);
    }
}
