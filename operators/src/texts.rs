//! Texts for people: the rule of a row and the values of its group, looked up on demand.

use weir_detect::{BookUpdate, RuleBook};
use weir_schema::{AlertRow, Batch, Control, EvidenceItem, GroupField, Level, RuleId, TimeBounds};

use crate::decode::BatchContext;
use crate::source_problem::SourceProblem;

/// The rules in force, from which the texts of alert rows are looked up.
///
/// No text travels through the dataflow: rows carry only hashes.
pub struct AlertTexts {
    book: RuleBook,
    bounds: TimeBounds,
    time_field: Option<String>,
}

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
        }
    }

    /// Applies a control entry. The first worker reports its diagnostics, not the caller.
    pub fn apply(&mut self, control: &Control) -> BookUpdate {
        if let Control::Start { bounds, .. } = control {
            self.bounds = *bounds;
        }
        self.book.apply(control)
    }

    /// The texts of the plan of `row`; `None` if the plan was removed.
    #[must_use]
    pub fn plan(&self, row: &AlertRow) -> Option<PlanText> {
        if let Some(problem) = SourceProblem::from_plan(row.plan) {
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
        if SourceProblem::from_plan(row.plan).is_some() {
            return vec![GroupField {
                name: "source".to_owned(),
                value: batch.source.clone(),
            }];
        }
        let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
            return Vec::new();
        };
        let frames = BatchContext::of(batch, &self.bounds, self.time_field.as_deref());
        let event = weir_parse::decode(frame, &frames.context());
        self.book
            .group_fields(row.plan, &event, row.tenant, row.group)
            .unwrap_or_default()
    }

    /// The rules, for explanations and listings.
    #[must_use]
    pub fn book(&self) -> &RuleBook {
        &self.book
    }
}
