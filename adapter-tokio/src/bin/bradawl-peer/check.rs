//! `check`: asks each mediator, over each address family it has, how it sees this host.

use std::net::SocketAddr;

use bradawl_host::cli::check::Inquiry;
use bradawl_host::cli::output::Printer;
use bradawl_host::cli::peer::{Check, Server};
use bradawl_host::cli::{Exit, Problem};
use bradawl_tokio::EventLoop;
use tokio::time::{Instant, timeout_at};

/// All that is waited for, names and answers together, ends with the timeout.
pub(crate) async fn run(arguments: &Check) -> Result<Exit, Problem> {
    let end = Instant::now() + arguments.timeout;
    let mut inquiry = Inquiry::new(Printer::new(arguments.json));
    let mut driver = Inquiry::driver()?;
    for server in &arguments.mediator {
        match timeout_at(end, resolve(server)).await {
            Ok(Ok(addresses)) => {
                let left = end.saturating_duration_since(Instant::now());
                for address in addresses {
                    inquiry.ask(&mut driver, server, address, arguments.bind, left)?;
                }
            }
            Ok(Err(error)) => inquiry.unresolved(server, &error.to_string()),
            Err(_) => inquiry.unresolved(server, "no answer"),
        }
    }
    let mut events = EventLoop::new(driver);
    let answers = async {
        while !inquiry.is_over() {
            events.turn(&mut inquiry).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    // Time being up is not an error: what is unanswered then is reported as such.
    if let Ok(Err(error)) = timeout_at(end + Inquiry::GRACE, answers).await {
        return Err(Problem::new(Exit::Failed, format!("cannot wait for sockets: {error}")));
    }
    inquiry.finish()
}

/// The first address of each family, which is what the system would try first.
async fn resolve(server: &Server) -> std::io::Result<Vec<SocketAddr>> {
    let all: Vec<_> = tokio::net::lookup_host((server.host(), server.port())).await?.collect();
    let first = |v4: bool| all.iter().find(|address| address.is_ipv4() == v4).copied();
    Ok([first(true), first(false)].into_iter().flatten().collect())
}
