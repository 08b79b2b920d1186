//! One sink at work: reads the outbox, starts what is due, and keeps how far it has come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use weir_schema::said::Cursor;
use weir_schema::{AlertId, AlertRecord, Change, ChangeKind, EventTime, ReceiveTime, Span};

use crate::carrier::Carrier;
use crate::desk::{Desk, Row};
use crate::fault::{Fault as Missed, Reason};
use crate::metrics::RespondMetrics;
use crate::orders::Order;
use crate::ports::Fault;
use crate::position::Position;
use crate::reading::{ROWS_MAX, blocking, rows, telling};
use crate::{Begin, Ports, SinkOptions};

/// Entries of the journal are no closer: a sink costs it one a second while it delivers.
const KEEP_EVERY: Span = Span::SECOND;
/// A port that failed is asked again after this.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// At its end a sink waits so long for answers to what is under way.
const END_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Sink {
    pub options: SinkOptions,
    pub carrier: Arc<Carrier>,
    pub ports: Ports,
    pub metrics: RespondMetrics,
    pub rng: StdRng,
    pub desk: Desk,
    /// Alerts that the consumer is told of again while they stand, by the time of their last event.
    pub open: BTreeMap<AlertId, EventTime>,
    pub last_failure: Option<String>,
    pub keep_at: ReceiveTime,
    pub again_at: Option<ReceiveTime>,
}

type UnderWay = FuturesUnordered<BoxFuture<'static, (AlertId, Option<Outcome>)>>;

struct Outcome {
    told: Result<(), Missed>,
    record: AlertRecord,
    kind: ChangeKind,
    swallowed: Vec<AlertId>,
}

