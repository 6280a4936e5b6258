//! `ice`: lines come in on one thread and go out on another; between them a machine with its sockets, which
//! waits for neither.

use std::future::pending;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use bradawl::punch::gather;
use bradawl_host::cli::ice::{Arguments, Dialogue, Ice, Input, Lookup, Next, next_line};
use bradawl_host::cli::peer::Server;
use bradawl_host::cli::{self, Exit, Problem};
use bradawl_host::driver::{Driver, Limits};
use bradawl_host::{interfaces, seed};
use bradawl_tokio::EventLoop;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::check;

/// So many lines wait to be heard at most, and so many pieces of text to be printed.
const WAITING: usize = 64;

/// So many lines are heard in a row at most.
const LINES: usize = 64;

/// How long the names of STUN servers may take to resolve.
const NAMES: Duration = Duration::from_secs(5);

/// So many turns what is left to be sent may take at the end.
const LAST_TURNS: usize = 16;

/// Until stdin ends, or says so.
pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Problem> {
    arguments.validate()?;
    let failed = |error: &dyn std::fmt::Display| Problem::new(Exit::Failed, error.to_string());
    let rng = seed::rng().map_err(|error| failed(&error))?;
    let locals = match &arguments.bind[..] {
        [] => gather::locals(&interfaces::interfaces().map_err(|error| failed(&error))?),
        bind => gather::preferred(bind.iter().copied()),
    };
    let servers = servers(&arguments.stun).await;
    let ice = Ice::new(locals, servers, arguments.role.into(), rng).echoing(arguments.echo);
    let mut conversation = Conversation {
        dialogue: Dialogue::begin(&ice),
        events: EventLoop::new(Driver::new(ice, Limits::default())),
        lookups: JoinSet::new(),
    };
    let (mut lines, (printer, printed)) = (reader(), printer());
    let result = conversation.hold(&mut lines, &printer).await;
    drop(printer);
    // What has been said is to be read, and whether it can be.
    let printed = printed.await.unwrap_or(Ok(()));
    if conversation.dialogue.lost() > 0 {
        let lost = conversation.dialogue.lost();
        cli::say(format_args!("note: {lost} datagrams were lost because nobody read stdout"));
    }
    result?;
    match printed {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Problem::unprintable(&error)),
    }
}

struct Conversation {
    dialogue: Dialogue,
    events: EventLoop<Ice>,
    lookups: JoinSet<(Lookup, Result<IpAddr, String>)>,
}

impl Conversation {
    async fn hold(&mut self, lines: &mut Receiver<Input>, printer: &Sender<String>) -> Result<(), Problem> {
        loop {
            let Ok(permit) = printer.try_reserve() else {
                if printer.is_closed() {
                    return Ok(());
                }
                // Whoever reads is slow: the machine goes on, and nothing is heard meanwhile.
                tokio::select! {
                    _ = printer.reserve() => {}
                    turned = self.events.turn(&mut self.dialogue) => turned.map_err(|error| cannot_wait(&error))?,
                }
                continue;
            };
            if let Some(text) = self.dialogue.take() {
                permit.send(text);
                continue;
            }
            drop(permit);
            if !self.step(lines, printer).await? {
                self.end(printer).await?;
                return Ok(());
            }
        }
    }

    /// Waits for something to do, and does it; whether it goes on.
    async fn step(&mut self, lines: &mut Receiver<Input>, printer: &Sender<String>) -> Result<bool, Problem> {
        let has_room = self.dialogue.has_room(self.events.driver().machine()) && !self.is_blocked();
        tokio::select! {
            line = lines.recv(), if has_room => return Ok(self.hear_all(line, lines)),
            (lookup, result) = resolved(&mut self.lookups) => {
                let now = self.events.driver().now();
                self.dialogue.resolved(self.events.driver_mut().machine_mut(), now, &lookup, result);
            }
            turned = self.events.turn(&mut self.dialogue) => turned.map_err(|error| cannot_wait(&error))?,
            // Nobody reads us any more.
            () = printer.closed() => return Ok(false),
        }
        Ok(true)
    }

