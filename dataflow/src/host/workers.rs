//! Starts the timely workers on threads of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use timely::WorkerConfig;
use timely::communication::WorkerGuards;
use timely::worker::Worker;
use weir_operators::EmitOptions;

use super::{CHANNEL_EPOCHS, HostOptions};
use crate::cluster::ClusterMember;
use crate::epoch::EpochWork;
use crate::error::HostError;
use crate::outputs::EpochOutput;
use crate::progress::ThreadProgress;
use crate::status::Status;
use crate::thread::{HostThread, spawn};
use crate::worker::{self, WorkerChannels};

/// The started workers, in order of their index.
pub struct WorkerThreads {
    /// Channel to each worker, and its thread, to wake it.
    pub inputs: Vec<(Sender<EpochWork>, Thread)>,
    /// Results of each worker.
    pub outputs: Vec<Receiver<Vec<EpochOutput>>>,
    /// Ends once all workers have ended.
    pub joiner: HostThread,
}

/// State that the worker threads share.
struct WorkerContext {
    /// Index of this process's first worker among the workers of the cluster.
    first: usize,
    clustered: bool,
    emit: EmitOptions,
    /// The channels of each worker, until it takes them.
    channels: Vec<Mutex<Option<WorkerChannels>>>,
    threads: Sender<(usize, Thread)>,
    /// Set once a worker panicked.
    broken: Arc<AtomicBool>,
    status: Arc<Status>,
}

/// Marks the graph as failed when a worker panics: the other workers would wait for it forever.
struct PanicGuard {
    broken: Arc<AtomicBool>,
    status: Arc<Status>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broken.store(true, Ordering::Release);
            self.status.fail("the graph stopped: a worker panicked");
        }
    }
}

/// Starts this process's workers, and waits until all of them run.
pub fn start(
    options: &HostOptions,
    member: Option<ClusterMember>,
    status: &Arc<Status>,
) -> Result<WorkerThreads, HostError> {
    let count = options.workers.max(1);
    let process = member.as_ref().map_or(0, ClusterMember::process);
    let clustered = member.is_some();
    let (work_out, work_in): (Vec<_>, Vec<_>) = (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
    let (results_out, results_in): (Vec<_>, Vec<_>) =
        (0..count).map(|_| bounded(CHANNEL_EPOCHS)).unzip();
    let progress: Vec<_> = (0..count)
        .map(|_| Arc::<ThreadProgress>::default())
        .collect();
    // A graph is started once.
    let _ = status.threads.workers.set(progress.clone());
    let channels = work_in.into_iter().zip(results_out).zip(progress);
    let channels = channels.map(|((work, results), progress)| {
        let status = clustered.then(|| Arc::clone(status));
        Mutex::new(Some(WorkerChannels {
            work,
            results,
            status,
            progress,
        }))
    });
    let (thread_out, thread_in) = bounded::<(usize, Thread)>(count);
    let context = WorkerContext {
        first: process as usize * count,
        clustered,
        emit: options.emit.clone(),
        channels: channels.collect(),
        threads: thread_out,
        broken: Arc::new(AtomicBool::new(false)),
        status: Arc::clone(status),
    };
    let guards = execute(count, member, context)?;
    let mut threads: Vec<(usize, Thread)> = thread_in.iter().take(count).collect();
    threads.sort_by_key(|(index, _)| *index);
    let threads = threads.into_iter().map(|(_, thread)| thread);
    let joiner = spawn("weir-workers", move || {
        let ended = guards.join().into_iter().all(|result| result.is_ok());
        if ended {
            Ok(())
        } else {
            Err(HostError::Panicked("weir-workers"))
        }
    })?;
    Ok(WorkerThreads {
        inputs: work_out.into_iter().zip(threads).collect(),
        outputs: results_in,
        joiner,
    })
}

/// Lets timely start `count` workers, connected with those of other processes if any.
fn execute(
    count: usize,
    member: Option<ClusterMember>,
    context: WorkerContext,
) -> Result<WorkerGuards<()>, HostError> {
    let failed = |reason| HostError::StartWorkers {
        workers: count,
        reason,
    };
    let config = timely::Config::process(count);
    let allocators = match member {
        Some(mut member) => member.allocators(count),
        None => config.communication.try_build(),
    };
    let (allocators, network) = allocators.map_err(failed)?;
    let config = worker_config(config.worker);
    let guards = timely::execute::execute_from(allocators, network, config, move |worker| {
        context.run(worker);
    });
    guards.map_err(failed)
}

fn worker_config(mut config: WorkerConfig) -> WorkerConfig {
    // Without it, memory of retracted rows is freed only by further updates (differential #188).
    let merging = differential_dataflow::Config::default().idle_merge_effort(Some(1000));
    differential_dataflow::configure(&mut config, &merging);
    config
}

impl WorkerContext {
    /// Runs one worker to its end.
    fn run(&self, worker: &mut Worker) {
        let index = worker.index() - self.first;
        let channels = self.channels.get(index).and_then(|channels| {
            let mut channels = channels.lock().unwrap_or_else(PoisonError::into_inner);
            channels.take()
        });
        let Some(channels) = channels else { return };
        // Dropped before the channels: a thread that finds them closed then knows why.
        let _guard = PanicGuard {
            broken: Arc::clone(&self.broken),
            status: Arc::clone(&self.status),
        };
        // The channel has room for every worker; a closed one means that nobody waits.
        let _ = self.threads.send((index, std::thread::current()));
        let graph = worker::run(worker, self.emit.clone(), &channels, &self.broken);
        if self.clustered {
            drop(channels);
            worker::park_forever(graph);
        }
        if self.broken.load(Ordering::Acquire) {
            // Dataflows that wait for the panicked worker would never complete.
            let left = worker.installed_dataflows();
            left.into_iter().for_each(|flow| worker.drop_dataflow(flow));
        }
    }
}
