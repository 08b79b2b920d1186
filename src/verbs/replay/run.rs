//! One replay: a journal in a temporary folder, the graph over it, and the files that feed it.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use weir_dataflow::{EmitOptions, Host, HostOptions, Status};
use weir_schema::{Control, Entry, Epoch, Format, ReceiveTime, Span, TimeBounds};
use weir_store::journal::{Journal, JournalOptions, JournalReader, JournalWriter};

use super::feed::{FeedOptions, FeedStep, JournalFeed, WRITE_BYTES};
use super::print::{MemoryLedger, Output, PrintOptions, ReplayPrinter, ReplayState, print_final};
use super::rules::ReplayRules;
use crate::progress::ProgressReporter;
use crate::server::adapters::{ReadEpochs, ReadFrames};
use crate::server::signals::stop_requested;
use crate::verbs::input::InputLines;

/// Most unreadable parts of files that are reported one by one.
const UNREADABLE_REPORTED_MAX: u64 = 20;

/// Everything that the results of a replay depend on, apart from its rules.
pub struct ReplayOptions {
    pub files: Vec<PathBuf>,
    pub format: Format,
    pub logsource: Option<String>,
    pub time_field: Option<String>,
    pub print: PrintOptions,
    pub horizon: Option<Span>,
    pub received: ReceiveTime,
    pub epoch_events: usize,
    pub workers: usize,
}

/// A replay whose graph runs, and whose files are still to be read.
pub struct Replay {
    feed: JournalFeed,
    host: Host,
    state: Arc<ReplayState>,
    journal: JournalReader,
    folder: TempDir,
}

/// A replay whose graph has applied every event.
pub struct FinishedReplay {
    /// Number of parts of files that could not be read.
    pub unreadable: u64,
    pub status: Arc<Status>,
    pub journal: JournalReader,
    state: Arc<ReplayState>,
    /// Holds the files of the journal.
    _folder: TempDir,
}

impl Replay {
    /// Makes a temporary folder with this prefix, begins the journal, and starts the graph over it.
    pub fn start(
        prefix: &str,
        options: &ReplayOptions,
        rules: &ReplayRules,
        progress: ProgressReporter,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir();
        let folder = folder.context("cannot create a temporary folder for the journal")?;
        remove_at_signal(folder.path().to_owned())?;
        let journal = JournalOptions {
            // The journal is of no use after a crash, so it is not synced.
            fsync: false,
            ..JournalOptions::default()
        };
        let (mut writer, _) = Journal::open(&folder.path().join("journal"), journal)?;
        append_first_epoch(&mut writer, options, &rules.controls)?;

        let journal = writer.reader();
        let state = Arc::new(ReplayState::default());
        let host = start_graph(options, rules, &journal, &state)?;
        let feed = FeedOptions {
            format: options.format,
            logsource: options.logsource.clone(),
            received: options.received,
            epoch_events: options.epoch_events,
            store_lines: options.print.output == Output::Matches,
        };
        Ok(Self {
            feed: JournalFeed::new(writer, host.status(), Arc::clone(&state), feed, progress),
            host,
            state,
            journal,
            folder,
        })
    }

    /// Reads all files, waits until the graph has applied them, and stops it.
    pub fn finish(self, files: &[PathBuf]) -> Result<FinishedReplay> {
        let status = self.host.status();
        let read = read_files(self.feed, files);
        let stopped = self.host.stop();
        let unreadable = read?;
        self.state.take_failure()?;
        stopped.context("the graph stopped")?;
        Ok(FinishedReplay {
            unreadable,
            status,
            journal: self.journal,
            state: self.state,
            _folder: self.folder,
        })
    }
}

impl FinishedReplay {
    /// Prints the alerts that stand, unless the reader of standard output is gone.
    pub fn print_final(&self, evidence: bool) -> Result<()> {
        if !self.state.ended() {
            print_final(&self.state, evidence);
        }
        Ok(self.state.take_failure()?)
    }
}

/// Reads every file to its end, or until the replay has ended. Returns the number of unreadable
/// parts.
fn read_files(mut feed: JournalFeed, files: &[PathBuf]) -> Result<u64> {
    let mut buffer = Vec::new();
    let mut unreadable = 0;
    for (place, file) in files.iter().enumerate() {
        let mut lines = InputLines::open(file)?;
        feed.begin_file(place, &name(file), lines.is_json())?;
        loop {
            while let Some(line) = lines.next(&mut buffer)? {
                if feed.line(&line)? == FeedStep::Stop {
                    return Ok(unreadable);
                }
            }
            let Some(part) = lines.take_unreadable() else {
                break;
            };
            unreadable += 1;
            if unreadable <= UNREADABLE_REPORTED_MAX {
                feed.report_unreadable(&part);
            }
        }
    }
    if unreadable > UNREADABLE_REPORTED_MAX {
        let more = unreadable - UNREADABLE_REPORTED_MAX;
        feed.report_unreadable(&format!("{more} more parts"));
    }
    feed.finish()?;
    Ok(unreadable)
}

fn name(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// Appends the start and the rules, and seals them as the first epoch.
fn append_first_epoch(
    writer: &mut JournalWriter,
    options: &ReplayOptions,
    rules: &[Control],
) -> Result<()> {
    let start = Control::Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bounds: TimeBounds {
            horizon: options.horizon,
            live: options.horizon.is_some(),
            ..TimeBounds::default()
        },
        received: options.received,
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

fn start_graph(
    options: &ReplayOptions,
    rules: &ReplayRules,
    journal: &JournalReader,
    state: &Arc<ReplayState>,
) -> Result<Host> {
    let printer = ReplayPrinter {
        options: options.print,
        state: Arc::clone(state),
        files: options.files.iter().map(|file| name(file)).collect(),
        titles: rules.titles.clone(),
        out: BufWriter::with_capacity(64 << 10, std::io::stdout()),
    };
    let host = HostOptions {
        workers: options.workers,
        emit: EmitOptions {
            matches: options.print.output == Output::Matches,
            events: options.print.output == Output::Events,
            problems: false,
            time_field: options.time_field.clone(),
            stopwatch: None,
        },
    };
    Ok(Host::start(
        host,
        Box::new(ReadEpochs(journal.cursor(Epoch(1)))),
        Arc::new(ReadFrames(journal.clone())),
        Box::new(MemoryLedger(Arc::clone(state))),
        Box::new(printer),
    )?)
}

/// Removes the temporary folder and exits when a signal interrupts the replay.
fn remove_at_signal(folder: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen to signals")?;
    let wait = move || {
        if runtime.block_on(stop_requested()).is_ok() {
            // A temporary folder that cannot be removed now is left to the system.
            let _ = std::fs::remove_dir_all(&folder);
            std::process::exit(130);
        }
    };
    let thread = std::thread::Builder::new().name("weir-signals".to_owned());
    thread.spawn(wait).context("cannot listen to signals")?;
    Ok(())
}
