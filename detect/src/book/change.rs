//! Changes of plans: the result of applying an entry to the rule book.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{EventTime, Plan, PlanId, RuleId};

use crate::book::live::LivePlan;
use crate::sigma::diagnostic::Diagnostic;

/// The result of applying one entry to the rule book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookUpdate {
    pub diagnostics: Vec<Diagnostic>,
    /// In order of rule id. Within a rule, removals come first, then plans by `since`.
    pub changes: Vec<PlanChange>,
    /// The rules whose plans were derived again.
    pub affected_rules: BTreeSet<RuleId>,
}

impl BookUpdate {
    /// The entry is refused; nothing changes.
    pub(crate) fn refused(diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            diagnostics,
            ..Self::default()
        }
    }
}

/// A change of one plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanChange {
    /// The plan is new, or a known plan gets another version or `until`.
    ///
    /// The plan lacks the facts of earlier events at or after `backfill_from`: all of its facts if
    /// it is new, those since its former end if it grows. `None` if it lacks none.
    Put {
        plan: Plan,
        backfill_from: Option<EventTime>,
    },
    /// The plan and all its results are removed, as if it had never run.
    Remove(PlanId),
}

impl PlanChange {
    pub(crate) fn plan_id(&self) -> PlanId {
        match self {
            Self::Put { plan, .. } => plan.id,
            Self::Remove(plan) => *plan,
        }
    }
}

/// Appends the changes that turn the old plans of a rule into the new ones.
pub(crate) fn append_differences(
    old: &[Arc<LivePlan>],
    new: &[Arc<LivePlan>],
    changes: &mut Vec<PlanChange>,
) {
    let find = |plans: &[Arc<LivePlan>], id: PlanId| -> Option<Arc<LivePlan>> {
        plans.iter().find(|live| live.plan.id == id).cloned()
    };
    for live in old {
        if find(new, live.plan.id).is_none() {
            changes.push(PlanChange::Remove(live.plan.id));
        }
    }
    for live in new {
        let plan = &live.plan;
        let backfill_from = match find(old, plan.id) {
            Some(known) if known.plan == *plan => continue,
            Some(known) => (known.plan.until < plan.until).then_some(known.plan.until),
            None => Some(plan.since),
        };
        changes.push(PlanChange::Put {
            plan: plan.clone(),
            backfill_from,
        });
    }
}
