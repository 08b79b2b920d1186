//! All crossing between threads: the feeder reads the journal, workers run the graph, the committer
//! writes the ledger. Every channel is bounded, so a slow ledger slows the reading of the journal,
//! and nothing else.
//!
//! ```text
//!  journal ─► feeder ─[8 epochs]─► worker 0..n ─[8 epochs]─► committer ─► ledger, observer
//!                ▲                                              │
//!                └── greatest event time of each batch ─────────┘  (which batches a new rule must see)
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use weir_operators::{Clock, Emit, Note, Texts, Work};
use weir_schema::{BatchSeq, Control, Epoch, EventTime, SealedEpoch, TenantKey};

use crate::outputs::{self, EpochOutput};
use crate::port::{EpochReport, EpochSource, Frames, Ledger, Observer, PortFault};
use crate::worker::{self, EpochWork};

/// Epochs that wait in a channel between threads.
const CHANNEL_EPOCHS: usize = 8;

/// Batches of the past that are handed to a new rule at a time.
const BACKFILL_BATCHES: usize = 64;

/// How long the feeder waits for an epoch before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(100);

/// How long the committer waits before it tries a failed commit again.
const RETRY: Duration = Duration::from_millis(500);

/// How the graph is run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Timely workers, each a thread of its own.
    pub workers: usize,
    pub emit: Emit,
}

/// What went wrong with the threads of the graph.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("cannot start {workers} workers: {reason}")]
    StartWorkers { workers: usize, reason: String },
    #[error("cannot start the thread {name}")]
    StartThread {
        name: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read the journal: {0}")]
    ReadJournal(PortFault),
    #[error("cannot write the ledger: {0}")]
    WriteLedger(PortFault),
    #[error("a thread of the graph ended in a panic: {0}")]
    Panicked(&'static str),
}

/// Where the graph stands; shared, cheap to read.
#[derive(Default)]
pub struct Status {
    done: AtomicU64,
    stopping: AtomicBool,
    failed: AtomicBool,
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Default)]
struct Progress {
    done: u64,
    /// By batch: the greatest credible event time in it. Eight bytes a batch.
    greatest: Vec<EventTime>,
    greatest_ever: Option<EventTime>,
    clocks: std::collections::BTreeMap<TenantKey, Clock>,
}

impl Status {
    /// The last epoch whose results are in the ledger.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.done.load(Ordering::Acquire))
    }

    /// Watermark and settled line of each tenant.
    #[must_use]
    pub fn clocks(&self) -> Vec<Clock> {
        self.lock().clocks.values().copied().collect()
    }

    /// The greatest credible event time heard so far.
    #[must_use]
    pub fn greatest(&self) -> Option<EventTime> {
        self.lock().greatest_ever
    }

    /// Whether a thread of the graph gave up.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits until `epoch` is done; false if the graph stopped before or `wait` passed.
    pub fn wait_for(&self, epoch: Epoch, wait: Duration) -> bool {
        let waiting = |progress: &mut Progress| {
            progress.done < epoch.0 && !self.stopping.load(Ordering::Acquire) && !self.failed()
        };
        let guard = self.lock();
        let waited = self.moved.wait_timeout_while(guard, wait, waiting);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        progress.done >= epoch.0
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // What it guards is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, output: &EpochOutput) {
        let mut progress = self.lock();
        for note in &output.notes {
            let Note::Batch(batch) = note else { continue };
            let place = usize::try_from(batch.batch.0).unwrap_or(usize::MAX);
            if progress.greatest.len() <= place {
                progress
                    .greatest
                    .resize(place.saturating_add(1), EventTime::MIN);
            }
            progress.greatest[place] = batch.greatest;
            progress.greatest_ever = progress.greatest_ever.max(Some(batch.greatest));
        }
        for clock in &output.clocks {
            progress.clocks.insert(clock.tenant, *clock);
        }
        progress.done = output.epoch;
        self.done.store(output.epoch, Ordering::Release);
        drop(progress);
        self.moved.notify_all();
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.moved.notify_all();
    }
}

/// The running graph.
pub struct Host {
    status: Arc<Status>,
    feeder: JoinHandle<Result<(), HostError>>,
    committer: JoinHandle<Result<(), HostError>>,
    workers: JoinHandle<Result<(), HostError>>,
}

