//! `weir tap`: shows what passes a stage of a running server, or what files would be at that stage.

#[doc(hidden)]
pub mod fuzz;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_detect::Diagnostic;
use weir_ingest::{ReceiveClock, SystemClock};
use weir_manage::{RuleFileDocument, deduplicate, load, read_all, settings};
use weir_schema::{Batch, BatchSeq, EventTime, Format, Frames, TimeBounds, Transport};
use weir_web::ports::{TapQuery, TapStage};

use crate::builtin;
use crate::config::{Config, DetectionConfig};
use crate::console::{self, errln};
use crate::exit::ExitError;
use crate::server::taps::rows::TapRows;
use crate::verbs::client::{ServerAccessArgs, encoded};
use crate::verbs::diagnostics::diagnostic_line;
use crate::verbs::input::InputLines;
use crate::verbs::overrides::ServerDefaults;

/// Most frames of a batch of a file.
const BATCH_FRAMES_MAX: usize = 256;

/// Show what passes a stage, one JSON object a line: of a running server, or of files.
#[derive(Debug, clap::Args)]
pub struct TapArgs {
    /// Stage to show: `frames`, `events`, `matches`, `facts`, or `alerts` (of a server only).
    #[arg(long, default_value = "events", value_parser = stage)]
    stage: TapStage,
    /// Show only this tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Show only this source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Show only matches, facts or alerts of this rule, by its id.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Show only events whose field, or alerts whose group, has exactly this value.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Option<(String, String)>,
    /// Show only frames, or alerts, that contain this text.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Show only events with this problem; `any` for all events with a problem.
    #[arg(long, value_name = "PROBLEM", num_args = 0..=1, default_missing_value = "any")]
    problem: Option<String>,
    /// End after so many rows.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// With a server: end after so many seconds.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    #[command(flatten)]
    server: ServerAccessArgs,
    /// With files: rules, a file or a folder; may be repeated [default: the built-in rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Files to read instead of asking a server; `-` is standard input, `.gz` and `.zst` are
    /// unpacked.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn stage(text: &str) -> Result<TapStage, String> {
    let message = "not one of frames, events, matches, facts, alerts";
    TapStage::parse(text).ok_or_else(|| message.to_owned())
}

fn field(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Taps a server, or files if any are named.
pub fn tap(args: &TapArgs, config: &Config) -> Result<ExitCode> {
    if args.files.is_empty() {
        stream::follow(
            &args.server.client(&ServerDefaults::of(config))?,
            &path(args),
        )?;
    } else {
        tap_files(args, &config.detection)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The path and query of the request.
fn path(args: &TapArgs) -> String {
    let field = args
        .field
        .as_ref()
        .map(|(name, value)| format!("{name}={value}"));
    let filters = [
        ("tenant", &args.tenant),
        ("source", &args.source),
        ("rule", &args.rule),
        ("field", &field),
        ("text", &args.text),
        ("problem", &args.problem),
    ];
    let (limit, seconds) = (args.limit, args.seconds);
    let stage = args.stage.name();
    let mut path = format!("/api/v1/tap?stage={stage}&limit={limit}&seconds={seconds}");
    for (name, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

/// Prints the rows of files, as if a server had just received them.
fn tap_files(args: &TapArgs, detection: &DetectionConfig) -> Result<()> {
    if args.stage == TapStage::Alerts {
        let message = "only a running server has alerts; `weir replay` shows those of files";
        return Err(ExitError::Usage(message.to_owned()).into());
    }
    let settings = settings::load(&detection.placeholders, &detection.log_sources)?;
    let mut book = settings::empty_book(&settings)?;
    let documents = match args.rules.is_empty() {
        true => builtin::rules(),
        false => read_rules(&args.rules)?,
    };
    let (candidates, _) = deduplicate(&documents, |_| None);
    let diagnostics = load(&mut book, candidates, EventTime::MIN).diagnostics;
    for diagnostic in &diagnostics {
        errln!("{}", diagnostic_line(diagnostic));
    }
    let mut rows = TapRows::new(query(args));
    let mut seq = 0;
    for file in &args.files {
        let mut lines = InputLines::open(file)?;
        let mut buffer = Vec::new();
        loop {
            let mut batch = empty_batch(&file.display().to_string());
            while batch.frames.len() < BATCH_FRAMES_MAX
                && let Some(line) = lines.next(&mut buffer)?
            {
                batch.frames.push(line.bytes);
            }
            if batch.frames.is_empty() || rows.is_done() || console::is_out_closed() {
                break;
            }
            let mut out = String::new();
            let bounds = TimeBounds::default();
            rows.batch(&book, &bounds, BatchSeq(seq), &batch, &mut out);
            seq += 1;
            stream::print_rows(&out);
        }
    }
    stream::print_rows(&rows.end());
    report_refused(&diagnostics)
}

/// Fails if rules cannot be used, after the others were run.
fn report_refused(diagnostics: &[Diagnostic]) -> Result<()> {
    match diagnostics.iter().filter(|one| one.refused).count() {
        0 => Ok(()),
        refused => Err(ExitError::BadData(format!("{refused} rules cannot be used")).into()),
    }
}

fn query(args: &TapArgs) -> TapQuery {
    TapQuery {
        stage: args.stage,
        tenant: args.tenant.clone(),
        source: args.source.clone(),
        rule: args.rule.clone(),
        field: args.field.clone(),
        text: args.text.clone(),
        problem: args.problem.clone(),
        limit: args.limit as usize,
    }
}

/// Reads rule files, all of which must be readable.
fn read_rules(paths: &[PathBuf]) -> Result<Vec<RuleFileDocument>> {
    let found = read_all(paths);
    match found.errors.first() {
        Some(error) => Err(ExitError::Io(error.to_string()).into()),
        None => Ok(found.documents),
    }
}

fn empty_batch(source: &str) -> Batch {
    Batch {
        tenant: "default".to_owned(),
        source: source.to_owned(),
        transport: Transport::File,
        format: Format::Auto,
        peer: None,
        zone: None,
        logsource: None,
        received: SystemClock.now(),
        delivery: None,
        frames: Frames::new(),
    }
}
