//! Telling again what stands, for a consumer that forgets: which alerts those are, and until when.

use std::sync::Arc;

use weir_schema::{AlertId, AlertRecord, ChangeKind, EventTime, ReceiveTime};

use crate::alertmanager::OPEN_MAX;
use crate::carrier::Carrier;
use crate::ports::Fault;
use crate::reading::{ROWS_MAX, blocking};
use crate::task::Sink;

impl Sink {
    /// Which alerts stood when the last life ended.
    pub(crate) async fn find_open(&mut self) -> Result<(), Fault> {
        if self.again_at.is_none() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let outbox = Arc::clone(&self.ports.outbox);
            let page = blocking(move || outbox.records(after, ROWS_MAX)).await?;
            let oldest = self.oldest_held(self.ports.clock.now());
            for record in page.iter().filter(|record| record.last >= oldest) {
                if record.standing && self.options.filter.passes(record) {
                    self.hold(record);
                }
            }
            match page.last() {
                Some(last) if page.len() == ROWS_MAX => after = Some(last.alert),
                _ => return Ok(()),
            }
        }
    }

    fn oldest_held(&self, now: ReceiveTime) -> EventTime {
        match &*self.carrier {
            Carrier::Alertmanager { hold, .. } => EventTime(now.0).minus(*hold),
            _ => EventTime::MAX, // Nothing is told again.
        }
    }

    fn hold(&mut self, record: &AlertRecord) {
        self.open.insert(record.alert, record.last);
        if self.open.len() > OPEN_MAX {
            let oldest = self
                .open
                .iter()
                .min_by_key(|(alert, last)| (**last, **alert));
            if let Some(alert) = oldest.map(|(alert, _)| *alert) {
                self.open.remove(&alert);
                self.let_go();
            }
        }
    }

    fn let_go(&self) {
        let sink = [self.options.name.as_str()];
        self.metrics.let_go.with_label_values(&sink).inc();
    }

    pub(crate) fn follow_open(
        &mut self,
        record: &AlertRecord,
        kind: ChangeKind,
        swallowed: &[AlertId],
    ) {
        if self.again_at.is_none() {
            return;
        }
        for alert in swallowed {
            self.open.remove(alert);
        }
        match kind {
            ChangeKind::Retracted => drop(self.open.remove(&record.alert)),
            ChangeKind::Raised | ChangeKind::Revised => self.hold(record),
        }
    }

    /// Tells again which alerts stand, as they are now.
    pub(crate) async fn tell_again(&mut self, now: ReceiveTime) -> Result<(), Fault> {
        let Carrier::Alertmanager { resend, .. } = &*self.carrier else {
            self.again_at = None;
            return Ok(());
        };
        self.again_at = Some(now.plus(*resend));
        if self.desk.is_held(now) {
            return Ok(());
        }
        let (outbox, open) = (Arc::clone(&self.ports.outbox), self.open.clone());
        let read = move || -> Result<Vec<AlertRecord>, Fault> {
            let records = open.keys().map(|alert| outbox.record(*alert));
            records.filter_map(Result::transpose).collect()
        };
        let oldest = self.oldest_held(now);
        let mut standing = Vec::new();
        for record in blocking(read).await? {
            if record.last < oldest {
                self.open.remove(&record.alert);
                self.let_go();
            } else if record.standing && self.options.filter.passes(&record) {
                self.open.insert(record.alert, record.last);
                standing.push(record);
            }
        }
        if let Err(missed) = self.carrier.tell_again(&standing, now).await {
            let labels = [self.options.name.as_str(), missed.reason.name()];
            self.metrics.failed.with_label_values(&labels).inc();
            self.desk.heed(&missed.failure, now);
            self.last_failure = Some(missed.failure.reason);
        }
        Ok(())
    }
}
