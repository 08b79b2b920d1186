//! The oracle: what stands, by plain loops over everything that was let in. Imports only schema.
//!
//! Written from the definitions, for clarity alone: no state but what arrived, nothing incremental,
//! nothing forgotten. Everything else in this crate is judged by it.

use std::collections::BTreeMap;

use weir_schema::{
    AlertId, AlertState, EventId, EventTime, Fact, GroupKey, Plan, PlanId, PlanKind, RuleVersion,
    TenantKey,
};

/// A change of the rules.
#[derive(Clone, Debug)]
pub enum PlanStep {
    Put(Plan),
    Remove(PlanId),
}

/// An alert that stands, in the columns that the claim of sameness is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    pub key: AlertId,
    pub plan: PlanId,
    pub version: RuleVersion,
    pub tenant: TenantKey,
    pub group: GroupKey,
    pub state: AlertState,
    pub first: EventTime,
    pub last: EventTime,
    pub count: u64,
    /// The first 50 events, then the last 50 that are not among them.
    pub evidence: Vec<EventId>,
}

/// Everything that was let in.
#[derive(Default)]
pub struct Reference {
    /// Versions of each plan, with the settled line of each tenant when it took over.
    plans: BTreeMap<PlanId, Vec<(Plan, BTreeMap<TenantKey, EventTime>)>>,
    facts: Vec<Fact>,
    /// Watermark and settled line.
    clocks: BTreeMap<TenantKey, (EventTime, EventTime)>,
}

impl Reference {
    /// Takes an epoch in: rules first, then facts under the old clocks, then the new clocks.
    pub fn epoch(
        &mut self,
        plans: &[PlanStep],
        facts: &[Fact],
        clocks: &[(TenantKey, EventTime, EventTime)],
    ) {
        for step in plans {
            match step {
                PlanStep::Put(plan) => {
                    let lines = self.clocks.iter().map(|(tenant, clock)| (*tenant, clock.1));
                    let lines = lines.collect();
                    let versions = self.plans.entry(plan.id).or_default();
                    versions.push((plan.clone(), lines));
                    self.facts
                        .retain(|fact| fact.plan != plan.id || fact.time < plan.until);
                }
                PlanStep::Remove(plan) => {
                    self.plans.remove(plan);
                    self.facts.retain(|fact| fact.plan != *plan);
                }
            }
        }
        for fact in facts {
            let settled = self.clocks.get(&fact.tenant).map(|clock| clock.1);
            if self.plans.contains_key(&fact.plan) && settled.is_none_or(|line| fact.time >= line) {
                self.facts.push(*fact);
            }
        }
        for (tenant, watermark, settled) in clocks {
            self.clocks.insert(*tenant, (*watermark, *settled));
        }
    }

    /// The alerts that stand, sorted.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let mut groups: BTreeMap<(PlanId, TenantKey, GroupKey), Vec<Fact>> = BTreeMap::new();
        for fact in &self.facts {
            let key = (fact.plan, fact.tenant, fact.group);
            groups.entry(key).or_default().push(*fact);
        }
        let mut standing = Vec::new();
        for ((plan, tenant, group), mut facts) in groups {
            facts.sort_by_key(|fact| (fact.time, fact.event, fact.position, fact.member));
            if let Some(versions) = self.plans.get(&plan) {
                let watermark = self.clocks.get(&tenant).map(|clock| clock.0);
                standing.extend(group_standing(versions, tenant, group, &facts, watermark));
            }
        }
        standing.sort();
        standing
    }
}