impl Host {
    /// Starts the graph: it reads all epochs from the first, and commits those the ledger lacks.
    pub fn start(
        options: HostOptions,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn Frames>,
        ledger: Box<dyn Ledger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let count = options.workers.max(1);
        let status = Arc::new(Status::default());
        let (work_out, work_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
        let (done_out, done_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
        let (threads, workers) = start_workers(&options, work_in, done_out)?;
        let texts = Texts::new(options.emit.time_field.clone());
        // Control entries also go to the committer, which looks texts up.
        let (controls_out, controls_in) = bounded(4 * CHANNEL_EPOCHS);
        let feeder = Feeder {
            source,
            frames: Arc::clone(&frames),
            workers: work_out.into_iter().zip(threads).collect(),
            controls: controls_out,
            status: Arc::clone(&status),
            batches: 0,
        };
        let committer = Committer {
            texts,
            frames,
            ledger,
            observer,
            done: done_in,
            controls: controls_in,
            status: Arc::clone(&status),
        };
        Ok(Self {
            feeder: spawn("weir-feeder", &status, move || feeder.run())?,
            committer: spawn("weir-committer", &status, move || committer.run())?,
            workers,
            status,
        })
    }

    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Stops reading the journal, finishes what was begun, and ends the threads.
    pub fn stop(self) -> Result<(), HostError> {
        self.status.stopping.store(true, Ordering::Release);
        self.status.moved.notify_all();
        let join = |handle: JoinHandle<Result<(), HostError>>, name| {
            handle.join().unwrap_or(Err(HostError::Panicked(name)))
        };
        let fed = join(self.feeder, "weir-feeder");
        let committed = join(self.committer, "weir-committer");
        let worked = join(self.workers, "weir-workers");
        fed.and(committed).and(worked)
    }
}

fn spawn(
    name: &'static str,
    status: &Arc<Status>,
    run: impl FnOnce() -> Result<(), HostError> + Send + 'static,
) -> Result<JoinHandle<Result<(), HostError>>, HostError> {
    let status = Arc::clone(status);
    let body = move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        let result = result.unwrap_or(Err(HostError::Panicked(name)));
        if let Err(error) = &result {
            tracing::error!(%error, thread = name, "the graph stopped");
            status.fail();
        }
        result
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|source| HostError::StartThread { name, source })
}

type Workers = (Vec<Thread>, JoinHandle<Result<(), HostError>>);

/// Starts the timely workers on threads of their own; returns the threads, to wake them.
fn start_workers(
    options: &HostOptions,
    work: Vec<Receiver<EpochWork>>,
    done: Vec<Sender<EpochOutput>>,
) -> Result<Workers, HostError> {
    let count = work.len();
    let ends: Vec<Mutex<Option<_>>> = work
        .into_iter()
        .zip(done)
        .map(|ends| Mutex::new(Some(ends)))
        .collect();
    let (thread_out, thread_in) = bounded::<(usize, Thread)>(count);
    let emit = options.emit.clone();
    let mut config = timely::Config::process(count);
    // Without it, memory of retracted rows is given back only by further updates (differential #188).
    let merging = differential_dataflow::Config::default().idle_merge_effort(Some(1000));
    differential_dataflow::configure(&mut config.worker, &merging);
    let guards = timely::execute(config, move |worker| {
        let index = worker.index();
        let ends = ends.get(index).and_then(|ends| {
            let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.take()
        });
        if let Some((work, done)) = ends {
            // The channel has room for every worker; a closed one means that nobody waits.
            let _ = thread_out.send((index, std::thread::current()));
            worker::run(worker, emit.clone(), &work, &done);
        }
    })
    .map_err(|reason| HostError::StartWorkers {
        workers: count,
        reason,
    })?;
    let mut threads: Vec<(usize, Thread)> = thread_in.iter().take(count).collect();
    threads.sort_by_key(|(index, _)| *index);
    let threads = threads.into_iter().map(|(_, thread)| thread).collect();
    let joiner = std::thread::Builder::new()
        .name("weir-workers".to_owned())
        .spawn(move || {
            let ended = guards.join().into_iter().all(|result| result.is_ok());
            if ended {
                Ok(())
            } else {
                Err(HostError::Panicked("weir-workers"))
            }
        })
        .map_err(|source| HostError::StartThread {
            name: "weir-workers",
            source,
        })?;
    Ok((threads, joiner))
}

struct Feeder {
    source: Box<dyn EpochSource>,
    frames: Arc<dyn Frames>,
    workers: Vec<(Sender<EpochWork>, Thread)>,
    controls: Sender<(Epoch, Vec<Control>)>,
    status: Arc<Status>,
    /// Batches of the epochs fed so far.
    batches: u64,
}

impl Feeder {
    fn run(mut self) -> Result<(), HostError> {
        while !self.status.stopping.load(Ordering::Acquire) && !self.status.failed() {
            let next = self.source.next(WAIT).map_err(HostError::ReadJournal)?;
            let Some(epoch) = next else { continue };
            if !self.feed(epoch)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives every worker its part of an epoch; false once nobody takes it.
    fn feed(&mut self, sealed: SealedEpoch) -> Result<bool, HostError> {
        let Some(backfill) = self.backfill(&sealed) else {
            return Ok(false);
        };
        let epoch = sealed.epoch;
        let mut parts = self.parts();
        for control in &sealed.controls {
            let control = Arc::new(control.clone());
            for part in &mut parts {
                part.push(Work::Control(Arc::clone(&control)));
            }
        }
        if !sealed.controls.is_empty() && self.controls.send((epoch, sealed.controls)).is_err() {
            return Ok(false);
        }
        for some in backfill.chunks(BACKFILL_BATCHES) {
            for seq in some {
                let batch = self.frames.batch(*seq).map_err(HostError::ReadJournal)?;
                self.part(&mut parts, *seq)
                    .push(Work::Backfill(*seq, batch));
            }
            let part = std::mem::replace(&mut parts, self.parts());
            if !self.send(epoch, part, false) {
                return Ok(false);
            }
        }
        for (seq, batch) in sealed.batches {
            self.batches = self.batches.max(seq.0 + 1);
            self.part(&mut parts, seq).push(Work::Batch(seq, batch));
        }
        Ok(self.send(epoch, parts, true))
    }

    fn parts(&self) -> Vec<Vec<Work>> {
        vec![Vec::new(); self.workers.len()]
    }

    /// The part of the worker that decodes the batch `seq`.
    fn part<'p>(&self, parts: &'p mut [Vec<Work>], seq: BatchSeq) -> &'p mut Vec<Work> {
        let worker = seq.0 % self.workers.len() as u64;
        &mut parts[worker as usize]
    }

