//! Stories told to the graph itself: a journal, the dataflow and a ledger, as the server runs them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_dataflow::{Emit, EpochReport, Host, HostOptions, Note, Observer, PortFault};
use weir_detect::RuleBook;
use weir_schema::{AlertRecord, Commit, Control, Entry, Epoch, EventId, Position, Problem};
use weir_store::journal::{
    Journal, JournalError, JournalOptions, JournalReader, JournalWriter, OpenReport,
};
use weir_store::ledger::Ledger;
use weir_story::{Delivery, SaidProblem, Settled, System, batches, full_name};

use crate::adapters::{ReadEpochs, ReadFrames, WriteLedger};
use crate::tell::rows;

/// How long a story waits for the graph; one that takes longer hangs.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// A journal is said to be in use once its lock was found taken this often, over one second.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Records of the ledger that are read at a time.
const RECORDS_STEP: usize = 1_000;

/// Journal, graph and ledger in a temporary folder.
pub struct GraphSystem {
    workers: usize,
    folder: tempfile::TempDir,
    running: Option<Running>,
    heard: Arc<Mutex<Heard>>,
    /// The last epoch written.
    written: Epoch,
    /// What was heard up to here has been handed on; a restart hears it again.
    handed_on: Epoch,
    /// Follows the rules, to tell what refuses a document from what is only remarked.
    book: RuleBook,
    refusals: BTreeSet<String>,
    diagnostics: Vec<String>,
    fault: Option<String>,
}

/// What is open between a start and a stop.
struct Running {
    writer: JournalWriter,
    reader: JournalReader,
    ledger: Arc<Ledger>,
    host: Host,
}

/// What the graph said that was not handed on yet; a story's size bounds it.
#[derive(Default)]
struct Heard {
    commits: Vec<Commit>,
    problems: Vec<(Epoch, Position, Problem)>,
    diagnostics: Vec<(Epoch, String)>,
    fault: Option<String>,
}

/// Listens on the graph's side.
struct Ear(Arc<Mutex<Heard>>);

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    // Lists that only grow under the lock are whole whoever panicked.
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Ear {
    fn epoch(&mut self, report: &EpochReport<'_>) {
        let mut heard = lock(&self.0);
        heard.commits.extend(report.commit.cloned());
        for note in report.notes {
            match note {
                Note::Problem(position, problem) => {
                    heard.problems.push((report.epoch, *position, *problem));
                }
                Note::Diagnostic(text) => heard.diagnostics.push((report.epoch, text.clone())),
                Note::Batch(_) | Note::Match(..) | Note::Event(..) | Note::Sources(_) => {}
            }
        }
    }

    fn fault(&mut self, fault: &PortFault) {
        lock(&self.0).fault = Some(fault.to_string());
    }
}

impl GraphSystem {
    /// A system that has taken nothing yet; it starts with its first entry.
    pub fn new(workers: usize) -> Result<Self> {
        Ok(Self {
            workers,
            folder: tempfile::tempdir().context("no folder for the story's journal")?,
            running: None,
            heard: Arc::default(),
            written: Epoch(0),
            handed_on: Epoch(0),
            book: RuleBook::new(),
            refusals: BTreeSet::new(),
            diagnostics: Vec::new(),
            fault: None,
        })
    }

