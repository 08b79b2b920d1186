//! Plans of what-ifs: they begin with what other plans hold, run beside them, and may take their place.
//!
//! A shadow that differs from a plan in its condition alone shares the facts of that plan: each is
//! handed on to it here, so that nothing before has to know of it. What shadows say is kept apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{AlertId, AlertRow, Basis, Cause, Epoch, Fact, Hearer, Plan, PlanId, TenantKey};

use super::group::Group;
use super::groups::{Keyed, Slot, StateKey};
use super::hold::Held;
use super::plans::Running;
use super::run::Entry;
use super::{Correlator, Directive, Output, clock_of, identity, shard};
use crate::clock::Clock;

/// Alerts that settle while a what-if runs are kept for its promotion, so many of each shard of the
/// groups of each of its plans, so that which they are is the same on any number of workers; more
/// are counted, and stand as they are.
const BYGONE_MAX: usize = 2_000;

/// What was said while a what-if ran, and is forgotten by now.
#[derive(Debug, Default)]
pub struct Bygone {
    /// By the plan of which it is a copy.
    live: Kept,
    /// By itself.
    own: Kept,
}

#[derive(Debug, Default)]
struct Kept {
    rows: BTreeMap<AlertId, Arc<AlertRow>>,
    /// How many of them each shard has.
    counts: BTreeMap<usize, usize>,
}

impl Kept {
    /// Keeps the row, unless there are too many.
    fn keep(&mut self, row: &Arc<AlertRow>) -> bool {
        if let Some(known) = self.rows.get_mut(&row.alert) {
            known.clone_from(row);
            return true;
        }
        let count = self.counts.entry(shard(&row.group)).or_default();
        if *count >= BYGONE_MAX {
            return false;
        }
        *count += 1;
        self.rows.insert(row.alert, Arc::clone(row));
        true
    }
}

/// What stands is exchanged for what a what-if says.
struct Exchange<'o> {
    plan: PlanId,
    placed: Epoch,
    cause: Cause,
    stands: BTreeMap<AlertId, Arc<AlertRow>>,
    output: &'o mut Output,
}

impl Exchange<'_> {
    /// Says a row of the what-if, unless it stands so. Returns the row that stands then.
    fn say(&mut self, mut row: Arc<AlertRow>) -> Arc<AlertRow> {
        let own = Arc::make_mut(&mut row);
        (own.plan, own.placed) = (self.plan, self.placed);
        own.cause = self.cause;
        if let Some(old) = self.stands.remove(&row.alert) {
            if identity::alike(&old, &row) {
                return old;
            }
            self.output.rows.push((old, -1));
        }
        self.output.rows.push((Arc::clone(&row), 1));
        row
    }

    fn take_back_the_rest(self) {
        for (alert, row) in self.stands {
            self.output.retractions.push((alert, self.cause));
            self.output.rows.push((row, -1));
        }
    }
}

impl Correlator {
    /// Puts a plan of a what-if in force.
    pub(super) fn shadow(
        &mut self,
        epoch: Epoch,
        plan: &Arc<Plan>,
        basis: Basis,
        output: &mut Output,
    ) {
        if let Hearer::WhatIf(what_if) = plan.hearer {
            self.shadows.insert(plan.id, what_if);
        }
        let held = |of: PlanId| self.slots.get(&of).copied();
        match basis {
            Basis::Groups(of) => {
                if let Some(from) = held(of) {
                    self.copy_groups(epoch, plan, from, output);
                }
                // An edit of the copy, as it would be of the plan itself.
                self.put(epoch, plan, output);
            }
            Basis::Facts(of) => {
                let from = held(of);
                self.put(epoch, plan, output);
                self.hold_like(plan.id, from);
                if let Some(from) = from {
                    self.copy_facts(plan, from, output);
                }
            }
            Basis::Journal => self.put(epoch, plan, output),
        }
    }

