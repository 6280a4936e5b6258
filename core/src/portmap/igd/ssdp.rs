//! Finding routers that speak UPnP: M-SEARCH and its answers (UPnP Device Architecture 1.1 §1.3).

use alloc::string::String;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use super::url::Url;

/// Where searches are heard.
pub const GROUP: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1_900));

/// The longest answer that is read: it comes in one datagram.
pub const MAX_ANSWER: usize = 2_048;

/// What is searched for: the gateways, and the services for those that answer to nothing else.
pub const TARGETS: [&str; 5] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// Writes a search for `target` to `to`; returns its length. `None` if it does not fit.
///
/// ```
/// use bradawl::portmap::igd::ssdp::{GROUP, TARGETS, write_search};
///
/// let mut buf = [0; 1_500];
/// let len = write_search(GROUP, TARGETS[0], &mut buf).expect("room");
/// assert!(buf[..len].starts_with(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"));
/// ```
pub fn write_search(to: SocketAddr, target: &str, buf: &mut [u8]) -> Option<usize> {
    let mut out = Room { buf, len: 0 };
    let mx = if to == GROUP { "MX: 1\r\n" } else { "" }; // only a group has to spread its answers
    write!(out, "M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\n{mx}ST: {target}\r\n\r\n")
        .ok()?;
    Some(out.len)
}

struct Room<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl core::fmt::Write for Room<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        self.buf.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Reads an answer to a search that came from `from`: where the description of the gateway is.
/// `None` if it is no such answer, or leads to another host than the one that gave it.
///
/// ```
/// let answer = b"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
///     LOCATION: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n";
/// let location = bradawl::portmap::igd::ssdp::location;
/// assert_eq!(location(answer, "192.168.1.1".parse()?).expect("its own").target, "/rootDesc.xml");
/// assert_eq!(location(answer, "192.168.1.66".parse()?), None);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn location(datagram: &[u8], from: IpAddr) -> Option<Url> {
    // A header that we do not read may be in any encoding.
    let text = String::from_utf8_lossy(datagram.get(..datagram.len().min(MAX_ANSWER))?);
    let mut lines = text.lines();
    let mut status = lines.next()?.split_ascii_whitespace();
    if !status.next()?.starts_with("HTTP/1.") || status.next()? != "200" {
        return None;
    }
    let (mut location, mut is_gateway) = (None, false);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("location") {
            location = Url::parse(value).filter(|url| url.authority.ip() == from);
        } else if name.eq_ignore_ascii_case("st") {
            is_gateway = TARGETS.contains(&value);
        }
    }
    location.filter(|_| is_gateway)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::{GROUP, TARGETS, location, write_search};

    fn answer(st: &str, at: &str) -> std::vec::Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nst: {st}\r\nLocation:{at}\r\n\r\n").into()
    }

    #[test]
    fn only_a_gateway_at_home_is_found() {
        let router = "192.168.1.1".parse().unwrap();
        let at = "http://192.168.1.1:5000/rootDesc.xml";
        assert!(location(&answer(TARGETS[3], at), router).is_some());
        let latin =
            [&answer(TARGETS[0], at)[..17], b"SERVER: Ger\xe4t\r\n", &answer(TARGETS[0], at)[17..]].concat();
        assert!(location(&latin, router).is_some());
        assert_eq!(location(&answer("urn:schemas-upnp-org:device:MediaServer:1", at), router), None);
        assert_eq!(location(&answer(TARGETS[0], "http://169.254.169.254/latest/meta-data"), router), None);
        assert_eq!(location(&answer(TARGETS[0], "http://router/root.xml"), router), None);
        assert_eq!(location(b"NOTIFY * HTTP/1.1\r\n\r\n", router), None);
        assert_eq!(location(b"HTTP/1.1 404 Not Found\r\n\r\n", router), None);
        assert_eq!(location(&[0xff; 40], router), None);
    }

    #[test]
    fn a_search_of_one_host_needs_no_patience() {
        let mut buf = [0; 1_500];
        let len = write_search("192.168.1.1:1900".parse().unwrap(), TARGETS[0], &mut buf).unwrap();
        let text = std::str::from_utf8(&buf[..len]).unwrap();
        assert!(text.contains("HOST: 192.168.1.1:1900\r\n") && !text.contains("MX"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
        assert_eq!(write_search(GROUP, TARGETS[0], &mut [0; 40]), None);
    }
}
