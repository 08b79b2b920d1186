//! Runs stories on the graph itself: a journal, the dataflow and a ledger, as in a server.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_dataflow::{EmitOptions, EpochReport, Host, HostOptions, Note, Observer, PortFault};
use weir_detect::RuleBook;
use weir_schema::{AlertRecord, Commit, Control, Entry, Epoch, EventId, Position, Problem};
use weir_store::journal::{
    Journal, JournalError, JournalOptions, JournalReader, JournalWriter, OpenReport,
};
use weir_store::ledger::Ledger;
use weir_story::{EventDelivery, FrameProblem, System, SystemOutput, batches, source_name};

use crate::server::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use crate::verbs::test::rows::rows;

/// Longest wait for the graph; one that takes longer hangs.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// Attempts to lock the journal, over one second, before it is reported as in use.
const LOCK_TRIES: u32 = 50;

/// Pause between two attempts.
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Number of records that are read from the ledger at a time.
const RECORDS_STEP: usize = 1_000;

/// Journal, graph and ledger in a temporary folder.
pub struct GraphSystem {
    workers: usize,
    folder: tempfile::TempDir,
    running: Option<RunningGraph>,
    results: Arc<Mutex<PendingResults>>,
    /// The last epoch written.
    written: Epoch,
    /// The last epoch whose results were settled. A restart observes earlier epochs again.
    settled: Epoch,
    /// Follows the rules, to know which diagnostics refuse a document.
    book: RuleBook,
    refusals: BTreeSet<String>,
    diagnostics: Vec<String>,
    fault: Option<String>,
}

/// The parts that are open between a start and a stop.
struct RunningGraph {
    writer: JournalWriter,
    reader: JournalReader,
    ledger: Arc<Ledger>,
    host: Host,
}

/// Results that are not settled yet; the size of the story bounds them.
#[derive(Default)]
struct PendingResults {
    commits: Vec<Commit>,
    problems: Vec<(Epoch, Position, Problem)>,
    diagnostics: Vec<(Epoch, String)>,
    fault: Option<String>,
}

/// Collects the results on the graph's side.
struct ResultObserver(Arc<Mutex<PendingResults>>);

fn lock(results: &Mutex<PendingResults>) -> MutexGuard<'_, PendingResults> {
    // The lists are consistent even after a panic: they only grow under the lock.
    results.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for ResultObserver {
    fn on_epoch(&mut self, report: &EpochReport<'_>) {
        let mut results = lock(&self.0);
        results.commits.extend(report.commit.cloned());
        for note in report.notes {
            match note {
                Note::Problem(position, problem) => {
                    results.problems.push((report.epoch, *position, *problem));
                }
                Note::Diagnostic(text) => results.diagnostics.push((report.epoch, text.clone())),
                Note::Batch(_)
                | Note::Match(..)
                | Note::Event(..)
                | Note::Sources(_)
                | Note::Times(_)
                | Note::Marked(..) => {}
            }
        }
    }

    fn on_commit_failed(&mut self, fault: &PortFault) {
        lock(&self.0).fault = Some(fault.to_string());
    }
}

impl GraphSystem {
    /// A system without entries; the graph starts with the first one.
    pub fn new(workers: usize) -> Result<Self> {
        Ok(Self {
            workers,
            folder: tempfile::tempdir().context("no folder for the story's journal")?,
            running: None,
            results: Arc::default(),
            written: Epoch(0),
            settled: Epoch(0),
            book: RuleBook::new(),
            refusals: BTreeSet::new(),
            diagnostics: Vec::new(),
            fault: None,
        })
    }

    /// The folder of `journal` and `ledger`; it is removed when the system is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the graph, and closes journal and ledger. The next entry starts them again.
    pub fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // Closing the journal wakes the thread that waits for the next epoch.
        drop(running.writer);
        running.host.stop().context("the graph did not stop")
    }

    /// The ledger as text, in order of its keys.
    pub fn export(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.running()?.ledger.export(&mut text)?;
        Ok(text)
    }

    fn running(&mut self) -> Result<&mut RunningGraph> {
        if self.running.is_none() {
            let observer = ResultObserver(Arc::clone(&self.results));
            let running =
                RunningGraph::start(self.folder.path(), self.workers, Box::new(observer))?;
            self.running = Some(running);
        }
        self.running.as_mut().context("the graph is not running")
    }

    /// Appends entries as one epoch.
    fn write(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
        let writer = &mut self.running()?.writer;
        for entry in entries {
            writer.append(&entry)?;
        }
        let epoch = writer.next_epoch();
        writer.append(&Entry::Seal { epoch })?;
        writer.sync()?;
        self.written = epoch;
        Ok(())
    }

    /// Waits until the graph has applied every written epoch.
    fn catch_up(&mut self) -> Result<()> {
        let written = self.written;
        let status = self.running()?.host.status();
        if status.wait_for(written, SETTLE_WAIT) {
            return Ok(());
        }
        let fault = lock(&self.results).fault.clone();
        let why = fault.unwrap_or_else(|| "see the log".to_owned());
        bail!(
            "the graph stopped at epoch {} of {}: {why}",
            status.epoch().0,
            written.0
        )
    }

    fn collect(&mut self) -> Result<SystemOutput> {
        self.catch_up()?;
        let mut results = std::mem::take(&mut *lock(&self.results));
        let settled = self.settled;
        self.settled = self.written;
        self.diagnostics
            .extend(self.refused(&mut results.diagnostics, settled));
        let reader = self.running()?.reader.clone();
        let new = results
            .problems
            .into_iter()
            .filter(|(epoch, ..)| *epoch > settled);
        let problems = new.map(|(_, position, problem)| event_problem(&reader, position, problem));
        Ok(SystemOutput {
            // A commit that is observed twice is reported twice, which makes the story untrue.
            commits: results.commits,
            problems: problems.collect::<Result<_>>()?,
            fault: None,
        })
    }

    /// Diagnostics that refuse a document, of epochs after `settled`.
    fn refused(&self, diagnostics: &mut Vec<(Epoch, String)>, settled: Epoch) -> Vec<String> {
        let new = diagnostics.drain(..).filter(|(epoch, _)| *epoch > settled);
        let texts = new.map(|(_, text)| text);
        texts.filter(|text| self.refusals.contains(text)).collect()
    }

    /// Does something unless an error occurred before. Stores the first error; `settle` reports it.
    fn attempt<T: Default>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> T {
        if self.fault.is_some() {
            return T::default();
        }
        work(self).unwrap_or_else(|error| {
            self.fault = Some(format!("{error:#}"));
            T::default()
        })
    }
}

