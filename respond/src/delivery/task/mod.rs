//! The task of one sink: reads the outbox, delivers due rows, and journals its progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, Change, EventTime, ReceiveTime, Span};

use crate::delivery::activity::SinkActivity;
use crate::delivery::consumer::Consumer;
use crate::delivery::position::SinkPosition;
use crate::delivery::queue::{DeliveryQueue, DeliveryRow};
use crate::delivery::reader::{LedgerReads, READ_ROWS_MAX, alert_rows};
use crate::delivery::requests::SinkRequest;
use crate::metrics::RespondMetrics;
use crate::options::{SinkOptions, SinkStart};
use crate::ports::{SinkPortError, SinkPorts};

mod delivery;
use delivery::{DeliveryAttempt, DeliveryOutcome, InFlight, next_outcome};

mod requests;

mod resend;

/// Minimum interval between journaled positions of a sink that delivers.
const CHECKPOINT_INTERVAL: Span = Span::SECOND;
/// Delay before a port that failed is asked again.
const PORT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a stopping sink waits for answers to deliveries in flight.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Parts that all sinks of a server share.
#[derive(Clone)]
pub(crate) struct SharedParts {
    pub ports: SinkPorts,
    pub reads: LedgerReads,
    pub metrics: RespondMetrics,
}

/// A running sink.
pub(crate) struct SinkTask {
    options: SinkOptions,
    consumer: Arc<Consumer>,
    ports: SinkPorts,
    reads: LedgerReads,
    metrics: RespondMetrics,
    activity: Arc<SinkActivity>,
    rng: StdRng,
    queue: DeliveryQueue,
    /// Standing alerts that are sent again, with the time of their last event.
    standing: BTreeMap<AlertId, EventTime>,
    last_failure: Option<String>,
    checkpoint_at: ReceiveTime,
    /// Since when the queue has had no room for all rows of the outbox.
    behind_since: Option<ReceiveTime>,
    /// `None` for a sink that resends nothing.
    resend_at: Option<ReceiveTime>,
}

/// Rows that one read of the outbox returns.
struct ReadRows {
    has_gap: bool,
    /// The alert is `None` for a row that the sink does not send.
    rows: Vec<(DeliveryRow, Option<AlertId>)>,
}

