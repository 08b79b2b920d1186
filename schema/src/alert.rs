//! Alerts: the row that stands, what it rests on, and the changes that led to it.

use serde::{Deserialize, Serialize};

use crate::id::{
    AlertId, Epoch, EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, TenantKey,
};
use crate::rule::Level;
use crate::time::{EventTime, ReceiveTime};

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlertState {
    /// No event ahead of the watermark can withdraw it.
    Confirmed,
    /// The watermark has not reached its first firing anchor, and the rule is not monotone.
    Provisional,
    /// It became one with an alert that was raised earlier. Records only: such an alert has no row.
    SupersededBy(AlertId),
    /// Of a rule about silence: the source that should have spoken has itself not been heard, so
    /// that nothing is known.
    Blind,
}

impl AlertState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Provisional => "provisional",
            Self::SupersededBy(_) => "superseded",
            Self::Blind => "blind",
        }
    }
}

/// One event that an alert rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EvidenceItem {
    pub time: EventTime,
    pub event: EventId,
    /// Where its frame stands in the journal (the earliest, if it came more than once).
    pub position: Position,
}

/// The first and last events of an episode, in order of (time, id); an event stands once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// The first [`Evidence::ITEMS_MAX`] events.
    pub head: Vec<EvidenceItem>,
    /// The last [`Evidence::ITEMS_MAX`] events that are not in `head`.
    pub tail: Vec<EvidenceItem>,
}

impl Evidence {
    pub const ITEMS_MAX: usize = 50;
}

/// What made an alert change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// An event ahead of the watermark.
    Event(EvidenceItem),
    /// An event behind the watermark.
    LateEvent(EvidenceItem),
    /// The watermark passed its first firing anchor.
    Watermark(EventTime),
    /// A version of its rule was put in place.
    Rule(RuleVersion),
    /// Its rule was removed.
    RuleRemoved,
    /// Time went on until then, by the clock of receipt, and something did not come.
    Clock(ReceiveTime),
}

impl Cause {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event(_) => "event",
            Self::LateEvent(_) => "late_event",
            Self::Watermark(_) => "watermark",
            Self::Rule(_) => "rule",
            Self::RuleRemoved => "rule_removed",
            Self::Clock(_) => "clock",
        }
    }
}

/// An alert as it stands at an epoch: one per episode. This is a row of the dataflow; it holds no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertRow {
    /// The key under which it was first said aloud.
    pub alert: AlertId,
    /// The key of its episode as it is now.
    pub key: AlertId,
    pub plan: PlanId,
    /// The epoch in which its plan was put in place. Where a plan that was removed comes back, what
    /// it said before stays gone.
    pub plan_epoch: Epoch,
    pub version: RuleVersion,
    pub tenant: TenantKey,
    pub group: GroupKey,
    pub state: AlertState,
    /// Its first firing anchor.
    pub from: EventTime,
    /// Event time of the first and last member event in the union of its firing windows.
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    /// A limit was reached: the count is a lower bound and the alert leaves the claim of sameness.
    pub limited: bool,
    /// Alerts that became one with this one, which was raised before them.
    pub supersedes: Vec<AlertId>,
    pub evidence: Evidence,
    pub cause: Cause,
}

/// The three things that can happen to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    Raised,
    Revised,
    Retracted,
}

impl ChangeKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Revised => "revised",
            Self::Retracted => "retracted",
        }
    }
}

/// One field of a group, as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupField {
    pub name: String,
    pub value: String,
}

/// An alert as people read it: the row of the dataflow with its texts. The ledger's current row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub alert: AlertId,
    pub key: AlertId,
    /// The last kept revision, from 1.
    pub revision: u64,
    /// False once retracted; the record stays.
    pub standing: bool,
    /// The epoch in which it was first raised.
    pub raised: Epoch,
    pub rule: RuleId,
    pub version: RuleVersion,
    pub title: String,
    pub level: Level,
    /// Name of the tenant.
    pub tenant: String,
    pub group: Vec<GroupField>,
    pub state: AlertState,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    pub limited: bool,
    /// Alerts that became one with this one.
    pub supersedes: Vec<AlertId>,
    pub evidence: Evidence,
    pub cause: Cause,
}

/// One kept revision of an alert, as the stream says it. `(alert, revision)` names it for ever.
///
/// Kept are: raise, retract, merge, split, a change of key, state, level or version, and a count
/// that passes a power of two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub epoch: Epoch,
    /// Place among the changes of its epoch, from 0, in order of (alert, revision).
    pub ordinal: u32,
    /// Alerts that this one swallowed in this change.
    pub supersedes: Vec<AlertId>,
    /// The alert after the change; for a retraction, as it stood before, with the retraction's cause.
    pub record: AlertRecord,
}

/// Everything that one epoch changes in the ledger: applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub epoch: Epoch,
    /// Kept revisions, in order of `ordinal`; they also are what the outbox owes to the world.
    pub changes: Vec<Change>,
    /// Current rows to upsert, in order of alert id.
    pub records: Vec<AlertRecord>,
}
