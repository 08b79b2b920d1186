//! `weir replay`: the whole graph over files, one JSON object a line on standard output.
//!
//! ```text
//!  files ─► lines ─► batches, epochs ─► journal in a temporary folder ─► graph ─► ledger in memory
//!                          ▲                                               │
//!                          └─────── at most 64 epochs ahead ◄──────────────┴─► printer
//! ```
//!
//! A rule that cannot be used is told on standard error with its file and line, the others run, and
//! the exit code is 65 at the end: a replay is often a trial of rules, and what it says of the good
//! ones is true. Input that cannot be read to its end stops it at once, for then nothing is.

mod entries;
pub(crate) mod input;

mod feed;
mod places;

mod print;

pub mod what_if;

#[doc(hidden)]
pub mod door;

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use weir_dataflow::{Emit, Host, HostOptions};
use weir_detect::{Diagnostic, RuleBook};
use weir_ingest::{Clock, SystemClock};
use weir_schema::{
    Control, Entry, Epoch, EventTime, Format, ReceiveTime, RuleId, Span, TimeBounds,
};
use weir_store::journal::{Journal, JournalOptions, JournalWriter};

use crate::adapters::{ReadEpochs, ReadFrames};
use crate::cli::Failure;
use crate::progress::Progress;
use crate::rule_desk;
use crate::rules::load;
use feed::{Feed, Go, Reading, WRITE_BYTES};
use input::Lines;
use print::{Output, Printer, Records, Told, Wanted};

/// The tenant of a server without configuration, so that a replay gives alerts the same keys.
const TENANT: &str = "default";

const AFTER_HELP: &str = "\
Everything is kept and may still be corrected, unless --horizon says otherwise. Blank lines are no
events. A journal of the run, packed, is kept in the temporary folder until it ends.

Exit codes: 0, 2 usage, 65 a rule or a part of an event log that cannot be used (the others were)
or a file that cannot be unpacked, 74 input or output that failed, 77 permission.";

/// Run the whole graph over files, and print what it says.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReplayArgs {
    /// Rules, a file or a folder; may be repeated [default: the built-in rules].
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// A configuration file, of which `[detection]` is used: placeholders and log sources.
    #[arg(long, value_name = "FILE")]
    placeholders: Option<PathBuf>,
    /// How lines are to be read.
    #[arg(long, default_value = "auto")]
    format: InputFormat,
    /// What the files hold, where their format does not say: `category=C,product=P,service=S`.
    #[arg(long, value_name = "LOGSOURCE", value_parser = logsource)]
    logsource: Option<String>,
    /// The JSON field that holds the time, before the customary ones.
    #[arg(long, value_name = "NAME")]
    time_field: Option<String>,
    /// What is printed.
    #[arg(long, default_value = "alerts")]
    output: Output,
    /// Only the alerts that stand at the end, sorted by rule, group and first.
    #[arg(long = "final")]
    only_final: bool,
    /// Also the ordinals of the events that an alert rests on.
    #[arg(long)]
    evidence: bool,
    /// Forget what lies so far behind the watermark, as a server does, such as `24h`.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    horizon: Option<Span>,
    /// When the lines were received: RFC 3339, or `now`.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = received)]
    received: Received,
    /// Events of an epoch; what stands at the end does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = epoch_events())]
    epoch_events: u32,
    /// Timely workers; what is printed does not depend on them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers())]
    workers: u16,
    /// Read in the order given, each a source of its own; `-` is standard input, `.gz` and `.zst`
    /// are unpacked. Event logs of Windows (EVTX) and journald's export format are recognised.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum InputFormat {
    /// JSON where a line starts with `{`, else syslog.
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

/// An epoch is in memory as a whole.
fn epoch_events() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=100_000)
}

/// Far more threads than any machine is faster with.
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

