//! The intake of facts: each goes to the group of its plan, unless it is settled.

use std::sync::Arc;

use weir_schema::{Fact, PlanId, WhatIfId};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::condition::FactEntries;
use crate::correlate::group::Group;
use crate::correlate::group_store::{GroupRecord, StateKey};
use crate::correlate::meter::PlanMeter;
use crate::correlate::output::{CorrelationCounts, CorrelatorOutput};
use crate::correlate::run::RunEntry;
use crate::correlate::shard::shard_of;
use crate::correlate::slots::PlanSlot;
use crate::steps::count_item;

impl Correlator {
    /// Pushes facts to their groups, and lists the groups that they touch.
    pub(super) fn admit_facts(&mut self, facts: &[Fact], output: &mut CorrelatorOutput) {
        // Neighbouring facts nearly always share their plan and tenant.
        let mut known: Option<(PlanId, PlanSlot)> = None;
        let mut shadow: Option<WhatIfId> = None;
        let mut clock: Option<TenantClock> = None;
        let mut round = self.meter.begin(facts.len(), 0);
        let mut run = 0;
        for (number, fact) in facts.iter().enumerate() {
            count_item(number);
            run += 1;
            let slot = match known {
                Some((plan, slot)) if plan == fact.plan => slot,
                _ => match self.plans.slot(fact.plan) {
                    Some(slot) => {
                        if let Some((_, before)) = known {
                            PlanMeter::weigh(&mut round, before, std::mem::take(&mut run));
                        }
                        shadow = self.shadows.get(&fact.plan).copied();
                        slot
                    }
                    // The plan was removed in this epoch, or its facts outlived it.
                    None => {
                        output.counts.facts += 1;
                        continue;
                    }
                },
            };
            known = Some((fact.plan, slot));
            let mut now = match clock {
                Some(clock) if clock.tenant == fact.tenant => clock,
                _ => clock_of(&self.clocks, fact.tenant),
            };
            clock = Some(now);
            if !self.backfilling.is_empty() {
                now = self.clock_for(slot, now);
            }
            let counts = match shadow {
                Some(what_if) => &mut output.what_ifs.entry(what_if).or_default().counts,
                None => &mut output.counts,
            };
            counts.facts += 1;
            if fact.time < now.settled {
                counts.not_re_evaluated += 1;
                continue;
            }
            if fact.time < now.watermark {
                counts.late += 1;
            }
            self.push(slot, fact, &now, counts);
            if !self.followers.is_empty() {
                self.push_to_followers(slot, fact, &now, output);
            }
        }
        if let Some((_, last)) = known {
            PlanMeter::weigh(&mut round, last, run);
        }
        self.meter.end(round);
    }

    /// Pushes a fact that is an event to its group.
    pub(super) fn push(
        &mut self,
        slot: PlanSlot,
        fact: &Fact,
        now: &TenantClock,
        counts: &mut CorrelationCounts,
    ) {
        let Some(plan) = self.plans.get(slot) else {
            return;
        };
        let FactEntries { anchor, negated } = plan.condition.event_entries(fact);
        let entries = anchor.into_iter().chain(negated);
        self.push_entries(slot, fact, entries, now, counts);
    }

    /// Pushes `entries` to the group of `fact`; creates the group unless its shard is full.
    pub(super) fn push_entries(
        &mut self,
        slot: PlanSlot,
        fact: &Fact,
        entries: impl Iterator<Item = RunEntry>,
        now: &TenantClock,
        counts: &mut CorrelationCounts,
    ) {
        let shard_groups_max = self.shard_groups_max();
        let Some(plan) = self.plans.get_mut(slot) else {
            return;
        };
        let key = StateKey::new(fact.plan, fact.group);
        let place = match self.groups.find(key) {
            Some(place) => place,
            None => {
                let groups = &mut plan.shard_groups[shard_of(&fact.group)];
                if *groups as usize >= shard_groups_max {
                    counts.limited += 1;
                    let rule = &plan.plan.rule;
                    if !counts.incomplete.contains(rule) {
                        counts.incomplete.insert(Arc::clone(rule));
                    }
                    return;
                }
                *groups += 1;
                self.fullest_shard = self.fullest_shard.max(*groups as usize);
                let record = GroupRecord {
                    plan: slot,
                    tenant: fact.tenant,
                    key: fact.group,
                    group: Group::new(now.settled),
                };
                self.groups.insert(key, record)
            }
        };
        let Some(record) = self.groups.get_mut(place) else {
            return;
        };
        if !record.group.touched {
            record.group.touched = true;
            self.touched.push(place);
        }
        for entry in entries {
            record.group.push(entry, &plan.condition);
        }
    }
}
