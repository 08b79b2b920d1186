//! `weir replay`: runs the whole graph over files, and prints one JSON object a line.
//!
//! ```text
//!  files ─► lines ─► batches, epochs ─► journal in a temporary folder ─► graph ─► ledger in memory
//!                          ▲                                               │
//!                          └─────── at most 64 epochs ahead ◄──────────────┴─► printer
//! ```
//!
//! A rule that cannot be used is reported on standard error with its file and line. The others run,
//! and the exit code is 65 at the end: a replay often tries rules, and the results of the good ones
//! are right. Input that cannot be read to its end stops the replay, since its results would be
//! wrong.

mod rules;
mod run;

mod feed;

mod places;
mod print;

pub use print::{Output, PrintOptions};
pub use rules::{ReplayRules, in_file};
pub use run::{Replay, ReplayOptions};

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_schema::{EventTime, Format, ReceiveTime, Span};

use crate::exit::{BAD_DATA, ExitError};
use crate::progress::ProgressReporter;
use crate::verbs::input;

const AFTER_HELP: &str = "\
Every event may still be corrected, unless --horizon is given. Blank lines are not events. The
journal of the run, compressed, is in the temporary folder until it ends.

Exit codes: 0, 2 usage, 65 a rule or a part of an event log that cannot be used (the others were)
or a file that cannot be unpacked, 74 input or output that failed, 77 permission.";

/// Run the whole graph over files, and print its results.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// Rules, a file or a folder; may be repeated [default: the built-in rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// A configuration file, of which `[detection]` is used: placeholders and log sources
    /// [default: --config].
    #[arg(long, value_name = "FILE")]
    placeholders: Option<PathBuf>,
    /// Format of the lines.
    #[arg(long, default_value = "auto")]
    format: InputFormat,
    /// Log source of events whose format states none: `category=C,product=P,service=S`.
    #[arg(long, value_name = "LOGSOURCE", value_parser = logsource)]
    logsource: Option<String>,
    /// JSON field with the time, which is read before the usual ones.
    #[arg(long, value_name = "NAME")]
    time_field: Option<String>,
    /// Results to print.
    #[arg(long, default_value = "alerts")]
    output: Output,
    /// Print only the alerts that stand at the end, sorted by rule, group and first event.
    #[arg(long = "final")]
    only_final: bool,
    /// Print also the ordinals of the events that an alert is based on.
    #[arg(long)]
    evidence: bool,
    /// Forget events so far behind the watermark, as a server does, such as `24h`.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    horizon: Option<Span>,
    /// Receive time of the lines: RFC 3339, or `now`.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = received)]
    received: Received,
    /// Events of an epoch; the alerts that stand at the end do not depend on it.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = epoch_events())]
    epoch_events: u32,
    /// Number of timely workers; the output does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers())]
    workers: u16,
    /// Files, read in this order, each a source of its own; `-` is standard input, `.gz` and `.zst`
    /// are unpacked. Windows event logs (EVTX) and journald's export format are recognised.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum InputFormat {
    /// JSON if a line starts with `{`, else syslog.
    Auto,
    Syslog,
    /// One JSON object a line.
    Jsonl,
}

#[derive(Clone, Copy, Debug)]
enum Received {
    Now,
    At(ReceiveTime),
}

/// Up to 100,000 events, since an epoch is in memory as a whole.
fn epoch_events() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

/// Up to 256 workers, far more than speed up any machine.
fn workers() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=256)
}

fn logsource(text: &str) -> Result<String, String> {
    match weir_parse::parse_logsource(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "write it as 500ms, 15s, 10m, 24h or 7d".to_owned())
}

fn received(text: &str) -> Result<Received, String> {
    if text == "now" {
        return Ok(Received::Now);
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).ok();
    let nanos = time.and_then(|time| time.timestamp_nanos_opt());
    let at = nanos.map(|nanos| Received::At(ReceiveTime(nanos)));
    at.ok_or_else(|| "write RFC 3339, such as 2026-08-01T12:00:00Z, or `now`".to_owned())
}

/// Replays files; exits with 65 if a rule or a part of a file cannot be used.
pub fn replay(args: &ReplayArgs, config: Option<&Path>, quiet: bool) -> Result<ExitCode> {
    if args.output != Output::Alerts && (args.only_final || args.evidence) {
        let message = "--final and --evidence go with --output alerts";
        return Err(ExitError::Usage(message.to_owned()).into());
    }
    args.files
        .iter()
        .try_for_each(|file| input::check_exists(file))?;
    let mut progress = ProgressReporter::new(quiet);
    let rules = ReplayRules::read(&args.rules, args.placeholders.as_deref().or(config))?;
    let received = match args.received {
        Received::At(time) => time,
        Received::Now => {
            let now = SystemClock.now();
            let text = weir_web::rfc3339(EventTime(now.0));
            progress.note(&format!(
                "received is {text}; give --received {text} to repeat this run"
            ));
            now
        }
    };
    let options = options(args, received);
    let replay = Replay::start("weir-replay-", &options, &rules, progress)?;
    let finished = replay.finish(&options.files)?;
    if args.only_final {
        finished.print_final(args.evidence)?;
    }
    Ok(if rules.refused || finished.unreadable > 0 {
        ExitCode::from(BAD_DATA)
    } else {
        ExitCode::SUCCESS
    })
}

fn options(args: &ReplayArgs, received: ReceiveTime) -> ReplayOptions {
    ReplayOptions {
        files: args.files.clone(),
        format: match args.format {
            InputFormat::Auto => Format::Auto,
            InputFormat::Syslog => Format::Syslog,
            InputFormat::Jsonl => Format::Json,
        },
        logsource: args.logsource.clone(),
        time_field: args.time_field.clone(),
        print: PrintOptions {
            output: args.output,
            only_final: args.only_final,
            evidence: args.evidence,
        },
        horizon: args.horizon,
        received,
        epoch_events: args.epoch_events as usize,
        workers: usize::from(args.workers),
    }
}