impl Drop for GraphSystem {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "a story's graph did not stop");
        }
    }
}

impl RunningGraph {
    /// Opens journal and ledger in `folder`, and replays the journal.
    pub fn start(folder: &Path, workers: usize, observer: Box<dyn Observer>) -> Result<Self> {
        let (writer, report) = open_journal(&folder.join("journal"))?;
        if !report.damage.is_empty() {
            bail!("the story's journal is damaged: {:?}", report.damage);
        }
        let ledger = Arc::new(Ledger::open(&folder.join("ledger"))?);
        let reader = writer.reader();
        let options = HostOptions {
            workers,
            emit: EmitOptions {
                problems: true,
                ..EmitOptions::default()
            },
        };
        let host = Host::start(
            options,
            Box::new(ReadEpochs(reader.cursor(Epoch(1)))),
            Arc::new(ReadFrames(reader.clone())),
            Box::new(WriteLedger(Arc::clone(&ledger))),
            observer,
        )?;
        Ok(Self {
            writer,
            reader,
            ledger,
            host,
        })
    }

    /// The standing alerts.
    fn standing(&self) -> Result<Vec<AlertRecord>> {
        let mut standing = Vec::new();
        let mut after = None;
        loop {
            let step = self.ledger.records(after, RECORDS_STEP)?;
            let Some(last) = step.last() else {
                return Ok(standing);
            };
            after = Some(last.alert);
            standing.extend(step.into_iter().filter(|record| record.standing));
        }
    }
}

/// Opens a journal that was just closed, and retries while it is locked.
///
/// A process that is being started holds a copy of the lock until it executes its own program.
pub fn open_journal(dir: &Path) -> Result<(JournalWriter, OpenReport), JournalError> {
    for _ in 0..LOCK_TRIES {
        let options = JournalOptions {
            fsync: false,
            ..JournalOptions::default()
        };
        match Journal::open(dir, options) {
            Err(JournalError::InUse { .. }) => std::thread::sleep(LOCK_WAIT),
            opened => return opened,
        }
    }
    Err(JournalError::InUse {
        dir: dir.to_path_buf(),
    })
}

/// A problem, with the name of its source and the id of its event.
fn event_problem(
    reader: &JournalReader,
    position: Position,
    problem: Problem,
) -> Result<FrameProblem> {
    let batch = reader.batch(position.batch())?;
    let frame = batch.frames.get(usize::from(position.frame()));
    let frame = frame.context("a problem names a frame that does not exist")?;
    // The default bounds are right here: stories never change the future tolerance.
    let bounds = weir_schema::TimeBounds::default();
    let reading = weir_operators::BatchContext::of(&batch, &bounds, None);
    let event = weir_parse::decode(frame, &reading.context());
    Ok(FrameProblem {
        source: source_name(&batch.tenant, &batch.source),
        problem,
        event: EventId::for_frame(batch.source_key(), event.time, frame),
    })
}

impl System for GraphSystem {
    fn deliver(&mut self, events: &[EventDelivery]) {
        self.attempt(|system| system.write(batches(events).into_iter().map(Entry::from)));
    }

    fn control(&mut self, controls: Vec<Control>) {
        for control in &controls {
            let diagnostics = self.book.apply(control).diagnostics;
            let refused = diagnostics.iter().filter(|diagnostic| diagnostic.refused);
            self.refusals.extend(refused.map(ToString::to_string));
        }
        self.attempt(|system| system.write(controls.into_iter().map(Entry::Control)));
    }

    fn settle(&mut self) -> SystemOutput {
        let mut settled = self.attempt(Self::collect);
        settled.fault.clone_from(&self.fault);
        settled
    }

    fn restart(&mut self) {
        self.attempt(Self::stop);
    }

    fn diagnostics(&mut self) -> Vec<String> {
        self.attempt(|system| {
            system.catch_up()?;
            let mut pending = std::mem::take(&mut lock(&system.results).diagnostics);
            let new = system.refused(&mut pending, system.settled);
            let mut diagnostics = std::mem::take(&mut system.diagnostics);
            diagnostics.extend(new);
            Ok(diagnostics)
        })
    }

    fn query(&mut self, query: &str) -> Vec<String> {
        self.attempt(|system| Ok(rows(query, system.running()?.standing()?)))
    }
}
