//! `weir health`: checks whether a server is alive, for health checks of containers.

use std::process::ExitCode;

use anyhow::Result;

use crate::console::outln;
use crate::exit::ExitError;
use crate::text::printable;
use crate::verbs::client::ServerUrlArgs;
use crate::verbs::overrides::ServerDefaults;

/// Check whether the server is alive; exits with 0 if it is, with 69 if not.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    #[command(flatten)]
    server: ServerUrlArgs,
    /// Also check that it is ready: it has applied what the journal held at its start.
    #[arg(long)]
    ready: bool,
}

/// Asks the server, and prints its answer.
pub fn health(args: &HealthArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    // Neither path needs a token.
    let answer = args.server.client(defaults)?.get(path)?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let why = body["detail"].as_str().unwrap_or(&text);
        return Err(ExitError::Unreachable(printable(why)).into());
    }
    outln!("{}", printable(&text));
    Ok(ExitCode::SUCCESS)
}
