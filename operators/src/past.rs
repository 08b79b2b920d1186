//! Which plans read their past, and how far: the same on every worker, and where results are said.
//!
//! A plan that is new sees what came before it. A short past is handed on in the epoch in which the
//! plan is put; a long one in steps, over the epochs that follow, and the plan is held until the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_detect::{PlanChange, RuleBook, WhatIf};
use weir_schema::{Basis, Control, Epoch, PlanId, WhatIfId};

/// What-ifs by their names.
pub type WhatIfs = BTreeMap<WhatIfId, Arc<WhatIf>>;

/// The pasts that are read.
#[derive(Debug, Default)]
pub struct Pasts {
    /// By the epoch in which its plans were put.
    all: BTreeMap<Epoch, Past>,
}

#[derive(Debug, Default)]
struct Past {
    in_steps: bool,
    /// Plans that are given its facts.
    plans: Vec<PlanId>,
    /// Plans that wait with one of those, of which they have the facts.
    copies: Vec<PlanId>,
}

impl Pasts {
    /// The past of what is put in this epoch comes in steps. Said before its control entries.
    pub fn in_steps(&mut self, epoch: Epoch) {
        self.all.entry(epoch).or_default().in_steps = true;
    }

    /// Follows a control entry of `epoch` that was applied to the rules, which had other what-ifs
    /// before. Returns the plans that are held from here on.
    pub fn follow(
        &mut self,
        epoch: Epoch,
        (before, book): (&WhatIfs, &RuleBook),
        control: &Control,
        changes: &[PlanChange],
    ) -> Vec<PlanId> {
        self.all
            .retain(|began, past| past.in_steps || *began >= epoch);
        let mut fresh = Vec::new();
        if let Control::WhatIfPut { id, .. } = control
            && !before.contains_key(id)
            && let Some(what_if) = book.what_ifs().get(id)
        {
            for shadow in &what_if.shadows {
                match shadow.basis {
                    Basis::Journal => fresh.push(shadow.plan.id),
                    Basis::Facts(of) => self.join(of, |past| past.plans.push(shadow.plan.id)),
                    Basis::Groups(of) => self.join(of, |past| past.copies.push(shadow.plan.id)),
                }
            }
        }
        let promoted = promoted(before, control);
        for change in changes {
            match change {
                PlanChange::Put { plan, backfill } => match promoted.get(&plan.id) {
                    // The plan of a what-if sees the past already.
                    Some(tried) => self.rename(*tried, plan.id),
                    None if *backfill => fresh.push(plan.id),
                    None => {}
                },
                PlanChange::Remove(plan) => self.forget(*plan),
            }
        }
        for (id, what_if) in before {
            if !book.what_ifs().contains_key(id) {
                let shadows = what_if.shadows.iter();
                shadows.for_each(|shadow| self.forget(shadow.plan.id));
            }
        }
        if fresh.is_empty() {
            return fresh;
        }
        let past = self.all.entry(epoch).or_default();
        past.plans.extend(&fresh);
        if past.in_steps { fresh } else { Vec::new() }
    }

    /// The plans that are given what is read of the past that began with `epoch`.
    #[must_use]
    pub fn plans(&self, epoch: Epoch) -> &[PlanId] {
        self.all.get(&epoch).map_or(&[], |past| &past.plans)
    }

    /// The past that began with `epoch` is read. Returns the plans that were held until then.
    pub fn through(&mut self, epoch: Epoch) -> Vec<PlanId> {
        let past = self.all.remove(&epoch).filter(|past| past.in_steps);
        past.map_or_else(Vec::new, |past| [past.plans, past.copies].concat())
    }

    /// All plans that are held.
    #[must_use]
    pub fn held(&self) -> BTreeSet<PlanId> {
        let pasts = self.all.values().filter(|past| past.in_steps);
        let plans = pasts.flat_map(|past| past.plans.iter().chain(&past.copies));
        plans.copied().collect()
    }

    fn join(&mut self, of: PlanId, take: impl FnOnce(&mut Past)) {
        let mut pasts = self.all.values_mut();
        let of = |past: &&mut Past| past.plans.contains(&of) || past.copies.contains(&of);
        if let Some(past) = pasts.find(of) {
            take(past);
        }
    }

    fn rename(&mut self, from: PlanId, to: PlanId) {
        let plans = self.all.values_mut().flat_map(|past| &mut past.plans);
        plans
            .filter(|plan| **plan == from)
            .for_each(|plan| *plan = to);
    }

    fn forget(&mut self, plan: PlanId) {
        for past in self.all.values_mut() {
            past.plans.retain(|known| *known != plan);
            past.copies.retain(|known| *known != plan);
        }
    }
}

/// The plans of a what-if that is promoted, by those that they are to become.
#[must_use]
pub fn promoted(before: &WhatIfs, control: &Control) -> BTreeMap<PlanId, PlanId> {
    let Control::WhatIfPromote { id } = control else {
        return BTreeMap::new();
    };
    let shadows = before.get(id).into_iter().flat_map(|one| &one.shadows);
    shadows.map(|one| (one.of, one.plan.id)).collect()
}
