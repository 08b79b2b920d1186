//! The backfills in progress, and the plans that receive them.
//!
//! A new plan must see the events that came before it. A short backfill comes in the epoch that
//! installs the plan. A long one comes stepwise, over the epochs that follow, and the output of the
//! plan is buffered until the last. Workers and committer follow the same control entries, so they
//! agree on which plans are buffered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_detect::{PlanChange, RuleBook, WhatIf};
use weir_schema::{Basis, Control, Epoch, EventTime, PlanId, WhatIfId};

/// The running what-ifs.
pub type WhatIfMap = BTreeMap<WhatIfId, Arc<WhatIf>>;

/// The backfills in progress.
#[derive(Debug, Default)]
pub struct Backfills {
    /// By the epoch that installed their plans.
    by_epoch: BTreeMap<Epoch, PlanBackfill>,
}

/// The backfill of the plans of one epoch.
#[derive(Debug, Default)]
struct PlanBackfill {
    stepwise: bool,
    /// Plans that receive its facts.
    plans: Vec<PlanId>,
    /// The events that such a plan lacks, where that is not all: a plan that grows has the facts
    /// before its former end, and one that was cut and grows again reads the rest in another
    /// backfill. A plan that grows goes on evaluating; only the output of its rule waits.
    lacking: BTreeMap<PlanId, Lacking>,
    /// Plans that copy the facts of one of those plans, and wait with it.
    copies: Vec<PlanId>,
}

/// A stretch of event time, `[from, until)`, of which a plan lacks the facts.
#[derive(Clone, Copy, Debug)]
struct Lacking {
    from: EventTime,
    until: EventTime,
}

impl Lacking {
    const ALL: Self = Self {
        from: EventTime::MIN,
        until: EventTime::MAX,
    };

    fn contains(self, time: EventTime) -> bool {
        self.from <= time && time < self.until
    }
}

impl PlanBackfill {
    /// The stretch that the plan lacks; `None` if it does not read this backfill.
    fn lacking(&self, plan: PlanId) -> Option<Lacking> {
        let reads = self.plans.contains(&plan);
        reads.then(|| self.lacking.get(&plan).copied().unwrap_or(Lacking::ALL))
    }

    /// Adds a plan that grows and lacks the events from `from` on.
    fn add_grown(&mut self, plan: PlanId, from: EventTime) {
        // Two entries of one epoch may both cut the plan and let it grow.
        let known = self.lacking(plan);
        let stretch = Lacking {
            from: known.map_or(from, |known| known.from.min(from)),
            ..Lacking::ALL
        };
        if known.is_none() {
            self.plans.push(plan);
        }
        self.lacking.insert(plan, stretch);
    }
}

impl Backfills {
    /// Makes the backfill of `epoch` stepwise. Called before the control entries of the epoch.
    pub fn begin_stepwise(&mut self, epoch: Epoch) {
        self.by_epoch.entry(epoch).or_default().stepwise = true;
    }

    /// Follows a control entry of `epoch` after the rule book applied it.
    ///
    /// `before` are the what-ifs before the entry, `changes` the changes that it caused. Returns
    /// the new plans whose evaluation must be buffered from now on.
    pub fn apply(
        &mut self,
        epoch: Epoch,
        before: &WhatIfMap,
        book: &RuleBook,
        control: &Control,
        changes: &[PlanChange],
    ) -> Vec<PlanId> {
        self.by_epoch
            .retain(|began, backfill| backfill.stepwise || *began >= epoch);
        let mut new_plans = self.add_shadows(before, book, control);
        let promoted = promoted_plans(before, control);
        let mut grown = Vec::new();
        for change in changes {
            match change {
                PlanChange::Put {
                    plan,
                    backfill_from,
                } => match (promoted.get(&plan.id), *backfill_from) {
                    // Its shadow has received the earlier events.
                    (Some(shadow), _) => self.rename(*shadow, plan.id),
                    (None, Some(from)) if from > plan.since => {
                        self.cut(plan.id, from);
                        grown.push((plan.id, from));
                    }
                    (None, Some(_)) => new_plans.push(plan.id),
                    (None, None) => self.cut(plan.id, plan.until),
                },
                PlanChange::Remove(plan) => {
                    self.remove(*plan);
                    grown.retain(|(known, _)| known != plan);
                }
            }
        }
        for (id, what_if) in before {
            if !book.what_ifs().contains_key(id) {
                for shadow in &what_if.shadows {
                    self.remove(shadow.plan.id);
                }
            }
        }
        if new_plans.is_empty() && grown.is_empty() {
            return new_plans;
        }
        let backfill = self.by_epoch.entry(epoch).or_default();
        backfill.plans.extend(&new_plans);
        for (plan, from) in grown {
            backfill.add_grown(plan, from);
        }
        if backfill.stepwise {
            new_plans
        } else {
            Vec::new()
        }
    }

