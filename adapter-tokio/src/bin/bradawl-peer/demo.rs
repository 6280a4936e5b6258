//! `demo`: a mediator on this host's loopback addresses, and a check against it over real sockets.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bradawl_host::cli::output::{Printer, Ready, Stopped};
use bradawl_host::cli::peer::{Check, Demo, Server};
use bradawl_host::cli::{Exit, Problem};
use bradawl_host::mediator::{Mediator, Plan};
use bradawl_host::udp::{BindOptions, Udp};

use crate::check;

/// Starts, checks, stops.
pub(crate) async fn run(arguments: &Demo) -> Result<Exit, Problem> {
    let printer = Printer::new(arguments.json);
    let failed = |error: std::io::Error| Problem::new(Exit::Failed, error.to_string());

    let mediator = Mediator::start(&Plan { listen: loopback(), ..Plan::default() })?;
    printer.progress(format_args!("a mediator is listening on loopback:"));
    let unprintable = |error: std::io::Error| Problem::unprintable(&error);
    printer.print(&Ready { udp: mediator.addresses() }).map_err(unprintable)?;

    printer.progress(format_args!("asking it how it sees us, and what stands in between:"));
    let servers = mediator.addresses().iter().map(|&address| Server::from(address)).collect();
    let arguments =
        Check { mediator: servers, bind: None, lifetime: false, timeout: None, json: arguments.json };
    let result = check::run(&arguments).await;

    let stopped = Stopped(mediator.stop().map_err(failed)?);
    printer.print(&stopped).map_err(unprintable)?;
    result
}

/// The loopback addresses that this host has: some containers have no IPv6.
fn loopback() -> Vec<SocketAddr> {
    let candidates = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    candidates.into_iter().filter(|&address| Udp::bind(address, &BindOptions::default()).is_ok()).collect()
}