    /// Gives the plan all that the one at `from` holds and has said.
    fn copy_groups(&mut self, epoch: Epoch, plan: &Plan, from: u32, output: &mut Output) {
        let Some(Some(known)) = self.plans.get(from as usize) else {
            return;
        };
        let condition = known.condition.clone();
        let mut first = Plan::clone(&known.plan);
        (first.id, first.hearer) = (plan.id, plan.hearer);
        let running = Running {
            plan: Arc::new(first),
            placed: epoch,
            condition: condition.clone(),
            versions: known.versions.clone(),
            groups: known.groups.clone(),
            held: None,
        };
        let slot = self.plans.len() as u32;
        self.plans.push(Some(running));
        self.slots.insert(plan.id, slot);
        self.hold_like(plan.id, Some(from));
        self.followers.entry(from).or_default().push(slot);
        for place in self.places(from) {
            let Some(keyed) = self.groups.get_mut(place) else {
                continue;
            };
            let mut group = keyed.group.copy();
            for said in group.episodes.iter_mut().filter_map(|e| e.said.as_mut()) {
                said.taken_back.clear();
                if let Some(row) = &mut said.row {
                    let own = Arc::make_mut(row);
                    (own.plan, own.placed) = (plan.id, epoch);
                    output.rows.push((Arc::clone(row), 1));
                }
            }
            group.touched = keyed.group.touched;
            let (tenant, key) = (keyed.tenant, keyed.key);
            let copy = Keyed {
                plan: slot,
                tenant,
                key,
                group,
            };
            let touched = copy.group.touched;
            let place = self.groups.insert(StateKey::of(plan.id, key), copy);
            if touched {
                self.touched.push(place);
                continue; // Nothing of it is judged yet.
            }
            if let Some(keyed) = self.groups.get_mut(place) {
                self.calendar
                    .expect(tenant, place, &mut keyed.group, &condition);
                // It waits for what its model waits for.
                let waits = keyed.group.waits();
                self.calendar.wait(tenant, waits, place);
                let clock = clock_of(&self.clocks, tenant);
                let copy = self.plans.get(slot as usize).and_then(Option::as_ref);
                let next = copy.and_then(|copy| copy.next_open(&keyed.group, copy.open(&clock)));
                if let Some(anchor) = next {
                    self.calendar.conclude(tenant, anchor, place);
                }
            }
        }
    }

