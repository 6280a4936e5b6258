//! The addresses that this host has, as the system lists them (`getifaddrs`).

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use bradawl::machine::Interface;

/// The most addresses that are listed. What more there is, is left out.
pub const MAX_INTERFACES: usize = 256;

/// Every address of every interface that is up, but for loopback. At most [`MAX_INTERFACES`].
///
/// ```
/// for interface in bradawl_host::interfaces::interfaces()? {
///     println!("{}/{} on interface {}", interface.address, interface.prefix_len, interface.index);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let list = List::new()?;
    Ok(list.iter().filter_map(interface).take(MAX_INTERFACES).collect())
}

/// What the system has allocated for us.
struct List(*mut libc::ifaddrs);

impl List {
    fn new() -> io::Result<Self> {
        let mut first = ptr::null_mut();
        // SAFETY: the pointer is to a pointer that outlives the call.
        match unsafe { libc::getifaddrs(&raw mut first) } {
            0 => Ok(Self(first)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &libc::ifaddrs> {
        // SAFETY: the system linked the entries, the last one to null, and they live as long as the list.
        let mut next = unsafe { self.0.as_ref() };
        std::iter::from_fn(move || {
            let entry = next?;
            // SAFETY: as above.
            next = unsafe { entry.ifa_next.as_ref() };
            Some(entry)
        })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: it came from `getifaddrs`, and this is the only place that gives it back.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

/// The entry, if it is an IP address that others may reach us at.
fn interface(entry: &libc::ifaddrs) -> Option<Interface> {
    let flags = entry.ifa_flags as libc::c_int;
    if flags & libc::IFF_UP == 0 || flags & libc::IFF_LOOPBACK != 0 {
        return None;
    }
    // SAFETY: an address in the list is null or a socket address of the family that it says.
    let (address, mask) = unsafe { (ip(entry.ifa_addr)?, ip(entry.ifa_netmask)) };
    // SAFETY: the system wrote the name, and ended it with a zero.
    let name = unsafe { CStr::from_ptr(entry.ifa_name) };
    // SAFETY: the pointer is to a string that ends with a zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    Some(Interface { index, address, prefix_len: prefix_len(address, mask) })
}

/// Reads a socket address of IP.
///
/// # Safety
///
/// The pointer is null or to a socket address of the family that it says.
unsafe fn ip(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: it is not null, and every socket address begins with its family. It may not be aligned.
    let family = unsafe { (&raw const (*address).sa_family).read_unaligned() };
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is one of these.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one of these.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(without_scope(v6.sin6_addr.s6_addr.into()).into())
        }
        _ => None,
    }
}

/// Some systems hide the interface in a link-local address, where there are only zeros (RFC 4291 §2.5.6).
fn without_scope(ip: Ipv6Addr) -> Ipv6Addr {
    match ip.segments() {
        [first, _, rest @ ..] if ip.is_unicast_link_local() => {
            let [a, b, c, d, e, f] = rest;
            Ipv6Addr::new(first, 0, a, b, c, d, e, f)
        }
        _ => ip,
    }
}

/// How many leading bits the mask has; an address without one is alone in its network.
fn prefix_len(address: IpAddr, mask: Option<IpAddr>) -> u8 {
    let ones = match (address, mask) {
        (IpAddr::V4(_), Some(IpAddr::V4(mask))) => mask.to_bits().leading_ones(),
        (IpAddr::V6(_), Some(IpAddr::V6(mask))) => mask.to_bits().leading_ones(),
        (IpAddr::V4(_), _) => 32,
        (IpAddr::V6(_), _) => 128,
    };
    ones as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_mask_is_as_long_as_its_leading_ones() {
        let v4 = address("192.0.2.1");
        assert_eq!(prefix_len(v4, Some(address("255.255.240.0"))), 20);
        assert_eq!(prefix_len(v4, None), 32);
        let v6 = address("2001:db8::1");
        assert_eq!(prefix_len(v6, Some(address("ffff:ffff:ffff:ffff::"))), 64);
        assert_eq!(prefix_len(v6, None), 128);
    }

    #[test]
    fn a_scope_within_an_address_is_taken_out_of_it() {
        let hidden: Ipv6Addr = "fe80:7::1".parse().expect("an address");
        assert_eq!(without_scope(hidden), "fe80::1".parse::<Ipv6Addr>().expect("an address"));
        let global: Ipv6Addr = "2001:db8::1".parse().expect("an address");
        assert_eq!(without_scope(global), global);
    }

    #[test]
    fn loopback_is_nobodys() {
        let all = interfaces().expect("a list");
        assert!(all.iter().all(|interface| !interface.address.is_loopback()), "{all:?}");
    }
}
