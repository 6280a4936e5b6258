//! Where packets go that are for nobody nearby: the default gateways, as the kernel's tables have them.

use std::net::SocketAddr;

/// The most gateways anyone asks, however many routes there are.
pub const MAX_GATEWAYS: usize = 16;

/// The default gateways of both families, the preferred ones first, each once, with port 0. One of
/// IPv6 is seldom reached by anything but its link-local address, which comes with its interface as
/// scope. At most [`MAX_GATEWAYS`].
///
/// Only Linux is asked; elsewhere, and where the kernel does not say, there are none.
///
/// ```
/// for gateway in bradawl_host::routes::gateways() {
///     println!("{}", gateway.ip());
/// }
/// ```
pub fn gateways() -> Vec<SocketAddr> {
    tables::gateways()
}

#[cfg(not(target_os = "linux"))]
mod tables {
    use std::net::SocketAddr;

    pub(super) fn gateways() -> Vec<SocketAddr> {
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
mod tables {
    use std::fs::File;
    use std::io::{BufRead as _, BufReader};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

    use rustix::net::{AddressFamily, SocketType, netdevice, socket};

    use super::MAX_GATEWAYS;

    /// Of this thread: a thread can be in a network of its own.
    const V4: &str = "/proc/thread-self/net/route";
    const V6: &str = "/proc/thread-self/net/ipv6_route";

    /// The route can be used; it leads to a gateway; it leads nowhere.
    const UP: u32 = 0x1;
    const GATEWAY: u32 = 0x2;
    const REJECT: u32 = 0x200;

    /// A gateway and what the kernel sorts by.
    struct Route<'a> {
        metric: u32,
        gateway: SocketAddr,
        interface: &'a str,
    }

    pub(super) fn gateways() -> Vec<SocketAddr> {
        let mut found = read(V4, parse_v4);
        found.extend(read(V6, parse_v6));
        found.sort_by_key(|&(metric, _)| metric);
        let mut gateways = Vec::new();
        for (_, gateway) in found {
            if !gateways.contains(&gateway) && gateways.len() < MAX_GATEWAYS {
                gateways.push(gateway);
            }
        }
        gateways
    }

    /// The default routes of a table. A router may have very many of the others.
    fn read(table: &str, parse: fn(&str) -> Option<Route<'_>>) -> Vec<(u32, SocketAddr)> {
        let Ok(file) = File::open(table) else { return Vec::new() };
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        let routes = lines.filter_map(|line| {
            let route = parse(&line)?;
            Some((route.metric, with_scope(route.gateway, route.interface)?))
        });
        // Enough for each to be there several times.
        routes.take(MAX_GATEWAYS * 4).collect()
    }

    /// A link-local address is one only together with its interface.
    fn with_scope(gateway: SocketAddr, interface: &str) -> Option<SocketAddr> {
        match gateway {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => {
                let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
                let scope = netdevice::name_to_index(&any, interface).ok()?;
                Some(SocketAddrV6::new(*v6.ip(), 0, 0, scope).into())
            }
            _ => Some(gateway),
        }
    }

    /// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, the addresses as the kernel has
    /// them in memory.
    fn parse_v4(line: &str) -> Option<Route<'_>> {
        let mut words = line.split_ascii_whitespace();
        let interface = words.next()?;
        let mut hex = || u32::from_str_radix(words.next()?, 16).ok();
        let (destination, gateway, flags) = (hex()?, hex()?, hex()?);
        let metric = words.nth(2)?.parse().ok()?;
        let mask = u32::from_str_radix(words.next()?, 16).ok()?;
        if destination != 0 || mask != 0 || flags & (UP | GATEWAY | REJECT) != UP | GATEWAY {
            return None;
        }
        let gateway = Ipv4Addr::from(gateway.to_ne_bytes());
        Some(Route { metric, gateway: (gateway, 0).into(), interface })
    }

    /// `destination length source length gateway metric refcount use flags interface`.
    fn parse_v6(line: &str) -> Option<Route<'_>> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let &[destination, length, _, source_length, gateway, metric, _, _, flags, interface] = &words[..]
        else {
            return None;
        };
        let hex = |word| u32::from_str_radix(word, 16).ok();
        let address = |word| u128::from_str_radix(word, 16).ok();
        let flags = hex(flags)?;
        // A route for some sources only is no default one for the others.
        if address(destination)? != 0 || hex(length)? != 0 || hex(source_length)? != 0 {
            return None;
        }
        if flags & (UP | GATEWAY | REJECT) != UP | GATEWAY {
            return None;
        }
        let gateway = Ipv6Addr::from_bits(address(gateway)?);
        Some(Route { metric: hex(metric)?, gateway: (gateway, 0).into(), interface })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_default_routes_that_have_a_gateway_count() {
            let gateway = u32::from_ne_bytes([192, 168, 1, 1]);
            let good = format!("eth0\t00000000\t{gateway:08X}\t0003\t0\t0\t100\t00000000\t0\t0\t0");
            let route = parse_v4(&good).expect("one");
            assert_eq!((route.metric, route.gateway), (100, "192.168.1.1:0".parse().expect("an address")));
            for bad in [
                good.replace("\t0003\t", "\t0001\t"),
                good.replace("\t0003\t", "\t0203\t"),
                good.replace("eth0\t00000000", "eth0\t0000A8C0"),
                good.replace("\t100\t00000000", "\t100\t000000FF"),
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask".to_owned(),
                "eth0".to_owned(),
                String::new(),
            ] {
                assert!(parse_v4(&bad).is_none(), "{bad}");
            }
        }

        #[test]
        fn the_same_of_ipv6() {
            let (zero, router) = ("0".repeat(32), "fe800000000000000000000000000001");
            let good = format!("{zero} 00 {zero} 00 {router} 00000400 00000001 00000000 00450003     eth0");
            let route = parse_v6(&good).expect("one");
            assert_eq!((route.metric, route.interface), (1_024, "eth0"));
            assert_eq!(route.gateway, "[fe80::1]:0".parse().expect("an address"));
            for bad in [
                good.replace(" 00450003 ", " 00450001 "),
                good.replace(" 00450003 ", " 00200203 "),
                good.replacen(" 00 ", " 40 ", 1),
                good.replacen("00000000", "20010db8", 1),
                format!("{good} more"),
            ] {
                assert!(parse_v6(&bad).is_none(), "{bad}");
            }
        }
    }
}
