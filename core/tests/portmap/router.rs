//! A router that the test plays: PCP, NAT-PMP and IGD over one table of mappings, as real ones have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bradawl::portmap::igd::ServiceType;
use bradawl::portmap::igd::ssdp::TARGETS;
use bradawl::portmap::igd::xml::text_of;
use bradawl::time::{Duration, Instant};

/// Who maps to where, until when, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) internal: u16,
    pub(crate) until: Instant,
    pub(crate) by: &'static str,
}

pub(crate) struct Router {
    pub(crate) address: IpAddr,
    pub(crate) external: Ipv4Addr,
    pub(crate) pcp: bool,
    pub(crate) nat_pmp: bool,
    /// The port of its descriptions, if it has IGD.
    pub(crate) igd: Option<u16>,
    pub(crate) service: ServiceType,
    /// The result code of every MAP answer, its lifetime.
    pub(crate) pcp_error: Option<(u8, u32)>,
    pub(crate) nat_pmp_error: Option<u16>,
    /// Granted instead of what was asked.
    pub(crate) lifetime: Option<u32>,
    /// Only permanent leases, and what it answers to others.
    pub(crate) permanent: Option<u16>,
    /// What IGD answers to every mapping that is to be added.
    pub(crate) igd_error: Option<u16>,
    /// A port of somebody else.
    pub(crate) taken: Vec<u16>,
    pub(crate) chunked: bool,
    pub(crate) booted: Instant,
    /// By UDP or TCP (its number) and external port.
    pub(crate) table: BTreeMap<(u8, u16), Entry>,
    /// What it was asked.
    pub(crate) asked: Vec<String>,
}

impl Router {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.parse().expect("an address"),
            external: Ipv4Addr::new(203, 0, 113, 9),
            pcp: false,
            nat_pmp: false,
            igd: None,
            service: ServiceType::Ip1,
            pcp_error: None,
            nat_pmp_error: None,
            lifetime: None,
            permanent: None,
            igd_error: None,
            taken: Vec::new(),
            chunked: false,
            booted: Instant::ZERO,
            table: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    pub(crate) fn pcp(address: &str) -> Self {
        Self { pcp: true, ..Self::new(address) }
    }

    pub(crate) fn nat_pmp(address: &str) -> Self {
        Self { nat_pmp: true, ..Self::new(address) }
    }

    pub(crate) fn igd(address: &str) -> Self {
        Self { igd: Some(5_000), ..Self::new(address) }
    }

    /// It forgets everything.
    pub(crate) fn reboot(&mut self, now: Instant) {
        self.booted = now;
        self.table.clear();
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.table.retain(|_, entry| entry.until > now);
    }

