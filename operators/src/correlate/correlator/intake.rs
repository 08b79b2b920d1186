//! The intake of facts: each goes to the group of its plan, unless it is settled.

use std::sync::Arc;

use weir_schema::{EventTime, Fact, Plan, PlanId, TimeMark, WhatIfId};

use super::{Correlator, clock_of};
use crate::clock::TenantClock;
use crate::correlate::condition::FactEntries;
use crate::correlate::fault::{self, PlantedFault};
use crate::correlate::group::Group;
use crate::correlate::group_store::{GroupRecord, StateKey};
use crate::correlate::meter::PlanMeter;
use crate::correlate::output::{CorrelationCounts, CorrelatorOutput};
use crate::correlate::run::RunEntry;
use crate::correlate::shard::shard_of;
use crate::correlate::slots::PlanSlot;
use crate::steps::count_item;

/// A fact as its plan takes it.
enum Admission {
    Admitted(Fact),
    /// It lies before the settled line, and changes nothing.
    Settled,
    /// The same event has another fact for this plan, which counts.
    Unneeded,
}

impl Admission {
    fn count(&self, now: &TenantClock, counts: &mut CorrelationCounts) {
        match self {
            Self::Unneeded => return,
            Self::Settled => counts.not_re_evaluated += 1,
            Self::Admitted(fact) => {
                let is_late = fact.time_mark == Some(TimeMark::LateBeyondHorizon);
                counts.beyond_horizon += u64::from(is_late);
                counts.late += u64::from(fact.time < now.watermark);
            }
        }
        counts.facts += 1;
    }
}

/// Decides about a fact.
///
/// An event that may lie before the settled line has two facts for a rule that is no correlation:
/// one at the time that it states, and one that is marked as late. The line decides which of the two
/// counts. The late one stands at its time of receipt, in a group of its own.
fn admission(plan: &Plan, fact: &Fact, now: &TenantClock) -> Admission {
    let is_settled = fact.time < now.settled;
    if fact.time_mark != Some(TimeMark::LateBeyondHorizon) {
        return match is_settled {
            true if plan.correlates => Admission::Settled,
            true => Admission::Unneeded,
            false => Admission::Admitted(*fact),
        };
    }
    let time = EventTime(fact.received.0);
    if !is_settled || fault::active(PlantedFault::LateIsLost) {
        return Admission::Unneeded;
    }
    if time < now.settled {
        return Admission::Settled;
    }
    let group = match fault::active(PlantedFault::LateJoins) {
        true => fact.group,
        false => fact.group.late_twin(),
    };
    Admission::Admitted(Fact {
        group,
        time,
        ..*fact
    })
}

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
            let Some(plan) = self.plans.get(slot) else {
                continue;
            };
            let admission = admission(&plan.plan, fact, &now);
            admission.count(&now, counts);
            let Admission::Admitted(fact) = &admission else {
                continue;
            };
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
