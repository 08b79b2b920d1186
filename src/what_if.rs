//! `weir what-if`: tries changes of rules beside those of a server, or over files, and tells what
//! alerts they would bring and take.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cli::Failure;
use crate::http::{Answer, Server, ServerArgs, encoded};
use crate::observe::shown;
use crate::replay::what_if::{OfflineArgs, offline};

/// How often the server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Alerts of a difference that are asked for at a time.
const PAGE: usize = 1_000;

const AFTER_HELP: &str = "\
Against a server, the what-if runs on beside its rules until it is promoted or dropped:
    weir what-if RULE.yml --backfill 24h
    weir what-if --show ID | --promote ID | --drop ID | --list
Over files, nothing else is changed by it:
    weir what-if --rules DIR --candidate RULE.yml FILE...";

/// Try changes of rules before they are made: which alerts would come, go and change.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct WhatIfArgs {
    /// Rules to try, or, with --candidate or --rules, files of events.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Id of a rule that is tried to be removed; may be repeated.
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,
    /// How far back rules that are put see events, such as `24h`.
    #[arg(long, value_name = "SPAN")]
    backfill: Option<String>,
    /// Over files: rules that run, a file or a folder; may be repeated [default: the built-in rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Over files: rules to try; may be repeated.
    #[arg(long, value_name = "RULE")]
    candidate: Vec<PathBuf>,
    /// Tell what a what-if has come to by now.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove"])]
    show: Option<String>,
    /// Make the changes of a what-if.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove", "show"])]
    promote: Option<String>,
    /// End a what-if.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove", "show", "promote"])]
    drop: Option<String>,
    /// All what-ifs of the server.
    #[arg(long, conflicts_with_all = ["files", "remove", "show", "promote", "drop"])]
    list: bool,
    /// End the what-if once it has told its difference.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn what_if(args: &WhatIfArgs, quiet: bool) -> Result<ExitCode> {
    if !args.candidate.is_empty() || !args.rules.is_empty() {
        let asked = OfflineArgs {
            rules: args.rules.clone(),
            candidates: args.candidate.clone(),
            remove: args.remove.clone(),
            files: args.files.clone(),
        };
        let found = offline(&asked, quiet)?;
        println!("{}", told(&found, args.json));
        return Ok(ExitCode::SUCCESS);
    }
    let server = Running(args.server.server()?);
    if args.list {
        let all = server.ask("GET", "", &[])?;
        println!(
            "{}",
            if args.json {
                all.to_string()
            } else {
                listed(&all)
            }
        );
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &args.drop {
        server.ask("DELETE", &path(id)?, &[])?;
        println!("dropped {id}; nothing has changed");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(id) = &args.promote {
        let done = server.ask("POST", &format!("{}/promote", path(id)?), &[])?;
        let what_if = &done["what_if"];
        println!("promoted {id}: {}", counted(what_if));
        return Ok(ExitCode::SUCCESS);
    }
    let id = match &args.show {
        Some(id) => id.clone(),
        None => begin(args, &server)?,
    };
    let found = server.whole(&id, quiet)?;
    println!("{}", told(&found, args.json));
    if args.once {
        server.ask("DELETE", &path(&id)?, &[])?;
    } else if args.show.is_none() && !args.json {
        println!("\nIt runs on as {id}: weir what-if --promote {id}, or --drop {id}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Begins a what-if; returns its id.
fn begin(args: &WhatIfArgs, server: &Running) -> Result<String> {
    if args.files.is_empty() && args.remove.is_empty() {
        let told = "name rules to try, or one to remove with --remove";
        return Err(Failure::Usage(told.to_owned()).into());
    }
    let text = texts(&args.files)?;
    let mut query: Vec<String> = Vec::new();
    query.extend(
        args.remove
            .iter()
            .map(|id| format!("remove={}", encoded(id))),
    );
    query.extend(
        args.backfill
            .iter()
            .map(|span| format!("backfill={}", encoded(span))),
    );
    let answer = server.ask("POST", &format!("?{}", query.join("&")), text.as_bytes())?;
    let id = answer["what_if"]["id"].as_str();
    Ok(id.context("the server named no what-if")?.to_owned())
}

/// The texts of some files of rules, as documents of one.
pub fn texts(files: &[PathBuf]) -> Result<String> {
    let mut texts = Vec::new();
    for file in files {
        let read = std::fs::read_to_string(file);
        texts.push(read.with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(texts.join("\n---\n"))
}

/// A running server, to ask of what-ifs.
struct Running(Server);

impl Running {
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Value> {
        let path = format!("/api/v1/what-if{path}");
        answered(self.0.ask(method, &path, body)?)
    }

    /// A what-if with its whole difference, once it runs.
    fn whole(&self, id: &str, quiet: bool) -> Result<Value> {
        let path = path(id)?;
        let mut alerts: Vec<Value> = Vec::new();
        let mut after = String::new();
        let terminal = std::io::stderr().is_terminal() && !quiet;
        loop {
            let mut page = self.ask("GET", &format!("{path}?limit={PAGE}{after}"), &[])?;
            if page["what_if"]["state"] == "deriving" {
                if terminal {
                    eprint!("\r{}\x1b[K", progress(&page["what_if"]["progress"]));
                }
                std::thread::sleep(ASK_EVERY);
                continue;
            }
            if terminal {
                eprint!("\r\x1b[K");
            }
            if let Some(some) = page["alerts"].as_array_mut() {
                alerts.append(some);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => {
                    page["alerts"] = alerts.into();
                    return Ok(page);
                }
            }
        }
    }
}

/// The body of an answer that says that it was done.
pub fn answered(answer: Answer) -> Result<Value> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    match answer.status {
        200..=299 => Ok(body),
        status => {
            let mut lines = vec![shown(text(&body["detail"]))];
            for said in body["diagnostics"].as_array().into_iter().flatten() {
                let line = said["line"].as_u64().unwrap_or(1);
                let hint = said["hint"].as_str().map(|hint| format!(" ({hint})"));
                let hint = hint.unwrap_or_default();
                lines.push(shown(&format!(
                    "line {line}: {}{hint}",
                    text(&said["message"])
                )));
            }
            let told = lines.join("\n  ");
            if status == 422 {
                return Err(Failure::BadData(told).into());
            }
            bail!("the server answered {status}: {told}")
        }
    }
}

/// How far a backfill is, in words.
pub fn progress(progress: &Value) -> String {
    if progress.is_null() {
        return "working it out".to_owned();
    }
    format!(
        "{} of {} batches read again, {} events, {} a second",
        progress["batches"],
        progress["batches_total"],
        progress["events"],
        progress["events_per_second"].as_f64().unwrap_or(0.0) as u64,
    )
}

fn path(id: &str) -> Result<String> {
    if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(format!("/{id}"));
    }
    let told = format!(
        "`{}` is no id of a what-if; it has 16 hexadecimal digits",
        shown(id)
    );
    Err(Failure::Usage(told).into())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn counted(what_if: &Value) -> String {
    let restated = what_if["restated"].as_u64().unwrap_or(0);
    let same = restated + what_if["same"].as_u64().unwrap_or(0);
    format!(
        "{} gained, {} lost, {} changed, {same} as they are",
        what_if["gained"], what_if["lost"], what_if["changed"],
    )
}

fn listed(all: &Value) -> String {
    let mut lines = vec!["ID                STATE      GAINED  LOST  CHANGED  CHANGES".to_owned()];
    for one in all["what_ifs"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{:16}  {:9}  {:>6}  {:>4}  {:>7}  {}",
            text(&one["id"]),
            text(&one["state"]),
            one["gained"].to_string(),
            one["lost"].to_string(),
            one["changed"].to_string(),
            changes(one),
        ));
    }
    lines.join("\n")
}

fn changes(one: &Value) -> String {
    let changes = one["changes"].as_array().into_iter().flatten();
    let changes = changes.map(|change| {
        let what = text(&change["change"]);
        format!("{what} {}", shown(text(&change["rule"])))
    });
    changes.collect::<Vec<_>>().join(", ")
}

/// A difference, for people or as JSON.
fn told(found: &Value, json: bool) -> String {
    if json {
        return found.to_string();
    }
    let what_if = &found["what_if"];
    let mut lines = Vec::new();
    for row in found["alerts"].as_array().into_iter().flatten() {
        lines.push(line(row));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let state = text(&what_if["state"]);
    if state != "running" {
        lines.push(format!("the what-if is {state}"));
    }
    lines.push(format!("{}: {}", changes(what_if), counted(what_if)));
    if what_if["limited"].as_u64().unwrap_or(0) > 0 {
        let limited = &what_if["limited"];
        lines.push(format!(
            "incomplete: {limited} facts or alerts were beyond a limit"
        ));
    }
    lines.join("\n")
}

/// One alert of a difference: what it would be, and where that differs what it is.
fn line(row: &Value) -> String {
    let sign = match text(&row["kind"]) {
        "gained" => "+ gained ",
        "lost" => "- lost   ",
        _ => "~ changed",
    };
    let group = row["group"].as_object().into_iter().flatten();
    let group: Vec<String> = group
        .map(|(name, value)| format!("{}={}", shown(name), shown(text(value))))
        .collect();
    let side = |side: &Value| {
        let count = side["count"].as_u64().unwrap_or(0);
        let events = if count == 1 { "event" } else { "events" };
        let short = |time: &Value| text(time).replace(".000000000", "");
        let (first, last) = (short(&side["first"]), short(&side["last"]));
        format!("{count} {events}, {first} to {last}")
    };
    let sides = match (&row["live"], &row["tried"]) {
        (Value::Null, tried) => side(tried),
        (live, Value::Null) => side(live),
        (live, tried) => format!("{} (was {})", side(tried), side(live)),
    };
    format!(
        "{sign} {:<13} {} [{}] {sides}",
        text(&row["level"]),
        shown(text(&row["title"])),
        group.join(" "),
    )
}
