//! Updates the catalog after a change: derives active versions and plans again.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_schema::RuleId;

use crate::book::catalog::{Catalog, Version};
use crate::book::change::{PlanChange, append_differences};
use crate::book::live::LivePlan;
use crate::sigma::diagnostic::Diagnostic;

/// A rule that has been removed, with the plans that it had.
pub(crate) struct RemovedRule {
    id: RuleId,
    plans: Vec<Arc<LivePlan>>,
}

/// Derives the active versions of the `stale` rules again, in this order.
///
/// Returns the rules whose plans may depend on them.
pub(crate) fn rederive_versions(
    catalog: &mut Catalog,
    stale: &[RuleId],
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeSet<RuleId> {
    let mut affected = BTreeSet::new();
    for rule in stale {
        let (versions, mut found) = catalog.derive_versions(rule);
        diagnostics.append(&mut found);
        if let Some(entry) = catalog.rules.get_mut(rule) {
            entry.active_versions = versions;
        }
        affected.append(&mut catalog.affected_by(rule));
    }
    affected
}

/// Derives the plans of the affected rules again, and returns how they change.
pub(crate) fn rederive_plans(
    catalog: &mut Catalog,
    affected: &BTreeSet<RuleId>,
    removed: Option<&RemovedRule>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<PlanChange> {
    let mut changes = Vec::new();
    for rule in affected {
        let (plans, mut found) = catalog.derive_plans(rule);
        diagnostics.append(&mut found);
        let old = match catalog.rules.get_mut(rule) {
            Some(entry) => std::mem::replace(&mut entry.plans, plans.clone()),
            None => match removed {
                Some(removed) if removed.id == *rule => removed.plans.clone(),
                _ => Vec::new(), // A reference to a rule that does not exist.
            },
        };
        append_differences(&old, &plans, &mut changes);
    }
    changes
}

/// Sets the versions of a rule; without any the rule is removed.
pub(crate) fn set_source_versions(
    catalog: &mut Catalog,
    id: &RuleId,
    versions: Vec<Version>,
) -> RemovedRule {
    let mut removed = RemovedRule {
        id: id.clone(),
        plans: Vec::new(),
    };
    catalog.unindex_rule(id);
    if versions.is_empty() {
        let entry = catalog.rules.remove(id);
        removed.plans = entry.map(|entry| entry.plans).unwrap_or_default();
    } else {
        catalog.rules.entry(id.clone()).or_default().source_versions = versions;
        catalog.index_rule(id);
    }
    removed
}
