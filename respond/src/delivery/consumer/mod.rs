//! Consumers: each joins a message format with the transport that carries it.

use std::sync::Arc;

use weir_schema::{AlertRecord, ReceiveTime};

use crate::delivery::change::OutgoingChange;
use crate::error::RespondError;
use crate::failure::DeliveryError;
use crate::options::{ConnectionOptions, SinkTarget};
use crate::ports::{ChangeJson, RuleTagSource};
use crate::transport::http::HttpEndpoint;
use crate::transport::syslog::SyslogSender;

mod alertmanager;
pub(crate) use alertmanager::AlertmanagerConsumer;

mod cef;
use cef::CefConsumer;

mod webhook;
use webhook::WebhookConsumer;

#[cfg(test)]
pub(crate) mod scripted;

/// The consumer of one sink.
pub(crate) enum Consumer {
    Webhook(WebhookConsumer),
    Alertmanager(AlertmanagerConsumer),
    Cef(CefConsumer),
    #[cfg(test)]
    Scripted(scripted::ScriptedConsumer),
}

impl Consumer {
    pub(crate) fn new(
        target: &SinkTarget,
        connection: &ConnectionOptions,
        json: ChangeJson,
        tags: Arc<dyn RuleTagSource>,
    ) -> Result<Self, RespondError> {
        let endpoint = |url: &str| HttpEndpoint::new(url, connection);
        Ok(match target {
            SinkTarget::Webhook {
                url,
                secret,
                format,
                body_bytes_max,
            } => Self::Webhook(WebhookConsumer {
                endpoint: endpoint(url)?,
                secret: secret.clone(),
                format: *format,
                body_bytes_max: *body_bytes_max,
                json,
                tags,
            }),
            SinkTarget::Alertmanager { url, resend, hold } => {
                Self::Alertmanager(AlertmanagerConsumer {
                    endpoint: endpoint(url)?.with_path("/api/v2/alerts"),
                    resend: *resend,
                    hold: *hold,
                })
            }
            SinkTarget::Cef { url } => Self::Cef(CefConsumer {
                syslog: SyslogSender::new(url, connection)?,
            }),
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Cef(_) => "cef",
            #[cfg(test)]
            Self::Scripted(_) => "scripted",
        }
    }

    /// The address for people and logs, without the parts that may be secret.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Webhook(webhook) => webhook.endpoint.shown(),
            Self::Alertmanager(alertmanager) => alertmanager.endpoint.shown(),
            Self::Cef(cef) => cef.syslog.shown(),
            #[cfg(test)]
            Self::Scripted(_) => String::new(),
        }
    }

    /// Deliveries that may be in flight at once.
    pub(crate) const fn in_flight_max(&self) -> usize {
        match self {
            Self::Webhook(_) => 8,
            // A resend must not overtake a change.
            Self::Alertmanager(_) => 1,
            // One connection, one message after the other.
            Self::Cef(_) => 1,
            #[cfg(test)]
            Self::Scripted(_) => 8,
        }
    }

    /// Delivers a change; returns once the consumer has accepted all of its messages.
    pub(crate) async fn deliver(
        &self,
        outgoing: &OutgoingChange,
        now: ReceiveTime,
    ) -> Result<(), DeliveryError> {
        match self {
            Self::Webhook(webhook) => webhook.deliver(outgoing, now).await,
            Self::Alertmanager(alertmanager) => alertmanager.deliver(outgoing, now).await,
            Self::Cef(cef) => cef.deliver(outgoing, now).await,
            #[cfg(test)]
            Self::Scripted(scripted) => scripted.deliver(outgoing).await,
        }
    }

    /// Sends standing alerts again. Only Alertmanager forgets them; other consumers need nothing.
    pub(crate) async fn resend(
        &self,
        standing: &[AlertRecord],
        now: ReceiveTime,
        step: impl Fn(),
    ) -> Result<(), DeliveryError> {
        match self {
            Self::Alertmanager(alertmanager) => alertmanager.resend(standing, now, step).await,
            Self::Webhook(_) | Self::Cef(_) => Ok(()),
            #[cfg(test)]
            Self::Scripted(_) => Ok(()),
        }
    }
}
