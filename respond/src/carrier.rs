//! How one change gets to one consumer: what is written, and over what.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::Value;
use weir_schema::{AlertRecord, Change, ChangeKind, ReceiveTime, Span};

use crate::fault::Fault;
use crate::guard::Reach;
use crate::hook::Hook;
use crate::http::{Endpoint, Post};
use crate::ports::{NativeJson, Tags};
use crate::syslog::Syslog;
use crate::webhook::Secret;
use crate::{RespondError, alertmanager, cef, ocsf};

/// In which form a webhook writes an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the streams of the API write it, in the envelope of Standard Webhooks.
    Json,
    /// A Detection Finding of OCSF.
    Ocsf,
    /// A frame of `schema/alert.fbs`.
    Flatbuffers,
}

/// What a sink speaks, and to whom.
#[derive(Clone, Debug)]
pub enum Target {
    Webhook {
        url: String,
        secret: Option<Secret>,
        format: Format,
    },
    Alertmanager {
        url: String,
        /// Between two tellings of an alert that stands.
        resend: Span,
        /// An alert whose last event is older is not told again.
        hold: Span,
    },
    /// `tls://HOST:PORT`, `tcp://HOST:PORT` or `udp://HOST:PORT`.
    Cef { url: String },
}

/// How a consumer is reached, whatever it speaks.
#[derive(Clone, Debug)]
pub struct Reaching {
    pub reach: Reach,
    /// For one attempt, from the name's resolution to the answer's end.
    pub timeout: Duration,
    /// Roots to verify the consumer with, instead of this machine's.
    pub ca_file: Option<PathBuf>,
    /// Shown to a consumer that asks who we are.
    pub identity: Option<Identity>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Token>,
}

/// A certificate of our own and its key, in files.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A text that no log may show.
#[derive(Clone)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What is told of a change, with all that is needed to do so.
pub(crate) struct Telling {
    pub change: Change,
    pub kind: ChangeKind,
    /// The alert as it was in the change before.
    pub before: Option<AlertRecord>,
    /// Alerts that this one swallowed, as they are known.
    pub swallowed: Vec<AlertRecord>,
}

/// The way to one consumer.
pub(crate) enum Carrier {
    Webhook(Hook),
    Alertmanager {
        to: Endpoint,
        resend: Span,
        hold: Span,
    },
    Cef(Syslog),
}

impl Carrier {
    pub(crate) fn new(
        target: &Target,
        reaching: &Reaching,
        json: NativeJson,
        tags: Arc<dyn Tags>,
    ) -> Result<Self, RespondError> {
        let endpoint = |url: &str| Endpoint::new(url, reaching);
        Ok(match target {
            Target::Webhook {
                url,
                secret,
                format,
            } => Self::Webhook(Hook {
                to: endpoint(url)?,
                secret: secret.clone(),
                format: *format,
                json,
                tags,
            }),
            Target::Alertmanager { url, resend, hold } => Self::Alertmanager {
                to: endpoint(url)?.at("/api/v2/alerts"),
                resend: *resend,
                hold: *hold,
            },
            Target::Cef { url } => Self::Cef(Syslog::new(url, reaching)?),
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Cef(_) => "cef",
        }
    }

    /// Where to, without what may be secret in it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Webhook(Hook { to, .. }) | Self::Alertmanager { to, .. } => to.shown(),
            Self::Cef(syslog) => syslog.shown(),
        }
    }

    /// Deliveries that may be under way at a time.
    pub(crate) const fn at_once(&self) -> usize {
        match self {
            Self::Webhook(_) => 8,
            // What is told again must not overtake what is told.
            Self::Alertmanager { .. } => 1,
            // One connection, one message after the other.
            Self::Cef(_) => 1,
        }
    }

    /// Tells a change; done once the consumer has taken all of it.
    pub(crate) async fn tell(&self, telling: &Telling, now: ReceiveTime) -> Result<(), Fault> {
        match self {
            Self::Webhook(hook) => hook.tell(telling, now).await,
            Self::Alertmanager { to, resend, .. } => {
                for part in alerts(telling, now, *resend).chunks(alertmanager::POST_MAX) {
                    post_alerts(to, part, now).await?;
                }
                Ok(())
            }
            Self::Cef(syslog) => {
                for swallowed in &telling.swallowed {
                    let why = format!("became one with {}", telling.change.record.alert);
                    let text = cef::message(swallowed, ChangeKind::Retracted, &why, now);
                    syslog.send(&text).await?;
                }
                let record = &telling.change.record;
                let why = ocsf::cause(&record.cause);
                syslog
                    .send(&cef::message(record, telling.kind, &why, now))
                    .await
            }
        }
    }

    /// Tells again which alerts stand; nothing to do for a consumer that keeps what it was told.
    pub(crate) async fn tell_again(
        &self,
        open: &[AlertRecord],
        now: ReceiveTime,
    ) -> Result<(), Fault> {
        let Self::Alertmanager { to, resend, .. } = self else {
            return Ok(());
        };
        for part in open.chunks(alertmanager::POST_MAX) {
            let alerts: Vec<Value> = part
                .iter()
                .map(|record| alertmanager::firing(record, now, *resend))
                .collect();
            post_alerts(to, &alerts, now).await?;
        }
        Ok(())
    }
}

/// A change for Alertmanager: what stands, and what does no longer under the labels it had.
fn alerts(telling: &Telling, now: ReceiveTime, resend: Span) -> Vec<Value> {
    let record = &telling.change.record;
    let labels = alertmanager::labels(record);
    let swallowed = telling.swallowed.iter();
    let mut alerts: Vec<Value> = swallowed
        .map(|record| alertmanager::resolved(record, now))
        .collect();
    let before = telling
        .before
        .as_ref()
        .map(|before| (before, alertmanager::labels(before)));
    if let Some((before, old)) = before.filter(|(_, old)| *old != labels) {
        alerts.push(alertmanager::resolved_as(before, old, now));
    }
    alerts.push(match telling.kind {
        ChangeKind::Raised | ChangeKind::Revised => alertmanager::firing(record, now, resend),
        ChangeKind::Retracted => alertmanager::resolved(record, now),
    });
    alerts
}

async fn post_alerts(to: &Endpoint, alerts: &[Value], now: ReceiveTime) -> Result<(), Fault> {
    to.post(Post {
        content_type: "application/json",
        now,
        headers: Vec::new(),
        body: Bytes::from(Value::from(alerts.to_vec()).to_string()),
    })
    .await
}
