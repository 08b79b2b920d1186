//! Sends standing alerts again to Alertmanager, which ends alerts that it does not receive again.

use std::sync::Arc;

use weir_schema::{AlertId, AlertRecord, ChangeKind, EventTime, ReceiveTime};

use super::SinkTask;
use crate::delivery::consumer::Consumer;
use crate::delivery::reader::READ_ROWS_MAX;
use crate::ports::SinkPortError;

/// Standing alerts that are sent again. Beyond, the alert with the oldest last event is dropped.
const STANDING_MAX: usize = 10_000;

impl SinkTask {
    /// Loads the alerts that stood when the last run ended.
    pub(super) async fn load_standing(&mut self) -> Result<(), SinkPortError> {
        if self.resend_at.is_none() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let outbox = Arc::clone(&self.ports.outbox);
            let page = self
                .reads
                .run(move || outbox.records(after, READ_ROWS_MAX))
                .await?;
            let oldest = self.oldest_resent(self.ports.clock.now());
            for record in page.iter().filter(|record| record.last >= oldest) {
                if record.standing && self.options.filter.passes(record) {
                    self.add_standing(record);
                }
            }
            match page.last() {
                Some(last) if page.len() == READ_ROWS_MAX => after = Some(last.alert),
                _ => return Ok(()),
            }
        }
    }

    /// Alerts whose last event is before this time are not sent again.
    fn oldest_resent(&self, now: ReceiveTime) -> EventTime {
        match &*self.consumer {
            Consumer::Alertmanager(alertmanager) => EventTime(now.0).minus(alertmanager.hold),
            // Other consumers are not sent standing alerts again.
            _ => EventTime::MAX,
        }
    }

    fn add_standing(&mut self, record: &AlertRecord) {
        self.standing.insert(record.alert, record.last);
        if self.standing.len() > STANDING_MAX {
            let oldest = self
                .standing
                .iter()
                .min_by_key(|(alert, last)| (**last, **alert));
            if let Some(alert) = oldest.map(|(alert, _)| *alert) {
                self.standing.remove(&alert);
                self.count_dropped();
            }
        }
    }

    fn count_dropped(&self) {
        let sink = [self.options.name.as_str()];
        self.metrics.let_go.with_label_values(&sink).inc();
    }

    /// Updates the standing alerts after a change was delivered.
    pub(super) fn update_standing(
        &mut self,
        record: &AlertRecord,
        kind: ChangeKind,
        superseded: &[AlertId],
    ) {
        if self.resend_at.is_none() {
            return;
        }
        for alert in superseded {
            self.standing.remove(alert);
        }
        match kind {
            ChangeKind::Retracted => drop(self.standing.remove(&record.alert)),
            ChangeKind::Raised | ChangeKind::Revised => self.add_standing(record),
        }
    }

    /// Sends the standing alerts again, in their current state.
    pub(super) async fn resend_standing(&mut self, now: ReceiveTime) -> Result<(), SinkPortError> {
        let Consumer::Alertmanager(alertmanager) = &*self.consumer else {
            self.resend_at = None;
            return Ok(());
        };
        self.resend_at = Some(now.plus(alertmanager.resend));
        if self.queue.is_paused(now) {
            return Ok(());
        }
        let (outbox, alerts) = (Arc::clone(&self.ports.outbox), self.standing.clone());
        let read = move || -> Result<Vec<AlertRecord>, SinkPortError> {
            let records = alerts.keys().map(|alert| outbox.record(*alert));
            records.filter_map(Result::transpose).collect()
        };
        let oldest = self.oldest_resent(now);
        let mut standing = Vec::new();
        for record in self.reads.run(read).await? {
            if record.last < oldest {
                self.standing.remove(&record.alert);
                self.count_dropped();
            } else if record.standing && self.options.filter.passes(&record) {
                self.standing.insert(record.alert, record.last);
                standing.push(record);
            }
        }
        if let Err(error) = self
            .consumer
            .resend(&standing, now, || self.activity.step())
            .await
        {
            let labels = [self.options.name.as_str(), error.reason.name()];
            self.metrics.failed.with_label_values(&labels).inc();
            self.queue.apply_failure(&error.failure, now);
            self.last_failure = Some(error.failure.reason);
        }
        Ok(())
    }
}