/// Waits; for no time at all it lets others have their turn.
async fn rest(pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

impl Sink {
    /// Begins where the journal says, or where configuration does.
    pub(crate) async fn begin(
        options: SinkOptions,
        carrier: Arc<Carrier>,
        ports: Ports,
        metrics: RespondMetrics,
        position: &Position,
        rng: StdRng,
    ) -> Result<Self, Fault> {
        let (outbox, asked) = (Arc::clone(&ports.outbox), options.clone());
        let position = position.clone();
        // Behind every row of that epoch.
        let now = Cursor {
            epoch: ports.begun,
            ordinal: u32::MAX,
        };
        let begun = move || -> Result<Desk, Fault> {
            let read = match (position.read(), asked.begin) {
                (Some(read), _) => read,
                (None, Begin::Start) => Cursor::START,
                (None, Begin::Now) => now,
            };
            Desk::resume(&position, read, asked.patience, |alert, from| {
                rows(outbox.as_ref(), &asked, alert, from, read)
            })
        };
        let desk = blocking(begun).await?;
        let again = matches!(&*carrier, Carrier::Alertmanager { .. }) && !options.create_only;
        let now = ports.clock.now();
        let mut sink = Self {
            options,
            carrier,
            ports,
            metrics,
            rng,
            desk,
            open: BTreeMap::new(),
            last_failure: None,
            keep_at: now,
            again_at: again.then_some(now),
        };
        sink.find_open().await?;
        // So that a crash before the first delivery does not begin later.
        sink.keep().await?;
        Ok(sink)
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut news: watch::Receiver<u64>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut under_way = UnderWay::new();
        let mut news_end = false;
        while !*stopped.borrow() {
            // Marked as seen before the read: rows that come meanwhile wake us again.
            news.borrow_and_update();
            let pause = match self.work(&mut under_way, &mut stopped).await {
                // Between two reads, however many there are to come, all else has its turn.
                Ok(true) => Duration::ZERO,
                Ok(false) => self.pause(),
                Err(fault) => {
                    let sink = &self.options.name;
                    tracing::warn!(%fault, sink, "a sink cannot go on; it tries again");
                    FAULT_PAUSE
                }
            };
            self.show();
            if *stopped.borrow() {
                break;
            }
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                Some(order) = orders.recv() => self.obey(order).await,
                Some((alert, outcome)) = under_way.next(), if !under_way.is_empty() => {
                    self.end(alert, outcome);
                }
                changed = news.changed(), if !news_end => news_end = changed.is_err(),
                () = rest(pause) => {}
            }
        }
        let rest = async {
            while let Some((alert, outcome)) = under_way.next().await {
                self.end(alert, outcome);
            }
        };
        let _ = tokio::time::timeout(END_PATIENCE, rest).await; // They are told again, if need be.
        if let Err(fault) = self.keep().await {
            let sink = &self.options.name;
            tracing::warn!(%fault, sink, "how far a sink has come could not be kept");
        }
    }

    /// Does what is due; true where there may be more to read at once.
    async fn work(
        &mut self,
        under_way: &mut UnderWay,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<bool, Fault> {
        let now = self.ports.clock.now();
        if now >= self.keep_at {
            self.keep().await?;
        }
        if self.again_at.is_some_and(|at| at <= now) && under_way.is_empty() {
            // It may be many requests to who is slow: what stops the sink does not wait for them.
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Ok(false),
                told = self.tell_again(now) => told?,
            }
        }
        let more = self.read().await?;
        while under_way.len() < self.carrier.at_once() {
            if let Some((alert, row)) = self.desk.next(self.ports.clock.now()) {
                under_way.push(self.tell(alert, row));
            } else if self.desk.wants_keep() {
                self.keep().await?;
            } else {
                break;
            }
        }
        Ok(more)
    }

    /// Takes rows of the outbox over; true where there may be more at once.
    async fn read(&mut self) -> Result<bool, Fault> {
        if !self.desk.has_room() {
            return Ok(false);
        }
        let (outbox, options) = (Arc::clone(&self.ports.outbox), self.options.clone());
        let after = self.desk.read();
        let read = move || -> Result<(bool, Vec<(Row, Option<AlertId>)>), Fault> {
            let read = outbox.after(after, ROWS_MAX)?;
            let row = |change: &Change| {
                let word = options.word(outbox.as_ref(), change)?;
                let alert = word.map(|_| change.record.alert);
                Ok((options.row(change, word.unwrap_or(change.kind)), alert))
            };
            let rows: Result<_, Fault> = read.changes.iter().map(row).collect();
            Ok((read.has_gap, rows?))
        };
        let (has_gap, rows) = blocking(read).await?;
        if has_gap {
            let sink = self.options.name.as_str();
            self.metrics.gaps.with_label_values(&[sink]).inc();
            tracing::error!(sink, %after, "a sink was so far behind that rows have gone");
        }
        let whole = rows.len() == ROWS_MAX;
        let now = self.ports.clock.now();
        for (row, alert) in rows {
            if !self.desk.has_room() {
                return Ok(false);
            }
            self.desk.put(row, alert, now);
        }
        Ok(whole)
    }

    fn tell(&self, alert: AlertId, row: Row) -> BoxFuture<'static, (AlertId, Option<Outcome>)> {
        let outbox = Arc::clone(&self.ports.outbox);
        let (carrier, clock) = (Arc::clone(&self.carrier), Arc::clone(&self.ports.clock));
        let told = async move {
            let read = blocking(move || telling(outbox.as_ref(), alert, &row)).await;
            let telling = match read {
                Ok(Some(telling)) => telling,
                // The ledger has lost what it had, or cannot be read: it is tried again.
                Ok(None) => return (alert, None),
                Err(fault) => {
                    tracing::warn!(%fault, "a change cannot be read");
                    return (alert, None);
                }
            };
            let told = carrier.tell(&telling, clock.now()).await;
            let swallowed = telling.change.supersedes.clone();
            let (record, kind) = (telling.change.record, telling.kind);
            let outcome = Outcome {
                told,
                record,
                kind,
                swallowed,
            };
            (alert, Some(outcome))
        };
        told.boxed()
    }

    /// Something under way has ended.
    fn end(&mut self, alert: AlertId, outcome: Option<Outcome>) {
        let now = self.ports.clock.now();
        let sink = [self.options.name.as_str()];
        let missed = match outcome {
            Some(Outcome {
                told: Ok(()),
                record,
                kind,
                swallowed,
            }) => {
                self.metrics.delivered.with_label_values(&sink).inc();
                self.desk.delivered(alert, now);
                self.follow_open(&record, kind, &swallowed);
                return;
            }
            Some(Outcome {
                told: Err(missed), ..
            }) => missed,
            None => Missed::new(Reason::Content, "the ledger does not have it"),
        };
        let labels = [self.options.name.as_str(), missed.reason.name()];
        self.metrics.failed.with_label_values(&labels).inc();
        let (reason, dead) = (&missed.failure.reason, self.desk.dead().len());
        tracing::debug!(sink = sink[0], %alert, reason, "a delivery failed");
        self.desk
            .failed(alert, now, &missed.failure, self.rng.random());
        if self.desk.dead().len() > dead {
            self.metrics.given_up.with_label_values(&sink).inc();
            tracing::warn!(sink = sink[0], %alert, reason, "an alert is given up; `weir sinks dead`");
        } else if missed.failure.gone {
            let sink = sink[0];
            tracing::warn!(sink, reason, "a sink is stopped; `weir sinks enable`");
        } else {
            self.metrics.retried.with_label_values(&sink).inc();
        }
        self.last_failure = Some(missed.failure.reason);
    }

    /// Keeps how far the sink has come, where the journal does not know.
    async fn keep(&mut self) -> Result<(), Fault> {
        self.keep_at = self.ports.clock.now().plus(KEEP_EVERY);
        if let Some(entry) = self.desk.entry(&self.options.name) {
            self.ports.positions.keep(entry.clone()).await?;
            self.desk.keep(&entry);
        }
        Ok(())
    }

    /// Until something is due.
    fn pause(&self) -> Duration {
        let now = self.ports.clock.now();
        let due = self.desk.due(now);
        let wakes = [due, Some(self.keep_at), self.again_at]
            .into_iter()
            .flatten();
        let next = wakes
            .min()
            .map_or(KEEP_EVERY.0, |at| at.0.saturating_sub(now.0));
        Duration::from_nanos(u64::try_from(next).unwrap_or(0)).max(Duration::from_millis(1))
    }
}
