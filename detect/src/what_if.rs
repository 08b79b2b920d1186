//! The effect of rule changes on the running plans, computed beside them.
//!
//! The changes are applied to a copy of the rules. Each plan that would be new or different runs
//! as a *shadow plan*. It has an id of its own, so it never collides with the plan that it would
//! replace, and its results go to the what-if alone. If someone changes a rule that the changes
//! depend on, the what-if ends, because its results would no longer predict its promotion.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;

use weir_schema::{
    Basis, EventTime, Plan, PlanId, PlanKind, PlanOutput, RuleChange, RuleId, WhatIfId,
};

use crate::book::catalog::Catalog;
use crate::book::change::PlanChange;
use crate::book::live::{LivePlan, PlanSource};

/// Maximum number of what-ifs at a time. Each holds the facts of its plans once more.
pub const WHAT_IFS_MAX: usize = 128;

/// Maximum number of changes in one what-if.
pub const WHAT_IF_CHANGES_MAX: usize = 64;

/// Maximum number of plans that a what-if changes. Try a filter for all rules on some rules first.
pub const SHADOWS_MAX: usize = 1_024;

/// The origin of diagnostics about a what-if itself.
pub const WHAT_IF_ORIGIN: &str = "what-if";

/// Rule changes, and their effect on the running plans.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// The start of the rules that it adds.
    pub since: EventTime,
    pub changes: Vec<RuleChange>,
    /// The combined effect of the changes on the running plans.
    pub net: Vec<PlanChange>,
    /// The plans that would be new or different.
    pub shadows: Vec<ShadowPlan>,
    /// Rules whose change ends the what-if.
    depends_on: BTreeSet<RuleId>,
    /// Whether one of its plans reads other plans, or is read by one.
    chained: bool,
    /// Whether a plan that was cut would be whole again.
    grows: bool,
}

/// A plan as it would be after the changes.
#[derive(Clone, Debug)]
pub struct ShadowPlan {
    /// The plan that it becomes when it is promoted. That plan runs already, unless it is new.
    pub target: PlanId,
    /// The plan, under an id of its own.
    pub plan: Plan,
    pub basis: Basis,
    pub(crate) live: Arc<LivePlan>,
}

impl ShadowPlan {
    /// Whether it reads other plans, or is read by one.
    fn is_chained(&self) -> bool {
        self.plan.chain.stage > 0 || self.live.downstream.is_some()
    }
}

impl WhatIf {
    pub(crate) fn new(
        since: EventTime,
        changes: &[RuleChange],
        depends_on: BTreeSet<RuleId>,
    ) -> Self {
        Self {
            since,
            changes: changes.to_vec(),
            net: Vec::new(),
            shadows: Vec::new(),
            depends_on,
            chained: false,
            grows: false,
        }
    }

    /// Whether past events must be read again for it.
    #[must_use]
    pub fn needs_journal(&self) -> bool {
        let mut shadows = self.shadows.iter();
        shadows.any(|shadow| shadow.basis == Basis::Journal)
    }

    /// The running plans whose alerts may change.
    pub fn affected_plans(&self) -> impl Iterator<Item = PlanId> {
        self.net.iter().map(PlanChange::plan_id)
    }

    pub(crate) fn depends_on_any(&self, rules: &BTreeSet<RuleId>) -> bool {
        self.depends_on.iter().any(|rule| rules.contains(rule))
    }

    /// Refuses a what-if that is too large, or not supported.
    pub(crate) fn check(&self, from_journal: bool) -> Result<(), String> {
        if self.shadows.len() > SHADOWS_MAX {
            let plans = self.shadows.len();
            return Err(format!(
                "it would change {plans} plans; the maximum is {SHADOWS_MAX}"
            ));
        }
        if self.shadows.iter().any(ShadowPlan::is_chained) {
            let message = "it would change a correlation that reads, or is read by, another one";
            return Err(format!(
                "{message}: what-ifs of these are not supported yet"
            ));
        }
        if self.chained {
            let message =
                "it changes correlations that read correlations, which cannot be tried yet";
            return Err(message.to_owned());
        }
        if self.grows {
            let message = "it would undo the end of a rule or of a member, which cannot be tried";
            return Err(message.to_owned());
        }
        if self.needs_journal() && !from_journal {
            return Err("its past events are not in memory: it needs the journal".to_owned());
        }
        Ok(())
    }

