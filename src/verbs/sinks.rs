//! `weir sinks`: lists the sinks of a running server and their dead letters, and resends these.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;
use weir_schema::AlertId;

use crate::console;
use crate::exit::ExitError;
use crate::text::printable;
use crate::verbs::client::{HttpAnswer, ServerAccessArgs};
use crate::verbs::overrides::ServerDefaults;

/// List the sinks of a running server, which deliver alerts, and resend their dead letters.
#[derive(Debug, clap::Args)]
pub struct SinksArgs {
    #[command(subcommand)]
    verb: SinksVerb,
    #[command(flatten)]
    server: ServerAccessArgs,
    /// Print the answer of the server, as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum SinksVerb {
    /// List all sinks: their position, waiting alerts and last failure.
    List,
    /// List the dead letters of a sink: alerts that it gave up.
    Dead { sink: String },
    /// Resend the dead letters of a sink: one alert, or all.
    Resend {
        sink: String,
        /// Id of the alert.
        #[arg(long, value_name = "ID")]
        alert: Option<String>,
    },
    /// Enable a sink that its consumer has stopped by answering 410.
    Enable { sink: String },
}

/// Sends the request, and prints the answer.
pub fn sinks(args: &SinksArgs, defaults: &ServerDefaults) -> Result<ExitCode> {
    let client = args.server.client(defaults)?;
    let (answer, text): (HttpAnswer, fn(&Value) -> String) = match &args.verb {
        SinksVerb::List => (client.get("/api/v1/sinks")?, list),
        SinksVerb::Dead { sink } => {
            let path = format!("/api/v1/sinks/{}/dead", checked_name(sink)?);
            (client.get(&path)?, dead)
        }
        SinksVerb::Resend { sink, alert } => {
            let mut path = format!("/api/v1/sinks/{}/resend", checked_name(sink)?);
            if let Some(alert) = alert {
                let bad = || ExitError::Usage("an alert id is 32 hexadecimal digits".to_owned());
                let alert = AlertId::parse(alert).ok_or_else(bad)?;
                path.push_str(&format!("?alert={alert}"));
            }
            (client.post(&path)?, resent)
        }
        SinksVerb::Enable { sink } => {
            let path = format!("/api/v1/sinks/{}/enable", checked_name(sink)?);
            (client.post(&path)?, |_| "enabled\n".to_owned())
        }
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    match answer.status {
        200 if args.json => console::out_json(&body),
        200 => console::out(&text(&body)),
        status => bail!(
            "the server answered {status}: {}",
            printable(body["detail"].as_str().unwrap_or_default())
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that the name of a sink is safe in a path.
fn checked_name(sink: &str) -> Result<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if sink.is_empty() || !sink.bytes().all(fits) {
        let message = format!("`{}` is not the name of a sink", printable(sink));
        return Err(ExitError::Usage(message).into());
    }
    Ok(sink)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        other => printable(&other.to_string()),
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

pub(super) fn list(body: &Value) -> String {
    let mut out = String::new();
    for sink in rows(&body["sinks"]) {
        let field = |name: &str| word(&sink[name]);
        out.push_str(&format!(
            "{:<24} {:<12} {:<8} at {:<12} {} waiting, {} dead  {}\n",
            field("name"),
            field("type"),
            field("state"),
            field("position"),
            field("waiting"),
            field("dead"),
            field("target"),
        ));
        for (name, word) in [("stopped", "stopped"), ("last_failure", "last failure")] {
            if !sink[name].is_null() {
                out.push_str(&format!("    {word}: {}\n", field(name)));
            }
        }
    }
    if out.is_empty() {
        out.push_str("no sink is configured\n");
    }
    out
}

pub(super) fn dead(body: &Value) -> String {
    let mut out = String::new();
    for dead in rows(&body["dead"]) {
        let field = |name: &str| word(&dead[name]);
        let (alert, since, reason) = (field("alert"), field("since"), field("reason"));
        let (rows, from) = (field("rows"), field("from"));
        out.push_str(&format!(
            "{alert}  {rows} rows from {from} since {since}  {reason}\n"
        ));
    }
    if out.is_empty() {
        out.push_str("nothing was given up\n");
    }
    out
}

fn resent(body: &Value) -> String {
    format!("{} alerts are sent again\n", word(&body["resent"]))
}
