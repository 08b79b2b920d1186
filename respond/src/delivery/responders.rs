//! All sinks of a server, on a thread of their own, and the requests of people to them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use weir_schema::AlertId;

use crate::delivery::activity::{SinkActivity, SinkActivityReport};
use crate::delivery::consumer::Consumer;
use crate::delivery::position::SinkPosition;
use crate::delivery::queue::SinkDeadLetter;
use crate::delivery::reader::{LedgerReads, READS_MAX};
use crate::delivery::requests::{SinkRequest, SinkStatus};
use crate::delivery::task::{SharedParts, SinkTask};
use crate::error::RespondError;
use crate::metrics::RespondMetrics;
use crate::options::SinkOptions;
use crate::ports::SinkPorts;

/// Sinks of one server. Each is a label of metrics, and may have 8 open connections.
pub const SINKS_MAX: usize = 32;

/// Unanswered requests of one sink.
const REQUESTS_MAX: usize = 16;
/// Threads that may block: those that read the ledger, and one name lookup for each sink.
const BLOCKING_THREADS_MAX: usize = READS_MAX + SINKS_MAX;

/// Delay before a sink that could not start tries again.
const START_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a request waits for the answer of a sink.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one sink may take to stop: 2 s for answers to deliveries in flight, and 2 s to journal
/// its position. A ledger or journal that never answers would otherwise hold up the server's stop.
const SINK_STOP_MAX: Duration = Duration::from_secs(4);
/// How long the stop of all sinks may take. The second more than [`SINK_STOP_MAX`] is for their
/// thread, whose ports may block it.
pub const STOP_MAX: Duration = Duration::from_secs(5);

/// A sink that is set up and has not started.
struct SinkSetup {
    options: SinkOptions,
    consumer: Arc<Consumer>,
    requests: mpsc::Receiver<SinkRequest>,
    activity: Arc<SinkActivity>,
    position: SinkPosition,
}

/// The running sinks of a server.
pub struct Responders {
    requests: BTreeMap<String, mpsc::Sender<SinkRequest>>,
    activities: BTreeMap<String, Arc<SinkActivity>>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<SinkThread>>,
}

/// The thread that runs all sinks.
struct SinkThread {
    handle: JoinHandle<()>,
    /// Disconnected once the thread ends.
    running: Receiver<()>,
}

/// Why a sink gives no answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkRequestError {
    #[error("there is no such sink")]
    UnknownSink,
    #[error("the sink does not answer: it has not started yet, or has stopped")]
    NoAnswer,
}

impl Responders {
    /// Sets up all sinks. They start once `ready` returns true: the ledger then has everything
    /// that the journal had. `position` returns the position of a sink from the journal.
    ///
    /// An error names the sink.
    pub fn start(
        sinks: Vec<SinkOptions>,
        ports: SinkPorts,
        metrics: RespondMetrics,
        mut position: impl FnMut(&str) -> SinkPosition,
        ready: impl FnOnce(&watch::Receiver<bool>) -> bool + Send + 'static,
    ) -> Result<Self, (String, RespondError)> {
        let mut consumers = Vec::new();
        for options in sinks {
            let tags = Arc::clone(&ports.tags);
            let consumer = Consumer::new(&options.target, &options.connection, ports.json, tags);
            let consumer = consumer.map_err(|error| (options.name.clone(), error))?;
            let position = position(&options.name);
            consumers.push((options, consumer, position));
        }
        Self::launch(consumers, ports, metrics, ready).map_err(|error| ("all".to_owned(), error))
    }

    /// Starts the thread of the sinks with these consumers and positions.
    pub(super) fn launch(
        consumers: Vec<(SinkOptions, Consumer, SinkPosition)>,
        ports: SinkPorts,
        metrics: RespondMetrics,
        ready: impl FnOnce(&watch::Receiver<bool>) -> bool + Send + 'static,
    ) -> Result<Self, RespondError> {
        let (stop, stopped) = watch::channel(false);
        let (mut requests, mut setups) = (BTreeMap::new(), Vec::new());
        let mut activities = BTreeMap::new();
        for (options, consumer, position) in consumers {
            let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
            requests.insert(options.name.clone(), sender);
            let activity = Arc::<SinkActivity>::default();
            activities.insert(options.name.clone(), Arc::clone(&activity));
            setups.push(SinkSetup {
                options,
                consumer: Arc::new(consumer),
                requests: receiver,
                activity,
                position,
            });
        }
        let is_empty = setups.is_empty();
        let work = move |runtime: Runtime| {
            // Until then the outbox may lack rows that an earlier run has delivered.
            if !ready(&stopped) {
                return;
            }
            let reads = LedgerReads::default();
            let shared = SharedParts {
                ports,
                reads,
                metrics,
            };
            let tasks = setups.into_iter();
            let tasks = tasks.map(|setup| run_until_stopped(setup, &shared, stopped.clone()));
            runtime.block_on(futures_util::future::join_all(tasks));
            // A read of the ledger or a name lookup that never returns must not delay the stop.
            runtime.shutdown_background();
        };
        let thread = (!is_empty).then(|| thread(work)).transpose()?;
        Ok(Self {
            requests,
            activities,
            stop,
            thread: Mutex::new(thread),
        })
    }

