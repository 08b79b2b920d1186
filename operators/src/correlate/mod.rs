//! Exact correlation in event time: facts, plans and clocks in; alert rows that change out.
//!
//! One epoch is one call of [`Correlator::epoch`]: plans change first, then facts are judged by the
//! settled line of the epoch before and taken in, then the clock moves. Nothing here knows timely;
//! `operator.rs` wraps it.

mod calendar;
mod fault;
mod group;
mod groups;
mod identity;
mod operator;
mod run;
mod windows;

#[cfg(test)]
mod tests;

pub use operator::{CorrelateNote, Correlated, correlate};

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_schema::{
    AlertId, AlertRow, Cause, Epoch, Fact, GroupKey, Plan, PlanId, RuleVersion, TenantKey,
};

use crate::clock::Clock;
use calendar::Calendar;
use group::{Group, Scratch};
use groups::{Groups, Keyed, Slot, StateKey};
use run::Entry;
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
    /// Watermark and settled line of a tenant, from the end of this epoch on.
    Clock(Clock),
}

/// What an epoch has to say.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows with +1 or -1.
    pub rows: Vec<(Arc<AlertRow>, isize)>,
    /// Why alerts went that have no row any more.
    pub retractions: Vec<(AlertId, Cause)>,
    pub counts: Counts,
}

/// What was not taken in, per epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub facts: u64,
    /// Before the settled line: recorded, searchable, without effect.
    pub not_re_evaluated: u64,
    /// Behind the watermark: corrected what was said.
    pub late: u64,
    /// Refused since their plan has too many groups.
    pub limited: u64,
}

impl Counts {
    /// Adds what another worker counted.
    pub fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.not_re_evaluated += other.not_re_evaluated;
        self.late += other.late;
        self.limited += other.limited;
    }
}

/// A plan in force.
struct Running {
    plan: Arc<Plan>,
    /// The epoch in which it was put in place, or put back.
    placed: Epoch,
    condition: Condition,
    /// Versions with the settled lines at which they took over, oldest first.
    versions: Vec<(RuleVersion, BTreeMap<TenantKey, i64>)>,
    groups: Box<[u32; SHARDS]>,
}

/// All groups of one worker.
#[derive(Default)]
pub struct Correlator {
    /// Slots are never given anew, so that a group's plan stays what it was; removed plans leave `None`.
    plans: Vec<Option<Running>>,
    slots: BTreeMap<PlanId, u32>,
    groups: Groups,
    clocks: BTreeMap<TenantKey, Clock>,
    calendar: Calendar,
    touched: Vec<Slot>,
    scratch: Scratch,
    groups_max: Option<usize>,
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

