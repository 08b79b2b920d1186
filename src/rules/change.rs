//! `weir rules add`, `remove`, `disable`, `enable`: changes the rules of a running server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::http::{Server, ServerArgs, encoded};
use crate::observe::shown;
use crate::rules::answer;
use crate::what_if::{answered, progress, texts};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A backfill begins with the next epoch, and one is sealed every second at the latest.
const BEGINS_WITHIN: u32 = 10;

/// Adds rules to a running server, or replaces those of the same ids: all of them, or none.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[arg(value_name = "RULE", required = true)]
    files: Vec<PathBuf>,
    /// How far back new rules see events, such as `24h`; else from now on. What lies before the
    /// settled line, `time.horizon` behind, is not evaluated.
    #[arg(long, value_name = "SPAN")]
    backfill: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Changes one rule of a running server.
#[derive(Debug, clap::Args)]
pub struct OneArgs {
    #[arg(value_name = "ID")]
    rule: String,
    #[command(flatten)]
    server: ServerArgs,
}

fn ask(server: &Server, method: &str, path: &str, body: &[u8]) -> Result<Value> {
    answered(server.ask(method, &format!("/api/v1/rules{path}"), body)?)
}

/// Puts rules in place, and tells how far the past is read again for them.
pub fn add(args: &AddArgs) -> Result<ExitCode> {
    let text = texts(&args.files)?;
    let backfill = args.backfill.iter();
    let backfill: String = backfill
        .map(|span| format!("&backfill={}", encoded(span)))
        .collect();
    let path = format!("?origin=weir%20rules%20add{backfill}");
    let server = args.server.server()?;
    let done = ask(&server, "PUT", &path, text.as_bytes())?;
    for rule in done["rules"].as_array().into_iter().flatten() {
        let word = |key: &str| shown(rule[key].as_str().unwrap_or_default());
        answer(&format!(
            "added {} ({}), for events since {}",
            word("id"),
            word("title"),
            word("since").replace(".000000000", "")
        ))?;
    }
    if args.backfill.is_some() {
        follow(&server)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the past has been read again, and says how much it was.
fn follow(server: &Server) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let mut last = Value::Null;
    let mut looks = 0;
    loop {
        let now = ask(server, "GET", "", &[])?["backfill"].take();
        if now.is_null() && (!last.is_null() || looks >= BEGINS_WITHIN) {
            break;
        }
        if terminal && !now.is_null() {
            eprint!("\r{}\x1b[K", progress(&now));
        }
        if !now.is_null() {
            last = now;
        }
        looks += 1;
        std::thread::sleep(ASK_EVERY);
    }
    if terminal {
        eprint!("\r\x1b[K");
    }
    answer("the past was read again, and the rules live on")?;
    Ok(())
}

/// Takes a rule back with all of its alerts.
pub fn remove(args: &OneArgs) -> Result<ExitCode> {
    one(args, "DELETE", "", "removed, with all that it said")
}

/// Stops a rule from now on.
pub fn disable(args: &OneArgs) -> Result<ExitCode> {
    one(args, "POST", "/disable", "disabled; what it said stands")
}

/// Runs a rule again that was disabled or removed.
pub fn enable(args: &OneArgs) -> Result<ExitCode> {
    one(args, "POST", "/enable", "enabled")
}

fn one(args: &OneArgs, method: &str, path: &str, done: &str) -> Result<ExitCode> {
    let path = format!("/{}{path}", encoded(&args.rule));
    ask(&args.server.server()?, method, &path, &[])?;
    answer(&format!("{}: {done}", shown(&args.rule)))?;
    Ok(ExitCode::SUCCESS)
}
