//! The peer. So far it can say who it is, ask mediators how the world sees this host, and be an ICE agent.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod demo;
mod ice;

use std::process::ExitCode;

use bradawl_host::cli::peer::{Cli, Verb};
use bradawl_host::cli::{self, Exit, Problem, id};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::finish(Err(Problem::new(Exit::Failed, error.to_string()))),
    };
    let result = runtime.block_on(run(&cli.verb));
    // A name may still be resolving, on a thread that nothing can interrupt. Nobody waits for it.
    runtime.shutdown_background();
    cli::finish(result)
}

/// Does what was asked for, or stops when it is interrupted.
async fn run(verb: &Verb) -> Result<Exit, Problem> {
    let work = async {
        match verb {
            Verb::Check(arguments) => check::run(arguments).await,
            Verb::Demo(arguments) => demo::run(arguments).await,
            Verb::Ice(arguments) => ice::run(arguments).await,
            Verb::Id(arguments) => id::run(arguments),
        }
    };
    tokio::select! {
        // The signal first, so that it is watched for before anything is done.
        biased;
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Ok(Exit::Interrupted),
            Err(error) => Err(Problem::new(Exit::Failed, format!("cannot watch for signals: {error}"))),
        },
        result = work => result,
    }
}