/// Sleeps. For zero it yields, so that other sinks have their turn.
async fn sleep(pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

impl SinkTask {
    /// Starts at the position from the journal, or where the options say if there is none.
    pub(crate) async fn start(
        options: SinkOptions,
        consumer: Arc<Consumer>,
        shared: SharedParts,
        position: &SinkPosition,
        activity: Arc<SinkActivity>,
        rng: StdRng,
    ) -> Result<Self, SinkPortError> {
        let SharedParts {
            ports,
            reads,
            metrics,
        } = shared;
        let (outbox, sink) = (Arc::clone(&ports.outbox), options.clone());
        let position = position.clone();
        // Behind every row of that epoch.
        let now = Cursor {
            epoch: ports.previous_epoch,
            ordinal: u32::MAX,
        };
        let restore = move || -> Result<DeliveryQueue, SinkPortError> {
            let read = match (position.read(), sink.start) {
                (Some(read), _) => read,
                (None, SinkStart::Start) => Cursor::START,
                (None, SinkStart::Now) => now,
            };
            DeliveryQueue::restore(&position, read, sink.retry, |alert, from| {
                alert_rows(outbox.as_ref(), &sink, alert, from, read)
            })
        };
        let queue = reads.run(restore).await?;
        let resends = matches!(&*consumer, Consumer::Alertmanager(_)) && !options.create_only;
        let now = ports.clock.now();
        let mut task = Self {
            options,
            consumer,
            ports,
            reads,
            metrics,
            activity,
            rng,
            queue,
            standing: BTreeMap::new(),
            last_failure: None,
            checkpoint_at: now,
            behind_since: None,
            resend_at: resends.then_some(now),
        };
        task.load_standing().await?;
        // Otherwise a crash before the first delivery would move the start.
        task.checkpoint().await?;
        Ok(task)
    }

    /// Runs until `stopped` becomes true.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<SinkRequest>,
        mut news: watch::Receiver<u64>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut in_flight = InFlight::new();
        let mut news_end = false;
        while !*stopped.borrow() {
            // Marked as seen before the read, so that rows that arrive meanwhile wake the task.
            news.borrow_and_update();
            let pause = match self.work(&mut in_flight, &mut stopped).await {
                // Other sinks and events have their turn between two reads.
                Ok(true) => Duration::ZERO,
                Ok(false) => self.pause(),
                Err(error) => {
                    let sink = &self.options.name;
                    tracing::warn!(%error, sink, "sink cannot read or write its state; it retries");
                    PORT_RETRY_DELAY
                }
            };
            self.update_metrics();
            if *stopped.borrow() {
                break;
            }
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                Some(request) = requests.recv() => self.answer(request).await,
                Some(outcome) = next_outcome(&mut in_flight) => self.finish(outcome),
                changed = news.changed(), if !news_end => news_end = changed.is_err(),
                () = sleep(pause) => {}
            }
        }
        let drain = async {
            while let Some(outcome) = next_outcome(&mut in_flight).await {
                self.finish(outcome);
            }
        };
        // Deliveries that are still in flight are repeated after the next start.
        let _ = tokio::time::timeout(STOP_TIMEOUT, drain).await;
        if let Err(error) = self.checkpoint().await {
            let sink = &self.options.name;
            tracing::warn!(%error, sink, "cannot journal the position of a sink");
        }
        self.update_metrics();
        let (waiting, dead) = (self.queue.pending_alerts(), self.queue.dead_letters().len());
        if waiting + dead > 0 {
            let sink = &self.options.name;
            tracing::warn!(sink, waiting, dead, "sink stopped with undelivered alerts");
        }
    }

    /// Does what is due. True if there may be more rows to read at once.
    async fn work(
        &mut self,
        in_flight: &mut InFlight,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<bool, SinkPortError> {
        let now = self.ports.clock.now();
        if now >= self.checkpoint_at {
            self.checkpoint().await?;
        }
        if self.resend_at.is_some_and(|at| at <= now) && in_flight.is_empty() {
            // A resend may be many requests to a slow consumer, so a stop interrupts it.
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Ok(false),
                resent = self.resend_standing(now) => resent?,
            }
        }
        let more = self.read().await?;
        while in_flight.len() < self.consumer.in_flight_max() {
            if let Some((alert, row)) = self.queue.next(self.ports.clock.now()) {
                in_flight.spawn(self.delivery(alert, row).run());
            } else if self.queue.needs_checkpoint() {
                self.checkpoint().await?;
            } else {
                break;
            }
        }
        Ok(more)
    }

    /// Reads rows of the outbox into the queue. True if there may be more at once.
    async fn read(&mut self) -> Result<bool, SinkPortError> {
        if !self.queue.has_room() {
            self.fall_behind();
            return Ok(false);
        }
        let (outbox, options) = (Arc::clone(&self.ports.outbox), self.options.clone());
        let after = self.queue.read();
        let read = move || -> Result<ReadRows, SinkPortError> {
            let found = outbox.after(after, READ_ROWS_MAX)?;
            let row = |change: &Change| {
                let kind = options.emitted_kind(outbox.as_ref(), change)?;
                let alert = kind.map(|_| change.record.alert);
                let kind = kind.unwrap_or(change.kind);
                Ok((options.delivery_row(change, kind), alert))
            };
            let rows: Result<_, SinkPortError> = found.changes.iter().map(row).collect();
            Ok(ReadRows {
                has_gap: found.has_gap,
                rows: rows?,
            })
        };
        let ReadRows { has_gap, rows } = self.reads.run(read).await?;
        if has_gap {
            let sink = self.options.name.as_str();
            self.metrics.gaps.with_label_values(&[sink]).inc();
            tracing::error!(sink, %after, "sink missed rows: the outbox no longer has them");
        }
        let is_full = rows.len() == READ_ROWS_MAX;
        let now = self.ports.clock.now();
        for (row, alert) in rows {
            if !self.queue.has_room() {
                self.fall_behind();
                return Ok(false);
            }
            self.queue.push(row, alert, now);
        }
        if !is_full {
            self.behind_since = None;
        }
        Ok(is_full)
    }

    fn fall_behind(&mut self) {
        let now = self.ports.clock.now();
        self.behind_since.get_or_insert(now);
    }

    fn delivery(&self, alert: AlertId, row: DeliveryRow) -> DeliveryAttempt {
        DeliveryAttempt {
            alert,
            row,
            outbox: Arc::clone(&self.ports.outbox),
            reads: self.reads.clone(),
            consumer: Arc::clone(&self.consumer),
            clock: Arc::clone(&self.ports.clock),
        }
    }

    /// Handles the end of a delivery.
    fn finish(&mut self, outcome: DeliveryOutcome) {
        let now = self.ports.clock.now();
        let sink = [self.options.name.as_str()];
        let alert = outcome.alert;
        let error = match outcome.result {
            Ok(delivered) => {
                self.activity.attempt(true);
                self.metrics.delivered.with_label_values(&sink).inc();
                self.queue.complete(alert, now);
                self.update_standing(&delivered.record, delivered.kind, &delivered.superseded);
                return;
            }
            Err(error) => error,
        };
        let labels = [self.options.name.as_str(), error.reason.name()];
        self.activity.attempt(false);
        self.metrics.failed.with_label_values(&labels).inc();
        let reason = &error.failure.reason;
        tracing::debug!(sink = sink[0], %alert, reason, "delivery failed");
        let jitter = self.rng.random();
        let losses = self.queue.fail(alert, now, &error.failure, jitter);
        if error.failure.gone {
            let sink = sink[0];
            tracing::warn!(
                sink,
                reason,
                "sink stopped; resume it with `weir sinks enable`"
            );
        } else if !losses.given_up.contains(&alert) {
            self.metrics.retried.with_label_values(&sink).inc();
        }
        self.report_losses(&losses, reason);
        self.last_failure = Some(error.failure.reason);
    }

    /// Journals the position of the sink if it has changed.
    async fn checkpoint(&mut self) -> Result<(), SinkPortError> {
        self.checkpoint_at = self.ports.clock.now().plus(CHECKPOINT_INTERVAL);
        if let Some(entry) = self.queue.checkpoint(&self.options.name) {
            self.ports.progress.append(entry.clone()).await?;
            self.queue.confirm_checkpoint(&entry);
        }
        Ok(())
    }

    /// Time until something is due.
    fn pause(&self) -> Duration {
        let now = self.ports.clock.now();
        let due = self.queue.due(now);
        let wakes = [due, Some(self.checkpoint_at), self.resend_at]
            .into_iter()
            .flatten();
        let next = wakes
            .min()
            .map_or(CHECKPOINT_INTERVAL.0, |at| at.0.saturating_sub(now.0));
        Duration::from_nanos(u64::try_from(next).unwrap_or(0)).max(Duration::from_millis(1))
    }
}
