//! Plans that read their past in steps: they take facts in, and conclude nothing until all are there.
//!
//! What the first half of a past says is not what the whole says: a `not` that is not read yet would
//! raise what never was. So a plan is held from the epoch in which it was put until its past is
//! through. Its settled line stands still meanwhile, so that what it sees does not depend on how long
//! the reading takes; what it then concludes, it concludes in one epoch.

use std::collections::BTreeMap;

use weir_schema::{EventTime, PlanId, TenantKey};

use super::Correlator;
use super::groups::Slot;
use crate::clock::Clock;

/// What a plan that is held waits with.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Where the settled line of each tenant stood when it began.
    lines: BTreeMap<TenantKey, EventTime>,
    /// The groups that were given facts.
    touched: Vec<Slot>,
}

impl Held {
    /// What a copy of a plan that is held waits with, but for its groups.
    pub fn copy(&self) -> Self {
        Self {
            lines: self.lines.clone(),
            touched: Vec::new(),
        }
    }

    pub fn touch(&mut self, place: Slot) {
        self.touched.push(place);
    }
}

impl Correlator {
    /// From here on the plan concludes nothing; facts that its settled line lets in now are let in
    /// until it is released.
    pub(super) fn hold(&mut self, plan: PlanId) {
        let lines = self.clocks.iter();
        let lines = lines.map(|(tenant, clock)| (*tenant, clock.settled));
        let held = Held {
            lines: lines.collect(),
            touched: Vec::new(),
        };
        self.hold_as(plan, held);
    }

    /// Lets a plan wait as another one does, if that one is held.
    pub(super) fn hold_like(&mut self, plan: PlanId, model: Option<u32>) {
        let model = model.and_then(|slot| self.plans.get(slot as usize)?.as_ref());
        if let Some(held) = model.and_then(|model| model.held.as_ref()).map(Held::copy) {
            self.hold_as(plan, held);
        }
    }

    fn hold_as(&mut self, plan: PlanId, held: Held) {
        let Some(slot) = self.slots.get(&plan).copied() else {
            return; // Of another stage.
        };
        if let Some(Some(running)) = self.plans.get_mut(slot as usize) {
            running.held = Some(held);
            self.held.insert(slot);
        }
    }

    /// The past of the plan is through: what it was given is judged in this epoch.
    pub(super) fn release(&mut self, plan: PlanId) {
        let Some(slot) = self.slots.get(&plan).copied() else {
            return; // Of another stage, or gone meanwhile.
        };
        self.held.remove(&slot);
        if let Some(Some(running)) = self.plans.get_mut(slot as usize)
            && let Some(held) = running.held.take()
        {
            self.touched.extend(held.touched);
        }
    }

    /// The clock as the plan at `slot` has it.
    pub(super) fn clock_for(&self, slot: u32, now: Clock) -> Clock {
        let running = self.plans.get(slot as usize).and_then(Option::as_ref);
        let Some(held) = running.and_then(|running| running.held.as_ref()) else {
            return now;
        };
        let line = held.lines.get(&now.tenant).copied();
        Clock {
            settled: line.unwrap_or(Clock::start(now.tenant).settled),
            ..now
        }
    }

    /// Of a plan that is held, drops what it no longer sees: facts at or after its new end.
    pub(super) fn end_held(&mut self, slot: u32) {
        let Some(Some(running)) = self.plans.get_mut(slot as usize) else {
            return;
        };
        let until = running.plan.until.0;
        let begun = until.saturating_add(running.condition.delay);
        let mine = self.groups.iter_mut().filter(|(_, k)| k.plan == slot);
        let mut empty = Vec::new();
        for (place, keyed) in mine {
            keyed.group.run.drop_pushed_from(begun);
            keyed.group.others.drop_pushed_from(until);
            if keyed.group.is_empty() {
                running.groups[super::shard(&keyed.key)] -= 1;
                empty.push(place);
            }
        }
        for place in empty {
            self.groups.remove(place, running.plan.id);
        }
    }
}