/// Runs the verb.
pub fn replay(args: &ReplayArgs, quiet: bool) -> Result<ExitCode> {
    if args.output != Output::Alerts && (args.only_final || args.evidence) {
        let told = "--final and --evidence go with --output alerts";
        return Err(Failure::Usage(told.to_owned()).into());
    }
    args.files.iter().try_for_each(|file| input::check(file))?;
    let mut progress = Progress::new(quiet);
    let rules = Rules::read(&args.rules, args.placeholders.as_deref())?;
    let received = match args.received {
        Received::At(time) => time,
        Received::Now => {
            let now = SystemClock.now();
            let text = weir_web::rfc3339(EventTime(now.0));
            progress.say(&format!(
                "received is {text}; give --received {text} to repeat this run"
            ));
            now
        }
    };
    let broken = run(args, &rules, received, progress)?;
    Ok(if rules.refused || broken > 0 {
        ExitCode::from(65)
    } else {
        ExitCode::SUCCESS
    })
}

/// The rules to replay under.
struct Rules {
    controls: Vec<Control>,
    titles: BTreeMap<RuleId, String>,
    /// Some document cannot be used.
    refused: bool,
}

impl Rules {
    /// Reads rules, and tells on standard error what is wrong with them.
    fn read(paths: &[PathBuf], placeholders: Option<&Path>) -> Result<Self> {
        let mut documents = Vec::new();
        for path in paths {
            let shown = || format!("cannot read the rules in {}", path.display());
            std::fs::metadata(path).with_context(shown)?;
            let read = rule_desk::read(path).map_err(Failure::Io)?;
            if read.is_empty() {
                eprintln!("weir: there are no rules in {}", path.display());
            }
            documents.extend(read);
        }
        if paths.is_empty() {
            documents = crate::builtin::rules();
        }
        let mut book = RuleBook::new();
        let mut rules = Self {
            controls: Vec::new(),
            titles: BTreeMap::new(),
            refused: false,
        };
        if let Some(control) = crate::detection::entry_of(placeholders)? {
            book.apply(&control);
            rules.controls.push(control);
        }
        // Of two with one id the first stands, as in a server.
        let documents = rule_desk::members_first(documents);
        let (wanted, mut said) = load::firsts(&documents, |_| None);
        for wanted in wanted {
            let control = rule_desk::put(&wanted.document, EventTime::MIN);
            said.extend(book.apply(&control).diagnostics);
            rules.controls.push(control);
        }
        for diagnostic in said {
            rules.refused |= diagnostic.refused;
            eprintln!("weir: {}", placed(diagnostic));
        }
        let known = book.rules().into_iter();
        rules.titles = known.map(|rule| (rule.id, rule.title)).collect();
        Ok(rules)
    }
}

/// A diagnostic with the line of the file, where it has that of the document.
fn placed(mut diagnostic: Diagnostic) -> Diagnostic {
    let place = diagnostic.origin.rsplit_once(':');
    let place = place.and_then(|(file, line)| Some((file.to_owned(), line.parse::<u32>().ok()?)));
    if let Some((file, first)) = place {
        diagnostic.origin = file;
        let inner = diagnostic.line.unwrap_or(1);
        diagnostic.line = Some(first.saturating_add(inner).saturating_sub(1));
    }
    diagnostic
}

fn run(args: &ReplayArgs, rules: &Rules, received: ReceiveTime, progress: Progress) -> Result<u64> {
    // Nothing of it is needed after an end of whatever kind, so it is not synced.
    let folder = tempfile::Builder::new().prefix("weir-replay-").tempdir();
    let folder = folder.context("cannot make a temporary folder for the journal")?;
    remove_at_signal(folder.path().to_owned())?;
    let options = JournalOptions {
        fsync: false,
        ..JournalOptions::default()
    };
    let (mut writer, _) = Journal::open(&folder.path().join("journal"), options)?;
    begin(&mut writer, args.horizon, received, &rules.controls)?;

    let told = Arc::new(Told::default());
    let wanted = Wanted {
        output: args.output,
        only_final: args.only_final,
        evidence: args.evidence,
    };
    let host = start(args, &writer, &told, wanted, &rules.titles)?;
    let reading = Reading {
        format: match args.format {
            InputFormat::Auto => Format::Auto,
            InputFormat::Syslog => Format::Syslog,
            InputFormat::Jsonl => Format::Json,
        },
        logsource: args.logsource.clone(),
        received,
        epoch_events: args.epoch_events as usize,
        keep_lines: args.output == Output::Matches,
    };
    let feed = Feed::new(writer, host.status(), Arc::clone(&told), reading, progress);
    let fed = read_all(feed, &args.files);
    let stopped = host.stop();
    let broken = fed?;
    told.failure()?;
    stopped.context("the graph stopped")?;
    if args.only_final && !told.ended() {
        print::print_final(&told, args.evidence);
    }
    told.failure()?;
    Ok(broken)
}

