//! What the web needs of the rest of Weir, as traits; `src/adapters.rs` joins them to it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use weir_schema::said::{Histories, OutboxRows};
use weir_schema::{
    AlertId, AlertRecord, Batch, Change, ChangeKind, EventTime, EvidenceItem, Level, ReceiveTime,
    RuleId, RuleVersion, Span,
};

mod tap;
mod what_if;

pub use tap::{Tap, TapQuery, TapStage, Taps};
pub use weir_schema::said::Cursor;
pub use what_if::{
    BackfillInfo, WhatIfAsk, WhatIfChange, WhatIfInfo, WhatIfKind, WhatIfPage, WhatIfQuery,
    WhatIfRow, WhatIfSide, WhatIfs,
};

/// Why a port could not answer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It will answer later: starting, rebuilding, stopping.
    #[error("not available now: {0}")]
    Unavailable(String),
    /// Another process answers for it.
    #[error("elsewhere: {0}")]
    Elsewhere(String),
    /// It broke; someone has to look.
    #[error("failed: {0}")]
    Failed(String),
}

/// Which alerts a listing wants, by whether they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Standing,
    Retracted,
    All,
}

/// Which alerts a listing wants. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuery {
    pub standing: Standing,
    /// This level or worse.
    pub level_min: Option<Level>,
    pub rule: Option<String>,
    pub tenant: Option<String>,
    /// Group fields by name and exact value.
    pub group: Vec<(String, String)>,
    /// Alerts behind this one, in order of alert id.
    pub after: Option<AlertId>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// A part of a listing, and where the next one starts.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// May be fewer than asked for, or none, where the next page has more.
    pub items: Vec<T>,
    /// What to ask `after` for more; `None` at the end.
    pub next: Option<AlertId>,
}

/// Why an alert stands, or stood: rule, clauses, events.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub record: AlertRecord,
    /// What the rule asks of a group, in words: `event_count >= 5 within 60s by host`.
    pub condition: String,
    /// Text of the rule in the version that speaks, where it is still known.
    pub rule_text: Option<String>,
    /// The events of the record's evidence, in order.
    pub events: Vec<ExplainedEvent>,
    /// The event behind the last change, where it was one; it need not be evidence.
    pub cause: Option<ExplainedEvent>,
}

/// One event with its raw bytes and what matched in it.
#[derive(Clone, Debug)]
pub struct ExplainedEvent {
    pub item: EvidenceItem,
    pub received: ReceiveTime,
    pub source: String,
    pub peer: Option<String>,
    /// The frame as it came; `None` where the journal no longer has it.
    pub raw: Option<Vec<u8>>,
    pub clauses: Vec<MatchedClause>,
}

/// One clause of a detection and the value that it matched.
#[derive(Clone, Debug)]
pub struct MatchedClause {
    /// The rule whose detection it is: the alert's own, or a member of its correlation.
    pub rule: RuleId,
    /// As the rule's author wrote it: `selection.Image|endswith: /sh`.
    pub clause: String,
    pub field: Option<String>,
    pub value: Option<String>,
}

/// The ledger and the outbox, to read. May block: never called on a worker's own thread.
pub trait Alerts: Send + Sync {
    /// Alerts in order of their ids.
    fn list(&self, query: &AlertQuery) -> Result<Page<AlertRecord>, PortError>;

    /// An alert with every kept change, oldest first.
    fn get(&self, id: AlertId) -> Result<Option<(AlertRecord, Vec<Change>)>, PortError>;

    fn explain(&self, id: AlertId) -> Result<Option<Explanation>, PortError>;

    /// The newest kept change of an alert whose revision is below `revision`.
    fn previous(&self, id: AlertId, revision: u64) -> Result<Option<Change>, PortError>;

    /// Rows behind `after`, in order, at most `limit`. A row is here only once it is durable.
    fn outbox(&self, after: Cursor, limit: usize) -> Result<OutboxRows, PortError>;

    /// The last row; [`Cursor::START`] where there is none.
    fn latest(&self) -> Result<Cursor, PortError>;
}

impl Histories for dyn Alerts {
    type Error = PortError;

    fn previous(&self, alert: AlertId, revision: u64) -> Result<Option<Change>, PortError> {
        Alerts::previous(self, alert, revision)
    }
}

/// Says that the outbox has grown.
pub trait Feed: Send + Sync {
    /// A counter that moves after new outbox rows can be read. Its end ends the streams.
    fn subscribe(&self) -> watch::Receiver<u64>;
}

/// Takes events in.
pub trait EventIntake: Send + Sync {
    /// Journals the batches of one request, in order; done once they are durable.
    fn submit(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Accepted, IntakeError>>;
}

/// The batches are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// An earlier request with the same key and body had brought them.
    pub repeated: bool,
}

