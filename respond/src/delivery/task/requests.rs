//! Answers requests of people, and reports the state of the sink as metrics.

use std::sync::Arc;

use weir_schema::{AlertId, ReceiveTime, Span};

use super::SinkTask;
use crate::delivery::activity::SinkBacklog;
use crate::delivery::queue::QueueLosses;
use crate::delivery::reader::alert_rows;
use crate::delivery::requests::{SinkRequest, SinkStatus};
use crate::ports::SinkPortError;

impl SinkTask {
    pub(super) async fn answer(&mut self, request: SinkRequest) {
        let now = self.ports.clock.now();
        // The caller may have stopped waiting, so a failed reply is ignored.
        match request {
            SinkRequest::Status(reply) => {
                let _ = reply.send(self.status());
            }
            SinkRequest::DeadLetters(reply) => {
                let letters = self.queue.dead_letters().iter();
                let letters = letters.map(|(alert, letter)| (*alert, letter.clone()));
                let _ = reply.send(letters.collect());
            }
            SinkRequest::Resume(reply) => {
                self.queue.resume(now);
                let _ = reply.send(());
            }
            SinkRequest::Resend(wanted, reply) => {
                let count = self.requeue_all(wanted, now).await;
                let _ = reply.send(count);
            }
        }
    }

    /// Queues one dead letter again, or all. Returns how many.
    async fn requeue_all(&mut self, wanted: Option<AlertId>, now: ReceiveTime) -> usize {
        let is_wanted = |alert: &&AlertId| wanted.is_none_or(|wanted| wanted == **alert);
        let alerts = self.queue.dead_letters().keys().filter(is_wanted);
        let alerts: Vec<AlertId> = alerts.copied().collect();
        let mut count = 0;
        for alert in alerts {
            match self.requeue(alert, now).await {
                Ok(true) => count += 1,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, %alert, "cannot resend a dead letter"),
            }
        }
        count
    }

    async fn requeue(&mut self, alert: AlertId, now: ReceiveTime) -> Result<bool, SinkPortError> {
        let Some(from) = self
            .queue
            .dead_letters()
            .get(&alert)
            .map(|letter| letter.from)
        else {
            return Ok(false);
        };
        let (outbox, options) = (Arc::clone(&self.ports.outbox), self.options.clone());
        let read = self.queue.read();
        let rows = move || alert_rows(outbox.as_ref(), &options, alert, from, read);
        let rows = self.reads.run(rows).await?;
        Ok(self.queue.requeue(alert, rows, now))
    }

    fn status(&self) -> SinkStatus {
        SinkStatus {
            name: self.options.name.clone(),
            kind: self.consumer.name(),
            target: self.consumer.shown(),
            read: self.queue.read(),
            waiting: self.queue.pending_alerts(),
            dead: self.queue.dead_letters().len(),
            oldest: self.queue.oldest_since(),
            stopped: self.queue.stop_reason().map(str::to_owned),
            last_failure: self.last_failure.clone(),
        }
    }

    /// Counts and logs alerts that the queue has given up or dropped.
    pub(super) fn report_losses(&self, losses: &QueueLosses, reason: &str) {
        let sink = [self.options.name.as_str()];
        for alert in &losses.given_up {
            self.metrics.given_up.with_label_values(&sink).inc();
            tracing::warn!(sink = sink[0], %alert, reason, "alert given up; see `weir sinks dead`");
        }
        for alert in &losses.dropped {
            self.metrics.dropped.with_label_values(&sink).inc();
            tracing::error!(
                sink = sink[0],
                %alert,
                "too many dead letters: the oldest that the consumer refused is dropped"
            );
        }
    }

    /// Sets the gauges of the sink.
    pub(super) fn update_metrics(&self) {
        let sink = [self.options.name.as_str()];
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        metrics
            .waiting
            .with_label_values(&sink)
            .set(count(self.queue.pending_alerts()));
        metrics
            .dead
            .with_label_values(&sink)
            .set(count(self.queue.dead_letters().len()));
        metrics
            .stopped
            .with_label_values(&sink)
            .set(i64::from(self.queue.stop_reason().is_some()));
        let now = self.ports.clock.now();
        let oldest = self.queue.oldest_since();
        let waits_since = oldest.into_iter().chain(self.behind_since).min();
        self.activity.turn(SinkBacklog {
            waiting: self.queue.pending_alerts(),
            waits_since,
            is_paused: self.queue.is_paused(now),
            is_stopped: self.queue.stop_reason().is_some(),
        });
        let lag = waits_since.map_or(0, |since| now.0.saturating_sub(since.0));
        metrics
            .lag_seconds
            .with_label_values(&sink)
            .set(lag.max(0) / Span::SECOND.0);
    }
}
