//! The port to alerts: the ledger and the outbox, for reading.

use std::sync::Arc;

use tokio::sync::watch;
use weir_schema::outbox::{AlertHistory, Cursor, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Change, ChangeKind, EvidenceItem, Level, ReceiveTime, RuleId, Weight,
};

use super::PortError;

/// Selects alerts by their standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandingFilter {
    #[default]
    Standing,
    Retracted,
    All,
}

/// Selects the alerts of a listing. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuery {
    pub standing: StandingFilter,
    /// The lowest level to include.
    pub level_min: Option<Level>,
    pub rule: Option<String>,
    pub tenant: Option<String>,
    /// Group fields, each with its name and exact value.
    pub group: Vec<(String, String)>,
    /// Only alerts with a greater id; listings are in order of ids.
    pub after: Option<AlertId>,
    /// Maximum number of alerts, at least 1.
    pub limit: usize,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct AlertPage {
    /// May be shorter than the limit, or empty, although another page follows.
    pub items: Vec<AlertRecord>,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<AlertId>,
}

/// The rule, clauses and events behind an alert.
#[derive(Clone, Debug)]
pub struct AlertExplanation {
    pub record: AlertRecord,
    /// The rule's condition on a group, as text: `event_count >= 5 within 60s by host`.
    pub condition: String,
    /// Text of the rule version that the record names; `None` if it is no longer known.
    pub rule_text: Option<String>,
    /// The events of the record's evidence, in order.
    pub events: Vec<ExplainedEvent>,
    /// The event that caused the last change; it need not be evidence. `None` for other causes.
    pub cause: Option<ExplainedEvent>,
}

/// An event of an explanation, with its raw bytes and the clauses that it matched.
#[derive(Clone, Debug)]
pub struct ExplainedEvent {
    pub item: EvidenceItem,
    pub received: ReceiveTime,
    pub source: String,
    pub peer: Option<String>,
    /// The frame as received; `None` if the journal no longer has it.
    pub raw: Option<Vec<u8>>,
    /// The number of events for which its line stands.
    pub weight: Weight,
    pub clauses: Vec<MatchedClause>,
}

/// A clause of a detection with the value that it matched.
#[derive(Clone, Debug)]
pub struct MatchedClause {
    /// The rule of the detection: the alert's own, or a member of its correlation.
    pub rule: RuleId,
    /// As the rule's author wrote it: `selection.Image|endswith: /sh`.
    pub clause: String,
    pub field: Option<String>,
    pub value: Option<String>,
}

/// Reads the ledger and the outbox. Methods may block, so they run on blocking threads only.
pub trait Alerts: Send + Sync {
    /// Lists alerts in order of their ids.
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, PortError>;

    /// Returns an alert with every stored change, oldest first.
    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError>;

    /// Explains an alert.
    fn explain(&self, id: AlertId) -> Result<Option<AlertExplanation>, PortError>;

    /// Returns the newest stored change of an alert below `revision`.
    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError>;

    /// Reads at most `limit` rows behind `after`, in order. Every returned row is durable.
    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError>;

    /// Returns the cursor of the last row; [`Cursor::START`] for an empty outbox.
    fn latest(&self) -> Result<Cursor, PortError>;
}

impl AlertHistory for dyn Alerts + '_ {
    type Error = PortError;

    fn previous_revision(
        &self,
        alert: AlertId,
        revision: u64,
    ) -> Result<Option<Change>, PortError> {
        Alerts::previous(self, alert, revision)
    }
}

/// Signals that the outbox has grown.
pub trait OutboxSignal: Send + Sync {
    /// Returns a counter that increases once new rows are readable. Streams end when it closes.
    fn subscribe(&self) -> watch::Receiver<u64>;
}

/// Formats a change as an OCSF finding of the given kind.
pub type FindingWriter = Arc<dyn Fn(&Change, ChangeKind) -> serde_json::Value + Send + Sync>;
