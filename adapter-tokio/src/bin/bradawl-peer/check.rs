//! `check`: asks each mediator, over each address family it has, how it sees this host, and finds out
//! what stands in between.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use bradawl_host::cli::check::Inquiry;
use bradawl_host::cli::output::Printer;
use bradawl_host::cli::peer::{Check, Server};
use bradawl_host::cli::{Exit, Problem};
use bradawl_tokio::EventLoop;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// All that is waited for, names and answers together, ends with the timeout. Names are resolved
/// side by side, and whoever is known already is asked meanwhile.
pub(crate) async fn run(arguments: &Check) -> Result<Exit, Problem> {
    arguments.validate()?;
    let begin = Instant::now();
    let (end, patience) = (begin + arguments.timeout(), begin + arguments.patience());
    // Who still resolves by then comes too late for the look at the NAT.
    let late = begin + Inquiry::NAMES.min(arguments.patience() / 4);
    let mut inquiry = Inquiry::new(Printer::new(arguments.json), arguments.lifetime);
    let mut names = Names::default();
    let mut events = EventLoop::new(Inquiry::driver()?);
    for server in &arguments.mediator {
        match server {
            Server::Address(address) => {
                let left = patience.saturating_duration_since(Instant::now());
                inquiry.ask(events.driver_mut(), server, *address, arguments.bind, left)?;
            }
            Server::Name(host, port) => names.resolve(server, host, *port),
        }
    }
    let work = async {
        while !(names.are_resolved() && inquiry.is_looking() && inquiry.is_over()) {
            if names.are_resolved() && !inquiry.is_looking() {
                inquiry.look(events.driver_mut())?;
            }
            tokio::select! {
                (server, result) = names.next(), if !names.are_resolved() => match result {
                    Ok(addresses) => {
                        let left = patience.saturating_duration_since(Instant::now());
                        for address in addresses {
                            inquiry.ask(events.driver_mut(), &server, address, arguments.bind, left)?;
                        }
                    }
                    Err(error) => inquiry.unresolved(&server, &error.to_string()),
                },
                () = sleep_until(late), if !inquiry.is_looking() => inquiry.look(events.driver_mut())?,
                turned = events.turn(&mut inquiry) => turned.map_err(|error| {
                    Problem::new(Exit::Failed, format!("cannot wait for sockets: {error}"))
                })?,
            }
            inquiry.progress(events.driver());
        }
        Ok::<_, Problem>(())
    };
    // Time being up is not an error: what is unanswered then is reported as such.
    timeout_at(end + Inquiry::GRACE, work).await.unwrap_or(Ok(()))?;
    for server in names.unresolved() {
        inquiry.unresolved(server, "no answer");
    }
    // What a router opened for us is closed again, at once as a rule and in the time that is left.
    inquiry.leave(events.driver_mut());
    let leave = async {
        while !inquiry.has_left(events.driver()) {
            events.turn(&mut inquiry).await?;
        }
        Ok::<_, io::Error>(())
    };
    let until = (Instant::now() + Inquiry::LEAVING).min(end + Inquiry::GRACE);
    // Who does not answer keeps it for two minutes.
    let _ = timeout_at(until, leave).await;
    inquiry.finish(events.driver())
}

/// Names on their way to becoming addresses. Dropped, it leaves the system's resolver to itself.
#[derive(Default)]
struct Names {
    asked: BTreeMap<usize, Server>,
    tasks: JoinSet<(usize, io::Result<Vec<SocketAddr>>)>,
}

impl Names {
    fn resolve(&mut self, server: &Server, host: &str, port: u16) {
        let (number, host) = (self.asked.len(), host.to_owned());
        self.asked.insert(number, server.clone());
        self.tasks.spawn(async move { (number, addresses(&host, port).await) });
    }

    fn are_resolved(&self) -> bool {
        self.asked.is_empty()
    }

    /// The next one that is done. May be dropped while it waits.
    async fn next(&mut self) -> (Server, io::Result<Vec<SocketAddr>>) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((number, result))) => {
                    if let Some(server) = self.asked.remove(&number) {
                        return (server, result);
                    }
                }
                // None is cancelled, and one that panics is a bug: it stays unresolved.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn unresolved(&self) -> impl Iterator<Item = &Server> {
        self.asked.values()
    }
}

/// The first address of each family, which is what the system would try first.
pub(crate) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let all: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let first = |v4: bool| all.iter().find(|address| address.is_ipv4() == v4).copied();
    Ok([first(true), first(false)].into_iter().flatten().collect())
}
