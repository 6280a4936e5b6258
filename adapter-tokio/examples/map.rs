//! Keeps a UDP port mapped in the router until it is told to stop, and says what happens meanwhile.
//!
//! ```text
//! $ cargo run --example map -- --port 5000
//! mapped pcp 203.0.113.9:5000 for 7200 s
//! ^C
//! closed
//! ```
//!
//! All that an embedder needs is here: a machine, its driver, an event loop, and what to do with events.
//! Nobody listens on the port itself: that is the business of the program whose port it is.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use bradawl::machine::{HostInput, Machine as _};
use bradawl::portmap::{Config, Event, Mapped, PortMapper, Protocol, Protocols, Via};
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::{interfaces, routes, seed, udp};
use bradawl_tokio::EventLoop;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: map --port PORT [--protocol pcp|nat-pmp|igd|any] [--lifetime S] [--router IP] \
                     [--watch S]
  --port      our UDP port; the router chooses its own
  --protocol  how to ask the router (any: all three race)
  --lifetime  for how many seconds to ask, at least 16 (7200; 3600 by igd)
  --router    whom to ask (the default gateways)
  --watch     how often to look for a restart of the router, in seconds, at least 10 (120)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1))? else {
        println!("{USAGE}");
        return Ok(());
    };
    // Before anything is mapped, so that it is unmapped whenever the signal comes.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let mut driver = Driver::new(PortMapper::new(arguments.config()?, seed::rng()?), Limits::default());
    let now = driver.now();
    let mapper = driver.machine_mut();
    // With these it knows which gateways that it finds by searching are on our own network.
    mapper.handle_host(now, HostInput::Interfaces(&interfaces::interfaces()?));
    mapper.map(now, arguments.port, Protocol::Udp, 0)?;

    let mut events = EventLoop::new(driver);
    let mut output = Ok(());
    let mut is_closed = false;
    while !is_closed {
        let mut hear = |event| {
            is_closed |= event == Event::Closed;
            if let Err(error) = tell(&event) {
                output = Err(error);
            }
        };
        let stop = tokio::select! {
            turned = events.turn(&mut hear) => { turned?; false }
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
        };
        if stop || output.is_err() {
            // Deletes what is mapped. `Closed` follows in any case, within three seconds.
            let now = events.driver().now();
            events.driver_mut().machine_mut().close(now);
        }
    }
    Ok(output?)
}

/// One line for each event.
fn tell(event: &Event) -> io::Result<()> {
    let line = match event {
        Event::Mapped(mapped) => describe("mapped", mapped),
        Event::Renewed(mapped) => describe("renewed", mapped),
        Event::Changed(mapped) => describe("changed", mapped),
        Event::Lost { external, via, .. } => format!("lost {} {external}", name(*via)),
        Event::Failed { reason, .. } => format!("failed: {reason}"),
        Event::ExternalAddress { router, address } => format!("router {router} is {address} outside"),
        Event::Closed => "closed".to_owned(),
    };
    writeln!(io::stdout(), "{line}")
}

fn describe(what: &str, mapped: &Mapped) -> String {
    let lasts = match mapped.lifetime {
        Some(lifetime) => format!("for {} s", lifetime.as_secs()),
        None => "for ever".to_owned(),
    };
    format!("{what} {} {} {lasts}", name(mapped.via), mapped.external)
}

const fn name(via: Via) -> &'static str {
    match via {
        Via::Pcp => "pcp",
        Via::NatPmp => "nat-pmp",
        Via::Igd => "igd",
    }
}

struct Arguments {
    port: u16,
    protocols: Protocols,
    lifetime: Option<Duration>,
    router: Option<IpAddr>,
    watch: Option<Duration>,
}

impl Arguments {
    /// `None` if help is wanted.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (protocols, lifetime, router, watch) = (Protocols::ALL, None, None, None);
        let mut arguments = Self { port: 0, protocols, lifetime, router, watch };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--port" => arguments.port = read(&word, &value()?)?,
                "--protocol" => arguments.protocols = protocols_called(&value()?)?,
                "--lifetime" => arguments.lifetime = Some(Duration::from_secs(read(&word, &value()?)?)),
                "--router" => arguments.router = Some(read(&word, &value()?)?),
                "--watch" => arguments.watch = Some(Duration::from_secs(read(&word, &value()?)?)),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown: {word}\n{USAGE}")),
            }
        }
        if arguments.port == 0 {
            return Err(format!("--port is needed\n{USAGE}"));
        }
        Ok(Some(arguments))
    }

    fn config(&self) -> io::Result<Config> {
        let routers: Vec<IpAddr> = match self.router {
            Some(router) => vec![router],
            None => routes::gateways().iter().map(std::net::SocketAddr::ip).filter(IpAddr::is_ipv4).collect(),
        };
        let Some(&first) = routers.first() else {
            return Err(io::Error::other("there is no default gateway: name one with --router"));
        };
        // The address of ours that is mapped to is the one that leads to the router.
        let mut config = Config::new(udp::source_for((first, 0).into())?, routers);
        config.protocols = self.protocols;
        if let Some(lifetime) = self.lifetime {
            (config.lifetime, config.igd_lease) = (lifetime, lifetime);
        }
        config.watch = self.watch.or(config.watch);
        Ok(config)
    }
}

fn read<T: FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} cannot be {text}\n{USAGE}"))
}

fn protocols_called(text: &str) -> Result<Protocols, String> {
    match text {
        "any" => Ok(Protocols::ALL),
        "pcp" => Ok(Protocols::only(Via::Pcp)),
        "nat-pmp" => Ok(Protocols::only(Via::NatPmp)),
        "igd" => Ok(Protocols::only(Via::Igd)),
        _ => Err(format!("--protocol cannot be {text}\n{USAGE}")),
    }
}
