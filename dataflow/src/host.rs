//! All crossing between threads: the feeder reads the journal, workers run the graph, the committer
//! writes the ledger. Every channel is bounded, so a slow ledger slows the reading of the journal,
//! and nothing else.
//!
//! ```text
//!  journal ─► feeder ─[8 epochs]─► worker 0..n ─[8 epochs]─► committer ─► ledger, observer
//!                ▲                                              │
//!                └── greatest event time of each batch ─────────┘  (which batches a new rule must see)
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crossbeam_channel::{Receiver, Sender, bounded};
use weir_operators::{Emit, Texts};
use weir_schema::Epoch;

use crate::backfill::{PAST_EVENTS, Queue};
use crate::cluster::{Member, Pace};
use crate::committer::Committer;
use crate::feeder::Feeder;
use crate::held::Held;
use crate::outputs::EpochOutput;
use crate::port::{EpochSource, Frames, Ledger, Observer, PortFault};
use crate::status::Status;
use crate::worker::{self, Ends, EpochWork};

/// Epochs that wait in a channel between threads.
const CHANNEL_EPOCHS: usize = 8;

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

/// The running graph.
pub struct Host {
    status: Arc<Status>,
    feeder: JoinHandle<Result<(), HostError>>,
    committer: JoinHandle<Result<(), HostError>>,
    workers: JoinHandle<Result<(), HostError>>,
    /// Other processes take part.
    apart: bool,
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
        Self::start_in_steps_of(PAST_EVENTS, options, source, frames, ledger, observer)
    }

    /// The same, with other steps in which a past is read than any server has: for tests.
    #[doc(hidden)]
    pub fn start_in_steps_of(
        past_events: u64,
        options: HostOptions,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn Frames>,
        ledger: Box<dyn Ledger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let options = (options, past_events);
        Self::start_with(options, None, source, frames, ledger, observer)
    }

    /// Starts this process's part of the graph of a cluster. `frames` are those that `member` gave.
    /// Rows come to process 0 alone; the ledger of any other is never written.
    pub fn start_in(
        mut member: Member,
        options: HostOptions,
        (source, pace): (Box<dyn EpochSource>, Arc<dyn Pace>),
        frames: Arc<dyn Frames>,
        ledger: Box<dyn Ledger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let source = member.epochs(source, pace)?;
        let options = (options, PAST_EVENTS);
        Self::start_with(options, Some(member), source, frames, ledger, observer)
    }

    fn start_with(
        (options, past_events): (HostOptions, u64),
        member: Option<Member>,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn Frames>,
        ledger: Box<dyn Ledger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let count = options.workers.max(1);
        let status = member.as_ref().map_or_else(Arc::default, Member::status);
        let process = member.as_ref().map_or(0, Member::process);
        let apart = member.is_some();
        let (work_out, work_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
        let (done_out, done_in): (Vec<_>, Vec<_>) =
            (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
        let (threads, workers) = start_workers(&options, member, work_in, done_out, &status)?;
        let texts = Texts::new(options.emit.time_field.clone());
        // Control entries also go to the committer, which looks texts up.
        let (controls_out, controls_in) = bounded(4 * CHANNEL_EPOCHS);
        let feeder = Feeder {
            source,
            frames: Arc::clone(&frames),
            workers: work_out.into_iter().zip(threads).collect(),
            controls: controls_out,
            status: Arc::clone(&status),
            process,
            last: Epoch(0),
            batches: 0,
            wide: std::collections::BTreeSet::new(),
            past: Queue::new(past_events),
            whole: apart,
        };
        let committer = Committer {
            texts,
            frames,
            ledger,
            observer,
            done: done_in,
            ready: VecDeque::new(),
            controls: controls_in,
            status: Arc::clone(&status),
            held: Held::default(),
        };
        Ok(Self {
            feeder: spawn("weir-feeder", &status, move || feeder.run())?,
            committer: spawn("weir-committer", &status, move || committer.run())?,
            workers,
            status,
            apart,
        })
    }

    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Stops reading the journal, finishes what was begun, and ends the threads.
    pub fn stop(self) -> Result<(), HostError> {
        self.status.stop();
        let join = |handle: JoinHandle<Result<(), HostError>>, name| {
            handle.join().unwrap_or(Err(HostError::Panicked(name)))
        };
        let fed = join(self.feeder, "weir-feeder");
        let committed = join(self.committer, "weir-committer");
        if self.apart {
            // The threads that timely has for other processes end with this one; what could not be
            // finished without those is in the journals.
            return match self.status.lost() {
                Some(_) => Ok(()),
                None if self.status.failed() => fed
                    .and(committed)
                    .and(Err(HostError::Panicked("weir-workers"))),
                None => fed.and(committed),
            };
        }
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

/// Tells, when a worker panics, that the graph failed: the others wait for it in vain.
struct Tell {
    broken: Arc<AtomicBool>,
    status: Arc<Status>,
}

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broken.store(true, Ordering::Release);
            self.status.fail();
        }
    }
}