/// Places that cannot be read and are told one by one.
const BROKEN_TOLD_MAX: u64 = 20;

/// Reads every file to its end, or until there is no use in it. Tells how many places of event logs
/// could not be read.
fn read_all(mut feed: Feed, files: &[PathBuf]) -> Result<u64> {
    let mut buffer = Vec::new();
    let mut broken = 0;
    for (place, file) in files.iter().enumerate() {
        let mut lines = Lines::open(file)?;
        feed.begin(place, &name(file), lines.is_json())?;
        loop {
            while let Some(line) = lines.next(&mut buffer)? {
                if feed.line(&line)? == Go::Stop {
                    return Ok(broken);
                }
            }
            let Some(told) = lines.take_broken() else {
                break;
            };
            broken += 1;
            if broken <= BROKEN_TOLD_MAX {
                feed.broken(&told);
            }
        }
    }
    if broken > BROKEN_TOLD_MAX {
        feed.broken(&format!("{} more places", broken - BROKEN_TOLD_MAX));
    }
    feed.finish()?;
    Ok(broken)
}

fn name(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// Writes what bears on results, as the first epoch.
fn begin(
    writer: &mut JournalWriter,
    horizon: Option<Span>,
    received: ReceiveTime,
    rules: &[Control],
) -> Result<()> {
    let start = Control::Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bounds: TimeBounds {
            horizon,
            live: horizon.is_some(),
            ..TimeBounds::default()
        },
        received,
    };
    for control in std::iter::once(&start).chain(rules) {
        writer.append(&Entry::Control(control.clone()))?;
        if writer.pending_bytes() >= WRITE_BYTES {
            writer.sync()?;
        }
    }
    let epoch = writer.next_epoch();
    writer.append(&Entry::Seal { epoch })?;
    writer.sync()?;
    Ok(())
}

fn start(
    args: &ReplayArgs,
    writer: &JournalWriter,
    told: &Arc<Told>,
    wanted: Wanted,
    titles: &BTreeMap<RuleId, String>,
) -> Result<Host> {
    let journal = writer.reader();
    let printer = Printer {
        wanted,
        told: Arc::clone(told),
        files: args.files.iter().map(|file| name(file)).collect(),
        titles: titles.clone(),
        out: BufWriter::with_capacity(64 << 10, std::io::stdout()),
    };
    let options = HostOptions {
        workers: usize::from(args.workers),
        emit: Emit {
            matches: args.output == Output::Matches,
            events: args.output == Output::Events,
            problems: false,
            time_field: args.time_field.clone(),
        },
    };
    Ok(Host::start(
        options,
        Box::new(ReadEpochs(journal.cursor(Epoch(1)))),
        Arc::new(ReadFrames(journal)),
        Box::new(Records(Arc::clone(told))),
        Box::new(printer),
    )?)
}

/// Who interrupts a replay should not find its journal left behind.
fn remove_at_signal(folder: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen to signals")?;
    let wait = move || {
        if runtime.block_on(crate::run::stop_asked()).is_ok() {
            // It is a temporary folder: what cannot be removed now, the system will.
            let _ = std::fs::remove_dir_all(&folder);
            std::process::exit(130);
        }
    };
    let thread = std::thread::Builder::new().name("weir-signals".to_owned());
    thread.spawn(wait).context("cannot listen to signals")?;
    Ok(())
}
