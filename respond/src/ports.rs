//! What sinks need of the rest of Weir, as traits; `src/responders.rs` joins them to it.

use futures_util::future::BoxFuture;
use weir_schema::said::{Cursor, Histories, OutboxRows};
use weir_schema::{AlertId, AlertRecord, Change, ChangeKind, Delivered, ReceiveTime, RuleVersion};

/// Why a port could not answer; it is asked again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub message: String,
}

/// The ledger and its outbox, to read. May block: never called on the sinks' own thread.
pub trait Outbox: Send + Sync {
    /// Rows behind `after`, in order, at most `limit`. A row is here only once its epoch is
    /// durable.
    fn after(&self, after: Cursor, limit: usize) -> Result<OutboxRows, Fault>;

    /// A kept revision of an alert.
    fn change(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Fault>;

    /// The newest kept change of an alert whose revision is below `revision`.
    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Fault>;

    /// An alert as it is now.
    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, Fault>;

    /// Alerts in order of id, those behind `after`; at most `limit`.
    fn records(&self, after: Option<AlertId>, limit: usize) -> Result<Vec<AlertRecord>, Fault>;
}

impl Histories for dyn Outbox + '_ {
    type Error = Fault;

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, Fault> {
        Outbox::previous(self, alert, revision)
    }
}

/// Where positions are kept.
pub trait Positions: Send + Sync {
    /// Journals an entry; done once it is durable.
    fn keep(&self, entry: Delivered) -> BoxFuture<'_, Result<(), Fault>>;
}

/// The wall clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> ReceiveTime;
}

/// A change as every wire of ours says it, in JSON.
pub type NativeJson = fn(&Change, ChangeKind) -> serde_json::Value;

/// What rules say of themselves.
pub trait Tags: Send + Sync {
    /// Tags of a version of a rule, as `attack.t1110.001`; none where it is not known any more.
    fn tags(&self, rule: &str, version: RuleVersion) -> Vec<String>;
}
