//! Exact correlation in event time: facts, plans and clocks in; alert rows that change out.
//!
//! One epoch is one call of [`Correlator::epoch`]: plans change first, then facts are judged by the
//! settled line of the epoch before and taken in, then the clock moves. Nothing here knows timely;
//! `operator.rs` wraps it.

mod calendar;
mod chain;
mod episode;
mod evidence;
mod fault;
mod group;
mod groups;
mod hold;
mod identity;
mod operator;
mod order;
mod plans;
mod run;
mod seen;
mod shadow;
mod tail;
mod values;
mod windows;

#[cfg(test)]
mod tests;

pub use chain::Fed;
pub use operator::{CorrelateNote, Correlated, correlate};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, Basis, Cause, Epoch, EventTime, Fact, GroupKey, Plan, PlanId, RuleId,
    SourceKey, TenantKey, WhatIfId,
};

use crate::clock::Clock;
use calendar::Calendar;
use fault::Fault;
use group::{Group, Scratch};
use groups::{Groups, Keyed, Slot, StateKey};
use identity::Heard;
use plans::Running;
use run::Entry;
use shadow::Bygone;
use windows::Condition;

/// Most groups of one plan. Beyond it a new group is refused and counted, and the rule is incomplete.
pub const GROUPS_MAX: usize = 4 << 20;

/// Groups are counted in so many shards, each on one worker, so that the limit falls alike on any number of workers.
pub const SHARDS: usize = 64;

/// What changes how facts are read; equal on every worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Directive {
    /// A new plan, or new parameters of one.
    Put(Arc<Plan>),
    /// The plan and all it said is gone.
    Remove(PlanId),
    /// A new plan of a what-if.
    Shadow { plan: Arc<Plan>, basis: Basis },
    /// A plan of a what-if takes the place of the plan that it was tried for, or becomes one.
    Adopt { plan: Arc<Plan>, from: PlanId },
    /// The plan, put in this epoch, reads its past in steps: it concludes nothing until the last.
    Hold(PlanId),
    /// What the plan has of its past with the facts of this epoch is all.
    Release(PlanId),
    /// Watermark and settled line of a tenant, from the end of this epoch on.
    Clock(Clock),
    /// How far a source has been heard to tell. Comes where some plan is about silence.
    Heard(SourceKey, EventTime),
}

/// What an epoch has to say.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows with +1 or -1.
    pub rows: Vec<(Arc<AlertRow>, isize)>,
    /// Why alerts went that have no row any more.
    pub retractions: Vec<(AlertId, Cause)>,
    /// What stages behind this one are told.
    pub fed: Vec<Fed>,
    pub counts: Counts,
    pub what_ifs: BTreeMap<WhatIfId, Tried>,
}

/// What an epoch has to say to a what-if.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Tried {
    /// Rows with +1 or -1.
    pub rows: Vec<(Arc<AlertRow>, isize)>,
    pub counts: Counts,
}

/// What was not taken in, per epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub facts: u64,
    /// Before the settled line: recorded, searchable, without effect.
    pub not_re_evaluated: u64,
    /// Behind the watermark: corrected what was said.
    pub late: u64,
    /// Refused since their plan has too many groups.
    pub limited: u64,
    /// The rules of these plans: from here on they do not say all that they should.
    pub incomplete: BTreeSet<RuleId>,
}

impl Counts {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.not_re_evaluated += other.not_re_evaluated;
        self.late += other.late;
        self.limited += other.limited;
        self.incomplete.extend(other.incomplete.iter().cloned());
    }
}

/// All groups of one worker.
#[derive(Default)]
pub struct Correlator {
    /// It runs the plans of this stage.
    stage: u8,
    /// Slots are never given anew, so that a group's plan stays what it was; removed plans leave `None`.
    plans: Vec<Option<Running>>,
    slots: BTreeMap<PlanId, u32>,
    groups: Groups,
    clocks: BTreeMap<TenantKey, Clock>,
    heard: Heard,
    calendar: Calendar,
    touched: Vec<Slot>,
    scratch: Scratch,
    groups_max: Option<usize>,
    /// Most groups that any shard of any plan ever had.
    fullest: usize,
    /// The plans of what-ifs.
    shadows: BTreeMap<PlanId, WhatIfId>,
    /// The slots of shadows that share the facts of another plan, by the slot of that.
    followers: BTreeMap<u32, Vec<u32>>,
    /// By the slot of a shadow.
    bygone: BTreeMap<u32, Bygone>,
    /// The slots of plans that read their past.
    held: BTreeSet<u32>,
}

