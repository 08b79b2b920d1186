//! All sinks of a server: a thread of their own, and the way for people to ask of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use weir_schema::AlertId;

use crate::carrier::Carrier;
use crate::desk::Dead;
use crate::metrics::RespondMetrics;
use crate::orders::{Order, Shown};
use crate::position::Position;
use crate::reading::READS_MAX;
use crate::task::Sink;
use crate::{Ports, RespondError, SinkOptions};

/// Sinks of one server: each is a label of metrics, and may have 8 connections open.
pub const SINKS_MAX: usize = 32;

/// What people asked of a sink and it has not answered.
const ORDERS_MAX: usize = 16;
/// Threads that may wait: for the ledger, and each sink for one name that is looked up.
const BLOCKING_THREADS_MAX: usize = READS_MAX + SINKS_MAX;

/// Before a sink tries again to begin.
const BEGIN_PAUSE: Duration = Duration::from_secs(1);
/// People wait no longer for a sink.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A sink that is set up and has not begun.
struct Begun {
    options: SinkOptions,
    carrier: Arc<Carrier>,
    orders: mpsc::Receiver<Order>,
    position: Position,
}

/// The sinks at work.
pub struct Responders {
    orders: BTreeMap<String, mpsc::Sender<Order>>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What came of a question to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Asked {
    #[error("there is no such sink")]
    Unknown,
    #[error("the sink does not answer: it has not begun, or has ended")]
    Silent,
}

impl Responders {
    /// Sets all sinks up, and starts them once `ready` says that the ledger has all that the
    /// journal had. `position` gives what the journal says of a sink.
    pub fn start(
        sinks: Vec<SinkOptions>,
        ports: Ports,
        metrics: RespondMetrics,
        mut position: impl FnMut(&str) -> Position,
        ready: impl FnOnce(&watch::Receiver<bool>) -> bool + Send + 'static,
    ) -> Result<Self, (String, RespondError)> {
        let (stop, stopped) = watch::channel(false);
        let (mut orders, mut begun) = (BTreeMap::new(), Vec::new());
        for options in sinks {
            let name = options.name.clone();
            let tags = Arc::clone(&ports.tags);
            let carrier = Carrier::new(&options.target, &options.reaching, ports.json, tags);
            let carrier = carrier.map_err(|error| (name.clone(), error))?;
            let (sender, receiver) = mpsc::channel(ORDERS_MAX);
            let position = position(&name);
            orders.insert(name, sender);
            begun.push(Begun {
                options,
                carrier: Arc::new(carrier),
                orders: receiver,
                position,
            });
        }
        let none = begun.is_empty();
        let work = move |runtime: Runtime| {
            // Until then the outbox may lack rows that were told before.
            if !ready(&stopped) {
                return;
            }
            let tasks = begun.into_iter();
            let tasks =
                tasks.map(|begun| run(begun, ports.clone(), metrics.clone(), stopped.clone()));
            runtime.block_on(futures_util::future::join_all(tasks));
        };
        let thread = if none { None } else { Some(thread(work)) };
        let thread = thread
            .transpose()
            .map_err(|error| ("all".to_owned(), error))?;
        Ok(Self {
            orders,
            stop,
            thread: Mutex::new(thread),
        })
    }

    /// All sinks, in order of name; `None` for one that does not answer.
    pub async fn list(&self) -> Vec<(String, Option<Shown>)> {
        let shown = self.orders.keys().map(async |name| {
            let shown = self.ask(name, Order::Show).await;
            (name.clone(), shown.ok())
        });
        futures_util::future::join_all(shown).await
    }

    /// The alerts that a sink has given up.
    pub async fn dead(&self, sink: &str) -> Result<Vec<(AlertId, Dead)>, Asked> {
        self.ask(sink, Order::Dead).await
    }

    /// Sends again what was given up, of one alert or of all; says how many alerts that are.
    pub async fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<usize, Asked> {
        self.ask(sink, |reply| Order::Resend(alert, reply)).await
    }

    /// Lets a sink go on that its consumer has stopped.
    pub async fn enable(&self, sink: &str) -> Result<(), Asked> {
        self.ask(sink, Order::GoOn).await
    }

    async fn ask<T>(
        &self,
        sink: &str,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, Asked> {
        let orders = self.orders.get(sink).ok_or(Asked::Unknown)?;
        let (reply, answer) = oneshot::channel();
        orders.try_send(order(reply)).map_err(|_| Asked::Silent)?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await;
        answer
            .map_err(|_| Asked::Silent)?
            .map_err(|_| Asked::Silent)
    }

    /// Ends all sinks; blocks until each has kept how far it came.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sinks' thread has ended by a panic");
        }
    }
}

fn thread(work: impl FnOnce(Runtime) + Send + 'static) -> Result<JoinHandle<()>, RespondError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(RespondError::Thread)?;
    let thread = std::thread::Builder::new().name("weir-sinks".to_owned());
    thread
        .spawn(move || work(runtime))
        .map_err(RespondError::Thread)
}

/// One sink, from its begin to the stop. What keeps it from beginning is tried again.
async fn run(
    begun: Begun,
    ports: Ports,
    metrics: RespondMetrics,
    mut stopped: watch::Receiver<bool>,
) {
    let Begun {
        options,
        carrier,
        orders,
        position,
    } = begun;
    while !*stopped.borrow() {
        let (options, carrier) = (options.clone(), Arc::clone(&carrier));
        let (name, rng) = (options.name.clone(), StdRng::from_os_rng());
        let (ports, metrics) = (ports.clone(), metrics.clone());
        let news = ports.news.clone();
        let begin = Sink::begin(options, carrier, ports, metrics, &position, rng);
        let begun = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => return,
            begun = begin => begun,
        };
        match begun {
            Ok(sink) => return sink.run(orders, news, stopped).await,
            Err(fault) => tracing::warn!(sink = name, %fault, "a sink cannot begin yet"),
        }
        tokio::select! {
            _ = stopped.changed() => {}
            () = tokio::time::sleep(BEGIN_PAUSE) => {}
        }
    }
}
