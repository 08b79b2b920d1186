//! Options of one sink: its consumer, the connection to it, and the alerts that it wants.

use std::path::PathBuf;
use std::time::Duration;

use weir_schema::Span;
use weir_schema::outbox::OutboxFilter;

use crate::format::webhook::WebhookSecret;
use crate::retry::RetryPolicy;
use crate::transport::guard::AddressScope;

/// Where a sink starts that has no position in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkStart {
    /// With the first row that is added after the server starts.
    Now,
    /// With the first row of the outbox.
    Start,
}

/// Options of one sink.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// A label of metrics, and the sink's name in the journal.
    pub name: String,
    pub target: SinkTarget,
    pub connection: ConnectionOptions,
    pub filter: OutboxFilter,
    /// Sends each alert once, when it is first confirmed, and no later change of it.
    pub create_only: bool,
    pub start: SinkStart,
    pub retry: RetryPolicy,
}

/// Encoding of an alert in a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// JSON as in the streams of the API, in the envelope of Standard Webhooks.
    Json,
    /// A Detection Finding of OCSF.
    Ocsf,
    /// A frame of `schema/alert.fbs`.
    Flatbuffers,
}

/// Protocol and address of a consumer.
#[derive(Clone, Debug)]
pub enum SinkTarget {
    Webhook {
        url: String,
        secret: Option<WebhookSecret>,
        format: WebhookFormat,
        /// Limit of a body; longer ones are cut. At least [`crate::BODY_BYTES_MIN`].
        body_bytes_max: usize,
    },
    Alertmanager {
        url: String,
        /// Interval at which a standing alert is sent again.
        resend: Span,
        /// An alert whose last event is older than this is not sent again.
        hold: Span,
    },
    /// `tls://HOST:PORT`, `tcp://HOST:PORT` or `udp://HOST:PORT`.
    Cef { url: String },
}

/// Options of the connection to a consumer, for every protocol.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    pub address_scope: AddressScope,
    /// Limit for one attempt, from the lookup of the name to the end of the answer.
    pub timeout: Duration,
    /// Root certificates that replace those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Certificate that Weir presents to a consumer that requests one.
    pub client_certificate: Option<ClientCertificate>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<BearerToken>,
}

/// Files with Weir's own certificate chain and its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// A bearer token. `Debug` hides it, so that no log contains it.
#[derive(Clone)]
pub struct BearerToken(pub String);

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerToken(..)")
    }
}