impl Correlator {
    /// A correlator whose plans hold at most `groups` groups.
    #[must_use]
    pub fn with_groups_max(groups: usize) -> Self {
        Self {
            groups_max: Some(groups),
            ..Self::default()
        }
    }

    /// A correlator of plans whose facts come through `stage` others.
    #[must_use]
    pub fn of_stage(stage: u8) -> Self {
        Self {
            stage,
            ..Self::default()
        }
    }

    /// Groups held, and the bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.groups.len(), self.groups.bytes())
    }

    /// Takes one epoch in. `facts` may come in any order.
    pub fn epoch(&mut self, epoch: Epoch, facts: &[Fact], directives: &[Directive]) -> Output {
        self.epoch_fed(epoch, facts, &[], directives)
    }

    /// As [`Self::epoch`], with what other plans say.
    pub fn epoch_fed(
        &mut self,
        epoch: Epoch,
        facts: &[Fact],
        fed: &[Fed],
        directives: &[Directive],
    ) -> Output {
        let mut output = Output::default();
        for directive in directives {
            match directive {
                Directive::Put(plan)
                | Directive::Shadow { plan, .. }
                | Directive::Adopt { plan, .. }
                    if plan.chain.stage != self.stage => {}
                Directive::Put(plan) => self.put(epoch, plan, &mut output),
                Directive::Remove(plan) => self.remove(*plan, &mut output),
                Directive::Shadow { plan, basis } => self.shadow(epoch, plan, *basis, &mut output),
                Directive::Adopt { plan, from } => self.adopt(epoch, plan, *from, &mut output),
                Directive::Hold(plan) => self.hold(*plan),
                Directive::Release(_) | Directive::Clock(_) | Directive::Heard(..) => {}
            }
        }
        if self.fullest.saturating_add(facts.len()) > self.shard_max() {
            // Who comes first decides who is refused, and workers hand facts on in any order.
            let mut sorted = facts.to_vec();
            sorted.sort_unstable();
            self.take_in(&sorted, &mut output);
        } else {
            self.take_in(facts, &mut output);
        }
        if !fed.is_empty() {
            self.take_in_fed(fed, &mut output);
        }
        for directive in directives {
            if let Directive::Release(plan) = directive {
                self.release(*plan);
            }
        }
        self.settle(epoch, &mut output);
        for directive in directives {
            if let Directive::Heard(source, time) = directive {
                self.hear(epoch, *source, time.0, &mut output);
            }
        }
        for directive in directives {
            if let Directive::Clock(clock) = directive {
                self.advance(epoch, *clock, &mut output);
            }
        }
        self.hand_apart(directives, &mut output);
        output
    }

    /// Most groups of one plan in one shard.
    fn shard_max(&self) -> usize {
        self.groups_max.unwrap_or(GROUPS_MAX) / SHARDS
    }

    /// Pushes facts to their groups, and lists the groups that this touches.
    fn take_in(&mut self, facts: &[Fact], output: &mut Output) {
        let mut known: Option<(PlanId, u32)> = None;
        let mut shadow: Option<WhatIfId> = None;
        let mut clock: Option<Clock> = None;
        for fact in facts {
            let slot = match known {
                Some((plan, slot)) if plan == fact.plan => slot,
                _ => match self.slots.get(&fact.plan) {
                    Some(slot) => {
                        shadow = self.shadows.get(&fact.plan).copied();
                        *slot
                    }
                    // The plan was removed in this very epoch, or its facts outlived it.
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
            if !self.held.is_empty() {
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
                self.follow(slot, fact, &now, output);
            }
        }
    }

    fn push(&mut self, slot: u32, fact: &Fact, now: &Clock, counts: &mut Counts) {
        let Some(Some(running)) = self.plans.get(slot as usize) else {
            return;
        };
        let entry = Entry {
            time: running.condition.time_of(fact),
            event: fact.event,
            position: fact.position,
            mark: running.condition.mark(fact),
        };
        self.push_entry(slot, fact, entry, now, counts);
    }

    /// Gives the group of `fact` its entry.
    fn push_entry(
        &mut self,
        slot: u32,
        fact: &Fact,
        entry: Entry,
        now: &Clock,
        counts: &mut Counts,
    ) {
        let shard_max = self.shard_max();
        let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
            return;
        };
        let key = StateKey::of(fact.plan, fact.group);
        let place = match self.groups.find(key) {
            Some(place) => place,
            None => {
                let shard = &mut running.groups[shard(&fact.group)];
                if *shard as usize >= shard_max {
                    counts.limited += 1;
                    let rule = &running.plan.rule;
                    if !counts.incomplete.contains(rule) {
                        counts.incomplete.insert(Arc::clone(rule));
                    }
                    return;
                }
                *shard += 1;
                self.fullest = self.fullest.max(*shard as usize);
                let keyed = Keyed {
                    plan: slot,
                    tenant: fact.tenant,
                    key: fact.group,
                    group: Group::new(now.settled.0),
                };
                self.groups.insert(key, keyed)
            }
        };
        let Some(keyed) = self.groups.get_mut(place) else {
            return;
        };
        if !keyed.group.touched {
            keyed.group.touched = true;
            self.touched.push(place);
        }
        keyed.group.push(entry, &running.condition);
    }

    /// Re-evaluates what the epoch touched and says what changed.
    fn settle(&mut self, epoch: Epoch, output: &mut Output) {
        let mut gone = Vec::new();
        for place in std::mem::take(&mut self.touched) {
            let Some(keyed) = self.groups.get_mut(place) else {
                continue;
            };
            let Some(Some(running)) = self.plans.get_mut(keyed.plan as usize) else {
                continue;
            };
            if let Some(held) = &mut running.held {
                held.touch(place);
                continue;
            }
            let running = &*running;
            keyed.group.touched = false;
            let told = keyed.group.chain.as_mut();
            let told = told.and_then(|chain| chain.cause.take());
            if keyed.group.is_quiet(&running.condition) {
                keyed.group.absorb(&running.condition, &mut self.scratch);
                self.calendar
                    .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
                continue;
            }
            let clock = clock_of(&self.clocks, keyed.tenant);
            let newest = || newest_cause(&keyed.group, &running.condition, &clock);
            let cause = told.unwrap_or_else(newest);
            let open = running.open(&clock);
            let judged = (&running.condition, open);
            if let Some((from, to)) = keyed.group.settle(judged, &mut gone, &mut self.scratch) {
                chain::tell(running, keyed, ((from, to), open), cause, &mut output.fed);
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
                let waits = speaker.say(&mut keyed.group, from, to);
                self.calendar.wait(keyed.tenant, waits, place);
            }
            if let Some(anchor) = running.next_open(&keyed.group, open)
                && self.scratch.came(anchor)
            {
                self.calendar.conclude(keyed.tenant, anchor, place);
            }
            self.calendar
                .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
        }
    }

    /// Moves a tenant's clock: confirms what the watermark passed, settles what the line passed.
    fn advance(&mut self, epoch: Epoch, clock: Clock, output: &mut Output) {
        let before = clock_of(&self.clocks, clock.tenant);
        self.clocks.insert(clock.tenant, clock);
        let mut gone = Vec::new();
        for place in self.calendar.confirmed(clock.tenant, clock.watermark.0) {
            // The place may have been given to a group of another tenant since it was noted.
            let found = self.groups.get_mut(place);
            let Some(keyed) = found.filter(|keyed| keyed.tenant == clock.tenant) else {
                continue;
            };
            let Some(Some(running)) = self.plans.get(keyed.plan as usize) else {
                continue;
            };
            if running.held.is_some() {
                continue;
            }
            let condition = &running.condition;
            let mut said = (i64::MIN, i64::MAX);
            if condition.is_absence() {
                let after = before.watermark.0.saturating_add(1);
                let open = running.open(&clock);
                let (passed, judged) = ((after, open), (condition, open));
                let firing = &mut Vec::new();
                keyed.group.reevaluate(passed, judged, &mut gone, firing);
                let cause = Cause::Watermark(clock.watermark);
                chain::tell(running, keyed, (passed, open), cause, &mut output.fed);
                if let Some(anchor) = running.next_open(&keyed.group, open) {
                    self.calendar.conclude(keyed.tenant, anchor, place);
                }
                // Of what was concluded before nothing is confirmed: only what is near may change.
                let reach = condition.timespan;
                said = (after.saturating_sub(reach), open.saturating_add(reach));
            }
            let mut speaker = identity::Speaker {
                running,
                group: keyed.key,
                tenant: keyed.tenant,
                epoch,
                clock: Clock {
                    settled: before.settled,
                    ..clock
                },
                heard: &self.heard,
                cause: Cause::Watermark(clock.watermark),
                output,
            };
            speaker.take_back(&mut gone);
            let waits = speaker.say(&mut keyed.group, said.0, said.1);
            self.calendar.wait(keyed.tenant, waits, place);
        }
        let mut bygone: BTreeMap<u32, Vec<Arc<AlertRow>>> = BTreeMap::new();
        for place in self.calendar.due(clock.tenant, clock.settled.0) {
            let (slot, rows) = self.forget(place, &clock).unwrap_or_default();
            if !rows.is_empty() {
                bygone.entry(slot).or_default().extend(rows);
            }
        }
        for (slot, rows) in bygone {
            self.remember(slot, rows, output);
        }
    }

    /// Says of what is blind that it is not, where its source has told enough.
    fn hear(&mut self, epoch: Epoch, source: SourceKey, time: i64, output: &mut Output) {
        let known = self.heard.entry(source).or_insert(time);
        *known = time.max(*known);
        for place in self.calendar.heard(source, time) {
            let Some(keyed) = self.groups.get_mut(place) else {
                continue;
            };
            let Some(Some(running)) = self.plans.get(keyed.plan as usize) else {
                continue;
            };
            let quiet = running.held.is_some() || !running.condition.is_silence();
            if quiet || fault::active(Fault::StaysBlind) {
                continue; // The place may have been given to another group since it was noted.
            }
            let clock = clock_of(&self.clocks, keyed.tenant);
            let mut speaker = identity::Speaker {
                running,
                group: keyed.key,
                tenant: keyed.tenant,
                epoch,
                clock,
                heard: &self.heard,
                cause: Cause::Watermark(clock.watermark),
                output,
            };
            let waits = speaker.say(&mut keyed.group, i64::MIN, i64::MAX);
            self.calendar.wait(keyed.tenant, waits, place);
        }
    }

    /// Forgets what is settled of a group. Returns its plan, and what a what-if may have to answer for.
    fn forget(&mut self, place: Slot, clock: &Clock) -> Option<(u32, Vec<Arc<AlertRow>>)> {
        let found = self.groups.get_mut(place);
        let keyed = found.filter(|keyed| keyed.tenant == clock.tenant)?;
        let running = self.plans.get_mut(keyed.plan as usize)?.as_mut()?;
        if running.held.is_some() {
            keyed.group.expected = false; // Noted again once it is released.
            return None;
        }
        keyed.group.freeze(clock.settled.0, &running.condition);
        let slot = keyed.plan;
        let bygone = if self.shadows.is_empty() {
            Vec::new()
        } else {
            keyed.group.bygone(&running.condition)
        };
        keyed.group.forget(&running.condition);
        keyed.group.expected = false;
        if keyed.group.is_empty() {
            running.groups[shard(&keyed.key)] -= 1;
            self.groups.remove(place, running.plan.id);
        } else {
            self.calendar
                .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
        }
        Some((slot, bygone))
    }
}

/// Where a tenant stands.
fn clock_of(clocks: &BTreeMap<TenantKey, Clock>, tenant: TenantKey) -> Clock {
    clocks.get(&tenant).copied().unwrap_or(Clock::start(tenant))
}

fn shard(group: &GroupKey) -> usize {
    (group.0[1] % SHARDS as u64) as usize
}

/// The event that this epoch's changes of a group are put down to: the earliest late one, else the last.
fn newest_cause(group: &Group, condition: &Condition, clock: &Clock) -> Cause {
    let began = |entry: &Entry| Entry {
        time: entry.time.saturating_sub(condition.delay),
        ..*entry
    };
    let ours = || group.run.pushed().iter().map(began);
    let new = || ours().chain(group.others.pushed().iter().copied());
    let late = new().filter(|entry| entry.time < clock.watermark.0).min();
    match (late, new().max()) {
        (Some(entry), _) => Cause::LateEvent(entry.item()),
        (None, Some(entry)) => Cause::Event(entry.item()),
        (None, None) => Cause::Watermark(clock.watermark),
    }
}

/// Where a worker keeps the facts of `group`.
#[must_use]
pub fn route(group: &GroupKey) -> u64 {
    shard(group) as u64
}
