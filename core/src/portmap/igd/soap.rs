//! What is asked of a gateway's WAN connection service, and what it answers (WANIPConnection:1 and :2 §2.4).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::description::Service;
use super::xml::{escape, text_of};
use crate::portmap::Protocol;

/// The most that an answer may have.
pub const MAX_ANSWER: usize = 16_384;

/// Something to be done.
///
/// ```
/// use bradawl::portmap::igd::soap::Action;
///
/// assert_eq!(Action::ExternalAddress.name(), "GetExternalIPAddress");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Which address has the gateway outside?
    ExternalAddress,
    /// Map a port, or renew that.
    Add {
        /// Take another port if this one is taken: what only IGD version 2 has.
        any: bool,
        /// Which.
        entry: Entry<'a>,
    },
    /// Map a port no more.
    Delete {
        /// The port outside.
        external_port: u16,
        /// Of which protocol.
        protocol: Protocol,
    },
}

/// A mapping as the gateway is asked for it.
///
/// ```
/// # use bradawl::portmap::igd::soap::Entry;
/// # let _: Option<Entry<'static>> = None;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The port outside.
    pub external_port: u16,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Our own address.
    pub client: Ipv4Addr,
    /// Our own port.
    pub internal_port: u16,
    /// For how many seconds; 0 is for ever.
    pub lease: u32,
    /// What people see in the gateway's pages.
    pub description: &'a str,
}

impl Action<'_> {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Add { any: false, .. } => "AddPortMapping",
            Self::Add { any: true, .. } => "AddAnyPortMapping",
            Self::Delete { .. } => "DeletePortMapping",
        }
    }

    /// Writes the whole HTTP request; the connection is to be closed after the answer.
    ///
    /// ```
    /// use bradawl::portmap::igd::soap::Action;
    /// use bradawl::portmap::igd::{Service, ServiceType, Url};
    ///
    /// let control = Url::parse("http://192.168.1.1:5000/ctl").expect("a URL");
    /// let request = Action::ExternalAddress.request(&Service { kind: ServiceType::Ip1, control });
    /// assert!(request.starts_with(b"POST /ctl HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n"));
    /// ```
    pub fn request(&self, service: &Service) -> Vec<u8> {
        let (name, urn, control) = (self.name(), service.kind.urn(), &service.control);
        let arguments = self.arguments();
        let body = alloc::format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{urn}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        );
        alloc::format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
             SOAPAction: \"{urn}#{name}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            control.target,
            control.authority,
            body.len()
        )
        .into_bytes()
    }

    /// In the order in which the service declares them, which some gateways insist on.
    fn arguments(&self) -> String {
        match self {
            Self::ExternalAddress => String::new(),
            Self::Delete { external_port, protocol } => alloc::format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external_port}</NewExternalPort>\
                 <NewProtocol>{}</NewProtocol>",
                name_of(*protocol)
            ),
            Self::Add { entry, .. } => alloc::format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{}</NewExternalPort>\
                 <NewProtocol>{}</NewProtocol><NewInternalPort>{}</NewInternalPort>\
                 <NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
                 <NewPortMappingDescription>{}</NewPortMappingDescription>\
                 <NewLeaseDuration>{}</NewLeaseDuration>",
                entry.external_port,
                name_of(entry.protocol),
                entry.internal_port,
                entry.client,
                escape(entry.description),
                entry.lease
            ),
        }
    }
}

const fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
    }
}

/// Why the gateway did not do it: UPnP's error codes.
///
/// ```
/// use bradawl::portmap::igd::soap::ErrorCode;
///
/// assert_eq!(ErrorCode(718), ErrorCode::CONFLICT_IN_MAPPING_ENTRY);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// It said that it failed and not why, or the answer made no sense.
    pub const NONE: Self = Self(0);
    /// It does not know the action.
    pub const INVALID_ACTION: Self = Self(401);
    /// It did not like the arguments.
    pub const INVALID_ARGS: Self = Self(402);
    /// It failed: what some say to whatever they do not like.
    pub const ACTION_FAILED: Self = Self(501);
    /// The action is optional and not there.
    pub const OPTIONAL_ACTION_NOT_IMPLEMENTED: Self = Self(602);
    /// The client may not do this.
    pub const NOT_AUTHORIZED: Self = Self(606);
    /// There is no such mapping.
    pub const NO_SUCH_ENTRY: Self = Self(714);
    /// Somebody has this port.
    pub const CONFLICT_IN_MAPPING_ENTRY: Self = Self(718);
    /// Both ports must be the same.
    pub const SAME_PORT_VALUES_REQUIRED: Self = Self(724);
    /// Mappings are for ever here.
    pub const ONLY_PERMANENT_LEASES: Self = Self(725);
    /// The gateway has nothing left to give.
    pub const NO_PORT_MAPS_AVAILABLE: Self = Self(728);
    /// Something else has this port.
    pub const CONFLICT_WITH_OTHER_MECHANISMS: Self = Self(729);
}

