//! Accepts events over the protocols of common shippers: JSON and syslog lines, Splunk's HTTP Event
//! Collector, Elasticsearch's bulk requests, OTLP logs and journald's uploads.
//!
//! ```text
//! request ─► body (bounded) ─► split into frames ─► batcher: batches by source ─► intake port ─► answer
//! ```
//!
//! Each protocol answers in its own format, once the events are durable. Shippers that probe for
//! features before they send get the answers that they insist on; nothing that they set is stored.

mod batcher;
mod bulk;
mod credentials;
mod dialect;
mod document;
mod elastic;
mod events;
pub mod fuzz;
mod hec;
mod ingest;
mod journald;
mod json_check;
mod otlp;
mod probe;
mod request;
mod routes;

pub use routes::COLLECTOR_ROUTES;

pub(crate) use credentials::{Credentials, ProtocolAnswer};
pub(crate) use dialect::Dialect;
pub(crate) use events::receive_events;
pub(crate) use routes::configure;
