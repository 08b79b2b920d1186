//! The promotion of a what-if: its plans replace the plans that they were tried for.
//!
//! **Invariant.** The rows that stand afterwards are those that would stand if the edit had been
//! made when the what-if began. Only differences are emitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Cause, Epoch, Plan, PlanId, PlanOutput};

use super::{Correlator, clock_of};
use crate::correlate::alert_emitter::is_same_content;
use crate::correlate::backfill_buffer::BackfillBuffer;
use crate::correlate::group_store::{GroupRecord, StateKey};
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::plan_table::PlanState;
use crate::correlate::slots::{GroupSlot, PlanSlot};

/// Replaces the rows of a live plan by those of its shadow.
struct RowReplacement<'o> {
    plan: PlanId,
    plan_epoch: Epoch,
    cause: Cause,
    /// The rows of the live plan that are not replaced yet.
    standing: BTreeMap<AlertId, Arc<AlertRow>>,
    output: &'o mut CorrelatorOutput,
}

impl RowReplacement<'_> {
    /// Emits a row of the shadow, unless an equal one stands. Returns the row that stands then.
    fn emit(&mut self, mut row: Arc<AlertRow>) -> Arc<AlertRow> {
        let own = Arc::make_mut(&mut row);
        (own.plan, own.plan_epoch) = (self.plan, self.plan_epoch);
        own.cause = self.cause;
        if let Some(old) = self.standing.remove(&row.alert) {
            if is_same_content(&old, &row) {
                return old;
            }
            self.output.rows.push((old, -1));
        }
        self.output.rows.push((Arc::clone(&row), 1));
        row
    }

    /// Retracts the rows that the shadow does not have.
    fn retract_rest(self) {
        for (alert, row) in self.standing {
            self.output.retractions.push((alert, self.cause));
            self.output.rows.push((row, -1));
        }
    }
}

impl Correlator {
    /// Makes the shadow `from` the plan `plan`, with all its groups and alerts.
    pub(super) fn promote(
        &mut self,
        epoch: Epoch,
        plan: &Arc<Plan>,
        from: PlanId,
        output: &mut CorrelatorOutput,
    ) {
        let Some((from_slot, shadow)) = self.plans.remove(from) else {
            self.install(epoch, plan, output);
            return;
        };
        self.forget_followers(from_slot);
        let forgotten = self.forgotten.remove(&from_slot).unwrap_or_default();
        let (slot, before) = self.plans.vacate(plan.id);
        let mut replacement = RowReplacement {
            plan: plan.id,
            plan_epoch: before.map_or(epoch, |before| before.plan_epoch),
            cause: Cause::Rule(plan.version),
            standing: forgotten.live.rows,
            output,
        };
        for place in self.groups.slots_of(slot) {
            let taken = self.groups.take(place, plan.id);
            let episodes = taken.into_iter().flat_map(|record| record.group.episodes);
            let rows = episodes.filter_map(|episode| episode.alert?.row);
            replacement
                .standing
                .extend(rows.map(|row| (row.alert, row)));
        }
        for row in forgotten.own.rows.into_values() {
            replacement.emit(row);
        }
        let mut state = PlanState {
            plan: Arc::clone(plan),
            plan_epoch: replacement.plan_epoch,
            condition: shadow.condition,
            versions: shadow.versions,
            shard_groups: shadow.shard_groups,
            backfill: shadow.backfill.as_ref().map(BackfillBuffer::copy_lines),
            backfilled: shadow.backfilled,
        };
        self.backfilling.remove(&from_slot);
        self.backfilling.remove(&slot);
        if state.backfill.is_some() {
            self.backfilling.insert(slot);
        }
        for place in self.groups.slots_of(from_slot) {
            if let Some(mut record) = self.groups.take(place, from) {
                record.plan = slot;
                self.adopt_group(record, &mut state, &mut replacement);
            }
        }
        replacement.retract_rest();
        self.plans.fill(slot, state);
    }

    /// Moves a group of the shadow to the promoted plan, with its rows.
    fn adopt_group(
        &mut self,
        mut record: GroupRecord,
        plan: &mut PlanState,
        replacement: &mut RowReplacement<'_>,
    ) {
        let alerts = record.group.episodes.iter_mut();
        for alert in alerts.filter_map(|episode| episode.alert.as_mut()) {
            alert.superseded_rows.clear();
            alert.row = alert.row.take().map(|row| replacement.emit(row));
        }
        let touched = record.group.touched;
        let place = self.insert_and_schedule(record, plan);
        if let Some(buffer) = plan.backfill.as_mut().filter(|_| touched) {
            buffer.touched.push(place);
        }
    }

    /// Stores a group of `plan` and schedules it anew.
    fn insert_and_schedule(&mut self, mut record: GroupRecord, plan: &PlanState) -> GroupSlot {
        let tenant = record.tenant;
        let clock = clock_of(&self.clocks, tenant);
        let concluded = plan.evaluation(&clock).conclude_to;
        let next = plan.next_anchor(&record.group, concluded);
        let pending = record.group.pending_alerts();
        record.group.scheduled = false;
        let key = StateKey::new(plan.plan.id, record.key);
        let place = self.groups.insert(key, record);
        self.calendar.await_final(tenant, pending, place);
        if let Some(anchor) = next {
            self.calendar.conclude(tenant, anchor, place);
        }
        if let Some(record) = self.groups.get_mut(place) {
            self.calendar
                .schedule(tenant, place, &mut record.group, &plan.condition);
        }
        place
    }

    /// Retains the rows that a plan is forgetting, for the what-ifs whose promotion may replace
    /// them.
    pub(super) fn remember_forgotten(
        &mut self,
        slot: PlanSlot,
        mut rows: Vec<Arc<AlertRow>>,
        output: &mut CorrelatorOutput,
    ) {
        // The order of groups depends on the order in which facts arrived.
        rows.sort_unstable();
        let followers = self.followers.get(&slot).cloned().unwrap_or_default();
        for (shadow, own) in followers.iter().map(|f| (*f, false)).chain([(slot, true)]) {
            let Some(plan) = self.plans.get(shadow) else {
                continue;
            };
            let PlanOutput::WhatIf(what_if) = plan.plan.output else {
                continue;
            };
            let forgotten = self.forgotten.entry(shadow).or_default();
            let retained = if own {
                &mut forgotten.own
            } else {
                &mut forgotten.live
            };
            for row in &rows {
                if !retained.insert(row) {
                    let what_if = output.what_ifs.entry(what_if).or_default();
                    what_if.counts.limited += 1;
                }
            }
        }
    }
}
