//! Sinks: what stands, and what no longer does, told to whoever has to act on it.
//!
//! ```text
//!                 ┌── position, at most one a second ──► journal
//! ledger's outbox ──► sink: a cursor, and what is owed (desk) ──► 1 to 8 under way ──► consumer
//!     ▲ on disk: read on only while the sink has room
//! ```
//!
//! Invariants: a sink is a cursor into the outbox, never a queue, so a consumer that is down costs
//! bounded space and loses nothing. Nothing is told before its epoch is durable. A change is told
//! at least once, under an id that never changes. Rows of one alert are told in order.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use tokio::sync::watch;
use weir_schema::Epoch;
use weir_schema::said::OutboxFilter;

pub mod ports;

pub mod desk;
pub use desk::{Dead, Patience};

mod position;
pub use position::Position;

mod responders;
pub use responders::{Asked, Responders, SINKS_MAX};

mod orders;
pub use orders::Shown;

mod task;

mod again;
mod reading;

mod carrier;
pub use carrier::{Format, Identity, Reaching, Target, Token};

mod http;

mod dial;
mod fault;
mod tls;

mod guard;
pub use guard::Reach;

#[doc(hidden)]
pub mod door;

mod hook;
mod webhook;
pub use webhook::Secret;

mod alertmanager;

pub mod ocsf;

mod cef;
mod syslog;

mod metrics;
pub use metrics::RespondMetrics;

#[cfg(test)]
mod sample;

/// Where a sink begins that the journal does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With what is said from the start of the server on.
    Now,
    /// With the first row of the outbox.
    Start,
}

/// What a sink tells, and how patiently.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// A label of metrics, and the sink's name in the journal.
    pub name: String,
    pub target: Target,
    pub reaching: Reaching,
    pub filter: OutboxFilter,
    /// Each alert is told once, when it is first confirmed, and nothing more of it.
    pub create_only: bool,
    pub begin: Begin,
    pub patience: Patience,
}

/// What sinks are joined to.
#[derive(Clone)]
pub struct Ports {
    pub outbox: Arc<dyn ports::Outbox>,
    pub positions: Arc<dyn ports::Positions>,
    pub clock: Arc<dyn ports::Clock>,
    pub tags: Arc<dyn ports::Tags>,
    pub json: ports::NativeJson,
    /// The last epoch of before this run: what comes after it is new.
    pub begun: Epoch,
    /// Moves after new rows of the outbox can be read.
    pub news: watch::Receiver<u64>,
}

/// Why a sink cannot be set up as configuration asks.
#[derive(Debug, thiserror::Error)]
pub enum RespondError {
    #[error("url: {reason}")]
    BadUrl { reason: String },
    #[error("cannot use the certificates in {}: {reason}", .file.display())]
    BadCertificates { file: PathBuf, reason: String },
    #[error("this machine has no root certificates; name some with `ca_file`")]
    NoCertificates,
    #[error("cannot set up TLS: {reason}")]
    Tls { reason: String },
    #[error("cannot start the sinks' thread")]
    Thread(#[source] std::io::Error),
}

/// Nanoseconds since 1970 as `2026-08-01T12:00:00.000000Z`; syslog takes no finer ones.
pub(crate) fn rfc3339(time_ns: i64) -> String {
    DateTime::from_timestamp_nanos(time_ns).to_rfc3339_opts(SecondsFormat::Micros, true)
}
