//! The port to sinks: their state and their dead letters.

use weir_schema::{AlertId, ReceiveTime};

use super::{Cursor, PortError};

/// A sink in a listing.
#[derive(Clone, Debug, Default)]
pub struct SinkInfo {
    pub name: String,
    /// `webhook`, `alertmanager` or `cef`. Empty, as is all that follows, until the sink starts.
    pub kind: String,
    /// The destination, without parts that may be secret.
    pub target: String,
    /// `starting`, `running` or `stopped`.
    pub state: &'static str,
    /// Why the sink stopped; it sends nothing until a person enables it.
    pub stopped: Option<String>,
    /// How far it has read the outbox.
    pub position: Option<Cursor>,
    /// Number of alerts with undelivered rows.
    pub waiting: usize,
    pub waiting_since: Option<ReceiveTime>,
    /// Number of alerts that the sink gave up.
    pub dead: usize,
    pub last_failure: Option<String>,
}

/// An alert that a sink gave up delivering.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub alert: AlertId,
    /// The first undelivered row.
    pub from: Cursor,
    /// The last undelivered row.
    pub last: Cursor,
    /// Number of undelivered rows.
    pub rows: u64,
    pub since: ReceiveTime,
    pub reason: String,
}

/// Reads and controls sinks. Methods may block.
pub trait Sinks: Send + Sync {
    /// Lists all sinks.
    fn list(&self) -> Result<Vec<SinkInfo>, PortError>;

    /// Returns the dead letters of a sink; `None` if there is no such sink.
    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError>;

    /// Resends the dead letters of one alert, or of all alerts.
    ///
    /// Returns the number of alerts; `None` if there is no such sink.
    fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<Option<usize>, PortError>;

    /// Restarts a sink that its consumer has stopped. Returns `false` if there is no such sink.
    fn enable(&self, sink: &str) -> Result<bool, PortError>;
}
