//! Alerts: rows, evidence, and the changes that an epoch makes to them.

use serde::{Deserialize, Serialize};

use crate::id::{
    AlertId, Epoch, EventId, GroupKey, PlanId, Position, RuleId, RuleVersion, TenantKey,
};
use crate::rule::Level;
use crate::time::{EventTime, ReceiveTime};
use crate::time_mark::{MarkedTimes, TimeMark};

/// How certain an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlertState {
    /// No event ahead of the watermark can retract it.
    Confirmed,
    /// The watermark has not reached its first firing anchor, and the rule is not monotone.
    Provisional,
    /// It merged with an alert that was raised earlier. Records only: such an alert has no row.
    SupersededBy(AlertId),
    /// A rule about silence cannot decide, because the source itself has sent nothing.
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
    /// The position of its frame in the journal; the earliest one if the frame is there twice.
    pub position: Position,
}

/// The first event of an alert that has a mark. All marked events of a group have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MarkedEvent {
    pub mark: TimeMark,
    pub item: EvidenceItem,
}

/// The first and last events of an episode, in order of (time, id), each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// The first [`Evidence::ITEMS_MAX`] events.
    pub head: Vec<EvidenceItem>,
    /// The last [`Evidence::ITEMS_MAX`] events that are not in `head`.
    pub tail: Vec<EvidenceItem>,
}

impl Evidence {
    /// Most events of `head`, and of `tail`.
    pub const ITEMS_MAX: usize = 50;
}

/// The cause of a change of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// An event ahead of the watermark.
    Event(EvidenceItem),
    /// An event behind the watermark.
    LateEvent(EvidenceItem),
    /// The watermark passed its first firing anchor.
    Watermark(EventTime),
    /// A version of its rule was activated.
    Rule(RuleVersion),
    /// Its rule was removed.
    RuleRemoved,
    /// The clock of receipt reached this time without an expected event.
    Clock(ReceiveTime),
    /// A condition of Weir itself was reported at this time. As the cause of a retraction: it is
    /// over, and was true while it lasted.
    Condition(ReceiveTime),
    /// Weir was upgraded, and reads earlier events otherwise: see [`crate::READING_NUMBER`].
    Upgrade,
    /// Receive times of earlier events were repaired: see [`crate::ClockRepair`].
    ClockRepair,
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
            Self::Condition(_) => "condition",
            Self::Upgrade => "upgrade",
            Self::ClockRepair => "clock_repair",
        }
    }
}

/// An alert as it stands at an epoch, one per episode. A row of the dataflow; it holds no text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertRow {
    /// The key under which it was first raised.
    pub alert: AlertId,
    /// The current key of its episode.
    pub key: AlertId,
    pub plan: PlanId,
    /// The epoch in which its plan was activated. If a removed plan returns, its former alerts
    /// stay retracted.
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
    /// A limit was reached: the count is a lower bound, and the alert may differ between runs.
    pub limited: bool,
    /// Alerts that merged into this one, which was raised before them.
    pub supersedes: Vec<AlertId>,
    pub evidence: Evidence,
    pub cause: Cause,
    /// The first of its events that has a mark, if any.
    pub marked: Option<MarkedEvent>,
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

/// An alert with its texts, as people read it. The ledger stores the current record of each alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    pub alert: AlertId,
    pub key: AlertId,
    /// The last stored revision, from 1.
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
    /// Alerts that merged into this one.
    pub supersedes: Vec<AlertId>,
    pub evidence: Evidence,
    pub cause: Cause,
    /// The mark of its events, if any has one. It is the last field, and stored only if it is there:
    /// ledgers of earlier versions have no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked: Option<MarkedTimes>,
}

/// One stored revision of an alert, as streams emit it. `(alert, revision)` identifies it forever.
///
/// A revision is stored for a raise, retraction, merge or split, for a change of key, state, level
/// or version, and when the count passes a power of two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub epoch: Epoch,
    /// Place among the changes of its epoch, from 0, in order of (alert, revision).
    pub ordinal: u32,
    /// Alerts that merged into this one in this change.
    pub supersedes: Vec<AlertId>,
    /// The alert after the change. For a retraction: as it stood before, with the retraction's
    /// cause.
    pub record: AlertRecord,
}

/// All changes of one epoch to the ledger, applied atomically.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub epoch: Epoch,
    /// Stored revisions, in order of `ordinal`. They are also the epoch's outbox rows.
    pub changes: Vec<Change>,
    /// Current rows to upsert, in order of alert id.
    pub records: Vec<AlertRecord>,
}