    /// The folder of `journal` and `ledger`, for as long as the system lives.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops the graph and closes journal and ledger; the next entry starts them again.
    pub fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // A closed journal wakes the thread that waits for its next epoch.
        drop(running.writer);
        running.host.stop().context("the graph did not stop")
    }

    /// The ledger as text, in order of keys.
    pub fn export(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        self.running()?.ledger.export(&mut text)?;
        Ok(text)
    }

    fn running(&mut self) -> Result<&mut Running> {
        if self.running.is_none() {
            let ear = Ear(Arc::clone(&self.heard));
            let running = Running::start(self.folder.path(), self.workers, Box::new(ear))?;
            self.running = Some(running);
        }
        self.running.as_mut().context("the graph is not running")
    }

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

    fn catch_up(&mut self) -> Result<()> {
        let written = self.written;
        let status = self.running()?.host.status();
        if status.wait_for(written, SETTLE_WAIT) {
            return Ok(());
        }
        let fault = lock(&self.heard).fault.clone();
        let why = fault.unwrap_or_else(|| "see the log".to_owned());
        bail!(
            "the graph stopped at epoch {} of {}: {why}",
            status.epoch().0,
            written.0
        )
    }

    fn collect(&mut self) -> Result<Settled> {
        self.catch_up()?;
        let mut heard = std::mem::take(&mut *lock(&self.heard));
        let handed_on = self.handed_on;
        self.handed_on = self.written;
        self.diagnostics
            .extend(self.refused(&mut heard.diagnostics, handed_on));
        let reader = self.running()?.reader.clone();
        let fresh = heard
            .problems
            .into_iter()
            .filter(|(epoch, ..)| *epoch > handed_on);
        let problems = fresh.map(|(_, position, problem)| said(&reader, position, problem));
        Ok(Settled {
            // A commit that comes twice is handed on twice: the story says what is wrong with that.
            commits: heard.commits,
            problems: problems.collect::<Result<_>>()?,
            fault: None,
        })
    }

    /// Diagnostics that say that a document is not in force, behind those handed on already.
    fn refused(&self, diagnostics: &mut Vec<(Epoch, String)>, handed_on: Epoch) -> Vec<String> {
        let fresh = diagnostics
            .drain(..)
            .filter(|(epoch, _)| *epoch > handed_on);
        let texts = fresh.map(|(_, text)| text);
        texts.filter(|text| self.refusals.contains(text)).collect()
    }

    /// Keeps the first thing that went wrong; `settle` tells it.
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

impl Running {
    /// Opens what is in `folder`, and replays it.
    pub fn start(folder: &Path, workers: usize, observer: Box<dyn Observer>) -> Result<Self> {
        let (writer, report) = open_journal(&folder.join("journal"))?;
        if !report.damage.is_empty() {
            bail!("the story's journal is damaged: {:?}", report.damage);
        }
        let ledger = Arc::new(Ledger::open(&folder.join("ledger"))?);
        let reader = writer.reader();
        let options = HostOptions {
            workers,
            emit: Emit {
                problems: true,
                ..Emit::default()
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

/// Opens a journal that was closed a moment ago: a process that is just being started, here or by a
/// neighbour, holds a copy of the lock until it runs its own program.
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

/// A problem with the name of its source and the identity of its event.
fn said(reader: &JournalReader, position: Position, problem: Problem) -> Result<SaidProblem> {
    let batch = reader.batch(position.batch())?;
    let frame = batch.frames.get(usize::from(position.frame()));
    let frame = frame.context("a problem was told of a frame that is not there")?;
    // As the graph does: the bounds of a story leave the future tolerance as it is.
    let bounds = weir_schema::TimeBounds::default();
    let reading = weir_operators::Reading::of(&batch, &bounds, None);
    let event = weir_parse::decode(frame, &reading.context());
    Ok(SaidProblem {
        source: full_name(&batch.tenant, &batch.source),
        problem,
        event: EventId::of_frame(batch.source_key(), event.time, frame),
    })
}

impl System for GraphSystem {
    fn deliver(&mut self, events: &[Delivery]) {
        self.attempt(|system| system.write(batches(events).into_iter().map(Entry::from)));
    }

    fn control(&mut self, controls: Vec<Control>) {
        for control in &controls {
            let said = self.book.apply(control).diagnostics;
            let refused = said.iter().filter(|diagnostic| diagnostic.refused);
            self.refusals.extend(refused.map(ToString::to_string));
        }
        self.attempt(|system| system.write(controls.into_iter().map(Entry::Control)));
    }

    fn settle(&mut self) -> Settled {
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
            let mut heard = std::mem::take(&mut lock(&system.heard).diagnostics);
            let fresh = system.refused(&mut heard, system.handed_on);
            let mut said = std::mem::take(&mut system.diagnostics);
            said.extend(fresh);
            Ok(said)
        })
    }

    fn ask(&mut self, query: &str) -> Vec<String> {
        self.attempt(|system| Ok(rows(query, system.running()?.standing()?)))
    }
}