    /// Gives the plan, which is new, the facts that it would have of those that the one at `from`
    /// holds; they are judged with those of this epoch.
    fn copy_facts(&mut self, plan: &Plan, from: u32, output: &mut Output) {
        let (shard_max, places) = (self.shard_max(), self.places(from));
        let known = self.clocks.values();
        let lines = known.map(|clock| (clock.tenant, self.clock_for(from, *clock)));
        let lines: BTreeMap<TenantKey, Clock> = lines.collect();
        let Some(slot) = self.slots.get(&plan.id).copied() else {
            return;
        };
        for place in places {
            let Some(keyed) = self.groups.get_mut(place) else {
                continue;
            };
            let (tenant, key) = (keyed.tenant, keyed.key);
            let clock = lines.get(&tenant).copied();
            let clock = clock.unwrap_or_else(|| clock_of(&self.clocks, tenant));
            let begin = plan.since.max(clock.settled).0;
            let sees = |entry: &&Entry| begin <= entry.time && entry.time < plan.until.0;
            let (run, others) = (keyed.group.run.entries(), keyed.group.others.entries());
            let seen: Vec<Entry> = run.iter().chain(others).filter(sees).copied().collect();
            let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
                return;
            };
            if seen.is_empty() {
                continue;
            }
            let shard = &mut running.groups[shard(&key)];
            if *shard as usize >= shard_max {
                if let Some(what_if) = self.shadows.get(&plan.id) {
                    let tried = output.what_ifs.entry(*what_if).or_default();
                    tried.counts.limited += seen.len() as u64;
                }
                continue;
            }
            *shard += 1;
            self.fullest = self.fullest.max(*shard as usize);
            let mut group = Group::new(clock.settled.0);
            for entry in seen {
                group.push(entry, &running.condition);
            }
            group.touched = true;
            let copy = Keyed {
                plan: slot,
                tenant,
                key,
                group,
            };
            let place = self.groups.insert(StateKey::of(plan.id, key), copy);
            self.touched.push(place);
        }
    }

    /// Lets the plan of a what-if be `plan`, with all that it holds and has said.
    pub(super) fn adopt(
        &mut self,
        epoch: Epoch,
        plan: &Arc<Plan>,
        from: PlanId,
        output: &mut Output,
    ) {
        let found = self.slots.remove(&from);
        let tried = found.and_then(|from| Some((from, self.plans.get_mut(from as usize)?.take()?)));
        let Some((from_slot, tried)) = tried else {
            self.put(epoch, plan, output);
            return;
        };
        self.forget_followers(from_slot);
        let bygone = self.bygone.remove(&from_slot).unwrap_or_default();
        let known = self.slots.get(&plan.id).copied();
        let slot = known.unwrap_or(self.plans.len() as u32);
        let before = known.and_then(|slot| self.plans.get_mut(slot as usize)?.take());
        if known.is_none() {
            self.slots.insert(plan.id, slot);
            self.plans.push(None);
        }
        let mut change = Exchange {
            plan: plan.id,
            placed: before.map_or(epoch, |before| before.placed),
            cause: Cause::Rule(plan.version),
            stands: bygone.live.rows,
            output,
        };
        for place in self.places(slot) {
            let taken = self.groups.take(place, plan.id);
            let episodes = taken.into_iter().flat_map(|keyed| keyed.group.episodes);
            let rows = episodes.filter_map(|episode| episode.said?.row);
            change.stands.extend(rows.map(|row| (row.alert, row)));
        }
        for row in bygone.own.rows.into_values() {
            change.say(row);
        }
        let mut running = Running {
            plan: Arc::clone(plan),
            placed: change.placed,
            condition: tried.condition,
            versions: tried.versions,
            groups: tried.groups,
            held: tried.held.as_ref().map(Held::copy),
        };
        self.held.remove(&from_slot);
        self.held.remove(&slot);
        if running.held.is_some() {
            self.held.insert(slot);
        }
        for place in self.places(from_slot) {
            let Some(mut keyed) = self.groups.take(place, from) else {
                continue;
            };
            keyed.plan = slot;
            for episode in &mut keyed.group.episodes {
                let Some(said) = &mut episode.said else {
                    continue;
                };
                said.taken_back.clear();
                said.row = said.row.take().map(|row| change.say(row));
            }
            let touched = keyed.group.touched;
            let place = self.keep(keyed, &running);
            if let Some(held) = running.held.as_mut().filter(|_| touched) {
                held.touch(place);
            }
        }
        change.take_back_the_rest();
        running.plan = Arc::clone(plan);
        if let Some(place) = self.plans.get_mut(slot as usize) {
            *place = Some(running);
        }
    }

    /// Keeps a group of a plan that has another place now, and notes what it waits for.
    fn keep(&mut self, mut keyed: Keyed, running: &Running) -> Slot {
        let tenant = keyed.tenant;
        let clock = clock_of(&self.clocks, tenant);
        let next = running.next_open(&keyed.group, running.open(&clock));
        let waits = keyed.group.waits();
        keyed.group.expected = false;
        let key = StateKey::of(running.plan.id, keyed.key);
        let place = self.groups.insert(key, keyed);
        self.calendar.wait(tenant, waits, place);
        if let Some(anchor) = next {
            self.calendar.conclude(tenant, anchor, place);
        }
        if let Some(keyed) = self.groups.get_mut(place) {
            self.calendar
                .expect(tenant, place, &mut keyed.group, &running.condition);
        }
        place
    }

    /// Keeps what a plan has said and is about to forget, where a what-if may have to answer for it.
    pub(super) fn remember(
        &mut self,
        slot: u32,
        mut rows: Vec<Arc<AlertRow>>,
        output: &mut Output,
    ) {
        // Groups come in the order of their places, which facts take as they come.
        rows.sort_unstable();
        let followers = self.followers.get(&slot).cloned().unwrap_or_default();
        for (shadow, own) in followers.iter().map(|f| (*f, false)).chain([(slot, true)]) {
            let Some(Some(running)) = self.plans.get(shadow as usize) else {
                continue;
            };
            let Hearer::WhatIf(what_if) = running.plan.hearer else {
                continue;
            };
            let bygone = self.bygone.entry(shadow).or_default();
            let kept = if own {
                &mut bygone.own
            } else {
                &mut bygone.live
            };
            for row in &rows {
                if !kept.keep(row) {
                    let tried = output.what_ifs.entry(what_if).or_default();
                    tried.counts.limited += 1;
                }
            }
        }
    }

    /// Hands a fact on to the shadows that share those of the plan at `slot`.
    pub(super) fn follow(&mut self, slot: u32, fact: &Fact, now: &Clock, output: &mut Output) {
        let Some(followers) = self.followers.get_mut(&slot).map(std::mem::take) else {
            return;
        };
        for follower in &followers {
            let Some(Some(running)) = self.plans.get(*follower as usize) else {
                continue;
            };
            let Hearer::WhatIf(what_if) = running.plan.hearer else {
                continue;
            };
            if fact.time >= running.plan.until {
                continue;
            }
            let own = Fact {
                plan: running.plan.id,
                ..*fact
            };
            let counts = &mut output.what_ifs.entry(what_if).or_default().counts;
            counts.facts += 1;
            counts.late += u64::from(fact.time < now.watermark);
            self.push(*follower, &own, now, counts);
        }
        self.followers.insert(slot, followers);
    }

    /// Takes note that a plan is gone.
    pub(super) fn forget_followers(&mut self, slot: u32) {
        self.followers.remove(&slot);
        self.followers.retain(|_, followers| {
            followers.retain(|follower| *follower != slot);
            !followers.is_empty()
        });
    }

    /// Parts what shadows say from what alerts are made of.
    pub(super) fn hand_apart(&mut self, directives: &[Directive], output: &mut Output) {
        if self.shadows.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut output.rows);
        for (row, diff) in rows {
            match self.shadows.get(&row.plan) {
                Some(what_if) => {
                    let tried = output.what_ifs.entry(*what_if).or_default();
                    tried.rows.push((row, diff));
                }
                None => output.rows.push((row, diff)),
            }
        }
        for directive in directives {
            // One that went may have come again.
            if let Directive::Remove(plan) | Directive::Adopt { from: plan, .. } = directive
                && !self.slots.contains_key(plan)
            {
                self.shadows.remove(plan);
            }
        }
    }

    fn places(&mut self, slot: u32) -> Vec<Slot> {
        let mine = self.groups.iter_mut().filter(|(_, k)| k.plan == slot);
        mine.map(|(place, _)| place).collect()
    }
}
