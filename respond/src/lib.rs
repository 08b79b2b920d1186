//! Delivers alert changes to external consumers: webhooks, Alertmanager and CEF over syslog.
//!
//! ```text
//!                  ┌── progress, at most one entry a second ──► journal
//! ledger's outbox ──► sink: a cursor and a queue ──► 1 to 8 in flight ──► consumer
//!     ▲ on disk: a sink reads on only while its queue has room
//! ```
//!
//! | module | owns |
//! |---|---|
//! | `delivery` | which row of the outbox each sink still has to deliver |
//! | `format` | the bytes of a message |
//! | `transport` | connections to consumers |
//!
//! Invariants:
//!
//! - A sink is a cursor into the outbox. A consumer that is down costs bounded space and loses
//!   nothing.
//! - A change is delivered only after its epoch is durable.
//! - A change is delivered at least once, under an id that never changes.
//! - The rows of one alert are delivered in order.

mod error;
pub use error::RespondError;

mod failure;

mod retry;
pub use retry::RetryPolicy;

pub mod ports;
pub use ports::SinkPorts;

mod options;
pub use options::{
    BearerToken, ClientCertificate, ConnectionOptions, SinkOptions, SinkStart, SinkTarget,
    WebhookFormat,
};

mod metrics;
pub use metrics::RespondMetrics;

mod format;
pub use format::body_limit::BODY_BYTES_MIN;
pub use format::ocsf;
pub use format::webhook::WebhookSecret;

mod transport;
pub use transport::guard::AddressScope;

mod delivery;
pub use delivery::activity::SinkActivityReport;
pub use delivery::position::SinkPosition;
pub use delivery::queue::SinkDeadLetter;
pub use delivery::requests::SinkStatus;
pub use delivery::responders::{Responders, SINKS_MAX, STOP_MAX, SinkRequestError};

#[doc(hidden)]
pub mod fuzz;

#[cfg(test)]
mod test_alerts;
