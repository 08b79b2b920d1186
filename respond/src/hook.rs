//! One webhook: which messages a change is, in its format and order, and posting them.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_schema::{AlertRecord, ReceiveTime, alert_frame};

use crate::carrier::{Format, Telling};
use crate::fault::Fault;
use crate::http::Endpoint;
use crate::ocsf;
use crate::ports::{NativeJson, Tags};
use crate::webhook::{self, Secret};

const JSON: &str = "application/json";

/// Where to, how it is written, and what with.
pub(crate) struct Hook {
    pub to: Endpoint,
    pub secret: Option<Secret>,
    pub format: Format,
    pub json: NativeJson,
    pub tags: Arc<dyn Tags>,
}

impl Hook {
    /// Posts a change; done once the consumer has taken all of its messages.
    pub(crate) async fn tell(&self, telling: &Telling, now: ReceiveTime) -> Result<(), Fault> {
        let (change, kind) = (&telling.change, telling.kind);
        let id = webhook::message_id(change);
        match self.format {
            Format::Json => {
                let body = json!({
                    "type": webhook::message_type(kind),
                    "timestamp": crate::rfc3339(change.record.last.0),
                    "data": (self.json)(change, kind),
                });
                self.post(&id, JSON, text(&body), now).await
            }
            Format::Flatbuffers => {
                let frame = alert_frame::encode(change, kind);
                self.post(&id, alert_frame::MEDIA_TYPE, frame, now).await
            }
            Format::Ocsf => {
                // Consumers of findings know nothing of mergers: those that are gone are closed.
                for record in &telling.swallowed {
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
        kind: &'static str,
        body: Vec<u8>,
        now: ReceiveTime,
    ) -> Result<(), Fault> {
        let signed = webhook::post(id, kind, body, self.secret.as_ref(), now)?;
        self.to.post(signed).await
    }
}

fn text(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