    /// Adds the shadows of a new what-if. Returns those that read from the journal.
    fn add_shadows(
        &mut self,
        before: &WhatIfMap,
        book: &RuleBook,
        control: &Control,
    ) -> Vec<PlanId> {
        let mut from_journal = Vec::new();
        if let Control::WhatIfPut { id, .. } = control
            && !before.contains_key(id)
            && let Some(what_if) = book.what_ifs().get(id)
        {
            for shadow in &what_if.shadows {
                let plan = shadow.plan.id;
                match shadow.basis {
                    Basis::Journal => from_journal.push(plan),
                    Basis::Facts(live) => {
                        if let Some(backfill) = self.backfill_of(live) {
                            backfill.plans.push(plan);
                            let stretch = backfill.lacking.get(&live).copied();
                            backfill.lacking.extend(stretch.map(|known| (plan, known)));
                        }
                    }
                    Basis::Groups(live) => {
                        if let Some(backfill) = self.backfill_of(live) {
                            backfill.copies.push(plan);
                        }
                    }
                }
            }
        }
        from_journal
    }

    /// The plans that receive the backfill that began with `epoch`.
    #[must_use]
    pub fn plans(&self, epoch: Epoch) -> &[PlanId] {
        self.by_epoch
            .get(&epoch)
            .map_or(&[], |backfill| &backfill.plans)
    }

    /// Whether the plan lacks an event of the backfill that began with `epoch`.
    #[must_use]
    pub fn lacks(&self, epoch: Epoch, plan: PlanId, time: EventTime) -> bool {
        let backfill = self.by_epoch.get(&epoch);
        let lacking = backfill.and_then(|backfill| backfill.lacking(plan));
        lacking.is_some_and(|lacking| lacking.contains(time))
    }

    /// Ends the backfill that began with `epoch`. Returns the plans whose output was buffered.
    pub fn finish(&mut self, epoch: Epoch) -> Vec<PlanId> {
        let backfill = self.by_epoch.remove(&epoch);
        backfill
            .filter(|backfill| backfill.stepwise)
            .map_or_else(Vec::new, |backfill| {
                [backfill.plans, backfill.copies].concat()
            })
    }

    /// All plans whose output is buffered.
    #[must_use]
    pub fn buffered_plans(&self) -> BTreeSet<PlanId> {
        let stepwise = self.by_epoch.values().filter(|backfill| backfill.stepwise);
        let plans = stepwise.flat_map(|backfill| backfill.plans.iter().chain(&backfill.copies));
        plans.copied().collect()
    }

    fn backfill_of(&mut self, plan: PlanId) -> Option<&mut PlanBackfill> {
        let mut backfills = self.by_epoch.values_mut();
        backfills.find(|backfill| backfill.plans.contains(&plan) || backfill.copies.contains(&plan))
    }

    /// Ends what the plan lacks at `end`: it stops there, or reads the rest in another backfill.
    fn cut(&mut self, plan: PlanId, end: EventTime) {
        for backfill in self.by_epoch.values_mut() {
            if let Some(lacking) = backfill.lacking(plan)
                && end < lacking.until
            {
                let stretch = Lacking {
                    until: end,
                    ..lacking
                };
                backfill.lacking.insert(plan, stretch);
            }
        }
    }

    fn rename(&mut self, from: PlanId, to: PlanId) {
        for backfill in self.by_epoch.values_mut() {
            let plans = backfill.plans.iter_mut();
            plans
                .filter(|plan| **plan == from)
                .for_each(|plan| *plan = to);
            let stretch = backfill.lacking.remove(&from);
            backfill.lacking.extend(stretch.map(|known| (to, known)));
        }
    }

    fn remove(&mut self, plan: PlanId) {
        for backfill in self.by_epoch.values_mut() {
            backfill.plans.retain(|known| *known != plan);
            backfill.lacking.remove(&plan);
            backfill.copies.retain(|known| *known != plan);
        }
    }
}

/// The shadows that a promotion turns into plans, by those plans.
#[must_use]
pub fn promoted_plans(before: &WhatIfMap, control: &Control) -> BTreeMap<PlanId, PlanId> {
    let Control::WhatIfPromote { id } = control else {
        return BTreeMap::new();
    };
    let what_if = before.get(id).into_iter();
    what_if
        .flat_map(|what_if| &what_if.shadows)
        .map(|shadow| (shadow.target, shadow.plan.id))
        .collect()
}
