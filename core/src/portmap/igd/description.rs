//! A gateway's description: which of its services maps ports, and where that is controlled (UPnP Device
//! Architecture 1.1 §2).

use alloc::string::String;
use alloc::vec::Vec;

use super::url::Url;
use super::xml::{Scanner, Token, text_until_tag};

/// The most that a description may have.
pub const MAX_DESCRIPTION: usize = 65_536;

/// How many services are kept, the best first.
pub const MAX_SERVICES: usize = 4;

/// A kind of service that maps ports. The first is the best.
///
/// ```
/// use bradawl::portmap::igd::ServiceType;
///
/// let urn = "urn:schemas-upnp-org:service:WANIPConnection:1";
/// assert_eq!(ServiceType::from_urn(urn), Some(ServiceType::Ip1));
/// assert_eq!(ServiceType::Ip1.urn(), urn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceType {
    /// WANIPConnection:2, of IGD version 2.
    Ip2,
    /// WANIPConnection:1.
    Ip1,
    /// WANPPPConnection:1.
    Ppp1,
}

impl ServiceType {
    /// What it is called.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::Ip2 => "urn:schemas-upnp-org:service:WANIPConnection:2",
            Self::Ip1 => "urn:schemas-upnp-org:service:WANIPConnection:1",
            Self::Ppp1 => "urn:schemas-upnp-org:service:WANPPPConnection:1",
        }
    }

    /// What is called so.
    pub fn from_urn(urn: &str) -> Option<Self> {
        [Self::Ip2, Self::Ip1, Self::Ppp1].into_iter().find(|service| service.urn() == urn)
    }
}

/// A service and where it is controlled.
///
/// ```
/// use bradawl::portmap::igd::{ServiceType, Url, services};
///
/// let location = Url::parse("http://192.168.1.1:5000/rootDesc.xml").expect("a URL");
/// let description = "<root><device><serviceList><service>\
///     <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
///     <controlURL>/ctl/IPConn</controlURL></service></serviceList></device></root>";
/// let found = services(description, &location);
/// assert_eq!((found[0].kind, found[0].control.target.as_str()), (ServiceType::Ip1, "/ctl/IPConn"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is.
    pub kind: ServiceType,
    /// Where it is controlled: always on the host that the description came from.
    pub control: Url,
}

/// Finds the services that map ports in a description that came from `location`, the best first.
/// Those that are controlled on another host are left out.
pub fn services(description: &str, location: &Url) -> Vec<Service> {
    let mut scanner = Scanner::new(description);
    let (mut kind, mut control) = (None, String::new());
    let (mut base, mut found) = (None, Vec::new());
    while let Some(token) = scanner.next() {
        match token {
            Token::Open("URLBase") => base = location.join(&text_until_tag(&mut scanner)),
            Token::Open("service") => (kind, control) = (None, String::new()),
            Token::Open("serviceType") => kind = ServiceType::from_urn(&text_until_tag(&mut scanner)),
            Token::Open("controlURL") => control = text_until_tag(&mut scanner),
            Token::Close("service") => {
                let Some(kind) = kind.take().filter(|_| !control.is_empty()) else { continue };
                found.extend(
                    base.as_ref().unwrap_or(location).join(&control).map(|control| Service { kind, control }),
                );
                if found.len() == MAX_SERVICES {
                    break;
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|service| service.kind);
    found
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::{MAX_SERVICES, ServiceType, Url, services};

    fn location() -> Url {
        Url::parse("http://192.168.1.1:5000/igd/root.xml").expect("a URL")
    }

    fn service(kind: &str, control: &str) -> String {
        format!("<service><serviceType> {kind} </serviceType><controlURL>{control}</controlURL></service>")
    }

    #[test]
    fn the_best_service_comes_first_and_a_base_is_followed() {
        let description = format!(
            "<?xml version='1.0'?><root><URLBase>http://192.168.1.1:49152/</URLBase>{}{}{}</root>",
            service("urn:schemas-upnp-org:service:WANPPPConnection:1", "/ppp"),
            service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3"),
            service("urn:schemas-upnp-org:service:WANIPConnection:2", "ip?a=1&amp;b=2"),
        );
        let found = services(&description, &location());
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[1].kind), (ServiceType::Ip2, ServiceType::Ppp1));
        assert_eq!(found[0].control.target, "/ip?a=1&b=2");
        assert_eq!(found[0].control.authority.port(), 49_152);
    }

    #[test]
    fn another_host_is_left_out_and_a_base_elsewhere_does_not_count() {
        let ip = ServiceType::Ip1.urn();
        let elsewhere = service(ip, "http://169.254.169.254/latest");
        assert_eq!(services(&elsewhere, &location()), []);
        let description = format!("<URLBase>http://10.9.9.9/</URLBase>{}", service(ip, "ctl"));
        assert_eq!(services(&description, &location())[0].control.target, "/igd/ctl");
        assert_eq!(services(&service(ip, "/a\r\nHost: b"), &location()), []);
    }

    #[test]
    fn services_are_bounded() {
        let many = service(ServiceType::Ip1.urn(), "/ctl").repeat(100);
        assert_eq!(services(&many, &location()).len(), MAX_SERVICES);
    }
}
