//! The installation, change and removal of plans whose groups have state.
//!
//! **Invariant.** What is settled keeps the version that emitted it; everything later is evaluated
//! anew under the changed plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Cause, Epoch, EventTime, Plan, PlanId, TenantKey};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::alert_emitter::AlertEmitter;
use crate::correlate::chain_report::report_anchors;
use crate::correlate::condition::WindowCondition;
use crate::correlate::episode::EpisodeAlert;
use crate::correlate::group::Group;
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::plan_table::{PlanState, PlanVersion};
use crate::correlate::range::TimeRange;
use crate::correlate::slots::PlanSlot;
use crate::steps::count_step;

/// A change of a plan's parameters.
struct PlanEdit {
    old_condition: WindowCondition,
    /// The new end of the plan, if it moved to an earlier time.
    earlier_end: Option<EventTime>,
    /// The former end of the plan, if it moved to a later time.
    former_end: Option<EventTime>,
}

impl Correlator {
    /// Installs a plan, or changes a known one.
    pub(super) fn install(
        &mut self,
        epoch: Epoch,
        plan: &Arc<Plan>,
        output: &mut CorrelatorOutput,
    ) {
        let Some(slot) = self.plans.slot(plan.id) else {
            self.plans.insert(PlanState::new(plan, epoch));
            return;
        };
        let lines: BTreeMap<TenantKey, EventTime> = self
            .clocks
            .iter()
            .map(|(tenant, clock)| (*tenant, clock.settled))
            .collect();
        let Some(state) = self.plans.get_mut(slot) else {
            return;
        };
        let old_condition = std::mem::replace(&mut state.condition, WindowCondition::new(plan));
        let old = std::mem::replace(&mut state.plan, Arc::clone(plan));
        let earlier_end = (plan.until < old.until).then_some(plan.until);
        if state.backfill.is_some() {
            // It has emitted nothing that an older version would keep.
            state.versions = vec![PlanVersion::first(plan.version)];
            if earlier_end.is_some() {
                self.cut_backfill(slot);
            }
            return;
        }
        if old.version != plan.version {
            let version = plan.version;
            state.versions.push(PlanVersion { version, lines });
        }
        let edit = PlanEdit {
            old_condition,
            earlier_end,
            former_end: (old.until < plan.until).then_some(old.until),
        };
        self.reevaluate_plan(epoch, slot, &edit, output);
    }

    /// Evaluates all groups of a changed plan anew, from the settled line on.
    fn reevaluate_plan(
        &mut self,
        epoch: Epoch,
        slot: PlanSlot,
        edit: &PlanEdit,
        output: &mut CorrelatorOutput,
    ) {
        let Some(plan) = self.plans.get(slot) else {
            return;
        };
        let cause = Cause::Rule(plan.plan.version);
        let mut orphaned = Vec::new();
        let own = self.groups.iter_mut();
        let own = own.filter(|(_, record)| record.plan == slot);
        for (place, record) in own.take(plan.group_count()) {
            count_step();
            if let (Some(end), Some(chain)) = (edit.former_end, &mut record.group.chain) {
                chain.forget_reports_from(end);
            }
            let clock = clock_of(&self.clocks, record.tenant);
            let changed = reevaluate_group(plan, &mut record.group, &clock, edit, &mut orphaned);
            let open = TimeRange::starting_at(record.group.frozen);
            let evaluation = plan.evaluation(&clock);
            let downstream = &mut output.downstream;
            report_anchors(plan, record, open, evaluation, cause, downstream);
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
            emitter.retract(&mut orphaned);
            let pending = emitter.emit(&mut record.group, changed);
            self.calendar.await_final(record.tenant, pending, place);
            if edit.former_end.is_some()
                && let Some(anchor) = plan.next_anchor(&record.group, evaluation.conclude_to)
            {
                self.calendar.conclude(record.tenant, anchor, place);
            }
        }
    }

    /// Removes a plan and its groups, and retracts their alerts.
    ///
    /// **Cost.** Nothing but a look-up for a plan without groups, so the removal of many rules does
    /// not visit all groups once for each.
    pub(super) fn remove(&mut self, plan: PlanId, output: &mut CorrelatorOutput) {
        let Some((slot, state)) = self.plans.remove(plan) else {
            return;
        };
        self.backfilling.remove(&slot);
        self.forget_followers(slot);
        self.forgotten.remove(&slot);
        let is_shadow = self.shadows.contains_key(&plan);
        let mut removed = Vec::new();
        let own = self.groups.iter_mut();
        let own = own.filter(|(_, record)| record.plan == slot);
        for (place, record) in own.take(state.group_count()) {
            count_step();
            let episodes = record.group.episodes.drain(..);
            for alert in episodes.filter_map(|episode| episode.alert) {
                let rows = alert.superseded_rows.into_iter().chain(alert.row);
                output.rows.extend(rows.map(|row| (row, -1)));
                if !is_shadow {
                    output.retractions.push((alert.id, Cause::RuleRemoved));
                }
            }
            removed.push(place);
        }
        for place in removed {
            self.groups.remove(place, plan);
        }
    }
}

/// Evaluates a group of a changed plan anew. Returns the range in which episodes may have changed.
fn reevaluate_group(
    plan: &PlanState,
    group: &mut Group,
    clock: &TenantClock,
    edit: &PlanEdit,
    orphaned: &mut Vec<EpisodeAlert>,
) -> TimeRange {
    group.freeze(clock.settled, &edit.old_condition);
    let anchors_until = edit
        .earlier_end
        .map(|until| until.plus(plan.condition.delay));
    if let (Some(until), Some(anchors_until)) = (edit.earlier_end, anchors_until) {
        group.cache.clear();
        group.anchors.truncate_from(anchors_until);
        group.negated.truncate_from(until);
    }
    let open = TimeRange::starting_at(group.frozen);
    group.reevaluate(open, plan.evaluation(clock), orphaned, &mut Vec::new());
    if let Some(anchors_until) = anchors_until
        && release_ids(group, anchors_until, orphaned)
    {
        return TimeRange::ALL;
    }
    // An episode may have shrunk to its settled part, which ends at most a window before.
    TimeRange::starting_at(group.frozen.minus(plan.condition.timespan))
}

/// Orphans the alerts whose ids derive from an anchor at or after `anchors_until`.
///
/// The plan that follows this one gives those ids to its own alerts. Returns whether there are any.
fn release_ids(
    group: &mut Group,
    anchors_until: EventTime,
    orphaned: &mut Vec<EpisodeAlert>,
) -> bool {
    let before = orphaned.len();
    for episode in &mut group.episodes {
        let alert = episode.alert.as_ref();
        if alert.is_some_and(|alert| alert.id_anchor >= anchors_until) {
            orphaned.extend(episode.alert.take());
        }
    }
    orphaned.len() > before
}
