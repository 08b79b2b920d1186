//! `weir tap`: what passes a stage of a running server, or what files would be there.

mod client;
#[doc(hidden)]
pub mod door;
pub mod live;
pub mod rows;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_ingest::{Clock, SystemClock};
use weir_schema::{Batch, BatchSeq, EventTime, Format, Frames, TimeBounds, Transport};
use weir_web::ports::{TapQuery, TapStage};

use crate::cli::Failure;
use crate::config::DetectionConfig;
use crate::http::{ServerArgs, encoded};
use crate::replay::input::Lines;
use crate::rule_desk::Document;
use crate::rules::{files, load};
use crate::{builtin, detection};
use rows::Rows;

/// Frames of a batch of a file.
const BATCH_FRAMES: usize = 256;

/// Shows what passes a stage, one JSON object a line: of a running server, or of files.
#[derive(Debug, clap::Args)]
pub struct TapArgs {
    /// What is shown: `frames`, `events`, `matches`, `facts`, or `alerts` (of a server only).
    #[arg(long, default_value = "events", value_parser = stage)]
    stage: TapStage,
    /// Only of this tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only of this source.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only matches, facts or alerts of this rule, by its id.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only where this field, or an alert's group, has exactly this value.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Option<(String, String)>,
    /// Only where the frame, or the alert, has this text in it.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only events with this problem; `any` for one of them.
    #[arg(long, value_name = "PROBLEM", num_args = 0..=1, default_missing_value = "any")]
    problem: Option<String>,
    /// End after so many rows.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Of a server: end after so many seconds.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    #[command(flatten)]
    server: ServerArgs,
    /// Of files: rules, a file or a folder; may be repeated [default: the built-in rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Files to read instead of asking a server; `-` is standard input, `.gz` and `.zst` are unpacked.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn stage(text: &str) -> Result<TapStage, String> {
    let told = "not one of frames, events, matches, facts, alerts";
    TapStage::parse(text).ok_or_else(|| told.to_owned())
}

fn field(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// Taps.
pub fn tap(args: &TapArgs) -> Result<ExitCode> {
    if args.files.is_empty() {
        client::follow(&args.server.server()?, &path(args))?;
    } else {
        of_files(args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked of the server.
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

/// The same of files, as if a server had just received them.
fn of_files(args: &TapArgs) -> Result<()> {
    if args.stage == TapStage::Alerts {
        let told = "alerts are of a running server; `weir replay` shows those of files";
        return Err(Failure::Usage(told.to_owned()).into());
    }
    let mut book = detection::book(&DetectionConfig::default())?;
    let documents = match args.rules.is_empty() {
        true => builtin::rules(),
        false => given(&args.rules)?,
    };
    let (wanted, _) = load::firsts(&documents, |_| None);
    let said = load::load(&mut book, wanted, EventTime::MIN).diagnostics;
    said.iter()
        .for_each(|said| eprintln!("{}", load::line(said)));
    let mut rows = Rows::new(TapQuery {
        stage: args.stage,
        tenant: args.tenant.clone(),
        source: args.source.clone(),
        rule: args.rule.clone(),
        field: args.field.clone(),
        text: args.text.clone(),
        problem: args.problem.clone(),
        limit: args.limit as usize,
    });
    let mut seq = 0;
    for file in &args.files {
        let mut lines = Lines::open(file)?;
        let mut buffer = Vec::new();
        loop {
            let mut batch = batch_of(&file.display().to_string());
            while batch.frames.len() < BATCH_FRAMES
                && let Some(line) = lines.next(&mut buffer)?
            {
                batch.frames.push(line.bytes);
            }
            if batch.frames.is_empty() || rows.is_done() {
                break;
            }
            let mut out = String::new();
            rows.batch(
                &book,
                &TimeBounds::default(),
                (BatchSeq(seq), &batch),
                &mut out,
            );
            seq += 1;
            client::say(&out)?;
        }
    }
    client::say(&rows.end())?;
    // The others were tapped; as of a replay, the end tells that these were not.
    match said.iter().filter(|said| said.refused).count() {
        0 => Ok(()),
        refused => Err(Failure::BadData(format!("{refused} rules cannot be used")).into()),
    }
}

/// Rules of files, all of which can be read.
fn given(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let found = files::read_all(paths);
    match found.troubles.first() {
        Some(trouble) => Err(Failure::Io(trouble.to_string()).into()),
        None => Ok(found.documents),
    }
}

fn batch_of(source: &str) -> Batch {
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
