//! The plans in force on one worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Epoch, EventTime, Plan, PlanId, RuleVersion, TenantKey};

use super::backfill_buffer::BackfillBuffer;
use super::condition::WindowCondition;
use super::fault::{self, PlantedFault};
use super::group::{Evaluation, Group};
use super::shard::SHARDS;
use super::slots::PlanSlot;
use crate::clock::TenantClock;

/// A version of a plan.
#[derive(Clone, Debug)]
pub struct PlanVersion {
    pub version: RuleVersion,
    /// The settled line of each tenant when the version took over.
    pub lines: BTreeMap<TenantKey, EventTime>,
}

impl PlanVersion {
    /// A version that has been in force from the start.
    pub fn first(version: RuleVersion) -> Self {
        Self {
            version,
            lines: BTreeMap::new(),
        }
    }
}

/// A plan in force.
pub struct PlanState {
    pub plan: Arc<Plan>,
    /// The epoch in which it was installed, or installed again after a removal.
    pub plan_epoch: Epoch,
    pub condition: WindowCondition,
    /// Its versions, oldest first: settled alerts keep the version that emitted them.
    pub versions: Vec<PlanVersion>,
    /// The number of its groups in each shard.
    pub shard_groups: Box<[u32; SHARDS]>,
    /// Present while its backfill is incomplete.
    pub backfill: Option<BackfillBuffer>,
    /// The epoch in which its last backfill ended: what changes in it, the rule's change brought.
    pub backfilled: Option<Epoch>,
}

impl PlanState {
    pub fn new(plan: &Arc<Plan>, plan_epoch: Epoch) -> Self {
        Self {
            plan: Arc::clone(plan),
            plan_epoch,
            condition: WindowCondition::new(plan),
            versions: vec![PlanVersion::first(plan.version)],
            shard_groups: Box::new([0; SHARDS]),
            backfill: None,
            backfilled: None,
        }
    }

    /// The number of its groups on this worker.
    pub fn group_count(&self) -> usize {
        self.shard_groups
            .iter()
            .map(|groups| *groups as usize)
            .sum()
    }

    /// The version under which the anchor at `time` was evaluated.
    pub fn version(&self, tenant: TenantKey, time: EventTime) -> RuleVersion {
        let in_force = |version: &&PlanVersion| {
            let line = version.lines.get(&tenant);
            line.is_none_or(|line| time >= *line)
        };
        let newest = self.versions.iter().rev().find(in_force);
        newest.map_or(self.plan.version, |version| version.version)
    }

    /// The condition, and the last anchor that can be concluded under `clock`.
    ///
    /// An absence is concluded up to the watermark and before the end of its plan: no facts arrive
    /// after that end.
    pub fn evaluation(&self, clock: &TenantClock) -> Evaluation<'_> {
        let absence = self.condition.is_absence() && !fault::active(PlantedFault::EarlyConclusion);
        Evaluation {
            condition: &self.condition,
            conclude_to: if absence {
                clock.watermark.min(self.last_anchor())
            } else {
                EventTime::MAX
            },
        }
    }

    /// The first anchor of `group` after `time` that will be concluded later.
    pub fn next_anchor(&self, group: &Group, time: EventTime) -> Option<EventTime> {
        if !self.condition.is_absence() {
            return None;
        }
        let anchors = &group.anchors;
        let next = anchors.entries().get(anchors.count_through(time))?;
        (next.time <= self.last_anchor()).then_some(next.time)
    }

    fn last_anchor(&self) -> EventTime {
        self.plan.until.previous()
    }
}

/// All plans of a worker.
///
/// **Invariant.** A slot is never given to another plan, so a group's plan slot stays valid; the
/// slot of a removed plan is empty.
#[derive(Default)]
pub struct PlanTable {
    plans: Vec<Option<PlanState>>,
    slots: BTreeMap<PlanId, PlanSlot>,
}

impl PlanTable {
    pub fn slot(&self, plan: PlanId) -> Option<PlanSlot> {
        self.slots.get(&plan).copied()
    }

    pub fn get(&self, slot: PlanSlot) -> Option<&PlanState> {
        self.plans.get(slot.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: PlanSlot) -> Option<&mut PlanState> {
        self.plans.get_mut(slot.0 as usize)?.as_mut()
    }

    /// Adds a plan that is not in the table.
    pub fn insert(&mut self, state: PlanState) -> PlanSlot {
        let slot = PlanSlot(self.plans.len() as u32);
        self.slots.insert(state.plan.id, slot);
        self.plans.push(Some(state));
        slot
    }

    /// Removes a plan. Returns its slot and state.
    pub fn remove(&mut self, plan: PlanId) -> Option<(PlanSlot, PlanState)> {
        let slot = self.slots.remove(&plan)?;
        let state = self.plans.get_mut(slot.0 as usize)?.take()?;
        Some((slot, state))
    }

    /// Takes the state of a plan but keeps its slot; a new plan gets a new, empty slot.
    pub fn vacate(&mut self, plan: PlanId) -> (PlanSlot, Option<PlanState>) {
        if let Some(slot) = self.slot(plan) {
            let state = self.plans.get_mut(slot.0 as usize);
            return (slot, state.and_then(Option::take));
        }
        let slot = PlanSlot(self.plans.len() as u32);
        self.slots.insert(plan, slot);
        self.plans.push(None);
        (slot, None)
    }

    /// Fills a slot.
    pub fn fill(&mut self, slot: PlanSlot, state: PlanState) {
        if let Some(place) = self.plans.get_mut(slot.0 as usize) {
            *place = Some(state);
        }
    }
}