    fn send(&self, epoch: Epoch, parts: Vec<Vec<Work>>, last: bool) -> bool {
        let workers = self.workers.iter().zip(parts);
        workers.into_iter().all(|((sender, thread), work)| {
            let sent = sender.send(EpochWork { epoch, work, last }).is_ok();
            thread.unpark();
            sent
        })
    }

    /// The batches before this epoch that its new rules must see: those with an event at or after
    /// their `since`. All epochs before must be through, so that it is known which those are;
    /// `None` if the host stops before that.
    fn backfill(&self, sealed: &SealedEpoch) -> Option<Vec<BatchSeq>> {
        let since = sealed.controls.iter().filter_map(|control| match control {
            Control::RulePut { since, .. } => Some(*since),
            _ => None,
        });
        let Some(since) = since.min() else {
            return Some(Vec::new());
        };
        let before = Epoch(sealed.epoch.0 - 1);
        while !self.status.wait_for(before, WAIT) {
            if self.status.stopping.load(Ordering::Acquire) || self.status.failed() {
                return None;
            }
        }
        let progress = self.status.lock();
        let greatest = progress.greatest.iter().zip(0..self.batches);
        let wanted = greatest.filter(|(time, _)| **time >= since && **time > EventTime::MIN);
        Some(wanted.map(|(_, seq)| BatchSeq(seq)).collect())
    }
}

impl Drop for Feeder {
    /// Wakes the workers once nothing more can come, so that they end at once.
    fn drop(&mut self) {
        for (sender, thread) in self.workers.drain(..) {
            drop(sender);
            thread.unpark();
        }
    }
}

struct Committer {
    texts: Texts,
    frames: Arc<dyn Frames>,
    ledger: Box<dyn Ledger>,
    observer: Box<dyn Observer>,
    done: Vec<Receiver<EpochOutput>>,
    controls: Receiver<(Epoch, Vec<Control>)>,
    status: Arc<Status>,
}

impl Committer {
    fn run(mut self) -> Result<(), HostError> {
        let applied = self.ledger.applied();
        let mut controls: Option<(Epoch, Vec<Control>)> = None;
        while let Some(output) = self.next() {
            // Controls are sent before the work of their epoch, so they are here by now.
            loop {
                controls = controls.or_else(|| self.controls.try_recv().ok());
                match controls.take_if(|(epoch, _)| epoch.0 <= output.epoch) {
                    Some((_, entries)) => entries.iter().for_each(|entry| self.texts.apply(entry)),
                    None => break,
                }
            }
            if output.epoch > applied.0 {
                self.commit(&output)?;
            } else {
                self.tell(&output, None);
            }
            self.status.note(&output);
        }
        Ok(())
    }

    /// The next epoch's results of all workers; `None` once they are gone.
    fn next(&self) -> Option<EpochOutput> {
        let mut whole: Option<EpochOutput> = None;
        for worker in &self.done {
            let part = worker.recv().ok()?;
            match &mut whole {
                Some(whole) => whole.merge(part),
                None => whole = Some(part),
            }
        }
        whole
    }

    /// Commits an epoch, trying again until it holds or the host stops.
    fn commit(&mut self, output: &EpochOutput) -> Result<(), HostError> {
        loop {
            let commit = outputs::commit(output, &self.texts, &*self.frames, &*self.ledger);
            let done = commit.and_then(|commit| {
                if let Some(commit) = &commit {
                    self.ledger.commit(commit)?;
                }
                Ok(commit)
            });
            match done {
                Ok(commit) => {
                    self.tell(output, commit.as_ref());
                    return Ok(());
                }
                Err(fault) if self.status.stopping.load(Ordering::Acquire) => {
                    return Err(HostError::WriteLedger(fault));
                }
                Err(fault) => {
                    self.observer.fault(&fault);
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn tell(&mut self, output: &EpochOutput, commit: Option<&weir_schema::Commit>) {
        self.observer.epoch(&EpochReport {
            epoch: Epoch(output.epoch),
            commit,
            notes: &output.notes,
            clocks: &output.clocks,
            counts: output.counts,
            state: output.state,
        });
    }
}
