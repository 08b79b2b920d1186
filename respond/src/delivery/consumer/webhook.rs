//! Posts changes to a webhook, in its format, signed.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};
use weir_schema::{AlertRecord, ReceiveTime, alert_frame};

use crate::delivery::change::OutgoingChange;
use crate::failure::{DeliveryError, FailureReason};
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
        let id = webhook::message_id(change);
        match self.format {
            WebhookFormat::Json => {
                let body = json!({
                    "type": webhook::message_type(kind),
                    "timestamp": rfc3339(change.record.last.0),
                    "data": (self.json)(change, kind),
                });
                self.post(&id, JSON, text(&body), now).await
            }
            WebhookFormat::Flatbuffers => {
                let frame = alert_frame::encode(change, kind);
                self.post(&id, alert_frame::MEDIA_TYPE, frame, now).await
            }
            WebhookFormat::Ocsf => {
                // OCSF has no mergers: the findings of superseded alerts are closed.
                for record in &outgoing.superseded {
                    let id = format!("alert_{}", ocsf::superseded_uid(record, change));
                    let closed = ocsf::superseded(record, change, &self.tags_of(record));
                    self.post(&id, JSON, text(&closed), now).await?;
                }
                let finding = ocsf::finding(change, kind, &self.tags_of(&change.record));
                self.post(&id, JSON, text(&finding), now).await
            }
        }
    }

    fn tags_of(&self, record: &AlertRecord) -> Vec<String> {
        self.tags.tags(&record.rule, record.version)
    }

    async fn post(
        &self,
        id: &str,
        content_type: &'static str,
        body: Vec<u8>,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        let headers = webhook::headers(id, &body, self.secret.as_ref(), now);
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

fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
