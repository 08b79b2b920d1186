//! `weir health`: asks whether a server lives, for whoever watches over containers.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Failure;
use crate::http::PlaceArgs;
use crate::observe::shown;

/// Asks whether the server lives; exits with 0 where it does, with 69 where it does not.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Whether it is ready, too: what was in the journal at its start is judged.
    #[arg(long)]
    ready: bool,
}

/// Asks.
pub fn health(args: &HealthArgs) -> Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    // These two answer without a token.
    let answer = args.place.server()?.get(path)?;
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let why = body["detail"].as_str().unwrap_or(&said);
        return Err(Failure::Unreachable(shown(why)).into());
    }
    println!("{}", shown(&said));
    Ok(ExitCode::SUCCESS)
}
