//! Posts changes to a webhook, in its format, signed.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};
use weir_schema::{AlertRecord, Change, ChangeKind, ReceiveTime, alert_frame};

use crate::delivery::change::OutgoingChange;
use crate::failure::{DeliveryError, FailureReason};
use crate::format::body_limit::{self, BodyCut, FittedBody};
use crate::format::webhook::{self, WebhookSecret};
use crate::format::{ocsf, rfc3339};
use crate::options::WebhookFormat;
use crate::ports::{ChangeJson, RuleTagSource};
use crate::transport::http::{HttpEndpoint, HttpPost};

const JSON: &str = "application/json";

/// A webhook.
pub(crate) struct WebhookConsumer {
    pub endpoint: HttpEndpoint,
    pub secret: Option<WebhookSecret>,
    pub format: WebhookFormat,
    pub body_bytes_max: usize,
    pub json: ChangeJson,
    pub tags: Arc<dyn RuleTagSource>,
}

impl WebhookConsumer {
    pub(super) async fn deliver(
        &self,
        outgoing: &OutgoingChange,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        let (change, kind) = (&outgoing.change, outgoing.kind);
        if self.format == WebhookFormat::Ocsf {
            // OCSF has no mergers: the findings of superseded alerts are closed.
            for record in &outgoing.superseded {
                let id = format!("alert_{}", ocsf::superseded_uid(record, change));
                let closed =
                    closing_body(record, change, self.body_bytes_max, self.tags_of(record));
                self.post(&id, JSON, closed, now).await?;
            }
        }
        let content_type = match self.format {
            WebhookFormat::Json | WebhookFormat::Ocsf => JSON,
            WebhookFormat::Flatbuffers => alert_frame::MEDIA_TYPE,
        };
        let tags = match self.format {
            WebhookFormat::Ocsf => self.tags_of(&change.record),
            WebhookFormat::Json | WebhookFormat::Flatbuffers => Vec::new(),
        };
        let limit = self.body_bytes_max;
        let body = webhook_body(change, kind, self.format, limit, self.json, &tags);
        let id = webhook::message_id(change);
        self.post(&id, content_type, body, now).await
    }

    fn tags_of(&self, record: &AlertRecord) -> Vec<String> {
        self.tags.tags(&record.rule, record.version)
    }

    async fn post(
        &self,
        id: &str,
        content_type: &'static str,
        FittedBody { body, cut }: FittedBody,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        let headers = webhook::headers(id, &body, cut.as_ref(), self.secret.as_ref(), now);
        let headers = headers.map_err(|error| DeliveryError::new(FailureReason::Content, error))?;
        let post = HttpPost {
            content_type,
            now,
            headers,
            body: Bytes::from(body),
        };
        self.endpoint.post(post).await
    }
}

/// Encodes a change in the format of a webhook, cut to the limit of its bodies.
fn webhook_body(
    change: &Change,
    kind: ChangeKind,
    format: WebhookFormat,
    bytes_max: usize,
    row: ChangeJson,
    tags: &[String],
) -> FittedBody {
    body_limit::fit(change, bytes_max, |change, cut| match format {
        WebhookFormat::Json => {
            let mut body = json!({
                "type": webhook::message_type(kind),
                "timestamp": rfc3339(change.record.last.0),
                "data": row(change, kind),
            });
            if let Some(cut) = cut {
                body["cut"] = cut.json();
            }
            body.to_string().into_bytes()
        }
        WebhookFormat::Flatbuffers => alert_frame::encode(change, kind),
        WebhookFormat::Ocsf => finding_text(ocsf::finding(change, kind, tags), cut),
    })
}

/// Encodes the finding that closes a superseded alert.
fn closing_body(
    record: &AlertRecord,
    by: &Change,
    bytes_max: usize,
    tags: Vec<String>,
) -> FittedBody {
    let closed = Change {
        record: record.clone(),
        supersedes: Vec::new(),
        ..by.clone()
    };
    body_limit::fit(&closed, bytes_max, |closed, cut| {
        finding_text(ocsf::superseded(&closed.record, by, &tags), cut)
    })
}

fn finding_text(mut finding: Value, cut: Option<&BodyCut>) -> Vec<u8> {
    if let Some(cut) = cut {
        finding["unmapped"]["cut"] = cut.json();
    }
    finding.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
