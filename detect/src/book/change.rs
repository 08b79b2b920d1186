//! Changes of plans: the result of applying an entry to the rule book.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::{Plan, PlanId, RuleId};

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
    /// The plan is new (`backfill`), or a known plan gets another version or `until`.
    Put { plan: Plan, backfill: bool },
    /// The plan and all its results are removed, as if it had never run.
    ///
    /// A `Put` of the same plan may follow: then its `until` moved back, and its facts must be
    /// derived again.
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
        let stays = find(new, live.plan.id).is_some_and(|now| now.plan.until <= live.plan.until);
        if !stays {
            changes.push(PlanChange::Remove(live.plan.id));
        }
    }
    for live in new {
        let plan = &live.plan;
        let backfill = match find(old, plan.id) {
            Some(known) if known.plan == *plan => continue,
            Some(known) => known.plan.until < plan.until,
            None => true,
        };
        changes.push(PlanChange::Put {
            plan: plan.clone(),
            backfill,
        });
    }
}
