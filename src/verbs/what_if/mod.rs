//! `weir what-if`: tries changes of rules beside those of a server, or over files, and prints the
//! alerts that they would add and retract.

mod offline;
pub(super) mod print;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::config::Config;
use crate::console::{self, outln};
use crate::exit::ExitError;
use crate::text::printable;
use crate::verbs::client::{ApiClient, ServerAccessArgs, backfill_progress, encoded};
use crate::verbs::input::read_rule_texts;
use crate::verbs::overrides::ServerDefaults;
use offline::{OfflineWhatIf, replay_what_if};

/// Pause between two requests for the progress.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// Number of alerts of a difference that are requested at a time.
const PAGE: usize = 1_000;

const AFTER_HELP: &str = "\
Against a server, the what-if runs beside its rules until it is promoted or dropped:
    weir what-if RULE.yml --backfill 24h
    weir what-if --show ID | --promote ID | --drop ID | --list
Over files, it changes nothing else:
    weir what-if --rules DIR --candidate RULE.yml FILE...";

/// Try changes of rules before making them: which alerts would be gained, lost and changed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct WhatIfArgs {
    /// Rules to try, or, with --candidate or --rules, files of events.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Id of a rule to remove; may be repeated.
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,
    /// How far back the added rules see events, such as `24h`.
    #[arg(long, value_name = "SPAN")]
    backfill: Option<String>,
    /// Over files: rules that run, a file or a folder; may be repeated [default: the built-in
    /// rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Over files: rules to try; may be repeated.
    #[arg(long, value_name = "RULE")]
    candidate: Vec<PathBuf>,
    /// Print the difference of a what-if.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove"])]
    show: Option<String>,
    /// Make the changes of a what-if.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove", "show"])]
    promote: Option<String>,
    /// End a what-if.
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "remove", "show", "promote"])]
    drop: Option<String>,
    /// List all what-ifs of the server.
    #[arg(long, conflicts_with_all = ["files", "remove", "show", "promote", "drop"])]
    list: bool,
    /// End the what-if once its difference is printed.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    server: ServerAccessArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tries, shows, promotes, ends or lists what-ifs.
pub fn what_if(
    args: &WhatIfArgs,
    config: &Config,
    file: Option<&Path>,
    quiet: bool,
) -> Result<ExitCode> {
    if !args.candidate.is_empty() || !args.rules.is_empty() {
        let offline = OfflineWhatIf {
            rules: args.rules.clone(),
            candidates: args.candidate.clone(),
            remove: args.remove.clone(),
            files: args.files.clone(),
            config: file.map(Path::to_owned),
        };
        print_difference(&replay_what_if(&offline, quiet)?, args.json);
        return Ok(ExitCode::SUCCESS);
    }
    let client = WhatIfClient(args.server.client(&ServerDefaults::of(config))?);
    if args.list {
        let all = client.request("GET", "", &[])?;
        match args.json {
            true => console::out_json(&all),
            false => outln!("{}", print::table(&all)),
        }
    } else if let Some(id) = &args.drop {
        client.request("DELETE", &path(id)?, &[])?;
        outln!("dropped {id}; nothing has changed");
    } else if let Some(id) = &args.promote {
        let done = client.request("POST", &format!("{}/promote", path(id)?), &[])?;
        outln!("promoted {id}: {}", print::counts(&done["what_if"]));
    } else if let Some(id) = &args.show {
        print_difference(&client.difference(id, quiet)?, args.json);
        if args.once {
            client.request("DELETE", &path(id)?, &[])?;
        }
    } else {
        try_on_server(args, &client, quiet)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a what-if, and prints its difference.
fn try_on_server(args: &WhatIfArgs, client: &WhatIfClient, quiet: bool) -> Result<()> {
    let id = start(args, client)?;
    print_difference(&client.difference(&id, quiet)?, args.json);
    if args.once {
        client.request("DELETE", &path(&id)?, &[])?;
    } else if !args.json {
        outln!("\nIt runs on as {id}: weir what-if --promote {id}, or --drop {id}");
    }
    Ok(())
}

fn print_difference(difference: &Value, json: bool) {
    match json {
        true => console::out_json(difference),
        false => outln!("{}", print::difference(difference)),
    }
}

/// Starts a what-if. Returns its id.
fn start(args: &WhatIfArgs, client: &WhatIfClient) -> Result<String> {
    if args.files.is_empty() && args.remove.is_empty() {
        let message = "name rules to try, or one to remove with --remove";
        return Err(ExitError::Usage(message.to_owned()).into());
    }
    let text = read_rule_texts(&args.files)?;
    let remove = args.remove.iter();
    let mut query: Vec<String> = remove.map(|id| format!("remove={}", encoded(id))).collect();
    let backfill = args.backfill.iter();
    query.extend(backfill.map(|span| format!("backfill={}", encoded(span))));
    let answer = client.request("POST", &format!("?{}", query.join("&")), text.as_bytes())?;
    let id = answer["what_if"]["id"].as_str();
    Ok(id.context("the answer has no id of a what-if")?.to_owned())
}

/// The what-ifs of a running server.
struct WhatIfClient(ApiClient);

impl WhatIfClient {
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Value> {
        let path = format!("/api/v1/what-if{path}");
        self.0.request(method, &path, body)?.into_json()
    }

    /// A what-if with all pages of its difference, once it has one.
    fn difference(&self, id: &str, quiet: bool) -> Result<Value> {
        let path = path(id)?;
        let mut alerts: Vec<Value> = Vec::new();
        let mut after = String::new();
        let terminal = std::io::stderr().is_terminal() && !quiet;
        loop {
            let mut page = self.request("GET", &format!("{path}?limit={PAGE}{after}"), &[])?;
            if page["what_if"]["state"] == "deriving" {
                if terminal {
                    let progress = &page["what_if"]["progress"];
                    console::show_status(&backfill_progress(progress));
                }
                std::thread::sleep(POLL_EVERY);
                continue;
            }
            if terminal {
                console::show_status("");
            }
            if let Some(rows) = page["alerts"].as_array_mut() {
                alerts.append(rows);
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

/// The path of a what-if, whose id has 16 hexadecimal digits.
fn path(id: &str) -> Result<String> {
    if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(format!("/{id}"));
    }
    let message = format!(
        "`{}` is not the id of a what-if; it has 16 hexadecimal digits",
        printable(id)
    );
    Err(ExitError::Usage(message).into())
}
