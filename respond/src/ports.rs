//! Traits that sinks need from the rest of Weir; `src/server/sinks.rs` implements them.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_schema::outbox::{AlertHistory, Cursor, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, Epoch, ReceiveTime, RuleVersion, SinkProgress,
};

/// Why a port could not answer. The sink asks again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkPortError {
    pub message: String,
}

/// Ports that all sinks share.
#[derive(Clone)]
pub struct SinkPorts {
    pub outbox: Arc<dyn Outbox>,
    pub progress: Arc<dyn ProgressJournal>,
    pub clock: Arc<dyn Clock>,
    pub tags: Arc<dyn RuleTagSource>,
    pub json: ChangeJson,
    /// Last epoch before this run; rows of later epochs are new.
    pub previous_epoch: Epoch,
    /// Changes after new rows of the outbox become readable.
    pub new_rows: watch::Receiver<u64>,
}

/// Read access to the ledger and its outbox. It may block, so sinks never call it on their own
/// thread.
pub trait Outbox: Send + Sync {
    /// Reads at most `limit` rows after `after`, in order. A row is visible only once its epoch is
    /// durable.
    fn after(&self, after: Cursor, limit: usize) -> Result<OutboxRows, SinkPortError>;

    /// Reads a retained revision of an alert.
    fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError>;

    /// Reads the newest retained change of an alert whose revision is below `revision`.
    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, SinkPortError>;

    /// Reads the current state of an alert.
    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, SinkPortError>;

    /// Reads at most `limit` alerts after `after`, in order of id.
    fn records(
        &self,
        after: Option<AlertId>,
        limit: usize,
    ) -> Result<Vec<AlertRecord>, SinkPortError>;
}

impl AlertHistory for dyn Outbox + '_ {
    type Error = SinkPortError;

    fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, SinkPortError> {
        Outbox::previous(self, alert, revision)
    }
}

/// Stores the progress of sinks.
pub trait ProgressJournal: Send + Sync {
    /// Appends an entry to the journal. The future completes once the entry is durable.
    fn append(&self, entry: SinkProgress) -> BoxFuture<'_, Result<(), SinkPortError>>;
}

/// The wall clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> ReceiveTime;
}

/// Encodes a change as JSON, as in the API.
pub type ChangeJson = fn(&Change, ChangeKind) -> serde_json::Value;

/// Looks up the tags of rules.
pub trait RuleTagSource: Send + Sync {
    /// Tags of a version of a rule, such as `attack.t1110.001`; none if the version is unknown.
    fn tags(&self, rule: &str, version: RuleVersion) -> Vec<String>;
}
