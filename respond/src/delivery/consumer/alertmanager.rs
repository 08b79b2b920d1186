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
/// Bytes of one request. One alert has fewer than half of them: its labels are bounded.
const POST_BYTES_MAX: usize = 256 << 10;

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
        for body in bodies(alerts) {
            let post = HttpPost {
                content_type: "application/json",
                now,
                headers: Vec::new(),
                body: Bytes::from(body),
            };
            self.endpoint.post(post).await?;
        }
        Ok(())
    }
}

/// Packs alerts into bodies within the limits of a request.
fn bodies(alerts: &[Value]) -> Vec<String> {
    let (mut bodies, mut body, mut packed) = (Vec::new(), String::new(), 0);
    for alert in alerts {
        let text = alert.to_string();
        let is_full = packed == POST_ALERTS_MAX || body.len() + text.len() + 2 > POST_BYTES_MAX;
        if packed > 0 && is_full {
            bodies.push(std::mem::take(&mut body) + "]");
            packed = 0;
        }
        body.push(if packed == 0 { '[' } else { ',' });
        body.push_str(&text);
        packed += 1;
    }
    if packed > 0 {
        bodies.push(body + "]");
    }
    bodies
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_alerts::record;

    #[test]
    fn bodies_keep_both_limits_and_every_alert() {
        let mut long = record(7, 3);
        let mut field = long.group[0].clone();
        field.value = "\u{1}".repeat(100_000);
        long.group = vec![field; 100];
        long.title = "\u{1}".repeat(100_000);
        for (record, bodies_least) in [(record(7, 3), 3), (long, 75)] {
            let alert = alertmanager::firing(&record, ReceiveTime(0), Span::seconds(60));
            let packed = bodies(&vec![alert; 300]);
            let mut alerts = 0;
            for body in &packed {
                assert!(body.len() <= POST_BYTES_MAX);
                let listed: Vec<Value> = serde_json::from_str(body).expect("it is JSON");
                assert!(listed.len() <= POST_ALERTS_MAX);
                alerts += listed.len();
            }
            assert_eq!(alerts, 300);
            assert!(packed.len() >= bodies_least, "{}", packed.len());
        }
        assert_eq!(bodies(&[]), Vec::<String>::new());
    }
}
