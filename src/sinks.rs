//! `weir sinks`: how the running server's sinks stand, what they gave up, and sending it again.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::Value;
use weir_schema::AlertId;

use crate::cli::Failure;
use crate::http::{Answer, ServerArgs};
use crate::observe::shown;

/// Ask about sinks, who are told of alerts, and send again what they gave up. The server must run.
#[derive(Debug, clap::Args)]
pub struct SinksArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    server: ServerArgs,
    /// Print what the server said, as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// All sinks: how far they are, what waits, what failed last.
    List,
    /// The alerts that a sink has given up.
    Dead { sink: String },
    /// Send again what a sink has given up: one alert, or all.
    Resend {
        sink: String,
        /// Id of the alert.
        #[arg(long, value_name = "ID")]
        alert: Option<String>,
    },
    /// Let a sink go on that its consumer has stopped by answering 410.
    Enable { sink: String },
}

/// Runs the verb.
pub fn sinks(args: &SinksArgs) -> Result<ExitCode> {
    let server = args.server.server()?;
    let (answer, words): (Answer, fn(&Value) -> String) = match &args.verb {
        Verb::List => (server.get("/api/v1/sinks")?, list),
        Verb::Dead { sink } => {
            let path = format!("/api/v1/sinks/{}/dead", named(sink)?);
            (server.get(&path)?, dead)
        }
        Verb::Resend { sink, alert } => {
            let mut path = format!("/api/v1/sinks/{}/resend", named(sink)?);
            if let Some(alert) = alert {
                let bad = || Failure::Usage("an alert id is 32 hexadecimal digits".to_owned());
                let alert = AlertId::parse(alert).ok_or_else(bad)?;
                path.push_str(&format!("?alert={alert}"));
            }
            (server.post(&path)?, resent)
        }
        Verb::Enable { sink } => {
            let path = format!("/api/v1/sinks/{}/enable", named(sink)?);
            (server.post(&path)?, |_| "it goes on\n".to_owned())
        }
    };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    match answer.status {
        200 if args.json => println!("{body}"),
        200 => print!("{}", words(&body)),
        status => bail!(
            "the server answered {status}: {}",
            shown(body["detail"].as_str().unwrap_or_default())
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// A sink's name, which is safe in a path.
fn named(sink: &str) -> Result<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if sink.is_empty() || !sink.bytes().all(fits) {
        let told = format!("`{}` is no name of a sink", shown(sink));
        return Err(Failure::Usage(told).into());
    }
    Ok(sink)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null => "-".to_owned(),
        other => shown(&other.to_string()),
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn list(body: &Value) -> String {
    let mut out = String::new();
    for sink in rows(&body["sinks"]) {
        let field = |name: &str| text(&sink[name]);
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

fn dead(body: &Value) -> String {
    let mut out = String::new();
    for dead in rows(&body["dead"]) {
        let field = |name: &str| text(&dead[name]);
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
    format!("{} alerts are sent again\n", text(&body["resent"]))
}
