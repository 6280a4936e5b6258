//! The few URLs that a router's description is made of: `http`, an IP address, a port and a path.
//!
//! A name is never looked up: whoever answers a search could name anything, and we would go there.

use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

/// The longest URL that is read.
pub const MAX_URL: usize = 512;

/// An `http` URL of an IP address.
///
/// ```
/// use bradawl::portmap::igd::Url;
///
/// let url = Url::parse("http://192.168.1.1:5000/rootDesc.xml").expect("a URL");
/// assert_eq!((url.authority, url.target.as_str()), ("192.168.1.1:5000".parse()?, "/rootDesc.xml"));
/// assert_eq!(Url::parse("http://router.example/rootDesc.xml"), None);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where to connect to.
    pub authority: SocketAddr,
    /// What to ask for: the path and what follows it, safe to put into a request line.
    pub target: String,
}

impl Url {
    /// Reads an absolute URL. `None` if it is not `http`, names a host by name or user, is too long
    /// or has anything in it that does not belong into a request line.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !is_safe(text) {
            return None;
        }
        let scheme = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"))?;
        let rest = &text[scheme.len()..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let authority = authority
            .parse::<SocketAddr>()
            .ok()
            .or_else(|| Some(SocketAddr::new(bare_address(authority)?, 80)))
            .filter(|authority| authority.port() != 0)?;
        Some(Self { authority, target: absolute(target) })
    }

    /// Where `reference` leads from here; `None` if that is another host.
    ///
    /// ```
    /// use bradawl::portmap::igd::Url;
    ///
    /// let url = Url::parse("http://192.168.1.1:5000/igd/rootDesc.xml").expect("a URL");
    /// assert_eq!(url.join("ctl/IPConn").expect("here").target, "/igd/ctl/IPConn");
    /// assert_eq!(url.join("/ctl/IPConn").expect("here").target, "/ctl/IPConn");
    /// assert_eq!(url.join("http://169.254.169.254/latest"), None);
    /// ```
    pub fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        if !is_safe(reference) || reference.starts_with("//") {
            return None;
        }
        if reference.contains("://") {
            return Self::parse(reference).filter(|url| url.authority.ip() == self.authority.ip());
        }
        let target = if reference.starts_with('/') {
            absolute(reference)
        } else {
            let path = self.target.split(['?', '#']).next().unwrap_or_default();
            let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
            let joined = alloc::format!("{folder}{reference}");
            absolute(&joined)
        };
        (target.len() <= MAX_URL).then_some(Self { authority: self.authority, target })
    }
}

/// Nothing that could end the request line or begin another header.
fn is_safe(text: &str) -> bool {
    text.len() <= MAX_URL && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bare_address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(text) => text.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// The target with a slash in front and no fragment behind.
fn absolute(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    alloc::format!("{slash}{target}")
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn what_could_lead_elsewhere_is_no_url() {
        for text in [
            "https://192.168.1.1/",
            "http://localhost/",
            "http://192.168.1.1@example.org/",
            "http://user@192.168.1.1/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:99999/",
            "http://192.168.1.1/a b",
            "http://192.168.1.1/a\r\nHost: b",
            "ftp://192.168.1.1/",
            "é://é",
            "",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
        assert_eq!(Url::parse(&std::format!("http://192.168.1.1/{}", "a".repeat(600))), None);
    }

    #[test]
    fn a_port_and_a_path_may_be_left_out() {
        let url = Url::parse("HTTP://192.168.1.1").expect("a URL");
        assert_eq!((url.authority.port(), url.target.as_str()), (80, "/"));
        let url = Url::parse("http://[fe80::1]?a=b#c").expect("a URL");
        assert_eq!((url.authority.port(), url.target.as_str()), (80, "/?a=b"));
    }

    #[test]
    fn a_reference_stays_with_its_host() {
        let url = Url::parse("http://192.168.1.1:5000/root.xml").expect("a URL");
        assert_eq!(url.join("http://192.168.1.1:49152/c").map(|url| url.authority.port()), Some(49152));
        assert_eq!(url.join("//192.168.1.2/c"), None);
        assert_eq!(url.join("http://192.168.1.2/c"), None);
        assert_eq!(url.join("c\r\nHost: x"), None);
        assert_eq!(url.join("").map(|url| url.target).as_deref(), Some("/"));
    }
}
