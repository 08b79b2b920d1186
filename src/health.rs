//! `weir health`: asks whether a server lives, for whoever watches over containers.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Failure;
use crate::http;
use crate::observe::shown;

/// Asks whether the server lives; exits with 0 where it does, with 69 where it does not.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Address of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8514")]
    url: String,
    /// Whether it is ready, too: what was in the journal at its start is judged.
    #[arg(long)]
    ready: bool,
}

/// Asks.
pub fn health(args: &HealthArgs) -> Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    // These two answer without a token.
    let answer = http::get(&args.url, path, "")?;
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        return Err(Failure::Unreachable(shown(&said)).into());
    }
    println!("{}", shown(&said));
    Ok(ExitCode::SUCCESS)
}