    /// Hears a line and those behind it, as many as there is room for; whether it goes on.
    fn hear_all(&mut self, first: Option<Input>, lines: &mut Receiver<Input>) -> bool {
        let mut next = first;
        for _ in 1..LINES {
            match next {
                Some(input) if self.hear(&input) => {}
                _ => return false,
            }
            if !self.dialogue.has_room(self.events.driver().machine()) {
                return true;
            }
            next = match lines.try_recv() {
                Ok(input) => Some(input),
                // Whether there is nothing more now or ever, is heard when it is waited for.
                Err(_) => return true,
            };
        }
        next.is_some_and(|input| self.hear(&input))
    }

    fn hear(&mut self, input: &Input) -> bool {
        let now = self.events.driver().now();
        match self.dialogue.hear(self.events.driver_mut().machine_mut(), now, input) {
            Next::Go => {}
            Next::Resolve(lookup) => {
                self.lookups.spawn(async move {
                    let result = address(lookup.name()).await;
                    (lookup, result)
                });
            }
            Next::End => return false,
        }
        true
    }

    /// Whether the system takes no more packets from us.
    fn is_blocked(&self) -> bool {
        let driver = self.events.driver();
        driver.sockets().any(|(key, _)| driver.is_blocked(key))
    }

    /// Sends what is left, closes, and prints the rest.
    async fn end(&mut self, printer: &Sender<String>) -> Result<(), Problem> {
        for _ in 0..LAST_TURNS {
            self.events.driver_mut();
            self.events.turn(&mut self.dialogue).await.map_err(|error| cannot_wait(&error))?;
            if self.events.driver().machine().sending() == 0 {
                break;
            }
        }
        let now = self.events.driver().now();
        self.dialogue.end(self.events.driver_mut().machine_mut(), now);
        self.events.turn(&mut self.dialogue).await.map_err(|error| cannot_wait(&error))?;
        while let Some(text) = self.dialogue.take() {
            if printer.send(text).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn cannot_wait(error: &io::Error) -> Problem {
    Problem::new(Exit::Failed, format!("cannot wait for sockets: {error}"))
}

/// Lines of stdin, as they come, until it ends. Nothing can interrupt who reads there: its thread ends with
/// the process.
fn reader() -> Receiver<Input> {
    let (sender, lines) = mpsc::channel(WAITING);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(Some(input)) = next_line(&mut stdin) {
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    lines
}

/// Takes what is to be printed; when it takes no more, how that went.
fn printer() -> (Sender<String>, oneshot::Receiver<io::Result<()>>) {
    let (sender, mut texts) = mpsc::channel::<String>(WAITING);
    let (tell, printed) = oneshot::channel();
    thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        let mut result = Ok(());
        while result.is_ok()
            && let Some(text) = texts.blocking_recv()
        {
            result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        }
        // Nobody wants to know: it has ended without us.
        let _ = tell.send(result);
    });
    (sender, printed)
}

/// The addresses of the servers, of each family the first. One that leads nowhere is said aloud.
async fn servers(servers: &[Server]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for server in servers {
        match server {
            Server::Address(address) => all.push(*address),
            Server::Name(host, port) => match timeout(NAMES, check::addresses(host, *port)).await {
                Ok(Ok(addresses)) => all.extend(addresses),
                Ok(Err(error)) => cli::say(format_args!("note: {server} leads nowhere: {error}")),
                Err(_) => cli::say(format_args!("note: {server} takes too long to be resolved")),
            },
        }
    }
    all
}

/// The next name that is resolved. May be dropped while it waits.
async fn resolved(
    lookups: &mut JoinSet<(Lookup, Result<IpAddr, String>)>,
) -> (Lookup, Result<IpAddr, String>) {
    loop {
        match lookups.join_next().await {
            Some(Ok(result)) => return result,
            // None is cancelled, and one that panics is a bug.
            Some(Err(_)) => {}
            None => pending().await,
        }
    }
}

/// The first address that a name has, for the system.
async fn address(name: &str) -> Result<IpAddr, String> {
    let mut all = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    all.next().map(|address| address.ip()).ok_or_else(|| "it has no address".to_owned())
}
