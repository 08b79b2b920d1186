//! Shadows: the plans of what-ifs start from the state of live plans and run beside them.
//!
//! A shadow that differs from a plan only in its condition shares the facts of that plan. The
//! correlator pushes each of them to both, and no operator before it knows of the shadow. The rows
//! of shadows go to the outputs of their what-ifs.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Basis, Epoch, Fact, Plan, PlanOutput, TenantKey, TimeMark};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::condition::WindowCondition;
use crate::correlate::directive::Directive;
use crate::correlate::group::Group;
use crate::correlate::group_store::{GroupRecord, StateKey};
use crate::correlate::output::CorrelatorOutput;
use crate::correlate::plan_table::PlanState;
use crate::correlate::run::RunEntry;
use crate::correlate::shard::shard_of;
use crate::correlate::slots::{GroupSlot, PlanSlot};

impl Correlator {
    /// Installs a plan of a what-if.
    pub(super) fn add_shadow(
        &mut self,
        epoch: Epoch,
        plan: &Arc<Plan>,
        basis: Basis,
        output: &mut CorrelatorOutput,
    ) {
        if let PlanOutput::WhatIf(what_if) = plan.output {
            self.shadows.insert(plan.id, what_if);
        }
        match basis {
            Basis::Groups(live) => {
                if let Some(from) = self.plans.slot(live) {
                    self.copy_groups(epoch, plan, from, output);
                }
                // Then edit the copy as the live plan would be edited.
                self.install(epoch, plan, output);
            }
            Basis::Facts(live) => {
                let from = self.plans.slot(live);
                self.install(epoch, plan, output);
                self.begin_backfill_like(plan.id, from);
                if let Some(from) = from {
                    self.copy_facts(plan, from, output);
                }
            }
            Basis::Journal => self.install(epoch, plan, output),
        }
    }

    /// Copies the groups and alerts of the plan at `from` to the new shadow `plan`.
    fn copy_groups(
        &mut self,
        epoch: Epoch,
        plan: &Plan,
        from: PlanSlot,
        output: &mut CorrelatorOutput,
    ) {
        let Some(live) = self.plans.get(from) else {
            return;
        };
        let mut first = Plan::clone(&live.plan);
        (first.id, first.output) = (plan.id, plan.output);
        let copy = PlanState {
            plan: Arc::new(first),
            plan_epoch: epoch,
            condition: live.condition.clone(),
            versions: live.versions.clone(),
            shard_groups: live.shard_groups.clone(),
            backfill: None,
            backfilled: None,
        };
        let slot = self.plans.insert(copy);
        self.begin_backfill_like(plan.id, Some(from));
        self.followers.entry(from).or_default().push(slot);
        for place in self.groups.slots_of(from) {
            self.copy_group(epoch, plan, slot, place, output);
        }
    }

    /// Copies the group at `place` to the shadow at `slot`, and emits its rows there.
    fn copy_group(
        &mut self,
        epoch: Epoch,
        plan: &Plan,
        slot: PlanSlot,
        place: GroupSlot,
        output: &mut CorrelatorOutput,
    ) {
        let Some(record) = self.groups.get_mut(place) else {
            return;
        };
        let mut group = record.group.copy();
        let alerts = group.episodes.iter_mut();
        for alert in alerts.filter_map(|episode| episode.alert.as_mut()) {
            alert.superseded_rows.clear();
            if let Some(row) = &mut alert.row {
                let own = Arc::make_mut(row);
                (own.plan, own.plan_epoch) = (plan.id, epoch);
                output.rows.push((Arc::clone(row), 1));
            }
        }
        let touched = record.group.touched;
        group.touched = touched;
        let (tenant, key) = (record.tenant, record.key);
        let copy = GroupRecord {
            plan: slot,
            tenant,
            key,
            group,
        };
        let place = self.groups.insert(StateKey::new(plan.id, key), copy);
        if touched {
            self.touched.push(place);
            return; // Its events are not evaluated yet.
        }
        let (Some(record), Some(copy)) = (self.groups.get_mut(place), self.plans.get(slot)) else {
            return;
        };
        let group = &mut record.group;
        self.calendar
            .schedule(tenant, place, group, &copy.condition);
        let pending = group.pending_alerts();
        self.calendar.await_final(tenant, pending, place);
        let clock = clock_of(&self.clocks, tenant);
        let concluded = copy.evaluation(&clock).conclude_to;
        if let Some(anchor) = copy.next_anchor(group, concluded) {
            self.calendar.conclude(tenant, anchor, place);
        }
    }

