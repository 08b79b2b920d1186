//! The port to what-ifs: changes of rules that are tried before they are made.

use weir_schema::{AlertId, AlertState, EventTime, GroupField, Level, RuleId, Span, WhatIfId};

use super::{PortError, RuleUpdateError};

/// The changes to try: rules are removed first, then added.
#[derive(Clone, Debug, Default)]
pub struct WhatIfRequest {
    /// Sigma rules as YAML documents; may be empty.
    pub text: String,
    pub origin: String,
    /// Ids of the rules to remove.
    pub remove: Vec<String>,
    /// How far before the watermark the added rules start; `None`: at the watermark.
    pub backfill: Option<Span>,
}

/// A change that a what-if tries.
#[derive(Clone, Debug)]
pub struct WhatIfChange {
    pub removes: bool,
    pub rule: String,
}

/// The progress of a backfill.
#[derive(Clone, Copy, Debug)]
pub struct BackfillInfo {
    pub epoch: u64,
    pub batches: u64,
    pub batches_total: u64,
    pub events: u64,
    pub events_per_second: f64,
}

/// A what-if in a listing.
#[derive(Clone, Debug)]
pub struct WhatIfInfo {
    pub id: WhatIfId,
    /// `deriving`, `running`, `overtaken` or `refused`.
    pub state: &'static str,
    pub changes: Vec<WhatIfChange>,
    pub since: EventTime,
    /// Whether it started from the facts of the correlations instead of the journal.
    pub from_facts: bool,
    pub progress: Option<BackfillInfo>,
    pub gained: usize,
    pub lost: usize,
    pub changed: usize,
    /// Alerts that would differ only in the version of their rule.
    pub restated: usize,
    /// Alerts that would not change.
    pub same: usize,
    /// Facts that arrived since the what-if began.
    pub facts: u64,
    /// Those of them that were late.
    pub late: u64,
    /// Facts and alerts beyond a limit; above 0 the difference is incomplete.
    pub limited: u64,
}

/// How a what-if would change an alert.
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

/// An alert as one of the two sides has it.
#[derive(Clone, Debug)]
pub struct WhatIfSide {
    pub key: AlertId,
    pub state: AlertState,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
}

/// An alert that the what-if would add, remove or change.
#[derive(Clone, Debug)]
pub struct WhatIfRow {
    pub kind: WhatIfKind,
    pub alert: AlertId,
    pub rule: RuleId,
    pub title: String,
    pub level: Option<Level>,
    pub group: Vec<GroupField>,
    /// The alert as it is; `None` if it would be gained.
    pub live: Option<WhatIfSide>,
    /// The alert under the changes; `None` if it would be lost.
    pub shadow: Option<WhatIfSide>,
}

/// Selects the alerts of a difference.
#[derive(Clone, Copy, Debug)]
pub struct WhatIfQuery {
    pub kind: Option<WhatIfKind>,
    /// Only alerts with a greater id.
    pub after: Option<AlertId>,
    /// Maximum number of alerts, at least 1.
    pub limit: usize,
}

/// A what-if with one page of its difference.
#[derive(Clone, Debug)]
pub struct WhatIfPage {
    pub info: WhatIfInfo,
    pub rows: Vec<WhatIfRow>,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<AlertId>,
}

/// Reads and changes what-ifs. Methods may block; changes return once journaled.
pub trait WhatIfPort: Send + Sync {
    /// Starts a what-if.
    fn begin(&self, request: &WhatIfRequest) -> Result<WhatIfInfo, RuleUpdateError>;

    /// Lists all what-ifs.
    fn list(&self) -> Result<Vec<WhatIfInfo>, PortError>;

    /// Returns a page of a what-if's difference; `None` if there is no such what-if.
    fn get(&self, id: WhatIfId, query: WhatIfQuery) -> Result<Option<WhatIfPage>, PortError>;

    /// Makes the changes of a what-if; `None` if there is none. Refused unless it is running.
    fn promote(&self, id: WhatIfId) -> Result<Option<WhatIfInfo>, RuleUpdateError>;

    /// Drops a what-if. Returns `false` if there is no such what-if.
    fn end(&self, id: WhatIfId) -> Result<bool, PortError>;
}
