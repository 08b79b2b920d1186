//! `weir rules add`, `remove`, `disable`, `enable`: edits the rules of a running server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::console::{self, outln};
use crate::text::printable;
use crate::verbs::client::{ApiClient, ServerAccessArgs, backfill_progress, encoded};
use crate::verbs::input::read_rule_texts;
use crate::verbs::overrides::ServerDefaults;

/// Pause between two requests for the progress.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Polls within which a backfill must begin: it begins with the next epoch, and one is sealed every
/// second at the latest.
const POLLS_BEFORE_BEGIN_MAX: u32 = 10;

/// Add rules to a running server, or replace those with the same ids: all of them, or none.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[arg(value_name = "RULE", required = true)]
    files: Vec<PathBuf>,
    /// How far back the rules see events, such as `24h`; by default they see only new events.
    /// Events before the settled line, `time.horizon` behind, are not evaluated.
    #[arg(long, value_name = "SPAN")]
    backfill: Option<String>,
    #[command(flatten)]
    server: ServerAccessArgs,
}

/// Changes one rule of a running server.
#[derive(Debug, clap::Args)]
pub struct RuleIdArgs {
    #[arg(value_name = "ID")]
    rule: String,
    #[command(flatten)]
    server: ServerAccessArgs,
}

fn request(client: &ApiClient, method: &str, path: &str, body: &[u8]) -> Result<Value> {
    let path = format!("/api/v1/rules{path}");
    client.request(method, &path, body)?.into_json()
}

/// Adds rules, and shows the progress of their backfill.
pub fn add(args: &AddArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let text = read_rule_texts(&args.files)?;
    let backfill = args.backfill.iter();
    let backfill: String = backfill
        .map(|span| format!("&backfill={}", encoded(span)))
        .collect();
    let path = format!("?origin=weir%20rules%20add{backfill}");
    let client = args.server.client(defaults)?;
    let done = request(&client, "PUT", &path, text.as_bytes())?;
    for rule in done["rules"].as_array().into_iter().flatten() {
        let word = |key: &str| printable(rule[key].as_str().unwrap_or_default());
        outln!(
            "added {} ({}), for events since {}",
            word("id"),
            word("title"),
            word("since").replace(".000000000", "")
        );
    }
    if args.backfill.is_some() {
        follow_backfill(&client)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the backfill completes, and shows its progress on a terminal.
fn follow_backfill(client: &ApiClient) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let mut begun = false;
    let mut polls = 0;
    loop {
        let progress = request(client, "GET", "", &[])?["backfill"].take();
        if progress.is_null() && (begun || polls >= POLLS_BEFORE_BEGIN_MAX) {
            break;
        }
        if terminal && !progress.is_null() {
            console::show_status(&backfill_progress(&progress));
        }
        begun |= !progress.is_null();
        polls += 1;
        std::thread::sleep(POLL_EVERY);
    }
    if terminal {
        console::show_status("");
    }
    outln!("the backfill is complete, and the rules follow new events");
    Ok(())
}

/// Removes a rule, and retracts all of its alerts.
pub fn remove(args: &RuleIdArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let client = args.server.client(defaults)?;
    let path = format!("/{}", encoded(&args.rule));
    let done = request(&client, "DELETE", &path, &[])?;
    outln!(
        "{}: removed, and its alerts retracted",
        printable(&args.rule)
    );
    for rule in done["alerts_by_itself"].as_array().into_iter().flatten() {
        let rule = printable(rule.as_str().unwrap_or_default());
        outln!("{rule}: raises alerts by itself from now on, since no other rule reads it");
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops a rule from now on.
pub fn disable(args: &RuleIdArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    edit(
        &args.server.client(defaults)?,
        &args.rule,
        "POST",
        "/disable",
        "disabled; its alerts stand",
    )
}

/// Runs a rule again that was disabled or removed.
pub fn enable(args: &RuleIdArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    edit(
        &args.server.client(defaults)?,
        &args.rule,
        "POST",
        "/enable",
        "enabled",
    )
}

fn edit(client: &ApiClient, rule: &str, method: &str, path: &str, done: &str) -> Result<ExitCode> {
    let path = format!("/{}{path}", encoded(rule));
    request(client, method, &path, &[])?;
    outln!("{}: {done}", printable(rule));
    Ok(ExitCode::SUCCESS)
}