    /// How often it was asked this.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.asked.iter().filter(|asked| *asked == what).count()
    }

    /// A datagram to one of its ports or to the group; its answers.
    pub(crate) fn datagram(&mut self, now: Instant, port: u16, bytes: &[u8]) -> Vec<Vec<u8>> {
        let answer = match (port, bytes.first()) {
            (5_351, Some(2)) if self.pcp => self.answer_pcp(now, bytes),
            (5_351, Some(2)) if self.nat_pmp => {
                self.asked.push("pcp unsupported".into());
                let epoch = self.epoch(now).to_be_bytes();
                Some([&[0, bytes[1] | 0x80, 0, 1][..], &epoch].concat())
            }
            (5_351, Some(0)) if self.nat_pmp => self.answer_nat_pmp(now, bytes),
            (1_900, _) => self.answer_search(bytes),
            _ => None,
        };
        answer.into_iter().collect()
    }

    fn epoch(&self, now: Instant) -> u32 {
        now.since(self.booted).as_secs() as u32
    }

    fn answer_pcp(&mut self, now: Instant, request: &[u8]) -> Option<Vec<u8>> {
        let mut answer = request.to_vec();
        answer[1] |= 0x80;
        answer[8..24].fill(0);
        answer[8..12].copy_from_slice(&self.epoch(now).to_be_bytes());
        if request[1] == 0 {
            self.asked.push("announce".into());
            return Some(answer);
        }
        let lifetime = u32::from_be_bytes(request[4..8].try_into().ok()?);
        let internal = u16::from_be_bytes([request[40], request[41]]);
        let suggested = u16::from_be_bytes([request[42], request[43]]);
        self.asked.push(if lifetime == 0 { "pcp delete" } else { "pcp map" }.into());
        if let Some((code, lifetime)) = self.pcp_error {
            answer[3] = code;
            answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
            return Some(answer);
        }
        let lifetime = if lifetime == 0 { 0 } else { self.lifetime.unwrap_or(lifetime) };
        let port = self.map(now, request[36], internal, suggested, lifetime, "pcp");
        answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
        answer[42..44].copy_from_slice(&port.to_be_bytes());
        answer[44..60].copy_from_slice(&self.external.to_ipv6_mapped().octets());
        Some(answer)
    }

    fn answer_nat_pmp(&mut self, now: Instant, request: &[u8]) -> Option<Vec<u8>> {
        let epoch = self.epoch(now).to_be_bytes();
        let code = self.nat_pmp_error.unwrap_or(0).to_be_bytes();
        let head = [&[0, request[1] | 0x80][..], &code, &epoch].concat();
        if request[1] == 0 {
            self.asked.push("nat-pmp address".into());
            return Some([&head[..], &self.external.octets()].concat());
        }
        let internal = u16::from_be_bytes([request[4], request[5]]);
        let suggested = u16::from_be_bytes([request[6], request[7]]);
        let lifetime = u32::from_be_bytes(request[8..12].try_into().ok()?);
        self.asked.push(if lifetime == 0 { "nat-pmp delete" } else { "nat-pmp map" }.into());
        let protocol = if request[1] == 1 { 17 } else { 6 };
        let lifetime = if lifetime == 0 { 0 } else { self.lifetime.unwrap_or(lifetime) };
        let port = match self.nat_pmp_error {
            Some(_) => 0,
            None => self.map(now, protocol, internal, suggested, lifetime, "nat-pmp"),
        };
        let tail = [&request[4..6], &port.to_be_bytes()[..], &lifetime.to_be_bytes()].concat();
        Some([head, tail].concat())
    }

    /// What PCP and NAT-PMP do to the table.
    fn map(
        &mut self,
        now: Instant,
        protocol: u8,
        internal: u16,
        suggested: u16,
        lifetime: u32,
        by: &'static str,
    ) -> u16 {
        let held = self.table.iter().find(|(key, entry)| key.0 == protocol && entry.internal == internal);
        let held = held.map(|(key, _)| key.1);
        if lifetime == 0 {
            self.table.retain(|key, entry| key.0 != protocol || entry.internal != internal);
            return 0;
        }
        let mut port = held.unwrap_or(if suggested == 0 { internal } else { suggested });
        while held.is_none() && (self.taken.contains(&port) || self.table.contains_key(&(protocol, port))) {
            port += 1;
        }
        let until = now + Duration::from_secs(lifetime.into());
        self.table.insert((protocol, port), Entry { internal, until, by });
        port
    }

    fn answer_search(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let (request, port) = (std::str::from_utf8(request).ok()?, self.igd?);
        let target = request.lines().find_map(|line| line.strip_prefix("ST: "))?;
        self.asked.push("search".into());
        let location = SocketAddr::new(self.address, port);
        (target == TARGETS[0]).then(|| {
            format!("HTTP/1.1 200 OK\r\nST: {target}\r\nLOCATION: http://{location}/root.xml\r\n\r\n").into()
        })
    }

    /// A whole HTTP request; the whole answer.
    pub(crate) fn http(&mut self, now: Instant, request: &str) -> Vec<u8> {
        let name = request.split_once("SOAPAction: \"").map(|(_, rest)| {
            let action = rest.split('"').next().expect("quoted");
            action.rsplit('#').next().expect("named")
        });
        self.asked.push(name.unwrap_or("describe").into());
        let result = match name {
            None => Ok(self.description()),
            Some("GetExternalIPAddress") => {
                Ok(format!("<NewExternalIPAddress>{}</NewExternalIPAddress>", self.external))
            }
            Some("DeletePortMapping") => self.delete(request).ok_or(714),
            Some(add) => self.add(now, request, add == "AddAnyPortMapping"),
        };
        let (status, body) = match result {
            Ok(body) => ("200 OK", body),
            Err(code) => ("500 Internal Server Error", format!("<errorCode>{code}</errorCode>")),
        };
        // As some do: in Latin-1, whatever they say.
        let body = body.replace('ä', "\u{1}");
        let latin = |answer: String| answer.bytes().map(|byte| if byte == 1 { 0xe4 } else { byte }).collect();
        if self.chunked {
            let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
            return latin(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        }
        latin(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn description(&self) -> String {
        format!(
            "<?xml version=\"1.0\"?><root><device><friendlyName>Gerät</friendlyName><serviceList><service><serviceType>{}</serviceType>\
             <controlURL>/ctl</controlURL></service></serviceList></device></root>",
            self.service.urn()
        )
    }

    fn delete(&mut self, request: &str) -> Option<String> {
        let port = number(request, "NewExternalPort") as u16;
        self.table.remove(&(protocol(request), port)).map(|_| String::new())
    }

    fn add(&mut self, now: Instant, request: &str, any: bool) -> Result<String, u16> {
        let lease = number(request, "NewLeaseDuration");
        let mut port = number(request, "NewExternalPort") as u16;
        let internal = number(request, "NewInternalPort") as u16;
        if any && self.service != ServiceType::Ip2 {
            return Err(401);
        }
        if let Some(code) = self.igd_error {
            return Err(code);
        }
        if let Some(code) = self.permanent.filter(|_| lease != 0) {
            return Err(code);
        }
        let key = |port| (protocol(request), port);
        let is_taken = |port: u16| {
            let others = self.table.get(&key(port)).is_some_and(|entry| entry.internal != internal);
            others || self.taken.contains(&port)
        };
        if !any && is_taken(port) {
            return Err(718);
        }
        while is_taken(port) {
            port += 1;
        }
        let lasts = if lease == 0 { Duration::from_secs(1 << 30) } else { Duration::from_secs(lease.into()) };
        self.table.insert(key(port), Entry { internal, until: now + lasts, by: "igd" });
        Ok(format!("<NewReservedPort>{port}</NewReservedPort>"))
    }
}

fn number(request: &str, name: &str) -> u32 {
    text_of(request, name).and_then(|text| text.parse().ok()).expect("a number")
}

fn protocol(request: &str) -> u8 {
    if text_of(request, "NewProtocol").as_deref() == Some("UDP") { 17 } else { 6 }
}
