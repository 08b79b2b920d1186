//! The `weir` binary: wiring, and the verbs that people type.

mod cli;

mod config;
mod token;

mod topology;

mod adapters;
mod builtin;
mod explain;
mod metrics;
mod observe;
mod rule_desk;

mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    cli::start_log(cli.quiet);
    match cli::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir: {error:#}");
            cli::exit_code(&error)
        }
    }
}
