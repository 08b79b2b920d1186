//! Plans come, change and go while groups hold state: what is settled keeps the version that said it.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{Cause, Epoch, Plan, PlanId, RuleVersion, TenantKey};

use super::episode::Said;
use super::fault::{self, Fault};
use super::group::Group;
use super::hold::Held;
use super::windows::Condition;
use super::{Correlator, Output, SHARDS, chain, clock_of, identity};
use crate::clock::Clock;

/// A plan in force.
pub struct Running {
    pub plan: Arc<Plan>,
    /// The epoch in which it was put in place, or put back.
    pub placed: Epoch,
    pub condition: Condition,
    /// Versions with the settled lines at which they took over, oldest first.
    pub versions: Vec<(RuleVersion, BTreeMap<TenantKey, i64>)>,
    pub groups: Box<[u32; SHARDS]>,
    /// While it reads its past.
    pub held: Option<Held>,
}

impl Running {
    /// The version under which the anchor at `time` was evaluated.
    pub fn version(&self, tenant: TenantKey, time: i64) -> RuleVersion {
        let in_force = |(_, lines): &&(RuleVersion, BTreeMap<TenantKey, i64>)| {
            lines.get(&tenant).is_none_or(|line| time >= *line)
        };
        let newest = self.versions.iter().rev().find(in_force);
        newest.map_or(self.plan.version, |(version, _)| *version)
    }

    /// The last anchor that can be concluded. Of an absence, what the watermark has passed; and
    /// what would answer it after the end of the plan is not seen.
    pub fn open(&self, clock: &Clock) -> i64 {
        if self.condition.is_absence() && !fault::active(Fault::EarlyConclusion) {
            clock.watermark.0.min(self.last_anchor())
        } else {
            i64::MAX
        }
    }

    /// The first anchor after `open` that will be concluded later.
    pub fn next_open(&self, group: &Group, open: i64) -> Option<i64> {
        if !self.condition.is_absence() {
            return None;
        }
        let next = group.run.entries().get(group.run.up_to(open))?;
        (next.time <= self.last_anchor()).then_some(next.time)
    }

    fn last_anchor(&self) -> i64 {
        self.plan.until.0.saturating_sub(1)
    }
}

impl Correlator {
    /// Puts a plan in force. A known plan's settled part keeps the version that said it.
    pub(super) fn put(&mut self, epoch: Epoch, plan: &Arc<Plan>, output: &mut Output) {
        let lines: BTreeMap<TenantKey, i64> = self
            .clocks
            .iter()
            .map(|(tenant, clock)| (*tenant, clock.settled.0))
            .collect();
        let condition = Condition::of(plan);
        let Some(slot) = self.slots.get(&plan.id).copied() else {
            self.slots.insert(plan.id, self.plans.len() as u32);
            self.plans.push(Some(Running {
                plan: Arc::clone(plan),
                placed: epoch,
                condition,
                versions: vec![(plan.version, BTreeMap::new())],
                groups: Box::new([0; SHARDS]),
                held: None,
            }));
            return;
        };
        let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
            return;
        };
        let old = std::mem::replace(&mut running.condition, condition);
        let until = (plan.until < running.plan.until).then_some(plan.until.0);
        if running.held.is_some() {
            // It has said nothing that an older version would keep.
            running.versions = vec![(plan.version, BTreeMap::new())];
            running.plan = Arc::clone(plan);
            if until.is_some() {
                self.end_held(slot);
            }
            return;
        }
        if running.plan.version != plan.version {
            running.versions.push((plan.version, lines));
        }
        running.plan = Arc::clone(plan);
        let mut gone = Vec::new();
        for (place, keyed) in self
            .groups
            .iter_mut()
            .filter(|(_, keyed)| keyed.plan == slot)
        {
            let clock = clock_of(&self.clocks, keyed.tenant);
            keyed.group.freeze(clock.settled.0, &old);
            if let Some(until) = until {
                keyed.group.tail.clear();
                let begun = until.saturating_add(running.condition.delay);
                keyed.group.run.truncate_from(begun);
                keyed.group.others.truncate_from(until);
            }
            let line = keyed.group.frozen;
            let whole = (line, i64::MAX);
            let judged = (&running.condition, running.open(&clock));
            keyed
                .group
                .reevaluate(whole, judged, &mut gone, &mut Vec::new());
            // An episode may have shrunk to its settled part, which ends up to a window before.
            let mut from = line.saturating_sub(running.condition.timespan);
            if let Some(until) = until
                && give_up_names(&mut keyed.group, until, &mut gone)
            {
                from = i64::MIN;
            }
            let cause = Cause::Rule(plan.version);
            let told = (whole, judged.1);
            chain::tell(running, keyed, told, cause, &mut output.fed);
            let mut speaker = identity::Speaker {
                running,
                group: keyed.key,
                tenant: keyed.tenant,
                epoch,
                clock,
                heard: &self.heard,
                cause,
                output,
            };
            speaker.take_back(&mut gone);
            let waits = speaker.say(&mut keyed.group, from, i64::MAX);
            self.calendar.wait(keyed.tenant, waits, place);
        }
    }

    /// Drops a plan. Its rows stand until its rule's row is taken away downstream.
    pub(super) fn remove(&mut self, plan: PlanId, output: &mut Output) {
        let Some(slot) = self.slots.remove(&plan) else {
            return;
        };
        self.plans[slot as usize] = None;
        self.held.remove(&slot);
        self.forget_followers(slot);
        self.bygone.remove(&slot);
        let shadow = self.shadows.contains_key(&plan);
        let mut removed = Vec::new();
        for (place, keyed) in self.groups.iter_mut() {
            if keyed.plan != slot {
                continue;
            }
            for said in keyed
                .group
                .episodes
                .drain(..)
                .filter_map(|episode| episode.said)
            {
                let rows = said.taken_back.into_iter().chain(said.row);
                output.rows.extend(rows.map(|row| (row, -1)));
                if !shadow {
                    output.retractions.push((said.alert, Cause::RuleRemoved));
                }
            }
            removed.push(place);
        }
        removed
            .into_iter()
            .for_each(|place| self.groups.remove(place, plan));
    }
}

/// Takes the alerts of episodes that are named by an anchor at or after `until`: the plan that
/// follows this one gives that name to its own. Returns whether there are any.
fn give_up_names(group: &mut Group, until: i64, gone: &mut Vec<Said>) -> bool {
    let before = gone.len();
    for episode in &mut group.episodes {
        if episode
            .said
            .as_ref()
            .is_some_and(|said| said.named >= until)
        {
            gone.extend(episode.said.take());
        }
    }
    gone.len() > before
}
