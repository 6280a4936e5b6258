//! UPnP Internet Gateway Device, versions 1 and 2: found by SSDP, described by XML over HTTP, controlled by
//! SOAP.
//!
//! [`ssdp`] searches, [`http`] reads answers in whatever chunks they come, [`xml`] scans them, [`soap`] is what
//! is asked. Whatever a gateway says, nothing but its own address is connected to: a location, a base or a
//! control URL on another host is as good as none.

mod description;
pub(super) mod gateway;
pub mod http;
mod job;
pub(super) mod search;
pub mod soap;
pub mod ssdp;
mod url;
pub mod xml;

pub use description::{MAX_DESCRIPTION, MAX_SERVICES, Service, ServiceType, services};
pub use url::{MAX_URL, Url};
