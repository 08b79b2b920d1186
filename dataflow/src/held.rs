//! What a rule says while it reads its past is kept back: it was said of a half.
//!
//! The plans that read are held by the correlator. Where a rule was edited, its earlier plan has
//! ended, and takes back what the new one will say again: without this, an edit that reads its past
//! in steps would retract alerts and raise them a moment later. Kept back, both meet in one epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_operators::{Applied, Pasts, PlanChange};
use weir_schema::{AlertId, AlertRow, Cause, Level, PlanId, RuleId};

use crate::outputs::EpochOutput;

/// Whose rows are kept back, and those rows.
#[derive(Default)]
pub struct Held {
    pub pasts: Pasts,
    /// The rules of plans that are there, and of those that went in this epoch.
    rules: BTreeMap<PlanId, RuleId>,
    gone: BTreeSet<PlanId>,
    kept: BTreeMap<RuleId, Kept>,
}

/// Rows added up, so that there are no more of them than alerts of the rule that would differ.
#[derive(Default)]
struct Kept {
    rows: BTreeMap<(Arc<AlertRow>, Level), isize>,
    retractions: BTreeMap<AlertId, Cause>,
}

impl Held {
    /// Follows what an entry did to the rules.
    pub fn follow(&mut self, applied: &Applied) {
        for change in &applied.changes {
            match change {
                PlanChange::Put { plan, .. } => {
                    self.gone.remove(&plan.id);
                    self.rules.insert(plan.id, plan.rule.clone());
                }
                PlanChange::Remove(plan) => drop(self.gone.insert(*plan)),
            }
        }
    }

    /// Takes out of an epoch what rules say that read their past, and puts in what was kept back of
    /// those that have read it.
    pub fn keep_back(&mut self, output: &mut EpochOutput) {
        let held: BTreeSet<RuleId> = self
            .pasts
            .held()
            .iter()
            .filter_map(|plan| self.rules.get(plan).cloned())
            .collect();
        if !held.is_empty() {
            self.take(output, &held);
        }
        if !self.kept.is_empty() {
            let (kept, done) = std::mem::take(&mut self.kept)
                .into_iter()
                .partition(|(rule, _)| held.contains(rule));
            self.kept = kept;
            give(output, done);
        }
        // Rows of a rule that is held may name its plans for as long as it is.
        let rules = &mut self.rules;
        self.gone.retain(|plan| {
            let stays = rules.get(plan).is_some_and(|rule| held.contains(rule));
            if !stays {
                rules.remove(plan);
            }
            stays
        });
    }

    fn take(&mut self, output: &mut EpochOutput, held: &BTreeSet<RuleId>) {
        let mut alerts: BTreeMap<AlertId, RuleId> = BTreeMap::new();
        for (row, level, diff) in std::mem::take(&mut output.rows) {
            let rule = self
                .rules
                .get(&row.plan)
                .filter(|rule| held.contains(*rule));
            let Some(rule) = rule else {
                output.rows.push((row, level, diff));
                continue;
            };
            alerts.insert(row.alert, rule.clone());
            let kept = self.kept.entry(rule.clone()).or_default();
            *kept.rows.entry((row, level)).or_default() += diff;
        }
        for rule in alerts.values() {
            if let Some(kept) = self.kept.get_mut(rule) {
                kept.rows.retain(|_, diff| *diff != 0);
            }
        }
        for (alert, cause) in std::mem::take(&mut output.retractions) {
            let kept = alerts.get(&alert).and_then(|rule| self.kept.get_mut(rule));
            match kept {
                Some(kept) => drop(kept.retractions.insert(alert, cause)),
                None => output.retractions.push((alert, cause)),
            }
        }
    }
}

fn give(output: &mut EpochOutput, done: BTreeMap<RuleId, Kept>) {
    let mut retractions = Vec::new();
    for kept in done.into_values() {
        let rows = kept.rows.into_iter();
        output
            .rows
            .extend(rows.map(|((row, level), diff)| (row, level, diff)));
        retractions.extend(kept.retractions);
    }
    // Of two causes the later one counts.
    retractions.append(&mut output.retractions);
    output.retractions = retractions;
}
