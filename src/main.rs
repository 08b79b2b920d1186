//! The `weir` binary: reads what was typed, and exits as the verb says.

use std::process::ExitCode;

use clap::Parser;
use weir::cli;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    cli::start_log(cli.is_quiet());
    match cli::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error:#}");
            cli::exit_code(&error)
        }
    }
}
