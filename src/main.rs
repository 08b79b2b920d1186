//! The `weir` binary: parses the command line, runs the verb and exits with its code.

use std::process::ExitCode;

use clap::Parser;
use weir::verbs::cli::{self, Cli};
use weir::{console, exit, log};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start(cli.is_quiet());
    match cli::dispatch(cli).and_then(|code| console::finish().map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            console::report_error(&error);
            exit::exit_code(&error)
        }
    }
}