    /// Groups held, and the bytes they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.groups.len(), self.groups.bytes())
    }

    /// Takes one epoch in. `facts` may come in any order.
    pub fn epoch(&mut self, epoch: Epoch, facts: &[Fact], directives: &[Directive]) -> Output {
        let mut output = Output::default();
        for directive in directives {
            match directive {
                Directive::Put(plan) => self.put(epoch, plan, &mut output),
                Directive::Remove(plan) => self.remove(*plan, &mut output),
                Directive::Clock(_) => {}
            }
        }
        self.take_in(facts, &mut output.counts);
        self.settle(epoch, &mut output);
        for directive in directives {
            if let Directive::Clock(clock) = directive {
                self.advance(epoch, *clock, &mut output);
            }
        }
        output
    }

    fn clock(&self, tenant: TenantKey) -> Clock {
        let start = Clock::start(tenant);
        self.clocks.get(&tenant).copied().unwrap_or(start)
    }

    /// Pushes facts to their groups, and lists the groups that this touches.
    fn take_in(&mut self, facts: &[Fact], counts: &mut Counts) {
        counts.facts += facts.len() as u64;
        let mut known: Option<(PlanId, u32)> = None;
        let mut clock: Option<Clock> = None;
        for fact in facts {
            let slot = match known {
                Some((plan, slot)) if plan == fact.plan => slot,
                _ => match self.slots.get(&fact.plan) {
                    Some(slot) => *slot,
                    // The plan was removed in this very epoch, or its facts outlived it.
                    None => continue,
                },
            };
            known = Some((fact.plan, slot));
            let now = match clock {
                Some(clock) if clock.tenant == fact.tenant => clock,
                _ => self.clock(fact.tenant),
            };
            clock = Some(now);
            if fact.time < now.settled {
                counts.not_re_evaluated += 1;
                continue;
            }
            if fact.time < now.watermark {
                counts.late += 1;
            }
            self.push(slot, fact, &now, counts);
        }
    }

    fn push(&mut self, slot: u32, fact: &Fact, now: &Clock, counts: &mut Counts) {
        let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
            return;
        };
        let entry = Entry {
            time: fact.time.0,
            event: fact.event,
            position: fact.position,
            members: 1 << (fact.member as usize % Plan::MEMBERS_MAX),
        };
        let key = StateKey::of(fact.plan, fact.group);
        let place = match self.groups.find(key) {
            Some(place) => place,
            None => {
                let shard = &mut running.groups[shard(&fact.group)];
                if *shard as usize >= self.groups_max.unwrap_or(GROUPS_MAX) / SHARDS {
                    counts.limited += 1;
                    return;
                }
                *shard += 1;
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
            let Some(Some(running)) = self.plans.get(keyed.plan as usize) else {
                continue;
            };
            keyed.group.touched = false;
            if keyed.group.is_quiet(&running.condition) {
                keyed.group.absorb(&mut self.scratch);
                self.calendar
                    .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
                continue;
            }
            let clock = self.clocks.get(&keyed.tenant).copied();
            let clock = clock.unwrap_or(Clock::start(keyed.tenant));
            let cause = newest_cause(&keyed.group, &clock);
            if let Some((from, to)) =
                keyed
                    .group
                    .settle(&running.condition, &mut gone, &mut self.scratch)
            {
                let mut speaker = identity::Speaker {
                    running,
                    group: keyed.key,
                    tenant: keyed.tenant,
                    epoch,
                    watermark: clock.watermark.0,
                    cause,
                    output,
                };
                speaker.take_back(&mut gone);
                let provisional = speaker.say(&mut keyed.group, from, to);
                self.calendar.confirm(keyed.tenant, provisional, place);
            }
            self.calendar
                .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
        }
    }

    /// Puts a plan in force. A known plan's settled part keeps the version that said it.
    fn put(&mut self, epoch: Epoch, plan: &Arc<Plan>, output: &mut Output) {
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
            }));
            return;
        };
        let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
            return;
        };
        let old = std::mem::replace(&mut running.condition, condition);
        let until = (plan.until < running.plan.until).then_some(plan.until.0);
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
            let clock = self.clocks.get(&keyed.tenant).copied();
            let clock = clock.unwrap_or(Clock::start(keyed.tenant));
            keyed.group.freeze(clock.settled.0, &old);
            if let Some(until) = until {
                keyed.group.run.truncate_from(until);
                keyed.group.others.truncate_from(until);
            }
            let line = keyed.group.frozen;
            let whole = (line, i64::MAX);
            keyed
                .group
                .reevaluate(whole, &running.condition, &mut gone, &mut Vec::new());
            let mut speaker = identity::Speaker {
                running,
                group: keyed.key,
                tenant: keyed.tenant,
                epoch,
                watermark: clock.watermark.0,
                cause: Cause::Rule(plan.version),
                output,
            };
            speaker.take_back(&mut gone);
            // An episode may have shrunk to its settled part, which ends up to a window before.
            let from = line.saturating_sub(running.condition.timespan);
            let provisional = speaker.say(&mut keyed.group, from, i64::MAX);
            self.calendar.confirm(keyed.tenant, provisional, place);
        }
    }

    /// Drops a plan. Its rows stand until its rule's row is taken away downstream.
    fn remove(&mut self, plan: PlanId, output: &mut Output) {
        let Some(slot) = self.slots.remove(&plan) else {
            return;
        };
        self.plans[slot as usize] = None;
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
                output.retractions.push((said.alert, Cause::RuleRemoved));
            }
            removed.push(place);
        }
        removed
            .into_iter()
            .for_each(|place| self.groups.remove(place, plan));
    }

    /// Moves a tenant's clock: confirms what the watermark passed, settles what the line passed.
    fn advance(&mut self, epoch: Epoch, clock: Clock, output: &mut Output) {
        self.clocks.insert(clock.tenant, clock);
        for place in self.calendar.confirmed(clock.tenant, clock.watermark.0) {
            let Some(keyed) = self.groups.get_mut(place) else {
                continue;
            };
            let Some(Some(running)) = self.plans.get(keyed.plan as usize) else {
                continue;
            };
            let mut speaker = identity::Speaker {
                running,
                group: keyed.key,
                tenant: keyed.tenant,
                epoch,
                watermark: clock.watermark.0,
                cause: Cause::Watermark(clock.watermark),
                output,
            };
            speaker.say(&mut keyed.group, i64::MIN, i64::MAX);
        }
        for place in self.calendar.due(clock.tenant, clock.settled.0) {
            self.forget(place, clock.settled.0);
        }
    }

    fn forget(&mut self, place: Slot, line: i64) {
        let Some(keyed) = self.groups.get_mut(place) else {
            return;
        };
        let Some(Some(running)) = self.plans.get_mut(keyed.plan as usize) else {
            return;
        };
        keyed.group.freeze(line, &running.condition);
        keyed.group.forget(&running.condition);
        keyed.group.expected = false;
        if keyed.group.is_empty() {
            running.groups[shard(&keyed.key)] -= 1;
            self.groups.remove(place, running.plan.id);
        } else {
            self.calendar
                .expect(keyed.tenant, place, &mut keyed.group, &running.condition);
        }
    }
}

impl Running {
    /// The version under which the anchor at `time` was evaluated.
    fn version(&self, tenant: TenantKey, time: i64) -> RuleVersion {
        let in_force = |(_, lines): &&(RuleVersion, BTreeMap<TenantKey, i64>)| {
            lines.get(&tenant).is_none_or(|line| time >= *line)
        };
        let newest = self.versions.iter().rev().find(in_force);
        newest.map_or(self.plan.version, |(version, _)| *version)
    }
}

fn shard(group: &GroupKey) -> usize {
    (group.0[1] % SHARDS as u64) as usize
}

/// The event that this epoch's changes of a group are put down to: the earliest late one, else the last.
fn newest_cause(group: &Group, clock: &Clock) -> Cause {
    let new = || group.run.pushed().iter().chain(group.others.pushed());
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
