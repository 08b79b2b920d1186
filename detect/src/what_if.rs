//! What-ifs: what changes of rules would do to the plans that run, worked out beside them.
//!
//! The changes are made to a copy of the rules. What is then another plan runs as a *shadow*: under
//! an id of its own, so that it never meets the plan that it would replace, and heard by the what-if
//! alone. Whoever changes a rule that the changes bear on ends the what-if: what it told would no
//! longer be what its promotion does.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;

use weir_schema::{Basis, EventTime, Hearer, Plan, PlanId, PlanKind, RuleChange, RuleId, WhatIfId};

use crate::book::{Applied, PlanChange, RuleBook};
use crate::diagnostic::{Diagnostic, Refusal};
use crate::document::Body;
use crate::live::{LivePlan, Source};
use crate::plans::Catalog;

/// More what-ifs at a time are refused: each holds the facts of its plans once more.
pub const WHAT_IFS_MAX: usize = 128;

/// More changes in one what-if are refused.
pub const WHAT_IF_CHANGES_MAX: usize = 64;

/// A what-if that would change more plans is refused: a filter for all rules is tried on some first.
pub const SHADOWS_MAX: usize = 1_024;

/// Where what is wrong with a what-if itself is said to be.
pub const WHAT_IF_ORIGIN: &str = "what-if";

/// Changes of rules, and what they would do.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// Where the rules that it puts begin.
    pub since: EventTime,
    pub changes: Vec<RuleChange>,
    /// What they would do to the plans that run, all together.
    pub net: Vec<PlanChange>,
    /// The plans that would be new or other than they are.
    pub shadows: Vec<Shadow>,
    /// Rules of which a change ends the what-if.
    bears_on: BTreeSet<RuleId>,
    /// Whether some plan of it hears others, or is heard by them.
    chained: bool,
}

/// A plan as it would be.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The plan that it is promoted to; it runs, unless it would be new.
    pub of: PlanId,
    /// Under an id of its own.
    pub plan: Plan,
    pub basis: Basis,
    pub(crate) live: Arc<LivePlan>,
}

impl Shadow {
    /// Whether it hears other plans, or is heard by one.
    fn is_chained(&self) -> bool {
        self.plan.chain.stage > 0 || self.live.onward.is_some()
    }
}

impl WhatIf {
    /// Whether events of the past have to be read again for it.
    #[must_use]
    pub fn needs_journal(&self) -> bool {
        let mut shadows = self.shadows.iter();
        shadows.any(|shadow| shadow.basis == Basis::Journal)
    }

    /// The plans that run whose alerts it may change.
    pub fn touched(&self) -> impl Iterator<Item = PlanId> {
        self.net.iter().map(|change| match change {
            PlanChange::Put { plan, .. } => plan.id,
            PlanChange::Remove(plan) => *plan,
        })
    }

    pub(crate) fn bears_on_any(&self, rules: &BTreeSet<RuleId>) -> bool {
        self.bears_on.iter().any(|rule| rules.contains(rule))
    }
}

impl RuleBook {
    /// Works out what changes would do, as a what-if of this id has it.
    #[must_use]
    pub fn what_if_of(
        &self,
        id: WhatIfId,
        since: EventTime,
        changes: &[RuleChange],
    ) -> (WhatIf, Vec<Diagnostic>) {
        let mut tried = self.without_what_ifs();
        let mut mentioned = BTreeSet::new();
        let mut bears_on = BTreeSet::new();
        let mut diagnostics = Vec::new();
        for change in changes {
            let applied = tried.apply(&change.control(since));
            mentioned.extend(applied.changes.iter().map(|change| match change {
                PlanChange::Put { plan, .. } => plan.id,
                PlanChange::Remove(plan) => *plan,
            }));
            bears_on.extend(applied.touched);
            diagnostics.extend(applied.diagnostics);
        }
        let words: Vec<RuleId> = bears_on
            .iter()
            .flat_map(|rule| read_by(tried.catalog(), rule))
            .collect();
        bears_on.extend(words);
        let (before, after) = (self.catalog(), tried.catalog());
        let (now, then) = (plans(before, &mentioned), plans(after, &mentioned));
        let mut found = WhatIf {
            since,
            changes: changes.to_vec(),
            net: Vec::new(),
            shadows: Vec::new(),
            bears_on,
            chained: false,
        };
        for plan in mentioned {
            found.compare(id, plan, (now.get(&plan), then.get(&plan)), before);
        }
        // As one change has it: removals first.
        found
            .net
            .sort_by_key(|change| matches!(change, PlanChange::Put { .. }));
        (found, diagnostics)
    }