type Workers = (Vec<Thread>, JoinHandle<Result<(), HostError>>);

/// Starts the timely workers on threads of their own; returns the threads, to wake them.
fn start_workers(
    options: &HostOptions,
    member: Option<Member>,
    work: Vec<Receiver<EpochWork>>,
    done: Vec<Sender<Vec<EpochOutput>>>,
    status: &Arc<Status>,
) -> Result<Workers, HostError> {
    let apart = member.is_some();
    let first = member.as_ref().map_or(0, Member::process) as usize * work.len();
    let count = work.len();
    let ends: Vec<Mutex<Option<_>>> = work
        .into_iter()
        .zip(done)
        .map(|(work, done)| {
            let status = apart.then(|| Arc::clone(status));
            Mutex::new(Some(Ends { work, done, status }))
        })
        .collect();
    let (thread_out, thread_in) = bounded::<(usize, Thread)>(count);
    let emit = options.emit.clone();
    let broken = Arc::new(AtomicBool::new(false));
    let status = Arc::clone(status);
    let mut config = timely::Config::process(count);
    // Without it, memory of retracted rows is given back only by further updates (differential #188).
    let merging = differential_dataflow::Config::default().idle_merge_effort(Some(1000));
    differential_dataflow::configure(&mut config.worker, &merging);
    let failed = |reason| HostError::StartWorkers {
        workers: count,
        reason,
    };
    let (allocators, others) = match member {
        Some(mut member) => member.allocators(count),
        None => config.communication.try_build(),
    }
    .map_err(failed)?;
    let guards = timely::execute::execute_from(allocators, others, config.worker, move |worker| {
        let index = worker.index() - first;
        let ends = ends.get(index).and_then(|ends| {
            let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.take()
        });
        if let Some(ends) = ends {
            // Dropped before the ends, so that whoever finds them closed is told why.
            let _tell = Tell {
                broken: Arc::clone(&broken),
                status: Arc::clone(&status),
            };
            // The channel has room for every worker; a closed one means that nobody waits.
            let _ = thread_out.send((index, std::thread::current()));
            let graph = worker::run(worker, emit.clone(), &ends, &broken);
            if apart {
                drop(ends);
                worker::hold(graph);
            }
            if broken.load(Ordering::Acquire) {
                // What waits for the worker that is gone would wait for ever.
                let left = worker.installed_dataflows();
                left.into_iter().for_each(|flow| worker.drop_dataflow(flow));
            }
        }
    })
    .map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weir_schema::{
        AlertId, AlertRecord, Batch, BatchSeq, Commit, Control, Epoch, ReceiveTime, SealedEpoch,
    };

    use crate::port::EpochReport;

    /// An outside world that goes wrong: its epochs run backwards.
    struct Backwards(u64);

    impl EpochSource for Backwards {
        fn next(&mut self, _wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
            self.0 = self.0.saturating_sub(1).max(1);
            let received = ReceiveTime(0);
            Ok(Some(SealedEpoch {
                epoch: Epoch(self.0),
                controls: vec![Control::Tick { received }],
                heard: Vec::new(),
                batches: Vec::new(),
            }))
        }
    }

    struct Nothing;

    impl Frames for Nothing {
        fn batch(&self, _seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
            let message = "there is none".to_owned();
            Err(PortFault { message })
        }
    }

    impl Ledger for Nothing {
        fn applied(&self) -> Epoch {
            Epoch(0)
        }
        fn record(&self, _alert: AlertId) -> Result<Option<AlertRecord>, PortFault> {
            Ok(None)
        }
        fn commit(&mut self, _commit: &Commit) -> Result<(), PortFault> {
            Ok(())
        }
    }

    impl Observer for Nothing {
        fn epoch(&mut self, _report: &EpochReport<'_>) {}
        fn fault(&mut self, _fault: &PortFault) {}
    }

    #[test]
    fn a_worker_that_panics_is_known_and_stops_the_others() {
        let options = HostOptions {
            workers: 2,
            emit: Emit::default(),
        };
        let (source, frames) = (Box::new(Backwards(3)), Arc::new(Nothing));
        let host = Host::start(
            options,
            source,
            frames,
            Box::new(Nothing),
            Box::new(Nothing),
        );
        let host = host.expect("two workers can be started");
        host.status()
            .wait_for(Epoch(u64::MAX), Duration::from_secs(20));
        assert!(host.status().failed());
        let stopped = host.stop();
        assert!(
            matches!(stopped, Err(HostError::Panicked(_))),
            "{stopped:?}"
        );
    }
}