    /// Copies the facts that the new shadow `plan` would have received from the plan at `from`.
    ///
    /// They are evaluated with the facts of this epoch.
    fn copy_facts(&mut self, plan: &Plan, from: PlanSlot, output: &mut CorrelatorOutput) {
        let known = self.clocks.values();
        let clocks = known.map(|clock| (clock.tenant, self.clock_for(from, *clock)));
        let clocks: BTreeMap<TenantKey, TenantClock> = clocks.collect();
        let Some(slot) = self.plans.slot(plan.id) else {
            return;
        };
        for place in self.groups.slots_of(from) {
            let Some(record) = self.groups.get_mut(place) else {
                continue;
            };
            let (tenant, key) = (record.tenant, record.key);
            let clock = clock_of(&clocks, tenant);
            let facts = visible_entries(&record.group, plan, &clock);
            let Some(shadow) = self.plans.get(slot) else {
                return;
            };
            if facts.is_empty() {
                continue;
            }
            let group = group_of_entries(&facts, &clock, &shadow.condition);
            let copy = GroupRecord {
                plan: slot,
                tenant,
                key,
                group,
            };
            if !self.insert_shadow_group(plan, copy)
                && let Some(what_if) = self.shadows.get(&plan.id)
            {
                let what_if = output.what_ifs.entry(*what_if).or_default();
                what_if.counts.limited += facts.len() as u64;
            }
        }
    }

    /// Adds a touched group of a shadow. Returns false if its shard is full.
    fn insert_shadow_group(&mut self, plan: &Plan, record: GroupRecord) -> bool {
        let shard_groups_max = self.shard_groups_max();
        let Some(shadow) = self.plans.get_mut(record.plan) else {
            return false;
        };
        let groups = &mut shadow.shard_groups[shard_of(&record.key)];
        if *groups as usize >= shard_groups_max {
            return false;
        }
        *groups += 1;
        self.fullest_shard = self.fullest_shard.max(*groups as usize);
        let key = StateKey::new(plan.id, record.key);
        let place = self.groups.insert(key, record);
        self.touched.push(place);
        true
    }

    /// Pushes a fact of the plan at `slot` to the shadows that share its facts.
    pub(super) fn push_to_followers(
        &mut self,
        slot: PlanSlot,
        fact: &Fact,
        now: &TenantClock,
        output: &mut CorrelatorOutput,
    ) {
        let Some(followers) = self.followers.get_mut(&slot).map(std::mem::take) else {
            return;
        };
        for follower in &followers {
            let Some(shadow) = self.plans.get(*follower) else {
                continue;
            };
            let PlanOutput::WhatIf(what_if) = shadow.plan.output else {
                continue;
            };
            if fact.time >= shadow.plan.until {
                continue;
            }
            let own = Fact {
                plan: shadow.plan.id,
                ..*fact
            };
            let counts = &mut output.what_ifs.entry(what_if).or_default().counts;
            counts.facts += 1;
            counts.late += u64::from(fact.time < now.watermark);
            self.push(*follower, &own, now, counts);
        }
        self.followers.insert(slot, followers);
    }

    /// Removes a plan from the followers and from the plans that are followed.
    pub(super) fn forget_followers(&mut self, slot: PlanSlot) {
        self.followers.remove(&slot);
        self.followers.retain(|_, followers| {
            followers.retain(|follower| *follower != slot);
            !followers.is_empty()
        });
    }

    /// Moves the rows of shadows to the outputs of their what-ifs.
    pub(super) fn separate_what_ifs(
        &mut self,
        directives: &[Directive],
        output: &mut CorrelatorOutput,
    ) {
        if self.shadows.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut output.rows);
        for (row, diff) in rows {
            match self.shadows.get(&row.plan) {
                Some(what_if) => {
                    let what_if = output.what_ifs.entry(*what_if).or_default();
                    what_if.rows.push((row, diff));
                }
                None => output.rows.push((row, diff)),
            }
        }
        for directive in directives {
            // A removed shadow may have been added again in the same epoch.
            if let Directive::Remove(plan) | Directive::Promote { from: plan, .. } = directive
                && self.plans.slot(*plan).is_none()
            {
                self.shadows.remove(plan);
            }
        }
    }
}

/// The entries of `group` that `plan` would have admitted under `clock`, had it read them again: then
/// it sees no event before the settled line.
fn visible_entries(group: &Group, plan: &Plan, clock: &TenantClock) -> Vec<RunEntry> {
    let begin = plan.since.max(clock.settled);
    let visible = |entry: &&RunEntry| {
        let is_late = entry.time_mark == Some(TimeMark::LateBeyondHorizon);
        begin <= entry.time && entry.time < plan.until && !is_late
    };
    let (anchors, negated) = (group.anchors.entries(), group.negated.entries());
    let entries = anchors.iter().chain(negated);
    entries.filter(visible).copied().collect()
}

fn group_of_entries(
    entries: &[RunEntry],
    clock: &TenantClock,
    condition: &WindowCondition,
) -> Group {
    let mut group = Group::new(clock.settled);
    for entry in entries {
        group.push(*entry, condition);
    }
    group.touched = true;
    group
}
