//! The mediator. So far it answers STUN requests.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::process::ExitCode;

use bradawl_host::cli::mediator::{Cli, Serve, Verb};
use bradawl_host::cli::output::{Printer, Ready, Stopped};
use bradawl_host::cli::{self, Exit, Problem};
use bradawl_host::mediator::Mediator;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let Verb::Serve(arguments) = cli.verb;
    cli::finish(serve(&arguments).await)
}

/// Serves until it is asked to stop, which is how a server ends well.
async fn serve(arguments: &Serve) -> Result<Exit, Problem> {
    let failed = |error: io::Error| Problem::new(Exit::Failed, error.to_string());
    // Before the ready line: who reads it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let printer = Printer::new(arguments.json);

    let mediator = Mediator::start(&arguments.plan()?)?;
    let ended = mediator.ended().and_then(Receiver::from_owned_fd).map_err(failed)?;
    printer.print(&Ready { udp: mediator.addresses() }).map_err(|error| Problem::unprintable(&error))?;
    for remark in mediator.remarks() {
        printer.progress(format_args!("{remark}"));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // A worker has failed; stopping the rest brings out why.
        _ = ended.readable() => {}
    }
    let stopped = Stopped(mediator.stop().map_err(failed)?);
    if arguments.json {
        // Whoever was to read it may have gone first, as at the end of a pipeline. It served well.
        let _ = printer.print(&stopped);
    }
    printer.progress(format_args!("{stopped}"));
    Ok(Exit::Done)
}
