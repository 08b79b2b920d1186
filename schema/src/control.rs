//! Control entries of the journal: everything besides events that changes results.

use serde::{Deserialize, Serialize};

use crate::clock::{ClockJump, ClockRepair};
use crate::condition::Condition;
use crate::id::{AlertId, Epoch, WhatIfId};
use crate::time::{EventTime, ReceiveTime, Span};

/// A change to rules, settings or clocks. An epoch's control entries apply before its batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Written at every start, because version and bounds affect results.
    Start {
        /// Version of the binary.
        version: String,
        bounds: TimeBounds,
        received: ReceiveTime,
    },
    /// The wall clock. It lets idle sources release the watermark, since no operator reads a clock.
    Tick { received: ReceiveTime },
    /// A source declares that it has nothing older than `time` to send.
    Heartbeat {
        tenant: String,
        source: String,
        time: EventTime,
    },
    /// Adds a rule, or replaces the rule with the same id. `text` is one YAML document of Sigma.
    RulePut {
        text: String,
        /// Origin of the text, for diagnostics.
        origin: String,
        /// The rule does not see earlier events.
        since: EventTime,
    },
    /// Stops a rule at `until`; its alerts stand.
    RuleDisable { rule: String, until: EventTime },
    /// As [`Control::RuleDelete`] with `since` before all events; earlier versions wrote it.
    RuleRemove { rule: String },
    /// Input ends: the watermark advances to the greatest credible event time.
    Finish,
    /// Replaces the settings that change how rules read events.
    Settings {
        /// A small JSON document: placeholders, and texts of log source mappings.
        text: String,
        /// Earlier events are read under the previous settings.
        since: EventTime,
    },
    /// Tries rule changes beside the live rules. Their alerts stay separate until the what-if is
    /// promoted or dropped.
    WhatIfPut {
        id: WhatIfId,
        /// In the order in which they would apply.
        changes: Vec<RuleChange>,
        /// The rules that the changes add see events from here on.
        since: EventTime,
        /// Whether earlier events may be read again from the journal. Otherwise a what-if that
        /// retained correlation state cannot answer is refused.
        from_journal: bool,
    },
    /// Applies the changes of a what-if as of the time when it was added.
    WhatIfPromote { id: WhatIfId },
    /// Ends a what-if without any change to the live rules.
    WhatIfDrop { id: WhatIfId },
    /// A sink's progress, so that a rebuilt store does not send twice. Affects no result.
    Delivered(SinkProgress),
    /// Thresholds for alerts about sources. Written at every start; replaces the previous ones.
    SelfAlerts(SourceBounds),
    /// A condition of Weir itself began, changed or ended. Raises and retracts an alert.
    Condition(Condition),
    /// The reading number of the binary. Written at every start, after [`Control::Start`]; a start
    /// without it has number 0. Affects no row: the ledger is compared with it.
    Reading { number: u32 },
    /// The sources that hold the watermark from their first event on. Written at every start;
    /// replaces the previous ones.
    WatermarkHolders(Vec<WatermarkHolder>),
    /// The wall clock of the server jumped. Affects no row: receive times do not follow the jump.
    ClockJump(ClockJump),
    /// Receive times of earlier entries were wrong. Readers apply it before they read the journal.
    ClockRepair(ClockRepair),
    /// Stops a rule at `until` as [`Control::RuleDisable`] does, because it held up all others.
    /// Decided by a live server from its measurements, never during a replay; a later
    /// [`Control::RulePut`] of the rule ends it.
    RuleSuspend {
        rule: String,
        until: EventTime,
        /// The share of the workers' time that the rule took, in thousandths.
        share_permille: u32,
        received: ReceiveTime,
    },
    /// The next `controls` entries of this epoch take effect at the begin of the epoch `from`, before
    /// all else in it, and not here: see [`crate::AheadControls`].
    Ahead { from: Epoch, controls: u32 },
    /// Removes a rule that was wrong, and retracts all of its alerts. The rules that only it read
    /// raise alerts by themselves from `since` on.
    RuleDelete { rule: String, since: EventTime },
}

/// A source that holds the watermark of its tenant from its first event on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkHolder {
    pub tenant: String,
    pub source: String,
}

/// One rule change of a what-if.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleChange {
    /// As [`Control::RulePut`].
    Put { text: String, origin: String },
    /// As [`Control::RuleDelete`].
    Remove { rule: String },
}

impl RuleChange {
    /// The entry that applies this change as of `since`.
    #[must_use]
    pub fn control(&self, since: EventTime) -> Control {
        match self {
            Self::Put { text, origin } => Control::RulePut {
                text: text.clone(),
                origin: origin.clone(),
                since,
            },
            Self::Remove { rule } => Control::RuleDelete {
                rule: rule.clone(),
                since,
            },
        }
    }
}

/// Limits on event time. Spans in nanoseconds; see `docs/ARCHITECTURE.md`, "Time".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeBounds {
    /// How far the watermark runs behind the greatest event time of a source.
    pub lateness: Span,
    /// How far behind the watermark an event may still correct results. `None`: no limit.
    pub horizon: Option<Span>,
    /// A source that sent nothing for this long no longer holds the watermark.
    pub idle: Span,
    /// An event whose time is this far after its receipt has a problem and enters no correlation.
    pub future_tolerance: Span,
    /// A source this far behind the furthest source no longer holds the watermark.
    pub lag_max: Span,
    /// Whether the watermark moves before input ends; false for a replay without a horizon.
    pub live: bool,
}

impl Default for TimeBounds {
    fn default() -> Self {
        Self {
            lateness: Span::seconds(60),
            horizon: Some(Span::seconds(24 * 3600)),
            idle: Span::seconds(300),
            future_tolerance: Span::seconds(300),
            lag_max: Span::seconds(3600),
            live: true,
        }
    }
}

/// Thresholds for alerts about sources. A span or factor of 0 disables its alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceBounds {
    /// Silent: sent nothing for this long, after sending for at least as long.
    pub silent: Span,
    /// Lagging: the newest events are this far behind the furthest source of the tenant.
    pub lagging: Span,
    /// Flooding: sends this many times its usual number of events a minute ...
    pub flooding: u32,
    /// ... and at least this many events a minute.
    pub flooding_events_min: u64,
    /// Clock skew: event times are this far after their receipt.
    pub clock_skew: Span,
    /// How long a source must lag, or be skewed, before an alert is raised.
    pub duration_min: Span,
}

impl SourceBounds {
    /// Whether any alert can be raised.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.silent.0 > 0 || self.lagging.0 > 0 || self.flooding > 0 || self.clock_skew.0 > 0
    }
}

/// The changes to a sink's state since its previous entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkProgress {
    /// Name of the sink, from configuration.
    pub sink: String,
    /// Outbox rows up to `(epoch, ordinal)` are delivered, except those of undelivered alerts.
    pub epoch: Epoch,
    pub ordinal: u32,
    /// Alerts that became undelivered, or whose state changed, since the previous entry.
    pub undelivered: Vec<UndeliveredAlert>,
    /// Alerts that are no longer undelivered.
    pub cleared: Vec<AlertId>,
    /// Why the sink sends nothing until a person resumes it.
    pub stop_reason: Option<String>,
}

/// An alert with outbox rows that a sink has not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndeliveredAlert {
    pub alert: AlertId,
    /// The alert's first undelivered outbox row is `(epoch, ordinal)`.
    pub epoch: Epoch,
    pub ordinal: u32,
    /// When the sink first tried to send that row, or read it.
    pub since: ReceiveTime,
    /// Why the sink gave up; the alert is then a dead letter.
    pub dead_reason: Option<String>,
}