    /// Returns the activity of all sinks, in order of name, without asking them.
    #[must_use]
    pub fn activity(&self) -> Vec<SinkActivityReport> {
        let sinks = self.activities.iter();
        sinks
            .map(|(name, activity)| activity.report(name))
            .collect()
    }

    /// Whether the thread of the sinks has ended, though nobody stopped it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = |thread: &SinkThread| thread.handle.is_finished();
        !*self.stop.borrow() && thread.as_ref().is_some_and(ended)
    }

    /// Returns the status of all sinks, in order of name; `None` for one that does not answer.
    pub async fn list(&self) -> Vec<(String, Option<SinkStatus>)> {
        let statuses = self.requests.keys().map(async |name| {
            let status = self.request(name, SinkRequest::Status).await;
            (name.clone(), status.ok())
        });
        futures_util::future::join_all(statuses).await
    }

    /// Returns the dead letters of a sink.
    pub async fn dead(
        &self,
        sink: &str,
    ) -> Result<Vec<(AlertId, SinkDeadLetter)>, SinkRequestError> {
        self.request(sink, SinkRequest::DeadLetters).await
    }

    /// Resends one dead letter of a sink, or all. Returns how many.
    pub async fn resend(
        &self,
        sink: &str,
        alert: Option<AlertId>,
    ) -> Result<usize, SinkRequestError> {
        let request = |reply| SinkRequest::Resend(alert, reply);
        self.request(sink, request).await
    }

    /// Resumes a sink that its consumer has stopped.
    pub async fn enable(&self, sink: &str) -> Result<(), SinkRequestError> {
        self.request(sink, SinkRequest::Resume).await
    }

    async fn request<T>(
        &self,
        sink: &str,
        request: impl FnOnce(oneshot::Sender<T>) -> SinkRequest,
    ) -> Result<T, SinkRequestError> {
        let requests = self.requests.get(sink);
        let requests = requests.ok_or(SinkRequestError::UnknownSink)?;
        let (reply, answer) = oneshot::channel();
        let sent = requests.try_send(request(reply));
        sent.map_err(|_| SinkRequestError::NoAnswer)?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        answer
            .map_err(|_| SinkRequestError::NoAnswer)?
            .map_err(|_| SinkRequestError::NoAnswer)
    }

    /// Stops all sinks. Blocks until each has journaled its position, at most [`STOP_MAX`].
    pub fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else {
            return;
        };
        // The thread sends nothing: the channel closes when it ends.
        if thread.running.recv_timeout(STOP_MAX) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the thread of the sinks does not stop; Weir stops without it");
        } else if thread.handle.join().is_err() {
            tracing::error!("the thread of the sinks has panicked");
        }
    }
}

fn thread(work: impl FnOnce(Runtime) + Send + 'static) -> Result<SinkThread, RespondError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(RespondError::Thread)?;
    let thread = std::thread::Builder::new().name("weir-sinks".to_owned());
    let (runs, running) = sync_channel(0);
    let handle = thread.spawn(move || {
        let _runs = runs; // Closes the channel at the end, also after a panic.
        work(runtime);
    });
    let handle = handle.map_err(RespondError::Thread)?;
    Ok(SinkThread { handle, running })
}

/// Runs one sink until it is stopped, and at most [`SINK_STOP_MAX`] longer.
async fn run_until_stopped(setup: SinkSetup, shared: &SharedParts, stopped: watch::Receiver<bool>) {
    let name = setup.options.name.clone();
    let mut stop = stopped.clone();
    let limit = async {
        // An error means that nobody can wait for the stop any more.
        let _ = stop.wait_for(|stop| *stop).await;
        tokio::time::sleep(SINK_STOP_MAX).await;
    };
    tokio::select! {
        biased;
        () = run(setup, shared, stopped) => {}
        () = limit => {
            let waiting = shared.metrics.waiting.with_label_values(&[&name]).get();
            tracing::error!(
                sink = name,
                waiting,
                "sink did not stop in time; deliveries since its last position are repeated after \
                 the next start"
            );
        }
    }
}

/// Runs one sink until it is stopped. A sink that cannot start tries again.
async fn run(setup: SinkSetup, shared: &SharedParts, mut stopped: watch::Receiver<bool>) {
    let SinkSetup {
        options,
        consumer,
        requests,
        activity,
        position,
    } = setup;
    while !*stopped.borrow() {
        let (name, rng) = (options.name.clone(), StdRng::from_os_rng());
        let news = shared.ports.new_rows.clone();
        let consumer = Arc::clone(&consumer);
        let (options, shared) = (options.clone(), shared.clone());
        let activity = Arc::clone(&activity);
        let start = SinkTask::start(options, consumer, shared, &position, activity, rng);
        let started = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return,
            started = start => started,
        };
        match started {
            Ok(task) => return task.run(requests, news, stopped).await,
            Err(error) => tracing::warn!(sink = name, %error, "sink cannot start; it retries"),
        }
        tokio::select! {
            _ = stopped.changed() => {}
            () = tokio::time::sleep(START_RETRY_DELAY) => {}
        }
    }
}