fn group_standing(
    versions: &[(Plan, BTreeMap<TenantKey, EventTime>)],
    tenant: TenantKey,
    group: GroupKey,
    facts: &[Fact],
    watermark: Option<EventTime>,
) -> Vec<Standing> {
    // An anchor is judged by the newest version that took over at or before it.
    let in_force = |time: EventTime| {
        let took_over = |lines: &BTreeMap<TenantKey, EventTime>| {
            lines.get(&tenant).is_none_or(|line| time >= *line)
        };
        let newest = versions.iter().rev().find(|(_, lines)| took_over(lines));
        &newest.unwrap_or(&versions[0]).0
    };
    let positives = positive_members(&versions[0].0);
    let members: Vec<Fact> = facts
        .iter()
        .filter(|fact| positives.contains(&fact.member))
        .copied()
        .collect();
    let mut anchors: Vec<EventTime> = members.iter().map(|fact| fact.time).collect();
    anchors.dedup();
    let mut episodes: Vec<(EventTime, EventTime)> = Vec::new();
    for anchor in anchors {
        let plan = in_force(anchor);
        let low = anchor.minus(plan.timespan);
        let window = facts
            .iter()
            .filter(|fact| fact.time >= low && fact.time <= anchor);
        if !fires(plan, window) {
            continue;
        }
        match episodes.last_mut() {
            Some(last) if anchor <= last.1.plus(plan.timespan) => last.1 = anchor,
            _ => episodes.push((anchor, anchor)),
        }
    }
    let row = |(from, to): (EventTime, EventTime)| {
        let plan = in_force(to);
        let low = from.minus(plan.timespan);
        let mut rests_on: Vec<Fact> = members
            .iter()
            .filter(|fact| fact.time >= low && fact.time <= to)
            .copied()
            .collect();
        rests_on.dedup_by_key(|fact| (fact.time, fact.event, fact.position));
        let monotone = is_monotone(&in_force(from).kind);
        let reached = watermark.is_some_and(|watermark| watermark >= from);
        Standing {
            key: AlertId::of_episode(tenant, &plan.rule, &group, from),
            plan: plan.id,
            version: plan.version,
            tenant,
            group,
            state: if monotone || reached {
                AlertState::Confirmed
            } else {
                AlertState::Provisional
            },
            first: rests_on[0].time,
            last: to,
            count: rests_on.len() as u64,
            evidence: evidence(&rests_on),
        }
    };
    episodes.into_iter().map(row).collect()
}

fn fires<'f>(plan: &Plan, window: impl Iterator<Item = &'f Fact>) -> bool {
    let mut deliveries = Vec::new();
    let mut seen = Vec::new();
    for fact in window {
        deliveries.push((fact.time, fact.event, fact.position));
        seen.push(fact.member);
    }
    deliveries.dedup();
    match &plan.kind {
        PlanKind::EventCount { bounds } => {
            let count = deliveries.len() as u64;
            bounds.iter().all(|bound| bound.holds(count))
        }
        PlanKind::Temporal { condition, .. } => condition.holds(&|member| seen.contains(&member)),
    }
}

fn positive_members(plan: &Plan) -> Vec<u16> {
    match &plan.kind {
        PlanKind::EventCount { .. } => vec![0],
        PlanKind::Temporal { members, condition } => {
            let mut positive = vec![false; usize::from(*members)];
            condition.mark_positive(&mut positive);
            (0..*members)
                .filter(|member| positive[usize::from(*member)])
                .collect()
        }
    }
}

fn is_monotone(kind: &PlanKind) -> bool {
    use weir_schema::Bound;
    match kind {
        PlanKind::EventCount { bounds } => bounds
            .iter()
            .all(|bound| matches!(bound, Bound::Gt(_) | Bound::Gte(_))),
        PlanKind::Temporal { members, condition } => !condition.has_negation(usize::from(*members)),
    }
}

fn evidence(rests_on: &[Fact]) -> Vec<EventId> {
    let mut events: Vec<EventId> = rests_on.iter().map(|fact| fact.event).collect();
    events.dedup();
    let tail = events.len().saturating_sub(50).max(50.min(events.len()));
    let mut evidence = events[..50.min(events.len())].to_vec();
    evidence.extend(&events[tail..]);
    evidence
}
