//! Backfills over several epochs: a plan admits facts but emits nothing until all have arrived.
//!
//! A part of the history can raise alerts that the whole would not: the event that a `not` names
//! may be missing so far. Therefore the output of the plan waits from the epoch that installs it
//! until its backfill ends, and then comes in one epoch.
//!
//! **Invariant.** The plan's settled line stands still meanwhile, so its result does not depend on
//! how long the backfill takes.

use weir_schema::{Epoch, PlanId};

use super::Correlator;
use crate::clock::TenantClock;
use crate::correlate::backfill_buffer::BackfillBuffer;
use crate::correlate::shard::shard_of;
use crate::correlate::slots::PlanSlot;

impl Correlator {
    /// Buffers the evaluation of a plan, under the settled lines of now.
    pub(super) fn begin_backfill(&mut self, plan: PlanId) {
        let lines = self.clocks.iter();
        let lines = lines.map(|(tenant, clock)| (*tenant, clock.settled));
        let buffer = BackfillBuffer::new(lines.collect());
        self.buffer_plan(plan, buffer);
    }

    /// Buffers the evaluation of a plan if that of the plan at `model` is buffered.
    pub(super) fn begin_backfill_like(&mut self, plan: PlanId, model: Option<PlanSlot>) {
        let model = model.and_then(|slot| self.plans.get(slot));
        let buffer = model.and_then(|model| model.backfill.as_ref());
        if let Some(buffer) = buffer.map(BackfillBuffer::copy_lines) {
            self.buffer_plan(plan, buffer);
        }
    }

    fn buffer_plan(&mut self, plan: PlanId, buffer: BackfillBuffer) {
        let Some(slot) = self.plans.slot(plan) else {
            return; // The plan belongs to another stage.
        };
        if let Some(plan) = self.plans.get_mut(slot) {
            plan.backfill = Some(buffer);
            self.backfilling.insert(slot);
        }
    }

    /// Ends the backfill of a plan: its groups are evaluated in this epoch.
    pub(super) fn end_backfill(&mut self, plan: PlanId, epoch: Epoch) {
        let Some(slot) = self.plans.slot(plan) else {
            return; // The plan belongs to another stage, or was removed meanwhile.
        };
        self.backfilling.remove(&slot);
        let Some(plan) = self.plans.get_mut(slot) else {
            return; // The slot belongs to a plan.
        };
        if let Some(buffer) = plan.backfill.take() {
            plan.backfilled = Some(epoch);
            self.touched.extend(buffer.touched);
        }
    }

    /// The clock under which the plan at `slot` admits facts.
    pub(super) fn clock_for(&self, slot: PlanSlot, now: TenantClock) -> TenantClock {
        let plan = self.plans.get(slot);
        let Some(buffer) = plan.and_then(|plan| plan.backfill.as_ref()) else {
            return now;
        };
        let line = buffer.settled_line(now.tenant);
        TenantClock {
            settled: line.unwrap_or(TenantClock::start(now.tenant).settled),
            ..now
        }
    }

    /// Drops the facts at or after the new end of a plan whose backfill is incomplete.
    pub(super) fn cut_backfill(&mut self, slot: PlanSlot) {
        let Some(plan) = self.plans.get_mut(slot) else {
            return;
        };
        let until = plan.plan.until;
        let anchors_until = until.plus(plan.condition.delay);
        let mut empty = Vec::new();
        for (place, record) in self.groups.iter_mut() {
            if record.plan != slot {
                continue;
            }
            record.group.anchors.drop_pushed_from(anchors_until);
            record.group.negated.drop_pushed_from(until);
            if record.group.is_empty() {
                plan.shard_groups[shard_of(&record.key)] -= 1;
                empty.push(place);
            }
        }
        for place in empty {
            self.groups.remove(place, plan.plan.id);
        }
    }
}
