//! The evaluation of the groups that an epoch touched.

use weir_schema::{Cause, Epoch};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::alert_emitter::AlertEmitter;
use crate::correlate::chain_report::report_anchors;
use crate::correlate::condition::WindowCondition;
use crate::correlate::episode::EpisodeAlert;
use crate::correlate::group::Group;
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::plan_table::PlanState;
use crate::correlate::run::RunEntry;
use crate::correlate::slots::GroupSlot;
use crate::steps::count_step;

impl Correlator {
    /// Re-evaluates the touched groups and emits what changed.
    pub(super) fn evaluate_touched(&mut self, epoch: Epoch, output: &mut CorrelatorOutput) {
        let mut orphaned = Vec::new();
        let touched = std::mem::take(&mut self.touched);
        let mut round = self.meter.begin(touched.len(), epoch.0);
        for place in touched {
            count_step();
            let started = self.meter.start(&mut round);
            let plan = started.and_then(|_| self.groups.get_mut(place).map(|group| group.plan));
            self.evaluate_group(epoch, place, &mut orphaned, output);
            if let (Some(started), Some(plan)) = (started, plan) {
                self.meter.stop(&mut round, plan, started);
            }
        }
        self.meter.end(round);
    }

    fn evaluate_group(
        &mut self,
        epoch: Epoch,
        place: GroupSlot,
        orphaned: &mut Vec<EpisodeAlert>,
        output: &mut CorrelatorOutput,
    ) {
        let Some(record) = self.groups.get_mut(place) else {
            return;
        };
        let Some(plan) = self.plans.get_mut(record.plan) else {
            return;
        };
        if let Some(buffer) = &mut plan.backfill {
            buffer.touched.push(place);
            return;
        }
        let plan = &*plan;
        record.group.touched = false;
        let chain = record.group.chain.as_mut();
        let chain_cause = chain.and_then(|chain| chain.cause.take());
        if record.group.is_quiet(&plan.condition) {
            let buffers = &mut self.buffers;
            record.group.merge_unevaluated(&plan.condition, buffers);
            self.calendar
                .schedule(record.tenant, place, &mut record.group, &plan.condition);
            return;
        }
        let clock = clock_of(&self.clocks, record.tenant);
        let cause = rule_cause(plan, epoch).or(chain_cause);
        let cause = cause.unwrap_or_else(|| newest_cause(&record.group, &plan.condition, &clock));
        let evaluation = plan.evaluation(&clock);
        let group = &mut record.group;
        let changed = group.merge_and_evaluate(evaluation, orphaned, &mut self.buffers);
        if let Some(range) = changed {
            let downstream = &mut output.downstream;
            report_anchors(plan, record, range, evaluation, cause, downstream);
            let mut emitter = AlertEmitter {
                plan,
                group: record.key,
                tenant: record.tenant,
                epoch,
                clock,
                source_times: &self.source_times,
                cause,
                output,
            };
            emitter.retract(orphaned);
            let pending = emitter.emit(&mut record.group, range);
            self.calendar.await_final(record.tenant, pending, place);
        }
        if let Some(anchor) = plan.next_anchor(&record.group, evaluation.conclude_to)
            && self.buffers.received(anchor)
        {
            self.calendar.conclude(record.tenant, anchor, place);
        }
        self.calendar
            .schedule(record.tenant, place, &mut record.group, &plan.condition);
    }
}

/// The change of its rule, if that brought the plan's facts: its backfill ended in this epoch.
fn rule_cause(plan: &PlanState, epoch: Epoch) -> Option<Cause> {
    (plan.backfilled == Some(epoch)).then_some(Cause::Rule(plan.plan.version))
}

/// The cause of this epoch's changes in a group: its earliest late event, or else its last event.
fn newest_cause(group: &Group, condition: &WindowCondition, clock: &TenantClock) -> Cause {
    let at_event_time = |entry: &RunEntry| RunEntry {
        time: entry.time.minus(condition.delay),
        ..*entry
    };
    let anchors = || group.anchors.pushed().iter().map(at_event_time);
    let new = || anchors().chain(group.negated.pushed().iter().copied());
    let late = new().filter(|entry| entry.time < clock.watermark).min();
    match (late, new().max()) {
        (Some(entry), _) => Cause::LateEvent(entry.item()),
        (None, Some(entry)) => Cause::Event(entry.item()),
        (None, None) => Cause::Watermark(clock.watermark),
    }
}