/// Why batches were not taken in; nothing of them may be relied on.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error("too much is waiting to be journaled")]
    Busy { retry_after: Duration },
    #[error("this idempotency key came before with another body")]
    Conflict,
    #[error("events cannot be taken in now: {reason}")]
    Unavailable { reason: String },
}

/// A rule as a listing shows it.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    pub id: RuleId,
    pub version: RuleVersion,
    pub title: String,
    pub level: Level,
    /// Where its text came from.
    pub origin: String,
    /// Events before it are not seen by this rule.
    pub since: EventTime,
    /// Set once disabled: events from then on are not seen.
    pub until: Option<EventTime>,
    /// Whether it has refused groups, so that it does not say all that it should.
    pub incomplete: bool,
}

/// What is wrong with a rule's text, and where.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The file, or how the text came.
    pub origin: String,
    /// From 1, of the whole file or body.
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub message: String,
    pub hint: Option<String>,
    /// Whether the text is not in force because of it.
    pub refused: bool,
}

/// Why a rule was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum PutRule {
    #[error("the rule's text was refused")]
    Refused(Vec<Diagnostic>),
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The rules in force. May block. Writes answer once they are in the journal.
pub trait Rules: Send + Sync {
    fn list(&self) -> Result<Vec<RuleInfo>, PortError>;

    /// What is wrong with the files that rules are read from.
    fn diagnostics(&self) -> Result<Vec<Diagnostic>, PortError>;

    /// Adds the rules of `text`, replacing those of the same id: all of them, or none.
    fn put(&self, text: &str, origin: &str) -> Result<Vec<RuleInfo>, PutRule>;

    /// As [`Self::put`], where the rules also see events so far before the watermark.
    fn put_back(&self, text: &str, origin: &str, backfill: Span) -> Result<Vec<RuleInfo>, PutRule> {
        let _ = (text, origin, backfill);
        Err(PortError::Unavailable("no backfill is made here".to_owned()).into())
    }

    /// How far the past is read again for rules that are new, where it is.
    fn backfill(&self) -> Option<BackfillInfo> {
        None
    }

    /// Changes that are tried before they are made, where that can be done.
    fn what_ifs(&self) -> Option<&dyn WhatIfs> {
        None
    }

    /// Stops a rule from the watermark on. `false` where there is no such rule.
    fn disable(&self, id: &str) -> Result<bool, PortError>;

    /// Runs a rule again that was disabled or removed here: as its file has it, else as it was put
    /// last. `false` where there is no such rule.
    fn enable(&self, id: &str) -> Result<bool, PutRule>;

    /// Takes a rule back with all of its alerts. `false` where there is no such rule.
    fn remove(&self, id: &str) -> Result<bool, PortError>;
}

/// A sink as a listing shows it.
#[derive(Clone, Debug, Default)]
pub struct SinkInfo {
    pub name: String,
    /// `webhook`, `alertmanager` or `cef`; empty before it has begun, as what follows is.
    pub kind: String,
    /// Where to, without what may be secret in it.
    pub target: String,
    /// `starting`, `running` or `stopped`.
    pub state: &'static str,
    /// Why nothing is sent until a person says so.
    pub stopped: Option<String>,
    /// How far it has read the outbox.
    pub read: Option<Cursor>,
    /// Alerts of which something is owed.
    pub waiting: usize,
    pub waiting_since: Option<ReceiveTime>,
    /// Alerts that were given up.
    pub dead: usize,
    pub last_failure: Option<String>,
}

/// An alert that a sink has given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub alert: AlertId,
    /// The first row that is not delivered, and the last one that follows it.
    pub from: Cursor,
    pub last: Cursor,
    /// How many rows that are.
    pub rows: u64,
    pub since: ReceiveTime,
    pub reason: String,
}

/// The sinks. May block.
pub trait Sinks: Send + Sync {
    fn list(&self) -> Result<Vec<SinkInfo>, PortError>;

    /// What a sink has given up; `None` where there is no such sink.
    fn dead(&self, sink: &str) -> Result<Option<Vec<DeadLetter>>, PortError>;

    /// Sends again what was given up, of one alert or of all: how many alerts that are.
    fn resend(&self, sink: &str, alert: Option<AlertId>) -> Result<Option<usize>, PortError>;

    /// Lets a sink go on that its consumer has stopped. `false` where there is no such sink.
    fn enable(&self, sink: &str) -> Result<bool, PortError>;
}

/// Writes a change as a finding of OCSF, under one of the three words.
pub type Finding = Arc<dyn Fn(&Change, ChangeKind) -> serde_json::Value + Send + Sync>;

/// Whether Weir does its work. Answers from memory, at once.
pub trait Health: Send + Sync {
    /// `Err` says in a few words what is not ready; anyone may read it.
    fn ready(&self) -> Result<(), String>;
}
