//! Posts alerts to Prometheus' Alertmanager, and posts standing ones again.

use hyper::body::Bytes;
use serde_json::Value;
use weir_schema::{AlertRecord, ChangeKind, ReceiveTime, Span};

use crate::delivery::change::OutgoingChange;
use crate::failure::DeliveryError;
use crate::format::alertmanager;
use crate::transport::http::{HttpEndpoint, HttpPost};

/// Alerts of one request.
const POST_ALERTS_MAX: usize = 128;

/// An Alertmanager.
pub(crate) struct AlertmanagerConsumer {
    pub endpoint: HttpEndpoint,
    /// Interval at which a standing alert is sent again.
    pub resend: Span,
    /// An alert whose last event is older than this is not sent again.
    pub hold: Span,
}

impl AlertmanagerConsumer {
    pub(super) async fn deliver(
        &self,
        outgoing: &OutgoingChange,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        self.post(&alerts(outgoing, now, self.resend), now).await
    }

    pub(super) async fn resend(
        &self,
        standing: &[AlertRecord],
        now: ReceiveTime,
        step: impl Fn(),
    ) -> Result<(), DeliveryError> {
        for part in standing.chunks(POST_ALERTS_MAX) {
            let alerts: Vec<Value> = part
                .iter()
                .map(|record| alertmanager::firing(record, now, self.resend))
                .collect();
            self.post(&alerts, now).await?;
            step();
        }
        Ok(())
    }

    async fn post(&self, alerts: &[Value], now: ReceiveTime) -> Result<(), DeliveryError> {
        for part in alerts.chunks(POST_ALERTS_MAX) {
            let post = HttpPost {
                content_type: "application/json",
                now,
                headers: Vec::new(),
                body: Bytes::from(Value::from(part.to_vec()).to_string()),
            };
            self.endpoint.post(post).await?;
        }
        Ok(())
    }
}

/// The alerts of a change: the alert itself, and those to resolve, under the labels they had.
fn alerts(outgoing: &OutgoingChange, now: ReceiveTime, resend: Span) -> Vec<Value> {
    let record = &outgoing.change.record;
    let labels = alertmanager::labels(record);
    let superseded = outgoing.superseded.iter();
    let mut alerts: Vec<Value> = superseded
        .map(|record| alertmanager::resolved(record, now))
        .collect();
    let before = outgoing
        .before
        .as_ref()
        .map(|before| (before, alertmanager::labels(before)));
    if let Some((before, old)) = before.filter(|(_, old)| *old != labels) {
        alerts.push(alertmanager::resolved_with(before, old, now));
    }
    alerts.push(match outgoing.kind {
        ChangeKind::Raised | ChangeKind::Revised => alertmanager::firing(record, now, resend),
        ChangeKind::Retracted => alertmanager::resolved(record, now),
    });
    alerts
}
