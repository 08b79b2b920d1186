//! The advance of clocks and sources: confirms alerts, concludes absences, settles and forgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertRow, Cause, Epoch, EventTime, SourceKey};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::alert_emitter::AlertEmitter;
use crate::correlate::chain_report::report_anchors;
use crate::correlate::episode::EpisodeAlert;
use crate::correlate::fault::{self, PlantedFault};
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::range::TimeRange;
use crate::correlate::shard::shard_of;
use crate::correlate::slots::{GroupSlot, PlanSlot};
use crate::steps::count_step;

/// The clock of a tenant before and after a move.
#[derive(Clone, Copy)]
struct ClockMove {
    before: TenantClock,
    after: TenantClock,
}

impl Correlator {
    /// Moves a tenant's clock: confirms up to the watermark, then settles up to the settled line.
    pub(super) fn advance_clock(
        &mut self,
        epoch: Epoch,
        clock: TenantClock,
        output: &mut CorrelatorOutput,
    ) {
        let moved = ClockMove {
            before: clock_of(&self.clocks, clock.tenant),
            after: clock,
        };
        self.clocks.insert(clock.tenant, clock);
        let mut orphaned = Vec::new();
        for place in self
            .calendar
            .take_confirmable(clock.tenant, clock.watermark)
        {
            count_step();
            self.confirm(epoch, place, moved, &mut orphaned, output);
        }
        let mut forgotten: BTreeMap<PlanSlot, Vec<Arc<AlertRow>>> = BTreeMap::new();
        for place in self.calendar.take_forgettable(clock.tenant, clock.settled) {
            count_step();
            if let Some((plan, rows)) = self.forget(place, &clock)
                && !rows.is_empty()
            {
                forgotten.entry(plan).or_default().extend(rows);
            }
        }
        for (plan, rows) in forgotten {
            self.remember_forgotten(plan, rows, output);
        }
    }

    /// Confirms the alerts of a group up to the new watermark, and concludes its absences.
    fn confirm(
        &mut self,
        epoch: Epoch,
        place: GroupSlot,
        moved: ClockMove,
        orphaned: &mut Vec<EpisodeAlert>,
        output: &mut CorrelatorOutput,
    ) {
        let ClockMove {
            before,
            after: clock,
        } = moved;
        // The slot may have been given to a group of another tenant since it was scheduled.
        let found = self.groups.get_mut(place);
        let Some(record) = found.filter(|record| record.tenant == clock.tenant) else {
            return;
        };
        let Some(plan) = self.plans.get(record.plan) else {
            return;
        };
        if plan.backfill.is_some() {
            return;
        }
        let cause = Cause::Watermark(clock.watermark);
        let mut changed = TimeRange::ALL;
        if plan.condition.is_absence() {
            let evaluation = plan.evaluation(&clock);
            let passed = TimeRange {
                from: before.watermark.next(),
                to: evaluation.conclude_to,
            };
            let group = &mut record.group;
            group.reevaluate(passed, evaluation, orphaned, &mut Vec::new());
            let downstream = &mut output.downstream;
            report_anchors(plan, record, passed, evaluation, cause, downstream);
            if let Some(anchor) = plan.next_anchor(&record.group, passed.to) {
                self.calendar.conclude(record.tenant, anchor, place);
            }
            // An absence is final once concluded: only episodes near the range may change.
            let reach = plan.condition.timespan;
            changed = passed.widened(reach, reach);
        }
        let mut emitter = AlertEmitter {
            plan,
            group: record.key,
            tenant: record.tenant,
            epoch,
            clock: TenantClock {
                settled: before.settled,
                ..clock
            },
            source_times: &self.source_times,
            cause,
            output,
        };
        emitter.retract(orphaned);
        let pending = emitter.emit(&mut record.group, changed);
        self.calendar.await_final(record.tenant, pending, place);
    }

    /// Confirms the blind alerts whose source was now observed far enough.
    pub(super) fn advance_source(
        &mut self,
        epoch: Epoch,
        source: SourceKey,
        time: EventTime,
        output: &mut CorrelatorOutput,
    ) {
        let known = self.source_times.entry(source).or_insert(time);
        *known = time.max(*known);
        for place in self.calendar.take_blind(source, time) {
            let Some(record) = self.groups.get_mut(place) else {
                continue;
            };
            let Some(plan) = self.plans.get(record.plan) else {
                continue;
            };
            let unaffected = plan.backfill.is_some() || !plan.condition.is_silence();
            if unaffected || fault::active(PlantedFault::StaysBlind) {
                continue; // The slot may have been given to another group since.
            }
            let clock = clock_of(&self.clocks, record.tenant);
            let mut emitter = AlertEmitter {
                plan,
                group: record.key,
                tenant: record.tenant,
                epoch,
                clock,
                source_times: &self.source_times,
                cause: Cause::Watermark(clock.watermark),
                output,
            };
            let pending = emitter.emit(&mut record.group, TimeRange::ALL);
            self.calendar.await_final(record.tenant, pending, place);
        }
    }

    /// Settles and forgets a group up to the settled line.
    ///
    /// Returns its plan, and the forgotten rows that a promotion may still have to replace.
    fn forget(
        &mut self,
        place: GroupSlot,
        clock: &TenantClock,
    ) -> Option<(PlanSlot, Vec<Arc<AlertRow>>)> {
        let found = self.groups.get_mut(place);
        let record = found.filter(|record| record.tenant == clock.tenant)?;
        let slot = record.plan;
        let plan = self.plans.get_mut(slot)?;
        if plan.backfill.is_some() {
            record.group.scheduled = false; // Scheduled again at the end of the backfill.
            return None;
        }
        record.group.freeze(clock.settled, &plan.condition);
        let rows = if self.shadows.is_empty() {
            Vec::new()
        } else {
            record.group.rows_to_forget(&plan.condition)
        };
        record.group.forget(&plan.condition);
        record.group.scheduled = false;
        if record.group.is_empty() {
            plan.shard_groups[shard_of(&record.key)] -= 1;
            self.groups.remove(place, plan.plan.id);
        } else {
            self.calendar
                .schedule(record.tenant, place, &mut record.group, &plan.condition);
        }
        Some((slot, rows))
    }
}
