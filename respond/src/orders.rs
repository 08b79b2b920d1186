//! What people ask of a sink: how it stands, what it gave up, to send that again, to go on.

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_schema::said::Cursor;
use weir_schema::{AlertId, ReceiveTime, Span};

use crate::desk::Dead;
use crate::ports::Fault;
use crate::reading::{blocking, rows};
use crate::task::Sink;

/// What people ask of a sink.
pub(crate) enum Order {
    Show(oneshot::Sender<Shown>),
    Dead(oneshot::Sender<Vec<(AlertId, Dead)>>),
    /// One alert, or all; answered with how many.
    Resend(Option<AlertId>, oneshot::Sender<usize>),
    GoOn(oneshot::Sender<()>),
}

/// A sink as it stands.
#[derive(Clone, Debug)]
pub struct Shown {
    pub name: String,
    pub kind: &'static str,
    pub target: String,
    pub read: Cursor,
    pub waiting: usize,
    pub dead: usize,
    /// Since when the oldest of what is owed waits.
    pub oldest: Option<ReceiveTime>,
    pub stopped: Option<String>,
    pub last_failure: Option<String>,
}

impl Sink {
    pub(crate) async fn obey(&mut self, order: Order) {
        let now = self.ports.clock.now();
        // Whoever asked may have gone.
        match order {
            Order::Show(reply) => {
                let _ = reply.send(self.shown());
            }
            Order::Dead(reply) => {
                let dead = self.desk.dead().iter();
                let dead = dead.map(|(alert, dead)| (*alert, dead.clone())).collect();
                let _ = reply.send(dead);
            }
            Order::GoOn(reply) => {
                self.desk.go_on(now);
                let _ = reply.send(());
            }
            Order::Resend(wanted, reply) => {
                let is_wanted = |alert: &&AlertId| wanted.is_none_or(|wanted| wanted == **alert);
                let alerts = self.desk.dead().keys().filter(is_wanted);
                let alerts: Vec<AlertId> = alerts.copied().collect();
                let mut count = 0;
                for alert in alerts {
                    match self.revive(alert, now).await {
                        Ok(true) => count += 1,
                        Ok(false) => {}
                        Err(fault) => tracing::warn!(%fault, %alert, "cannot be sent again"),
                    }
                }
                let _ = reply.send(count);
            }
        }
    }

    async fn revive(&mut self, alert: AlertId, now: ReceiveTime) -> Result<bool, Fault> {
        let Some(from) = self.desk.dead().get(&alert).map(|dead| dead.from) else {
            return Ok(false);
        };
        let (outbox, options) = (Arc::clone(&self.ports.outbox), self.options.clone());
        let read = self.desk.read();
        let rows = blocking(move || rows(outbox.as_ref(), &options, alert, from, read)).await?;
        Ok(self.desk.revive(alert, rows, now))
    }

    fn shown(&self) -> Shown {
        Shown {
            name: self.options.name.clone(),
            kind: self.carrier.name(),
            target: self.carrier.shown(),
            read: self.desk.read(),
            waiting: self.desk.waiting(),
            dead: self.desk.dead().len(),
            oldest: self.desk.oldest(),
            stopped: self.desk.stopped().map(str::to_owned),
            last_failure: self.last_failure.clone(),
        }
    }

    /// Brings the metrics up to date.
    pub(crate) fn show(&self) {
        let sink = [self.options.name.as_str()];
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let metrics = &self.metrics;
        metrics
            .waiting
            .with_label_values(&sink)
            .set(count(self.desk.waiting()));
        metrics
            .dead
            .with_label_values(&sink)
            .set(count(self.desk.dead().len()));
        metrics
            .stopped
            .with_label_values(&sink)
            .set(i64::from(self.desk.stopped().is_some()));
        let now = self.ports.clock.now();
        let lag = self
            .desk
            .oldest()
            .map_or(0, |oldest| now.0.saturating_sub(oldest.0));
        metrics
            .lag_seconds
            .with_label_values(&sink)
            .set(lag.max(0) / Span::SECOND.0);
    }
}