/// What the gateway answered.
///
/// ```
/// use bradawl::portmap::igd::soap::{Answer, ErrorCode};
///
/// let fault = b"<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault>";
/// assert_eq!(Answer::read(500, fault), Err(ErrorCode::CONFLICT_IN_MAPPING_ENTRY));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The address that it has outside, where it said so.
    pub external_address: Option<Ipv4Addr>,
    /// The port that it chose, where it said so.
    pub reserved_port: Option<u16>,
}

impl Answer {
    /// Reads an answer's status and body.
    pub fn read(status: u16, body: &[u8]) -> Result<Self, ErrorCode> {
        // Phrases in it may be in whatever encoding; what matters to us is ASCII.
        let text = &String::from_utf8_lossy(body);
        if status != 200 {
            let code = text_of(text, "errorCode").and_then(|code| code.parse().ok());
            return Err(code.map_or(ErrorCode::NONE, ErrorCode));
        }
        Ok(Self {
            external_address: text_of(text, "NewExternalIPAddress").and_then(|address| address.parse().ok()),
            reserved_port: text_of(text, "NewReservedPort").and_then(|port| port.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Answer, Entry, ErrorCode};
    use crate::portmap::Protocol;
    use crate::portmap::igd::xml::text_of;
    use crate::portmap::igd::{Service, ServiceType, Url};

    #[test]
    fn a_request_says_how_long_it_is_and_nobody_can_write_into_it() {
        let entry = Entry {
            external_port: 50_000,
            protocol: Protocol::Udp,
            client: "192.168.1.7".parse().unwrap(),
            internal_port: 5_000,
            lease: 3_600,
            description: "</NewPortMappingDescription><evil>",
        };
        let control = Url::parse("http://192.168.1.1:5000/ctl").unwrap();
        let request = Action::Add { any: true, entry }.request(&Service { kind: ServiceType::Ip2, control });
        let request = std::str::from_utf8(&request).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&std::format!("Content-Length: {}", body.len())), "{head}");
        assert!(
            head.contains("SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:2#AddAnyPortMapping\"")
        );
        assert_eq!(text_of(body, "NewPortMappingDescription").as_deref(), Some(entry.description));
        assert_eq!(text_of(body, "NewExternalPort").as_deref(), Some("50000"));
        assert_eq!(text_of(body, "NewInternalClient").as_deref(), Some("192.168.1.7"));
        assert_eq!(text_of(body, "evil"), None);
        assert!(request.len() < 1_400, "{}", request.len());
    }

    #[test]
    fn answers_are_read() {
        let body =
            b"<u:GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.9</NewExternalIPAddress></u:x>";
        let answer = Answer::read(200, body).expect("success");
        assert_eq!(answer.external_address, Some("203.0.113.9".parse().unwrap()));
        let answer = Answer::read(200, b"<NewReservedPort>50001</NewReservedPort>").expect("success");
        assert_eq!(answer.reserved_port, Some(50_001));
        assert_eq!(Answer::read(200, b""), Ok(Answer::default()));
        assert_eq!(Answer::read(500, b"?"), Err(ErrorCode::NONE));
        assert_eq!(Answer::read(200, &[0xff]), Ok(Answer::default()));
        let fault = b"<errorDescription>ung\xfcltig</errorDescription><errorCode>725</errorCode>";
        assert_eq!(Answer::read(500, fault), Err(ErrorCode::ONLY_PERMANENT_LEASES));
    }
}