    pub(crate) fn put_what_if(
        &mut self,
        id: WhatIfId,
        (since, changes): (EventTime, &[RuleChange]),
        from_journal: bool,
    ) -> Applied {
        let known = self.what_ifs();
        let refuse = |message: String| Applied {
            diagnostics: vec![Refusal::new(message).into_diagnostic_at(WHAT_IF_ORIGIN, None, true)],
            ..Applied::default()
        };
        if known.contains_key(&id) {
            return refuse(format!("there is a what-if {id} already"));
        }
        if known.len() >= WHAT_IFS_MAX {
            return refuse(format!("more than {WHAT_IFS_MAX} what-ifs; drop some"));
        }
        if changes.is_empty() || changes.len() > WHAT_IF_CHANGES_MAX {
            return refuse(format!(
                "a what-if is of 1 to {WHAT_IF_CHANGES_MAX} changes"
            ));
        }
        let (what_if, diagnostics) = self.what_if_of(id, since, changes);
        if what_if.shadows.len() > SHADOWS_MAX {
            let plans = what_if.shadows.len();
            return refuse(format!(
                "it would change {plans} plans, and {SHADOWS_MAX} are the most"
            ));
        }
        if what_if.shadows.iter().any(Shadow::is_chained) {
            let message = "it would change a correlation that reads, or is read by, another one";
            return refuse(format!(
                "{message}: what-ifs of these are not supported yet"
            ));
        }
        if what_if.chained {
            let told = "it changes correlations that read correlations, which cannot be tried yet";
            return refuse(told.to_owned());
        }
        if what_if.needs_journal() && !from_journal {
            return refuse("what it asks for is not held: it needs the journal".to_owned());
        }
        self.what_ifs_mut().insert(id, Arc::new(what_if));
        Applied {
            diagnostics,
            ..Applied::default()
        }
    }

    /// Makes the changes of a what-if. Refused where they would no longer do what it told.
    pub(crate) fn promote_what_if(&mut self, id: WhatIfId) -> Applied {
        let refuse = |message: &str| Applied {
            diagnostics: vec![Refusal::new(message).into_diagnostic_at(WHAT_IF_ORIGIN, None, true)],
            ..Applied::default()
        };
        let Some(what_if) = self.what_ifs_mut().remove(&id) else {
            return refuse("there is no such what-if");
        };
        let (again, _) = self.what_if_of(id, what_if.since, &what_if.changes);
        if again.net != what_if.net {
            return refuse("rules that the what-if bears on have changed beneath it");
        }
        let mut made = Applied {
            changes: what_if.net.clone(),
            ..Applied::default()
        };
        for change in &what_if.changes {
            let applied = self.apply(&change.control(what_if.since));
            made.diagnostics.extend(applied.diagnostics);
            made.touched.extend(applied.touched);
        }
        made
    }

    /// A plan of a what-if.
    pub(crate) fn shadow(&self, plan: PlanId) -> Option<&Shadow> {
        let mut shadows = self.what_ifs().values().flat_map(|one| &one.shadows);
        shadows.find(|shadow| shadow.plan.id == plan)
    }
}

