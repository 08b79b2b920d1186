//! Summaries of rules, for lists and tools.

use weir_schema::{EventTime, Level, LogSource, PlanKind, RuleId, RuleVersion};

use crate::book::catalog::{Catalog, RuleEntry};
use crate::sigma::document::RuleBody;

/// The kind of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// Matches single events.
    Event,
    EventCount,
    Temporal,
    TemporalOrdered,
    ValueCount,
    /// A sum, an average or a percentile.
    Value,
    NotFollowed,
    Silence,
    /// Adds to the conditions of other rules.
    Filter,
}

/// A summary of the current version of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSummary {
    pub id: RuleId,
    pub name: Option<String>,
    pub title: String,
    pub level: Level,
    pub version: RuleVersion,
    pub since: EventTime,
    pub until: EventTime,
    pub kind: RuleKind,
    /// Whether it raises alerts of its own.
    ///
    /// It does not if a correlation reads it without `generate`, if it is a correlation that waits
    /// for its rules, or if one of its placeholders has no value.
    pub alerts: bool,
    /// Correlations that read it.
    pub referenced_by: Vec<RuleId>,
    /// Filters that apply to it, in order of id.
    pub filters: Vec<RuleId>,
    pub tags: Vec<String>,
    /// Names of all fields that it reads, in order, as the rule writes them.
    pub fields: Vec<String>,
    /// The log source that it states; `None` for a correlation.
    pub logsource: Option<LogSource>,
    pub status: Option<String>,
    pub falsepositives: Vec<String>,
    /// Origin of its text.
    pub origin: String,
}

/// Summarizes a rule; `None` if it has no version.
pub(crate) fn summary(catalog: &Catalog, id: &RuleId, entry: &RuleEntry) -> Option<RuleSummary> {
    let current = entry.current()?;
    let document = &current.document;
    let kind = match &document.body {
        RuleBody::Rule(..) => RuleKind::Event,
        RuleBody::Filter(_) => RuleKind::Filter,
        RuleBody::Correlation(correlation) => match correlation.kind {
            PlanKind::EventCount { .. } => RuleKind::EventCount,
            PlanKind::Temporal { .. } => RuleKind::Temporal,
            PlanKind::TemporalOrdered { .. } => RuleKind::TemporalOrdered,
            PlanKind::ValueCount { .. } => RuleKind::ValueCount,
            PlanKind::Value { .. } => RuleKind::Value,
            PlanKind::NotFollowed { .. } => RuleKind::NotFollowed,
            PlanKind::Silence => RuleKind::Silence,
        },
    };
    let last = entry.plans.last();
    let metadata = &document.metadata;
    Some(RuleSummary {
        id: id.clone(),
        name: document.name.clone(),
        title: document.title.clone(),
        level: document.level,
        version: document.version,
        since: current.since,
        until: current.until,
        kind,
        alerts: last.is_some_and(|live| live.plan.until == current.until),
        referenced_by: catalog.readers(id).into_iter().collect(),
        filters: catalog.filters_of(document).into_iter().cloned().collect(),
        tags: metadata.tags.clone(),
        fields: metadata.fields.clone(),
        logsource: metadata.logsource.clone(),
        status: metadata.status.clone(),
        falsepositives: metadata.falsepositives.clone(),
        origin: document.origin.clone(),
    })
}
