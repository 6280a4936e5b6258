//! The peer. So far it can ask mediators how the world sees this host.

mod check;
mod demo;

use std::process::ExitCode;

use bradawl_host::cli::peer::{Cli, Verb};
use bradawl_host::cli::{self, Exit, Problem};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli: Cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let work = async {
        match &cli.verb {
            Verb::Check(arguments) => check::run(arguments).await,
            Verb::Demo(arguments) => demo::run(arguments).await,
        }
    };
    let result = tokio::select! {
        // The signal first, so that it is watched for before anything is done.
        biased;
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Ok(Exit::Interrupted),
            Err(error) => Err(Problem::new(Exit::Failed, format!("cannot watch for signals: {error}"))),
        },
        result = work => result,
    };
    cli::finish(result)
}