impl WhatIf {
    /// Takes note of what becomes of one plan.
    fn compare(
        &mut self,
        id: WhatIfId,
        plan: PlanId,
        (now, then): (Option<&Arc<LivePlan>>, Option<&Arc<LivePlan>>),
        catalog: &Catalog,
    ) {
        let Some(then) = then else {
            if now.is_some() {
                self.net.push(PlanChange::Remove(plan));
            }
            return;
        };
        let grows = now.is_some_and(|now| now.plan.until < then.plan.until);
        let basis = match now {
            Some(now) if now.plan == then.plan => return,
            Some(_) if grows => Basis::Journal,
            Some(_) => Basis::Groups(plan),
            None => basis(catalog, then),
        };
        if grows {
            self.net.push(PlanChange::Remove(plan));
        }
        self.net.push(PlanChange::Put {
            plan: then.plan.clone(),
            backfill: grows || now.is_none(),
        });
        let heard = matches!(then.plan.hearer, Hearer::Plan(_));
        self.chained |= then.plan.chain.stage > 0 || heard;
        let mut live = LivePlan::clone(then);
        live.plan.id = PlanId::of(&[b"what-if", &id.0.to_le_bytes(), &plan.0.to_le_bytes()]);
        live.plan.hearer = Hearer::WhatIf(id);
        self.shadows.push(Shadow {
            of: plan,
            plan: live.plan.clone(),
            basis,
            live: Arc::new(live),
        });
    }
}

/// The members that versions of a rule read, by the words that they use.
fn read_by(catalog: &Catalog, rule: &RuleId) -> Vec<RuleId> {
    let entry = catalog.rules.get(rule);
    let puts = entry.into_iter().flat_map(|entry| &entry.puts);
    let members = puts.flat_map(|put| match &put.document.body {
        Body::Correlation(correlation) => correlation.members.as_slice(),
        Body::Rule(..) | Body::Filter(_) => &[],
    });
    members.map(|member| member.as_str().into()).collect()
}

fn plans(catalog: &Catalog, wanted: &BTreeSet<PlanId>) -> BTreeMap<PlanId, Arc<LivePlan>> {
    let all = catalog.rules.values().flat_map(|entry| &entry.plans);
    let found = all.filter(|live| wanted.contains(&live.plan.id));
    found.map(|live| (live.plan.id, Arc::clone(live))).collect()
}

/// A plan that runs and has all facts that this one would have, if there is any.
fn basis(catalog: &Catalog, wanted: &LivePlan) -> Basis {
    let all = catalog.rules.values().flat_map(|entry| &entry.plans);
    let mut same = all.filter(|live| same_facts(live, wanted));
    same.next()
        .map_or(Basis::Journal, |live| Basis::Facts(live.plan.id))
}

fn same_facts(held: &LivePlan, wanted: &LivePlan) -> bool {
    let same = |(a, b): (&Source, &Source)| {
        a.detection.shape == b.detection.shape && a.group_by == b.group_by && a.values == b.values
    };
    let (a, b) = (&held.plan, &wanted.plan);
    // What a plan holds that hears others are not only events.
    (a.chain.stage, b.chain.stage) == (0, 0)
        && a.since <= b.since
        && a.until >= b.until
        && a.group_by == b.group_by
        && held.lenient == wanted.lenient
        && same_marks(&a.kind, &b.kind)
        && held.sources.len() == wanted.sources.len()
        && held.sources.iter().zip(&wanted.sources).all(same)
}

/// Whether plans of these kinds read the same of a fact.
fn same_marks(a: &PlanKind, b: &PlanKind) -> bool {
    let in_order = |kind: &PlanKind| {
        matches!(
            kind,
            PlanKind::Temporal { .. } | PlanKind::TemporalOrdered { .. }
        )
    };
    // Facts of an absence are held by the end of their window, which is of the plan.
    let same = discriminant(a) == discriminant(b) && !a.is_absence();
    same || in_order(a) && in_order(b)
}
