//! Texts for people: the rule of a row and the values of its group, looked up on demand.

use std::collections::BTreeMap;

use weir_detect::{BookUpdate, EventOrigin, RuleBook};
use weir_schema::{
    AlertRow, Batch, Condition, ConditionKind, Control, Epoch, Event, EventTime, EvidenceItem,
    GroupField, GroupKey, Level, PlanId, RuleId, TimeBounds,
};

use crate::decode::BatchContext;
use crate::source_problem::SourceProblem;
use crate::sources::{SourceId, host_key, inner_host};

/// The rules in force, from which the texts of alert rows are looked up.
///
/// No text travels through the dataflow: rows carry only hashes.
pub struct AlertTexts {
    book: RuleBook,
    bounds: TimeBounds,
    time_field: Option<String>,
    /// The newest entry about each condition. Rows change in the epoch of their entry, so older
    /// ones are not needed: at [`CONDITIONS_MAX`] the map is emptied.
    conditions: BTreeMap<(PlanId, GroupKey), Condition>,
}

/// Entries about conditions whose texts are kept.
const CONDITIONS_MAX: usize = 1_024;

/// The texts of a row's plan.
#[derive(Clone, Debug)]
pub struct PlanText {
    pub rule: RuleId,
    /// Title and level of the version in force; `None` if the row has an older version.
    pub current: Option<(String, Level)>,
}

impl AlertTexts {
    #[must_use]
    pub fn new(time_field: Option<String>) -> Self {
        Self {
            book: RuleBook::new(),
            bounds: TimeBounds::default(),
            time_field,
            conditions: BTreeMap::new(),
        }
    }

    /// Applies a control entry. The first worker reports its diagnostics, not the caller.
    pub fn apply(&mut self, control: &Control) -> BookUpdate {
        if let Control::Start { bounds, .. } = control {
            self.bounds = *bounds;
        }
        if let Control::Condition(condition) = control {
            if self.conditions.len() >= CONDITIONS_MAX {
                self.conditions.clear();
            }
            let kind = condition.kind;
            let key = (kind.plan(), kind.group(&condition.subject));
            self.conditions.insert(key, condition.clone());
        }
        self.book.apply(control)
    }

    /// The texts of the plan of `row`; `None` if the plan was removed.
    #[must_use]
    pub fn plan(&self, row: &AlertRow) -> Option<PlanText> {
        if let Some(kind) = condition_kind(row) {
            let condition = self.conditions.get(&(row.plan, row.group));
            let title = condition.map_or_else(|| kind.title().to_owned(), Condition::title);
            return Some(PlanText {
                rule: kind.rule_id(),
                current: Some((title, kind.level())),
            });
        }
        if let Some(problem) = source_problem(row) {
            return Some(PlanText {
                rule: problem.rule_id(),
                current: Some((problem.title().to_owned(), problem.level())),
            });
        }
        let plan = self.book.plan(row.plan)?;
        let same = plan.version == row.version;
        Some(PlanText {
            rule: plan.rule.clone(),
            current: same.then(|| (plan.title.clone(), plan.level)),
        })
    }

    /// The values of the group of `row`, decoded again from an event of its evidence.
    #[must_use]
    pub fn group(&self, row: &AlertRow, item: &EvidenceItem, batch: &Batch) -> Vec<GroupField> {
        if source_problem(row).is_some() {
            return self.source_group(row, item, batch);
        }
        let Some(event) = self.decode(item, batch) else {
            return Vec::new();
        };
        let origin = EventOrigin {
            tenant: row.tenant,
            source: &batch.source,
        };
        self.book
            .group_fields(row.plan, &event, origin, row.group)
            .unwrap_or_default()
    }

    /// The group of a row about a source: its name, and the host that the row is about.
    fn source_group(&self, row: &AlertRow, item: &EvidenceItem, batch: &Batch) -> Vec<GroupField> {
        let field = |name: &str, value: &str| GroupField {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let mut group = vec![field("source", &batch.source)];
        let event = self.decode(item, batch);
        let host = event
            .as_ref()
            .and_then(|event| inner_host(event, &batch.source));
        if let Some(host) = host {
            let id = SourceId {
                tenant: row.tenant,
                source: batch.source_key(),
                host: Some(host_key(&host)),
            };
            group.extend((id.group() == row.group).then(|| field("host", &host)));
        }
        group
    }

    /// The time that an event states, whether or not it is credible.
    #[must_use]
    pub fn stated_time(&self, item: &EvidenceItem, batch: &Batch) -> Option<EventTime> {
        let event = self.decode(item, batch)?;
        match event.time_mark() {
            Some(_) => event.stated,
            None => Some(event.time),
        }
    }

    fn decode<'b>(&self, item: &EvidenceItem, batch: &'b Batch) -> Option<Event<'b>> {
        let frame = batch.frames.get(usize::from(item.position.frame()))?;
        let frames = BatchContext::of(batch, &self.bounds, self.time_field.as_deref());
        Some(weir_parse::decode(frame, &frames.context()))
    }

    /// The group of a row about a condition, which has no evidence; `None` for all others.
    #[must_use]
    pub fn condition_group(&self, row: &AlertRow) -> Option<Vec<GroupField>> {
        let kind = condition_kind(row)?;
        let condition = self.conditions.get(&(row.plan, row.group));
        let named = condition.filter(|condition| !condition.subject.is_empty());
        let field = named.map(|condition| GroupField {
            name: kind.subject_name().to_owned(),
            value: condition.subject.clone(),
        });
        Some(field.into_iter().collect())
    }

    /// The rules, for explanations and listings.
    #[must_use]
    pub fn book(&self) -> &RuleBook {
        &self.book
    }
}

/// The condition that a row is about. Built-in rules have epoch 0, which no other plan has.
fn condition_kind(row: &AlertRow) -> Option<ConditionKind> {
    let built_in = row.plan_epoch == Epoch(0);
    built_in.then(|| ConditionKind::from_plan(row.plan))?
}

/// The problem of a source that a row is about.
fn source_problem(row: &AlertRow) -> Option<SourceProblem> {
    let built_in = row.plan_epoch == Epoch(0);
    built_in.then(|| SourceProblem::from_plan(row.plan))?
}
