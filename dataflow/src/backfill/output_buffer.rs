//! Buffers the output of a rule until its backfill completes: before that, it is incomplete.
//!
//! The correlator buffers the output of the new plans. An edit also ends the rule's old plan, which
//! retracts alerts that the new plan raises again. Without this buffer a stepwise backfill would
//! retract them and raise them a moment later. With it, both changes meet in one epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_operators::{Backfills, BookUpdate, PlanChange};
use weir_schema::{AlertId, AlertRow, Cause, Level, PlanId, RuleId};

use crate::outputs::EpochOutput;

/// The backfills in progress, and the buffered output of their rules.
#[derive(Default)]
pub struct BackfillOutputBuffer {
    pub backfills: Backfills,
    /// The rule of each plan that exists, or was removed in this epoch.
    rules: BTreeMap<PlanId, RuleId>,
    removed: BTreeSet<PlanId>,
    buffered: BTreeMap<RuleId, RuleOutput>,
}

/// The output of one rule. Rows are summed, so there are no more than differing alerts.
#[derive(Default)]
struct RuleOutput {
    rows: BTreeMap<(Arc<AlertRow>, Level), isize>,
    retractions: BTreeMap<AlertId, Cause>,
}

impl BackfillOutputBuffer {
    /// Records the plans that a control entry added and removed.
    pub fn apply(&mut self, update: &BookUpdate) {
        for change in &update.changes {
            match change {
                PlanChange::Put { plan, .. } => {
                    self.removed.remove(&plan.id);
                    self.rules.insert(plan.id, plan.rule.clone());
                }
                PlanChange::Remove(plan) => drop(self.removed.insert(*plan)),
            }
        }
    }

    /// Takes the output of rules in backfill out of an epoch, and adds the buffered output of rules
    /// whose backfill is complete.
    pub fn filter(&mut self, output: &mut EpochOutput) {
        let waiting: BTreeSet<RuleId> = self
            .backfills
            .buffered_plans()
            .iter()
            .filter_map(|plan| self.rules.get(plan).cloned())
            .collect();
        if !waiting.is_empty() {
            self.buffer(output, &waiting);
        }
        if !self.buffered.is_empty() {
            let (buffered, complete) = std::mem::take(&mut self.buffered)
                .into_iter()
                .partition(|(rule, _)| waiting.contains(rule));
            self.buffered = buffered;
            release(output, complete);
        }
        // While a rule waits, rows may still name its removed plans.
        let rules = &mut self.rules;
        self.removed.retain(|plan| {
            let stays = rules.get(plan).is_some_and(|rule| waiting.contains(rule));
            if !stays {
                rules.remove(plan);
            }
            stays
        });
    }

    /// Moves the output of the `waiting` rules from the epoch into the buffer.
    fn buffer(&mut self, output: &mut EpochOutput, waiting: &BTreeSet<RuleId>) {
        let mut alerts: BTreeMap<AlertId, RuleId> = BTreeMap::new();
        for (row, level, diff) in std::mem::take(&mut output.rows) {
            let rule = self
                .rules
                .get(&row.plan)
                .filter(|rule| waiting.contains(*rule));
            let Some(rule) = rule else {
                output.rows.push((row, level, diff));
                continue;
            };
            alerts.insert(row.alert, rule.clone());
            let buffered = self.buffered.entry(rule.clone()).or_default();
            *buffered.rows.entry((row, level)).or_default() += diff;
        }
        for rule in alerts.values() {
            if let Some(buffered) = self.buffered.get_mut(rule) {
                buffered.rows.retain(|_, diff| *diff != 0);
            }
        }
        for (alert, cause) in std::mem::take(&mut output.retractions) {
            let rule = alerts.get(&alert);
            match rule.and_then(|rule| self.buffered.get_mut(rule)) {
                Some(buffered) => drop(buffered.retractions.insert(alert, cause)),
                None => output.retractions.push((alert, cause)),
            }
        }
    }
}

/// Adds the output of rules whose backfill is complete to an epoch.
fn release(output: &mut EpochOutput, complete: BTreeMap<RuleId, RuleOutput>) {
    let mut retractions = Vec::new();
    for rule in complete.into_values() {
        let rows = rule.rows.into_iter();
        let rows = rows.map(|((row, level), diff)| (row, level, diff));
        output.rows.extend(rows);
        retractions.extend(rule.retractions);
    }
    // If an alert has two causes, the later one wins: those of this epoch come last.
    retractions.append(&mut output.retractions);
    output.retractions = retractions;
}
