//! What the web needs to try changes of rules before they are made.

use weir_schema::{AlertId, AlertState, EventTime, GroupField, Level, RuleId, Span, WhatIfId};

use super::{PortError, PutRule};

/// Changes of rules to try: removals first, then what is put.
#[derive(Clone, Debug, Default)]
pub struct WhatIfAsk {
    /// YAML documents of Sigma; may be empty.
    pub text: String,
    pub origin: String,
    /// Ids of rules.
    pub remove: Vec<String>,
    /// How far before the watermark the rules that are put begin; else at it.
    pub backfill: Option<Span>,
}

/// One of its changes.
#[derive(Clone, Debug)]
pub struct WhatIfChange {
    pub removes: bool,
    pub rule: String,
}

/// How far the past is read again for rules that are new.
#[derive(Clone, Copy, Debug)]
pub struct BackfillInfo {
    pub epoch: u64,
    pub batches: u64,
    pub batches_total: u64,
    pub events: u64,
    pub events_per_second: f64,
}

/// A what-if as a listing shows it.
#[derive(Clone, Debug)]
pub struct WhatIfInfo {
    pub id: WhatIfId,
    /// `deriving`, `running`, `overtaken` or `refused`.
    pub state: &'static str,
    pub changes: Vec<WhatIfChange>,
    pub since: EventTime,
    /// Whether it began with what correlations hold, without a look at the journal.
    pub from_facts: bool,
    pub progress: Option<BackfillInfo>,
    pub gained: usize,
    pub lost: usize,
    pub changed: usize,
    /// Alerts that would be the same under another version of their rule, and that would not change.
    pub restated: usize,
    pub same: usize,
    /// Facts that came since, and those among them that were late.
    pub facts: u64,
    pub late: u64,
    /// Facts and alerts beyond a limit: the difference is incomplete.
    pub limited: u64,
}

/// Which alerts of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIfKind {
    Gained,
    Lost,
    Changed,
}

impl WhatIfKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gained => "gained",
            Self::Lost => "lost",
            Self::Changed => "changed",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Gained, Self::Lost, Self::Changed];
        all.into_iter().find(|kind| kind.name() == text)
    }
}

/// What one side says of an alert.
#[derive(Clone, Debug)]
pub struct WhatIfSide {
    pub key: AlertId,
    pub state: AlertState,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
}

/// An alert that would not be as it is.
#[derive(Clone, Debug)]
pub struct WhatIfRow {
    pub kind: WhatIfKind,
    pub alert: AlertId,
    pub rule: RuleId,
    pub title: String,
    pub level: Option<Level>,
    pub group: Vec<GroupField>,
    pub live: Option<WhatIfSide>,
    pub tried: Option<WhatIfSide>,
}

/// Which alerts of a difference are wanted.
#[derive(Clone, Copy, Debug)]
pub struct WhatIfQuery {
    pub kind: Option<WhatIfKind>,
    /// Alerts behind this one.
    pub after: Option<AlertId>,
    /// At most so many; at least 1.
    pub limit: usize,
}

/// A what-if with a part of its difference, and where the next part starts.
#[derive(Clone, Debug)]
pub struct WhatIfPage {
    pub info: WhatIfInfo,
    pub rows: Vec<WhatIfRow>,
    pub next: Option<AlertId>,
}

/// What-ifs. May block. Writes answer once they are in the journal.
pub trait WhatIfs: Send + Sync {
    fn begin(&self, ask: &WhatIfAsk) -> Result<WhatIfInfo, PutRule>;

    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError>;

    fn get(&self, id: WhatIfId, query: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError>;

    /// Makes its changes; `None` where there is no such what-if. Refused where it does not run.
    fn promote(&self, id: WhatIfId) -> Result<Option<WhatIfInfo>, PutRule>;

    /// `false` where there is no such what-if.
    fn end(&self, id: WhatIfId) -> Result<bool, PortError>;
}
