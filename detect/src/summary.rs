//! A rule in short, for lists and tools.

use weir_schema::{EventTime, Level, LogSource, PlanKind, RuleId, RuleVersion};

use crate::document::Body;
use crate::plans::{Catalog, Entry};

/// What a rule is.
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

/// The current version of a rule, in short.
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
    /// Whether it raises alerts of its own: not where a correlation reads it without `generate`,
    /// nor where a correlation waits for its rules, nor where a placeholder has no value.
    pub alerts: bool,
    /// Correlations that read it.
    pub referenced_by: Vec<RuleId>,
    /// Filters that are for it, in order of id.
    pub filters: Vec<RuleId>,
    pub tags: Vec<String>,
    /// Names of all fields that it reads, in order, as the rule writes them.
    pub fields: Vec<String>,
    /// What it states; `None` for a correlation.
    pub logsource: Option<LogSource>,
    pub status: Option<String>,
    pub falsepositives: Vec<String>,
    /// Where its text came from.
    pub origin: String,
}

pub(crate) fn summary(catalog: &Catalog, id: &RuleId, entry: &Entry) -> Option<RuleSummary> {
    let current = entry.current()?;
    let document = &current.document;
    let kind = match &document.body {
        Body::Rule(..) => RuleKind::Event,
        Body::Filter(_) => RuleKind::Filter,
        Body::Correlation(correlation) => match correlation.kind {
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
    let about = &document.about;
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
        tags: about.tags.clone(),
        fields: about.fields.clone(),
        logsource: about.logsource.clone(),
        status: about.status.clone(),
        falsepositives: about.falsepositives.clone(),
        origin: document.origin.clone(),
    })
}
