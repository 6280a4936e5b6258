//! Networks in virtual time, on the command line.

#![deny(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    bradawl_sim::cli::main()
}