    /// Compares these plans before and after the changes.
    pub(crate) fn compare(
        &mut self,
        id: WhatIfId,
        plans: &BTreeSet<PlanId>,
        before: &Catalog,
        after: &Catalog,
    ) {
        let (now, then) = (plans_by_id(before, plans), plans_by_id(after, plans));
        for plan in plans {
            match (now.get(plan), then.get(plan)) {
                (None, None) => {}
                (Some(_), None) => self.net.push(PlanChange::Remove(*plan)),
                (now, Some(then)) => self.compare_plan(id, now, then, before),
            }
        }
        // Removals come first, as within one change.
        self.net
            .sort_by_key(|change| matches!(change, PlanChange::Put { .. }));
    }

    /// Records how one plan changes. `now` is the running plan, unless it would be new.
    fn compare_plan(
        &mut self,
        id: WhatIfId,
        now: Option<&Arc<LivePlan>>,
        then: &LivePlan,
        before: &Catalog,
    ) {
        let plan = then.plan.id;
        let (basis, backfill_from) = match now {
            Some(now) if now.plan == then.plan => return,
            Some(now) if now.plan.until < then.plan.until => {
                self.grows = true;
                (Basis::Journal, Some(now.plan.until))
            }
            Some(_) => (Basis::Groups(plan), None),
            None => (basis(before, then), Some(then.plan.since)),
        };
        self.net.push(PlanChange::Put {
            plan: then.plan.clone(),
            backfill_from,
        });
        let is_member = matches!(then.plan.output, PlanOutput::Plan(_));
        self.chained |= then.plan.chain.stage > 0 || is_member;
        let mut live = then.clone();
        live.plan.id = PlanId::of(&[b"what-if", &id.0.to_le_bytes(), &plan.0.to_le_bytes()]);
        live.plan.output = PlanOutput::WhatIf(id);
        self.shadows.push(ShadowPlan {
            target: plan,
            plan: live.plan.clone(),
            basis,
            live: Arc::new(live),
        });
    }
}

fn plans_by_id(catalog: &Catalog, wanted: &BTreeSet<PlanId>) -> BTreeMap<PlanId, Arc<LivePlan>> {
    let all = catalog.rules.values().flat_map(|entry| &entry.plans);
    let found = all.filter(|live| wanted.contains(&live.plan.id));
    found.map(|live| (live.plan.id, Arc::clone(live))).collect()
}

/// The source of the facts of a new plan: a running plan that has all of them, else the journal.
fn basis(catalog: &Catalog, wanted: &LivePlan) -> Basis {
    let all = catalog.rules.values().flat_map(|entry| &entry.plans);
    let mut same = all.filter(|live| has_facts_of(live, wanted));
    same.next()
        .map_or(Basis::Journal, |live| Basis::Facts(live.plan.id))
}

/// Whether a running plan has all facts that the wanted plan would have.
fn has_facts_of(running: &LivePlan, wanted: &LivePlan) -> bool {
    let same = |(a, b): (&PlanSource, &PlanSource)| {
        a.detection.shape == b.detection.shape && a.group_by == b.group_by && a.values == b.values
    };
    let (a, b) = (&running.plan, &wanted.plan);
    // A plan that reads other plans has facts that do not come from events.
    (a.chain.stage, b.chain.stage) == (0, 0)
        && a.since <= b.since
        && a.until >= b.until
        && a.group_by == b.group_by
        && running.missing == wanted.missing
        && read_facts_alike(&a.kind, &b.kind)
        && running.sources.len() == wanted.sources.len()
        && running.sources.iter().zip(&wanted.sources).all(same)
}

/// Whether plans of these kinds use the same parts of a fact.
fn read_facts_alike(a: &PlanKind, b: &PlanKind) -> bool {
    let over_members = |kind: &PlanKind| {
        matches!(
            kind,
            PlanKind::Temporal { .. } | PlanKind::TemporalOrdered { .. }
        )
    };
    // The facts of an absence are stored by the end of its window, which depends on the plan.
    let same = discriminant(a) == discriminant(b) && !a.is_absence();
    same || over_members(a) && over_members(b)
}
