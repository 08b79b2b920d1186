//! Text for people: what a plan is called, and what a group's values are, looked up where they are read.

use weir_detect::{Applied, RuleBook};
use weir_schema::{AlertRow, Batch, Control, EvidenceItem, GroupField, Level, RuleId, TimeBounds};

use crate::decode::Reading;
use crate::sources::Trouble;

/// The rules as they stand, for looking up what a row of the dataflow means.
pub struct Texts {
    book: RuleBook,
    bounds: TimeBounds,
    time_field: Option<String>,
}

/// What a row's plan is called.
#[derive(Clone, Debug)]
pub struct PlanText {
    pub rule: RuleId,
    /// Title and level of the version in force; `None` where the row has an older version.
    pub current: Option<(String, Level)>,
}

impl Texts {
    #[must_use]
    pub fn new(time_field: Option<String>) -> Self {
        Self {
            book: RuleBook::new(),
            bounds: TimeBounds::default(),
            time_field,
        }
    }

    /// Follows the journal; diagnostics are the first worker's to report.
    pub fn apply(&mut self, control: &Control) -> Applied {
        if let Control::Start { bounds, .. } = control {
            self.bounds = *bounds;
        }
        self.book.apply(control)
    }

    /// What the plan of `row` is called; `None` once it is removed.
    #[must_use]
    pub fn plan(&self, row: &AlertRow) -> Option<PlanText> {
        if let Some(trouble) = Trouble::of_plan(row.plan) {
            return Some(PlanText {
                rule: trouble.rule_id(),
                current: Some((trouble.title().to_owned(), trouble.level())),
            });
        }
        let plan = self.book.plan(row.plan)?;
        let same = plan.version == row.version;
        Some(PlanText {
            rule: plan.rule.clone(),
            current: same.then(|| (plan.title.clone(), plan.level)),
        })
    }

    /// The values of the group of `row`, read again from an event that it rests on.
    #[must_use]
    pub fn group(&self, row: &AlertRow, item: &EvidenceItem, batch: &Batch) -> Vec<GroupField> {
        if Trouble::of_plan(row.plan).is_some() {
            return vec![GroupField {
                name: "source".to_owned(),
                value: batch.source.clone(),
            }];
        }
        let Some(frame) = batch.frames.get(usize::from(item.position.frame())) else {
            return Vec::new();
        };
        let reading = Reading::of(batch, &self.bounds, self.time_field.as_deref());
        let event = weir_parse::decode(frame, &reading.context());
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
