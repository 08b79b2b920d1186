//! The `weir` binary: parses the command line, runs the verb and exits with its code.

use std::process::ExitCode;

use anyhow::Result;
use weir::verbs::cli;
use weir::{console, exit, log};

fn main() -> ExitCode {
    match run().and_then(|code| console::finish().map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            console::report_error(&error);
            exit::exit_code(&error)
        }
    }
}

fn run() -> Result<ExitCode> {
    if let Some(dir) = cli::ledger_to_check(std::env::args_os()) {
        return weir::server::ledger::check_here(&dir);
    }
    let cli = cli::parse();
    log::start(cli.is_quiet());
    cli::dispatch(cli)
}
